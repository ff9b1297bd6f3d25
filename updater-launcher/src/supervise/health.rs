//! Readiness of a version that was just started, and liveness of one that runs.

use super::app::App;
use super::ending::Ending;
use super::processes::Pid;
use super::spawn::own_program;
use super::turn::Waited;
use super::{PAUSE, Supervisor};
use crate::error::{Error, Result};
use crate::exec::CHECK_TIME;
use crate::launch::program;
use std::time::Instant;

impl Supervisor {
    /// Watches a version that was just started until it is ready.
    /// # Errors
    /// [`Error::Failed`] when it ends, or is not ready in time; [`Error::Start`] when it could not be run;
    /// [`Error::Stopping`].
    pub(super) fn wait_until_ready(&mut self) -> Result<()> {
        let Some(app) = self.app.clone() else { return Err(the_app("does not run")) };
        let deadline = app.started + self.merged.settings.health.limit.duration();
        let mut last;
        loop {
            match self.readiness(&app) {
                Ok(()) => {
                    // What has answered may be something else than the app.
                    self.still_runs()?;
                    self.mark_ready();
                    return Ok(());
                }
                Err(Error::Stopping) => return Err(Error::Stopping),
                Err(error) => last = error,
            }
            let pause = (Instant::now() + PAUSE).min(deadline);
            match self.wait_for(pause, true, |this| this.has_ended(app.pid)) {
                Waited::For(ending) => return Err(self.end_of(app.pid, ending)),
                Waited::Stopping => return Err(Error::Stopping),
                Waited::TooLong if Instant::now() >= deadline => {
                    let limit = self.merged.settings.health.limit;
                    return Err(the_app(&format!("is not ready after {limit}: {}", last.full_message())));
                }
                Waited::TooLong => {}
            }
        }
    }

    /// Makes sure that a version that was just started has not ended meanwhile.
    /// # Errors
    /// [`Error::Failed`] with how it ended; [`Error::Start`].
    pub(super) fn still_runs(&mut self) -> Result<()> {
        let Some(pid) = self.app.as_ref().map(|app| app.pid) else { return Err(the_app("does not run")) };
        self.has_ended(pid).map_or(Ok(()), |ending| Err(self.end_of(pid, ending)))
    }

    /// Checks an app whose time has come: one that is not ready yet, or one that is looked at every so often.
    pub(super) fn check_health(&mut self) {
        let Some(app) = self.app.clone() else {
            self.next_health = None;
            return;
        };
        let health = self.merged.settings.health.clone();
        let checked = if app.is_ready { self.probes() } else { self.readiness(&app) };
        if self.has_ended(app.pid).is_some() {
            // Nothing that was just answered is about it. The loop decides what follows its end.
            self.next_health = None;
            return;
        }
        let now = Instant::now();
        match checked {
            Ok(()) => {
                if !app.is_ready {
                    self.mark_ready();
                }
                if let Some(app) = &mut self.app {
                    app.failed_checks = 0;
                }
                self.next_health = health.every.map(|every| now + every.duration());
            }
            Err(Error::Stopping) => {}
            Err(error) if app.is_ready => {
                self.say("unhealthy", &error.full_message());
                let failed = self.app.as_mut().map_or(0, |app| {
                    app.failed_checks += 1;
                    app.failed_checks
                });
                self.next_health = health.every.map(|every| now + every.duration());
                if failed >= health.failures {
                    self.fail_app(&format!("{failed} health checks have failed: {}", error.full_message()));
                }
            }
            Err(error) if now >= app.started + health.limit.duration() => {
                self.fail_app(&format!("the app is not ready after {}: {}", health.limit, error.full_message()));
            }
            Err(_) => self.next_health = Some(now + PAUSE),
        }
    }

    /// Stops an app that does not work; it counts as failed.
    fn fail_app(&mut self, problem: &str) {
        let Some(app) = self.app.take() else { return };
        self.next_health = None;
        self.say("failed", problem);
        self.stop_app(&app);
        self.count_failure_or_end();
    }

    fn mark_ready(&mut self) {
        let Some(app) = &mut self.app else { return };
        app.is_ready = true;
        let (version, after) = (app.version.clone(), app.started.elapsed());
        self.next_health = self.merged.settings.health.every.map(|every| Instant::now() + every.duration());
        self.has_run = true;
        self.has_looked = false;
        self.last_problem.clear();
        self.say("ready", &format!("{version} after {} ms", after.as_millis()));
    }

    /// Tells whether everything holds that makes a version ready.
    fn readiness(&mut self, app: &App) -> Result<()> {
        let health = &self.merged.settings.health;
        if app.started.elapsed() < health.stay_up.duration() {
            return Err(not_yet("has not stayed up long enough yet"));
        }
        if health.confirm && !self.confirmed {
            // Outside of a trial there is nothing that the app could confirm.
            if self.is_on_trial()? {
                return Err(not_yet("has not confirmed itself yet"));
            }
        }
        self.probes()
    }

    /// Tells whether the current version is on trial, by its journal.
    fn is_on_trial(&mut self) -> Result<bool> {
        if self.trial.is_none() {
            // Made once for a version: it reads the program to know it.
            self.trial = Some(self.install.updater()?);
        }
        match &self.trial {
            Some(updater) => Ok(updater.pending_trial()?.is_some()),
            None => Ok(false),
        }
    }

    /// Asks the app in every way that is configured. What is wrong is told when it is not what was told last.
    fn probes(&mut self) -> Result<()> {
        let health = self.merged.settings.health.clone();
        let own = |kind: &str, of: String| {
            (format!("health.{kind} {of}:"), vec![own_program(), "__check".to_owned(), kind.to_owned(), of])
        };
        let mut checks = Vec::new();
        checks.extend(health.tcp.map(|address| own("tcp", address.to_string())));
        checks.extend(health.http.map(|url| own("http", url)));
        let owns = checks.len();
        if let Some(argv) = &health.command {
            let argv = self.install.variables(&self.version, None, &self.merged).command(argv)?;
            checks.push((format!("health.command {}:", beginning(&argv.join(" "))), argv));
        }
        let dir = self.version.dir.clone();
        for (at, (what, argv)) in checks.into_iter().enumerate() {
            let (done, said) = self.run_check(&argv, &dir, CHECK_TIME * 2);
            let words = String::from_utf8_lossy(&said).trim().to_owned();
            let problem = match done {
                Ok(()) => continue,
                Err(Error::Stopping) => return Err(Error::Stopping),
                // Ours say in words what was wrong.
                Err(Error::Failed { .. }) if at < owns && !words.is_empty() => words,
                Err(Error::Failed { problem, .. }) => problem,
                Err(error) => error.full_message(),
            };
            let error = Error::Failed { what, problem };
            self.tell_problem(&error, if at < owns { &[] } else { &said });
            return Err(error);
        }
        self.last_problem.clear();
        Ok(())
    }

    /// Tells what a health check has found, with what it has written, once for each change.
    fn tell_problem(&mut self, error: &Error, said: &[u8]) {
        let message = error.full_message();
        if message == self.last_problem {
            return;
        }
        // Of an app that was ready each failed check counts, and is told where it does.
        if self.app.as_ref().is_some_and(|app| !app.is_ready) {
            self.say("not-ready", &message);
        }
        self.last_problem = message;
        self.journal.raw(said);
        if !said.is_empty() && !said.ends_with(b"\n") {
            self.journal.raw(b"\n");
        }
    }

    /// Makes the error of an app that has ended when it should run.
    fn end_of(&self, pid: Pid, ending: Ending) -> Error {
        match self.children.not_executed(pid) {
            Some(problem) => Error::Start { program: program(&self.version, &self.merged).to_owned(), problem },
            None => the_app(&ending.to_string()),
        }
    }
}

fn the_app(problem: &str) -> Error {
    Error::Failed { what: "the app".to_owned(), problem: problem.to_owned() }
}

fn not_yet(problem: &str) -> Error {
    Error::Failed { what: "it".to_owned(), problem: problem.to_owned() }
}

/// Returns as much of a command as tells which one it is.
fn beginning(command: &str) -> String {
    match command.char_indices().nth(MAX_COMMAND) {
        Some((end, _)) => format!("{}...", command.get(..end).unwrap_or_default()),
        None => command.to_owned(),
    }
}

/// The most characters of a command that stand in a message: 80.
const MAX_COMMAND: usize = 80;
