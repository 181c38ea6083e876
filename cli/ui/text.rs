//! Words and numbers for people: safe names, sizes, dates, aligned tables.

use std::{borrow::Cow, time::SystemTime};

/// Gives `text` with every character escaped that could move the cursor, hide or turn the writing.
pub(crate) fn plain(text: &str) -> Cow<'_, str> {
    if !text.contains(is_unsafe) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        if is_unsafe(c) {
            safe.extend(c.escape_default());
        } else {
            safe.push(c);
        }
    }
    Cow::Owned(safe)
}

/// Gives a line of JSON with the same characters escaped; they can stand only inside strings.
pub(crate) fn escape_in_json(json: &str) -> String {
    let mut safe = String::with_capacity(json.len());
    for c in json.chars() {
        if is_unsafe(c) {
            let mut units = [0; 2];
            for unit in c.encode_utf16(&mut units) {
                safe.push_str(&format!("\\u{unit:04x}"));
            }
        } else {
            safe.push(c);
        }
    }
    safe
}

// Controls, the bidirectional formatting characters of UAX 9, line and paragraph
// separators, the byte order mark and the invisible tags.
fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
            | '\u{feff}' | '\u{e0000}'..='\u{e007f}')
}

/// Gives a size such as `3.4 MB`, in powers of 1000.
pub(crate) fn size(bytes: u64) -> String {
    if bytes < 1000 {
        return format!("{bytes} B");
    }
    // Tenths, rounded half up, so that no size reads as less than it is by more than a hair.
    let mut tenths = u128::from(bytes) * 10;
    for unit in ["kB", "MB", "GB", "TB", "PB"] {
        tenths = (tenths + 500) / 1000;
        if tenths < 10_000 {
            return if tenths < 1000 {
                format!("{}.{} {unit}", tenths / 10, tenths % 10)
            } else {
                format!("{} {unit}", tenths / 10)
            };
        }
    }
    format!("{} EB", (tenths + 5_000) / 10_000)
}

/// Gives `1 photo` or `1,204 photos`.
pub(crate) fn count(number: u64, one: &str, many: &str) -> String {
    if number == 1 {
        format!("1 {one}")
    } else {
        format!("{} {many}", thousands(number))
    }
}

/// Gives `1,204`.
pub(crate) fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// Gives `Anna`, `Anna and Ben`, `Anna, Ben and Carla`.
pub(crate) fn and(names: &[String]) -> String {
    match names {
        [] => String::new(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

/// Gives a wall time `2010-12-12T12:41:35` as `2010-12-12 12:41`.
pub(crate) fn wall_time(taken: &str) -> String {
    taken.replacen('T', " ", 1).chars().take(16).collect()
}

/// Gives how long ago a moment (RFC 3339, UTC) was, such as `4 min ago`.
pub(crate) fn ago(moment: &str, now: SystemTime) -> String {
    let now = now
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |since| {
            i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
        });
    let Some(then) = unix_seconds(moment) else {
        return moment.to_owned();
    };
    match now.saturating_sub(then) {
        ..60 => "just now".to_owned(),
        s @ ..3600 => format!("{} min ago", s / 60),
        s @ ..86_400 => format!("{} h ago", s / 3600),
        s @ ..172_800 => format!("{} day ago", s / 86_400),
        s => format!("{} days ago", s / 86_400),
    }
}

// Howard Hinnant's days_from_civil; the fraction and the offset's letter are not needed for `ago`.
fn unix_seconds(moment: &str) -> Option<i64> {
    let number = |from: usize, to: usize| -> Option<i64> { moment.get(from..to)?.parse().ok() };
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    let days = era * 146_097 + day_of_era - 719_468;
    Some(days * 86_400 + hour * 3600 + minute * 60 + second)
}

/// Gives `24 hours` for 86,400 seconds and `7 days` for a week.
pub(crate) fn span(seconds: u64) -> String {
    match seconds {
        s if s < 60 => count(s, "second", "seconds"),
        s if s < 2 * 3600 => count(s / 60, "minute", "minutes"),
        s if s < 48 * 3600 => count(s / 3600, "hour", "hours"),
        s => count(s / 86_400, "day", "days"),
    }
}

/// Rows whose columns stand below each other; the last column may be as long as it likes.
#[derive(Default)]
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// Adds a row.
    pub(crate) fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.rows.push(cells.into());
    }

    /// Gives the aligned rows.
    pub(crate) fn lines(&self) -> Vec<String> {
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..self.rows.first().map_or(0, Vec::len))
            .map(width)
            .collect();
        let line = |row: &Vec<String>| {
            let cells = row.iter().zip(&widths).filter(|(_, width)| **width > 0);
            let padded: Vec<String> = cells
                .map(|(cell, width)| format!("{cell:<width$}"))
                .collect();
            padded.join("  ").trim_end().to_owned()
        };
        self.rows.iter().map(line).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn sizes_read_at_a_glance() {
        for (bytes, want) in [
            (0, "0 B"),
            (999, "999 B"),
            (1_000, "1.0 kB"),
            (1_449, "1.4 kB"),
            (99_950, "100 kB"),
            (999_999, "1.0 MB"),
            (3_400_000, "3.4 MB"),
            (2_300_000_000, "2.3 GB"),
            (u64::MAX, "18 EB"),
        ] {
            assert_eq!(size(bytes), want, "{bytes}");
        }
    }

    #[test]
    fn moments_are_told_as_their_age() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_709_294_400); // 2024-03-01T12:00:00Z
        for (moment, want) in [
            ("2024-03-01T11:59:30Z", "just now"),
            ("2024-03-01T12:05:00Z", "just now"),
            ("2024-03-01T11:30:00.123Z", "30 min ago"),
            ("2024-02-29T18:00:00Z", "18 h ago"),
            ("2024-02-29T11:00:00Z", "1 day ago"),
            ("2023-03-01T12:00:00Z", "366 days ago"),
            ("1970-01-01T00:00:00Z", "19783 days ago"),
            ("never", "never"),
        ] {
            assert_eq!(ago(moment, now), want, "{moment}");
        }
    }

    #[test]
    fn spans_and_counts_are_words() {
        assert_eq!(span(86_400), "24 hours");
        assert_eq!(span(604_800), "7 days");
        assert_eq!(span(5_400), "90 minutes");
        assert_eq!(count(1, "photo", "photos"), "1 photo");
        assert_eq!(count(1_204_000, "photo", "photos"), "1,204,000 photos");
        assert_eq!(and(&["A".into(), "B".into(), "C".into()]), "A, B and C");
    }

    #[test]
    fn tables_align_and_drop_empty_columns() {
        let mut table = Table::default();
        table.row(["a".into(), String::new(), "x".into()]);
        table.row(["long name".into(), String::new(), "y z".into()]);
        assert_eq!(table.lines(), ["a          x", "long name  y z"]);
    }
}
