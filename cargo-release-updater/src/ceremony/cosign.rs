//! The role of a channel that several people sign: the first of them leaves it as a submission, the others add their
//! signatures to it, each on a machine of their own, over days.

use super::draft::{Draft, Missing, Needed};
use super::{CeremonyError, Signatures};
use crate::error::{CommandError, CommandResult};
use crate::keys::Keychain;
use crate::repository::{Base, RepositoryError, Submission};
use crate::storage::{Replaced, Storage};
use std::path::Path;
use updater_format::role::Targets;
use updater_format::trust::TrustedChannel;
use updater_format::{Channel, Keyring, PublicKey, SignaturePolicy};

/// A channel's role that waits, with the signatures that are there so far.
#[derive(Debug, Clone)]
pub struct Cosign {
    channel: Channel,
    needed: Needed,
    draft: Draft<Targets>,
    submission: Submission,
}

impl Cosign {
    /// Finds what waits of a channel on top of what is published; `None` when nothing does.
    /// # Errors
    /// [`RepositoryError::Waiting`] when none of these keys has signed it, [`RepositoryError::BaseChanged`] when it can
    /// never be published any more; [`RepositoryError::Submission`] when it is no role of a channel.
    pub fn find(
        storage: &Storage,
        channel: &Channel,
        keyring: &Keyring,
        published: Option<&TrustedChannel>,
    ) -> Result<Option<Self>, RepositoryError> {
        let Some(submission) = Submission::read(storage, channel.as_str())? else { return Ok(None) };
        let role = submission.parse(storage, channel.as_str())?;
        let version = role.unverified().version;
        let published = published.map(TrustedChannel::role);
        if version <= published.map_or(0, |role| role.version) {
            return Ok(None);
        }
        if submission.base != published.map(Base::of) {
            return Err(RepositoryError::BaseChanged { channel: channel.clone(), version });
        }
        let draft = Draft::of(&role);
        if draft.message() != role.message() {
            let rule = "it is not written as this program writes it".to_owned();
            let (role, storage) = (channel.to_string(), storage.name().to_owned());
            return Err(RepositoryError::Submission { role, storage, rule });
        }
        if keyring.count_valid(SignaturePolicy::default(), role.message(), role.signatures()) == 0 {
            return Err(RepositoryError::Waiting { channel: channel.clone(), version });
        }
        let needed = vec![("its keys", keyring.clone())];
        Ok(Some(Self { channel: channel.clone(), needed, draft, submission }))
    }

    /// Returns the role that waits. Enough keys have not signed it yet, perhaps.
    #[must_use]
    pub fn role(&self) -> &Targets {
        &self.draft.payload
    }

    /// Returns the channel.
    #[must_use]
    pub fn channel(&self) -> &Channel {
        &self.channel
    }

    /// Writes the bytes that holders sign into a file.
    /// # Errors
    /// [`CeremonyError::Io`].
    pub fn export(&self, path: &Path) -> Result<(), CeremonyError> {
        super::folder::write_durably(path, &self.draft.message())
    }

    /// Tells whether a key that is here has not signed, and its signature is missing.
    #[must_use]
    pub fn can_sign_more(&self, keychain: &Keychain) -> bool {
        self.draft.can_sign_more(&self.needed, keychain)
    }

    /// Signs with the keys that are here, until enough have. Returns how many did.
    /// # Errors
    /// What unlocking a key returns.
    pub fn sign(&mut self, keychain: &mut Keychain) -> CommandResult<u32> {
        self.draft.sign(&self.needed, keychain)
    }

    /// Adds what was signed elsewhere, out of a file.
    /// # Errors
    /// [`CeremonyError::Foreign`] when none of it was made of this role by a key of the channel.
    pub fn add(&mut self, signatures: &Signatures, from: &Path) -> Result<(), CeremonyError> {
        let added = signatures.0.iter().filter(|bytes| self.draft.add(&self.needed, bytes)).count();
        if added == 0 { Err(CeremonyError::Foreign { path: from.to_owned() }) } else { Ok(()) }
    }

    /// Tells who still has to sign; `None` when enough have. `name` names a key as its holder knows it.
    #[must_use]
    pub fn missing(&self, name: &dyn Fn(&PublicKey) -> String) -> Option<Missing> {
        self.draft.missing(self.channel.as_str(), &self.needed, name).pop()
    }

    /// Leaves the role with its new signatures in place of the one that was found.
    /// # Errors
    /// [`RepositoryError::NumberGone`] when another one lies there by now; what the storage returns.
    pub fn leave(&self, storage: &Storage) -> CommandResult {
        let signed = self.submission.clone().with_document(&self.draft.bytes());
        match signed.replace(storage, self.channel.as_str(), &self.submission)? {
            Replaced::Done => Ok(()),
            Replaced::Changed => {
                let (role, version) = (self.channel.to_string(), self.draft.payload.version);
                let error = CommandError::from(RepositoryError::NumberGone { role, version });
                Err(error.hint("if another holder has signed at the same time, run it again"))
            }
        }
    }
}
