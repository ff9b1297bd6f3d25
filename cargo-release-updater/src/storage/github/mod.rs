//! `github:OWNER/REPO`: files of releases are assets of the release `vX.Y.Z`, everything else lies in a branch that GitHub
//! Pages serves.
//!
//! A path `releases/TAG/NAME` is an asset; any other path is a file of the branch. Files of the branch that something else
//! names later wait in memory, and go with it in one git commit, whose non-forced update of the branch is the
//! compare-and-swap of the commit protocol (docs/adr/0016-github-commits-once.md).

mod address;
mod answer;
mod api;
mod branch;
mod error;
mod release;

pub use address::GitHubAddress;
pub use error::GitHubError;

use super::error::StorageError;
use super::object::may_wait;
use super::objects::{Created, Precondition, Replaced};
use api::{Api, Environment};
use branch::Branch;
use release::Releases;
use std::io::Read;
use std::path::Path;
use std::time::SystemTime;
use updater_format::{ReleaseOf, Sha256};

/// One repository on GitHub as a storage.
#[derive(Debug)]
pub(super) struct GitHub {
    name: String,
    api: Api,
    branch: Branch,
    releases: Releases,
}

impl GitHub {
    /// Opens a repository. `variable` answers for a variable of the process; nothing is asked of the network.
    pub(super) fn open(
        address: &GitHubAddress,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, StorageError> {
        let name = address.to_string();
        let environment = Environment::of(variable);
        let api = Api::new(address, environment).map_err(|error| fail("open", "", &name, error))?;
        Ok(Self { api, branch: Branch::new(address), releases: Releases::new(address), name })
    }

    /// Returns where an asset of a release is stored.
    pub(super) fn asset_path(&self, name: &str, release: ReleaseOf<'_>) -> String {
        format!("{RELEASES}/{}/{name}", release.tagged(self.releases.tag_prefix()))
    }

    pub(super) fn read(&self, path: &str, limit: u64) -> Result<Option<Vec<u8>>, StorageError> {
        let result = match Asset::of(path) {
            Some(asset) => self.releases.read(&self.api, &asset, limit),
            None => self.branch.read(&self.api, path, limit),
        };
        result.map_err(|error| match error {
            GitHubError::TooLarge => {
                StorageError::TooLarge { path: path.to_owned(), storage: self.name.clone(), limit }
            }
            error => fail("read", path, &self.name, error),
        })
    }

    pub(super) fn length(&self, path: &str) -> Result<Option<u64>, StorageError> {
        let result = match Asset::of(path) {
            Some(asset) => self.releases.length(&self.api, &asset),
            None => self.branch.length(&self.api, path),
        };
        result.map_err(|error| fail("look at", path, &self.name, error))
    }

    /// Reads an object piece by piece.
    pub(super) fn reader(&self, path: &str) -> Result<Option<Box<dyn Read>>, StorageError> {
        let result = match Asset::of(path) {
            Some(asset) => self.releases.reader(&self.api, &asset),
            None => self
                .branch
                .read(&self.api, path, MAX_BRANCH_FILE)
                .map(|found| found.map(|bytes| Box::new(std::io::Cursor::new(bytes)) as Box<dyn Read>)),
        };
        result.map_err(|error| fail("read", path, &self.name, error))
    }

    pub(super) fn modified(&self, path: &str) -> Result<Option<SystemTime>, StorageError> {
        let result = match Asset::of(path) {
            Some(_) => Ok(None),
            None => self.branch.modified(&self.api, path),
        };
        result.map_err(|error| fail("look at", path, &self.name, error))
    }

    /// Returns the time by GitHub's clock.
    pub(super) fn clock(&self) -> Result<Option<SystemTime>, StorageError> {
        self.api.clock().map_err(|error| fail("ask the time of", "", &self.name, error))
    }

    pub(super) fn list(&self, folder: &str) -> Result<Vec<String>, StorageError> {
        let result = match folder.strip_prefix(RELEASES).and_then(|rest| rest.strip_prefix('/')) {
            Some(tag) => self.releases.list(&self.api, tag),
            None => self.branch.list(&self.api, folder),
        };
        result.map_err(|error| fail("list", folder, &self.name, error))
    }

    pub(super) fn put_new(&self, path: &str, bytes: Vec<u8>) -> Result<Created, StorageError> {
        // Once more without what waits: that may have been in the way, and is dropped then.
        for _ in 0..2 {
            if self.came_second(path) {
                return Ok(Created::Exists);
            }
            let staged = self.branch.stage_new(&self.api, path, bytes.clone());
            let created = staged.map_err(|error| fail("create", path, &self.name, error))?;
            if created == Created::Exists || may_wait(path) {
                return Ok(created);
            }
            if self.commit(path, &Precondition::Anything)? == Replaced::Done {
                return Ok(Created::New);
            }
        }
        Ok(Created::Exists)
    }

    pub(super) fn put_mutable(&self, path: &str, bytes: Vec<u8>) -> Result<(), StorageError> {
        // Once more without what waits for something else: that may have been in the way, and is dropped then.
        for _ in 0..2 {
            self.branch.stage(path, bytes.clone());
            if may_wait(path) || self.commit(path, &Precondition::Anything)? == Replaced::Done {
                return Ok(());
            }
        }
        Err(self.overtaken(path))
    }

    /// Lets a file go with the next commit, whatever its path.
    pub(super) fn put_with_commit(&self, path: &str, bytes: Vec<u8>) {
        self.branch.stage_for_try(path, bytes);
    }

    pub(super) fn precondition(&self, path: &str) -> Result<Precondition, StorageError> {
        self.branch.precondition(&self.api, path).map_err(|error| fail("look at", path, &self.name, error))
    }

    pub(super) fn replace(
        &self,
        path: &str,
        bytes: Vec<u8>,
        expected: &Precondition,
    ) -> Result<Replaced, StorageError> {
        if self.came_second(path) {
            return Ok(Replaced::Changed);
        }
        self.branch.stage_for_try(path, bytes);
        self.commit(path, expected)
    }

    /// Commits what waits and nothing would take along any more, and publishes the drafts that were filled.
    pub(super) fn flush(&self) -> Result<(), StorageError> {
        let Some(path) = self.branch.first_waiting() else {
            return self.releases.publish(&self.api).map_err(|error| fail("publish", RELEASES, &self.name, error));
        };
        match self.commit(&path, &Precondition::Anything)? {
            Replaced::Done => Ok(()),
            Replaced::Changed => Err(self.overtaken(&path)),
        }
    }

    /// Tells whether this is the document that names everything else, and what it would name was dropped because somebody
    /// else was faster. Nothing else builds upon what waits.
    fn came_second(&self, path: &str) -> bool {
        let is_second = path == COMMIT_POINT && self.branch.is_lost();
        if is_second {
            // Also what was staged since: read back, it would pass for what is there.
            self.branch.lose();
        }
        is_second
    }

    fn overtaken(&self, path: &str) -> StorageError {
        fail("write", path, &self.name, self.branch.overtaken())
    }

    /// Drops what a try that came second wanted to create. Signatures of files stay: they hold whoever was faster.
    pub(super) fn start_over(&self) {
        self.branch.start_over();
    }

    pub(super) fn put_file(
        &self,
        path: &str,
        file: &Path,
        (length, sha256): (u64, Sha256),
        sent: &mut dyn FnMut(u64),
    ) -> Result<Created, StorageError> {
        let failed = |error| match error {
            GitHubError::Io { source } => StorageError::Io { action: "read", path: file.to_owned(), source },
            GitHubError::Differs => StorageError::Differs { path: path.to_owned(), storage: self.name.clone() },
            GitHubError::NotAsSent => StorageError::NotAsSent { path: path.to_owned(), storage: self.name.clone() },
            error => fail("write", path, &self.name, error),
        };
        let asset = Asset::of(path).ok_or_else(|| failed(GitHubError::NoAsset))?;
        self.releases.put(&self.api, &asset, &release::Content { file, length, sha256 }, sent).map_err(failed)
    }

    /// Publishes the drafts that were filled, then commits everything that waits.
    fn commit(&self, path: &str, expected: &Precondition) -> Result<Replaced, StorageError> {
        let failed = |error| fail("write", path, &self.name, error);
        if !self.branch.holds(&self.api, path, expected).map_err(failed)? {
            self.branch.lose();
            return Ok(Replaced::Changed);
        }
        self.releases.publish(&self.api).map_err(failed)?;
        self.branch.commit(&self.api, path, expected).map_err(failed)
    }
}

/// One asset of a release.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Asset {
    tag: String,
    name: String,
}

impl Asset {
    fn of(path: &str) -> Option<Self> {
        let (tag, name) = path.strip_prefix(RELEASES)?.strip_prefix('/')?.split_once('/')?;
        Some(Self { tag: tag.to_owned(), name: name.to_owned() })
    }
}

fn fail(action: &'static str, path: &str, storage: &str, source: GitHubError) -> StorageError {
    StorageError::GitHub { action, path: path.to_owned(), storage: storage.to_owned(), source: Box::new(source) }
}

/// The document whose commit takes along what waits.
const COMMIT_POINT: &str = "metadata/timestamp.json";
/// What stands before the tag in the path of an asset.
const RELEASES: &str = "releases";
/// The most bytes of a file of the branch that are read at once: a blob of the git API has 100 MB at most, and ours are
/// documents.
const MAX_BRANCH_FILE: u64 = 16 * 1024 * 1024;
