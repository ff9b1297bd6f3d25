//! Ctrl-C, Ctrl-Break, the closing of the console and the end of the session: each asks the launcher to end.

use super::bell;
use super::processes::Signal;
use crate::error::{Error, Result};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

static CAME: Mutex<Vec<i32>> = Mutex::new(Vec::new());

/// What the console tells this process.
#[derive(Debug)]
pub(super) struct Signals(());

impl Signals {
    /// Takes over what the console tells. The app, in a group of its own, hears none of it but the closing.
    pub(super) fn take() -> Result<Self> {
        let failed = |source| Error::file("watch signals of", std::path::Path::new("this process"), source);
        crate::win32::on_interrupt(heard).map_err(failed)?;
        Ok(Self(()))
    }

    /// Returns what has come since the last call, by the numbers that the C library gives it.
    pub(super) fn drain(&mut self) -> Vec<i32> {
        std::mem::take(&mut *CAME.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Tells whether it asks the launcher to end: all of it does.
pub(super) fn is_ending(_signal: i32) -> bool {
    true
}

/// Returns what is meant for the app: nothing.
pub(super) fn passed_on(_signal: i32) -> Option<Signal> {
    None
}

extern "system" fn heard(event: u32) -> i32 {
    let number = if event == 0 { INTERRUPT } else { BREAK };
    CAME.lock().unwrap_or_else(PoisonError::into_inner).push(number);
    bell::ring();
    if event > 1 {
        // The process ends when this returns; the system waits for five seconds, and the loop uses them.
        std::thread::sleep(Duration::from_secs(60));
    }
    1
}

/// SIGINT of the C library.
const INTERRUPT: i32 = 2;
/// SIGBREAK of the C library.
const BREAK: i32 = 21;
