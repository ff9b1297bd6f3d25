//! `release rollout` and `release hold`: the share of installs that may take a release.

use super::{Ask, SteerArgs};
use crate::context::Context;
use crate::error::CommandResult;
use crate::steps::steer::{RuleChange, SteeringChange};
use updater_format::ReleaseVersion;
use updater_format::role::Percent;

/// Offer a release to a share of the installs; signed by the channel's key.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  cargo updater release rollout 2.4.1 10\n  cargo updater release rollout 2.4.1 100\n\n\
                        Set before the release is published, it holds from the first moment on."
)]
pub(super) struct RolloutArgs {
    /// The release.
    version: ReleaseVersion,
    /// The share in percent, 0 to 100. Raising it only adds installs.
    percent: Percent,
    #[command(flatten)]
    common: SteerArgs,
}

impl RolloutArgs {
    pub(super) fn run(&self, context: &Context) -> CommandResult {
        let change = RuleChange::Rollout(self.version.clone(), self.percent);
        self.common.change_rules(context, &change, Ask::Never)
    }
}

/// Hold a rollout at a lower share; needs the online key only.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  cargo updater release hold 2.4.1 0\n  cargo updater release hold 2.4.1 100\n\n\
                        The lower one of rollout and hold counts; 100 lifts the hold.")]
pub(super) struct HoldArgs {
    /// The release.
    version: ReleaseVersion,
    /// The share in percent, 0 to 100.
    percent: Percent,
    #[command(flatten)]
    common: SteerArgs,
}

impl HoldArgs {
    pub(super) fn run(&self, context: &Context) -> CommandResult {
        self.common.change_steering(context, &SteeringChange::Hold(self.version.clone(), self.percent))
    }
}
