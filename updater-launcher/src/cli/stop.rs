//! `stop` and `restart`.

use super::Place;
use crate::control::{Command, ask};
use crate::error::{Error, Result};
use crate::places::Places;
use crate::shell;
use clap::Args;
use std::process::ExitCode;

/// Stop the app and end its launcher: the stop signal, the grace period, then the whole process group.
#[derive(Debug, Args)]
pub(super) struct Stop {
    #[command(flatten)]
    place: Place,
}

/// Stop the app and start it again, with the settings as they are now.
#[derive(Debug, Args)]
pub(super) struct Restart {
    #[command(flatten)]
    place: Place,
}

impl Stop {
    pub(super) fn run(self) -> Result<ExitCode> {
        tell(&self.place, Command::Stop, "Stopped")
    }
}

impl Restart {
    pub(super) fn run(self) -> Result<ExitCode> {
        tell(&self.place, Command::Restart, "Restarted")
    }
}

fn tell(place: &Place, command: Command, verb: &str) -> Result<ExitCode> {
    let places = Places::of_install(&place.dir)?;
    match ask(&places, command, None)? {
        Some(_) => shell::step(verb, places.root().display().to_string()),
        None => return Err(Error::NotRunning { path: places.root().to_owned() }),
    }
    Ok(ExitCode::SUCCESS)
}
