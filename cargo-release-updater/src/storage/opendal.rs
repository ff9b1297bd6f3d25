//! OpenDAL behind a blocking face: read, stat, list, create if absent, commit.

use super::error::StorageError;
use super::lock::StorageLock;
use super::uri::StorageUri;
use opendal::{ErrorKind, Operator, blocking, options};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

/// One storage, open for reading and writing.
#[derive(Debug, Clone)]
pub struct Storage {
    operator: blocking::Operator,
    /// Kept alive for the operator, which hands its work to it.
    _runtime: Arc<tokio::runtime::Runtime>,
    name: String,
    /// Where the objects are, when the storage is a folder of this machine.
    folder: Option<PathBuf>,
    /// Whether nothing is remembered about it.
    scratch: bool,
    /// How many operations may still be done; a test's crash point.
    budget: Option<Arc<AtomicU64>>,
}

/// What became of a create-if-absent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Created {
    /// The object is new.
    New,
    /// There was one already; it was left alone.
    Exists,
}

impl Storage {
    /// Opens a storage. Relative folders start at `base`. Nothing is created before the first write.
    /// # Errors
    /// [`StorageError`] when the service cannot be set up.
    pub fn open(uri: &StorageUri, base: &Path) -> Result<Self, StorageError> {
        let name = uri.to_string();
        match uri {
            StorageUri::Memory => Self::new(name, "memory", Vec::new(), None),
            StorageUri::Folder(path) => Self::open_folder(&base.join(path), name),
        }
    }

    /// Opens a folder of this machine.
    /// # Errors
    /// [`StorageError`] when the folder cannot be made.
    pub fn open_folder(folder: &Path, name: impl Into<String>) -> Result<Self, StorageError> {
        // Objects are written aside and renamed into place: a reader, and a publisher after a crash, never sees half
        // of one. The folder is hidden and on the same file system.
        let aside = folder.join(".updater-partial");
        let settings = [("root", folder), ("atomic_write_dir", &aside)]
            .map(|(key, path)| (key.to_owned(), path.to_string_lossy().into_owned()));
        Self::new(name.into(), "fs", settings.into(), Some(folder.to_owned()))
    }

    fn new(
        name: String,
        scheme: &str,
        settings: Vec<(String, String)>,
        folder: Option<PathBuf>,
    ) -> Result<Self, StorageError> {
        opendal::init_default_registry();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        let runtime = runtime.map_err(|source| StorageError::Io {
            action: "start a thread for",
            path: PathBuf::from(&name),
            source,
        })?;
        let failed = |source| StorageError::Service {
            action: "open",
            path: String::new(),
            storage: name.clone(),
            source: Box::new(source),
        };
        let retry = opendal::layers::RetryLayer::new().with_max_times(RETRIES).with_jitter();
        let operator = Operator::via_iter(scheme, settings).map_err(failed)?.layer(retry);
        let operator = {
            let _inside = runtime.enter();
            blocking::Operator::new(operator).map_err(failed)?
        };
        Ok(Self { operator, _runtime: Arc::new(runtime), name, folder, scratch: false, budget: None })
    }

    /// Returns the address, for messages.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the folder of the objects, when it is one of this machine.
    #[must_use]
    pub fn folder(&self) -> Option<&Path> {
        self.folder.as_deref()
    }

    /// Returns the address by which this machine tells storages apart: that of a folder is absolute, because two
    /// checkouts may write the same relative path.
    ///
    /// `None` for a scratch folder: it is emptied and filled again, and nothing is remembered about it.
    #[must_use]
    pub fn identity(&self) -> Option<String> {
        match &self.folder {
            _ if self.scratch => None,
            Some(folder) => Some(format!("fs:{}", folder.canonicalize().unwrap_or_else(|_| folder.clone()).display())),
            None => Some(self.name.clone()),
        }
    }

    /// Opens a folder that is emptied and filled again at each use.
    /// # Errors
    /// [`StorageError`] when the folder cannot be made.
    pub fn open_scratch(folder: &Path) -> Result<Self, StorageError> {
        let storage = Self::open_folder(folder, format!("fs:{}", folder.display()))?;
        Ok(Self { scratch: true, ..storage })
    }

    /// Returns the same storage, but every operation after the first `operations` fails as if the process had died.
    /// For tests of what a crash leaves behind.
    #[must_use]
    pub fn stopping_after(&self, operations: u64) -> Self {
        Self { budget: Some(Arc::new(AtomicU64::new(operations))), ..self.clone() }
    }

    /// Reads a whole object of at most `limit` bytes; `None` when there is none.
    /// # Errors
    /// [`StorageError::TooLarge`] above the limit; [`StorageError::Service`] for anything but absence.
    pub fn read(&self, path: &str, limit: u64) -> Result<Option<Vec<u8>>, StorageError> {
        let Some(length) = self.length(path)? else {
            return Ok(None);
        };
        if length > limit {
            return Err(StorageError::TooLarge { path: path.to_owned(), storage: self.name.clone(), limit });
        }
        match self.operator.read(path) {
            Ok(bytes) => Ok(Some(bytes.to_vec())),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(self.failed("read", path, error)),
        }
    }

    /// Returns the length of an object in bytes; `None` when there is none.
    /// # Errors
    /// [`StorageError::Service`] for anything but absence.
    pub fn length(&self, path: &str) -> Result<Option<u64>, StorageError> {
        Ok(self.stat(path)?.map(|(length, _)| length))
    }

    /// Returns how long ago an object was written; `None` when there is none or the service does not say.
    /// # Errors
    /// [`StorageError::Service`] for anything but absence.
    pub fn age(&self, path: &str) -> Result<Option<Duration>, StorageError> {
        let written = self.stat(path)?.and_then(|(_, written)| written);
        Ok(written.map(|written| SystemTime::now().duration_since(written).unwrap_or_default()))
    }

    /// Lists the names of the objects in a folder, sorted. A folder that does not exist is empty.
    /// # Errors
    /// [`StorageError::Service`] when the service fails.
    pub fn list(&self, folder: &str) -> Result<Vec<String>, StorageError> {
        self.spend()?;
        let entries = self.operator.list(&format!("{folder}/")).map_err(|e| self.failed("list", folder, e))?;
        let files = entries.into_iter().filter(|entry| entry.metadata().is_file());
        let mut names: Vec<String> = files.map(|entry| entry.name().to_owned()).collect();
        names.sort();
        Ok(names)
    }

    /// Creates an object only if there is none of that name.
    ///
    /// The name is taken atomically where the service has a conditional create. In a folder the caller holds the lock
    /// of [`Storage::lock`], because renaming into place replaces what is there.
    /// # Errors
    /// [`StorageError::Service`] for anything but the name being taken.
    pub fn put_new(&self, path: &str, bytes: Vec<u8>) -> Result<Created, StorageError> {
        self.spend()?;
        let only_new = options::WriteOptions { if_not_exists: true, ..Default::default() };
        match self.operator.write_options(path, bytes, only_new) {
            Ok(_) => self.settle(path).map(|()| Created::New),
            Err(error) if matches!(error.kind(), ErrorKind::ConditionNotMatch | ErrorKind::AlreadyExists) => {
                Ok(Created::Exists)
            }
            Err(error) => Err(self.failed("create", path, error)),
        }
    }

    /// Uploads a file under a name that says its content: skipped when an object of the same length is there, written
    /// again when an interrupted upload left another length.
    ///
    /// `sent` is told the bytes of each piece.
    /// # Errors
    /// [`StorageError`] when the file cannot be read or the service fails.
    pub fn put_file(&self, path: &str, file: &Path, mut sent: impl FnMut(u64)) -> Result<Created, StorageError> {
        use std::io::Read as _;
        let unreadable = |source| StorageError::Io { action: "read", path: file.to_owned(), source };
        let mut input = std::fs::File::open(file).map_err(unreadable)?;
        let length = input.metadata().map_err(unreadable)?.len();
        if self.length(path)? == Some(length) {
            sent(length);
            return Ok(Created::Exists);
        }
        self.spend()?;
        let mut writer = self.operator.writer(path).map_err(|e| self.failed("create", path, e))?;
        loop {
            let mut piece = vec![0; PIECE];
            let n = input.read(&mut piece).map_err(unreadable)?;
            if n == 0 {
                break;
            }
            piece.truncate(n);
            writer.write(piece).map_err(|e| self.failed("write", path, e))?;
            sent(n as u64);
        }
        writer.close().map_err(|e| self.failed("write", path, e))?;
        self.settle(path)?;
        Ok(Created::New)
    }

    /// Writes an object whether or not there is one: for the few that may change.
    /// # Errors
    /// [`StorageError::Service`] when the service fails.
    pub fn put_mutable(&self, path: &str, bytes: Vec<u8>) -> Result<(), StorageError> {
        self.spend()?;
        self.operator.write(path, bytes).map_err(|e| self.failed("write", path, e))?;
        self.settle(path)
    }

    /// Takes the lock that makes this publisher the only one, where the storage has one: a folder has, others rely on
    /// conditional requests. `waiting` is called once when somebody else holds it.
    /// # Errors
    /// [`StorageError::Io`] when the lock file cannot be opened.
    pub fn lock(&self, waiting: impl FnOnce()) -> Result<Option<StorageLock>, StorageError> {
        self.folder.as_deref().map(|folder| StorageLock::acquire(folder, waiting)).transpose()
    }

    fn stat(&self, path: &str) -> Result<Option<(u64, Option<SystemTime>)>, StorageError> {
        self.spend()?;
        match self.operator.stat(path) {
            Ok(found) if found.is_file() => {
                Ok(Some((found.content_length(), found.last_modified().map(SystemTime::from))))
            }
            Ok(_) => Ok(None),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(self.failed("look at", path, error)),
        }
    }

    /// Makes a new name in a folder durable: OpenDAL syncs the file, the folder is left to us.
    fn settle(&self, path: &str) -> Result<(), StorageError> {
        let Some(root) = &self.folder else { return Ok(()) };
        let object = root.join(path);
        let parent = object.parent().unwrap_or(root);
        std::fs::File::open(parent).and_then(|folder| folder.sync_all()).map_err(|source| StorageError::Io {
            action: "sync",
            path: parent.to_owned(),
            source,
        })
    }

    fn spend(&self) -> Result<(), StorageError> {
        let Some(budget) = &self.budget else { return Ok(()) };
        let left = budget.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        left.map(drop).map_err(|operation| StorageError::Stopped { operation })
    }

    fn failed(&self, action: &'static str, path: &str, source: opendal::Error) -> StorageError {
        StorageError::Service { action, path: path.to_owned(), storage: self.name.clone(), source: Box::new(source) }
    }
}

/// How often a request that failed for now is sent again.
const RETRIES: usize = 4;
/// Bytes per piece of an upload: large enough that requests do not dominate, small enough to stay in memory.
const PIECE: usize = 4 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn storages() -> (tempfile::TempDir, [Storage; 2]) {
        let temp = tempfile::tempdir().unwrap();
        let folder = Storage::open(&StorageUri::Folder("repository".into()), temp.path()).unwrap();
        let memory = Storage::open(&StorageUri::Memory, temp.path()).unwrap();
        (temp, [folder, memory])
    }

    #[test]
    fn an_object_is_created_once() {
        let (_temp, storages) = storages();
        for storage in storages {
            assert_eq!(storage.read("a/b", 10).unwrap(), None);
            assert_eq!(storage.put_new("a/b", b"one".to_vec()).unwrap(), Created::New);
            assert_eq!(storage.put_new("a/b", b"two".to_vec()).unwrap(), Created::Exists);
            assert_eq!(storage.read("a/b", 10).unwrap().unwrap(), b"one");
            assert!(matches!(storage.read("a/b", 2), Err(StorageError::TooLarge { limit: 2, .. })));
            storage.put_mutable("a/b", b"three".to_vec()).unwrap();
            assert_eq!(storage.length("a/b").unwrap(), Some(5));
            assert_eq!(storage.list("a").unwrap(), ["b"]);
            assert_eq!(storage.list("none").unwrap(), [""; 0]);
        }
    }

    #[test]
    fn a_file_is_uploaded_unless_it_is_there_in_full() {
        let (temp, storages) = storages();
        let file = temp.path().join("file");
        std::fs::write(&file, vec![7; PIECE + 5]).unwrap();
        for storage in storages {
            let mut total = 0;
            assert_eq!(storage.put_file("t/x", &file, |n| total += n).unwrap(), Created::New);
            assert_eq!(total, PIECE as u64 + 5);
            assert_eq!(storage.put_file("t/x", &file, |_| {}).unwrap(), Created::Exists);
            storage.put_mutable("t/x", b"half".to_vec()).unwrap();
            assert_eq!(storage.put_file("t/x", &file, |_| {}).unwrap(), Created::New);
            assert_eq!(storage.length("t/x").unwrap(), Some(PIECE as u64 + 5));
        }
    }

    #[test]
    fn a_folder_shows_no_partial_object_and_refuses_paths_outside() {
        let (temp, [folder, _]) = storages();
        folder.put_new("a", b"x".to_vec()).unwrap();
        let left = std::fs::read_dir(temp.path().join("repository/.updater-partial")).unwrap().count();
        assert_eq!(left, 0);
        assert!(folder.put_new("../outside", b"x".to_vec()).is_err());
        assert!(!temp.path().join("outside").exists());
    }

    #[test]
    fn the_budget_stops_every_operation_after_it() {
        let (_temp, storages) = storages();
        for storage in storages {
            let stopping = storage.stopping_after(1);
            stopping.put_new("a", b"x".to_vec()).unwrap();
            assert!(matches!(stopping.put_new("b", b"x".to_vec()), Err(StorageError::Stopped { .. })));
            assert!(matches!(stopping.read("a", 1), Err(StorageError::Stopped { .. })));
            assert_eq!(storage.length("b").unwrap(), None);
        }
    }

    #[test]
    fn one_lock_per_folder_released_on_drop() {
        let (_temp, [folder, memory]) = storages();
        assert!(memory.lock(|| {}).unwrap().is_none());
        let held = folder.lock(|| panic!("nobody holds it")).unwrap();
        let (sender, receiver) = std::sync::mpsc::channel();
        let other = folder.clone();
        let waiter = std::thread::spawn(move || {
            let tell = sender.clone();
            let lock = other.lock(move || tell.send("waiting").unwrap()).unwrap();
            sender.send("locked").unwrap();
            drop(lock);
        });
        assert_eq!(receiver.recv().unwrap(), "waiting");
        assert!(receiver.recv_timeout(Duration::from_millis(100)).is_err());
        drop(held);
        assert_eq!(receiver.recv().unwrap(), "locked");
        waiter.join().unwrap();
    }
}
