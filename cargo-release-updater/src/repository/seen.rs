//! What was last seen committed, kept outside the storage: beside the keys, or in a file that the command names.
//!
//! Whoever can write a storage without any key can put old, validly signed metadata back. A publisher that signed a
//! fresh timestamp over it would do the attacker's work, so it compares first. The record also tells a timestamp that a
//! late publisher put back from one that was never there, so that it can be repaired.

use super::error::RepositoryError;
use super::state::RepositoryState;
use crate::keys::KeyFolder;
use crate::storage::{Replaced, Storage};
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
        crate::files::write_durably(path, &text).map_err(failed)
    }

    fn parse(bytes: &[u8], path: &Path) -> Result<Self, RepositoryError> {
        let failed = |source| RepositoryError::Record { path: path.to_owned(), source };
        let seen: Self = serde_json::from_slice(bytes).map_err(|error| failed(error.into()))?;
        match seen.format > FORMAT {
            true => Err(failed(std::io::Error::other("it was written by a newer version"))),
            false => Ok(seen),
        }
    }

    fn read(path: &Path) -> Result<Self, RepositoryError> {
        let failed = |source| RepositoryError::Record { path: path.to_owned(), source };
        match std::fs::read(path) {
            Ok(bytes) => Self::parse(&bytes, path),
            Err(error) if matches!(error.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory) => {
                Ok(Self::default())
            }
            Err(source) => Err(failed(source)),
        }
    }
}

/// The newest state that is known of a storage, and what says so, for messages.
pub(super) struct Newest {
    pub(super) entry: Entry,
    pub(super) record: PathBuf,
}

/// Returns the newest state that is known of a storage: by this machine, or by any that writes the private storage.
/// # Errors
/// [`RepositoryError::Record`] when a record cannot be read; what the private storage refuses.
pub(super) fn newest(storage: &Storage, record: &Path) -> Result<Option<Newest>, RepositoryError> {
    let Some(identity) = storage.identity() else { return Ok(None) };
    let here = Seen::load(record, &identity)?.map(|entry| Newest { entry, record: record.to_owned() });
    let Some(private) = storage.private() else { return Ok(here) };
    let record = shared_name(private);
    let shared = Seen::shared(private)?.storages.remove(&identity).map(|entry| Newest { entry, record });
    let rank = |newest: &Newest| (newest.entry.timestamp, newest.entry.snapshot);
    Ok(here.into_iter().chain(shared).max_by_key(rank))
}

impl Seen {
    fn shared(private: &Storage) -> Result<Self, RepositoryError> {
        match private.read(SHARED, MAX_RECORD)? {
            Some(bytes) => Self::parse(&bytes, &shared_name(private)),
            None => Ok(Self::default()),
        }
    }

    /// Records a state in the private storage, for every machine that has it. An older one than is recorded changes
    /// nothing.
    pub(super) fn share(private: &Storage, storage: &str, entry: &Entry) -> Result<(), RepositoryError> {
        let _lock = private.lock(|| ())?;
        for _ in 0..SHARE_ATTEMPTS {
            let expected = private.precondition(SHARED)?;
            let mut seen = Self::shared(private)?;
            let known = seen.storages.get(storage);
            if known.is_some_and(|known| (known.timestamp, known.snapshot) > (entry.timestamp, entry.snapshot))
                || known == Some(entry)
            {
                return Ok(());
            }
            seen.format = FORMAT;
            seen.storages.insert(storage.to_owned(), entry.clone());
            let failed =
                |error: serde_json::Error| RepositoryError::Record { path: shared_name(private), source: error.into() };
            let text = serde_json::to_vec_pretty(&seen).map_err(failed)?;
            if private.replace(SHARED, text, &expected)? == Replaced::Done {
                return Ok(());
            }
        }
        Err(RepositoryError::Overtaken { attempts: SHARE_ATTEMPTS })
    }
}

fn shared_name(private: &Storage) -> PathBuf {
    PathBuf::from(format!("{SHARED} in {}", private.name()))
}

/// Returns the version of the newest snapshot that is known of a storage.
/// # Errors
/// [`RepositoryError::Record`] when the record cannot be read.
pub fn last_seen_snapshot(storage: &Storage, record: &Path) -> Result<Option<u64>, RepositoryError> {
    Ok(newest(storage, record)?.map(|newest| newest.entry.snapshot))
}

/// Refuses a state that is older than what is known of the storage: what is drafted on top of it would undo what was
/// published since, a revocation perhaps.
/// # Errors
/// [`RepositoryError::WentBack`], [`RepositoryError::RoleWentBack`]; [`RepositoryError::Record`] when the record cannot be read.
pub fn refuse_older(
    storage: &Storage,
    keys: &KeyFolder,
    state: Option<&RepositoryState>,
) -> Result<(), RepositoryError> {
    match newest(storage, &record_of(storage, keys))?.filter(|newest| newest.entry.is_newer_than(state)) {
        None => Ok(()),
        Some(newest) => Err(newest.entry.refuse(storage, state, &newest.record)),
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

/// The record in the private storage.
const SHARED: &str = "last-published.json";
/// Bytes of a record: room for hundreds of storages.
const MAX_RECORD: u64 = 1 << 20;
/// How often two machines may record at the same moment before one gives up.
const SHARE_ATTEMPTS: u32 = 10;
/// The format of the record.
const FORMAT: u32 = 1;
