//! Two homes behind routers and a third place that everybody reaches, in network namespaces.
//!
//! ```text
//! home 0  192.168.11.2 -- .1 router 0 203.0.114.1 --+
//! home 1  192.168.12.2 -- .1 router 1 203.0.114.2 --+-- internet
//! place                          203.0.114.9 -------+
//! ```
//!
//! No addresses that are set apart for documents: whoever asks a router for a port takes these for private ones.

use std::{fs, io::Write as _, net::Ipv4Addr, process::Command, process::Stdio};

use super::namespaces::{End, ip, lacking};

/// How a router changes the ports of what leaves a home.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Router {
    /// Not at all, as most at home do: holes can be punched.
    KeepsPorts,
    /// At random for each connection: they cannot.
    DrawsPorts,
}

/// The namespaces. Gone when dropped.
pub(crate) struct Internet {
    hub: End,
    pub(crate) routers: [End; 2],
    pub(crate) homes: [End; 2],
    pub(crate) place: End,
}

/// Why there can be no internet here.
pub(crate) fn lacking_internet() -> Option<&'static str> {
    let found = Command::new("nft").arg("-v").output();
    match found {
        Ok(found) if found.status.success() => lacking(),
        _ => Some("routers need nftables"),
    }
}

impl Internet {
    pub(crate) fn new(tag: char, router: Router) -> Self {
        let end = |nth: u8, ip: [u8; 4]| {
            let name = format!("hl{}{tag}{nth}", std::process::id());
            let link = format!("e{name}");
            let ip = Ipv4Addr::from(ip);
            End { name, link, ip }
        };
        let internet = Self {
            hub: end(0, [0; 4]),
            routers: [end(1, [203, 0, 114, 1]), end(2, [203, 0, 114, 2])],
            homes: [end(3, [192, 168, 11, 2]), end(4, [192, 168, 12, 2])],
            place: end(9, [203, 0, 114, 9]),
        };
        for end in internet.all() {
            ip(&["netns", "add", &end.name]);
            end.ip(&["link", "set", "lo", "up"]);
        }
        let hub = &internet.hub;
        hub.ip(&["link", "add", "hub", "type", "bridge"]);
        hub.ip(&["link", "set", "hub", "up"]);
        let outside = internet.routers.iter().chain([&internet.place]);
        for (nth, end) in outside.enumerate() {
            let port = format!("p{nth}");
            join(end, &end.link, hub, &port);
            hub.ip(&["link", "set", &port, "master", "hub"]);
            hub.ip(&["link", "set", &port, "up"]);
            end.ip(&[
                "address",
                "add",
                &format!("{}/24", end.ip),
                "dev",
                &end.link,
            ]);
            end.ip(&["link", "set", &end.link, "up"]);
        }
        for (router_end, home) in internet.routers.iter().zip(&internet.homes) {
            join(home, &home.link, router_end, "inside");
            let gate = Ipv4Addr::from_bits(home.ip.to_bits() - 1).to_string();
            router_end.ip(&["address", "add", &format!("{gate}/24"), "dev", "inside"]);
            router_end.ip(&["link", "set", "inside", "up"]);
            home.ip(&[
                "address",
                "add",
                &format!("{}/24", home.ip),
                "dev",
                &home.link,
            ]);
            home.ip(&["link", "set", &home.link, "up"]);
            home.ip(&["route", "add", "default", "via", &gate]);
            router_end
                .within(|| fs::write("/proc/sys/net/ipv4/ip_forward", "1").expect("root may"));
            let ports = match router {
                Router::KeepsPorts => "",
                Router::DrawsPorts => "fully-random",
            };
            router_end.rules(&format!(
                "table ip nat {{
                     chain leaving {{
                         type nat hook postrouting priority 100;
                         oifname \"{out}\" masquerade {ports}
                     }}
                 }}
                 table ip filter {{
                     chain to_the_router {{
                         type filter hook input priority 0;
                         iifname \"{out}\" ct state established,related accept
                         iifname \"{out}\" drop
                     }}
                     chain through {{
                         type filter hook forward priority 0;
                         iifname \"{out}\" ct state established,related accept
                         iifname \"{out}\" drop
                     }}
                 }}",
                out = router_end.link
            ));
        }
        internet
    }

    fn all(&self) -> impl Iterator<Item = &End> {
        let inside = self.routers.iter().chain(&self.homes);
        inside.chain([&self.hub, &self.place])
    }

    /// Has a router lead a port to one of its home, as a person would who set it up.
    pub(crate) fn open_port(&self, home: usize, outside: &str, inside: &str) {
        let (router, ip) = (&self.routers[home], self.homes[home].ip);
        router.rules(&format!(
            "table ip opened {{
                 chain coming {{
                     type nat hook prerouting priority -100;
                     iifname \"{out}\" tcp dport {outside} dnat to {ip}:{inside}
                 }}
             }}
             insert rule ip filter through iifname \"{out}\" tcp dport {inside} accept",
            out = router.link
        ));
    }
}

impl Drop for Internet {
    fn drop(&mut self) {
        for end in self.all() {
            // One that was not made cannot be taken away.
            let _ = Command::new("ip")
                .args(["netns", "del", &end.name])
                .output();
        }
    }
}

/// A cable between two namespaces.
fn join(one: &End, link: &str, other: &End, peer: &str) {
    one.ip(&[
        "link",
        "add",
        link,
        "type",
        "veth",
        "peer",
        "name",
        peer,
        "netns",
        &other.name,
    ]);
}

impl End {
    /// Gives the namespace these rules of nftables beside those it has.
    #[track_caller]
    pub(crate) fn rules(&self, rules: &str) {
        let mut nft = Command::new("ip")
            .args(["netns", "exec", &self.name, "nft", "-f", "-"])
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("nftables");
        let mut input = nft.stdin.take().expect("piped");
        input.write_all(rules.as_bytes()).expect("it reads");
        drop(input);
        let done = nft.wait_with_output().expect("it ends");
        let said = String::from_utf8_lossy(&done.stderr);
        assert!(done.status.success(), "{rules}: {said}");
    }
}
