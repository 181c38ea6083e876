//! Figures as lines of text.

use std::time::{Duration, Instant};

/// Writes a line.
#[expect(clippy::print_stdout, reason = "figures go where they are read")]
pub fn say(line: impl AsRef<str>) {
    println!("{}", line.as_ref());
}

/// Of how many runs a figure is the median.
pub fn rounds() -> usize {
    setting("HEIRLOOM_BENCH_ROUNDS", 3).max(1)
}

/// A number from the environment.
pub fn setting(name: &str, usual: usize) -> usize {
    let text = std::env::var(name).ok();
    text.and_then(|text| text.parse().ok()).unwrap_or(usual)
}

/// How long something takes.
pub fn time<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let begun = Instant::now();
    let made = work();
    (made, begun.elapsed())
}

/// The times of some programs at the same work, ours first.
#[derive(Default)]
pub struct Contest {
    rows: Vec<(String, Vec<Duration>)>,
}

impl Contest {
    /// Notes one run.
    pub fn note(&mut self, name: &str, took: Duration) {
        match self.rows.iter_mut().find(|(known, _)| known == name) {
            Some((_, times)) => times.push(took),
            None => self.rows.push((name.to_owned(), vec![took])),
        }
    }

    /// Writes the median of each and how many times as long as the first it took.
    pub fn tell(mut self, what: &str) {
        say(format!("\n{what}"));
        let mut ours = None;
        for (name, times) in &mut self.rows {
            times.sort_unstable();
            let median = times[times.len() / 2].as_secs_f64();
            let first = *ours.get_or_insert(median);
            let spread: Vec<String> = times
                .iter()
                .map(|took| format!("{:.2}", took.as_secs_f64()))
                .collect();
            say(format!(
                "  {name:<44} {median:>9.3} s   x {:<6.2} [{}]",
                median / first,
                spread.join(" ")
            ));
        }
    }
}
