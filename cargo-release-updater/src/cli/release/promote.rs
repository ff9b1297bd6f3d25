//! `release promote`: a release of one channel becomes one of another.

use super::{Ask, SteerArgs, published, tell};
use crate::context::Context;
use crate::error::CommandResult;
use crate::keys::KeyError;
use crate::progress::human_bytes;
use crate::repository::{RepositoryError, Submission};
use crate::steps::promote::{Detached, Promotion};
use crate::steps::sign::keyrings;
use updater_format::release::ChannelContents;
use updater_format::{Channel, ReleaseVersion};

/// Publish a release of one channel in another, byte for byte; signed by the other channel's key.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  cargo updater release promote 2.4.1 --from beta\n  \
                        cargo updater release promote 2.4.1 --from nightly --channel beta")]
pub(super) struct Args {
    /// The release.
    version: ReleaseVersion,
    /// The channel that has it.
    #[arg(long, value_name = "NAME", help_heading = "Selection")]
    from: Channel,
    #[command(flatten)]
    common: SteerArgs,
}

impl Args {
    pub(super) fn run(&self, context: &Context) -> CommandResult {
        let desk = self.common.open(context)?;
        let state = published(&desk)?;
        let nothing = ChannelContents::default();
        let component = desk.component.as_ref();
        let contents = |channel: &Channel| state.channels().get(channel).and_then(|role| role.contents().of(component));
        let promotion = Promotion::new(
            &self.version,
            (&self.from, contents(&self.from).unwrap_or(&nothing)),
            (&desk.channel, contents(&desk.channel)),
        )?;
        let what = format!("promote {} from {} to {}", self.version, self.from, desk.channel);
        for (version, bytes) in promotion.without_patch(contents(&desk.channel).unwrap_or(&nothing)) {
            context.shell.note(format_args!(
                "no patch leads from {version} to {}: its copies download the bundle, {}; a release that goes to {} by \
                 `publish` gets patches",
                self.version,
                human_bytes(bytes),
                desk.channel
            ));
        }
        if !self.common.go_on(context, &desk, &what, Ask::Once)? {
            return Ok(());
        }
        let mut keychain = desk.keychain(&self.common.keys)?;
        let [(role, keyring), ..] = keyrings(&desk.channel, &desk.trust, desk.state.as_ref())?;
        let signers = keychain.some_signers(&role, &keyring)?;
        let signer = signers.first().ok_or_else(|| KeyError::NotEnough {
            role,
            have: 0,
            threshold: keyring.threshold(),
            wanted: String::new(),
            folder: keychain.folder().path().to_owned(),
        })?;
        let signatures = promotion.sign_files(&desk.trust.app, &desk.storage, signer)?;
        let keep = desk.keep();
        let committed = desk.commit(&mut keychain).publish(&desk.channel, |role, before| {
            // Looked at again: another publisher may have been faster.
            let state = crate::repository::RepositoryState::read(
                &desk.storage,
                &desk.trust.app,
                &desk.trust.root,
                crate::repository::state::Expiry::Ignored,
            )?;
            let missing = || RepositoryError::NothingPublished { storage: desk.storage.name().to_owned() };
            let state = state.ok_or_else(missing)?;
            let source = state.channels().get(&self.from).and_then(|role| role.contents().of(component));
            let source = source.unwrap_or(&nothing);
            let target = before.and_then(|contents| contents.of(component));
            let promotion = Promotion::new(&self.version, (&self.from, source), (&desk.channel, target))?;
            promotion.edit(&desk.trust.app, role, keep);
            Ok(())
        })?;
        // Only now: a promotion that comes to nothing leaves the other channel's signatures as they are, and one that waits
        // takes them along.
        if committed.is_waiting() {
            let parts = signatures.into_iter().map(Detached::into_parts).collect();
            Submission::attach(&desk.storage, desk.channel.as_str(), committed.role, parts)?;
            return tell(context, &desk, &what, committed);
        }
        let published = signatures.iter().map(|signature| signature.publish(&desk.storage));
        for published in published.chain(std::iter::once_with(|| desk.storage.flush())) {
            if let Err(error) = published {
                context
                    .shell
                    .warn(format_args!("{error}; run it again, so that the files are signed for {}", desk.channel));
            }
        }
        tell(context, &desk, &what, committed)
    }
}
