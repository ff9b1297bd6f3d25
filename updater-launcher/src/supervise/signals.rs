//! Signals as flags and a byte in a pipe, so that the loop can wait for them beside everything else.

use super::processes::Signal;
use crate::error::{Error, Result};
use signal_hook::consts::signal as number;
use std::io::Read as _;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// The signals of this process.
#[derive(Debug)]
pub(super) struct Signals {
    wake: UnixStream,
    flags: Vec<(i32, Arc<AtomicBool>)>,
}

impl Signals {
    /// Takes over the signals. What is not listed keeps its meaning.
    pub(super) fn take() -> Result<Self> {
        let failed = |source| Error::file("watch signals of", std::path::Path::new("this process"), source);
        let (wake, sender) = UnixStream::pair().map_err(failed)?;
        wake.set_nonblocking(true).map_err(failed)?;
        let mut flags = Vec::new();
        for signal in ENDING.iter().chain(&PASSED_ON).chain(&[number::SIGCHLD]) {
            let flag = Arc::new(AtomicBool::new(false));
            // The flag first: whoever is woken finds it set.
            signal_hook::flag::register(*signal, Arc::clone(&flag)).map_err(failed)?;
            let sender = sender.try_clone().map_err(failed)?;
            signal_hook::low_level::pipe::register(*signal, sender).map_err(failed)?;
            flags.push((*signal, flag));
        }
        Ok(Self { wake, flags })
    }

    /// Returns what the loop waits for.
    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }

    /// Returns the signals that have come since the last call.
    pub(super) fn drain(&mut self) -> Vec<i32> {
        let mut bytes = [0; 64];
        while self.wake.read(&mut bytes).is_ok_and(|n| n > 0) {}
        let came = |(signal, flag): &(i32, Arc<AtomicBool>)| flag.swap(false, Ordering::SeqCst).then_some(*signal);
        self.flags.iter().filter_map(came).collect()
    }
}

/// Tells whether a signal asks the launcher to end.
pub(super) fn is_ending(signal: i32) -> bool {
    ENDING.contains(&signal)
}

/// Returns a signal that is meant for the app.
pub(super) fn passed_on(signal: i32) -> Option<Signal> {
    PASSED_ON.contains(&signal).then(|| Signal::from_named_raw(signal)).flatten()
}

/// These end the launcher, which ends the app first.
const ENDING: [i32; 3] = [number::SIGTERM, number::SIGINT, number::SIGQUIT];
/// These go to the app as they are.
const PASSED_ON: [i32; 5] = [number::SIGHUP, number::SIGUSR1, number::SIGUSR2, number::SIGWINCH, number::SIGCONT];
