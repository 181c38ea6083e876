//! Named cases, each delivered in every order.

use proptest::prelude::*;

#[path = "../../../tests/orders/mod.rs"]
mod orders;

use super::*;
use crate::limits;
use orders::permute;

const FOUNDER_PERSON: PersonId = person(0);
const FIRST: OpId = OpId([0; 32]);

const fn person(n: u8) -> PersonId {
    PersonId([n + 1; 16])
}

const fn key(n: u8) -> DeviceId {
    DeviceId([n + 1; 32])
}

const fn op(n: u8) -> OpId {
    OpId([n; 32])
}

/// Kits have keys from here on: person 3 has kit 103.
const KIT: u8 = 100;

fn founding() -> Founding {
    Founding {
        id: FIRST,
        person: FOUNDER_PERSON,
        device: key(0),
        kit: Some(key(KIT)),
    }
}

fn by(author: Author, id: u8, parents: &[u8], act: Act) -> ControlOp {
    ControlOp {
        id: op(id),
        author,
        parents: parents.iter().map(|p| op(*p)).collect(),
        act,
    }
}

fn by_device(device: u8, id: u8, parents: &[u8], act: Act) -> ControlOp {
    by(Author::Device(key(device)), id, parents, act)
}

fn by_kit(kit: u8, id: u8, parents: &[u8], act: Act) -> ControlOp {
    by(Author::Kit(key(kit)), id, parents, act)
}

fn add_person(n: u8, role: Role) -> Act {
    Act::AddPerson {
        person: person(n),
        role,
        kit: Some(key(KIT + n)),
    }
}

fn add_device(n: u8, device: u8) -> Act {
    Act::AddDevice {
        person: Some(person(n)),
        device: key(device),
    }
}

const fn remove_person(n: u8) -> Act {
    Act::RemovePerson { person: person(n) }
}

const fn remove_device(device: u8) -> Act {
    Act::RemoveDevice {
        device: key(device),
    }
}

const fn set_recovery(n: u8, kit: u8, cosigner: Option<DeviceId>) -> Act {
    Act::SetRecovery {
        person: person(n),
        kit: key(kit),
        cosigner,
    }
}

/// A person and their device as pairing writes them: ops `id` and `id + 1`.
fn admit(by: u8, n: u8, role: Role, id: u8, parents: &[u8]) -> [ControlOp; 2] {
    [
        by_device(by, id, parents, add_person(n, role)),
        by_device(by, id + 1, &[id], add_device(n, n)),
    ]
}

/// Ops 2 and 4 added persons 1 and 2 as admins, device 1 and 2 are theirs.
fn two_admins() -> Vec<ControlOp> {
    let mut ops = admit(0, 1, Role::Admin, 1, &[0]).to_vec();
    ops.extend(admit(0, 2, Role::Admin, 3, &[2]));
    ops
}

fn with(mut ops: Vec<ControlOp>, more: impl IntoIterator<Item = ControlOp>) -> Vec<ControlOp> {
    ops.extend(more);
    ops
}

fn resolved(ops: &[ControlOp]) -> Resolution {
    let mut resolver = Resolver::new(founding());
    ops.iter().for_each(|op| resolver.insert(op.clone()));
    assert_eq!(resolver.waiting(), 0);
    resolver.resolve()
}

/// The family that these ops make, the same for every order of arrival.
///
/// Of more than seven, the last six take every order, before and after the rest.
fn check(mut ops: Vec<ControlOp>) -> Resolution {
    let expected = resolved(&ops);
    if ops.len() <= 7 {
        permute(&mut ops, &mut |ops| assert_eq!(resolved(ops), expected));
        return expected;
    }
    let mut last = ops.split_off(ops.len() - 6);
    permute(&mut last, &mut |last| {
        assert_eq!(resolved(&[&ops, last].concat()), expected);
        assert_eq!(resolved(&[last, &ops].concat()), expected);
    });
    expected
}

fn persons(family: &Resolution) -> Vec<(PersonId, Role)> {
    let persons = family.persons.iter();
    persons.map(|(id, standing)| (*id, standing.role)).collect()
}

fn devices(family: &Resolution) -> Vec<DeviceId> {
    family.devices.keys().copied().collect()
}

#[test]
fn of_two_admins_who_remove_each_other_the_senior_stays() {
    let family = check(with(
        two_admins(),
        [
            by_device(1, 5, &[4], remove_person(2)),
            by_device(2, 6, &[4], remove_person(1)),
        ],
    ));
    // The smaller grant id is senior among admins made by the same person.
    assert!(family.persons.contains_key(&person(1)));
    assert!(!family.persons.contains_key(&person(2)));
    assert!(family.accepted.contains(&op(5)) && !family.accepted.contains(&op(6)));
}

#[test]
fn in_a_circle_of_three_removals_the_most_senior_is_heard_first() {
    let mut ops = two_admins();
    ops.extend(admit(0, 3, Role::Admin, 5, &[4]));
    ops.push(by_device(1, 7, &[6], remove_person(2)));
    ops.push(by_device(2, 8, &[6], remove_person(3)));
    ops.push(by_device(3, 9, &[6], remove_person(1)));
    let family = check(ops);
    // The senior's removal silences the second before it hits the third, who
    // removes the senior: that stands until the senior contradicts it.
    assert!(family.accepted.contains(&op(7)) && !family.accepted.contains(&op(8)));
    assert_eq!(devices(&family), [key(0), key(3)]);
}

#[test]
fn a_person_added_again_after_a_removal_is_back_with_a_new_grant() {
    let mut ops = admit(0, 1, Role::Admin, 1, &[0]).to_vec();
    ops.push(by_device(0, 3, &[2], remove_person(1)));
    ops.push(by_device(0, 4, &[3], add_person(1, Role::Member)));
    ops.push(by_device(0, 5, &[4], add_device(1, 9)));
    let family = check(ops);
    assert_eq!(
        persons(&family),
        [(person(0), Role::Admin), (person(1), Role::Member)]
    );
    assert_eq!(family.persons[&person(1)].added, op(4));
    assert_eq!(devices(&family), [key(0), key(9)]);
}

#[test]
fn a_removal_wins_over_a_grant_that_had_not_seen_it() {
    let mut ops = two_admins();
    ops.push(by_device(0, 5, &[4], remove_person(2)));
    ops.push(by_device(1, 6, &[4], add_device(2, 7)));
    let family = check(ops);
    assert_eq!(devices(&family), [key(0), key(1)]);
}

#[test]
fn whom_a_removed_admin_is_admitting_does_not_come_in() {
    let mut ops = admit(0, 1, Role::Admin, 1, &[0]).to_vec();
    ops.extend(admit(1, 2, Role::Member, 3, &[2]));
    ops.push(by_device(0, 5, &[2], remove_person(1)));
    let family = check(ops);
    assert_eq!(persons(&family), [(person(0), Role::Admin)]);
}

#[test]
fn whom_the_remover_had_seen_admitted_stays() {
    let mut ops = admit(0, 1, Role::Admin, 1, &[0]).to_vec();
    ops.extend(admit(1, 2, Role::Member, 3, &[2]));
    ops.push(by_device(0, 5, &[4], remove_person(1)));
    let family = check(ops);
    assert_eq!(devices(&family), [key(0), key(2)]);
}

#[test]
fn a_removed_admin_gains_nothing_by_leaving_out_what_was_seen() {
    let mut ops = two_admins();
    ops.push(by_device(0, 5, &[4], remove_person(2)));
    // Back-dated: names the grant alone, and what follows from it.
    ops.push(by_device(2, 6, &[4], add_person(3, Role::Admin)));
    ops.push(by_device(2, 7, &[6], add_device(3, 3)));
    ops.push(by_device(3, 8, &[7], remove_person(1)));
    let family = check(ops);
    assert_eq!(devices(&family), [key(0), key(1)]);
}

#[test]
fn a_new_incarnation_does_not_outlive_the_removal_of_its_device() {
    let mut ops = two_admins();
    ops.push(by_device(
        2,
        5,
        &[4],
        Act::Describe(Subject::Person(person(2))),
    ));
    ops.push(by_device(1, 6, &[5], remove_device(2)));
    // The same key goes on in a log that does not continue the one before.
    ops.push(by_device(2, 7, &[4], add_device(2, 8)));
    let family = check(ops);
    assert!(family.accepted.contains(&op(5)) && !family.accepted.contains(&op(7)));
    assert_eq!(devices(&family), [key(0), key(1)]);
}

#[test]
fn a_fork_below_what_the_remover_had_seen_counts_no_more_than_any_other_op() {
    let mut ops = two_admins();
    ops.push(by_device(2, 5, &[4], add_person(4, Role::Viewer)));
    ops.push(by_device(0, 6, &[5], remove_person(2)));
    // The same place in the log as op 5.
    ops.push(by_device(2, 7, &[4], add_person(5, Role::Admin)));
    let family = check(ops);
    assert!(family.persons.contains_key(&person(4)));
    assert!(!family.persons.contains_key(&person(5)));
}

#[test]
fn the_founders_kit_undoes_what_a_thief_of_the_founders_device_does() {
    let mut ops = admit(0, 1, Role::Admin, 1, &[0]).to_vec();
    // The thief, then the kit, which names nothing that the thief did.
    ops.push(by_device(0, 3, &[2], add_device(0, 66)));
    ops.push(by_device(0, 4, &[3], remove_person(1)));
    ops.push(by_kit(KIT, 5, &[2], add_device(0, 7)));
    ops.push(by_kit(KIT, 6, &[5], remove_device(0)));
    let family = check(ops);
    assert_eq!(devices(&family), [key(1), key(7)]);
    assert_eq!(family.kits[&FOUNDER_PERSON].kit, key(KIT));
}

#[test]
fn a_removed_first_device_does_not_take_the_kit_along() {
    let family = check(vec![
        by_kit(KIT, 1, &[0], add_device(0, 1)),
        by_kit(KIT, 2, &[1], remove_device(0)),
        by_kit(KIT, 3, &[2], add_device(0, 2)),
    ]);
    assert_eq!(devices(&family), [key(1), key(2)]);
}

#[test]
fn the_founder_is_never_removed_or_demoted() {
    let mut ops = two_admins();
    ops.push(by_device(1, 5, &[4], remove_person(0)));
    ops.push(by_device(
        2,
        6,
        &[4],
        Act::Demote {
            person: FOUNDER_PERSON,
            role: Role::Viewer,
        },
    ));
    ops.push(by_device(0, 7, &[4], remove_person(0)));
    assert_eq!(check(ops).persons[&FOUNDER_PERSON].role, Role::Admin);
}

#[test]
fn the_last_admin_device_is_never_removed() {
    let mut ops = admit(0, 1, Role::Admin, 1, &[0]).to_vec();
    ops.push(by_device(0, 3, &[2], remove_device(0)));
    ops.push(by_device(1, 4, &[2], remove_device(1)));
    ops.push(by_device(
        0,
        5,
        &[2],
        Act::Demote {
            person: person(1),
            role: Role::Member,
        },
    ));
    let family = check(ops);
    let admins = family
        .devices
        .keys()
        .filter(|d| family.role_of_device(d) == Some(Role::Admin));
    assert_eq!(admins.count(), 1);
}

#[test]
fn no_junior_certifies_a_device_or_sets_a_kit_for_a_senior() {
    let mut ops = two_admins();
    ops.push(by_device(2, 5, &[4], add_device(1, 66)));
    ops.push(by_device(2, 6, &[4], set_recovery(1, 67, Some(key(0)))));
    ops.push(by_device(2, 7, &[4], add_device(0, 68)));
    let family = check(ops);
    assert_eq!(devices(&family), [key(0), key(1), key(2)]);
    assert_eq!(family.kits[&person(1)].kit, key(KIT + 1));
}

#[test]
fn adding_a_person_a_second_time_gives_no_device_of_theirs() {
    // Admin 1 pretends not to have seen that the founder added person 2.
    let mut ops = two_admins();
    ops.push(by_device(1, 5, &[2], add_person(2, Role::Admin)));
    ops.push(by_device(1, 6, &[5], add_device(2, 66)));
    ops.push(by_device(66, 7, &[6], add_device(2, 67)));
    ops.push(by_device(66, 8, &[6], set_recovery(2, 68, Some(key(1)))));
    let family = check(ops);
    assert_eq!(devices(&family), [key(0), key(1), key(2)]);
    assert_eq!(family.kits[&person(2)].kit, key(KIT + 2));
}

#[test]
fn an_admin_whom_a_senior_promoted_acts_even_though_a_junior_had_added_them() {
    // Ids fall, so that by key alone the promoted comes before the op that added them.
    let ops = vec![
        by_device(0, 9, &[0], add_person(1, Role::Admin)),
        by_device(0, 8, &[9], add_device(1, 1)),
        by_device(1, 7, &[8], add_person(2, Role::Member)),
        by_device(1, 6, &[7], add_device(2, 2)),
        by_device(
            0,
            5,
            &[6],
            Act::Promote {
                person: person(2),
                role: Role::Admin,
            },
        ),
        by_device(2, 4, &[5], add_person(3, Role::Viewer)),
    ];
    assert!(check(ops).persons.contains_key(&person(3)));
}

#[test]
fn a_kit_set_with_an_admin_of_another_person_certifies_devices() {
    let mut ops = admit(0, 1, Role::Member, 1, &[0]).to_vec();
    ops.push(by_device(1, 3, &[2], set_recovery(1, 50, Some(key(0)))));
    ops.push(by_kit(50, 4, &[3], add_device(1, 9)));
    ops.push(by_kit(KIT + 1, 5, &[3], add_device(1, 8)));
    let family = check(ops);
    assert_eq!(devices(&family), [key(0), key(1), key(9)]);
    assert_eq!(family.kits[&person(1)].kit, key(50));
}

#[test]
fn a_device_sets_the_first_kit_alone_and_no_second() {
    let mut resolver = Resolver::new(Founding {
        kit: None,
        ..founding()
    });
    resolver.insert(by_device(0, 1, &[0], set_recovery(0, 50, None)));
    resolver.insert(by_device(0, 2, &[1], set_recovery(0, 51, None)));
    resolver.insert(by_kit(50, 3, &[1], set_recovery(0, 52, None)));
    let family = resolver.resolve();
    assert_eq!(family.kits[&FOUNDER_PERSON].kit, key(52));
    assert!(!family.accepted.contains(&op(2)));
}

#[test]
fn a_removed_kit_is_void_and_the_one_before_it_does_not_return() {
    let mut ops = admit(0, 1, Role::Member, 1, &[0]).to_vec();
    ops.push(by_kit(KIT + 1, 3, &[2], set_recovery(1, 50, None)));
    ops.push(by_device(1, 4, &[3], remove_device(50)));
    ops.push(by_kit(50, 5, &[4], add_device(1, 8)));
    ops.push(by_kit(KIT + 1, 6, &[4], add_device(1, 9)));
    let family = check(ops);
    assert_eq!(devices(&family), [key(0), key(1)]);
    assert!(!family.kits.contains_key(&person(1)));
}

#[test]
fn a_key_belongs_to_one_person_for_ever() {
    let mut ops = two_admins();
    ops.push(by_device(0, 5, &[4], remove_device(2)));
    ops.push(by_device(0, 6, &[5], add_device(1, 2)));
    ops.push(by_device(0, 7, &[5], set_recovery(0, 2, Some(key(1)))));
    let family = check(ops);
    assert_eq!(devices(&family), [key(0), key(1)]);
    assert_eq!(family.owners[&key(2)], Owner::Device(person(2)));
    assert_eq!(family.kits[&FOUNDER_PERSON].kit, key(KIT));
}

#[test]
fn a_keeper_rotates_its_key_and_does_nothing_else() {
    let keeper = Act::AddDevice {
        person: None,
        device: key(9),
    };
    let family = check(vec![
        by_device(0, 1, &[0], keeper),
        by_device(9, 2, &[1], Act::RotateSeal),
        by_device(9, 3, &[1], add_person(1, Role::Admin)),
        by_device(9, 4, &[1], remove_device(9)),
        by_device(9, 5, &[1], Act::Describe(Subject::Device(key(9)))),
    ]);
    assert_eq!(family.accepted, [FIRST, op(1), op(2)].into());
    assert_eq!(family.devices[&key(9)].person, None);
}

#[test]
fn a_demotion_voids_what_needed_an_admin_and_leaves_the_rest() {
    let mut ops = two_admins();
    ops.push(by_device(
        0,
        5,
        &[4],
        Act::Demote {
            person: person(2),
            role: Role::Viewer,
        },
    ));
    ops.push(by_device(2, 6, &[4], add_person(3, Role::Admin)));
    ops.push(by_device(2, 7, &[4], add_device(2, 8)));
    let family = check(ops);
    assert_eq!(
        persons(&family)[1..],
        [(person(1), Role::Admin), (person(2), Role::Viewer)]
    );
    assert_eq!(devices(&family), [key(0), key(1), key(2), key(8)]);
}

#[test]
fn a_kit_neither_adds_people_nor_leaves() {
    let mut ops = two_admins();
    ops.push(by_kit(KIT + 1, 5, &[4], add_person(3, Role::Admin)));
    ops.push(by_kit(KIT + 1, 6, &[4], remove_person(1)));
    ops.push(by_kit(KIT + 1, 7, &[4], remove_device(2)));
    assert_eq!(persons(&check(ops)).len(), 3);
}

#[test]
fn an_op_waits_for_what_it_names_and_one_that_names_nothing_counts_for_nothing() {
    let mut resolver = Resolver::new(founding());
    resolver.insert(by_device(0, 2, &[1], add_person(2, Role::Viewer)));
    assert_eq!((resolver.waiting(), resolver.holds(&op(2))), (1, false));
    resolver.insert(by_device(0, 1, &[0], add_person(1, Role::Viewer)));
    assert_eq!((resolver.waiting(), resolver.holds(&op(2))), (0, true));
    resolver.insert(by_device(0, 3, &[], add_person(3, Role::Viewer)));
    let family = resolver.resolve();
    assert_eq!(family.persons.len(), 3);
    assert!(resolver.sees(&[op(2)], &op(1)) && !resolver.sees(&[op(1)], &op(2)));
    assert_eq!(
        resolver.resolve_at(&[op(1)]).map(|past| past.persons.len()),
        Some(2)
    );
}

#[test]
fn a_device_that_wrote_its_fill_is_not_heard_any_more() {
    let mut resolver = Resolver::new(founding());
    let ops = u32::try_from(limits::RESOLVER_OPS).expect("small") + 2;
    let id = |n: u32| {
        let mut id = [0; 32];
        id[..4].copy_from_slice(&n.to_be_bytes());
        OpId(id)
    };
    for n in 1..ops {
        resolver.insert(ControlOp {
            id: id(n),
            author: Author::Device(key(0)),
            parents: vec![id(n - 1)],
            act: Act::RotateSeal,
        });
    }
    assert_eq!(resolver.resolve().accepted.len(), limits::RESOLVER_OPS + 1);
}

/// A history of 2,000 ops by four admins who take turns, a quarter of them removals.
#[test]
fn a_long_history_is_resolved_in_one_reading() {
    let id = |n: u32| {
        let mut id = [0; 32];
        id[..4].copy_from_slice(&n.to_be_bytes());
        OpId(id)
    };
    let device = |n: u32| {
        let mut key = [7; 32];
        key[..4].copy_from_slice(&n.to_be_bytes());
        DeviceId(key)
    };
    let mut resolver = Resolver::new(founding());
    let mut ops = Vec::new();
    for admin in 1..4 {
        let n = u32::from(admin) * 2 - 1;
        ops.push((id(n), 0, id(n - 1), add_person(admin, Role::Admin)));
        ops.push((id(n + 1), 0, id(n), add_device(admin, admin)));
    }
    for n in 7..2000_u32 {
        let author = u8::try_from(n % 4).expect("small");
        let act = match n % 8 {
            0 | 1 => Act::AddDevice {
                person: Some(person(author)),
                device: device(n),
            },
            4 => Act::RemoveDevice {
                device: device(n - 4),
            },
            5 => Act::RemoveDevice {
                device: device(n - 4),
            },
            _ => Act::RotateSeal,
        };
        ops.push((id(n), author, id(n - 1), act));
    }
    for (id, author, parent, act) in ops {
        let author = Author::Device(key(author));
        resolver.insert(ControlOp {
            id,
            author,
            parents: vec![parent],
            act,
        });
    }
    let family = resolver.resolve();
    assert_eq!(family.accepted.len(), 2000);
    assert!(family.devices.len() < 10);
}

proptest! {
    #[test]
    fn any_order_of_arrival_gives_one_family(
        said in proptest::collection::vec((0..6_u8, 0..10_u8, 0..6_u8, 0..6_u8, any::<u16>(), any::<u8>()), 1..24),
        shuffled in any::<u64>(),
    ) {
        let mut ops = two_admins();
        for (author, what, who, other, seen, id) in said {
            let at = u8::try_from(ops.len()).expect("short");
            let parents: Vec<OpId> = (0..16).filter(|bit| seen >> bit & 1 == 1)
                .map(|back: usize| ops.len().checked_sub(back + 1).map_or(FIRST, |place| ops[place].id))
                .chain([FIRST]).collect();
            let role = [Role::Viewer, Role::Member, Role::Admin][usize::from(other) % 3];
            let act = match what {
                0 => add_person(who, role),
                1 => Act::Promote { person: person(who), role },
                2 => Act::Demote { person: person(who), role },
                3 | 4 => add_device(who, other),
                5 => Act::AddDevice { person: None, device: key(other) },
                6 => remove_device(other),
                7 => remove_person(who),
                8 => set_recovery(who, KIT + other, Some(key(who % 2))),
                _ => Act::RotateSeal,
            };
            let mut name = [id; 32];
            (name[1], name[2]) = (at, !id);
            ops.push(ControlOp { id: OpId(name), author: Author::Device(key(author)), parents, act });
        }
        let expected = resolved(&ops);
        let mut state = shuffled;
        for last in (1..ops.len()).rev() {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            ops.swap(last, usize::try_from(state >> 33).expect("31 bits") % (last + 1));
        }
        prop_assert_eq!(resolved(&ops), expected);
    }
}
