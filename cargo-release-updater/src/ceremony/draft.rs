//! A document with the signatures that are there so far.

use super::{CeremonyError, Folder};
use crate::error::CommandResult;
use crate::keys::Keychain;
use updater_format::role::Payload;
use updater_format::signed::{self, Signed, Untrusted};
use updater_format::{Keyring, PublicKey, Signature, SignaturePolicy};

/// A document with the signatures that are there so far.
#[derive(Debug, Clone)]
pub struct Draft<T> {
    /// What is to be signed.
    pub payload: T,
    signatures: Vec<Signature>,
}

/// Keys of which enough must sign a draft, and what they are to it.
pub(super) type Needed = Vec<(&'static str, Keyring)>;

/// Who still has to sign a draft.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Missing {
    /// The document.
    pub document: String,
    /// Which keys: those of the role now, or those it is to have.
    pub keys_of: &'static str,
    /// How many signatures are there.
    pub have: u32,
    /// How many have to be.
    pub threshold: u32,
    /// minisign's ids of those who have not signed.
    pub wanted: Vec<String>,
}

impl<T: Payload + Clone> Draft<T> {
    /// Makes a draft that nobody has signed.
    pub(super) fn new(payload: T) -> Self {
        Self { payload, signatures: Vec::new() }
    }

    /// Reads a draft; `None` when there is none.
    pub(super) fn load(folder: &Folder, name: &str, what: &'static str) -> Result<Option<Self>, CeremonyError> {
        let Some(bytes) = folder.read(name)? else { return Ok(None) };
        let path = folder.path().join(name);
        let refuse = |source| CeremonyError::NotADocument { path: path.clone(), what, source };
        Ok(Some(Self::of(&Signed::<T>::parse(&Untrusted::new(bytes)).map_err(refuse)?)))
    }

    /// Takes a document with the signatures that it has.
    pub(super) fn of(read: &Signed<T>) -> Self {
        Self { payload: read.unverified().clone(), signatures: read.signatures().to_vec() }
    }

    /// Writes it down, on the disk when it returns.
    pub(super) fn save(&self, folder: &Folder, name: &str) -> Result<(), CeremonyError> {
        folder.write(name, &self.bytes())
    }

    /// Returns the document as it will be published.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        signed::assemble(&self.payload, &self.signatures)
    }

    /// Returns the bytes that holders sign.
    #[must_use]
    pub fn message(&self) -> Vec<u8> {
        signed::message(&self.payload)
    }

    /// Signs with the keys that are here, until the thresholds are met: no further one is unlocked. Returns how many did.
    pub(super) fn sign(&mut self, needed: &Needed, keychain: &mut Keychain) -> CommandResult<u32> {
        let message = self.message();
        let mut made = 0;
        while let Some(key) = self.next_signer(needed, keychain, &message) {
            let Some(signer) = keychain.signer(&key)? else { break };
            self.put(signer.sign(&message)?);
            made += 1;
        }
        Ok(made)
    }

    /// Tells whether a key that is here has not signed, and its signature is missing.
    pub(super) fn can_sign_more(&self, needed: &Needed, keychain: &Keychain) -> bool {
        self.next_signer(needed, keychain, &self.message()).is_some()
    }

    /// Returns the key that is here and brings most thresholds nearer.
    fn next_signer(&self, needed: &Needed, keychain: &Keychain, message: &[u8]) -> Option<PublicKey> {
        let met = |ring: &Keyring| ring.count_valid(SignaturePolicy::default(), message, &self.signatures);
        let rings = needed.iter().map(|(_, ring)| ring).filter(|ring| met(ring) < ring.threshold());
        let open: Vec<&Keyring> = rings.collect();
        let count =
            |key: &PublicKey| open.iter().filter(|ring| ring.keys().iter().any(|(_, other)| other == key)).count();
        let keys = open.iter().flat_map(|ring| ring.keys()).map(|(_, key)| key);
        let here = keys.filter(|key| keychain.has(key) && !self.has_signed(key, message));
        here.min_by_key(|key| std::cmp::Reverse(count(key))).cloned()
    }

    /// Takes a signature that was made elsewhere, when a key that may has made it of this very document.
    pub(super) fn add(&mut self, needed: &Needed, bytes: &[u8]) -> bool {
        let message = self.message();
        let mut keys = needed.iter().flat_map(|(_, keyring)| keyring.keys());
        let signer = keys.find(|(_, key)| key.verifies(SignaturePolicy::default(), &message, bytes));
        if let Some((id, _)) = signer {
            self.put(Signature { key_id: id.clone(), bytes: bytes.to_vec() });
        }
        signer.is_some()
    }

    fn put(&mut self, signature: Signature) {
        self.signatures.retain(|other| other.key_id != signature.key_id);
        self.signatures.push(signature);
    }

    fn has_signed(&self, key: &PublicKey, message: &[u8]) -> bool {
        let policy = SignaturePolicy::default();
        self.signatures.iter().any(|one| one.key_id == key.id() && key.verifies(policy, message, &one.bytes))
    }

    /// Tells which thresholds are not met.
    pub(super) fn missing(&self, document: &str, needed: &Needed, name: &dyn Fn(&PublicKey) -> String) -> Vec<Missing> {
        let message = self.message();
        let of = |(keys_of, keyring): &(&'static str, Keyring)| {
            let have = keyring.count_valid(SignaturePolicy::default(), &message, &self.signatures);
            let wanted = keyring.keys().iter().filter(|(_, key)| !self.has_signed(key, &message));
            (have < keyring.threshold()).then(|| Missing {
                document: document.to_owned(),
                keys_of,
                have,
                threshold: keyring.threshold(),
                wanted: wanted.map(|(_, key)| name(key)).collect(),
            })
        };
        needed.iter().filter_map(of).collect()
    }
}

impl std::fmt::Display for Missing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { document, keys_of, have, threshold, wanted } = self;
        let wanted = wanted.join(", ");
        write!(f, "{have} of {threshold} signatures of {document} by {keys_of} are here, wanted: {wanted}")
    }
}
