//! A clock that a test sets by hand, and other days for whole processes.

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use updater_format::UtcTime;
use updater_runtime::Clock;

/// A clock that stands still until the test moves it. Clones show the same time.
#[derive(Debug, Clone)]
pub struct SimulatedClock(Arc<AtomicI64>);

impl SimulatedClock {
    /// Makes a clock that shows this moment.
    #[must_use]
    pub fn at(now: UtcTime) -> Self {
        Self(Arc::new(AtomicI64::new(now.unix())))
    }

    /// Sets the clock, forwards or back.
    pub fn set(&self, now: UtcTime) {
        self.0.store(now.unix(), Ordering::SeqCst);
    }

    /// Moves the clock by days of 86,400 seconds; negative ones turn it back.
    pub fn advance_days(&self, days: i64) {
        self.set(self.now().plus_days(days));
    }

    /// Returns the moment so many days from now.
    #[must_use]
    pub fn in_days(&self, days: i64) -> UtcTime {
        self.now().plus_days(days)
    }

    /// Returns the moment one day ago.
    #[must_use]
    pub fn yesterday(&self) -> UtcTime {
        self.in_days(-1)
    }
}

impl Default for SimulatedClock {
    /// Shows 2026-11-20T08:00:00Z.
    fn default() -> Self {
        Self::at(UtcTime::from_unix(1_795_161_600))
    }
}

impl Clock for SimulatedClock {
    fn now(&self) -> UtcTime {
        UtcTime::from_unix(self.0.load(Ordering::SeqCst))
    }
}

/// Begins a command whose process sees the clock so many days from now, negative ones before it. What it runs, and its
/// arguments, are added by the caller.
///
/// `faketime` refuses to start where a semaphore with its process id is left over, and each one that was killed leaves one;
/// the ids come round again. The shell removes those of its own id and becomes `faketime` without changing it.
#[must_use]
pub fn days_from_now(days: i64) -> Command {
    const START: &str =
        r#"rm -f "/dev/shm/sem.faketime_sem_$$" "/dev/shm/faketime_shm_$$"; exec faketime -f "$0" "$@""#;
    let mut command = Command::new("/bin/sh");
    command.args(["-c", START, &format!("{days:+}d")]);
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clones_show_the_same_time() {
        let clock = SimulatedClock::default();
        assert_eq!(clock.now().to_string(), "2026-11-20T08:00:00Z");
        let other = clock.clone();
        other.advance_days(3);
        assert_eq!(clock.now().to_string(), "2026-11-23T08:00:00Z");
        assert_eq!(clock.yesterday().to_string(), "2026-11-22T08:00:00Z");
    }
}
