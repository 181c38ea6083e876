//! Simulated families: one seed replays one family's life, and says whether it went well.
//!
//! ```text
//! cargo test --test sim                          200 seeds, the known ones and the sabotage
//! HEIRLOOM_SIM_SEEDS=100000 cargo test --test sim --release
//! SIM_SEED=8123 cargo test --test sim -- --nocapture    one seed, with a log of what happens
//! ```
//!
//! Many devices, each a real `Replica` with real sessions and a disk of which
//! only what was synced survives; a network that cuts, delays and parts; clocks
//! that are decades off. What must hold is in `check.rs`. Nothing here depends on
//! the machine, the time or the order of threads.

mod blobs;
mod check;
mod device;
mod dice;
mod disk;
mod join;
mod story;
mod world;

use dice::Dice;
use story::{Faults, Habits, Sabotage};
use world::{Event, World};

/// Seeds that once failed, each with what it found.
const REGRESSIONS: &[u64] = &[];
/// Seeds that always run.
const SEEDS: u64 = 200;
/// Steps of a story.
const STEPS: u32 = 120;
/// Time that a family has to come to rest once nothing goes wrong any more.
const REST_MS: u64 = 20 * 60 * 1000;

/// What one world came to.
struct Outcome {
    failure: Option<String>,
    devices: usize,
    steps: u64,
    /// Milliseconds from the end of the faults until all had come to rest.
    rest: u64,
}

fn run(seed: u64, sabotage: Option<Sabotage>, trace: bool) -> Outcome {
    let mut dice = Dice::new(seed);
    let faults = Faults::roll(&mut dice);
    let habits = Habits::roll(&mut dice);
    if trace {
        eprintln!("seed {seed}\n{faults:?}\n{habits:?}");
    }
    let mut world = World::new(dice, faults, habits, sabotage, trace);
    world.found();
    world.story_left = STEPS;
    world.after(10, Event::Story);
    world.run_story();
    let rest = settle(&mut world);
    if world.failure.is_none()
        && let Err(what) = check::at_rest(&mut world)
    {
        world.fail(what);
    }
    Outcome {
        failure: world.failure,
        devices: world.seats.len(),
        steps: world.steps,
        rest,
    }
}

/// Ends all faults and waits until everybody has everything.
fn settle(world: &mut World) -> u64 {
    world.faults = Faults::none();
    world.heal();
    let from = world.now;
    loop {
        if world.failure.is_some() {
            return world.now - from;
        }
        let lacking = check::converged(world);
        let Err(what) = lacking else {
            return world.now - from;
        };
        if world.now >= from + REST_MS {
            world.fail(format!("no rest: {what}"));
            return world.now - from;
        }
        world.run(world.now + 2_000);
    }
}

fn seeds() -> Vec<u64> {
    let number = |name: &str| std::env::var(name).ok()?.parse::<u64>().ok();
    let most = number("HEIRLOOM_SIM_SEEDS").unwrap_or(SEEDS);
    let first = number("HEIRLOOM_SIM_FIRST").unwrap_or(0);
    let known = REGRESSIONS.iter().copied();
    known.chain(first..first + most).collect()
}

#[test]
fn families_live_and_come_to_rest() {
    if let Some(seed) = std::env::var("SIM_SEED").ok().and_then(|text| text.parse().ok()) {
        let outcome = run(seed, None, true);
        assert_eq!(outcome.failure, None, "seed {seed}");
        return;
    }
    let seeds = seeds();
    let (mut failed, mut devices, mut steps, mut rest) = (Vec::new(), 0, 0, 0);
    for seed in seeds.iter().copied() {
        let outcome = run(seed, None, false);
        devices += outcome.devices;
        steps += outcome.steps;
        rest = rest.max(outcome.rest);
        if let Some(what) = outcome.failure {
            eprintln!("seed {seed}: {what}\n    SIM_SEED={seed} cargo test --test sim -- --nocapture");
            failed.push(seed);
        }
    }
    let worlds = seeds.len();
    eprintln!("{worlds} worlds, {devices} devices, {steps} events, longest rest {rest} ms");
    assert_eq!(failed, [], "{} of {worlds} worlds failed", failed.len());
}
