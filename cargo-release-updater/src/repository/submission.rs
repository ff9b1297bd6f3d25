//! Submissions: roles that their own keys have signed and that wait for the online key.
//!
//! One object per role below `submissions/`, replaced by the next one of that role. The document in it keeps its number
//! free: it gets its place among the metadata when [`Commit::refresh`](super::Commit::refresh) folds it in. A submission
//! whose number is not above the published one is over; so nothing has to be removed.

use super::error::RepositoryError;
use super::state::RepositoryState;
use crate::storage::{Created, Precondition, Replaced, Storage};
use std::collections::BTreeMap;
use updater_format::Sha256;
use updater_format::json::Value;
use updater_format::length::MAX_MINISIG;
use updater_format::length::MAX_ROLE;
use updater_format::role::{Targets, TargetsExtension};
use updater_format::signed::{Signed, Untrusted, Verified};

/// A signed role that waits.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Submission {
    format: u32,
    /// The exact text of the signed document.
    pub document: String,
    /// The published role that it was made from; none for the first one. It is not signed: it tells accidents, not
    /// attacks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<Base>,
    /// The text of the channel's `VERSION`, signed by the same key; none for the targets role.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version_file: Option<String>,
    /// Detached signatures that belong to it and take the place of others when it is in force: path below the storage,
    /// text.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub minisigs: BTreeMap<String, String>,
}

/// A published role on which another one was built.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Base {
    /// Its version.
    pub version: u64,
    /// The digest of its bytes.
    pub sha256: Sha256,
}

impl Base {
    /// Returns what identifies a published role.
    #[must_use]
    pub fn of(role: &Verified<Targets>) -> Self {
        Self { version: role.version, sha256: Sha256::of(role.bytes()) }
    }

    /// Writes it into the next role, whose keys sign it there.
    pub(crate) fn name_in(self, extension: &mut TargetsExtension) {
        let fields = [("sha256", Value::from(self.sha256.to_string())), ("version", Value::from(self.version))];
        let fields = fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        extension.extra.insert(PREVIOUS.to_owned(), Value::Object(fields));
    }

    /// Returns the role from which a role says that it was made; `None` for the first one.
    pub(crate) fn named_in(role: &Targets) -> Option<Self> {
        let fields = role.extension.as_ref()?.extra.get(PREVIOUS)?;
        let sha256 = Sha256::parse(fields["sha256"].as_str()?).ok()?;
        Some(Self { version: fields["version"].as_u64()?, sha256 })
    }
}

/// What lay in the place of a submission when it was looked at.
#[derive(Debug, Clone)]
pub(super) struct Place {
    expected: Precondition,
    bytes: Option<Vec<u8>>,
}

impl Place {
    /// Looks at the place of a role's submission.
    /// # Errors
    /// [`RepositoryError::Storage`] when the storage fails.
    pub(super) fn look(storage: &Storage, role: &str) -> Result<Self, RepositoryError> {
        let path = path(role);
        // The condition first: what is written after it and before the read is noticed by the one or the other.
        let expected = storage.of_submissions().precondition(&path)?;
        Ok(Self { expected, bytes: storage.of_submissions().read(&path, MAX_SUBMISSION)? })
    }

    /// Returns the submission that was there; `None` when there was none or it was withdrawn.
    /// # Errors
    /// [`RepositoryError::Submission`] when it is no submission.
    pub(super) fn submission(&self, storage: &Storage, role: &str) -> Result<Option<Submission>, RepositoryError> {
        match self.bytes.as_deref() {
            None | Some([]) => Ok(None),
            Some(bytes) => Submission::from_bytes(bytes, storage, role).map(Some),
        }
    }
}

impl Submission {
    /// Makes the submission of a signed document. Metadata is ASCII, so nothing is lost.
    #[must_use]
    pub fn new(document: &[u8], base: Option<Base>, version_file: Option<String>) -> Self {
        let document = String::from_utf8_lossy(document).into_owned();
        Self { format: FORMAT, document, base, version_file, minisigs: BTreeMap::new() }
    }

    /// Replaces the signed document.
    #[must_use]
    pub fn with_document(self, document: &[u8]) -> Self {
        Self { document: String::from_utf8_lossy(document).into_owned(), ..self }
    }

    /// Takes the detached signatures of files that are published with it.
    #[must_use]
    pub fn with_minisigs(self, minisigs: BTreeMap<String, String>) -> Self {
        Self { minisigs, ..self }
    }

    /// Publishes the detached signatures, unless they are there already. Only for a submission that is in force: before that
    /// people check the files with the keys that are.
    /// # Errors
    /// [`RepositoryError::Storage`] when the storage fails; the others are published by the next try.
    pub fn publish_minisigs(&self, storage: &Storage) -> Result<(), RepositoryError> {
        for (path, text) in &self.minisigs {
            // Whoever writes the storage may write the path, too: no other files are replaced.
            let is_one = path.starts_with("targets/") && path.ends_with(".minisig") && !path.contains("..");
            if is_one && storage.read(path, MAX_MINISIG)?.as_deref() != Some(text.as_bytes()) {
                storage.put_mutable(path, text.clone().into_bytes())?;
            }
        }
        Ok(storage.flush()?)
    }

    /// Adds detached signatures to what was just submitted: they are published with it.
    /// # Errors
    /// [`RepositoryError::NumberGone`] when another one lies there by now; what the storage returns.
    pub fn attach(
        storage: &Storage,
        role: &str,
        version: u64,
        minisigs: BTreeMap<String, String>,
    ) -> Result<(), RepositoryError> {
        let gone = || RepositoryError::NumberGone { role: role.to_owned(), version };
        let there = Self::read(storage, role)?.ok_or_else(gone)?;
        let is_ours = there.parse(storage, role)?.unverified().version == version;
        let all = there.minisigs.clone().into_iter().chain(minisigs).collect();
        match is_ours && there.clone().with_minisigs(all).replace(storage, role, &there)? == Replaced::Done {
            true => Ok(()),
            false => Err(gone()),
        }
    }

    /// Tells whether a channel's submission is what is published, so that it is over.
    #[must_use]
    pub fn is(&self, state: &RepositoryState, channel: &str) -> bool {
        let mut published = state.channels().iter().filter(|(name, _)| name.as_str() == channel);
        published.any(|(_, role)| role.role().bytes() == self.document.as_bytes())
    }

    /// Leaves it in a storage in place of the one that was read there. [`Replaced::Changed`] when another one lies there by
    /// now.
    /// # Errors
    /// [`RepositoryError::Storage`] when the storage fails.
    pub fn replace(&self, storage: &Storage, role: &str, read: &Self) -> Result<Replaced, RepositoryError> {
        let place = Place::look(storage, role)?;
        match place.submission(storage, role)? {
            Some(there) if there == *read => self.leave(storage, role, &place),
            _ => Ok(Replaced::Changed),
        }
    }

    /// Reads the submission of a role; `None` when there is none or it was withdrawn.
    /// # Errors
    /// [`RepositoryError::Submission`] when it is no submission.
    pub fn read(storage: &Storage, role: &str) -> Result<Option<Self>, RepositoryError> {
        Place::look(storage, role)?.submission(storage, role)
    }

    fn from_bytes(bytes: &[u8], storage: &Storage, role: &str) -> Result<Self, RepositoryError> {
        let refuse = |rule: String| RepositoryError::Submission {
            role: role.to_owned(),
            storage: storage.name().to_owned(),
            rule,
        };
        let read: Self = serde_json::from_slice(bytes).map_err(|error| refuse(error.to_string()))?;
        if read.format > FORMAT {
            return Err(refuse(format!("format {} is newer than this program", read.format)));
        }
        Ok(read)
    }

    /// Leaves it in a storage, unless its place has changed since it was looked at.
    ///
    /// Where the service has no conditional replacement and an earlier submission lies there, two that come at the very
    /// same moment are not told apart: the place is only read once more.
    /// # Errors
    /// [`RepositoryError::Storage`] when the storage fails.
    pub(super) fn leave(&self, storage: &Storage, role: &str, place: &Place) -> Result<Replaced, RepositoryError> {
        let refuse = |rule: String| RepositoryError::Submission {
            role: role.to_owned(),
            storage: storage.name().to_owned(),
            rule,
        };
        let bytes = serde_json::to_vec(self).map_err(|error| refuse(error.to_string()))?;
        write(storage, role, place, bytes)
    }

    /// Leaves it in a storage in place of whatever lies there. [`Replaced::Changed`] when somebody else has just left one.
    /// # Errors
    /// [`RepositoryError::Storage`] when the storage fails.
    pub fn put(&self, storage: &Storage, role: &str) -> Result<Replaced, RepositoryError> {
        self.leave(storage, role, &Place::look(storage, role)?)
    }

    /// Takes the submission of a role back.
    /// # Errors
    /// [`RepositoryError::Overtaken`] when another one was left meanwhile; [`RepositoryError::Storage`] when the storage fails.
    pub fn withdraw(storage: &Storage, role: &str) -> Result<(), RepositoryError> {
        let place = Place::look(storage, role)?;
        match write(storage, role, &place, Vec::new())? {
            Replaced::Done => Ok(()),
            Replaced::Changed => Err(RepositoryError::Overtaken { attempts: 1 }),
        }
    }

    /// Parses the document. Nobody has checked its signatures.
    /// # Errors
    /// [`RepositoryError::Submission`] when it is no targets role.
    pub fn parse(&self, storage: &Storage, role: &str) -> Result<Signed<Targets>, RepositoryError> {
        Signed::parse(&Untrusted::new(self.document.as_bytes())).map_err(|error| RepositoryError::Submission {
            role: role.to_owned(),
            storage: storage.name().to_owned(),
            rule: error.to_string(),
        })
    }
}

/// Writes into the place of a role's submission, unless it has changed since it was looked at.
fn write(storage: &Storage, role: &str, place: &Place, bytes: Vec<u8>) -> Result<Replaced, RepositoryError> {
    let path = path(role);
    Ok(match (&place.expected, &place.bytes) {
        (Precondition::Anything, None) => match storage.of_submissions().put_new(&path, bytes)? {
            Created::New => Replaced::Done,
            Created::Exists => Replaced::Changed,
        },
        (Precondition::Anything, before) if storage.of_submissions().read(&path, MAX_SUBMISSION)? != *before => {
            Replaced::Changed
        }
        (expected, _) => storage.of_submissions().replace(&path, bytes, expected)?,
    })
}

/// Returns where the submission of a role lies.
fn path(role: &str) -> String {
    format!("{SUBMISSIONS}/{role}.json")
}

/// The folder of the submissions.
pub(super) const SUBMISSIONS: &str = "submissions";
/// The field of a channel's `x-updater` that names the role from which it was made.
const PREVIOUS: &str = "previous";
/// The format of a submission.
const FORMAT: u32 = 1;
/// A role, its quotes escaped as JSON wants it, and the short text of `VERSION`.
const MAX_SUBMISSION: u64 = 3 * MAX_ROLE;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::StorageUri;

    #[test]
    fn a_submission_comes_back_and_can_be_withdrawn() {
        let storage = Storage::open(&StorageUri::Memory, "/".as_ref()).unwrap();
        assert_eq!(Submission::read(&storage, "stable").unwrap(), None);
        let made = Submission::new(b"{\"signed\":{}}", None, Some("APP hello\n".to_owned()));
        let place = Place::look(&storage, "stable").unwrap();
        assert_eq!(made.leave(&storage, "stable", &place).unwrap(), Replaced::Done);
        assert_eq!(Submission::read(&storage, "stable").unwrap(), Some(made.clone()));
        assert!(matches!(made.parse(&storage, "stable"), Err(RepositoryError::Submission { .. })));
        Submission::withdraw(&storage, "stable").unwrap();
        assert_eq!(Submission::read(&storage, "stable").unwrap(), None);
        storage.put_mutable("submissions/stable.json", b"{}".to_vec()).unwrap();
        assert!(matches!(Submission::read(&storage, "stable"), Err(RepositoryError::Submission { .. })));
        let newer = br#"{"format":2,"document":""}"#.to_vec();
        storage.put_mutable("submissions/stable.json", newer).unwrap();
        let error = Submission::read(&storage, "stable").unwrap_err();
        assert!(matches!(&error, RepositoryError::Submission { rule, .. } if rule.contains("newer")), "{error}");
    }
}
