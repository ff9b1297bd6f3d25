//! What is looked at before anything is built: a release that cannot be finished should not be begun.
//!
//! One check per file. Each sees the same [`Facts`] and gives a [`Verdict`]; adding a check is adding a file and a line
//! in `CHECKS`. Versions and names are the plan's business, see [`crate::plan`].

mod expired;
mod expiring;
mod keys;
mod root_behind;

use crate::error::{CommandError, CommandResult};
use crate::keys::Keychain;
use crate::repository::{RepositoryError, RepositoryState};
use crate::shell::Shell;
use crate::steps::sign::{Trust, roles_in_force};
use updater_format::role::{Root, Targets};
use updater_format::{Channel, UtcTime};

/// What a check may look at. Nothing in it changes.
#[derive(Debug)]
pub struct Facts<'a> {
    /// What the project is trusted by.
    pub trust: &'a Trust,
    /// What is published now.
    pub state: Option<&'a RepositoryState>,
    /// The channel to publish in.
    pub channel: &'a Channel,
    /// The keys on this machine.
    pub keychain: &'a Keychain,
    /// The time.
    pub now: UtcTime,
    /// The root in force.
    pub root: Root,
    /// The top-level targets role in force.
    pub targets: Targets,
}

impl<'a> Facts<'a> {
    /// Collects the facts.
    /// # Errors
    /// [`RepositoryError::Trust`] when the project's own root or targets role does not verify.
    pub fn new(
        trust: &'a Trust,
        state: Option<&'a RepositoryState>,
        channel: &'a Channel,
        keychain: &'a Keychain,
        now: UtcTime,
    ) -> Result<Self, RepositoryError> {
        let (root, targets) = roles_in_force(trust, state)?;
        Ok(Self { trust, state, channel, keychain, now, root, targets })
    }
}

/// What a check found.
#[derive(Debug)]
pub enum Verdict {
    /// Nothing.
    Pass,
    /// Something to act on before long; the release goes on.
    Warn(String),
    /// The release cannot be finished.
    Refuse(CommandError),
}

/// One thing that is looked at.
pub trait Check: Sync {
    /// Returns a name for `--verbose`, for example `keys`.
    fn name(&self) -> &'static str;
    /// Looks.
    fn run(&self, facts: &Facts<'_>) -> Verdict;
}

/// Runs every check, tells the warnings and returns the first refusal.
/// # Errors
/// The refusal.
pub fn run(facts: &Facts<'_>, shell: &Shell) -> CommandResult {
    let mut refusal = Ok(());
    for check in CHECKS {
        match check.run(facts) {
            Verdict::Pass => shell.detail(format_args!("preflight: {} passed", check.name())),
            Verdict::Warn(message) => shell.warn(message),
            Verdict::Refuse(error) if refusal.is_ok() => refusal = Err(error),
            Verdict::Refuse(_) => shell.detail(format_args!("preflight: {} refused too", check.name())),
        }
    }
    refusal
}

/// Every check, in the order in which refusals are told.
const CHECKS: &[&dyn Check] = &[&expired::Expired, &keys::Keys, &root_behind::RootBehind, &expiring::Expiring];

#[cfg(test)]
mod tests;
