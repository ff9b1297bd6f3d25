//! Ceremonies: the next root and the next targets role, signed by people, one after the other, over days.
//!
//! The drafts lie in `next/` beside the project's root, as documents with the signatures that are there so far; so they
//! can be committed, mailed, and looked at. Nothing else is remembered: what is left to do follows from the drafts, the
//! project's own root and what is published, and every step may be stopped and done again.

pub mod change;
mod error;
mod finish;
mod minisig;
pub mod review;

pub use change::KeyChange;
pub use error::CeremonyError;
pub use finish::Finished;
pub use minisig::read_signature;

use crate::error::CommandResult;
use crate::keys::Keychain;
use std::path::{Path, PathBuf};
use updater_format::role::{Payload, RoleName, Root, Targets};
use updater_format::signed::{self, Signed, Untrusted};
use updater_format::{Keyring, PublicKey, Signature, SignaturePolicy};

/// The drafts of one project.
#[derive(Debug, Clone)]
pub struct Ceremony {
    folder: PathBuf,
    /// The root and the targets role in force.
    now: (Root, Targets),
    /// The next root.
    pub root: Option<Draft<Root>>,
    /// The next targets role.
    pub targets: Option<Draft<Targets>>,
}

/// A document with the signatures that are there so far.
#[derive(Debug, Clone)]
pub struct Draft<T> {
    /// What is to be signed.
    pub payload: T,
    signatures: Vec<Signature>,
}

/// Who still has to sign a draft.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
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

impl Ceremony {
    /// Reads the drafts of a project; `None` when there are none. `now` is what is in force.
    /// # Errors
    /// [`CeremonyError`] for a draft that cannot be read or is not above what is in force.
    pub fn load(root_file: &Path, now: (Root, Targets)) -> Result<Option<Self>, CeremonyError> {
        let folder = folder_of(root_file);
        let root = Draft::<Root>::load(&folder.join(ROOT), "root")?;
        let targets = Draft::<Targets>::load(&folder.join(TARGETS), "targets role")?;
        if root.is_none() && targets.is_none() {
            return Ok(None);
        }
        Ok(Some(Self { folder, now, root, targets }))
    }

    /// Begins a ceremony, with no signature yet, and writes its drafts.
    /// # Errors
    /// [`CeremonyError::UnderWay`] when there is one.
    pub fn begin(
        root_file: &Path,
        now: (Root, Targets),
        root: Option<Root>,
        targets: Option<Targets>,
    ) -> Result<Self, CeremonyError> {
        if Self::load(root_file, now.clone())?.is_some() {
            return Err(CeremonyError::UnderWay { folder: folder_of(root_file) });
        }
        let ceremony =
            Self { folder: folder_of(root_file), now, root: root.map(Draft::new), targets: targets.map(Draft::new) };
        ceremony.save()?;
        Ok(ceremony)
    }

    /// Returns the folder of the drafts.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Returns the root that will be in force.
    #[must_use]
    pub fn next_root(&self) -> &Root {
        self.root.as_ref().map_or(&self.now.0, |draft| &draft.payload)
    }

    /// Signs every draft with every key that is here and may.
    /// # Errors
    /// What unlocking a key returns; the signatures made before are kept.
    pub fn sign(&mut self, keychain: &mut Keychain) -> CommandResult<u32> {
        let mut made = 0;
        let (for_root, for_targets) = (self.root_keyrings(), self.targets_keyrings());
        if let Some(draft) = &mut self.root {
            made += draft.sign(&for_root, keychain)?;
        }
        if let Some(draft) = &mut self.targets {
            made += draft.sign(&for_targets, keychain)?;
        }
        self.save()?;
        Ok(made)
    }

    /// Adds a signature that was made elsewhere. Returns the document it belongs to.
    /// # Errors
    /// [`CeremonyError::Foreign`] when no key that may sign has made it of any draft.
    pub fn add(&mut self, bytes: [u8; 64], from: &Path) -> Result<&'static str, CeremonyError> {
        let (for_root, for_targets) = (self.root_keyrings(), self.targets_keyrings());
        let found = if self.root.as_mut().is_some_and(|draft| draft.add(&for_root, bytes)) {
            "root"
        } else if self.targets.as_mut().is_some_and(|draft| draft.add(&for_targets, bytes)) {
            "targets"
        } else {
            return Err(CeremonyError::Foreign { path: from.to_owned() });
        };
        self.save()?;
        Ok(found)
    }

    /// Tells who still has to sign.
    #[must_use]
    pub fn missing(&self) -> Vec<Missing> {
        let name = |key: &PublicKey| self.id_of(key);
        let mut missing = Vec::new();
        if let Some(draft) = &self.root {
            missing.extend(draft.missing("root", &self.root_keyrings(), &name));
        }
        if let Some(draft) = &self.targets {
            missing.extend(draft.missing("targets", &self.targets_keyrings(), &name));
        }
        missing
    }

    /// Writes the bytes that holders sign, one file per draft, into a folder.
    /// # Errors
    /// [`CeremonyError::Io`].
    pub fn export(&self, folder: &Path) -> Result<Vec<PathBuf>, CeremonyError> {
        let mut written = Vec::new();
        let drafts = [
            ("root", self.root.as_ref().map(|draft| signed::message(&draft.payload))),
            ("targets", self.targets.as_ref().map(|draft| signed::message(&draft.payload))),
        ];
        for (name, bytes) in drafts {
            let Some(bytes) = bytes else { continue };
            let path = folder.join(format!("{name}.canonical.json"));
            crate::steps::write_file(&path, &bytes).map_err(io("write", &path))?;
            written.push(path);
        }
        Ok(written)
    }

    /// Drops the drafts and the signatures in them.
    /// # Errors
    /// [`CeremonyError::Io`].
    pub fn drop_drafts(&self) -> Result<(), CeremonyError> {
        for file in [ROOT, TARGETS] {
            let path = self.folder.join(file);
            match std::fs::remove_file(&path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(io("remove", &path)(error)),
                _ => {}
            }
        }
        // Anything else in it belongs to somebody else; then the folder stays.
        drop(std::fs::remove_dir(&self.folder));
        Ok(())
    }

    /// The keys that the next root needs: those of the root in force, and its own (TUF 5.3.4).
    fn root_keyrings(&self) -> Vec<(&'static str, Keyring)> {
        let now = self.now.0.keyring(RoleName::Root);
        let next = self.next_root().keyring(RoleName::Root);
        let mut keyrings = vec![("the root in force", now.clone())];
        if now != next {
            keyrings.push(("the new root", next.clone()));
        }
        keyrings
    }

    fn targets_keyrings(&self) -> Vec<(&'static str, Keyring)> {
        vec![("the targets role", self.next_root().keyring(RoleName::Targets).clone())]
    }

    /// Names a key as its holder knows it.
    fn id_of(&self, key: &PublicKey) -> String {
        let id = key.id();
        let roots = [self.next_root(), &self.now.0].into_iter();
        let known = roots.flat_map(|root| &root.extension).find_map(|x| x.keys.get(&id));
        known.map_or_else(|| id.as_str().to_owned(), |owner| owner.minisign.clone())
    }

    fn save(&self) -> Result<(), CeremonyError> {
        if let Some(draft) = &self.root {
            draft.save(&self.folder.join(ROOT))?;
        }
        if let Some(draft) = &self.targets {
            draft.save(&self.folder.join(TARGETS))?;
        }
        Ok(())
    }
}

impl<T: Payload> Draft<T> {
    fn new(payload: T) -> Self {
        Self { payload, signatures: Vec::new() }
    }

    /// Returns the document as it will be published.
    fn bytes(&self) -> Vec<u8> {
        signed::assemble(&self.payload, &self.signatures)
    }

    fn load(path: &Path, what: &'static str) -> Result<Option<Self>, CeremonyError>
    where
        T: Clone,
    {
        let bytes = match std::fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(io("read", path)(source)),
        };
        let refuse = |source| CeremonyError::NotADocument { path: path.to_owned(), what, source };
        let read = Signed::<T>::parse(&Untrusted::new(bytes)).map_err(refuse)?;
        Ok(Some(Self { payload: read.unverified().clone(), signatures: read.signatures().to_vec() }))
    }

    fn save(&self, path: &Path) -> Result<(), CeremonyError> {
        crate::steps::write_file(path, &self.bytes()).map_err(io("write", path))
    }

    fn sign(&mut self, keyrings: &[(&'static str, Keyring)], keychain: &mut Keychain) -> CommandResult<u32> {
        let message = signed::message(&self.payload);
        let mut made = 0;
        for (_, key) in keyrings.iter().flat_map(|(_, keyring)| keyring.keys()) {
            if self.has_signed(key, &message) {
                continue;
            }
            if let Some(signer) = keychain.signer(key)? {
                let signature = signer.sign(&message)?;
                self.put(signature);
                made += 1;
            }
        }
        Ok(made)
    }

    fn add(&mut self, keyrings: &[(&'static str, Keyring)], bytes: [u8; 64]) -> bool {
        let message = signed::message(&self.payload);
        let keys = keyrings.iter().flat_map(|(_, keyring)| keyring.keys());
        let signer = keys.into_iter().find(|(_, key)| key.verifies(SignaturePolicy::default(), &message, &bytes));
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

    fn missing(
        &self,
        document: &str,
        keyrings: &[(&'static str, Keyring)],
        name: &dyn Fn(&PublicKey) -> String,
    ) -> Vec<Missing> {
        let message = signed::message(&self.payload);
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
        keyrings.iter().filter_map(of).collect()
    }
}

/// Returns the folder of the drafts, beside the project's root.
fn folder_of(root_file: &Path) -> PathBuf {
    root_file.with_file_name("next")
}

fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> CeremonyError {
    let path = path.to_owned();
    move |source| CeremonyError::Io { action, path, source }
}

/// The draft of the root.
const ROOT: &str = "root.json";
/// The draft of the targets role.
const TARGETS: &str = "targets.json";
