//! A home copied and run twice: what both sides wrote is kept, and counts once somebody vouched for it.

use super::*;
use crate::{album::epoch::Reader, crypto::RecipientKind};

/// A copy of a device, as somebody makes who copies its home.
fn copy(of: &Device) -> Device {
    let genesis = of.replica.control().genesis().clone();
    let keys = of.replica.keys.clone();
    let replica = Replica::new(keys, of.replica.incarnation(), of.replica.family(), genesis);
    let mut copy = Device {
        replica,
        entries: BTreeMap::new(),
        rng: SeededRng::from_seed([99; 32]),
        now: of.now,
    };
    pull(&mut copy, of);
    assert_eq!(copy.entries.len(), of.entries.len());
    let log = copy.replica.own_log(of.replica.family().control_space());
    assert!(copy.replica.log(&log).is_some());
    copy
}

struct Forked {
    anna: Device,
    clone: Device,
    pi: Device,
    space: SpaceId,
    /// Before the copy, and on each side after it.
    photos: [OpId; 3],
}

/// A laptop whose home was copied, both sides of which wrote, and a second device that met both.
fn forked() -> Forked {
    let mut anna = founder();
    let space = album(&mut anna, "Summer");
    let mut pi = joins(&mut anna, 2, None);
    let before = anna.add_photo(space, "before.jpg");
    let mut clone = copy(&anna);
    let here = anna.add_photo(space, "here.jpg");
    clone.now.0 += 5;
    let there = clone.add_photo(space, "there.jpg");
    pull(&mut pi, &anna);
    pull(&mut pi, &clone);
    Forked {
        anna,
        clone,
        pi,
        space,
        photos: [before, here, there],
    }
}

fn shown(device: &Device, of: &Forked) -> [bool; 3] {
    let assets = device.assets(of.space);
    of.photos.map(|photo| {
        assets
            .get(&photo)
            .is_some_and(|asset| asset.added.is_some())
    })
}

/// Every log and branch of a space, with its first and last place and the last entry.
fn names(device: &Device, space: SpaceId) -> Vec<(LogId, u32, u32, EntryId)> {
    let logs = device.replica.logs_of(space);
    let ends = logs.filter_map(|(log, state)| {
        let (seq, last) = state.head()?;
        Some((*log, state.first, seq, last))
    });
    ends.collect()
}

#[test]
fn both_branches_of_a_fork_are_kept_and_have_the_same_names_everywhere() {
    let mut world = forked();
    assert_eq!(world.pi.entries.len(), world.anna.entries.len() + 1);
    pull(&mut world.anna, &world.pi);
    pull(&mut world.clone, &world.pi);
    let expected = names(&world.pi, world.space);
    assert_eq!(expected.len(), 3);
    assert_eq!(names(&world.anna, world.space), expected);
    assert_eq!(names(&world.clone, world.space), expected);
}

#[test]
fn what_lies_above_a_fork_is_shown_once_another_device_has_anchored_it() {
    let mut world = forked();
    assert_eq!(shown(&world.pi, &world), [true, false, false]);
    let anchor = world.pi.replica.record_anchor(world.space, world.pi.now);
    let anchor = anchor.unwrap().expect("something is new");
    world.pi.keep(anchor);
    assert_eq!(shown(&world.pi, &world), [true, true, true]);
    let again = world.pi.replica.record_anchor(world.space, world.pi.now);
    assert_eq!(again, Ok(None));
    pull(&mut world.anna, &world.pi);
    assert_eq!(shown(&world.anna, &world), [true, true, true]);
    assert_eq!(world.anna.assets(world.space).len(), 3);
}

#[test]
fn a_device_shows_its_own_side_of_a_fork_before_anybody_vouches_for_it() {
    let mut world = forked();
    pull(&mut world.anna, &world.pi);
    pull(&mut world.clone, &world.pi);
    assert_eq!(shown(&world.anna, &world), [true, true, false]);
    assert_eq!(shown(&world.clone, &world), [true, false, true]);
    assert_eq!(shown(&world.pi, &world), [true, false, false]);
    // Its word of its own vouches for nothing elsewhere.
    let anchor = world
        .anna
        .replica
        .record_anchor(world.space, world.anna.now);
    if let Ok(Some(anchor)) = anchor {
        world.anna.keep(anchor);
    }
    pull(&mut world.pi, &world.anna);
    assert_eq!(shown(&world.pi, &world), [true, false, false]);
}

#[test]
fn an_anchor_that_comes_before_what_it_names_counts_once_that_is_here() {
    let mut world = forked();
    let later = world.anna.add_photo(world.space, "later.jpg");
    pull(&mut world.pi, &world.anna);
    let anchor = world.pi.replica.record_anchor(world.space, world.pi.now);
    world.pi.keep(anchor.unwrap().expect("something is new"));
    let mut left: Vec<_> = world.pi.entries.values().cloned().collect();
    // The anchor first, then each log in its order.
    left.sort_by_key(|entry| {
        (
            entry.header().device != world.pi.replica.device(),
            entry.header().seq,
        )
    });
    for entry in left {
        match world.clone.replica.accept(&entry, world.clone.now) {
            Ok(_) => drop(world.clone.entries.insert(entry.id(), entry)),
            Err(refusal) => assert_eq!(refusal, Refusal::AlreadyHere),
        }
    }
    assert_eq!(shown(&world.clone, &world), [true, true, true]);
    assert!(world.clone.assets(world.space)[&later].added.is_some());
}

#[test]
fn a_thief_who_signs_one_entry_at_the_start_of_a_log_voids_nothing_that_was_anchored() {
    let mut anna = founder();
    let space = album(&mut anna, "Summer");
    let mut pi = joins(&mut anna, 2, None);
    let mut thief = copy(&anna);
    let photos: Vec<_> = (0..5).map(|_| anna.add_photo(space, "ours.jpg")).collect();
    pull(&mut pi, &anna);
    let anchor = pi.replica.record_anchor(space, pi.now).unwrap();
    pi.keep(anchor.expect("something is new"));
    thief.now.0 += 1_000_000;
    let forged = thief.record(
        space,
        vec![Op::Trash(Items {
            items: photos.clone(),
        })],
        Vec::new(),
    );
    pull(&mut pi, &thief);
    assert!(pi.entries.contains_key(&forged));
    let assets = pi.assets(space);
    for photo in photos {
        assert!(assets[&photo].added.is_some());
        assert!(assets[&photo].trashed().is_none());
    }
}

#[test]
fn a_device_whose_log_forked_writes_on_in_a_new_incarnation_and_loses_nothing() {
    let mut world = forked();
    pull(&mut world.anna, &world.pi);
    let anna = &mut world.anna;
    let refused = anna.replica.record(
        world.space,
        Vec::new(),
        Vec::new(),
        Vec::new(),
        anna.now,
        &mut anna.rng,
    );
    assert_eq!(refused, Err(WriteError::Forked));
    anna.replica.renew(77);
    let later = anna.add_photo(world.space, "later.jpg");
    pull(&mut world.pi, &world.anna);
    assert!(world.pi.assets(world.space)[&later].added.is_some());
}

#[test]
fn a_control_log_that_forked_splits_nobodys_view() {
    let mut anna = founder();
    let mut pi = joins(&mut anna, 2, None);
    pull(&mut pi, &anna);
    let mut clone = copy(&anna);
    let _ben = joins(&mut anna, 3, Some((PersonId([3; 16]), Role::Member)));
    let _cleo = joins(&mut clone, 4, Some((PersonId([4; 16]), Role::Member)));
    let mut other = joins_as_copy(&anna, &pi);
    pull(&mut pi, &anna);
    pull(&mut pi, &clone);
    pull(&mut other, &clone);
    pull(&mut other, &anna);
    assert_eq!(pi.replica.words(), other.replica.words());
    assert_eq!(pi.replica.persons().len(), 3);
    assert_eq!(names(&pi, pi.replica.family().control_space()).len(), 3);
}

/// Another device with the keys of `like`, that knows nothing yet.
fn joins_as_copy(by: &Device, like: &Device) -> Device {
    let genesis = by.replica.control().genesis().clone();
    Device {
        replica: Replica::new(like.replica.keys.clone(), 5, by.replica.family(), genesis),
        entries: BTreeMap::new(),
        rng: SeededRng::from_seed([98; 32]),
        now: by.now,
    }
}

#[test]
fn an_album_whose_log_forked_keeps_no_keys_from_others() {
    let mut world = forked();
    let other = album(&mut world.anna, "Winter");
    pull(&mut world.anna, &world.pi);
    let anna = &mut world.anna;
    let mut rng = SeededRng::from_seed([5; 32]);
    let keys = Arc::new(DeviceKeys::generate(&mut rng));
    let person = anna.replica.person().unwrap();
    let add = sign_device(&keys, anna.replica.family(), person, DeviceKind::Device);
    let admitted = anna
        .replica
        .record_control(vec![Op::AddDevice(add)], anna.now);
    anna.keep(admitted.unwrap());
    let tended = anna.replica.tend(anna.now, &mut anna.rng).unwrap();
    let spaces: Vec<_> = tended.entries.iter().map(|e| e.header().space).collect();
    assert!(spaces.contains(&anna.replica.family().control_space()));
    assert!(spaces.contains(&other));
    assert!(!spaces.contains(&world.space));
}

#[test]
fn a_removal_that_cannot_be_written_whole_is_not_written_at_all() {
    let mut world = forked();
    pull(&mut world.anna, &world.pi);
    let anna = &mut world.anna;
    let control = anna.replica.own_log(anna.replica.family().control_space());
    let before = anna.replica.log(&control).cloned();
    let removal = Op::RemoveDevice((world.pi.replica.device(),));
    let refused = anna
        .replica
        .record_removal(removal, anna.now, &mut anna.rng);
    assert_eq!(refused, Err(WriteError::Forked));
    assert_eq!(anna.replica.log(&control).cloned(), before);
}

/// As where it was given on a grant that does not count after all.
#[test]
fn a_key_that_somebody_else_was_given_is_written_under_no_more() {
    let mut anna = founder();
    let space = album(&mut anna, "Summer");
    anna.add_photo(space, "before.jpg");
    let given = anna.replica.album_epoch(&space).unwrap();
    anna.add_photo(space, "still.jpg");
    assert_eq!(anna.replica.album_epoch(&space), Some(given));

    let stranger = DeviceKeys::generate(&mut anna.rng);
    let reader = Reader {
        kind: RecipientKind::Device,
        id: stranger.sign.id(),
        cert: OpId([7; 32]),
        seal: stranger.seal_public(),
    };
    let (family, author) = (anna.replica.family(), anna.replica.device());
    let epochs = &mut anna.replica.albums.get_mut(&space).unwrap().epochs;
    let seals = epochs.seal_more(family, given, author, &[reader], &mut anna.rng);
    assert_eq!(seals.len(), 1);
    epochs.add_boxes(given, author, &seals);
    anna.add_photo(space, "after.jpg");
    let fresh = anna.replica.album_epoch(&space).unwrap();
    assert_ne!(fresh, given);
}

#[test]
fn a_kit_says_nothing_where_the_keys_cannot_be_renewed_with_it() {
    let mut anna = founder();
    let [old, new] = [(); 2].map(|()| RecoveryKit::generate(&mut anna.rng));
    let first = anna
        .replica
        .record_recovery(None, &old, 1, anna.now, &mut anna.rng);
    anna.keep(first.unwrap());
    let person = anna.replica.person().unwrap();
    assert_eq!(anna.replica.kit_of(&person), Some(old.sign().id()));
    let mut clone = copy(&anna);
    for (device, name) in [(&mut anna, "Berg"), (&mut clone, "Burg")] {
        let named = [(Subject::Family, name)];
        let recorded = device
            .replica
            .record_names(&named, device.now, &mut device.rng);
        device.keep(recorded.unwrap());
    }
    pull(&mut anna, &clone);
    let control = anna.replica.family().control_space();
    let before = names(&anna, control);
    let refused = anna
        .replica
        .record_recovery(Some(&old), &new, 2, anna.now, &mut anna.rng);
    assert_eq!(refused, Err(WriteError::Forked));
    assert_eq!(names(&anna, control), before);
}

#[test]
fn an_anchor_counts_once_the_last_of_what_it_names_is_here() {
    let mut world = forked();
    let mut tom = joins(&mut world.anna, 4, None);
    world.clone.add_photo(world.space, "last.jpg");
    let photos = world.clone.entries.values().map(Entry::header);
    let photos = photos.filter(|header| header.space == world.space && !header.is_control());
    let last = photos.max_by_key(|header| header.seq).cloned().unwrap();
    pull(&mut world.pi, &world.clone);
    pull(&mut world.pi, &world.anna);
    let anchor = world.pi.replica.record_anchor(world.space, world.pi.now);
    world.pi.keep(anchor.unwrap().expect("something is new"));
    let entries = &mut world.pi.entries;
    let late = entries.values().find(|entry| *entry.header() == last);
    let late = late.map(Entry::id).and_then(|id| entries.remove(&id));
    let late = late.unwrap();
    pull(&mut tom, &world.pi);
    world.pi.entries.insert(late.id(), late);
    pull(&mut tom, &world.pi);
    assert_eq!(shown(&tom, &world), [true, true, true]);
    assert_eq!(tom.assets(world.space), world.pi.assets(world.space));
}
