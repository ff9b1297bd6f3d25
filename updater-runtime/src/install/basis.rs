//! What an update was chosen for. Between the choice and the lock another process may have installed a newer release; what
//! was chosen for the older one would then be a step back.

use super::{InstallError, Layout, manifests, trial};
use crate::fs;
use updater_format::{InstallKind, Sha256};

/// What is installed, as it was found when nobody held the lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Basis {
    program: Option<Sha256>,
    manifest: Option<Sha256>,
}

impl Basis {
    /// Describes what is installed; for an app's own install the program is the one that runs.
    /// # Errors
    /// [`InstallError::File`] when it cannot be read.
    pub(crate) fn of(layout: &Layout) -> Result<Self, InstallError> {
        Ok(Self { program: trial::subject_digest(layout)?, manifest: installed_manifest(layout)? })
    }

    /// Refuses when something else is installed by now. To be called under the lock.
    pub(super) fn check(&self, layout: &Layout) -> Result<(), InstallError> {
        let program = fs::digest(&layout.program())?.map(|(_, digest)| digest);
        if program == self.program && installed_manifest(layout)? == self.manifest {
            return Ok(());
        }
        Err(InstallError::Changed { path: layout.program() })
    }
}

fn installed_manifest(layout: &Layout) -> Result<Option<Sha256>, InstallError> {
    Ok(match layout.kind() {
        // The program of an app bundle is signed over everything else in it.
        InstallKind::Executable | InstallKind::AppBundle => None,
        _ => manifests::inside(&layout.files())?.map(|(_, digest)| digest),
    })
}
