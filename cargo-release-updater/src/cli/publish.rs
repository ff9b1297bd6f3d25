//! `cargo updater publish`: bundle, diff, sign, rehearse, upload.

use super::desk::{ChannelArgs, Desk};
use super::source::SourceArgs;
use super::{ExecuteArgs, KeyArgs, PackageArgs, StorageArgs, bundle};
use crate::context::{Context, Execute};
use crate::error::{CommandError, CommandResult, ExitCode};
use crate::plan::{Epoch, Plan};
use crate::preflight::{self, Facts};
use crate::progress::{counted, human_bytes};
use crate::shell::Message;
use crate::steps::publish::{Published, publish};
use crate::steps::rehearse::{Rehearsed, rehearse};
use crate::steps::release::Release;
use crate::steps::sign::sign;
use crate::verify::{Depth, Verification};
use std::path::PathBuf;
use updater_runtime::transport::Url;

/// Build, bundle, diff, sign, rehearse and upload a release.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  cargo updater publish\n  cargo updater publish --dry-run\n  \
                        cargo updater publish --from-dir dist --version 1.4.0 --channel beta\n\n\
                        Running it again continues an interrupted publish and changes nothing after a finished one.")]
pub(super) struct Args {
    #[command(flatten)]
    package: PackageArgs,
    #[command(flatten)]
    source: SourceArgs,
    #[command(flatten)]
    channel: ChannelArgs,
    /// Release notes, a Markdown file.
    #[arg(long, value_name = "FILE", help_heading = "Selection")]
    notes: Option<PathBuf>,
    /// Make no patches: every client downloads the bundle.
    #[arg(long, help_heading = "Selection")]
    no_patches: bool,
    /// Raise the epoch: whoever has completed this release never goes back to an earlier one, not even by a retreat.
    #[arg(long, help_heading = "Selection")]
    raise_epoch: bool,
    #[command(flatten)]
    storage: StorageArgs,
    #[command(flatten)]
    keys: KeyArgs,
    #[command(flatten)]
    execute: ExecuteArgs,
}

impl Args {
    pub(super) fn run(&self, context: &Context) -> CommandResult {
        let mut desk = Desk::open(context, &self.package, &self.storage, &self.channel)?;
        if self.raise_epoch {
            desk.epoch = Epoch::Raise;
        }
        let source = self.source.resolve(context, Ok(desk.project.clone()))?;
        if source.app != desk.trust.app {
            return Err(CommandError::new(
                ExitCode::Usage,
                format!("this project publishes {}, not {}", desk.trust.app, source.app),
            )
            .hint("leave `--app` out"));
        }
        let mut plan = desk.plan(&source.version, &source.platforms)?;
        if self.no_patches {
            plan.platforms.iter_mut().for_each(|planned| planned.patches_from.clear());
        }
        if let Some(rules) = desk.rules() {
            plan.rehearse_by(rules);
        }
        let mut keychain = desk.keychain(&self.keys)?;
        let facts = Facts::new(&desk.trust, desk.state.as_ref(), &desk.channel, &keychain, context.clock.now())?;
        preflight::run(&facts, &context.shell)?;
        context.shell.message(&plan);
        if self.execute.execute() == Execute::DryRun {
            tell(&plan, &desk, context);
            return Ok(());
        }

        let mut bundles = Vec::new();
        for platform in &source.platforms {
            let bundled = source.bundle(context, platform, &desk.folders.bundles())?;
            bundle::tell(&bundled, context);
            bundles.push(bundled);
        }
        let release = desk.release(&source.version, bundles, Vec::new(), self.notes.as_deref())?;
        release.check_bytes(desk.published())?;
        if desk.published().is_some_and(|published| release.is_published(published)) {
            let (app, version) = (release.app(), release.version());
            context.shell.status("Unchanged", format_args!("{app} {version} is published in {} already", desk.channel));
            return Ok(());
        }
        if let Some(waiting) = desk.waiting()?.filter(|waiting| release.is_published(waiting)) {
            let (app, version) = (release.app(), release.version());
            let listed = waiting.bundles.len();
            context
                .shell
                .status("Unchanged", format_args!("{app} {version} waits for the online key in {}", desk.channel));
            context.shell.detail(format_args!("{} listed", counted(listed, "bundle")));
            return Ok(());
        }
        let mut patches = Vec::new();
        for bundled in &release.bundles {
            patches.extend(desk.diff(bundled, &plan)?);
        }
        let release = Release { patches, ..release };
        let signed = sign(release, &mut desk.publisher(&mut keychain), &desk.folders.release(&desk.trust.app))?;
        let mut old = Vec::new();
        for planned in &plan.platforms {
            old.extend(desk.earlier(&planned.platform, &planned.rehearsed_from)?);
        }
        let rehearsed = desk.rehearsing(|setup| Ok(rehearse(signed, &old, setup)?))?;
        let (app, version) = (plan.app.clone(), plan.version.clone());
        let question = format!("Publish {app} {version} in {} to {}?", desk.channel, desk.storage.name());
        self.execute.confirm(context, &question)?;
        let published = publish(&rehearsed, &mut desk.publisher(&mut keychain))?;
        if published.committed.is_waiting() {
            context
                .shell
                .status("Submitted", format_args!("{app} {version} in {}, to {}", desk.channel, desk.storage.name()));
            context.shell.note("clients see it when `cargo updater refresh` has run with the online key");
            context.shell.message(&Submitted(Done::of(&plan, &published)));
            return Ok(());
        }
        read_back(&desk, &rehearsed, context)?;
        context.shell.status(
            "Published",
            format_args!(
                "{app} {version} in {}: {}, {}, to {}",
                desk.channel,
                counted(published.files, "file"),
                human_bytes(published.bytes),
                desk.storage.name()
            ),
        );
        context.shell.message(&Done::of(&plan, &published));
        Ok(())
    }
}

fn tell(plan: &Plan, desk: &Desk<'_>, context: &Context) {
    if desk.epoch == Epoch::Raise {
        context
            .shell
            .status("Raise", format_args!("the epoch to {}: nobody goes back from {}", plan.epoch, plan.version));
    }
    for (verb, what) in plan.lines() {
        context.shell.status(verb, what);
    }
    context.shell.note(format_args!("dry run: nothing was changed in {}", desk.storage.name()));
}

/// Reads everything that was uploaded as a client does: success is told only of what can be had.
fn read_back(desk: &Desk<'_>, rehearsed: &Rehearsed, context: &Context) -> CommandResult {
    let Some(folder) = desk.storage.folder() else { return Ok(()) };
    let folder = crate::init::absolute(&context.working_dir, folder);
    let url = Url::from_path(&folder).map_err(|error| CommandError::new(ExitCode::Storage, error))?;
    let verification = Verification {
        url: &url,
        root: &desk.trust.root,
        app: Some(desk.trust.app.clone()),
        now: context.clock.now(),
        missing_status: &[404],
        depth: Depth::Files,
        save: None,
    };
    let release = rehearsed.signed().release();
    let ours = |name: &str| {
        release.bundles.iter().any(|bundled| bundled.part.file.as_str() == name)
            || release.patches.iter().any(|patch| patch.entry.artifact.name.as_str() == name)
            || release.notes.iter().any(|notes| notes.entry.artifact.name.as_str() == name)
    };
    verification.run(ours, |checked| {
        if let Some(problem) = &checked.problem {
            context.shell.warn(format_args!("{}: {problem}", checked.file));
        }
    })?;
    Ok(())
}

/// A release was published.
#[derive(serde::Serialize)]
struct Done {
    app: String,
    version: String,
    channel: String,
    files: usize,
    bytes: u64,
    role: u64,
    snapshot: u64,
    timestamp: u64,
}

impl Message for Done {
    const REASON: &'static str = "published";
}

/// A release was signed and waits for the online key.
#[derive(serde::Serialize)]
#[serde(transparent)]
struct Submitted(Done);

impl Message for Submitted {
    const REASON: &'static str = "submitted";
}

impl Done {
    fn of(plan: &Plan, published: &Published) -> Self {
        Self {
            app: plan.app.to_string(),
            version: plan.version.to_string(),
            channel: plan.channel.to_string(),
            files: published.files,
            bytes: published.bytes,
            role: published.committed.role,
            snapshot: published.committed.snapshot,
            timestamp: published.committed.timestamp,
        }
    }
}
