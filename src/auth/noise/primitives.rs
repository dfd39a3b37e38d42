//! The primitives of the protocol, all by ring: the glue for X25519, which snow would take from
//! another library.

use std::sync::{Mutex, PoisonError};

use ring::agreement::{EphemeralPrivateKey, PublicKey, UnparsedPublicKey, X25519, agree_ephemeral};
use ring::rand::SystemRandom;
use snow::Error;
use snow::params::{CipherChoice, DHChoice, HashChoice};
use snow::resolvers::{CryptoResolver, RingResolver};
use snow::types::{Cipher, Dh, Hash, Random};

/// The length of a key of X25519, private or public.
const LENGTH: usize = 32;

/// Resolves the names of the primitives for snow.
pub struct Primitives;

impl CryptoResolver for Primitives {
    fn resolve_rng(&self) -> Option<Box<dyn Random>> {
        RingResolver.resolve_rng()
    }

    fn resolve_dh(&self, choice: &DHChoice) -> Option<Box<dyn Dh>> {
        (*choice == DHChoice::Curve25519).then(|| Box::<Ephemeral>::default() as _)
    }

    fn resolve_hash(&self, choice: &HashChoice) -> Option<Box<dyn Hash>> {
        RingResolver.resolve_hash(choice)
    }

    fn resolve_cipher(&self, choice: &CipherChoice) -> Option<Box<dyn Cipher>> {
        RingResolver.resolve_cipher(choice)
    }
}

/// A key of X25519 for one agreement, which is all that the pattern NN needs.
#[derive(Default)]
struct Ephemeral {
    /// `None` once it is used.
    private: Mutex<Option<EphemeralPrivateKey>>,
    public: Option<PublicKey>,
}

impl Dh for Ephemeral {
    fn name(&self) -> &'static str {
        "25519"
    }

    fn pub_len(&self) -> usize {
        LENGTH
    }

    fn priv_len(&self) -> usize {
        LENGTH
    }

    /// Given keys are for other patterns. This one then fails to agree.
    fn set(&mut self, _private: &[u8]) {
        *self = Self::default();
    }

    fn generate(&mut self, _random: &mut dyn Random) -> Result<(), Error> {
        let private = EphemeralPrivateKey::generate(&X25519, &SystemRandom::new());
        let private = private.map_err(|_| Error::Rng)?;
        let public = private.compute_public_key().map_err(|_| Error::Dh)?;
        self.public = Some(public);
        self.private = Mutex::new(Some(private));
        Ok(())
    }

    fn pubkey(&self) -> &[u8] {
        self.public.as_ref().map_or(&[], AsRef::as_ref)
    }

    /// ring does not give it out.
    fn privkey(&self) -> &[u8] {
        &[]
    }

    /// Fails where the peer's key is of a low order (RFC 7748, §6.1), and a second time.
    fn dh(&self, public: &[u8], out: &mut [u8]) -> Result<(), Error> {
        let mut private = self.private.lock().unwrap_or_else(PoisonError::into_inner);
        let private = private.take().ok_or(Error::Dh)?;
        let public = public.get(..LENGTH).ok_or(Error::Dh)?;
        let public = UnparsedPublicKey::new(&X25519, public);
        agree_ephemeral(private, &public, |secret| {
            out[..secret.len()].copy_from_slice(secret);
        })
        .map_err(|_| Error::Dh)
    }
}
