//! Wall time and dates as text.

/// A wall time in milliseconds since 1970 as `2010-12-12T12:41:35`, with milliseconds where there are any.
///
/// Proleptic Gregorian calendar, after Howard Hinnant's `civil_from_days`.
pub fn wall_text(ms: i64) -> String {
    let (days, of_day) = (ms.div_euclid(86_400_000), ms.rem_euclid(86_400_000));
    let (year, month, day) = civil(days);
    let (hours, minutes) = (of_day / 3_600_000, of_day / 60_000 % 60);
    let (seconds, millis) = (of_day / 1000 % 60, of_day % 1000);
    let whole = format!("{year:04}-{month:02}-{day:02}T{hours:02}:{minutes:02}:{seconds:02}");
    if millis == 0 {
        whole
    } else {
        format!("{whole}.{millis:03}")
    }
}

fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

/// Days from 1970-01-01 to a date.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let shifted_year = if month <= 2 { year - 1 } else { year };
    let era = shifted_year.div_euclid(400);
    let year_of_era = shifted_year.rem_euclid(400);
    let shifted_month = (month + 9) % 12;
    let of_year = (153 * shifted_month + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + of_year - 719_468
}

/// An instant as RFC 3339 in UTC.
pub fn instant_text(ms: u64) -> String {
    let text = wall_text(i64::try_from(ms).unwrap_or(i64::MAX));
    format!("{text}Z")
}

/// `2023`, `2023-05`, `2023-05-01` or two of them with `..` between, as wall milliseconds: from, up to but excluding.
pub fn parse_range(text: &str) -> Option<(i64, i64)> {
    let (from, to) = text.split_once("..").unwrap_or((text, text));
    let (from, to) = (parse_date(from)?, parse_date(to)?);
    (from.0 < to.1).then_some((from.0, to.1))
}

/// A day, whose beginning is meant, or `2023-05-01T14:30` with or without seconds and `Z`: Unix
/// milliseconds, all in UTC.
pub fn parse_instant(text: &str) -> Option<u64> {
    u64::try_from(parse_wall(text)?).ok()
}

/// The same as wall milliseconds, which may lie before 1970.
pub fn parse_wall(text: &str) -> Option<i64> {
    let (day, time) = match text.split_once('T') {
        Some((day, time)) => (day, Some(time.strip_suffix('Z').unwrap_or(time))),
        None => (text, None),
    };
    let (from, to) = parse_date(day)?;
    let mut seconds = 0;
    if let Some(time) = time {
        let parts: Vec<&str> = time.split(':').collect();
        let two = |part: &&str| part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_digit());
        if to - from != 86_400_000 || !(2..=3).contains(&parts.len()) || !parts.iter().all(two) {
            return None;
        }
        for (part, (below, each)) in parts.iter().zip([(24, 3600), (60, 60), (60, 1)]) {
            let number: i64 = part.parse().ok().filter(|number| *number < below)?;
            seconds += number * each;
        }
    }
    Some(from + seconds * 1000)
}

fn parse_date(text: &str) -> Option<(i64, i64)> {
    let number = |part: &str| {
        part.parse()
            .ok()
            .filter(|number| (0..=9999).contains(number))
    };
    let numbers: Option<Vec<i64>> = text.split('-').map(number).collect();
    let (from, to) = match numbers?[..] {
        [year] => (days(year, 1, 1), days(year + 1, 1, 1)),
        [year, month] if (1..=12).contains(&month) => {
            let (next_year, next) = if month == 12 {
                (year + 1, 1)
            } else {
                (year, month + 1)
            };
            (days(year, month, 1), days(next_year, next, 1))
        }
        [year, month, day] if (1..=12).contains(&month) && (1..=31).contains(&day) => {
            let first = days(year, month, day);
            if civil(first) != (year, month, day) {
                return None;
            }
            (first, first + 1)
        }
        _ => return None,
    };
    Some((from * 86_400_000, to * 86_400_000))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_are_days_or_minutes() {
        let day = parse_instant("2026-11-25").unwrap();
        assert_eq!(instant_text(day), "2026-11-25T00:00:00Z");
        assert_eq!(parse_instant("2026-11-25T14:05"), Some(day + 50_700_000));
        assert_eq!(
            parse_instant("2026-11-25T14:05:09Z"),
            Some(day + 50_709_000)
        );
        for wrong in [
            "",
            "T",
            "2026-11T14:05",
            "2026-11-25T",
            "2026-11-25T24:00",
            "2026-11-25T1:05",
            "2026-11-25T14",
            "2026-11-25T+1:05",
            "2026-11-25T14:05:09:00",
            "1969-12-31",
        ] {
            assert_eq!(parse_instant(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn wall_times_are_written_as_the_clock_showed_them() {
        assert_eq!(wall_text(0), "1970-01-01T00:00:00");
        assert_eq!(wall_text(1_292_157_695_000), "2010-12-12T12:41:35");
        assert_eq!(days(1919, 5, 4), -18_505);
        assert_eq!(
            wall_text(days(1600, 2, 29) * 86_400_000),
            "1600-02-29T00:00:00"
        );
    }

    #[test]
    fn a_month_ends_where_the_next_begins() {
        let (from, to) = parse_range("2023-12").unwrap();
        assert_eq!(wall_text(from), "2023-12-01T00:00:00");
        assert_eq!(wall_text(to), "2024-01-01T00:00:00");
        assert_eq!(
            parse_range("2023-05-01..2023-05-31").unwrap().1,
            parse_range("2023-05").unwrap().1
        );
        assert_eq!(parse_range("2023-02-30"), None);
        assert_eq!(parse_range("soon"), None);
    }

    #[test]
    fn a_year_has_four_digits() {
        for text in [
            "9223372036854775807",
            "999999999999-01",
            "99999-01-01",
            "2023..10000",
        ] {
            assert_eq!(parse_range(text), None, "{text}");
        }
        assert!(parse_range("0001..9999").is_some());
    }
}
