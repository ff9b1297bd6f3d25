//! One turn of the loop: wait for anything, and take what has come. How a system waits is in `poll`.

use super::Supervisor;
use super::ending::Ending;
use super::poll::Stream;
use super::processes::{Children, Pid, Signal};
use super::signals::{is_ending, passed_on};
use std::time::{Duration, Instant};

/// Where the bytes of a pipe go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sink {
    /// The app's standard output.
    Out,
    /// The app's standard error.
    Err,
    /// The launcher's log.
    Own,
    /// Reports of the job.
    Job,
    /// What a health check says.
    Check,
}

impl Supervisor {
    /// Turns the loop until something is there, the time is over, or the launcher is asked to end.
    pub(super) fn wait_for<T>(
        &mut self,
        until: Instant,
        may_stop: bool,
        mut what: impl FnMut(&mut Self) -> Option<T>,
    ) -> Waited<T> {
        loop {
            if let Some(found) = what(self) {
                return Waited::For(found);
            }
            if may_stop && self.stopping {
                return Waited::Stopping;
            }
            if Instant::now() >= until {
                return Waited::TooLong;
            }
            self.turn(Some(until));
        }
    }

    /// Tells whether a job's pipe is still open: its last line may be in it.
    pub(super) fn has_job_stream(&self) -> bool {
        self.streams.iter().any(|stream| stream.to() == Sink::Job)
    }

    /// Closes the oldest pipes of children that have ended, when what these have left running holds too many of them open.
    pub(super) fn close_old_streams(&mut self) {
        let is_over = |stream: &Stream, children: &Children| {
            stream.to() != Sink::Job && stream.of().is_none_or(|pid| !children.knows(pid))
        };
        loop {
            let over = self.streams.iter().filter(|stream| is_over(stream, &self.children)).count();
            if over <= MAX_LEFT {
                return;
            }
            let Some(at) = self.streams.iter().position(|stream| is_over(stream, &self.children)) else { return };
            drop(self.streams.remove(at));
            if !self.has_closed {
                self.has_closed = true;
                let what = "what earlier starts have left running outside of their process groups";
                self.say("closed", &format!("{what} is read no more, but for the latest {} pipes", MAX_LEFT));
            }
        }
    }

    /// Returns how a child has ended by now; its number stays its own.
    pub(super) fn has_ended(&mut self, pid: Pid) -> Option<Ending> {
        self.children.look();
        self.children.ending(pid)
    }

    /// Ends a child and what is left of its process group at once, and lets its number go. Returns how it ended.
    pub(super) fn finish(&mut self, pid: Pid) -> Option<Ending> {
        self.children.signal_group(pid, Signal::KILL);
        self.wait_for(Instant::now() + KILL_TIME, false, |this| this.has_ended(pid));
        self.children.let_go(pid)
    }

    /// Takes the signals that have come.
    pub(super) fn take_signals(&mut self) {
        for number in self.signals.drain() {
            if is_ending(number) {
                self.say("signal", &format!("{number}: the launcher ends"));
                self.stopping = true;
            } else if let (Some(app), Some(passed)) = (&self.app, passed_on(number)) {
                self.children.signal(app.pid, passed);
            }
        }
    }

    /// Takes what a child has written.
    pub(super) fn take_bytes(&mut self, to: Sink, line: &mut Vec<u8>, bytes: &[u8]) {
        match to {
            Sink::Out => {
                self.out.write(bytes);
                self.shown.add(Sink::Out, bytes);
            }
            Sink::Err => {
                self.err.write(bytes);
                self.shown.add(Sink::Err, bytes);
            }
            Sink::Own => self.journal.raw(bytes),
            Sink::Check => {
                let room = CHUNK.saturating_sub(self.said.len()).min(bytes.len());
                self.said.extend_from_slice(bytes.get(..room).unwrap_or_default());
            }
            Sink::Job => {
                line.extend_from_slice(bytes);
                while let Some(end) = line.iter().position(|byte| *byte == b'\n') {
                    let whole: Vec<u8> = line.drain(..=end).collect();
                    match serde_json::from_slice(&whole) {
                        Ok(report) => self.reports.push_back(report),
                        Err(error) => log::debug!("a job wrote no report: {error}"),
                    }
                }
                line.truncate(CHUNK);
            }
        }
    }
}

/// What a wait ended with.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Waited<T> {
    /// What was waited for.
    For(T),
    /// The time was over.
    TooLong,
    /// The launcher was asked to end.
    Stopping,
}

/// The most pipes of children that have ended which are read on: 32, two for each of 16 starts.
const MAX_LEFT: usize = 32;
/// How long a killed process may take to be gone.
pub(super) const KILL_TIME: Duration = Duration::from_secs(10);
/// Bytes read at once, and the most of a job's line.
pub(super) const CHUNK: usize = 16 * 1024;
/// The longest sleep: one hour. Waking up for nothing once an hour costs nothing.
pub(super) const LONGEST: Duration = Duration::from_secs(60 * 60);
