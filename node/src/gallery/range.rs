//! `Range` and `If-Range` (RFC 9110, section 14): one range of bytes, or none.

/// What a request asks of a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Wanted {
    /// All of it.
    Whole,
    /// Bytes from the first up to and with the last.
    Part(u64, u64),
    /// Nothing that can be given.
    Unsatisfiable,
}

impl Wanted {
    /// Reads the header fields of a request for a file of `len` bytes with the strong tag `etag`.
    ///
    /// A unit other than bytes is passed over, as the standard has it. Several
    /// ranges, ranges that are not well formed, and those outside the file
    /// cannot be satisfied. A range that belongs to another version of the file
    /// is passed over.
    pub(super) fn of(range: Option<&str>, if_range: Option<&str>, etag: &str, len: u64) -> Self {
        let Some(range) = range else {
            return Self::Whole;
        };
        if if_range.is_some_and(|condition| condition.trim() != etag) {
            return Self::Whole;
        }
        let Some((unit, spec)) = range.split_once('=') else {
            return Self::Unsatisfiable;
        };
        if !unit.trim().eq_ignore_ascii_case("bytes") {
            return Self::Whole;
        }
        Self::one(spec.trim(), len).unwrap_or(Self::Unsatisfiable)
    }

    fn one(spec: &str, len: u64) -> Option<Self> {
        let (first, last) = spec.split_once('-')?;
        if first.is_empty() {
            let suffix = number(last)?;
            return (1..=len)
                .contains(&suffix)
                .then(|| Self::Part(len - suffix, len - 1));
        }
        let first = number(first)?;
        let last = match last {
            "" => len.checked_sub(1)?,
            last => number(last)?,
        };
        (first <= last && first < len).then(|| Self::Part(first, last.min(len - 1)))
    }
}

/// Digits alone: no sign, no blank, no second range.
fn number(text: &str) -> Option<u64> {
    let is_plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_plain.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(range: &str) -> Wanted {
        Wanted::of(Some(range), None, "\"a\"", 100)
    }

    #[test]
    fn one_range_is_taken_as_it_is_meant() {
        assert_eq!(Wanted::of(None, None, "\"a\"", 100), Wanted::Whole);
        assert_eq!(wanted("bytes=0-0"), Wanted::Part(0, 0));
        assert_eq!(wanted("bytes=0-"), Wanted::Part(0, 99));
        assert_eq!(wanted("bytes=90-200"), Wanted::Part(90, 99));
        assert_eq!(wanted("BYTES=99-99"), Wanted::Part(99, 99));
        assert_eq!(wanted("bytes=-1"), Wanted::Part(99, 99));
        assert_eq!(wanted("bytes=-100"), Wanted::Part(0, 99));
        assert_eq!(wanted("lines=1-2"), Wanted::Whole);
    }

    #[test]
    fn what_makes_no_sense_cannot_be_satisfied() {
        for range in [
            "bytes=100-",
            "bytes=100-100",
            "bytes=5-4",
            "bytes=-101",
            "bytes=-0",
            "bytes=-",
            "bytes=",
            "bytes",
            "bytes=0-1,3-4",
            "bytes=0-1,",
            "bytes=+1-2",
            "bytes=1 -2",
            "bytes=18446744073709551616-",
            "bytes=0-18446744073709551616",
            "bytes=a-b",
        ] {
            assert_eq!(wanted(range), Wanted::Unsatisfiable, "{range}");
        }
        assert_eq!(
            Wanted::of(Some("bytes=0-"), None, "\"a\"", 0),
            Wanted::Unsatisfiable
        );
    }

    #[test]
    fn a_range_of_another_version_is_passed_over() {
        let of = |tag| Wanted::of(Some("bytes=0-1"), Some(tag), "\"a\"", 100);
        assert_eq!(of("\"a\""), Wanted::Part(0, 1));
        for tag in ["\"b\"", "W/\"a\"", "Wed, 21 Oct 2015 07:28:00 GMT", ""] {
            assert_eq!(of(tag), Wanted::Whole, "{tag}");
        }
    }
}
