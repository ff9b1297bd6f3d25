//! How long to wait before a restart, and when to give up. Pure: the time is passed in.

use std::collections::VecDeque;
use std::time::{Duration, Instant};
use updater_format::launcher::Backoff;

/// The failures that still count.
#[derive(Debug, Default)]
pub(super) struct Failures {
    times: VecDeque<Instant>,
}

/// What to do after a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Start again after this time.
    Wait(Duration),
    /// It has failed too often.
    GiveUp,
}

impl Failures {
    /// Counts a failure.
    pub(super) fn add(&mut self, now: Instant, rules: &Backoff) -> Verdict {
        let window = rules.window.duration();
        while self.times.front().is_some_and(|time| now.duration_since(*time) > window) {
            self.times.pop_front();
        }
        self.times.push_back(now);
        // More than this are never asked for.
        self.times.truncate(MAX_COUNTED);
        let count = self.times.len();
        if rules.limit > 0 && count >= rules.limit as usize {
            return Verdict::GiveUp;
        }
        let doublings = u32::try_from(count - 1).unwrap_or(u32::MAX).min(31);
        let wait = rules.first.duration().saturating_mul(2u32.saturating_pow(doublings));
        Verdict::Wait(wait.min(rules.ceiling.duration()))
    }

    /// Forgets all failures: another version is another app.
    pub(super) fn clear(&mut self) {
        self.times.clear();
    }

    /// Returns how many count.
    pub(super) fn count(&self) -> usize {
        self.times.len()
    }
}

/// The most failures that are remembered: 4,096, so that an app that may fail for ever takes no memory.
const MAX_COUNTED: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;
    use updater_format::launcher::Span;

    fn rules(limit: u32) -> Backoff {
        Backoff { first: Span::millis(100), ceiling: Span::seconds(1), limit, window: Span::seconds(60) }
    }

    #[test]
    fn the_wait_doubles_to_the_ceiling_and_starts_over() {
        let (mut failures, now) = (Failures::default(), Instant::now());
        let waits: Vec<_> = (0..6).map(|_| failures.add(now, &rules(0))).collect();
        let wait = |millis| Verdict::Wait(Duration::from_millis(millis));
        assert_eq!(waits, [wait(100), wait(200), wait(400), wait(800), wait(1000), wait(1000)]);
        assert_eq!(failures.add(now + Duration::from_secs(61), &rules(0)), wait(100));
    }

    #[test]
    fn too_many_within_the_window_are_the_end() {
        let (mut failures, now) = (Failures::default(), Instant::now());
        for seconds in [0, 20, 40] {
            let verdict = failures.add(now + Duration::from_secs(seconds), &rules(3));
            assert_eq!(verdict == Verdict::GiveUp, seconds == 40, "{seconds}");
        }
        failures.clear();
        for number in 0..10_000 {
            assert_ne!(failures.add(now + Duration::from_secs(30 * number), &rules(4)), Verdict::GiveUp, "{number}");
        }
        assert!(failures.count() <= 3);
        failures.clear();
        for _ in 0..10_000 {
            failures.add(now, &rules(0));
        }
        assert_eq!(failures.count(), MAX_COUNTED);
    }
}
