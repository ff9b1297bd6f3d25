//! `status`: what is installed, and whether it runs.

use super::Place;
use crate::control::{Command, ask};
use crate::error::Result;
use crate::release::Install;
use crate::shell;
use clap::Args;
use serde_json::json;
use std::process::ExitCode;

/// Tell what is installed and whether it runs, as one JSON object. Changes nothing.
#[derive(Debug, Args)]
pub(super) struct Status {
    #[command(flatten)]
    place: Place,
}

impl Status {
    pub(super) fn run(self) -> Result<ExitCode> {
        let install = Install::open(&self.place.dir)?;
        let running = ask(&install.places, Command::Status, None)?;
        shell::out(running.map_or_else(|| offline(&install), Ok)?.to_string());
        Ok(ExitCode::SUCCESS)
    }
}

/// Describes an install that no supervisor runs: the same keys as a supervisor's.
fn offline(install: &Install) -> Result<serde_json::Value> {
    let record = &install.record;
    let version = install.current()?.version;
    Ok(json!({
        "app": record.app,
        "channel": record.channel,
        "failures": null,
        "folder": install.places.root(),
        "last-error": null,
        "launcher": null,
        "launcher-program": null,
        "launcher-replaced": null,
        "next-check": null,
        "next-start": null,
        "not-offered": install.not_offered(),
        "pid": null,
        "ready": false,
        "root": record.root,
        "running": false,
        "state": "stopped",
        "updating": false,
        "uptime": null,
        "url": record.url,
        "version": version,
    }))
}
