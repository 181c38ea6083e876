//! A member that deletes whatever it can while a family lives, and somebody who takes that back.
//!
//! Nobody else deletes in these worlds, and clocks are right: what a wrong one does to the order of
//! deeds is for the other seeds. All else goes wrong as it does there.

use std::collections::{BTreeMap, BTreeSet};

use heirloom_protocol::{
    id::{OpId, SpaceId},
    op::{Items, Level, Op},
};

use crate::{
    Options, STEPS,
    check::{self, albums_of, family, readers_of},
    comes_to_rest,
    faults::Faults,
    numbers::{asked, report},
    settle,
    story::{Draft, Habits, Said},
    world::{Event, Todo, World},
};

/// Worlds in which somebody deletes everything.
const WORLDS: u64 = 20;
/// The first seed of them.
const FIRST: u64 = 20_000;

type Deleted = BTreeMap<SpaceId, BTreeSet<OpId>>;

fn world(seed: u64) -> World {
    let mut scene = |faults: &mut Faults, habits: &mut Habits| {
        (faults.skew, faults.jump) = (0, 0);
        habits.trash = false;
    };
    crate::born(seed, Options::default(), &mut scene)
}

fn say(world: &mut World, at: usize, space: SpaceId, op: Op) {
    let draft = Draft::new(Said::Album(space, vec![op], Vec::new()));
    world.seats[at].inbox_push(Todo::Say(Box::new(draft)));
    world.wake(at);
}

/// One device puts all that it sees into the trash, with the rights that it has.
fn deletes_everything(world: &mut World) {
    let able = (0..world.seats.len()).filter(|at| {
        let seat = &world.seats[*at];
        seat.device.is_member() && seat.device.is_whole() && !seat.device.bad && !seat.full
    });
    let able: Vec<_> = able.collect();
    let Some(at) = world.dice.pick(&able).copied() else {
        return;
    };
    for space in world.writable(at, Level::Contributor) {
        let assets = &world.seats[at].device.disk.catalog.assets;
        let seen = assets.keys().filter(|(of, _)| *of == space);
        let items: Vec<_> = seen.map(|(_, item)| *item).collect();
        if !items.is_empty() {
            say(world, at, space, Op::Trash(Items { items }));
        }
    }
}

/// What lies in the trash for anybody who looks at an album with the others.
fn deleted(world: &World) -> Deleted {
    let mut deleted = Deleted::new();
    let family = family(world);
    for space in albums_of(world, &family) {
        for device in readers_of(world, &family, space) {
            let assets = device.disk.catalog.assets.iter();
            let trashed =
                assets.filter(|((of, _), asset)| *of == space && asset.trashed().is_some());
            let items = trashed.map(|((_, item), _)| *item);
            deleted.entry(space).or_default().extend(items);
        }
    }
    deleted.retain(|_, items| !items.is_empty());
    deleted
}

/// A manager of each album takes the deletions back; those where there is one.
fn takes_back(world: &mut World, deleted: &Deleted) -> Deleted {
    let mut taken = Deleted::new();
    let family = family(world);
    for (space, items) in deleted {
        let readers = readers_of(world, &family, *space);
        let manages = |at: &&usize| {
            let device = &world.seats[**at].device;
            let is_there = readers.iter().any(|reader| std::ptr::eq(*reader, device));
            is_there && device.level(space) >= Level::Manager
        };
        let Some(at) = family.iter().find(manages).copied() else {
            continue;
        };
        let restored: Vec<_> = items.iter().copied().collect();
        say(world, at, *space, Op::Restore(Items { items: restored }));
        taken.insert(*space, items.clone());
    }
    taken
}

/// How many items somebody deleted in a world, and how many of them came back.
fn goes_wild(seed: u64) -> Result<(usize, usize), String> {
    let mut world = world(seed);
    for part in 0..2 {
        world.story_left = STEPS / 2;
        world.after(10, Event::Story);
        world.run_story();
        if part == 0 {
            deletes_everything(&mut world);
        }
    }
    comes_to_rest(&mut world);
    let gone = deleted(&world);
    let taken = takes_back(&mut world, &gone);
    settle(&mut world);
    let still = deleted(&world);
    if let Some(space) = taken.keys().find(|space| still.contains_key(space)) {
        let left = still[space].len();
        world.fail(format!("{left} items of {space} stay in the trash"));
    }
    // Last, as it has devices try what they are not to have.
    if world.failure.is_none()
        && let Err(what) = check::at_rest(&mut world)
    {
        world.fail(what);
    }
    let count = |of: &Deleted| of.values().map(BTreeSet::len).sum();
    match world.failure {
        Some(what) => Err(what),
        None => Ok((count(&gone), count(&taken))),
    }
}

#[test]
fn whatever_one_member_deletes_comes_back() {
    let worlds = asked("HEIRLOOM_SIM_SPREES", WORLDS);
    let (mut gone, mut back, mut failed) = (0, 0, Vec::new());
    for seed in FIRST..FIRST + worlds {
        match goes_wild(seed) {
            Ok((deleted, taken)) => {
                gone += deleted;
                back += taken;
            }
            Err(what) => failed.push(format!("seed {seed}: {what}")),
        }
    }
    assert!(failed.is_empty(), "{failed:#?}");
    assert!(back > 0, "nothing was ever deleted");
    report(&format!(
        "mass deletions: {worlds} worlds, {gone} items in the trash, {back} of them in albums with a manager, and all of these came back"
    ));
}
