//! `update`: take the update that there is.

use super::Place;
use crate::control::{Command, ask};
use crate::error::{Error, Result};
use crate::lock::Lock;
use crate::release::{Install, why_not};
use crate::shell;
use clap::Args;
use std::process::ExitCode;
use updater_runtime::Status;

/// Take the update that there is. A running launcher takes it, watches it and goes back if it fails. Without a supervisor nothing is started: the next `start` watches the new version's
/// health and goes back if it fails.
#[derive(Debug, Args)]
pub(super) struct Update {
    #[command(flatten)]
    place: Place,
}

impl Update {
    pub(super) fn run(self) -> Result<ExitCode> {
        let install = Install::open(&self.place.dir)?;
        if let Some(answer) = ask(&install.places, Command::Update, None)? {
            let version = answer["version"].as_str().unwrap_or_default();
            match answer["updated"].as_bool() {
                Some(true) => shell::out(version),
                _ => shell::step("Current", version),
            }
            return Ok(ExitCode::SUCCESS);
        }
        let _lock = Lock::take(&install.places)?;
        install.require_settings()?;
        let status = install.updater()?.check()?;
        let problem = why_not(&status);
        match (status, problem) {
            (Status::Available(update), _) => {
                shell::step("Updating", format!("{} -> {}", update.from(), update.version()));
                let staged = update.download_with_events(|_| {}, |event| shell::step("", event.to_string()))?;
                install.settings(&staged.path())?;
                let installed = staged.install()?;
                shell::step(
                    "Installed",
                    format!("{}; it is on trial until a start shows that it works", installed.version()),
                );
                shell::out(installed.version().to_string());
            }
            (Status::NoUpdate(_), None) => shell::step("Current", install.current()?.version.to_string()),
            (Status::NoUpdate(_), Some(problem)) => return Err(Error::NoUpdate { problem }),
        }
        Ok(ExitCode::SUCCESS)
    }
}
