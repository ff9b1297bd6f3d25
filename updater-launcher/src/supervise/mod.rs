//! The supervisor: one thread, one loop. It owns the app, its logs, its timers, its updates and the control socket.
//!
//! [`Supervisor::turn`] waits for whatever comes next: a signal, a child's end, bytes for a log, a client, a deadline. Steps
//! that take time are written down in order and turn the loop while they wait, so that nothing ever stands still.

mod app;
mod backoff;
mod child;
mod ending;
mod health;
mod hooks;
mod hope;
mod journal;
#[cfg_attr(windows, path = "windows/leftover.rs")]
mod leftover;
mod logs;
#[cfg_attr(windows, path = "windows/outlet.rs")]
mod outlet;
#[cfg_attr(windows, path = "windows/poll.rs")]
mod poll;
#[cfg_attr(windows, path = "windows/processes.rs")]
mod processes;
#[cfg_attr(windows, path = "windows/relaunch.rs")]
mod relaunch;
mod requests;
mod shown;
#[cfg_attr(windows, path = "windows/signals.rs")]
mod signals;
#[cfg_attr(windows, path = "windows/spawn.rs")]
mod spawn;
mod state;
mod swap;
mod turn;

#[cfg(windows)]
#[path = "windows/bell.rs"]
pub(crate) mod bell;

pub(crate) use app::FOLDER_VARIABLE;
pub(crate) use journal::QUIET;
pub(crate) use processes::Pid;
#[cfg(unix)]
pub(crate) use relaunch::takes_over;
pub(crate) use spawn::own_program;

use crate::control::{ClientId, Request, Server};
use crate::error::{Error, Result};
use crate::job::Report;
use crate::lock::Lock;
use crate::release::{Install, Version};
use crate::settings::Merged;
use app::App;
use backoff::Failures;
use ending::Ending;
use hope::End;
use journal::Journal;
use logs::RotatingLog;
use poll::Stream;
use processes::Children;
use relaunch::Handover;
use shown::Shown;
use signals::Signals;
use state::{LastError, Phase};
use std::collections::VecDeque;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::time::{Duration, Instant};
use updater_format::launcher::Interval;

/// How the app is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Kept running and up to date.
    Supervise,
    /// Run once, without updates.
    Once,
}

/// How a launcher begins.
#[derive(Debug)]
pub(crate) struct How {
    /// How the app is run.
    pub(crate) mode: Mode,
    /// What a launcher before, in this process, has left.
    pub(crate) handover: Option<String>,
    /// Whether the launcher looks for updates of its own.
    pub(crate) updates_itself: bool,
}

/// A running launcher.
#[derive(Debug)]
pub(crate) struct Supervisor {
    install: Install,
    mode: Mode,
    version: Version,
    merged: Merged,
    journal: Journal,
    signals: Signals,
    server: Option<Server>,
    /// Pipes from children, and where their bytes go.
    streams: Vec<Stream>,
    out: RotatingLog,
    err: RotatingLog,
    /// What the app's output is shown to, for `run`.
    shown: Shown,
    children: Children,
    app: Option<App>,
    /// Where two versions run side by side: the older one, when both are to end.
    beside: Option<App>,
    /// Those that were asked to end and have not ended yet.
    going: Vec<App>,
    failures: Failures,
    last_error: Option<LastError>,
    /// What the app's readiness lacked last, so that it is told once.
    last_problem: String,
    /// What a health check has written.
    said: Vec<u8>,
    phase: Phase,
    /// Whether any app was ever started here: without one, what no wait will mend ends the launcher at once.
    has_run: bool,
    /// Whether an update was looked for since the app was last well.
    has_looked: bool,
    /// Whether it was told that pipes of earlier apps were closed.
    has_closed: bool,
    /// Whether the hooks `before-start` have succeeded for the starts that follow.
    is_prepared: bool,
    next_start: Option<Instant>,
    next_check: Option<Instant>,
    next_health: Option<Instant>,
    job: Option<swap::Job>,
    reports: VecDeque<Report>,
    requests: VecDeque<(ClientId, Request)>,
    /// Who waits for the end of the job.
    waiting: Vec<ClientId>,
    /// Who waits for the end of the launcher.
    leaving: Vec<ClientId>,
    /// Whether the app has confirmed itself.
    confirmed: bool,
    /// Reads the journal of the current version's trial.
    trial: Option<updater_runtime::Updater>,
    /// Whether the launcher was asked to end.
    stopping: bool,
    /// What it is to end with by itself, unless an update mends it.
    end: Option<End>,
    listener: Option<(SocketAddr, TcpListener)>,
    /// The launcher's program, as it was found at the start.
    program: PathBuf,
    updates_itself: bool,
    next_self_check: Option<Instant>,
    /// Whether the program was updated, and is to take over at an idle moment.
    is_renewed: bool,
    lock: Lock,
}

impl Supervisor {
    /// Takes the folder over: its lock, its socket, and what a launcher before has left.
    /// # Errors
    /// [`Error::Busy`] when another launcher has it; [`Error::Settings`]; [`Error::Update`]; [`Error::File`].
    pub(crate) fn new(install: Install, how: How) -> Result<Self> {
        let How { mode, handover, updates_itself } = how;
        let handover = handover.map(|text| Handover::take(&text, &install.places)).transpose()?;
        let is_relaunched = handover.is_some();
        let (lock, listener, streams, app) = match handover {
            Some(Handover { lock, listener, streams, app }) => (lock, listener, streams, app),
            None => (Lock::take(&install.places)?, None, Vec::new(), None),
        };
        // Signals first: from here on this process ends in order.
        let signals = Signals::take()?;
        install.updater()?;
        let version = install.current()?;
        let merged = install.settings(&version.dir)?;
        let log = &merged.settings.log;
        let places = &install.places;
        let open = |stream| RotatingLog::open(&places.app_log(&install.record.app, stream), log.bytes, log.files);
        let (out, err) = (open("out")?, open("err")?);
        let journal = Journal::open(&places.own_log(), log)?;
        let server = match mode {
            Mode::Supervise => Some(Server::listen(places)?),
            Mode::Once => None,
        };
        let mut this = Self {
            out,
            err,
            journal,
            server,
            signals,
            version,
            merged,
            mode,
            install,
            streams,
            shown: Shown::new(mode == Mode::Once),
            children: Children::default(),
            app,
            beside: None,
            going: Vec::new(),
            failures: Failures::default(),
            last_error: None,
            last_problem: String::new(),
            said: Vec::new(),
            phase: Phase::Idle,
            has_run: false,
            has_looked: false,
            has_closed: false,
            is_prepared: false,
            next_start: None,
            next_check: None,
            next_health: None,
            job: None,
            reports: VecDeque::new(),
            requests: VecDeque::new(),
            waiting: Vec::new(),
            leaving: Vec::new(),
            confirmed: false,
            trial: None,
            stopping: false,
            end: None,
            listener,
            program: relaunch::own_program_path()?,
            updates_itself,
            next_self_check: None,
            is_renewed: false,
            lock,
        };
        // Of a launcher before; there is none on Windows.
        #[cfg(unix)]
        if let Some(app) = &this.app {
            this.children.add(app.pid);
            this.streams.iter_mut().for_each(|stream| stream.belongs_to(app.pid));
        }
        match &this.app {
            Some(_) => {
                this.is_prepared = true;
                this.has_run = true;
                this.next_health = Some(Instant::now());
            }
            None if is_relaunched => {}
            None => this.end_leftover(),
        }
        Ok(this)
    }

    /// Runs until the app is done or the launcher is asked to end. Returns the exit code.
    /// # Errors
    /// [`Error::Start`] and others when there never was an app, for a reason that no wait mends.
    pub(crate) fn run(mut self) -> Result<i32> {
        let takes_over = self.app.is_some();
        let how = if takes_over { ", in place of the one before" } else { "" };
        self.say("launcher-started", &format!("process {}{how}", std::process::id()));
        let begun = match self.install.updater()?.pending_trial()? {
            _ if takes_over => Ok(()),
            Some(trial) if self.mode == Mode::Supervise => self.resume_trial(&trial),
            _ => self.start_app(None),
        };
        match begun {
            Ok(()) | Err(Error::Unhealthy { .. }) => {}
            Err(error) => self.fail_start(error),
        }
        if self.mode == Mode::Supervise {
            let at_start = self.merged.settings.update_at_start && !takes_over;
            self.next_check = if at_start { Some(Instant::now()) } else { self.after_interval() };
        }
        let result = loop {
            if self.stopping {
                break Ok(self.shut_down());
            }
            self.take_end();
            if let Some(result) = self.last_word() {
                break result;
            }
            self.due();
            self.handle_reports();
            self.handle_requests();
            if self.is_renewed && self.is_idle() {
                self.is_renewed = false;
                let error = self.relaunch();
                self.say("failed", &error.full_message());
            }
            if !self.has_work() {
                self.turn(self.deadline());
            }
        };
        // What the app has written last may still be in its pipes, which others may hold open: take what is there.
        let mut reads = 0;
        while reads < LAST_READS {
            // Who is shown it may take the time that it takes, until somebody asks for the end.
            let is_blocked = self.shown.is_blocked();
            if is_blocked && self.stopping {
                break;
            }
            reads += usize::from(!is_blocked);
            self.turn(Some(Instant::now() + if is_blocked { SECOND } else { Duration::ZERO }));
        }
        let code = result.as_ref().map_or_else(|error| error.exit_code().into(), |code| *code);
        self.say("launcher-ended", &format!("exit code {code}"));
        self.leave();
        result
    }

    /// Gives the folder back, and only then tells those who asked for the end: what they do next finds it free. The socket
    /// goes before the lock: after it the path may be that of the next launcher.
    fn leave(self) {
        let Self { mut server, leaving, lock, .. } = self;
        if let Some(server) = &mut server {
            server.stop_listening();
        }
        drop(lock);
        if let Some(server) = server {
            server.close(&leaving);
        }
    }

    /// Does what its time has come for.
    fn due(&mut self) {
        let now = Instant::now();
        if self.next_start.is_some_and(|at| at <= now) {
            self.next_start = None;
            self.start_or_wait();
        }
        if self.next_check.is_some_and(|at| at <= now) && self.job.is_none() {
            self.next_check = self.after_interval();
            self.begin_job("update");
            self.next_self_check = self.updates_itself.then_some(now);
        }
        // After the app's own, and only while the program is the one that runs.
        if self.next_self_check.is_some_and(|at| at <= now) && self.is_idle() {
            self.next_self_check = None;
            if !self.is_replaced() {
                self.begin_job("self-update");
            }
        }
        if self.next_health.is_some_and(|at| at <= now) {
            self.check_health();
        }
    }

    fn has_work(&self) -> bool {
        let ended = self.app.as_ref().is_some_and(|app| self.children.ending(app.pid).is_some());
        let is_over = self.end.is_some() && self.job.is_none();
        ended || is_over || self.stopping || !self.reports.is_empty() || self.can_handle_requests() || self.job_ended()
    }

    fn deadline(&self) -> Option<Instant> {
        let check = self.next_check.filter(|_| self.job.is_none());
        [self.next_start, check, self.next_health].into_iter().flatten().min()
    }

    /// Returns when to look for updates again: after the interval, and up to a tenth more so that installs spread out.
    fn after_interval(&self) -> Option<Instant> {
        let Interval::Every(span) = self.merged.settings.interval else { return None };
        let interval = span.duration();
        let jitter = interval / 10 * random_thousandth() / 1000;
        Some(Instant::now() + interval + jitter)
    }

    /// Ends app and launcher. An app that ends in order, or by the signal that asked it to, ends the launcher with 0.
    fn shut_down(&mut self) -> i32 {
        self.drop_job();
        let signal = self.stop_signal().as_raw();
        let app = self.app.take();
        let is_its = app.is_some();
        let all: Vec<App> = app.into_iter().chain(self.beside.take()).collect();
        let endings = self.stop_apps(&all);
        let ending = endings.into_iter().next().flatten().filter(|_| is_its);
        match ending.map_or(0, Ending::exit_code) {
            code if code == 128 + signal => 0,
            code => code,
        }
    }
}

/// Returns a random number from 0 to 999. It spreads requests and protects nothing.
fn random_thousandth() -> u32 {
    use std::hash::{BuildHasher as _, Hasher as _};
    let random = std::hash::RandomState::new().build_hasher().finish();
    u32::try_from(random % 1000).unwrap_or(0)
}

/// How often pipes are read at the end: 16 KiB each time, and a pipe holds 64.
const LAST_READS: usize = 5;
const SECOND: Duration = Duration::from_secs(1);
/// How often what can only be asked for is asked for.
const PAUSE: Duration = Duration::from_millis(100);
