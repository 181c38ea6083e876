//! Any two states become one: forked logs, random histories, random order.

use super::*;
use crate::numbers::cases;

pub(super) fn fork(store: &mut Memory, by: u8, from: u32, len: u32, salt: u8) {
    let mut prev = EntryId::ZERO;
    for seq in 0..from + len {
        let salt = if seq < from { 0 } else { salt };
        let draft = Draft {
            space: album(0),
            device: device(by),
            inc: 5,
            seq,
            prev,
            control: false,
            deps: vec![],
        };
        let mut entry = draft.bytes(0);
        // Any flag but that of control entries makes another entry of it.
        entry.header[2] = salt << 1;
        store.accept(&entry);
        prev = id(&entry);
    }
}

#[test]
fn forked_logs_meet_whatever_each_side_knows_of_the_fork() {
    // What each side holds: (position of the fork, length beyond it, which branch).
    let known = [
        (100, 40, 1),
        (100, 7, 2),
        (30, 90, 3),
        (100, 60, 1),
        (0, 10, 4),
    ];
    for left in 1_u32..32 {
        for right in 1_u32..32 {
            let (mut a, mut b) = (library(1, 0), library(1, 0));
            for (at, (from, len, salt)) in known.into_iter().enumerate() {
                if left & (1 << at) != 0 {
                    fork(&mut a, 9, from, len, salt);
                }
                if right & (1 << at) != 0 {
                    fork(&mut b, 9, from, len, salt);
                }
            }
            let mut pair = Pair::new(a, b);
            pair.run(400);
            pair.assert_converged();
        }
    }
}

#[test]
fn blobs_have_one_name_only_where_both_know_of_the_fork() {
    let (mut a, mut b) = (library(1, 0), library(1, 0));
    fork(&mut a, 9, 5, 1, 1);
    fork(&mut b, 9, 5, 3, 2);
    let all = [&a, &b].map(Memory::ids);
    let mut pair = Pair::new(a, b);
    let mut turn = 0;
    loop {
        for end in &pair.ends {
            let held = end.store.ids();
            let lacks = all.iter().flatten().any(|id| !held.contains(id));
            let is_alike = end.session.names_alike(album(0));
            assert!(!(lacks && is_alike), "step {turn}");
        }
        if !pair.step(turn) {
            break;
        }
        turn += 1;
    }
    pair.assert_converged();
    assert!(
        pair.ends
            .iter()
            .all(|end| end.session.names_alike(album(0)))
    );
}

#[test]
fn a_late_fork_in_a_long_log_costs_little() {
    let (mut a, mut b) = (library(1, 0), library(1, 0));
    fork(&mut a, 9, 3000, 10, 1);
    fork(&mut b, 9, 3000, 20, 2);
    let mut pair = Pair::new(a, b);
    pair.run(400);
    pair.assert_converged();
    let reads: u64 = pair.ends.iter().map(|end| end.store.reads.get()).sum();
    assert!(reads < 100, "{reads} entries were read");
}

/// A random history: entries of a few devices in a few spaces, each side with its own part of it.
#[derive(Clone, Debug)]
struct Act {
    space: u16,
    by: u8,
    on_a: bool,
    on_b: bool,
    control: bool,
    body: usize,
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = (
        0..3_u16,
        1..5_u8,
        any::<bool>(),
        any::<bool>(),
        any::<bool>(),
        0..2000_usize,
    );
    let act = act.prop_map(|(space, by, on_a, on_b, control, body)| Act {
        space,
        by,
        on_a,
        on_b,
        control,
        body,
    });
    prop::collection::vec(act, 0..60)
}

/// Plays acts on a device that sees all, and gives each side what it may hold by then.
fn play(acts: &[Act], salt: u8) -> (Memory, Memory) {
    let mut all = Memory::default();
    let (mut a, mut b) = (Memory::default(), Memory::default());
    let mut last: Vec<EntryId> = Vec::new();
    for act in acts {
        let space = if act.space == 0 {
            CONTROL
        } else {
            album(act.space)
        };
        let control = act.control || act.space == 0;
        let deps: Vec<EntryId> = if control {
            last.iter().rev().take(2).copied().collect()
        } else {
            vec![]
        };
        let entry = all.write(space, device(act.by + salt), deps, control, act.body);
        if control {
            last.push(id(&entry));
        }
        if act.on_a {
            a.accept(&entry);
        }
        if act.on_b {
            b.accept(&entry);
        }
    }
    (a, b)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(400), ..ProptestConfig::default() })]

    #[test]
    fn any_two_states_converge(
        acts in acts(),
        forks in prop::collection::vec((0..30_u32, 1..20_u32, 1..6_u8, 0..4_u8), 0..5),
        order in any::<u64>(),
        live in prop::collection::vec((any::<bool>(), 1..3_u16, 0..200_u64), 0..8),
    ) {
        let (mut a, mut b) = play(&acts, 0);
        for (from, len, salt, side) in forks {
            if side != 0 { fork(&mut a, 9, from, len, salt); }
            if side != 1 { fork(&mut b, 9, from, len, salt); }
        }
        let mut pair = Pair::new(a, b);
        let mut seed = order;
        let mut live = live;
        for step in 0..400 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            pair.step(seed >> 33);
            while let Some(at) = live.iter().position(|(_, _, when)| *when == step) {
                let (on_a, space, _) = live.remove(at);
                let (side, by) = if on_a { (A, 11) } else { (B, 12) };
                pair.write(side, album(space), by, 30);
            }
        }
        pair.run(3000);
        prop_assert_eq!(pair.ends[A].closed.or(pair.ends[B].closed), None);
        prop_assert!(pair.ends[A].store.ids() == pair.ends[B].store.ids());
        prop_assert!(pair.ends[A].session.is_settled() && pair.ends[B].session.is_settled());
        prop_assert_eq!(
            heads_digest(pair.ends[A].store.heads(album(1))),
            heads_digest(pair.ends[B].store.heads(album(1)))
        );
    }
}
