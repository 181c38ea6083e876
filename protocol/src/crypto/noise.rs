//! What snow is built from here: our randomness and our X25519.
//!
//! snow's own X25519 accepts all-zero shared secrets and leaves private keys in
//! memory; this one refuses the first (RFC 7748 section 6.1) and wipes the second.

use rand_core::{CryptoRng, Rng};
use snow::params::{CipherChoice, DHChoice, HashChoice};
use snow::resolvers::{CryptoResolver, DefaultResolver};
use snow::types::{Cipher, Dh, Hash, Random};
use snow::{Builder, Error};
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::Zeroizing;

use super::SeededRng;

/// The seed of one handshake.
pub(crate) fn seed(rng: &mut impl CryptoRng) -> Zeroizing<[u8; 32]> {
    let mut seed = Zeroizing::new([0; 32]);
    rng.fill_bytes(seed.as_mut());
    seed
}

/// A builder for one handshake whose ephemeral key follows from the seed.
pub(crate) fn builder<'a>(name: &str, seed: &[u8; 32]) -> Builder<'a> {
    let params = name
        .parse()
        .expect("the name is a constant that snow knows");
    Builder::with_resolver(params, Box::new(resolver(seed)))
}

/// The primitives of one handshake.
pub(crate) fn resolver(seed: &[u8; 32]) -> Resolver {
    Resolver {
        seed: Zeroizing::new(*seed),
    }
}

/// Our randomness and X25519, and snow's ChaCha20-Poly1305 and BLAKE2s.
pub(crate) struct Resolver {
    seed: Zeroizing<[u8; 32]>,
}

impl CryptoResolver for Resolver {
    fn resolve_rng(&self) -> Option<Box<dyn Random>> {
        Some(Box::new(Seeded(SeededRng::from_seed(*self.seed))))
    }

    fn resolve_dh(&self, choice: &DHChoice) -> Option<Box<dyn Dh>> {
        match choice {
            DHChoice::Curve25519 => Some(Box::new(X25519 {
                secret: StaticSecret::from([0; 32]),
                public: [0; 32],
            })),
            _ => None,
        }
    }

    fn resolve_hash(&self, choice: &HashChoice) -> Option<Box<dyn Hash>> {
        DefaultResolver.resolve_hash(choice)
    }

    fn resolve_cipher(&self, choice: &CipherChoice) -> Option<Box<dyn Cipher>> {
        DefaultResolver.resolve_cipher(choice)
    }
}

struct Seeded(SeededRng);

impl Random for Seeded {
    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Error> {
        self.0.fill_bytes(bytes);
        Ok(())
    }
}

struct X25519 {
    secret: StaticSecret,
    public: [u8; 32],
}

impl X25519 {
    fn replace(&mut self, bytes: [u8; 32]) {
        self.secret = StaticSecret::from(bytes);
        self.public = PublicKey::from(&self.secret).to_bytes();
    }
}

impl Dh for X25519 {
    fn name(&self) -> &'static str {
        "25519"
    }

    fn pub_len(&self) -> usize {
        32
    }

    fn priv_len(&self) -> usize {
        32
    }

    fn set(&mut self, private: &[u8]) {
        let mut bytes = Zeroizing::new([0; 32]);
        bytes.copy_from_slice(private);
        self.replace(*bytes);
    }

    fn generate(&mut self, rng: &mut dyn Random) -> Result<(), Error> {
        let mut bytes = Zeroizing::new([0; 32]);
        rng.try_fill_bytes(bytes.as_mut())?;
        self.replace(*bytes);
        Ok(())
    }

    fn pubkey(&self) -> &[u8] {
        &self.public
    }

    fn privkey(&self) -> &[u8] {
        self.secret.as_bytes()
    }

    fn dh(&self, public: &[u8], out: &mut [u8]) -> Result<(), Error> {
        let (Some(public), Some(out)) = (public.first_chunk::<32>(), out.first_chunk_mut::<32>())
        else {
            return Err(Error::Dh);
        };
        let shared = self.secret.diffie_hellman(&PublicKey::from(*public));
        if !shared.was_contributory() {
            return Err(Error::Dh);
        }
        out.copy_from_slice(shared.as_bytes());
        Ok(())
    }
}
