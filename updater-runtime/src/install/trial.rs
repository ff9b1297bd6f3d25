//! The trial of a new version: attempts, their end, and its completion.
//!
//! An attempt is one process of the new version that holds the lock of a file in `attempts/`. The file is removed by a
//! clean end. One that stays behind unlocked is a failed attempt: the process is gone, and neither confirmed nor ended in
//! order. The kernel gives the lock back whatever kills the process, so nothing has to be written at that moment.

use super::session::Session;
use super::{InstallError, Layout, Subject, carry, exit, journal, open};
use crate::fs::{self, PathError};
use crate::process::process_name;
use std::fs::{File, TryLockError};
use std::path::PathBuf;
use std::time::{Duration, Instant};
use updater_format::state::{InstallState, JournaledRelease, Phase};
use updater_format::{Sha256, UtcTime};

/// A running attempt: the lock on its file.
#[derive(Debug)]
pub(super) struct Attempt {
    file: File,
    path: PathBuf,
    process: u32,
}

impl Attempt {
    /// Begins an attempt by this process.
    pub(super) fn begin(layout: &Layout) -> Result<Self, InstallError> {
        let folder = layout.attempts();
        fs::own_dir(&folder)?;
        let name = process_name();
        let path = folder.join(&name);
        // Locked before it has its name: nobody ever sees it unlocked while we live.
        let hidden = folder.join(format!(".{name}"));
        fs::remove_file(&hidden)?;
        let file = fs::create_new(&hidden, 0o600)?;
        file.lock().map_err(|source| PathError::new("lock", &hidden, source))?;
        fs::rename(&hidden, &path)?;
        fs::sync_dir(&folder)?;
        Ok(Self { file, path, process: std::process::id() })
    }

    /// Ends the attempt in order: it never counts.
    pub(super) fn end(self) {
        // A child made by fork has the lock too, but it is not the attempt.
        if self.process == std::process::id()
            && let Err(error) = fs::remove_file(&self.path)
        {
            log::debug!("{error}");
        }
        drop(self.file);
    }
}

/// How the attempts stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Attempts {
    /// Processes that are gone without a clean end.
    pub(super) failed: usize,
    /// Processes that still run.
    pub(super) living: usize,
}

impl Attempts {
    /// Counts the attempts. This process's own file, left by the program that it was before an exec, is removed.
    pub(super) fn count(layout: &Layout) -> Result<Self, InstallError> {
        let folder = layout.attempts();
        let mut count = Self { failed: 0, living: 0 };
        if !fs::metadata(&folder)?.is_some_and(|there| there.is_dir()) {
            return Ok(count);
        }
        for name in fs::names(&folder)? {
            let path = folder.join(&name);
            let is_unnamed = name.to_string_lossy().starts_with('.');
            if fs::metadata(&path)?.is_some_and(|there| !there.is_file()) {
                // No attempt is a folder or a link; the folder is ours alone.
                fs::remove_all(&path)?;
            }
            let Some(file) = fs::open_lock(&path)? else { continue };
            match file.try_lock() {
                Err(TryLockError::WouldBlock) => count.living += usize::from(!is_unnamed),
                Err(TryLockError::Error(source)) => return Err(PathError::new("lock", path, source).into()),
                Ok(()) if name.to_str() == Some(process_name().as_str()) => fs::remove_file(&path)?,
                // Not begun: it was killed between creating the file and naming it, or is about to.
                Ok(()) if is_unnamed => {}
                Ok(()) => count.failed += 1,
            }
        }
        Ok(count)
    }

    /// Tells whether the old version is to be put back. Nothing counts while an attempt lives.
    pub(super) fn have_failed(self) -> bool {
        self.living == 0 && self.failed >= FAILURES
    }
}

/// Completes the trial of the running version, if it is on one. Returns whether it was.
/// # Errors
/// [`InstallError::Busy`] when another process changes this copy for longer than five seconds;
/// [`InstallError::Journal`]; [`InstallError::File`].
pub(crate) fn confirm(layout: &Layout, now: UtcTime) -> Result<bool, InstallError> {
    if journal::is_foreign(layout)? {
        return Ok(false);
    }
    let journal::Found::State(state) = journal::read(layout)? else { return Ok(false) };
    let Phase::Trial { to, .. } = &state.phase else { return Ok(false) };
    if subject_digest(layout)? != Some(to.entry) {
        return Ok(false);
    }
    let begin = Instant::now();
    let completed = loop {
        // A download of this process has the lock, for as long as it takes: its session writes the journal.
        if let Some(completed) = open::with(layout, |state| complete_within(layout, state, to)) {
            break completed?;
        }
        match Session::recover(layout, PAUSE, now) {
            Err(InstallError::Busy { .. }) if begin.elapsed() < PATIENCE => {}
            session => break complete(session?, to)?,
        }
    };
    exit::end_attempt();
    Ok(completed)
}

/// Says that the running version does not work: when this process ends, in whatever way, its attempt has failed.
pub(crate) fn failed() {
    exit::mark_failed();
}

/// `Trial` -> `Idle`: drops the old release. Returns whether this release was still on trial.
pub(super) fn complete(mut session: Session, release: &JournaledRelease) -> Result<bool, InstallError> {
    let phase = session.phase();
    let on_trial = is_on_trial(&phase, release);
    if on_trial {
        session.change(|state| state.complete(release));
        session.write(Phase::Idle)?;
        exit::end_attempt();
        // It is completed now, whether or not what it replaced can be removed.
        let layout = session.layout();
        tell(keep_one_version(layout, &phase));
        tell(session.sweep());
        tell(fs::remove_all(&layout.downloads()).map_err(InstallError::from));
    }
    session.close();
    Ok(on_trial)
}

/// `Trial` -> `Idle` while another thread of this process downloads: what it has staged and loaded stays.
fn complete_within(
    layout: &Layout,
    state: &mut InstallState,
    release: &JournaledRelease,
) -> Result<bool, InstallError> {
    if !is_on_trial(&state.phase, release) {
        return Ok(false);
    }
    let mut completed = InstallState { phase: Phase::Idle, ..state.clone() };
    completed.complete(release);
    journal::write(layout, &completed)?;
    exit::end_attempt();
    let before = std::mem::replace(state, completed);
    tell(keep_one_version(layout, &before.phase));
    tell(carry::salvage_previous(layout).and_then(|()| Ok(fs::remove_all(&layout.previous())?)));
    tell(fs::remove_all(&layout.attempts()).map_err(InstallError::from));
    Ok(true)
}

/// Says what could not be removed after a trial was completed. Nothing depends on it: a later update tries again.
fn tell(removed: Result<(), InstallError>) {
    if let Err(error) = removed {
        log::warn!("{error}; a later update tidies up");
    }
}

/// Drops the versions before the last one, where each has a folder of its own.
fn keep_one_version(layout: &Layout, trial: &Phase) -> Result<(), InstallError> {
    match (layout.versions(), trial) {
        (Some(versions), Phase::Trial { from, to, .. }) => versions.keep_only(layout, from, to),
        _ => Ok(()),
    }
}

fn is_on_trial(phase: &Phase, release: &JournaledRelease) -> bool {
    matches!(phase, Phase::Trial { to, .. } if to == release)
}

/// Returns the digest of the program in question: the running one, or the installed one of another app.
pub(super) fn subject_digest(layout: &Layout) -> Result<Option<Sha256>, InstallError> {
    Ok(match layout.subject() {
        Subject::Own => Some(fs::running_digest()?),
        Subject::Other => fs::digest(&layout.program())?.map(|(_, digest)| digest),
    })
}

/// How many failed attempts put the old version back.
const FAILURES: usize = 2;
/// How long to wait for the lock before looking again whether it is this process that holds it.
const PAUSE: Duration = Duration::from_millis(50);
/// How long to wait for another process that changes the install.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);
