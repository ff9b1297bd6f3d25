//! The keys of a simulated repository.

use ring::signature::{Ed25519KeyPair, KeyPair as _};
use std::sync::Arc;
use updater_format::digest::encode_hex;
use updater_format::json::{self, Map, Value};
use updater_format::role::Payload;
use updater_format::signed::{assemble, message};
use updater_format::{KeyId, Keyring, PublicKey, Signature};

/// An Ed25519 key that signs metadata. The same seed gives the same key, so that a failure can be repeated.
#[derive(Clone)]
pub struct SigningKey {
    pair: Arc<Ed25519KeyPair>,
    public: PublicKey,
}

impl SigningKey {
    /// Makes a key.
    #[must_use]
    pub fn from_seed(seed: u8) -> Self {
        let pair = Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).expect("any 32 bytes are a seed");
        let public = pair.public_key().as_ref().try_into().expect("32 bytes");
        Self {
            public: PublicKey::ed25519(public).expect("a key with a known secret is of full order"),
            pair: Arc::new(pair),
        }
    }

    /// Returns the public half.
    #[must_use]
    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    /// Returns the key id that TUF computes.
    #[must_use]
    pub fn id(&self) -> KeyId {
        self.public.id()
    }

    /// Signs a payload, under this key's own id.
    #[must_use]
    pub fn signature<T: Payload>(&self, payload: &T) -> Signature {
        Signature { key_id: self.id(), bytes: self.sign(&message(payload)) }
    }

    /// Signs any bytes: 64 bytes.
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> Vec<u8> {
        self.pair.sign(message).as_ref().to_vec()
    }
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SigningKey({})", self.id())
    }
}

/// Makes the keyring of a role.
#[must_use]
pub fn keyring(keys: &[SigningKey], threshold: u64) -> Keyring {
    let keys = keys.iter().map(|key| (key.id(), key.public.clone())).collect();
    Keyring::new(keys, threshold).expect("a keyring that can be met")
}

/// Writes a document signed by these keys.
#[must_use]
pub fn sign<T: Payload>(payload: &T, keys: &[SigningKey]) -> Vec<u8> {
    let signatures: Vec<Signature> = keys.iter().map(|key| key.signature(payload)).collect();
    assemble(payload, &signatures)
}

/// Signs the `signed` part of a document that no payload type can hold.
#[must_use]
pub fn sign_value(signed: Value, keys: &[SigningKey]) -> Value {
    let message = json::canonical(&signed);
    let signatures = keys.iter().map(|key| {
        let mut entry = Map::new();
        entry.insert("keyid".to_owned(), key.id().as_str().into());
        entry.insert("sig".to_owned(), encode_hex(&key.sign(&message)).into());
        Value::Object(entry)
    });
    let mut document = Map::new();
    document.insert("signatures".to_owned(), Value::Array(signatures.collect()));
    document.insert("signed".to_owned(), signed);
    Value::Object(document)
}
