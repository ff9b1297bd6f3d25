//! Checks that the app does not wait for: at most so often, and in a thread of their own.

use crate::cancel::CancelToken;
use crate::error::Error;
use crate::refresh::RefreshError;
use crate::status::{NoUpdate, Status};
use crate::updater::Updater;
use std::ops::ControlFlow;
use std::thread::JoinHandle;
use std::time::Duration;

/// Checks going on in another thread. Dropping it cancels them and does not wait.
#[derive(Debug)]
#[must_use = "dropping it ends the checks"]
pub struct Background {
    cancel: CancelToken,
    thread: Option<JoinHandle<()>>,
}

impl Updater {
    /// As [`Updater::check`], but at most once in the interval of the settings: for apps that ask at every start.
    ///
    /// Between two checks the answer is [`NoUpdate::NotDue`] and costs no request. A check that gave no answer is tried
    /// again after an hour. An update that was found and not taken is found again when the next check is due; a call
    /// of [`Updater::check`] on the user's wish is always made.
    /// # Errors
    /// As [`Updater::check`]; also when the time of the check cannot be kept, because the app would ask at every start.
    pub fn check_if_due(&self) -> Result<Status, Error> {
        let Some(schedule) = self.schedule() else { return self.check() };
        let wait = schedule.wait(self.now());
        if !wait.is_zero() {
            return Ok(Status::NoUpdate(NoUpdate::NotDue { wait }));
        }
        schedule.begin(self.now()).map_err(|error| Error::from(RefreshError::from(error)))?;
        let status = self.check()?;
        if !matches!(status, Status::NoUpdate(NoUpdate::Offline(_))) {
            schedule.succeed(self.now());
        }
        Ok(status)
    }

    /// Checks in a thread of its own, now if it is due and then whenever it is, until the callback breaks, the app cannot
    /// update itself, or the handle is cancelled or dropped.
    ///
    /// The callback gets the answer of every check that was made, in that thread; it may download and install there.
    ///
    /// ```no_run
    /// use std::ops::ControlFlow;
    /// use updater_runtime::{Status, Updater};
    ///
    /// # fn begin(updater: &Updater) -> std::io::Result<()> {
    /// let background = updater.check_in_background(|answer| {
    ///     if let Ok(Status::Available(update)) = answer {
    ///         // It waits beside the install, and the next start begins with it.
    ///         let staged = update.download(|_progress| {}).and_then(|staged| Ok(staged.install_at_next_start()?));
    ///         if staged.is_ok() {
    ///             return ControlFlow::Break(());
    ///         }
    ///     }
    ///     ControlFlow::Continue(())
    /// })?;
    /// // ... the app; dropping the handle ends the thread
    /// background.join();
    /// # Ok(())
    /// # }
    /// ```
    /// # Errors
    /// What the system says when it makes no more threads.
    pub fn check_in_background(
        &self,
        on_answer: impl FnMut(Result<Status, Error>) -> ControlFlow<()> + Send + 'static,
    ) -> std::io::Result<Background> {
        self.check_with_naps_of(LONGEST_NAP, on_answer)
    }

    fn check_with_naps_of(
        &self,
        longest_nap: Duration,
        mut on_answer: impl FnMut(Result<Status, Error>) -> ControlFlow<()> + Send + 'static,
    ) -> std::io::Result<Background> {
        let cancel = self.cancel_token().child();
        let updater = self.with_cancel_token(cancel.clone());
        let name = "updater".to_owned();
        let work = move || {
            loop {
                let mut nap = LONGEST_NAP;
                match updater.check_if_due() {
                    Ok(Status::NoUpdate(NoUpdate::NotDue { wait })) => nap = wait,
                    Err(error) if error.is_cancelled() => return,
                    answer => {
                        let is_last = matches!(answer, Ok(Status::NoUpdate(NoUpdate::Disabled { .. })));
                        if on_answer(answer).is_break() || is_last {
                            return;
                        }
                    }
                }
                if updater.cancel_token().sleep(nap.min(longest_nap)) {
                    return;
                }
            }
        };
        let thread = std::thread::Builder::new().name(name).spawn(work)?;
        Ok(Background { cancel, thread: Some(thread) })
    }
}

impl Background {
    /// Ends the checks, also one that is going on. Returns at once; [`Background::join`] waits.
    pub fn cancel(&self) {
        self.cancel.cancel();
    }

    /// Tells whether the thread has ended.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Waits until the thread has ended by itself or by [`Background::cancel`]. Returns false when the callback panicked.
    pub fn join(mut self) -> bool {
        self.thread.take().is_none_or(|thread| thread.join().is_ok())
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        // `join` has taken the thread: it has ended then.
        if self.thread.is_some() {
            self.cancel.cancel();
        }
    }
}

/// The longest sleep without a look at the clock: a computer that was suspended is due when it wakes up, not a day later.
const LONGEST_NAP: Duration = Duration::from_secs(10 * 60);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use crate::config::Config;
    use std::sync::atomic::{AtomicI64, Ordering};
    use std::sync::{Arc, mpsc};
    use updater_format::UtcTime;

    struct HandClock(AtomicI64);
    impl Clock for HandClock {
        fn now(&self) -> UtcTime {
            UtcTime::from_unix(self.0.load(Ordering::SeqCst))
        }
    }

    fn updater(folder: &std::path::Path, clock: &Arc<HandClock>) -> Updater {
        let program = folder.join("hello");
        std::fs::write(&program, "").unwrap();
        let (app, version) = ("hello".parse().unwrap(), "1.0.0".parse().unwrap());
        let platform = "x86_64-unknown-linux-gnu".parse().unwrap();
        // A root that cannot be used: each check ends before its first request, and that is an answer too.
        let config = Config::new(app, version, platform, b"{}".to_vec(), "https://example.com/").unwrap();
        let clock = Arc::clone(clock) as Arc<dyn Clock>;
        Updater::new(config.with_executable(program).with_state_dir(folder.join("state")).with_clock(clock)).unwrap()
    }

    #[test]
    fn it_checks_again_whenever_the_clock_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let clock = Arc::new(HandClock(AtomicI64::new(1_795_161_600)));
        let (sender, answers) = mpsc::channel();
        let updater = updater(folder.path(), &clock);
        let nap = Duration::from_millis(5);
        let background = updater.check_with_naps_of(nap, move |answer| {
            sender.send(answer.unwrap_err().code()).unwrap();
            ControlFlow::Continue(())
        });
        let background = background.unwrap();
        for _ in 0..3 {
            let answer = answers.recv_timeout(Duration::from_secs(30));
            assert_eq!(answer, Ok("embedded-root"));
            assert!(answers.recv_timeout(Duration::from_millis(50)).is_err(), "checked again before it was due");
            clock.0.fetch_add(2 * 60 * 60, Ordering::SeqCst);
        }
        assert!(!background.is_finished());
        background.cancel();
        assert!(background.join());
        assert!(!updater.cancel_token().is_cancelled(), "the app's own checks were cancelled too");
    }

    #[test]
    fn it_ends_with_its_handle_with_its_updater_and_with_its_callback() {
        let folder = tempfile::tempdir().unwrap();
        let clock = Arc::new(HandClock(AtomicI64::new(1_795_161_600)));
        let updater = updater(folder.path(), &clock);
        let start = |flow: fn() -> ControlFlow<()>| updater.check_in_background(move |_| flow()).unwrap();
        assert!(start(|| ControlFlow::Break(())).join());
        clock.0.fetch_add(2 * 60 * 60, Ordering::SeqCst);
        assert!(!start(|| panic!("in the callback")).join());
        let dropped = start(|| ControlFlow::Continue(()));
        let token = dropped.cancel.clone();
        drop(dropped);
        assert!(token.is_cancelled());
        let orphan = start(|| ControlFlow::Continue(()));
        updater.cancel_token().cancel();
        assert!(orphan.join());
    }
}
