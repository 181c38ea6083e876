//! The plaintext of a blob, decrypted as it is read.

use std::io::{Error, ErrorKind, Read, Result as IoResult, Seek, SeekFrom};

use heirloom_protocol::{
    album::asset::BlobRef,
    crypto::{BlobKey, Class, Decryptor, Shape},
    limits,
};

use crate::store::{BlobPlace, BlobReader, BlobState, Damage, Store, StoreError};

/// A blob's plaintext. Every byte it gives was authenticated with its segment.
pub struct Plain {
    reader: BlobReader,
    decryptor: Decryptor,
    at: u64,
    segment: Vec<u8>,
    /// Which segment is in memory, and how many of its bytes are plaintext.
    open: Option<(u64, usize)>,
}

impl Plain {
    /// Opens a blob that is here.
    ///
    /// # Errors
    ///
    /// [`Damage::Blob`] when it is not here or its shape makes no sense.
    pub fn open(
        store: &Store,
        blob: &BlobRef,
        key: &BlobKey,
        len: u64,
    ) -> Result<Self, StoreError> {
        let gone = || StoreError::Damaged(Damage::Blob { cid: blob.id });
        let BlobState::Here(place) = store.blob_state(&blob.log, blob.ordinal)? else {
            return Err(gone());
        };
        Self::open_at(store, blob, &place, key, len)
    }

    /// Opens a blob that lies at a place.
    pub(crate) fn open_at(
        store: &Store,
        blob: &BlobRef,
        place: &BlobPlace,
        key: &BlobKey,
        len: u64,
    ) -> Result<Self, StoreError> {
        let gone = || StoreError::Damaged(Damage::Blob { cid: blob.id });
        let class = match blob.class {
            0 => Class::Original,
            1 => Class::Preview,
            2 => Class::Thumbnail,
            _ => return Err(gone()),
        };
        let shape = Shape::signed(class, blob.part, blob.padded, len).map_err(|_| gone())?;
        let reader = store.blobs().open_blob(&blob.id, place)?;
        if reader.len() != shape.ciphertext_len() {
            return Err(gone());
        }
        let decryptor = Decryptor::new(key, shape);
        Ok(Self {
            reader,
            decryptor,
            at: 0,
            segment: Vec::new(),
            open: None,
        })
    }

    /// Bytes of plaintext.
    pub fn len(&self) -> u64 {
        self.decryptor.shape().len()
    }

    /// Whether the plaintext has no bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn load(&mut self, index: u64) -> IoResult<usize> {
        if let Some((open, bytes)) = self.open
            && open == index
        {
            return Ok(bytes);
        }
        self.open = None;
        let damaged = || Error::new(ErrorKind::InvalidData, "the stored photo is damaged");
        let sealed = self.decryptor.sealed_bytes(index).map_err(|_| damaged())?;
        self.segment.resize(sealed, 0);
        let leaf = u64::try_from(limits::LEAF_BYTES).expect("64 KiB");
        self.reader
            .read_at(index * leaf, &mut self.segment)
            .map_err(|_| damaged())?;
        let plain = self
            .decryptor
            .open_segment(index, &mut self.segment)
            .map_err(|_| damaged())?;
        let bytes = plain.len();
        self.open = Some((index, bytes));
        Ok(bytes)
    }
}

impl Read for Plain {
    fn read(&mut self, buffer: &mut [u8]) -> IoResult<usize> {
        if self.at >= self.len() || buffer.is_empty() {
            return Ok(0);
        }
        let segment = u64::try_from(limits::SEGMENT_PLAIN_BYTES).expect("64 KiB");
        let (index, skip) = (self.at / segment, self.at % segment);
        let bytes = self.load(index)?;
        let skip = usize::try_from(skip).expect("smaller than a segment");
        let data = self.segment.get(skip..bytes).unwrap_or_default();
        let count = data.len().min(buffer.len());
        buffer[..count].copy_from_slice(&data[..count]);
        self.at += u64::try_from(count).expect("smaller than a segment");
        Ok(count)
    }
}

impl Seek for Plain {
    fn seek(&mut self, to: SeekFrom) -> IoResult<u64> {
        let target = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(by) => self.len().checked_add_signed(by),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
        };
        self.at =
            target.ok_or_else(|| Error::new(ErrorKind::InvalidInput, "before the beginning"))?;
        Ok(self.at)
    }
}
