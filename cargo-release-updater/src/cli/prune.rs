//! `cargo updater prune`: remove from the storage what no client can still need.

use super::desk::{ChannelArgs, Desk};
use super::{ExecuteArgs, KeyFolderArgs, PackageArgs, StorageArgs};
use crate::context::{Context, Execute};
use crate::error::{CommandError, CommandResult, ExitCode};
use crate::progress::{counted, human_bytes};
use crate::repository::{Doomed, Pruning, RepositoryError, refuse_older};
use crate::shell::Message;
use crate::storage::{Service, Storage};
use std::time::SystemTime;

/// Remove from the storage what no client can still need.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  cargo updater prune --dry-run\n  cargo updater prune --yes\n\n\
                        Stays: every root, what a role lists or has listed within two lives of the timestamp, what waits \
                        for a key, and everything younger than that.")]
pub(super) struct Args {
    #[command(flatten)]
    package: PackageArgs,
    #[command(flatten)]
    storage: StorageArgs,
    #[command(flatten)]
    keys: KeyFolderArgs,
    #[command(flatten)]
    execute: ExecuteArgs,
}

impl Args {
    pub(super) fn run(&self, context: &Context) -> CommandResult {
        let desk = Desk::open(context, &self.package, &self.storage, &ChannelArgs::default())?;
        let storage = &desk.storage;
        storage.must_be_writable()?;
        refuse_unlisted(storage)?;
        let missing = || RepositoryError::NothingPublished { storage: storage.name().to_owned() };
        let before = desk.state.as_ref().ok_or_else(missing)?;
        // On a storage that was put back, everything since would seem to be needed by nobody.
        let folder = self.keys.folder(context, &desk.trust.app)?;
        refuse_older(storage, &folder, Some(before))?;
        if let Some((role, since)) = before.expired_for_all(context.clock.now()) {
            return Err(RepositoryError::Expired { role, since }.into());
        }
        let pruning = Pruning::plan(storage, before, SystemTime::now())?;
        let (objects, bytes) = (counted(pruning.doomed.len(), "file"), human_bytes(pruning.bytes()));
        let dry_run = self.execute.execute() == Execute::DryRun;
        for doomed in &pruning.doomed {
            if dry_run {
                context.shell.status("Would remove", format_args!("{} ({})", doomed.path, human_bytes(doomed.bytes)));
            } else {
                context.shell.detail(format_args!("{} ({})", doomed.path, human_bytes(doomed.bytes)));
            }
        }
        let days = pruning.days;
        if dry_run || pruning.doomed.is_empty() {
            pruning.doomed.iter().for_each(|doomed| context.shell.message(&Removed::of(doomed, dry_run)));
            let verb = if pruning.doomed.is_empty() { "Unchanged" } else { "Would free" };
            let what = format!("{bytes} in {objects}; {} stay, needed within {days} days", pruning.kept);
            context.shell.status(verb, what);
            context.shell.message(&Told::of(&pruning, dry_run));
            return Ok(());
        }
        let question = format!("Remove {objects} ({bytes}) from {}? They cannot be had back", storage.name());
        self.execute.confirm(context, &question)?;
        // A publisher of this folder may be at work; elsewhere nothing that it needs is old enough.
        let _lock = storage.lock(|| context.shell.status("Waiting", "for another publisher of this folder"))?;
        for doomed in &pruning.doomed {
            let place = if doomed.private { storage.of_submissions() } else { storage };
            place.remove(&doomed.path)?;
            context.shell.message(&Removed::of(doomed, false));
        }
        context
            .shell
            .status("Removed", format_args!("{objects}, {bytes}; {} stay, needed within {days} days", pruning.kept));
        context.shell.message(&Told::of(&pruning, false));
        Ok(())
    }
}

/// Refuses a storage in which nothing can be found, or nothing can be removed without taking it from people.
fn refuse_unlisted(storage: &Storage) -> CommandResult {
    let name = storage.name();
    match storage.service() {
        Service::Command => {
            let what =
                format!("{name} cannot be pruned: it is read through `url`, which does not tell what else lies there");
            Err(CommandError::new(ExitCode::Storage, what).hint(
                "remove old files with the program that writes it, but neither what `cargo updater verify` names, nor roots, \
                 nor what is younger than two lives of the timestamp",
            ))
        }
        Service::GitHub => {
            let what = format!("{name} is not pruned: its bundles and patches are files of releases that people see");
            Err(CommandError::new(ExitCode::Storage, what).hint(
                "delete a release that `cargo updater release list` does not name any more on its page, or with \
                 `gh release delete`; what lies in the branch is small and stays",
            ))
        }
        _ => Ok(()),
    }
}

/// One object was removed, or would be.
#[derive(serde::Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct Removed<'a> {
    #[serde(flatten)]
    doomed: &'a Doomed,
    dry_run: bool,
}

impl<'a> Removed<'a> {
    fn of(doomed: &'a Doomed, dry_run: bool) -> Self {
        Self { doomed, dry_run }
    }
}

impl Message for Removed<'_> {
    const REASON: &'static str = "removed-file";
}

/// What a prune came to.
#[derive(serde::Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct Told {
    files: usize,
    bytes: u64,
    kept: usize,
    days: u64,
    dry_run: bool,
}

impl Told {
    fn of(pruning: &Pruning, dry_run: bool) -> Self {
        let (files, bytes) = (pruning.doomed.len(), pruning.bytes());
        Self { files, bytes, kept: pruning.kept, days: pruning.days, dry_run }
    }
}

impl Message for Told {
    const REASON: &'static str = "pruned";
}
