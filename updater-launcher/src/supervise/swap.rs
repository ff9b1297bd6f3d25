//! An update of the running app, from the check to the end of the trial.
//!
//! ```text
//! job: check, download, verify ─▶ staged ─▶ before-swap ─▶ stop old ─▶ job: swap ─▶ after-swap ─▶ start new ─▶ ready?
//!   old runs on                             old runs on                                                 │
//!                                                             yes: after-start ─▶ job: confirm ◀────────┤
//!                                                             no:  stop new ─▶ job: put back ─▶ start old
//! ```
//!
//! With a socket of the launcher's own and `overlap`, "stop old" comes last, when the new version is ready.

use super::Supervisor;
use super::app::App;
use super::child::Start;
use super::processes::{Pid, Signal};
use super::spawn::own_program;
use super::state::Phase;
use super::turn::{Sink, Waited};
use crate::cli::rollback_target;
use crate::error::{Error, Result};
use crate::job::Report;
use crate::release::Version;
use std::io::Write as _;
use std::path::Path;
use std::process::ChildStdin;
use std::time::{Duration, Instant};
use updater_format::ReleaseVersion;
use updater_runtime::PendingTrial;

/// A job that runs.
#[derive(Debug)]
pub(super) struct Job {
    pid: Pid,
    stdin: Option<ChildStdin>,
    pub(super) name: &'static str,
}

impl Supervisor {
    /// Begins a job. Its reports are handled by the loop.
    pub(super) fn begin_job(&mut self, name: &'static str) {
        match self.spawn_job(name, None) {
            Ok(job) => self.job = Some(job),
            Err(error) => self.end_job(&Err(error)),
        }
    }

    /// Takes the reports of the running job, and acts on them.
    pub(super) fn handle_reports(&mut self) {
        while let Some(report) = self.reports.pop_front() {
            match report {
                Report::Available { version, bytes } => {
                    let of = if self.is_self_update() { " of the launcher" } else { "" };
                    self.say("available", &format!("{version}{of}, {bytes} bytes"));
                    if self.job.as_ref().is_some_and(|job| job.name == "check") {
                        self.end_job(&Ok(Outcome::Available(version)));
                    }
                }
                Report::Staged { version, dir } => {
                    let outcome = self.swap(&version, &dir).map(|()| Outcome::Updated(version));
                    if let Err(error) = &outcome {
                        self.say("update-failed", &error.full_message());
                    }
                    self.end_job(&outcome);
                }
                Report::Failed { code, message, hint, exit } => {
                    self.say("update-failed", &format!("{message} ({code})"));
                    self.end_job(&Err(Error::Refused { message, hint, exit }));
                }
                Report::Withheld { why } => {
                    self.say("no-update", &why);
                    self.end_job(&Err(Error::NoUpdate { problem: why }));
                }
                Report::Current => {
                    self.end_job(&Ok(Outcome::Current));
                }
                Report::Installed if self.is_self_update() => {
                    // On Windows a process cannot become another program.
                    let when = if cfg!(unix) { "when nothing else is going on" } else { "with the next start" };
                    self.say("launcher-updated", &format!("it takes over {when}"));
                    self.is_renewed = cfg!(unix);
                    self.end_job(&Ok(Outcome::Current));
                }
                other => log::debug!("out of turn: {other:?}"),
            }
        }
        if self.job_ended() {
            // Without a last word: it was killed.
            let job = self.job.as_ref().map_or("update", |job| job.name);
            self.end_job(&Err(Error::Lost { job }));
        }
    }

    /// Tells whether the job has ended while nobody looked.
    pub(super) fn job_ended(&self) -> bool {
        let ended = |job: &Job| self.children.ending(job.pid).is_some();
        self.reports.is_empty() && self.job.as_ref().is_some_and(ended) && !self.has_job_stream()
    }

    fn is_self_update(&self) -> bool {
        self.job.as_ref().is_some_and(|job| job.name == "self-update")
    }

    /// Gives the job up; nothing of it has changed anything.
    pub(super) fn drop_job(&mut self) {
        if let Some(job) = self.job.take() {
            drop(job.stdin);
            if self.has_ended(job.pid).is_none() {
                self.children.signal(job.pid, Signal::TERM);
            }
            self.wait_for(Instant::now() + JOB_END, false, |this| this.has_ended(job.pid));
            self.finish(job.pid);
        }
    }

    /// Goes on with a trial that an earlier launcher has begun: the new version is watched once more.
    pub(super) fn resume_trial(&mut self, trial: &PendingTrial) -> Result<()> {
        self.say("trial", &format!("{} is still on trial", trial.to));
        self.phase = Phase::Trial;
        let begun = self.start_app(Some(&trial.from)).and_then(|()| self.prove(&trial.from));
        let settled = self.settle_trial(begun, &trial.from, &trial.to, None);
        self.phase = Phase::Idle;
        settled
    }

    /// Goes back to a kept version by hand. What cannot be is refused while the app runs on.
    pub(super) fn roll_back(&mut self, version: Option<&ReleaseVersion>) -> Result<ReleaseVersion> {
        rollback_target(&self.install.updater()?, version.cloned(), &self.version.version)?;
        self.drop_job();
        self.phase = Phase::Swapping;
        let running = self.app.take();
        if let Some(app) = &running {
            self.stop_app(app);
        }
        let name = version.map(ToString::to_string);
        let done = self.run_job("rollback", name.as_deref());
        self.reload_or_keep();
        self.end = None;
        self.next_start = None;
        self.begin_anew();
        self.phase = Phase::Idle;
        self.start_or_wait();
        match done? {
            Report::PutBack { installed, left } => {
                self.say("rolled-back", &format!("{left} to {installed}"));
                Ok(installed)
            }
            _ => Ok(self.version.version.clone()),
        }
    }

    /// Puts a staged version in place and proves it, or goes back.
    fn swap(&mut self, new: &ReleaseVersion, staged: &Path) -> Result<()> {
        let swapped = self.swap_by_steps(new, staged);
        self.phase = Phase::Idle;
        swapped
    }

    fn swap_by_steps(&mut self, new: &ReleaseVersion, staged: &Path) -> Result<()> {
        let old = self.version.version.clone();
        let version = Version::read(staged, &self.install.record.app)?;
        // The new version's own hooks, and its own idea of how it is swapped.
        let merged = self.install.settings(staged)?;
        // What cannot be started is not worth a stop.
        self.install.check_start(&version, &merged)?;
        let before = std::mem::replace(&mut self.merged, merged);
        let hooks = self.merged.settings.hooks.before_swap.clone();
        let hooked = self.run_hooks("before-swap", &hooks, &version, Some(&old));
        let overlaps = self.merged.settings.overlap && self.merged.settings.listen.is_some();
        // The old version is stopped by its own settings.
        self.merged = before;
        hooked?;
        let overlaps = overlaps && self.listener.is_some();
        self.say("swapping", &format!("{old} to {new}{}", if overlaps { ", side by side" } else { "" }));
        self.phase = Phase::Swapping;
        let running = self.app.take();
        let mut beside = None;
        match running {
            Some(app) if overlaps && self.has_ended(app.pid).is_none() => beside = Some(app),
            Some(app) => {
                self.stop_app(&app);
            }
            None => {}
        }
        self.next_start = None;
        if let Err(error) = self.install_staged() {
            // Mostly nothing has changed, or the runtime has undone it. A job that was killed may have come further.
            if !self.is_on_trial_after_all(new) {
                self.reload_or_keep();
                self.keep_old(beside);
                return Err(error);
            }
            self.say("swapping", &format!("{}; the swap to {new} is finished", error.full_message()));
        }
        self.begin_anew();
        self.phase = Phase::Trial;
        let proved = self.reload().and_then(|()| {
            let hooks = self.merged.settings.hooks.after_swap.clone();
            self.run_hooks("after-swap", &hooks, &self.version.clone(), Some(&old))?;
            self.start_app(Some(&old))?;
            self.prove(&old)
        });
        self.settle_trial(proved, &old, new, beside)
    }

    /// Watches the new version until it is ready, and runs its last hooks.
    fn prove(&mut self, old: &ReleaseVersion) -> Result<()> {
        self.wait_until_ready()?;
        let hooks = self.merged.settings.hooks.after_start.clone();
        self.run_hooks("after-start", &hooks, &self.version.clone(), Some(old))?;
        // It may have ended during them.
        self.still_runs()
    }

    /// Ends the trial one way or the other. `beside` is the old version where it still runs.
    fn settle_trial(
        &mut self,
        proved: Result<()>,
        old: &ReleaseVersion,
        new: &ReleaseVersion,
        beside: Option<App>,
    ) -> Result<()> {
        let error = match proved {
            Ok(()) => {
                // A trial that cannot be ended now is ended by the next start; the new version runs.
                if let Err(error) = self.run_job("confirm", None) {
                    self.say("failed", &error.full_message());
                }
                if let Some(beside) = beside {
                    self.stop_app(&beside);
                }
                self.end = None;
                self.say("updated", &format!("{old} to {new}"));
                return Ok(());
            }
            Err(Error::Stopping) => {
                // The next start goes on with the trial. Both are asked to end at once, by the loop.
                self.beside = beside;
                return Err(Error::Stopping);
            }
            Err(error) => error,
        };
        self.phase = Phase::Swapping;
        let problem = error.full_message();
        self.say("rolling-back", &format!("{new} to {old}: {problem}"));
        if let Some(app) = self.app.take() {
            self.stop_app(&app);
        }
        let kept = old.to_string();
        let back = self.run_job("put-back", Some(&kept));
        self.reload_or_keep();
        if let Err(error) = &back {
            // What is kept is not whole, and the new version is all there is; or the job was killed.
            self.say("failed", &error.full_message());
            if self.version.version == *new && matches!(error, Error::Lost { .. }) {
                if let Err(error) = self.run_job("put-back", Some(&kept)) {
                    self.say("failed", &error.full_message());
                }
                self.reload_or_keep();
            }
        }
        self.begin_anew();
        self.keep_old(beside);
        let previous = self.version.version.to_string();
        let outcome = match self.end {
            Some(_) => "is back, which has failed as well",
            None => "runs again",
        };
        Err(Error::Unhealthy { version: new.to_string(), previous, outcome, problem })
    }

    /// Lets the old version go on: it runs still, or is started.
    fn keep_old(&mut self, beside: Option<App>) {
        match beside {
            Some(app) => {
                self.write_down(app.pid);
                self.app = Some(app);
            }
            // It has failed before: what was to mend it did not.
            None if self.end.is_some() => {}
            None => {
                self.is_prepared = false;
                self.start_or_wait();
            }
        }
    }

    /// Tells the job that holds the staged version to install it.
    fn install_staged(&mut self) -> Result<()> {
        let gone = || Error::Lost { job: "update" };
        let job = self.job.as_mut().ok_or_else(gone)?;
        let pid = job.pid;
        let told = job.stdin.take().ok_or_else(gone)?.write_all(b"install\n");
        told.map_err(|_| gone())?;
        let report = self.last_report("update", pid);
        // Whatever it has said: it has ended.
        self.job = None;
        match report? {
            Report::Installed => Ok(()),
            Report::Failed { message, hint, exit, .. } => Err(Error::Refused { message, hint, exit }),
            _ => Err(gone()),
        }
    }

    /// Runs a job to its end, and returns its last report.
    fn run_job(&mut self, name: &'static str, argument: Option<&str>) -> Result<Report> {
        self.reports.clear();
        let job = self.spawn_job(name, argument)?;
        match self.last_report(name, job.pid)? {
            Report::Failed { message, hint, exit, .. } => Err(Error::Refused { message, hint, exit }),
            report => Ok(report),
        }
    }

    /// Waits for the end of a job. It is not interrupted: what changes an install takes milliseconds, and is finished.
    fn last_report(&mut self, job: &'static str, pid: Pid) -> Result<Report> {
        let ended = |this: &mut Self| (this.has_ended(pid).is_some() && !this.has_job_stream()).then_some(());
        self.wait_for(Instant::now() + JOB_LIMIT, false, ended);
        self.finish(pid);
        self.reports.pop_back().ok_or(Error::Lost { job })
    }

    fn spawn_job(&mut self, name: &'static str, argument: Option<&str>) -> Result<Job> {
        let root = self.install.places.root().to_owned();
        let mut argv = vec![own_program(), "__job".to_owned(), root.to_string_lossy().into_owned()];
        argv.push(name.to_owned());
        argv.extend(argument.map(str::to_owned));
        let child = Start { argv: &argv, dir: &root, env: &[], listener: None, talks: true }.spawn()?;
        let (pid, stdin) = self.watch(child, Sink::Job, Sink::Own);
        Ok(Job { pid, stdin, name })
    }

    /// Reads again which version is current, and its settings.
    fn reload(&mut self) -> Result<()> {
        self.version = self.install.current()?;
        self.trial = None;
        match self.install.settings(&self.version.dir) {
            Ok(merged) => self.merged = merged,
            // Somebody has edited launcher.toml meanwhile. The app goes on by the settings that were good.
            Err(error) => self.say("failed", &error.full_message()),
        }
        Ok(())
    }

    /// Finishes or undoes what a job that was killed has begun, and tells whether this version is in place and on trial.
    fn is_on_trial_after_all(&mut self, new: &ReleaseVersion) -> bool {
        match self.install.updater().and_then(|updater| Ok(updater.pending_trial()?)) {
            Ok(trial) => trial.is_some_and(|trial| trial.to == *new),
            Err(error) => {
                self.say("failed", &error.full_message());
                false
            }
        }
    }

    /// Like [`Supervisor::reload`], after a job that may have been killed: what it has begun is finished or undone first.
    /// What cannot be read leaves everything as it was known, for an app must run again.
    fn reload_or_keep(&mut self) {
        let settled = self.install.updater().map(|_| ());
        if let Err(error) = settled.and_then(|()| self.reload()) {
            self.say("failed", &error.full_message());
        }
    }

    /// Ends the job, which has said its last word, and tells those who wait for it.
    fn end_job(&mut self, outcome: &Result<Outcome>) {
        if let Some(job) = &mut self.job {
            // Without its input it drops what it has staged and ends.
            job.stdin = None;
            let pid = job.pid;
            let ended = self.wait_for(Instant::now() + JOB_END, false, |this| this.has_ended(pid));
            if matches!(ended, Waited::For(_)) {
                self.finish(pid);
                self.job = None;
            }
        }
        self.drop_job();
        self.reports.clear();
        self.answer_waiting(outcome);
    }
}

/// What a check or an update has led to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    /// There is nothing newer.
    Current,
    /// There is an update.
    Available(ReleaseVersion),
    /// The update runs.
    Updated(ReleaseVersion),
}

/// How long a job that was given up may take to end.
const JOB_END: Duration = Duration::from_secs(10);
/// How long a swap, a confirmation or a return may take: hashing a large release takes its time.
const JOB_LIMIT: Duration = Duration::from_secs(600);
