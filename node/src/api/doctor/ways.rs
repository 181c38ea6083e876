//! Who is connected, and whether there is a way to who is not.
//!
//! What this device cannot know it does not affirm: that an address leads to it counts once somebody came in by it,
//! and a device that is not there may sleep, or be in another home to which there is no way.

use heirloom_protocol::{
    discovery::gossip::RoleFlags,
    op::{DeviceKind, Policy},
};

use super::{Check, clock::span, others};
use crate::{
    api::live::{Live, Reached},
    forms::counted,
    net,
    runtime::View,
};

/// How long a device may not be met before that is worth more than a note.
const AWAY_MS: u64 = 24 * 3600 * 1000;

const HELPS: &str = "one device is enough: with a public IPv6 address, with a port that its router leads to it (heirloom config set external_addresses /ip4/ADDRESS/tcp/PORT, and heirloom config set port PORT), or with an overlay network such as WireGuard on all of them";

/// This device.
#[derive(Debug, Default)]
pub(super) struct Own {
    runs: bool,
    listens: bool,
    lan_only: bool,
    /// Its addresses of the internet.
    at: Vec<Reached>,
    /// Where it listens.
    listen: Vec<net::Address>,
}

impl Own {
    pub(super) fn of(live: &Live) -> Self {
        Self {
            runs: live.runs,
            listens: !live.listen.is_empty(),
            lan_only: live.outside.lan_only,
            at: live.outside.at.clone(),
            listen: live
                .listen
                .iter()
                .filter_map(|at| at.parse().ok())
                .collect(),
        }
    }

    /// The port of an address that a person named, and the one that this node listens at instead.
    fn other_port(&self, named: &Reached) -> Option<(u16, u16)> {
        let port = |at: &Reached| Some(at.address.parse::<net::Address>().ok()?.port);
        let named = port(named)?;
        let is_own = |own: &&net::Address| {
            own.via.is_none()
                && !self
                    .at
                    .iter()
                    .any(|at| at.named && at.address == own.place())
        };
        let mut own = self.listen.iter().filter(is_own).map(|own| own.port);
        let first = own.next()?;
        (first != named && own.all(|port| port != named)).then_some((named, first))
    }
}

/// Another device of the family.
#[derive(Clone, Debug, Default)]
pub(super) struct Other {
    name: String,
    /// How it is connected.
    path: Option<&'static str>,
    /// When it was there last, Unix milliseconds.
    last_seen: Option<u64>,
    /// It was in another network when it was met last.
    was_elsewhere: bool,
    /// It says that it is reached from outside, and relays.
    lends: bool,
    /// An address of the internet that it says it has, and that is not of this home.
    said: Option<String>,
    /// It answered when it was called last, and turned this device away.
    turned_away: bool,
    /// This device is reached through it.
    is_via: bool,
    is_keeper: bool,
    /// Photos count on it. Others, as phones, may sleep for long.
    keeps: bool,
}

impl Other {
    pub(super) fn all(live: &Live, view: &View) -> Vec<Self> {
        let lends = |row: &&heirloom_protocol::replica::DeviceRow| {
            let beacon = live.lore.beacons.get(&row.id);
            beacon.is_some_and(|beacon| beacon.flags.has(RoleFlags::RELAY))
        };
        others(view)
            .map(|row| {
                let met = live.met(&row.id);
                Self {
                    name: view.device_name(&row.id),
                    path: met.path,
                    last_seen: met.last_seen,
                    was_elsewhere: met.was_elsewhere,
                    lends: lends(&row),
                    said: live.said_outside(&row.id),
                    turned_away: live.away.was_turned_by(&row.id),
                    is_via: live.outside.via == Some(row.id),
                    is_keeper: row.kind == DeviceKind::Keeper,
                    keeps: row.kind == DeviceKind::Keeper || row.policy == Policy::Archive,
                }
            })
            .collect()
    }

    fn is_connected(&self) -> bool {
        self.path.is_some()
    }

    fn was_there_lately(&self, now: u64) -> bool {
        self.is_connected()
            || self
                .last_seen
                .is_some_and(|at| now.saturating_sub(at) <= AWAY_MS)
    }

    /// Whether it has not been there for so long that something is wrong.
    fn is_missed(&self, now: u64) -> bool {
        self.keeps && !self.turned_away && !self.was_there_lately(now)
    }

    /// With when it was there last.
    fn told(&self, now: u64) -> String {
        let name = &self.name;
        match self.last_seen.map(|at| now.saturating_sub(at)) {
            _ if self.turned_away => format!("{name} (it turned this device away)"),
            None => format!("{name} (never seen from here)"),
            Some(..60_000) => format!("{name} (last seen a moment ago)"),
            Some(ago) => format!("{name} (last seen {} ago)", span(ago)),
        }
    }
}

fn told<'a>(others: impl IntoIterator<Item = &'a Other>, now: u64) -> String {
    let told: Vec<_> = others.into_iter().map(|other| other.told(now)).collect();
    told.join(", ")
}

/// Who is connected, and who is not.
pub(super) fn network(own: &Own, others: &[Other], now: u64) -> Check {
    const NAME: &str = "network";
    if !own.runs {
        let message = "the node is not running: other devices reach it while heirloom serve runs";
        return Check::note(NAME, message, None);
    }
    if !own.listens {
        return Check::wrong(
            NAME,
            "the node has no address that others could dial",
            "connect the network; heirloom config get network.listen says where it listens",
        );
    }
    if others.is_empty() {
        return Check::well(NAME, "there is no other device to meet");
    }
    let absent: Vec<_> = others
        .iter()
        .filter(|other| !other.is_connected())
        .collect();
    let there = others.len() - absent.len();
    if absent.is_empty() {
        return Check::well(
            NAME,
            match there {
                1 => "the other device is connected".to_owned(),
                there => format!("all {there} other devices are connected"),
            },
        );
    }
    let connected = match there {
        0 => "no other device is connected".to_owned(),
        there => counted(
            there,
            "other device is connected",
            "other devices are connected",
        ),
    };
    let message = format!(
        "{connected}; not there: {}",
        told(absent.iter().copied(), now)
    );
    let is_alone = there == 0
        && !others.iter().any(|other| other.was_there_lately(now))
        && others.iter().any(|other| other.is_missed(now));
    let mut missed = absent.iter().filter(|other| other.is_keeper);
    if is_alone || missed.any(|keeper| keeper.is_missed(now)) {
        let remedy = "see that it is on, on a network, and runs heirloom serve; until it is met, what is added here does not get there";
        return Check::wrong(NAME, message, remedy);
    }
    Check::note(NAME, message, None)
}

/// Whether this device and those elsewhere can meet, and what would help.
///
/// Without one device of the family that can be reached from outside there is no way between two homes. Whether
/// there are two homes is known once a device was met elsewhere; until then that is a problem only where somebody
/// has not been met for a while.
pub(super) fn homes(own: &Own, others: &[Other], now: u64) -> Check {
    const NAME: &str = "homes";
    let well = |message: String| Check::well(NAME, message);
    if !own.runs {
        return well(
            "how devices elsewhere reach this one is known while heirloom serve runs".into(),
        );
    }
    if own.lan_only {
        return well("this device talks to its own network alone (lan_only)".into());
    }
    if let Some(proved) = own.at.iter().find_map(|at| proved(at, now)) {
        return well(proved);
    }
    let answers = |other: &&Other| !other.turned_away;
    let reached: Vec<_> = others.iter().filter(answers).cloned().collect();
    if reached.is_empty() && !others.is_empty() {
        return well("who turned this device away has answered: there is a way".into());
    }
    meeting(own, &reached, now)
}

/// The same of devices that do not turn this one away, where it runs and may go out.
fn meeting(own: &Own, others: &[Other], now: u64) -> Check {
    const NAME: &str = "homes";
    let well = |message: String| Check::well(NAME, message);
    let is_there = |other: &&Other| other.is_connected();
    if let Some(relay) = others.iter().filter(is_there).find(|other| other.is_via) {
        return well(through(relay));
    }
    let lender = others.iter().filter(is_there).find(|other| other.lends);
    let lost: Vec<_> = others.iter().filter(|other| other.lends).collect();
    let missed = others.iter().find(|other| other.is_missed(now));
    let has_two = others.iter().any(|other| other.was_elsewhere);
    let named = own.at.iter().find(|at| at.named);
    if lender.is_none() && !lost.is_empty() && (has_two || missed.is_some()) {
        return way_is_off(&lost, others, named.or(own.at.first()), now);
    }
    if let Some(at) = named {
        return unproved(own, at, missed, now);
    }
    if let Some(lender) = lender {
        return well(format!("{} lends the way between two homes", lender.name));
    }
    let absent: Vec<_> = others
        .iter()
        .filter(|other| !other.is_connected())
        .collect();
    let silent = silent(&absent, now);
    let own_at = own.at.first();
    if let (None, Some(silent)) = (own_at, &silent) {
        return unanswered(silent, missed);
    }
    match (own_at, missed) {
        (Some(at), None) if absent.is_empty() => well(format!(
            "all devices are connected; nobody has come in from elsewhere yet, at {}",
            at.address
        )),
        (Some(at), missed) => unproved(own, at, missed, now).or(silent),
        (None, Some(missed)) => Check::wrong(
            NAME,
            format!(
                "{} is out of reach: no device of the family can be reached from outside, and without one two homes cannot meet",
                missed.name
            ),
            HELPS,
        ),
        (None, None) if others.is_empty() => well("there is no other device to meet".into()),
        (None, None) if absent.is_empty() => {
            well("all devices are connected; none is reached from outside".into())
        }
        (None, None) => Check::note(
            NAME,
            format!(
                "no device of the family is reached from outside: to one that is in another home there is no way ({})",
                told(absent, now)
            ),
            Some(HELPS.into()),
        ),
    }
}

/// What shows that others reach this device at an address.
fn proved(at: &Reached, now: u64) -> Option<String> {
    let address = &at.address;
    let how = match at.came_lately(now) {
        Some(..60_000) => "somebody came in by it a moment ago".to_owned(),
        Some(ago) => format!("somebody came in by it {} ago", span(ago)),
        None if at.tried => "another one has tried it".to_owned(),
        None => return None,
    };
    Some(format!(
        "devices elsewhere reach this one at {address}: {how}"
    ))
}

/// That a device relays to this one. One that this device itself reaches elsewhere has shown that it can be.
fn through(relay: &Other) -> String {
    let name = &relay.name;
    match relay.was_elsewhere {
        true => format!("devices elsewhere reach this one through {name}"),
        false => format!(
            "devices elsewhere reach this one through {name}, which says that it is reached from outside: heirloom doctor there says whether anybody came in"
        ),
    }
}

/// The way between the homes is off.
fn way_is_off(lost: &[&Other], others: &[Other], own: Option<&Reached>, now: u64) -> Check {
    let rest = others
        .iter()
        .filter(|other| !other.lends && !other.is_connected());
    let rest: Vec<_> = rest.collect();
    let cut = match rest.is_empty() {
        true => String::new(),
        false => format!("; out of reach with it: {}", told(rest, now)),
    };
    let none = match own {
        None => "nobody else is reached from outside".to_owned(),
        Some(at) => format!(
            "nobody has come in at {}, an address of this device",
            at.address
        ),
    };
    let lost_told = told(lost.iter().copied(), now);
    let at = match lost {
        [Other { said: Some(at), .. }] => format!(" at {at}"),
        _ => String::new(),
    };
    let (which, remedy) = match lost {
        [_] => (
            "which relays for the family, does",
            "see that it is on, runs heirloom serve and is on the internet, and that its router still leads to it",
        ),
        _ => (
            "which relay for the family, do",
            "see that one of them is on, runs heirloom serve and is on the internet, and that its router still leads to it",
        ),
    };
    Check::wrong(
        "homes",
        format!(
            "the way between two homes is off: {lost_told}, {which} not answer{at}, and {none}{cut}"
        ),
        remedy,
    )
}

const ANSWERS: &str =
    "see that it is on and runs heirloom serve, and that its router leads that port to it";

/// Who of those that are absent says where they are reached, and does not answer there.
fn silent(absent: &[&Other], now: u64) -> Option<String> {
    let told = |other: &&Other| {
        let (told, said) = (other.told(now), other.said.as_ref()?);
        Some(format!("{told} is said to be reached at {said}"))
    };
    let told: Vec<_> = absent.iter().filter_map(told).collect();
    let none = match told.len() {
        0 => return None,
        1 => "and does not answer there",
        _ => "and none of them answers there",
    };
    Some(format!("{}, {none}", told.join(", ")))
}

/// That is the way that is missing.
fn unanswered(silent: &str, missed: Option<&Other>) -> Check {
    match missed {
        Some(missed) if missed.said.is_some() => Check::wrong("homes", silent, ANSWERS),
        Some(missed) => {
            let message = format!("{} is out of reach: {silent}", missed.name);
            Check::wrong("homes", message, ANSWERS)
        }
        None => Check::note("homes", silent.to_owned(), Some(ANSWERS.into())),
    }
}

impl Check {
    /// With another way that is missing, and what to do about it.
    fn or(mut self, silent: Option<String>) -> Self {
        if let Some(silent) = silent {
            self.message = format!("{}; {silent}", self.message);
            self.remedy = self
                .remedy
                .map(|remedy| format!("{remedy}; of the other one, {ANSWERS}"));
        }
        self
    }
}

/// An address of this device by which nobody has come in.
fn unproved(own: &Own, at: &Reached, missed: Option<&Other>, now: u64) -> Check {
    let address = &at.address;
    let whose = match at.named {
        true => format!("you named {address}"),
        false => format!("{address} is an address of this device on the internet"),
    };
    let since = match at.came {
        None => "nobody has come in by it yet".to_owned(),
        Some(came) => format!(
            "nobody has come in by it for {}",
            span(now.saturating_sub(came))
        ),
    };
    let (port, lead) = match own.other_port(at).filter(|_| at.named) {
        None => Default::default(),
        Some((named, own)) => (
            format!("; this node listens at port {own}"),
            format!(
                "lead port {named} of the router to {own} here, or let this node listen at {named} (heirloom config set port {named}); "
            ),
        ),
    };
    let test = format!(
        "{lead}to test it, on a device of the family in another home or on a phone's hotspot: heirloom peer add {address}. If nobody answers, see that the router leads that port here"
    );
    match missed {
        Some(missed) => Check::wrong(
            "homes",
            format!(
                "{} is out of reach: {whose}, and {since}{port}",
                missed.name
            ),
            test,
        ),
        None => Check::note("homes", format!("{whose}; {since}{port}"), Some(test)),
    }
}

#[cfg(test)]
mod tests;
