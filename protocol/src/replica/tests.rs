//! A family's life in memory: two replicas that hand each other entries.

mod forks;
mod policy;
mod recovery;
mod removal;

use std::{collections::BTreeMap, sync::Arc};

use super::*;
use crate::{
    album::{asset::Asset, merge},
    crypto::{BlobKey, EpochKind, RecoveryKit, SeededRng},
    id::{BlobId, OpId, PlainHash},
    log::entry::BlobLine,
    op::{
        AddItem, AddPart, AddPerson, AlbumUse, Captured, DeviceKind, Field, ItemKind, Items, Level,
        Op, Part, PartRole, Role, SetField, Subject,
    },
};

fn part(role: PartRole, name: &str) -> Part {
    Part {
        role,
        name: name.into(),
        len: 3,
        pt_hash: PlainHash([7; 32]),
        key: BlobKey::from_bytes([9; 32]),
        blob: 0,
    }
}

fn line(part: u8) -> BlobLine {
    BlobLine {
        part,
        class: 0,
        id: BlobId([5; 32]),
        padded: 3,
    }
}

struct Device {
    replica: Replica,
    entries: BTreeMap<EntryId, Entry>,
    rng: SeededRng,
    now: Timestamp,
}

impl Device {
    fn keep(&mut self, recorded: Recorded) {
        self.entries.extend(
            recorded
                .entries
                .into_iter()
                .map(|entry| (entry.id(), entry)),
        );
    }

    fn record(&mut self, space: SpaceId, ops: Vec<Op>, blobs: Vec<BlobLine>) -> EntryId {
        self.now.0 += 1;
        let recorded = self
            .replica
            .record(space, ops, blobs, Vec::new(), self.now, &mut self.rng);
        let recorded = recorded.unwrap();
        let last = recorded.entries.last().unwrap().id();
        self.keep(recorded);
        last
    }

    fn add_photo(&mut self, space: SpaceId, name: &str) -> OpId {
        let part = part(PartRole::Still, name);
        let item = AddItem {
            kind: ItemKind::Photo,
            media: 1,
            captured: Captured::default(),
            width: 4,
            height: 3,
            duration_ms: 0,
            place: None,
            camera: None,
            parts: vec![part],
        };
        let entry = self.record(space, vec![Op::AddItem(item)], vec![line(0)]);
        OpId::of(entry, 0)
    }

    /// Says how far it knows the logs of others, as once a day.
    fn anchor(&mut self, space: SpaceId) {
        if let Some(recorded) = self.replica.record_anchor(space, self.now).unwrap() {
            self.keep(recorded);
        }
    }

    /// Every asset of an album as this device sees it.
    fn assets(&self, space: SpaceId) -> BTreeMap<OpId, Asset> {
        self.assets_from(space, self.entries.values())
    }

    /// The same where the entries come in some order.
    fn assets_from<'a>(
        &self,
        space: SpaceId,
        entries: impl Iterator<Item = &'a Entry>,
    ) -> BTreeMap<OpId, Asset> {
        let mut assets: BTreeMap<OpId, Asset> = BTreeMap::new();
        for entry in entries.filter(|entry| entry.header().space == space) {
            let projection = self.replica.project(entry, self.now);
            let Some(place) = self.replica.place(entry) else {
                continue;
            };
            for projected in &projection.ops {
                for target in merge::targets(&projected.op, projected.origin.op) {
                    let asset = assets.entry(target).or_default();
                    merge::apply(
                        asset,
                        &projected.op,
                        projection.context(place.log, entry, projected.origin),
                    );
                }
            }
        }
        assets
    }
}

/// Gives `to` everything `from` may send, in any order, until nothing more is taken.
fn pull(to: &mut Device, from: &Device) {
    loop {
        let mut taken = 0;
        for entry in from.entries.values() {
            let peer = to.replica.device();
            if to.entries.contains_key(&entry.id())
                || !from.replica.may_replicate(&peer, &entry.header().space)
            {
                continue;
            }
            let entry = Entry::verify(to.replica.family(), entry.bytes().clone()).unwrap();
            if to.replica.accept(&entry, to.now).is_ok() {
                to.entries.insert(entry.id(), entry);
                taken += 1;
            }
        }
        if taken == 0 {
            return;
        }
    }
}

fn founder() -> Device {
    let mut rng = SeededRng::from_seed([1; 32]);
    let keys = Arc::new(DeviceKeys::generate(&mut rng));
    let now = Timestamp(1_700_000_000_000);
    let founded = found(&keys, None, now, &mut rng);
    let person = founded.genesis.person;
    let replica = Replica::new(keys.clone(), 11, founded.family, founded.genesis);
    let mut device = Device {
        replica,
        entries: BTreeMap::new(),
        rng,
        now,
    };
    let names = [
        (Subject::Family, "Berger"),
        (Subject::Person(person), "Anna"),
    ];
    let recorded = device
        .replica
        .record_founding(&names, now, &mut device.rng)
        .unwrap();
    device.keep(recorded);
    device
}

/// A second device, of a new person or of the same one, admitted by `by`.
fn joins(by: &mut Device, seed: u8, person: Option<(PersonId, Role)>) -> Device {
    let mut rng = SeededRng::from_seed([seed; 32]);
    let keys = Arc::new(DeviceKeys::generate(&mut rng));
    let whose = person.map_or_else(|| by.replica.person().unwrap(), |(id, _)| id);
    let add = sign_device(&keys, by.replica.family(), whose, DeviceKind::Device);
    let mut ops = Vec::new();
    if let Some((person, role)) = person {
        ops.push(Op::AddPerson(AddPerson {
            person,
            role,
            kit: None,
        }));
    }
    ops.push(Op::AddDevice(add));
    let recorded = by.replica.record_control(ops, by.now).unwrap();
    by.keep(recorded);
    let recorded = by.replica.tend(by.now, &mut by.rng).unwrap();
    by.keep(recorded);
    let genesis = by.replica.control().genesis().clone();
    let replica = Replica::new(keys, u64::from(seed), by.replica.family(), genesis);
    Device {
        replica,
        entries: BTreeMap::new(),
        rng,
        now: by.now,
    }
}

fn album(of: &mut Device, name: &str) -> SpaceId {
    let made = of
        .replica
        .record_album(name, AlbumUse::Album, of.now, &mut of.rng);
    let (space, recorded) = made.unwrap();
    of.keep(recorded);
    space
}

#[test]
fn a_second_device_of_the_same_person_reads_everything() {
    let mut laptop = founder();
    let space = album(&mut laptop, "Summer");
    let photo = laptop.add_photo(space, "one.jpg");
    let mut pi = joins(&mut laptop, 2, None);
    pull(&mut pi, &laptop);
    assert_eq!(pi.replica.family_name().as_deref(), Some("Berger"));
    assert_eq!(pi.assets(space), laptop.assets(space));
    assert!(pi.assets(space)[&photo].added.is_some());
    assert_eq!(pi.replica.words(), laptop.replica.words());
}

#[test]
fn keys_that_nobody_holds_hide_no_older_ones() {
    let mut anna = founder();
    // Sealed to nobody, as by somebody who removes the only device in vain.
    let own = control::Hit::Device(anna.replica.device());
    let epochs = [EpochKind::Family, EpochKind::Net].map(|kind| {
        let minted = anna.replica.mint_control(kind, &[own], &mut anna.rng);
        Op::Epoch(minted)
    });
    let minted = anna.replica.record_control(epochs.to_vec(), anna.now);
    anna.keep(minted.unwrap());
    let mut pi = joins(&mut anna, 2, None);
    pull(&mut pi, &anna);
    assert_eq!(pi.replica.family_name().as_deref(), Some("Berger"));
}

#[test]
fn a_family_that_cannot_be_named_is_not_half_founded() {
    let keys = Arc::new(DeviceKeys::generate(&mut SeededRng::from_seed([1; 32])));
    let mut rng = SeededRng::from_seed([2; 32]);
    let now = Timestamp(1_700_000_000_000);
    let founded = found(&keys, None, now, &mut rng);
    let mut replica = Replica::new(keys, 11, founded.family, founded.genesis);
    let long = "a".repeat(crate::limits::NAME_BYTES + 1);
    let refused = replica.record_founding(&[(Subject::Family, &long)], now, &mut rng);
    assert_eq!(refused, Err(WriteError::TooLarge));
    assert_eq!(replica.logs().count(), 0);
}

#[test]
fn an_album_is_readable_only_for_those_it_is_shared_with() {
    let mut anna = founder();
    let space = album(&mut anna, "Summer");
    anna.add_photo(space, "one.jpg");
    let ben = PersonId([2; 16]);
    let mut bens = joins(&mut anna, 2, Some((ben, Role::Member)));
    pull(&mut bens, &anna);
    assert!(bens.replica.album(&space).is_none());
    let shared =
        anna.replica
            .record_access(space, ben, Level::Contributor, anna.now, &mut anna.rng);
    anna.keep(shared.unwrap());
    pull(&mut bens, &anna);
    assert_eq!(bens.assets(space), anna.assets(space));
    let photo = bens.add_photo(space, "two.jpg");
    pull(&mut anna, &bens);
    assert!(anna.assets(space)[&photo].added.is_some());
}

#[test]
fn what_a_person_said_is_shown_anew_when_the_person_may_do_more() {
    let mut anna = founder();
    let space = album(&mut anna, "Summer");
    let ben = PersonId([2; 16]);
    joins(&mut anna, 2, Some((ben, Role::Member)));
    let mut give = |level| {
        let given = anna
            .replica
            .record_access(space, ben, level, anna.now, &mut anna.rng);
        given.unwrap().effects
    };
    // Nothing of Ben's can be here before he was let in.
    assert!(!give(Level::Viewer).contains(&Effect::Rebuild(space)));
    assert!(give(Level::Manager).contains(&Effect::Rebuild(space)));
}

#[test]
fn a_removed_person_cannot_read_what_is_added_afterwards() {
    let mut anna = founder();
    let space = album(&mut anna, "Summer");
    let old = anna.add_photo(space, "one.jpg");
    let ben = PersonId([2; 16]);
    let mut bens = joins(&mut anna, 2, Some((ben, Role::Member)));
    let shared =
        anna.replica
            .record_access(space, ben, Level::Contributor, anna.now, &mut anna.rng);
    anna.keep(shared.unwrap());
    pull(&mut bens, &anna);
    let removal = Op::RemovePerson((ben,));
    let removed = anna
        .replica
        .record_removal(removal, anna.now, &mut anna.rng)
        .unwrap();
    anna.keep(removed);
    let new = anna.add_photo(space, "two.jpg");
    assert!(!anna.replica.may_replicate(&bens.replica.device(), &space));
    // All the ciphertext there is, by whatever way it came.
    let all: Vec<_> = anna.entries.values().cloned().collect();
    for _ in 0..all.len() {
        for entry in &all {
            if bens.replica.accept(entry, bens.now).is_ok() {
                bens.entries.insert(entry.id(), entry.clone());
            }
        }
    }
    assert_eq!(bens.entries.len(), anna.entries.len());
    let seen = bens.assets(space);
    assert!(seen[&old].added.is_some());
    assert!(!seen.contains_key(&new));
    assert!(anna.assets(space)[&new].added.is_some());
}

/// Anna with an album to which Ben and Carl add, and both of them.
fn three() -> (SpaceId, [Device; 3]) {
    let mut anna = founder();
    let space = album(&mut anna, "Summer");
    let others = [2, 3].map(|seed| {
        let person = PersonId([seed; 16]);
        let device = joins(&mut anna, seed, Some((person, Role::Member)));
        let level = Level::Contributor;
        let shared = anna
            .replica
            .record_access(space, person, level, anna.now, &mut anna.rng);
        anna.keep(shared.unwrap());
        device
    });
    let [mut bens, mut carls] = others;
    pull(&mut bens, &anna);
    pull(&mut carls, &anna);
    (space, [anna, bens, carls])
}

/// Takes what another device has, and first vouches for what is here of a device.
fn pull_and_vouch(to: &mut Device, from: &Device, space: SpaceId, of: DeviceId) {
    let vouch = to.replica.record_vouch(space, &[of], to.now).unwrap();
    to.keep(vouch.expect("something new"));
    pull(to, from);
}

#[test]
fn a_removal_takes_nothing_away_that_others_had_and_who_removes_had_not() {
    let (space, [mut anna, mut bens, mut carls]) = three();
    let photo = bens.add_photo(space, "one.jpg");
    pull(&mut carls, &bens);
    let removal = Op::RemovePerson((PersonId([2; 16]),));
    let removed = anna
        .replica
        .record_removal(removal, anna.now, &mut anna.rng);
    anna.keep(removed.unwrap());
    pull_and_vouch(&mut carls, &anna, space, bens.replica.device());
    assert!(carls.assets(space)[&photo].added.is_some());
    pull(&mut anna, &carls);
    assert!(anna.assets(space)[&photo].added.is_some());

    // What he writes later, and others had not by then, does not count.
    let late = bens.add_photo(space, "late.jpg");
    let trash = Op::Trash(Items { items: vec![photo] });
    bens.record(space, vec![trash], Vec::new());
    for entry in bens.entries.values() {
        if anna.replica.accept(entry, anna.now).is_ok() {
            anna.entries.insert(entry.id(), entry.clone());
        }
    }
    assert!(bens.entries.keys().all(|id| anna.entries.contains_key(id)));
    // Nor because those say daily how far they know the logs of others who know that he is gone.
    anna.anchor(space);
    pull(&mut carls, &anna);
    carls.anchor(space);
    pull(&mut anna, &carls);
    assert!(!anna.assets(space).contains_key(&late));
    assert!(anna.assets(space)[&photo].trashed().is_none());
}

#[test]
fn a_removed_device_shares_nothing_by_way_of_those_who_have_not_heard() {
    let mut anna = founder();
    let space = album(&mut anna, "Private");
    let [ben, carl] = [2, 3].map(|seed| PersonId([seed; 16]));
    let mut bens = joins(&mut anna, 2, Some((ben, Role::Member)));
    let mut carls = joins(&mut anna, 3, Some((carl, Role::Member)));
    let mut phone = joins(&mut anna, 4, None);
    let level = Level::Contributor;
    let shared = anna
        .replica
        .record_access(space, ben, level, anna.now, &mut anna.rng);
    anna.keep(shared.unwrap());
    for each in [&mut bens, &mut phone] {
        pull(each, &anna);
    }
    let photo = phone.add_photo(space, "one.jpg");
    let shared = phone
        .replica
        .record_access(space, carl, level, phone.now, &mut phone.rng);
    phone.keep(shared.unwrap());
    pull(&mut bens, &phone);
    bens.anchor(space);
    // Anna's laptop has none of this when it removes the phone.
    let gone = phone.replica.device();
    let removal = Op::RemoveDevice((gone,));
    let removed = anna
        .replica
        .record_removal(removal, anna.now, &mut anna.rng);
    anna.keep(removed.unwrap());
    pull(&mut anna, &bens);
    pull(&mut bens, &anna);
    for device in [&anna, &bens] {
        assert!(device.assets(space)[&photo].added.is_some());
        assert!(
            !device
                .replica
                .may_replicate(&carls.replica.device(), &space)
        );
    }
    pull(&mut carls, &bens);
    assert!(carls.replica.album(&space).is_none());
}

#[test]
fn losing_access_takes_nothing_away_that_others_had_and_who_takes_it_had_not() {
    let (space, [mut anna, mut bens, mut carls]) = three();
    let before = bens.add_photo(space, "before.jpg");
    pull(&mut anna, &bens);
    let photo = bens.add_photo(space, "one.jpg");
    pull(&mut carls, &bens);
    let ben = PersonId([2; 16]);
    let ended = anna
        .replica
        .record_access(space, ben, Level::None, anna.now, &mut anna.rng);
    anna.keep(ended.unwrap());
    let set = crate::op::SetAccess {
        person: ben,
        level: Level::None,
        cuts: Vec::new(),
    };
    let hit = carls.replica.lowered_by(&space, &Op::SetAccess(set));
    assert_eq!(hit, [bens.replica.device()]);
    pull_and_vouch(&mut carls, &anna, space, bens.replica.device());
    pull(&mut anna, &carls);
    for device in [&anna, &carls] {
        assert!(device.assets(space)[&photo].added.is_some());
        assert!(device.assets(space)[&before].added.is_some());
    }

    // What he writes later is neither seen nor heeded.
    let late = bens.add_photo(space, "late.jpg");
    for entry in bens.entries.values() {
        if anna.replica.accept(entry, anna.now).is_ok() {
            anna.entries.insert(entry.id(), entry.clone());
        }
    }
    assert!(bens.entries.keys().all(|id| anna.entries.contains_key(id)));
    anna.anchor(space);
    pull(&mut carls, &anna);
    carls.anchor(space);
    pull(&mut anna, &carls);
    assert!(!anna.assets(space).contains_key(&late));
}

#[test]
fn a_contributor_trashes_own_items_and_a_manager_any() {
    let mut anna = founder();
    let space = album(&mut anna, "Summer");
    let annas = anna.add_photo(space, "one.jpg");
    let ben = PersonId([2; 16]);
    let mut bens = joins(&mut anna, 2, Some((ben, Role::Member)));
    let shared =
        anna.replica
            .record_access(space, ben, Level::Contributor, anna.now, &mut anna.rng);
    anna.keep(shared.unwrap());
    pull(&mut bens, &anna);
    let own = bens.add_photo(space, "two.jpg");
    bens.record(
        space,
        vec![Op::Trash(Items {
            items: vec![annas, own],
        })],
        Vec::new(),
    );
    pull(&mut anna, &bens);
    let seen = anna.assets(space);
    assert!(seen[&annas].trashed().is_none());
    assert!(seen[&own].trashed().is_some());
    anna.now.0 += 1000;
    anna.record(
        space,
        vec![Op::Restore(Items { items: vec![own] })],
        Vec::new(),
    );
    assert!(anna.assets(space)[&own].trashed().is_none());
}

#[test]
fn edits_settle_alike_whatever_order_entries_come_in() {
    let mut anna = founder();
    let space = album(&mut anna, "Summer");
    let mut pi = joins(&mut anna, 2, None);
    pull(&mut pi, &anna);
    let photo = anna.add_photo(space, "one.jpg");
    let caption = |text: &str| {
        let value = text.as_bytes().to_vec();
        Op::SetField(SetField {
            item: photo,
            field: Field::Caption.code(),
            value,
        })
    };
    anna.record(space, vec![caption("at sea")], Vec::new());
    pi.now.0 += 50;
    pi.record(space, vec![caption("at the lake")], Vec::new());
    pull(&mut anna, &pi);
    pull(&mut pi, &anna);
    assert_eq!(anna.assets(space), pi.assets(space));
    assert_eq!(
        anna.assets(space)[&photo].text(Field::Caption),
        Some("at the lake")
    );
}

#[test]
fn of_more_parts_than_a_person_may_add_the_same_ones_stay_whatever_order_they_come_in() {
    let mut anna = founder();
    let space = album(&mut anna, "Summer");
    let mut pi = joins(&mut anna, 2, None);
    pull(&mut pi, &anna);
    let photo = anna.add_photo(space, "one.jpg");
    for device in [&mut anna, &mut pi] {
        for number in 0..12 {
            let part = part(PartRole::Raw, &format!("{number}.raw"));
            let op = Op::AddPart(AddPart { item: photo, part });
            device.record(space, vec![op], vec![line(number + 1)]);
        }
    }
    pull(&mut anna, &pi);
    let forth = anna.assets(space);
    let back = anna.assets_from(space, anna.entries.values().rev());
    assert_eq!(forth[&photo].parts.len(), crate::limits::ITEM_PARTS);
    assert_eq!(forth, back);
}

#[test]
fn a_far_future_edit_is_held_until_the_clock_has_caught_up() {
    let mut anna = founder();
    let space = album(&mut anna, "Summer");
    let photo = anna.add_photo(space, "one.jpg");
    let mut pi = joins(&mut anna, 2, None);
    pull(&mut pi, &anna);
    pi.now.0 += 1_000_000_000;
    let value = b"from the future".to_vec();
    pi.record(
        space,
        vec![Op::SetField(SetField {
            item: photo,
            field: 0,
            value,
        })],
        Vec::new(),
    );
    let added = pi.add_photo(space, "two.jpg");
    pull(&mut anna, &pi);
    let seen = anna.assets(space);
    assert_eq!(seen[&photo].text(Field::Caption), None);
    assert!(seen[&added].added.is_some());
    assert!(anna.replica.due(anna.now).is_empty());
    anna.now = pi.now;
    assert_eq!(anna.replica.due(anna.now).len(), 2);
    assert_eq!(
        anna.assets(space)[&photo].text(Field::Caption),
        Some("from the future")
    );
}

#[test]
fn a_stranger_and_a_break_in_the_chain_are_refused() {
    let mut anna = founder();
    let space = album(&mut anna, "Summer");
    anna.add_photo(space, "one.jpg");
    anna.add_photo(space, "two.jpg");
    let mut pi = joins(&mut anna, 2, None);
    let last = anna
        .entries
        .values()
        .max_by_key(|entry| entry.header().hlc)
        .unwrap()
        .clone();
    assert_eq!(pi.replica.accept(&last, pi.now), Err(Refusal::Waiting));
    pull(&mut pi, &anna);
    assert_eq!(pi.replica.accept(&last, pi.now), Err(Refusal::AlreadyHere));
}

#[test]
fn who_is_let_in_again_writes_on_and_what_was_written_while_shut_out_does_not_count() {
    let mut anna = founder();
    let space = album(&mut anna, "Summer");
    let ben = PersonId([2; 16]);
    let mut bens = joins(&mut anna, 2, Some((ben, Role::Member)));
    let set = |anna: &mut Device, level| {
        anna.now.0 += 1;
        let now = anna.now;
        let recorded = anna
            .replica
            .record_access(space, ben, level, now, &mut anna.rng);
        anna.keep(recorded.unwrap());
    };
    set(&mut anna, Level::Contributor);
    pull(&mut bens, &anna);
    let before = bens.add_photo(space, "before.jpg");
    pull(&mut anna, &bens);
    set(&mut anna, Level::None);
    let while_out = bens.add_photo(space, "while-out.jpg");
    set(&mut anna, Level::Contributor);
    pull(&mut bens, &anna);
    assert!(bens.replica.is_own_log_cut(&space));
    bens.replica.renew(33);
    assert!(!bens.replica.is_own_log_cut(&space));
    let after = bens.add_photo(space, "after.jpg");
    pull(&mut anna, &bens);
    let seen = anna.assets(space);
    assert!(seen[&before].added.is_some());
    assert!(seen[&after].added.is_some());
    assert!(!seen.contains_key(&while_out));
}

/// Ben knows that Anna's laptop took him out of an album into which her other device had let him; then she
/// loses the laptop, and Ben hears of that and of nothing else.
#[test]
fn who_was_taken_out_stays_out_when_the_device_that_did_it_is_removed() {
    let mut anna = founder();
    let space = album(&mut anna, "Summer");
    let mut pi = joins(&mut anna, 2, None);
    let ben = PersonId([2; 16]);
    let mut bens = joins(&mut anna, 3, Some((ben, Role::Member)));
    pull(&mut pi, &anna);
    let set = |device: &mut Device, level| {
        device.now.0 += 1;
        let now = device.now;
        let recorded = device
            .replica
            .record_access(space, ben, level, now, &mut device.rng);
        device.keep(recorded.unwrap());
    };
    set(&mut pi, Level::Contributor);
    pull(&mut anna, &pi);
    pull(&mut bens, &pi);
    bens.add_photo(space, "mine.jpg");
    pull(&mut anna, &bens);
    set(&mut anna, Level::None);
    // As `Replica::ending` has him told.
    for entry in anna.entries.values() {
        if bens.replica.accept(entry, bens.now).is_ok() {
            bens.entries.insert(entry.id(), entry.clone());
        }
    }
    pull(&mut pi, &anna);
    let is_out = |bens: &Device| {
        let album = bens.replica.album(&space).unwrap();
        let device = bens.replica.device();
        let ended = album.ended_by(bens.replica.control(), &ben, &device);
        album.level(&ben) == Level::None && ended.len() == 1
    };
    assert!(is_out(&bens));

    let laptop = anna.replica.device();
    let removed = pi
        .replica
        .record_removal(Op::RemoveDevice((laptop,)), pi.now, &mut pi.rng);
    let removed = removed.unwrap();
    pi.keep(removed);
    let control = pi.replica.family().control_space();
    let mut removal: Vec<_> = pi.entries.values().cloned().collect();
    removal
        .retain(|entry| entry.header().space == control && !bens.entries.contains_key(&entry.id()));
    let noted = bens.replica.to_note(&[laptop]);
    assert_eq!(noted.len(), 1);
    for (space, entry) in noted {
        bens.replica.note_ended(space, [entry]);
    }
    for entry in removal {
        bens.replica.accept(&entry, bens.now).unwrap();
        bens.entries.insert(entry.id(), entry);
    }
    assert!(!bens.replica.control().is_live(&laptop));
    assert!(is_out(&bens));

    // Who lets him in again is heard, and then what he noted says nothing.
    set(&mut pi, Level::Viewer);
    pull(&mut bens, &pi);
    assert_eq!(
        bens.replica.album(&space).unwrap().level(&ben),
        Level::Viewer
    );
}

#[test]
fn what_a_removed_device_wrote_in_a_log_opened_late_is_shown_anew() {
    let mut anna = founder();
    let space = album(&mut anna, "Summer");
    let ben = PersonId([2; 16]);
    let mut bens = joins(&mut anna, 2, Some((ben, Role::Member)));
    let now = anna.now;
    let given = anna
        .replica
        .record_access(space, ben, Level::Contributor, now, &mut anna.rng);
    anna.keep(given.unwrap());
    pull(&mut bens, &anna);
    // The log comes after everything that was settled.
    bens.add_photo(space, "late.jpg");
    pull(&mut anna, &bens);
    let removal = Op::RemovePerson((ben,));
    let removed = anna.replica.record_control(vec![removal], anna.now);
    assert!(removed.unwrap().effects.contains(&Effect::Rebuild(space)));
}
