//! The return of the old release after a failed trial: `Kept`, `Returning`, `PutBack`, `Idle`.

use super::carry::{self, carry_back};
use super::manifests::{holds, manifest_in, manifest_of, require_manifest};
use super::session::Session;
use super::{InstallError, Layout};
use crate::apply::{ApplyError, Missing, Modes, check_tree};
use crate::fs;
use std::path::Path;
use updater_format::state::{JournaledRelease, Phase};
use updater_format::{InstallKind, UtcTime};

/// The kept release was held against its digests: it can be put back.
#[derive(Debug)]
pub(super) struct Kept(Return);

/// The journal says that the return has begun. The failed release is still in place.
#[derive(Debug)]
pub(super) struct Returning(Return);

/// The old release is in place; a folder's user files are still with the failed one.
#[derive(Debug)]
pub(super) struct PutBack(Return);

#[derive(Debug)]
struct Return {
    session: Session,
    bad: JournaledRelease,
    to: JournaledRelease,
}

impl Kept {
    /// `Trial` -> `Kept`: checks every file of the kept release. When it is not whole, the release on trial stays, and the
    /// trial ends: there is nothing to return to.
    pub(super) fn verify(mut session: Session) -> Result<Option<Self>, InstallError> {
        let Phase::Trial { from, to, .. } = session.phase() else { return Ok(None) };
        match check_kept(session.layout(), &from) {
            Ok(()) => Ok(Some(Self(Return { session, bad: to, to: from }))),
            Err(error @ InstallError::File(_)) => Err(error),
            Err(error) => {
                session.write(Phase::Idle)?;
                session.sweep()?;
                Err(error)
            }
        }
    }

    /// `Kept` -> `Returning`: writes the journal.
    pub(super) fn begin(self) -> Result<Returning, InstallError> {
        let Self(mut this) = self;
        this.session.write(Phase::Returning { from: this.bad.clone(), to: this.to.clone() })?;
        Ok(Returning(this))
    }
}

impl Returning {
    /// `Returning` -> `PutBack`: the one visible change.
    pub(super) fn put_back(self) -> Result<PutBack, InstallError> {
        let layout = self.0.session.layout();
        match layout.kind() {
            InstallKind::Executable => {
                fs::replace_program(&layout.previous_program(), layout.root(), &layout.spent())?;
            }
            _ => {
                let kept = layout.other_tree(&self.0.to);
                let old = require_manifest(layout, &kept, &self.0.to)?;
                carry::adopt_folders(&layout.tree()?, &kept, &old)?;
                match layout.versions() {
                    Some(versions) => versions.switch(layout, &self.0.to.version)?,
                    None => fs::exchange(layout.root(), &kept)?,
                }
            }
        }
        match layout.versions() {
            Some(versions) => versions.sync(layout)?,
            None => {
                fs::sync_parent(layout.root())?;
                fs::sync_dir(&layout.previous())?;
            }
        }
        Ok(PutBack(self.0))
    }
}

impl PutBack {
    /// `PutBack` -> `Idle`: moves a folder's user files back, remembers the failed release, and drops it.
    ///
    /// From the moment at which the journal says so the return is complete: what cannot be removed then is left over.
    pub(super) fn finish(self, now: UtcTime) -> Result<Session, InstallError> {
        let Self(Return { mut session, bad, to }) = self;
        let layout = session.layout().clone();
        let failed_tree = layout.other_tree(&bad);
        let is_there = failed_tree != layout.tree()? && fs::metadata(&failed_tree)?.is_some();
        let is_failed = match layout.versions() {
            // What is only called after that version is somebody's, and stays.
            Some(_) => holds(&layout, &failed_tree, &bad)?,
            None => layout.has_users_files(),
        };
        if is_there && is_failed {
            let failed = require_manifest(&layout, &failed_tree, &bad)?;
            let old = require_manifest(&layout, &layout.files(), &to)?;
            carry_back(&failed_tree, &failed, &layout.tree()?, &old)?;
        }
        // It stays whatever comes, if its own trial was cut short.
        session.change(|state| state.epoch = state.epoch.max(to.epoch));
        if let Some(manifest) = bad.manifest {
            session.change(|state| state.put_away(manifest, bad.version, now));
        }
        session.write(Phase::Idle)?;
        let dropped = match layout.versions() {
            // What carrying back has left there came with the release.
            Some(versions) if is_there && is_failed => versions.put_aside(&layout, &failed_tree),
            _ => Ok(()),
        };
        let swept = dropped.and(session.sweep()).and_then(|()| Ok(fs::remove_all(&layout.downloads())?));
        if let Err(error) = swept {
            log::warn!("{error}; a later update tidies up");
        }
        Ok(session)
    }
}

/// Goes on where an interrupted return stopped; the phase is `Idle` afterwards.
pub(super) fn resume(session: Session, now: UtcTime) -> Result<Session, InstallError> {
    let Phase::Returning { from: bad, to } = session.phase() else { return Ok(session) };
    let layout = session.layout().clone();
    let kept_is_there = match layout.kind() {
        InstallKind::Executable => {
            fs::digest(&layout.previous_program())?.is_some_and(|(_, digest)| digest == to.entry)
        }
        _ if layout.versions().is_some() => {
            manifest_in(&layout, &layout.files())?.is_some_and(|(_, digest)| Some(digest) != to.manifest)
                && holds(&layout, &layout.other_tree(&to), &to)?
        }
        _ => holds(&layout, &layout.previous_tree(), &to)?,
    };
    let this = Return { session, bad, to };
    if kept_is_there { Returning(this).put_back()?.finish(now) } else { PutBack(this).finish(now) }
}

/// Undoes a swap that cannot be completed: the old release lies in the staging folder or is kept already.
pub(super) fn put_back_unfinished(
    layout: &Layout,
    from: &JournaledRelease,
    to: &JournaledRelease,
) -> Result<(), InstallError> {
    if layout.kind() == InstallKind::Executable {
        fs::replace_program(&layout.previous_program(), layout.root(), &layout.spent())?;
        return Ok(fs::sync_parent(layout.root())?);
    }
    if let Some(versions) = layout.versions() {
        let (old_tree, new_tree) = (versions.tree(&from.version), versions.tree(&to.version));
        let (old, new) = (require_manifest(layout, &old_tree, from)?, require_manifest(layout, &new_tree, to)?);
        versions.switch(layout, &from.version)?;
        versions.sync(layout)?;
        return Ok(carry_back(&new_tree, &new, &old_tree, &old)?);
    }
    for tree in [layout.staged_tree(), layout.previous_tree()] {
        let Some(old) = manifest_of(layout, &tree, from)? else { continue };
        let new = require_manifest(layout, layout.root(), to)?;
        // Programs first: the old release is whole again before the user's files follow.
        fs::exchange(layout.root(), &tree)?;
        if layout.has_users_files() {
            carry_back(&tree, &new, layout.root(), &old)?;
        }
        return Ok(fs::sync_parent(layout.root())?);
    }
    Err(InstallError::Damaged { path: layout.previous_tree(), problem: "the old release is not there" })
}

/// Finishes an undo that was interrupted after the folders were exchanged back: the old release is in place, files of the
/// user may still lie with the new one.
pub(super) fn finish_undo(layout: &Layout, from: &JournaledRelease, to: &JournaledRelease) -> Result<(), InstallError> {
    if !layout.has_users_files() {
        return Ok(());
    }
    let Some(old) = manifest_of(layout, &layout.files(), from)? else { return Ok(()) };
    let mut trees = vec![layout.staged_tree(), layout.previous_tree()];
    if let Some(versions) = layout.versions() {
        trees = vec![versions.tree(&to.version)];
    }
    for tree in trees {
        if let Some(new) = manifest_of(layout, &tree, to)? {
            carry_back(&tree, &new, &layout.tree()?, &old)?;
        }
    }
    Ok(())
}

pub(super) fn check_kept(layout: &Layout, from: &JournaledRelease) -> Result<(), InstallError> {
    let damaged = |path: &Path, problem| InstallError::Damaged { path: path.to_owned(), problem };
    if layout.kind() == InstallKind::Executable {
        let path = layout.previous_program();
        return match fs::digest(&path)? {
            Some((_, digest)) if digest == from.entry => Ok(()),
            Some(_) => Err(damaged(&path, "its content differs")),
            None => Err(damaged(&path, "it is missing")),
        };
    }
    let tree = layout.other_tree(from);
    let manifest = require_manifest(layout, &tree, from)?;
    let newer = manifest_in(layout, &layout.files())?.map(|(manifest, _)| manifest);
    let checked = check_tree(&tree, &manifest, Modes::Any, |path| {
        let local = manifest.keeps_local(path) || newer.as_ref().is_some_and(|newer| newer.keeps_local(path));
        if local { Missing::Accept } else { Missing::Refuse }
    });
    checked.map_err(|error| match error {
        ApplyError::Damaged { path, problem } => damaged(&tree.join(path), problem),
        ApplyError::File(error) => error.into(),
        _ => damaged(&tree, "it cannot be read"),
    })
}
