//! Secrets at rest: one small file each, private, written whole.
//!
//! A file is a header (magic, version, how its key is derived, room for the
//! parameters of a passphrase), the secret, and a checksum over both. Without a
//! passphrase the mode 0600 and the disk's own encryption are what protects it;
//! this version writes no other kind and refuses to guess at one.
//!
//! Without the device's key a home opens for nobody, so it is kept twice: one of the two files is enough, and
//! whichever is damaged or missing is written again from the other when the home is opened.

use std::path::{Path, PathBuf};

use heirloom_protocol::wire;
use zeroize::Zeroizing;

use super::error::{Damage, Refusal, StoreError};
use super::fs::{self, Disk};
use super::open::check_private;

const FOLDER: &str = "keys";
const MAGIC: &[u8; 16] = b"heirloom key 1\r\n";
/// Derivation none, then Argon2id's memory (KiB), passes, lanes and salt, all zero without one.
const KDF_NONE: u8 = 0;
const KDF_ARGON2ID: u8 = 1;
const KDF_BYTES: usize = 1 + 3 * 4 + 16;
const HEADER_BYTES: usize = MAGIC.len() + KDF_BYTES;
const CHECK_BYTES: usize = 32;
const SECRET_BYTES_MAX: usize = 64 * 1024;

/// Which secret.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum KeyFile {
    /// This device's keys.
    Device,
    /// The same once more: written, removed and healed with it, never by itself.
    DeviceCopy,
    /// What the index is sealed with.
    Store,
    /// The keys of a device that is about to join.
    Pending,
    /// The keys of a device that is being restored by recovery words.
    Restoring,
}

impl KeyFile {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Device => "device.key",
            Self::DeviceCopy => "device.copy.key",
            Self::Store => "store.key",
            Self::Pending => "pending.key",
            Self::Restoring => "restoring.key",
        }
    }
}

/// What a key file is found to be.
enum Found {
    Whole(Zeroizing<Vec<u8>>),
    Damaged,
    Missing,
    /// Perhaps whole, and not to be read here: by its mode, or in a form of another version.
    Unusable(StoreError),
}

/// The folder of secrets of one home.
pub struct Keyring {
    folder: PathBuf,
}

impl Keyring {
    /// Opens the folder; refuses one that others can look into.
    pub fn open(home: &Path) -> Result<Self, StoreError> {
        let folder = home.join(FOLDER);
        fs::create_folder(&folder)?;
        check_private(&folder)?;
        Ok(Self { folder })
    }

    /// Clears what an interrupted write left. For who has just taken the home: later it could be what
    /// another thread is writing.
    pub(super) fn clear(&self) -> Result<(), StoreError> {
        for name in fs::list(&self.folder)? {
            if name.ends_with(".tmp") {
                fs::remove(&self.folder.join(name))?;
            }
        }
        Ok(())
    }

    /// Where a secret lies.
    pub fn path(&self, key: KeyFile) -> PathBuf {
        self.folder.join(key.name())
    }

    /// Whether there is such a secret.
    pub fn holds(&self, key: KeyFile) -> bool {
        self.path(key).exists()
    }

    /// Whether a home has the key of a device, be it only the copy, from which opening it makes the other.
    pub fn has_device(home: &Path) -> bool {
        let keys = [KeyFile::Device, KeyFile::DeviceCopy];
        keys.iter()
            .any(|key| home.join(FOLDER).join(key.name()).exists())
    }

    /// Writes a secret, replacing the old one as a whole. Durable when it returns.
    ///
    /// The device's key has its copy written after it. One that cannot be written fails nothing, since the key
    /// is in force: it is tried again when the home is opened.
    pub fn write(&self, key: KeyFile, secret: &[u8]) -> Result<(), StoreError> {
        self.write_alone(key, secret)?;
        if key == KeyFile::Device {
            self.write_copy(secret);
        }
        Ok(())
    }

    /// Writes the copy of the device's key, and tells whether it could be.
    fn write_copy(&self, secret: &[u8]) -> bool {
        let written = self.write_alone(KeyFile::DeviceCopy, secret);
        if let Err(error) = &written {
            tracing::warn!(%error, "the copy of this device's key could not be written");
            // None is better than an old one, which would take the device back to a log it has left.
            let _ = fs::remove(&self.path(KeyFile::DeviceCopy));
        }
        written.is_ok()
    }

    /// Makes one of the device's key and its copy where one is missing or damaged, or where a write was
    /// interrupted between them. Returns which was damaged or missing; a copy that never was is no loss.
    ///
    /// What is whole is never replaced because this version or this account cannot use it. With neither
    /// whole nothing is touched, and whoever reads the key says what is wrong.
    pub(super) fn heal_device(
        &self,
        set_aside: &mut Vec<PathBuf>,
    ) -> Result<Option<KeyFile>, StoreError> {
        let main = self.find(KeyFile::Device);
        match (main, self.find(KeyFile::DeviceCopy)) {
            (Found::Whole(main), Found::Whole(copy)) if main == copy => Ok(None),
            (Found::Whole(main), Found::Whole(_) | Found::Missing) => {
                self.write_copy(&main);
                Ok(None)
            }
            (Found::Whole(main), Found::Damaged) => {
                Ok(self.write_copy(&main).then_some(KeyFile::DeviceCopy))
            }
            // It gives away as much as the key itself.
            (
                Found::Whole(_),
                Found::Unusable(
                    error @ (StoreError::Permissions { .. } | StoreError::OtherAccount { .. }),
                ),
            ) => Err(error),
            (Found::Whole(_), Found::Unusable(error)) => {
                tracing::warn!(%error, "the copy of this device's key is left as it is");
                Ok(None)
            }
            (main @ (Found::Damaged | Found::Missing), Found::Whole(copy)) => {
                if matches!(main, Found::Damaged) {
                    set_aside.push(fs::set_aside(&self.path(KeyFile::Device), "damaged")?);
                }
                self.write_alone(KeyFile::Device, &copy)?;
                Ok(Some(KeyFile::Device))
            }
            (Found::Damaged | Found::Missing, Found::Unusable(error)) => Err(error),
            (Found::Damaged | Found::Missing, Found::Damaged | Found::Missing)
            | (Found::Unusable(_), _) => Ok(None),
        }
    }

    fn find(&self, key: KeyFile) -> Found {
        if !self.holds(key) {
            return Found::Missing;
        }
        match self.read(key) {
            Ok(secret) => Found::Whole(secret),
            Err(StoreError::Damaged(_)) => Found::Damaged,
            Err(error) => Found::Unusable(error),
        }
    }

    fn write_alone(&self, key: KeyFile, secret: &[u8]) -> Result<(), StoreError> {
        if secret.len() > SECRET_BYTES_MAX {
            let bytes = u64::try_from(secret.len()).expect("usize is at most 64 bits");
            return Err(Refusal::TooLarge { bytes }.into());
        }
        let capacity = HEADER_BYTES + secret.len() + CHECK_BYTES;
        // Reserved at once, so that no half of it is left behind by a growing buffer.
        let mut bytes = Zeroizing::new(Vec::with_capacity(capacity));
        bytes.extend(MAGIC);
        bytes.push(KDF_NONE);
        bytes.extend([0; KDF_BYTES - 1]);
        bytes.extend(secret);
        let check = check(&bytes);
        bytes.extend(*check);
        Ok(fs::write_whole(&self.path(key), &bytes)?)
    }

    /// Removes a secret, if it is there. Durable when it returns.
    pub fn remove(&self, key: KeyFile) -> Result<(), StoreError> {
        // First, so that it never brings back what was removed.
        if key == KeyFile::Device {
            self.remove(KeyFile::DeviceCopy)?;
        }
        if !self.holds(key) {
            return Ok(());
        }
        let path = self.path(key);
        fs::remove(&path)?;
        Ok(fs::sync_folder_of(&path)?)
    }

    /// Reads and decodes a secret; `None` where there is none.
    ///
    /// # Errors
    ///
    /// [`StoreError::NewerKey`] for one that is whole and not to be decoded: it is somebody's only
    /// copy, and never to be taken for none.
    pub fn load<T: serde::Serialize + serde::de::DeserializeOwned>(
        &self,
        key: KeyFile,
    ) -> Result<Option<T>, StoreError> {
        if !self.holds(key) {
            return Ok(None);
        }
        let bytes = self.read(key)?;
        match wire::decode(&bytes, wire::MAX_BYTES) {
            Ok(secret) => Ok(Some(secret)),
            Err(_) => Err(StoreError::NewerKey {
                path: self.path(key),
            }),
        }
    }

    /// Reads a secret. Refuses a file that others can read, with the command that repairs it.
    pub fn read(&self, key: KeyFile) -> Result<Zeroizing<Vec<u8>>, StoreError> {
        let path = self.path(key);
        let disk = Disk::open(&path)?;
        check_private(&path)?;
        let damaged = || StoreError::from(Damage::Key { path: path.clone() });
        let len = usize::try_from(disk.len()?).map_err(|_| damaged())?;
        if len > HEADER_BYTES + SECRET_BYTES_MAX + CHECK_BYTES {
            return Err(damaged());
        }
        let mut bytes = Zeroizing::new(vec![0; len]);
        disk.read_at(0, &mut bytes)?;
        let (body, sum) = bytes
            .split_last_chunk::<CHECK_BYTES>()
            .ok_or_else(damaged)?;
        let whole = body.len() >= HEADER_BYTES && *check(body) == *sum && body.starts_with(MAGIC);
        if !whole {
            return Err(damaged());
        }
        match body[MAGIC.len()] {
            KDF_NONE => Ok(Zeroizing::new(body[HEADER_BYTES..].to_vec())),
            KDF_ARGON2ID => Err(StoreError::Io(std::io::Error::new(
                std::io::ErrorKind::Unsupported,
                "the key file is closed with a passphrase",
            ))),
            _ => Err(StoreError::NewerKey { path }),
        }
    }
}

/// Keyed by a purpose, so that no other checksum of the same bytes is one of these.
fn check(bytes: &[u8]) -> Zeroizing<[u8; CHECK_BYTES]> {
    Zeroizing::new(blake3::derive_key("heirloom 2026 v1 key file", bytes))
}
