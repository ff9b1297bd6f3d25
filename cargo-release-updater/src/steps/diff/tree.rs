//! A release, unpacked and checked file by file, in a folder that disappears with it.

use super::DiffStepError;
use std::fs::File;
use std::io::{BufReader, BufWriter, Write as _};
use std::path::{Path, PathBuf};
use updater_format::bundle::{BundleExpectation, BundleReader, Member};
use updater_format::release::BundleEntry;
use updater_format::{FilePath, Manifest};

/// The files of one release. Links are known from the manifest and not made: nothing reads through them here.
#[derive(Debug)]
pub struct Tree {
    folder: tempfile::TempDir,
    manifest: Manifest,
}

impl Tree {
    /// Unpacks a bundle below `folder` and checks every file against what is signed about the bundle.
    /// # Errors
    /// [`DiffStepError::Bundle`] when it is not what its entry says; [`DiffStepError::Write`].
    pub fn unpack(bundle: &Path, entry: &BundleEntry, folder: &Path) -> Result<Self, DiffStepError> {
        let refuse = |source| DiffStepError::Bundle { path: bundle.to_owned(), source };
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| DiffStepError::Write { path, source }
        };
        let temp = tempfile::tempdir_in(folder).map_err(failed(folder))?;
        let file = File::open(bundle).map_err(|source| DiffStepError::Read { path: bundle.to_owned(), source })?;
        let expected = BundleExpectation { manifest: entry.manifest, unpacked: entry.unpacked, entries: entry.files };
        let mut reader = BundleReader::open(BufReader::new(file), &expected).map_err(refuse)?;
        while let Some(member) = reader.next_member().map_err(refuse)? {
            let Member::File(file) = member else { continue };
            let path = temp.path().join(file.entry().path.as_str());
            std::fs::create_dir_all(path.parent().unwrap_or(temp.path())).map_err(failed(&path))?;
            let mut output = BufWriter::new(File::create_new(&path).map_err(failed(&path))?);
            file.copy_to(&mut output).map_err(refuse)?;
            output.flush().map_err(failed(&path))?;
        }
        let manifest = reader.manifest().clone();
        Ok(Self { folder: temp, manifest })
    }

    /// Returns the manifest.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Returns where a file of the release lies now.
    #[must_use]
    pub fn path(&self, file: &FilePath) -> PathBuf {
        self.folder.path().join(file.as_str())
    }

    /// Reads a whole file.
    /// # Errors
    /// [`DiffStepError::Read`].
    pub fn read(&self, file: &FilePath) -> Result<Vec<u8>, DiffStepError> {
        let path = self.path(file);
        std::fs::read(&path).map_err(|source| DiffStepError::Read { path, source })
    }
}
