//! What private values of the index are closed with.
//!
//! XChaCha20-Poly1305 under a key derived from the store key; the associated
//! data binds a value to its table, its key and the schema, so that a value
//! moved elsewhere does not open. Rows that are not private carry a short keyed
//! checksum instead: the database itself verifies nothing when it reads.
//! Blobs are not sealed again, they are ciphertext already.

use chacha20poly1305::aead::{Aead, Payload};
use chacha20poly1305::{KeyInit, XChaCha20Poly1305, XNonce};
use zeroize::Zeroizing;

use super::error::StoreError;
use super::tables::{SCHEMA, Table};

const NONCE: usize = 24;
/// Bytes of a row's checksum.
pub(crate) const CHECK: usize = 8;

/// The keys derived from the store key.
pub(crate) struct Sealer {
    values: XChaCha20Poly1305,
    nonces: Zeroizing<[u8; 32]>,
    rows: Zeroizing<[u8; 32]>,
    blinds: Zeroizing<[u8; 32]>,
    /// Public name of the key: tells an index of another home.
    pub(crate) name: [u8; 16],
}

impl Sealer {
    pub(crate) fn new(store_key: &[u8]) -> Self {
        let derive = |purpose: &str| Zeroizing::new(blake3::derive_key(purpose, store_key));
        let values = derive("heirloom 2026 v1 store values");
        let mut name = [0; 16];
        name.copy_from_slice(&derive("heirloom 2026 v1 store name")[..16]);
        Self {
            values: XChaCha20Poly1305::new(values.as_slice().into()),
            nonces: derive("heirloom 2026 v1 store nonces"),
            rows: derive("heirloom 2026 v1 store rows"),
            blinds: derive("heirloom 2026 v1 store blinds"),
            name,
        }
    }

    /// Seals a value for one key of one table.
    pub(crate) fn seal(
        &self,
        table: Table,
        key: &[u8],
        value: &[u8],
    ) -> Result<Vec<u8>, StoreError> {
        let nonce = self.nonce(table, key, value)?;
        let aad = associated(table, key);
        let payload = Payload {
            msg: value,
            aad: &aad,
        };
        let sealed = self
            .values
            .encrypt(XNonce::from_slice(&nonce), payload)
            .expect("a value in memory is below the cipher's limit");
        Ok([nonce.as_slice(), &sealed].concat())
    }

    /// Opens a value, or `None` if it is not what was sealed for this key of this table.
    pub(crate) fn open(&self, table: Table, key: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
        let (nonce, sealed) = sealed.split_at_checked(NONCE)?;
        let aad = associated(table, key);
        let payload = Payload {
            msg: sealed,
            aad: &aad,
        };
        self.values.decrypt(XNonce::from_slice(nonce), payload).ok()
    }

    /// A cloned machine may draw the same random bytes twice; with the value mixed in, a nonce
    /// repeats only where the whole message does.
    fn nonce(&self, table: Table, key: &[u8], value: &[u8]) -> Result<[u8; NONCE], StoreError> {
        let mut random = [0; 32];
        fill(&mut random)?;
        let mut hasher = blake3::Hasher::new_keyed(&self.nonces);
        hasher.update(&random);
        hasher.update(&associated(table, key));
        hasher.update(value);
        let mut nonce = [0; NONCE];
        nonce.copy_from_slice(&hasher.finalize().as_bytes()[..NONCE]);
        Ok(nonce)
    }

    /// A stand-in for a key that would tell something.
    pub(crate) fn blind(&self, table: Table, term: &[u8]) -> [u8; 16] {
        let mut hasher = blake3::Hasher::new_keyed(&self.blinds);
        hasher.update(table.name().as_bytes());
        hasher.update(&[0]);
        hasher.update(term);
        let mut blind = [0; 16];
        blind.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
        blind
    }

    fn check(&self, table: &str, key: u64, row: &[u8]) -> [u8; CHECK] {
        let mut hasher = blake3::Hasher::new_keyed(&self.rows);
        hasher.update(table.as_bytes());
        hasher.update(&[0]);
        hasher.update(&key.to_le_bytes());
        hasher.update(row);
        let mut check = [0; CHECK];
        check.copy_from_slice(&hasher.finalize().as_bytes()[..CHECK]);
        check
    }

    /// Puts the checksum behind a row.
    pub(crate) fn close_row(&self, table: &str, key: u64, mut row: Vec<u8>) -> Vec<u8> {
        let check = self.check(table, key, &row);
        row.extend(check);
        row
    }

    /// The row without its checksum, or `None` if it is not what was stored there.
    pub(crate) fn open_row<'a>(&self, table: &str, key: u64, row: &'a [u8]) -> Option<&'a [u8]> {
        let (row, check) = row.split_last_chunk::<CHECK>()?;
        (self.check(table, key, row) == *check).then_some(row)
    }
}

/// Random bytes of the operating system.
pub(crate) fn fill(bytes: &mut [u8]) -> Result<(), StoreError> {
    getrandom::fill(bytes).map_err(|error| StoreError::Io(std::io::Error::other(error.to_string())))
}

fn associated(table: Table, key: &[u8]) -> Vec<u8> {
    let mut aad = b"heirloom/store/v1".to_vec();
    aad.extend(SCHEMA.to_le_bytes());
    aad.extend(table.name().as_bytes());
    aad.push(0);
    aad.extend(key);
    aad
}
