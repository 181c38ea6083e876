//! Workers as real processes, and every photo of the corpus through them.
//!
//! This test brings its own `main`, because the program under test starts itself again: called
//! with the name of a worker it is one, well-behaved or not.

mod corpus;
mod pool;
mod rogue;

use std::panic::catch_unwind;
use std::process::ExitCode;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if let Some(code) = args.first().and_then(|name| rogue::run(name)) {
        return ExitCode::from(code);
    }
    let filters: Vec<&String> = args.iter().filter(|a| !a.starts_with('-')).collect();
    let mut failed = 0;
    for (name, test) in pool::TESTS.iter().chain(corpus::TESTS) {
        if !filters.is_empty() && !filters.iter().any(|f| name.contains(f.as_str())) {
            continue;
        }
        let passed = catch_unwind(test).is_ok();
        failed += usize::from(!passed);
        report(&format!(
            "test {name} ... {}",
            if passed { "ok" } else { "FAILED" }
        ));
    }
    report(&format!("\ntest result: {failed} failed"));
    if failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

#[expect(
    clippy::print_stdout,
    reason = "a test without the standard harness reports by itself"
)]
fn report(line: &str) {
    println!("{line}");
}
