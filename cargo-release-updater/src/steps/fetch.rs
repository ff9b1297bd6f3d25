//! Bundles of earlier releases, fetched once and kept by their digest.

use super::diff::OldBundle;
use crate::progress::Progress;
use crate::shell::Shell;
use crate::storage::{Storage, StorageError};
use std::io::Read as _;
use std::path::Path;
use updater_format::ReleaseOf;
use updater_format::digest::HashingReader;
use updater_format::release::BundleEntry;

/// Returns a published bundle: from the cache, else from the storage. Either way its length and digest are those that
/// were signed.
/// # Errors
/// [`StorageError::Missing`] when the storage does not have it, [`StorageError::Differs`] when it has other bytes, and
/// what the storage or the cache refuses.
pub fn fetch_bundle(
    entry: &BundleEntry,
    storage: &Storage,
    cache: &Path,
    shell: &Shell,
) -> Result<OldBundle, StorageError> {
    let path = cache.join(entry.artifact.file());
    let known = super::bundle::digest_of(&path).ok();
    if known != Some((entry.artifact.length, entry.artifact.sha256)) {
        let release = ReleaseOf { component: entry.component.as_ref(), version: &entry.version };
        let object = storage.artifact_path(&entry.artifact, release);
        shell.detail(format_args!("fetching {object} from {}", storage.name()));
        let missing = || StorageError::Missing { path: object.clone(), storage: storage.name().to_owned() };
        let reader = storage.reader(&object)?.ok_or_else(missing)?;
        // One byte more than it may have, so that a longer one is noticed.
        let progress = Progress::bytes(shell, "Fetching", entry.artifact.length);
        progress.name(entry.artifact.name.to_string());
        let reader = progress.over(reader.take(entry.artifact.length.saturating_add(1)));
        let mut reader = HashingReader::new(reader);
        let failed = |source| StorageError::Io { action: "write", path: path.clone(), source };
        std::fs::create_dir_all(cache).map_err(failed)?;
        let mut unfinished = tempfile::NamedTempFile::new_in(cache).map_err(failed)?;
        std::io::copy(&mut reader, &mut unfinished).map_err(failed)?;
        if reader.finish() != (entry.artifact.length, entry.artifact.sha256) {
            return Err(StorageError::Differs { path: object, storage: storage.name().to_owned() });
        }
        unfinished.persist(&path).map_err(|error| failed(error.error))?;
    }
    Ok(OldBundle { entry: entry.clone(), path })
}
