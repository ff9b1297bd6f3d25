//! From signed drafts to what clients trust: the root is published first, roles wait for the online key, and the
//! project's own files follow when clients can see all of it.

use super::{Ceremony, CeremonyError};
use crate::error::CommandResult;
use crate::keys::Keychain;
use crate::repository::{Base, METADATA, RepositoryError, RepositoryState, Submission};
use crate::roles::{Document, next_channel};
use crate::steps::promote::sign_again;
use crate::storage::{Created, Replaced, Storage, StorageError};
use std::path::Path;
use updater_format::length::MAX_ROOT;
use updater_format::role::{DelegatedRole, Targets};
use updater_format::trust::TrustedChannel;
use updater_format::{AppId, Channel, SignaturePolicy, UtcTime};

/// How far a complete ceremony has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finished {
    /// Clients see it; the project's files were replaced and the drafts removed.
    Done,
    /// What was signed is in the storage and waits for the online key.
    WaitsForOnlineKey,
}

impl Ceremony {
    /// Publishes the root, and leaves the targets role, and the roles of channels whose keys change, for the online key.
    /// May be done again. Nothing of it needs the online key.
    /// # Errors
    /// [`CeremonyError::Outdated`] when something newer is published; what the storage or a key returns.
    pub fn publish(
        &self,
        app: &AppId,
        storage: &Storage,
        state: Option<&RepositoryState>,
        keychain: &mut Keychain,
        now: UtcTime,
    ) -> CommandResult {
        // A repository that is empty gets the new documents with its first release.
        let Some(state) = state else { return Ok(()) };
        if let Some(draft) = &self.targets {
            if draft.payload.version < state.targets().version {
                return Err(outdated("targets", draft.payload.version, state.targets().version).into());
            }
            // The roles of channels first: without the targets role they are only waiting.
            self.sign_channels(app, storage, state, &draft.payload, keychain, now)?;
        }
        if let Some(draft) = &self.root {
            let path = format!("{METADATA}/{}.root.json", draft.payload.version);
            let bytes = draft.bytes();
            if storage.put_new(&path, bytes.clone())? == Created::Exists {
                let there = storage.read(&path, MAX_ROOT)?;
                if there.as_deref() != Some(&bytes) {
                    return Err(StorageError::Differs { path, storage: storage.name().to_owned() }.into());
                }
            }
        }
        if let Some(draft) = &self.targets
            && draft.payload.version > state.targets().version
        {
            leave(&Submission::new(&draft.bytes(), None, None), storage, "targets", draft.payload.version)?;
        }
        Ok(())
    }

    /// Tells whether clients see what was signed, and if so replaces the project's files and removes the drafts. `table`
    /// brings the project's settings in line with the new root before.
    /// # Errors
    /// What reading the storage or writing the files returns.
    pub fn settle(
        &self,
        app: &AppId,
        storage: &Storage,
        root_file: &Path,
        root: &[u8],
        table: &dyn Fn() -> CommandResult,
    ) -> CommandResult<Finished> {
        let (state, newest) = RepositoryState::read_behind(storage, app, root)?;
        if let Some(state) = &state {
            let root_is_in_force = state.root().version == newest.version
                && self.root.as_ref().is_none_or(|draft| newest.version >= draft.payload.version);
            let targets_are = self.targets.as_ref().is_none_or(|t| state.targets().version >= t.payload.version);
            if !root_is_in_force || !targets_are {
                return Ok(Finished::WaitsForOnlineKey);
            }
        }
        let write = |path: &Path, bytes: &[u8]| {
            crate::steps::write_file(path, bytes)
                .map_err(super::io("write", path))
                .map_err(crate::error::CommandError::from)
        };
        table()?;
        // The root last: the files are read together.
        if let Some(draft) = &self.targets {
            write(&crate::init::targets_file(root_file), &draft.bytes())?;
        }
        if let Some(draft) = &self.root {
            write(root_file, &draft.bytes())?;
        }
        self.drop_drafts()?;
        Ok(Finished::Done)
    }

    /// Signs the roles of channels whose keys the new targets role changes with the new keys, and their files.
    fn sign_channels(
        &self,
        app: &AppId,
        storage: &Storage,
        state: &RepositoryState,
        targets: &Targets,
        keychain: &mut Keychain,
        now: UtcTime,
    ) -> CommandResult {
        for (channel, published) in state.channels() {
            let Some(delegation) = targets.delegation(channel.as_str()) else { continue };
            let before = state.targets().delegation(channel.as_str()).map(|before| &before.keyring);
            if before == Some(&delegation.keyring) || waits(storage, channel, published, delegation)? {
                continue;
            }
            let signers = keychain.signers(channel.as_str(), &delegation.keyring)?;
            let mut role = next_channel(app, channel, Some(published.role()), now);
            // A number that an interrupted publisher has taken stays taken.
            while storage.length(&format!("{METADATA}/{}.{channel}.json", role.version))?.is_some() {
                role.version += 1;
            }
            let document = Document::sign(channel.as_str(), &role, &signers)?;
            let version_file = match signers.first() {
                Some(signer) => {
                    sign_again(app, channel, published.contents(), storage, signer)?;
                    Some(crate::repository::version_file::signed(app, channel, &role, signer)?)
                }
                None => None,
            };
            let base = Some(Base::of(published.role()));
            leave(&Submission::new(&document.bytes, base, version_file), storage, channel.as_str(), role.version)?;
        }
        Ok(())
    }
}

/// Tells whether the channel's role, signed with its new keys on top of what is published, waits already: from an earlier
/// run of this very step.
fn waits(
    storage: &Storage,
    channel: &Channel,
    published: &TrustedChannel,
    delegation: &DelegatedRole,
) -> Result<bool, RepositoryError> {
    let Some(submission) = Submission::read(storage, channel.as_str())? else { return Ok(false) };
    let role = submission.parse(storage, channel.as_str())?;
    let version = role.unverified().version;
    if version <= published.role().version {
        return Ok(false);
    }
    if role.check(channel.as_str(), &delegation.keyring, SignaturePolicy::default()).is_err() {
        // A release that the old keys have signed: it would be lost.
        return Err(RepositoryError::Waiting { channel: channel.clone(), version });
    }
    Ok(submission.base == Some(Base::of(published.role())))
}

fn leave(submission: &Submission, storage: &Storage, role: &str, version: u64) -> CommandResult {
    match submission.put(storage, role)? {
        Replaced::Done => Ok(()),
        Replaced::Changed => Err(RepositoryError::NumberGone { role: role.to_owned(), version }.into()),
    }
}

fn outdated(role: &str, draft: u64, published: u64) -> CeremonyError {
    CeremonyError::Outdated { role: role.to_owned(), draft, published }
}
