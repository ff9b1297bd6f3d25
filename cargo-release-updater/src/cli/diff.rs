//! `cargo updater diff`: patches from the last releases to the bundles made before.

use super::desk::{ChannelArgs, Desk};
use super::subject::ComponentArgs;
use super::{DiffArgs, DryRunArgs, PackageArgs, StorageArgs};
use crate::context::{Context, Execute};
use crate::error::CommandResult;
use std::path::PathBuf;
use updater_format::ReleaseVersion;

/// Make patches from the last releases to the bundled one.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  cargo updater diff\n  cargo updater diff --version 1.4.0 --channel beta\n  \
                  cargo updater bundle --out linux && cargo updater diff --out linux")]
pub(super) struct Args {
    #[command(flatten)]
    package: PackageArgs,
    #[command(flatten)]
    channel: ChannelArgs,
    #[command(flatten)]
    subject: ComponentArgs,
    /// The version whose bundles are there; Cargo.toml's, or that of the component, when not given.
    #[arg(long = "version", id = "release", value_name = "VERSION", help_heading = "Selection")]
    version: Option<ReleaseVersion>,
    /// The folder that `bundle --out` has filled; its patches go there, too, for `publish --merge`.
    #[arg(long, value_name = "DIR", help_heading = "Output")]
    out: Option<PathBuf>,
    #[command(flatten)]
    limits: DiffArgs,
    #[command(flatten)]
    storage: StorageArgs,
    #[command(flatten)]
    dry_run: DryRunArgs,
}

impl Args {
    pub(super) fn run(&self, context: &Context) -> CommandResult {
        let desk = Desk::open_for(context, &self.package, &self.storage, &self.channel, &self.subject)?;
        let version = desk.version_of(self.version.as_ref())?;
        let out = self.out.as_ref().map(|out| context.path(out));
        let bundles = desk.bundles_in(out.as_ref().unwrap_or(&desk.folders.bundles()), &version)?;
        let platforms: Vec<_> = bundles.iter().map(|bundled| bundled.part.platform.clone()).collect();
        let plan = desk.plan(&version, &platforms)?;
        if plan.platforms.iter().all(|planned| planned.patches_from.is_empty()) {
            context.shell.note(format_args!("channel `{}` has no earlier release to make a patch from", desk.channel));
        }
        if self.dry_run.execute() == Execute::DryRun {
            for planned in &plan.platforms {
                for from in &planned.patches_from {
                    context.shell.status("Would diff", format_args!("{from} -> {version} ({})", planned.platform));
                }
            }
            return Ok(());
        }
        let folder = out.unwrap_or_else(|| desk.folders.patches());
        desk.diff_into(&folder, &bundles, &plan, self.limits.limits()).map(drop)
    }
}
