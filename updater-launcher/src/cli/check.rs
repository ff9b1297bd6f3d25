//! `check`: is there an update?

use super::Place;
use crate::control::{Command, ask};
use crate::error::{Error, Result};
use crate::release::{Install, why_not};
use crate::shell;
use clap::Args;
use std::process::ExitCode;
use updater_runtime::Status;

/// Ask whether there is an update. Prints its version, or nothing.
#[derive(Debug, Args)]
pub(super) struct Check {
    #[command(flatten)]
    place: Place,
}

impl Check {
    pub(super) fn run(self) -> Result<ExitCode> {
        let install = Install::open(&self.place.dir)?;
        if let Some(answer) = ask(&install.places, Command::Check, None)? {
            match answer["update"].as_str() {
                Some(version) => shell::out(version),
                None => shell::step("Current", answer["version"].as_str().unwrap_or_default()),
            }
            return Ok(ExitCode::SUCCESS);
        }
        let status = install.updater()?.check()?;
        match &status {
            Status::Available(update) => {
                shell::step(
                    "Available",
                    format!("{} -> {} ({} bytes)", update.from(), update.version(), update.route().bytes()),
                );
                shell::out(update.version().to_string());
            }
            Status::NoUpdate(_) => match why_not(&status) {
                None => shell::step("Current", install.current()?.version.to_string()),
                Some(problem) => return Err(Error::NoUpdate { problem }),
            },
        }
        Ok(ExitCode::SUCCESS)
    }
}
