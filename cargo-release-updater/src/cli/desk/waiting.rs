//! What is submitted in a channel and waits for the keys of others.

use super::Desk;
use crate::ceremony::{Cosign, Documents, Missing};
use crate::error::CommandResult;
use crate::repository::{Base, RepositoryError, Submission};
use crate::steps::sign::roles_in_force;
use updater_format::Channel;
use updater_format::release::ChannelContents;
use updater_format::trust::TrustedChannel;

impl Desk<'_> {
    /// Returns what a submission of the channel lists that waits for the online key.
    pub(in crate::cli) fn waiting(&self) -> CommandResult<Option<ChannelContents>> {
        let published = self.state.as_ref().and_then(|state| state.channels().get(&self.channel));
        let published = published.map(TrustedChannel::role);
        let name = self.channel.as_str();
        let Some(submission) = Submission::read(&self.storage, name)? else { return Ok(None) };
        let role = submission.parse(&self.storage, name)?;
        let version = role.unverified().version;
        if version <= published.map_or(0, |role| role.version) {
            return Ok(None);
        }
        if submission.base != published.map(Base::of) {
            // Nobody will ever publish it.
            return Err(RepositoryError::BaseChanged { channel: self.channel.clone(), version }.into());
        }
        // Unverified: it only decides that nothing is left to do.
        let contents = ChannelContents::read(&self.trust.app, role.unverified()).ok();
        Ok(contents.and_then(|contents| contents.of(self.component.as_ref()).cloned()))
    }

    /// Tells who still has to sign what waits of a channel; `None` when nothing does, or enough have.
    pub(in crate::cli) fn missing(&self, channel: &Channel) -> CommandResult<Option<Missing>> {
        let (root, targets) = roles_in_force(&self.trust, self.state.as_ref())?;
        let Some(delegation) = targets.delegation(channel.as_str()) else { return Ok(None) };
        let published = self.state.as_ref().and_then(|state| state.channels().get(channel));
        let documents = Documents::of(&root, &targets);
        Ok(match Cosign::find(&self.storage, channel, &delegation.keyring, published) {
            Ok(Some(waiting)) => waiting.missing(&|key| documents.id_of(key)),
            _ => None,
        })
    }

    /// Says when clients see what was just submitted in a channel.
    pub(in crate::cli) fn tell_waiting(&self, channel: &Channel) -> CommandResult {
        match self.missing(channel)? {
            Some(missing) => self.context.shell.note(format_args!(
                "{missing}; their holders run `cargo updater release sign --channel {channel}` before clients see it"
            )),
            None => self.context.shell.note(AFTER_REFRESH),
        }
        Ok(())
    }
}

/// What is said of a role that only the online key is missing for.
pub(in crate::cli) const AFTER_REFRESH: &str =
    "clients see it when `cargo updater refresh` has run with the online key";
