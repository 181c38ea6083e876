//! Rows of assets in the store.

use std::ops::ControlFlow;

use heirloom_protocol::{
    album::asset::Asset,
    id::{AlbumId, OpId, PlainHash, SpaceId},
    wire,
};

use crate::store::{Store, StoreError, Table};

/// An asset of an album: the key of its row.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct AssetKey {
    /// The album.
    pub album: AlbumId,
    /// The op that added it.
    pub item: OpId,
}

/// Which of an asset's blobs are on this device.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct BlobHere {
    /// All originals.
    pub original: bool,
    /// The preview.
    pub preview: bool,
    /// The thumbnail.
    pub thumbnail: bool,
}

impl AssetKey {
    /// The row's key: 16 bytes of album, 32 of item.
    pub fn to_bytes(self) -> Vec<u8> {
        [&self.album.0[..], &self.item.0[..]].concat()
    }

    /// Reads a row's key.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (album, item) = bytes.split_first_chunk::<16>()?;
        Some(Self {
            album: SpaceId(*album),
            item: OpId(item.try_into().ok()?),
        })
    }

    /// The asset, or an empty one where the store has none.
    ///
    /// # Errors
    ///
    /// A row that does not open or decode is damage.
    pub fn load(self, store: &Store) -> Result<Asset, StoreError> {
        let row = store.get(Table::Assets, &self.to_bytes())?;
        Ok(row.and_then(|bytes| decode(&bytes)).unwrap_or_default())
    }
}

/// An asset's row.
pub(crate) fn encode(asset: &Asset) -> Vec<u8> {
    wire::encode_row(asset).expect("each list of an asset is bounded far below a row")
}

/// The asset in a row.
pub(crate) fn decode(bytes: &[u8]) -> Option<Asset> {
    wire::decode_row(bytes).ok()
}

/// The row that leads from content to an asset.
pub(crate) fn hash_key(store: &Store, hash: PlainHash, key: AssetKey) -> Vec<u8> {
    [&hash_prefix(store, hash)[..], &key.to_bytes()[..]].concat()
}

/// What all rows for one content begin with.
pub(crate) fn hash_prefix(store: &Store, hash: PlainHash) -> [u8; 16] {
    store.blind(Table::PlainHashes, &hash.0)
}

/// The items whose parts have some content.
pub(crate) fn items_with(store: &Store, hash: PlainHash) -> Result<Vec<AssetKey>, StoreError> {
    let prefix = hash_prefix(store, hash);
    let mut keys = Vec::new();
    store.scan(Table::PlainHashes, &prefix, |row, _| {
        keys.extend(row.get(prefix.len()..).and_then(AssetKey::from_bytes));
        ControlFlow::Continue(())
    })?;
    Ok(keys)
}
