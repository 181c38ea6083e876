//! Names of things: fixed-size ids, each a type of its own.
//!
//! Ids are written in lower-case hex; people see the first eight digits and may
//! type any unique prefix of four or more.

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $bytes:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub struct $name(pub [u8; $bytes]);

        impl $name {
            /// All bytes zero: stands for "none" where the format has no option.
            pub const ZERO: Self = Self([0; $bytes]);

            /// The bytes.
            pub const fn as_bytes(&self) -> &[u8; $bytes] {
                &self.0
            }

            /// The first eight hex digits, for people.
            pub fn short(&self) -> String {
                data_encoding::HEXLOWER.encode(&self.0[..4])
            }

            /// Parses the full hex form.
            pub fn from_hex(text: &str) -> Option<Self> {
                let bytes = data_encoding::HEXLOWER.decode(text.as_bytes()).ok()?;
                bytes.try_into().ok().map(Self)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&data_encoding::HEXLOWER.encode(&self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.short())
            }
        }
    };
}

id!(
    /// A family: BLAKE3 of its genesis.
    FamilyId, 32
);
id!(
    /// A person: random, chosen by the one who invites.
    PersonId, 16
);
id!(
    /// A device or a recovery kit: its Ed25519 public key.
    DeviceId, 32
);
id!(
    /// What logs belong to: the family's control space or an album.
    SpaceId, 16
);
id!(
    /// An entry: BLAKE3 of its header.
    EntryId, 32
);
id!(
    /// An op: BLAKE3 of its entry's id and its place there. An item is named by the op that added it.
    OpId, 32
);
id!(
    /// A blob: BLAKE3 of its ciphertext.
    BlobId, 32
);
id!(
    /// A key epoch of a space.
    EpochId, 32
);
id!(
    /// BLAKE3 of plaintext bytes.
    PlainHash, 32
);
id!(
    /// A branch of a forked log: the first bytes of its first entry's id, zero below the fork.
    BranchId, 8
);

/// An album is a space.
pub type AlbumId = SpaceId;
/// An asset is named by the op that added its item.
pub type AssetId = OpId;

impl FamilyId {
    /// The control space of this family.
    pub fn control_space(&self) -> SpaceId {
        let mut id = [0; 16];
        id.copy_from_slice(&self.0[..16]);
        SpaceId(id)
    }
}

impl OpId {
    /// The id of the op at `index` of an entry.
    pub fn of(entry: EntryId, index: u32) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&entry.0);
        hasher.update(&index.to_le_bytes());
        Self(*hasher.finalize().as_bytes())
    }
}

/// One single-writer log: a device in one incarnation in one space, and the branch after a fork.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct LogId {
    /// The space.
    pub space: SpaceId,
    /// The writer.
    pub device: DeviceId,
    /// The writer's incarnation, random.
    pub inc: u64,
    /// The branch, zero where the log never forked.
    pub branch: BranchId,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_round_trip_through_hex() {
        let id = PersonId([0xab; 16]);
        assert_eq!(PersonId::from_hex(&id.to_string()), Some(id));
        assert_eq!(PersonId::from_hex("ab"), None);
        assert_eq!(id.short(), "abababab");
    }

    #[test]
    fn the_place_in_an_entry_is_part_of_an_op_id() {
        let entry = EntryId([1; 32]);
        assert_ne!(OpId::of(entry, 0), OpId::of(entry, 1));
    }
}
