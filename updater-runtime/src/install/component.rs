//! The folder of a component: an install whose release is told by its manifest, without probe and trial.
//!
//! The folder is replaced by the same journaled exchange as that of an app. What an app has as its program, the file by
//! which a release is told from another, is the manifest here. A folder that is not there yet first gets the manifest of a
//! release without files, in one rename; from then on the first install is an update like any other.

use super::manifests::inside;
use super::session::Session;
use super::{InstallError, Layout, journal, trial};
use crate::fs;
use std::time::Duration;
use updater_format::state::Phase;
use updater_format::{
    AppId, ComponentName, FilePath, InstallKind, MANIFEST_PATH, Manifest, ManifestParts, Platform, ReleaseVersion,
    UtcTime,
};

/// Finishes or undoes what an earlier process left. With nothing pending this is one look for a file that is not there, and one for leftovers.
/// # Errors
/// [`InstallError::Busy`] when another process is in the middle of a change for longer than ten seconds; all others as
/// they come. The folder holds one whole release all the same.
pub(crate) fn settle_component(layout: &Layout, now: UtcTime) -> Result<(), InstallError> {
    match fs::metadata(&layout.journal()) {
        Ok(Some(_)) if !journal::is_foreign(layout)? => {}
        Ok(Some(_)) => return Ok(()),
        Ok(None) => {
            drop_leftovers(layout, now);
            return Ok(());
        }
        // Somebody else's hidden folder, and none of our business.
        Err(error) if error.source.kind() == std::io::ErrorKind::PermissionDenied => return Ok(()),
        Err(error) => return Err(error.into()),
    }
    if let journal::Found::State(state) = journal::read(layout)?
        && state.phase == Phase::Idle
    {
        drop_leftovers(layout, now);
        return Ok(());
    }
    let session = Session::recover(layout, CHANGE_PATIENCE, now)?;
    // It is in place: there was no time left to drop the one before it.
    if let Phase::Trial { to, .. } = session.phase() {
        trial::complete(session, &to)?;
    }
    Ok(())
}

/// Removes what a process had no time to remove after its update was complete: the release before, and downloads that nobody
/// needs any more. An app completes its trial at its next start; a component is complete at once, and its process may end.
fn drop_leftovers(layout: &Layout, now: UtcTime) {
    if !Session::has_leftovers(layout) {
        return;
    }
    // This sweeps by itself.
    let dropped = Session::recover(layout, Duration::ZERO, now).and_then(|session| {
        fs::remove_all(&layout.downloads())?;
        session.close();
        Ok(())
    });
    if let Err(error) = dropped {
        log::debug!("{error}; a later look tidies up");
    }
}

/// Returns the manifest of what is installed; `None` when the folder is not there, is empty, or holds a release without
/// files only.
/// # Errors
/// [`InstallError::NotThisComponent`] when it holds anything else. `app` is not known to a disabled updater.
pub(crate) fn installed_component(
    layout: &Layout,
    app: Option<&AppId>,
    component: &ComponentName,
) -> Result<Option<Manifest>, InstallError> {
    let path = layout.root().to_owned();
    let refuse = |problem: String| InstallError::NotThisComponent { path, component: component.clone(), problem };
    match fs::metadata(layout.root())? {
        None => return Ok(None),
        Some(there) if !there.is_dir() => return Err(refuse("it is no folder".to_owned())),
        Some(_) => {}
    }
    let Some((manifest, _)) = inside(layout.root())? else {
        return match fs::names(layout.root())?.first() {
            None => Ok(None),
            Some(name) if name.to_str() == Some(MANIFEST_PATH) => {
                Err(refuse(format!("its {MANIFEST_PATH} cannot be read")))
            }
            Some(name) => Err(refuse(format!("it holds {} and no {MANIFEST_PATH}", name.to_string_lossy()))),
        };
    };
    match manifest.component() {
        Some(found) if found != component => Err(refuse(format!("it holds the component {found}"))),
        None => Err(refuse(format!("it holds the app {}", manifest.app()))),
        Some(_) if app.is_some_and(|app| app != manifest.app()) => {
            Err(refuse(format!("it holds a component of the app {}", manifest.app())))
        }
        Some(_) if *manifest.version() == ReleaseVersion::lowest() => Ok(None),
        Some(_) => Ok(Some(manifest)),
    }
}

/// Returns the manifest of an installed folder; `None` when there is none that can be read.
/// # Errors
/// [`InstallError::File`].
pub(crate) fn manifest_of(layout: &Layout) -> Result<Option<Manifest>, InstallError> {
    Ok(inside(layout.root())?.map(|(manifest, _)| manifest))
}

/// Gives a folder that is not there yet, or is empty, the manifest of a release without files. A folder with a release
/// stays as it is.
/// # Errors
/// As [`installed_component`]; [`InstallError::Busy`]; [`InstallError::File`].
pub(crate) fn begin_component(
    layout: &Layout,
    app: &AppId,
    component: &ComponentName,
    now: UtcTime,
) -> Result<(), InstallError> {
    if let Some(obstacle) = layout.obstacle()? {
        return Err(obstacle.into());
    }
    let session = Session::recover(layout, CHANGE_PATIENCE, now)?;
    if installed_component(layout, Some(app), component)?.is_some() || inside(layout.root())?.is_some() {
        return Ok(());
    }
    let parts = ManifestParts {
        app: app.clone(),
        version: ReleaseVersion::lowest(),
        platform: Platform::any(),
        install: InstallKind::Component,
        component: Some(component.clone()),
        entry: FilePath::of_manifest(),
        keep_local: Vec::new(),
        entries: Vec::new(),
    };
    let damaged = |_| InstallError::Damaged { path: layout.root().to_owned(), problem: "no release can begin there" };
    let manifest = Manifest::new(parts).map_err(damaged)?;
    fs::remove_all(&layout.staged())?;
    fs::private_dir(&layout.staged())?;
    fs::create_dir(&layout.staged_tree())?;
    fs::write_new(&layout.staged_tree().join(MANIFEST_PATH), &manifest.encode(), 0o644)?;
    fs::sync_dir(&layout.staged_tree())?;
    // In the place of an empty folder, too: that is one step.
    fs::rename(&layout.staged_tree(), layout.root())?;
    fs::sync_parent(layout.root())?;
    fs::remove_all(&layout.staged())?;
    session.close();
    Ok(())
}

/// How long to wait for a process that is in the middle of a change: a swap takes milliseconds.
const CHANGE_PATIENCE: Duration = Duration::from_secs(10);
