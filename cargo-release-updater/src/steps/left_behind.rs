//! Whether a release leaves installed copies behind: those that cannot take it, or those that it would lead to where nothing is.

use super::bundle::Bundled;
use super::bundle::embedded::contains;
use super::diff::OldBundle;
use crate::error::{ExitCode, Explain};
use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use updater_build::url::RepositoryUrl;
use updater_format::bundle::{BundleError, BundleExpectation, BundleReader, Member};
use updater_format::release::BundleEntry;
use updater_format::trust::Rules;
use updater_format::{InstallKind, ReleaseVersion, SignaturePolicy, UtcTime};
use updater_runtime::TrustStore;
use updater_runtime::refresh::Refresh;
use updater_runtime::transport::{Mirror, Retry};

/// A release that leaves copies behind.
#[derive(Debug, thiserror::Error)]
pub enum LeftBehindError {
    /// Nothing of the app is served where the release asks, and the one before it asks elsewhere.
    #[error("{version} asks for updates at {urls}, where {before} does not, and nothing of this app is found there")]
    NothingThere {
        /// The release.
        version: ReleaseVersion,
        /// The one before it.
        before: ReleaseVersion,
        /// Its addresses.
        urls: String,
    },
    /// Copies of an earlier release are installed in another way, so that none of them takes this one.
    #[error("{before} is installed as {was}, {version} as {is}: no copy of it takes the update")]
    OtherKind {
        /// The release.
        version: ReleaseVersion,
        /// How it is installed.
        is: InstallKind,
        /// The one before it.
        before: ReleaseVersion,
        /// How that is installed.
        was: InstallKind,
    },
    /// A bundle could not be read.
    #[error("cannot read {}", path.display())]
    Io {
        /// The archive.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A bundle is not what was signed.
    #[error("{} is not the bundle that was made", path.display())]
    Bundle {
        /// The archive.
        path: PathBuf,
        /// What is wrong.
        source: BundleError,
    },
}

impl Explain for LeftBehindError {
    fn code(&self) -> ExitCode {
        match self {
            Self::NothingThere { .. } | Self::OtherKind { .. } => ExitCode::Config,
            Self::Io { .. } | Self::Bundle { .. } => ExitCode::Bundle,
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::NothingThere { .. } => vec![
                "correct `url` in [package.metadata.updater]".to_owned(),
                "when you move: serve what is published under the new address first, and keep the old one until no copy asks there".to_owned(),
                "`--leave-behind` publishes it all the same".to_owned(),
            ],
            Self::OtherKind { was, .. } => vec![
                format!("keep the kind: `--kind {was}`, or what the table had when that was published"),
                "`--leave-behind` publishes it all the same; those copies are then installed by hand once more".to_owned(),
            ],
            Self::Io { .. } | Self::Bundle { .. } => vec!["make the bundles again with `cargo updater publish`".to_owned()],
        }
    }
}

/// Refuses a release that is installed in another way than one before it.
/// # Errors
/// [`LeftBehindError::OtherKind`].
pub fn check_kind(old: &BundleEntry, new: &Bundled) -> Result<(), LeftBehindError> {
    match old.install == new.part.install {
        true => Ok(()),
        false => Err(LeftBehindError::OtherKind {
            version: new.part.version.clone(),
            is: new.part.install,
            before: old.version.clone(),
            was: old.install,
        }),
    }
}

/// Refuses a release whose program has an address that the one before has not, when none of its addresses serves the app.
///
/// An address that is the beginning of an earlier one is not noticed: text constants have no borders in a program.
/// # Errors
/// [`LeftBehindError`].
pub fn check_addresses(
    old: &OldBundle,
    new: &Bundled,
    urls: &[RepositoryUrl],
    root: &[u8],
    missing_status: &[u16],
    now: UtcTime,
) -> Result<(), LeftBehindError> {
    let asks = |program: &[u8]| urls.iter().any(|url| contains(program, url.as_str().as_bytes()));
    let entry = new.part.entry(0, None);
    if asks(&program_in(&old.path, &old.entry)?) || !asks(&program_in(&new.path, &entry)?) {
        return Ok(());
    }
    let serves = |url: &RepositoryUrl| {
        let Ok(mirror) = Mirror::parse(url.as_str()) else { return false };
        let Ok(fetcher) = crate::verify::fetcher(missing_status) else { return false };
        let fetcher = fetcher.with_retry(Retry { rounds: 1, ..Retry::default() });
        let rules = Rules { now, policy: SignaturePolicy::default(), app: Some(new.part.app.clone()) };
        Refresh::new(fetcher, vec![mirror], TrustStore::nowhere()).run(rules, root).is_ok()
    };
    match urls.iter().any(serves) {
        true => Ok(()),
        false => Err(LeftBehindError::NothingThere {
            version: entry.version,
            before: old.entry.version.clone(),
            urls: urls.iter().map(RepositoryUrl::as_str).collect::<Vec<_>>().join(", "),
        }),
    }
}

/// Reads the program of a bundle.
fn program_in(path: &Path, entry: &BundleEntry) -> Result<Vec<u8>, LeftBehindError> {
    let refuse = |source| LeftBehindError::Bundle { path: path.to_owned(), source };
    let file = File::open(path).map_err(|source| LeftBehindError::Io { path: path.to_owned(), source })?;
    let expected = BundleExpectation { manifest: entry.manifest, unpacked: entry.unpacked, entries: entry.files };
    let mut reader = BundleReader::open(BufReader::new(file), &expected).map_err(refuse)?;
    let program = reader.manifest().entry().clone();
    let mut bytes = Vec::new();
    while let Some(member) = reader.next_member().map_err(refuse)? {
        if let Member::File(file) = member
            && file.entry().path == program
        {
            file.copy_to(&mut bytes).map_err(refuse)?;
            break;
        }
    }
    Ok(bytes)
}
