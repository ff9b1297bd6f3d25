//! `config`: every setting, and where it comes from.

use super::Place;
use crate::error::Result;
use crate::release::Install;
use crate::shell;
use clap::Args;
use std::process::ExitCode;

/// Show every setting and where it comes from: the default, the signed bundle, or launcher.toml.
#[derive(Debug, Args)]
pub(super) struct Show {
    #[command(flatten)]
    place: Place,
    /// As one JSON object.
    #[arg(long)]
    json: bool,
}

impl Show {
    pub(super) fn run(self) -> Result<ExitCode> {
        let install = Install::open(&self.place.dir)?;
        let lines = install.settings(&install.current()?.dir)?.lines();
        if self.json {
            let each = lines
                .into_iter()
                .map(|(key, value, origin)| (key, serde_json::json!({"from": origin, "value": value})));
            shell::out(serde_json::Value::Object(each.collect()).to_string());
            return Ok(ExitCode::SUCCESS);
        }
        let width = lines.iter().map(|(key, ..)| key.len()).max().unwrap_or_default();
        for (key, value, origin) in lines {
            let value = if value.is_null() { "not set".to_owned() } else { value.to_string() };
            shell::out(format!("{key:width$} = {value}  # {}", origin.as_str()));
        }
        Ok(ExitCode::SUCCESS)
    }
}
