//! How far a long act is: a bar on a terminal, a line every ten seconds elsewhere.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use super::{Line, text};

const EVERY: Duration = Duration::from_secs(10);

/// What was shown so far.
#[derive(Default)]
pub(crate) struct Progress {
    bar: Option<ProgressBar>,
    told: Option<Instant>,
}

impl Progress {
    /// Takes a `progress` line; gives a sentence when one is due and there is no terminal for a bar.
    pub(super) fn update(&mut self, line: &Line, terminal: bool, now: Instant) -> Option<String> {
        let far = how_far(line);
        if terminal {
            let bar = self
                .bar
                .get_or_insert_with(|| ProgressBar::new(0).with_style(style()));
            bar.set_length(line.count("total"));
            bar.set_position(line.count("done"));
            bar.set_prefix(line.text_or("act", "working"));
            bar.set_message(far);
            return None;
        }
        let since = *self.told.get_or_insert(now);
        if now.duration_since(since) < EVERY {
            return None;
        }
        self.told = Some(now);
        Some(format!("{}: {far}", line.text_or("act", "working")))
    }

    /// Runs `write` while the bar is out of the way.
    pub(super) fn aside<T>(&self, write: impl FnOnce() -> T) -> T {
        match &self.bar {
            Some(bar) => bar.suspend(write),
            None => write(),
        }
    }

    /// Takes the bar away for good.
    pub(super) fn clear(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}

fn how_far(line: &Line) -> String {
    let of = |done: String, total: u64, shown: String| {
        if total > 0 {
            format!("{done} of {shown}")
        } else {
            done
        }
    };
    let (done, total) = (line.count("done"), line.count("total"));
    let (bytes, bytes_total) = (line.count("bytes"), line.count("bytes_total"));
    let items = of(text::thousands(done), total, text::thousands(total));
    if bytes == 0 && bytes_total == 0 {
        return items;
    }
    let sizes = of(text::size(bytes), bytes_total, text::size(bytes_total));
    format!("{items}, {sizes}")
}

fn style() -> ProgressStyle {
    ProgressStyle::with_template("{prefix} [{bar:24}] {msg}")
        .expect("the template is a constant that the tests draw")
        .progress_chars("=> ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(done: u64) -> Line {
        Line::own(
            "progress",
            serde_json::json!({"act": "import", "done": done, "total": 1500, "bytes": 2_000_000, "bytes_total": 9_000_000}),
        )
    }

    #[test]
    fn a_plain_line_comes_every_ten_seconds() {
        let mut progress = Progress::default();
        let start = Instant::now();
        let told: Vec<Option<String>> = [0, 4, 9, 10, 11, 21]
            .map(|at| progress.update(&line(at), false, start + Duration::from_secs(at)))
            .into();
        let want = |done: u64| Some(format!("import: {done} of 1,500, 2.0 MB of 9.0 MB"));
        assert_eq!(told, [None, None, None, want(10), None, want(21)]);
    }

    #[test]
    fn what_is_not_known_is_not_told() {
        let unknown = Line::own(
            "progress",
            serde_json::json!({"act": "sync", "done": 7, "total": null}),
        );
        assert_eq!(how_far(&unknown), "7");
    }

    #[test]
    fn the_bar_can_be_drawn_and_taken_away() {
        let mut progress = Progress::default();
        assert_eq!(progress.update(&line(1), true, Instant::now()), None);
        assert_eq!(progress.aside(|| 5), 5);
        progress.clear();
        assert!(progress.bar.is_none());
    }
}
