//! OpenDAL behind a blocking face: read, stat, list, create if absent, commit.

use super::error::{ServiceError, StorageError};
use super::lock::StorageLock;
use super::object;
use super::service::Service;
use super::uri::StorageUri;
use opendal::{Capability, ErrorKind, Metadata, Operator, blocking, options};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};
use updater_format::Sha256;

/// One storage, open for reading and writing.
#[derive(Debug, Clone)]
pub struct Storage {
    pub(super) operator: blocking::Operator,
    /// Kept alive for the operator, which hands its work to it.
    _runtime: Arc<tokio::runtime::Runtime>,
    name: String,
    service: Service,
    pub(super) capability: Capability,
    /// Where the objects are, when the storage is a folder of this machine.
    folder: Option<PathBuf>,
    /// Whether nothing is remembered about it.
    scratch: bool,
    /// The file that remembers what was published there, when it is not the one beside the keys.
    record: Option<PathBuf>,
    /// How many operations may still be done; a test's crash point.
    budget: Option<Arc<AtomicU64>>,
}

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
pub enum Expected {
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

/// How publishers of one storage are kept apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Coordination {
    /// A lock of the operating system: one publisher at a time.
    Lock,
    /// The commit is a conditional request: whoever comes second merges.
    ConditionalReplace,
    /// A claimed number is waited for until it is committed or its lease has run out.
    Claim,
    /// Nothing does: there must be one publisher at a time.
    Nothing,
}

impl Coordination {
    /// Returns the word for it in messages.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Lock => "lock",
            Self::ConditionalReplace => "conditional-replace",
            Self::Claim => "claim",
            Self::Nothing => "one-publisher",
        }
    }
}

impl Storage {
    /// Opens a storage. Relative folders start at `base`. Nothing is created, and no network is used, before the first
    /// operation.
    /// # Errors
    /// [`StorageError`] when the service cannot be set up.
    pub fn open(uri: &StorageUri, base: &Path) -> Result<Self, StorageError> {
        let name = uri.to_string();
        match uri {
            StorageUri::Memory => Self::new(name, Service::Memory, "memory", Vec::new(), None),
            StorageUri::Folder(path) => Self::open_folder(&base.join(path), name),
            StorageUri::Remote(remote) => {
                #[cfg(feature = "network")]
                install_network();
                let settings = remote.settings(|variable| std::env::var(variable).ok());
                Self::new(name, remote.service, remote.service.name(), settings, None)
            }
        }
    }

    /// Opens a folder of this machine.
    /// # Errors
    /// [`StorageError`] when the folder cannot be made.
    pub fn open_folder(folder: &Path, name: impl Into<String>) -> Result<Self, StorageError> {
        // Objects are written aside and renamed into place: a reader, and a publisher after a crash, never sees half
        // of one. The folder is hidden and on the same file system.
        let aside = folder.join(ASIDE);
        let settings = [("root", folder), ("atomic_write_dir", &aside)]
            .map(|(key, path)| (key.to_owned(), path.to_string_lossy().into_owned()));
        Self::new(name.into(), Service::Folder, "fs", settings.into(), Some(folder.to_owned()))
    }

    /// Opens a storage of a service for asking what it offers. Nothing is ever done with it.
    /// # Errors
    /// [`StorageError`] when this build does not reach the service.
    pub fn example(service: Service) -> Result<Self, StorageError> {
        Self::open(&StorageUri::parse(service.example())?, Path::new("."))
    }

    fn new(
        name: String,
        service: Service,
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
            source: ServiceError::new(source),
        };
        let timeout = opendal::layers::TimeoutLayer::new().with_timeout(OPERATION).with_io_timeout(TRANSFER);
        let retry = opendal::layers::RetryLayer::new().with_max_times(RETRIES).with_jitter();
        let operator = Operator::via_iter(scheme, settings).map_err(failed)?.layer(timeout).layer(retry);
        let operator = {
            let _inside = runtime.enter();
            blocking::Operator::new(operator).map_err(failed)?
        };
        let capability = operator.info().capability();
        let runtime = Arc::new(runtime);
        Ok(Self {
            operator,
            _runtime: runtime,
            name,
            service,
            capability,
            folder,
            scratch: false,
            record: None,
            budget: None,
        })
    }

    /// Returns the address, for messages.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the kind of storage.
    #[must_use]
    pub fn service(&self) -> Service {
        self.service
    }

    /// Returns the folder of the objects, when it is one of this machine.
    #[must_use]
    pub fn folder(&self) -> Option<&Path> {
        self.folder.as_deref()
    }

    /// Returns how publishers are kept apart here. Asked of the service, never assumed.
    #[must_use]
    pub fn coordination(&self) -> Coordination {
        let can = &self.capability;
        match (&self.folder, can.write_with_if_not_exists, can.write_with_if_match) {
            (Some(_), ..) => Coordination::Lock,
            (None, true, true) => Coordination::ConditionalReplace,
            (None, true, false) => Coordination::Claim,
            (None, false, _) => Coordination::Nothing,
        }
    }

    /// Tells whether objects can be written at all.
    #[must_use]
    pub fn is_writable(&self) -> bool {
        self.capability.write
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

    /// Returns the same storage; what is published there is remembered in this file and not beside the keys.
    #[must_use]
    pub fn remembered_in(self, record: Option<PathBuf>) -> Self {
        Self { record, ..self }
    }

    /// Returns the file that remembers what was published here, when one was named.
    #[must_use]
    pub fn record(&self) -> Option<&Path> {
        self.record.as_deref()
    }

    /// Returns the same storage, but every operation after the first `operations` fails as if the process had died.
    /// For tests of what a crash leaves behind.
    #[must_use]
    pub fn stopping_after(&self, operations: u64) -> Self {
        Self { budget: Some(Arc::new(AtomicU64::new(operations))), ..self.clone() }
    }

    /// Returns how many files are uploaded at the same time. One where a test counts operations.
    #[must_use]
    pub fn parallel_uploads(&self) -> usize {
        if self.budget.is_some() || self.scratch { 1 } else { PARALLEL }
    }

    /// Tells whether what was written is read again: everywhere but in a folder of this command's own.
    pub(super) fn is_read_back(&self) -> bool {
        !self.scratch
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
        Ok(self.stat(path)?.map(|found| found.content_length()))
    }

    /// Returns when an object was written, by the clock of the storage; `None` when there is none or the service does
    /// not say.
    /// # Errors
    /// [`StorageError::Service`] for anything but absence.
    pub fn modified(&self, path: &str) -> Result<Option<SystemTime>, StorageError> {
        Ok(self.stat(path)?.and_then(|found| found.last_modified()).map(SystemTime::from))
    }

    /// Returns the time by the clock of the storage, from a small object that is written and removed again; `None`
    /// when the service does not say when an object was written.
    /// # Errors
    /// [`StorageError::Service`] when the service fails.
    pub fn clock(&self) -> Result<Option<SystemTime>, StorageError> {
        let path = format!("{ASIDE}/clock-{}", std::process::id());
        self.put_mutable(&path, b"what time is it here?\n".to_vec())?;
        let time = self.modified(&path)?;
        self.remove(&path)?;
        Ok(time)
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
        let conditional = self.capability.write_with_if_not_exists;
        if !conditional && self.length(path)?.is_some() {
            return self.created_if_same(path, &bytes);
        }
        self.spend()?;
        let write = options::WriteOptions { if_not_exists: conditional, ..self.write_options(path) };
        match self.operator.write_options(path, bytes.clone(), write) {
            Ok(_) => self.settle(path)?,
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
        self.must_be_writable()?;
        self.spend()?;
        if self.service != Service::Sftp {
            self.operator
                .write_options(path, bytes, self.write_options(path))
                .map_err(|e| self.failed("write", path, e))?;
            return self.settle(path);
        }
        // OpenDAL writes into the file itself here, and a reader would see half of it.
        let aside = format!("{ASIDE}/{}-{}", std::process::id(), Sha256::of(&bytes));
        self.operator.write(&aside, bytes).map_err(|e| self.failed("write", path, e))?;
        self.spend()?;
        self.operator.rename(&aside, path).map_err(|e| self.failed("write", path, e))
    }

    /// Looks at an object that is to be replaced later, and only if it is still the same then.
    /// # Errors
    /// [`StorageError::Service`] for anything but absence.
    pub fn expect(&self, path: &str) -> Result<Expected, StorageError> {
        if self.coordination() != Coordination::ConditionalReplace {
            return Ok(Expected::Anything);
        }
        Ok(match self.stat(path)? {
            None => Expected::Absent,
            Some(found) => found.etag().map_or(Expected::Anything, |tag| Expected::Tag(tag.to_owned())),
        })
    }

    /// Replaces an object if it is what was expected.
    /// # Errors
    /// [`StorageError::Service`] for anything but the condition.
    pub fn replace(&self, path: &str, bytes: Vec<u8>, expected: &Expected) -> Result<Replaced, StorageError> {
        let condition = match expected {
            Expected::Anything => return self.put_mutable(path, bytes).map(|()| Replaced::Done),
            Expected::Absent => options::WriteOptions { if_not_exists: true, ..self.write_options(path) },
            Expected::Tag(tag) => options::WriteOptions { if_match: Some(tag.clone()), ..self.write_options(path) },
        };
        self.must_be_writable()?;
        self.spend()?;
        match self.operator.write_options(path, bytes.clone(), condition) {
            Ok(_) => Ok(Replaced::Done),
            // Its answer may have got lost and the request repeated.
            Err(error) if is_refused_condition(&error) => match self.created_if_same(path, &bytes)? {
                Created::New => Ok(Replaced::Done),
                Created::Exists => Ok(Replaced::Changed),
            },
            Err(error) => Err(self.failed("write", path, error)),
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

    /// Takes the lock that makes this publisher the only one, where the storage has one: a folder has, others rely on
    /// conditional requests. `waiting` is called once when somebody else holds it.
    /// # Errors
    /// [`StorageError::Io`] when the lock file cannot be opened.
    pub fn lock(&self, waiting: impl FnOnce()) -> Result<Option<StorageLock>, StorageError> {
        self.folder.as_deref().map(|folder| StorageLock::acquire(folder, waiting)).transpose()
    }

    pub(super) fn stat(&self, path: &str) -> Result<Option<Metadata>, StorageError> {
        self.spend()?;
        match self.operator.stat(path) {
            Ok(found) if found.is_file() => Ok(Some(found)),
            Ok(_) => Ok(None),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
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

    pub(super) fn must_be_writable(&self) -> Result<(), StorageError> {
        match self.is_writable() {
            true => Ok(()),
            false => Err(StorageError::ReadOnly { storage: self.name.clone() }),
        }
    }

    pub(super) fn spend(&self) -> Result<(), StorageError> {
        let Some(budget) = &self.budget else { return Ok(()) };
        let left = budget.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        left.map(drop).map_err(|operation| StorageError::Stopped { operation })
    }

    pub(super) fn failed(&self, action: &'static str, path: &str, source: opendal::Error) -> StorageError {
        StorageError::Service {
            action,
            path: path.to_owned(),
            storage: self.name.clone(),
            source: ServiceError::new(source),
        }
    }

    fn remove(&self, path: &str) -> Result<(), StorageError> {
        self.spend()?;
        self.operator.delete(path).map_err(|e| self.failed("remove", path, e))
    }
}

/// Makes ring the TLS provider of this process, and reqwest OpenDAL's way to the network. Again, it changes nothing.
#[cfg(feature = "network")]
fn install_network() {
    drop(rustls::crypto::ring::default_provider().install_default());
    opendal_http_transport_reqwest::install_default();
}

/// Tells whether a service refused a write because of its condition. S3 calls it a conflict when two conditional writes
/// meet at the same moment.
fn is_refused_condition(error: &opendal::Error) -> bool {
    matches!(error.kind(), ErrorKind::ConditionNotMatch | ErrorKind::AlreadyExists | ErrorKind::Conflict)
}

/// Where objects are written before they are renamed into place. Hidden, so that web servers leave it alone.
const ASIDE: &str = ".updater-partial";
/// How often a request that failed for now is sent again.
const RETRIES: usize = 4;
/// The longest that a request without a body may take.
const OPERATION: Duration = Duration::from_secs(60);
/// The longest that a piece of an upload or a download may take: 8 MiB at 30 KiB/s.
const TRANSFER: Duration = Duration::from_secs(280);
/// Files that are uploaded at the same time: one connection seldom fills a line, and more than a few only share it.
const PARALLEL: usize = 4;
/// The age from which a file aside belongs to nobody any more: no upload rests for a day.
const LEFT_BEHIND: Duration = Duration::from_secs(24 * 60 * 60);
