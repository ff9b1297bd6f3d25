//! Bundles of earlier releases, fetched once and kept by their digest.

use super::diff::OldBundle;
use crate::repository::state::artifact_path;
use crate::shell::Shell;
use crate::storage::{Storage, StorageError};
use std::path::Path;
use updater_format::Sha256;
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
        let object = artifact_path(&entry.artifact);
        shell.detail(format_args!("fetching {object} from {}", storage.name()));
        let bytes = storage.read(&object, entry.artifact.length)?;
        let bytes =
            bytes.ok_or_else(|| StorageError::Missing { path: object.clone(), storage: storage.name().to_owned() })?;
        if bytes.len() as u64 != entry.artifact.length || Sha256::of(&bytes) != entry.artifact.sha256 {
            return Err(StorageError::Differs { path: object, storage: storage.name().to_owned() });
        }
        super::write_file(&path, &bytes).map_err(|source| StorageError::Io {
            action: "write",
            path: path.clone(),
            source,
        })?;
    }
    Ok(OldBundle { entry: entry.clone(), path })
}
