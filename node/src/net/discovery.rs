//! Finding the family on a local network: DNS-SD over multicast DNS.
//!
//! Service type `_heirloom._udp.local.`; instance and host name are random
//! and new with every change of advert; the TXT record holds `v=1`, a nonce
//! and a tag (docs/spec/07-discovery.md). This module neither makes nor
//! recognises tags and never dials: it publishes the adverts it is given and
//! reports the records of others. What it says to the network without the
//! family's key: that somebody here runs Heirloom.

use std::{
    collections::{BTreeMap, VecDeque},
    fmt::Write as _,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use mdns_sd::{IfKind, ResolvedService, ServiceDaemon, ServiceEvent, ServiceInfo};
use tokio::sync::mpsc;

use super::{
    address::Address,
    limits::{
        ADVERTS, DIAL_ADDRESSES, NAMES_KEPT, RECORDS, RECORDS_LOOK, SIGHTINGS_A_MINUTE,
        SIGHTINGS_KEPT,
    },
};

/// At most 15 bytes before the dot, or mdns-sd drops the registration without
/// a word.
const SERVICE: &str = "_heirloom._udp.local.";
const MINUTE: Duration = Duration::from_secs(60);

/// One record to publish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Advert {
    /// Fresh random bytes; renewed hourly and on a change of network.
    pub nonce: [u8; 8],
    /// The keyed hash over nonce and port that the family recognises.
    pub tag: [u8; 16],
}

/// The record of another node.
///
/// Anybody on the network can send one, so it proves nothing: the tag is to
/// be checked, and even then only the handshake shows who is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sighting {
    /// The nonce and the tag it published.
    pub advert: Advert,
    /// The port it says it listens on.
    pub port: u16,
    /// Where it can be dialled, at most 16 addresses.
    pub addresses: Vec<Address>,
}

/// What came from the local network.
pub(super) enum Heard {
    Sighting(Sighting),
    /// So many records that this discovery is to be given up, and begun anew a little later:
    /// mdns-sd keeps all of them.
    Flood,
}

type Names = Arc<Mutex<VecDeque<String>>>;

/// The multicast DNS responder and browser of one node.
pub(super) struct Discovery {
    daemon: ServiceDaemon,
    /// The names this node has published lately, so that it does not find
    /// itself.
    names: Names,
    published: Vec<String>,
    /// A node that listens on nothing only browses.
    port: Option<u16>,
    /// The addresses to publish; none means all of this machine, as they come
    /// and go.
    addresses: Vec<IpAddr>,
}

impl Discovery {
    /// Starts browsing on the interfaces that belong to `addresses`, or on all.
    pub(super) fn start(
        port: Option<u16>,
        addresses: Vec<IpAddr>,
        sightings: mpsc::Sender<Heard>,
    ) -> mdns_sd::Result<Self> {
        let daemon = ServiceDaemon::new()?;
        if !addresses.is_empty() {
            daemon.disable_interface(IfKind::All)?;
            let only: Vec<IfKind> = addresses.iter().map(|ip| IfKind::Addr(*ip)).collect();
            daemon.enable_interface(only)?;
        }
        let names = Names::default();
        browse(daemon.clone(), Arc::clone(&names), sightings)?;
        Ok(Self {
            daemon,
            names,
            published: Vec::new(),
            port,
            addresses,
        })
    }

    /// Replaces what is published, under new names. Failures are logged: a
    /// node without discovery still has its address book.
    pub(super) fn publish(&mut self, adverts: &[Advert]) {
        for name in self.published.drain(..) {
            if let Err(error) = self.daemon.unregister(&name) {
                tracing::warn!(%error, "an old advert could not be withdrawn");
            }
        }
        let Some(port) = self.port else {
            return;
        };
        for advert in adverts.iter().take(ADVERTS) {
            match self.register(advert, port) {
                Ok(name) => self.published.push(name),
                Err(error) => tracing::warn!(%error, "an advert could not be published"),
            }
        }
    }

    fn register(&self, advert: &Advert, port: u16) -> mdns_sd::Result<String> {
        let instance = random_name()?;
        let host = format!("{}.local.", random_name()?);
        let text = [
            ("v", "1".to_owned()),
            ("n", hex(&advert.nonce)),
            ("t", hex(&advert.tag)),
        ];
        let addresses = self.addresses.as_slice();
        let mut service = ServiceInfo::new(SERVICE, &instance, &host, addresses, port, &text[..])?;
        if self.addresses.is_empty() {
            service = service.enable_addr_auto();
        }
        // 64 random bits need no probing for a name clash, which takes a second.
        service.set_requires_probe(false);
        let name = service.get_fullname().to_owned();
        let mut names = lock(&self.names);
        names.push_back(name.to_lowercase());
        if names.len() > NAMES_KEPT {
            names.pop_front();
        }
        drop(names);
        self.daemon.register(service)?;
        Ok(name)
    }
}

impl Drop for Discovery {
    /// Withdraws the adverts and ends the threads.
    fn drop(&mut self) {
        self.publish(&[]);
        if let Err(error) = self.daemon.shutdown() {
            tracing::warn!(%error, "discovery could not be stopped");
        }
    }
}

fn lock(names: &Mutex<VecDeque<String>>) -> MutexGuard<'_, VecDeque<String>> {
    names.lock().unwrap_or_else(PoisonError::into_inner)
}

fn random_name() -> mdns_sd::Result<String> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).map_err(|error| mdns_sd::Error::Msg(error.to_string()))?;
    Ok(hex(&bytes))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let text = text.as_bytes();
    if text.len() != 2 * N {
        return None;
    }
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(bytes)
}

/// Follows the daemon's events on a thread of its own. The daemon ends a
/// subscription whose channel overflows, so nothing here waits, and a
/// subscription that ended is made again.
fn browse(
    daemon: ServiceDaemon,
    names: Names,
    sightings: mpsc::Sender<Heard>,
) -> mdns_sd::Result<()> {
    let mut events = daemon.browse(SERVICE)?;
    let follow = move || {
        let mut seen = Seen::default();
        let mut looked = Instant::now();
        loop {
            while let Ok(event) = events.recv() {
                if looked.elapsed() >= RECORDS_LOOK {
                    looked = Instant::now();
                    if is_flooded(&daemon) && sightings.try_send(Heard::Flood).is_ok() {
                        return;
                    }
                }
                match event {
                    ServiceEvent::ServiceResolved(service) => {
                        let name = service.get_fullname().to_lowercase();
                        if lock(&names).contains(&name) {
                            continue;
                        }
                        let Some(sighting) = read(&service) else {
                            continue;
                        };
                        if seen.is_news(&name, &sighting, Instant::now()) {
                            // A full channel drops it: records come again.
                            let _ = sightings.try_send(Heard::Sighting(sighting));
                        }
                    }
                    ServiceEvent::ServiceRemoved(_, name) => seen.forget(&name.to_lowercase()),
                    _ => {}
                }
            }
            match daemon.browse(SERVICE) {
                Ok(again) if !sightings.is_closed() => events = again,
                _ => return,
            }
        }
    };
    let thread = thread::Builder::new().name("discovery".to_owned());
    thread
        .spawn(follow)
        .map_err(|error| mdns_sd::Error::Msg(error.to_string()))?;
    Ok(())
}

/// Whether multicast DNS holds more records than any family has.
fn is_flooded(daemon: &ServiceDaemon) -> bool {
    let asked = daemon.get_metrics();
    let Some(metrics) = asked.ok().and_then(|told| told.recv_timeout(MINUTE).ok()) else {
        return false;
    };
    let kinds = ["cached-ptr", "cached-srv", "cached-txt", "cached-addr"];
    let held = kinds.iter().filter_map(|kind| metrics.get(*kind));
    held.sum::<i64>() > RECORDS
}

/// Reads a record; anything unexpected makes it none of ours.
fn read(service: &ResolvedService) -> Option<Sighting> {
    if service.get_property_val_str("v") != Some("1") {
        return None;
    }
    let advert = Advert {
        nonce: unhex(service.get_property_val_str("n")?)?,
        tag: unhex(service.get_property_val_str("t")?)?,
    };
    let port = service.get_port();
    let mut addresses: Vec<Address> = service
        .get_addresses()
        .iter()
        .map(|scoped| Address::new(scoped.to_ip_addr(), port))
        .filter(Address::can_be_dialled)
        .collect();
    addresses.sort();
    addresses.truncate(DIAL_ADDRESSES);
    Some(Sighting {
        advert,
        port,
        addresses,
    })
}

/// Reads a record with these properties; for the fuzz targets.
pub(crate) fn of_properties(text: &[(&str, &str)]) -> Option<Sighting> {
    let service = ServiceInfo::new(SERVICE, "x", "y.local.", "192.168.0.9", 77, text).ok()?;
    read(&service.as_resolved_service())
}

/// What was reported already, and how much may still be this minute.
///
/// Events repeat for each interface and with every refresh of a record; a
/// stranger can make up as many as it likes.
#[derive(Default)]
struct Seen {
    last: BTreeMap<String, Sighting>,
    minute: Option<Instant>,
    reported: u32,
}

impl Seen {
    fn is_news(&mut self, name: &str, sighting: &Sighting, now: Instant) -> bool {
        if self.last.get(name) == Some(sighting) {
            return false;
        }
        if self.minute.is_none_or(|start| now >= start + MINUTE) {
            self.minute = Some(now);
            self.reported = 0;
        }
        if self.reported == SIGHTINGS_A_MINUTE {
            return false;
        }
        self.reported += 1;
        if self.last.len() >= SIGHTINGS_KEPT {
            self.last.clear();
        }
        self.last.insert(name.to_owned(), sighting.clone());
        true
    }

    /// A device that went and came back is news again.
    fn forget(&mut self, name: &str) {
        self.last.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sighting(port: u16) -> Sighting {
        Sighting {
            advert: Advert {
                nonce: [1; 8],
                tag: [2; 16],
            },
            port,
            addresses: vec![Address::new([192, 168, 0, 9].into(), port)],
        }
    }

    fn record(text: &[(&str, &str)]) -> ResolvedService {
        ServiceInfo::new(SERVICE, "x", "y.local.", "192.168.0.9", 77, text)
            .unwrap()
            .as_resolved_service()
    }

    #[test]
    fn only_a_well_formed_record_is_read() {
        let nonce = "01".repeat(8);
        let tag = "02".repeat(16);
        let good = record(&[("v", "1"), ("n", &nonce), ("t", &tag)]);
        assert_eq!(read(&good), Some(sighting(77)));
        for bad in [
            record(&[("n", &nonce), ("t", &tag)]),
            record(&[("v", "2"), ("n", &nonce), ("t", &tag)]),
            record(&[("v", "1"), ("t", &tag)]),
            record(&[("v", "1"), ("n", &tag), ("t", &tag)]),
            record(&[("v", "1"), ("n", &nonce), ("t", &nonce)]),
            record(&[("v", "1"), ("n", "0101010101010101x"), ("t", &tag)]),
            record(&[("v", "1"), ("n", "0A01010101010101"), ("t", &tag)]),
            record(&[("v", "1"), ("n", "+101010101010101"), ("t", &tag)]),
        ] {
            assert_eq!(read(&bad), None);
        }
    }

    #[test]
    fn hex_is_read_back_as_it_was_written() {
        let bytes: [u8; 16] = std::array::from_fn(|i| u8::try_from(i * 17).unwrap());
        assert_eq!(unhex(&hex(&bytes)), Some(bytes));
    }

    #[test]
    fn a_record_is_reported_once_until_it_changes_or_goes() {
        let now = Instant::now();
        let mut seen = Seen::default();
        assert!(seen.is_news("a", &sighting(1), now));
        assert!(!seen.is_news("a", &sighting(1), now));
        assert!(seen.is_news("a", &sighting(2), now));
        seen.forget("a");
        assert!(seen.is_news("a", &sighting(2), now));
    }

    #[test]
    fn a_flood_of_records_is_cut_to_so_many_a_minute() {
        let now = Instant::now();
        let mut seen = Seen::default();
        let flood = |seen: &mut Seen, now| {
            (0..10_000u32)
                .filter(|n| seen.is_news(&n.to_string(), &sighting(1), now))
                .count()
        };
        let allowed = usize::try_from(SIGHTINGS_A_MINUTE).unwrap();
        assert_eq!(flood(&mut seen, now), allowed);
        assert_eq!(flood(&mut seen, now + MINUTE / 2), 0);
        assert_eq!(flood(&mut seen, now + MINUTE), allowed);
        assert!(seen.last.len() <= SIGHTINGS_KEPT);
    }

    #[tokio::test]
    async fn a_node_that_only_browses_finds_adverts_under_ever_new_names() {
        let home = vec![IpAddr::from([127, 0, 0, 1])];
        let (found, mut sightings) = mpsc::channel(64);
        let (unused, _) = mpsc::channel(1);
        let _browser = Discovery::start(None, home.clone(), found).unwrap();
        // A port that no other test listens on.
        let mut host = Discovery::start(Some(1), home, unused).unwrap();
        let advert = |byte| Advert {
            nonce: [byte; 8],
            tag: [byte; 16],
        };
        let both = async {
            for byte in [3, 4] {
                host.publish(&[advert(byte)]);
                while let Some(heard) = sightings.recv().await {
                    let Heard::Sighting(sighting) = heard else {
                        continue;
                    };
                    if sighting.port == 1 && sighting.advert == advert(byte) {
                        break;
                    }
                }
            }
        };
        if tokio::time::timeout(Duration::from_secs(20), both)
            .await
            .is_err()
        {
            #[expect(clippy::print_stdout, reason = "a test that could not run says so")]
            {
                println!("skipped: no multicast on the loopback interface here");
            }
            return;
        }
        let names = lock(&host.names).clone();
        assert_eq!(names.len(), 2);
        assert_ne!(names[0], names[1]);
    }

    #[test]
    fn the_service_type_is_short_enough_to_be_registered() {
        let label = SERVICE.split('.').next().unwrap();
        assert!(label.trim_start_matches('_').len() <= 15);
    }
}
