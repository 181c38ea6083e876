//! The code that brings a device into the family, and how long it lives.
//!
//! A code is 128 random bits, known to the one device that made it and to
//! whoever reads it. It has two forms. As **12 words** (BIP 39) it is the secret
//! alone, for two devices in one LAN. As a **link**, also shown as a QR code, it
//! says where to go as well:
//!
//! ```text
//! heirloom:join/<base64url without padding of>
//!   version u8 = 1, FamilyId[..16], inviter's DeviceId[32], secret[16],
//!   count of addresses, each address as length and text   (wire encoding)
//!   BLAKE3 of all that [..4]                              (catches a cut or mistyped link)
//! ```
//!
//! From the secret follow the invite's id, which travels in clear, the key that
//! the pairing is authenticated with, and a guest's identity for the outer
//! connection. The conversation itself is the pairing.

use rand_core::CryptoRng;
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::consent::DeviceKind;
use crate::crypto::{
    Purpose, SignSecret, derive,
    words::{self, WordsError},
};
use crate::discovery::{Address, InviteTagKey};
use crate::id::{DeviceId, PersonId, SpaceId};
use crate::limits;
use crate::time::Timestamp;
use crate::wire;

const SCHEME: &str = "heirloom:join/";
const VERSION: u8 = 1;
const CHECKSUM_BYTES: usize = 4;
/// What mail programs and shells put around a link.
const QUOTES: &str = "\"'`<>()\u{ab}\u{bb}\u{2018}\u{2019}\u{201a}\u{201c}\u{201d}\u{201e}";

/// Why a text is no invite code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InviteError {
    /// The words are not those of a code.
    #[error(transparent)]
    Words(#[from] WordsError),
    /// A link that was cut, mistyped or altered.
    #[error("the link is damaged or incomplete")]
    Link,
    /// A link of a version that this program does not know.
    #[error("the link is of version {0}, which is newer than this program")]
    Version(u8),
    /// More text than any code has.
    #[error("too long for an invite code")]
    TooLong,
}

/// The 128 bits of an invite; whoever has them can try to join, once.
///
/// Never shorter: a passive listener of a pairing could test guesses offline.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct InviteSecret([u8; 16]);

/// The name of an invite, in clear at the start of a pairing; says nothing of the secret.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct InviteId(pub [u8; 8]);

impl InviteSecret {
    /// A fresh secret; `rng` must be hedged, see [`crate::crypto::hedge`].
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        let mut secret = Self([0; 16]);
        rng.fill_bytes(&mut secret.0);
        secret
    }

    /// The secret with these bytes.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The bytes, for the sealed store of a node that keeps a live invite over a restart.
    pub fn to_bytes(&self) -> Zeroizing<[u8; 16]> {
        Zeroizing::new(self.0)
    }

    /// The 12 words.
    pub fn words(&self) -> Zeroizing<String> {
        words::encode(&self.0)
    }

    /// The invite's id.
    pub fn id(&self) -> InviteId {
        let hash = derive(Purpose::InviteId, &[&self.0]);
        let mut id = [0; 8];
        id.copy_from_slice(&hash[..8]);
        InviteId(id)
    }

    /// The key that authenticates the pairing.
    pub(crate) fn psk(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(derive(Purpose::InvitePsk, &[&self.0]))
    }

    /// The identity of the joiner's outer connection, until it has one in the family.
    ///
    /// Inviter and relays let its id in, for the pairing protocol alone, until
    /// the invite ends.
    pub fn guest(&self) -> SignSecret {
        let seed = Zeroizing::new(derive(Purpose::InviteGuest, &[&self.0]));
        SignSecret::from_bytes(&seed)
    }

    /// The key of the tag by which the inviter is found on the LAN.
    pub fn tag_key(&self) -> InviteTagKey {
        InviteTagKey::new(&self.0)
    }
}

/// The link form: the secret, and where to go with it.
pub struct InviteCode {
    /// The first half of the family's id, which is its control space; the joiner checks it.
    pub family: SpaceId,
    /// The only device at which the code works.
    pub inviter: DeviceId,
    /// The secret.
    pub secret: InviteSecret,
    /// Where the inviter and its relays are, at most [`limits::ADDRESSES`]; the rest is left out.
    pub addrs: Vec<Address>,
}

#[derive(Serialize, Deserialize)]
struct Link {
    version: u8,
    family: SpaceId,
    inviter: DeviceId,
    secret: Zeroizing16,
    addrs: Vec<Address>,
}

#[derive(Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
struct Zeroizing16([u8; 16]);

impl InviteCode {
    /// The link.
    pub fn link(&self) -> Zeroizing<String> {
        let addrs = self.addrs.iter().take(limits::ADDRESSES);
        let link = Link {
            version: VERSION,
            family: self.family,
            inviter: self.inviter,
            secret: Zeroizing16(self.secret.0),
            addrs: addrs.cloned().collect(),
        };
        let mut bytes = Zeroizing::new(wire::encode(&link));
        let sum = checksum(&bytes);
        bytes.extend_from_slice(&sum);
        let code = Zeroizing::new(data_encoding::BASE64URL_NOPAD.encode(&bytes));
        Zeroizing::new([SCHEME, &code].concat())
    }

    fn from_link(code: &str) -> Result<Self, InviteError> {
        // Mail programs break long links.
        let joined: Zeroizing<Vec<u8>> =
            Zeroizing::new(code.bytes().filter(|b| !b.is_ascii_whitespace()).collect());
        let bytes = data_encoding::BASE64URL_NOPAD
            .decode(&joined)
            .map(Zeroizing::new)
            .map_err(|_| InviteError::Link)?;
        let at = bytes.len().saturating_sub(CHECKSUM_BYTES);
        let (bytes, sum) = bytes.split_at(at);
        if checksum(bytes) != sum {
            return Err(InviteError::Link);
        }
        match bytes.first() {
            Some(&VERSION) => {}
            Some(&other) if other > VERSION => return Err(InviteError::Version(other)),
            _ => return Err(InviteError::Link),
        }
        let link: Link =
            wire::decode(bytes, limits::INVITE_LINK_BYTES).map_err(|_| InviteError::Link)?;
        if link.addrs.len() > limits::ADDRESSES {
            return Err(InviteError::Link);
        }
        Ok(Self {
            family: link.family,
            inviter: link.inviter,
            secret: InviteSecret(link.secret.0),
            addrs: link.addrs,
        })
    }
}

fn checksum(bytes: &[u8]) -> [u8; CHECKSUM_BYTES] {
    let hash = blake3::hash(bytes);
    let mut sum = [0; CHECKSUM_BYTES];
    sum.copy_from_slice(&hash.as_bytes()[..CHECKSUM_BYTES]);
    sum
}

/// What a person typed, scanned or pasted.
pub enum InviteText {
    /// A link, with addresses.
    Link(InviteCode),
    /// Words: the inviter is looked for on the LAN, see [`InviteSecret::tag_key`].
    Words(InviteSecret),
}

impl InviteText {
    /// The secret of either form.
    pub const fn secret(&self) -> &InviteSecret {
        match self {
            Self::Link(code) => &code.secret,
            Self::Words(secret) => secret,
        }
    }
}

/// Reads an invite code in either form.
///
/// # Errors
///
/// [`InviteError`] says what to look at again, and nothing of what was typed.
pub fn parse(text: &str) -> Result<InviteText, InviteError> {
    if text.len() > limits::INVITE_LINK_BYTES {
        return Err(InviteError::TooLong);
    }
    let text = text.trim_matches(|c: char| c.is_whitespace() || QUOTES.contains(c));
    let scheme = text.get(..SCHEME.len());
    match (scheme, text.get(SCHEME.len()..)) {
        (Some(scheme), Some(code)) if scheme.eq_ignore_ascii_case(SCHEME) => {
            InviteCode::from_link(code).map(InviteText::Link)
        }
        _ => {
            let entropy = words::decode::<16>(text)?;
            Ok(InviteText::Words(InviteSecret(*entropy)))
        }
    }
}

pub use super::resolver::Role;

/// Whom an invite is for; fixed when it is made.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum InviteFor {
    /// One more device of a person who is in the family.
    Device {
        /// The person.
        person: PersonId,
    },
    /// The first device of a new person.
    Person {
        /// The person's id, random, chosen by the inviter.
        person: PersonId,
        /// What they may do.
        role: Role,
    },
    /// A device that belongs to nobody and stores ciphertext.
    Keeper,
}

impl InviteFor {
    /// The person in the newcomer's certificate; zero for a keeper.
    pub const fn person(&self) -> PersonId {
        match self {
            Self::Device { person } | Self::Person { person, .. } => *person,
            Self::Keeper => PersonId::ZERO,
        }
    }

    /// The kind in the newcomer's certificate.
    pub const fn kind(&self) -> DeviceKind {
        match self {
            Self::Device { .. } | Self::Person { .. } => DeviceKind::Device,
            Self::Keeper => DeviceKind::Keeper,
        }
    }
}

/// Why an invite admits nobody; told to the inviter, never to the other side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InviteRefusal {
    /// Its time is over.
    #[error("this invite has expired")]
    Expired,
    /// Someone has joined with it.
    #[error("this invite was already used")]
    Spent,
    /// Too many failed, or its words were refused.
    #[error("this invite was withdrawn after failed attempts")]
    Burned,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
enum Status {
    Live,
    Spent,
    Burned,
}

/// What the inviting device remembers of an invite, for ever.
///
/// It holds no secret: that is kept beside it while the invite is live and
/// wiped after. The caller makes each change durable before it acts on it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct InviteState {
    id: InviteId,
    invite_for: InviteFor,
    created: Timestamp,
    expires: Timestamp,
    failures: u32,
    status: Status,
}

impl InviteState {
    /// A live invite; `seconds` beyond [`limits::INVITE_SECONDS_MAX`] are cut.
    pub fn new(secret: &InviteSecret, invite_for: InviteFor, now: Timestamp, seconds: u64) -> Self {
        let lifetime = seconds.min(limits::INVITE_SECONDS_MAX) * 1000;
        Self {
            id: secret.id(),
            invite_for,
            created: now,
            expires: Timestamp(now.0.saturating_add(lifetime)),
            failures: 0,
            status: Status::Live,
        }
    }

    /// The invite's id.
    pub const fn id(&self) -> InviteId {
        self.id
    }

    /// Whom it is for.
    pub const fn invite_for(&self) -> InviteFor {
        self.invite_for
    }

    /// When it ends.
    pub const fn expires(&self) -> Timestamp {
        self.expires
    }

    /// Failed attempts so far.
    pub const fn failures(&self) -> u32 {
        self.failures
    }

    /// Whether a pairing may begin or go on now.
    ///
    /// A clock that stands well before the invite was made has been set back:
    /// the invite then counts as expired, so that no clock prolongs it.
    ///
    /// # Errors
    ///
    /// [`InviteRefusal`]; the other side hears nothing but the end of the stream.
    pub fn admit(&self, now: Timestamp) -> Result<(), InviteRefusal> {
        let set_back = now.0.saturating_add(limits::CLOCK_AHEAD_MS) < self.created.0;
        match self.status {
            Status::Spent => Err(InviteRefusal::Spent),
            Status::Burned => Err(InviteRefusal::Burned),
            Status::Live if set_back || now >= self.expires => Err(InviteRefusal::Expired),
            Status::Live => Ok(()),
        }
    }

    /// Counts a failed attempt; the fifth burns the invite.
    pub fn failed(&mut self) {
        self.failures = self.failures.saturating_add(1);
        if self.failures >= limits::INVITE_FAILURES {
            self.burn();
        }
    }

    /// Ends the invite without a newcomer. A spent one stays spent.
    pub fn burn(&mut self) {
        if self.status == Status::Live {
            self.status = Status::Burned;
        }
    }

    /// Uses the invite up; this must be durable before any key goes out.
    ///
    /// # Errors
    ///
    /// [`InviteRefusal`] when it is no longer live: of two who come at once,
    /// one is refused here.
    pub fn redeem(&mut self, now: Timestamp) -> Result<(), InviteRefusal> {
        self.admit(now)?;
        self.status = Status::Spent;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::crypto::SeededRng;

    const NOW: Timestamp = Timestamp(1_800_000_000_000);

    fn secret() -> InviteSecret {
        InviteSecret::generate(&mut SeededRng::from_seed([1; 32]))
    }

    fn code(count: usize) -> InviteCode {
        let addr = |i| Address::try_from(format!("/ip4/10.0.0.{i}/tcp/4001")).unwrap();
        InviteCode {
            family: SpaceId([2; 16]),
            inviter: DeviceId([3; 32]),
            secret: secret(),
            addrs: (0..count).map(addr).collect(),
        }
    }

    fn state() -> InviteState {
        InviteState::new(
            &secret(),
            InviteFor::Keeper,
            NOW,
            limits::INVITE_SECONDS_DEFAULT,
        )
    }

    #[test]
    fn a_link_round_trips() {
        for count in [0, 1, 3, limits::ADDRESSES] {
            let code = code(count);
            let link = code.link();
            assert!(link.bytes().all(|b| b.is_ascii_graphic() && b != b'%'));
            let Ok(InviteText::Link(read)) = parse(&link) else {
                panic!("not a link: {count}");
            };
            assert_eq!(read.family, code.family);
            assert_eq!(read.inviter, code.inviter);
            assert_eq!(*read.secret.to_bytes(), *code.secret.to_bytes());
            assert_eq!(read.addrs, code.addrs);
        }
    }

    #[test]
    fn the_longest_link_is_within_its_limit() {
        let addr = format!("/{}", "x".repeat(limits::ADDRESS_BYTES - 1));
        let mut code = code(0);
        code.addrs = vec![Address::try_from(addr).unwrap(); limits::ADDRESSES + 3];
        let link = code.link();
        assert!(link.len() <= limits::INVITE_LINK_BYTES);
        let Ok(InviteText::Link(read)) = parse(&link) else {
            panic!("not a link");
        };
        assert_eq!(read.addrs.len(), limits::ADDRESSES);
    }

    #[test]
    fn a_wrapped_or_shouted_link_is_still_read() {
        let link = code(2).link();
        let (scheme, rest) = link.split_at(SCHEME.len());
        let (a, b) = rest.split_at(40);
        let wrapped = format!("\n {}{a}\r\n  {b} \n", scheme.to_uppercase());
        assert!(parse(&wrapped).is_ok());
    }

    #[test]
    fn a_cut_or_changed_link_is_refused() {
        let link = code(1).link();
        for cut in SCHEME.len()..link.len() {
            assert_eq!(parse(&link[..cut]).err(), Some(InviteError::Link));
        }
        for at in SCHEME.len()..link.len() {
            for other in ['A', 'b', '9', '_', '=', '%'] {
                let mut changed = link.to_string();
                changed.replace_range(at..=at, &other.to_string());
                assert!(changed == *link || parse(&changed).is_err(), "{at} {other}");
            }
        }
    }

    #[test]
    fn a_newer_link_says_so() {
        let mut bytes = vec![VERSION + 1, 1, 2, 3];
        let sum = checksum(&bytes);
        bytes.extend_from_slice(&sum);
        let text = format!("{SCHEME}{}", data_encoding::BASE64URL_NOPAD.encode(&bytes));
        assert_eq!(parse(&text).err(), Some(InviteError::Version(2)));
    }

    #[test]
    fn words_round_trip_and_tell_what_is_wrong() {
        let words = secret().words();
        assert_eq!(words.split(' ').count(), limits::INVITE_WORDS);
        let Ok(InviteText::Words(read)) = parse(&words.to_uppercase()) else {
            panic!("not words");
        };
        assert_eq!(*read.to_bytes(), *secret().to_bytes());
        let short = words.rsplit_once(' ').unwrap().0;
        assert!(matches!(
            parse(short).err(),
            Some(InviteError::Words(WordsError::Count { .. }))
        ));
        let long = "a".repeat(limits::INVITE_LINK_BYTES + 1);
        assert_eq!(parse(&long).err(), Some(InviteError::TooLong));
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(text in ".{0,200}", bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(parse(&text).is_err());
            let mut signed = bytes.clone();
            signed.insert(0, VERSION);
            let sum = checksum(&signed);
            signed.extend_from_slice(&sum);
            for bytes in [bytes, signed] {
                let link = format!("{SCHEME}{}", data_encoding::BASE64URL_NOPAD.encode(&bytes));
                let _ = parse(&link);
            }
        }
    }

    #[test]
    fn what_follows_from_a_secret_differs_and_stays() {
        let secret = secret();
        let guest = secret.guest().id();
        assert_eq!(guest, InviteSecret(secret.0).guest().id());
        let other = InviteSecret::from_bytes([0; 16]);
        assert_ne!(secret.id(), other.id());
        assert_ne!(guest, other.guest().id());
        assert_ne!(*secret.psk(), *other.psk());
        assert_ne!(*secret.psk(), *secret.guest().to_bytes());
        let tag = secret.tag_key().announce([1; 8], 2);
        assert!(secret.tag_key().recognises(&tag) && !other.tag_key().recognises(&tag));
    }

    #[test]
    fn an_invite_works_once() {
        let mut state = state();
        assert_eq!(state.admit(NOW), Ok(()));
        assert_eq!(state.redeem(NOW), Ok(()));
        assert_eq!(state.redeem(NOW), Err(InviteRefusal::Spent));
        state.burn();
        let kept: InviteState = wire::decode(&wire::encode(&state), 256).unwrap();
        assert_eq!(kept.admit(NOW), Err(InviteRefusal::Spent));
        assert_eq!(kept, state);
    }

    #[test]
    fn the_fifth_failure_burns_it() {
        let mut state = state();
        for _ in 1..limits::INVITE_FAILURES {
            state.failed();
            assert_eq!(state.admit(NOW), Ok(()));
        }
        state.failed();
        assert_eq!(state.redeem(NOW), Err(InviteRefusal::Burned));
        assert_eq!(state.failures(), limits::INVITE_FAILURES);
    }

    #[test]
    fn it_ends_with_its_time_and_no_clock_prolongs_it() {
        let state = state();
        let last = Timestamp(state.expires().0 - 1);
        assert_eq!(state.admit(last), Ok(()));
        assert_eq!(state.admit(state.expires()), Err(InviteRefusal::Expired));
        assert_eq!(state.admit(Timestamp(NOW.0 - 1000)), Ok(()));
        let back = Timestamp(NOW.0 - limits::CLOCK_AHEAD_MS - 1);
        assert_eq!(state.admit(back), Err(InviteRefusal::Expired));
        let long = InviteState::new(&secret(), InviteFor::Keeper, NOW, u64::MAX);
        assert_eq!(long.expires().0 - NOW.0, limits::INVITE_SECONDS_MAX * 1000);
    }
}
