//! Finding a device that knows the family of a recovery kit: at addresses, or on the local network.
//!
//! On the local network the kit's tag is announced, and devices of the family call. Whoever calls or
//! is called is asked for the family; a stranger can hand over nothing that the kit's key is in, and
//! costs a stream and at most what a newcomer is handed.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use heirloom_protocol::{
    crypto::{DeviceKeys, RecoveryKit},
    discovery::{Announcement, KitTagKey},
    id::{DeviceId, PersonId},
};
use tokio::{task::JoinSet, time::Instant};
use tokio_util::sync::CancellationToken;

use crate::{
    api::ApiError,
    clock::Clock,
    net::{Address, Advert, Net, NetConfig, NetError, NetEvent, Peer, Proto, Standing, Whom},
    network::{NetworkOptions, device_of, pair::fetch_handed},
    runtime::{Handed, RuntimeError, system_rng},
};

/// How long devices of the local network are waited for.
const LOOK: Duration = Duration::from_secs(20);
/// How long all of it may take while somebody still hands something over.
const LONGEST: Duration = Duration::from_secs(320);
/// Callers that are asked at a time.
const CALLERS: usize = 8;

/// A family in which the kit counts.
pub(super) struct Found {
    /// What it is made of; not believed yet.
    pub(super) handed: Handed,
    /// Who handed it over.
    pub(super) host: DeviceId,
}

/// What came of asking somebody.
enum Came {
    Family(Box<Found>),
    /// They do not know the kit, or do not talk.
    Stranger,
    Nobody,
}

/// Asks whoever is in reach for the family of a kit.
///
/// # Errors
///
/// `E-CODE` when somebody answers and nobody knows the kit, `E-NO-PEER` when nobody answers.
pub(super) async fn family(
    options: &NetworkOptions,
    kit: &RecoveryKit,
    peers: &[Address],
    keys: &Arc<DeviceKeys>,
    dropped: &CancellationToken,
) -> Result<Found, ApiError> {
    let key = kit.sign();
    let mut config = NetConfig::new(key.to_bytes());
    config.discovery = options.discovery;
    if !options.discovery {
        config.listen.clear();
    } else if !options.listen.is_empty() {
        config.listen.clone_from(&options.listen);
    }
    config.reach = options.reach();
    let started = Net::start(config).await;
    let (net, events) = started.map_err(|error| ApiError::network(&error))?;
    let mut search = Search {
        net: net.clone(),
        kit: key.id(),
        keys: keys.clone(),
        asked: BTreeSet::new(),
        asking: JoinSet::new(),
        answered: 0,
        seen: false,
    };
    let found = async {
        search.announce(options.discovery).await?;
        let looking = search.run(events, peers, options.discovery);
        tokio::select! {
            () = dropped.cancelled() => Err(ApiError::try_later("it was stopped")),
            found = looking => found,
        }
    };
    let found = found.await;
    net.shutdown().await;
    found
}

struct Search {
    net: Net,
    kit: DeviceId,
    keys: Arc<DeviceKeys>,
    asked: BTreeSet<Peer>,
    asking: JoinSet<Came>,
    /// How many answered and do not know the kit.
    answered: u64,
    /// Whether some device announced itself on the local network. Those that know the kit call, so it is
    /// one that does not know it, or of another family.
    seen: bool,
}

impl Search {
    async fn announce(&self, looks: bool) -> Result<(), ApiError> {
        let Some(port) = self.net.port().filter(|_| looks) else {
            return Ok(());
        };
        let nonce = Announcement::nonce(&mut system_rng()?);
        let said = KitTagKey::new(&self.kit).announce(nonce, port);
        let advert = Advert {
            nonce: said.nonce,
            tag: said.tag,
        };
        let announced = async {
            self.net.await_hosts().await?;
            self.net.set_adverts(vec![advert]).await
        };
        let announced: Result<(), NetError> = announced.await;
        announced.map_err(|_| RuntimeError::Stopped.into())
    }

    async fn run(
        &mut self,
        mut events: tokio::sync::mpsc::Receiver<NetEvent>,
        peers: &[Address],
        looks: bool,
    ) -> Result<Found, ApiError> {
        let started = Instant::now();
        for address in peers {
            let (asker, address) = (self.asker(), *address);
            self.asking.spawn(async move {
                match asker
                    .net
                    .dial(Whom::Host(address.peer), vec![address])
                    .await
                {
                    Ok(peer) => asker.ask(peer).await,
                    Err(error) => {
                        tracing::debug!(%error, "an address that was given");
                        Came::Nobody
                    }
                }
            });
        }
        while started.elapsed() < LONGEST {
            let waits = looks && started.elapsed() < LOOK;
            if self.asking.is_empty() && !waits {
                break;
            }
            tokio::select! {
                Some(came) = self.asking.join_next() => match came {
                    Ok(Came::Family(found)) => return Ok(*found),
                    Ok(Came::Stranger) => self.answered += 1,
                    Ok(Came::Nobody) | Err(_) => {}
                },
                event = events.recv() => match event {
                    Some(event) => self.heard(&event),
                    None => break,
                },
                () = tokio::time::sleep_until(started + LOOK), if waits => {}
                () = tokio::time::sleep_until(started + LONGEST) => {}
            }
        }
        Err(failed(self.answered, self.seen))
    }

    /// Asks who has called.
    fn heard(&mut self, event: &NetEvent) {
        self.seen |= matches!(event, NetEvent::Discovered(_));
        if let NetEvent::Connected {
            peer,
            standing: Standing::Host,
            outbound: false,
            ..
        } = event
            && self.asking.len() < CALLERS
            && self.asked.insert(*peer)
        {
            let (asker, peer) = (self.asker(), *peer);
            self.asking.spawn(async move { asker.ask(peer).await });
        }
    }

    fn asker(&self) -> Asker {
        Asker {
            net: self.net.clone(),
            kit: self.kit,
            keys: self.keys.clone(),
        }
    }
}

/// Why no family was found. Whose paper is old is not to search the network for what is not wrong there.
fn failed(answered: u64, seen: bool) -> ApiError {
    if answered > 0 {
        let message = match answered {
            1 => "1 device answered, and it does not know these words".to_owned(),
            _ => format!("{answered} devices answered, and none knows these words"),
        };
        return ApiError::new("E-CODE", 8, &message)
            .safe("Nothing was changed.")
            .hint("were they replaced by new ones? Only the newest paper counts")
            .why("paper", usize::try_from(answered).unwrap_or(usize::MAX));
    }
    if seen {
        return ApiError::no_peer(
            "there are devices with Heirloom on this network, and none of them knows these words",
        )
        .safe("Nothing was changed.")
        .hint(
            "were they replaced by new ones? Only the newest paper counts. If those devices are not of your \
             family, give the address of one that is, after the words on a line of its own",
        )
        .why("paper", 0);
    }
    ApiError::no_peer("no device that knows these words is in reach").hint(
        "is another device of the family, or its keeper, on and running (heirloom serve)? \
         Outside its network give its address, after the words on a line of its own. \
         Words that were replaced by new ones work no longer: only the newest paper counts",
    )
}

struct Asker {
    net: Net,
    kit: DeviceId,
    keys: Arc<DeviceKeys>,
}

impl Asker {
    async fn ask(self, peer: Peer) -> Came {
        let fetched = async { fetch_handed(self.net.open(peer, Proto::Pair).await?).await };
        let handed: Result<_, NetError> = fetched.await;
        let handed = match handed {
            Ok(handed) => handed,
            Err(error) => {
                tracing::debug!(%error, "no family is handed over");
                return Came::Stranger;
            }
        };
        let (host, kit, keys) = (device_of(peer), self.kit, self.keys);
        let judged = tokio::task::spawn_blocking(move || {
            let handed = Handed::read(&handed)?;
            let now = Clock::default().now();
            let person: Option<PersonId> = handed.person_of_kit(kit, host, &keys, now);
            person.map(|_| Box::new(Found { handed, host }))
        });
        match judged.await {
            Ok(Some(found)) => Came::Family(found),
            _ => Came::Stranger,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_paper_is_told_from_nobody_in_reach_as_far_as_can_be() {
        let nobody = "no device that knows these words is in reach";
        let seen =
            "there are devices with Heirloom on this network, and none of them knows these words";
        let one = "1 device answered, and it does not know these words";
        let two = "2 devices answered, and none knows these words";
        for (answered, is_seen, id, exit, says) in [
            (0, false, "E-NO-PEER", 6, nobody),
            (0, true, "E-NO-PEER", 6, seen),
            (1, true, "E-CODE", 8, one),
            (2, false, "E-CODE", 8, two),
        ] {
            let error = failed(answered, is_seen);
            assert_eq!((error.id, error.exit), (id, exit));
            assert_eq!(error.message, says);
            let knows_more = answered > 0 || is_seen;
            assert_eq!(error.why.is_some(), knows_more, "for other languages");
            // Whichever it is: there may be a newer paper.
            let hint = error.hint.expect("a hint");
            assert!(hint.contains("nly the newest paper counts"), "{hint}");
        }
    }
}
