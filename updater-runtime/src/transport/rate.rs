//! A ceiling on the bytes per second that all downloads together take.

use crate::cancel::CancelToken;
use std::num::NonZeroU64;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Limits how fast bytes are taken from the network. Clones share one budget.
#[derive(Debug, Clone)]
pub struct RateLimit {
    bytes_per_second: NonZeroU64,
    /// When everything let through so far would have arrived at exactly the limit.
    paid_until: Arc<Mutex<Option<Instant>>>,
}

impl RateLimit {
    /// Makes a limit in bytes per second.
    #[must_use]
    pub fn new(bytes_per_second: NonZeroU64) -> Self {
        Self { bytes_per_second, paid_until: Arc::default() }
    }

    /// Returns how many bytes to read at once, so that a slow limit does not come in long jerks.
    #[must_use]
    pub fn chunk(&self) -> usize {
        let quarter_second = self.bytes_per_second.get() / 4;
        usize::try_from(quarter_second).unwrap_or(usize::MAX).clamp(1, MAX_CHUNK)
    }

    /// Sleeps until these bytes are within the limit, or the token is cancelled.
    pub fn pass(&self, bytes: usize, cancel: &CancelToken) {
        let wait = {
            let mut paid_until = self.paid_until.lock().unwrap_or_else(PoisonError::into_inner);
            let now = Instant::now();
            let cost = Duration::from_secs_f64(bytes as f64 / self.bytes_per_second.get() as f64);
            // Time in which nothing was taken is not saved up for a burst.
            let until = paid_until.map_or(now, |until| until.max(now)) + cost;
            *paid_until = Some(until);
            until - now
        };
        cancel.sleep(wait);
    }
}

/// Largest chunk when a limit is set, in bytes.
const MAX_CHUNK: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clones_share_the_budget_and_cancelling_ends_the_wait() {
        let limit = RateLimit::new(NonZeroU64::new(1000).unwrap());
        assert_eq!(limit.chunk(), 250);
        let (cancel, started) = (CancelToken::new(), Instant::now());
        limit.pass(100, &cancel);
        limit.clone().pass(100, &cancel);
        assert!(started.elapsed() >= Duration::from_millis(195), "{:?}", started.elapsed());
        cancel.cancel();
        limit.pass(1_000_000, &cancel);
        assert!(started.elapsed() < Duration::from_secs(60));
    }
}
