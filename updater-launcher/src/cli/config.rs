//! `config`: every setting, and where it comes from.

use super::Place;
use crate::error::Result;
use crate::release::Install;
use crate::shell;
use clap::Args;
use std::process::ExitCode;

/// Show every setting and where it comes from: the default, the signed bundle, or launcher.toml. Fails when the app cannot be
/// started with them.
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
        let version = install.current()?;
        let merged = install.settings(&version.dir)?;
        let lines = merged.lines();
        // Shown all the same, so that what is wrong can be seen.
        let checked = install.check_start(&version, &merged).and_then(|()| {
            let variables = install.variables(&version, None, &merged);
            let others = merged.settings.script.values().chain(&merged.settings.hooks.before_swap);
            others.into_iter().try_for_each(|argv| variables.command(argv).map(|_| ()))
        });
        if self.json {
            let each = lines
                .into_iter()
                .map(|(key, value, origin)| (key, serde_json::json!({"from": origin, "value": value})));
            shell::out(serde_json::Value::Object(each.collect()).to_string());
            return checked.map(|()| ExitCode::SUCCESS);
        }
        let width = lines.iter().map(|(key, ..)| key.len()).max().unwrap_or_default();
        for (key, value, origin) in lines {
            let value = if value.is_null() { "not set".to_owned() } else { value.to_string() };
            shell::out(format!("{key:width$} = {value}  # {}", origin.as_str()));
        }
        checked.map(|()| ExitCode::SUCCESS)
    }
}
