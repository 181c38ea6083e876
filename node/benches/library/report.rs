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

/// What something took.
#[derive(Clone, Copy)]
pub struct Took {
    /// On the wall.
    pub wall: Duration,
    /// Seconds of processor, of this process and of those it started and waited for.
    pub cpu: f64,
}

/// A clock that runs.
pub struct Stopwatch {
    begun: Instant,
    cpu: f64,
}

impl Stopwatch {
    /// Starts.
    pub fn start() -> Self {
        Self {
            begun: Instant::now(),
            cpu: cpu_seconds("/proc/self"),
        }
    }

    /// What it took until now.
    pub fn took(&self) -> Took {
        Took {
            wall: self.begun.elapsed(),
            cpu: cpu_seconds("/proc/self") - self.cpu,
        }
    }
}

/// Seconds of processor that a process, a folder of `/proc`, has used so far, where the system tells.
pub fn cpu_seconds(process: &str) -> f64 {
    let stat = std::fs::read_to_string(format!("{process}/stat")).unwrap_or_default();
    let fields = stat.rsplit(") ").next().unwrap_or_default().split(' ');
    // utime, stime, cutime, cstime of proc(5), in ticks of a hundredth.
    let ticks: f64 = fields
        .skip(11)
        .take(4)
        .filter_map(|field| field.parse::<f64>().ok())
        .sum();
    ticks / 100.0
}

/// What a piece of work takes.
pub fn time<T>(work: impl FnOnce() -> T) -> (T, Took) {
    let watch = Stopwatch::start();
    let made = work();
    (made, watch.took())
}

/// The times of some programs at the same work, ours first.
#[derive(Default)]
pub struct Contest {
    rows: Vec<(String, Vec<Took>)>,
}

impl Contest {
    /// Notes one run.
    pub fn note(&mut self, name: &str, took: Took) {
        match self.rows.iter_mut().find(|(known, _)| known == name) {
            Some((_, times)) => times.push(took),
            None => self.rows.push((name.to_owned(), vec![took])),
        }
    }

    /// How many times longer the second took than the first, by their medians.
    pub fn ratio(&self) -> f64 {
        let walls = self.rows.iter().map(|(_, times)| {
            let (wall, _) = median(times.iter().map(|took| took.wall.as_secs_f64()));
            wall
        });
        let walls: Vec<f64> = walls.collect();
        walls[1] / walls[0]
    }

    /// Writes the medians of each and how many times those of the first they are.
    pub fn tell(self, what: &str) {
        say(format!("\n{what}"));
        let mut ours = None;
        for (name, times) in &self.rows {
            let (wall, walls) = median(times.iter().map(|took| took.wall.as_secs_f64()));
            let (cpu, _) = median(times.iter().map(|took| took.cpu));
            let first_wall = *ours.get_or_insert(wall);
            say(format!(
                "  {name:<34} {wall:>8.3} s (x {:.2})   {cpu:>7.2} s of processor   {walls}",
                wall / first_wall,
            ));
        }
    }
}

/// The one in the middle, and all in order as text.
fn median(values: impl Iterator<Item = f64>) -> (f64, String) {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let all: Vec<String> = values.iter().map(|value| format!("{value:.2}")).collect();
    (values[values.len() / 2], format!("[{}]", all.join(" ")))
}
