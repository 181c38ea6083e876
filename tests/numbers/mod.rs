//! What tests tell in numbers, and how many the environment asks for.
//!
//! A test that passes prints nothing that anybody sees. What it counted is
//! therefore also added to the file that `HEIRLOOM_NUMBERS` names, by a full
//! path, a line for each with the name of the test.
#![allow(
    dead_code,
    reason = "each test program is compiled by itself and uses a part"
)]

use std::{env, fs::OpenOptions, io::Write as _, str::FromStr, thread};

/// Tells what a test counted or found.
pub(crate) fn report(line: &str) {
    eprintln!("{line}");
    let Some(path) = env::var_os("HEIRLOOM_NUMBERS") else {
        return;
    };
    let thread = thread::current();
    let text = format!("{}: {line}\n", thread.name().unwrap_or("a test"));
    // One write, as tests run beside each other.
    let mut file = OpenOptions::new().create(true).append(true).open(path);
    let told = file.as_mut().map(|file| file.write_all(text.as_bytes()));
    assert!(matches!(told, Ok(Ok(()))), "HEIRLOOM_NUMBERS: {told:?}");
}

/// How many the environment asks for, else as many as usual.
#[track_caller]
pub(crate) fn asked<N: FromStr>(name: &str, usual: N) -> N {
    let asked = env::var(name).ok();
    asked.map_or(usual, |asked| {
        let asked = asked.parse().ok();
        asked.unwrap_or_else(|| panic!("{name} is a number"))
    })
}

/// How many cases of a property are tried: the usual ones, as often more as `PROPTEST_CASES`
/// says more than the 256 of proptest.
pub(crate) fn cases(usual: u32) -> u32 {
    let asked = asked("PROPTEST_CASES", 256_u32);
    usual.saturating_mul(asked.div_ceil(256))
}
