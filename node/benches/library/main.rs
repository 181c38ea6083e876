//! A whole node, measured: import and export, sync, start, memory and traffic.
//!
//! ```text
//! cargo bench -p heirloom-node --bench library [-- import | sync | sources | large | keeper | gallery]
//! ```
//!
//! What is timed is durable when the clock stops, and programs that are compared
//! take turns in the same run. These are single measurements (medians of a few),
//! so there is no harness. Settings, from the environment:
//!
//! | name | meaning | unless set |
//! |---|---|---|
//! | `HEIRLOOM_BENCH_DIR` | where homes and files are made; it takes some gigabytes | the system's folder for temporary files |
//! | `HEIRLOOM_BENCH_ROUNDS` | of how many runs a figure is the median | 3 |
//! | `HEIRLOOM_BENCH_ASSETS` | assets of `large`, `keeper` and `gallery` | 100,000 |
//! | `HEIRLOOM_BENCH_KEEP` | a folder that `gallery` makes its home in and leaves there, for `tests/browser/speed.js` | |
//! | `HEIRLOOM_BENCH_MOVIE` | MiB of the movie that `gallery` watches | 4,096 |
//!
//! The program starts itself again as a served node and as the worker that reads
//! pictures.
#![expect(
    unreachable_pub,
    clippy::unwrap_used,
    reason = "a benchmark is no library, and ends at the first thing that goes wrong"
)]
#![cfg_attr(
    not(unix),
    expect(dead_code, reason = "nodes are asked through their socket files")
)]

#[cfg(unix)]
mod gallery;
#[cfg(unix)]
mod import;
#[cfg(unix)]
mod keeper;
#[cfg(unix)]
mod large;
#[cfg(unix)]
mod made;
mod report;
#[cfg(unix)]
mod served;
#[cfg(unix)]
mod sources;
#[cfg(unix)]
mod sync;
#[cfg(unix)]
mod world;

#[cfg(not(unix))]
fn main() {
    report::say("skipped: nodes are asked through their socket files");
}

#[cfg(unix)]
fn main() -> std::process::ExitCode {
    use std::process::ExitCode;

    let args: Vec<String> = std::env::args().skip(1).collect();
    match &args[..] {
        [act] if act == "worker-decode" => {
            let code = heirloom_node::media::worker::run();
            return ExitCode::from(u8::try_from(code).unwrap_or(1));
        }
        [act, home] if act == "serve" => {
            served::serve(home.as_ref());
            return ExitCode::SUCCESS;
        }
        _ => {}
    }
    let wanted: Vec<&str> = args
        .iter()
        .map(String::as_str)
        .filter(|arg| !arg.starts_with('-'))
        .collect();
    let is_wanted = |name: &str| wanted.is_empty() || wanted.contains(&name);
    let dir = std::env::var_os("HEIRLOOM_BENCH_DIR")
        .map_or_else(std::env::temp_dir, std::path::PathBuf::from);
    let folder = tempfile::Builder::new()
        .prefix("heirloom-bench-")
        .tempdir_in(dir)
        .unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    if is_wanted("import") {
        import::run(folder.path(), &runtime);
    }
    if is_wanted("sync") {
        sync::run(folder.path(), &runtime);
    }
    if is_wanted("sources") {
        sources::run(folder.path(), &runtime);
    }
    if is_wanted("large") {
        runtime.block_on(large::run(folder.path()));
    }
    if is_wanted("keeper") {
        runtime.block_on(keeper::run(folder.path()));
    }
    if is_wanted("gallery") {
        runtime.block_on(gallery::run(folder.path()));
    }
    ExitCode::SUCCESS
}
