//! A flag with which one thread tells another to stop what it is doing, and a sleep that such a flag ends.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

/// Asks a check or a download to stop. Clones share one flag, which never goes back.
///
/// ```
/// # use updater_runtime::CancelToken;
/// let token = CancelToken::new();
/// let other = token.clone();
/// other.cancel();
/// assert!(token.is_cancelled());
/// ```
#[derive(Clone, Default)]
pub struct CancelToken(Arc<Inner>);

#[derive(Default)]
struct Inner {
    cancelled: AtomicBool,
    // Guards nothing but the moment between looking at the flag and going to sleep.
    sleepers: Mutex<()>,
    wake: Condvar,
    children: Mutex<Vec<Weak<Self>>>,
}

impl CancelToken {
    /// Makes a token that is not cancelled.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes a token that is cancelled with this one, and can be cancelled without it.
    #[must_use]
    pub fn child(&self) -> Self {
        let child = Self::new();
        let mut children = self.0.children.lock().unwrap_or_else(PoisonError::into_inner);
        children.retain(|child| child.strong_count() > 0);
        children.push(Arc::downgrade(&child.0));
        drop(children);
        // After the child is listed, so that a cancelling in between is seen by one side or the other.
        if self.is_cancelled() {
            child.cancel();
        }
        child
    }

    /// Cancels everything that was started with this token, a clone or a child of it.
    pub fn cancel(&self) {
        self.0.cancel();
    }

    /// Tells whether [`cancel`](Self::cancel) was called.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.0.cancelled.load(Ordering::SeqCst)
    }

    /// Sleeps until the time is over or the token is cancelled, and tells whether it is cancelled.
    pub fn sleep(&self, duration: Duration) -> bool {
        let until = Instant::now() + duration;
        let mut guard = self.0.sleepers.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if self.is_cancelled() || left.is_zero() {
                return self.is_cancelled();
            }
            guard = self.0.wake.wait_timeout(guard, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl Inner {
    fn cancel(&self) {
        self.cancelled.store(true, Ordering::SeqCst);
        drop(self.sleepers.lock().unwrap_or_else(PoisonError::into_inner));
        self.wake.notify_all();
        let children = std::mem::take(&mut *self.children.lock().unwrap_or_else(PoisonError::into_inner));
        for child in children.iter().filter_map(Weak::upgrade) {
            child.cancel();
        }
    }
}

impl std::fmt::Debug for CancelToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("CancelToken").field(&self.is_cancelled()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sleep_ends_when_its_token_is_cancelled() {
        let token = CancelToken::new();
        assert!(!token.sleep(Duration::from_millis(5)), "nobody cancelled");
        let other = token.clone();
        let started = Instant::now();
        let thread = std::thread::spawn(move || other.sleep(Duration::from_secs(60)));
        std::thread::sleep(Duration::from_millis(20));
        token.cancel();
        assert!(thread.join().unwrap());
        assert!(started.elapsed() < Duration::from_secs(30));
        assert!(token.sleep(Duration::from_secs(60)), "a cancelled token never sleeps");
    }

    #[test]
    fn a_child_is_cancelled_with_its_parent_and_without_it() {
        let parent = CancelToken::new();
        let (one, other) = (parent.child(), parent.child());
        one.cancel();
        assert!(one.is_cancelled() && !other.is_cancelled() && !parent.is_cancelled());
        let grandchild = other.child();
        let sleeper = grandchild.clone();
        let thread = std::thread::spawn(move || sleeper.sleep(Duration::from_secs(60)));
        parent.cancel();
        assert!(thread.join().unwrap() && other.is_cancelled());
        assert!(parent.child().is_cancelled(), "a child of a cancelled token");
    }
}
