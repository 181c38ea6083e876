//! Devices that turned this one away: what that says of it, and to whom it is new.
//!
//! Who turns a caller away gives no reason. A device that has talked with this one and does so no
//! more has most likely heard that it was removed. One that never has may just not have heard
//! of it yet, as after a join or a restore, and hears of it from those that have.

use std::collections::{BTreeMap, BTreeSet};

use heirloom_protocol::{id::DeviceId, time::Timestamp};
use serde_json::json;

use super::{ApiError, problem::Problem};
use crate::{
    node::Node,
    runtime::{View, last_seen, turned_away},
    store::{Store, StoreError},
};

/// Who turned this device away when it called last, and who was ever met.
#[derive(Debug, Default)]
pub(super) struct Away {
    turned: BTreeSet<DeviceId>,
    seen: BTreeMap<DeviceId, Timestamp>,
}

/// What that says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Judged {
    /// They may have heard that this device was removed.
    pub(super) knew: Vec<DeviceId>,
    /// They have not heard of this device yet.
    pub(super) strangers: Vec<DeviceId>,
    /// A device of the family that knows this one: strangers hear of it there.
    pub(super) known_to: Option<DeviceId>,
}

impl Away {
    /// As it is noted. Blocks.
    pub(super) fn of(store: &Store) -> Result<Self, StoreError> {
        Ok(Self {
            turned: turned_away(store)?.into_keys().collect(),
            seen: last_seen(store)?,
        })
    }

    /// Whether a device turned this one away when it was called last.
    pub(super) fn was_turned_by(&self, device: &DeviceId) -> bool {
        self.turned.contains(device)
    }

    /// Judges with what this device knows of the family.
    pub(super) fn judge(&self, view: &View) -> Judged {
        let rows = view.people.devices.iter().filter(|row| !row.removed);
        let live = rows.map(|row| row.id).collect();
        self.judge_in(&view.device, &live)
    }

    fn judge_in(&self, me: &DeviceId, live: &BTreeSet<DeviceId>) -> Judged {
        let turned = self.turned.intersection(live).copied().collect::<Vec<_>>();
        let is_out = !live.contains(me) || turned.iter().any(|id| self.seen.contains_key(id));
        if is_out {
            return Judged {
                knew: turned,
                ..Judged::default()
            };
        }
        let met = self.seen.iter().filter(|(id, _)| live.contains(id));
        let last = met.max_by_key(|(_, at)| at.0);
        Judged {
            known_to: last.map(|(id, _)| *id).filter(|_| !turned.is_empty()),
            strangers: turned,
            ..Judged::default()
        }
    }
}

impl Judged {
    /// To whom this device is new, each with what to do.
    pub(super) fn strangers(&self, view: &View) -> Vec<Problem> {
        let problem = |id: &DeviceId| {
            let name = view.device_name(id);
            let by = self.known_to.map(|by| view.device_name(&by));
            let text = format!(
                "{}: {}.",
                not_known(&name),
                how_to_be_known(&name, by.as_deref())
            );
            match by {
                Some(by) => Problem::new("not-known", json!({"name": name, "by": by}), text),
                None => Problem::new("not-known-anywhere", json!({"name": name}), text),
            }
        };
        self.strangers.iter().map(problem).collect()
    }
}

fn not_known(name: &str) -> String {
    format!("{name} does not know this device yet and turned it away")
}

/// What to do with a device that has not heard of this one.
pub(super) fn how_to_be_known(name: &str, by: Option<&str>) -> String {
    match by {
        Some(by) => format!(
            "it hears of it from {by}, which does, once the two meet; let both run (heirloom serve)"
        ),
        None => format!(
            "it hears of it from any device that does, once the two meet; let {name} run (heirloom serve) where that one reaches it"
        ),
    }
}

/// Why nobody was reached, where `turned` answered and turned this device away.
pub(super) async fn refusal(node: &Node, turned: Vec<DeviceId>) -> Result<ApiError, ApiError> {
    let view = node.view().await?;
    let store = node.store().clone();
    let mut away = node.blocking(move || Away::of(&store)).await??;
    // It may not be noted yet.
    away.turned.extend(turned.iter().copied());
    let judged = away.judge(&view);
    let names = turned.iter().map(|id| view.device_name(id));
    let names = names.collect::<Vec<_>>().join(", ");
    let error = |message| {
        let error = ApiError::new("E-REFUSED", 8, message);
        error.safe("What is here stays here; nothing was shared.")
    };
    Ok(if judged.strangers.is_empty() {
        error(format!("{names} answered and turned this device away"))
            .hint("it may have been removed from the family: ask an admin, and invite it again if it was not meant")
    } else {
        let by = judged.known_to.map(|by| view.device_name(&by));
        let how = how_to_be_known(&names, by.as_deref());
        error(format!(
            "{names} answered and does not know this device yet"
        ))
        .hint(how)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ME: DeviceId = DeviceId([1; 32]);
    const LAPTOP: DeviceId = DeviceId([2; 32]);
    const KEEPER: DeviceId = DeviceId([3; 32]);
    const TABLET: DeviceId = DeviceId([4; 32]);

    fn judged(seen: &[(DeviceId, u64)], turned: &[DeviceId], live: &[DeviceId]) -> Judged {
        let seen = seen.iter().map(|(id, at)| (*id, Timestamp(*at)));
        let away = Away {
            turned: turned.iter().copied().collect(),
            seen: seen.collect(),
        };
        away.judge_in(&ME, &live.iter().copied().collect())
    }

    #[test]
    fn who_never_talked_with_this_device_has_not_heard_of_it() {
        let all = [ME, LAPTOP, KEEPER, TABLET];
        let strangers = |by| Judged {
            strangers: vec![KEEPER],
            known_to: by,
            ..Judged::default()
        };
        let met = [(LAPTOP, 5), (TABLET, 7)];
        assert_eq!(judged(&met, &[KEEPER], &all), strangers(Some(TABLET)));
        assert_eq!(judged(&[], &[KEEPER], &all), strangers(None));
        // Who was removed tells nobody anything.
        let live = [ME, LAPTOP, KEEPER];
        assert_eq!(judged(&met, &[KEEPER], &live), strangers(Some(LAPTOP)));
    }

    #[test]
    fn who_talked_with_this_device_and_turns_it_away_has_heard_of_its_removal() {
        let all = [ME, LAPTOP, KEEPER, TABLET];
        let knew = |ids: &[DeviceId]| Judged {
            knew: ids.to_vec(),
            ..Judged::default()
        };
        assert_eq!(judged(&[(LAPTOP, 5)], &[LAPTOP], &all), knew(&[LAPTOP]));
        // Then one that never did may have heard of it as well.
        let both = [LAPTOP, KEEPER];
        assert_eq!(judged(&[(LAPTOP, 5)], &both, &all), knew(&both));
        // By its own word this device is out.
        let without = [LAPTOP, KEEPER];
        assert_eq!(judged(&[(LAPTOP, 5)], &[KEEPER], &without), knew(&[KEEPER]));
    }

    #[test]
    fn nothing_is_said_where_nobody_turned_this_device_away() {
        let all = [ME, LAPTOP, KEEPER];
        assert_eq!(judged(&[(LAPTOP, 5)], &[], &all), Judged::default());
        // A removed one turns everybody away.
        assert_eq!(judged(&[], &[TABLET], &all), Judged::default());
    }
}
