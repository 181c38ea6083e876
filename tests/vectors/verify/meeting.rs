//! Invites, pairing, discovery.

use heirloom_protocol::{
    carry::{Manifest, SpaceRow, read_list},
    crypto::{
        DeviceKeys, EpochKey, Purpose, RecoveryKit, SeededRng, SignedBytes, derive,
        sign::{SignError, Signed, Statement},
        words,
    },
    discovery::{
        Announcement, KitTagKey, NetTagKey,
        gossip::{Beacon, Head},
    },
    family::{
        consent::KitProof,
        invite::{self, InviteError, InviteFor, InviteSecret, InviteText},
        pairing::{
            Acceptance, Inviter, InviterInput, InviterOutput, Joiner, JoinerInput, JoinerOutput,
            Offer, Outcome, Payload,
        },
    },
    id::{DeviceId, FamilyId, PersonId},
    limits,
    sync::have,
    wire,
};

use super::{Checked, agree, decode, identity::bad_words, same};
use crate::case::{Case, Class};

fn bad_invite(error: InviteError) -> Class {
    match error {
        InviteError::Words(error) => bad_words(error),
        InviteError::Link => Class::BadChain,
        InviteError::Version(_) => Class::UnknownVersion,
        InviteError::TooLong => Class::TooLarge,
    }
}

pub(super) fn invite_words(case: &Case) -> Checked {
    match invite::parse(case.string("words")).map_err(bad_invite)? {
        InviteText::Words(secret) => same(&case.bytes, secret.to_bytes().as_ref()),
        InviteText::Link(_) => Err(Class::NotCanonical),
    }
}

pub(super) fn invite_link(case: &Case) -> Checked {
    match invite::parse(case.string("link")).map_err(bad_invite)? {
        InviteText::Words(_) => Err(Class::NotCanonical),
        InviteText::Link(code) => {
            agree(code.family.0 == case.array("family"))?;
            agree(code.inviter.0 == case.array("inviter"))?;
            let addrs: Vec<&str> = code.addrs.iter().map(|addr| addr.as_str()).collect();
            agree(addrs.join(" ") == case.string("addresses"))?;
            same(&case.bytes, code.secret.to_bytes().as_ref())
        }
    }
}

pub(super) fn invite_keys(case: &Case) -> Checked {
    let secret: [u8; 16] = case.array("secret");
    let guest = InviteSecret::from_bytes(secret);
    let keys = [
        &guest.id().0[..],
        &derive(Purpose::InvitePsk, &[&secret]),
        &guest.guest().id().0,
        &derive(Purpose::InviteTag, &[&secret]),
    ];
    same(&case.bytes, &keys.concat())
}

pub(super) fn commitment(case: &Case) -> Checked {
    let side = [case.value("side")];
    let nonce: [u8; 32] = case.array("nonce");
    same(&case.bytes, &derive(Purpose::PairCommit, &[&side, &nonce]))
}

pub(super) fn pairing_words(case: &Case) -> Checked {
    let hash = derive(Purpose::PairWords, &[&case.bytes]);
    agree(words::phrase::<4>(&hash).join(" ") == case.string("words"))
}

fn device_keys(case: &Case, who: &str) -> DeviceKeys {
    let name = |part: &str| format!("{who} {part}");
    let sign: [u8; 32] = case.array(&name("sign secret"));
    let seal: [u8; 32] = case.array(&name("seal secret"));
    let mut secret = [0; 64];
    secret[..32].copy_from_slice(&sign);
    secret[32..].copy_from_slice(&seal);
    DeviceKeys::from_secret_bytes(&secret)
}

/// Both sides of a pairing, made from what a vector says of them.
struct Table<'a> {
    case: &'a Case,
    inviter: Inviter,
    joiner: Joiner,
    /// Frames as the vector has them, and how many were delivered.
    frames: Vec<Vec<u8>>,
    next: usize,
    /// A frame that the machines would have sent otherwise.
    differs: bool,
    words: Vec<String>,
    ends: Vec<Outcome>,
}

impl<'a> Table<'a> {
    fn new(case: &'a Case, frames: Vec<Vec<u8>>) -> Self {
        let secret = InviteSecret::from_bytes(case.array("secret"));
        let inviter_keys = device_keys(case, "inviter");
        let joiner_keys = device_keys(case, "joiner");
        let offer: Offer = wire::decode(&case.raw("offer"), 4096).unwrap();
        let mut rng = SeededRng::from_seed(case.array("inviter rng"));
        let guest = DeviceId(case.array("outer joiner"));
        let inviter = Inviter::new(&secret, &inviter_keys, guest, offer, &mut rng);
        let mut rng = SeededRng::from_seed(case.array("joiner rng"));
        let outer = DeviceId(case.array("outer inviter"));
        let joiner = Joiner::new(&secret, &joiner_keys, outer, None, &mut rng);
        Self {
            case,
            inviter: inviter.unwrap(),
            joiner,
            frames,
            next: 0,
            differs: false,
            words: Vec::new(),
            ends: Vec::new(),
        }
    }

    /// The frame of the vector where a side sends its own.
    fn swap(&mut self, sent: &[u8]) -> Option<Vec<u8>> {
        let frame = self.frames.get(self.next).cloned();
        self.next += 1;
        self.differs |= frame.as_deref() != Some(sent);
        frame
    }

    fn accept(&mut self, offer: &Offer) {
        let person = match offer.invite_for {
            InviteFor::Person { person, .. } => Some(person),
            _ => None,
        };
        let words = person.and_then(|_| self.case.field("kit words"));
        let kit = words.zip(person).map(|(words, person): (_, PersonId)| {
            let kit = RecoveryKit::from_words(words).unwrap();
            KitProof::make(&kit, &offer.family, &person)
        });
        let name = |of: Option<PersonId>| of.map(|_| self.case.string("person name").to_owned());
        let accepted = self.joiner.accept(Acceptance {
            device_name: self.case.string("device name").to_owned(),
            person_name: name(person),
            kit,
        });
        assert_eq!(accepted, Ok(()));
    }

    fn run(&mut self) {
        loop {
            if let Some(output) = self.joiner.poll() {
                self.joiner_does(output);
            } else if let Some(output) = self.inviter.poll() {
                self.inviter_does(output);
            } else {
                return;
            }
        }
    }

    fn joiner_does(&mut self, output: JoinerOutput) {
        match output {
            JoinerOutput::Send(sent) => {
                if let Some(frame) = self.swap(&sent) {
                    self.inviter.handle(InviterInput::Frame(frame));
                }
            }
            JoinerOutput::Offered { offer, .. } => self.accept(&offer),
            JoinerOutput::Words(words) => {
                self.words.push(words.join(" "));
                self.joiner.handle(JoinerInput::Approve);
            }
            JoinerOutput::Complete => self.joiner.handle(JoinerInput::Stored),
            JoinerOutput::Payload(_) => {}
            JoinerOutput::Closed(outcome) => self.ends.push(outcome),
        }
    }

    fn inviter_does(&mut self, output: InviterOutput) {
        match output {
            InviterOutput::Send(sent) => {
                if let Some(frame) = self.swap(&sent) {
                    self.joiner.handle(JoinerInput::Frame(frame));
                }
            }
            InviterOutput::Words { words, .. } => {
                self.words.push(words.join(" "));
                self.inviter.handle(InviterInput::Approve);
            }
            InviterOutput::Spend => self.inviter.handle(InviterInput::Spent),
            InviterOutput::Admit(_) => {
                let payload = Payload::new(self.case.raw("payload").into()).unwrap();
                self.inviter.handle(InviterInput::Admitted(payload));
            }
            InviterOutput::Failed | InviterOutput::Burn => {}
            InviterOutput::Closed(outcome) => self.ends.push(outcome),
        }
    }
}

pub(super) fn pairing(case: &Case) -> Checked {
    let frames: Vec<Vec<u8>> = decode(&case.bytes, wire::MAX_BYTES)?;
    let mut table = Table::new(case, frames);
    table.run();
    if table.ends.contains(&Outcome::Broken) || table.ends.contains(&Outcome::LostLate) {
        return Err(Class::WrongKey);
    }
    if table.ends != [Outcome::Done; 2] {
        return Err(Class::Truncated);
    }
    let words = case.string("words");
    agree(!table.differs && table.next == table.frames.len())?;
    agree(table.words == [words, words])
}

pub(super) fn tag(case: &Case) -> Checked {
    let nonce = case.array("nonce");
    let port = case.value("port");
    let heard = match case.string("for") {
        "member" => NetTagKey::new(&EpochKey::from_bytes(case.array("key"))).announce(
            &DeviceId(case.array("device")),
            nonce,
            port,
        ),
        "invite" => InviteSecret::from_bytes(case.array("key"))
            .tag_key()
            .announce(nonce, port),
        _ => KitTagKey::new(&DeviceId(case.array("key"))).announce(nonce, port),
    };
    same(&case.bytes, &heard.tag)
}

pub(super) fn txt(case: &Case) -> Checked {
    let heard = Announcement::from_txt(case.string("n"), case.string("t"), 1);
    let heard = heard.ok_or(Class::NotCanonical)?;
    same(&case.bytes, &[&heard.nonce[..], &heard.tag].concat())
}

fn statement<T: Statement>(case: &Case) -> Checked {
    let raw: SignedBytes = decode(&case.bytes, wire::MAX_BYTES)?;
    let family = FamilyId(case.array("family"));
    let value = Signed::<T>::verify(&family, raw.clone()).map_err(|error| match error {
        SignError::BadSignature => Class::BadSignature,
        SignError::OutOfBounds => Class::TooLarge,
        SignError::Wire(_) => decode::<T>(&raw.bytes, T::LIMIT)
            .err()
            .expect("it did not decode before"),
    })?;
    agree(value.value().signer() == DeviceId(case.array("signer")))
}

pub(super) fn beacon(case: &Case) -> Checked {
    statement::<Beacon>(case)?;
    let raw: SignedBytes = decode(&case.bytes, wire::MAX_BYTES)?;
    let beacon: Beacon = decode(&raw.bytes, limits::BEACON_BYTES)?;
    let addrs: Vec<&str> = beacon.addrs.iter().map(|addr| addr.as_str()).collect();
    agree(addrs.join(" ") == case.string("addresses"))
}

pub(super) fn head(case: &Case) -> Checked {
    statement::<Head>(case)
}

pub(super) fn manifest(case: &Case) -> Checked {
    statement::<Manifest>(case)?;
    let raw: SignedBytes = decode(&case.bytes, wire::MAX_BYTES)?;
    let manifest: Manifest = decode(&raw.bytes, limits::MANIFEST_BYTES)?;
    let parts = manifest.entries.iter().chain(&manifest.lists);
    let numbers: Vec<_> = parts.map(|part| part.number.to_string()).collect();
    agree(numbers.join(" ") == case.string("numbers"))
}

pub(super) fn list(case: &Case) -> Checked {
    let _: Vec<SpaceRow> = decode(&case.bytes, limits::FRAME_BYTES)?;
    let rows = read_list(&case.bytes).ok_or(Class::TooLarge)?;
    let row = &rows[0].logs[0];
    let bits = have::decode(&row.blobs).map_err(|_| Class::NotCanonical)?;
    let (first, last) = (bits.min().unwrap(), bits.max().unwrap());
    agree(case.string("ranges") == format!("{}-{} {first}-{last}", row.first, row.end))
}
