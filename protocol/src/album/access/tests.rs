//! Named cases of removal, lowering, cuts and forks in an album.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::{
    family::resolver::{Certificate, DeviceStanding, PersonStanding, Rank, Role},
    log::standing::{Appended, Follows, Link, Naming, Seen},
    op::Position,
};

const CREATOR: u8 = 0;
const KEEPER: u8 = 90;

/// An album in a family in which person n has the devices n, n + 10 and so on.
struct World {
    family: Resolution,
    ledger: Ledger,
    access: Access,
    heads: BTreeMap<(u8, u64), EntryId>,
    next: u8,
}

const fn person(n: u8) -> PersonId {
    PersonId([n + 1; 16])
}

const fn device(n: u8) -> DeviceId {
    DeviceId([n + 1; 32])
}

const fn cert(n: u8) -> OpId {
    OpId([n + 1; 32])
}

/// The op and entry of one number: numbers rise as things are said.
const fn op(n: u8) -> OpId {
    OpId([n; 32])
}

const fn entry(n: u8) -> EntryId {
    EntryId([n; 32])
}

impl World {
    fn new(persons: u8) -> Self {
        let family = Resolution {
            accepted: BTreeSet::new(),
            persons: BTreeMap::new(),
            devices: BTreeMap::new(),
            kits: BTreeMap::new(),
            owners: BTreeMap::new(),
            certs: BTreeMap::new(),
            retired: BTreeSet::new(),
        };
        let mut world = Self {
            family,
            ledger: Ledger::default(),
            access: Access::new(person(CREATOR)),
            heads: BTreeMap::new(),
            next: 1,
        };
        for n in 0..persons {
            world.join(n, 200);
            world.certify(n, Some(person(n)));
            world.certify(n + 10, Some(person(n)));
        }
        world.certify(KEEPER, None);
        world
    }

    fn join(&mut self, n: u8, added: u8) {
        let standing = PersonStanding {
            role: Role::Member,
            rank: Rank::Other(Some(person(n))),
            added: op(added),
            grant: op(added),
        };
        self.family.persons.insert(person(n), standing);
    }

    fn admin(&mut self, n: u8) {
        let standing = self.family.persons.get_mut(&person(n)).unwrap();
        standing.role = Role::Admin;
    }

    fn certify(&mut self, n: u8, person: Option<PersonId>) {
        let (device, cert, level) = (device(n), cert(n), 2);
        let certificate = Certificate {
            device,
            person,
            level,
        };
        self.family.certs.insert(cert, certificate);
        let live = DeviceStanding {
            person,
            level,
            cert,
        };
        self.family.devices.insert(device, live);
    }

    /// The family removes a device.
    fn remove(&mut self, n: u8) {
        self.family.devices.remove(&device(n));
        self.family.retired.insert(cert(n));
    }

    fn append(&mut self, n: u8, inc: u64, follows: Follows) -> EntryId {
        let entry = entry(self.next);
        self.next += 1;
        let link = Link {
            device: device(n),
            inc,
            entry,
            follows,
        };
        let done = self.ledger.append(link);
        assert!(matches!(done, Appended::Grew | Appended::Forked));
        self.heads.insert((n, inc), entry);
        entry
    }

    /// A device adds a photo to its log of an incarnation.
    fn photo(&mut self, n: u8, inc: u64) -> EntryId {
        let before = self.heads.get(&(n, inc));
        let follows = before.map_or(Follows::Certificate(cert(n)), |e| Follows::Entry(*e));
        self.append(n, inc, follows)
    }

    /// The same, after another entry than the last.
    fn fork(&mut self, n: u8, inc: u64, after: EntryId) -> EntryId {
        self.append(n, inc, Follows::Entry(after))
    }

    fn anchor(&mut self, n: u8, named: &[EntryId]) -> EntryId {
        let by = self.photo(n, 1);
        for entry in named {
            self.ledger
                .name(by, Naming::Anchor, *entry, Seen::default());
        }
        by
    }

    /// The same, by a device that had seen some ops.
    fn anchor_having_seen(&mut self, n: u8, named: EntryId, seen: &[OpId]) {
        let by = self.photo(n, 1);
        let seen = Seen {
            ops: seen.into(),
            ..Seen::default()
        };
        self.ledger.name(by, Naming::Anchor, named, seen);
    }

    /// A device says something, having seen some ops.
    fn say_in(&mut self, n: u8, inc: u64, seen: &[OpId], act: Act) -> OpId {
        let op = op(self.next);
        let entry = self.photo(n, inc);
        for seen in seen {
            let number = seen.0[0];
            let named = EntryId([number; 32]);
            self.ledger
                .name(entry, Naming::Deps, named, Seen::default());
        }
        self.access.insert(AccessOp {
            id: op,
            entry,
            writer: Writer {
                device: device(n),
                person: person(n % 10),
                added: self.family.persons[&person(n % 10)].added,
                level: 2,
                cert: cert(n),
            },
            parents: seen.to_vec(),
            act,
        });
        assert_eq!(self.access.waiting(), 0);
        op
    }

    fn say(&mut self, n: u8, seen: &[OpId], act: Act) -> OpId {
        self.say_in(n, 1, seen, act)
    }

    fn set(&mut self, by: u8, seen: &[OpId], n: u8, level: Level, cuts: Vec<Cut>) -> OpId {
        let added = self.family.persons.get(&person(n)).map(|p| p.added);
        let person = person(n);
        let act = Act::Set {
            person,
            added,
            level,
            cuts,
        };
        self.say(by, seen, act)
    }

    fn grant(&mut self, by: u8, seen: &[OpId], n: u8, level: Level) -> OpId {
        self.set(by, seen, n, level, Vec::new())
    }

    fn cut(&mut self, by: u8, seen: &[OpId], cut: Cut) -> OpId {
        self.cut_in(by, 1, seen, cut)
    }

    fn cut_in(&mut self, by: u8, inc: u64, seen: &[OpId], cut: Cut) -> OpId {
        let number = cut.device.0[0] - 1;
        let person = (number != KEEPER).then(|| person(number % 10));
        self.say_in(by, inc, seen, Act::Cut { person, cut })
    }

    /// A cut of a device's logs at these entries.
    fn at(&self, n: u8, entries: &[(u64, EntryId)]) -> Cut {
        let positions = entries.iter().map(|(inc, entry)| Position {
            inc: *inc,
            seq: self.ledger.seq(entry).unwrap_or(9),
            entry: *entry,
        });
        Cut {
            device: device(n),
            positions: positions.collect(),
        }
    }

    fn settle(&self) -> Settled {
        self.access.settle(&self.ledger, &self.family)
    }

    fn standing(&self, entry: EntryId) -> Standing {
        self.standing_for(entry, Level::Contributor)
    }

    fn standing_for(&self, entry: EntryId, need: Level) -> Standing {
        let settled = self.settle();
        settled.standing(&self.ledger, &self.family, &entry, need)
    }

    fn counts(&self, op: OpId) -> bool {
        self.settle().accepted.contains(&op)
    }

    fn level(&self, n: u8) -> Level {
        self.settle().level(&person(n))
    }
}

#[test]
fn what_a_removed_device_wrote_stands_as_far_as_somebody_else_had_seen_it() {
    let mut world = World::new(3);
    let granted = world.grant(0, &[], 1, Level::Contributor);
    let photos = [1, 1, 1].map(|inc| world.photo(1, inc));
    world.anchor(KEEPER, &photos[..1]);
    world.remove(1);
    assert_eq!(world.standing(photos[0]), Standing::Stands);
    assert_eq!(world.standing(photos[1]), Standing::Unconfirmed);

    // A control entry of a live person names the second among its deps.
    world.ledger.name(
        entry(granted.0[0]),
        Naming::Deps,
        photos[1],
        Seen::default(),
    );
    assert_eq!(world.standing(photos[1]), Standing::Stands);
    assert_eq!(world.standing(photos[2]), Standing::Unconfirmed);
}

#[test]
fn nobody_who_was_removed_or_never_let_in_is_a_witness() {
    let mut world = World::new(4);
    world.grant(0, &[], 1, Level::Contributor);
    world.grant(0, &[], 2, Level::Contributor);
    let photo = world.photo(1, 1);
    world.anchor(2, &[photo]);
    world.anchor(3, &[photo]);
    world.anchor(KEEPER, &[photo]);
    world.remove(1);
    world.remove(2);
    world.remove(KEEPER);
    assert_eq!(world.standing(photo), Standing::Unconfirmed);
}

#[test]
fn an_entry_under_a_certificate_that_does_not_count_is_cut() {
    let mut world = World::new(2);
    world.grant(0, &[], 1, Level::Contributor);
    let photo = world.photo(1, 1);
    assert_eq!(world.standing(photo), Standing::Stands);
    world.family.certs.remove(&cert(1));
    assert_eq!(world.standing(photo), Standing::Cut);
}

#[test]
fn a_cut_honours_the_entries_it_names_and_their_ancestors_alone() {
    let mut world = World::new(2);
    let granted = world.grant(0, &[], 1, Level::Contributor);
    let first = world.photo(1, 1);
    let left = world.photo(1, 1);
    let right = world.fork(1, 1, first);
    let further = world.photo(1, 1);
    let unlisted = world.photo(1, 7);
    world.remove(1);
    let cut = world.at(1, &[(1, right)]);
    world.cut(0, &[granted], cut);
    let found = [first, right, left, further, unlisted].map(|entry| world.standing(entry));
    let [stands, cut] = [Standing::Stands, Standing::Cut];
    assert_eq!(found, [stands, stands, cut, cut, cut]);
}

#[test]
fn a_cut_of_a_live_device_leaves_its_other_incarnations_alone() {
    let mut world = World::new(2);
    let granted = world.grant(0, &[], 1, Level::Contributor);
    let before = world.photo(1, 1);
    let after = world.photo(1, 1);
    let cut = world.at(1, &[(1, before)]);
    world.cut(11, &[granted], cut);
    let anew = world.photo(1, 2);
    let found = [before, after, anew].map(|entry| world.standing(entry));
    assert_eq!(found, [Standing::Stands, Standing::Cut, Standing::Stands]);
}

#[test]
fn of_two_cuts_of_one_log_the_smaller_holds() {
    let mut world = World::new(3);
    let granted = world.grant(0, &[], 1, Level::Contributor);
    let managed = world.grant(0, &[granted], 2, Level::Manager);
    let photos = [1, 1, 1].map(|inc| world.photo(1, inc));
    world.remove(1);
    let (wide, narrow) = (
        world.at(1, &[(1, photos[1])]),
        world.at(1, &[(1, photos[0])]),
    );
    world.cut(0, &[managed], wide);
    world.cut(2, &[managed], narrow);
    let found = photos.map(|entry| world.standing(entry));
    assert_eq!(found, [Standing::Stands, Standing::Cut, Standing::Cut]);
}

#[test]
fn a_cut_at_an_entry_that_is_not_here_yet_honours_what_lies_below() {
    let mut world = World::new(2);
    let granted = world.grant(0, &[], 1, Level::Contributor);
    let photos = [1, 1].map(|inc| world.photo(1, inc));
    world.remove(1);
    let mut cut = world.at(1, &[(1, entry(250))]);
    cut.positions[0].seq = 0;
    world.cut(0, &[granted], cut);
    let found = photos.map(|entry| world.standing(entry));
    assert_eq!(found, [Standing::Stands, Standing::Cut]);
}

#[test]
fn nobody_cuts_below_what_others_anchored() {
    let mut world = World::new(2);
    let granted = world.grant(0, &[], 1, Level::Contributor);
    let photos = [1, 1, 1].map(|inc| world.photo(1, inc));
    world.anchor(KEEPER, &photos[1..2]);
    world.remove(1);
    let cut = world.at(1, &[(1, photos[0])]);
    world.cut(0, &[granted], cut);
    let found = |world: &World| photos.map(|entry| world.standing(entry));
    let [stands, cut] = [Standing::Stands, Standing::Cut];
    assert_eq!(found(&world), [stands, stands, cut]);
    world.admin(CREATOR);
    assert_eq!(found(&world), [stands, stands, cut]);
}

#[test]
fn who_had_seen_a_loss_of_access_vouches_for_nothing_while_it_counts() {
    let mut world = World::new(3);
    let one = world.grant(0, &[], 1, Level::Contributor);
    let two = world.grant(0, &[one], 2, Level::Manager);
    let photos = [1, 1].map(|inc| world.photo(1, inc));
    let cut = world.at(1, &[(1, photos[0])]);
    let lowered = world.set(2, &[two], 1, Level::None, vec![cut]);
    world.anchor_having_seen(KEEPER, photos[1], &[lowered]);
    assert!(world.counts(lowered));
    assert_eq!(world.standing(photos[1]), Standing::Cut);

    // Who took it is removed, and it counts no more: nor does it silence who had heard of it.
    let cut = world.at(2, &[]);
    world.cut(0, &[two], cut);
    world.remove(2);
    world.admin(CREATOR);
    assert!(!world.counts(lowered));
    assert_eq!(world.standing(photos[1]), Standing::Stands);
    let cut = world.at(1, &[(1, photos[0])]);
    world.cut(0, &[two], cut);
    world.remove(1);
    assert_eq!(world.standing(photos[1]), Standing::Stands);
}

#[test]
fn a_cut_by_who_manages_nothing_fells_no_grant_that_others_anchored() {
    let mut world = World::new(3);
    let one = world.grant(0, &[], 1, Level::Manager);
    let photo = world.photo(1, 1);
    let two = world.grant(1, &[one], 2, Level::Contributor);
    world.anchor(KEEPER, &[entry(two.0[0])]);
    let lowered = world.grant(0, &[two], 1, Level::Contributor);
    // By another device of the same person.
    let cut = world.at(1, &[(1, photo)]);
    world.cut(11, &[lowered], cut);
    world.remove(1);
    assert!(world.counts(two));
}

#[test]
fn what_any_live_device_had_of_a_removed_one_is_not_cut_off() {
    let mut world = World::new(2);
    let granted = world.grant(0, &[], 1, Level::Manager);
    let photos = [0, 0, 0].map(|_| world.photo(0, 1));
    // As by one of the same person, which says what it had before it takes the removal in.
    world.anchor(1, &photos[1..2]);
    let cut = world.at(0, &[(1, photos[0])]);
    world.cut(1, &[granted], cut);
    world.remove(0);
    let found = photos.map(|entry| world.standing(entry));
    assert_eq!(found, [Standing::Stands, Standing::Stands, Standing::Cut]);
}

#[test]
fn a_junior_manager_cuts_a_seniors_device_once_that_was_removed() {
    let mut world = World::new(2);
    let granted = world.grant(0, &[], 1, Level::Manager);
    let kept = world.photo(0, 1);
    let photo = world.photo(0, 1);
    let cut = world.at(0, &[(1, kept)]);
    let cut = world.cut(1, &[granted], cut);
    assert!(!world.counts(cut));
    assert_eq!(world.standing(photo), Standing::Stands);
    world.remove(0);
    assert!(world.counts(cut));
    assert_eq!(world.standing(photo), Standing::Cut);
    assert_eq!(world.standing(kept), Standing::Stands);
}

#[test]
fn a_cut_does_not_reach_below_the_grant_of_its_author() {
    let mut world = World::new(2);
    let first = world.photo(0, 1);
    let granted = world.grant(0, &[], 1, Level::Manager);
    let photo = world.photo(0, 1);
    world.remove(0);
    let cut = world.at(0, &[(1, first)]);
    let cut = world.cut(1, &[granted], cut);
    assert!(world.counts(cut));
    assert_eq!(world.standing(entry(granted.0[0])), Standing::Stands);
    assert_eq!(world.standing(photo), Standing::Cut);
    assert_eq!(world.level(1), Level::Manager);
}

#[test]
fn an_admin_cuts_a_removed_device_where_no_manager_is_left() {
    let mut world = World::new(2);
    world.admin(1);
    let photos = [1, 1].map(|inc| world.photo(0, inc));
    let cut = world.at(0, &[(1, photos[0])]);
    let cut = world.cut(1, &[], cut);
    world.remove(0);
    assert!(!world.counts(cut), "the creator's other device is live");
    world.remove(10);
    assert!(world.counts(cut));
    let found = photos.map(|entry| world.standing(entry));
    assert_eq!(found, [Standing::Stands, Standing::Cut]);
}

#[test]
fn a_cut_that_falls_under_another_does_not_count() {
    let mut world = World::new(3);
    let one = world.grant(0, &[], 1, Level::Manager);
    let two = world.grant(0, &[one], 2, Level::Manager);
    let kept = world.photo(1, 1);
    let innocent = world.photo(2, 1);
    let bad = world.photo(2, 1);
    // The thief of device 1, senior to 2, cuts its log; device 11 cuts what the thief wrote.
    let cut = world.at(2, &[(1, innocent)]);
    let thief = world.cut(1, &[two], cut);
    assert_eq!(world.standing(bad), Standing::Cut);
    let cut = world.at(1, &[(1, kept)]);
    let own = world.cut(11, &[two], cut);
    assert!(world.counts(own) && !world.counts(thief));
    assert_eq!(world.standing(bad), Standing::Stands);
}

#[test]
fn of_two_cuts_that_fell_each_other_the_senior_counts() {
    let mut world = World::new(3);
    let one = world.grant(0, &[], 1, Level::Manager);
    let two = world.grant(0, &[one], 2, Level::Manager);
    // The senior cuts the creator's log below the junior's grant, the junior the senior's. That others anchored
    // both keeps no cut from the other: these are a manager's acts.
    let kept = world.photo(1, 1);
    let cut = world.at(0, &[(1, entry(one.0[0]))]);
    let senior = world.cut(1, &[two], cut);
    let cut = world.at(1, &[(1, kept)]);
    let junior = world.cut(2, &[two], cut);
    world.anchor(KEEPER, &[entry(senior.0[0]), entry(junior.0[0])]);
    for removed in [0, 1] {
        world.remove(removed);
        world.admin(removed);
    }
    world.admin(2);
    assert!(world.counts(senior) && !world.counts(junior));
    assert!(world.counts(one) && !world.counts(two));
}

#[test]
fn a_lowering_cuts_what_needs_more_and_leaves_the_rest() {
    let mut world = World::new(3);
    let granted = world.grant(0, &[], 1, Level::Manager);
    let before = world.photo(1, 1);
    let after = world.photo(1, 1);
    let cuts = vec![world.at(1, &[(1, before)])];
    world.set(0, &[granted], 1, Level::Contributor, cuts);
    assert_eq!(world.level(1), Level::Contributor);
    assert_eq!(world.standing(after), Standing::Stands);
    assert_eq!(world.standing_for(after, Level::Manager), Standing::Cut);
    assert_eq!(world.standing_for(before, Level::Manager), Standing::Stands);
    let settled = world.settle();
    assert_eq!(settled.highest[&person(1)], Level::Manager);
    assert_eq!(settled.lowered.len(), 1);
}

#[test]
fn whom_a_lowered_manager_let_in_above_the_cut_is_not_in() {
    let mut world = World::new(4);
    let granted = world.grant(0, &[], 1, Level::Manager);
    let inside = world.grant(1, &[granted], 2, Level::Contributor);
    let cuts = vec![world.at(1, &[(1, entry(inside.0[0]))])];
    let outside = world.grant(1, &[granted], 3, Level::Contributor);
    world.set(0, &[inside], 1, Level::None, cuts);
    assert!(world.counts(inside) && !world.counts(outside));
    let levels = [1, 2, 3].map(|n| world.level(n));
    assert_eq!(levels, [Level::None, Level::Contributor, Level::None]);
}

#[test]
fn two_devices_of_a_lowered_person_do_not_vouch_for_each_other() {
    let mut world = World::new(2);
    let granted = world.grant(0, &[], 1, Level::Contributor);
    let here = world.photo(1, 1);
    let there = world.anchor(11, &[here]);
    world.anchor(1, &[there]);
    world.grant(0, &[granted], 1, Level::None);
    assert_eq!(world.standing(here), Standing::Unconfirmed);
    assert_eq!(world.standing(there), Standing::Unconfirmed);
    world.anchor(KEEPER, &[here]);
    assert_eq!(world.standing(here), Standing::Stands);
    assert_eq!(world.standing(there), Standing::Unconfirmed);
}

#[test]
fn a_person_lowered_to_viewer_confirms_nothing_of_their_own() {
    let mut world = World::new(2);
    let granted = world.grant(0, &[], 1, Level::Contributor);
    world.grant(0, &[granted], 1, Level::Viewer);
    let photo = world.photo(1, 1);
    let anchor = world.anchor(11, &[photo]);
    assert_eq!(world.standing_for(anchor, Level::Viewer), Standing::Stands);
    assert_eq!(world.standing(photo), Standing::Unconfirmed);
}

#[test]
fn a_person_let_in_again_goes_on_in_a_new_incarnation() {
    let mut world = World::new(3);
    let one = world.grant(0, &[], 1, Level::Manager);
    let two = world.grant(0, &[one], 2, Level::Contributor);
    let before = world.photo(2, 1);
    let after = world.photo(2, 1);
    let cuts = vec![world.at(2, &[(1, before)])];
    let lowered = world.set(1, &[two], 2, Level::None, cuts);
    let anew = world.photo(2, 2);
    assert_eq!(world.standing(anew), Standing::Cut);
    // The creator's grant comes before the manager's lowering in order, and has seen it.
    world.grant(0, &[lowered], 2, Level::Contributor);
    let found = [before, after, anew].map(|entry| world.standing(entry));
    assert_eq!(found, [Standing::Stands, Standing::Cut, Standing::Stands]);
    assert_eq!(world.level(2), Level::Contributor);
}

#[test]
fn of_two_managers_who_lower_each_other_the_senior_stays() {
    let mut world = World::new(3);
    let one = world.grant(0, &[], 1, Level::Manager);
    let two = world.grant(0, &[one], 2, Level::Manager);
    let first = world.photo(1, 1);
    let second = world.photo(2, 1);
    let (cut_first, cut_second) = (world.at(1, &[(1, first)]), world.at(2, &[(1, second)]));
    world.set(2, &[two], 1, Level::None, vec![cut_first]);
    world.set(1, &[two], 2, Level::None, vec![cut_second]);
    assert_eq!(
        [world.level(1), world.level(2)],
        [Level::Manager, Level::None]
    );
}

#[test]
fn neither_the_creator_nor_the_last_live_manager_is_lowered() {
    let mut world = World::new(3);
    let one = world.grant(0, &[], 1, Level::Manager);
    world.grant(1, &[one], 0, Level::None);
    assert_eq!(world.level(0), Level::Manager);
    let leaves = world.grant(1, &[one], 1, Level::None);
    assert_eq!(world.level(1), Level::None);
    world.remove(0);
    world.remove(10);
    assert!(!world.counts(leaves));
    assert_eq!(world.level(1), Level::Manager);
}

#[test]
fn a_person_added_to_the_family_again_is_let_in_again() {
    let mut world = World::new(3);
    let granted = world.grant(0, &[], 1, Level::Manager);
    world.join(1, 201);
    assert_eq!(world.level(1), Level::None);
    world.grant(1, &[granted], 2, Level::Viewer);
    assert_eq!(world.level(2), Level::None);
    world.grant(0, &[granted], 1, Level::Viewer);
    assert_eq!(world.level(1), Level::Viewer);
}

#[test]
fn above_a_fork_entries_wait_for_a_witness_or_a_cut_that_names_their_branch() {
    let mut world = World::new(2);
    let granted = world.grant(0, &[], 1, Level::Contributor);
    let first = world.photo(1, 1);
    let left = world.photo(1, 1);
    let right = world.fork(1, 1, first);
    let found = |world: &World| [first, left, right].map(|entry| world.standing(entry));
    let [stands, waits] = [Standing::Stands, Standing::Suspended];
    assert_eq!(found(&world), [stands, waits, waits]);
    world.anchor(KEEPER, &[left]);
    assert_eq!(found(&world), [stands, stands, waits]);
    let both = world.at(1, &[(1, left), (1, right)]);
    world.cut(11, &[granted], both);
    assert_eq!(found(&world), [stands, stands, stands]);
}

#[test]
fn a_setting_that_saw_the_others_applies_and_else_the_most_senior() {
    let mut world = World::new(2);
    let granted = world.grant(0, &[], 1, Level::Manager);
    let early = world.say(0, &[granted], Act::Keepers);
    let junior = world.say(1, &[granted], Act::Keepers);
    assert_eq!(world.settle().keepers, Some(early));
    let last = world.say(1, &[early, junior], Act::Keepers);
    assert_eq!(world.settle().keepers, Some(last));
    assert_eq!(world.settle().closed, None);
}

#[test]
fn no_contributor_grants_or_sets_anything() {
    let mut world = World::new(3);
    let granted = world.grant(0, &[], 1, Level::Contributor);
    world.grant(1, &[granted], 2, Level::Viewer);
    world.grant(1, &[granted], 1, Level::Manager);
    world.say(1, &[granted], Act::Close);
    let cut = world.at(0, &[]);
    world.cut(1, &[granted], cut);
    assert_eq!(world.settle().accepted, [granted].into());
}

/// One person's two devices in turn, each time in a new incarnation, cut what the other said last.
fn quarrel(length: u8) -> Vec<bool> {
    let mut world = World::new(2);
    let granted = world.grant(0, &[], 1, Level::Contributor);
    let mut cuts = Vec::new();
    let mut before: Option<(u8, u64, EntryId)> = None;
    for turn in 0..length {
        let (by, inc) = (1 + turn % 2 * 10, 100 + u64::from(turn));
        let photo = world.photo(by, inc);
        let cut = before.map_or(world.at(by, &[]), |(n, inc, kept)| {
            world.at(n, &[(inc, kept)])
        });
        cuts.push(world.cut_in(by, inc, &[granted], cut));
        before = Some((by, inc, photo));
    }
    let settled = world.settle();
    cuts.iter()
        .map(|cut| settled.accepted.contains(cut))
        .collect()
}

#[test]
fn in_a_chain_of_cuts_every_second_one_counts_from_the_last() {
    assert_eq!(quarrel(5), [true, false, true, false, true]);
    assert_eq!(quarrel(6), [false, true, false, true, false, true]);
}

#[test]
fn a_quarrel_without_end_is_settled_all_the_same() {
    let counts = quarrel(100);
    assert_eq!(counts[98..], [false, true]);
}
