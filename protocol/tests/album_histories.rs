//! Album access and standing against a second implementation, on random albums with hostile members.
//!
//! `tests/vectors/resolver/README.md` describes the file.
#![expect(
    clippy::unwrap_used,
    reason = "a line that does not parse fails the test"
)]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use heirloom_protocol::{
    album::access::{Access, AccessOp, Act, Settled, Writer},
    family::resolver::{Certificate, DeviceStanding, PersonStanding, Rank, Resolution, Role},
    id::{DeviceId, EntryId, OpId, PersonId},
    log::standing::{Appended, Follows, Ledger, Link, Naming, Seen, Standing},
    op::{Cut, Level, Position},
};

const LEVELS: [Level; 4] = [
    Level::None,
    Level::Viewer,
    Level::Contributor,
    Level::Manager,
];

fn number(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'z' => Some(digit - b'a' + 10),
        b'A'..=b'Z' => Some(digit - b'A' + 36),
        b'-' => None,
        other => panic!("not a number: {other}"),
    }
}

fn person(digit: u8) -> Option<PersonId> {
    number(digit).map(|n| PersonId([n + 1; 16]))
}

fn device(digit: u8) -> DeviceId {
    DeviceId([number(digit).unwrap(); 32])
}

fn op(digit: u8) -> OpId {
    OpId([number(digit).unwrap(); 32])
}

fn entry(digit: u8) -> EntryId {
    EntryId([number(digit).unwrap(); 32])
}

fn level(digit: u8) -> Level {
    LEVELS[usize::from(number(digit).unwrap())]
}

fn standing(letter: u8) -> Standing {
    match letter {
        b's' => Standing::Stands,
        b'u' => Standing::Unconfirmed,
        b'p' => Standing::Suspended,
        b'x' => Standing::Cut,
        other => panic!("not a standing: {other}"),
    }
}

/// One line of the file.
struct History {
    family: Resolution,
    links: Vec<Link>,
    names: Vec<(EntryId, Naming, EntryId)>,
    ops: Vec<AccessOp>,
    expected: Outcome,
}

#[derive(PartialEq, Eq, Debug)]
struct Outcome {
    accepted: BTreeSet<OpId>,
    levels: BTreeMap<PersonId, Level>,
    highest: BTreeMap<PersonId, Level>,
    settings: [Option<OpId>; 3],
    /// By entry, for what a viewer, a contributor and a manager may say.
    standings: Vec<[Standing; 3]>,
}

fn family(persons: &str, certs: &[&[u8]]) -> Resolution {
    let mut family = Resolution {
        accepted: BTreeSet::new(),
        persons: BTreeMap::new(),
        devices: BTreeMap::new(),
        kits: BTreeMap::new(),
        owners: BTreeMap::new(),
        certs: BTreeMap::new(),
        retired: BTreeSet::new(),
    };
    for (at, said) in persons.as_bytes().chunks(2).enumerate() {
        let id = PersonId([u8::try_from(at + 1).unwrap(); 16]);
        if said[0] != b'-' {
            let standing = PersonStanding {
                role: if said[1] == b'a' {
                    Role::Admin
                } else {
                    Role::Member
                },
                rank: Rank::Other(Some(id)),
                added: op(said[0]),
                grant: op(said[0]),
            };
            family.persons.insert(id, standing);
        }
    }
    for said in certs {
        let (cert, level) = (op(said[4]), u32::from(number(said[2]).unwrap()));
        let (device, person) = (device(said[0]), person(said[1]));
        if said[3] != b'v' {
            family.certs.insert(
                cert,
                Certificate {
                    device,
                    person,
                    level,
                },
            );
        }
        if said[3] == b'r' {
            family.retired.insert(cert);
        }
        if said[3] == b'l' {
            family.devices.insert(
                device,
                DeviceStanding {
                    person,
                    level,
                    cert,
                },
            );
        }
    }
    family
}

fn cut(said: &[u8]) -> Cut {
    let positions = said[1..].chunks(3).map(|p| Position {
        inc: u64::from(number(p[0]).unwrap()),
        seq: u32::from(number(p[1]).unwrap()),
        entry: entry(p[2]),
    });
    Cut {
        device: device(said[0]),
        positions: positions.collect(),
    }
}

fn act(said: &str, certs: &[&[u8]]) -> Act {
    let (what, rest) = said.split_at(1);
    match what {
        "S" => {
            let mut parts = rest.split('+');
            let set = parts.next().unwrap().as_bytes();
            Act::Set {
                person: person(set[0]).unwrap(),
                added: number(set[2]).map(|n| OpId([n; 32])),
                level: level(set[1]),
                cuts: parts.map(|part| cut(part.as_bytes())).collect(),
            }
        }
        "C" => {
            let of = certs
                .iter()
                .find(|cert| cert[0] == rest.as_bytes()[0])
                .unwrap();
            Act::Cut {
                person: person(of[1]),
                cut: cut(rest.as_bytes()),
            }
        }
        "K" => Act::Keepers,
        "R" => Act::Retention,
        "Q" => Act::Close,
        other => panic!("not an op: {other}"),
    }
}

fn parse(line: &str) -> History {
    let (given, expected) = line.split_once(" = ").unwrap();
    let mut given = given.split(' ');
    let persons = given.next().unwrap();
    let certs: Vec<&[u8]> = given.next().unwrap().as_bytes().chunks(5).collect();
    let (mut links, mut names, mut ops) = (Vec::new(), Vec::new(), Vec::<AccessOp>::new());
    for (at, said) in given.enumerate() {
        let this = EntryId([u8::try_from(at).unwrap(); 32]);
        let mut parts = said.split('/');
        let head = parts.next().unwrap();
        let (anchors, deps) = head[3..].split_once('.').unwrap();
        let head = head.as_bytes();
        let cert = certs[usize::from(number(head[0]).unwrap())];
        let follows = match number(head[2]) {
            None => Follows::Certificate(op(cert[4])),
            Some(n) => Follows::Entry(EntryId([n; 32])),
        };
        links.push(Link {
            device: device(cert[0]),
            inc: u64::from(number(head[1]).unwrap()),
            entry: this,
            follows,
        });
        names.extend(anchors.bytes().map(|e| (this, Naming::Anchor, entry(e))));
        names.extend(deps.bytes().map(|e| (this, Naming::Deps, entry(e))));
        for part in parts {
            let (name, said) = part.split_once(':').unwrap();
            let name = name.as_bytes();
            let parents = name[2..]
                .iter()
                .map(|p| ops[usize::from(number(*p).unwrap())].id);
            ops.push(AccessOp {
                id: op(name[0]),
                entry: this,
                writer: Writer {
                    device: device(cert[0]),
                    person: person(cert[1]).unwrap(),
                    added: op(name[1]),
                    level: u32::from(number(cert[2]).unwrap()),
                    cert: op(cert[4]),
                },
                parents: parents.collect(),
                act: act(said, &certs),
            });
        }
    }
    History {
        family: family(persons, &certs),
        expected: outcome(expected, &ops),
        links,
        names,
        ops,
    }
}

fn outcome(said: &str, ops: &[AccessOp]) -> Outcome {
    let fields: Vec<&str> = said.split(' ').collect();
    let mask = u64::from_str_radix(fields[0], 16).unwrap();
    let accepted = ops.iter().enumerate().filter(|(at, _)| mask >> at & 1 == 1);
    let levels = |field: &str| {
        let pairs = field.as_bytes().chunks_exact(2);
        pairs
            .map(|p| (person(p[0]).unwrap(), level(p[1])))
            .collect()
    };
    let settings = fields[3].as_bytes();
    let setting = |at: usize| number(settings[at]).map(|op| ops[usize::from(op)].id);
    let by_need: Vec<&[u8]> = fields[4..].iter().map(|field| field.as_bytes()).collect();
    Outcome {
        accepted: accepted.map(|(_, op)| op.id).collect(),
        levels: levels(fields[1]),
        highest: levels(fields[2]),
        settings: [setting(0), setting(1), setting(2)],
        standings: (0..by_need[0].len())
            .map(|at| [0, 1, 2].map(|need| standing(by_need[need][at])))
            .collect(),
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

fn ledger(history: &History, dice: &mut Dice) -> Ledger {
    let mut ledger = Ledger::default();
    let mut links = history.links.clone();
    let mut names = history.names.clone();
    dice.shuffle(&mut links);
    dice.shuffle(&mut names);
    for (by, how, entry) in names {
        ledger.name(by, how, entry, Seen::default());
    }
    while !links.is_empty() {
        links.retain(|link| ledger.append(*link) == Appended::Missing);
    }
    ledger
}

fn settled(history: &History, ledger: &Ledger, dice: &mut Dice) -> (usize, Settled) {
    let mut access = Access::new(PersonId([1; 16]));
    let mut ops = history.ops.clone();
    dice.shuffle(&mut ops);
    ops.into_iter().for_each(|op| access.insert(op));
    (access.waiting(), access.settle(ledger, &history.family))
}

#[test]
fn random_albums_settle_as_in_the_model() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/vectors/resolver");
    let text = fs::read_to_string(folder.join("albums.txt")).unwrap();
    let mut dice = Dice(5);
    let mut lines = 0;
    for (at, line) in text.lines().enumerate() {
        let history = parse(line);
        for _ in 0..2 {
            let ledger = ledger(&history, &mut dice);
            let (waiting, settled) = settled(&history, &ledger, &mut dice);
            assert_eq!(waiting, 0);
            let standings = history.links.iter().map(|link| {
                [Level::Viewer, Level::Contributor, Level::Manager]
                    .map(|need| settled.standing(&ledger, &history.family, &link.entry, need))
            });
            let outcome = Outcome {
                standings: standings.collect(),
                settings: [settled.keepers, settled.retention, settled.closed],
                accepted: settled.accepted,
                levels: settled.levels,
                highest: settled.highest,
            };
            assert_eq!(outcome, history.expected, "line {}", at + 1);
        }
        lines += 1;
    }
    assert_eq!(lines, 6000);
}
