//! Foreign bytes, read at any place and only as much as asked for.
//!
//! Readers of metadata hop through files of many gigabytes; a [`Source`] gives them small
//! pieces and counts what they take, so that no file can make them read it whole.

use std::io::{Read, Seek, SeekFrom};

/// Bytes fetched at once at the least: hops between neighbours then cost nothing.
const READ_AHEAD: u64 = 4096;
/// The largest single piece.
const MAX_PIECE: u64 = 1 << 20;

/// Something that can be read at any place: a file, a cursor, a pipe to one.
pub trait ReadSeek: Read + Seek {}

impl<T: Read + Seek + ?Sized> ReadSeek for T {}

/// A window over a reader, with a budget.
///
/// Everything it gives is either complete or `None`; past the budget it gives nothing more.
pub(crate) struct Source<'r> {
    reader: &'r mut dyn ReadSeek,
    size: u64,
    budget: u64,
    page: Vec<u8>,
    page_at: u64,
}

impl<'r> Source<'r> {
    /// Opens `size` bytes of a reader, of which `budget` may be read in all.
    pub(crate) fn new(reader: &'r mut dyn ReadSeek, size: u64, budget: u64) -> Self {
        Self {
            reader,
            size,
            budget,
            page: Vec::new(),
            page_at: 0,
        }
    }

    /// The length of the whole.
    #[must_use]
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// Gives exactly `len` bytes (at most 1 MiB) from `at`.
    pub(crate) fn bytes(&mut self, at: u64, len: u64) -> Option<&[u8]> {
        let end = at.checked_add(len)?;
        if end > self.size || len > MAX_PIECE {
            return None;
        }
        let held = self.page_at..=self.page_at + page_len(&self.page);
        if !(held.contains(&at) && held.contains(&end)) {
            self.fetch(at, len)?;
        }
        let from = usize::try_from(at - self.page_at).ok()?;
        self.page.get(from..from + usize::try_from(len).ok()?)
    }

    /// Gives the bytes from `at` on, at most `len` of them, fewer where the whole ends.
    pub(crate) fn up_to(&mut self, at: u64, len: u64) -> Option<&[u8]> {
        let len = self.size.checked_sub(at)?.min(len);
        self.bytes(at, len)
    }

    /// Gives `N` bytes from `at`.
    pub(crate) fn array<const N: usize>(&mut self, at: u64) -> Option<[u8; N]> {
        let len = u64::try_from(N).ok()?;
        self.bytes(at, len)?.try_into().ok()
    }

    /// Gives a big-endian number of four bytes.
    pub(crate) fn u32(&mut self, at: u64) -> Option<u32> {
        self.array(at).map(u32::from_be_bytes)
    }

    /// Gives a big-endian number of eight bytes.
    pub(crate) fn u64(&mut self, at: u64) -> Option<u64> {
        self.array(at).map(u64::from_be_bytes)
    }

    fn fetch(&mut self, at: u64, len: u64) -> Option<()> {
        let ahead = len.max(READ_AHEAD).min(self.size - at);
        let want = if ahead <= self.budget { ahead } else { len };
        self.budget = self.budget.checked_sub(want)?;
        self.page.clear();
        self.page.resize(usize::try_from(want).ok()?, 0);
        self.page_at = at;
        let read = self
            .reader
            .seek(SeekFrom::Start(at))
            .and_then(|_| self.reader.read_exact(&mut self.page));
        if read.is_err() {
            self.page.clear();
        }
        read.ok()
    }
}

fn page_len(page: &[u8]) -> u64 {
    u64::try_from(page.len()).expect("a page is at most 1 MiB")
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    #[test]
    fn pieces_are_whole_or_absent() {
        let mut cursor = Cursor::new((0..=255).collect::<Vec<u8>>());
        let mut source = Source::new(&mut cursor, 256, 10_000);
        assert_eq!(
            source.bytes(250, 6),
            Some(&[250, 251, 252, 253, 254, 255][..])
        );
        assert_eq!(source.bytes(250, 7), None);
        assert_eq!(source.bytes(256, 0), Some(&[][..]));
        assert_eq!(source.bytes(u64::MAX, 2), None);
        assert_eq!(source.up_to(254, 100), Some(&[254, 255][..]));
        assert_eq!(source.up_to(257, 1), None);
        assert_eq!(source.u32(0), Some(0x0001_0203));
    }

    #[test]
    fn a_reader_shorter_than_it_claims_gives_nothing_wrong() {
        let mut cursor = Cursor::new(vec![1; 10]);
        let mut source = Source::new(&mut cursor, 100, 10_000);
        assert_eq!(source.bytes(0, 20), None);
        assert_eq!(source.bytes(5, 3), None);
    }

    #[test]
    fn the_budget_is_kept() {
        let mut cursor = Cursor::new(vec![7; 1 << 20]);
        let mut source = Source::new(&mut cursor, 1 << 20, 3 * READ_AHEAD);
        let mut given = 0;
        for hop in 0..100 {
            given += u64::from(source.bytes(hop * 10_000, 4).is_some()) * READ_AHEAD;
        }
        assert_eq!(given, 3 * READ_AHEAD);
        assert_eq!(source.bytes(0, MAX_PIECE + 1), None);
    }
}
