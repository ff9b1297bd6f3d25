//! One turn of the loop: wait for anything, and take what has come.

use super::child::Child;
use super::signals::{is_ending, is_passed_on};
use super::{Mode, Supervisor};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, Signal, WaitOptions, WaitStatus};
use std::io::Write;
use std::os::fd::{AsFd as _, OwnedFd};
use std::time::{Duration, Instant};

/// A pipe from a child.
#[derive(Debug)]
pub(super) struct Stream {
    fd: OwnedFd,
    to: Sink,
    /// Bytes of a job's line that is not whole yet.
    line: Vec<u8>,
}

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
}

impl Supervisor {
    /// Watches a child: its end, and what it writes.
    pub(super) fn watch(&mut self, child: Child, out: Sink, err: Sink) -> (Pid, Option<std::process::ChildStdin>) {
        self.known.insert(child.pid.as_raw_nonzero().get());
        self.streams.push(Stream { fd: child.stdout, to: out, line: Vec::new() });
        self.streams.push(Stream { fd: child.stderr, to: err, line: Vec::new() });
        (child.pid, child.stdin)
    }

    /// Waits until something comes or the time is there, and takes it.
    pub(super) fn turn(&mut self, until: Option<Instant>) {
        let wait = until.map(|until| until.saturating_duration_since(Instant::now()).min(LONGEST));
        let timeout = wait.map(|wait| rustix::event::Timespec {
            tv_sec: i64::try_from(wait.as_secs()).unwrap_or(0),
            tv_nsec: i64::from(wait.subsec_nanos()),
        });
        let ready: Vec<bool> = {
            let mut fds = vec![PollFd::from_borrowed_fd(self.signals.fd(), PollFlags::IN)];
            fds.extend(self.streams.iter().map(|stream| PollFd::from_borrowed_fd(stream.fd.as_fd(), PollFlags::IN)));
            if let Some(server) = &self.server {
                fds.extend(server.fds().map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)));
            }
            // Interrupted by a signal counts as woken: its byte is there.
            let _ = poll(&mut fds, timeout.as_ref());
            fds.iter().map(|fd| !fd.revents().is_empty()).collect()
        };
        self.take_signals();
        self.reap();
        let streams = self.streams.len();
        self.copy_streams(ready.get(1..=streams).unwrap_or_default());
        if let Some(server) = &mut self.server
            && ready.iter().skip(1 + streams).any(|ready| *ready)
        {
            let requests = server.receive();
            self.take_requests(requests);
        }
    }

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
        self.streams.iter().any(|stream| stream.to == Sink::Job)
    }

    /// Returns how a child has ended, once.
    pub(super) fn take_exit(&mut self, pid: Pid) -> Option<WaitStatus> {
        let number = pid.as_raw_nonzero().get();
        let status = self.exits.remove(&number)?;
        self.known.remove(&number);
        Some(status)
    }

    /// Returns how a child has ended by now, and leaves the rest to whoever cleans up after it.
    pub(super) fn has_ended(&mut self, pid: Pid) -> Option<WaitStatus> {
        self.reap();
        self.exits.get(&pid.as_raw_nonzero().get()).copied()
    }

    fn take_signals(&mut self) {
        for number in self.signals.drain() {
            if is_ending(number) {
                self.say("signal", &format!("{number}: the launcher ends"));
                self.stopping = true;
            } else if is_passed_on(number)
                && let (Some(app), Some(signal)) = (&self.app, Signal::from_named_raw(number))
            {
                super::child::signal(app.pid, signal);
            }
        }
    }

    /// Takes every child that has ended, also those that others have left to us: as process 1 these are all orphans.
    fn reap(&mut self) {
        while let Ok(Some((pid, status))) = rustix::process::wait(WaitOptions::NOHANG) {
            let number = pid.as_raw_nonzero().get();
            if self.known.contains(&number) {
                self.exits.insert(number, status);
            } else {
                log::debug!("an orphan has ended: {number}");
            }
        }
    }

    fn copy_streams(&mut self, ready: &[bool]) {
        let mut buffer = [0; CHUNK];
        let mut ended = Vec::new();
        for at in ready.iter().enumerate().filter_map(|(at, ready)| ready.then_some(at)) {
            let Some(stream) = self.streams.get_mut(at) else { continue };
            let read = match rustix::io::read(&stream.fd, &mut buffer) {
                Ok(n) => n,
                Err(rustix::io::Errno::INTR | rustix::io::Errno::AGAIN) => continue,
                Err(_) => 0,
            };
            let bytes = &buffer[..read];
            match stream.to {
                Sink::Out => {
                    self.out.write(bytes);
                    echo(self.mode, std::io::stdout(), bytes);
                }
                Sink::Err => {
                    self.err.write(bytes);
                    echo(self.mode, std::io::stderr(), bytes);
                }
                Sink::Own => self.journal.raw(bytes),
                Sink::Job => {
                    stream.line.extend_from_slice(bytes);
                    while let Some(end) = stream.line.iter().position(|byte| *byte == b'\n') {
                        let line: Vec<u8> = stream.line.drain(..=end).collect();
                        match serde_json::from_slice(&line) {
                            Ok(report) => self.reports.push_back(report),
                            Err(error) => log::debug!("a job wrote no report: {error}"),
                        }
                    }
                    stream.line.truncate(CHUNK);
                }
            }
            if read == 0 {
                ended.push(at);
            }
        }
        for at in ended.into_iter().rev() {
            self.streams.swap_remove(at);
        }
    }
}

/// Shows the app's output to whoever runs it once.
fn echo(mode: Mode, mut to: impl Write, bytes: &[u8]) {
    if mode == Mode::Once {
        let _ = to.write_all(bytes).and_then(|()| to.flush());
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

/// Bytes read at once, and the most of a job's line.
const CHUNK: usize = 16 * 1024;
/// The longest sleep: one hour. Waking up for nothing once an hour costs nothing.
const LONGEST: Duration = Duration::from_secs(60 * 60);
