//! Two network namespaces joined by a cable, and all that passes through it.

use std::{
    collections::BTreeMap,
    fs::File,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    os::fd::{AsFd as _, OwnedFd},
    process::Command,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use rustix::{
    net::{AddressFamily, RecvFlags, SocketFlags, SocketType, eth, recv, socket_with, sockopt},
    thread::{LinkNameSpaceType, move_into_link_name_space},
};

/// Bytes that wait for the capture; a burst must not be lost.
const CAPTURE_BYTES: usize = 64 * 1024 * 1024;
/// Largest packet on the cable before it is cut into frames.
const PACKET_BYTES: usize = 128 * 1024;

/// Two namespaces of this process's own, and the cable between them. Gone when dropped.
pub(crate) struct Cable {
    pub(crate) ends: [End; 2],
}

/// One namespace with its end of the cable.
pub(crate) struct End {
    pub(crate) name: String,
    pub(crate) link: String,
    pub(crate) ip: Ipv4Addr,
}

/// Why there can be no namespaces here.
pub(crate) fn lacking() -> Option<&'static str> {
    if !rustix::process::geteuid().is_root() {
        return Some("network namespaces need root");
    }
    let found = Command::new("ip").arg("-V").output();
    match found {
        Ok(found) if found.status.success() => None,
        _ => Some("network namespaces need iproute2"),
    }
}

#[track_caller]
pub(crate) fn ip(args: &[&str]) {
    let done = Command::new("ip").args(args).output().expect("iproute2");
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "ip {args:?}: {said}");
}

impl Cable {
    /// Plugs the cable in. Nothing leads out of either namespace.
    pub(crate) fn new(tag: char) -> Self {
        let end = |nth: u8| {
            let name = format!("hl{}{tag}{nth}", std::process::id());
            let link = format!("e{name}");
            let ip = Ipv4Addr::new(10, 77, 0, nth);
            End { name, link, ip }
        };
        // Made first, so that a failure below takes away what is there.
        let cable = Self {
            ends: [end(1), end(2)],
        };
        let [one, two] = &cable.ends;
        for end in &cable.ends {
            ip(&["netns", "add", &end.name]);
        }
        ip(&[
            "-n", &one.name, "link", "add", &one.link, "type", "veth", "peer", "name", &two.link,
            "netns", &two.name,
        ]);
        for end in &cable.ends {
            let address = format!("{}/24", end.ip);
            end.ip(&["address", "add", &address, "dev", &end.link]);
            end.ip(&["link", "set", "lo", "up"]);
            end.ip(&["link", "set", &end.link, "up"]);
        }
        cable
    }

    /// Gives each side a way out, through the other: whatever wants to go anywhere is seen on the cable.
    pub(crate) fn lead_out(&self) {
        let [one, two] = &self.ends;
        for (nth, end) in (1..).zip([one, two]) {
            let address = format!("fd77::{nth}/64");
            end.ip(&["address", "add", &address, "dev", &end.link, "nodad"]);
        }
        for (end, other, other6) in [(one, two, "fd77::2"), (two, one, "fd77::1")] {
            end.ip(&["route", "add", "default", "via", &other.ip.to_string()]);
            end.ip(&["-6", "route", "add", "default", "via", other6]);
        }
    }

    /// Plugs the cable in or out.
    pub(crate) fn plug(&self, is_in: bool) {
        let [one, _] = &self.ends;
        one.ip(&["link", "set", &one.link, if is_in { "up" } else { "down" }]);
    }
}

impl Drop for Cable {
    fn drop(&mut self) {
        for end in &self.ends {
            // One that was not made cannot be taken away.
            let _ = Command::new("ip")
                .args(["netns", "del", &end.name])
                .output();
        }
    }
}

impl End {
    #[track_caller]
    pub(crate) fn ip(&self, args: &[&str]) {
        ip(&[&["-n", &self.name], args].concat());
    }

    /// Gives this end one more address, and the world that it stands for.
    pub(crate) fn own(&self, ip: Ipv4Addr) {
        self.ip(&["address", "add", &format!("{ip}/32"), "dev", &self.link]);
    }

    /// What stands before a command line to run it here.
    pub(crate) fn prefix(&self) -> Vec<String> {
        let words = ["ip", "netns", "exec", &self.name];
        words.map(str::to_owned).to_vec()
    }

    /// The addresses of this end of the cable.
    pub(crate) fn addresses(&self) -> Vec<IpAddr> {
        let args = ["-n", &self.name, "-o", "address", "show", "dev", &self.link];
        let shown = Command::new("ip").args(args).output().expect("iproute2");
        let text = String::from_utf8(shown.stdout).expect("text");
        let lines = text.lines().filter_map(|line| {
            let mut words = line.split_whitespace();
            words.find(|word| word.starts_with("inet"))?;
            words.next()?.split('/').next()?.parse().ok()
        });
        lines.collect()
    }

    /// Runs something on a thread of this namespace.
    pub(crate) fn within<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        std::thread::scope(|scope| {
            let inside = scope.spawn(|| {
                let place = File::open(format!("/run/netns/{}", self.name)).expect("it was made");
                let kind = Some(LinkNameSpaceType::Network);
                move_into_link_name_space(place.as_fd(), kind).expect("root may");
                work()
            });
            inside.join().expect("it ends well")
        })
    }

    /// Keeps every packet that comes or goes on any interface of this namespace.
    pub(crate) fn capture(&self) -> Capture {
        let socket = self.within(|| {
            let socket = socket_with(
                AddressFamily::PACKET,
                SocketType::DGRAM,
                SocketFlags::CLOEXEC,
                Some(eth::ALL),
            );
            let socket = socket.expect("root may");
            sockopt::set_socket_recv_buffer_size_force(&socket, CAPTURE_BYTES).expect("root may");
            let patience = Some(Duration::from_millis(100));
            sockopt::set_socket_timeout(&socket, sockopt::Timeout::Recv, patience)
                .expect("a timeout");
            socket
        });
        Capture::of(socket)
    }
}

/// Packets as they come, without the Ethernet header.
pub(crate) struct Capture {
    packets: Arc<Mutex<Vec<Vec<u8>>>>,
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Capture {
    fn of(socket: OwnedFd) -> Self {
        let packets = Arc::new(Mutex::new(Vec::new()));
        let is_over = Arc::new(AtomicBool::new(false));
        let (kept, ends) = (Arc::clone(&packets), Arc::clone(&is_over));
        let thread = std::thread::spawn(move || {
            let mut buffer = vec![0; PACKET_BYTES];
            // What came before the end is taken first.
            loop {
                match recv(&socket, &mut buffer[..], RecvFlags::empty()) {
                    Ok((count, _)) => {
                        let packet = buffer[..count].to_vec();
                        kept.lock()
                            .unwrap_or_else(PoisonError::into_inner)
                            .push(packet);
                    }
                    Err(_) if ends.load(Ordering::Relaxed) => return,
                    Err(_) => {}
                }
            }
        });
        Self {
            packets,
            is_over,
            thread: Some(thread),
        }
    }

    /// All that came so far.
    pub(crate) fn packets(&self) -> Vec<Vec<u8>> {
        let packets = self.packets.lock().unwrap_or_else(PoisonError::into_inner);
        packets.clone()
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // It cannot fail.
            let _ = thread.join();
        }
    }
}

/// What a packet is, as far as it matters here.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Kind {
    /// TCP between these two addresses.
    Tcp(IpAddr, IpAddr),
    /// Multicast DNS, to its group.
    Mdns,
    /// A router is asked to open a port (UPnP), by its group.
    Router,
    /// The kernel's own: neighbours, routers, group memberships.
    Kernel,
    /// Within a device.
    Loopback,
    /// Anything else, with its protocol and destination.
    Other(u8, Option<IpAddr>),
}

const ICMPV6: u8 = 58;
const IGMP: u8 = 2;
const TCP: u8 = 6;
const UDP: u8 = 17;
const HOP_BY_HOP: u8 = 0;
const MDNS_PORT: u16 = 5353;
const SSDP: Ipv4Addr = Ipv4Addr::new(239, 255, 255, 250);
const SSDP_PORT: u16 = 1900;

impl Kind {
    /// Of a packet that begins with its IP header, or with that of ARP.
    pub(crate) fn of(packet: &[u8]) -> Self {
        let Some((protocol, from, to, rest)) = parts(packet) else {
            let is_arp = packet.starts_with(&[0, 1, 8, 0, 6, 4]);
            return if is_arp {
                Self::Kernel
            } else {
                Self::Other(0, None)
            };
        };
        let group = [
            IpAddr::from(Ipv4Addr::new(224, 0, 0, 251)),
            IpAddr::from(Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0xfb)),
        ];
        let port = rest
            .get(2..4)
            .map(|port| u16::from_be_bytes([port[0], port[1]]));
        if to.is_loopback() || from == to {
            return Self::Loopback;
        }
        match protocol {
            TCP => Self::Tcp(from.min(to), from.max(to)),
            UDP if group.contains(&to) && port == Some(MDNS_PORT) => Self::Mdns,
            UDP if to == SSDP && port == Some(SSDP_PORT) => Self::Router,
            IGMP | ICMPV6 if is_of_this_link(to) => Self::Kernel,
            other => Self::Other(other, Some(to)),
        }
    }
}

/// A multicast group of the link, or an address that means nothing beyond it.
fn is_of_this_link(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.octets()[..3] == [224, 0, 0],
        IpAddr::V6(ip) => ip.segments()[0] == 0xff02 || ip.is_unicast_link_local(),
    }
}

fn parts(packet: &[u8]) -> Option<(u8, IpAddr, IpAddr, &[u8])> {
    let first = packet.first()?;
    match first >> 4 {
        4 => {
            let header = usize::from(first & 15) * 4;
            let address = |at: usize| -> Option<IpAddr> {
                let bytes: [u8; 4] = packet.get(at..at + 4)?.try_into().ok()?;
                Some(bytes.into())
            };
            Some((packet[9], address(12)?, address(16)?, packet.get(header..)?))
        }
        6 => {
            let address = |at: usize| -> Option<IpAddr> {
                let bytes: [u8; 16] = packet.get(at..at + 16)?.try_into().ok()?;
                Some(bytes.into())
            };
            let (mut protocol, mut rest) = (*packet.get(6)?, packet.get(40..)?);
            if protocol == HOP_BY_HOP {
                protocol = *rest.first()?;
                let length = usize::from(*rest.get(1)?) * 8 + 8;
                rest = rest.get(length..)?;
            }
            Some((protocol, address(8)?, address(24)?, rest))
        }
        _ => None,
    }
}

/// How many packets of each kind there were.
pub(crate) fn kinds(packets: &[Vec<u8>]) -> BTreeMap<Kind, usize> {
    let mut kinds = BTreeMap::new();
    for packet in packets {
        *kinds.entry(Kind::of(packet)).or_default() += 1;
    }
    kinds
}

/// What was said over TCP, each direction of each connection in one piece.
pub(crate) fn streams(packets: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let mut streams: BTreeMap<(IpAddr, IpAddr, [u8; 4]), Vec<u8>> = BTreeMap::new();
    for (protocol, from, to, rest) in packets.iter().filter_map(|packet| parts(packet)) {
        let Some((ports, header)) = rest.split_first_chunk::<4>() else {
            continue;
        };
        // The length of the header in words, at byte 12 of it.
        let Some(words) = header.get(8).filter(|_| protocol == TCP) else {
            continue;
        };
        let said = rest.get(usize::from(words >> 4) * 4..).unwrap_or_default();
        let stream = streams.entry((from, to, *ports)).or_default();
        stream.extend_from_slice(said);
    }
    streams.into_values().collect()
}
