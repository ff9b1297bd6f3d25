//! `list`: the versions that are here, or that could be.

use super::Place;
use crate::error::Result;
use crate::release::Install;
use crate::shell;
use clap::Args;
use std::process::ExitCode;
use updater_runtime::FirstInstall;

/// List the versions that are here, the current one marked with `*`; with --offered those of the repository.
#[derive(Debug, Args)]
pub(super) struct List {
    #[command(flatten)]
    place: Place,
    /// List what the channel offers instead.
    #[arg(long)]
    offered: bool,
}

impl List {
    pub(super) fn run(self) -> Result<ExitCode> {
        let install = Install::open(&self.place.dir)?;
        let current = install.current()?.version;
        let mark = |is_current: bool| if is_current { "*" } else { " " };
        if self.offered {
            for release in FirstInstall::new(install.config(&current)?).offered()? {
                if release.platform == install.record.platform {
                    shell::out(format!(
                        "{} {}  {} bytes",
                        mark(release.version == current),
                        release.version,
                        release.bytes
                    ));
                }
            }
            return Ok(ExitCode::SUCCESS);
        }
        for version in install.updater()?.kept_versions()? {
            shell::out(format!("{} {version}", mark(version == current)));
        }
        Ok(ExitCode::SUCCESS)
    }
}
