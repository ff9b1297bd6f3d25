//! What every start of an app does first: finish or undo what was interrupted, and count the trial.
//!
//! With nothing pending this is one look for a file that is not there, and one for leftovers.

use super::journal::{self, Found};
use super::rollback::Kept;
use super::session::Session;
use super::staged::{Installed, verify_again};
use super::swap::Swapping;
use super::trial::{Attempts, PATIENCE, complete, subject_digest};
use super::{InstallError, Layout, Subject, exit};
use crate::fs;
use std::path::PathBuf;
use std::time::Duration;
use updater_format::state::{InstallState, JournaledRelease, Phase, Trial};
use updater_format::{ReleaseVersion, UtcTime};

/// What a start found.
#[derive(Debug)]
pub(crate) enum Settled {
    /// Nothing that concerns this process.
    Nothing,
    /// This version was on trial and has passed it by starting.
    Completed(ReleaseVersion),
    /// This version is on trial until the app confirms it.
    OnTrial(ReleaseVersion),
    /// The release that was scheduled is in place now; this process runs the one before it and should restart.
    Updated(Installed),
    /// This version failed its trial; the one before it is in place again and this process should restart.
    Returned {
        /// The version that is in place again.
        installed: Installed,
        /// The version that failed.
        bad: ReleaseVersion,
    },
    /// An interrupted change was finished or undone and this process runs the other version; it should restart.
    Repaired(Installed),
}

/// Settles what is pending. `now` dates a failed release.
/// # Errors
/// [`InstallError::Busy`] when another process is in the middle of a change for longer than ten seconds; all others as
/// they come. The app goes on whatever this returns.
pub(crate) fn settle(layout: &Layout, now: UtcTime) -> Result<Settled, InstallError> {
    match fs::metadata(&layout.journal()) {
        Ok(Some(_)) if !journal::is_foreign(layout)? => {}
        Ok(Some(_)) => return Ok(Settled::Nothing),
        Ok(None) => {
            drop_leftovers(layout, now);
            return Ok(Settled::Nothing);
        }
        // The hidden folder of an app that another user updates is closed to us, and none of our business.
        Err(error) if error.source.kind() == std::io::ErrorKind::PermissionDenied => return Ok(Settled::Nothing),
        Err(error) => return Err(error.into()),
    }
    let state = match journal::read(layout)? {
        Found::State(state) => state,
        Found::Nothing => return Ok(Settled::Nothing),
        Found::Elsewhere(_) | Found::Garbage => return repair(layout, now),
    };
    match &state.phase {
        Phase::Idle => {
            drop_leftovers(layout, now);
            Ok(Settled::Nothing)
        }
        Phase::Trial { from, to, trial } => match layout.subject() {
            Subject::Own => on_trial(layout, from, to, *trial, now),
            Subject::Other => Ok(Settled::Nothing),
        },
        Phase::Swapping { .. } | Phase::Returning { .. } => repair(layout, now),
        Phase::Staged { .. } => scheduled(layout, now),
    }
}

/// Removes what was not removed when an update was completed: on Windows programs that still ran, elsewhere what a process left
/// that was killed between the two. It is a whole release, and the next update may be months away.
fn drop_leftovers(layout: &Layout, now: UtcTime) {
    if !Session::has_leftovers(layout) {
        return;
    }
    // Sweeps by itself, and tidies up at its end.
    if let Err(error) = Session::recover(layout, Duration::ZERO, now) {
        log::debug!("{error}; a later start tidies up");
    }
}

/// Installs a scheduled release at the end of this process.
pub(super) fn install_scheduled(layout: &Layout) -> Result<(), InstallError> {
    // Nothing is dated here: no release fails by being installed.
    scheduled(layout, UtcTime::from_unix(0)).map(|_| ())
}

/// Finishes or undoes an interrupted change, then settles what it has led to.
fn repair(layout: &Layout, now: UtcTime) -> Result<Settled, InstallError> {
    let before = journal::read(layout)?;
    let session = Session::recover(layout, CHANGE_PATIENCE, now)?;
    let after = session.phase();
    session.close();
    if layout.subject() == Subject::Other {
        return Ok(Settled::Nothing);
    }
    if !fs::is_running_program(&layout.program())?
        && let Some((from, to, program)) = replaced(layout, &before)?
    {
        return Ok(Settled::Repaired(Installed::new(layout.clone(), from, to, program)));
    }
    match after {
        Phase::Trial { from, to, trial } => on_trial(layout, &from, &to, trial, now),
        _ => Ok(Settled::Nothing),
    }
}

/// Tells which release took the place of which, when a journaled change ended with another program than the running one.
fn replaced(
    layout: &Layout,
    before: &Found,
) -> Result<Option<(ReleaseVersion, ReleaseVersion, PathBuf)>, InstallError> {
    let (Found::State(InstallState { phase, .. }) | Found::Elsewhere(InstallState { phase, .. })) = before else {
        return Ok(None);
    };
    let (Phase::Swapping { from, to, .. } | Phase::Returning { from, to }) = phase else { return Ok(None) };
    let program = installed_program(layout)?;
    let installed = fs::digest(&program)?.map(|(_, digest)| digest);
    let running = subject_digest(layout)?;
    Ok(match installed {
        Some(digest) if digest == to.entry && running == Some(from.entry) => {
            Some((from.version.clone(), to.version.clone(), program))
        }
        Some(digest) if digest == from.entry && running == Some(to.entry) => {
            Some((to.version.clone(), from.version.clone(), program))
        }
        _ => None,
    })
}

/// Returns the program of whatever is installed: releases may differ in where a folder has it.
fn installed_program(layout: &Layout) -> Result<PathBuf, InstallError> {
    let manifest = match layout.kind() {
        updater_format::InstallKind::Executable => None,
        _ => super::manifests::manifest_in(layout, &layout.files())?,
    };
    Ok(manifest.map_or_else(|| layout.program(), |(manifest, _)| layout.program_at(manifest.entry())))
}

/// Counts this start of a version on trial.
fn on_trial(
    layout: &Layout,
    from: &JournaledRelease,
    to: &JournaledRelease,
    trial: Trial,
    now: UtcTime,
) -> Result<Settled, InstallError> {
    if subject_digest(layout)? != Some(to.entry) {
        // A process of the old version that was started before the swap, or a copy of some other build.
        return Ok(Settled::Nothing);
    }
    if trial == Trial::Start {
        return match Session::recover(layout, Duration::ZERO, now) {
            Ok(session) => match complete(session, to)? {
                true => Ok(Settled::Completed(to.version.clone())),
                false => Ok(Settled::Nothing),
            },
            // Another start completes it at this very moment.
            Err(InstallError::Busy { .. }) => Ok(Settled::Nothing),
            Err(error) => Err(error),
        };
    }
    if Attempts::count(layout)?.have_failed() {
        let session = Session::recover(layout, PATIENCE, now)?;
        let still = matches!(session.phase(), Phase::Trial { to: on_trial, .. } if on_trial == *to);
        if still && Attempts::count(layout)?.have_failed() {
            return put_back(session, from, to, now);
        }
        if !still {
            return Ok(Settled::Nothing);
        }
    }
    exit::begin_attempt(layout)?;
    Ok(Settled::OnTrial(to.version.clone()))
}

/// Puts the kept release back in place of the one that failed.
pub(super) fn put_back(
    session: Session,
    from: &JournaledRelease,
    to: &JournaledRelease,
    now: UtcTime,
) -> Result<Settled, InstallError> {
    let layout = session.layout().clone();
    let Some(kept) = Kept::verify(session)? else { return Ok(Settled::Nothing) };
    kept.begin()?.put_back()?.finish(now)?.close();
    let program = installed_program(&layout)?;
    let installed = Installed::new(layout, to.version.clone(), from.version.clone(), program);
    Ok(Settled::Returned { installed, bad: to.version.clone() })
}

/// `Staged` -> `Swapping` and on: installs the release that an earlier process has staged, verified and probed.
fn scheduled(layout: &Layout, now: UtcTime) -> Result<Settled, InstallError> {
    if let Some(obstacle) = layout.obstacle()? {
        return Err(obstacle.into());
    }
    let mut session = match Session::recover(layout, Duration::ZERO, now) {
        Ok(session) => session,
        // It is being installed, or replaced by a newer one, right now.
        Err(InstallError::Busy { .. }) => return Ok(Settled::Nothing),
        Err(error) => return Err(error),
    };
    let Phase::Staged { from, to, trial } = session.phase() else { return Ok(Settled::Nothing) };
    let unchanged = subject_digest(layout)? == Some(from.entry)
        && fs::digest(&layout.program())?.map(|(_, digest)| digest) == Some(from.entry);
    if !unchanged {
        session.clear_staged()?;
        session.close();
        return Ok(Settled::Nothing);
    }
    let tree = match verify_again(layout, &to) {
        Ok(tree) => tree,
        Err(error) => {
            session.clear_staged()?;
            session.close();
            return Err(error);
        }
    };
    let program = layout.program_at(tree.manifest().entry());
    let (old, new) = (from.version.clone(), to.version.clone());
    Swapping::begin(session, from, to, trial)?.exchange()?.carry_over()?.begin_trial()?;
    Ok(Settled::Updated(Installed::new(layout.clone(), old, new, program)))
}

/// How long to wait for a process that is in the middle of a change: a swap takes milliseconds, moving many user files
/// a little more.
const CHANGE_PATIENCE: Duration = Duration::from_secs(10);
