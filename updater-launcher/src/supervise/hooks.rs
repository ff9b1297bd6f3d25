//! Commands that the launcher runs to their end: hooks, health checks, and jobs that only report.

use super::child::Start;
use super::ending::Ending;
use super::turn::{Sink, Waited};
use super::{PAUSE, Supervisor};
use crate::error::{Error, Result};
use crate::launch::shown;
use crate::release::Version;
use std::path::Path;
use std::time::{Duration, Instant};
use updater_format::ReleaseVersion;

impl Supervisor {
    /// Runs the commands of a hook in a version's folder, one after the other; the first that fails ends it.
    pub(super) fn run_hooks(
        &mut self,
        name: &'static str,
        commands: &[Vec<String>],
        version: &Version,
        previous: Option<&ReleaseVersion>,
    ) -> Result<()> {
        let limit = self.merged.settings.hooks.limit.duration();
        for argv in commands {
            let argv = self.install.variables(version, previous, &self.merged).command(argv)?;
            self.say("hook", &format!("{name}: {}", argv.join(" ")));
            self.run_command(&argv, &version.dir, limit).map_err(|error| match error {
                Error::Stopping => error,
                error => Error::Hook { name, problem: error.full_message() },
            })?;
        }
        Ok(())
    }

    /// Runs a command that must end with 0 in time. What it writes goes to the launcher's log.
    pub(super) fn run_command(&mut self, argv: &[String], dir: &Path, limit: Duration) -> Result<()> {
        let ending = self.run_to_end(argv, dir, limit)?;
        well(argv, dir, ending)
    }

    /// Runs a command that must end in time, and returns how. What it writes goes to the launcher's log.
    pub(super) fn run_to_end(&mut self, argv: &[String], dir: &Path, limit: Duration) -> Result<Ending> {
        self.run_into(Sink::Own, argv, dir, limit)
    }

    /// Runs a command that is asked again and again, and returns what it has written: the first 16 KiB.
    pub(super) fn run_check(&mut self, argv: &[String], dir: &Path, limit: Duration) -> (Result<()>, Vec<u8>) {
        self.said.clear();
        let done = self.run_into(Sink::Check, argv, dir, limit).and_then(|ending| well(argv, dir, ending));
        let is_open = |this: &Self| this.streams.iter().any(|stream| stream.to() == Sink::Check);
        self.wait_for(Instant::now() + PAUSE, false, |this| (!is_open(this)).then_some(()));
        // Held by something that it has left running. What comes there is not about this check.
        self.streams.retain(|stream| stream.to() != Sink::Check);
        (done, std::mem::take(&mut self.said))
    }

    fn run_into(&mut self, to: Sink, argv: &[String], dir: &Path, limit: Duration) -> Result<Ending> {
        let child = Start { argv, dir, env: &[], listener: None, talks: false }.spawn()?;
        let (pid, _) = self.watch(child, to, to);
        let waited = self.wait_for(Instant::now() + limit, true, |this| this.has_ended(pid));
        let never_ran = self.children.not_executed(pid);
        // What it has left running goes with it.
        self.finish(pid);
        if let Some(problem) = never_ran {
            return Err(Error::Start { program: name(argv, dir), problem });
        }
        match waited {
            Waited::For(ending) => Ok(ending),
            Waited::Stopping => Err(Error::Stopping),
            Waited::TooLong => {
                Err(Error::Failed { what: name(argv, dir), problem: format!("took longer than {limit:?}") })
            }
        }
    }
}

/// Makes an error of the end of a command unless it is a good one.
fn well(argv: &[String], dir: &Path, ending: Ending) -> Result<()> {
    match ending.exit_code() {
        0 => Ok(()),
        _ => Err(Error::Failed { what: name(argv, dir), problem: ending.to_string() }),
    }
}

fn name(argv: &[String], dir: &Path) -> String {
    argv.first().map(|program| shown(program, dir)).unwrap_or_default()
}
