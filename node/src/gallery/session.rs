//! Who is let in: links that work once, and the sessions that they become.
//!
//! A link carries 256 random bits in its fragment, which no browser sends to
//! anybody; the page posts them, once, within a minute. A session is another
//! 256 random bits in a cookie. Of both only the hash is kept: whoever reads
//! this home's memory or disk later lets nobody in. As the secrets are random,
//! a plain hash cannot be guessed back, and comparing hashes tells nothing by
//! its time.

use std::{
    collections::VecDeque,
    net::IpAddr,
    sync::{Mutex, MutexGuard, PoisonError},
};

use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::{
    clock::Clock,
    runtime::{RuntimeError, system_rng},
    store::{Batch, Store, StoreError, Table},
};
use rand_core::Rng as _;

/// How long a link works, in milliseconds.
pub(super) const LINK_MS: u64 = 60_000;
/// How long a link for a phone works: its camera has to be found first.
pub(super) const PHONE_LINK_MS: u64 = 300_000;
/// How long a session lasts, in milliseconds: 30 days.
const SESSION_MS: u64 = 30 * 86_400_000;
/// Most sessions; the oldest goes when another one comes.
const SESSIONS: usize = 64;
/// Most links that wait to be used.
const LINKS: usize = 16;
/// Wrong links of one caller within a minute after which its next wrong ones are told to wait.
const WRONG_LINKS: usize = 5;
/// Wrong links that are remembered, of all callers.
const WRONG_KEPT: usize = 512;
const MINUTE_MS: u64 = 60_000;
/// The row of the sessions.
const ROW: &[u8] = b"gallery/sessions";

type Hash = [u8; 32];

/// Who tries a link: whether over the door for phones, and from which address.
pub(super) type Caller = (bool, IpAddr);

/// What a session may do.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) enum Reach {
    /// Everything, from this computer.
    Full,
    /// Looking, adding, favouring and commenting: a phone on the local network.
    Phone,
}

/// One session, without what its cookie says.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Session {
    hash: Hash,
    reach: Reach,
    /// Unix milliseconds.
    made: u64,
    expires: u64,
}

impl Session {
    fn name(&self) -> String {
        HEXLOWER.encode(&self.hash[..4])
    }
}

struct Link {
    hash: Hash,
    reach: Reach,
    /// Unix milliseconds.
    made: u64,
    expires: u64,
}

#[derive(Default)]
struct Inner {
    links: Vec<Link>,
    sessions: Vec<Session>,
    /// From whom wrong links came and when, Unix milliseconds.
    wrong: VecDeque<(Caller, u64)>,
}

/// Why nobody was let in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum NotLetIn {
    /// The link was used, has expired or never was.
    Link,
    /// Too many wrong ones lately.
    TooOften,
}

/// Links and sessions of one home.
#[derive(Default)]
pub(crate) struct Sessions {
    inner: Mutex<Inner>,
    clock: Clock,
}

fn hash_of(secret: &str) -> Hash {
    blake3::derive_key(
        "heirloom gallery secret, kept as its hash",
        secret.as_bytes(),
    )
}

fn secret() -> Result<String, RuntimeError> {
    let mut bytes = [0; 32];
    system_rng()?.fill_bytes(&mut bytes);
    Ok(BASE64URL_NOPAD.encode(&bytes))
}

impl Sessions {
    /// The sessions that a home kept, and no links.
    ///
    /// # Errors
    ///
    /// What the store says.
    pub(crate) fn of(store: Option<&Store>, clock: Clock) -> Result<Self, StoreError> {
        let kept = match store {
            Some(store) => store.get(Table::Kv, ROW)?,
            None => None,
        };
        let sessions = kept.and_then(|row| serde_json::from_slice(&row).ok());
        let inner = Inner {
            sessions: sessions.unwrap_or_default(),
            ..Inner::default()
        };
        Ok(Self {
            inner: Mutex::new(inner),
            clock,
        })
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes the sessions down. Blocks; durable when it returns.
    ///
    /// # Errors
    ///
    /// What the store says.
    pub(crate) fn keep(&self, store: &Store) -> Result<(), StoreError> {
        let row = serde_json::to_vec(&self.inner().sessions).unwrap_or_default();
        store.commit(&Batch {
            puts: vec![(Table::Kv, ROW.to_vec(), row)],
            ..Batch::default()
        })
    }

    /// Makes a link that lets one browser in, and gives its secret.
    pub(super) fn link(&self, reach: Reach, valid_ms: u64) -> Result<String, RuntimeError> {
        let (secret, made) = (secret()?, self.clock.now().0);
        let mut inner = self.inner();
        if inner.links.len() >= LINKS {
            inner.links.remove(0);
        }
        inner.links.push(Link {
            hash: hash_of(&secret),
            reach,
            made,
            expires: made.saturating_add(valid_ms),
        });
        Ok(secret)
    }

    /// Uses up a link and gives the secret of the session that it becomes.
    ///
    /// Wrong ones are counted for each caller by itself, and a right one is let in whatever was
    /// counted: nobody guesses 256 bits, and nobody keeps others out by trying to.
    pub(super) fn let_in(
        &self,
        link: &str,
        from: Caller,
        may: impl Fn(Reach) -> bool,
    ) -> Result<Result<String, NotLetIn>, RuntimeError> {
        let (hash, now) = (hash_of(link), self.clock.now().0);
        let mut inner = self.inner();
        inner
            .links
            .retain(|link| link.made <= now && now < link.expires);
        let is_recent = |at: u64| now.saturating_sub(at) < MINUTE_MS;
        inner.wrong.retain(|(_, at)| is_recent(*at));
        let found = inner.links.iter();
        let found = found.enumerate().find(|(_, link)| link.hash == hash);
        let Some(at) = found.filter(|(_, link)| may(link.reach)).map(|(at, _)| at) else {
            let tries = inner.wrong.iter().filter(|(who, _)| *who == from).count();
            if tries >= WRONG_LINKS {
                return Ok(Err(NotLetIn::TooOften));
            }
            if inner.wrong.len() >= WRONG_KEPT {
                inner.wrong.pop_front();
            }
            inner.wrong.push_back((from, now));
            return Ok(Err(NotLetIn::Link));
        };
        let reach = inner.links.remove(at).reach;
        let (secret, made) = (secret()?, now);
        if inner.sessions.len() >= SESSIONS {
            inner.sessions.remove(0);
        }
        let session = Session {
            hash: hash_of(&secret),
            reach,
            made,
            expires: made.saturating_add(SESSION_MS),
        };
        tracing::info!(session = session.name(), ?reach, "let in");
        inner.sessions.push(session);
        Ok(Ok(secret))
    }

    /// What a cookie's session may do; `None` for one that is unknown or over.
    pub(super) fn reach(&self, secret: &str) -> Option<Reach> {
        let (hash, now) = (hash_of(secret), self.clock.now().0);
        let inner = self.inner();
        let session = inner.sessions.iter().find(|one| one.hash == hash)?;
        (session.made <= now && now < session.expires).then_some(session.reach)
    }

    /// Ends one session.
    pub(super) fn end(&self, secret: &str) {
        let hash = hash_of(secret);
        self.inner().sessions.retain(|one| one.hash != hash);
    }

    /// Ends all sessions, or those whose names begin like this; gives how many.
    pub(crate) fn revoke(&self, name: Option<&str>) -> usize {
        let mut inner = self.inner();
        let before = inner.sessions.len();
        inner.sessions.retain(|one| {
            let goes = name.is_none_or(|name| one.name().starts_with(name));
            if goes {
                tracing::info!(session = one.name(), "ended");
            }
            !goes
        });
        inner.links.clear();
        before - inner.sessions.len()
    }

    /// A line for each session.
    pub(crate) fn lines(&self) -> Vec<serde_json::Value> {
        let now = self.clock.now().0;
        let inner = self.inner();
        let live = inner.sessions.iter().filter(|one| now < one.expires);
        live.map(|one| {
            json!({
                "type": "session", "v": 1, "id": one.name(),
                "reach": if one.reach == Reach::Full { "full" } else { "phone" },
                "made": crate::catalog::instant_text(one.made),
                "expires": crate::catalog::instant_text(one.expires),
            })
        })
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use heirloom_protocol::time::Timestamp;

    use super::*;

    fn at(ms: u64) -> (Sessions, Clock) {
        let clock = Clock::default();
        clock.set(Timestamp(ms));
        let sessions = Sessions::of(None, clock.clone()).expect("no store");
        (sessions, clock)
    }

    const HERE: Caller = (false, IpAddr::V4(Ipv4Addr::LOCALHOST));
    const PHONE: Caller = (true, IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7)));

    fn let_in(sessions: &Sessions, link: &str) -> Result<String, NotLetIn> {
        sessions.let_in(link, HERE, |_| true).expect("randomness")
    }

    #[test]
    fn a_link_works_once_and_for_a_minute() {
        let (sessions, clock) = at(1_000_000);
        let link = sessions.link(Reach::Full, LINK_MS).expect("randomness");
        assert_eq!(
            BASE64URL_NOPAD.decode(link.as_bytes()).map(|b| b.len()),
            Ok(32)
        );
        let session = let_in(&sessions, &link).expect("a fresh link");
        assert_eq!(sessions.reach(&session), Some(Reach::Full));
        assert_eq!(let_in(&sessions, &link), Err(NotLetIn::Link));
        let late = sessions.link(Reach::Full, LINK_MS).expect("randomness");
        clock.set(Timestamp(1_000_000 + LINK_MS));
        assert_eq!(let_in(&sessions, &late), Err(NotLetIn::Link));
    }

    #[test]
    fn who_guesses_waits_and_keeps_nobody_else_out() {
        let (sessions, clock) = at(1_000_000);
        let guess = |from| {
            sessions
                .let_in("guess", from, |_| true)
                .expect("randomness")
        };
        let other = (true, IpAddr::V4(Ipv4Addr::new(192, 0, 2, 8)));
        for _ in 0..WRONG_LINKS {
            assert_eq!(guess(PHONE), Err(NotLetIn::Link));
        }
        assert_eq!(guess(PHONE), Err(NotLetIn::TooOften));
        assert_eq!(guess(other), Err(NotLetIn::Link));
        assert_eq!(guess(HERE), Err(NotLetIn::Link));
        let link = sessions.link(Reach::Full, LINK_MS).expect("randomness");
        assert!(
            sessions
                .let_in(&link, PHONE, |_| true)
                .expect("randomness")
                .is_ok()
        );
        clock.set(Timestamp(1_000_000 + MINUTE_MS));
        assert_eq!(guess(PHONE), Err(NotLetIn::Link));
        // However many there are who guess, as many are remembered as there is room for.
        for caller in 0..WRONG_KEPT + 10 {
            let ip = Ipv4Addr::from_bits(u32::try_from(caller).expect("few"));
            assert_eq!(guess((true, ip.into())), Err(NotLetIn::Link));
        }
        assert_eq!(sessions.inner().wrong.len(), WRONG_KEPT);
    }

    #[test]
    fn a_link_is_not_used_up_where_it_does_not_count() {
        let sessions = Sessions::default();
        let link = sessions.link(Reach::Full, LINK_MS).expect("randomness");
        let outside = sessions.let_in(&link, HERE, |reach| reach == Reach::Phone);
        assert_eq!(outside.expect("randomness"), Err(NotLetIn::Link));
        assert!(let_in(&sessions, &link).is_ok());
    }

    #[test]
    fn a_session_ends_by_itself_by_logging_out_and_by_being_revoked() {
        let (sessions, clock) = at(1_000_000);
        let open = || {
            let link = sessions.link(Reach::Phone, LINK_MS).expect("randomness");
            let_in(&sessions, &link).expect("a fresh link")
        };
        let (one, two, three) = (open(), open(), open());
        sessions.end(&one);
        assert_eq!(sessions.reach(&one), None);
        assert_eq!(sessions.reach(&two), Some(Reach::Phone));
        let name = HEXLOWER.encode(&hash_of(&two)[..4]);
        assert_eq!(sessions.revoke(Some(&name)), 1);
        assert_eq!(sessions.reach(&two), None);
        clock.set(Timestamp(1_000_000 + SESSION_MS));
        assert_eq!(sessions.reach(&three), None);
        assert_eq!(sessions.lines(), Vec::<serde_json::Value>::new());
        // A clock that was set back brings nothing back to life.
        clock.set(Timestamp(5));
        assert_eq!(sessions.reach(&three), None);
    }
}
