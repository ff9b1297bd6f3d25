//! Our own rules on top of TUF: a client reads the role of one channel and never searches others.

use super::{Complete, TrustError, TrustedSet};
use crate::app::AppId;
use crate::channel::Channel;
use crate::release::ChannelContents;
use crate::role::{DelegatedRole, RoleName, Targets};
use crate::signed::{Untrusted, Verified};

/// A channel's role, proven to belong to this app and this channel, with its releases read.
#[derive(Debug, Clone)]
pub struct TrustedChannel {
    role: Verified<Targets>,
    contents: ChannelContents,
}

impl TrustedChannel {
    /// Returns the verified role.
    #[must_use]
    pub fn role(&self) -> &Verified<Targets> {
        &self.role
    }

    /// Returns the releases.
    #[must_use]
    pub fn contents(&self) -> &ChannelContents {
        &self.contents
    }
}

impl TrustedSet<Complete> {
    /// Takes the role of a channel.
    /// # Errors
    /// [`TrustError::UnknownRole`] when the app has no such channel; [`TrustError::WrongApp`] and
    /// [`TrustError::WrongChannel`] when a valid role of another app or channel was put in its place; and what
    /// [`TrustedSet::delegated`] returns.
    pub fn channel(&self, channel: &Channel, bytes: &Untrusted) -> Result<TrustedChannel, TrustError> {
        let delegation = find_channel(self.current_targets(), channel)?;
        let role = self.delegated(delegation, bytes)?;
        let extension = role.extension.as_ref();
        self.check_app(channel.as_str(), extension.map(|x| &x.app))?;
        let found = extension.and_then(|x| x.channel.as_ref());
        if found != Some(channel) {
            return Err(TrustError::WrongChannel {
                role: channel.to_string(),
                expected: channel.to_string(),
                found: found.map_or_else(|| "none".to_owned(), ToString::to_string),
            });
        }
        let app: Option<&AppId> = extension.map(|x| &x.app);
        let contents = match app {
            Some(app) => ChannelContents::read(app, &role)?,
            None => ChannelContents::default(),
        };
        Ok(TrustedChannel { role, contents })
    }
}

/// Finds the delegation of a channel in the top-level targets role.
/// # Errors
/// [`TrustError::UnknownRole`] when there is none.
pub fn find_channel<'a>(targets: &'a Targets, channel: &Channel) -> Result<&'a DelegatedRole, TrustError> {
    targets
        .delegation(channel.as_str())
        .ok_or_else(|| TrustError::UnknownRole { role: channel.to_string(), by: RoleName::Targets.to_string() })
}
