//! The version that a person does not want, kept below the app's state folder. One is enough: a newer one is another
//! question.

use crate::fs::{self, PathError};
use crate::trust_store::make_parents;
use crate::updater::Updater;
use std::path::PathBuf;
use updater_format::ReleaseVersion;

/// Where the version is kept; nowhere for a disabled updater.
#[derive(Debug)]
pub(super) struct Skipped {
    file: Option<PathBuf>,
}

impl Skipped {
    pub(super) fn of(updater: &Updater) -> Self {
        Self { file: updater.state_folder().map(|folder| folder.join("skipped-version")) }
    }

    /// Tells whether a version is the one. A file that makes no sense skips nothing.
    pub(super) fn is(&self, version: &ReleaseVersion) -> bool {
        let bytes = self.file.as_ref().and_then(|file| fs::read_bounded(file, MAX_FILE).ok().flatten());
        let text = bytes.as_deref().and_then(|bytes| std::str::from_utf8(bytes).ok());
        text.and_then(|text| ReleaseVersion::parse(text.trim()).ok()).is_some_and(|skipped| skipped == *version)
    }

    pub(super) fn remember(&self, version: &ReleaseVersion) -> Result<(), PathError> {
        let Some(file) = &self.file else { return Ok(()) };
        make_parents(file)?;
        fs::atomic_write(file, format!("{version}\n").as_bytes())
    }

    /// Forgets it; what cannot be removed is asked about no less.
    pub(super) fn forget(&self) {
        if let Some(file) = self.file.as_ref().filter(|file| file.exists())
            && let Err(error) = fs::remove_file(file)
        {
            log::debug!("the skipped version is not forgotten: {error}");
        }
    }
}

/// Bytes of the file: a version has at most 128.
const MAX_FILE: u64 = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_version_is_skipped_until_it_is_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let skipped = Skipped { file: Some(folder.path().join("state/hello/skipped-version")) };
        let v = |text: &str| ReleaseVersion::parse(text).unwrap();
        assert!(!skipped.is(&v("1.1.0")));
        skipped.remember(&v("1.1.0")).unwrap();
        assert!(skipped.is(&v("1.1.0")) && !skipped.is(&v("1.2.0")));
        skipped.remember(&v("1.2.0")).unwrap();
        assert!(skipped.is(&v("1.2.0")) && !skipped.is(&v("1.1.0")));
        skipped.forget();
        assert!(!skipped.is(&v("1.2.0")));
        std::fs::write(skipped.file.as_ref().unwrap(), "damaged").unwrap();
        assert!(!skipped.is(&v("1.2.0")));
    }
}
