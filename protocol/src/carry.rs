//! Files that carry entries and blobs where no connection leads: a disk that is taken along, a bucket.
//!
//! A folder that is written once is a bundle; one that is kept up to date is a
//! depot. Both have this form (docs/spec/08-carry.md):
//!
//! ```text
//! heirloom.txt                     what this is, for people; nobody reads it
//! devices/<device>/manifest        a signed [`Manifest`], the last word of it
//! devices/<device>/entries-<n>     entries, each with its length before it
//! devices/<device>/list-<n>        what of which space lies here: [`SpaceRow`]s
//! blobs/<2 digits>/<blob>          a blob, or its pieces with -<n> behind
//! ```
//!
//! What lies there proves itself: entries by their signatures and chains, blobs
//! by their names. A manifest only says what is to be there, so that what is
//! missing is noticed, and for whom an album is. Whoever writes to the folder
//! can therefore hide and add, and change nothing unnoticed.

use serde::{Deserialize, Serialize};

use crate::{
    crypto::{SignKind, Statement},
    id::{BlobId, BranchId, DeviceId, LogId, PersonId, SpaceId},
    limits,
    log::entry::EntryBytes,
    time::Hlc,
    wire,
};

/// The name of the file that says to people what the folder is.
pub const README: &str = "heirloom.txt";
/// The folder of what each device wrote.
pub const DEVICES: &str = "devices";
/// The folder of blobs.
pub const BLOBS: &str = "blobs";

/// A file that a manifest names.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Part {
    /// The number in its name; no two files of a device have the same.
    pub number: u32,
    /// Its length in bytes.
    pub bytes: u32,
    /// BLAKE3 of all of it.
    pub hash: [u8; 32],
}

impl Part {
    /// The part that a file's bytes make.
    pub fn of(number: u32, bytes: &[u8]) -> Self {
        Self {
            number,
            bytes: u32::try_from(bytes.len()).unwrap_or(u32::MAX),
            hash: *blake3::hash(bytes).as_bytes(),
        }
    }

    /// Whether these are its bytes.
    pub fn is(&self, bytes: &[u8]) -> bool {
        *self == Self::of(self.number, bytes)
    }
}

/// What a device has put into a folder, all of it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Manifest {
    /// The device that wrote it.
    pub device: DeviceId,
    /// When.
    pub hlc: Hlc,
    /// For which device it was written: what that one had is left out.
    pub to: Option<DeviceId>,
    /// What is older is left out, Unix milliseconds.
    pub since: Option<u64>,
    /// Whether all that it was to put there is there; else blobs are on their way.
    pub whole: bool,
    /// Its files of entries, in the order in which they are read.
    pub entries: Vec<Part>,
    /// Its lists.
    pub lists: Vec<Part>,
}

impl Statement for Manifest {
    const KIND: SignKind = SignKind::Manifest;
    const LIMIT: usize = limits::MANIFEST_BYTES;

    fn signer(&self) -> DeviceId {
        self.device
    }

    fn is_within_limits(&self) -> bool {
        let fits = |parts: &[Part], most: usize| {
            let most = u32::try_from(most).unwrap_or(u32::MAX);
            parts.iter().all(|part| part.bytes <= most)
        };
        fits(&self.entries, limits::CARRY_FILE_BYTES) && fits(&self.lists, limits::FRAME_BYTES)
    }
}

/// What of one log lies in a folder.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct LogRow {
    /// Whose log.
    pub device: DeviceId,
    /// In which incarnation.
    pub inc: u64,
    /// The branch after a fork, zero where there was none.
    pub branch: BranchId,
    /// The first entry that lies there.
    pub first: u32,
    /// The one after the last; equal to `first` where there is none.
    pub end: u32,
    /// The blobs that lie there, as in a `Have` (05).
    #[serde(with = "serde_bytes")]
    pub blobs: Vec<u8>,
}

impl LogRow {
    /// The log, in its space.
    pub const fn log(&self, space: SpaceId) -> LogId {
        LogId {
            space,
            device: self.device,
            inc: self.inc,
            branch: self.branch,
        }
    }
}

/// What of one space lies in a folder, and for whom. A space may have several rows.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SpaceRow {
    /// The space.
    pub space: SpaceId,
    /// The persons whose devices may replicate it.
    pub persons: Vec<PersonId>,
    /// The keepers that may.
    pub keepers: Vec<DeviceId>,
    /// Its logs.
    pub logs: Vec<LogRow>,
}

/// The rows of a list; `None` for anything but their encoding.
pub fn read_list(bytes: &[u8]) -> Option<Vec<SpaceRow>> {
    let rows: Vec<SpaceRow> = wire::decode(bytes, limits::FRAME_BYTES).ok()?;
    let mut logs = rows.iter().flat_map(|row| &row.logs);
    let fits = |log: &LogRow| log.first <= log.end && log.blobs.len() <= limits::HAVE_BYTES;
    logs.all(fits).then_some(rows)
}

/// Adds an entry to the bytes of a file.
pub fn put_entry(bytes: &mut Vec<u8>, entry: &EntryBytes) {
    let encoded = wire::encode(entry);
    let length = u32::try_from(encoded.len()).expect("entries stay below the limit of the wire");
    bytes.extend_from_slice(&length.to_le_bytes());
    bytes.extend_from_slice(&encoded);
}

/// The entries of a file, as far as it can be read, and whether that is to its end.
pub fn read_entries(mut bytes: &[u8]) -> (Vec<EntryBytes>, bool) {
    let mut entries = Vec::new();
    while !bytes.is_empty() {
        let Some((entry, rest)) = next_entry(bytes) else {
            return (entries, false);
        };
        entries.push(entry);
        bytes = rest;
    }
    (entries, true)
}

fn next_entry(bytes: &[u8]) -> Option<(EntryBytes, &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
    let (piece, rest) = rest.split_at_checked(length)?;
    let entry: EntryBytes = wire::decode(piece, limits::FRAME_BYTES).ok()?;
    let bytes = entry.header.len() + 64 + entry.body.len();
    (bytes <= limits::ENTRY_BYTES).then_some((entry, rest))
}

/// The folder of what a device wrote.
pub fn folder_of(device: &DeviceId) -> String {
    format!("{DEVICES}/{device}")
}

/// The file of a device's manifest.
pub fn manifest_of(device: &DeviceId) -> String {
    format!("{DEVICES}/{device}/manifest")
}

/// A file of a device's entries.
pub fn entries_of(device: &DeviceId, number: u32) -> String {
    format!("{DEVICES}/{device}/entries-{number:08x}")
}

/// A list of a device.
pub fn list_of(device: &DeviceId, number: u32) -> String {
    format!("{DEVICES}/{device}/list-{number:08x}")
}

/// The files of a blob, each with the bytes that it has; one, unless it is longer than
/// [`limits::CARRY_PIECE_BYTES`].
pub fn blob_files(blob: &BlobId, bytes: u64) -> Vec<(String, u64)> {
    let name = blob.to_string();
    let path = format!("{BLOBS}/{}/{name}", &name[..2]);
    if bytes <= limits::CARRY_PIECE_BYTES {
        return vec![(path, bytes)];
    }
    let pieces = bytes.div_ceil(limits::CARRY_PIECE_BYTES);
    let piece = |n: u64| {
        let left = bytes - n * limits::CARRY_PIECE_BYTES;
        let bytes = left.min(limits::CARRY_PIECE_BYTES);
        (format!("{path}-{n:04x}"), bytes)
    };
    (0..pieces).map(piece).collect()
}

/// Whether a name within a device's folder is one of a file of entries or a list, and which number it has.
pub fn number_of(name: &str) -> Option<u32> {
    let digits = name
        .strip_prefix("entries-")
        .or_else(|| name.strip_prefix("list-"))?;
    let is_lower = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    if digits.len() != 8 || !digits.bytes().all(is_lower) {
        return None;
    }
    u32::from_str_radix(digits, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::Signature;

    fn entry(n: u8) -> EntryBytes {
        EntryBytes {
            header: vec![n; 40],
            signature: Signature([n; 64]),
            body: vec![n; 100],
        }
    }

    fn file(count: u8) -> Vec<u8> {
        let mut bytes = Vec::new();
        for n in 0..count {
            put_entry(&mut bytes, &entry(n));
        }
        bytes
    }

    #[test]
    fn a_file_that_was_cut_gives_what_is_whole() {
        let bytes = file(3);
        assert_eq!(
            read_entries(&bytes),
            (vec![entry(0), entry(1), entry(2)], true)
        );
        let one = file(1).len();
        for cut in 0..bytes.len() {
            let (entries, whole) = read_entries(&bytes[..cut]);
            assert_eq!((entries.len(), whole), (cut / one, cut % one == 0), "{cut}");
        }
    }

    #[test]
    fn a_length_beyond_the_file_reads_nothing() {
        let mut bytes = file(2);
        bytes[..4].copy_from_slice(&u32::MAX.to_le_bytes());
        assert_eq!(read_entries(&bytes), (Vec::new(), false));
    }

    #[test]
    fn names_suit_any_file_system_and_are_read_back() {
        let device = DeviceId([0xab; 32]);
        let names = [
            manifest_of(&device),
            entries_of(&device, 0x1234),
            list_of(&device, u32::MAX),
            blob_files(&BlobId([0xfe; 32]), 5)[0].0.clone(),
        ];
        for name in &names {
            let plain = |byte: u8| {
                byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"/-".contains(&byte)
            };
            assert!(name.bytes().all(plain), "{name}");
            assert!(name.split('/').all(|part| part.len() <= 70), "{name}");
        }
        let last = |name: &str| number_of(name.rsplit('/').next().unwrap_or_default());
        assert_eq!(last(&names[1]), Some(0x1234));
        assert_eq!(last(&names[2]), Some(u32::MAX));
        assert_eq!(last(&names[0]), None);
        for wrong in ["entries-0000001", "list-0000000G", "entries-0000000A", "x"] {
            assert_eq!(number_of(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_long_blob_lies_in_pieces_that_add_up() {
        let piece = limits::CARRY_PIECE_BYTES;
        let blob = BlobId([1; 32]);
        assert_eq!(blob_files(&blob, piece).len(), 1);
        let files = blob_files(&blob, 2 * piece + 7);
        let sizes: Vec<_> = files.iter().map(|(_, bytes)| *bytes).collect();
        assert_eq!(sizes, [piece, piece, 7]);
        assert!(files[2].0.ends_with("-0002"));
    }

    #[test]
    fn a_list_that_claims_too_much_is_refused() {
        let row = |first, end, blobs: usize| SpaceRow {
            space: SpaceId([1; 16]),
            persons: vec![PersonId([2; 16])],
            keepers: Vec::new(),
            logs: vec![LogRow {
                device: DeviceId([3; 32]),
                inc: 1,
                branch: BranchId::ZERO,
                first,
                end,
                blobs: vec![0; blobs],
            }],
        };
        let read = |row: SpaceRow| read_list(&wire::encode(&vec![row]));
        assert_eq!(read(row(1, 4, 9)), Some(vec![row(1, 4, 9)]));
        assert_eq!(read(row(4, 1, 9)), None);
        assert_eq!(read(row(0, 1, limits::HAVE_BYTES + 1)), None);
        assert_eq!(read_list(&[1]), None);
    }

    #[test]
    fn a_part_is_its_bytes_alone() {
        let part = Part::of(4, b"bytes");
        assert!(part.is(b"bytes"));
        for other in [&b"bytez"[..], b"byte", b""] {
            assert!(!part.is(other));
        }
    }
}
