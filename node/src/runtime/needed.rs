//! What has to be somewhere for a photo to be whole there, where several items are one photo.

use std::collections::BTreeMap;

use heirloom_protocol::{
    album::asset::{Asset, BlobRef},
    id::{PersonId, PlainHash},
};

/// The files of a photo, and of each the blobs that are it: any one of them is enough.
pub(crate) type Files<'a> = Vec<Vec<&'a BlobRef>>;

/// What makes items that are one photo whole: each of these sets of files does, and nothing less.
///
/// A photo that a person added several times is whole where every file is of all that they added: one of the
/// items may have a movie that another has not. What is in the trash counts where all of it is. Of the items of
/// several persons those of `me` decide, where there are any: that somebody else added files to a copy of a
/// photo, which nobody may have, takes nothing from it.
pub(crate) fn files<'a>(
    items: impl Iterator<Item = &'a Asset>,
    me: Option<PersonId>,
) -> Vec<Files<'a>> {
    let items: Vec<&Asset> = items.filter(|item| item.added.is_some()).collect();
    let mut persons: Vec<_> = items.iter().filter_map(|item| item.owner()).collect();
    persons.sort_unstable();
    persons.dedup();
    if let Some(me) = me.filter(|me| persons.contains(me)) {
        persons = vec![me];
    }
    let of = |person: &PersonId| {
        let own = items.iter().filter(|item| item.owner() == Some(*person));
        let all_trashed = own.clone().all(|item| item.trashed().is_some());
        let mut files: BTreeMap<PlainHash, Vec<&BlobRef>> = BTreeMap::new();
        for item in own.filter(|item| all_trashed || item.trashed().is_none()) {
            for (part, blob) in item.needed_parts(me) {
                files.entry(part.pt_hash).or_default().push(blob);
            }
        }
        let mut files: Files<'a> = files.into_values().collect();
        // The same ciphertext is the same file, whoever names it.
        for file in &mut files {
            let all = items.iter().flat_map(|item| item.all_parts());
            let same = all.map(|(_, blob)| blob);
            let same = same.filter(|blob| file.iter().any(|known| known.id == blob.id));
            let same: Vec<_> = same.filter(|blob| !file.contains(blob)).collect();
            file.extend(same);
        }
        files
    };
    let files = persons.iter().map(of);
    files.filter(|files| !files.is_empty()).collect()
}
