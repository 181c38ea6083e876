//! TIFF structure: directories of tagged values, the skeleton of EXIF and of most raw formats.
//!
//! Values are fetched one by one from where they stand, so a raw photo of 60 MB costs a few
//! kilobytes. Directories may point anywhere, at themselves too: entries are counted over the
//! whole file and depth is the caller's business. Specification: TIFF 6.0, EXIF 2.32 (4.6.2).

use crate::media::source::Source;

/// Entries looked at in one file, all directories together.
const MAX_ENTRIES: u32 = 1000;
/// The longest value fetched as bytes.
const MAX_VALUE_BYTES: u64 = 1 << 20;

/// A TIFF inside a source: offsets count from `base`.
pub(crate) struct Tiff<'s, 'r> {
    source: &'s mut Source<'r>,
    base: u64,
    end: u64,
    big_endian: bool,
    entries_left: u32,
}

/// One tagged value; where it stands has been checked, what it says has not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) tag: u16,
    kind: u16,
    count: u64,
    /// Where the value stands in the source.
    pub(crate) at: u64,
    /// How many bytes it has.
    pub(crate) len: u64,
}

impl Entry {
    /// How many numbers the value has.
    pub(crate) fn count(&self) -> u64 {
        self.count
    }
}

impl<'s, 'r> Tiff<'s, 'r> {
    /// Opens the TIFF at `base`, which ends at `base + len` at the latest.
    pub(crate) fn open(source: &'s mut Source<'r>, base: u64, len: u64) -> Option<Self> {
        let head: [u8; 4] = source.array(base)?;
        let big_endian = match &head {
            b"MM\0*" | b"MMOR" => true,
            // Olympus and Panasonic keep the structure and change the magic number.
            b"II*\0" | b"IIRO" | b"IIRS" | b"IIU\0" => false,
            _ => return None,
        };
        let end = base.saturating_add(len).min(source.size());
        Some(Self {
            source,
            base,
            end,
            big_endian,
            entries_left: MAX_ENTRIES,
        })
    }

    /// Opens a bare directory tree whose offsets count from `base`, as maker notes have it.
    pub(crate) fn bare(source: &'s mut Source<'r>, base: u64, len: u64, big_endian: bool) -> Self {
        let end = base.saturating_add(len).min(source.size());
        Self {
            source,
            base,
            end,
            big_endian,
            entries_left: MAX_ENTRIES,
        }
    }

    /// The source, for values that are more than a tag.
    pub(crate) fn source(&mut self) -> &mut Source<'r> {
        self.source
    }

    /// Where the first directory stands.
    pub(crate) fn first(&mut self) -> Option<u64> {
        self.long(self.base.checked_add(4)?).map(u64::from)
    }

    /// The entries of the directory at `offset`, and where the next one stands.
    ///
    /// Entries whose value lies outside are left out; a directory cut short gives what it has.
    pub(crate) fn directory(&mut self, offset: u64) -> (Vec<Entry>, Option<u64>) {
        let mut entries = Vec::new();
        let Some(at) = self.base.checked_add(offset) else {
            return (entries, None);
        };
        let Some(count) = self.short(at) else {
            return (entries, None);
        };
        let first = at + 2;
        for i in 0..u64::from(count) {
            if self.entries_left == 0 {
                return (entries, None);
            }
            self.entries_left -= 1;
            let at = first + i * 12;
            if at + 12 > self.end {
                return (entries, None);
            }
            entries.extend(self.entry(at));
        }
        let next = self
            .long(first + u64::from(count) * 12)
            .map(u64::from)
            .filter(|next| *next != 0);
        (entries, next)
    }

    fn entry(&mut self, at: u64) -> Option<Entry> {
        let tag = self.short(at)?;
        let kind = self.short(at + 2)?;
        let count = u64::from(self.long(at + 4)?);
        let len = unit(kind)?.checked_mul(count)?;
        let at = if len <= 4 {
            at + 8
        } else {
            self.base.checked_add(u64::from(self.long(at + 8)?))?
        };
        let inside = at.checked_add(len)? <= self.end;
        inside.then_some(Entry {
            tag,
            kind,
            count,
            at,
            len,
        })
    }

    /// The bytes of a value.
    pub(crate) fn bytes(&mut self, entry: &Entry) -> Option<&[u8]> {
        if entry.len == 0 || entry.len > MAX_VALUE_BYTES {
            return None;
        }
        self.source.bytes(entry.at, entry.len)
    }

    /// The number at `index` of an integer value.
    pub(crate) fn number(&mut self, entry: &Entry, index: u64) -> Option<u64> {
        if index >= entry.count {
            return None;
        }
        match entry.kind {
            1 | 7 => self
                .source
                .array::<1>(entry.at + index)
                .map(|b| u64::from(b[0])),
            3 => self.short(entry.at + index * 2).map(u64::from),
            4 | 13 => self.long(entry.at + index * 4).map(u64::from),
            _ => None,
        }
    }

    /// The fraction at `index` of a rational value; a zero denominator is unknown.
    pub(crate) fn fraction(&mut self, entry: &Entry, index: u64) -> Option<f64> {
        if index >= entry.count {
            return None;
        }
        let at = entry.at + index * 8;
        let (over, under) = (self.long(at)?, self.long(at + 4)?);
        let value = match entry.kind {
            5 => f64::from(over) / f64::from(under),
            10 => f64::from(over.cast_signed()) / f64::from(under.cast_signed()),
            _ => return None,
        };
        value.is_finite().then_some(value)
    }

    /// The whole part of the unsigned fraction at `index`.
    pub(crate) fn whole(&mut self, entry: &Entry, index: u64) -> Option<u32> {
        if index >= entry.count || entry.kind != 5 {
            return None;
        }
        let at = entry.at + index * 8;
        self.long(at)?.checked_div(self.long(at + 4)?)
    }

    /// The text of a value, cleaned.
    pub(crate) fn text(&mut self, entry: &Entry) -> Option<String> {
        // Some cameras declare text as bytes.
        if !matches!(entry.kind, 1 | 2 | 7) || entry.len > 4096 {
            return None;
        }
        super::clean_bytes(self.bytes(entry)?)
    }

    fn short(&mut self, at: u64) -> Option<u16> {
        let b = self.inside::<2>(at)?;
        Some(if self.big_endian {
            u16::from_be_bytes(b)
        } else {
            u16::from_le_bytes(b)
        })
    }

    fn long(&mut self, at: u64) -> Option<u32> {
        let b = self.inside::<4>(at)?;
        Some(if self.big_endian {
            u32::from_be_bytes(b)
        } else {
            u32::from_le_bytes(b)
        })
    }

    fn inside<const N: usize>(&mut self, at: u64) -> Option<[u8; N]> {
        let len = u64::try_from(N).ok()?;
        if at.checked_add(len)? > self.end {
            return None;
        }
        self.source.array(at)
    }
}

/// Bytes of one value of a TIFF type.
fn unit(kind: u16) -> Option<u64> {
    Some(match kind {
        1 | 2 | 6 | 7 => 1,
        3 | 8 => 2,
        4 | 9 | 11 | 13 => 4,
        5 | 10 | 12 => 8,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    fn with<T>(bytes: &[u8], f: impl FnOnce(&mut Tiff<'_, '_>) -> T) -> Option<T> {
        let size = u64::try_from(bytes.len()).expect("small");
        let mut cursor = Cursor::new(bytes);
        let mut source = Source::new(&mut cursor, size, 1 << 20);
        Tiff::open(&mut source, 0, size).as_mut().map(f)
    }

    #[test]
    fn values_of_both_byte_orders_are_read() {
        let big = b"MM\0*\0\0\0\x08\0\x02\x01\x00\0\x03\0\0\0\x01\0\x14\0\0\x01\x0f\0\x02\0\0\0\x06\0\0\0\x26\0\0\0\0Canon\0";
        let got = with(big, |t| {
            let first = t.first().expect("has one");
            let (entries, next) = t.directory(first);
            (
                t.number(&entries[0], 0),
                t.number(&entries[0], 1),
                t.text(&entries[1]),
                next,
            )
        });
        assert_eq!(got, Some((Some(20), None, Some("Canon".to_owned()), None)));
        let little = b"II*\0\x08\0\0\0\x01\0\x00\x01\x04\0\x01\0\0\0\x14\0\0\0";
        let got = with(little, |t| {
            let (entries, next) = t.directory(8);
            (t.number(&entries[0], 0), next)
        });
        assert_eq!(got, Some((Some(20), None)));
    }

    #[test]
    fn values_outside_the_file_are_left_out() {
        let tiff = b"II*\0\x08\0\0\0\x02\0\x0f\x01\x02\0\xff\xff\xff\xff\x10\0\0\0\x10\x01\x02\0\x02\0\0\0A\0\0\0\0\0\0\0";
        let got = with(tiff, |t| {
            let (entries, _) = t.directory(8);
            (entries.len(), t.text(&entries[0]))
        });
        assert_eq!(got, Some((1, Some("A".to_owned()))));
    }

    #[test]
    fn a_directory_that_points_at_itself_ends() {
        let tiff = b"II*\0\x08\0\0\0\x01\0\x00\x01\x04\0\x01\0\0\0\x14\0\0\0\x08\0\0\0";
        let rounds = with(tiff, |t| {
            let mut offset = Some(8);
            let mut seen = 0;
            while let Some(at) = offset {
                let (entries, next) = t.directory(at);
                seen += entries.len();
                offset = next;
            }
            seen
        });
        assert_eq!(rounds, Some(1000));
    }
}
