//! Checks that the app does not wait for: at most so often, and in a thread of their own.

use crate::cancel::CancelToken;
use crate::error::Error;
use crate::interval::Schedule;
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
