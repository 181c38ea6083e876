//! The timeline as one answer: months, days and shapes, so that a page can lay out everything before it draws anything.

use axum::body::Bytes;
use data_encoding::BASE64;
use serde_json::json;

use super::Shown;
use crate::{catalog::wall_text, runtime::AssetKey};

/// The name of the month of what has no time of capture.
pub(in crate::gallery) const UNDATED: &str = "undated";

/// The timeline of one query at one moment.
pub(in crate::gallery) struct Table {
    /// As of which change.
    pub(in crate::gallery) version: u64,
    /// The answer.
    pub(in crate::gallery) body: Bytes,
    months: Vec<Month>,
}

/// Days with their counts, and the shapes of a month.
type MonthTold = (Vec<(u8, u64)>, Vec<u8>);

struct Month {
    /// `2019-08`.
    name: String,
    /// Newest first.
    assets: Vec<AssetKey>,
}

/// The month and day of a wall time; undated ones have day 0.
pub(super) fn day(wall: Option<i64>) -> (String, u8) {
    let Some(wall) = wall else {
        return (UNDATED.to_owned(), 0);
    };
    let text = wall_text(wall);
    // A year before the common era has a sign, and one after 9999 has five digits.
    let date = text.split('T').next().unwrap_or_default();
    let (month, day) = date.rsplit_once('-').unwrap_or((date, "0"));
    (month.to_owned(), day.parse().unwrap_or(0))
}

impl Table {
    /// Lays out what is shown, which is in order.
    pub(super) fn of(version: u64, shown: &[Shown]) -> Self {
        let mut months: Vec<Month> = Vec::new();
        let mut told: Vec<MonthTold> = Vec::new();
        let mut last_day = None;
        for one in shown {
            let of_day = one.wall.map(|wall| wall.div_euclid(86_400_000));
            if last_day != Some(of_day) || months.is_empty() {
                last_day = Some(of_day);
                let (name, day) = day(one.wall);
                if months.last().is_none_or(|month| month.name != name) {
                    let assets = Vec::new();
                    months.push(Month { name, assets });
                    told.push((Vec::new(), Vec::new()));
                }
                if let Some((days, _)) = told.last_mut() {
                    days.push((day, 0));
                }
            }
            if let (Some(month), Some((days, ratios))) = (months.last_mut(), told.last_mut()) {
                month.assets.push(one.key);
                ratios.push(one.ratio);
                if let Some((_, count)) = days.last_mut() {
                    *count += 1;
                }
            }
        }
        let lines = months.iter().zip(&told).map(|(month, (days, ratios))| {
            json!({"m": month.name, "days": days, "r": BASE64.encode(ratios)})
        });
        let months_told: Vec<_> = lines.collect();
        let body =
            json!({"version": version, "total": shown.len(), "months": months_told}).to_string();
        Self {
            version,
            body: body.into(),
            months,
        }
    }

    /// The assets of a month, newest first; none where there is no such month.
    pub(in crate::gallery) fn month(&self, name: &str) -> &[AssetKey] {
        let found = self.months.iter().find(|month| month.name == name);
        found.map_or(&[], |month| &month.assets)
    }

    /// The names of the months in which two timelines differ.
    pub(super) fn changed_since(&self, before: &Self) -> Vec<String> {
        let differs = |from: &Self, month: &&Month| from.month(&month.name) != month.assets;
        let new = self.months.iter().filter(|month| differs(before, month));
        let gone = before.months.iter().filter(|month| differs(self, month));
        let mut names: Vec<String> = new.chain(gone).map(|month| month.name.clone()).collect();
        names.sort_unstable();
        names.dedup();
        names
    }
}

#[cfg(test)]
mod tests {
    use heirloom_protocol::id::{OpId, SpaceId};

    use super::*;

    fn shown(number: u8, wall: Option<i64>) -> Shown {
        Shown {
            key: AssetKey {
                album: SpaceId::ZERO,
                item: OpId([number; 32]),
            },
            wall,
            hlc: 0,
            ratio: number,
        }
    }

    #[test]
    fn months_and_days_are_counted_in_order() {
        let day_ms = 86_400_000;
        let all = [
            shown(1, Some(40 * day_ms)),
            shown(2, Some(3 * day_ms + 5)),
            shown(3, Some(3 * day_ms)),
            shown(4, Some(0)),
            shown(5, Some(-1)),
            shown(6, None),
            shown(7, None),
        ];
        let table = Table::of(9, &all);
        let told: serde_json::Value = serde_json::from_slice(&table.body).expect("JSON");
        let want = json!({"version": 9, "total": 7, "months": [
            {"m": "1970-02", "days": [[10, 1]], "r": BASE64.encode(&[1])},
            {"m": "1970-01", "days": [[4, 2], [1, 1]], "r": BASE64.encode(&[2, 3, 4])},
            {"m": "1969-12", "days": [[31, 1]], "r": BASE64.encode(&[5])},
            {"m": "undated", "days": [[0, 2]], "r": BASE64.encode(&[6, 7])},
        ]});
        assert_eq!(told, want);
        assert_eq!(table.month("1970-01").len(), 3);
        assert_eq!(table.month("1970-03"), []);
        let without = Table::of(10, &all[1..]);
        assert_eq!(without.changed_since(&table), ["1970-02"]);
        assert_eq!(table.changed_since(&table), Vec::<String>::new());
        assert_eq!(Table::of(1, &[]).month(UNDATED), []);
    }
}
