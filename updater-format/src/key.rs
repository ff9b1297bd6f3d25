//! Public keys and the keyring of a role. Private keys have no type below the command line tool.

use crate::digest::{Sha256, decode_hex, encode_hex};
use crate::error::FormatError;
use crate::json::{Fields, Map, Value, canonical};
use std::collections::BTreeSet;

/// A TUF key id. Opaque: it names a key inside one document and proves nothing by itself.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(String);

impl KeyId {
    /// Wraps the text of a key id.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Returns the text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for KeyId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// Which signature schemes a client accepts. A run-time policy, because features unify across a workspace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum SignaturePolicy {
    /// Ed25519 alone: what our publisher makes, and the default of every client.
    #[default]
    Ed25519Only,
    /// Also ECDSA P-256 and RSA-PSS, for repositories of other tools (feature `interop`).
    #[cfg(feature = "interop")]
    Interop,
}

/// A public key as root and delegations list it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey {
    kind: KeyKind,
    /// The whole key object as it was read: fields that are not known here stay part of the document.
    object: Map<String, Value>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum KeyKind {
    Ed25519([u8; 32]),
    #[cfg(feature = "interop")]
    EcdsaP256(Vec<u8>),
    #[cfg(feature = "interop")]
    RsaPssSha256(Vec<u8>),
    /// A type that this program does not know, or a scheme that does not belong to the type: it never counts.
    Unusable,
}

impl PublicKey {
    /// Makes a key from the 32 bytes of an Ed25519 public key.
    /// # Errors
    /// [`FormatError::Invalid`] for the points of small order, under which anybody can forge signatures, and for
    /// encodings that are not canonical, under which one key would have two spellings.
    pub fn ed25519(public: [u8; 32]) -> Result<Self, FormatError> {
        check_point(&public)?;
        let mut keyval = Map::new();
        keyval.insert("public".to_owned(), encode_hex(&public).into());
        let mut object = Map::new();
        object.insert("keytype".to_owned(), "ed25519".into());
        object.insert("scheme".to_owned(), "ed25519".into());
        object.insert("keyval".to_owned(), keyval.into());
        Ok(Self { kind: KeyKind::Ed25519(public), object })
    }

    /// Reads a TUF key object.
    /// # Errors
    /// [`FormatError`] when a field is missing or an Ed25519 key is malformed. A key of an unknown type or scheme is
    /// no error: it is kept and never counts towards a threshold.
    pub fn from_value(value: Value) -> Result<Self, FormatError> {
        let what = "key";
        let mut fields = Fields::open(what, value.clone())?;
        let (keytype, scheme) = (fields.string("keytype")?, fields.string("scheme")?);
        let public = Fields::open(what, fields.required("keyval")?)?.string("public")?;
        let kind = match (keytype.as_str(), scheme.as_str()) {
            ("ed25519", "ed25519") => {
                let refuse =
                    || FormatError::invalid("ed25519 key", &public, "it must be 64 lower-case hexadecimal digits");
                let bytes: [u8; 32] = decode_hex(&public).and_then(|b| b.try_into().ok()).ok_or_else(refuse)?;
                check_point(&bytes)?;
                KeyKind::Ed25519(bytes)
            }
            #[cfg(feature = "interop")]
            ("ecdsa" | "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp256") => {
                crate::pem::ecdsa_point(&public).map_or(KeyKind::Unusable, KeyKind::EcdsaP256)
            }
            #[cfg(feature = "interop")]
            ("rsa", "rsassa-pss-sha256") => {
                crate::pem::rsa_public_key(&public).map_or(KeyKind::Unusable, KeyKind::RsaPssSha256)
            }
            _ => KeyKind::Unusable,
        };
        let Value::Object(object) = value else {
            return Err(FormatError::shape(what, "it must be an object"));
        };
        Ok(Self { kind, object })
    }

    /// Returns the TUF key object.
    #[must_use]
    pub fn to_value(&self) -> Value {
        Value::Object(self.object.clone())
    }

    /// Returns the key id that TUF computes: the SHA-256 of the canonical key object.
    #[must_use]
    pub fn id(&self) -> KeyId {
        KeyId(Sha256::of(&canonical(&self.to_value())).to_string())
    }

    /// Returns the 32 bytes of an Ed25519 key.
    #[must_use]
    pub fn ed25519_bytes(&self) -> Option<&[u8; 32]> {
        match &self.kind {
            KeyKind::Ed25519(public) => Some(public),
            #[cfg(feature = "interop")]
            KeyKind::EcdsaP256(_) | KeyKind::RsaPssSha256(_) => None,
            KeyKind::Unusable => None,
        }
    }

    /// Tells whether `signature` over `message` was made by this key under a scheme that `policy` accepts.
    #[must_use]
    pub fn verifies(&self, policy: SignaturePolicy, message: &[u8], signature: &[u8]) -> bool {
        use ring::signature::{ED25519, UnparsedPublicKey};
        match (&self.kind, policy) {
            // ring refuses S >= L, so a signature has one spelling (RFC 8032 section 5.1.7).
            (KeyKind::Ed25519(public), _) => {
                UnparsedPublicKey::new(&ED25519, public).verify(message, signature).is_ok()
            }
            #[cfg(feature = "interop")]
            (KeyKind::EcdsaP256(point), SignaturePolicy::Interop) => {
                UnparsedPublicKey::new(&ring::signature::ECDSA_P256_SHA256_ASN1, point)
                    .verify(message, signature)
                    .is_ok()
            }
            #[cfg(feature = "interop")]
            (KeyKind::RsaPssSha256(der), SignaturePolicy::Interop) => {
                UnparsedPublicKey::new(&ring::signature::RSA_PSS_2048_8192_SHA256, der)
                    .verify(message, signature)
                    .is_ok()
            }
            _ => false,
        }
    }
}

/// The keys of one role and how many of them must sign.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keyring {
    keys: Vec<(KeyId, PublicKey)>,
    threshold: u32,
}

impl Keyring {
    /// Makes a keyring.
    /// # Errors
    /// [`FormatError::Invalid`] for a threshold of 0, one above the number of keys, or a key id that stands twice.
    pub fn new(keys: Vec<(KeyId, PublicKey)>, threshold: u64) -> Result<Self, FormatError> {
        if threshold > keys.len() as u64 {
            return Err(refuse_threshold(threshold, "it is above the number of keys of the role"));
        }
        Self::read(keys, threshold)
    }

    /// Reads a keyring out of a document. A threshold above the number of keys is no error here: nothing can be signed
    /// to it, so the role is dead until the next root, and refusing the whole root would block that very repair.
    /// # Errors
    /// [`FormatError::Invalid`] for a threshold of 0 or a key id that stands twice.
    pub fn read(keys: Vec<(KeyId, PublicKey)>, threshold: u64) -> Result<Self, FormatError> {
        if threshold == 0 {
            let rule = "it must be at least 1: with 0 an unsigned document would count as signed";
            return Err(refuse_threshold(threshold, rule));
        }
        let ids: BTreeSet<&KeyId> = keys.iter().map(|(id, _)| id).collect();
        if ids.len() != keys.len() {
            return Err(refuse_threshold(threshold, "a key id stands twice in the role"));
        }
        Ok(Self { keys, threshold: u32::try_from(threshold).unwrap_or(u32::MAX) })
    }

    /// Returns how many distinct keys must sign.
    #[must_use]
    pub fn threshold(&self) -> u32 {
        self.threshold
    }

    /// Returns the keys with the ids under which the document lists them.
    #[must_use]
    pub fn keys(&self) -> &[(KeyId, PublicKey)] {
        &self.keys
    }

    /// Counts the distinct public keys that signed `message`. One key under two ids counts once (the flaw of go-tuf
    /// GHSA-fphv-w9fq-2525 and tough RUSTSEC-2020-0024).
    #[must_use]
    pub fn count_valid(&self, policy: SignaturePolicy, message: &[u8], signatures: &[Signature]) -> u32 {
        let mut signed: Vec<&KeyKind> = Vec::new();
        for signature in signatures {
            let Some((_, key)) = self.keys.iter().find(|(id, _)| *id == signature.key_id) else {
                continue;
            };
            if !signed.contains(&&key.kind) && key.verifies(policy, message, &signature.bytes) {
                signed.push(&key.kind);
            }
        }
        u32::try_from(signed.len()).unwrap_or(u32::MAX)
    }
}

fn refuse_threshold(threshold: u64, rule: &'static str) -> FormatError {
    FormatError::invalid("threshold", &threshold.to_string(), rule)
}

/// One signature of a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    /// The key that is said to have made it.
    pub key_id: KeyId,
    /// The signature's bytes: 64 for Ed25519; empty where a signer has not signed yet.
    pub bytes: Vec<u8>,
}

/// Refuses the y coordinates of the eight points of small order and every encoding with y >= p = 2^255 - 19.
///
/// The values are those with which libsodium's `ge25519_has_small_order` refuses a key; their orders were recomputed from
/// the curve equation of RFC 8032 section 5.1.
fn check_point(public: &[u8; 32]) -> Result<(), FormatError> {
    let mut y = *public;
    y[31] &= 0x7f;
    let refuse = |rule| Err(FormatError::invalid("ed25519 key", &encode_hex(public), rule));
    if y[31] == 0x7f && y[1..31].iter().all(|b| *b == 0xff) && y[0] >= 0xed {
        return refuse("its encoding is not canonical");
    }
    if SMALL_ORDER_Y.iter().any(|small| decode_hex(small).as_deref() == Some(&y)) {
        return refuse("it is a point of small order: anybody could sign for it");
    }
    Ok(())
}

/// Little-endian y of the points whose order divides 8: 0 (order 4), 1 (1), p - 1 (2) and the two of order 8.
const SMALL_ORDER_Y: [&str; 5] = [
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0100000000000000000000000000000000000000000000000000000000000000",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
];

#[cfg(test)]
mod tests {
    use super::*;
    use ring::signature::{Ed25519KeyPair, KeyPair as _};

    pub(crate) fn pair(seed: u8) -> (Ed25519KeyPair, PublicKey) {
        let pair = Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap();
        let public = PublicKey::ed25519(pair.public_key().as_ref().try_into().unwrap()).unwrap();
        (pair, public)
    }

    #[test]
    fn small_order_and_non_canonical_keys_are_refused() {
        for y in SMALL_ORDER_Y {
            for sign in [0, 0x80] {
                let mut bytes: [u8; 32] = decode_hex(y).unwrap().try_into().unwrap();
                bytes[31] |= sign;
                assert!(matches!(PublicKey::ed25519(bytes), Err(FormatError::Invalid { what: "ed25519 key", .. })));
            }
        }
        for low in 0xed..=0xff {
            let mut bytes = [0xff; 32];
            bytes[0] = low;
            assert!(PublicKey::ed25519(bytes).is_err());
        }
    }

    #[test]
    fn one_public_key_under_two_ids_counts_once() {
        let (pair, public) = pair(1);
        let ring = Keyring::new(vec![(KeyId::new("a"), public.clone()), (KeyId::new("b"), public)], 2).unwrap();
        let bytes = pair.sign(b"m").as_ref().to_vec();
        let signatures = ["a", "b"].map(|id| Signature { key_id: KeyId::new(id), bytes: bytes.clone() });
        assert_eq!(ring.count_valid(SignaturePolicy::default(), b"m", &signatures), 1);
    }

    #[test]
    fn a_malleable_signature_is_refused() {
        let (pair, public) = pair(2);
        let mut bytes = pair.sign(b"m").as_ref().to_vec();
        assert!(public.verifies(SignaturePolicy::default(), b"m", &bytes));
        // S + L: the same point equation holds, the spelling differs. L is the group order of RFC 8032.
        let l = decode_hex("edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010").unwrap();
        let mut carry = 0u16;
        for (s, l) in bytes[32..].iter_mut().zip(l) {
            carry += u16::from(*s) + u16::from(l);
            *s = carry as u8;
            carry >>= 8;
        }
        assert!(!public.verifies(SignaturePolicy::default(), b"m", &bytes));
    }

    #[test]
    fn thresholds() {
        let (_, public) = pair(3);
        let keys = || vec![(public.id(), public.clone())];
        assert!(Keyring::new(keys(), 1).is_ok());
        for (keys, threshold) in [(keys(), 0), (keys(), 2), ([keys(), keys()].concat(), 1), (vec![], 1)] {
            assert!(matches!(Keyring::new(keys, threshold), Err(FormatError::Invalid { what: "threshold", .. })));
        }
        let dead = Keyring::read(keys(), 2).unwrap();
        assert!(dead.threshold() as usize > dead.keys().len(), "read, but nothing can be signed to it");
        for (keys, threshold) in [(keys(), 0), ([keys(), keys()].concat(), 1), (vec![], 0)] {
            assert!(Keyring::read(keys, threshold).is_err());
        }
    }

    #[test]
    fn a_key_whose_scheme_is_not_its_type_never_counts() {
        let (pair, public) = pair(4);
        let mut value = public.to_value();
        value["keytype"] = "rsa".into();
        let odd = PublicKey::from_value(value).unwrap();
        assert!(!odd.verifies(SignaturePolicy::default(), b"m", pair.sign(b"m").as_ref()));
        assert_eq!(PublicKey::from_value(public.to_value()).unwrap(), public);
    }
}
