//! An app bundle of macOS: a `.app` folder that other tools have made and signed. It is bundled as it is, byte for byte.
//!
//! What is looked at is what would fail on a user's computer: whether the program is where the installed app expects its
//! successor, whether the system is told the same version, and whether there is a signature at all.

use super::BundleStepError;
use std::path::{Path, PathBuf};
use updater_format::manifest::{INFO_OF_APP_BUNDLE, PROGRAMS_OF_APP_BUNDLE, SEAL_OF_APP_BUNDLE};
use updater_format::{FilePath, Platform, ReleaseVersion};

/// A `.app` folder, as it describes itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppBundle {
    /// The folder.
    pub folder: PathBuf,
    /// Its main program.
    pub entry: FilePath,
    version: Option<String>,
    is_signed: bool,
}

impl AppBundle {
    /// Reads the `.app` folder that is named, or the only one in a folder.
    /// # Errors
    /// [`BundleStepError::NotMacOs`] for a triple of another system; [`BundleStepError::NoAppBundle`] without such a folder, or
    /// with several; [`BundleStepError::InfoPlist`] when it does not say what its program is.
    pub fn read(folder: &Path, platform: &Platform) -> Result<Self, BundleStepError> {
        if !platform.is_macos() {
            return Err(BundleStepError::NotMacOs { platform: platform.clone() });
        }
        let folder = find(folder)?;
        let path = folder.join(INFO_OF_APP_BUNDLE);
        let refuse = |problem: String| BundleStepError::InfoPlist { path: path.clone(), problem };
        let info = plist::Value::from_file(&path).map_err(|error| refuse(error.to_string()))?;
        let text = |key: &str| info.as_dictionary().and_then(|info| info.get(key)).and_then(plist::Value::as_string);
        let program = text("CFBundleExecutable").ok_or_else(|| refuse("it has no CFBundleExecutable".to_owned()))?;
        let entry = FilePath::parse(&format!("{PROGRAMS_OF_APP_BUNDLE}{program}"))
            .map_err(|error| refuse(format!("CFBundleExecutable: {error}")))?;
        Ok(Self {
            entry,
            version: text("CFBundleShortVersionString").map(str::to_owned),
            is_signed: folder.join(SEAL_OF_APP_BUNDLE).is_file(),
            folder,
        })
    }

    /// Checks that the program is the one that the app expects in its successor.
    /// # Errors
    /// [`BundleStepError::OtherProgram`].
    pub fn check_entry(&self, expected: &FilePath) -> Result<(), BundleStepError> {
        if self.entry == *expected {
            return Ok(());
        }
        Err(BundleStepError::OtherProgram {
            path: self.folder.clone(),
            found: self.entry.clone(),
            expected: expected.clone(),
        })
    }

    /// Returns what users may stumble over, although the app can be published so.
    #[must_use]
    pub fn warnings(&self, version: &ReleaseVersion) -> Vec<String> {
        let mut warnings = Vec::new();
        let shown = self.folder.file_name().unwrap_or_default().to_string_lossy();
        let says = self.version.as_deref().unwrap_or("nothing");
        if says != version.to_string() {
            warnings.push(format!(
                "{shown} is released as {version}, but its CFBundleShortVersionString says {says}: macOS shows that to people"
            ));
        }
        if !self.is_signed {
            warnings.push(format!(
                "{shown} has no signature over its resources ({SEAL_OF_APP_BUNDLE}): Gatekeeper does not open a copy that a \
                 browser has downloaded; sign and notarise it before it is bundled"
            ));
        }
        warnings
    }
}

fn find(folder: &Path) -> Result<PathBuf, BundleStepError> {
    let is_app = |path: &Path| path.extension().is_some_and(|extension| extension == "app") && path.is_dir();
    if is_app(folder) {
        return Ok(folder.to_owned());
    }
    let no_folder = |source| BundleStepError::NoFolder { path: folder.to_owned(), source };
    let entries = std::fs::read_dir(folder).map_err(no_folder)?;
    let entries = entries.collect::<Result<Vec<_>, _>>().map_err(no_folder)?;
    let apps: Vec<PathBuf> = entries.into_iter().map(|entry| entry.path()).filter(|path| is_app(path)).collect();
    match <[PathBuf; 1]>::try_from(apps) {
        Ok([only]) => Ok(only),
        Err(apps) => Err(BundleStepError::NoAppBundle { path: folder.to_owned(), found: apps.len() }),
    }
}
