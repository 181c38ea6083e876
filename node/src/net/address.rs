//! Peers and addresses as plain values, and multiaddr text for both.
//!
//! Nothing here resolves names: an address is an IP address and a TCP port, of
//! the node itself or of another one that relays to it.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

use libp2p::{Multiaddr, PeerId, multiaddr::Protocol};
use thiserror::Error;

use super::limits::ADDRESS_TEXT;

/// The bytes before the key in the PeerId of an Ed25519 key: an identity
/// multihash (0x00) of 36 bytes, which are the key's type and length in
/// protobuf (libp2p specs, peer-ids).
const PEER_ID_PREFIX: [u8; 6] = [0x00, 0x24, 0x08, 0x01, 0x12, 0x20];

/// A device as the network sees it: its Ed25519 public key.
///
/// Equal to the device's id and, one to one, to its libp2p PeerId. Holding a
/// `Peer` says nothing about being allowed in.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Peer(pub [u8; 32]);

impl Peer {
    pub(super) fn id(self) -> PeerId {
        let mut bytes = [0; 38];
        bytes[..6].copy_from_slice(&PEER_ID_PREFIX);
        bytes[6..].copy_from_slice(&self.0);
        PeerId::from_bytes(&bytes).expect("an identity multihash of 36 bytes is a peer id")
    }

    /// `None` for keys that are not Ed25519: no device of a family has one.
    pub(super) fn of(id: &PeerId) -> Option<Self> {
        let bytes = id.to_bytes();
        let key = bytes.strip_prefix(&PEER_ID_PREFIX)?;
        Some(Self(key.try_into().ok()?))
    }
}

/// Writes the PeerId (`12D3KooW...`).
impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.id().fmt(f)
    }
}

impl fmt::Debug for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Peer {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        if text.len() > ADDRESS_TEXT {
            return Err(AddressError::Malformed);
        }
        let id = PeerId::from_str(text).map_err(|_| AddressError::Malformed)?;
        Self::of(&id).ok_or(AddressError::Unsupported)
    }
}

/// Why a text is no address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum AddressError {
    /// Not a multiaddr or PeerId at all.
    #[error("one looks like /ip4/203.0.113.7/tcp/4001")]
    Malformed,
    /// A multiaddr of another kind than `/ip4|ip6/ADDR/tcp/PORT[/p2p/PEER]`, or
    /// that followed by `/p2p-circuit/p2p/PEER`.
    #[error("only ip4 and ip6 with tcp are supported")]
    Unsupported,
}

/// Where a node listens: an IP address, a TCP port and, where known, who it is.
///
/// As text a multiaddr: `/ip4/192.168.1.7/tcp/40123/p2p/12D3KooW...`, and where
/// another node relays `/ip4/198.51.100.7/tcp/4001/p2p/RELAY/p2p-circuit/p2p/PEER`.
/// Text of others is bounded at 256 bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address {
    /// The IP address; unspecified (`0.0.0.0`, `::`) only for listening.
    pub ip: IpAddr,
    /// The TCP port; 0 only for listening.
    pub port: u16,
    /// Who is expected to answer.
    pub peer: Option<Peer>,
    /// Who relays; the IP address and the port are the relay's then.
    pub via: Option<Peer>,
}

impl Address {
    /// An address of nobody in particular.
    pub const fn new(ip: IpAddr, port: u16) -> Self {
        Self {
            ip,
            port,
            peer: None,
            via: None,
        }
    }

    /// All interfaces, for both protocols.
    pub(crate) const fn everywhere(port: u16) -> [Self; 2] {
        [
            Self::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port),
            Self::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), port),
        ]
    }

    /// The same place, whoever is expected there.
    pub(crate) fn is_same_place(&self, other: &Self) -> bool {
        (self.ip, self.port, self.via) == (other.ip, other.port, other.via)
            && (self.via.is_none() || self.peer == other.peer)
    }

    /// How a node is reached there.
    pub fn path(&self) -> Path {
        match self.via {
            Some(_) => Path::Relay,
            None => Path::of(self.ip),
        }
    }

    /// Whether it is one of the internet, that needs no relay.
    pub(crate) fn is_outside(&self) -> bool {
        self.path() == Path::Direct
    }

    /// Without who is expected there, as text.
    pub(crate) fn place(&self) -> String {
        Self {
            peer: None,
            ..*self
        }
        .to_string()
    }

    /// Whether who calls from another address may have dialled this one: of the same protocol, and of an
    /// overlay network both or neither.
    pub(crate) fn is_of_kind(&self, other: &Self) -> bool {
        let [one, two] = [self, other].map(|address| match address.ip.to_canonical() {
            IpAddr::V4(ip) => (true, ip.octets()[0] == 100 && ip.octets()[1] & 0xc0 == 64),
            IpAddr::V6(_) => (false, false),
        });
        one == two
    }

    /// Whether a connection to it can be tried at all.
    ///
    /// Link-local IPv6 needs an interface beside the address, which a
    /// multiaddr for TCP cannot carry, so it cannot be dialled.
    pub fn can_be_dialled(&self) -> bool {
        let ip = self.ip.to_canonical();
        let no_host = match ip {
            IpAddr::V4(v4) => v4.is_broadcast(),
            IpAddr::V6(v6) => v6.is_unicast_link_local(),
        };
        let is_led_to = self.via.is_none() || self.peer.is_some();
        self.port != 0 && !ip.is_unspecified() && !ip.is_multicast() && !no_host && is_led_to
    }

    /// Without the peer, but for one behind a relay, which is told whom to connect.
    pub(super) fn multiaddr(&self) -> Multiaddr {
        let place = Multiaddr::empty()
            .with(self.ip.into())
            .with(Protocol::Tcp(self.port));
        match (self.via, self.peer) {
            (None, _) => place,
            (Some(via), None) => place
                .with(Protocol::P2p(via.id()))
                .with(Protocol::P2pCircuit),
            (Some(via), Some(peer)) => place
                .with(Protocol::P2p(via.id()))
                .with(Protocol::P2pCircuit)
                .with(Protocol::P2p(peer.id())),
        }
    }

    pub(super) fn of(multiaddr: &Multiaddr) -> Result<Self, AddressError> {
        let mut parts = multiaddr.iter();
        let ip = match parts.next() {
            Some(Protocol::Ip4(ip)) => IpAddr::V4(ip),
            Some(Protocol::Ip6(ip)) => IpAddr::V6(ip),
            _ => return Err(AddressError::Unsupported),
        };
        let Some(Protocol::Tcp(port)) = parts.next() else {
            return Err(AddressError::Unsupported);
        };
        let named = |part: Option<Protocol<'_>>| match part {
            None => Ok(None),
            Some(Protocol::P2p(id)) => Peer::of(&id).ok_or(AddressError::Unsupported).map(Some),
            Some(_) => Err(AddressError::Unsupported),
        };
        let first = named(parts.next())?;
        let (peer, via) = match parts.next() {
            None => (first, None),
            Some(Protocol::P2pCircuit) if first.is_some() => (named(parts.next())?, first),
            Some(_) => return Err(AddressError::Unsupported),
        };
        if parts.next().is_some() {
            return Err(AddressError::Unsupported);
        }
        Ok(Self {
            ip,
            port,
            peer,
            via,
        })
    }
}

/// Whether a multiaddr leads through a relay.
pub(super) fn is_relayed(multiaddr: &Multiaddr) -> bool {
    multiaddr.iter().any(|part| part == Protocol::P2pCircuit)
}

/// The relay's own end of a multiaddr that leads through it.
pub(super) fn relay_end(multiaddr: &Multiaddr) -> Multiaddr {
    let before = |part: &Protocol<'_>| *part != Protocol::P2pCircuit;
    multiaddr.iter().take_while(before).collect()
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.multiaddr().fmt(f)?;
        match self.peer {
            Some(peer) if self.via.is_none() => write!(f, "/p2p/{peer}"),
            _ => Ok(()),
        }
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        if text.len() > ADDRESS_TEXT {
            return Err(AddressError::Malformed);
        }
        let multiaddr = Multiaddr::from_str(text).map_err(|_| AddressError::Malformed)?;
        Self::of(&multiaddr)
    }
}

/// How a peer is reached. Smaller is preferred.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Path {
    /// Inside the home: private, unique-local, link-local or loopback.
    Lan,
    /// Any other address.
    Direct,
    /// Through another device of the family.
    Relay,
}

impl Path {
    /// Classifies by the address alone (RFC 1918, RFC 3927, RFC 4193, RFC 4291).
    pub fn of(ip: IpAddr) -> Self {
        let home = match ip.to_canonical() {
            IpAddr::V4(ip) => ip.is_private() || ip.is_link_local() || ip.is_loopback(),
            IpAddr::V6(ip) => {
                ip.is_unique_local() || ip.is_unicast_link_local() || ip.is_loopback()
            }
        };
        if home { Self::Lan } else { Self::Direct }
    }

    /// As commands print it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Lan => "lan",
            Self::Direct => "direct",
            Self::Relay => "relay",
        }
    }
}

/// Whether somebody with an address is in another network than this device, as far as addresses tell: it is one
/// of the internet and not of this home, which shares one IPv4 address and the first 56 bits of IPv6.
pub(crate) fn is_elsewhere(ip: IpAddr, own: &[Address]) -> bool {
    let ip = ip.to_canonical();
    let mut own = own.iter().filter(|own| own.via.is_none());
    Path::of(ip) == Path::Direct
        && own.all(|own| match (own.ip.to_canonical(), ip) {
            (IpAddr::V6(own), IpAddr::V6(ip)) => own.octets()[..7] != ip.octets()[..7],
            (own, ip) => own != ip,
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEER: &str = "12D3KooWDpJ7As7BWAwRMfu1VU2WCqNjvq387JEYKDBj4kx6nXTN";

    #[test]
    fn a_peer_id_and_its_key_are_the_same_thing() {
        let peer: Peer = PEER.parse().unwrap();
        assert_eq!(peer.to_string(), PEER);
        assert_eq!(Peer::of(&peer.id()), Some(peer));
        let key = libp2p::identity::Keypair::ed25519_from_bytes([7; 32]).unwrap();
        let peer = Peer::of(&key.public().to_peer_id()).unwrap();
        let public = key.public().try_into_ed25519().unwrap();
        assert_eq!(peer.0, public.to_bytes());
        assert_eq!(peer.id(), key.public().to_peer_id());
    }

    #[test]
    fn a_peer_id_of_another_kind_of_key_is_refused() {
        let rsa = "QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N";
        assert_eq!(rsa.parse::<Peer>(), Err(AddressError::Unsupported));
    }

    #[test]
    fn addresses_survive_the_way_through_text() {
        for text in [
            "/ip4/192.168.1.7/tcp/40123".to_owned(),
            "/ip6/fd00::7/tcp/1".to_owned(),
            format!("/ip4/10.0.0.1/tcp/65535/p2p/{PEER}"),
            format!("/ip6/2001:db8::1/tcp/4001/p2p/{PEER}/p2p-circuit/p2p/{PEER}"),
            format!("/ip4/10.0.0.1/tcp/4001/p2p/{PEER}/p2p-circuit"),
        ] {
            let address: Address = text.parse().unwrap();
            assert_eq!(address.to_string(), text);
        }
    }

    #[test]
    fn other_transports_and_nonsense_are_refused() {
        let long = format!("/ip4/10.0.0.1/tcp/1{}", "/p2p-circuit".repeat(40));
        for (text, error) in [
            ("", AddressError::Unsupported),
            ("10.0.0.1:80", AddressError::Malformed),
            ("/ip4/10.0.0.1", AddressError::Unsupported),
            ("/ip4/10.0.0.1/udp/1/quic-v1", AddressError::Unsupported),
            ("/dns4/example.org/tcp/1", AddressError::Unsupported),
            ("/ip4/10.0.0.1/tcp/1/tcp/2", AddressError::Unsupported),
            ("/ip4/10.0.0.1/tcp/1/p2p-circuit", AddressError::Unsupported),
            (
                &format!("/ip4/10.0.0.1/tcp/1/p2p/{PEER}/p2p-circuit/p2p/{PEER}/p2p-circuit"),
                AddressError::Unsupported,
            ),
            (&long, AddressError::Malformed),
        ] {
            assert_eq!(text.parse::<Address>(), Err(error), "{text}");
        }
    }

    #[test]
    fn a_home_address_is_told_from_the_internet() {
        for (ip, path) in [
            ("127.0.0.1", Path::Lan),
            ("10.1.2.3", Path::Lan),
            ("172.16.0.1", Path::Lan),
            ("172.32.0.1", Path::Direct),
            ("192.168.0.1", Path::Lan),
            ("169.254.3.4", Path::Lan),
            ("100.64.0.1", Path::Direct),
            ("8.8.8.8", Path::Direct),
            ("::1", Path::Lan),
            ("fe80::1", Path::Lan),
            ("fd00::1", Path::Lan),
            ("2001:db8::1", Path::Direct),
            ("::ffff:192.168.0.1", Path::Lan),
            ("::ffff:8.8.8.8", Path::Direct),
        ] {
            assert_eq!(Path::of(ip.parse().unwrap()), path, "{ip}");
        }
    }

    #[test]
    fn a_relayed_address_is_one_of_the_longest_way_and_names_its_end() {
        let relayed = format!("/ip4/10.0.0.1/tcp/4001/p2p/{PEER}/p2p-circuit");
        let nowhere: Address = relayed.parse().unwrap();
        assert!(!nowhere.can_be_dialled());
        let address: Address = format!("{relayed}/p2p/{PEER}").parse().unwrap();
        assert!(address.can_be_dialled());
        assert_eq!(address.path(), Path::Relay);
        assert!(Path::Lan < Path::Direct && Path::Direct < Path::Relay);
        let relay = Address::new(address.ip, address.port);
        assert!(!relay.is_same_place(&address));
    }

    #[test]
    fn who_shares_the_address_of_this_home_is_not_elsewhere() {
        let own = ["192.168.1.2", "203.0.113.7", "2001:db8:0:1::5"];
        let own = own.map(|ip| Address::new(ip.parse().unwrap(), 1));
        for (ip, elsewhere) in [
            ("192.168.1.9", false),
            ("203.0.113.7", false),
            ("203.0.113.8", true),
            ("2001:db8:0:1::9", false),
            ("2001:db8:0:2::9", false),
            ("2001:db8:1::9", true),
            ("fd00::1", false),
        ] {
            assert_eq!(is_elsewhere(ip.parse().unwrap(), &own), elsewhere, "{ip}");
        }
    }

    #[test]
    fn who_calls_over_an_overlay_has_not_dialled_an_address_of_the_internet() {
        let [home, other, overlay, six] = ["203.0.113.7", "8.8.8.8", "100.64.0.9", "2001:db8::1"]
            .map(|ip| Address::new(ip.parse().unwrap(), 1));
        assert!(home.is_of_kind(&other));
        assert!(!home.is_of_kind(&overlay));
        assert!(!home.is_of_kind(&six));
    }

    #[test]
    fn what_names_no_host_is_not_dialled() {
        for (ip, port, dialled) in [
            ("192.168.0.1", 1, true),
            ("192.168.0.1", 0, false),
            ("0.0.0.0", 1, false),
            ("::", 1, false),
            ("224.0.0.251", 1, false),
            ("255.255.255.255", 1, false),
            ("fe80::1", 1, false),
            ("::1", 1, true),
        ] {
            let address = Address::new(ip.parse().unwrap(), port);
            assert_eq!(address.can_be_dialled(), dialled, "{ip}");
        }
    }
}
