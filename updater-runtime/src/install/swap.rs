//! The swap: `Swapping`, `Exchanged`, `Carried`, trial. One visible change, one function for each transition.
//!
//! Until the exchange a failure leaves the old release untouched; after it a failure puts the old release back.

use super::carry;
use super::manifests::{holds, require_manifest};
use super::session::Session;
use super::{InstallError, Layout, rollback};
use crate::fs;
use std::path::Path;
use updater_format::state::{JournaledRelease, Phase, Trial};
use updater_format::{InstallKind, Manifest};

/// The journal says that the swap has begun. Nothing visible has changed.
#[derive(Debug)]
pub(super) struct Swapping(Swap);

/// The new release is in place; a folder's user files are still with the old one.
#[derive(Debug)]
pub(super) struct Exchanged(Swap);

/// The new release is complete; the old one waits to be kept.
#[derive(Debug)]
pub(super) struct Carried(Swap);

#[derive(Debug)]
struct Swap {
    session: Session,
    from: JournaledRelease,
    to: JournaledRelease,
    trial: Trial,
}

impl Swapping {
    /// `Staged` -> `Swapping`: writes the journal, then drops what an earlier trial kept, or puts it aside when that trial is
    /// not over.
    pub(super) fn begin(
        mut session: Session,
        from: JournaledRelease,
        to: JournaledRelease,
        trial: Trial,
    ) -> Result<Self, InstallError> {
        session.write_over(Phase::Swapping { from: from.clone(), to: to.clone(), trial })?;
        let this = Self(Swap { session, from, to, trial });
        match this.prepare() {
            Ok(()) => Ok(this),
            Err(error) => Err(this.0.abandon(error)),
        }
    }

    /// `Swapping` -> `Exchanged`: the one visible change.
    pub(super) fn exchange(self) -> Result<Exchanged, InstallError> {
        let layout = self.0.session.layout().clone();
        let changed = match layout.kind() {
            InstallKind::Executable => keep_program(&layout, &self.0.from).and_then(|()| {
                let new = staged_program(&layout)?;
                Ok(fs::replace_program(&new, layout.root(), &layout.previous_program())?)
            }),
            _ => self.exchange_folder(&layout),
        };
        match changed {
            Ok(()) => {}
            Err(InstallError::File(error)) if fs::is_in_use(&error.source) => return Err(self.0.defer(error)),
            Err(error) => return Err(self.0.abandon(error)),
        }
        let durable = match layout.versions() {
            Some(versions) => versions.sync(&layout),
            None => fs::sync_parent(layout.root()).and_then(|()| fs::sync_dir(&layout.staged())),
        };
        match durable {
            Ok(()) => Ok(Exchanged(self.0)),
            Err(error) => Err(self.0.undo(error.into())),
        }
    }

    fn prepare(&self) -> Result<(), InstallError> {
        let layout = self.0.session.layout();
        fs::remove_all(&layout.earlier())?;
        if self.0.session.suspended().is_some() && fs::metadata(&layout.previous())?.is_some() {
            fs::rename(&layout.previous(), &layout.earlier())?;
        } else {
            carry::salvage_previous(layout)?;
            fs::remove_all(&layout.previous())?;
            fs::remove_all(&layout.attempts())?;
        }
        fs::private_dir(&layout.previous())?;
        Ok(())
    }

    fn exchange_folder(&self, layout: &Layout) -> Result<(), InstallError> {
        let installed = layout.tree()?;
        let old = require_manifest(layout, &installed, &self.0.from)?;
        let new = require_manifest(layout, &layout.staged_tree(), &self.0.to)?;
        carry::check_movable(&installed, &old)?;
        carry::adopt_folders(&installed, &layout.staged_tree(), &new)?;
        if let Some(versions) = layout.versions() {
            versions.place(layout, &self.0.from.version, &self.0.to.version)?;
            return versions.switch(layout, &self.0.to.version);
        }
        fs::exchange(layout.root(), &layout.staged_tree()).map_err(|error| self.0.session.no_exchange(error).into())
    }
}

impl Exchanged {
    /// `Exchanged` -> `Carried`: moves a folder's user files over.
    pub(super) fn carry_over(self) -> Result<Carried, InstallError> {
        let layout = self.0.session.layout();
        if !layout.has_users_files() {
            return Ok(Carried(self.0));
        }
        let (replaced, installed) = (layout.replaced_tree(&self.0.from), layout.tree()?);
        let carried = require_manifest(layout, &replaced, &self.0.from).and_then(|old| {
            let new = require_manifest(layout, &installed, &self.0.to)?;
            Ok(carry::carry_over(&replaced, &old, &installed, &new)?)
        });
        match carried {
            Ok(()) => Ok(Carried(self.0)),
            Err(error) => Err(self.0.undo(error)),
        }
    }
}

impl Carried {
    /// `Carried` -> `Trial`: keeps the old release and says so in the journal.
    pub(super) fn begin_trial(self) -> Result<Session, InstallError> {
        let Self(mut swap) = self;
        match swap.keep_old() {
            Ok(()) => {}
            Err(error) => return Err(swap.undo(error)),
        }
        let suspended = swap.session.suspended();
        // What the trial before this one has seen counts even if this one fails.
        let seen = suspended.as_ref().map_or(0, |trial| trial.to.epoch);
        let from = JournaledRelease { epoch: swap.from.epoch.max(seen), ..swap.from.clone() };
        swap.session.change(|state| state.suspended = None);
        match swap.session.write(Phase::Trial { from, to: swap.to.clone(), trial: swap.trial }) {
            Ok(()) => {
                let earlier = swap.session.layout().earlier();
                if let Err(error) = fs::remove_all(&earlier) {
                    log::warn!("{error}; a later update tidies up");
                }
                Ok(swap.session)
            }
            Err(error) => {
                swap.session.change(|state| state.suspended = suspended);
                Err(swap.undo(error))
            }
        }
    }
}

impl Swap {
    fn keep_old(&self) -> Result<(), InstallError> {
        let layout = self.session.layout();
        let is_exchanged = layout.kind() != InstallKind::Executable && layout.versions().is_none();
        if is_exchanged && fs::metadata(&layout.staged_tree())?.is_some() {
            fs::private_dir(&layout.previous())?;
            fs::rename(&layout.staged_tree(), &layout.previous_tree())?;
            fs::sync_dir(&layout.previous())?;
        }
        fs::remove_all(&layout.staged())?;
        fs::remove_all(&layout.attempts())?;
        fs::sync_dir(layout.hidden())?;
        Ok(())
    }

    /// Nothing visible has changed: drops what was prepared and gives the error on.
    fn abandon(mut self, error: InstallError) -> InstallError {
        if let Err(second) = self.drop_version().and_then(|()| self.go_back()) {
            log::warn!("{second}; the next start tidies up");
        }
        error
    }

    /// Nothing visible has changed, because another program has the installed one open: leaves it to the next start.
    fn defer(mut self, source: fs::PathError) -> InstallError {
        let version = self.to.version.clone();
        match self.wait() {
            Ok(()) => InstallError::Deferred { version, source },
            Err(second) => {
                log::warn!("{second}; nothing is left to the next start");
                self.abandon(source.into())
            }
        }
    }

    /// `Swapping` -> `Staged`.
    fn wait(&mut self) -> Result<(), InstallError> {
        let layout = self.session.layout().clone();
        self.restore_earlier()?;
        if self.session.suspended().is_none() {
            fs::remove_all(&layout.previous())?;
        }
        let (from, to, trial) = (self.from.clone(), self.to.clone(), self.trial);
        self.session.write(Phase::Staged { from, to, trial })
    }

    /// The new release is in place but cannot be completed: puts the old one back and gives the error on. If that fails
    /// too, the journal still says `Swapping` and the next start goes on from there.
    fn undo(self, error: InstallError) -> InstallError {
        let put_back = rollback::put_back_unfinished(self.session.layout(), &self.from, &self.to);
        match put_back {
            Ok(()) => self.abandon(error),
            Err(second) => {
                log::warn!("{second}; the next start finishes the update");
                error
            }
        }
    }
}

/// Goes on where an interrupted swap stopped; the phase is `Trial` or `Idle` afterwards, and the trial may be the one before it.
pub(super) fn resume(session: Session) -> Result<Session, InstallError> {
    let Phase::Swapping { from, to, trial } = session.phase() else { return Ok(session) };
    let layout = session.layout().clone();
    let swap = Swap { session, from, to, trial };
    if layout.kind() == InstallKind::Executable {
        return resume_program(&layout, swap);
    }
    if layout.versions().is_some() {
        if holds(&layout, &layout.files(), &swap.to)? {
            fs::sync_parent(layout.root())?;
            return Exchanged(swap).carry_over()?.begin_trial();
        }
        rollback::finish_undo(&layout, &swap.from, &swap.to)?;
        return swap.back();
    }
    if holds(&layout, &layout.previous_tree(), &swap.from)? {
        return Carried(swap).begin_trial();
    }
    if holds(&layout, &layout.staged_tree(), &swap.from)? {
        return Exchanged(swap).carry_over()?.begin_trial();
    }
    rollback::finish_undo(&layout, &swap.from, &swap.to)?;
    swap.back()
}

fn resume_program(layout: &Layout, swap: Swap) -> Result<Session, InstallError> {
    let digest_at = |path: &Path| fs::digest(path).map(|found| found.map(|(_, digest)| digest));
    let installed = digest_at(layout.root())?;
    if installed == Some(swap.to.entry) {
        fs::sync_parent(layout.root())?;
        return Carried(swap).begin_trial();
    }
    if installed.is_none() && digest_at(&layout.previous_program())? == Some(swap.from.entry) {
        fs::rename(&layout.previous_program(), layout.root())?;
        fs::sync_parent(layout.root())?;
    }
    swap.back()
}

impl Swap {
    /// Removes the folder of a version that did not become current, while the journal still names it.
    fn drop_version(&self) -> Result<(), InstallError> {
        let layout = self.session.layout();
        layout.versions().map_or(Ok(()), |versions| versions.remove(layout, &self.to.version))
    }

    /// `Swapping` -> `Idle`, or the trial that waited.
    fn go_back(&mut self) -> Result<(), InstallError> {
        if self.session.suspended().is_none() {
            self.session.write(Phase::Idle)?;
            return self.session.sweep();
        }
        let layout = self.session.layout().clone();
        self.restore_earlier()?;
        let trial = self.session.resumed();
        self.session.write(trial)?;
        Ok(fs::remove_all(&layout.staged())?)
    }

    /// Takes what the trial that waits has kept from where it was put aside.
    fn restore_earlier(&self) -> Result<(), InstallError> {
        let layout = self.session.layout();
        // If it is not there, it was not put aside yet, or is back already.
        if self.session.suspended().is_some() && fs::metadata(&layout.earlier())?.is_some() {
            fs::remove_all(&layout.previous())?;
            fs::rename(&layout.earlier(), &layout.previous())?;
            fs::sync_dir(layout.hidden())?;
        }
        Ok(())
    }

    fn back(mut self) -> Result<Session, InstallError> {
        self.drop_version()?;
        self.go_back()?;
        Ok(self.session)
    }
}

/// Keeps the installed program under a second name, where a system can, and checks that it is the one that was expected.
fn keep_program(layout: &Layout, from: &JournaledRelease) -> Result<(), InstallError> {
    let (tree, kept) = (layout.previous_tree(), layout.previous_program());
    fs::private_dir(&tree)?;
    let kept = fs::keep_beside(layout.root(), &kept)?;
    if fs::digest(&kept)?.map(|(_, digest)| digest) != Some(from.entry) {
        return Err(InstallError::Changed { path: layout.root().to_owned() });
    }
    fs::sync_dir(&tree)?;
    fs::sync_dir(&layout.previous())?;
    Ok(())
}

/// Returns the staged program, with the permission bits that its predecessor was given here.
fn staged_program(layout: &Layout) -> Result<std::path::PathBuf, InstallError> {
    let manifest = staged_manifest(layout)?;
    let program = layout.staged_tree().join(manifest.entry().as_str());
    fs::take_access_of(&program, layout.root())?;
    Ok(program)
}

fn staged_manifest(layout: &Layout) -> Result<Manifest, InstallError> {
    let path = layout.staged_manifest();
    let limit = updater_format::length::MAX_MANIFEST + 1;
    let bytes = fs::read_bounded(&path, limit)?.ok_or_else(|| fs::missing("read", &path))?;
    Manifest::parse(&bytes).map_err(|_| InstallError::Damaged { path: path.clone(), problem: "it cannot be read" })
}
