//! Every decoder of foreign bytes on broken inputs, the same ones on every run.
//!
//! `HEIRLOOM_MUTATIONS=1000000 cargo test --release --test fuzz` breaks more of
//! them. `HEIRLOOM_FUZZ_CORPUS=DIR` writes the valid inputs, a folder for each
//! group, where libFuzzer begins (`decoders.rs`, run by `.ci/fuzz`).
#![expect(
    clippy::unwrap_used,
    reason = "a vector that does not parse fails the test"
)]

#[path = "../vectors/case.rs"]
#[expect(dead_code, reason = "vectors are read here and made elsewhere")]
mod case;
#[path = "../numbers/mod.rs"]
mod numbers;
mod targets;
#[path = "../vectors/verify.rs"]
#[allow(dead_code, unused_imports, reason = "what makes vectors needs more")]
mod verify;

use std::{
    collections::BTreeSet,
    fs,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
};

use numbers::{asked, report};
use targets::{GROUPS, TARGETS, Target};

/// Broken inputs for each target, unless `HEIRLOOM_MUTATIONS` says otherwise.
const MUTATIONS: u32 = 20_000;

macro_rules! targets {
    ($($name:ident),* $(,)?) => {
        $(#[test]
        fn $name() {
            run(targets::named(stringify!($name)));
        })*

        const TESTED: &[&str] = &[$(stringify!($name)),*];
    };
}

targets! {
    entry, sealed, segments, pairing, signed, founding, frame, blob_frame, bitmap,
    header, op, ops, carried, values, session, invite_code, recovery_words, announcement,
    worker, byte_range, gallery_path, config, record, address, file_name, times, archive, sidecar, sidecar_names,
    sniff, xmp, metadata_exif, metadata_bmff, metadata_png, metadata_matroska, metadata_chunks, embedded_jpeg,
    picture_jpeg, picture_png, picture_gif, picture_webp, picture_tiff, picture_bmp, picture_heic,
}

fn all() -> impl Iterator<Item = &'static Target> {
    TARGETS.iter().flat_map(|some| some.iter())
}

#[test]
fn every_target_is_tested_here_and_stands_in_one_group_for_libfuzzer() {
    let names: BTreeSet<&str> = all().map(|target| target.name).collect();
    assert_eq!(names, TESTED.iter().copied().collect());
    let mut grouped: Vec<&str> = GROUPS
        .iter()
        .flat_map(|(_, members)| *members)
        .copied()
        .collect();
    grouped.sort_unstable();
    assert_eq!(grouped, names.into_iter().collect::<Vec<_>>());
    // What libFuzzer begins with, a folder for each group.
    if let Ok(corpus) = std::env::var("HEIRLOOM_FUZZ_CORPUS") {
        for (group, _) in GROUPS {
            write(&PathBuf::from(&corpus).join(group), &seeds(group));
        }
    }
}

/// The inputs of a group: those of each of its targets, behind the byte that chooses it.
fn seeds(group: &str) -> Vec<Vec<u8>> {
    let members = (0u8..).zip(targets::group(group));
    members
        .flat_map(|(choice, target)| {
            let seeds = (target.seeds)().into_iter();
            seeds.map(move |seed| [vec![choice], seed].concat())
        })
        .collect()
}

fn run(target: &Target) {
    let seeds = (target.seeds)();
    assert!(!seeds.is_empty(), "{} has no input", target.name);
    for (number, seed) in seeds.iter().enumerate() {
        assert!(
            (target.run)(seed),
            "{}: input {number} is not taken",
            target.name
        );
    }
    let count = asked("HEIRLOOM_MUTATIONS", MUTATIONS);
    let mut dice = Dice::of(target.name);
    for round in 0..count {
        let bytes = dice.mutated(&seeds);
        let done = catch_unwind(AssertUnwindSafe(|| (target.run)(&bytes)));
        assert!(
            done.is_ok(),
            "{}, round {round}: {}",
            target.name,
            case::hex(&bytes)
        );
    }
    report(&format!("{}: {count} broken inputs", target.name));
}

fn write(folder: &Path, seeds: &[Vec<u8>]) {
    fs::create_dir_all(folder).expect("a folder of inputs");
    for (number, seed) in seeds.iter().enumerate() {
        fs::write(folder.join(format!("seed-{number}")), seed).expect("an input");
    }
}

/// A generator of numbers that is the same on every run (xorshift64*).
struct Dice(u64);

impl Dice {
    fn of(name: &str) -> Self {
        let seed = blake3::hash(name.as_bytes());
        let seed = seed.as_bytes().first_chunk().expect("32 bytes");
        Self(u64::from_le_bytes(*seed) | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, n: usize) -> usize {
        let high = usize::try_from(self.next() >> 33).expect("31 bits");
        high % n.max(1)
    }

    fn byte(&mut self) -> u8 {
        self.next().to_be_bytes()[0]
    }

    /// A valid input with one to four faults.
    fn mutated(&mut self, seeds: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = seeds[self.below(seeds.len())].clone();
        for _ in 0..=self.below(4) {
            let at = self.below(bytes.len());
            let end = (at + self.below(8) + 1).min(bytes.len());
            match self.below(8) {
                0 => bytes
                    .iter_mut()
                    .skip(at)
                    .take(1)
                    .for_each(|byte| *byte ^= 1 << self.below(8)),
                1 => bytes[at..end].fill([0, 0x7f, 0x80, 0xff][self.below(4)]),
                2 => bytes
                    .iter_mut()
                    .skip(at)
                    .take(1)
                    .for_each(|byte| *byte = self.byte()),
                3 => bytes.truncate(at),
                4 => drop(bytes.drain(at..end)),
                5 => bytes.insert(at, self.byte()),
                6 => bytes.extend_from_within(at..end),
                _ => {
                    let other = &seeds[self.below(seeds.len())];
                    let from = self.below(other.len());
                    bytes.truncate(at);
                    bytes.extend_from_slice(&other[from..]);
                }
            }
        }
        bytes
    }
}
