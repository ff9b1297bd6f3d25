//! A repository in memory that signs when it is asked, with a clock of its own: change a field, and it is served at once.
//!
//! ```no_run
//! # use updater_tests::simulator::RepositorySimulator;
//! let sim = RepositorySimulator::new();
//! sim.repo().release("stable", "1.1.0", b"bytes");
//! sim.repo().timestamp.expires = sim.clock.yesterday();
//! // A client with `sim.transport()` now finds the release behind a stale timestamp.
//! ```
//!
//! It is a [`Transport`], so that the client's own code runs from the request to the verdict, and it can fail in every way
//! in which a server, a mirror or a network can ([`Fault`]).

mod client;
mod faults;
mod keys;
mod repository;

pub use client::SimulatedClient;
pub use faults::Fault;
pub use keys::{SigningKey, keyring, sign, sign_value};
pub use repository::{Repository, Signers};

use crate::clock::SimulatedClock;
use std::io::Cursor;
use std::sync::{Arc, Mutex, MutexGuard, TryLockError};
use std::time::Duration;
use updater_format::{Sha256, UtcTime};
use updater_runtime::transport::{Body, FetchError, FetchRequest, Fetched, Transport};

/// The platform of every simulated release.
pub const TRIPLE: &str = "x86_64-unknown-linux-gnu";

/// A simulated repository. Clones are the same repository; [`RepositorySimulator::copy`] makes another.
#[derive(Debug, Clone)]
pub struct RepositorySimulator {
    /// The clock of the repository and its clients.
    pub clock: SimulatedClock,
    repository: Arc<Mutex<Repository>>,
    log: Arc<Mutex<Vec<Request>>>,
}

/// One request and how it was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The path below the repository, for example `metadata/timestamp.json`.
    pub path: String,
    /// Bytes of the body that were there to be sent; `None` where no body was.
    pub bytes: Option<u64>,
    /// Whether a cache between here and there was told to ask again.
    pub no_cache: bool,
}

impl RepositorySimulator {
    /// Makes a repository of the app `hello` with the channels `stable` and `beta`, both empty.
    #[must_use]
    pub fn new() -> Self {
        Self::on(SimulatedClock::default())
    }

    /// Makes the same repository as of another moment: today, for clients that look at the system's clock.
    #[must_use]
    pub fn starting_at(now: UtcTime) -> Self {
        Self::on(SimulatedClock::at(now))
    }

    fn on(clock: SimulatedClock) -> Self {
        Self { repository: Arc::new(Mutex::new(Repository::new(&clock))), log: Arc::default(), clock }
    }

    /// Makes an independent repository of the same content and the same clock: a mirror, or what an attacker starts from.
    #[must_use]
    pub fn copy(&self) -> Self {
        Self { clock: self.clock.clone(), repository: Arc::new(Mutex::new(self.repo().clone())), log: Arc::default() }
    }

    /// Opens the repository for changes. Requests wait meanwhile, so the guard must not outlive its statement; in the
    /// head of a `for` or `if let` it does.
    /// # Panics
    /// When it is still open elsewhere after some seconds, which would be for ever.
    pub fn repo(&self) -> MutexGuard<'_, Repository> {
        for _ in 0..2000 {
            match self.repository.try_lock() {
                Ok(guard) => return guard,
                Err(TryLockError::Poisoned(poisoned)) => return poisoned.into_inner(),
                Err(TryLockError::WouldBlock) => std::thread::sleep(Duration::from_millis(1)),
            }
        }
        panic!("the repository is still open from an earlier call of `repo`");
    }

    /// Returns the paths of all files that are there now.
    #[must_use]
    pub fn files(&self) -> Vec<String> {
        self.repo().files()
    }

    /// Returns a file as it is served, without its fault.
    /// # Panics
    /// When there is no such file.
    #[must_use]
    pub fn file(&self, path: &str) -> Vec<u8> {
        self.repo().file(path).unwrap_or_else(|| panic!("there is no file {path}"))
    }

    /// Makes a client of this repository that has never checked and has today's root compiled in.
    #[must_use]
    pub fn client(&self) -> SimulatedClient {
        let embedded = self.repo().root_bytes();
        SimulatedClient::new(self, embedded)
    }

    /// Lets something go wrong with a file, given by its path, for example `metadata/timestamp.json`.
    pub fn fault(&self, path: &str, fault: Fault) {
        self.repo().faults.insert(path.to_owned(), fault);
    }

    /// Returns the paths that were asked for since the last call.
    pub fn take_requests(&self) -> Vec<String> {
        self.take_log().into_iter().map(|request| request.path).collect()
    }

    /// Returns the requests since the last call.
    pub fn take_log(&self) -> Vec<Request> {
        std::mem::take(&mut *self.log.lock().unwrap_or_else(std::sync::PoisonError::into_inner))
    }

    /// Returns this repository as a transport.
    #[must_use]
    pub fn transport(&self) -> Arc<dyn Transport> {
        Arc::new(self.clone())
    }

    fn note(&self, request: &FetchRequest, path: &str, bytes: Option<u64>) {
        let no_cache = request.freshness == updater_runtime::transport::Freshness::Revalidate;
        let path = path.to_owned();
        self.log.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(Request { path, bytes, no_cache });
    }
}

impl Default for RepositorySimulator {
    fn default() -> Self {
        Self::new()
    }
}

impl Transport for RepositorySimulator {
    fn fetch(&self, request: &FetchRequest) -> Result<Fetched, FetchError> {
        let url = request.url.expose();
        let path = ["metadata/", "targets/"].iter().find_map(|folder| url.find(folder).map(|at| &url[at..]));
        let path = path.unwrap_or_default();
        let (fault, file, etags) = {
            let repo = self.repo();
            (repo.faults.get(path).cloned(), repo.file(path), repo.etags)
        };
        let not_found = || FetchError::NotFound { url: request.url.clone() };
        if let Some(fault) = fault {
            self.note(request, path, None);
            return fault.answer(request, file);
        }
        let Some(bytes) = file else {
            self.note(request, path, None);
            return Err(not_found());
        };
        let etag = etags.then(|| format!("\"{}\"", Sha256::of(&bytes)));
        if etag.is_some() && etag == request.known_etag {
            self.note(request, path, None);
            return Ok(Fetched::NotModified);
        }
        let start = match &request.resume {
            Some(resume) if resume.etag == etag && resume.offset <= bytes.len() as u64 => resume.offset,
            _ => 0,
        };
        let mut body = Cursor::new(bytes);
        body.set_position(start);
        let length = body.get_ref().len() as u64 - start;
        self.note(request, path, Some(length));
        Ok(Fetched::Body(
            Body::new(request, Box::new(body)).with_start(start).with_length(Some(length)).with_etag(etag),
        ))
    }
}

/// Several repositories, each under its own host: mirrors that may disagree.
#[derive(Debug, Clone, Default)]
pub struct Network(Vec<(String, RepositorySimulator)>);

impl Network {
    /// Puts a repository under a URL, for example `https://a.example/`.
    #[must_use]
    pub fn with(mut self, base: &str, repository: &RepositorySimulator) -> Self {
        self.0.push((base.to_owned(), repository.clone()));
        self
    }
}

impl Transport for Network {
    fn fetch(&self, request: &FetchRequest) -> Result<Fetched, FetchError> {
        let url = request.url.expose();
        match self.0.iter().find(|(base, _)| url.starts_with(base)) {
            Some((_, repository)) => repository.fetch(request),
            None => Err(FetchError::Connect { url: request.url.clone(), detail: "nobody lives here".to_owned() }),
        }
    }
}
