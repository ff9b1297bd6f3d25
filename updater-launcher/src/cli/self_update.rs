//! `self-update`: the launcher's own program, by the root that its publisher built into it.

use crate::error::{Error, Result};
use crate::release::why_not;
use crate::shell;
use clap::Args;
use std::process::ExitCode;
use updater_runtime::{Status, Updater};

/// Update this launcher itself, from the repository that its publisher built into it. A launcher that runs goes on with the
/// old program until `restart --launcher`; it also looks for updates of its own whenever it looks for those of the app.
#[derive(Debug, Args)]
pub(super) struct SelfUpdate {
    /// Only ask. Prints the version, or nothing.
    #[arg(long)]
    check: bool,
}

impl SelfUpdate {
    pub(super) fn run(self, updater: Option<&Updater>) -> Result<ExitCode> {
        let updater = able(updater)?;
        let status = updater.check()?;
        let problem = why_not(&status);
        match (status, problem) {
            (Status::Available(update), _) => {
                let verb = if self.check { "Available" } else { "Updating" };
                let route = update.route().bytes();
                shell::step(verb, format!("{} -> {} ({route} bytes)", update.from(), update.version()));
                let version = update.version().clone();
                if !self.check {
                    let staged = update.download_with_events(|_| {}, |event| shell::step("", event.to_string()))?;
                    let installed = staged.install()?;
                    shell::step("Installed", installed.program().display().to_string());
                    shell::step("Next", "updater-launcher restart --launcher -C DIR, for each launcher that runs");
                }
                shell::out(version.to_string());
            }
            (Status::NoUpdate(_), None) => shell::step("Current", ""),
            (Status::NoUpdate(_), Some(problem)) => return Err(Error::NoUpdate { problem }),
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Returns the updater of a launcher that carries a root.
/// # Errors
/// [`Error::NoSelfUpdate`] with the reason why there is none.
pub(crate) fn able(updater: Option<&Updater>) -> Result<&Updater> {
    let reason = match updater {
        None => "it was built without a trusted root of its own",
        Some(updater) => match updater.disabled_reason() {
            None => return Ok(updater),
            Some(reason) => reason,
        },
    };
    Err(Error::NoSelfUpdate { reason: reason.to_owned() })
}
