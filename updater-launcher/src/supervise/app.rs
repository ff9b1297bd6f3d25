//! The app itself: started, stopped, written down, and started again.

use super::backoff::Verdict;
use super::child::Start;
use super::ending::Ending;
use super::hope::End;
use super::processes::{Pid, Signal};
use super::turn::Sink;
use super::{Mode, Supervisor};
use crate::error::{Error, Result};
use crate::launch::{Launch, check_program, program};
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
        let Launch { argv, env: own } = self.install.launch(&self.version, previous, &self.merged)?;
        let mut env = vec![
            (FOLDER_VARIABLE.to_owned(), self.install.places.root().to_string_lossy().into_owned()),
            ("UPDATER_LAUNCHER_SOCKET".to_owned(), self.install.places.socket_for_app().to_string_lossy().into_owned()),
        ];
        env.extend(own);
        let dir = self.version.dir.clone();
        let listener = self.listener()?;
        let child = Start { argv: &argv, dir: &dir, env: &env, listener, talks: false }.spawn()?;
        let (pid, _) = self.watch(child, Sink::Out, Sink::Err);
        let version = self.version.version.clone();
        self.app =
            Some(App { pid, version: version.clone(), started: Instant::now(), is_ready: false, failed_checks: 0 });
        self.confirmed = false;
        self.last_problem.clear();
        self.next_start = None;
        self.next_health = (self.mode == Mode::Supervise).then(Instant::now);
        self.write_down(pid);
        self.say("started", &format!("{} {version} as process {}", self.install.record.app, pid.as_raw_nonzero()));
        Ok(())
    }

    /// Starts the app; where that fails it counts as a failed start, and the next one is awaited.
    pub(super) fn start_or_wait(&mut self) {
        if let Err(error) = self.start_app(None) {
            self.fail_start(error);
        }
    }

    /// Decides what follows a start that did not come about.
    pub(super) fn fail_start(&mut self, error: Error) {
        if matches!(error, Error::Stopping) {
            return;
        }
        let is_lasting = self.is_lasting(&error);
        self.fail_start_as(error, is_lasting);
    }

    fn fail_start_as(&mut self, error: Error, is_lasting: bool) {
        self.say("failed", &error.full_message());
        // Later on the app has run already, and whoever has changed something may be about to mend it.
        if self.mode == Mode::Once || is_lasting && !self.has_run {
            self.end = Some(End { result: Err(error), may_be_mended: self.mode == Mode::Supervise });
        } else {
            self.count_failure_or_end();
        }
    }

    /// Tells whether a start fails for a reason that does not go away by waiting.
    fn is_lasting(&self, error: &Error) -> bool {
        match error {
            Error::Hook { .. } | Error::Failed { .. } | Error::File { .. } | Error::Lost { .. } => false,
            // The program, or what it was to be handed.
            Error::Start { .. } => {
                let program = self.version.dir.join(program(&self.version, &self.merged));
                check_program(&program.to_string_lossy(), &self.version.dir).is_err()
            }
            _ => true,
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
            self.end = Some(End { result: Ok(GIVEN_UP), may_be_mended: true });
        }
    }

    /// Asks an app to end, waits, and ends what is left of its process group. Returns how it ended.
    pub(super) fn stop_app(&mut self, app: &App) -> Option<Ending> {
        self.stop_apps(std::slice::from_ref(app)).into_iter().next().flatten()
    }

    /// The same for several at once: the grace is one for all of them.
    pub(super) fn stop_apps(&mut self, apps: &[App]) -> Vec<Option<Ending>> {
        let grace = self.merged.settings.stop.grace.duration();
        let deadline = Instant::now() + grace;
        for app in apps {
            if self.has_ended(app.pid).is_none() {
                self.children.signal(app.pid, self.stop_signal());
            }
        }
        self.going = apps.to_vec();
        // What an app has left in its group is asked when the app has ended.
        let mut asked = vec![false; apps.len()];
        loop {
            let mut is_over = true;
            for (app, asked) in apps.iter().zip(&mut asked) {
                let has_ended = self.has_ended(app.pid).is_some();
                let has_members = has_ended && self.children.has_members(app.pid);
                if has_members && !*asked {
                    self.children.signal_group(app.pid, self.stop_signal());
                    *asked = true;
                }
                is_over &= has_ended && !has_members;
            }
            if is_over || Instant::now() >= deadline {
                break;
            }
            // Of the end of what is no child of ours nothing tells.
            let step = if asked.contains(&true) { Instant::now() + STEP } else { deadline };
            self.turn(Some(step.min(deadline)));
        }
        let endings = apps.iter().map(|app| self.let_go(app, grace)).collect();
        self.going.clear();
        endings
    }

    /// Ends what is left of an app that had its time, and takes its end.
    fn let_go(&mut self, app: &App, grace: Duration) -> Option<Ending> {
        let pid = app.pid;
        if self.has_ended(pid).is_none() {
            self.say("killed", &format!("process {} did not end within {grace:?}", pid.as_raw_nonzero()));
        } else if self.children.has_members(pid) {
            self.say("killed", &format!("what process {} has started did not end in time", pid.as_raw_nonzero()));
        }
        let ended = self.finish(pid);
        self.forget(pid);
        let how = ended.map_or("did not end".to_owned(), |ending| ending.to_string());
        self.say("stopped", &format!("{}: it {how}", app.version));
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

    /// Takes the end of the app, if it has ended, and decides what follows. What it has left behind is ended, too.
    pub(super) fn take_end(&mut self) {
        let Some(pid) = self.app.as_ref().map(|app| app.pid) else { return };
        if self.has_ended(pid).is_none() {
            return;
        }
        let never_ran = self.children.not_executed(pid);
        self.end_group(pid, Instant::now() + self.merged.settings.stop.grace.duration());
        let ending = self.finish(pid);
        self.forget(pid);
        let (Some(ending), Some(app)) = (ending, self.app.take()) else { return };
        self.next_health = None;
        match never_ran {
            Some(problem) => {
                let error = Error::Start { program: program(&self.version, &self.merged).to_owned(), problem };
                self.fail_start_as(error, true);
            }
            None => self.after_end(&app, ending),
        }
    }

    fn after_end(&mut self, app: &App, ending: Ending) {
        let code = ending.exit_code();
        let message = format!("{}: it {ending}", app.version);
        self.has_run = true;
        self.tell("ended", &message, code != 0);
        let restarts = match self.merged.settings.restart {
            _ if self.mode == Mode::Once => false,
            Restart::Never => false,
            Restart::OnFailure => code != 0,
            Restart::Always => true,
        };
        // One that has done its work, or was well once, has not failed at its start.
        let has_failed = self.mode == Mode::Supervise && code != 0 && !app.is_ready;
        if !restarts {
            self.end = Some(End { result: Ok(code), may_be_mended: has_failed });
        } else if self.count_failure() == Verdict::GiveUp {
            self.end = Some(End { result: Ok(if code == 0 { GIVEN_UP } else { code }), may_be_mended: true });
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
