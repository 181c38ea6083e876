//! How an entry lies in the file of its log.
//!
//! A file is a header that names the log, then records: magic, length, checksum
//! (BLAKE3, 8 bytes, keyed by the log's name so that a record proves where it
//! belongs), the entry's place and counts, its bytes. The scan finds every whole
//! record even past damaged bytes. It reads only; what to cut off is the
//! caller's decision.

use std::io;

use heirloom_protocol::id::{BranchId, DeviceId, EntryId, LogId, SpaceId};
use heirloom_protocol::limits;

use super::fs::Disk;

/// Bytes before the first record.
pub(crate) const HEADER_BYTES: u64 = 88;
/// Largest entry the store takes: the protocol's limit and room for a frame around it.
pub const ENTRY_BYTES_MAX: usize = limits::ENTRY_BYTES + 4096;

const FILE_MAGIC: &[u8; 16] = b"heirloom log 1\r\n";
const MAGIC: [u8; 4] = [0xd7, b'E', b'n', 0x1a];
const HEAD: usize = 16;
const META: usize = 61;
const CONTROL: u8 = 1;
const WINDOW: usize = 1024 * 1024;

/// One entry as the store keeps it: the bytes are opaque, the rest is what the index needs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EntryRecord {
    /// The log it belongs to.
    pub log: LogId,
    /// Its place there.
    pub seq: u32,
    /// Its name. The store takes the caller's word for it.
    pub id: EntryId,
    /// Whether it is a control entry.
    pub control: bool,
    /// Its hybrid timestamp.
    pub hlc: u64,
    /// Number of the first item it adds, counted over the log.
    pub first_item: u32,
    /// Number of the first blob it announces, counted over the log.
    pub first_blob: u32,
    /// How many items it adds.
    pub items: u32,
    /// How many blobs it announces.
    pub blobs: u32,
    /// The entry as it travels, at most [`ENTRY_BYTES_MAX`].
    pub bytes: Vec<u8>,
}

/// Reads little-endian fields in order.
pub(crate) struct Fields<'a>(pub(crate) &'a [u8]);

impl<'a> Fields<'a> {
    pub(crate) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*head)
    }

    pub(crate) fn byte(&mut self) -> Option<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub(crate) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    pub(crate) fn rest(self) -> &'a [u8] {
        self.0
    }
}

/// A log's name in 64 bytes.
pub(crate) fn log_bytes(log: &LogId) -> [u8; 64] {
    let mut bytes = [0; 64];
    bytes[..16].copy_from_slice(&log.space.0);
    bytes[16..48].copy_from_slice(&log.device.0);
    bytes[48..56].copy_from_slice(&log.inc.to_le_bytes());
    bytes[56..].copy_from_slice(&log.branch.0);
    bytes
}

/// The log that 64 bytes name.
pub(crate) fn log_of(fields: &mut Fields<'_>) -> Option<LogId> {
    Some(LogId {
        space: SpaceId(fields.array()?),
        device: DeviceId(fields.array()?),
        inc: fields.u64()?,
        branch: BranchId(fields.array()?),
    })
}

/// The first bytes of a log's file.
pub(crate) fn header(log: &LogId) -> Vec<u8> {
    let mut bytes = FILE_MAGIC.to_vec();
    bytes.extend(log_bytes(log));
    let check = check(log, &[]);
    bytes.extend(check);
    bytes
}

fn check(log: &LogId, body: &[u8]) -> [u8; 8] {
    let mut hasher = blake3::Hasher::new_derive_key("heirloom 2026 v1 log record");
    hasher.update(&log_bytes(log));
    hasher.update(body);
    let mut check = [0; 8];
    check.copy_from_slice(&hasher.finalize().as_bytes()[..8]);
    check
}

/// Appends a record to a buffer and returns its length. The entry must not exceed
/// [`ENTRY_BYTES_MAX`].
pub(crate) fn encode(record: &EntryRecord, buffer: &mut Vec<u8>) -> u32 {
    let start = buffer.len();
    let body = META + record.bytes.len();
    let length = u32::try_from(body).expect("an entry has an upper bound far below 4 GiB");
    buffer.extend(MAGIC);
    buffer.extend(length.to_le_bytes());
    buffer.extend([0; 8]);
    buffer.extend(record.seq.to_le_bytes());
    buffer.extend(record.id.0);
    buffer.push(if record.control { CONTROL } else { 0 });
    buffer.extend(record.hlc.to_le_bytes());
    for count in [
        record.first_item,
        record.first_blob,
        record.items,
        record.blobs,
    ] {
        buffer.extend(count.to_le_bytes());
    }
    buffer.extend(&record.bytes);
    let check = check(&record.log, &buffer[start + HEAD..]);
    buffer[start + 8..start + HEAD].copy_from_slice(&check);
    length + u32::try_from(HEAD).expect("16 fits")
}

/// The record in exactly these bytes, or `None` if they are not one of this log.
pub(crate) fn decode(log: &LogId, raw: &[u8]) -> Option<EntryRecord> {
    let mut fields = Fields(raw);
    if fields.array::<4>()? != MAGIC {
        return None;
    }
    let length = usize::try_from(fields.u32()?).ok()?;
    let sum: [u8; 8] = fields.array()?;
    if fields.0.len() != length || check(log, fields.0) != sum {
        return None;
    }
    let seq = fields.u32()?;
    let id = EntryId(fields.array()?);
    let flags = fields.byte()?;
    let hlc = fields.u64()?;
    let [first_item, first_blob, items, blobs] =
        [fields.u32()?, fields.u32()?, fields.u32()?, fields.u32()?];
    Some(EntryRecord {
        log: *log,
        seq,
        id,
        control: flags & CONTROL != 0,
        hlc,
        first_item,
        first_blob,
        items,
        blobs,
        bytes: fields.rest().to_vec(),
    })
}

/// Longest body in which one wrong bit is looked for: each try reads all of it.
const MEND_BYTES: usize = 16 * 1024;

/// Puts a record right in which one bit is wrong; `None` where more is, or where it is so long that
/// trying every bit would take too long. Its checksum of 64 bits tells which one it was.
pub(crate) fn mend(log: &LogId, raw: &[u8]) -> Option<EntryRecord> {
    let (head, body) = raw.split_first_chunk::<HEAD>()?;
    let mut good = *head;
    good[..4].copy_from_slice(&MAGIC);
    good[4..8].copy_from_slice(&u32::try_from(body.len()).ok()?.to_le_bytes());
    let sum = check(log, body);
    good[8..].copy_from_slice(&sum);
    let wrong = |one: &[u8], other: &[u8]| -> u32 {
        let pairs = one.iter().zip(other);
        pairs.map(|(one, other)| (one ^ other).count_ones()).sum()
    };
    if wrong(head, &good) <= 1 {
        return decode(log, &[&good[..], body].concat());
    }
    if wrong(&head[..8], &good[..8]) > 0 || body.len() > MEND_BYTES {
        return None;
    }
    let mut tried = raw.to_vec();
    for at in HEAD..raw.len() {
        for bit in 0..8 {
            tried[at] ^= 1 << bit;
            if check(log, &tried[HEAD..]) == head[8..] {
                return decode(log, &tried);
            }
            tried[at] ^= 1 << bit;
        }
    }
    None
}

/// What a scan comes upon.
pub(crate) enum Found {
    /// A whole record.
    Record {
        record: Box<EntryRecord>,
        offset: u64,
        len: u32,
    },
    /// Bytes that are no record, with a whole record after them: damage.
    Gap { offset: u64, len: u64 },
    /// No whole record from here to the end: a torn write, or damage to the last records.
    Torn { offset: u64 },
}

/// Walks the records of a file from an offset on.
pub(crate) struct Scan<'a> {
    disk: &'a Disk,
    log: LogId,
    at: u64,
    end: u64,
}

impl<'a> Scan<'a> {
    pub(crate) fn new(disk: &'a Disk, log: LogId, from: u64, end: u64) -> Self {
        Self {
            disk,
            log,
            at: from,
            end,
        }
    }

    /// The next thing found, `None` at the end of the file.
    pub(crate) fn next(&mut self) -> io::Result<Option<Found>> {
        if self.at >= self.end {
            return Ok(None);
        }
        let offset = self.at;
        if let Some((record, len)) = self.record_at(offset)? {
            self.at = offset + u64::from(len);
            let record = Box::new(record);
            return Ok(Some(Found::Record {
                record,
                offset,
                len,
            }));
        }
        let Some(next) = self.resume(offset + 1)? else {
            self.at = self.end;
            return Ok(Some(Found::Torn { offset }));
        };
        self.at = next;
        Ok(Some(Found::Gap {
            offset,
            len: next - offset,
        }))
    }

    fn record_at(&self, offset: u64) -> io::Result<Option<(EntryRecord, u32)>> {
        let mut head = [0; HEAD];
        let head_bytes = u64::try_from(HEAD).expect("16 fits");
        if self.end - offset < head_bytes {
            return Ok(None);
        }
        self.disk.read_at(offset, &mut head)?;
        let mut fields = Fields(&head);
        let magic: Option<[u8; 4]> = fields.array();
        let length = fields.u32().expect("the head holds a length");
        let body = usize::try_from(length).expect("usize holds 32 bits");
        let fits = u64::from(length) <= self.end - offset - head_bytes;
        if magic != Some(MAGIC) || body > META + ENTRY_BYTES_MAX || !fits {
            return Ok(None);
        }
        let mut raw = vec![0; HEAD + body];
        self.disk.read_at(offset, &mut raw)?;
        let len = length + u32::try_from(HEAD).expect("16 fits");
        Ok(decode(&self.log, &raw).map(|record| (record, len)))
    }

    /// The offset of the next whole record from `from` on.
    fn resume(&self, from: u64) -> io::Result<Option<u64>> {
        let mut at = from;
        let mut window = vec![0; WINDOW];
        while at < self.end {
            let left = usize::try_from(self.end - at).unwrap_or(WINDOW).min(WINDOW);
            self.disk.read_at(at, &mut window[..left])?;
            for (index, magic) in window[..left].windows(MAGIC.len()).enumerate() {
                let offset = at + u64::try_from(index).expect("a window fits");
                if magic == MAGIC && self.record_at(offset)?.is_some() {
                    return Ok(Some(offset));
                }
            }
            // The windows overlap, so that a magic across their border is seen.
            let step = left.saturating_sub(MAGIC.len() - 1).max(1);
            at += u64::try_from(step).expect("a window fits");
        }
        Ok(None)
    }
}
