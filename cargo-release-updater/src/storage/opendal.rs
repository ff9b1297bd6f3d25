//! A storage: OpenDAL behind a blocking face, set up for one address.

use super::command::Staging;
use super::conditions::Conditions;
use super::error::{ServiceError, StorageError};
use super::github::{GitHub, GitHubAddress};
use super::lock::StorageLock;
use super::service::Service;
use super::uri::StorageUri;
use crate::repository::TARGETS;
use opendal::{Capability, Operator, blocking};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use updater_format::ReleaseOf;
use updater_format::release::Artifact;

/// One storage, open for reading and writing.
#[derive(Debug, Clone)]
pub struct Storage {
    pub(super) operator: blocking::Operator,
    /// The same without the blocking face, for what must end in time.
    pub(super) timely: Operator,
    /// The same without limits and repetitions: an upload has its own.
    #[cfg(feature = "network")]
    pub(super) bare: Operator,
    /// Does the work of all of them.
    pub(super) runtime: Arc<tokio::runtime::Runtime>,
    pub(super) name: String,
    pub(super) service: Service,
    pub(super) capability: Capability,
    /// Whether what the service says of conditions is true.
    pub(super) conditions: Conditions,
    /// Where the objects are, when the storage is a folder of this machine.
    pub(super) folder: Option<PathBuf>,
    /// What does the work instead of the operators, which OpenDAL has none for.
    pub(super) github: Option<Arc<GitHub>>,
    /// What makes it one that a command writes.
    pub(super) staging: Option<Arc<Staging>>,
    /// Where what clients must not see lies, when that is elsewhere.
    pub(super) private: Option<Arc<Self>>,
    /// Whether nothing is remembered about it.
    pub(super) scratch: bool,
    /// The file that remembers what was published there, when it is not the one beside the keys.
    record: Option<PathBuf>,
    /// How many operations may still be done; a test's crash point.
    budget: Option<Arc<AtomicU64>>,
    /// How long the next write of an object takes; a test's slow network.
    #[cfg(test)]
    pub(super) slow: Arc<std::sync::Mutex<Option<(String, Duration)>>>,
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
            StorageUri::GitHub(address) => Self::open_github(address, |variable| std::env::var(variable).ok()),
            StorageUri::Command => {
                Err(StorageError::Uri { uri: name, rule: "only the table of a project says how it is written" })
            }
            StorageUri::Remote(remote) => {
                #[cfg(feature = "network")]
                install_network();
                let environment = |variable: &str| std::env::var(variable).ok();
                let settings = remote.settings(environment);
                let storage = Self::new(name, remote.service, remote.service.name(), settings, None)?;
                let conditions = Conditions::doubted(remote.is_elsewhere(environment));
                Ok(Self { conditions, ..storage })
            }
        }
    }

    /// Opens a repository on GitHub. `variable` answers for a variable of the process.
    pub(crate) fn open_github(
        address: &GitHubAddress,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, StorageError> {
        let github = Some(Arc::new(GitHub::open(address, variable)?));
        // Never asked for anything: every operation is done by the other field.
        let unused = Self::new(address.to_string(), Service::GitHub, "memory", Vec::new(), None)?;
        Ok(Self { github, ..unused })
    }

    /// Opens a folder of this machine. It is made when something is written.
    /// # Errors
    /// [`StorageError`] when the folder could not be made.
    pub fn open_folder(folder: &Path, name: impl Into<String>) -> Result<Self, StorageError> {
        // Objects are written aside and renamed into place: a reader, and a publisher after a crash, never sees half
        // of one. The folder is hidden and on the same file system.
        let aside = folder.join(ASIDE);
        let settings = [("root", folder), ("atomic_write_dir", &aside)]
            .map(|(key, path)| (key.to_owned(), path.to_string_lossy().into_owned()));
        let absent = missing(&aside);
        let storage = Self::new(name.into(), Service::Folder, "fs", settings.into(), Some(folder.to_owned()))?;
        // OpenDAL makes both when it is set up, and again when it writes: whoever only looks, or mistyped, leaves nothing behind.
        // What somebody has put a file into meanwhile stays.
        for folder in absent {
            let _ = std::fs::remove_dir(folder);
        }
        Ok(storage)
    }

    /// Opens a storage of a service for asking what it offers. Nothing is ever done with it.
    /// # Errors
    /// [`StorageError`] when this build does not reach the service.
    pub fn example(service: Service) -> Result<Self, StorageError> {
        // A folder may be one that cannot be written.
        Self::open(&StorageUri::parse(service.example())?, &std::env::temp_dir())
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
        let bare = Operator::via_iter(scheme, settings).map_err(failed)?;
        let timely = patient(bare.clone(), TRANSFER);
        let operator = {
            let _inside = runtime.enter();
            blocking::Operator::new(timely.clone()).map_err(failed)?
        };
        let capability = operator.info().capability();
        let runtime = Arc::new(runtime);
        Ok(Self {
            operator,
            timely,
            #[cfg(feature = "network")]
            bare,
            runtime,
            name,
            service,
            capability,
            conditions: Conditions::default(),
            folder,
            github: None,
            staging: None,
            private: None,
            scratch: false,
            record: None,
            budget: None,
            #[cfg(test)]
            slow: Arc::default(),
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
        if self.github.is_some() {
            return Coordination::ConditionalReplace;
        }
        let can = &self.capability;
        match (&self.folder, can.write_with_if_not_exists, can.write_with_if_match) {
            (Some(_), ..) => Coordination::Lock,
            (None, true, true) if self.conditions_fail() => Coordination::Claim,
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

    /// Returns where a file of a release is stored.
    #[must_use]
    pub fn artifact_path(&self, artifact: &Artifact, release: ReleaseOf<'_>) -> String {
        match &self.github {
            Some(github) => github.asset_path(artifact.name.as_str(), release),
            None => format!("{TARGETS}/{}", artifact.file()),
        }
    }

    /// Returns where the detached signature of a file is stored: never in a release, because it may be replaced.
    #[must_use]
    pub fn signature_path(artifact: &Artifact) -> String {
        format!("{TARGETS}/{}.minisig", artifact.file())
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

    /// Returns the same storage; what clients must not see lies in the other one.
    #[must_use]
    pub fn with_private(self, private: Option<Self>) -> Self {
        Self { private: private.map(Arc::new), ..self }
    }

    /// Returns where what clients must not see lies, when that is elsewhere.
    #[must_use]
    pub fn private(&self) -> Option<&Self> {
        self.private.as_deref()
    }

    /// Returns where submissions lie: in the private storage if there is one, else here.
    #[must_use]
    pub fn of_submissions(&self) -> &Self {
        self.private().unwrap_or(self)
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

    /// Tells whether what was written is read again at once: everywhere but in a folder of this command's own. What waits
    /// to be handed over is read again when it was.
    pub(super) fn is_read_back(&self) -> bool {
        !self.scratch && self.staging.is_none()
    }

    /// Takes the lock that makes this publisher the only one, where the storage has one: a folder has, others rely on
    /// conditional requests. `waiting` is called once when somebody else holds it.
    /// # Errors
    /// [`StorageError::Io`] when the lock file cannot be opened.
    pub fn lock(&self, waiting: impl FnOnce()) -> Result<Option<StorageLock>, StorageError> {
        let of_staging = self.staging.as_ref().map(|staging| staging.lock.as_path());
        let folder = self.folder.as_deref().or(of_staging);
        folder.map(|folder| StorageLock::acquire(folder, waiting)).transpose()
    }

    /// Refuses a storage that can only be read.
    /// # Errors
    /// [`StorageError::ReadOnly`].
    pub fn must_be_writable(&self) -> Result<(), StorageError> {
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
}

/// Returns a folder and those above it that are not there, the deepest first.
fn missing(folder: &Path) -> Vec<PathBuf> {
    let absent = |folder: &&Path| !folder.as_os_str().is_empty() && folder.symlink_metadata().is_err();
    folder.ancestors().take_while(absent).map(Path::to_owned).collect()
}

/// Ends what takes too long, and repeats what failed for now.
pub(super) fn patient(bare: Operator, longest_piece: Duration) -> Operator {
    let timeout = opendal::layers::TimeoutLayer::new().with_timeout(OPERATION).with_io_timeout(longest_piece);
    let retry = opendal::layers::RetryLayer::new().with_min_delay(FIRST_PAUSE).with_max_times(RETRIES).with_jitter();
    bare.layer(timeout).layer(retry)
}

/// Makes ring the TLS provider of this process, and reqwest OpenDAL's way to the network. Again, it changes nothing.
#[cfg(feature = "network")]
fn install_network() {
    drop(rustls::crypto::ring::default_provider().install_default());
    opendal_http_transport_reqwest::install_default();
}

/// Where objects are written before they are renamed into place. Hidden, so that web servers leave it alone.
pub(super) const ASIDE: &str = ".updater-partial";
/// How often a request that failed for now is sent again: for some six seconds in all, each pause twice as long as the one
/// before. Files that are uploaded are begun again besides.
const RETRIES: usize = 5;
const FIRST_PAUSE: Duration = Duration::from_millis(200);
/// The longest that a request without a body may take.
const OPERATION: Duration = Duration::from_secs(60);
/// The longest that a piece of a download may take, or of an upload that is no request: 8 MiB at 30 KiB/s.
const TRANSFER: Duration = Duration::from_secs(280);
/// Files that are uploaded at the same time: one connection seldom fills a line, and more than a few only share it.
const PARALLEL: usize = 4;
