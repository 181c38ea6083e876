//! Every bound of the protocol in one table.
//!
//! A number here is part of the format: a device that accepts more than the
//! others would split the family. Sizes are bytes unless the name says so.

/// Largest entry on the wire: header, signature and body together.
pub const ENTRY_BYTES: usize = 256 * 1024;
/// Most ops in one entry.
pub const ENTRY_OPS: usize = 512;
/// Most blob lines in one header: three blobs for each of 64 items, and room for more parts.
pub const ENTRY_BLOBS: usize = 1024;
/// Most drop ranges in one header.
pub const ENTRY_DROPS: usize = 1024;
/// Most causal dependencies of a control entry.
pub const ENTRY_DEPS: usize = 64;
/// Positions in an `Anchor` that this program writes.
pub const ANCHOR_POSITIONS: usize = 1024;
/// Most items an import puts into one entry.
pub const BATCH_ITEMS: usize = 64;
/// Most ops that the resolver weighs from one device in one space.
pub const RESOLVER_OPS: usize = 1000;
/// Most cuts of one person that count in an album, the most senior first.
pub const PERSON_CUTS: usize = 64;
/// Most devices of a family, removed ones included.
pub const DEVICES: usize = 2048;

/// Longest name of a family, person, device or album, UTF-8.
pub const NAME_BYTES: usize = 256;
/// Longest file name kept of a part, UTF-8.
pub const FILE_NAME_BYTES: usize = 1024;
/// Longest caption or comment, UTF-8.
pub const TEXT_BYTES: usize = 16 * 1024;
/// Longest tag, UTF-8.
pub const TAG_BYTES: usize = 128;
/// Longest make or model of a camera, UTF-8.
pub const CAMERA_BYTES: usize = 256;
/// Most parts of one item.
pub const ITEM_PARTS: usize = 16;
/// Longest ThumbHash.
pub const THUMBHASH_BYTES: usize = 32;

/// Plaintext bytes of a segment.
pub const SEGMENT_PLAIN_BYTES: usize = 65_520;
/// Ciphertext bytes of a segment: the plaintext and a 16 byte tag, one BLAKE3 subtree.
pub const LEAF_BYTES: usize = 65_536;
/// Largest blob: 1 TiB of ciphertext.
pub const BLOB_BYTES: u64 = 1 << 40;
/// Largest plaintext of a blob with its padding: 2^24 segments, just [`BLOB_BYTES`] of ciphertext.
pub const PADDED_BYTES: u64 = (1 << 24) * 65_520;
/// Sizes of the ciphertext of a thumbnail that fits one leaf.
pub const THUMBNAIL_BUCKETS: [u64; 4] = [8 * 1024, 16 * 1024, 32 * 1024, 64 * 1024];
/// Blobs above this keep their leaf list on disk; below it is computed again.
pub const LEAF_LIST_STORED_ABOVE_BYTES: u64 = 8 * 1024 * 1024;

/// Largest frame of the sync stream.
pub const FRAME_BYTES: usize = 1024 * 1024;
/// Entries in flight that a side allows the other, in bytes.
pub const ENTRY_CREDIT_BYTES: usize = 4 * 1024 * 1024;
/// Entries up to this size travel inside their announcement.
pub const ANNOUNCE_INLINE_BYTES: usize = 32 * 1024;
/// Largest leaf range of one blob request.
pub const BLOB_REQUEST_BYTES: usize = 1024 * 1024;
/// Most blobs of one request for small blobs.
pub const GET_MANY_BLOBS: usize = 64;

/// Words of an invite code.
pub const INVITE_WORDS: usize = 12;
/// Longest validity of an invite, in seconds.
pub const INVITE_SECONDS_MAX: u64 = 7 * 24 * 3600;
/// Validity of an invite when nothing else is said, in seconds.
pub const INVITE_SECONDS_DEFAULT: u64 = 24 * 3600;
/// Failed handshakes that burn an invite.
pub const INVITE_FAILURES: u32 = 5;
/// Longest link form of an invite code, spaces that a mail program put into it included.
pub const INVITE_LINK_BYTES: usize = 8 * 1024;
/// Largest message of the pairing conversation.
pub const PAIRING_MESSAGE_BYTES: usize = 65_535;
/// Bytes of one piece of what a newcomer receives after admission.
pub const PAIRING_CHUNK_BYTES: usize = 60 * 1024;
/// Most bytes that a newcomer receives after admission.
pub const PAIRING_PAYLOAD_BYTES: usize = 64 * 1024 * 1024;
/// Addresses in a link or a beacon.
pub const ADDRESSES: usize = 16;
/// Longest address, text form.
pub const ADDRESS_BYTES: usize = 256;

/// Largest beacon, encoded.
pub const BEACON_BYTES: usize = 6 * 1024;
/// Relays that a beacon names.
pub const BEACON_RELAYS: usize = 8;
/// Largest signed head, encoded.
pub const HEAD_BYTES: usize = 256;
/// How long a beacon counts, in milliseconds.
pub const BEACON_MS: u64 = 30 * 24 * 3600 * 1000;
/// How long a former net epoch's tags are recognised, in milliseconds.
pub const NET_TAG_MS: u64 = 90 * 24 * 3600 * 1000;

/// How far ahead of this device's clock an entry may be before it is held, in milliseconds.
pub const CLOCK_AHEAD_MS: u64 = 10 * 60 * 1000;
/// How long trashed items wait, in milliseconds.
pub const TRASH_MS: u64 = 30 * 24 * 3600 * 1000;
/// How long a dropped or purged blob is kept, in milliseconds.
pub const DROPPED_BLOB_MS: u64 = 30 * 24 * 3600 * 1000;

/// Most rows in one frame that lists spaces, positions or bitmaps.
pub const SYNC_PAGE_ROWS: usize = 16_384;
/// Most spaces that a session keeps in mind.
pub const SYNC_SPACES: usize = 16_384;
/// Most positions of one ask, over all its frames.
pub const SYNC_HEADS: usize = 65_536;
/// Most devices in a session's dictionary: every device and kit that ever wrote.
pub const SYNC_DEVICES: usize = 8192;
/// Most forked logs named in one answer.
pub const SYNC_FORKS: usize = 64;
/// Asks that one side may have open.
pub const SYNC_ASKS: usize = 16;
/// Bytes of entries after which a frame is sent.
pub const ENTRIES_FRAME_BYTES: usize = 512 * 1024;
/// Smallest credit that a device may offer: an entry must fit when a quarter is not yet granted again.
pub const ENTRY_CREDIT_BYTES_MIN: usize = 2 * ENTRY_BYTES;
/// Announced entries that a session hands on before the first of them is committed.
pub const ANNOUNCES_IN_FLIGHT: usize = 64;
/// Largest signed statement that is passed on: the proof of a fork holds two headers.
pub const GOSSIP_BYTES: usize = 512 * 1024;
/// Most ranges in one request to hold blobs.
pub const HOLD_RANGES: usize = 1024;
/// Most blobs of one log.
pub const LOG_BLOBS: u32 = 1 << 24;
/// Blob ordinals that one bitmap on the wire spans at most, so that it fits a frame.
pub const HAVE_SPAN: u32 = 1 << 22;
/// Largest bitmap on the wire: 64 containers of 8 KiB and their table.
pub const HAVE_BYTES: usize = 520 * 1024;

/// Largest request of the blob stream.
pub const BLOB_ASK_BYTES: usize = 16 * 1024;
/// Largest payload of one answer: four leaves, or a page of a list of leaves.
pub const DATA_BYTES: usize = 256 * 1024;
/// Most leaves of one request.
pub const RANGE_LEAVES: u32 = 16;
/// Most lines of a list of leaves in one request.
pub const LEAF_PAGE: u32 = 8192;
/// Blobs up to this size come whole.
pub const SMALL_BLOB_BYTES: u64 = 1024 * 1024;
/// Most bytes of whole blobs in one request.
pub const GET_MANY_BYTES: u64 = 4 * 1024 * 1024;
/// Largest blob that is fetched: its list of leaves takes 32 MiB of memory.
pub const FETCH_BLOB_BYTES: u64 = 64 * 1024 * 1024 * 1024;
/// How long a promise to keep blobs lasts, in milliseconds.
pub const HOLD_MS: u64 = 90 * 24 * 3600 * 1000;
/// How much the end of a promise may differ from [`HOLD_MS`] by the clock of who reads it, in milliseconds.
pub const HOLD_SLACK_MS: u64 = 24 * 3600 * 1000;
/// How long ago a device may have shown what it holds for its copies to count, in milliseconds.
pub const SEEN_MS: u64 = 14 * 24 * 3600 * 1000;

/// Largest manifest of a folder that is carried, encoded.
pub const MANIFEST_BYTES: usize = 512 * 1024;
/// Largest file of entries in such a folder.
pub const CARRY_FILE_BYTES: usize = 8 * 1024 * 1024;
/// Most bytes of a blob in one file there: a file system of a small disk has no files above 4 GiB.
pub const CARRY_PIECE_BYTES: u64 = 32 * 1024 * 1024;
