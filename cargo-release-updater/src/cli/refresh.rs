//! `cargo updater refresh`: what a scheduled job does with the online key alone.

use super::desk::{Desk, Trusted};
use super::{DryRunArgs, KeyArgs, PackageArgs, StorageArgs};
use crate::context::{Context, Execute};
use crate::error::{CommandError, CommandResult, ExitCode};
use crate::expiry;
use crate::keys::KeyError;
use crate::repository::state::Expiry;
use crate::repository::{Commit, Refreshed, Renew, RepositoryState, Skipped, Submission, refuse_other_root};
use crate::shell::Message;
use std::time::Duration;

/// Sign the timestamp anew and publish what waits for the online key.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  cargo updater refresh\n  UPDATER_ONLINE_KEY=... cargo updater refresh --record .cache/updater.json\n\n\
                        For a job that runs every day. Keep the file of --record from run to run: by it a \
                        storage that somebody put back is noticed. Exit code 10: done, but people have to sign \
                        before long."
)]
pub(super) struct Args {
    #[command(flatten)]
    package: PackageArgs,
    /// Leave a timestamp alone that has more than half of its life left.
    #[arg(long, help_heading = "Selection")]
    if_due: bool,
    /// Drop what waits of a role, a channel or `targets`, instead of publishing it. Needs no key.
    #[arg(long, value_name = "ROLE", help_heading = "Selection")]
    discard: Option<String>,
    /// After a rotation of the online key: how many seconds caches may go on saying that there is no newer root. 0 for a
    /// stolen key.
    #[arg(long, value_name = "SECONDS", default_value_t = 300, value_parser = clap::value_parser!(u64).range(0..=86_400), help_heading = "Signing")]
    wait: u64,
    #[command(flatten)]
    storage: StorageArgs,
    #[command(flatten)]
    keys: KeyArgs,
    #[command(flatten)]
    dry_run: DryRunArgs,
}

impl Args {
    pub(super) fn run(&self, context: &Context) -> CommandResult {
        let desk = Desk::open_behind(context, &self.package, &self.storage, &Trusted::Project)?;
        refuse_other_root(&desk.storage, &desk.trust.root)?;
        let execute = self.dry_run.execute();
        let dry_run = execute == Execute::DryRun;
        if let Some(role) = &self.discard {
            return discard(context, &desk, role, execute);
        }
        let renew = if self.if_due { Renew::WhenDue } else { Renew::Always };
        if desk.is_behind() && !dry_run {
            context.shell.detail("a newer root than the project's timestamp knows is published");
        }
        let mut keychain = desk.keychain(&self.keys)?;
        let folder = keychain.folder().clone();
        let mut commit = desk.commit(&mut keychain);
        if dry_run {
            let planned = commit.plan_refresh(renew)?;
            tell(context, &desk, &planned, Execute::DryRun);
            context.shell.note(format_args!("dry run: nothing was changed in {}", desk.storage.name()));
            return Ok(());
        }
        if desk.storage.record().is_none() && !folder.path().is_dir() {
            // For the record of what was seen; a job caches it.
            folder.make().map_err(CommandError::from)?;
            context.shell.note(format_args!(
                "{} is new; keep it from run to run: its record tells when somebody puts old files back",
                folder.path().display()
            ));
        }
        wait_out_caches(context, &commit, self.wait)?;
        let refreshed = commit.refresh(renew)?;
        tell(context, &desk, &refreshed, Execute::ForReal);
        super::page::keep_up(context, &desk);
        // That other holders have not signed yet is no failure of this job.
        let failed = |skipped: &&Skipped| skipped.code != ExitCode::Waiting;
        if let Some(skipped) = refreshed.skipped.iter().find(failed) {
            let what = format!("the refresh is done, but what waits of {} was left there", skipped.role);
            let error = CommandError::new(skipped.code, what);
            return Err(skipped.hints.iter().fold(error, |error, hint| error.hint(hint)));
        }
        self.look_ahead(context, &desk)
    }

    /// Tells what comes near its end, with an exit code that a job can act on.
    fn look_ahead(&self, context: &Context, desk: &Desk<'_>) -> CommandResult {
        let state = RepositoryState::read(&desk.storage, &desk.trust.app, &desk.trust.root, Expiry::Ignored)?;
        let near = expiry::near(&state.map(|state| state.expiries()).unwrap_or_default(), context.clock.now());
        let Some(first) = near.first() else { return Ok(()) };
        for role in &near {
            context.shell.message(role);
        }
        for role in &near[1..] {
            context.shell.warn(role.warning());
        }
        let verb = if first.days_left < 0 { "expired" } else { "expires" };
        let what = format!("the refresh is done, but the role {} {verb} on {}", first.role, first.expires);
        Err(CommandError::new(ExitCode::Due, what).hint(first.cure()))
    }
}

/// Returns how long caches on the way may still say that the newest root does not exist, when `seconds` is as long as they
/// may; `None` when nothing depends on it.
pub(super) fn left_of_caches(commit: &Commit<'_>, seconds: u64) -> CommandResult<Option<Duration>> {
    let age = commit.age_of_new_keys()?;
    Ok(age.map(|age| Duration::from_secs(seconds).saturating_sub(age)).filter(|left| !left.is_zero()))
}

/// Waits until no cache on the way says any more that the newest root does not exist.
pub(super) fn wait_out_caches(context: &Context, commit: &Commit<'_>, seconds: u64) -> CommandResult {
    let Some(left) = left_of_caches(commit, seconds)? else { return Ok(()) };
    let seconds = left.as_secs() + 1;
    context.shell.status(
        "Waiting",
        format_args!(
            "{seconds} s until no cache says that there is no newer root (`--wait 0` for a stolen key); until then clients and tools \
             refuse what is published, and installed apps keep what they have"
        ),
    );
    crate::progress::wait(&context.shell, "Waiting", left);
    Ok(())
}

fn discard(context: &Context, desk: &Desk<'_>, role: &str, execute: Execute) -> CommandResult {
    // Also a name that is safe in a path.
    if role != "targets" {
        updater_format::Channel::parse(role).map_err(|source| KeyError::Role { name: role.to_owned(), source })?;
    }
    if Submission::read(&desk.storage, role).is_ok_and(|found| found.is_none()) {
        context.shell.status("Unchanged", format_args!("nothing of {role} waits"));
        return Ok(());
    }
    if execute == Execute::DryRun {
        context.shell.status("Would drop", format_args!("the submission of {role}"));
        return Ok(());
    }
    Submission::withdraw(&desk.storage, role)?;
    context.shell.status("Dropped", format_args!("the submission of {role}"));
    Ok(())
}

fn tell(context: &Context, desk: &Desk<'_>, refreshed: &Refreshed, execute: Execute) {
    let app = &desk.trust.app;
    let (publish, sign) = match execute {
        Execute::ForReal => ("Published", "Refreshed"),
        Execute::DryRun => ("Would publish", "Would refresh"),
    };
    for skipped in &refreshed.skipped {
        match skipped.code {
            ExitCode::Waiting => context.shell.note(&skipped.problem),
            _ => {
                context.shell.warn(format_args!("what waits of {} is not published: {}", skipped.role, skipped.problem))
            }
        }
    }
    for folded in &refreshed.folded {
        context.shell.status(publish, format_args!("{app}: version {} of the role {}", folded.version, folded.role));
    }
    match (refreshed.timestamp, refreshed.expires) {
        (Some(timestamp), Some(expires)) => {
            context.shell.status(sign, format_args!("{app}: timestamp {timestamp}, until {expires}"));
        }
        (Some(timestamp), None) => context.shell.status(sign, format_args!("{app}: timestamp {timestamp}")),
        (None, _) => context.shell.status("Unchanged", format_args!("{app}: the timestamp is young enough")),
    }
    context.shell.message(&Told { app: app.as_str(), dry_run: execute == Execute::DryRun, refreshed });
}

/// A refresh.
#[derive(serde::Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct Told<'a> {
    app: &'a str,
    dry_run: bool,
    #[serde(flatten)]
    refreshed: &'a Refreshed,
}

impl Message for Told<'_> {
    const REASON: &'static str = "refreshed";
}
