//! The folder of a ceremony: what was asked for, and the drafts with the signatures that are there so far.
//!
//! Every file is replaced whole and is on the disk before the next step begins, so that a stopped command finds either
//! the state before a step or the one after it. `docs/format/ceremony.md` describes the files.

use super::CeremonyError;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// What was asked for. Kept so that the same command, given again, goes on instead of beginning anew.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    format: u32,
    /// The change.
    pub task: Task,
    /// Whether the drafts are complete. Before that nobody has signed them, and they are written again.
    pub drafted: bool,
    /// Whether the project's own files are being replaced: the last step.
    pub settling: bool,
}

/// A change of the documents that people sign.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Task {
    /// The same keys for another term.
    Renew {
        /// `root`, `targets` or both.
        roles: Vec<String>,
    },
    /// Other keys for one role.
    Rotate(Rotation),
}

impl std::fmt::Display for Task {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Renew { roles } => write!(f, "a new term of {}", roles.join(" and ")),
            Self::Rotate(Rotation { role, key: Some(key), .. }) => write!(f, "a new key {key} for {role}"),
            Self::Rotate(rotation) => write!(f, "the keys given for {}", rotation.role),
        }
    }
}

/// Other keys for one role.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rotation {
    /// The role: `root`, `targets`, `online` or a channel.
    pub role: String,
    /// The keys that go, by minisign's ids, as they were named on the command line.
    pub replace: Vec<String>,
    /// Whether all keys stay.
    pub add: bool,
    /// The public keys that come, as lines of base64.
    pub with: Vec<String>,
    /// How many must sign; as before when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threshold: Option<u32>,
    /// Who holds the keys that come.
    pub owner: String,
    /// The keys that go, by minisign's ids.
    pub remove: Vec<String>,
    /// The key that is made here, by the name of its file; absent when none is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Whether that key gets no password.
    pub plain: bool,
    /// The public half of that key, as a line of base64, when it is made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub made: Option<String>,
}

impl Request {
    /// Makes a request whose drafts are not written yet.
    #[must_use]
    pub fn new(task: Task) -> Self {
        Self { format: FORMAT, task, drafted: false, settling: false }
    }

    /// Tells whether the other one asks for the same change. What was decided on the way does not count: which file the
    /// new key got, or which key was the only one of the role.
    #[must_use]
    pub fn asks_the_same(&self, other: &Task) -> bool {
        let asked = |task: &Task| match task {
            Task::Rotate(rotation) => {
                Task::Rotate(Rotation { remove: Vec::new(), key: None, plain: false, made: None, ..rotation.clone() })
            }
            task @ Task::Renew { .. } => task.clone(),
        };
        asked(&self.task) == asked(other)
    }
}

/// The folder, beside the project's root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Folder(PathBuf);

impl Folder {
    /// Names the folder that belongs to a project's root.
    #[must_use]
    pub fn beside(root_file: &Path) -> Self {
        Self(root_file.with_file_name("next"))
    }

    /// Returns its path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Reads what was asked for; `None` when nothing was.
    /// # Errors
    /// [`CeremonyError::Request`] when it cannot be understood.
    pub fn request(&self) -> Result<Option<Request>, CeremonyError> {
        let path = self.0.join(REQUEST);
        let Some(bytes) = self.read(REQUEST)? else { return Ok(None) };
        let refuse = |rule: String| CeremonyError::Request { path: path.clone(), rule };
        let request: Request = serde_json::from_slice(&bytes).map_err(|error| refuse(error.to_string()))?;
        match request.format {
            FORMAT => Ok(Some(request)),
            newer => Err(refuse(format!("format {newer} is newer than this program"))),
        }
    }

    /// Writes down what was asked for.
    /// # Errors
    /// [`CeremonyError::Io`].
    pub fn set_request(&self, request: &Request) -> Result<(), CeremonyError> {
        let bytes = serde_json::to_vec_pretty(request)
            .map_err(|error| CeremonyError::Request { path: self.0.join(REQUEST), rule: error.to_string() })?;
        self.write(REQUEST, &bytes)
    }

    /// Reads a file; `None` when there is none.
    pub(super) fn read(&self, name: &str) -> Result<Option<Vec<u8>>, CeremonyError> {
        let path = self.0.join(name);
        match std::fs::read(&path) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(source) => Err(CeremonyError::Io { action: "read", path, source }),
        }
    }

    /// Replaces a file, on the disk when it returns.
    pub(super) fn write(&self, name: &str, bytes: &[u8]) -> Result<(), CeremonyError> {
        write_durably(&self.0.join(name), bytes)
    }

    /// Ends the ceremony, done or given up: all of it goes at once.
    /// # Errors
    /// [`CeremonyError::Io`].
    pub fn remove(&self) -> Result<(), CeremonyError> {
        // Renamed first: half of a folder would look like another ceremony.
        let gone = self.0.with_file_name(GONE);
        let failed = |source| CeremonyError::Io { action: "remove", path: gone.clone(), source };
        remove_if_there(&gone).map_err(failed)?;
        match std::fs::rename(&self.0, &gone) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            outcome => outcome.and_then(|()| remove_if_there(&gone)).map_err(failed),
        }
    }
}

/// Replaces a file, with it and its folder on the disk when it returns.
pub(super) fn write_durably(path: &Path, bytes: &[u8]) -> Result<(), CeremonyError> {
    crate::files::write_durably(path, bytes).map_err(|source| CeremonyError::Io {
        action: "write",
        path: path.to_owned(),
        source,
    })
}

fn remove_if_there(folder: &Path) -> std::io::Result<()> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// The version of the file with the request.
const FORMAT: u32 = 1;
/// The file with the request.
const REQUEST: &str = "ceremony.json";
/// What the folder is called while it is removed.
const GONE: &str = ".next-is-over";

#[cfg(test)]
mod tests {
    use super::*;

    fn rotation(key: &str, role: &str) -> Task {
        Task::Rotate(Rotation {
            role: role.to_owned(),
            replace: Vec::new(),
            add: false,
            with: Vec::new(),
            threshold: None,
            owner: String::new(),
            remove: vec![key.to_owned()],
            key: Some(key.to_owned()),
            plain: true,
            made: None,
        })
    }

    #[test]
    fn a_request_comes_back_and_knows_its_like() {
        let temp = tempfile::tempdir().unwrap();
        let folder = Folder::beside(&temp.path().join("root.json"));
        assert_eq!(folder.request().unwrap(), None);
        let request = Request::new(rotation("online-2", "online"));
        folder.set_request(&request).unwrap();
        assert_eq!(folder.request().unwrap(), Some(request.clone()));
        assert!(request.asks_the_same(&rotation("online-3", "online")));
        assert!(!request.asks_the_same(&rotation("online-2", "root")));
        assert!(!request.asks_the_same(&Task::Renew { roles: vec!["root".to_owned()] }));

        folder
            .write(REQUEST, br#"{"format":2,"task":{"renew":{"roles":[]}},"drafted":false,"settling":false}"#)
            .unwrap();
        assert!(matches!(folder.request(), Err(CeremonyError::Request { rule, .. }) if rule.contains("newer")));
        folder.write(REQUEST, b"{}").unwrap();
        assert!(matches!(folder.request(), Err(CeremonyError::Request { .. })));
        folder.remove().unwrap();
        assert_eq!(std::fs::read_dir(temp.path()).unwrap().count(), 0);
        folder.remove().unwrap();
    }
}
