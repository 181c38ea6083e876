//! Boxes of ISO base media files (ISO/IEC 14496-12 4.2): HEIF, AVIF, MP4, MOV, 3GP, CR3, JXL.

use crate::media::source::Source;

/// Boxes looked at in one list; real files have dozens.
const MAX_BOXES: usize = 1000;

/// One box: its kind and where its content stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Atom {
    pub(crate) kind: [u8; 4],
    /// Extended kind of a `uuid` box.
    pub(crate) uuid: Option<[u8; 16]>,
    /// Where the header stands.
    pub(crate) start: u64,
    /// Where the content stands.
    pub(crate) at: u64,
    /// Bytes of content; clipped where the file is cut short.
    pub(crate) len: u64,
}

impl Atom {
    /// Where the content ends.
    pub(crate) fn end(&self) -> u64 {
        self.at.saturating_add(self.len)
    }
}

/// The boxes between two places, until one makes no sense.
pub(crate) fn list(source: &mut Source<'_>, from: u64, to: u64) -> Vec<Atom> {
    let to = to.min(source.size());
    let mut at = from;
    let mut atoms = Vec::new();
    while at < to && atoms.len() < MAX_BOXES {
        let Some(atom) = atom(source, at, to) else {
            break;
        };
        at = atom.end();
        atoms.push(atom);
    }
    atoms
}

fn atom(source: &mut Source<'_>, start: u64, to: u64) -> Option<Atom> {
    let size = u64::from(source.u32(start)?);
    let kind: [u8; 4] = source.array(start + 4)?;
    let mut at = start + 8;
    let whole = match size {
        0 => to - start,
        1 => {
            at += 8;
            source.u64(start + 8)?
        }
        n => n,
    };
    let uuid = if &kind == b"uuid" {
        at += 16;
        Some(source.array(at - 16)?)
    } else {
        None
    };
    let end = start.checked_add(whole)?.min(to);
    Some(Atom {
        kind,
        uuid,
        start,
        at,
        // A box smaller than its own header would let a list of them never end.
        len: end.checked_sub(at)?,
    })
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    fn kinds(bytes: &[u8]) -> Vec<(String, u64)> {
        let size = u64::try_from(bytes.len()).expect("small");
        let mut cursor = Cursor::new(bytes);
        let mut source = Source::new(&mut cursor, size, 1 << 20);
        list(&mut source, 0, size)
            .into_iter()
            .map(|a| (String::from_utf8_lossy(&a.kind).into_owned(), a.len))
            .collect()
    }

    #[test]
    fn all_three_forms_of_size_are_read() {
        let bytes = b"\0\0\0\x09ftypx\0\0\0\x01mdat\0\0\0\0\0\0\0\x12yz\0\0\0\0free1234";
        assert_eq!(
            kinds(bytes),
            [
                ("ftyp".to_owned(), 1),
                ("mdat".to_owned(), 2),
                ("free".to_owned(), 4)
            ]
        );
    }

    #[test]
    fn sizes_that_lie_end_the_list() {
        assert_eq!(kinds(b"\0\0\0\x04free\0\0\0\x08free"), []);
        let endless = b"\0\0\0\x01mdat\xff\xff\xff\xff\xff\xff\xff\xff";
        assert_eq!(kinds(endless), [("mdat".to_owned(), 0)]);
        assert_eq!(kinds(b"\0\0\0\x63mdatab"), [("mdat".to_owned(), 2)]);
        assert_eq!(kinds(&b"\0\0\0\x08free".repeat(5000)).len(), MAX_BOXES);
    }
}
