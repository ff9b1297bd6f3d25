//! A document with the signatures that are there so far.

use super::{CeremonyError, Folder};
use crate::error::CommandResult;
use crate::keys::Keychain;
use crate::progress::counted;
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
        self.missing_besides(document, needed, name, &|_| false)
    }

    /// Tells which thresholds are not met when some keys sign, too.
    pub(super) fn missing_besides(
        &self,
        document: &str,
        needed: &Needed,
        name: &dyn Fn(&PublicKey) -> String,
        signs: &dyn Fn(&PublicKey) -> bool,
    ) -> Vec<Missing> {
        let message = self.message();
        let of = |(keys_of, keyring): &(&'static str, Keyring)| {
            let wanted = keyring.keys().iter().filter(|(_, key)| !self.has_signed(key, &message));
            let (sign, wanted): (Vec<_>, Vec<_>) = wanted.partition(|(_, key)| signs(key));
            let have = keyring.count_valid(SignaturePolicy::default(), &message, &self.signatures) + sign.len() as u32;
            (have < keyring.threshold()).then(|| Missing {
                document: document.to_owned(),
                keys_of,
                have,
                threshold: keyring.threshold(),
                wanted: wanted.into_iter().map(|(_, key)| name(key)).collect(),
            })
        };
        needed.iter().filter_map(of).collect()
    }
}

impl Missing {
    /// Says what would have to come, as the object of a sentence.
    #[must_use]
    pub fn wish(&self) -> String {
        let Self { document, keys_of, have, threshold, wanted } = self;
        let signatures = counted(threshold.saturating_sub(*have) as usize, "more signature");
        format!("{signatures} of {document} by {keys_of}, from {}", wanted.join(" or "))
    }
}

impl std::fmt::Display for Missing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { document, keys_of, have, threshold, wanted } = self;
        let wanted = wanted.join(", ");
        write!(f, "{have} of {threshold} signatures of {document} by {keys_of} are here, wanted: {wanted}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_a_sentence() {
        let missing = |threshold, wanted: &[&str]| Missing {
            document: "root".to_owned(),
            keys_of: "the new root",
            have: 0,
            threshold,
            wanted: wanted.iter().map(|id| (*id).to_owned()).collect(),
        };
        assert_eq!(missing(1, &["A"]).wish(), "1 more signature of root by the new root, from A");
        assert_eq!(missing(2, &["A", "B"]).wish(), "2 more signatures of root by the new root, from A or B");
        assert_eq!(missing(1, &["A"]).to_string(), "0 of 1 signatures of root by the new root are here, wanted: A");
    }
}
