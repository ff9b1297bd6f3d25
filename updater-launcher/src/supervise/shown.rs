//! What is written to whoever watches: at his pace, and never so that the loop stands still. A terminal that was stopped, a
//! console in which text is marked, and a pipe that nobody reads take nothing for as long as they like. How a system writes without
//! waiting is in `outlet`.

use super::outlet::{Outlet, stderr, stdout};
use super::turn::Sink;

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
            if let Some((pending, outlet)) = self.stream(of)
                && !pending.is_empty()
            {
                outlet.take(pending);
            }
        }
    }

    /// Returns who has not taken yet what was read last from a stream.
    pub(super) fn blocked(&self, of: Sink) -> Option<Outlet> {
        match of {
            Sink::Out if !self.out.is_empty() => Some(stdout()),
            Sink::Err if !self.err.is_empty() => Some(stderr()),
            _ => None,
        }
    }

    /// Tells whether anything was not taken yet.
    pub(super) fn is_blocked(&self) -> bool {
        let is_busy = |pending: &[u8], outlet: Outlet| !pending.is_empty() || outlet.is_busy();
        self.is_wanted && (is_busy(&self.out, stdout()) || is_busy(&self.err, stderr()))
    }

    fn stream(&mut self, of: Sink) -> Option<(&mut Vec<u8>, Outlet)> {
        match of {
            Sink::Out => Some((&mut self.out, stdout())),
            Sink::Err => Some((&mut self.err, stderr())),
            Sink::Own | Sink::Job | Sink::Check => None,
        }
    }
}
