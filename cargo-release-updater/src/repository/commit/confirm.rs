//! Whether a change is published: read as a client reads it, after the commit.

use super::claim::Sent;
use super::role::SignedRole;
use super::{Commit, MAX_SKIPPED, Withhold, metadata};
use crate::error::CommandError;
use crate::repository::seen::{Entry, Seen};
use crate::repository::state::Expiry;
use crate::repository::submission::Base;
use crate::repository::{RepositoryError, RepositoryState};
use updater_format::Sha256;
use updater_format::length::MAX_ROLE;
use updater_format::role::{Targets, Timestamp};
use updater_format::signed::{Signed, Untrusted};
use updater_format::trust::TrustedChannel;

/// Whose role of the channel is the newest one after a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Newest {
    Ours,
    /// Somebody else has published on top of it meanwhile.
    Theirs,
}

impl Commit<'_> {
    /// Looks whether a role, or one that was made from it, is published. `None` when it is not: somebody has put a
    /// timestamp in its place that knows nothing of it.
    pub(super) fn confirm_role(&self, signed: &SignedRole) -> Result<Option<Newest>, CommandError> {
        let state = RepositoryState::read(self.storage, self.app, self.root, Expiry::Ignored)?;
        let Some(state) = state else { return Ok(None) };
        // Another channel may be expired: that is no reason to call this release a failure.
        if let Some((role, since)) = state.expired(&signed.channel, self.now) {
            return Err(RepositoryError::Expired { role, since }.into());
        }
        let Some(published) = state.channels().get(&signed.channel) else { return Ok(None) };
        let is_ours = state.snapshot().roles.get(signed.channel.as_str()) == Some(&signed.meta);
        if !is_ours && !self.descends(published, signed)? {
            return Ok(None);
        }
        self.remember(&state)?;
        Ok(Some(if is_ours { Newest::Ours } else { Newest::Theirs }))
    }

    /// Looks whether what is withheld is what was meant to be. `None` when a timestamp is in its place that knows nothing
    /// of it.
    pub(super) fn confirm_withheld(
        &self,
        edit: &mut Withhold<'_>,
        ours: &Timestamp,
        sent: &Sent,
    ) -> Result<Option<Newest>, CommandError> {
        let state = RepositoryState::read(self.storage, self.app, self.root, Expiry::Ignored)?;
        let Some(state) = state else { return Ok(None) };
        if let Some((role, since)) = state.expired_for_all(self.now) {
            return Err(RepositoryError::Expired { role, since }.into());
        }
        let there = state.timestamp().extension.clone().unwrap_or_default();
        if there != ours.extension.clone().unwrap_or_default() {
            let mut again = there.clone();
            let holds = match (edit(&mut again, &state), sent) {
                (Ok(()), _) => again == there,
                // It was possible, and done; now there is nothing left of it to do.
                (Err(_), Sent::Done) => true,
                (Err(_), _) => false,
            };
            if !holds {
                return Ok(None);
            }
        }
        self.remember(&state)?;
        let is_ours = state.timestamp().version == ours.version;
        Ok(Some(if is_ours { Newest::Ours } else { Newest::Theirs }))
    }

    /// Tells whether a published role was made from ours, step by step: each names the one that it was made from.
    fn descends(&self, published: &TrustedChannel, ours: &SignedRole) -> Result<bool, RepositoryError> {
        let mut role: Targets = (**published.role()).clone();
        for _ in 0..MAX_SKIPPED {
            let Some(base) = Base::named_in(&role) else { return Ok(false) };
            if base.version <= ours.version {
                return Ok(ours.is(base));
            }
            let path = metadata(&format!("{}.{}.json", base.version, ours.channel));
            let Some(bytes) = self.storage.read(&path, MAX_ROLE)? else { return Ok(false) };
            // What is signed names its base by digest, so no signature has to be checked on the way.
            let parsed = Signed::<Targets>::parse(&Untrusted::new(bytes.clone()));
            match parsed {
                Ok(parsed) if Sha256::of(&bytes) == base.sha256 => role = parsed.unverified().clone(),
                _ => return Ok(false),
            }
        }
        Ok(false)
    }

    /// Records a state that was read and believed: in the file that was named, whose folder is made; else beside the keys,
    /// unless there is no such folder, because a job has its key in a variable.
    pub(in crate::repository) fn remember(&self, state: &RepositoryState) -> Result<(), RepositoryError> {
        let is_named = self.storage.record().is_some();
        let Some(identity) = self.storage.identity() else { return Ok(()) };
        let entry = Entry::of(state);
        if let Some(private) = self.storage.private() {
            Seen::share(private, &identity, &entry)?;
        }
        match is_named || self.keychain.folder().path().is_dir() {
            true => Seen::save(&self.record(), &identity, entry),
            false => Ok(()),
        }
    }
}
