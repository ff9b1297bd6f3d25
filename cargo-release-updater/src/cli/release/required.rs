//! `release require` and `release floor`: what old installs must take.

use super::{Ask, SteerArgs};
use crate::context::Context;
use crate::error::{CommandError, CommandResult, ExitCode};
use crate::steps::steer::RuleChange;
use updater_format::ReleaseVersion;

/// Let older installs take a release before any later one: a stepping stone, listed for as long as it is required.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  cargo updater release require 2.0.0\n  cargo updater release require 2.0.0 --undo"
)]
pub(super) struct RequireArgs {
    /// The release.
    version: ReleaseVersion,
    /// Require it no longer.
    #[arg(long, help_heading = "Selection")]
    undo: bool,
    #[command(flatten)]
    common: SteerArgs,
}

impl RequireArgs {
    pub(super) fn run(&self, context: &Context) -> CommandResult {
        let change = match self.undo {
            true => RuleChange::Unrequire(self.version.clone()),
            false => RuleChange::Require(self.version.clone()),
        };
        self.common.change_rules(context, &change, Ask::Never)
    }
}

/// Tell installs below a version that they must update; nobody goes back behind it.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  cargo updater release floor 2.0.0\n  cargo updater release floor --none")]
pub(super) struct FloorArgs {
    /// The lowest version that is still good.
    #[arg(required_unless_present = "none", conflicts_with = "none")]
    version: Option<ReleaseVersion>,
    /// Have no floor.
    #[arg(long, help_heading = "Selection")]
    none: bool,
    #[command(flatten)]
    common: SteerArgs,
}

impl FloorArgs {
    pub(super) fn run(&self, context: &Context) -> CommandResult {
        if self.version.is_none() && !self.none {
            return Err(CommandError::new(ExitCode::Usage, "a floor needs a version").hint("or `--none` for no floor"));
        }
        self.common.change_rules(context, &RuleChange::Floor(self.version.clone()), Ask::Once)
    }
}
