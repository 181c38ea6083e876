//! The side of a pairing that made the code.

use std::collections::VecDeque;

use rand_core::CryptoRng;

use super::message::{
    Broken, Channel, Consent, Ends, Handshake, Heard, ID_BYTES, Message, Nonce, Side, check_words,
    commitment,
};
use super::{Admission, Newcomer, Offer, OfferError, Outcome, Payload};
use crate::crypto::{DeviceKeys, SealPublic, SignKind, sign::verify};
use crate::family::consent::Certificate;
use crate::family::invite::{InviteFor, InviteId, InviteSecret};
use crate::id::DeviceId;
use crate::limits::PAIRING_CHUNK_BYTES;

/// Something that happened, on the inviter's side.
pub enum InviterInput {
    /// A frame arrived.
    Frame(Vec<u8>),
    /// The person here says that the words are the same on both screens.
    Approve,
    /// The person here says no, or this side cannot go on. Taken at any time.
    Refuse,
    /// That the invite is spent is durable; answers [`InviterOutput::Spend`].
    Spent,
    /// The newcomer's certificate is durable; answers [`InviterOutput::Admit`].
    Admitted(Payload),
    /// The connection is gone, or took too long.
    Lost,
}

/// Something to do, on the inviter's side, in this order.
pub enum InviterOutput {
    /// Send a frame.
    Send(Vec<u8>),
    /// Count a failed attempt against the invite, durably: [`InviteState::failed`](crate::family::invite::InviteState::failed).
    Failed,
    /// End the invite: the words were refused here, so somebody else may have the code.
    Burn,
    /// Show the words and ask whether they are the same on the other screen.
    Words {
        /// The words.
        words: [&'static str; 4],
        /// Who claims to join.
        newcomer: Newcomer,
    },
    /// Make durable that the invite is spent, then [`InviterInput::Spent`].
    ///
    /// When [`InviteState::redeem`](crate::family::invite::InviteState::redeem)
    /// says no, answer [`InviterInput::Refuse`].
    Spend,
    /// Write the newcomer into the control log durably, then [`InviterInput::Admitted`].
    Admit(Box<Admission>),
    /// The end; nothing follows.
    Closed(Outcome),
}

/// A pairing under way.
struct Talk {
    channel: Channel,
    hash: [u8; 32],
    newcomer: Newcomer,
    seal: SealPublic,
    commitment: [u8; 32],
}

enum State {
    /// Waits for the first handshake message.
    Start(Box<Handshake>),
    /// Has seen a first message; waits for the third if it was right.
    Offered(Box<Handshake>),
    /// Waits for the joiner's nonce.
    Revealed(Box<Talk>),
    /// Waits for two people.
    Deciding {
        talk: Box<Talk>,
        approved: bool,
        admission: Option<Box<Admission>>,
    },
    /// Waits until the invite is spent.
    Spending {
        channel: Box<Channel>,
        admission: Box<Admission>,
    },
    /// Waits until the newcomer is in the log.
    Admitting(Box<Channel>),
    /// Sends the payload, then waits for the receipt.
    Sending {
        channel: Box<Channel>,
        payload: Payload,
        sent: usize,
    },
    Closed,
}

/// The inviter's side of one pairing.
///
/// Feed it with [`handle`](Self::handle) and drain [`poll`](Self::poll). Inputs
/// that do not belong to the present state are ignored, but for frames: an
/// unexpected one ends the pairing.
pub struct Inviter {
    state: State,
    outputs: VecDeque<InviterOutput>,
    invite: InviteId,
    device: DeviceId,
    offer: Offer,
    nonce: Nonce,
}

impl Inviter {
    /// The invite that a first frame is about, so that the caller can look it up.
    pub fn invite_of(frame: &[u8]) -> Option<InviteId> {
        frame.first_chunk::<ID_BYTES>().copied().map(InviteId)
    }

    /// Starts waiting for the first frame.
    ///
    /// The caller has asked [`InviteState::admit`](crate::family::invite::InviteState::admit).
    /// `guest` is the identity of the connection's other end, as that
    /// connection has authenticated it; `rng` must be hedged.
    ///
    /// # Errors
    ///
    /// [`OfferError`] for a name that the joiner would refuse.
    pub fn new(
        secret: &InviteSecret,
        keys: &DeviceKeys,
        guest: DeviceId,
        offer: Offer,
        rng: &mut impl CryptoRng,
    ) -> Result<Self, OfferError> {
        if !offer.is_within_limits() {
            return Err(OfferError);
        }
        let ends = Ends {
            invite: secret.id(),
            joiner: guest,
            inviter: keys.device_id(),
        };
        let mut nonce = [0; 32];
        rng.fill_bytes(&mut nonce);
        let handshake = Handshake::new(Side::Inviter, secret, &keys.seal, &ends, rng);
        Ok(Self {
            state: State::Start(Box::new(handshake)),
            outputs: VecDeque::new(),
            invite: ends.invite,
            device: ends.inviter,
            offer,
            nonce,
        })
    }

    /// Takes the next thing to do, or `None` when the pairing waits for input.
    ///
    /// The payload is cut and encrypted here, a piece for each call.
    pub fn poll(&mut self) -> Option<InviterOutput> {
        if self.outputs.is_empty() {
            self.send_chunk();
        }
        self.outputs.pop_front()
    }

    /// Feeds the pairing one event.
    pub fn handle(&mut self, input: InviterInput) {
        match input {
            InviterInput::Frame(frame) => {
                if self.hear(&frame).is_err() {
                    self.end(Outcome::Broken);
                }
            }
            InviterInput::Approve => {
                if let State::Deciding { approved, .. } = &mut self.state {
                    *approved = true;
                }
                self.spend_when_agreed();
            }
            InviterInput::Refuse => self.refuse(),
            InviterInput::Spent => match std::mem::replace(&mut self.state, State::Closed) {
                State::Spending { channel, admission } => {
                    self.outputs.push_back(InviterOutput::Admit(admission));
                    self.state = State::Admitting(channel);
                }
                other => self.state = other,
            },
            InviterInput::Admitted(payload) => self.begin(payload),
            InviterInput::Lost => self.end(Outcome::Lost),
        }
    }

    fn hear(&mut self, frame: &[u8]) -> Result<(), Broken> {
        match &self.state {
            State::Start(_) => self.offer(frame),
            State::Offered(_) => self.reveal(frame),
            State::Closed => Ok(()),
            _ => self.converse(frame),
        }
    }

    fn offer(&mut self, frame: &[u8]) -> Result<(), Broken> {
        if let State::Start(handshake) = std::mem::replace(&mut self.state, State::Closed) {
            self.state = State::Offered(handshake);
        }
        let State::Offered(handshake) = &mut self.state else {
            return Err(Broken);
        };
        let (id, first) = frame.split_first_chunk::<ID_BYTES>().ok_or(Broken)?;
        if *id != self.invite.0 || !handshake.read(first)?.is_empty() {
            return Err(Broken);
        }
        let bound = commitment(Side::Inviter, &self.nonce);
        let frame = handshake.write_value(&(&self.offer, bound))?;
        self.outputs.push_back(InviterOutput::Send(frame));
        Ok(())
    }

    fn reveal(&mut self, frame: &[u8]) -> Result<(), Broken> {
        let State::Offered(handshake) = &mut self.state else {
            return Err(Broken);
        };
        let (newcomer, commitment) = handshake.read_value::<(Newcomer, [u8; 32])>(frame)?;
        let seal = handshake.remote_seal()?;
        if !newcomer.fits(self.offer.invite_for) || newcomer.device == self.device {
            return Err(Broken);
        }
        if let State::Offered(handshake) = std::mem::replace(&mut self.state, State::Closed) {
            let (channel, hash) = handshake.finish();
            self.state = State::Revealed(Box::new(Talk {
                channel,
                hash,
                newcomer,
                seal,
                commitment,
            }));
        }
        self.say(&Message::Reveal(self.nonce))
    }

    fn converse(&mut self, frame: &[u8]) -> Result<(), Broken> {
        let Some(channel) = self.channel() else {
            return Err(Broken);
        };
        let Heard::Message(message) = channel.open(frame)? else {
            return Err(Broken);
        };
        match message {
            Message::Reveal(nonce) => self.show_words(&nonce),
            Message::Consent(consent) => self.consent(*consent),
            Message::Refuse => {
                self.end(Outcome::Refused);
                Ok(())
            }
            Message::Stored => self.done(),
            Message::Begin(_) => Err(Broken),
        }
    }

    fn show_words(&mut self, theirs: &Nonce) -> Result<(), Broken> {
        let State::Revealed(talk) = &self.state else {
            return Err(Broken);
        };
        if commitment(Side::Joiner, theirs) != talk.commitment {
            return Err(Broken);
        }
        self.outputs.push_back(InviterOutput::Words {
            words: check_words(&talk.hash, &self.nonce, theirs),
            newcomer: talk.newcomer.clone(),
        });
        if let State::Revealed(talk) = std::mem::replace(&mut self.state, State::Closed) {
            self.state = State::Deciding {
                talk,
                approved: false,
                admission: None,
            };
        }
        Ok(())
    }

    fn consent(&mut self, consent: Consent) -> Result<(), Broken> {
        let State::Deciding {
            talk, admission, ..
        } = &mut self.state
        else {
            return Err(Broken);
        };
        if admission.is_some() {
            return Err(Broken);
        }
        let checked = check_consent(&self.offer, talk, consent)?;
        *admission = Some(Box::new(checked));
        self.spend_when_agreed();
        Ok(())
    }

    fn spend_when_agreed(&mut self) {
        match std::mem::replace(&mut self.state, State::Closed) {
            State::Deciding {
                talk,
                approved: true,
                admission: Some(admission),
            } => {
                self.outputs.push_back(InviterOutput::Spend);
                let channel = Box::new(talk.channel);
                self.state = State::Spending { channel, admission };
            }
            other => self.state = other,
        }
    }

    fn begin(&mut self, payload: Payload) {
        match std::mem::replace(&mut self.state, State::Closed) {
            State::Admitting(channel) => {
                let length = u64::try_from(payload.0.len()).expect("a payload is bounded");
                self.state = State::Sending {
                    channel,
                    payload,
                    sent: 0,
                };
                if self.say(&Message::Begin(length)).is_err() {
                    self.end(Outcome::Broken);
                }
            }
            other => self.state = other,
        }
    }

    fn send_chunk(&mut self) {
        let State::Sending {
            channel,
            payload,
            sent,
        } = &mut self.state
        else {
            return;
        };
        let rest = &payload.0[*sent..];
        let chunk = &rest[..rest.len().min(PAIRING_CHUNK_BYTES)];
        if chunk.is_empty() {
            return;
        }
        match channel.seal_chunk(chunk) {
            Ok(frame) => {
                *sent += chunk.len();
                self.outputs.push_back(InviterOutput::Send(frame));
            }
            Err(Broken) => self.end(Outcome::Broken),
        }
    }

    fn done(&mut self) -> Result<(), Broken> {
        match &self.state {
            State::Sending { payload, sent, .. } if *sent == payload.0.len() => {
                self.close(Outcome::Done);
                Ok(())
            }
            _ => Err(Broken),
        }
    }

    fn channel(&mut self) -> Option<&mut Channel> {
        match &mut self.state {
            State::Revealed(talk) | State::Deciding { talk, .. } => Some(&mut talk.channel),
            State::Spending { channel, .. }
            | State::Admitting(channel)
            | State::Sending { channel, .. } => Some(channel),
            State::Start(_) | State::Offered(_) | State::Closed => None,
        }
    }

    fn say(&mut self, message: &Message) -> Result<(), Broken> {
        let channel = self.channel().ok_or(Broken)?;
        let frame = channel.seal(message)?;
        self.outputs.push_back(InviterOutput::Send(frame));
        Ok(())
    }

    fn refuse(&mut self) {
        if matches!(self.state, State::Closed) {
            return;
        }
        // The words stay in doubt even if the channel fails now.
        let _ = self.say(&Message::Refuse);
        if matches!(self.state, State::Deciding { .. }) {
            self.outputs.push_back(InviterOutput::Burn);
        }
        self.close(Outcome::Withdrawn);
    }

    /// Ends it from outside this side: what that means depends on how far it came.
    fn end(&mut self, outcome: Outcome) {
        let failed = match &self.state {
            State::Closed => return,
            State::Start(_) => false,
            State::Offered(_) | State::Revealed(_) => true,
            State::Deciding { .. } => outcome == Outcome::Broken,
            // The code is used up or about to be.
            State::Spending { .. } => false,
            State::Admitting(_) | State::Sending { .. } => {
                return self.close(Outcome::LostLate);
            }
        };
        if failed {
            self.outputs.push_back(InviterOutput::Failed);
        }
        self.close(outcome);
    }

    fn close(&mut self, outcome: Outcome) {
        self.state = State::Closed;
        self.outputs.push_back(InviterOutput::Closed(outcome));
    }
}

fn check_consent(offer: &Offer, talk: &Talk, consent: Consent) -> Result<Admission, Broken> {
    let invite_for = offer.invite_for;
    let device = talk.newcomer.device;
    let certificate = Certificate {
        person: invite_for.person(),
        device,
        seal: talk.seal,
        kind: invite_for.kind(),
    };
    certificate
        .verify(&offer.family, &consent.device_sig)
        .map_err(|_| Broken)?;
    verify(
        &device,
        SignKind::Pair,
        &offer.family,
        &talk.hash,
        &consent.pair_sig,
    )
    .map_err(|_| Broken)?;
    match (invite_for, &consent.kit) {
        // A key that serves as kit and as device is void in the control log.
        (InviteFor::Person { person, .. }, Some(kit)) if kit.sign != device => {
            kit.verify(&offer.family, &person).map_err(|_| Broken)?;
        }
        (_, None) => {}
        _ => return Err(Broken),
    }
    Ok(Admission {
        invite_for,
        newcomer: talk.newcomer.clone(),
        certificate,
        device_sig: consent.device_sig,
        kit: consent.kit,
    })
}
