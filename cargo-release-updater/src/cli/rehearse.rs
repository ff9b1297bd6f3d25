//! `cargo updater rehearse`: the real client takes the signed release, from every earlier one.

use super::desk::{ChannelArgs, Desk};
use super::subject::ComponentArgs;
use super::{PackageArgs, StorageArgs};
use crate::context::Context;
use crate::error::{CommandError, CommandResult, ExitCode};
use crate::repository::RepositoryState;
use crate::repository::state::Expiry;
use crate::steps::rehearse::{Setup, rehearse_repository};
use crate::steps::stand_in::STAND_IN_ROOT;
use crate::storage::Storage;

/// Let the real client take the signed release from each earlier one.
///
/// All of it on this machine, before anything is uploaded.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  cargo updater bundle && cargo updater diff && cargo updater sign && cargo updater rehearse"
)]
pub(super) struct Args {
    #[command(flatten)]
    package: PackageArgs,
    #[command(flatten)]
    channel: ChannelArgs,
    #[command(flatten)]
    subject: ComponentArgs,
    #[command(flatten)]
    storage: StorageArgs,
}

impl Args {
    pub(super) fn run(&self, context: &Context) -> CommandResult {
        let desk = Desk::open_for(context, &self.package, &self.storage, &self.channel, &self.subject)?;
        let folder = desk.folders.release(&desk.trust.app);
        let local = Storage::open_scratch(&folder)?;
        let expiry = Expiry::Enforced(context.clock.now());
        let root = match local.read(STAND_IN_ROOT, updater_format::length::MAX_ROOT)? {
            Some(stand_in) => stand_in,
            None => desk.trust.root.clone(),
        };
        let signed = RepositoryState::read(&local, &desk.trust.app, &root, expiry)?;
        let role = signed.as_ref().and_then(|state| state.channels().get(&desk.channel));
        let contents = role.and_then(|role| role.contents().of(desk.component.as_ref()));
        let Some(contents) = contents else {
            let what = format!("there is no signed release for channel `{}` in {}", desk.channel, folder.display());
            return Err(CommandError::new(ExitCode::Bundle, what).hint("make it with `cargo updater sign`"));
        };
        let bundles = &contents.bundles;
        let Some(newest) = bundles.iter().map(|bundle| &bundle.version).max() else {
            let what = format!("the signed role of channel `{}` lists nothing", desk.channel);
            return Err(CommandError::new(ExitCode::Bundle, what).hint("sign it again with `cargo updater sign`"));
        };
        let new: Vec<_> = bundles.iter().filter(|bundle| bundle.version == *newest).cloned().collect();
        let platforms: Vec<_> = new.iter().map(|bundle| bundle.platform.clone()).collect();
        let mut plan = desk.plan(newest, &platforms)?;
        if let Some(rules) = role.filter(|_| desk.component.is_none()).and_then(|role| role.role().rules()) {
            plan.rehearse_by(rules);
        }
        let mut old = Vec::new();
        for planned in &plan.platforms {
            old.extend(desk.earlier(&planned.platform, &planned.rehearsed_from)?);
        }
        if old.is_empty() {
            context.shell.note(format_args!("{newest} has no earlier release to update from: nothing to rehearse"));
        }
        desk.rehearsing(|setup| {
            Ok(rehearse_repository(&folder, &new, &old, &Setup { root: &root, ..setup.clone() })?)
        })?;
        Ok(())
    }
}
