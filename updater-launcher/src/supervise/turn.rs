//! One turn of the loop: wait for anything, and take what has come.

use super::Supervisor;
use super::child::Child;
use super::processes::Ending;
use super::signals::{is_ending, is_passed_on};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, Signal};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

/// A pipe from a child.
#[derive(Debug)]
pub(super) struct Stream {
    fd: OwnedFd,
    to: Sink,
    /// Bytes of a job's line that is not whole yet.
    line: Vec<u8>,
}

impl Stream {
    pub(super) fn new(fd: OwnedFd, to: Sink) -> Self {
        Self { fd, to, line: Vec::new() }
    }

    pub(super) fn to(&self) -> Sink {
        self.to
    }

    pub(super) fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
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
        self.children.add(child.pid);
        self.streams.push(Stream::new(child.stdout, out));
        self.streams.push(Stream::new(child.stderr, err));
        (child.pid, child.stdin)
    }

    /// Waits until something comes or the time is there, and takes it.
    pub(super) fn turn(&mut self, until: Option<Instant>) {
        let wait = until.map(|until| until.saturating_duration_since(Instant::now()).min(LONGEST));
        let timeout = wait.map(|wait| rustix::event::Timespec {
            tv_sec: i64::try_from(wait.as_secs()).unwrap_or(0),
            tv_nsec: i64::from(wait.subsec_nanos()),
        });
        self.shown.pass_on();
        let ready: Vec<bool> = {
            let mut fds = vec![PollFd::from_borrowed_fd(self.signals.fd(), PollFlags::IN)];
            // Where nobody has taken yet what was read last, that is waited for instead.
            fds.extend(self.streams.iter().map(|stream| match self.shown.blocked(stream.to) {
                Some(reader) => PollFd::from_borrowed_fd(reader, PollFlags::OUT),
                None => PollFd::from_borrowed_fd(stream.fd.as_fd(), PollFlags::IN),
            }));
            if let Some(server) = &self.server {
                fds.extend(server.fds().map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)));
            }
            // Interrupted by a signal counts as woken: its byte is there.
            let _ = poll(&mut fds, timeout.as_ref());
            fds.iter().map(|fd| !fd.revents().is_empty()).collect()
        };
        self.take_signals();
        self.children.look();
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

    fn take_signals(&mut self) {
        for number in self.signals.drain() {
            if is_ending(number) {
                self.say("signal", &format!("{number}: the launcher ends"));
                self.stopping = true;
            } else if is_passed_on(number)
                && let (Some(app), Some(passed)) = (&self.app, Signal::from_named_raw(number))
            {
                self.children.signal(app.pid, passed);
            }
        }
    }

    fn copy_streams(&mut self, ready: &[bool]) {
        let mut buffer = [0; CHUNK];
        let mut ended = Vec::new();
        for at in ready.iter().enumerate().filter_map(|(at, ready)| ready.then_some(at)) {
            let Some(stream) = self.streams.get_mut(at) else { continue };
            if self.shown.blocked(stream.to).is_some() {
                continue;
            }
            let read = match rustix::io::read(&stream.fd, &mut buffer) {
                Ok(n) => n,
                Err(rustix::io::Errno::INTR | rustix::io::Errno::AGAIN) => continue,
                Err(_) => 0,
            };
            let bytes = &buffer[..read];
            match stream.to {
                Sink::Out => {
                    self.out.write(bytes);
                    self.shown.add(Sink::Out, bytes);
                }
                Sink::Err => {
                    self.err.write(bytes);
                    self.shown.add(Sink::Err, bytes);
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

/// How long a killed process may take to be gone.
pub(super) const KILL_TIME: Duration = Duration::from_secs(10);
/// Bytes read at once, and the most of a job's line.
const CHUNK: usize = 16 * 1024;
/// The longest sleep: one hour. Waking up for nothing once an hour costs nothing.
const LONGEST: Duration = Duration::from_secs(60 * 60);
