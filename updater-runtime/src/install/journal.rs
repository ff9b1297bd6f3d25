//! The journal on disk: written before and after each visible change.

use super::InstallError;
use super::layout::Layout;
use crate::fs::{self, PathResult};
use updater_format::state::{InstallState, Phase};
use updater_format::{FormatError, Sha256};

/// What a journal was found to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Found {
    /// There is none: nothing is pending.
    Nothing,
    /// It was read, and it is this install's.
    State(InstallState),
    /// It was read, but it was written for another path: the install was moved, or copied with its hidden folder.
    Elsewhere(InstallState),
    /// It cannot be read. What it said has to be told from the files.
    Garbage,
}

/// Reads the journal.
/// # Errors
/// [`InstallError::Journal`] when a later version of the updater wrote it; [`InstallError::File`].
pub(crate) fn read(layout: &Layout) -> Result<Found, InstallError> {
    let path = layout.journal();
    if fs::metadata(&path)?.is_some_and(|there| !there.is_file()) {
        return Ok(Found::Garbage);
    }
    // One byte more than the format allows, so that a larger file is refused and not cut.
    let Some(bytes) = fs::read_bounded(&path, MAX_READ)? else { return Ok(Found::Nothing) };
    match InstallState::parse(&bytes) {
        Ok(state) if state.install == layout.identity() => Ok(Found::State(state)),
        Ok(state) => Ok(Found::Elsewhere(state)),
        Err(source @ FormatError::NewerFormat { .. }) => Err(InstallError::Journal { path, source }),
        Err(error) => {
            log::warn!("{}: {error}; it is made anew", path.display());
            Ok(Found::Garbage)
        }
    }
}

/// Writes the journal durably; an idle one that remembers nothing is removed instead.
pub(crate) fn write(layout: &Layout, state: &InstallState) -> PathResult<()> {
    let path = layout.journal();
    if state.phase == Phase::Idle && state.bad.is_empty() && state.epoch == 0 {
        fs::remove_file(&path)?;
        fs::sync_parent(&path)
    } else {
        fs::atomic_write(&path, &state.encode())
    }
}

/// Tells whether the journal belongs to another user, who updates this copy: nothing in it is ours to settle. An
/// administrator who starts a user's app once would otherwise leave files there that the user cannot change.
pub(super) fn is_foreign(layout: &Layout) -> Result<bool, crate::fs::PathError> {
    fs::is_another_users(&layout.journal())
}

/// Returns the digests of the manifests that failed here lately.
pub(crate) fn bad_releases(layout: &Layout, now: updater_format::UtcTime) -> Vec<Sha256> {
    match read(layout) {
        Ok(Found::State(state) | Found::Elsewhere(state)) => {
            let current = state.bad.iter().filter(|bad| state.is_bad(bad.manifest, now));
            current.map(|bad| bad.manifest).collect()
        }
        _ => Vec::new(),
    }
}

/// Returns the highest security counter that completed its trial here.
pub(crate) fn highest_epoch(layout: &Layout) -> u64 {
    match read(layout) {
        Ok(Found::State(state) | Found::Elsewhere(state)) => state.epoch,
        _ => 0,
    }
}

/// The most bytes that are read of a journal: one more than it may have.
const MAX_READ: u64 = 64 * 1024 + 1;
