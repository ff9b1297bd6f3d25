//! What an app holds after a download: a verified, started and complete release that waits beside the installed one.

use super::session::Session;
use super::swap::Swapping;
use super::{InstallError, Layout, Subject, exit, manifests};
use crate::apply::{Tree, verify_staged};
use crate::fs;
use std::path::{Path, PathBuf};
use updater_format::state::{JournaledRelease, Phase, Trial};
use updater_format::{InstallKind, ReleaseVersion};

/// How an update is to end.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    /// The version that is installed.
    pub(crate) installed: ReleaseVersion,
    /// What completes the trial of the new one.
    pub(crate) trial: Trial,
    /// The security counter of the new one.
    pub(crate) epoch: u64,
}

/// A release that is complete, verified and probed, beside the installed one. Nothing visible has changed yet.
///
/// While it exists no other process can update this copy. Dropping it changes nothing.
///
/// ```no_run
/// # fn finish(staged: updater_runtime::Staged, has_a_window: bool) -> Result<(), updater_runtime::Error> {
/// if has_a_window {
///     // Nothing changes under a running app; whoever quits it starts the new version next time.
///     let scheduled = staged.install_on_exit()?;
///     println!("{} is installed when you quit", scheduled.version());
/// } else {
///     // A command-line tool goes on as the new version at once.
///     staged.install()?.restart()?.hand_over();
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[must_use = "nothing is installed until `install` or one of its siblings is called"]
pub struct Staged {
    session: Session,
    from: JournaledRelease,
    to: JournaledRelease,
    trial: Trial,
    program: PathBuf,
}

impl Staged {
    pub(super) fn new(session: Session, tree: Tree, plan: &Plan) -> Result<Self, InstallError> {
        let layout = session.layout();
        let manifest = tree.manifest();
        let to = JournaledRelease {
            entry: if manifest.component().is_some() { tree.digest() } else { manifest.entry_digest() },
            manifest: Some(tree.digest()),
            version: manifest.version().clone(),
            epoch: plan.epoch,
        };
        if layout.kind() == InstallKind::AppBundle {
            manifests::describe_installed(layout, &plan.installed, manifest)?;
        }
        let from = installed(layout, plan.installed.clone())?;
        let program = layout.program_at(manifest.entry());
        Ok(Self { from, to, trial: plan.trial, program, session })
    }

    /// Takes it apart, for tests that stop between two transitions.
    #[cfg(test)]
    pub(super) fn into_parts(self) -> (Session, JournaledRelease, JournaledRelease) {
        (self.session, self.from, self.to)
    }

    /// Returns the version that is staged.
    #[must_use]
    pub fn version(&self) -> &ReleaseVersion {
        &self.to.version
    }

    /// Returns the version that it replaces.
    #[must_use]
    pub fn from(&self) -> &ReleaseVersion {
        &self.from.version
    }

    /// Returns where the verified files lie until they are installed.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.session.layout().staged_tree()
    }

    /// Puts the new version in place: checks every staged file again, then one rename or one exchange. The old version is
    /// kept until the trial of the new one ends.
    /// # Errors
    /// [`InstallError::Damaged`] when a staged file has changed; [`InstallError::Changed`] when somebody else has updated
    /// this copy; [`InstallError::Obstacle`] or [`InstallError::File`] when the system refuses. The old version is in place
    /// after each of them.
    pub fn install(self) -> Result<Installed, InstallError> {
        let layout = self.session.layout().clone();
        verify_again(&layout, &self.to)?;
        check_unchanged(&layout)?;
        let from = self.from.version.clone();
        let version = self.to.version.clone();
        Swapping::begin(self.session, self.from, self.to, self.trial)?.exchange()?.carry_over()?.begin_trial()?;
        Ok(Installed { layout, from, version, program: self.program })
    }

    /// Puts the new version of a component in place, as [`Staged::install`] does. There is no trial: the old version is
    /// dropped at once.
    pub(crate) fn install_component(self) -> Result<ReleaseVersion, InstallError> {
        let layout = self.session.layout().clone();
        verify_again(&layout, &self.to)?;
        let to = self.to.clone();
        let session =
            Swapping::begin(self.session, self.from, self.to, self.trial)?.exchange()?.carry_over()?.begin_trial()?;
        // It is in place, durably. What cannot be tidied up now, the next look at the component tidies up.
        if let Err(error) = super::trial::complete(session, &to) {
            log::warn!("{error}; the next update of the component tidies up");
        }
        Ok(to.version)
    }

    /// Leaves the new version staged; the next start of the app installs it before anything else and runs it.
    /// # Errors
    /// [`InstallError::File`] when that cannot be written down.
    pub fn install_at_next_start(mut self) -> Result<Scheduled, InstallError> {
        self.session.write_over(Phase::Staged { from: self.from, to: self.to.clone(), trial: self.trial })?;
        Ok(Scheduled { version: self.to.version })
    }

    /// Installs the new version when this process ends in order. If it ends otherwise, the next start does it.
    /// # Errors
    /// [`InstallError::File`] when that cannot be written down.
    pub fn install_on_exit(self) -> Result<Scheduled, InstallError> {
        let layout = self.session.layout().clone();
        let scheduled = self.install_at_next_start()?;
        exit::install(layout);
        Ok(scheduled)
    }
}

/// A version that will be installed later.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scheduled {
    version: ReleaseVersion,
}

impl Scheduled {
    /// Returns the version.
    #[must_use]
    pub fn version(&self) -> &ReleaseVersion {
        &self.version
    }
}

/// A version that is in place, durably. This process still runs the other one.
#[derive(Debug)]
pub struct Installed {
    layout: Layout,
    from: ReleaseVersion,
    version: ReleaseVersion,
    program: PathBuf,
}

impl Installed {
    pub(super) fn new(layout: Layout, from: ReleaseVersion, version: ReleaseVersion, program: PathBuf) -> Self {
        Self { layout, from, version, program }
    }

    /// Returns the version that is in place now.
    #[must_use]
    pub fn version(&self) -> &ReleaseVersion {
        &self.version
    }

    /// Returns the version that was in place before.
    #[must_use]
    pub fn from(&self) -> &ReleaseVersion {
        &self.from
    }

    /// Returns the path of the installed program.
    #[must_use]
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// Runs the installed version in place of this process: same arguments, environment and working directory. On Unix this
    /// comes back only with an error, and nothing is dropped on the way: save first what must be saved. On Windows the new
    /// version is started, and this process should end: see [`Restarted`](crate::Restarted).
    ///
    /// ```no_run
    /// # fn save_everything() {}
    /// # fn finish(installed: updater_runtime::Installed) -> Result<(), updater_runtime::InstallError> {
    /// save_everything();
    /// installed.restart()?.hand_over(); // ends this process on Windows; on Unix it is another program by now
    /// # Ok(())
    /// # }
    /// ```
    /// # Errors
    /// [`InstallError::RestartLoop`] when this process was itself restarted from the version that it has;
    /// [`InstallError::Restart`] when the system cannot start the program.
    pub fn restart(self) -> Result<crate::Restarted, InstallError> {
        crate::restart::restart(&self.layout, &self.program, &self.from)
    }
}

/// Describes what is installed.
pub(super) fn installed(layout: &Layout, version: ReleaseVersion) -> Result<JournaledRelease, InstallError> {
    let program = layout.program();
    let (_, entry) = fs::digest(&program)?.ok_or_else(|| fs::missing("find", &program))?;
    let (manifest, version) = match layout.kind() {
        InstallKind::Executable => (None, version),
        _ => match manifests::manifest_in(layout, &layout.files())? {
            Some((manifest, digest)) => (Some(digest), manifest.version().clone()),
            None => return Err(InstallError::OwnManifest { path: layout.manifest(), source: None }),
        },
    };
    // Its counter was recorded when its own trial ended.
    Ok(JournaledRelease { entry, manifest, version, epoch: 0 })
}

/// Holds the staged files against the manifest once more.
pub(super) fn verify_again(layout: &Layout, to: &JournaledRelease) -> Result<Tree, InstallError> {
    use crate::apply::ApplyError;
    let damaged = |path: PathBuf, problem| InstallError::Damaged { path, problem };
    let Some(manifest) = to.manifest else {
        return Err(damaged(layout.staged_manifest(), "its digest was not written down"));
    };
    verify_staged(layout, manifest).map_err(|error| match error {
        ApplyError::Damaged { path, problem } => damaged(layout.staged_tree().join(path), problem),
        ApplyError::File(error) => error.into(),
        _ => damaged(layout.staged(), "it cannot be read"),
    })
}

/// Refuses when the installed program is not the running one: the plan was made for another version.
fn check_unchanged(layout: &Layout) -> Result<(), InstallError> {
    let path = layout.program();
    if layout.subject() == Subject::Own && !fs::is_running_program(&path)? {
        return Err(InstallError::Changed { path });
    }
    Ok(())
}
