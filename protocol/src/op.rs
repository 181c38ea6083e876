//! Everything that can be said: one list of ops, nothing else.
//!
//! On the wire an op is `tag, length, bytes` ([`RawOp`]). A tag that this
//! version does not know is kept and forwarded, and skipped; when its high bit
//! is set ([`CRITICAL`]) the space is frozen until the program is updated.
//! Structs never grow: what is new gets a new tag.

use serde::{Deserialize, Serialize};

pub use crate::family::{
    consent::{DeviceKind, KitProof},
    resolver::{Role, Subject},
};

use crate::{
    crypto::{BlobKey, EpochKind, RecipientKind, SealBox, SealPublic, Signature, body::BodyNonce},
    id::{BranchId, DeviceId, EntryId, EpochId, FamilyId, OpId, PersonId, PlainHash},
    limits,
    wire::{self, WireError},
};

/// Tags with this bit freeze a space for those who do not know them.
pub const CRITICAL: u16 = 0x8000;

/// An op as it stands in an entry.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RawOp {
    /// Which op it is.
    pub tag: u16,
    /// Its encoding.
    #[serde(with = "serde_bytes")]
    pub bytes: Vec<u8>,
}

/// A value in a control entry that only holders of an epoch's key can read.
///
/// XChaCha20-Poly1305; the associated data is space, author, tag and subject.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Sealed {
    /// The epoch whose key opens it.
    pub epoch: EpochId,
    /// Random nonce.
    pub nonce: BodyNonce,
    /// Ciphertext and tag.
    #[serde(with = "serde_bytes")]
    pub ciphertext: Vec<u8>,
}

/// What a person may do in an album.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum Level {
    /// Nothing.
    None,
    /// Reads.
    Viewer,
    /// Adds and edits too.
    Contributor,
    /// Shares, renames and removes too.
    Manager,
}

/// The public half of a recovery kit.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct KitPublic {
    /// Ed25519 public key; the kit's name in the log.
    pub sign: DeviceId,
    /// X25519 public key that epochs are sealed to.
    pub seal: SealPublic,
}

/// The first op of a family. Its BLAKE3 is the [`FamilyId`].
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Genesis {
    /// Cryptographic suite, 1.
    pub suite: u8,
    /// Makes the family unique.
    pub nonce: [u8; 32],
    /// The founder.
    pub person: PersonId,
    /// The founder's first device.
    pub device: DeviceId,
    /// That device's sealing key.
    pub seal: SealPublic,
    /// The founder's recovery kit, if one was made.
    pub kit: Option<KitPublic>,
    /// Unix milliseconds.
    pub created: u64,
    /// The family that this one continues after a Refound.
    pub prev_family: Option<FamilyId>,
}

/// Adds a person.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct AddPerson {
    /// Random id chosen by the inviter.
    pub person: PersonId,
    /// What they may do.
    pub role: Role,
    /// Their recovery kit, from the joiner.
    pub kit: Option<KitProof>,
}

/// Certifies a device.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct AddDevice {
    /// Whose it is; zero for a keeper.
    pub person: PersonId,
    /// Its identity.
    pub device: DeviceId,
    /// Its sealing key.
    pub seal: SealPublic,
    /// Device or keeper.
    pub kind: DeviceKind,
    /// The device's own signature over person and keys ("device").
    pub device_sig: Signature,
}

/// Replaces a person's recovery kit.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SetRecovery {
    /// Whose kit.
    pub person: PersonId,
    /// The new kit.
    pub kit: KitProof,
    /// An admin device of another person and its signature ("cosign").
    pub cosign: Option<(DeviceId, Signature)>,
}

/// A sealed property of the family, a person or a device.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SetProfile {
    /// Whom it describes.
    pub subject: Subject,
    /// Which property; [`PROFILE_NAME`] is the name.
    pub field: u16,
    /// The value, UTF-8 inside.
    pub value: Sealed,
}

/// The profile field that holds a name.
pub const PROFILE_NAME: u16 = 0;

/// Whether a device keeps everything or may drop what others keep.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum Policy {
    /// Keeps everything it is entitled to.
    Archive,
    /// May drop what others keep, above this many bytes.
    Cache(u64),
}

/// The first op of an album. BLAKE3 of its bytes, cut to 16, is the album's id.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct AlbumGenesis {
    /// Cryptographic suite, 1.
    pub suite: u8,
    /// Makes the album unique.
    pub nonce: [u8; 32],
    /// Rank 0 of the album.
    pub person: PersonId,
    /// The device that made it.
    pub device: DeviceId,
    /// Unix milliseconds.
    pub created: u64,
    /// New readers see only what is added after them.
    pub from_now: bool,
}

/// A place in a log, named so that a fork cannot stand in for it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Position {
    /// The writer's incarnation.
    pub inc: u64,
    /// Sequence number.
    pub seq: u32,
    /// The entry there.
    pub entry: EntryId,
}

/// Up to where a device's logs are honoured.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Cut {
    /// The writer.
    pub device: DeviceId,
    /// One position a log; a log that is not named is cut before its first entry.
    pub positions: Vec<Position>,
}

/// Gives or lowers a person's level in an album.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SetAccess {
    /// Whose.
    pub person: PersonId,
    /// The level from here on.
    pub level: Level,
    /// When lowered: up to where their logs count.
    pub cuts: Vec<Cut>,
}

/// An epoch's key sealed to one recipient.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SealedTo {
    /// Device or kit.
    pub kind: RecipientKind,
    /// Its signing key.
    pub to: DeviceId,
    /// The op that certified its sealing key.
    pub cert: OpId,
    /// The box.
    pub sealed: SealBox,
}

/// Older keys, readable by whoever holds a newer one.
///
/// XChaCha20-Poly1305 over a list of (epoch id, key); the associated data is the newer epoch's id.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Chained {
    /// Random nonce.
    pub nonce: BodyNonce,
    /// Ciphertext and tag.
    #[serde(with = "serde_bytes")]
    pub ciphertext: Vec<u8>,
}

/// A fresh key of a space.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Epoch {
    /// What it protects.
    pub kind: EpochKind,
    /// 1 + the largest generation in `after`.
    pub generation: u32,
    /// Derived from key, space, kind, generation and author; checked on opening.
    pub id: EpochId,
    /// The epochs it follows.
    pub after: Vec<EpochId>,
    /// The keys of every epoch in `after`, under this one's chain key; none where history stays closed.
    pub prev: Option<Chained>,
    /// The key, sealed to each reader.
    pub seals: Vec<SealedTo>,
}

/// Seals an existing epoch to readers who lack it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Seal {
    /// Which epoch.
    pub epoch: EpochId,
    /// The boxes.
    pub seals: Vec<SealedTo>,
}

/// A position in any log of a space, witnessed by an archive.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Witness {
    /// The writer.
    pub device: DeviceId,
    /// The branch of its log.
    pub branch: BranchId,
    /// The position.
    pub position: Position,
}

/// A range of blobs of one log, `from` inclusive, `to` exclusive.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct BlobRange {
    /// The writer.
    pub device: DeviceId,
    /// Its incarnation.
    pub inc: u64,
    /// The branch of its log.
    pub branch: BranchId,
    /// First blob ordinal.
    pub from: u32,
    /// The ordinal after the last.
    pub to: u32,
}

/// A promise to keep blobs.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Hold {
    /// What is held.
    pub ranges: Vec<BlobRange>,
    /// Until when, Unix milliseconds.
    pub until: u64,
}

/// Says where this device's former log ends.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct NewIncarnation {
    /// The last position of the former log that counts for last-writer-wins.
    pub old: Position,
}

/// Photo or movie.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum ItemKind {
    /// A still picture.
    Photo,
    /// A movie.
    Video,
}

/// When a picture was taken: what the wall clock showed, never this machine's zone.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Captured {
    /// Milliseconds since 1970 of the clock on the wall.
    pub wall: Option<i64>,
    /// Minutes east of UTC.
    pub offset: Option<i16>,
    /// Where the time is from; codes in docs/spec/04-albums.md.
    pub source: u8,
}

/// Where a picture was taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Place {
    /// Degrees north, times ten million.
    pub lat_e7: i32,
    /// Degrees east, times ten million.
    pub lon_e7: i32,
    /// Centimetres above the sea.
    pub alt_cm: Option<i32>,
}

/// What a picture was taken with.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Camera {
    /// Who made it.
    pub make: String,
    /// Which one.
    pub model: String,
}

/// What one file of an asset is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum PartRole {
    /// The picture or the movie itself.
    Still,
    /// A live photo's clip.
    Motion,
    /// The camera's raw file.
    Raw,
    /// An edited copy.
    Edited,
    /// What another program wrote about it.
    Sidecar,
}

/// One file of an asset.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Part {
    /// What it is.
    pub role: PartRole,
    /// Its file name.
    pub name: String,
    /// True length in bytes.
    pub len: u64,
    /// BLAKE3 of its bytes: a claim, checked when the whole was read.
    pub pt_hash: PlainHash,
    /// The key of its blob.
    pub key: BlobKey,
    /// Index into the header's blob lines.
    pub blob: u32,
}

/// Adds an asset.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct AddItem {
    /// Photo or movie.
    pub kind: ItemKind,
    /// Media type code; docs/spec/04-albums.md.
    pub media: u16,
    /// When it was taken.
    pub captured: Captured,
    /// Width as shown, 0 when unknown.
    pub width: u32,
    /// Height as shown, 0 when unknown.
    pub height: u32,
    /// Length of a movie in milliseconds, 0 when unknown.
    pub duration_ms: u32,
    /// Where it was taken.
    pub place: Option<Place>,
    /// What it was taken with.
    pub camera: Option<Camera>,
    /// Its files, the main one first.
    pub parts: Vec<Part>,
}

/// Adds a file to an asset that is already there.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct AddPart {
    /// Which asset.
    pub item: OpId,
    /// The file.
    pub part: Part,
}

/// Adds a preview or a thumbnail.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct AddBlob {
    /// Which asset.
    pub item: OpId,
    /// True length in bytes.
    pub len: u64,
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// BLAKE3 of its bytes.
    pub pt_hash: PlainHash,
    /// The key of its blob.
    pub key: BlobKey,
    /// A picture in 25 bytes, with thumbnails.
    #[serde(with = "serde_bytes")]
    pub thumbhash: Vec<u8>,
    /// Index into the header's blob lines; the line says which class it is.
    pub blob: u32,
}

/// A property of an asset that the last writer decides.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Field {
    /// UTF-8 text.
    Caption,
    /// An encoded [`Captured`].
    Taken,
    /// One byte, 0 to 5.
    Rating,
    /// One byte, 0 or 1, and the author's own.
    Favorite,
    /// One byte, 0 or 1.
    Archived,
    /// One byte, 0 or 1.
    Hidden,
    /// One byte, quarter turns clockwise.
    Rotation,
    /// An encoded [`Place`], or empty for none.
    Place,
    /// UTF-8: why there is no preview.
    NoPreview,
}

impl Field {
    const ALL: [Self; 9] = [
        Self::Caption,
        Self::Taken,
        Self::Rating,
        Self::Favorite,
        Self::Archived,
        Self::Hidden,
        Self::Rotation,
        Self::Place,
        Self::NoPreview,
    ];

    /// The number that stands for it on the wire.
    pub fn code(self) -> u16 {
        u16::try_from(Self::ALL.iter().position(|f| *f == self).unwrap_or(0)).unwrap_or(0)
    }

    /// The field behind a number, `None` when a later version made it.
    pub fn from_code(code: u16) -> Option<Self> {
        Self::ALL.get(usize::from(code)).copied()
    }
}

/// Sets a field of an asset.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SetField {
    /// Which asset.
    pub item: OpId,
    /// [`Field::code`].
    pub field: u16,
    /// The value.
    #[serde(with = "serde_bytes")]
    pub value: Vec<u8>,
}

/// The album field that holds its name, UTF-8.
pub const ALBUM_NAME: u16 = 0;
/// The album field that says what it is for: one byte of [`AlbumUse`].
pub const ALBUM_USE: u16 = 1;
/// The album field that holds its cover, an asset's id.
pub const ALBUM_COVER: u16 = 2;
/// The album field that a deleted album has set, one byte.
pub const ALBUM_DELETED: u16 = 3;

/// The album field that says on how many archives its originals are to be: one byte, 1 to 9.
pub const ALBUM_COPIES: u16 = 4;

/// What an album is for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum AlbumUse {
    /// Made by a person.
    Album,
    /// A person's library.
    Library,
    /// The album that everyone who joins is given.
    Family,
}

/// Sets a field of an album.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SetAlbum {
    /// Which field.
    pub field: u16,
    /// The value.
    #[serde(with = "serde_bytes")]
    pub value: Vec<u8>,
}

/// A list of assets.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Items {
    /// Their ids.
    pub items: Vec<OpId>,
}

/// A remark on an asset.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Comment {
    /// Which asset.
    pub item: OpId,
    /// What is said.
    pub text: String,
}

/// Takes an own comment back.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Uncomment {
    /// Which asset.
    pub item: OpId,
    /// The comment's op.
    pub comment: OpId,
}

/// Sets or lifts a reaction.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct React {
    /// Which asset.
    pub item: OpId,
    /// A short word or sign.
    pub sign: String,
    /// Set or lifted.
    pub on: bool,
}

/// Adds a tag.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Tag {
    /// Which asset.
    pub item: OpId,
    /// The tag.
    pub tag: String,
}

/// Removes the additions of a tag that the author had seen.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Untag {
    /// Which asset.
    pub item: OpId,
    /// The tag.
    pub tag: String,
    /// The ops that added it.
    pub added_by: Vec<OpId>,
}

macro_rules! ops {
    ($($(#[$doc:meta])* $name:ident($body:ty) = $tag:literal,)*) => {
        /// One statement.
        #[derive(Clone, PartialEq, Eq, Debug)]
        pub enum Op {
            $($(#[$doc])* $name($body),)*
            /// What a later version says; kept, forwarded and skipped.
            Unknown(RawOp),
        }

        impl Op {
            /// The number that names the op on the wire.
            pub fn tag(&self) -> u16 {
                match self {
                    $(Self::$name(_) => $tag,)*
                    Self::Unknown(raw) => raw.tag,
                }
            }

            /// The op in its frame.
            pub fn to_raw(&self) -> RawOp {
                match self {
                    $(Self::$name(body) => RawOp { tag: $tag, bytes: wire::encode(body) },)*
                    Self::Unknown(raw) => raw.clone(),
                }
            }

            /// Reads an op; an unknown tag is not an error.
            ///
            /// # Errors
            ///
            /// When the bytes of a known op do not decode canonically.
            pub fn from_raw(raw: RawOp) -> Result<Self, WireError> {
                Ok(match raw.tag {
                    $($tag => Self::$name(wire::decode(&raw.bytes, limits::ENTRY_BYTES)?),)*
                    _ => Self::Unknown(raw),
                })
            }
        }
    };
}

ops! {
    /// Adds an asset.
    AddItem(AddItem) = 0x0001,
    /// Adds a preview or a thumbnail.
    AddBlob(AddBlob) = 0x0002,
    /// Sets a field of an asset.
    SetField(SetField) = 0x0003,
    /// Puts assets into the trash.
    Trash(Items) = 0x0004,
    /// Takes assets out of the trash.
    Restore(Items) = 0x0005,
    /// Removes assets for good.
    Purge(Items) = 0x0006,
    /// Sets a field of the album.
    SetAlbum(SetAlbum) = 0x0007,
    /// Says something about an asset.
    Comment(Comment) = 0x0008,
    /// Takes a comment back.
    Uncomment(Uncomment) = 0x0009,
    /// Sets or lifts a reaction.
    React(React) = 0x000a,
    /// Adds a tag.
    Tag(Tag) = 0x000b,
    /// Removes a tag.
    Untag(Untag) = 0x000c,
    /// Adds a file to an asset.
    AddPart(AddPart) = 0x000d,

    /// Starts a family.
    Genesis(Genesis) = 0x0100,
    /// Adds a person.
    AddPerson(AddPerson) = 0x0101,
    /// Raises a person's role.
    Promote((PersonId, Role)) = 0x0102,
    /// Lowers a person's role.
    Demote((PersonId, Role)) = 0x0103,
    /// Certifies a device.
    AddDevice(AddDevice) = 0x0104,
    /// Removes a device or a kit.
    RemoveDevice((DeviceId,)) = 0x0105,
    /// Removes a person with their devices and kit.
    RemovePerson((PersonId,)) = 0x0106,
    /// Replaces a recovery kit.
    SetRecovery(SetRecovery) = 0x0107,
    /// Replaces the author's sealing key.
    RotateSeal((SealPublic,)) = 0x0108,
    /// Sets a sealed property.
    SetProfile(SetProfile) = 0x0109,
    /// Says what a device keeps.
    SetPolicy((DeviceId, Policy)) = 0x010a,

    /// Starts an album.
    AlbumGenesis(AlbumGenesis) = 0x0120,
    /// Gives or lowers access.
    SetAccess(SetAccess) = 0x0121,
    /// Names the keepers of an album, all when `None`.
    SetKeepers((Option<Vec<DeviceId>>,)) = 0x0122,
    /// Days that trash is kept.
    Retention((u16,)) = 0x0123,
    /// Drops the album for all after 30 days.
    CloseAlbum(()) = 0x0124,
    /// Starts an epoch.
    Epoch(Epoch) = 0x0125,
    /// Seals an epoch to more readers.
    Seal(Seal) = 0x0126,
    /// Cuts a device's logs.
    Cut(Cut) = 0x0127,
    /// Voids the drops of an entry.
    Undrop((EntryId,)) = 0x0128,
    /// Witnesses positions.
    Anchor((Vec<Witness>,)) = 0x0129,
    /// Promises to keep blobs.
    Hold(Hold) = 0x012a,
    /// Leaves a former log behind.
    NewIncarnation(NewIncarnation) = 0x012b,
}

impl Op {
    /// Whether the op may stand only in a control entry.
    pub fn is_control(&self) -> bool {
        self.tag() & !CRITICAL >= 0x0100
    }

    /// Whether the resolver weighs the op, so that it stands in later entries' deps.
    pub fn is_weighed(&self) -> bool {
        matches!(self.tag(), 0x0100..=0x010a | 0x0120..=0x0124 | 0x0127)
    }
}

/// Encodes the ops of an entry.
pub fn encode_ops(ops: &[Op]) -> Vec<u8> {
    wire::encode(&ops.iter().map(Op::to_raw).collect::<Vec<_>>())
}

/// Decodes the ops of an entry; one that is malformed is `None` and has no effect.
///
/// # Errors
///
/// When the list itself is malformed or longer than [`limits::ENTRY_OPS`].
pub fn decode_ops(bytes: &[u8]) -> Result<Vec<Option<Op>>, WireError> {
    let raw: Vec<RawOp> = wire::decode(bytes, limits::ENTRY_BYTES)?;
    if raw.len() > limits::ENTRY_OPS {
        return Err(WireError::TooLarge(raw.len(), limits::ENTRY_OPS));
    }
    Ok(raw.into_iter().map(|op| Op::from_raw(op).ok()).collect())
}
