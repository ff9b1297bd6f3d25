//! `storage = "command"`: a storage that only a program of the project can write, the hook `upload`; it is read through
//! the `url` of the clients.
//!
//! What is written lies in a staged folder until something has to be seen. Files that nobody looks for before another one
//! names them wait there, and are handed over together; a file that replaces another one, `timestamp.json` above all,
//! is handed over alone, after everything before it was read again through the URL and is right.

use super::error::StorageError;
use super::object::may_wait;
use super::opendal::Storage;
use super::service::Service;
use crate::hooks::{Hook, HookError, Hooks};
use crate::steps::bundle::digest_of;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use updater_build::url::RepositoryUrl;
use updater_format::AppId;

/// What a storage of this kind is made of.
#[derive(Debug, Clone)]
pub struct CommandStorage<'a> {
    /// The app.
    pub app: &'a AppId,
    /// The hooks of its project.
    pub hooks: Hooks,
    /// Where clients read; the first is read here.
    pub urls: &'a [RepositoryUrl],
    /// The statuses that mean "absent" there.
    pub missing_status: &'a [u16],
    /// Where the staged folder is made.
    pub folder: &'a Path,
}

/// The part of an open storage that others do not have.
#[derive(Debug)]
pub(super) struct Staging {
    app: AppId,
    hooks: Hooks,
    url: String,
    /// Reads what is published.
    published: Storage,
    refused_is_absent: bool,
    /// How long what was handed over may take to be seen.
    patience: Duration,
    /// Removed with everything in it.
    folder: tempfile::TempDir,
    /// Where the lock lies.
    pub(super) lock: PathBuf,
    /// What lies in the folder and was not handed over, in order.
    waiting: Mutex<Vec<String>>,
}

impl Storage {
    /// Opens a storage that the hook `upload` writes.
    /// # Errors
    /// [`StorageError::Hook`] when there is no such hook; [`StorageError`] when the folder cannot be made or this build
    /// does not read the URL.
    pub fn open_command(setup: &CommandStorage<'_>) -> Result<Self, StorageError> {
        if setup.hooks.programs(Hook::Upload).is_empty() {
            return Err(StorageError::Hook { source: HookError::NoUpload });
        }
        let Some(url) = setup.urls.first() else {
            return Err(StorageError::Uri {
                uri: "command".to_owned(),
                rule: "the table must name the `url` that it is read by",
            });
        };
        let name = format!("command (read at {})", url.as_str());
        let io = |source| StorageError::Io { action: "make", path: setup.folder.to_owned(), source };
        std::fs::create_dir_all(setup.folder).map_err(io)?;
        let folder = tempfile::Builder::new().prefix("staged-").tempdir_in(setup.folder).map_err(io)?;
        let published = match url.as_str().strip_prefix("file://") {
            Some(path) => Self::open_folder(&file_path(url.as_str()).unwrap_or_else(|| path.into()), name.clone())?,
            None => Self::open(&super::StorageUri::parse(url.as_str())?, setup.folder)?,
        };
        let staging = Staging {
            app: setup.app.clone(),
            hooks: setup.hooks.clone(),
            url: url.as_str().to_owned(),
            published,
            refused_is_absent: setup.missing_status.contains(&403),
            patience: if url.is_local() { PATIENCE_HERE } else { PATIENCE },
            lock: setup.folder.join(setup.app.as_str()),
            waiting: Mutex::default(),
            folder,
        };
        let staged = Self::open_folder(staging.folder.path(), name)?;
        Ok(staged.with_staging(staging))
    }

    /// Says that an object was written. One that may wait does; any other hands over everything that waits, then itself.
    pub(super) fn written(&self, path: &str) -> Result<(), StorageError> {
        let Some(staging) = &self.staging else { return Ok(()) };
        staging.wait(path);
        match may_wait(path) {
            true => Ok(()),
            false => staging.hand_over(self),
        }
    }

    /// Returns what an object is read from: the staged folder while it waits there, else what is published.
    pub(super) fn reading(&self, path: &str) -> &opendal::blocking::Operator {
        match &self.staging {
            Some(staging) if !staging.is_waiting(path) => &staging.published.operator,
            _ => &self.operator,
        }
    }

    /// Tells whether an answer means that there is no such object.
    pub(super) fn is_absent(&self, error: &opendal::Error) -> bool {
        let refused_is_absent = self.staging.as_ref().is_some_and(|staging| staging.refused_is_absent);
        match error.kind() {
            opendal::ErrorKind::NotFound => true,
            opendal::ErrorKind::PermissionDenied => refused_is_absent,
            _ => false,
        }
    }
}

impl Staging {
    fn is_waiting(&self, path: &str) -> bool {
        self.locked().iter().any(|waiting| waiting == path)
    }

    fn wait(&self, path: &str) {
        let mut waiting = self.locked();
        waiting.retain(|known| known != path);
        waiting.push(path.to_owned());
    }

    fn locked(&self) -> std::sync::MutexGuard<'_, Vec<String>> {
        // Plain data is whole whoever panicked.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands over what waits: first what may wait, in one step, then each other file alone.
    fn hand_over(&self, storage: &Storage) -> Result<(), StorageError> {
        let waiting = self.locked().clone();
        let (files, last): (Vec<_>, Vec<_>) = waiting.into_iter().partition(|path| may_wait(path));
        let steps = [files].into_iter().chain(last.into_iter().map(|path| vec![path]));
        for step in steps.filter(|step| !step.is_empty()) {
            let name = if step.iter().all(|path| may_wait(path)) { "files" } else { "commit" };
            let folder = self.folder.path().display().to_string();
            let values = [("app", self.app.as_str()), ("step", name), ("folder", folder.as_str())];
            let list: String = step.iter().map(|path| format!("{path}\n")).collect();
            self.hooks.run(Hook::Upload, &values, &list).map_err(|source| StorageError::Hook { source })?;
            self.locked().retain(|path| !step.contains(path));
            step.iter().try_for_each(|path| self.must_be_served(storage, path))?;
        }
        Ok(())
    }

    /// Reads an object through the URL until it is the one that was handed over: caches on the way may take a moment.
    fn must_be_served(&self, storage: &Storage, path: &str) -> Result<(), StorageError> {
        let staged = self.folder.path().join(path);
        let unreadable = |error: crate::steps::bundle::BundleStepError| StorageError::Io {
            action: "read",
            path: staged.clone(),
            source: std::io::Error::other(error),
        };
        let expected = digest_of(&staged).map_err(unreadable)?;
        let (begin, mut pause) = (Instant::now(), FIRST_LOOK);
        loop {
            let found = storage.digest(path);
            match found {
                Ok(Some(found)) if found == expected => return Ok(()),
                Err(error) if !error.is_temporary() => return Err(error),
                _ if begin.elapsed() >= self.patience => {
                    return Err(StorageError::NotServed { path: path.to_owned(), url: self.url.clone() });
                }
                _ => {}
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(LAST_LOOK);
        }
    }
}

impl Storage {
    fn with_staging(mut self, staging: Staging) -> Self {
        self.service = Service::Command;
        // Of what is published, and not of the staged folder.
        self.capability.write_with_if_not_exists = false;
        self.capability.write_with_if_match = false;
        self.folder = None;
        self.staging = Some(std::sync::Arc::new(staging));
        self
    }
}

/// Returns the path of a `file:` URL.
fn file_path(url: &str) -> Option<PathBuf> {
    updater_runtime::transport::Url::parse(url).ok()?.to_path()
}

/// The longest that what was handed over may take to be seen: as long as caches may keep a timestamp, and a half.
const PATIENCE: Duration = Duration::from_secs(90);
/// The same where no cache is between.
const PATIENCE_HERE: Duration = Duration::from_secs(5);
const FIRST_LOOK: Duration = Duration::from_millis(100);
const LAST_LOOK: Duration = Duration::from_secs(5);
