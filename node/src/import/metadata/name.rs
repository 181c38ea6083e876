//! Times in file names: `IMG_20230512_123456.jpg`, `2018-09-10 12.16.13.jpg`, `IMG-20150125-WA0003.jpg`.
//!
//! A name is the last word but one on when a picture was taken: used when nothing inside says so.

use super::{Stamp, WallTime};

/// Reads the time that cameras, phones and messengers put into a name, without its folder.
///
/// `PXL_` (Pixel) and `_iOS` (OneDrive) names are in UTC, all others in the time of the wall. A
/// name with a date alone (`IMG-20150125-WA0003`) counts as noon. Years outside 1990 to 2100 are
/// taken for other numbers.
#[must_use]
pub fn taken(name: &str) -> Option<Stamp> {
    let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
    let runs = runs(stem);
    let utc = name.starts_with("PXL_") || stem.ends_with("_iOS");
    (0..runs.len()).find_map(|i| {
        let rest = runs.get(i..)?;
        let (date, used) = date(rest)?;
        let (time, millis) = match used {
            Used::Digits(digits) => time(&[Run::of(digits)])?,
            Used::Runs(n) => time(rest.get(n..)?).unwrap_or(((12, 0, 0), 0)),
        };
        let wall = WallTime::new(date, time, millis)?;
        Some(Stamp {
            wall,
            offset: utc.then_some(0),
        })
    })
}

/// A run of digits, and whether a letter stands right before it.
#[derive(Clone, Copy)]
struct Run<'a> {
    digits: &'a str,
    after: char,
}

impl<'a> Run<'a> {
    fn of(digits: &'a str) -> Self {
        Self { digits, after: '_' }
    }

    fn number(&self, from: usize, to: usize) -> Option<u16> {
        self.digits.get(from..to)?.parse().ok()
    }

    fn pair(&self, from: usize) -> Option<u8> {
        self.digits.get(from..from + 2)?.parse().ok()
    }
}

fn runs(stem: &str) -> Vec<Run<'_>> {
    let mut all = Vec::new();
    let mut before = '_';
    let mut rest = stem;
    while let Some(from) = rest.find(|c: char| c.is_ascii_digit()) {
        before = rest[..from].chars().next_back().unwrap_or(before);
        let tail = &rest[from..];
        let to = tail
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(tail.len());
        all.push(Run {
            digits: &tail[..to],
            after: before,
        });
        rest = &tail[to..];
        before = '0';
    }
    all
}

enum Used<'a> {
    Runs(usize),
    /// Date and time in one run: what follows the date.
    Digits(&'a str),
}

/// `20230512`, `20230512123456` or `2023-05-12` (also with `.` and `_`).
fn date<'a>(runs: &[Run<'a>]) -> Option<((u16, u8, u8), Used<'a>)> {
    let first = runs.first()?;
    let (date, used) = match first.digits.len() {
        8 => (
            (first.number(0, 4)?, first.pair(4)?, first.pair(6)?),
            Used::Runs(1),
        ),
        14 | 17 => (
            (first.number(0, 4)?, first.pair(4)?, first.pair(6)?),
            Used::Digits(first.digits.get(8..)?),
        ),
        4 => {
            let (month, day) = (runs.get(1)?, runs.get(2)?);
            let separated = [month, day]
                .iter()
                .all(|r| r.digits.len() == 2 && matches!(r.after, '-' | '.' | '_'));
            if !separated {
                return None;
            }
            (
                (first.number(0, 4)?, month.pair(0)?, day.pair(0)?),
                Used::Runs(3),
            )
        }
        _ => return None,
    };
    (1990..=2100).contains(&date.0).then_some((date, used))
}

/// `123456`, `123456789` (with milliseconds), `12.34.56`, `12-34-56` or `12h34m56`.
fn time(runs: &[Run<'_>]) -> Option<((u8, u8, u8), u16)> {
    let first = runs.first()?;
    // `-WA0003` is a counter, not a time.
    if first.after.is_ascii_alphabetic() && !matches!(first.after, 'T' | 't') {
        return None;
    }
    let (time, millis) = match first.digits.len() {
        6 => ((first.pair(0)?, first.pair(2)?, first.pair(4)?), 0),
        9 => (
            (first.pair(0)?, first.pair(2)?, first.pair(4)?),
            first.number(6, 9)?,
        ),
        2 => {
            let (minute, second) = (runs.get(1)?, runs.get(2)?);
            if minute.digits.len() != 2 || second.digits.len() != 2 {
                return None;
            }
            ((first.pair(0)?, minute.pair(0)?, second.pair(0)?), 0)
        }
        _ => return None,
    };
    let valid = time.0 < 24 && time.1 < 60 && time.2 < 60;
    valid.then_some((time, millis))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn show(name: &str) -> Option<(String, u16, Option<i16>)> {
        taken(name).map(|s| (s.wall.to_string(), s.wall.millis(), s.offset))
    }

    #[test]
    fn names_of_cameras_and_messengers_are_understood() {
        for (name, wall, millis, offset) in [
            ("IMG_20230512_123456.jpg", "2023-05-12T12:34:56", 0, None),
            ("20180910_121613.jpg", "2018-09-10T12:16:13", 0, None),
            (
                "VID_20230512_123456789.mp4",
                "2023-05-12T12:34:56",
                789,
                None,
            ),
            (
                "PXL_20231006_063000139.jpg",
                "2023-10-06T06:30:00",
                139,
                Some(0),
            ),
            (
                "20151018_184000000_iOS.jpg",
                "2015-10-18T18:40:00",
                0,
                Some(0),
            ),
            ("2018-09-10 12.16.13.jpg", "2018-09-10T12:16:13", 0, None),
            (
                "telegram_2020-01-30_09-57-18.jpg",
                "2020-01-30T09:57:18",
                0,
                None,
            ),
            (
                "Screenshot_2022-10-28-09-31-43-118_com.x.png",
                "2022-10-28T09:31:43",
                0,
                None,
            ),
            ("IMG-20150125-WA0003.jpg", "2015-01-25T12:00:00", 0, None),
            (
                "signal-2020-10-26-163832.jpg",
                "2020-10-26T16:38:32",
                0,
                None,
            ),
            ("20201023202729.mp4", "2020-10-23T20:27:29", 0, None),
            ("Photo 20230512T101500.heic", "2023-05-12T10:15:00", 0, None),
        ] {
            assert_eq!(
                show(name),
                Some((wall.to_owned(), millis, offset)),
                "{name}"
            );
        }
    }

    #[test]
    fn other_numbers_are_no_dates() {
        for name in [
            "IMG_4120.JPG",
            "DSC01234.ARW",
            "12345678.jpg",
            "20231399.jpg",
            "1600x1200.jpg",
            "photo.jpg",
            "",
            "3f94fb5ca8395f59.mp4",
            "18991231_000000.jpg",
        ] {
            assert_eq!(show(name), None, "{name}");
        }
    }
}
