//! What systemd is told of a node: that it is ready, that it lives, that it stops (sd_notify(3)).
//!
//! Where nothing waits to be told, all of it does nothing.

use std::{path::PathBuf, time::Duration};

use crate::door;

/// The node answers on its socket.
pub(crate) fn ready() {
    tell("READY=1");
}

/// The node is ending.
pub(crate) fn stopping() {
    tell("STOPPING=1");
}

/// Says that the node lives for as long as its runtime answers; returns at once where nobody wants to know.
///
/// It asks through the socket as any command would, so that whatever hangs on the way counts. A
/// node that says nothing for the time of `WatchdogSec` is started anew by systemd.
pub(crate) async fn while_it_lives(home: PathBuf) {
    let Some(every) = pulse(|name| std::env::var(name).ok(), std::process::id()) else {
        return;
    };
    let mut turn = tokio::time::interval(every);
    turn.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        turn.tick().await;
        if door::is_alive(&home).await {
            tell("WATCHDOG=1");
        }
    }
}

/// A third of the time after which systemd gives the node up, so that one late answer harms nothing.
fn pulse(variable: impl Fn(&str) -> Option<String>, me: u32) -> Option<Duration> {
    let is_for_me = variable("WATCHDOG_PID").is_none_or(|pid| pid.parse() == Ok(me));
    let usec: u64 = variable("WATCHDOG_USEC")?.parse().ok()?;
    (is_for_me && usec > 0).then(|| Duration::from_micros(usec.div_ceil(3)))
}

#[cfg(target_os = "linux")]
fn tell(state: &str) {
    use std::os::{
        linux::net::SocketAddrExt,
        unix::net::{SocketAddr, UnixDatagram},
    };
    let Some(path) = std::env::var_os("NOTIFY_SOCKET") else {
        return;
    };
    let address = match path.to_str().and_then(|text| text.strip_prefix('@')) {
        Some(name) => SocketAddr::from_abstract_name(name),
        None => SocketAddr::from_pathname(&path),
    };
    // A node that nobody was told about runs all the same.
    let _ = address
        .and_then(|address| UnixDatagram::unbound()?.send_to_addr(state.as_bytes(), &address));
}

#[cfg(not(target_os = "linux"))]
fn tell(_: &str) {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn life_is_told_three_times_within_the_time_to_whom_it_is_asked_of() {
        let with = |usec: &'static str, pid: Option<&'static str>| {
            pulse(
                move |name| match name {
                    "WATCHDOG_USEC" => Some(usec.to_owned()),
                    _ => pid.map(str::to_owned),
                },
                7,
            )
        };
        assert_eq!(with("60000000", None), Some(Duration::from_secs(20)));
        assert_eq!(with("60000000", Some("7")), Some(Duration::from_secs(20)));
        assert_eq!(with("60000000", Some("8")), None);
        assert_eq!(with("0", None), None);
        assert_eq!(with("soon", None), None);
        assert_eq!(pulse(|_| None, 7), None);
    }
}
