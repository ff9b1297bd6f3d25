//! Waiting for anything: signals, pipes of children, the control socket.

use super::Supervisor;
use super::child::Child;
use super::processes::Pid;
use super::turn::{CHUNK, LONGEST, Sink};
use rustix::event::{PollFd, PollFlags, poll};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::time::Instant;

/// A pipe from a child.
#[derive(Debug)]
pub(super) struct Stream {
    fd: OwnedFd,
    to: Sink,
    /// The child that was given it.
    of: Option<Pid>,
    /// Bytes of a job's line that is not whole yet.
    line: Vec<u8>,
}

impl Stream {
    pub(super) fn new(fd: OwnedFd, to: Sink) -> Self {
        Self { fd, to, of: None, line: Vec::new() }
    }

    pub(super) fn to(&self) -> Sink {
        self.to
    }

    /// Returns the child that was given it, if that is known.
    pub(super) fn of(&self) -> Option<Pid> {
        self.of
    }

    pub(super) fn belongs_to(&mut self, pid: Pid) {
        self.of = Some(pid);
    }

    pub(super) fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Supervisor {
    /// Watches a child: its end, and what it writes.
    pub(super) fn watch(&mut self, child: Child, out: Sink, err: Sink) -> (Pid, Option<std::process::ChildStdin>) {
        self.children.add(child.pid);
        for (pipe, to) in [(child.stdout, out), (child.stderr, err)] {
            let stream = Stream { of: Some(child.pid), ..Stream::new(pipe, to) };
            self.streams.push(stream);
        }
        self.close_old_streams();
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
                Some(reader) => PollFd::from_borrowed_fd(reader.fd(), PollFlags::OUT),
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
            let (to, mut line) = (stream.to, std::mem::take(&mut stream.line));
            self.take_bytes(to, &mut line, &buffer[..read]);
            if let Some(stream) = self.streams.get_mut(at) {
                stream.line = line;
            }
            if read == 0 {
                ended.push(at);
            }
        }
        for at in ended.into_iter().rev() {
            // In their order: the oldest come first.
            self.streams.remove(at);
        }
    }
}
