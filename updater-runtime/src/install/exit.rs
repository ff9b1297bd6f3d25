//! What is left to do when the process ends in order: end the attempt, install what was put off.
//!
//! What tells an ordered end (a return from `main`, `std::process::exit`) from a signal or an abort is a foreign call: the C
//! library's `atexit` on Unix. On Windows `exit` of the standard library goes past the C library, so it is the loader that
//! calls: it tells every program's list of callbacks that the process ends, unless it is terminated or aborts.

use super::settle::install_scheduled;
use super::trial::Attempt;
use super::{InstallError, Layout};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, Once, PoisonError};

/// What the exit handler finds.
struct Pending {
    attempt: Option<Attempt>,
    install: Option<(Layout, u32)>,
}

static PENDING: Mutex<Pending> = Mutex::new(Pending { attempt: None, install: None });
static FAILED: AtomicBool = AtomicBool::new(false);
/// Begins an attempt that ends well when this process ends in order without a panic.
pub(super) fn begin_attempt(layout: &Layout) -> Result<(), InstallError> {
    let mut pending = pending();
    if pending.attempt.is_none() {
        pending.attempt = Some(Attempt::begin(layout)?);
        drop(pending);
        register();
        note_panics();
    }
    Ok(())
}

/// Ends the attempt of this process: its version is confirmed, or another program takes over.
pub(crate) fn end_attempt() {
    if let Some(attempt) = pending().attempt.take() {
        attempt.end();
    }
}

/// Lets the attempt of this process fail however it ends.
pub(super) fn mark_failed() {
    FAILED.store(true, Ordering::SeqCst);
}

/// Tells whether the attempt of this process has failed already.
pub(super) fn has_failed() -> bool {
    FAILED.load(Ordering::SeqCst)
}

/// Installs what is scheduled when this process ends in order.
pub(super) fn install(layout: Layout) {
    pending().install = Some((layout, std::process::id()));
    register();
}

fn pending() -> MutexGuard<'static, Pending> {
    PENDING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Chains a panic hook: a version on trial that panics has failed, even if the panic is caught and the process goes on.
fn note_panics() {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let next = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            mark_failed();
            next(info);
        }));
    });
}

#[cfg(unix)]
fn register() {
    REGISTER.call_once(|| {
        // SAFETY: `atexit` is declared as the C standard has it, and `at_exit` is a function of that type that lives as
        // long as the program, touches only statics and lets no panic out.
        #[expect(unsafe_code, reason = "std has no handler for the end of the process")]
        let refused = unsafe { atexit(at_exit) };
        if refused != 0 {
            log::warn!("the C library takes no more exit handlers: a clean end will count as a failed attempt");
        }
    });
}

#[cfg(unix)]
static REGISTER: Once = Once::new();

#[cfg(unix)]
#[expect(unsafe_code, reason = "the declaration of the C library's function; std links that library already")]
unsafe extern "C" {
    fn atexit(handler: extern "C" fn()) -> std::ffi::c_int;
}

#[cfg(windows)]
fn register() {
    crate::win32::at_exit(at_exit);
}

extern "C" fn at_exit() {
    // A panic must not cross into C; at this point there is nobody left to tell.
    let _ = std::panic::catch_unwind(|| {
        // A thread that holds the lock while another one exits is left alone: waiting for it could take for ever.
        let Ok(mut pending) = PENDING.try_lock() else { return };
        let (attempt, install) = (pending.attempt.take(), pending.install.take());
        drop(pending);
        if let Some(attempt) = attempt
            && !has_failed()
        {
            attempt.end();
        }
        // A child made by fork inherits the handler, not the task.
        if let Some((layout, process)) = install
            && process == std::process::id()
            && let Err(error) = install_scheduled(&layout)
        {
            log::warn!("{error}; the next start installs it");
        }
    });
}
