//! `stop` and `restart`.

use super::Place;
use crate::control::{Command, ask};
use crate::error::{Error, Result};
use crate::places::Places;
use crate::shell;
use clap::Args;
use std::process::ExitCode;
use std::time::{Duration, Instant};

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
    /// Run the launcher's program as it lies on disk now in place of the running one. The app is not touched.
    #[arg(long)]
    launcher: bool,
}

impl Stop {
    pub(super) fn run(self) -> Result<ExitCode> {
        tell(&self.place, Command::Stop, "Stopped")
    }
}

impl Restart {
    pub(super) fn run(self) -> Result<ExitCode> {
        if self.launcher {
            tell(&self.place, Command::Relaunch, "Relaunching")?;
            return answers_again(&Places::of_install(&self.place.dir)?);
        }
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

/// Waits until the launcher that takes over answers.
fn answers_again(places: &Places) -> Result<ExitCode> {
    let begin = Instant::now();
    while begin.elapsed() < PATIENCE {
        if let Ok(Some(status)) = ask(places, Command::Status, None) {
            shell::step("Relaunched", format!("process {}", status["launcher"]));
            return Ok(ExitCode::SUCCESS);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Err(Error::HungUp { path: places.root().to_owned() })
}

/// How long it may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);
