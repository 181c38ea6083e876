//! The resolver against a second implementation, on random histories with hostile members.
//!
//! `tests/vectors/resolver/README.md` describes the files.
#![expect(
    clippy::unwrap_used,
    reason = "a line that does not parse fails the test"
)]

use std::{collections::BTreeMap, fs, path::Path};

use heirloom_protocol::{
    family::resolver::{Act, Author, ControlOp, Founding, Resolution, Resolver, Role, Subject},
    id::{DeviceId, OpId, PersonId},
};

/// One line of a file.
struct History {
    founding: Founding,
    ops: Vec<ControlOp>,
    expected: Outcome,
}

#[derive(PartialEq, Eq, Debug)]
struct Outcome {
    accepted: Vec<OpId>,
    persons: BTreeMap<PersonId, Role>,
    devices: BTreeMap<DeviceId, Option<PersonId>>,
    kits: BTreeMap<PersonId, DeviceId>,
}

impl Outcome {
    fn of(resolution: &Resolution) -> Self {
        let persons = resolution.persons.iter();
        let devices = resolution.devices.iter();
        let kits = resolution.kits.iter();
        Self {
            accepted: resolution.accepted.iter().copied().collect(),
            persons: persons.map(|(id, standing)| (*id, standing.role)).collect(),
            devices: devices
                .map(|(id, standing)| (*id, standing.person))
                .collect(),
            kits: kits.map(|(id, standing)| (*id, standing.kit)).collect(),
        }
    }
}

fn number(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'z' => Some(digit - b'a' + 10),
        b'-' => None,
        other => panic!("not a number: {other}"),
    }
}

fn op_id(digit: u8) -> OpId {
    let mut id = [0; 32];
    id[0] = number(digit).unwrap();
    OpId(id)
}

fn person(digit: u8) -> Option<PersonId> {
    number(digit).map(|n| PersonId([n + 1; 16]))
}

fn key(digit: u8) -> Option<DeviceId> {
    number(digit).map(|n| DeviceId([n + 1; 32]))
}

fn role(letter: u8) -> Role {
    match letter {
        b'a' => Role::Admin,
        b'm' => Role::Member,
        b'v' => Role::Viewer,
        other => panic!("not a role: {other}"),
    }
}

fn act(said: &[u8]) -> Act {
    match *said {
        [b'P', p, r, k] => Act::AddPerson {
            person: person(p).unwrap(),
            role: role(r),
            kit: key(k),
        },
        [b'U', p, r] => Act::Promote {
            person: person(p).unwrap(),
            role: role(r),
        },
        [b'L', p, r] => Act::Demote {
            person: person(p).unwrap(),
            role: role(r),
        },
        [b'D', p, k] => Act::AddDevice {
            person: person(p),
            device: key(k).unwrap(),
        },
        [b'X', k] => Act::RemoveDevice {
            device: key(k).unwrap(),
        },
        [b'R', p] => Act::RemovePerson {
            person: person(p).unwrap(),
        },
        [b'K', p, k, c] => Act::SetRecovery {
            person: person(p).unwrap(),
            kit: key(k).unwrap(),
            cosigner: key(c),
        },
        [b'S'] => Act::RotateSeal,
        [b'F'] => Act::Describe(Subject::Family),
        [b'G', p] => Act::Describe(Subject::Person(person(p).unwrap())),
        [b'H', k] => Act::Describe(Subject::Device(key(k).unwrap())),
        [b'J'] => Act::Join,
        _ => panic!("not an op: {said:?}"),
    }
}

/// The ids picked by a hexadecimal mask.
fn picked(mask: &str, ids: &[OpId]) -> Vec<OpId> {
    let mask = u64::from_str_radix(mask, 16).unwrap();
    let chosen = ids.iter().enumerate().filter(|(at, _)| mask >> at & 1 == 1);
    chosen.map(|(_, id)| *id).collect()
}

fn parse(line: &str) -> History {
    let (ops, expected) = line.split_once(" = ").unwrap();
    let mut ops = ops.split(' ');
    let first = ops.next().unwrap().as_bytes();
    let founding = Founding {
        id: op_id(first[0]),
        person: PersonId([1; 16]),
        device: DeviceId([1; 32]),
        kit: key(first[1]),
    };
    let mut ids = vec![founding.id];
    let mut out = Vec::new();
    for token in ops {
        let (said, parents) = token.split_once('.').unwrap();
        let said = said.as_bytes();
        let author = key(said[2]).unwrap();
        let op = ControlOp {
            id: op_id(said[0]),
            author: match said[1] {
                b'd' => Author::Device(author),
                _ => Author::Kit(author),
            },
            parents: picked(parents, &ids),
            act: act(&said[3..]),
        };
        ids.push(op.id);
        out.push(op);
    }
    let fields: Vec<&str> = expected.split(' ').collect();
    let pairs = |at: usize| {
        fields
            .get(at)
            .copied()
            .unwrap_or_default()
            .as_bytes()
            .chunks(2)
    };
    let mut accepted = picked(fields[0], &ids);
    accepted.sort_unstable();
    let expected = Outcome {
        accepted,
        persons: pairs(1)
            .map(|p| (person(p[0]).unwrap(), role(p[1])))
            .collect(),
        devices: pairs(2)
            .map(|p| (key(p[0]).unwrap(), person(p[1])))
            .collect(),
        kits: pairs(3)
            .map(|p| (person(p[0]).unwrap(), key(p[1]).unwrap()))
            .collect(),
    };
    History {
        founding,
        ops: out,
        expected,
    }
}

/// A generator of shuffles that needs no dependency (Knuth's constants).
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % limit
    }

    fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
    }
}

fn histories(file: &str) -> Vec<History> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/vectors/resolver");
    let text = fs::read_to_string(folder.join(file)).unwrap();
    text.lines().map(parse).collect()
}

fn agrees(file: &str, count: usize) {
    let histories = histories(file);
    assert_eq!(histories.len(), count);
    let mut dice = Dice(7);
    for (at, history) in histories.into_iter().enumerate() {
        let mut ops = history.ops;
        dice.shuffle(&mut ops);
        let mut resolver = Resolver::new(history.founding);
        ops.into_iter().for_each(|op| resolver.insert(op));
        assert_eq!(resolver.waiting(), 0);
        let outcome = Outcome::of(&resolver.resolve());
        assert_eq!(outcome, history.expected, "line {} of {file}", at + 1);
    }
}

fn keeps_an_admin_in_any_order(file: &str) {
    let mut dice = Dice(11);
    for (at, history) in histories(file).into_iter().enumerate().step_by(20) {
        for _ in 0..4 {
            let mut ops = history.ops.clone();
            dice.shuffle(&mut ops);
            let mut resolver = Resolver::new(history.founding);
            for op in ops {
                resolver.insert(op);
                let family = resolver.resolve();
                let mut roles = family
                    .devices
                    .keys()
                    .map(|device| family.role_of_device(device));
                assert!(
                    roles.any(|role| role == Some(Role::Admin)),
                    "line {} of {file}",
                    at + 1
                );
            }
            let outcome = Outcome::of(&resolver.resolve());
            assert_eq!(outcome, history.expected, "line {} of {file}", at + 1);
        }
    }
}

#[test]
fn random_histories_resolve_as_in_the_model() {
    agrees("histories.txt", 20_000);
}

#[test]
fn histories_with_roles_keepers_and_lost_kits_resolve_as_in_the_model() {
    agrees("wider.txt", 10_000);
}

#[test]
fn no_arrival_leaves_a_family_without_a_live_admin_device() {
    keeps_an_admin_in_any_order("histories.txt");
    keeps_an_admin_in_any_order("wider.txt");
}
