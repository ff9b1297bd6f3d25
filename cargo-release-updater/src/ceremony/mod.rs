//! Ceremonies: the next root and the next targets role, signed by people, one after the other, over days.
//!
//! What was asked for and the drafts lie in `next/` beside the project's root, the drafts as documents with the
//! signatures that are there so far; so they can be committed, mailed, and looked at. Nothing else is remembered: what is
//! left to do follows from them, the project's own root and what is published, and every step may be stopped and done
//! again.

mod begin;
pub mod change;
mod cosign;
mod documents;
mod draft;
mod elsewhere;
mod error;
mod finish;
mod folder;
mod minisig;
pub mod review;

pub use begin::{Maker, begin};
pub use change::KeyChange;
pub use cosign::Cosign;
pub use documents::Documents;
pub use draft::{Draft, Missing};
pub use elsewhere::{SignedFile, sign_file};
pub use error::CeremonyError;
pub use finish::{Progress, settle};
pub use folder::{Folder, Request, Rotation, Task};
pub use minisig::{Signatures, read_signatures};
pub use review::{Review, Reviewed};

use crate::error::CommandResult;
use crate::keys::{KeyError, Keychain};
use crate::repository::{METADATA, RepositoryState, Submission};
use crate::storage::Storage;
use draft::Needed;
use std::path::{Path, PathBuf};
use updater_format::length::MAX_ROOT;
use updater_format::role::{Payload, RoleName, Root, Targets};
use updater_format::signed::{Signed, Untrusted};
use updater_format::{PublicKey, UtcTime, signed};

/// The drafts of one project, complete and to be signed.
#[derive(Debug, Clone)]
pub struct Ceremony {
    folder: Folder,
    request: Request,
    /// The root and the targets role in force.
    now: (Root, Targets),
    /// The next root.
    pub root: Option<Draft<Root>>,
    /// The next targets role.
    pub targets: Option<Draft<Targets>>,
}

impl Ceremony {
    /// Reads the drafts of a request, and holds them against it: they come out of version control, and who changes them there
    /// has people sign something else. `now` is what is in force at this time.
    /// # Errors
    /// [`CeremonyError::NotADocument`] for a draft that cannot be read, [`CeremonyError::Request`] when there is none,
    /// [`CeremonyError::NotAsked`] for one that is not what was asked for.
    pub fn load(folder: Folder, request: Request, now: (Root, Targets), time: UtcTime) -> Result<Self, CeremonyError> {
        let root = Draft::<Root>::load(&folder, ROOT, "root")?;
        let targets = Draft::<Targets>::load(&folder, TARGETS, "targets role")?;
        if root.is_none() && targets.is_none() {
            let rule = "the drafts that it says are there are not".to_owned();
            return Err(CeremonyError::Request { path: folder.path().to_owned(), rule });
        }
        let ceremony = Self { folder, request, now, root, targets };
        ceremony.must_be_asked_for(time)?;
        Ok(ceremony)
    }

    /// Makes the documents once more and compares; their terms were counted from another moment, but are no longer than
    /// those of today. What is in force by now was compared before.
    fn must_be_asked_for(&self, time: UtcTime) -> Result<(), CeremonyError> {
        let (root, targets) = &self.now;
        let differs = |name: &str, what| Err(CeremonyError::NotAsked { path: self.folder.path().join(name), what });
        let draft = self.root.as_ref().map(|draft| &draft.payload);
        if draft.is_none_or(|draft| draft.version > root.version) {
            let same = match (self.request.task.next_root(root, targets, time)?, draft) {
                (Some(asked), Some(draft)) => {
                    is_asked_for(&asked, draft, |asked| Root { expires: draft.expires, ..asked.clone() })
                }
                (asked, draft) => asked.is_none() && draft.is_none(),
            };
            if !same {
                return differs(ROOT, "root");
            }
        }
        let draft = self.targets.as_ref().map(|draft| &draft.payload);
        if draft.is_none_or(|draft| draft.version > targets.version) {
            let same = match (self.request.task.next_targets(root, targets, time)?, draft) {
                (Some(asked), Some(draft)) => {
                    is_asked_for(&asked, draft, |asked| Targets { expires: draft.expires, ..asked.clone() })
                }
                (asked, draft) => asked.is_none() && draft.is_none(),
            };
            if !same {
                return differs(TARGETS, "targets role");
            }
        }
        Ok(())
    }

    /// Returns the folder of the drafts.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Returns the root that will be in force.
    #[must_use]
    pub fn next_root(&self) -> &Root {
        self.root.as_ref().map_or(&self.now.0, |draft| &draft.payload)
    }

    /// Tells whether a key that is here has not signed, and its signature is missing.
    #[must_use]
    pub fn can_sign_more(&self, keychain: &Keychain) -> bool {
        let root = self.root.as_ref().is_some_and(|draft| draft.can_sign_more(&self.for_root(), keychain));
        root || self.targets.as_ref().is_some_and(|draft| draft.can_sign_more(&self.for_targets(), keychain))
    }

    /// Signs every draft with the keys that are here, as far as their signatures are missing. Returns how many came.
    /// # Errors
    /// What unlocking a key returns; the signatures of drafts before are kept.
    pub fn sign(&mut self, keychain: &mut Keychain) -> CommandResult<u32> {
        let (for_root, for_targets) = (self.for_root(), self.for_targets());
        let mut made = 0;
        if let Some(draft) = &mut self.root {
            made += draft.sign(&for_root, keychain)?;
            draft.save(&self.folder, ROOT)?;
        }
        if let Some(draft) = &mut self.targets {
            made += draft.sign(&for_targets, keychain)?;
            draft.save(&self.folder, TARGETS)?;
        }
        Ok(made)
    }

    /// Adds what was signed elsewhere, out of a file. Returns the documents it belongs to, once per signature.
    /// # Errors
    /// [`CeremonyError::Foreign`] when none of it was made of a draft by a key that may sign it.
    pub fn add(&mut self, signatures: &Signatures, from: &Path) -> Result<Vec<&'static str>, CeremonyError> {
        let (for_root, for_targets) = (self.for_root(), self.for_targets());
        let mut found = Vec::new();
        for bytes in &signatures.0 {
            if self.root.as_mut().is_some_and(|draft| draft.add(&for_root, bytes)) {
                found.push("root");
            } else if self.targets.as_mut().is_some_and(|draft| draft.add(&for_targets, bytes)) {
                found.push("targets");
            }
        }
        if found.is_empty() {
            return Err(CeremonyError::Foreign { path: from.to_owned() });
        }
        if let Some(draft) = &self.root {
            draft.save(&self.folder, ROOT)?;
        }
        if let Some(draft) = &self.targets {
            draft.save(&self.folder, TARGETS)?;
        }
        Ok(found)
    }

    /// Tells who still has to sign.
    #[must_use]
    pub fn missing(&self) -> Vec<Missing> {
        self.missing_when(&|_| false)
    }

    /// Tells who else has to sign when the keys that are here do.
    #[must_use]
    pub fn missing_besides(&self, keychain: &Keychain) -> Vec<Missing> {
        self.missing_when(&|key| keychain.has(key))
    }

    fn missing_when(&self, signs: &dyn Fn(&PublicKey) -> bool) -> Vec<Missing> {
        let name = |key: &PublicKey| self.id_of(key);
        let mut missing = Vec::new();
        if let Some(draft) = &self.root {
            missing.extend(draft.missing_besides("root", &self.for_root(), &name, signs));
        }
        if let Some(draft) = &self.targets {
            missing.extend(draft.missing_besides("targets", &self.for_targets(), &name, signs));
        }
        missing
    }

    /// Returns the documents with the bytes that holders sign.
    #[must_use]
    pub fn messages(&self) -> Vec<(&'static str, Vec<u8>)> {
        let root = self.root.iter().map(|draft| ("root", draft.message()));
        root.chain(self.targets.iter().map(|draft| ("targets", draft.message()))).collect()
    }

    /// Writes the bytes that holders sign, one file per draft, into a folder.
    /// # Errors
    /// [`CeremonyError::Io`].
    pub fn export(&self, folder: &Path) -> Result<Vec<PathBuf>, CeremonyError> {
        let write = |(name, bytes): (&str, Vec<u8>)| {
            let path = folder.join(format!("{name}.canonical.json"));
            folder::write_durably(&path, &bytes)?;
            Ok(path)
        };
        self.messages().into_iter().map(write).collect()
    }

    /// Says of each draft what it changes.
    #[must_use]
    pub fn reviews(&self) -> Vec<review::Review> {
        let before = Documents::of(&self.now.0, &self.now.1);
        let root = self.root.iter().map(|draft| Reviewed::Root(Box::new(draft.payload.clone())));
        let targets = self.targets.iter().map(|draft| Reviewed::Targets(Box::new(draft.payload.clone())));
        root.chain(targets).map(|document| document.review(before, Some(self.next_root()))).collect()
    }

    /// The keys that the next root needs: those of the root in force, and its own (TUF 5.3.4).
    fn for_root(&self) -> Needed {
        let now = self.now.0.keyring(RoleName::Root);
        let next = self.next_root().keyring(RoleName::Root);
        let mut needed = vec![("the root in force", now.clone())];
        if now != next {
            needed.push(("the new root", next.clone()));
        }
        needed
    }

    fn for_targets(&self) -> Needed {
        vec![("the targets role", self.next_root().keyring(RoleName::Targets).clone())]
    }

    /// Returns the file name, without its ending, of the key that was made for this.
    #[must_use]
    pub fn made_key(&self) -> Option<&str> {
        match &self.request.task {
            Task::Rotate(rotation) => rotation.key.as_deref(),
            Task::Renew { .. } => None,
        }
    }

    /// Unlocks the new online key, where it is here, before a root names it in public: it signs nothing until then, so that
    /// nothing else shows before it is too late that it cannot be used.
    /// # Errors
    /// What unlocking returns.
    pub fn prove_online_key(&self, keychain: &mut Keychain) -> Result<(), KeyError> {
        let (now, next) = (self.now.0.keyring(RoleName::Timestamp), self.next_root().keyring(RoleName::Timestamp));
        for (_, key) in next.keys().iter().filter(|(id, _)| !now.keys().iter().any(|(known, _)| known == id)) {
            keychain.signer(key)?;
        }
        Ok(())
    }

    /// Names a key as its holder knows it.
    fn id_of(&self, key: &PublicKey) -> String {
        let next =
            Documents { root: Some(self.next_root()), targets: self.targets.as_ref().map(|draft| &draft.payload) };
        match next.owner_of(key) {
            Some(owner) => owner.minisign.clone(),
            None => Documents::of(&self.now.0, &self.now.1).id_of(key),
        }
    }
}

/// Tells whether a draft says what was asked for, for no longer than it would today.
fn is_asked_for<T: Payload>(asked: &T, draft: &T, with_its_term: impl Fn(&T) -> T) -> bool {
    let is_longer = draft.expires() > asked.expires().plus_days(1);
    !is_longer && signed::message(&with_its_term(asked)) == signed::message(draft)
}

/// Refuses to drop drafts that clients follow already, and takes back what waits of them for the online key. Also of drafts
/// that were changed since; what cannot be read is nobody's business any more.
/// # Errors
/// [`CeremonyError::Out`]; what reading or changing the storage returns.
pub fn withdraw(folder: &Folder, storage: &Storage, state: Option<&RepositoryState>) -> CommandResult {
    if let Ok(Some(draft)) = Draft::<Root>::load(folder, ROOT, "root") {
        let version = draft.payload.version;
        let there = storage.read(&format!("{METADATA}/{version}.root.json"), MAX_ROOT)?.unwrap_or_default();
        let there = Signed::<Root>::parse(&Untrusted::new(there));
        if there.is_ok_and(|there| there.message() == draft.message()) {
            return Err(CeremonyError::Out { role: "root", version }.into());
        }
    }
    let Ok(Some(draft)) = Draft::<Targets>::load(folder, TARGETS, "targets role") else { return Ok(()) };
    let version = draft.payload.version;
    if state.is_some_and(|state| signed::message(&**state.targets()) == draft.message()) {
        return Err(CeremonyError::Out { role: "targets", version }.into());
    }
    if let Some(waiting) = Submission::read(storage, "targets")?
        && waiting.parse(storage, "targets").is_ok_and(|waiting| waiting.message() == draft.message())
    {
        Submission::withdraw(storage, "targets")?;
    }
    for (channel, published) in state.iter().flat_map(|state| state.channels()) {
        let Some(delegation) = draft.payload.delegation(channel.as_str()) else { continue };
        let before = state.and_then(|state| state.targets().delegation(channel.as_str()));
        let other_keys = before.map(|before| &before.keyring) != Some(&delegation.keyring);
        if other_keys && matches!(finish::waits(storage, channel, published, delegation), Ok(Some(_))) {
            Submission::withdraw(storage, channel.as_str())?;
        }
    }
    Ok(())
}

/// The draft of the root.
const ROOT: &str = "root.json";
/// The draft of the targets role.
const TARGETS: &str = "targets.json";
