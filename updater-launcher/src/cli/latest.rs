//! `latest`: the newest verified version of a repository, without an install.

use super::install::{Trust, What};
use crate::error::Result;
use crate::release::bare_config;
use crate::shell;
use clap::Args;
use std::process::ExitCode;
use updater_runtime::{FirstInstall, app_of_root};

/// Tell the newest version that a repository has for this computer. Nothing is written.
#[derive(Debug, Args)]
pub(super) struct Latest {
    /// The repository.
    url: String,
    #[command(flatten)]
    trust: Trust,
    #[command(flatten)]
    what: What,
}

impl Latest {
    pub(super) fn run(self) -> Result<ExitCode> {
        let root = self.trust.obtain(&self.url, &self.what)?;
        let app = app_of_root(&root)?;
        let config = bare_config(&self.url, app, self.what.platform()?, self.what.channel.clone(), root)?;
        shell::out(FirstInstall::new(config).find()?.version().to_string());
        Ok(ExitCode::SUCCESS)
    }
}
