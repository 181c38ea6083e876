//! The forms of durations and sizes that people write, the same in arguments, settings and on the page;
//! and of counts that they read.

/// A count with its noun: `1 photo is`, `3 photos are`.
pub(crate) fn counted(count: impl TryInto<u64>, one: &str, many: &str) -> String {
    match count.try_into().unwrap_or(u64::MAX) {
        1 => format!("1 {one}"),
        count => format!("{count} {many}"),
    }
}

/// The words with a capital letter, as a sentence begins.
pub(crate) fn capitalised(words: &str) -> String {
    let mut chars = words.chars();
    let first: String = chars
        .next()
        .into_iter()
        .flat_map(char::to_uppercase)
        .collect();
    first + chars.as_str()
}

/// The seconds of `90m`, `24h`, `7d` or a sum such as `1d12h`; `None` for anything else, and for no time at all.
pub fn seconds(text: &str) -> Option<u64> {
    let mut total = 0_u64;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (count, unit) = rest.split_at(digits);
        let each = match unit.bytes().next()? {
            b's' => 1,
            b'm' => 60,
            b'h' => 3600,
            b'd' => 24 * 3600,
            b'w' => 7 * 24 * 3600,
            _ => return None,
        };
        let count: u64 = count.parse().ok()?;
        total = total.checked_add(count.checked_mul(each)?)?;
        rest = &unit[1..];
    }
    (total > 0).then_some(total)
}

/// The bytes of `500M`, `200G`, `2TB` or a plain number; units are powers of 1000.
pub fn bytes(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (count, unit) = text.split_at(digits);
    let unit = match unit.strip_suffix('B').unwrap_or(unit) {
        "" => 1,
        "k" | "K" => 1_000,
        "M" => 1_000_000,
        "G" => 1_000_000_000,
        "T" => 1_000_000_000_000,
        _ => return None,
    };
    count.parse::<u64>().ok()?.checked_mul(unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_a_sum_of_counts_with_units() {
        for (text, want) in [
            ("24h", Some(86_400)),
            ("90m", Some(5400)),
            ("7d", Some(604_800)),
            ("1d12h", Some(129_600)),
            ("", None),
            ("0s", None),
            ("24", None),
            ("h", None),
            ("-1h", None),
            ("1 h", None),
            ("soon", None),
            ("99999999999999999999d", None),
            ("999999999999999999w", None),
        ] {
            assert_eq!(seconds(text), want, "{text}");
        }
    }

    #[test]
    fn a_size_is_a_count_with_a_unit() {
        for (text, want) in [
            ("200G", Some(200_000_000_000)),
            ("500MB", Some(500_000_000)),
            ("17", Some(17)),
            ("", None),
            ("G", None),
            ("1.5G", None),
            ("10 G", None),
            ("99999999999999999999", None),
            ("99999999999T", None),
        ] {
            assert_eq!(bytes(text), want, "{text}");
        }
    }
}
