//! The app itself: started, stopped, written down, and started again.

use super::backoff::Verdict;
use super::child::Start;
use super::ending::Ending;
use super::processes::{Pid, Signal};
use super::turn::{Sink, Waited};
use super::{Mode, Supervisor};
use crate::error::Result;
use std::time::{Duration, Instant};
use updater_format::ReleaseVersion;
use updater_format::launcher::{Restart, StopSignal};

/// A running app.
#[derive(Debug, Clone)]
pub(super) struct App {
    pub(super) pid: Pid,
    pub(super) version: ReleaseVersion,
    pub(super) started: Instant,
    pub(super) is_ready: bool,
    /// Health checks that have failed in a row.
    pub(super) failed_checks: u32,
}

impl Supervisor {
    /// Starts the app in its version's folder, after the hooks `before-start`.
    pub(super) fn start_app(&mut self, previous: Option<&ReleaseVersion>) -> Result<()> {
        // Not before each restart of an app that crashes: it is the same start once more. But until they have succeeded.
        if !self.is_prepared {
            let hooks = self.merged.settings.hooks.before_start.clone();
            self.run_hooks("before-start", &hooks, &self.version.clone(), previous)?;
            self.is_prepared = true;
        }
        let variables = self.install.variables(&self.version, previous, &self.merged);
        let settings = &self.merged.settings;
        let exec = settings.exec.as_ref().unwrap_or(&self.version.entry);
        let mut argv = vec![self.version.dir.join(exec.as_str()).to_string_lossy().into_owned()];
        for arg in &settings.args {
            argv.push(variables.expand(arg)?);
        }
        let mut env = vec![
            (FOLDER_VARIABLE.to_owned(), self.install.places.root().to_string_lossy().into_owned()),
            ("UPDATER_LAUNCHER_SOCKET".to_owned(), self.install.places.socket_for_app().to_string_lossy().into_owned()),
        ];
        for (name, value) in &settings.env {
            env.push((name.clone(), variables.expand(value)?));
        }
        let dir = self.version.dir.clone();
        let listener = self.listener()?;
        let child = Start { argv: &argv, dir: &dir, env: &env, listener, talks: false }.spawn()?;
        let (pid, _) = self.watch(child, Sink::Out, Sink::Err);
        let version = self.version.version.clone();
        self.app =
            Some(App { pid, version: version.clone(), started: Instant::now(), is_ready: false, failed_checks: 0 });
        self.confirmed = false;
        self.next_start = None;
        self.next_health = (self.mode == Mode::Supervise).then(Instant::now);
        self.write_down(pid);
        self.say("started", &format!("{} {version} as process {}", self.install.record.app, pid.as_raw_nonzero()));
        Ok(())
    }

    /// Starts the app; where that fails it counts as a failed start, and the next one is awaited.
    pub(super) fn start_or_wait(&mut self) {
        if let Err(error) = self.start_app(None) {
            self.say("failed", &error.full_message());
            self.count_failure_or_end();
        }
    }

    /// Forgets failures: the next start is the first one, with its hooks.
    pub(super) fn begin_anew(&mut self) {
        self.failures.clear();
        self.is_prepared = false;
    }

    /// Counts a failure that is not the end of a process; one too many ends the launcher.
    pub(super) fn count_failure_or_end(&mut self) {
        if self.count_failure() == Verdict::GiveUp {
            self.gave_up = true;
            self.stopping = true;
        }
    }

    /// Asks an app to end, waits, and ends what is left of its process group. Returns how it ended.
    pub(super) fn stop_app(&mut self, app: &App) -> Option<Ending> {
        let grace = self.merged.settings.stop.grace.duration();
        let (pid, deadline) = (app.pid, Instant::now() + grace);
        if self.has_ended(pid).is_none() {
            self.children.signal(pid, self.stop_signal());
        }
        match self.wait_for(deadline, false, |this| this.has_ended(pid)) {
            Waited::For(_) => self.end_group(pid, deadline),
            Waited::TooLong | Waited::Stopping => {
                self.say("killed", &format!("process {} did not end within {grace:?}", pid.as_raw_nonzero()));
            }
        }
        let ended = self.finish(pid);
        self.forget(pid);
        let how = ended.map_or("it did not end".to_owned(), |ending| ending.to_string());
        self.say("stopped", &format!("{}: {how}", app.version));
        ended
    }

    /// Asks what the app has left behind in its process group to end, as the app was asked, and waits for it. Who is still
    /// there after that is killed by whoever lets the app go.
    fn end_group(&mut self, leader: Pid, deadline: Instant) {
        if !self.children.has_members(leader) {
            return;
        }
        self.children.signal_group(leader, self.stop_signal());
        while self.children.has_members(leader) {
            if Instant::now() >= deadline {
                self.say(
                    "killed",
                    &format!("what process {} has started did not end in time", leader.as_raw_nonzero()),
                );
                return;
            }
            // No child of ours: nothing tells us of its end.
            self.turn(Some((Instant::now() + STEP).min(deadline)));
        }
    }

    pub(super) fn stop_signal(&self) -> Signal {
        match self.merged.settings.stop.signal {
            StopSignal::Term => Signal::TERM,
            StopSignal::Int => Signal::INT,
            StopSignal::Hup => Signal::HUP,
            StopSignal::Quit => Signal::QUIT,
            StopSignal::Usr1 => Signal::USR1,
            StopSignal::Usr2 => Signal::USR2,
        }
    }

    /// Returns how the app has ended, if it has. What it has left behind has ended, too.
    pub(super) fn app_ended(&mut self) -> Option<Ending> {
        let pid = self.app.as_ref()?.pid;
        self.has_ended(pid)?;
        self.end_group(pid, Instant::now() + self.merged.settings.stop.grace.duration());
        let ending = self.finish(pid);
        self.forget(pid);
        ending
    }

    /// Decides what follows the end of the app. Returns the exit code when that is the end of the launcher.
    pub(super) fn after_end(&mut self, ending: Ending) -> Option<i32> {
        let app = self.app.take()?;
        let code = ending.exit_code();
        self.next_health = None;
        self.say("ended", &format!("{}: {ending}", app.version));
        let restarts = match self.merged.settings.restart {
            _ if self.mode == Mode::Once => false,
            Restart::Never => false,
            Restart::OnFailure => code != 0,
            Restart::Always => true,
        };
        if !restarts {
            return Some(code);
        }
        match self.count_failure() {
            Verdict::Wait(_) => None,
            Verdict::GiveUp => Some(if code == 0 { GIVEN_UP } else { code }),
        }
    }

    /// Counts a failure and sets the time of the next start.
    pub(super) fn count_failure(&mut self) -> Verdict {
        let backoff = self.merged.settings.backoff.clone();
        let verdict = self.failures.add(Instant::now(), &backoff);
        match verdict {
            Verdict::Wait(wait) => {
                self.next_start = Some(Instant::now() + wait);
                self.say("waiting", &format!("the next start is in {wait:?}"));
            }
            Verdict::GiveUp => {
                let count = self.failures.count();
                self.say("given-up", &format!("{count} failures within {}", backoff.window));
            }
        }
        verdict
    }
}

/// How often those are looked at whose end nobody tells.
pub(super) const STEP: Duration = Duration::from_millis(20);
/// Tells the app, and what it starts, where the install is.
pub(crate) const FOLDER_VARIABLE: &str = "UPDATER_LAUNCHER_DIR";
/// The exit code when an app that ends with 0 is given up: it never stayed up.
pub(super) const GIVEN_UP: i32 = 80;
