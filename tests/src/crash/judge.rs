//! What must hold of an install after any disturbance, shown by starting the app again.

use super::app::{REPOSITORY, ROOT, TRIAL};
use super::release::Release;
use super::trace::{self, Outcome};
use super::world::World;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

/// An install that was disturbed, and what is known of it.
#[derive(Debug)]
pub struct Judge {
    /// The install.
    pub world: World,
    /// The version before the disturbed change and the version after it: one of them must be installed.
    pub known: [Release; 2],
    /// The version that the next update must lead to.
    pub next: Release,
    /// The repository that is asked at the first start, by its name in `shared`.
    pub repository: &'static str,
    /// What ends a trial: `start` or `confirm`.
    pub trial: &'static str,
    /// How long a start of the app may take.
    pub patience: Duration,
    /// Whether the memory of a failed release may stay.
    pub remembers: bool,
    /// The working directory of the app.
    pub folder: PathBuf,
    /// The folder with the repositories and the trusted root.
    pub shared: PathBuf,
}

impl Judge {
    /// Checks everything that must hold: the installed version is whole before anything repairs it, it starts and says
    /// what it is, the user's files are what they were, and the next update succeeds.
    /// # Errors
    /// What does not hold.
    pub fn judge(&self) -> Result<(), String> {
        let known = [&self.known[0], &self.known[1]];
        // Before anything repairs it: whoever starts the app now starts a whole version.
        self.world.installed(&known)?;
        let start = self.start("report", self.repository)?;
        let version = spoken(&start)?;
        let release = self.world.installed(&known)?;
        if version != release.version {
            return Err(format!("{version} speaks, {} is installed", release.version));
        }
        self.world.check(release)?;
        self.start("update", "next")?;
        self.world.check(&self.next)?;
        let last = self.start("confirm", "next")?;
        if spoken(&last)? != self.next.version {
            return Err(format!("the next update led to {:?}", last.output));
        }
        self.world.check(&self.next)?;
        self.world.check_tidy(self.remembers)
    }

    /// Starts the app without any disturbance; it must not complain.
    /// # Errors
    /// What it said or how it ended.
    pub fn start(&self, argument: &str, repository: &str) -> Result<Outcome, String> {
        let mut command = Command::new(self.world.program());
        let command = self.dress(command.arg(argument), repository);
        let outcome = trace::run_within(command, self.patience).map_err(|error| error.to_string())?;
        let complains = ["failed", "unsettled"].iter().any(|word| outcome.output.lines().any(|l| l.starts_with(word)));
        if outcome.code != Some(0) || complains {
            return Err(format!("`{argument}` afterwards: {:?} {:?}", outcome.code.or(outcome.signal), outcome.output));
        }
        Ok(outcome)
    }

    /// Tells a command of the app where its repository, its root and its state are.
    pub fn dress<'a>(&self, command: &'a mut Command, repository: &str) -> &'a mut Command {
        let url = updater_runtime::transport::Url::from_path(&self.shared.join(repository));
        let url = url.map(|url| url.expose().to_owned()).unwrap_or_default();
        command
            .env(REPOSITORY, url)
            .env(ROOT, self.shared.join("root.json"))
            .env(TRIAL, self.trial)
            .env("XDG_STATE_HOME", self.world.state())
            .env_remove("UPDATER_DISABLE")
            .current_dir(&self.folder)
            .stderr(Stdio::null())
    }
}

fn spoken(outcome: &Outcome) -> Result<String, String> {
    let line = outcome.output.lines().find_map(|line| line.strip_prefix("version "));
    line.map(str::to_owned).ok_or_else(|| format!("the app does not say its version: {:?}", outcome.output))
}
