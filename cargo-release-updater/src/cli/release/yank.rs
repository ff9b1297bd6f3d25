//! `release yank` and `release retreat`: withdraw a release, and lead its installs back.

use super::{Ask, SteerArgs};
use crate::context::Context;
use crate::error::{CommandError, CommandResult, ExitCode};
use crate::steps::steer::{RuleChange, SteeringChange};
use updater_format::ReleaseVersion;

/// Stop offering a release. Installs that have it keep it; `retreat` takes them back.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  cargo updater release yank 2.4.1\n  cargo updater release yank 2.4.1 --online\n  \
                        cargo updater release yank 2.4.1 --undo"
)]
pub(super) struct YankArgs {
    /// The release.
    version: ReleaseVersion,
    /// Say it in the timestamp: needs the online key only, and lasts until it is taken back there.
    #[arg(long, help_heading = "Signing")]
    online: bool,
    /// Take a yank back.
    #[arg(long, help_heading = "Selection")]
    undo: bool,
    #[command(flatten)]
    common: SteerArgs,
}

impl YankArgs {
    pub(super) fn run(&self, context: &Context) -> CommandResult {
        let version = self.version.clone();
        match (self.online, self.undo) {
            (true, false) => self.common.change_steering(context, &SteeringChange::Yank(version)),
            (true, true) => self.common.change_steering(context, &SteeringChange::Unyank(version)),
            (false, false) => self.common.change_rules(context, &RuleChange::Yank(version), Ask::Once),
            (false, true) => self.common.change_rules(context, &RuleChange::Unyank(version), Ask::Once),
        }
    }
}

/// Yank a release and take its installs back to an older one: the only way back there is.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  cargo updater release retreat 2.4.1 2.4.0\n  \
                        cargo updater release retreat 2.4.1 --undo")]
pub(super) struct RetreatArgs {
    /// The release that is left.
    from: ReleaseVersion,
    /// The older release, still listed, that is taken instead.
    #[arg(required_unless_present = "undo", conflicts_with = "undo")]
    to: Option<ReleaseVersion>,
    /// For how many days installs are taken back.
    #[arg(long, value_name = "N", default_value_t = 30, value_parser = clap::value_parser!(u16).range(1..=365), help_heading = "Selection")]
    days: u16,
    /// Take nobody back any more. The release stays yanked.
    #[arg(long, help_heading = "Selection")]
    undo: bool,
    #[command(flatten)]
    common: SteerArgs,
}

impl RetreatArgs {
    pub(super) fn run(&self, context: &Context) -> CommandResult {
        let from = self.from.clone();
        let change = match (&self.to, self.undo) {
            (_, true) => RuleChange::EndRetreat(from),
            (Some(to), false) => {
                let expires = context.clock.now().plus_days(i64::from(self.days));
                RuleChange::Retreat { from, to: to.clone(), expires }
            }
            (None, false) => {
                return Err(CommandError::new(ExitCode::Usage, "a retreat needs the release to go back to")
                    .hint("name it after the one that is left"));
            }
        };
        self.common.change_rules(context, &change, Ask::Once)
    }
}
