//! The app itself: started, stopped, written down, and started again.

use super::backoff::Verdict;
use super::child::{Start, described, exit_code, kill_group, signal};
use super::turn::{Sink, Waited};
use super::{Mode, Supervisor};
use crate::error::{Error, Result};
use crate::places::write_atomic;
use crate::record::read_bounded;
use rustix::process::{Pid, Signal, WaitStatus};
use std::net::TcpListener;
use std::os::fd::OwnedFd;
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

/// What is written down of a running app.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
struct Leftover {
    pid: i32,
    /// When it started, in the kernel's ticks since boot: numbers of processes come again.
    ticks: u64,
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
            ("UPDATER_LAUNCHER_DIR".to_owned(), self.install.places.root().to_string_lossy().into_owned()),
            ("UPDATER_LAUNCHER_SOCKET".to_owned(), self.install.places.socket().to_string_lossy().into_owned()),
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
    pub(super) fn stop_app(&mut self, app: &App) -> Option<WaitStatus> {
        let grace = self.merged.settings.stop.grace.duration();
        let pid = app.pid;
        if !self.exits.contains_key(&pid.as_raw_nonzero().get()) {
            signal(pid, self.stop_signal());
        }
        let mut ended = match self.wait_for(Instant::now() + grace, false, |this| this.take_exit(pid)) {
            Waited::For(status) => Some(status),
            Waited::TooLong | Waited::Stopping => None,
        };
        kill_group(pid);
        if ended.is_none() {
            self.say("killed", &format!("process {} did not end within {grace:?}", pid.as_raw_nonzero()));
            signal(pid, Signal::KILL);
            ended = match self.wait_for(Instant::now() + KILL_TIME, false, |this| this.take_exit(pid)) {
                Waited::For(status) => Some(status),
                Waited::TooLong | Waited::Stopping => None,
            };
        }
        self.forget(pid);
        self.say("stopped", &format!("{}: {}", app.version, ended.map_or("it did not end".to_owned(), described)));
        ended
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

    /// Returns how the app has ended, if it has.
    pub(super) fn app_ended(&mut self) -> Option<WaitStatus> {
        let pid = self.app.as_ref()?.pid;
        let status = self.take_exit(pid)?;
        kill_group(pid);
        self.forget(pid);
        Some(status)
    }

    /// Decides what follows the end of the app. Returns the exit code when that is the end of the launcher.
    pub(super) fn after_end(&mut self, status: WaitStatus) -> Option<i32> {
        let app = self.app.take()?;
        let code = exit_code(status);
        self.next_health = None;
        self.say("ended", &format!("{}: {}", app.version, described(status)));
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

    /// Ends an app that a killed launcher has left running.
    pub(super) fn end_leftover(&mut self) {
        let path = self.install.places.running_app();
        let Ok(Some(bytes)) = read_bounded(&path) else { return };
        let leftover = serde_json::from_slice::<Leftover>(&bytes).ok();
        if let Some(leftover) = leftover
            && let Some(pid) = Pid::from_raw(leftover.pid)
        {
            let lives = |pid: Pid| start_ticks(pid) == Some(leftover.ticks);
            if lives(pid) {
                self.say("leftover", &format!("process {} of an earlier launcher is ended", leftover.pid));
                signal(pid, self.stop_signal());
                let grace = self.merged.settings.stop.grace.duration();
                let begin = Instant::now();
                while lives(pid) && begin.elapsed() < grace {
                    // It is not our child: nothing tells us of its end.
                    self.turn(Some(Instant::now() + Duration::from_millis(20)));
                }
                if lives(pid) {
                    signal(pid, Signal::KILL);
                }
                kill_group(pid);
            }
        }
        let _ = std::fs::remove_file(path);
    }

    /// Returns the socket for the app, if it is to have one. It stays open between versions.
    fn listener(&mut self) -> Result<Option<OwnedFd>> {
        let Some(address) = self.merged.settings.listen else {
            self.listener = None;
            return Ok(None);
        };
        let failed = |source: std::io::Error| Error::Start {
            program: format!("listening on {address}"),
            problem: source.to_string(),
        };
        if self.listener.as_ref().is_none_or(|(bound, _)| *bound != address) {
            self.listener = Some((address, TcpListener::bind(address).map_err(failed)?));
        }
        match &self.listener {
            Some((_, listener)) => Ok(Some(listener.try_clone().map_err(failed)?.into())),
            None => Ok(None),
        }
    }

    pub(super) fn write_down(&self, pid: Pid) {
        let Some(ticks) = start_ticks(pid) else { return };
        let leftover = Leftover { pid: pid.as_raw_nonzero().get(), ticks };
        let written =
            serde_json::to_vec(&leftover).map_err(|e| Error::file("write", &self.install.places.running_app(), e));
        // Without it only a launcher after a kill cannot end the app before it starts another.
        if let Err(error) = written.and_then(|bytes| write_atomic(&self.install.places.running_app(), &bytes)) {
            log::debug!("{error}");
        }
    }

    fn forget(&self, pid: Pid) {
        let path = self.install.places.running_app();
        let is_its =
            read_bounded(&path).ok().flatten().and_then(|bytes| serde_json::from_slice::<Leftover>(&bytes).ok());
        if is_its.is_some_and(|leftover| leftover.pid == pid.as_raw_nonzero().get()) {
            let _ = std::fs::remove_file(path);
        }
    }
}

/// Returns when a process started (field 22 of `/proc/PID/stat`); `None` when there is none.
fn start_ticks(pid: Pid) -> Option<u64> {
    let stat = std::fs::read(format!("/proc/{}/stat", pid.as_raw_nonzero())).ok()?;
    let stat = String::from_utf8_lossy(&stat).into_owned();
    // The name before it is in parentheses and may hold anything. A zombie has ended.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    (fields.first() != Some(&"Z")).then(|| fields.get(19)?.parse().ok()).flatten()
}

/// How long a killed process may take to be gone.
const KILL_TIME: Duration = Duration::from_secs(10);
/// The exit code when an app that ends with 0 is given up: it never stayed up.
pub(super) const GIVEN_UP: i32 = 80;
