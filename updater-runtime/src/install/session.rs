//! A session: one process that holds the lock of an install whose journal it has read and whose leftovers it has settled.

use super::InstallError;
use super::basis::Basis;
use super::error::Obstacle;
use super::journal::{self, Found};
use super::layout::Layout;
use super::lock::InstallLock;
use super::open::{self, SharedState};
use super::staged::Plan;
use super::{carry, rollback, swap};
use crate::apply::Tree;
use crate::fs;
use std::path::PathBuf;
use std::time::Duration;
use updater_format::state::{InstallState, Phase, SuspendedTrial};
use updater_format::{InstallKind, UtcTime};

/// The right to change an install, with its journal. No transition is pending while one exists, but a trial may be.
#[derive(Debug)]
pub(crate) struct Session {
    layout: Layout,
    lock: InstallLock,
    state: SharedState,
}

impl Session {
    /// Takes the lock, finishes or undoes what an earlier process left, and checks that this copy can be updated.
    /// # Errors
    /// [`InstallError::Obstacle`] when it cannot be updated here; [`InstallError::Busy`]; [`InstallError::Journal`];
    /// [`InstallError::File`].
    pub(crate) fn open(layout: &Layout, now: UtcTime) -> Result<Self, InstallError> {
        if let Some(obstacle) = layout.obstacle()? {
            return Err(obstacle.into());
        }
        let session = Self::recover(layout, OPEN_PATIENCE, now)?;
        session.check_exchange()?;
        Ok(session)
    }

    /// As [`Session::open`], for a release with the security counter `epoch` that was chosen when `basis` was installed.
    /// # Errors
    /// [`InstallError::Changed`] when something else is installed by now, or a release with a higher counter was; all of
    /// [`Session::open`].
    pub(crate) fn open_for(layout: &Layout, basis: &Basis, epoch: u64, now: UtcTime) -> Result<Self, InstallError> {
        let session = Self::open(layout, now)?;
        basis.check(layout)?;
        if session.epoch() > epoch {
            return Err(InstallError::Changed { path: layout.program() });
        }
        Ok(session)
    }

    /// Takes the lock, waiting up to `patience`, and finishes or undoes what an earlier process left.
    pub(super) fn recover(layout: &Layout, patience: Duration, now: UtcTime) -> Result<Self, InstallError> {
        let lock = InstallLock::take_within(layout, patience)?;
        let found = journal::read(layout)?;
        // Known to other threads of this process from here on, so with what is on disk and nothing less.
        let state = match &found {
            Found::State(state) => state.clone(),
            Found::Elsewhere(state) => {
                let pending = matches!(state.phase, Phase::Swapping { .. } | Phase::Returning { .. });
                // A swap that has begun is finished all the same: user files may be on their way.
                let phase = if pending { state.phase.clone() } else { Phase::Idle };
                InstallState { install: layout.identity(), phase, ..state.clone() }
            }
            Found::Nothing | Found::Garbage => InstallState::idle(layout.identity()),
        };
        let mut session = Self { layout: layout.clone(), lock, state: open::open(layout, state) };
        match found {
            Found::Nothing => session.sweep()?,
            Found::State(_) => {}
            Found::Elsewhere(_) => {
                log::info!("{} was moved or copied; what was pending for it is dropped", layout.root().display());
                let phase = session.phase();
                session.write(phase)?;
            }
            Found::Garbage => {
                carry::salvage(layout)?;
                // It may be a folder, which no write replaces.
                fs::remove_all(&layout.journal())?;
                session.write(Phase::Idle)?;
            }
        }
        match session.phase() {
            Phase::Swapping { .. } => session = swap::resume(session)?,
            Phase::Returning { .. } => session = rollback::resume(session, now)?,
            Phase::Idle => session.sweep()?,
            Phase::Staged { .. } | Phase::Trial { .. } => {}
        }
        Ok(session)
    }

    /// Returns the places of the install.
    pub(crate) fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Returns the private folder for bytes that are not verified yet, and makes it if needed.
    /// # Errors
    /// [`InstallError::File`].
    pub(crate) fn downloads(&self) -> Result<PathBuf, InstallError> {
        let folder = self.layout.downloads();
        fs::own_dir(&folder)?;
        Ok(folder)
    }

    /// Starts a staged release once and hears who it is.
    /// # Errors
    /// [`InstallError::Probe`] when it does not answer as this release, [`InstallError::OtherMachine`] when it was built for
    /// another processor; the staged tree is dropped.
    pub(crate) fn probe(mut self, tree: Tree, plan: &Plan, limit: Duration) -> Result<super::Staged, InstallError> {
        let manifest = tree.manifest();
        let program = self.layout.staged_tree().join(manifest.entry().as_str());
        self.check_machine(&tree)?;
        let identity =
            super::Identity { app: manifest.app(), version: manifest.version(), platform: manifest.platform() };
        if let Err(source) = super::probe::probe(&program, &identity, limit) {
            let version = manifest.version().clone();
            self.clear_staged()?;
            return Err(InstallError::Probe { version, source });
        }
        super::Staged::new(self, tree, plan)
    }

    /// Takes a staged release without starting it, for programs that do not have the runtime.
    /// # Errors
    /// [`InstallError::OwnManifest`] when the installed folder does not say which files it owns;
    /// [`InstallError::OtherMachine`]; [`InstallError::File`].
    pub(crate) fn without_probe(mut self, tree: Tree, plan: &Plan) -> Result<super::Staged, InstallError> {
        self.check_machine(&tree)?;
        super::Staged::new(self, tree, plan)
    }

    /// Refuses a staged program that was built for another processor; the staged tree is dropped.
    pub(super) fn check_machine(&mut self, tree: &Tree) -> Result<(), InstallError> {
        let manifest = tree.manifest();
        let program = self.layout.staged_tree().join(manifest.entry().as_str());
        let checked = super::machine::check(&program, manifest.platform());
        if checked.is_err() {
            self.clear_staged()?;
        }
        checked
    }

    /// Drops what is staged, and the plan to install it.
    pub(crate) fn clear_staged(&mut self) -> fs::PathResult<()> {
        if matches!(self.phase(), Phase::Staged { .. }) {
            let before = self.resumed();
            self.store(before)?;
        }
        fs::remove_all(&self.layout.staged())?;
        if self.layout.kind() == InstallKind::AppBundle && self.phase() == Phase::Idle {
            fs::remove_all(&self.layout.manifests())?;
        }
        Ok(())
    }

    /// Gives the lock back now.
    pub(crate) fn close(self) {}

    /// Returns what has begun and not ended.
    pub(super) fn phase(&self) -> Phase {
        open::lock(&self.state).phase.clone()
    }

    /// Returns the security counter of a release that lies here, and the highest that was completed here.
    pub(super) fn counters_of(&self, manifest: updater_format::Sha256) -> (u64, u64) {
        let state = open::lock(&self.state);
        (state.counter_of(manifest), state.epoch)
    }

    fn epoch(&self) -> u64 {
        open::lock(&self.state).epoch
    }

    /// Changes what the next [`Session::write`] writes beside the phase.
    pub(super) fn change(&mut self, change: impl FnOnce(&mut InstallState)) {
        change(&mut open::lock(&self.state));
    }

    /// Writes the next phase durably.
    pub(super) fn write(&mut self, phase: Phase) -> Result<(), InstallError> {
        Ok(self.store(phase)?)
    }

    /// Writes that another release is to take the place of the installed one. If that is on trial, its trial waits.
    pub(super) fn write_over(&mut self, phase: Phase) -> Result<(), InstallError> {
        match self.phase() {
            Phase::Trial { from, to, trial } => {
                self.change(|state| state.suspended = Some(SuspendedTrial { from, to, trial }));
            }
            // It was suspended for the release that is staged.
            Phase::Staged { .. } => {}
            _ => self.change(|state| state.suspended = None),
        }
        self.write(phase)
    }

    /// Returns the phase that was left for another release: the trial that waits, or none. To be written next.
    pub(super) fn resumed(&mut self) -> Phase {
        let suspended = open::lock(&self.state).suspended.take();
        suspended.map_or(Phase::Idle, |SuspendedTrial { from, to, trial }| Phase::Trial { from, to, trial })
    }

    /// Returns the trial that waits.
    pub(super) fn suspended(&self) -> Option<SuspendedTrial> {
        open::lock(&self.state).suspended.clone()
    }

    /// What other threads see is what is on disk: a phase that could not be written has not begun.
    fn store(&mut self, phase: Phase) -> fs::PathResult<()> {
        let mut state = open::lock(&self.state);
        let next = InstallState { phase, ..state.clone() };
        journal::write(&self.layout, &next)?;
        *state = next;
        Ok(())
    }

    /// Removes everything that belongs to no phase, whatever it is. What was downloaded stays: it can be resumed.
    pub(super) fn sweep(&self) -> Result<(), InstallError> {
        carry::salvage_previous(&self.layout)?;
        let mut swept = Ok(());
        for name in fs::names(self.layout.hidden())? {
            if name.to_string_lossy().starts_with(fs::SPENT) {
                fs::try_remove(&self.layout.hidden().join(name));
            } else if !KEPT_NAMES.iter().any(|kept| name == *kept) {
                // What cannot be removed does not keep the rest.
                swept = swept.and(fs::remove_all(&self.layout.hidden().join(name)));
            }
        }
        Ok(swept?)
    }

    /// Tells whether something lies in the hidden folder that a sweep would remove.
    pub(super) fn has_leftovers(layout: &Layout) -> bool {
        let mut names = fs::names(layout.hidden()).unwrap_or_default().into_iter();
        names.any(|name| !KEPT_NAMES.iter().any(|kept| name == *kept))
    }

    /// Tries an exchange on two empty folders, so that a file system without it is found before anything is downloaded.
    fn check_exchange(&self) -> Result<(), InstallError> {
        if self.layout.kind() == InstallKind::Executable {
            return Ok(());
        }
        if let Some(versions) = self.layout.versions() {
            // Nothing is exchanged, but a staged tree is renamed into this folder.
            let is_one = fs::device(versions.folder())? == fs::device(self.layout.hidden())?;
            let path = versions.folder().to_owned();
            return if is_one { Ok(()) } else { Err(Obstacle::MountInside { path }.into()) };
        }
        let (one, other) = (self.layout.hidden().join("exchange-1"), self.layout.hidden().join("exchange-2"));
        for folder in [&one, &other] {
            fs::remove_all(folder)?;
            fs::private_dir(folder)?;
        }
        let exchanged = fs::exchange(&one, &other);
        fs::remove_all(&one)?;
        fs::remove_all(&other)?;
        exchanged.map_err(|error| self.no_exchange(error).into())
    }

    pub(super) fn no_exchange(&self, error: fs::PathError) -> Obstacle {
        Obstacle::NoExchange { path: self.layout.root().to_owned(), reason: error.source.to_string() }
    }
}

impl Drop for Session {
    /// Removes the hidden folder if nothing is in it any more; then the lock is given back.
    fn drop(&mut self) {
        open::close(&self.state);
        // What was downloaded and not used stays, to be resumed.
        fs::remove_empty_dir(&self.layout.downloads());
        self.lock.tidy(&self.layout);
    }
}

/// What a sweep leaves in the hidden folder; `state` is the trusted metadata of a user without a home.
const KEPT_NAMES: [&str; 4] = ["lock", "state.json", "download", "state"];

/// How long a new session waits for the lock: a child that another thread is starting has it for the moment between its
/// fork and its exec.
const OPEN_PATIENCE: Duration = Duration::from_millis(500);
