//! Commands that the launcher runs to their end: hooks, health checks, and jobs that only report.

use super::Supervisor;
use super::child::Start;
use super::ending::Ending;
use super::turn::{Sink, Waited};
use crate::error::{Error, Result};
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
                error => Error::Hook { name, problem: format!("{}: {}", argv.join(" "), error.full_message()) },
            })?;
        }
        Ok(())
    }

    /// Runs a command that must end with 0 in time. What it writes goes to the launcher's log.
    pub(super) fn run_command(&mut self, argv: &[String], dir: &Path, limit: Duration) -> Result<()> {
        let ending = self.run_to_end(argv, dir, limit)?;
        if ending.exit_code() == 0 { Ok(()) } else { Err(failed(argv, ending.to_string())) }
    }

    /// Runs a command that must end in time, and returns how. What it writes goes to the launcher's log.
    pub(super) fn run_to_end(&mut self, argv: &[String], dir: &Path, limit: Duration) -> Result<Ending> {
        let child = Start { argv, dir, env: &[], listener: None, talks: false }.spawn()?;
        let (pid, _) = self.watch(child, Sink::Own, Sink::Own);
        let waited = self.wait_for(Instant::now() + limit, true, |this| this.has_ended(pid));
        // What it has left running goes with it.
        self.finish(pid);
        match waited {
            Waited::For(ending) => Ok(ending),
            Waited::Stopping => Err(Error::Stopping),
            Waited::TooLong => Err(failed(argv, format!("it took longer than {limit:?}"))),
        }
    }
}

fn failed(argv: &[String], problem: String) -> Error {
    Error::Start { program: argv.first().cloned().unwrap_or_default(), problem }
}
