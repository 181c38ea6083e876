//! Verdicts on ways, by who is there and who was.

use super::{
    super::Verdict::{self, Note, Well, Wrong},
    *,
};

const NOW: u64 = 100 * AWAY_MS;
const HOUR: u64 = 3_600_000;

fn own() -> Own {
    Own {
        runs: true,
        listens: true,
        ..Own::default()
    }
}

fn other(name: &str) -> Other {
    Other {
        name: name.into(),
        last_seen: Some(NOW),
        keeps: true,
        ..Other::default()
    }
}

impl Other {
    fn connected(self) -> Self {
        let path = Some("lan");
        Self { path, ..self }
    }

    fn seen(self, hours: u64) -> Self {
        let last_seen = Some(NOW - hours * HOUR);
        Self { last_seen, ..self }
    }

    fn elsewhere(self) -> Self {
        let was_elsewhere = true;
        Self {
            was_elsewhere,
            ..self
        }
    }

    fn lending(self) -> Self {
        Self {
            lends: true,
            ..self
        }
    }

    fn keeper(self) -> Self {
        let is_keeper = true;
        Self { is_keeper, ..self }
    }

    fn sleeper(self) -> Self {
        let keeps = false;
        Self { keeps, ..self }
    }
}

fn named(came: Option<u64>) -> Own {
    let at = Reached {
        address: "/ip4/203.0.113.7/tcp/4001".into(),
        named: true,
        tried: false,
        came,
    };
    Own {
        at: vec![at],
        ..own()
    }
}

fn is(check: &Check, verdict: Verdict, parts: &[&str]) {
    assert_eq!(check.verdict, verdict, "{check:?}");
    for part in parts {
        assert!(check.message.contains(part), "{part:?} of {check:?}");
    }
    assert_eq!(
        check.remedy.is_none(),
        verdict == Well || check.name == "network" && verdict == Note
    );
}

#[test]
fn a_family_of_one_device_misses_nobody() {
    is(&network(&own(), &[], NOW), Well, &["no other device"]);
    is(&homes(&own(), &[], NOW), Well, &["no other device"]);
    is(&network(&Own::default(), &[], NOW), Note, &["not running"]);
}

#[test]
fn all_who_are_there_are_counted_in_the_right_number() {
    let [one, two] = ["pi", "phone"].map(|name| other(name).connected());
    let alone = std::slice::from_ref(&one);
    is(
        &network(&own(), alone, NOW),
        Well,
        &["the other device is connected"],
    );
    let all = [one, two];
    is(
        &network(&own(), &all, NOW),
        Well,
        &["all 2 other devices are connected"],
    );
    is(
        &homes(&own(), &all, NOW),
        Well,
        &["all devices are connected; none is reached from outside"],
    );
}

#[test]
fn the_way_between_two_homes_is_missed_at_once_when_it_is_off() {
    // The one device that is reached is off since an hour, and with it a device beyond it.
    let way = other("pi").seen(1).elsewhere().lending();
    let beyond = other("attic").seen(2).elsewhere();
    let check = homes(&own(), &[way.clone(), beyond.clone()], NOW);
    is(
        &check,
        Wrong,
        &[
            "the way between two homes is off: pi (last seen 60 minutes ago), which relays",
            "out of reach with it: attic (last seen 2 hours ago)",
        ],
    );
    let check = network(&own(), &[way.clone(), beyond.clone()], NOW);
    is(
        &check,
        Note,
        &[
            "no other device is connected; not there: pi (last seen",
            "attic",
        ],
    );
    // On the way's own side of things: others that are there do not hide it.
    let near = other("desk").connected();
    let check = homes(&own(), &[near, way.clone()], NOW);
    is(&check, Wrong, &["the way between two homes is off: pi"]);
    assert!(!check.message.contains("desk"), "{check:?}");
    let said = Other {
        said: Some("/ip4/203.0.113.11/tcp/4001".into()),
        ..way.clone()
    };
    let check = homes(&own(), &[said], NOW);
    let words = "does not answer at /ip4/203.0.113.11/tcp/4001, and nobody";
    is(&check, Wrong, &[words]);
    // Two of them are off.
    let second = other("vps").seen(3).elsewhere().lending();
    let check = homes(&own(), &[way.clone(), second], NOW);
    is(
        &check,
        Wrong,
        &["which relay for the family, do not answer"],
    );
    // An address that nobody has tried is no way, and may become one.
    let check = homes(&named(None), std::slice::from_ref(&way), NOW);
    is(
        &check,
        Wrong,
        &[
            "is off: pi",
            "nobody has come in at /ip4/203.0.113.7/tcp/4001",
        ],
    );
    // It is back.
    let back = Other {
        is_via: true,
        ..way.connected()
    };
    let check = homes(&own(), &[back, beyond], NOW);
    is(&check, Well, &["reach this one through pi"]);
    assert!(!check.message.contains("says"), "{check:?}");
}

#[test]
fn who_sleeps_in_this_home_is_no_fault() {
    // A computer that others could reach, and that was never met elsewhere.
    let desk = other("desk").seen(3).lending();
    is(
        &homes(&own(), std::slice::from_ref(&desk), NOW),
        Note,
        &["desk (last seen 3 hours ago)"],
    );
    is(
        &network(&own(), &[desk], NOW),
        Note,
        &["no other device is connected; not there: desk"],
    );
    // A phone that lets go of photos may sleep for days.
    let phone = other("phone").seen(200).sleeper();
    let pi = other("pi").connected();
    let both = [pi, phone.clone()];
    is(
        &network(&own(), &both, NOW),
        Note,
        &["1 other device is connected; not there: phone (last seen 8 days ago)"],
    );
    is(
        &homes(&own(), &both, NOW),
        Note,
        &["to one that is in another home there is no way (phone"],
    );
    is(&network(&own(), &[phone], NOW), Note, &["phone"]);
}

#[test]
fn a_keeper_that_is_off_is_noted_for_a_day_and_missed_after_it() {
    let keeper = |hours| [other("aunt-nas").keeper().seen(hours)];
    is(
        &network(&own(), &keeper(5), NOW),
        Note,
        &["aunt-nas (last seen 5 hours ago)"],
    );
    is(&homes(&own(), &keeper(5), NOW), Note, &["aunt-nas"]);
    is(
        &network(&own(), &keeper(49), NOW),
        Wrong,
        &["aunt-nas (last seen 2 days ago)"],
    );
    is(
        &homes(&own(), &keeper(49), NOW),
        Wrong,
        &["aunt-nas is out of reach: no device"],
    );
    // Others that are there do not make up for it.
    let [keeper] = keeper(49);
    let both = [other("pi").connected(), keeper];
    is(
        &network(&own(), &both, NOW),
        Wrong,
        &["1 other device is connected; not there: aunt-nas"],
    );
    let never = other("aunt-nas").keeper();
    let never = Other {
        last_seen: None,
        ..never
    };
    is(
        &network(&own(), &[never], NOW),
        Wrong,
        &["aunt-nas (never seen from here)"],
    );
}

#[test]
fn an_address_counts_once_somebody_came_in_by_it() {
    let there = [other("pi").connected()];
    let check = homes(&named(None), &there, NOW);
    is(
        &check,
        Note,
        &["you named /ip4/203.0.113.7/tcp/4001; nobody has come in by it yet"],
    );
    let test = check.remedy.unwrap();
    assert!(
        test.contains("heirloom peer add /ip4/203.0.113.7/tcp/4001"),
        "{test}"
    );
    let came = named(Some(NOW - 3 * HOUR));
    is(
        &homes(&came, &there, NOW),
        Well,
        &["at /ip4/203.0.113.7/tcp/4001: somebody came in by it 3 hours ago"],
    );
    let long_ago = named(Some(NOW - 40 * AWAY_MS));
    is(
        &homes(&long_ago, &there, NOW),
        Note,
        &["nobody has come in by it for 40 days"],
    );
    let missed = [other("pi").seen(50)];
    is(
        &homes(&named(None), &missed, NOW),
        Wrong,
        &["pi is out of reach: you named", "nobody has come in"],
    );
    let mut tried = named(None);
    tried.at[0].tried = true;
    is(
        &homes(&tried, &there, NOW),
        Well,
        &["another one has tried it"],
    );
    // Who named one is not reached through another, whatever that one lends.
    let lender = [other("pi").connected().elsewhere().lending()];
    is(&homes(&named(None), &lender, NOW), Note, &["you named"]);
    let mut found = named(None);
    found.at[0].named = false;
    is(&homes(&found, &lender, NOW), Well, &["pi lends the way"]);
    is(
        &homes(&found, &there, NOW),
        Well,
        &["all devices are connected; nobody has come in"],
    );
    let absent = [other("pi").seen(1)];
    is(
        &homes(&found, &absent, NOW),
        Note,
        &["is an address of this device on the internet; nobody"],
    );
    // One that works hides one that nobody has tried.
    found.at.extend(came.at);
    is(&homes(&found, &there, NOW), Well, &["somebody came in"]);
}

#[test]
fn an_address_that_a_device_named_and_does_not_answer_at_is_told() {
    let said = |hours| Other {
        said: Some("/ip4/203.0.113.11/tcp/4001".into()),
        ..other("pi").seen(hours)
    };
    let words = "is said to be reached at /ip4/203.0.113.11/tcp/4001, and does not answer there";
    let check = homes(&own(), &[said(1)], NOW);
    is(&check, Note, &["pi (last seen 60 minutes ago)", words]);
    assert!(check.remedy.unwrap().contains("its router leads that port"));
    is(
        &homes(&own(), &[said(30)], NOW),
        Wrong,
        &["pi (last", words],
    );
    // Another one is missed, to whom it would lead.
    let both = [other("attic").seen(40), said(1)];
    let check = homes(&own(), &both, NOW);
    is(&check, Wrong, &["attic is out of reach: pi (last", words]);
    let check = homes(&own(), &[said(1), said(1)], NOW);
    is(&check, Note, &["and none of them answers there"]);
    // An address of this device may be another way.
    let mut found = named(None);
    found.at[0].named = false;
    let check = homes(&found, &[said(1)], NOW);
    is(&check, Note, &["nobody has come in by it yet; pi (", words]);
    // It does.
    let check = homes(&own(), &[said(1).connected()], NOW);
    is(&check, Well, &["all devices are connected"]);
}

#[test]
fn who_turned_this_device_away_is_no_way_that_is_off() {
    let turned = Other {
        turned_away: true,
        ..other("pi").seen(40).elsewhere().lending().keeper()
    };
    let all = std::slice::from_ref(&turned);
    is(&homes(&own(), all, NOW), Well, &["there is a way"]);
    let words = "not there: pi (it turned this device away)";
    is(&network(&own(), all, NOW), Note, &[words]);
    let both = [turned, other("attic").seen(40)];
    let check = homes(&own(), &both, NOW);
    is(&check, Wrong, &["attic is out of reach: no device"]);
}

#[test]
fn a_named_port_at_which_this_node_does_not_listen_is_told() {
    let listens = |ports: &[u16]| Own {
        listen: ["192.168.1.2", "203.0.113.7"]
            .iter()
            .zip(ports)
            .map(|(ip, port)| net::Address::new(ip.parse().unwrap(), *port))
            .collect(),
        ..named(None)
    };
    let there = [other("pi").connected()];
    let check = homes(&listens(&[44161, 4001]), &there, NOW);
    is(
        &check,
        Note,
        &[
            "you named /ip4/203.0.113.7/tcp/4001; nobody has come in by it yet; this node listens at port 44161",
        ],
    );
    let remedy = check.remedy.unwrap();
    for helps in [
        "lead port 4001 of the router to 44161",
        "heirloom config set port 4001",
        "heirloom peer add",
    ] {
        assert!(remedy.contains(helps), "{remedy}");
    }
    let check = homes(&listens(&[4001, 4001]), &there, NOW);
    is(&check, Note, &["nobody has come in by it yet"]);
    assert!(!check.message.contains("listens"), "{check:?}");
}

#[test]
fn who_lends_the_way_from_this_network_says_so_itself() {
    let lent = other("pi").connected().lending();
    let all = std::slice::from_ref(&lent);
    is(
        &homes(&own(), all, NOW),
        Well,
        &["pi lends the way between two homes"],
    );
    let pi = Other {
        is_via: true,
        ..lent.clone()
    };
    is(
        &homes(&own(), &[pi], NOW),
        Well,
        &["through pi, which says that it is reached from outside"],
    );
    let lan = Own {
        lan_only: true,
        ..own()
    };
    is(
        &homes(&lan, &[other("pi").seen(100)], NOW),
        Well,
        &["lan_only"],
    );
}
