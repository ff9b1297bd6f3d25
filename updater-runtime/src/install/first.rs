//! The first version of an install that has a folder for each: there is nothing before it that could be lost.
//!
//! The order is that of an update: lock, stage in the hidden folder with every file held against the manifest, one rename
//! into `versions/`, and at last the link `current`. Whatever interrupts it leaves a folder without `current`, in which it
//! can be run again.

use super::session::Session;
use super::versions::{CURRENT, FOLDER};
use super::{InstallError, Layout};
use crate::apply::Tree;
use crate::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;
use updater_format::state::{JournaledRelease, Phase};
use updater_format::{AppId, InstallKind, UtcTime};

/// The right to put a first version into a folder.
pub(crate) struct FirstSession {
    session: Session,
    folder: PathBuf,
}

impl FirstSession {
    /// Takes the lock of the install that is going to be in `folder`, which must exist.
    /// # Errors
    /// [`InstallError::Busy`] when another process installs there; [`InstallError::Occupied`] when a version is there
    /// already; [`InstallError::File`].
    pub(crate) fn open(folder: &Path, app: &AppId, now: UtcTime) -> Result<Self, InstallError> {
        let folder = fs::canonical(folder)?;
        let link = folder.join(CURRENT);
        // The same hidden folder, and so the same lock, that updates of this install have later.
        let layout = Layout::future(InstallKind::Directory, link.clone(), &app.to_file_path())?;
        let session = Session::recover(&layout, Duration::ZERO, now)?;
        if fs::metadata(&link)?.is_some() {
            return Err(InstallError::Occupied { path: link });
        }
        Ok(Self { session, folder })
    }

    /// Returns the session, to download and stage in.
    pub(crate) fn session(&mut self) -> &mut Session {
        &mut self.session
    }

    /// Puts the staged tree, of a release with the security counter `epoch`, in place and makes `current` lead to it. Returns
    /// the version's folder.
    /// # Errors
    /// [`InstallError::OtherMachine`] for a program of another processor; [`InstallError::File`].
    pub(crate) fn place(mut self, tree: &Tree, epoch: u64) -> Result<PathBuf, InstallError> {
        self.session.check_machine(tree)?;
        if epoch > 0 {
            // Before the link: a version is never current without its counter being known.
            let manifest = tree.manifest();
            let (entry, version) = (manifest.entry_digest(), manifest.version().clone());
            let release = JournaledRelease { entry, manifest: Some(tree.digest()), version, epoch };
            self.session.change(|state| state.complete(&release));
            self.session.write(Phase::Idle)?;
        }
        let (app, version) = (tree.manifest().app(), tree.manifest().version());
        let layout = self.session.layout().clone();
        let versions = self.folder.join(FOLDER);
        let name = format!("{app}-{version}");
        let placed = versions.join(&name);
        fs::create_dir(&versions)?;
        // An earlier attempt that ended before the link was made.
        fs::remove_all(&placed)?;
        fs::rename(&layout.staged_tree(), &placed)?;
        fs::sync_dir(&versions)?;
        let next = layout.hidden().join("next");
        fs::remove_all(&next)?;
        fs::point_at(&Path::new(FOLDER).join(&name), &next)?;
        fs::sync_dir(layout.hidden())?;
        fs::rename(&next, &self.folder.join(CURRENT))?;
        fs::sync_dir(&self.folder)?;
        fs::remove_all(&layout.staged())?;
        fs::remove_all(&layout.downloads())?;
        self.session.close();
        Ok(placed)
    }
}
