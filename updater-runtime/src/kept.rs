//! What a program that watches another one does with its versions: ask for the trial, put the old version back, return to
//! one that is kept.

use crate::error::Error;
use crate::fs::{self, PathError};
use crate::install;
use crate::updater::Updater;
use std::path::{Path, PathBuf};
use updater_format::ReleaseVersion;

/// A trial that has not ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PendingTrial {
    /// The version that is kept.
    pub from: ReleaseVersion,
    /// The version that is tried.
    pub to: ReleaseVersion,
}

/// A version that is in place again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PutBack {
    /// The version in place.
    pub installed: ReleaseVersion,
    /// The version that was left, and is not offered again for 30 days.
    pub left: ReleaseVersion,
}

/// Returns the folder of the current version of an install that has a folder for each: where `current` leads, which is a link,
/// or on Windows a file with the path.
/// # Errors
/// [`PathError`] when it leads nowhere.
pub fn current_version(current: &Path) -> Result<PathBuf, PathError> {
    fs::pointed(current)
}

impl Updater {
    /// Returns the trial of the install that has not ended, if there is one. Reads the journal and changes nothing.
    /// # Errors
    /// [`Error::Install`] when the journal cannot be read.
    pub fn pending_trial(&self) -> Result<Option<PendingTrial>, Error> {
        let Some(layout) = self.layout() else { return Ok(None) };
        let trial = install::trial_of(layout)?;
        Ok(trial.map(|(from, to)| PendingTrial { from: from.version, to: to.version }))
    }

    /// Says that the version on trial has failed, and puts the one before it back now. `None` without a trial.
    ///
    /// For a program that watches another one; an app says [`Updater::failed`] of itself.
    ///
    /// ```no_run
    /// # fn watch(updater: &updater_runtime::Updater, answers: bool) -> Result<(), updater_runtime::Error> {
    /// if let Some(trial) = updater.pending_trial()?.filter(|_| !answers) {
    ///     updater.put_back()?;
    ///     eprintln!("{} does not answer, {} is back", trial.to, trial.from);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    /// # Errors
    /// [`Error::Install`] when the kept version is not whole (the one on trial stays then), or the system refuses.
    pub fn put_back(&self) -> Result<Option<PutBack>, Error> {
        let Some(layout) = self.layout() else { return Ok(None) };
        let returned = install::put_back_now(layout, self.now())?;
        Ok(returned.map(|(installed, left)| PutBack { installed, left }))
    }

    /// Goes back to a version that is kept in a folder of its own. The version left is not offered again for 30 days or
    /// until there is a newer one.
    /// # Errors
    /// [`Error::Install`] when the version is not kept, is the current one, is not whole or has a lower security counter than
    /// a release that was completed here, or the system refuses.
    pub fn return_to(&self, version: &ReleaseVersion) -> Result<Option<PutBack>, Error> {
        self.leave_for(version, install::Reason::Wanted)
    }

    /// Says that the current version has failed though its trial is over (it may have confirmed itself), and puts a kept one
    /// in its place, whatever its security counter: the automatic return, for a program that watches another one.
    /// # Errors
    /// [`Error::Install`] when the version is not kept, is the current one or is not whole, or the system refuses.
    pub fn put_back_to(&self, version: &ReleaseVersion) -> Result<Option<PutBack>, Error> {
        self.leave_for(version, install::Reason::Failed)
    }

    fn leave_for(&self, version: &ReleaseVersion, reason: install::Reason) -> Result<Option<PutBack>, Error> {
        let Some(layout) = self.layout() else { return Ok(None) };
        let returned = install::return_to(layout, version, reason, self.now())?;
        Ok(returned.map(|(installed, left)| PutBack { installed, left }))
    }

    /// Returns the versions that lie in folders of their own, the highest first; none for other kinds of installs.
    /// # Errors
    /// [`Error::Install`] when they cannot be listed.
    pub fn kept_versions(&self) -> Result<Vec<ReleaseVersion>, Error> {
        let Some(layout) = self.layout() else { return Ok(Vec::new()) };
        Ok(install::kept_versions(layout)?)
    }
}
