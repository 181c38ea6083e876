//! What the two sides say once they share a key, and the channel that carries it.

use rand_core::CryptoRng;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use snow::{HandshakeState, TransportState};
use zeroize::Zeroizing;

use crate::crypto::{Purpose, SealPublic, SealSecret, Signature, derive, noise, words};
use crate::family::consent::KitProof;
use crate::family::invite::{InviteId, InviteSecret};
use crate::id::DeviceId;
use crate::limits::{PAIRING_CHUNK_BYTES, PAIRING_MESSAGE_BYTES};
use crate::wire;

const PATTERN: &str = "Noise_XXpsk0_25519_ChaChaPoly_BLAKE2s";
const LABEL: &[u8] = b"heirloom/pair/v1";
const TAG_BYTES: usize = 16;
/// Most bytes of a handshake payload and of a message that is no chunk.
const CONTROL_BYTES: usize = 4096;

const CONTROL: u8 = 0;
const CHUNK: u8 = 1;

/// Bytes of the invite's id before the first handshake message.
pub(super) const ID_BYTES: usize = 8;

/// The other side sent something else than the protocol says; there is no finer answer.
pub(super) struct Broken;

pub(super) type Nonce = [u8; 32];

#[derive(Clone, Copy)]
pub(super) enum Side {
    Inviter,
    Joiner,
}

/// What binds a side to its nonce before the other side's is known.
pub(super) fn commitment(side: Side, nonce: &Nonce) -> [u8; 32] {
    let side = match side {
        Side::Inviter => 0,
        Side::Joiner => 1,
    };
    derive(Purpose::PairCommit, &[&[side], nonce])
}

/// The words that both screens show.
pub(super) fn check_words(hash: &[u8; 32], inviter: &Nonce, joiner: &Nonce) -> [&'static str; 4] {
    words::phrase(&derive(Purpose::PairWords, &[hash, inviter, joiner]))
}

#[derive(Serialize, Deserialize)]
pub(super) enum Message {
    /// The nonce that was committed to.
    Reveal(Nonce),
    /// The joiner's approval, and all that its certificate needs.
    Consent(Box<Consent>),
    /// A person said no.
    Refuse,
    /// The payload follows, of so many bytes.
    Begin(u64),
    /// The payload is durable.
    Stored,
}

#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Consent {
    pub(super) device_sig: Signature,
    /// Over the handshake hash: the signing key took part in this very conversation.
    pub(super) pair_sig: Signature,
    pub(super) kit: Option<KitProof>,
}

/// One decrypted frame.
pub(super) enum Heard {
    Message(Message),
    Chunk(Zeroizing<Vec<u8>>),
}

/// A Noise handshake under way.
pub(super) struct Handshake(HandshakeState);

/// The two ends of the connection beneath, and the invite it is about.
pub(super) struct Ends {
    pub(super) invite: InviteId,
    pub(super) joiner: DeviceId,
    pub(super) inviter: DeviceId,
}

impl Handshake {
    pub(super) fn new(
        side: Side,
        secret: &InviteSecret,
        seal: &SealSecret,
        ends: &Ends,
        rng: &mut impl CryptoRng,
    ) -> Self {
        let prologue = [LABEL, &ends.invite.0, &ends.joiner.0, &ends.inviter.0].concat();
        let private = seal.to_bytes();
        let psk = secret.psk();
        let state = noise::builder(PATTERN, &noise::seed(rng))
            .prologue(&prologue)
            .and_then(|builder| builder.local_private_key(&private[..]))
            .and_then(|builder| builder.psk(0, &psk))
            .and_then(|builder| match side {
                Side::Inviter => builder.build_responder(),
                Side::Joiner => builder.build_initiator(),
            })
            .expect("all that the pattern needs is given, each once");
        Self(state)
    }

    pub(super) fn write(&mut self, payload: &[u8]) -> Result<Vec<u8>, Broken> {
        // A message is the payload, two keys and two tags at most.
        let mut frame = vec![0; payload.len() + 2 * (32 + TAG_BYTES)];
        let length = self
            .0
            .write_message(payload, &mut frame)
            .map_err(|_| Broken)?;
        frame.truncate(length);
        Ok(frame)
    }

    pub(super) fn write_value<T: Serialize>(&mut self, value: &T) -> Result<Vec<u8>, Broken> {
        self.write(&wire::encode(value))
    }

    pub(super) fn read(&mut self, frame: &[u8]) -> Result<Vec<u8>, Broken> {
        if frame.len() > CONTROL_BYTES {
            return Err(Broken);
        }
        let mut payload = vec![0; frame.len()];
        let length = self
            .0
            .read_message(frame, &mut payload)
            .map_err(|_| Broken)?;
        payload.truncate(length);
        Ok(payload)
    }

    pub(super) fn read_value<T: Serialize + DeserializeOwned>(
        &mut self,
        frame: &[u8],
    ) -> Result<T, Broken> {
        wire::decode(&self.read(frame)?, CONTROL_BYTES).map_err(|_| Broken)
    }

    /// The other side's sealing key, once it was read.
    pub(super) fn remote_seal(&self) -> Result<SealPublic, Broken> {
        let bytes = self.0.get_remote_static().ok_or(Broken)?;
        bytes.try_into().map(SealPublic).map_err(|_| Broken)
    }

    /// The channel, and the hash of the whole handshake.
    ///
    /// # Panics
    ///
    /// Before the third message was written or read.
    pub(super) fn finish(self) -> (Channel, [u8; 32]) {
        let hash = self.0.get_handshake_hash();
        let hash = hash.try_into().expect("BLAKE2s gives 32 bytes");
        let state = self.0.into_transport_mode();
        let state = state.expect("the third message is the last of XX");
        (Channel(state), hash)
    }
}

/// The encrypted conversation after the handshake; frames come in order or not at all.
pub(super) struct Channel(TransportState);

impl Channel {
    pub(super) fn seal(&mut self, message: &Message) -> Result<Vec<u8>, Broken> {
        self.seal_plain(CONTROL, &wire::encode(message))
    }

    pub(super) fn seal_chunk(&mut self, chunk: &[u8]) -> Result<Vec<u8>, Broken> {
        self.seal_plain(CHUNK, chunk)
    }

    fn seal_plain(&mut self, tag: u8, body: &[u8]) -> Result<Vec<u8>, Broken> {
        let mut plain = Zeroizing::new(Vec::with_capacity(body.len() + 1));
        plain.push(tag);
        plain.extend_from_slice(body);
        let mut frame = vec![0; plain.len() + TAG_BYTES];
        let length = self
            .0
            .write_message(&plain, &mut frame)
            .map_err(|_| Broken)?;
        frame.truncate(length);
        Ok(frame)
    }

    pub(super) fn open(&mut self, frame: &[u8]) -> Result<Heard, Broken> {
        if frame.len() > PAIRING_MESSAGE_BYTES {
            return Err(Broken);
        }
        let mut plain = Zeroizing::new(vec![0; frame.len()]);
        let length = self.0.read_message(frame, &mut plain).map_err(|_| Broken)?;
        plain.truncate(length);
        match plain.split_first() {
            Some((&CONTROL, body)) => wire::decode(body, CONTROL_BYTES)
                .map(Heard::Message)
                .map_err(|_| Broken),
            Some((&CHUNK, body)) if !body.is_empty() && body.len() <= PAIRING_CHUNK_BYTES => {
                Ok(Heard::Chunk(Zeroizing::new(body.to_vec())))
            }
            _ => Err(Broken),
        }
    }
}
