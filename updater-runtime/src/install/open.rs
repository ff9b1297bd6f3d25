//! The sessions that this process has open. A trial can be confirmed while a download of the same process holds the lock:
//! the journal is the session's then, and is changed through it.

use super::Layout;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use updater_format::Sha256;
use updater_format::state::InstallState;

/// The journal of an open session.
pub(super) type SharedState = Arc<Mutex<InstallState>>;

static OPEN: Mutex<Vec<(Sha256, SharedState)>> = Mutex::new(Vec::new());

/// Makes a session known, until [`close`].
pub(super) fn open(layout: &Layout, state: InstallState) -> SharedState {
    let state = Arc::new(Mutex::new(state));
    lock(&OPEN).push((layout.identity(), Arc::clone(&state)));
    state
}

/// Forgets a session. When this returns nobody uses its journal and nobody will.
pub(super) fn close(state: &SharedState) {
    lock(&OPEN).retain(|(_, open)| !Arc::ptr_eq(open, state));
}

/// Changes the journal of the session that this process has open for an install; `None` when there is none. The session
/// stays open meanwhile.
pub(super) fn with<T>(layout: &Layout, change: impl FnOnce(&mut InstallState) -> T) -> Option<T> {
    let sessions = lock(&OPEN);
    let (_, state) = sessions.iter().find(|(install, _)| *install == layout.identity())?;
    Some(change(&mut lock(state)))
}

/// Locks; what a panicking thread has left is whole, because every change is one assignment.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
