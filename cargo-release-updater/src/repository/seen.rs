//! What was last seen committed, kept outside the storage: beside the keys, or in a file that the command names.
//!
//! Whoever can write a storage without any key can put old, validly signed metadata back. A publisher that signed a
//! fresh timestamp over it would do the attacker's work, so it compares first. The record also tells a timestamp that a
//! late publisher put back from one that was never there, so that it can be repaired.

use super::error::RepositoryError;
use super::state::RepositoryState;
use crate::keys::KeyFolder;
use crate::storage::Storage;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use updater_format::role::{Payload as _, Timestamp};
use updater_format::{Sha256, json};

/// The record of one machine: one entry per storage.
#[derive(Debug, Default, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Seen {
    format: u32,
    storages: BTreeMap<String, Entry>,
}

/// The newest state seen in one storage.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Entry {
    /// The version of the timestamp.
    pub(super) timestamp: u64,
    /// The version of the snapshot.
    pub(super) snapshot: u64,
    /// The digest of the snapshot's bytes.
    pub(super) sha256: Sha256,
    /// The digest of the timestamp's holds and yanks; none in a record of an earlier version, which repairs nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) withheld: Option<Sha256>,
    /// The version of each role that the snapshot lists; none in a record of an earlier version.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) roles: BTreeMap<String, u64>,
}

impl Entry {
    pub(super) fn of(state: &RepositoryState) -> Self {
        Self {
            timestamp: state.timestamp().version,
            snapshot: state.snapshot().version,
            sha256: Sha256::of(state.snapshot().bytes()),
            withheld: Some(withheld(state.timestamp())),
            roles: state.snapshot().roles.iter().map(|(role, file)| (role.clone(), file.version)).collect(),
        }
    }

    /// Tells whether an older timestamp still holds back and yanks what the newest one did. Signed anew otherwise, it
    /// would lift a hold or a yank for whoever put it back.
    pub(super) fn withholds_the_same(&self, timestamp: &Timestamp) -> bool {
        self.withheld == Some(withheld(timestamp))
    }

    /// Tells whether a state is older than this one.
    pub(super) fn is_newer_than(&self, state: Option<&RepositoryState>) -> bool {
        let (timestamp, snapshot) = state.map_or((0, 0), |s| (s.timestamp().version, s.snapshot().version));
        timestamp < self.timestamp || snapshot < self.snapshot || self.lost_role(state).is_some()
    }

    /// Returns a role that a snapshot as new as this one lists in an older version, or no more. Whoever has stolen the
    /// online key can make one; no publisher does.
    pub(super) fn lost_role(&self, state: Option<&RepositoryState>) -> Option<(&str, u64, u64)> {
        let snapshot = state.map(RepositoryState::snapshot).filter(|snapshot| snapshot.version >= self.snapshot)?;
        let listed = |role: &str| snapshot.roles.get(role).map_or(0, |file| file.version);
        let mut roles = self.roles.iter().map(|(role, seen)| (role.as_str(), listed(role), *seen));
        roles.find(|(_, found, seen)| found < seen)
    }

    /// Says how a state is older than this one.
    pub(super) fn refuse(&self, storage: &Storage, state: Option<&RepositoryState>, record: &Path) -> RepositoryError {
        let (storage, record) = (storage.name().to_owned(), record.to_owned());
        match self.lost_role(state) {
            Some((role, found, seen)) => {
                RepositoryError::RoleWentBack { storage, role: role.to_owned(), found, seen, record }
            }
            None => RepositoryError::WentBack {
                storage,
                found: state.map_or(0, |state| state.timestamp().version),
                seen: self.timestamp,
                record,
            },
        }
    }
}

impl Seen {
    /// Returns the entry of a storage; `None` when nothing is remembered about it.
    pub(super) fn load(record: &Path, storage: &str) -> Result<Option<Entry>, RepositoryError> {
        Ok(Self::read(record)?.storages.remove(storage))
    }

    /// Records a state.
    pub(super) fn save(path: &Path, storage: &str, entry: Entry) -> Result<(), RepositoryError> {
        let mut seen = Self::read(path)?;
        seen.format = FORMAT;
        seen.storages.insert(storage.to_owned(), entry);
        let failed = |source| RepositoryError::Record { path: path.to_owned(), source };
        let text = serde_json::to_vec_pretty(&seen).map_err(|error| failed(error.into()))?;
        crate::steps::write_file(path, &text).map_err(failed)
    }

    fn read(path: &Path) -> Result<Self, RepositoryError> {
        let failed = |source| RepositoryError::Record { path: path.to_owned(), source };
        match std::fs::read(path) {
            Ok(bytes) => {
                let seen: Self = serde_json::from_slice(&bytes).map_err(|error| failed(error.into()))?;
                if seen.format > FORMAT {
                    return Err(failed(std::io::Error::other("it was written by a newer version")));
                }
                Ok(seen)
            }
            Err(error) if matches!(error.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory) => {
                Ok(Self::default())
            }
            Err(source) => Err(failed(source)),
        }
    }
}

/// Returns the version of the newest snapshot that a record knows of a storage.
/// # Errors
/// [`RepositoryError::Record`] when the record cannot be read.
pub fn last_seen_snapshot(storage: &Storage, record: &Path) -> Result<Option<u64>, RepositoryError> {
    let Some(identity) = storage.identity() else { return Ok(None) };
    Ok(Seen::load(record, &identity)?.map(|entry| entry.snapshot))
}

/// Refuses a state that is older than what this machine has seen in the storage: what is drafted on top of it would undo
/// what was published since, a revocation perhaps.
/// # Errors
/// [`RepositoryError::WentBack`], [`RepositoryError::RoleWentBack`]; [`RepositoryError::Record`] when the record cannot be read.
pub fn refuse_older(
    storage: &Storage,
    keys: &KeyFolder,
    state: Option<&RepositoryState>,
) -> Result<(), RepositoryError> {
    let Some(identity) = storage.identity() else { return Ok(()) };
    let record = record_of(storage, keys);
    match Seen::load(&record, &identity)?.filter(|seen| seen.is_newer_than(state)) {
        None => Ok(()),
        Some(seen) => Err(seen.refuse(storage, state, &record)),
    }
}

/// Returns the file that remembers what was published in a storage: the one that was named, else the one beside the keys.
#[must_use]
pub fn record_of(storage: &Storage, keys: &KeyFolder) -> PathBuf {
    storage.record().map_or_else(|| file(keys), Path::to_owned)
}

/// Returns the digest of what a timestamp says besides versions.
fn withheld(timestamp: &Timestamp) -> Sha256 {
    Sha256::of(&json::canonical(&timestamp.to_value()["x-updater"]))
}

/// Returns the file of the record.
pub(super) fn file(keys: &KeyFolder) -> PathBuf {
    keys.path().join("last-published.json")
}

/// The format of the record.
const FORMAT: u32 = 1;
