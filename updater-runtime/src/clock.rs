//! The time by which metadata expires.

use updater_format::UtcTime;

/// Tells the time. A refresh asks once and uses the answer throughout, so that nothing expires half-way.
pub trait Clock: Send + Sync {
    /// Returns the present moment, to the second.
    fn now(&self) -> UtcTime;
}

/// The clock of the operating system, never earlier than the moment this program was built.
///
/// A computer without a battery starts in 1970, and an attacker who sets the clock back would make expired metadata
/// fresh again; the build time bounds both. No later floor is learned from the system's clock, because a clock that was
/// once wrong by years would then stop updates for years.
#[derive(Debug, Clone, Copy)]
pub struct SystemClock {
    build_time: UtcTime,
}

impl SystemClock {
    /// Makes a clock that never shows less than `build_time`.
    #[must_use]
    pub const fn new(build_time: UtcTime) -> Self {
        Self { build_time }
    }
}

impl Clock for SystemClock {
    fn now(&self) -> UtcTime {
        let since_1970 = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        let seconds = i64::try_from(since_1970.as_secs()).unwrap_or(i64::MAX);
        UtcTime::from_unix(seconds).max(self.build_time)
    }
}

/// A clock that stands still, for tests and simulations.
#[derive(Debug, Clone, Copy)]
pub struct FixedClock(pub UtcTime);

impl Clock for FixedClock {
    fn now(&self) -> UtcTime {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_build_time_is_a_floor() {
        let future = UtcTime::parse("2400-01-01T00:00:00Z").unwrap();
        assert_eq!(SystemClock::new(future).now(), future);
        let past = UtcTime::parse("2000-01-01T00:00:00Z").unwrap();
        assert!(SystemClock::new(past).now() > UtcTime::parse("2024-01-01T00:00:00Z").unwrap());
    }
}
