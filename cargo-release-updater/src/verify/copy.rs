//! A copy of everything that is published, for the day on which the storage is lost: `verify --save DIR`.
//!
//! The copy has the names of the repository, so it can be served, verified and put back as it is. Only what was verified
//! gets into it; the timestamp last, so that a copy with one is whole. What an earlier run has left stays: a file that is
//! there with the right bytes is not fetched again, and older versions of documents are kept.

use super::error::VerifyError;
use std::io::{Read, Write as _};
use std::path::{Path, PathBuf};
use updater_format::Sha256;
use updater_format::digest::HashingReader;
use updater_format::release::Artifact;
use updater_format::role::Timestamp;
use updater_format::signed::{Signed, Untrusted};

/// A folder that a repository is copied to.
#[derive(Debug)]
pub struct SavedCopy {
    folder: PathBuf,
}

impl SavedCopy {
    /// Uses a folder, which is made when it is not there.
    /// # Errors
    /// [`VerifyError::Save`] when it cannot be made.
    pub fn into_folder(folder: &Path) -> Result<Self, VerifyError> {
        for part in [METADATA, TARGETS] {
            let path = folder.join(part);
            std::fs::create_dir_all(&path).map_err(|source| VerifyError::Save { path, source })?;
        }
        Ok(Self { folder: folder.to_owned() })
    }

    /// Refuses a folder with the copy of another repository, told by its first root: two would overwrite each other.
    /// # Errors
    /// [`VerifyError::OtherCopy`].
    pub(super) fn must_belong_to(&self, first_root: &[u8]) -> Result<(), VerifyError> {
        match std::fs::read(self.folder.join(METADATA).join(FIRST_ROOT)) {
            Ok(found) if found != first_root => Err(VerifyError::OtherCopy { path: self.folder.clone() }),
            _ => Ok(()),
        }
    }

    /// Refuses to go back: what is served may be older than the copy, out of a cache or because somebody put old files back.
    /// # Errors
    /// [`VerifyError::OlderThanCopy`].
    pub(super) fn must_not_be_newer(&self, served: &Timestamp) -> Result<(), VerifyError> {
        let there = std::fs::read(self.folder.join(METADATA).join(super::TIMESTAMP)).unwrap_or_default();
        // Nobody has checked its signatures: it only decides whether to overwrite it.
        let Ok(there) = Signed::<Timestamp>::parse(&Untrusted::new(there)) else { return Ok(()) };
        let (copy, served) = (there.unverified().version, served.version);
        match copy > served {
            true => Err(VerifyError::OlderThanCopy { path: self.folder.clone(), copy, served }),
            false => Ok(()),
        }
    }

    /// Keeps a document.
    pub(super) fn document(&self, file: &str, bytes: &[u8]) -> Result<(), VerifyError> {
        self.write(&self.folder.join(METADATA).join(file), bytes)
    }

    /// Keeps a small file beside the metadata: a `.minisig`, a `VERSION`.
    pub(super) fn text(&self, path: &str, bytes: &[u8]) -> Result<(), VerifyError> {
        self.write(&self.folder.join(path), bytes)
    }

    /// Returns the file of an artifact when it is there already, whole.
    pub(super) fn kept(&self, artifact: &Artifact) -> Option<PathBuf> {
        let path = self.target(artifact);
        let mut reader = HashingReader::new(std::fs::File::open(&path).ok()?.take(artifact.length.saturating_add(1)));
        std::io::copy(&mut reader, &mut std::io::sink()).ok()?;
        let (length, digest): (u64, Sha256) = reader.finish();
        ((length, digest) == (artifact.length, artifact.sha256)).then_some(path)
    }

    /// Keeps an artifact that was verified.
    pub(super) fn keep(&self, artifact: &Artifact, content: impl Read) -> Result<(), VerifyError> {
        self.write_from(&self.target(artifact), content)
    }

    fn target(&self, artifact: &Artifact) -> PathBuf {
        self.folder.join(TARGETS).join(artifact.file())
    }

    fn write(&self, path: &Path, bytes: &[u8]) -> Result<(), VerifyError> {
        if std::fs::read(path).is_ok_and(|found| found == bytes) {
            return Ok(());
        }
        self.write_from(path, bytes)
    }

    /// Writes a file that is whole or not there, also after a power cut.
    fn write_from(&self, path: &Path, mut content: impl Read) -> Result<(), VerifyError> {
        let folder = path.parent().unwrap_or(&self.folder);
        let mut write = || {
            let mut file = tempfile::NamedTempFile::new_in(folder)?;
            std::io::copy(&mut content, &mut file)?;
            file.flush()?;
            crate::files::publish_mode(file.as_file())?;
            crate::files::persist(file, path)
        };
        write().map_err(|source| VerifyError::Save { path: path.to_owned(), source })
    }
}

const METADATA: &str = crate::repository::METADATA;
const TARGETS: &str = crate::repository::TARGETS;
/// Every copy of a repository has its first root: it never changes.
const FIRST_ROOT: &str = "1.root.json";
