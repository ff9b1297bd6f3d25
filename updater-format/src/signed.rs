//! Signed documents: from bytes of a mirror to a payload that is proven, and back.

use crate::error::FormatError;
use crate::json::{self, Fields, Map, Value};
use crate::key::{KeyId, Keyring, Signature, SignaturePolicy};
use crate::role::Payload;
use crate::trust::TrustError;
use std::collections::BTreeSet;

/// Bytes from a mirror or from disk. They can be bounded, hashed and verified; nothing else.
#[derive(Clone, PartialEq, Eq)]
pub struct Untrusted(Vec<u8>);

impl Untrusted {
    /// Wraps bytes that nobody has checked.
    #[must_use]
    pub fn new(bytes: impl Into<Vec<u8>>) -> Self {
        Self(bytes.into())
    }

    /// Returns the bytes, for hashing and for storing.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl std::fmt::Debug for Untrusted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Untrusted({} bytes)", self.0.len())
    }
}

/// A document whose signatures met the threshold of its role's keyring. Made by [`Signed::verify`] alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified<T> {
    payload: T,
    bytes: Vec<u8>,
}

impl<T> Verified<T> {
    /// Returns the exact bytes that were verified.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

impl<T> std::ops::Deref for Verified<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.payload
    }
}

/// A parsed document whose signatures are not checked yet.
#[derive(Debug, Clone)]
pub struct Signed<T> {
    payload: T,
    message: Vec<u8>,
    signatures: Vec<Signature>,
    bytes: Vec<u8>,
}

impl<T: Payload> Signed<T> {
    /// Parses a document. The payload is not to be believed before [`Signed::verify`].
    /// # Errors
    /// [`FormatError`] when it is not the JSON of this role, or when a key id signs twice.
    pub fn parse(bytes: &Untrusted) -> Result<Self, FormatError> {
        let mut fields = Fields::open(T::TYPE, json::parse(T::TYPE, bytes.as_bytes())?)?;
        let signed = fields.required("signed")?;
        let mut signatures = Vec::new();
        for value in fields.array("signatures")? {
            let mut entry = Fields::open("signature", value)?;
            let key_id = KeyId::new(entry.string("keyid")?);
            let text = entry.string("sig")?;
            let bytes = crate::digest::decode_hex(&text)
                .ok_or_else(|| FormatError::invalid("signature", &text, "it must be lower-case hexadecimal digits"))?;
            signatures.push(Signature { key_id, bytes });
        }
        let ids: BTreeSet<&KeyId> = signatures.iter().map(|s| &s.key_id).collect();
        if ids.len() != signatures.len() {
            return Err(FormatError::shape(T::TYPE, "a key id signs twice"));
        }
        // The signature covers the canonical form of the very value that the payload is read from.
        let message = json::canonical(&signed);
        let payload = T::from_value(signed)?;
        Ok(Self { payload, message, signatures, bytes: bytes.as_bytes().to_vec() })
    }

    /// Returns the payload although nobody has vouched for it: for showing it to people, and for a root that must be
    /// verified with the keys it lists.
    #[must_use]
    pub fn unverified(&self) -> &T {
        &self.payload
    }

    /// Returns the signatures.
    #[must_use]
    pub fn signatures(&self) -> &[Signature] {
        &self.signatures
    }

    /// Returns the bytes that the signatures cover.
    #[must_use]
    pub fn message(&self) -> &[u8] {
        &self.message
    }

    /// Checks that enough distinct keys of `keyring` signed.
    /// # Errors
    /// [`TrustError::Signatures`] with how many did and how many had to.
    pub fn check(&self, role: &str, keyring: &Keyring, policy: SignaturePolicy) -> Result<(), TrustError> {
        let valid = keyring.count_valid(policy, &self.message, &self.signatures);
        if valid < keyring.threshold() {
            return Err(TrustError::Signatures { role: role.to_owned(), valid, threshold: keyring.threshold() });
        }
        Ok(())
    }

    /// Checks the signatures as [`Signed::check`] does and makes the payload usable.
    /// # Errors
    /// [`TrustError::Signatures`] with how many did and how many had to.
    pub fn verify(self, role: &str, keyring: &Keyring, policy: SignaturePolicy) -> Result<Verified<T>, TrustError> {
        self.check(role, keyring, policy)?;
        Ok(Verified { payload: self.payload, bytes: self.bytes })
    }
}

/// Returns the bytes that a signer of this payload has to sign.
#[must_use]
pub fn message<T: Payload>(payload: &T) -> Vec<u8> {
    json::canonical(&payload.to_value())
}

/// Writes a document: compact JSON with the payload and its signatures.
#[must_use]
pub fn assemble<T: Payload>(payload: &T, signatures: &[Signature]) -> Vec<u8> {
    let signatures = signatures.iter().map(|signature| {
        let mut entry = Map::new();
        entry.insert("keyid".to_owned(), signature.key_id.as_str().into());
        entry.insert("sig".to_owned(), crate::digest::encode_hex(&signature.bytes).into());
        Value::Object(entry)
    });
    let mut document = Map::new();
    document.insert("signatures".to_owned(), Value::Array(signatures.collect()));
    document.insert("signed".to_owned(), payload.to_value());
    json::compact(&Value::Object(document))
}
