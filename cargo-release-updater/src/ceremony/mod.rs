//! Ceremonies: the next root and the next targets role, signed by people, one after the other, over days.
//!
//! What was asked for and the drafts lie in `next/` beside the project's root, the drafts as documents with the
//! signatures that are there so far; so they can be committed, mailed, and looked at. Nothing else is remembered: what is
//! left to do follows from them, the project's own root and what is published, and every step may be stopped and done
//! again.

mod begin;
pub mod change;
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
pub use documents::Documents;
pub use draft::{Draft, Missing};
pub use elsewhere::{SignedFile, sign_file};
pub use error::CeremonyError;
pub use finish::{Progress, settle};
pub use folder::{Folder, Request, Rotation, Task};
pub use minisig::{Signatures, read_signatures};
pub use review::{Review, Reviewed};

use crate::error::CommandResult;
use crate::keys::Keychain;
use draft::Needed;
use std::path::{Path, PathBuf};
use updater_format::PublicKey;
use updater_format::role::{RoleName, Root, Targets};

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
    /// Reads the drafts of a request. `now` is what is in force.
    /// # Errors
    /// [`CeremonyError::NotADocument`] for a draft that cannot be read, [`CeremonyError::Request`] when there is none.
    pub fn load(folder: Folder, request: Request, now: (Root, Targets)) -> Result<Self, CeremonyError> {
        let root = Draft::<Root>::load(&folder, ROOT, "root")?;
        let targets = Draft::<Targets>::load(&folder, TARGETS, "targets role")?;
        if root.is_none() && targets.is_none() {
            let rule = "the drafts that it says are there are not".to_owned();
            return Err(CeremonyError::Request { path: folder.path().to_owned(), rule });
        }
        Ok(Self { folder, request, now, root, targets })
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

    /// Tells whether a key that is here may sign and has not.
    #[must_use]
    pub fn can_sign_more(&self, keychain: &Keychain) -> bool {
        let root = self.root.as_ref().is_some_and(|draft| draft.can_sign_more(&self.for_root(), keychain));
        root || self.targets.as_ref().is_some_and(|draft| draft.can_sign_more(&self.for_targets(), keychain))
    }

    /// Signs every draft with every key that is here and may. Returns how many signatures came.
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
        let name = |key: &PublicKey| self.id_of(key);
        let mut missing = Vec::new();
        if let Some(draft) = &self.root {
            missing.extend(draft.missing("root", &self.for_root(), &name));
        }
        if let Some(draft) = &self.targets {
            missing.extend(draft.missing("targets", &self.for_targets(), &name));
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

/// The draft of the root.
const ROOT: &str = "root.json";
/// The draft of the targets role.
const TARGETS: &str = "targets.json";
