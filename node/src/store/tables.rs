//! The index on one page: every table, its keys and its rows.
//!
//! Keys grow (log number and sequence in one integer), because random keys cost
//! five times the time and half again the space (measured); the only hashed keys
//! are entry ids, one for a batch of items, and what callers choose for the
//! sealed tables. Keys and rows are integers and bytes alone, since the next
//! major version of the database changes all other encodings. Rows end in a
//! keyed checksum (`seal.rs`); sealed values need none.

use heirloom_protocol::id::{BlobId, EntryId, LogId};
use redb::TableDefinition;

use super::blobs::BlobPlace;
use super::record::{EntryRecord, Fields, log_bytes, log_of};

/// Version of everything on this page. Another one means: make the index again.
pub(crate) const SCHEMA: u32 = 3;

type Rows = TableDefinition<'static, u64, &'static [u8]>;

/// `schema`, `name` (of the store key) and `pack` (how far the newest pack is committed).
pub(crate) const META: TableDefinition<'static, &'static str, &'static [u8]> =
    TableDefinition::new("meta");
/// Log number -> [`LogRow`].
pub(crate) const LOGS: Rows = Rows::new("logs");
/// (log number, seq) -> [`EntryRow`].
pub(crate) const ENTRIES: Rows = Rows::new("entries");
/// Entry id -> (log number, seq). Checked against the entry's row.
pub(crate) const ENTRY_IDS: TableDefinition<'static, &'static [u8], u64> =
    TableDefinition::new("entry_ids");
/// (log number, seq) of control entries -> how many came before it in the log, so that a missing
/// row shows.
pub(crate) const CONTROL: Rows = Rows::new("control");
/// (log number, blob ordinal) -> [`BlobPlace`].
pub(crate) const BLOBS: Rows = Rows::new("blobs");
/// (log number, blob ordinal / 65,536) -> roaring bitmap of the ordinals that are here.
pub(crate) const HAVE: Rows = Rows::new("have");
/// (log number, blob ordinal) -> since when, in milliseconds, the blob is dropped.
pub(crate) const DROPPED: Rows = Rows::new("dropped");

/// A table of sealed values; the keys are the caller's and stand in clear.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Table {
    /// Small settings and positions.
    Kv,
    /// What the gallery shows, by asset.
    Assets,
    /// Plaintext hashes, blinded, to the asset that has them.
    PlainHashes,
    /// Invites made here, spent ones included.
    Invites,
    /// Addresses and news of other devices.
    Peers,
    /// Albums as projected.
    Albums,
    /// Files that were imported or are watched.
    Sources,
    /// Previews that are due or cannot be made.
    Previews,
    /// When this node durably received what retention counts from.
    Receipts,
}

impl Table {
    /// All tables.
    pub const ALL: [Self; 9] = [
        Self::Kv,
        Self::Assets,
        Self::PlainHashes,
        Self::Invites,
        Self::Peers,
        Self::Albums,
        Self::Sources,
        Self::Previews,
        Self::Receipts,
    ];

    /// The name in the database and in the associated data of its values.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Kv => "kv",
            Self::Assets => "assets",
            Self::PlainHashes => "plain_hashes",
            Self::Invites => "invites",
            Self::Peers => "peers",
            Self::Albums => "albums",
            Self::Sources => "sources",
            Self::Previews => "previews",
            Self::Receipts => "receipts",
        }
    }

    /// Whether no log tells its content: carried over, as far as it still opens, when the index
    /// is made again.
    pub const fn is_local(self) -> bool {
        matches!(
            self,
            Self::Kv | Self::Invites | Self::Peers | Self::Sources | Self::Receipts
        )
    }

    pub(crate) const fn definition(self) -> TableDefinition<'static, &'static [u8], &'static [u8]> {
        TableDefinition::new(self.name())
    }
}

/// The key of a sequence or ordinal within a log.
pub(crate) const fn key(log: u32, index: u32) -> u64 {
    let [a, b, c, d] = log.to_be_bytes();
    let [e, f, g, h] = index.to_be_bytes();
    u64::from_be_bytes([a, b, c, d, e, f, g, h])
}

/// The log number and the sequence or ordinal in a key.
pub(crate) const fn split(key: u64) -> (u32, u32) {
    let [a, b, c, d, e, f, g, h] = key.to_be_bytes();
    (
        u32::from_be_bytes([a, b, c, d]),
        u32::from_be_bytes([e, f, g, h]),
    )
}

/// What the index knows of a log as a whole.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct LogRow {
    pub(crate) log: LogId,
    /// Seq of its first entry, zero but for a branch.
    pub(crate) first: u32,
    /// Seq of the entry to come.
    pub(crate) next: u32,
    /// The part of the file that the index covers; what lies behind is looked at when opening.
    pub(crate) file_bytes: u64,
    pub(crate) next_item: u32,
    pub(crate) next_blob: u32,
    pub(crate) head: EntryId,
    pub(crate) hlc: u64,
    /// How many control entries it has.
    pub(crate) control: u32,
}

impl LogRow {
    pub(crate) fn new(log: LogId) -> Self {
        Self {
            log,
            first: 0,
            next: 0,
            file_bytes: 0,
            next_item: 0,
            next_blob: 0,
            head: EntryId::ZERO,
            hlc: 0,
            control: 0,
        }
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut row = log_bytes(&self.log).to_vec();
        row.extend(self.first.to_le_bytes());
        row.extend(self.next.to_le_bytes());
        row.extend(self.file_bytes.to_le_bytes());
        row.extend(self.next_item.to_le_bytes());
        row.extend(self.next_blob.to_le_bytes());
        row.extend(self.head.0);
        row.extend(self.hlc.to_le_bytes());
        row.extend(self.control.to_le_bytes());
        row
    }

    pub(crate) fn decode(row: &[u8]) -> Option<Self> {
        let mut fields = Fields(row);
        Some(Self {
            log: log_of(&mut fields)?,
            first: fields.u32()?,
            next: fields.u32()?,
            file_bytes: fields.u64()?,
            next_item: fields.u32()?,
            next_blob: fields.u32()?,
            head: EntryId(fields.array()?),
            hlc: fields.u64()?,
            control: fields.u32()?,
        })
    }
}

/// Where an entry lies in its file and what is asked of it most.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct EntryRow {
    pub(crate) offset: u64,
    pub(crate) len: u32,
    pub(crate) id: EntryId,
    pub(crate) hlc: u64,
    pub(crate) first_item: u32,
    pub(crate) first_blob: u32,
}

impl EntryRow {
    pub(crate) fn new(record: &EntryRecord, offset: u64, len: u32) -> Self {
        Self {
            offset,
            len,
            id: record.id,
            hlc: record.hlc,
            first_item: record.first_item,
            first_blob: record.first_blob,
        }
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut row = self.offset.to_le_bytes().to_vec();
        row.extend(self.len.to_le_bytes());
        row.extend(self.id.0);
        row.extend(self.hlc.to_le_bytes());
        row.extend(self.first_item.to_le_bytes());
        row.extend(self.first_blob.to_le_bytes());
        row
    }

    pub(crate) fn decode(row: &[u8]) -> Option<Self> {
        let mut fields = Fields(row);
        Some(Self {
            offset: fields.u64()?,
            len: fields.u32()?,
            id: EntryId(fields.array()?),
            hlc: fields.u64()?,
            first_item: fields.u32()?,
            first_blob: fields.u32()?,
        })
    }
}

const FILE: u8 = 1;
const PACK: u8 = 2;

impl BlobPlace {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut row = Vec::with_capacity(49);
        match self {
            Self::File { cid, len } => {
                row.push(FILE);
                row.extend(cid.0);
                row.extend(len.to_le_bytes());
            }
            Self::Pack { pack, offset, len } => {
                row.push(PACK);
                row.extend(pack.to_le_bytes());
                row.extend(offset.to_le_bytes());
                row.extend(len.to_le_bytes());
            }
        }
        row
    }

    pub(crate) fn decode(row: &[u8]) -> Option<Self> {
        let mut fields = Fields(row);
        match fields.byte()? {
            FILE => Some(Self::File {
                cid: BlobId(fields.array()?),
                len: fields.u64()?,
            }),
            PACK => Some(Self::Pack {
                pack: fields.u32()?,
                offset: fields.u32()?,
                len: fields.u32()?,
            }),
            _ => None,
        }
    }
}
