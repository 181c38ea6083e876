//! One asset as ops have made it: what was added, and every edit since.
//!
//! An [`Asset`] is a state-based CRDT: ops may arrive in any order, any number
//! of times, before or after the op that adds the item, and the result is the
//! same. It holds every candidate, and decides only when it is read, because
//! who may do what to an item depends on who added it. How candidates settle
//! is in [`super::merge`].

use serde::{Deserialize, Serialize};

use crate::{
    id::{BlobId, LogId, OpId, PersonId},
    log::entry::BlobLine,
    op::{AddBlob, AddItem, Field, Level, Part},
    time::Hlc,
};

/// What orders concurrent edits: later clocks win, then the device, its incarnation, the place in its log.
///
/// A stamp that is not `current` was written above the position where its
/// device left a log behind (`NewIncarnation`); it loses to every other.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct Stamp {
    /// Written in a log that still counts for last-writer-wins.
    pub current: bool,
    /// When.
    pub hlc: Hlc,
    /// The log.
    pub log: LogId,
    /// Place of the entry.
    pub seq: u32,
    /// Place in the entry.
    pub index: u32,
}

/// Who wrote an op, as far as an asset needs to know.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct Author {
    /// The device's person.
    pub person: PersonId,
    /// The highest level that the person was ever validly given in the album.
    ///
    /// Entries above the cut that lowered them do not stand, so what is left
    /// was written with that level.
    pub level: Level,
}

/// Where an op stands.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct Origin {
    /// The op.
    pub op: OpId,
    /// Who wrote it.
    pub author: Author,
    /// What orders it.
    pub stamp: Stamp,
}

/// A blob between devices: its place in a log, and what the signed header says of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct BlobRef {
    /// The log that announces it.
    pub log: LogId,
    /// Its number there.
    pub ordinal: u32,
    /// BLAKE3 of the ciphertext.
    pub id: BlobId,
    /// Padded plaintext length.
    pub padded: u64,
    /// Which part of the item.
    pub part: u8,
    /// 0 original, 1 preview, 2 thumbnail.
    pub class: u8,
}

impl BlobRef {
    /// The blob at line `index` of an entry whose first blob is `first`.
    pub fn of(log: LogId, first: u32, index: u32, line: &BlobLine) -> Option<Self> {
        Some(Self {
            log,
            ordinal: first.checked_add(index)?,
            id: line.id,
            padded: line.padded,
            part: line.part,
            class: line.class,
        })
    }
}

/// The op that added the item, with its parts' blobs.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Added {
    /// Who and when.
    pub origin: Origin,
    /// What.
    pub item: AddItem,
    /// One blob a part, in the order of `item.parts`.
    pub blobs: Vec<BlobRef>,
}

/// A part added later.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct AddedPart {
    /// Who and when.
    pub origin: Origin,
    /// What.
    pub part: Part,
    /// Its blob.
    pub blob: BlobRef,
}

/// A preview or thumbnail.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct AddedBlob {
    /// Who and when.
    pub origin: Origin,
    /// What.
    pub made: AddBlob,
    /// Its blob.
    pub blob: BlobRef,
}

/// A value somebody set.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Edit {
    /// Who and when.
    pub origin: Origin,
    /// Which field.
    pub field: u16,
    /// The value.
    #[serde(with = "serde_bytes")]
    pub value: Vec<u8>,
}

/// Trashed, restored or purged.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Fate {
    /// Who and when.
    pub origin: Origin,
    /// What.
    pub verdict: Verdict,
}

/// What is to become of an item.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub enum Verdict {
    /// Into the trash.
    Trash,
    /// Out of it.
    Restore,
    /// Gone for good.
    Purge,
}

/// A tag somebody added.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Tagged {
    /// The op that added it.
    pub op: OpId,
    /// The tag.
    pub tag: String,
}

/// A reaction somebody set or lifted.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Reaction {
    /// Who and when.
    pub origin: Origin,
    /// The sign.
    pub sign: String,
    /// Set or lifted.
    pub on: bool,
}

/// Something said about an asset.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Said {
    /// Who and when.
    pub origin: Origin,
    /// What.
    pub text: String,
}

/// An asset and everything that was said about it.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Asset {
    /// The op that added it; edits may come first.
    pub added: Option<Added>,
    /// Parts added later, by op id.
    pub parts: Vec<AddedPart>,
    /// Previews and thumbnails, by op id.
    pub blobs: Vec<AddedBlob>,
    /// Candidates for each field: the latest by each author, who may turn out not to be allowed.
    pub edits: Vec<Edit>,
    /// Candidates for its fate.
    pub fates: Vec<Fate>,
    /// Tags.
    pub tags: Vec<Tagged>,
    /// Ops whose tag was removed.
    pub untagged: Vec<OpId>,
    /// Reactions.
    pub reactions: Vec<Reaction>,
    /// Comments.
    pub comments: Vec<Said>,
    /// Comments taken back: the comment and who took it.
    pub unsaid: Vec<(OpId, PersonId)>,
}

impl Asset {
    /// The person who added the item.
    pub fn owner(&self) -> Option<PersonId> {
        self.added.as_ref().map(|added| added.origin.author.person)
    }

    fn may_decide_fate(&self, author: Author) -> bool {
        author.level == Level::Manager
            || (author.level == Level::Contributor && self.owner() == Some(author.person))
    }

    /// The value of a field, the last writer's who was allowed to.
    pub fn field(&self, field: Field) -> Option<&[u8]> {
        self.edits
            .iter()
            .filter(|edit| edit.field == field.code())
            .filter(|edit| edit.origin.author.level >= Level::Contributor)
            .max_by_key(|edit| edit.origin.stamp)
            .map(|edit| &edit.value[..])
    }

    /// A person's own value of a field.
    pub fn own_field(&self, field: Field, person: PersonId) -> Option<&[u8]> {
        self.edits
            .iter()
            .filter(|edit| edit.field == field.code() && edit.origin.author.person == person)
            .max_by_key(|edit| edit.origin.stamp)
            .map(|edit| &edit.value[..])
    }

    /// A text field; bytes that are not UTF-8 count as absent.
    pub fn text(&self, field: Field) -> Option<&str> {
        self.field(field)
            .and_then(|bytes| std::str::from_utf8(bytes).ok())
    }

    /// The fates of one kind by those who were allowed to decide, in no order.
    fn decided(&self, verdict: Verdict) -> impl Iterator<Item = &Fate> {
        self.fates
            .iter()
            .filter(move |fate| fate.verdict == verdict)
            .filter(|fate| self.may_decide_fate(fate.origin.author))
    }

    /// Whether the item is gone for good.
    pub fn is_purged(&self) -> bool {
        self.purged().is_some()
    }

    /// The purging that is in force.
    ///
    /// Read in the order of their stamps, a trashing puts the item into the trash, a restoring takes
    /// it out, also after a purging, and a purging ends what is in the trash and nothing else. So who
    /// purges without having heard that the item was restored destroys nothing, and who restores
    /// without having heard of the purging has it back.
    pub fn purged(&self) -> Option<&Fate> {
        let stamp = |fate: &Fate| fate.origin.stamp;
        let restored = self.decided(Verdict::Restore).map(stamp).max();
        let trashed = self.decided(Verdict::Trash).map(stamp);
        let trashed = trashed.filter(|at| Some(*at) > restored).min()?;
        self.decided(Verdict::Purge)
            .filter(|fate| fate.origin.stamp > trashed)
            .min_by_key(|fate| fate.origin.stamp)
    }

    /// Whether anybody who was allowed to has purged the item, also in vain.
    pub fn is_purged_by_anybody(&self) -> bool {
        self.decided(Verdict::Purge).next().is_some()
    }

    /// The trashing that is in force, if the item is in the trash.
    pub fn trashed(&self) -> Option<&Fate> {
        self.fates
            .iter()
            .filter(|fate| fate.verdict != Verdict::Purge)
            .filter(|fate| self.may_decide_fate(fate.origin.author))
            .max_by_key(|fate| fate.origin.stamp)
            .filter(|fate| fate.verdict == Verdict::Trash)
    }

    /// The preview (class 1) or thumbnail (class 2) to show for a part.
    ///
    /// The item's own person's wins, then a manager's, then the lowest op id.
    pub fn shown_blob(&self, part: u8, class: u8) -> Option<&AddedBlob> {
        let owner = self.owner();
        self.blobs
            .iter()
            .filter(|blob| blob.blob.part == part && blob.blob.class == class)
            .filter(|blob| blob.origin.author.level >= Level::Contributor)
            .min_by_key(|blob| {
                let author = blob.origin.author;
                (
                    Some(author.person) != owner,
                    author.level != Level::Manager,
                    blob.origin.op,
                )
            })
    }

    /// All parts with their blobs: those of the item first, then later ones: of the person who added it, of
    /// managers, of others, each by op id.
    pub fn all_parts(&self) -> impl Iterator<Item = (&Part, &BlobRef)> {
        self.said_parts().map(|(_, part, blob)| (part, blob))
    }

    /// The same, each with the person who says what it is: whoever added the part, not the item.
    pub fn said_parts(&self) -> impl Iterator<Item = (PersonId, &Part, &BlobRef)> {
        let own = self.added.iter().flat_map(|added| {
            let person = added.origin.author.person;
            let parts = added.item.parts.iter().zip(&added.blobs);
            parts.map(move |(part, blob)| (person, part, blob))
        });
        let owner = self.owner();
        let later = self.parts.iter();
        let mut later: Vec<_> = later
            .filter(|part| part.origin.author.level >= Level::Contributor)
            .collect();
        // They are kept by op id already.
        later.sort_by_key(|part| {
            let author = part.origin.author;
            (Some(author.person) != owner, author.level != Level::Manager)
        });
        let later = later.into_iter();
        own.chain(later.map(|part| (part.origin.author.person, &part.part, &part.blob)))
    }

    /// The parts without which the item is not whole: those of the person who added it, and those of `me`.
    ///
    /// Any contributor may add a part, and announce a blob that nobody has: that takes nothing
    /// from the item of another.
    pub fn needed_parts(&self, me: Option<PersonId>) -> impl Iterator<Item = (&Part, &BlobRef)> {
        let owner = self.owner();
        let needed = self
            .said_parts()
            .filter(move |(person, ..)| Some(*person) == owner || Some(*person) == me);
        needed.map(|(_, part, blob)| (part, blob))
    }

    /// Its tags, sorted, each once.
    pub fn tag_names(&self) -> Vec<&str> {
        let mut names: Vec<_> = self
            .tags
            .iter()
            .filter(|tagged| !self.untagged.contains(&tagged.op))
            .map(|tagged| &tagged.tag[..])
            .collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// Its comments in order of their stamps, without those taken back by their authors or a manager.
    pub fn shown_comments(&self) -> Vec<&Said> {
        let mut shown: Vec<_> = self
            .comments
            .iter()
            .filter(|said| {
                !self
                    .unsaid
                    .contains(&(said.origin.op, said.origin.author.person))
            })
            .collect();
        shown.sort_by_key(|said| said.origin.stamp);
        shown
    }

    /// Reactions in force: who and which, sorted.
    pub fn shown_reactions(&self) -> Vec<(PersonId, &str)> {
        let mut latest: Vec<&Reaction> = Vec::new();
        for reaction in &self.reactions {
            let same = |other: &&Reaction| {
                other.sign == reaction.sign
                    && other.origin.author.person == reaction.origin.author.person
            };
            if !self
                .reactions
                .iter()
                .any(|other| same(&other) && other.origin.stamp > reaction.origin.stamp)
            {
                latest.push(reaction);
            }
        }
        let mut shown: Vec<_> = latest
            .into_iter()
            .filter(|reaction| reaction.on)
            .map(|reaction| (reaction.origin.author.person, &reaction.sign[..]))
            .collect();
        shown.sort_unstable();
        shown.dedup();
        shown
    }
}
