//! Whether a change is published: read as a client reads it, after the commit.

use super::Commit;
use super::role::SignedRole;
use crate::error::CommandError;
use crate::repository::seen::{Entry, Seen};
use crate::repository::state::Expiry;
use crate::repository::{Committed, RepositoryError, RepositoryState};
use updater_format::role::TargetFile;

/// Whose role of the channel is the newest one after a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Newest {
    Ours,
    /// Somebody else has published on top of it meanwhile.
    Theirs,
}

impl Commit<'_> {
    /// Reads the repository as a client would and looks whether the change is in it.
    pub(super) fn confirm(
        &self,
        signed: Option<&SignedRole>,
        committed: Committed,
    ) -> Result<Option<(Committed, Newest)>, CommandError> {
        let channel = signed.map(|signed| &signed.channel);
        // Another channel may be expired: that is no reason to call this release a failure.
        let state = RepositoryState::read(self.storage, self.app, self.root, Expiry::Ignored)?;
        let expired = |state: &RepositoryState| state.expired(channel?, self.now);
        if let Some((role, since)) = state.as_ref().and_then(expired) {
            return Err(RepositoryError::Expired { role, since }.into());
        }
        let is_there = |state: &RepositoryState| match signed {
            None => state.timestamp().version >= committed.timestamp,
            Some(signed) => state.channels().get(&signed.channel).is_some_and(|channel| {
                let role = channel.role();
                let lists = |(name, file): (&String, &TargetFile)| role.targets.get(name) == Some(file);
                // A later one was made from this one, or by somebody who did not see it: a service whose conditions
                // do not hold under load has let both through.
                role.version == signed.version || role.version > signed.version && signed.added.iter().all(lists)
            }),
        };
        // Otherwise somebody has put another timestamp in its place. Then once more, on top of that.
        let Some(state) = state.filter(is_there) else { return Ok(None) };
        if let Some(identity) = self.storage.identity() {
            Seen::save(&self.record(), &identity, Entry::of(&state))?;
        }
        let role = channel.and_then(|channel| state.channels().get(channel)).map_or(0, |c| c.role().version);
        let newest = if role == committed.role { Newest::Ours } else { Newest::Theirs };
        Ok(Some((committed, newest)))
    }
}
