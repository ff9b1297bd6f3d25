//! What is done with the objects of a storage: read, list, create if absent, replace if unchanged.

use super::error::StorageError;
use super::object;
use super::opendal::{ASIDE, Coordination, Storage};
use super::service::Service;
use opendal::{ErrorKind, Metadata, options};
use std::time::{Duration, SystemTime};
use updater_format::Sha256;

/// What became of a create-if-absent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Created {
    /// The object has these bytes: now, or since an interrupted try before.
    New,
    /// There was another one already; it was left alone.
    Exists,
}

/// What an object must be for it to be replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Precondition {
    /// It does not exist yet.
    Absent,
    /// It still has this entity tag.
    Tag(String),
    /// The service has no such condition.
    Anything,
}

/// What became of a conditional replacement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replaced {
    /// The object has the new bytes.
    Done,
    /// Somebody else had changed it; it was left alone.
    Changed,
}

impl Storage {
    /// Reads a whole object of at most `limit` bytes; `None` when there is none.
    /// # Errors
    /// [`StorageError::TooLarge`] above the limit; [`StorageError::Service`] for anything but absence.
    pub fn read(&self, path: &str, limit: u64) -> Result<Option<Vec<u8>>, StorageError> {
        if let Some(github) = &self.github {
            self.spend()?;
            return github.read(path, limit);
        }
        let Some(length) = self.length(path)? else {
            return Ok(None);
        };
        if length > limit {
            return Err(StorageError::TooLarge { path: path.to_owned(), storage: self.name.clone(), limit });
        }
        match self.reading(path).read(path) {
            Ok(bytes) => Ok(Some(bytes.to_vec())),
            Err(error) if self.is_absent(&error) => Ok(None),
            Err(error) => Err(self.failed("read", path, error)),
        }
    }

    /// Returns the length of an object in bytes; `None` when there is none.
    /// # Errors
    /// [`StorageError::Service`] for anything but absence.
    pub fn length(&self, path: &str) -> Result<Option<u64>, StorageError> {
        if let Some(github) = &self.github {
            self.spend()?;
            return github.length(path);
        }
        Ok(self.stat(path)?.map(|found| found.content_length()))
    }

    /// Returns when an object was written, by the clock of the storage; `None` when there is none or the service does
    /// not say.
    /// # Errors
    /// [`StorageError::Service`] for anything but absence.
    pub fn modified(&self, path: &str) -> Result<Option<SystemTime>, StorageError> {
        if let Some(github) = &self.github {
            self.spend()?;
            return github.modified(path);
        }
        Ok(self.stat(path)?.and_then(|found| found.last_modified()).map(SystemTime::from))
    }

    /// Returns the time by the clock of the storage, from a small object that is written and, where that is allowed,
    /// removed again; `None` when the service does not say when an object was written.
    /// # Errors
    /// [`StorageError::Service`] when the service fails.
    pub fn clock(&self) -> Result<Option<SystemTime>, StorageError> {
        if let Some(github) = &self.github {
            return github.clock();
        }
        // Whoever is not written by us has no clock of which we could ask.
        if self.service == Service::Command {
            return Ok(None);
        }
        let path = format!("{ASIDE}/clock-{}", std::process::id());
        self.put_mutable(&path, b"what time is it here?\n".to_vec())?;
        let time = self.modified(&path)?;
        match self.remove(&path) {
            Err(StorageError::Service { source, .. }) if source.is_refused() => Ok(time),
            removed => removed.map(|()| time),
        }
    }

    /// Lists the names of the objects in a folder, sorted. A folder that does not exist is empty.
    /// # Errors
    /// [`StorageError::Service`] when the service fails.
    pub fn list(&self, folder: &str) -> Result<Vec<String>, StorageError> {
        self.spend()?;
        if let Some(github) = &self.github {
            return github.list(folder);
        }
        let entries = self.operator.list(&format!("{folder}/")).map_err(|e| self.failed("list", folder, e))?;
        let files = entries.into_iter().filter(|entry| entry.metadata().is_file());
        let mut names: Vec<String> = files.map(|entry| entry.name().to_owned()).collect();
        names.sort();
        Ok(names)
    }

    /// Tells a storage that is empty from one that is not there. A folder that is not there is an empty one: it is made
    /// when something is written.
    /// # Errors
    /// [`StorageError::Service`] when there is no such bucket or container.
    pub fn must_exist(&self) -> Result<(), StorageError> {
        match self.service {
            Service::S3 | Service::Azblob | Service::Gcs => self.list("metadata").map(drop),
            _ => Ok(()),
        }
    }

    /// Creates an object only if there is none of that name. One that has these very bytes counts as created: an
    /// interrupted try, or a request that was repeated because its answer got lost, left it.
    ///
    /// The name is taken atomically where the service has a conditional create. In a folder the caller holds the lock
    /// of [`Storage::lock`], because renaming into place replaces what is there; where there is
    /// [nothing](Coordination::Nothing) to keep publishers apart, it is looked for first.
    /// # Errors
    /// [`StorageError::Service`] for anything but the name being taken.
    pub fn put_new(&self, path: &str, bytes: Vec<u8>) -> Result<Created, StorageError> {
        self.must_be_writable()?;
        if let Some(github) = &self.github {
            self.spend()?;
            return github.put_new(path, bytes);
        }
        let conditional = self.capability.write_with_if_not_exists;
        if !conditional && self.length(path)?.is_some() {
            return self.created_if_same(path, &bytes);
        }
        self.spend()?;
        let write = options::WriteOptions { if_not_exists: conditional, ..self.write_options(path) };
        match self.send(path, bytes.clone(), write, None)? {
            Ok(()) => {
                self.settle(path)?;
                self.written(path)?;
                self.let_settle();
            }
            Err(error) if is_refused_condition(&error) => {}
            Err(error) => return Err(self.failed("create", path, error)),
        }
        self.created_if_same(path, &bytes)
    }

    fn created_if_same(&self, path: &str, bytes: &[u8]) -> Result<Created, StorageError> {
        match self.read(path, bytes.len() as u64) {
            Ok(Some(there)) if there == bytes => Ok(Created::New),
            Ok(_) | Err(StorageError::TooLarge { .. }) => Ok(Created::Exists),
            Err(error) => Err(error),
        }
    }

    /// Writes an object whether or not there is one: for the few that may change. Nobody sees half of it where the
    /// service can rename.
    /// # Errors
    /// [`StorageError::Service`] when the service fails.
    pub fn put_mutable(&self, path: &str, bytes: Vec<u8>) -> Result<(), StorageError> {
        self.put_within(path, bytes, None)
    }

    fn put_within(&self, path: &str, bytes: Vec<u8>, within: Option<Duration>) -> Result<(), StorageError> {
        self.must_be_writable()?;
        self.spend()?;
        if let Some(github) = &self.github {
            return github.put_mutable(path, bytes);
        }
        if self.service != Service::Sftp {
            self.send(path, bytes, self.write_options(path), within)?.map_err(|e| self.failed("write", path, e))?;
            self.settle(path)?;
            return self.written(path);
        }
        // OpenDAL writes into the file itself here, and a reader would see half of it.
        let aside = format!("{ASIDE}/{}-{}", std::process::id(), Sha256::of(&bytes));
        self.operator.write(&aside, bytes).map_err(|e| self.failed("write", path, e))?;
        self.spend()?;
        let renamed = self.in_time(path, within, self.timely.rename(&aside, path))?;
        renamed.map_err(|e| self.failed("write", path, e))
    }

    /// Sends a whole object.
    fn send(
        &self,
        path: &str,
        bytes: Vec<u8>,
        how: options::WriteOptions,
        within: Option<Duration>,
    ) -> Result<opendal::Result<()>, StorageError> {
        let sent = self.in_time(path, within, self.timely.write_options(path, bytes, how))?;
        Ok(sent.map(drop))
    }

    /// Does one operation, its repetitions included. What is not done `within` this time is given up.
    fn in_time<T>(
        &self,
        path: &str,
        within: Option<Duration>,
        operation: impl Future<Output = opendal::Result<T>>,
    ) -> Result<opendal::Result<T>, StorageError> {
        #[cfg(test)]
        let operation = async {
            self.dawdle(path).await;
            operation.await
        };
        self.runtime.block_on(async {
            match within {
                None => Ok(operation.await),
                Some(within) => tokio::time::timeout(within, operation).await.map_err(|_| StorageError::Late {
                    path: path.to_owned(),
                    storage: self.name.clone(),
                    seconds: within.as_secs(),
                }),
            }
        })
    }

    /// Looks at an object that is to be replaced later, and only if it is still the same then.
    /// # Errors
    /// [`StorageError::Service`] for anything but absence.
    pub fn precondition(&self, path: &str) -> Result<Precondition, StorageError> {
        // One that fails when requests meet still holds when they do not.
        let is_of_use = self.conditions_fail() && self.capability.write_with_if_match;
        if self.coordination() != Coordination::ConditionalReplace && !is_of_use {
            return Ok(Precondition::Anything);
        }
        if let Some(github) = &self.github {
            self.spend()?;
            return github.precondition(path);
        }
        Ok(match self.stat(path)? {
            None => Precondition::Absent,
            Some(found) => found.etag().map_or(Precondition::Anything, |tag| Precondition::Tag(tag.to_owned())),
        })
    }

    /// Replaces an object if it is what was expected.
    /// # Errors
    /// [`StorageError::Service`] for anything but the condition.
    pub fn replace(&self, path: &str, bytes: Vec<u8>, expected: &Precondition) -> Result<Replaced, StorageError> {
        self.replace_within(path, bytes, expected, None)
    }

    /// Replaces an object as [`Storage::replace`] does, and gives up when that takes longer than `within`. Nobody knows
    /// then whether it was replaced.
    /// # Errors
    /// [`StorageError::Late`] when the time is over; [`StorageError::Service`] for anything else but the condition.
    pub fn replace_within(
        &self,
        path: &str,
        bytes: Vec<u8>,
        expected: &Precondition,
        within: Option<Duration>,
    ) -> Result<Replaced, StorageError> {
        if let Some(github) = &self.github {
            self.spend()?;
            return github.replace(path, bytes, expected);
        }
        let condition = match expected {
            Precondition::Anything => return self.put_within(path, bytes, within).map(|()| Replaced::Done),
            Precondition::Absent => options::WriteOptions { if_not_exists: true, ..self.write_options(path) },
            Precondition::Tag(tag) => options::WriteOptions { if_match: Some(tag.clone()), ..self.write_options(path) },
        };
        self.must_be_writable()?;
        self.spend()?;
        match self.send(path, bytes.clone(), condition, within)? {
            Ok(()) if self.conditions_fail() => {
                self.let_settle();
                self.replaced_if_same(path, &bytes)
            }
            Ok(()) => Ok(Replaced::Done),
            // Its answer may have got lost and the request repeated.
            Err(error) if is_refused_condition(&error) => self.replaced_if_same(path, &bytes),
            Err(error) => Err(self.failed("write", path, error)),
        }
    }

    fn replaced_if_same(&self, path: &str, bytes: &[u8]) -> Result<Replaced, StorageError> {
        Ok(match self.created_if_same(path, bytes)? {
            Created::New => Replaced::Done,
            Created::Exists => Replaced::Changed,
        })
    }

    /// Lets a file that may change be seen together with the next commit, where the storage commits several files at once;
    /// elsewhere this does nothing, and it is written afterwards.
    pub fn put_with_commit(&self, path: &str, bytes: &[u8]) {
        if let Some(github) = &self.github {
            github.put_with_commit(path, bytes.to_vec());
        }
    }

    /// Writes several files that may change: all at once where the storage commits several at once, else one by one.
    /// # Errors
    /// As [`Storage::put_mutable`].
    pub fn put_together(&self, files: &[(&str, &str)]) -> Result<(), StorageError> {
        for (path, text) in files {
            match &self.github {
                Some(github) => github.put_with_commit(path, text.as_bytes().to_vec()),
                None => self.put_mutable(path, text.as_bytes().to_vec())?,
            }
        }
        self.flush()
    }

    /// Writes what waits for a commit that does not come.
    /// # Errors
    /// [`StorageError::GitHub`] when GitHub refuses.
    pub fn flush(&self) -> Result<(), StorageError> {
        self.github.as_ref().map_or(Ok(()), |github| github.flush())
    }

    /// Drops what waits for a commit and was made from an older state, in the private storage as well.
    pub fn start_over(&self) {
        for storage in [Some(self), self.private()].into_iter().flatten() {
            if let Some(github) = &storage.github {
                github.start_over();
            }
        }
    }

    /// Removes what interrupted uploads left aside. What was written within the last day may be an upload that runs
    /// now.
    /// # Errors
    /// [`StorageError::Service`] when the service fails.
    pub fn sweep(&self) -> Result<u64, StorageError> {
        let writes_aside = matches!(self.service, Service::Folder | Service::Sftp) && !self.scratch;
        if !writes_aside {
            return Ok(0);
        }
        let mut removed = 0;
        for name in self.list(ASIDE)? {
            let path = format!("{ASIDE}/{name}");
            let age = self.modified(&path)?.and_then(|written| SystemTime::now().duration_since(written).ok());
            if age.is_some_and(|age| age > LEFT_BEHIND) {
                self.remove(&path)?;
                removed += 1;
            }
        }
        Ok(removed)
    }

    pub(super) fn stat(&self, path: &str) -> Result<Option<Metadata>, StorageError> {
        self.spend()?;
        match self.reading(path).stat(path) {
            Ok(found) if found.is_file() => Ok(Some(found)),
            Ok(_) => Ok(None),
            Err(error) if self.is_absent(&error) => Ok(None),
            Err(error) => Err(self.failed("look at", path, error)),
        }
    }

    /// Returns what is said about an object beside its bytes, as far as the service can.
    pub(super) fn write_options(&self, path: &str) -> options::WriteOptions {
        let can = &self.capability;
        options::WriteOptions {
            cache_control: can.write_with_cache_control.then(|| object::cache_control(path).to_owned()),
            content_type: can.write_with_content_type.then(|| object::content_type(path).to_owned()),
            ..Default::default()
        }
    }

    /// Makes a new name in a folder durable: OpenDAL syncs the file, the folder is left to us.
    pub(super) fn settle(&self, path: &str) -> Result<(), StorageError> {
        let Some(root) = &self.folder else { return Ok(()) };
        let object = root.join(path);
        let parent = object.parent().unwrap_or(root);
        std::fs::File::open(parent).and_then(|folder| folder.sync_all()).map_err(|source| StorageError::Io {
            action: "sync",
            path: parent.to_owned(),
            source,
        })
    }

    /// Removes an object; one that is not there is no error.
    /// # Errors
    /// [`StorageError::Service`] when the service fails or these credentials may not.
    pub fn remove(&self, path: &str) -> Result<(), StorageError> {
        self.spend()?;
        self.operator.delete(path).map_err(|e| self.failed("remove", path, e))
    }
}

#[cfg(test)]
impl Storage {
    /// Lets the next write of an object take this long.
    pub(crate) fn slow_down(&self, path: &str, by: Duration) {
        *self.slow.lock().unwrap() = Some((path.to_owned(), by));
    }

    async fn dawdle(&self, path: &str) {
        let slow = self.slow.lock().unwrap().take_if(|(slow, _)| slow == path);
        if let Some((_, by)) = slow {
            tokio::time::sleep(by).await;
        }
    }
}

/// Tells whether a service refused a write because of its condition. S3 calls it a conflict when two conditional writes
/// meet at the same moment.
fn is_refused_condition(error: &opendal::Error) -> bool {
    matches!(error.kind(), ErrorKind::ConditionNotMatch | ErrorKind::AlreadyExists | ErrorKind::Conflict)
}

/// The age from which a file aside belongs to nobody any more: no upload rests for a day.
const LEFT_BEHIND: Duration = Duration::from_secs(24 * 60 * 60);
