//! Whether the clock here agrees with those of the other devices, and which is the odd one.

use std::collections::BTreeMap;

use heirloom_protocol::{id::DeviceId, limits};
use serde_json::json;

use super::{Check, Verdict, others};
use crate::{
    api::{ApiError, problem::Problem},
    catalog::instant_text,
    forms::{capitalised, counted},
    node::Node,
    runtime::{Clocks, RuntimeError, View},
};

/// What is known of clocks.
struct Seen {
    /// The clock of this computer, Unix milliseconds.
    now: u64,
    /// It was never set.
    is_unset: bool,
    /// The clocks of others when they were met last.
    others: BTreeMap<DeviceId, Clocks>,
    /// How far what a device wrote is ahead of the clock here; of this device, what it writes now.
    wrote: BTreeMap<DeviceId, u64>,
}

impl Seen {
    async fn by(node: &Node) -> Result<Self, ApiError> {
        let system = node.clock().now().0;
        let seen = node.ask(move |runtime| {
            let (now, me) = (runtime.now(), runtime.device());
            let inc = runtime.replica().incarnation();
            let mut wrote = BTreeMap::new();
            for (log, state) in runtime.replica().logs() {
                // What this device wrote while its clock was wrong, and left behind since, is no longer so.
                let is_now = log.device != me || log.inc == inc;
                if is_now && state.hlc().is_held(now) {
                    let ahead = state.hlc().time().0.saturating_sub(now.0);
                    let most = wrote.entry(log.device).or_default();
                    *most = ahead.max(*most);
                }
            }
            Ok::<_, RuntimeError>(Self {
                now: system,
                is_unset: runtime.is_clock_unset(),
                others: runtime.clocks_seen()?,
                wrote,
            })
        });
        Ok(seen.await??)
    }

    fn odd(&self) -> Vec<(DeviceId, Clocks)> {
        let others = self.others.iter();
        let odd = others.filter(|(_, clocks)| clocks.is_odd());
        odd.map(|(device, clocks)| (*device, *clocks)).collect()
    }

    /// How far the other clocks are ahead of this one, where there are several and they all agree with each other.
    fn all_agree_on(&self) -> Option<i128> {
        let ahead: Vec<_> = self
            .odd()
            .iter()
            .map(|(_, clocks)| clocks.ahead())
            .collect();
        let (least, most) = (*ahead.iter().min()?, *ahead.iter().max()?);
        let is_all = ahead.len() > 1 && ahead.len() == self.others.len();
        let is_one = most.abs_diff(least) <= u128::from(limits::CLOCK_AHEAD_MS);
        (is_all && is_one).then_some(most)
    }
}

/// The check.
pub(super) async fn check(node: &Node, view: &View) -> Result<Check, ApiError> {
    let seen = Seen::by(node).await?;
    Ok(verdict(
        &seen,
        view.device,
        others(view).next().is_none(),
        |device| view.device_name(device),
    ))
}

/// What `status` says of a clock that is wrong.
pub(in crate::api) async fn problem(node: &Node, view: &View) -> Result<Option<Problem>, ApiError> {
    let check = check(node, view).await?;
    let wrong = Some(check).filter(|check| check.verdict == Verdict::Wrong);
    Ok(wrong.map(|check| {
        let told = match check.remedy {
            Some(remedy) => format!("{}: {remedy}.", check.message),
            None => format!("{}.", check.message),
        };
        Problem::new("clock", json!({}), capitalised(&told))
    }))
}

fn verdict(seen: &Seen, me: DeviceId, is_alone: bool, name: impl Fn(&DeviceId) -> String) -> Check {
    let shows = minute(seen.now);
    if seen.is_unset {
        let message = format!("this computer's clock shows {shows}, which is long past");
        return Check::wrong("clock", message, SET);
    }
    if let Some(ahead) = seen.wrote.get(&me) {
        return Check::wrong(
            "clock",
            format!("this device wrote things {} in the future", span(*ahead)),
            "set the clock of this computer, if it is not right by now. Your photos are safe; what was said of them under that clock counts from that day on, and saying it again counts at once",
        );
    }
    if let Some(ahead) = seen.all_agree_on() {
        let (by, way) = apart(ahead, "behind", "ahead of");
        let names: Vec<_> = seen.others.keys().map(&name).collect();
        let message = format!(
            "the clock of this device is {by} {way} those of {}, which agree with each other: it shows {shows}",
            names.join(", ")
        );
        return Check::wrong("clock", message, SET);
    }
    let odd = seen.odd().into_iter();
    if let Some((device, clocks)) = odd.max_by_key(|(_, clocks)| clocks.ahead().unsigned_abs()) {
        return other(&name(&device), clocks.ahead(), &shows);
    }
    // What a device wrote when its clock was wrong says nothing of it once it was seen to be right.
    let wrote = seen.wrote.iter();
    let wrote = wrote.filter(|(device, _)| !seen.others.contains_key(device));
    if let Some((device, ahead)) = wrote.max_by_key(|(_, ahead)| **ahead) {
        return other(&name(device), i128::from(*ahead), &shows);
    }
    match (is_alone, seen.others.is_empty()) {
        (true, _) => Check::well("clock", "there is no other device to compare it with"),
        (false, true) => Check::well(
            "clock",
            format!("it shows {shows}; no other device said lately what its own shows"),
        ),
        (false, false) => Check::well("clock", "it agrees with the other devices"),
    }
}

const SET: &str = "set the clock of this computer. Your photos are safe: they stand where they were taken, and what was said of them counts once the clock is right";

fn other(name: &str, ahead: i128, shows: &str) -> Check {
    let (by, way) = apart(ahead, "ahead of", "behind");
    let message = format!("the clock of {name} is {by} {way} this one's, which shows {shows}");
    let remedy = "look which of the two is wrong, and set it; your photos are safe";
    Check::wrong("clock", message, remedy)
}

/// How far, and the word for it: one where the other clock is ahead, another where it is behind.
fn apart(ahead: i128, yes: &'static str, no: &'static str) -> (String, &'static str) {
    let by = span(u64::try_from(ahead.unsigned_abs()).unwrap_or(u64::MAX));
    (by, if ahead > 0 { yes } else { no })
}

/// A time as a person reads it from a clock.
fn minute(ms: u64) -> String {
    let text = instant_text(ms);
    let text = text.get(..16).unwrap_or(&text);
    format!("{} UTC", text.replace('T', " "))
}

/// So many milliseconds, in the unit that people would use.
pub(super) fn span(ms: u64) -> String {
    match ms / 60_000 {
        minutes @ ..120 => counted(minutes, "minute", "minutes"),
        minutes @ 120..2880 => counted(minutes / 60, "hour", "hours"),
        minutes @ 2880..1_051_200 => counted(minutes / 1440, "day", "days"),
        // To the nearest: twenty years less a minute are no nineteen.
        minutes => counted((minutes + 262_800) / 525_600, "year", "years"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_800_000_000_000;
    const YEAR: i64 = 365 * 24 * 3_600_000;

    fn device(byte: u8) -> DeviceId {
        DeviceId([byte; 32])
    }

    /// Others whose clocks are so many years ahead.
    fn seen(years: &[i64]) -> Seen {
        let clocks = |(at, years): (usize, &i64)| {
            let theirs = NOW.saturating_add_signed(years * YEAR);
            let of = device(u8::try_from(at).unwrap() + 1);
            (of, Clocks { theirs, ours: NOW })
        };
        Seen {
            now: NOW,
            is_unset: false,
            others: years.iter().enumerate().map(clocks).collect(),
            wrote: BTreeMap::new(),
        }
    }

    fn said(seen: &Seen) -> String {
        let check = verdict(seen, device(0), false, |device| format!("d{}", device.0[0]));
        check.message
    }

    #[test]
    fn a_clock_that_is_off_is_named_on_the_device_that_has_it() {
        assert_eq!(said(&seen(&[0, 0])), "it agrees with the other devices");
        assert_eq!(
            said(&seen(&[])),
            "it shows 2027-01-15 08:00 UTC; no other device said lately what its own shows"
        );
        assert_eq!(
            said(&seen(&[0, 20])),
            "the clock of d2 is 20 years ahead of this one's, which shows 2027-01-15 08:00 UTC"
        );
        assert_eq!(
            said(&seen(&[-20])),
            "the clock of d1 is 20 years behind this one's, which shows 2027-01-15 08:00 UTC"
        );
        assert_eq!(
            said(&seen(&[-20, -20])),
            "the clock of this device is 20 years ahead of those of d1, d2, which agree with each other: it shows 2027-01-15 08:00 UTC"
        );
        // Two that are wrong in two ways say nothing of this one.
        assert!(said(&seen(&[-20, 3])).starts_with("the clock of d1 is 20 years behind"));
        let unset = Seen {
            now: 1_000_000_000_000,
            is_unset: true,
            ..seen(&[0])
        };
        assert_eq!(
            said(&unset),
            "this computer's clock shows 2001-09-09 01:46 UTC, which is long past"
        );
    }

    #[test]
    fn what_was_written_ahead_is_told_until_the_clock_was_seen_to_be_right() {
        let wrote = |years: &[i64], by: u8| Seen {
            wrote: BTreeMap::from([(device(by), 20 * YEAR.unsigned_abs())]),
            ..seen(years)
        };
        assert!(said(&wrote(&[], 1)).starts_with("the clock of d1 is 20 years ahead of"));
        assert_eq!(said(&wrote(&[0], 1)), "it agrees with the other devices");
        assert_eq!(
            said(&wrote(&[0], 0)),
            "this device wrote things 20 years in the future"
        );
    }
}
