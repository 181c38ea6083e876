//! The conversation in which an invite is used, as two state machines without IO.
//!
//! [`Inviter`] and [`Joiner`] are fed what happened and drained of what to do.
//! A frame is at most [`limits::PAIRING_MESSAGE_BYTES`]; the caller puts its
//! length before it and sets the timeouts.
//!
//! ```text
//! joiner                                                   inviter
//!   invite id[8] || noise 1: e                      ->       knows the code, or it failed
//!   <- noise 2: e, s, (Offer, commitment)                    Offered
//!   accept; noise 3: s, (Newcomer, commitment)      ->
//!   <- Reveal nonce
//!   Reveal nonce                                    ->       Words, both screens
//!   approve; Consent: signatures, kit               ->       approve
//!                                                            Spend, durable; Admit, durable
//!   <- Begin length, chunks                                  the payload, opaque here
//!   durable; Stored                                 ->       Done
//! ```
//!
//! Construction: `Noise_XXpsk0_25519_ChaChaPoly_BLAKE2s`; the pre-shared key
//! follows from the code, the static keys are the devices' sealing keys.
//! Prologue: `"heirloom/pair/v1" || invite id[8] || joiner's outer id[32] ||
//! inviter's outer id[32]`, the identities of the connection beneath; the
//! joiner's is the guest that follows from the code. With psk0 a stranger is
//! turned away at the first message and never sees the inviter's key.
//!
//! Commitment: `derive("pair commit", side u8 || nonce[32])`, side 0 for the
//! inviter and 1 for the joiner. Words: 44 bits of `derive("pair words",
//! handshake hash[32] || inviter's nonce || joiner's nonce)`. Both sides are
//! bound to their nonce before either sees the other's, so whoever stands
//! between two people who know the code gets one try in 2^44, not a search.
//!
//! After the handshake a frame is one Noise transport message; its plaintext is
//! a byte 0 and an encoded message, or a byte 1 and a piece of the payload.
//!
//! # When the connection is lost
//!
//! | lost | inviter | joiner |
//! |---|---|---|
//! | before the first message | nothing happened | nothing happened, try again |
//! | before the words | one failed attempt | nothing happened, try again |
//! | before the joiner approved | the code lives on | nothing happened, try again |
//! | between consent and `Admit` | if `Spend` was asked for the code is gone, nobody joined | may be a member |
//! | after `Admit` | the newcomer is a member | may be a member |
//! | after the payload came whole | the newcomer is a member | is a member |
//!
//! A joiner who may be a member keeps its keys and connects to the inviter under
//! its own identity: if it is a member, ordinary sync brings the rest, since its
//! certificate and the keys sealed to it are in the control log. If it is turned
//! away it asks for a new code. Nothing is ever resumed inside a pairing.

mod inviter;
mod joiner;
mod message;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

pub use inviter::{Inviter, InviterInput, InviterOutput};
pub use joiner::{AcceptError, Acceptance, Joiner, JoinerInput, JoinerOutput};

use super::consent::{Certificate, KitProof};
use super::invite::InviteFor;
use crate::crypto::Signature;
use crate::id::{DeviceId, FamilyId};
use crate::limits;

/// What the inviter says before the joiner has said who it is.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Offer {
    /// The family.
    pub family: FamilyId,
    /// What the invite is for.
    pub invite_for: InviteFor,
    /// The family's name.
    pub family_name: String,
    /// The name of the person who invites.
    pub inviter_name: String,
    /// The name of the inviting device.
    pub inviter_device: String,
    /// The name of the person who is to join, as the inviter calls them; a keeper's is its own.
    pub person_name: String,
}

/// A name in the offer is none, see [`is_name`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a name in the offer is blank, too long or has control characters")]
pub struct OfferError;

impl Offer {
    fn is_within_limits(&self) -> bool {
        [
            &self.family_name,
            &self.inviter_name,
            &self.inviter_device,
            &self.person_name,
        ]
        .into_iter()
        .all(|name| is_name(name))
    }
}

/// What the joiner says of itself before the words.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Newcomer {
    /// Its signing key.
    pub device: DeviceId,
    /// Its name.
    pub device_name: String,
    /// What a new person calls themselves; none for a device of a member and for a keeper.
    pub person_name: Option<String>,
}

impl Newcomer {
    fn fits(&self, invite_for: InviteFor) -> bool {
        let new_person = matches!(invite_for, InviteFor::Person { .. });
        is_name(&self.device_name)
            && self.person_name.is_some() == new_person
            && self.person_name.as_deref().is_none_or(is_name)
    }
}

/// Whether a text may stand as a name: not blank, no control characters, within [`limits::NAME_BYTES`].
pub fn is_name(text: &str) -> bool {
    text.len() <= limits::NAME_BYTES
        && !text.trim().is_empty()
        && !text.chars().any(char::is_control)
}

/// Everything the inviter writes into the control log; all of it has been verified.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Admission {
    /// What the invite was for.
    pub invite_for: InviteFor,
    /// Names and signing key.
    pub newcomer: Newcomer,
    /// The certificate to write.
    pub certificate: Certificate,
    /// The device's consent to it.
    pub device_sig: Signature,
    /// A new person's kit and its proof, if they want one; none otherwise.
    pub kit: Option<KitProof>,
}

/// What a newcomer receives: bytes that are opaque here, at most [`limits::PAIRING_PAYLOAD_BYTES`].
pub struct Payload(Zeroizing<Vec<u8>>);

impl Payload {
    /// `None` for more bytes than a newcomer would take.
    pub fn new(bytes: Zeroizing<Vec<u8>>) -> Option<Self> {
        Self::fits(bytes.len()).then_some(Self(bytes))
    }

    const fn fits(length: usize) -> bool {
        length <= limits::PAIRING_PAYLOAD_BYTES
    }
}

/// How a pairing ended on this side.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// The newcomer has everything and has said so.
    Done,
    /// A person on the other side said no. Nobody joined.
    Refused,
    /// A person on this side said no, or this side could not go on.
    Withdrawn,
    /// The connection ended. Nobody joined.
    Lost,
    /// It ended after the newcomer became or may have become a member.
    LostLate,
    /// The other side sent what no device of ours sends: a wrong code, damage or an attack.
    Broken,
}
