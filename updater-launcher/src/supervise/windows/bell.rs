//! What wakes the loop: small threads wait for pipes, ends of processes, clients and Ctrl-C, leave what they have found where the
//! loop finds it, and ring. One bell for the process: a ring too many only turns the loop once for nothing.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

static RUNG: Mutex<bool> = Mutex::new(false);
static BELL: Condvar = Condvar::new();

/// Wakes the loop, now or when it waits next.
pub(crate) fn ring() {
    *RUNG.lock().unwrap_or_else(PoisonError::into_inner) = true;
    BELL.notify_all();
}

/// Waits until somebody rings or the time is over.
pub(crate) fn wait(limit: Option<Duration>) {
    let until = limit.map(|limit| Instant::now() + limit);
    let mut rung = RUNG.lock().unwrap_or_else(PoisonError::into_inner);
    while !*rung {
        let left = until.map(|until| until.saturating_duration_since(Instant::now()));
        rung = match left {
            Some(Duration::ZERO) => return,
            Some(left) => BELL.wait_timeout(rung, left).map_or_else(|error| error.into_inner().0, |(rung, _)| rung),
            None => BELL.wait(rung).unwrap_or_else(PoisonError::into_inner),
        };
    }
    *rung = false;
}
