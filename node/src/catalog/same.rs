//! Which items are one photo.
//!
//! What an item says of its content is the word of who added it: anybody who has seen a photo knows its
//! hash, and can say it of other bytes. So equal hashes alone fold nothing. Items fold that are copies
//! of each other, the same ciphertext under the same key, which is the same bytes whoever says so;
//! and those that one person added several times.
//!
//! That somebody has a copy of a photo ties none of what else they added to it: a person ties copies
//! together where all items of them are theirs, or where that person is the one who looks.

use std::collections::BTreeMap;

use heirloom_protocol::{
    album::asset::{Asset, BlobRef},
    id::PersonId,
    op::Part,
};

/// The same for items with the same bytes: of ciphertext, key, and the hash that is said.
pub type CopyId = [u8; 16];

/// Whose an item is, and of what it is a copy; none of one that was not added.
pub fn said(asset: &Asset) -> Option<(CopyId, PersonId)> {
    let added = asset.added.as_ref()?;
    let (part, blob) = added.item.parts.first().zip(added.blobs.first())?;
    Some((copy_id(part, blob), added.origin.author.person))
}

fn copy_id(part: &Part, blob: &BlobRef) -> CopyId {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&part.pt_hash.0);
    hasher.update(&blob.id.0);
    hasher.update(part.key.as_bytes());
    hasher.update(&part.len.to_be_bytes());
    let mut id = CopyId::default();
    hasher.finalize_xof().fill(&mut id);
    id
}

/// What ties items of one hash together.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Tie {
    /// One person added them.
    Person(PersonId),
    /// They are copies.
    Copy(CopyId),
}

/// Of each of some items that are said to have one content: what ties it to others, for who looks.
pub fn ties(said: &[(CopyId, PersonId)], me: Option<PersonId>) -> Vec<Tie> {
    let mut persons: BTreeMap<CopyId, Option<PersonId>> = BTreeMap::new();
    for (copy, person) in said {
        let known = persons.entry(*copy).or_insert(Some(*person));
        if Some(*person) == me {
            *known = me;
        } else if *known != me && *known != Some(*person) {
            *known = None;
        }
    }
    let tie = |(copy, _): &(CopyId, PersonId)| {
        let person = persons.get(copy).copied().flatten();
        person.map_or(Tie::Copy(*copy), Tie::Person)
    };
    said.iter().map(tie).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANNA: PersonId = PersonId([1; 16]);
    const BEN: PersonId = PersonId([2; 16]);
    const CARL: PersonId = PersonId([3; 16]);

    fn groups(said: &[(u8, PersonId)], me: Option<PersonId>) -> usize {
        let said: Vec<_> = said.iter().map(|(n, who)| ([*n; 16], *who)).collect();
        let mut found = ties(&said, me);
        let back: Vec<_> = said.iter().rev().copied().collect();
        let mut other = ties(&back, me);
        for ties in [&mut found, &mut other] {
            ties.sort_unstable();
        }
        assert_eq!(found, other, "whatever their order");
        found.dedup();
        found.len()
    }

    #[test]
    fn copies_and_what_one_person_added_are_one() {
        assert_eq!(groups(&[(1, ANNA), (1, BEN), (1, CARL)], Some(ANNA)), 1);
        assert_eq!(groups(&[(1, ANNA), (2, ANNA), (3, ANNA)], Some(ANNA)), 1);
        assert_eq!(groups(&[(1, ANNA), (2, ANNA), (3, ANNA)], Some(BEN)), 1);
        assert_eq!(groups(&[(1, ANNA), (1, BEN), (2, ANNA)], Some(ANNA)), 1);
    }

    #[test]
    fn a_word_of_somebody_else_is_another_photo() {
        assert_eq!(groups(&[(1, ANNA), (2, BEN)], Some(ANNA)), 2);
        assert_eq!(groups(&[(1, ANNA), (2, BEN)], None), 2);
    }

    #[test]
    fn who_has_a_copy_ties_nothing_else_to_it() {
        let said = [(1, ANNA), (1, BEN), (2, BEN), (2, ANNA), (3, BEN)];
        assert_eq!(groups(&said[..3], Some(ANNA)), 2);
        assert_eq!(groups(&said[..3], Some(CARL)), 2);
        assert_eq!(groups(&said, Some(ANNA)), 2);
        assert_eq!(groups(&said, Some(CARL)), 3);
    }
}
