//! `rollback`: back to a version that is kept.

use super::Place;
use crate::control::{Command, ask};
use crate::error::{Error, Result};
use crate::lock::Lock;
use crate::release::Install;
use crate::shell;
use clap::Args;
use std::process::ExitCode;
use updater_format::ReleaseVersion;
use updater_runtime::Updater;

/// Go back to the version before, or to a kept one. The version left is not offered again for 30 days or until there is a
/// newer one.
#[derive(Debug, Args)]
pub(super) struct Rollback {
    /// The version; the highest one below the current when not given.
    version: Option<ReleaseVersion>,
    #[command(flatten)]
    place: Place,
}

impl Rollback {
    pub(super) fn run(self) -> Result<ExitCode> {
        let install = Install::open(&self.place.dir)?;
        if let Some(answer) = ask(&install.places, Command::Rollback, self.version.clone())? {
            shell::out(answer["version"].as_str().unwrap_or_default());
            return Ok(ExitCode::SUCCESS);
        }
        let _lock = Lock::take(&install.places)?;
        let updater = install.updater()?;
        let to = target(&updater, self.version, &install.current()?.version)?;
        let back = updater.return_to(&to)?;
        let installed = back.map_or(to, |back| back.installed);
        shell::step("Returned", format!("to {installed}"));
        shell::out(installed.to_string());
        Ok(ExitCode::SUCCESS)
    }
}

/// Returns the version to go back to.
/// # Errors
/// [`Error::Usage`] when the one named is the current one or not kept, or none was named and there is none below the
/// current one.
pub(crate) fn target(
    updater: &Updater,
    named: Option<ReleaseVersion>,
    current: &ReleaseVersion,
) -> Result<ReleaseVersion> {
    let kept = updater.kept_versions()?;
    let refuse = |problem| Err(Error::Usage { problem, hint: "`updater-launcher list` shows what there is" });
    match named {
        Some(version) if version == *current => refuse(format!("{version} is the current version")),
        Some(version) if !kept.contains(&version) => refuse(format!("{version} is not kept here")),
        Some(version) => Ok(version),
        None => match kept.into_iter().find(|version| version < current) {
            Some(version) => Ok(version),
            None => refuse(format!("no version before {current} is kept")),
        },
    }
}
