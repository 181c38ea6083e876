//! The forms of values: durations, dates, sizes, addresses.
//!
//! Each parser checks the form and hands the text on as it is; what the text
//! means (which day, in which time zone) is the node's business.

use std::path::PathBuf;

use clap::builder::{OsStringValueParser, TypedValueParser};
use heirloom_node::forms;

/// Accepts any folder; an empty text, as of a variable that is set to nothing, is none.
pub(super) fn home() -> impl TypedValueParser<Value = PathBuf> {
    OsStringValueParser::new().map(PathBuf::from)
}

/// Accepts `90m`, `24h`, `7d`, and sums such as `1d12h`.
pub(super) fn duration(text: &str) -> Result<String, String> {
    let digits = text.chars().filter(char::is_ascii_digit);
    let is_nothing = text.contains('0') && digits.into_iter().all(|digit| digit == '0');
    if forms::seconds(text).is_some() {
        Ok(text.to_owned())
    } else if is_nothing {
        Err("it is to be longer than nothing, such as 90m, 24h or 7d".to_owned())
    } else {
        Err("a duration looks like 90m, 24h or 7d".to_owned())
    }
}

/// Accepts a duration with or without a sign.
pub(super) fn shift(text: &str) -> Result<String, String> {
    let bare = text.strip_prefix(['+', '-']).unwrap_or(text);
    match duration(bare) {
        Ok(_) => Ok(text.to_owned()),
        Err(_) => Err("a shift looks like 1h30m, -20m or 12d".to_owned()),
    }
}

/// Accepts `2023`, `2023-05`, `2023-05-01` and `FROM..TO` of these.
pub(super) fn dates(text: &str) -> Result<String, String> {
    let fits = match text.split_once("..") {
        Some((from, to)) => {
            let both = from.len().min(to.len());
            is_date(from) && is_date(to) && from[..both] <= to[..both]
        }
        None => is_date(text),
    };
    if fits {
        Ok(text.to_owned())
    } else {
        Err("a date looks like 2023-05, 2023-05-01 or 2023-05-01..2023-05-31".to_owned())
    }
}

/// Accepts a date, or one with a time of day: `2023-05-01T14:30`.
pub(super) fn instant(text: &str) -> Result<String, String> {
    let (day, time) = text.split_once('T').unwrap_or((text, "00:00"));
    let time = time.strip_suffix('Z').unwrap_or(time);
    let two = |part: &str| part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_digit());
    let parts = time.split(':').count();
    if is_date(day) && (2..=3).contains(&parts) && time.split(':').all(two) {
        Ok(text.to_owned())
    } else {
        Err("a time looks like 2023-05-01T14:30 or 2023-05-01".to_owned())
    }
}

/// Accepts the address of a store: `http://` or `https://` and a host.
pub(super) fn endpoint(text: &str) -> Result<String, String> {
    let host = text
        .strip_prefix("https://")
        .or_else(|| text.strip_prefix("http://"));
    match host {
        Some(host) if !host.is_empty() && !host.contains('@') => Ok(text.to_owned()),
        _ => Err("an address of a store looks like https://s3.example.org".to_owned()),
    }
}

/// Accepts one date, without a range.
pub(super) fn date(text: &str) -> Result<String, String> {
    if is_date(text) {
        Ok(text.to_owned())
    } else {
        Err("a date looks like 2023, 2023-05 or 2023-05-01".to_owned())
    }
}

fn is_date(text: &str) -> bool {
    let number = |part: &str, width: usize| -> Option<u32> {
        let digits = part.len() == width && part.bytes().all(|b| b.is_ascii_digit());
        digits.then(|| part.parse().ok()).flatten()
    };
    let mut parts = text.split('-');
    let Some(year) = parts.next().and_then(|y| number(y, 4)) else {
        return false;
    };
    let month = parts.next().map(|m| number(m, 2));
    let day = parts.next().map(|d| number(d, 2));
    let month_fits = match month {
        None => true,
        Some(month) => month.is_some_and(|m| (1..=12).contains(&m)),
    };
    let day_fits = match (month, day) {
        (Some(Some(month)), Some(day)) => day.is_some_and(|d| 1 <= d && d <= days(year, month)),
        (_, day) => day.is_none(),
    };
    month_fits && day_fits && parts.next().is_none()
}

fn days(year: u32, month: u32) -> u32 {
    match month {
        2 if year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400)) => {
            29
        }
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Accepts `500M`, `200G`, `2T` or plain bytes and gives bytes.
pub(super) fn size(text: &str) -> Result<u64, String> {
    forms::bytes(text).ok_or_else(|| "a size looks like 500M, 200G or 2T".to_owned())
}

/// Accepts what looks like a multiaddr; the node says whether it can be dialled.
pub(super) fn multiaddr(text: &str) -> Result<String, String> {
    if text.starts_with('/') && text[1..].contains('/') {
        Ok(text.to_owned())
    } else {
        Err("an address looks like /ip4/192.168.1.20/tcp/4001".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_years_months_days_and_ranges() {
        for good in [
            "2023",
            "2023-05",
            "2024-02-29",
            "2023-05-01..2023-05-31",
            "2022..2023-06",
            "2023-05-31..2023-05",
        ] {
            assert_eq!(dates(good).as_deref(), Ok(good));
        }
        for bad in [
            "",
            "23",
            "2023-5",
            "2023-13",
            "2023-00",
            "2023-02-29",
            "1900-02-29",
            "2023-05-32",
            "2023-05-01-01",
            "2023..",
            "..2023",
            "2024..2023",
            "2023-06..2023-05",
            "may",
            "2023-05-",
            "2023--05",
        ] {
            assert!(dates(bad).is_err(), "{bad}");
        }
        assert!(date("2023..2024").is_err());
    }

    #[test]
    fn addresses_start_with_a_slash() {
        assert!(multiaddr("/ip4/127.0.0.1/tcp/0").is_ok());
        for bad in ["", "/", "192.168.1.2:4001", "/ip4"] {
            assert!(multiaddr(bad).is_err(), "{bad}");
        }
    }
}
