//! The side of a pairing that was given the code.

use std::collections::VecDeque;

use rand_core::CryptoRng;
use zeroize::Zeroizing;

use super::message::{
    Broken, Channel, Consent, Ends, Handshake, Heard, Message, Nonce, Side, check_words, commitment,
};
use super::{Newcomer, Offer, Outcome};
use crate::crypto::{DeviceKeys, SealPublic, SignKind, sign::sign};
use crate::family::consent::{Certificate, KitProof};
use crate::family::invite::{InviteFor, InviteSecret};
use crate::id::{DeviceId, SpaceId};
use crate::limits::PAIRING_PAYLOAD_BYTES;

/// Something that happened, on the joiner's side.
pub enum JoinerInput {
    /// A frame arrived.
    Frame(Vec<u8>),
    /// The person here says that the words are the same on both screens.
    Approve,
    /// The person here says no. Taken at any time; after approving it may be too late.
    Refuse,
    /// The whole payload is durable; answers [`JoinerOutput::Complete`].
    Stored,
    /// The connection is gone, or took too long.
    Lost,
}

/// Something to do, on the joiner's side, in this order.
pub enum JoinerOutput {
    /// Send a frame.
    Send(Vec<u8>),
    /// Show who invites to what, then call [`Joiner::accept`].
    Offered {
        /// What the inviter says.
        offer: Box<Offer>,
        /// The inviter's sealing key; its certificate in the control log must name the same.
        inviter_seal: SealPublic,
    },
    /// Show the words and ask whether they are the same on the other screen.
    Words([&'static str; 4]),
    /// A piece of the payload, in order.
    Payload(Zeroizing<Vec<u8>>),
    /// The payload is whole: make it durable, then [`JoinerInput::Stored`].
    Complete,
    /// The end; nothing follows.
    Closed(Outcome),
}

/// What the person here answers to an offer.
pub struct Acceptance {
    /// The name of this device.
    pub device_name: String,
    /// What a new person calls themselves; asked of nobody else.
    pub person_name: Option<String>,
    /// A new person's recovery kit, proved for the person and family of the offer; `None` for one who wants none.
    pub kit: Option<KitProof>,
}

/// Why an acceptance is not sent; the offer still stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AcceptError {
    /// There is no offer to accept.
    #[error("no offer to accept")]
    NoOffer,
    /// A name is blank, too long or has control characters, or is not the one asked for.
    #[error("not a name for this")]
    Name,
    /// A kit without a proof for this offer, or for somebody who is no new person.
    #[error("not a recovery kit for this")]
    Kit,
}

enum State {
    /// Waits for the offer.
    Start(Box<Handshake>),
    /// Waits for a person to accept.
    Offered {
        handshake: Box<Handshake>,
        offer: Box<Offer>,
        commitment: [u8; 32],
    },
    /// Waits for the inviter's nonce.
    Named {
        channel: Box<Channel>,
        hash: [u8; 32],
        commitment: [u8; 32],
        consent: Box<Consent>,
    },
    /// Waits for the person here.
    Deciding {
        channel: Box<Channel>,
        consent: Box<Consent>,
    },
    /// Waits for admission.
    Consented(Box<Channel>),
    /// Takes the payload.
    Receiving {
        channel: Box<Channel>,
        left: usize,
    },
    /// Waits until the payload is durable.
    Storing(Box<Channel>),
    Closed,
}

/// The joiner's side of one pairing.
///
/// Feed it with [`handle`](Self::handle) and [`accept`](Self::accept) and drain
/// [`poll`](Self::poll). A wrong, used or expired code shows as the end of the
/// connection before the offer; the inviter does not say which.
pub struct Joiner {
    state: State,
    outputs: VecDeque<JoinerOutput>,
    family: Option<SpaceId>,
    nonce: Nonce,
    keys: DeviceKeys,
}

impl Joiner {
    /// Starts with the first frame ready to be sent.
    ///
    /// `keys` are this device's own, durable before; `inviter` is the identity
    /// of the connection's other end, as that connection has authenticated it;
    /// `family` is the one a link names, and an offer of another is refused.
    /// `rng` must be hedged.
    pub fn new(
        secret: &InviteSecret,
        keys: &DeviceKeys,
        inviter: DeviceId,
        family: Option<SpaceId>,
        rng: &mut impl CryptoRng,
    ) -> Self {
        let ends = Ends {
            invite: secret.id(),
            joiner: secret.guest().id(),
            inviter,
        };
        let mut nonce = [0; 32];
        rng.fill_bytes(&mut nonce);
        let mut handshake = Handshake::new(Side::Joiner, secret, &keys.seal, &ends, rng);
        let first = handshake.write(&[]);
        let mut joiner = Self {
            state: State::Start(Box::new(handshake)),
            outputs: VecDeque::new(),
            family,
            nonce,
            // A copy of its own, so that what is signed fits the handshake whatever the caller does.
            keys: DeviceKeys::from_secret_bytes(&keys.to_secret_bytes()),
        };
        match first {
            Ok(first) => {
                let frame = [&ends.invite.0[..], &first].concat();
                joiner.outputs.push_back(JoinerOutput::Send(frame));
            }
            Err(Broken) => joiner.close(Outcome::Broken),
        }
        joiner
    }

    /// Takes the next thing to do, or `None` when the pairing waits for input.
    pub fn poll(&mut self) -> Option<JoinerOutput> {
        self.outputs.pop_front()
    }

    /// Feeds the pairing one event.
    pub fn handle(&mut self, input: JoinerInput) {
        match input {
            JoinerInput::Frame(frame) => {
                if self.hear(&frame).is_err() {
                    self.end(Outcome::Broken);
                }
            }
            JoinerInput::Approve => self.approve(),
            JoinerInput::Refuse => self.refuse(),
            JoinerInput::Stored => {
                if matches!(self.state, State::Storing(_)) {
                    // The receipt is a courtesy: the member is a member without it.
                    let _ = self.say(&Message::Stored);
                    self.close(Outcome::Done);
                }
            }
            JoinerInput::Lost => self.end(Outcome::Lost),
        }
    }

    /// Accepts the offer: says who joins, and signs what the certificate needs.
    ///
    /// The signatures leave this device only when the person approves the words.
    ///
    /// # Errors
    ///
    /// [`AcceptError`]; the offer still stands and can be accepted again.
    pub fn accept(&mut self, acceptance: Acceptance) -> Result<(), AcceptError> {
        let State::Offered { offer, .. } = &self.state else {
            return Err(AcceptError::NoOffer);
        };
        let (family, invite_for) = (offer.family, offer.invite_for);
        let newcomer = Newcomer {
            device: self.keys.device_id(),
            device_name: acceptance.device_name,
            person_name: acceptance.person_name,
        };
        if !newcomer.fits(invite_for) {
            return Err(AcceptError::Name);
        }
        match (invite_for, &acceptance.kit) {
            (InviteFor::Person { person, .. }, Some(kit)) if kit.sign != newcomer.device => {
                kit.verify(&family, &person).map_err(|_| AcceptError::Kit)?;
            }
            (_, None) => {}
            _ => return Err(AcceptError::Kit),
        }
        if self.name(&newcomer, acceptance.kit).is_err() {
            self.end(Outcome::Broken);
        }
        Ok(())
    }

    fn name(&mut self, newcomer: &Newcomer, kit: Option<KitProof>) -> Result<(), Broken> {
        let State::Offered { handshake, .. } = &mut self.state else {
            return Err(Broken);
        };
        let bound = commitment(Side::Joiner, &self.nonce);
        let frame = handshake.write_value(&(newcomer, bound))?;
        self.outputs.push_back(JoinerOutput::Send(frame));
        if let State::Offered {
            handshake,
            offer,
            commitment,
        } = std::mem::replace(&mut self.state, State::Closed)
        {
            let (channel, hash) = handshake.finish();
            let (person, kind) = (offer.invite_for.person(), offer.invite_for.kind());
            let certificate = Certificate::of(&self.keys, person, kind);
            let consent = Box::new(Consent {
                device_sig: certificate.sign(&self.keys, &offer.family),
                pair_sig: sign(&self.keys.sign, SignKind::Pair, &offer.family, &hash),
                kit,
            });
            self.state = State::Named {
                channel: Box::new(channel),
                hash,
                commitment,
                consent,
            };
        }
        Ok(())
    }

    fn hear(&mut self, frame: &[u8]) -> Result<(), Broken> {
        match &self.state {
            State::Start(_) => return self.consider(frame),
            State::Offered { .. } => return Err(Broken),
            State::Closed => return Ok(()),
            _ => {}
        }
        let channel = self.channel().ok_or(Broken)?;
        match channel.open(frame)? {
            Heard::Message(Message::Reveal(nonce)) => self.show_words(&nonce),
            Heard::Message(Message::Begin(length)) => self.begin(length),
            Heard::Message(Message::Refuse) => {
                self.close(Outcome::Refused);
                Ok(())
            }
            Heard::Message(Message::Consent(_) | Message::Stored) => Err(Broken),
            Heard::Chunk(chunk) => self.take(chunk),
        }
    }

    fn consider(&mut self, frame: &[u8]) -> Result<(), Broken> {
        let State::Start(handshake) = &mut self.state else {
            return Err(Broken);
        };
        let (offer, commitment) = handshake.read_value::<(Offer, [u8; 32])>(frame)?;
        let inviter_seal = handshake.remote_seal()?;
        let promised = self
            .family
            .is_none_or(|family| family == offer.family.control_space());
        if !promised || !offer.is_within_limits() {
            return Err(Broken);
        }
        let offer = Box::new(offer);
        if let State::Start(handshake) = std::mem::replace(&mut self.state, State::Closed) {
            self.state = State::Offered {
                handshake,
                offer: offer.clone(),
                commitment,
            };
        }
        self.outputs.push_back(JoinerOutput::Offered {
            offer,
            inviter_seal,
        });
        Ok(())
    }

    fn show_words(&mut self, theirs: &Nonce) -> Result<(), Broken> {
        let State::Named {
            hash,
            commitment: bound,
            ..
        } = &self.state
        else {
            return Err(Broken);
        };
        if commitment(Side::Inviter, theirs) != *bound {
            return Err(Broken);
        }
        let words = check_words(hash, theirs, &self.nonce);
        self.say(&Message::Reveal(self.nonce))?;
        self.outputs.push_back(JoinerOutput::Words(words));
        if let State::Named {
            channel, consent, ..
        } = std::mem::replace(&mut self.state, State::Closed)
        {
            self.state = State::Deciding { channel, consent };
        }
        Ok(())
    }

    fn approve(&mut self) {
        match std::mem::replace(&mut self.state, State::Closed) {
            State::Deciding { channel, consent } => {
                self.state = State::Consented(channel);
                if self.say(&Message::Consent(consent)).is_err() {
                    self.end(Outcome::Broken);
                }
            }
            other => self.state = other,
        }
    }

    fn begin(&mut self, length: u64) -> Result<(), Broken> {
        let left = usize::try_from(length).map_err(|_| Broken)?;
        if left > PAIRING_PAYLOAD_BYTES || !matches!(self.state, State::Consented(_)) {
            return Err(Broken);
        }
        if let State::Consented(channel) = std::mem::replace(&mut self.state, State::Closed) {
            self.state = State::Receiving { channel, left };
        }
        self.complete_when_whole();
        Ok(())
    }

    fn take(&mut self, chunk: Zeroizing<Vec<u8>>) -> Result<(), Broken> {
        let State::Receiving { left, .. } = &mut self.state else {
            return Err(Broken);
        };
        *left = left.checked_sub(chunk.len()).ok_or(Broken)?;
        self.outputs.push_back(JoinerOutput::Payload(chunk));
        self.complete_when_whole();
        Ok(())
    }

    fn complete_when_whole(&mut self) {
        match std::mem::replace(&mut self.state, State::Closed) {
            State::Receiving { channel, left: 0 } => {
                self.outputs.push_back(JoinerOutput::Complete);
                self.state = State::Storing(channel);
            }
            other => self.state = other,
        }
    }

    fn channel(&mut self) -> Option<&mut Channel> {
        match &mut self.state {
            State::Named { channel, .. }
            | State::Deciding { channel, .. }
            | State::Consented(channel)
            | State::Receiving { channel, .. }
            | State::Storing(channel) => Some(channel),
            State::Start(_) | State::Offered { .. } | State::Closed => None,
        }
    }

    fn say(&mut self, message: &Message) -> Result<(), Broken> {
        let channel = self.channel().ok_or(Broken)?;
        let frame = channel.seal(message)?;
        self.outputs.push_back(JoinerOutput::Send(frame));
        Ok(())
    }

    fn refuse(&mut self) {
        if matches!(self.state, State::Closed) {
            return;
        }
        // Before there is a channel the end of the connection says it.
        let _ = self.say(&Message::Refuse);
        self.close(Outcome::Withdrawn);
    }

    /// Ends it from outside this side: what that means depends on how far it came.
    fn end(&mut self, outcome: Outcome) {
        match &self.state {
            State::Closed => {}
            // The payload is whole: the connection is not needed any more.
            State::Storing(_) if outcome == Outcome::Lost => {}
            State::Consented(_) | State::Receiving { .. } | State::Storing(_) => {
                self.close(Outcome::LostLate);
            }
            _ => self.close(outcome),
        }
    }

    fn close(&mut self, outcome: Outcome) {
        self.state = State::Closed;
        self.outputs.push_back(JoinerOutput::Closed(outcome));
    }
}
