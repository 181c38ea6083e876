//! One signed batch of ops.
//!
//! An [`Entry`] that you hold has a valid signature by the device in its header
//! and a body that hashes to what the header says. Whether it follows its log,
//! and whether its log counts, is decided in the replica.
//!
//! ```text
//! wire:   header (length, bytes)  signature[64]  body (length, bytes)
//! id:     BLAKE3(header)
//! signed: "heirloom/entry/v1" || FamilyId || header
//! body:   control entries in clear; else XChaCha20-Poly1305 under the epoch's
//!         key for this log, associated data = header up to body_hash
//! ```

use serde::{Deserialize, Serialize};

use crate::{
    crypto::{
        BodyKey, DeviceKeys, EpochKey, SignKind, Signature,
        body::{self, BodyNonce},
        sign,
    },
    id::{BlobId, BranchId, DeviceId, EntryId, EpochId, FamilyId, LogId, OpId, SpaceId},
    limits,
    op::{self, Op},
    time::Hlc,
    wire,
};

/// The format's version.
pub const VERSION: u8 = 1;
/// The cryptographic suite.
pub const SUITE: u8 = 1;
/// Flag: a control entry, its body in clear.
pub const FLAG_CONTROL: u8 = 1;

/// A blob that an entry announces.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct BlobLine {
    /// Which part of its item it belongs to.
    pub part: u8,
    /// 0 original, 1 preview, 2 thumbnail.
    pub class: u8,
    /// BLAKE3 of the ciphertext.
    pub id: BlobId,
    /// Plaintext length after padding, in bytes; the ciphertext's follows from it.
    pub padded: u64,
}

/// A range of blobs whose references end, `from` inclusive, `to` exclusive.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Drop {
    /// The writer of the log.
    pub device: DeviceId,
    /// Its incarnation.
    pub inc: u64,
    /// The branch.
    pub branch: BranchId,
    /// First blob ordinal.
    pub from: u32,
    /// The ordinal after the last.
    pub to: u32,
}

/// What everyone sees of an entry, keepers included.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Header {
    /// [`VERSION`].
    pub version: u8,
    /// [`SUITE`].
    pub suite: u8,
    /// [`FLAG_CONTROL`] or 0.
    pub flags: u8,
    /// The space.
    pub space: SpaceId,
    /// The author: a device or a recovery kit.
    pub device: DeviceId,
    /// The author's incarnation.
    pub inc: u64,
    /// Place in the log, from 0.
    pub seq: u32,
    /// The entry before; for seq 0 see [`first_prev`].
    pub prev: EntryId,
    /// When, by the author's hybrid clock.
    pub hlc: Hlc,
    /// How many resolver ops the author's view of the control space held.
    pub control_seen: u32,
    /// BLAKE3 of the sorted control heads of that view, cut to 16 bytes.
    pub control_digest: [u8; 16],
    /// The epoch that seals the body, zero for control entries.
    pub epoch: EpochId,
    /// The body's nonce, zero for control entries.
    pub nonce: BodyNonce,
    /// Items in this log before this entry.
    pub first_item: u32,
    /// Blobs in this log before this entry.
    pub first_blob: u32,
    /// The blobs announced here.
    pub blobs: Vec<BlobLine>,
    /// References that end here.
    pub drops: Vec<Drop>,
    /// Heads the author had seen; control entries only.
    pub deps: Vec<EntryId>,
    /// BLAKE3 of the body as sent.
    pub body_hash: [u8; 32],
}

impl Header {
    /// Whether the body is in clear.
    pub fn is_control(&self) -> bool {
        self.flags & FLAG_CONTROL != 0
    }
}

/// An entry as it travels and is stored.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct EntryBytes {
    /// The encoded header, exactly as signed.
    #[serde(with = "serde_bytes")]
    pub header: Vec<u8>,
    /// The author's signature.
    pub signature: Signature,
    /// The body as sent.
    #[serde(with = "serde_bytes")]
    pub body: Vec<u8>,
}

impl EntryBytes {
    /// Bytes that count against [`limits::ENTRY_BYTES`].
    pub fn size(&self) -> usize {
        self.header.len() + 64 + self.body.len()
    }
}

/// Why bytes are not an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EntryError {
    /// Longer than the format allows, or too many ops, blobs, drops or deps.
    #[error("entry is larger than the format allows")]
    TooLarge,
    /// A header that does not decode, or not canonically.
    #[error("entry is malformed")]
    Malformed,
    /// A version or suite of another time.
    #[error("entry is of unknown version {0}, suite {1}")]
    UnknownVersion(u8, u8),
    /// Not signed by the device it names, or for another family.
    #[error("entry has a bad signature")]
    BadSignature,
    /// The body is not the one that was signed.
    #[error("entry has another body than was signed")]
    BadBody,
    /// The body does not open with the epoch's key.
    #[error("entry cannot be opened with this key")]
    WrongKey,
}

/// An entry whose signature and body hash were checked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    id: EntryId,
    header: Header,
    bytes: EntryBytes,
}

/// What the first entry of a log names as the one before it.
pub fn first_prev(space: SpaceId, device: DeviceId, inc: u64, cert: OpId) -> EntryId {
    let mut hasher = blake3::Hasher::new();
    hasher.update(b"heirloom first entry v1");
    hasher.update(&space.0);
    hasher.update(&device.0);
    hasher.update(&inc.to_le_bytes());
    hasher.update(&cert.0);
    EntryId(*hasher.finalize().as_bytes())
}

fn body_key(epoch: &EpochKey, header: &Header) -> BodyKey {
    epoch.body_key(&LogId {
        space: header.space,
        device: header.device,
        inc: header.inc,
        branch: BranchId::ZERO,
    })
}

/// The header up to `body_hash`, which is its last 32 bytes.
fn associated_data(header: &[u8]) -> &[u8] {
    &header[..header.len().saturating_sub(32)]
}

impl Entry {
    /// Checks everything that one entry shows by itself: sizes, encoding, version, signature, body hash.
    ///
    /// # Errors
    ///
    /// [`EntryError`]; sizes are looked at before anything is decoded.
    pub fn verify(family: FamilyId, bytes: EntryBytes) -> Result<Self, EntryError> {
        let entry = Self::trust(bytes)?;
        sign::verify(
            &entry.header.device,
            SignKind::Entry,
            &family,
            &entry.bytes.header,
            &entry.bytes.signature,
        )
        .map_err(|_| EntryError::BadSignature)?;
        if *blake3::hash(&entry.bytes.body).as_bytes() != entry.header.body_hash {
            return Err(EntryError::BadBody);
        }
        Ok(entry)
    }

    /// Reads an entry that this device verified before it stored it.
    ///
    /// # Errors
    ///
    /// [`EntryError`] for all but signature and body hash, which are not looked at again.
    pub fn trust(bytes: EntryBytes) -> Result<Self, EntryError> {
        if bytes.size() > limits::ENTRY_BYTES {
            return Err(EntryError::TooLarge);
        }
        if let [version, suite, ..] = bytes.header[..]
            && (version != VERSION || suite != SUITE)
        {
            return Err(EntryError::UnknownVersion(version, suite));
        }
        let header: Header =
            wire::decode(&bytes.header, limits::ENTRY_BYTES).map_err(|_| EntryError::Malformed)?;
        if header.blobs.len() > limits::ENTRY_BLOBS
            || header.drops.len() > limits::ENTRY_DROPS
            || header.deps.len() > limits::ENTRY_DEPS
        {
            return Err(EntryError::TooLarge);
        }
        if header.is_control() {
            let clear = header.epoch == EpochId::ZERO && header.nonce == BodyNonce::ZERO;
            if !clear || !header.blobs.is_empty() || !header.drops.is_empty() {
                return Err(EntryError::Malformed);
            }
        } else if !header.deps.is_empty() {
            return Err(EntryError::Malformed);
        }
        if header.flags & !FLAG_CONTROL != 0 {
            return Err(EntryError::Malformed);
        }
        if header
            .blobs
            .iter()
            .any(|line| line.class > 2 || line.padded > limits::BLOB_BYTES)
        {
            return Err(EntryError::Malformed);
        }
        let id = EntryId(*blake3::hash(&bytes.header).as_bytes());
        Ok(Self { id, header, bytes })
    }

    /// Signs a control entry.
    pub fn sign_control(
        family: FamilyId,
        keys: &DeviceKeys,
        mut header: Header,
        ops: &[Op],
    ) -> Self {
        header.flags = FLAG_CONTROL;
        header.epoch = EpochId::ZERO;
        header.nonce = BodyNonce::ZERO;
        let body = op::encode_ops(ops);
        Self::finish(header, body, |bytes| {
            sign::sign(&keys.sign, SignKind::Entry, &family, bytes)
        })
    }

    /// Signs a control entry with a recovery kit.
    pub fn sign_with(
        mut header: Header,
        ops: &[Op],
        signer: impl FnOnce(&[u8]) -> Signature,
    ) -> Self {
        header.flags = FLAG_CONTROL;
        Self::finish(header, op::encode_ops(ops), signer)
    }

    /// Seals and signs an entry of an album; `header.epoch` and `header.nonce` are the caller's.
    pub fn seal(
        family: FamilyId,
        keys: &DeviceKeys,
        mut header: Header,
        epoch: &EpochKey,
        ops: &[Op],
    ) -> Self {
        header.flags = 0;
        header.body_hash = [0; 32];
        let unsigned = wire::encode(&header);
        let key = body_key(epoch, &header);
        let body = body::seal(
            &key,
            &header.nonce,
            associated_data(&unsigned),
            &op::encode_ops(ops),
        );
        Self::finish(header, body, |bytes| {
            sign::sign(&keys.sign, SignKind::Entry, &family, bytes)
        })
    }

    fn finish(mut header: Header, body: Vec<u8>, signer: impl FnOnce(&[u8]) -> Signature) -> Self {
        header.body_hash = *blake3::hash(&body).as_bytes();
        let bytes = wire::encode(&header);
        let signature = signer(&bytes);
        let id = EntryId(*blake3::hash(&bytes).as_bytes());
        Self {
            id,
            header,
            bytes: EntryBytes {
                header: bytes,
                signature,
                body,
            },
        }
    }

    /// Opens the body: in clear for control entries, else with the epoch's key.
    ///
    /// # Errors
    ///
    /// [`EntryError::WrongKey`] when it does not open, [`EntryError::Malformed`] when what is inside is not a list of ops.
    pub fn open(&self, epoch: Option<&EpochKey>) -> Result<Vec<Option<Op>>, EntryError> {
        if self.header.is_control() {
            return op::decode_ops(&self.bytes.body).map_err(|_| EntryError::Malformed);
        }
        let epoch = epoch.ok_or(EntryError::WrongKey)?;
        let key = body_key(epoch, &self.header);
        let plain = body::open(
            &key,
            &self.header.nonce,
            associated_data(&self.bytes.header),
            &self.bytes.body,
        )
        .map_err(|_| EntryError::WrongKey)?;
        op::decode_ops(&plain).map_err(|_| EntryError::Malformed)
    }

    /// The entry's name.
    pub fn id(&self) -> EntryId {
        self.id
    }

    /// What everyone sees.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The bytes that travel.
    pub fn bytes(&self) -> &EntryBytes {
        &self.bytes
    }

    /// The id of the op at `index`.
    pub fn op_id(&self, index: usize) -> OpId {
        OpId::of(
            self.id,
            u32::try_from(index).expect("entries hold at most 512 ops"),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{crypto::SeededRng, time::Hlc};

    /// A header of the second entry of a log.
    fn header(device: DeviceId) -> Header {
        Header {
            version: VERSION,
            suite: SUITE,
            flags: 0,
            space: SpaceId([1; 16]),
            device,
            inc: 7,
            seq: 1,
            prev: EntryId([2; 32]),
            hlc: Hlc(9 << 16),
            control_seen: 3,
            control_digest: [4; 16],
            epoch: EpochId([5; 32]),
            nonce: BodyNonce([6; 24]),
            first_item: 0,
            first_blob: 0,
            blobs: Vec::new(),
            drops: Vec::new(),
            deps: Vec::new(),
            body_hash: [0; 32],
        }
    }

    #[test]
    fn a_body_opens_under_the_header_it_was_sealed_with_and_no_other() {
        let mut rng = SeededRng::from_seed([1; 32]);
        let (keys, family) = (DeviceKeys::generate(&mut rng), FamilyId([8; 32]));
        let epoch = EpochKey::generate(&mut rng);
        let own = header(keys.sign.id());
        let entry = Entry::seal(family, &keys, own.clone(), &epoch, &[]);
        assert_eq!(entry.open(Some(&epoch)), Ok(Vec::new()));
        let changes: [fn(&mut Header); 6] = [
            |header| header.epoch = EpochId([9; 32]),
            |header| header.seq = 2,
            |header| header.prev = EntryId([9; 32]),
            |header| header.hlc = Hlc(10 << 16),
            |header| header.first_blob = 1,
            |header| header.control_seen = 4,
        ];
        for (number, change) in changes.into_iter().enumerate() {
            // Its own author, who holds every key, signs the old body under another header.
            let mut other = own.clone();
            change(&mut other);
            let spliced = Entry::finish(other, entry.bytes.body.clone(), |bytes| {
                sign::sign(&keys.sign, SignKind::Entry, &family, bytes)
            });
            let spliced = Entry::verify(family, spliced.bytes).expect("it is signed");
            let opened = spliced.open(Some(&epoch));
            assert_eq!(opened, Err(EntryError::WrongKey), "change {number}");
        }
    }
}
