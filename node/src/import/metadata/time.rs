//! Times as cameras write them: wall clock, offset, and how sure we are.
//!
//! Everything here is arithmetic on given values. Neither the machine's clock nor
//! its time zone is ever read: two devices in two zones must derive the same value.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What the clock on the wall showed, in the proleptic Gregorian calendar.
///
/// Always a real date between the years 1800 and 2200: anything else a file claims is
/// "unknown", as are the all-zero and all-blank dates that cameras with no clock set write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "WallParts", into = "WallParts")]
pub struct WallTime {
    year: u16,
    month: u8,
    day: u8,
    hour: u8,
    minute: u8,
    second: u8,
    millis: u16,
}

/// The unchecked form of a [`WallTime`]: year, month, day, hour, minute, second, millisecond.
type WallParts = (u16, u8, u8, u8, u8, u8, u16);

const FIRST_YEAR: u16 = 1800;
const LAST_YEAR: u16 = 2200;
/// Zones run from -12:00 to +14:00; the wider bound keeps the test symmetric.
const MAX_OFFSET_MINUTES: i16 = 14 * 60;

impl WallTime {
    /// Builds a wall time, or `None` when no clock could have shown it.
    #[must_use]
    pub fn new(
        (year, month, day): (u16, u8, u8),
        (hour, minute, second): (u8, u8, u8),
        millis: u16,
    ) -> Option<Self> {
        let real = (FIRST_YEAR..=LAST_YEAR).contains(&year)
            && (1..=12).contains(&month)
            && (1..=days_in_month(year, month)).contains(&day)
            && hour < 24
            && minute < 60
            && second <= 60
            && millis < 1000;
        real.then_some(Self {
            year,
            month,
            day,
            hour,
            minute,
            // A leap second reads as the last ordinary one: calendars of readers lack :60.
            second: second.min(59),
            millis,
        })
    }

    /// The wall time that a clock running on UTC shows this many milliseconds after 1970.
    #[must_use]
    pub fn from_unix_millis(millis: i64) -> Option<Self> {
        let days = millis.div_euclid(86_400_000);
        let of_day = millis.rem_euclid(86_400_000);
        let (year, month, day) = civil_from_days(days)?;
        Self::new(
            (year, month, day),
            (
                u8::try_from(of_day / 3_600_000).ok()?,
                u8::try_from(of_day / 60_000 % 60).ok()?,
                u8::try_from(of_day / 1000 % 60).ok()?,
            ),
            u16::try_from(of_day % 1000).ok()?,
        )
    }

    /// Milliseconds after 1970 on a clock that runs on UTC; negative before.
    #[must_use]
    pub fn unix_millis(&self) -> i64 {
        let days = days_from_civil(self.year, self.month, self.day);
        let seconds = days * 86_400
            + i64::from(self.hour) * 3600
            + i64::from(self.minute) * 60
            + i64::from(self.second);
        seconds * 1000 + i64::from(self.millis)
    }

    /// Year, month and day.
    #[must_use]
    pub fn date(&self) -> (u16, u8, u8) {
        (self.year, self.month, self.day)
    }

    /// Hour, minute and second.
    #[must_use]
    pub fn time(&self) -> (u8, u8, u8) {
        (self.hour, self.minute, self.second)
    }

    /// Milliseconds of the second.
    #[must_use]
    pub fn millis(&self) -> u16 {
        self.millis
    }

    /// The same second with other milliseconds; more than 999 leave it as it is.
    #[must_use]
    pub(crate) fn with_millis(self, millis: u16) -> Self {
        Self {
            millis: if millis < 1000 { millis } else { self.millis },
            ..self
        }
    }

    /// Whether both show the same second.
    #[must_use]
    pub fn same_second(&self, other: &Self) -> bool {
        self.with_millis(0) == other.with_millis(0)
    }
}

impl TryFrom<WallParts> for WallTime {
    type Error = &'static str;

    fn try_from(p: WallParts) -> Result<Self, Self::Error> {
        Self::new((p.0, p.1, p.2), (p.3, p.4, p.5), p.6).ok_or("no such time")
    }
}

impl From<WallTime> for WallParts {
    fn from(t: WallTime) -> Self {
        (t.year, t.month, t.day, t.hour, t.minute, t.second, t.millis)
    }
}

impl fmt::Display for WallTime {
    /// Writes `2010-12-12T12:41:35`, without milliseconds.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}",
            self.year, self.month, self.day, self.hour, self.minute, self.second
        )
    }
}

/// Accepts an offset in minutes east of UTC that some zone could have.
#[must_use]
pub fn checked_offset(minutes: i64) -> Option<i16> {
    i16::try_from(minutes)
        .ok()
        .filter(|m| m.abs() <= MAX_OFFSET_MINUTES)
}

/// Finds the zone from one moment told twice: by the wall clock and in UTC.
///
/// The answer must be a multiple of 15 minutes (all zones are) within `slack_ms`, and at most
/// 14 hours. Sources of UTC differ: a GPS fix may be a minute old, a Takeout time is exact.
#[must_use]
pub fn recover_offset(wall: &WallTime, utc_millis: i64, slack_ms: i64) -> Option<i16> {
    const QUARTER: i64 = 15 * 60_000;
    let gap = wall.unix_millis().checked_sub(utc_millis)?;
    let quarters = gap.checked_add(QUARTER / 2)?.div_euclid(QUARTER);
    let rest = gap - quarters * QUARTER;
    if rest.abs() > slack_ms {
        return None;
    }
    checked_offset(quarters.checked_mul(15)?)
}

/// A wall time with the offset its writer gave, if any.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// What the clock on the wall showed.
    pub wall: WallTime,
    /// Minutes east of UTC.
    pub offset: Option<i16>,
}

impl Stamp {
    /// Reads `2010:12:12 12:41:35`, `2005-05-13T13:09:04.31-05:00`, `2020-01-05T15:04Z`,
    /// `2019-07-24T11:25:40+0300` or a bare date, which counts as noon of that day.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut p = Digits(text.trim_matches(['\0', ' ', '\n', '\r', '\t']).as_bytes());
        let year = p.number(4)?;
        p.separator(b":-/.")?;
        let month = u8::try_from(p.number(2)?).ok()?;
        p.separator(b":-/.")?;
        let day = u8::try_from(p.number(2)?).ok()?;
        if p.0.is_empty() {
            let wall = WallTime::new((year, month, day), (12, 0, 0), 0)?;
            return Some(Self { wall, offset: None });
        }
        p.separator(b" T")?;
        let hour = u8::try_from(p.number(2)?).ok()?;
        p.separator(b":.")?;
        let minute = u8::try_from(p.number(2)?).ok()?;
        let mut second = 0;
        let mut millis = 0;
        if p.separator(b":.").is_some() {
            second = u8::try_from(p.number(2)?).ok()?;
            if p.separator(b".,").is_some() {
                millis = p.fraction();
            }
        }
        let wall = WallTime::new((year, month, day), (hour, minute, second), millis)?;
        let rest = std::str::from_utf8(p.0).ok()?;
        Some(Self {
            wall,
            offset: parse_offset(rest),
        })
    }
}

/// Reads `+03:00`, `-0800`, `+01` or `Z`.
#[must_use]
pub fn parse_offset(text: &str) -> Option<i16> {
    let text = text.trim_matches(['\0', ' ']);
    if text == "Z" || text == "z" {
        return Some(0);
    }
    let mut p = Digits(text.as_bytes());
    let sign = match p.separator(b"+-")? {
        b'-' => -1,
        _ => 1,
    };
    let hours = p.number(2)?;
    p.separator(b":");
    let minutes = if p.0.is_empty() { 0 } else { p.number(2)? };
    if minutes >= 60 || !p.0.is_empty() {
        return None;
    }
    checked_offset(sign * (i64::from(hours) * 60 + i64::from(minutes)))
}

/// Milliseconds from the digits after the point: `5` is 500, `285714` is 285.
pub(crate) fn millis_from_fraction(text: &str) -> u16 {
    Digits(text.trim_matches(['\0', ' ']).as_bytes()).fraction()
}

/// A cursor over ASCII digits and separators.
struct Digits<'a>(&'a [u8]);

impl Digits<'_> {
    fn number(&mut self, digits: usize) -> Option<u16> {
        let (head, rest) = self.0.split_at_checked(digits)?;
        let mut n = 0;
        for &d in head {
            n = n * 10 + u16::from(d.is_ascii_digit().then(|| d - b'0')?);
        }
        self.0 = rest;
        Some(n)
    }

    fn separator(&mut self, any_of: &[u8]) -> Option<u8> {
        let (&first, rest) = self.0.split_first()?;
        any_of.contains(&first).then(|| {
            self.0 = rest;
            first
        })
    }

    fn fraction(&mut self) -> u16 {
        let digits = self.0.iter().take_while(|d| d.is_ascii_digit()).count();
        let (head, rest) = self.0.split_at(digits);
        self.0 = rest;
        let mut scale = 100;
        let mut millis = 0;
        for &d in head.iter().take(3) {
            millis += u16::from(d - b'0') * scale;
            scale /= 10;
        }
        millis
    }
}

fn days_in_month(year: u16, month: u8) -> u8 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400)) => {
            29
        }
        2 => 28,
        _ => 31,
    }
}

// Both conversions: Howard Hinnant, "chrono-compatible low-level date algorithms".
fn days_from_civil(year: u16, month: u8, day: u8) -> i64 {
    let y = i64::from(year) - i64::from(month <= 2);
    let era = y.div_euclid(400);
    let yoe = y.rem_euclid(400);
    let shifted = (i64::from(month) + 9) % 12;
    let doy = (153 * shifted + 2) / 5 + i64::from(day) - 1;
    let doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;
    era * 146_097 + doe - 719_468
}

fn civil_from_days(days: i64) -> Option<(u16, u8, u8)> {
    let z = days.checked_add(719_468)?;
    let era = z.div_euclid(146_097);
    let doe = z.rem_euclid(146_097);
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let shifted = (5 * doy + 2) / 153;
    let day = doy - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 {
        shifted + 3
    } else {
        shifted - 9
    };
    let year = yoe + era * 400 + i64::from(month <= 2);
    Some((
        u16::try_from(year).ok()?,
        u8::try_from(month).ok()?,
        u8::try_from(day).ok()?,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn show(text: &str) -> Option<(String, u16, Option<i16>)> {
        Stamp::parse(text).map(|s| (s.wall.to_string(), s.wall.millis(), s.offset))
    }

    #[test]
    fn times_are_read_as_cameras_write_them() {
        let cases: [(&str, &str, u16, Option<i16>); 8] = [
            ("2010:12:12 12:41:35", "2010-12-12T12:41:35", 0, None),
            ("2010:12:12 12:41:35\0", "2010-12-12T12:41:35", 0, None),
            (
                "2005-05-13T13:09:04.31-05:00",
                "2005-05-13T13:09:04",
                310,
                Some(-300),
            ),
            ("2020-01-05T15:04Z", "2020-01-05T15:04:00", 0, Some(0)),
            (
                "2019-07-24T11:25:40+0300",
                "2019-07-24T11:25:40",
                0,
                Some(180),
            ),
            ("1919:05:04 05:59:26", "1919-05-04T05:59:26", 0, None),
            ("2019-05-04", "2019-05-04T12:00:00", 0, None),
            (
                "2021-04-10T11:43:59+05:45",
                "2021-04-10T11:43:59",
                0,
                Some(345),
            ),
        ];
        for (text, wall, millis, offset) in cases {
            assert_eq!(
                show(text),
                Some((wall.to_owned(), millis, offset)),
                "{text}"
            );
        }
    }

    #[test]
    fn impossible_and_blank_times_are_unknown() {
        for text in [
            "0000:00:00 00:00:00",
            "    :  :     :  :  ",
            "2021:02:29 10:00:00",
            "2021:13:01 10:00:00",
            "2021:01:01 25:00:00",
            "4501:01:01 00:00:00",
            "",
            "2021",
            "20210101",
            "\u{e9}\u{e9}\u{e9}\u{e9}:01:01",
        ] {
            assert_eq!(show(text), None, "{text}");
        }
    }

    #[test]
    fn unix_time_and_wall_time_agree_for_every_day_of_four_centuries() {
        let first = days_from_civil(1800, 1, 1);
        let last = days_from_civil(2200, 12, 31);
        let mut before = None;
        for day in first..=last {
            let wall = WallTime::from_unix_millis(day * 86_400_000 + 1).expect("in range");
            assert_eq!(wall.unix_millis(), day * 86_400_000 + 1);
            assert!(before < Some(wall));
            before = Some(wall);
        }
        assert_eq!(WallTime::from_unix_millis((last + 1) * 86_400_000), None);
        assert_eq!(WallTime::from_unix_millis(i64::MIN), None);
        assert_eq!(WallTime::from_unix_millis(i64::MAX), None);
    }

    #[test]
    fn a_zone_is_recovered_only_when_it_could_be_one() {
        let wall = Stamp::parse("2018-02-05T15:11:44").expect("valid").wall;
        let at = |text: &str| Stamp::parse(text).expect("valid").wall.unix_millis();
        assert_eq!(
            recover_offset(&wall, at("2018-02-05T07:11:43"), 90_000),
            Some(480)
        );
        assert_eq!(
            recover_offset(&wall, at("2018-02-05T18:41:44"), 0),
            Some(-210)
        );
        assert_eq!(
            recover_offset(&wall, at("2018-02-05T07:08:00"), 90_000),
            None
        );
        assert_eq!(
            recover_offset(&wall, at("2018-02-04T07:11:44"), 90_000),
            None
        );
        assert_eq!(recover_offset(&wall, i64::MIN, 90_000), None);
    }

    #[test]
    fn offsets_out_of_this_world_are_refused() {
        assert_eq!(parse_offset("+14:00"), Some(840));
        assert_eq!(parse_offset("-01"), Some(-60));
        for text in ["+15:00", "+03:60", "03:00", "   :  ", "", "+03:00x", "+3"] {
            assert_eq!(parse_offset(text), None, "{text}");
        }
    }
}
