//! A small static file server on loopback: for trying a repository out, for rehearsals and for tests.
//!
//! It answers what a real web server or bucket answers to a client of ours: ranges, `ETag`, `If-None-Match`, `If-Range`,
//! `HEAD`, and a small 404. Not meant for the internet: no TLS, one request per connection.

mod files;
mod http;

use crate::error::{ExitCode, Explain};
use http::{Head, Reply};
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

/// A running server. Dropping it ends it.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    shared: Arc<Shared>,
    acceptor: Option<JoinHandle<()>>,
}

/// One answered request.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Request {
    /// The method, `GET` or `HEAD` as a rule.
    pub method: String,
    /// The path as the client sent it.
    pub path: String,
    /// The value of its `Range` header.
    pub range: Option<String>,
    /// The status of the answer.
    pub status: u16,
    /// The bytes of the answer's body that were sent.
    pub body_bytes: u64,
}

/// What is told about each request while it is answered.
type Observer = Box<dyn Fn(&Request) + Send + Sync>;

struct Shared {
    root: PathBuf,
    stopping: AtomicBool,
    requests: Mutex<Vec<Request>>,
    /// The connection each worker is busy with, so that stopping does not wait for a slow client.
    busy: Mutex<Vec<Option<TcpStream>>>,
    observer: Option<Observer>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("root", &self.root).finish_non_exhaustive()
    }
}

impl Server {
    /// Serves a folder on a free port of 127.0.0.1.
    /// # Errors
    /// [`ServeError`] when the folder is none or no port can be opened.
    pub fn start(folder: &Path) -> Result<Self, ServeError> {
        Self::start_at(folder, SocketAddr::from(([127, 0, 0, 1], 0)), None)
    }

    /// Serves a folder on an address, and tells `observer` about each request.
    /// # Errors
    /// [`ServeError`] when the folder is none or the address cannot be opened.
    pub fn start_at(folder: &Path, address: SocketAddr, observer: Option<Observer>) -> Result<Self, ServeError> {
        let not_a_folder = |source| ServeError::NoFolder { path: folder.to_owned(), source };
        let root = folder.canonicalize().map_err(not_a_folder)?;
        if !root.is_dir() {
            return Err(not_a_folder(std::io::ErrorKind::NotADirectory.into()));
        }
        let cannot_listen = |source| ServeError::Listen { address, source };
        let listener = TcpListener::bind(address).map_err(cannot_listen)?;
        let address = listener.local_addr().map_err(cannot_listen)?;
        let shared = Arc::new(Shared {
            root,
            stopping: AtomicBool::new(false),
            requests: Mutex::default(),
            busy: Mutex::new((0..WORKERS).map(|_| None).collect()),
            observer,
        });
        let acceptor = {
            let shared = Arc::clone(&shared);
            std::thread::spawn(move || accept(&listener, &shared))
        };
        Ok(Self { address, shared, acceptor: Some(acceptor) })
    }

    /// Returns the base URL, without a trailing `/`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Returns the address that is listened on.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns every request answered so far, in the order in which the answers began.
    #[must_use]
    pub fn requests(&self) -> Vec<Request> {
        locked(&self.shared.requests).clone()
    }

    /// Forgets the requests answered so far.
    pub fn forget_requests(&self) {
        locked(&self.shared.requests).clear();
    }

    /// Serves until the process ends.
    pub fn run(mut self) {
        if let Some(acceptor) = self.acceptor.take() {
            drop(acceptor.join());
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shared.stopping.store(true, Ordering::SeqCst);
        for stream in locked(&self.shared.busy).iter().flatten() {
            drop(stream.shutdown(std::net::Shutdown::Both));
        }
        if let Some(acceptor) = self.acceptor.take() {
            // Wakes the acceptor out of its wait for a connection.
            drop(TcpStream::connect(self.address));
            drop(acceptor.join());
        }
    }
}

/// Hands connections to a fixed number of workers until the server stops.
fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    let (sender, receiver): (SyncSender<TcpStream>, Receiver<TcpStream>) = sync_channel(WAITING);
    let receiver = Arc::new(Mutex::new(receiver));
    let workers: Vec<_> = (0..WORKERS)
        .map(|worker| {
            let (shared, receiver) = (Arc::clone(shared), Arc::clone(&receiver));
            std::thread::spawn(move || work(worker, &shared, &receiver))
        })
        .collect();
    for stream in listener.incoming() {
        if shared.stopping.load(Ordering::SeqCst) {
            break;
        }
        if let Ok(stream) = stream {
            drop(sender.send(stream));
        }
    }
    drop(sender);
    for worker in workers {
        drop(worker.join());
    }
}

fn work(worker: usize, shared: &Shared, receiver: &Mutex<Receiver<TcpStream>>) {
    loop {
        // The lock is held while waiting, so one worker waits and the others queue behind it.
        let Ok(stream) = locked(receiver).recv() else { return };
        if shared.stopping.load(Ordering::SeqCst) {
            continue;
        }
        locked(&shared.busy)[worker] = stream.try_clone().ok();
        // A client that hangs up is no error of the server.
        drop(answer(shared, stream));
        locked(&shared.busy)[worker] = None;
    }
}

/// Reads one request and answers it.
fn answer(shared: &Shared, mut stream: TcpStream) -> std::io::Result<()> {
    stream.set_read_timeout(Some(READ_TIMEOUT))?;
    stream.set_write_timeout(Some(WRITE_TIMEOUT))?;
    let Some(head) = Head::read(&mut stream)? else {
        return stream.write_all(&Reply::status(400).head());
    };
    let mut reply = files::reply(&shared.root, &head);
    let index = {
        let mut requests = locked(&shared.requests);
        requests.push(Request {
            method: head.method.clone(),
            path: head.path.clone(),
            range: head.header("range").map(str::to_owned),
            status: reply.status,
            body_bytes: if head.method == "HEAD" { 0 } else { reply.length },
        });
        if let Some(observer) = &shared.observer {
            observer(&requests[requests.len() - 1]);
        }
        requests.len() - 1
    };
    stream.write_all(&reply.head())?;
    if head.method != "HEAD" {
        let mut sent = 0;
        let outcome = send(&mut reply, &mut stream, &mut sent);
        if outcome.is_err()
            && let Some(request) = locked(&shared.requests).get_mut(index)
        {
            request.body_bytes = sent;
        }
        outcome?;
    }
    stream.flush()
}

fn send(reply: &mut Reply, stream: &mut TcpStream, sent: &mut u64) -> std::io::Result<()> {
    let mut body = (&mut reply.body).take(reply.length);
    let mut buffer = vec![0; 64 * 1024];
    loop {
        match body.read(&mut buffer)? {
            0 => return Ok(()),
            n => stream.write_all(&buffer[..n])?,
        }
        *sent = reply.length - body.limit();
    }
}

/// A panic while a lock was held leaves plain data behind: it stays usable.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Why a folder is not served.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// The folder does not exist or is none.
    #[error("cannot serve {}", path.display())]
    NoFolder {
        /// The path.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The address is taken or not ours.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
}

impl Explain for ServeError {
    fn code(&self) -> ExitCode {
        match self {
            Self::NoFolder { .. } => ExitCode::Storage,
            Self::Listen { .. } => ExitCode::Usage,
        }
    }

    fn hints(&self) -> Vec<String> {
        vec![match self {
            Self::NoFolder { .. } => {
                "name a published folder, or publish first with `cargo updater publish`".to_owned()
            }
            Self::Listen { .. } => {
                "choose another address with `--bind ADDRESS:PORT`; port 0 takes a free one".to_owned()
            }
        }]
    }
}

/// How many requests are answered at once.
const WORKERS: usize = 16;
/// How many accepted connections wait for a worker; the system's own queue holds the rest.
const WAITING: usize = 64;
/// How long a client may take to send its request.
const READ_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(10);
/// How long a client may refuse to take a piece of the answer.
const WRITE_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(30);

#[cfg(test)]
mod tests;
