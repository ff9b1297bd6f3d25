//! What is written to whoever watches: at his pace, and never so that the loop stands still. A terminal that was stopped and
//! a pipe that nobody reads take nothing for as long as they like.

use super::turn::Sink;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::stdio::{stderr, stdout};
use std::os::fd::BorrowedFd;

/// The app's output on its way to whoever has started `run`. While the last bytes of a stream were not taken no more are
/// read from it: the app waits, as it would without a launcher.
#[derive(Debug)]
pub(super) struct Shown {
    is_wanted: bool,
    out: Vec<u8>,
    err: Vec<u8>,
}

impl Shown {
    pub(super) fn new(is_wanted: bool) -> Self {
        Self { is_wanted, out: Vec::new(), err: Vec::new() }
    }

    /// Takes bytes of a stream, if they are shown at all.
    pub(super) fn add(&mut self, of: Sink, bytes: &[u8]) {
        if self.is_wanted
            && let Some((pending, _)) = self.stream(of)
        {
            pending.extend_from_slice(bytes);
            self.pass_on();
        }
    }

    /// Passes on what can be passed on now.
    pub(super) fn pass_on(&mut self) {
        for of in [Sink::Out, Sink::Err] {
            if let Some((pending, reader)) = self.stream(of) {
                pass_on(pending, reader);
            }
        }
    }

    /// Returns who has not taken yet what was read last from a stream.
    pub(super) fn blocked(&self, of: Sink) -> Option<BorrowedFd<'static>> {
        match of {
            Sink::Out if !self.out.is_empty() => Some(stdout()),
            Sink::Err if !self.err.is_empty() => Some(stderr()),
            _ => None,
        }
    }

    /// Tells whether anything was not taken yet.
    pub(super) fn is_blocked(&self) -> bool {
        !self.out.is_empty() || !self.err.is_empty()
    }

    fn stream(&mut self, of: Sink) -> Option<(&mut Vec<u8>, BorrowedFd<'static>)> {
        match of {
            Sink::Out => Some((&mut self.out, stdout())),
            Sink::Err => Some((&mut self.err, stderr())),
            Sink::Own | Sink::Job => None,
        }
    }
}

/// Writes one line to standard error if its reader takes it at once. Returns whether it did.
pub(super) fn show_line(line: &[u8]) -> bool {
    let mut pending = line.get(..line.len().min(ATOMIC)).unwrap_or_default().to_vec();
    pass_on(&mut pending, stderr());
    pending.is_empty()
}

/// Writes as much as is taken now. A reader that is gone takes everything.
fn pass_on(pending: &mut Vec<u8>, to: BorrowedFd<'static>) {
    while !pending.is_empty() && is_ready(to) {
        // At most what a pipe with room takes at once.
        match rustix::io::write(to, pending.get(..pending.len().min(ATOMIC)).unwrap_or_default()) {
            Ok(written) => drop(pending.drain(..written)),
            Err(rustix::io::Errno::INTR) => {}
            Err(rustix::io::Errno::AGAIN) => return,
            Err(_) => pending.clear(),
        }
    }
}

/// Tells whether a write does not have to wait: there is room, or nobody who could make any.
fn is_ready(to: BorrowedFd<'static>) -> bool {
    let mut fds = [PollFd::from_borrowed_fd(to, PollFlags::OUT)];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut fds, Some(&now)).is_ok_and(|ready| ready > 0)
}

/// The most bytes of one write: a pipe that is ready has room for so many (PIPE_BUF).
const ATOMIC: usize = 4096;
