//! How a desk is opened: by which root what is published is believed.

use super::{ChannelArgs, Desk};
use crate::cli::{PackageArgs, StorageArgs};
use crate::config::Project;
use crate::context::Context;
use crate::error::{CommandError, CommandResult, ExitCode};
use crate::hooks::Hooks;
use crate::plan::Epoch;
use crate::repository::state::Expiry;
use crate::repository::{METADATA, RepositoryError, RepositoryState, refuse_other_root};
use crate::steps::folders::Folders;
use crate::steps::sign::{Trust, kept_roots};
use crate::storage::{Service, Storage};
use std::path::PathBuf;
use updater_format::length::MAX_ROOT;
use updater_format::role::Root;
use updater_format::signed::{Signed, Untrusted};

/// The root from which what is published is verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::cli) enum Trusted {
    /// The project's.
    Project,
    /// The first that the project keeps: what is published was signed before the project's own root, and put back on purpose.
    Earliest,
    /// The one in this file, for the same reason.
    Named(PathBuf),
}

impl<'a> Desk<'a> {
    /// Opens the project, its storage, and what is published there.
    pub(in crate::cli) fn open(
        context: &'a Context,
        package: &PackageArgs,
        storage: &StorageArgs,
        channel: &ChannelArgs,
    ) -> CommandResult<Self> {
        Self::open_with(context, package, storage, channel, &Trusted::Project, |storage, trust| {
            refuse_other_root(storage, &trust.root)?;
            Ok((RepositoryState::read(storage, &trust.app, &trust.root, Expiry::Ignored)?, None))
        })
    }

    /// Opens the same in the middle of a rotation, too.
    pub(in crate::cli) fn open_behind(
        context: &'a Context,
        package: &PackageArgs,
        storage: &StorageArgs,
        trusted: &Trusted,
    ) -> CommandResult<Self> {
        Self::open_with(context, package, storage, &ChannelArgs::default(), trusted, |storage, trust| {
            let (state, newest) = RepositoryState::read_behind(storage, &trust.app, &trust.root)?;
            Ok((state, Some((*newest).clone())))
        })
    }

    /// Tells whether a newer root waits for documents that its keys sign.
    pub(in crate::cli) fn is_behind(&self) -> bool {
        let newest = self.newest_root.as_ref().map_or(0, |root| root.version);
        self.state.as_ref().is_some_and(|state| state.root().version < newest)
    }

    fn open_with(
        context: &'a Context,
        package: &PackageArgs,
        storage: &StorageArgs,
        channel: &ChannelArgs,
        trusted: &Trusted,
        read: impl FnOnce(&Storage, &Trust) -> Result<(Option<RepositoryState>, Option<Root>), RepositoryError>,
    ) -> CommandResult<Self> {
        let project = Project::find(context, package)?;
        let table = project.table()?.clone();
        let mut trust = Trust::of(&project)?;
        let storage = storage.open(context, &project)?;
        // The table is refused for it already when it names the storage itself.
        if storage.service() == Service::GitHub && table.urls.iter().all(|url| url.address().targets.is_none()) {
            let what = "`url` does not say where the files of releases are";
            let help = "add `#targets=https://github.com/OWNER/REPO/releases/download/v{version}/{name}` to it (docs/github.md)";
            return Err(CommandError::new(ExitCode::Config, what).hint(help));
        }
        if let Some(earlier) = earlier_root(&project, &trust, trusted)? {
            must_lead_to(&storage, &trust.root)?;
            trust.root = earlier;
        }
        let (state, newest_root) = read(&storage, &trust)?;
        let channel = channel.channel.clone().unwrap_or_else(|| table.channel.clone());
        let folders = Folders::of(&project);
        let hooks = Hooks::of(&project)?;
        Ok(Self {
            context,
            project,
            table,
            trust,
            storage,
            state,
            newest_root,
            channel,
            folders,
            hooks,
            epoch: Epoch::Keep,
            component: None,
        })
    }
}

/// Returns the root that is trusted in place of the project's own.
fn earlier_root(project: &Project, trust: &Trust, trusted: &Trusted) -> CommandResult<Option<Vec<u8>>> {
    match trusted {
        Trusted::Project => Ok(None),
        Trusted::Earliest => Ok(kept_roots(&project.root_file()?, &trust.root)?.into_iter().next()),
        Trusted::Named(path) => {
            std::fs::read(path).map(Some).map_err(crate::files::FileError::of("read", path)).map_err(|error| {
                CommandError::new(ExitCode::Usage, error)
                    .hint("name the project's root of that time, from version control")
            })
        }
    }
}

/// Refuses a storage that has other roots than the project: the way from an earlier one goes through the project's own.
fn must_lead_to(storage: &Storage, root: &[u8]) -> CommandResult {
    let parse = |bytes: &[u8]| Signed::<Root>::parse(&Untrusted::new(bytes)).ok();
    let Some(own) = parse(root) else { return Ok(()) };
    let file = format!("{}.root.json", own.unverified().version);
    let there = storage.read(&format!("{METADATA}/{file}"), MAX_ROOT)?;
    match there.as_deref().and_then(parse).is_some_and(|there| there.message() == own.message()) {
        true => Ok(()),
        false => {
            let what = format!("{file} in {} is not the project's root", storage.name());
            Err(CommandError::new(ExitCode::Verification, what)
                .hint("put the copy back first: `cargo updater restore DIR` adds the project's roots"))
        }
    }
}
