//! How devices of a family find each other without telling anyone else who they are.
//!
//! On a LAN a device announces a nonce and a tag (TXT `n` and `t`). The tag is a
//! keyed hash over what the announcement is for, the nonce and the port, so who
//! has the key recognises it, and nobody else can link two of them:
//!
//! ```text
//! member  BLAKE3-keyed(derive(net epoch key), "mdns" || DeviceId || nonce[8] || port u16)[..16]
//! invite  BLAKE3-keyed(derive(invite secret),  "pair" || nonce[8] || port u16)[..16]
//! kit     BLAKE3-keyed(derive(kit's public signing key), "kit" || nonce[8] || port u16)[..16]
//! ```
//!
//! A tag proves nothing: a replayed one earns a dial that fails. Sockets and
//! mDNS are the node's business. What devices say of themselves under their
//! signature is in [`gossip`].

pub mod gossip;

use std::fmt;

use rand_core::CryptoRng;
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::crypto::{EpochKey, Purpose, derive, keyed};
use crate::id::DeviceId;
use crate::limits;

/// What an announcement on the LAN says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Announcement {
    /// Random, new each hour; it makes two tags of one device unlike.
    pub nonce: [u8; 8],
    /// The port that is announced with it.
    pub port: u16,
    /// The keyed hash.
    pub tag: [u8; 16],
}

impl Announcement {
    /// A fresh nonce.
    pub fn nonce(rng: &mut impl CryptoRng) -> [u8; 8] {
        let mut nonce = [0; 8];
        rng.fill_bytes(&mut nonce);
        nonce
    }

    /// The values of the TXT keys `n` and `t`, in lower-case hex.
    pub fn to_txt(&self) -> (String, String) {
        let hex = &data_encoding::HEXLOWER;
        (hex.encode(&self.nonce), hex.encode(&self.tag))
    }

    /// Reads the TXT values of a stranger; `None` for anything but 8 and 16 bytes of hex.
    pub fn from_txt(n: &str, t: &str, port: u16) -> Option<Self> {
        let hex = &data_encoding::HEXLOWER;
        if n.len() != 16 || t.len() != 32 {
            return None;
        }
        let nonce = hex.decode(n.as_bytes()).ok()?.try_into().ok()?;
        let tag = hex.decode(t.as_bytes()).ok()?.try_into().ok()?;
        Some(Self { nonce, port, tag })
    }
}

macro_rules! tag_key {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Zeroize, ZeroizeOnDrop)]
        pub struct $name([u8; 32]);

        impl $name {
            fn tag(&self, label: &[u8], who: &[u8], nonce: [u8; 8], port: u16) -> Announcement {
                let hash = keyed(&self.0, &[label, who, &nonce, &port.to_be_bytes()]);
                let mut tag = [0; 16];
                tag.copy_from_slice(&hash[..16]);
                Announcement { nonce, port, tag }
            }
        }
    };
}

tag_key!(
    /// The key of members' tags, from a net epoch.
    NetTagKey
);
tag_key!(
    /// The key of an invite's tag, from its secret.
    InviteTagKey
);
tag_key!(
    /// The key of a recovery kit's tag, from its public signing key.
    KitTagKey
);

impl NetTagKey {
    /// The key that follows from a net epoch's key.
    pub fn new(net: &EpochKey) -> Self {
        Self(derive(Purpose::NetTag, &[net.as_bytes()]))
    }

    /// What a device announces.
    pub fn announce(&self, device: &DeviceId, nonce: [u8; 8], port: u16) -> Announcement {
        self.tag(b"mdns", &device.0, nonce, port)
    }
}

impl InviteTagKey {
    /// The key that follows from an invite's secret.
    pub(crate) fn new(secret: &[u8; 16]) -> Self {
        Self(derive(Purpose::InviteTag, &[secret]))
    }

    /// What the inviter announces while the invite is live.
    pub fn announce(&self, nonce: [u8; 8], port: u16) -> Announcement {
        self.tag(b"pair", &[], nonce, port)
    }

    /// Whether an announcement is of the invite with this key.
    pub fn recognises(&self, heard: &Announcement) -> bool {
        self.announce(heard.nonce, heard.port) == *heard
    }
}

impl KitTagKey {
    /// The key for a kit; every member can make it, for kits are in the control log.
    pub fn new(kit: &DeviceId) -> Self {
        Self(derive(Purpose::KitTag, &[&kit.0]))
    }

    /// What someone announces who has the words of a kit and nothing else.
    pub fn announce(&self, nonce: [u8; 8], port: u16) -> Announcement {
        self.tag(b"kit", &[], nonce, port)
    }
}

/// Finds the device behind an announcement: one hash for each key and device.
///
/// Callers pass the current key and those of the last 90 days
/// ([`limits::NET_TAG_MS`]), and limit how many announcements they look at.
pub fn recognise_device<'a>(
    keys: &[NetTagKey],
    devices: impl Iterator<Item = &'a DeviceId> + Clone,
    heard: &Announcement,
) -> Option<DeviceId> {
    keys.iter().find_map(|key| {
        devices
            .clone()
            .find(|device| key.announce(device, heard.nonce, heard.port) == *heard)
            .copied()
    })
}

/// Finds the recovery kit behind an announcement.
pub fn recognise_kit<'a>(
    mut kits: impl Iterator<Item = &'a DeviceId>,
    heard: &Announcement,
) -> Option<DeviceId> {
    kits.find(|kit| KitTagKey::new(kit).announce(heard.nonce, heard.port) == *heard)
        .copied()
}

/// An address in text form, as another device claims it.
///
/// It begins with a slash and is printable ASCII of at most
/// [`limits::ADDRESS_BYTES`]; whether it can be dialled is for the node to know.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Address(String);

/// A text that cannot be an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an address")]
pub struct AddressError;

impl Address {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Address {
    type Error = AddressError;

    fn try_from(text: String) -> Result<Self, AddressError> {
        let printable = text.bytes().all(|byte| byte.is_ascii_graphic());
        if text.len() <= limits::ADDRESS_BYTES && text.starts_with('/') && printable {
            Ok(Self(text))
        } else {
            Err(AddressError)
        }
    }
}

impl From<Address> for String {
    fn from(address: Address) -> Self {
        address.0
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::SeededRng;
    use crate::wire;

    fn device(n: u8) -> DeviceId {
        DeviceId([n; 32])
    }

    fn key(n: u8) -> NetTagKey {
        NetTagKey::new(&EpochKey::from_bytes([n; 32]))
    }

    #[test]
    fn a_member_is_recognised_under_the_current_and_an_older_key() {
        let devices = [device(1), device(2), device(3)];
        let keys = [key(1), key(2)];
        for (at, known) in [(1, true), (2, true), (3, false)] {
            let heard = key(at).announce(&device(2), [5; 8], 4001);
            let found = recognise_device(&keys, devices.iter(), &heard);
            assert_eq!(found, known.then_some(device(2)));
        }
        let stranger = key(1).announce(&device(9), [5; 8], 4001);
        assert_eq!(recognise_device(&keys, devices.iter(), &stranger), None);
    }

    #[test]
    fn nonce_and_port_belong_to_the_tag() {
        let heard = key(1).announce(&device(1), [5; 8], 4001);
        let find = |heard| recognise_device(&[key(1)], [device(1)].iter(), &heard);
        assert_eq!(find(heard), Some(device(1)));
        assert_eq!(
            find(Announcement {
                port: 4002,
                ..heard
            }),
            None
        );
        assert_eq!(
            find(Announcement {
                nonce: [6; 8],
                ..heard
            }),
            None
        );
        let mut tag = heard.tag;
        tag[15] ^= 1;
        assert_eq!(find(Announcement { tag, ..heard }), None);
    }

    #[test]
    fn two_hours_of_one_device_have_nothing_in_common() {
        let mut rng = SeededRng::from_seed([1; 32]);
        let one = key(1).announce(&device(1), Announcement::nonce(&mut rng), 4001);
        let two = key(1).announce(&device(1), Announcement::nonce(&mut rng), 4001);
        assert!(one.nonce != two.nonce && one.tag != two.tag);
    }

    #[test]
    fn the_tags_are_the_documented_hashes() {
        let net = blake3::derive_key("heirloom 2026 v1 net tag key", &[1; 32]);
        let message = [&b"mdns"[..], &[2; 32], &[3; 8], &[0x0f, 0xa1]].concat();
        assert_eq!(
            key(1).announce(&device(2), [3; 8], 4001).tag,
            blake3::keyed_hash(&net, &message).as_bytes()[..16]
        );
        let pair = blake3::derive_key("heirloom 2026 v1 invite tag key", &[1; 16]);
        let message = [&b"pair"[..], &[3; 8], &[0x0f, 0xa1]].concat();
        assert_eq!(
            InviteTagKey::new(&[1; 16]).announce([3; 8], 4001).tag,
            blake3::keyed_hash(&pair, &message).as_bytes()[..16]
        );
        let kit = blake3::derive_key("heirloom 2026 v1 kit tag key", &[2; 32]);
        let message = [&b"kit"[..], &[3; 8], &[0x0f, 0xa1]].concat();
        assert_eq!(
            KitTagKey::new(&device(2)).announce([3; 8], 4001).tag,
            blake3::keyed_hash(&kit, &message).as_bytes()[..16]
        );
    }

    #[test]
    fn an_invite_and_a_kit_are_recognised_by_their_own_tag_alone() {
        let invite = InviteTagKey::new(&[1; 16]);
        let heard = invite.announce([5; 8], 4001);
        assert!(invite.recognises(&heard));
        assert!(!InviteTagKey::new(&[2; 16]).recognises(&heard));
        let kits = [device(7), device(8)];
        let heard = KitTagKey::new(&device(8)).announce([5; 8], 4001);
        assert_eq!(recognise_kit(kits.iter(), &heard), Some(device(8)));
        assert_eq!(recognise_kit([device(7)].iter(), &heard), None);
        assert!(!invite.recognises(&heard));
    }

    #[test]
    fn txt_values_of_strangers_are_read_strictly() {
        let heard = key(1).announce(&device(1), [0xab; 8], 4001);
        let (n, t) = heard.to_txt();
        assert_eq!(Announcement::from_txt(&n, &t, 4001), Some(heard));
        for (n, t) in [("", ""), (&n[..14], &t), (&t, &n), ("zz", &t)] {
            assert_eq!(Announcement::from_txt(n, t, 4001), None);
        }
        assert_eq!(Announcement::from_txt(&n.to_uppercase(), &t, 4001), None);
    }

    #[test]
    fn an_address_is_short_printable_and_begins_with_a_slash() {
        let good = "/ip4/192.168.1.2/tcp/4001".to_owned();
        assert_eq!(Address::try_from(good.clone()).unwrap().as_str(), good);
        let long = format!("/{}", "x".repeat(limits::ADDRESS_BYTES));
        for bad in ["", "ip4/1", "/dns/a b", "/x\u{1b}[2J", "/\u{e4}", &long] {
            assert_eq!(Address::try_from(bad.to_owned()), Err(AddressError));
            let bytes = wire::encode(&bad.to_owned());
            assert!(wire::decode::<Address>(&bytes, 1024).is_err());
        }
    }
}
