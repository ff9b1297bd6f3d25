//! An HTTP server for tests: it does what servers do, right and wrong, and keeps a log of what it was asked.
//!
//! Bounded on purpose: it listens on a free port of 127.0.0.1 only, endless answers end after [`MOST_BYTES`], slow ones
//! when the server is dropped.

use rustls::pki_types::pem::PemObject as _;
use std::collections::{BTreeMap, VecDeque};
use std::io::{BufRead as _, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use updater_format::Sha256;

/// A running server. Dropping it stops it.
pub struct TestServer {
    address: SocketAddr,
    scheme: &'static str,
    shared: Arc<Shared>,
    listener: Option<JoinHandle<()>>,
}

/// What the server does when it is asked for a path.
#[derive(Debug, Clone)]
pub enum Answer {
    /// These bytes, with `ETag`, `Range`, `If-Range` and `If-None-Match` as HTTP has them.
    File(Vec<u8>),
    /// These bytes with 200, whatever range or entity tag the request names, and no `ETag`.
    Plain(Vec<u8>),
    /// A status with a body.
    Status(u16, Vec<u8>),
    /// A redirect with this status to this `Location`.
    Redirect(u16, String),
    /// As `File`, but the connection is closed after this many bytes of the body.
    Cut(Vec<u8>, usize),
    /// These bytes without a length, in pieces of the given size with a pause before each.
    Drip(Vec<u8>, usize, Duration),
    /// Zeros without a length for as long as the client reads.
    Endless,
    /// No answer at all until the server is dropped.
    Silence,
    /// These bytes instead of an HTTP response.
    Raw(Vec<u8>),
    /// These bytes instead of an HTTP response, in pieces of the given size with a pause before each.
    RawDrip(Vec<u8>, usize, Duration),
    /// 200 with these headers and this body.
    WithHeaders(Vec<(String, String)>, Vec<u8>),
}

/// One request, and what it was answered.
#[derive(Debug, Clone)]
pub struct LoggedRequest {
    /// `GET` for everything that the updater asks.
    pub method: String,
    /// Path and query.
    pub target: String,
    /// Names in lower case.
    pub headers: BTreeMap<String, String>,
    /// The status that was sent; 0 when there was none.
    pub status: u16,
    /// Bytes of the body that were handed to the system.
    pub body_bytes: usize,
}

#[derive(Default)]
struct Shared {
    answers: Mutex<BTreeMap<String, Answer>>,
    once: Mutex<BTreeMap<String, VecDeque<Answer>>>,
    folder: Mutex<Option<PathBuf>>,
    required: Mutex<Option<(String, String)>>,
    log: Mutex<Vec<LoggedRequest>>,
    stop: AtomicBool,
    connections: AtomicUsize,
    /// Requests that were read and are not in the log yet.
    unlogged: AtomicUsize,
}

impl TestServer {
    /// Starts a server that answers 404 to everything.
    pub fn start() -> Self {
        Self::listen("http", None)
    }

    /// Starts a server that speaks TLS with this certificate chain and key, both PEM.
    pub fn start_tls(chain: &[u8], key: &[u8]) -> Self {
        let chain = rustls::pki_types::CertificateDer::pem_slice_iter(chain).map(Result::unwrap).collect();
        let key = rustls::pki_types::PrivateKeyDer::from_pem_slice(key).unwrap();
        let config = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .unwrap();
        Self::listen("https", Some(Arc::new(config)))
    }

    fn listen(scheme: &'static str, tls: Option<Arc<rustls::ServerConfig>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared::default());
        let accepting = shared.clone();
        let listener = std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if accepting.stop.load(Ordering::SeqCst) {
                    break;
                }
                if accepting.connections.fetch_add(1, Ordering::SeqCst) >= MOST_CONNECTIONS {
                    accepting.connections.fetch_sub(1, Ordering::SeqCst);
                    continue;
                }
                let (shared, tls) = (accepting.clone(), tls.clone());
                std::thread::spawn(move || {
                    let _ = stream.set_read_timeout(Some(Duration::from_secs(30)));
                    let _ = stream.set_nodelay(true);
                    // A client that hangs up is part of many tests.
                    let _ = match tls {
                        Some(config) => rustls::ServerConnection::new(config)
                            .map_err(std::io::Error::other)
                            .and_then(|tls| converse(rustls::StreamOwned::new(tls, stream), &shared)),
                        None => converse(stream, &shared),
                    };
                    shared.connections.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        Self { address, scheme, shared, listener: Some(listener) }
    }

    /// Returns the URL of a path, which must begin with `/`.
    pub fn url(&self, path: &str) -> String {
        // A certificate is for a name; `localhost` is one that needs no network.
        let host = if self.scheme == "https" { "localhost".to_owned() } else { self.address.ip().to_string() };
        format!("{}://{host}:{}{path}", self.scheme, self.address.port())
    }

    /// Returns where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Sets what a path is answered with from now on.
    pub fn set(&self, path: &str, answer: Answer) {
        self.shared.answers.lock().unwrap().insert(path.to_owned(), answer);
    }

    /// Serves a file from memory.
    pub fn put(&self, path: &str, bytes: impl Into<Vec<u8>>) {
        self.set(path, Answer::File(bytes.into()));
    }

    /// Makes a path answer 404 again.
    pub fn remove(&self, path: &str) {
        self.shared.answers.lock().unwrap().remove(path);
    }

    /// Sets what the next request for a path is answered with; several calls queue up. Goes before everything else.
    pub fn once(&self, path: &str, answer: Answer) {
        self.shared.once.lock().unwrap().entry(path.to_owned()).or_default().push_back(answer);
    }

    /// Serves the files of a folder, below everything set for single paths.
    pub fn serve_folder(&self, folder: impl Into<PathBuf>) {
        *self.shared.folder.lock().unwrap() = Some(folder.into());
    }

    /// Answers 401 to every request that does not carry this header.
    pub fn require_header(&self, name: &str, value: &str) {
        *self.shared.required.lock().unwrap() = Some((name.to_ascii_lowercase(), value.to_owned()));
    }

    /// Returns everything asked so far, in the order in which the answers were finished. A client may be done with an
    /// answer before the server has noted it, so this waits a moment for answers under way.
    pub fn log(&self) -> Vec<LoggedRequest> {
        self.wait_for_answers();
        self.shared.log.lock().unwrap().clone()
    }

    fn wait_for_answers(&self) {
        let until = Instant::now() + Duration::from_secs(1);
        while self.shared.unlogged.load(Ordering::SeqCst) > 0 && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Returns everything asked so far and forgets it.
    pub fn take_log(&self) -> Vec<LoggedRequest> {
        self.wait_for_answers();
        std::mem::take(&mut *self.shared.log.lock().unwrap())
    }

    /// Waits until so many requests are in the log, at most ten seconds, and returns it. A client may be done with an
    /// answer before the server has noted it.
    pub fn log_of(&self, count: usize) -> Vec<LoggedRequest> {
        let until = Instant::now() + Duration::from_secs(10);
        loop {
            let log = self.log();
            if log.len() >= count {
                return log;
            }
            assert!(Instant::now() < until, "{count} requests expected: {log:#?}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        // Wakes the listener up.
        let _ = TcpStream::connect(self.address);
        if let Some(listener) = self.listener.take() {
            let _ = listener.join();
        }
    }
}

impl std::fmt::Debug for TestServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "TestServer({})", self.url("/"))
    }
}

/// Answers requests on one connection until it is closed.
fn converse<S: Read + Write>(stream: S, shared: &Shared) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    while !shared.stop.load(Ordering::SeqCst) {
        let Some(mut request) = read_request(&mut stream)? else {
            return Ok(());
        };
        shared.unlogged.fetch_add(1, Ordering::SeqCst);
        let answer = shared.answer(&request);
        let result = send(stream.get_mut(), &mut request, answer, shared);
        shared.log.lock().unwrap().push(request);
        shared.unlogged.fetch_sub(1, Ordering::SeqCst);
        if !result? {
            return Ok(());
        }
    }
    Ok(())
}

fn read_request<S: Read>(stream: &mut BufReader<S>) -> std::io::Result<Option<LoggedRequest>> {
    let mut head = String::new();
    loop {
        let before = head.len();
        let n = stream.take(MOST_HEAD as u64).read_line(&mut head)?;
        if n == 0 {
            return Ok(None);
        }
        if head.len() > MOST_HEAD {
            return Err(ErrorKind::InvalidData.into());
        }
        if head[before..].trim_end().is_empty() {
            break;
        }
    }
    let mut lines = head.lines();
    let mut first = lines.next().unwrap_or_default().split(' ');
    let (method, target) = (first.next().unwrap_or_default().to_owned(), first.next().unwrap_or_default().to_owned());
    let headers = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.trim().to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    Ok(Some(LoggedRequest { method, target, headers, status: 0, body_bytes: 0 }))
}

impl Shared {
    fn answer(&self, request: &LoggedRequest) -> Answer {
        let path = request.target.split('?').next().unwrap_or_default();
        if let Some((name, value)) = &*self.required.lock().unwrap()
            && request.headers.get(name) != Some(value)
        {
            return Answer::Status(401, b"who are you?".to_vec());
        }
        if let Some(answer) = self.once.lock().unwrap().get_mut(path).and_then(VecDeque::pop_front) {
            return answer;
        }
        if let Some(answer) = self.answers.lock().unwrap().get(path) {
            return answer.clone();
        }
        let folder = self.folder.lock().unwrap().clone();
        let file = folder.filter(|_| !path.contains("..")).map(|folder| folder.join(path.trim_start_matches('/')));
        match file.and_then(|file| std::fs::read(file).ok()) {
            Some(bytes) => Answer::File(bytes),
            None => Answer::Status(404, b"no such file\n".to_vec()),
        }
    }
}

/// Sends an answer and tells whether the connection may be used again.
fn send<S: Write>(
    stream: &mut S,
    request: &mut LoggedRequest,
    answer: Answer,
    shared: &Shared,
) -> std::io::Result<bool> {
    let header = |name: &str, value: &dyn std::fmt::Display| (name.to_owned(), value.to_string());
    match answer {
        Answer::File(bytes) => send_file(stream, request, &bytes, usize::MAX),
        Answer::Cut(bytes, after) => send_file(stream, request, &bytes, after),
        Answer::Plain(bytes) => send_whole(stream, request, 200, &[], &bytes),
        Answer::WithHeaders(headers, bytes) => send_whole(stream, request, 200, &headers, &bytes),
        Answer::Status(status, body) => send_whole(stream, request, status, &[], &body),
        Answer::Redirect(status, to) => send_whole(stream, request, status, &[header("location", &to)], b""),
        Answer::Drip(bytes, size, pause) => {
            send_head(stream, request, 200, &[header("connection", &"close")])?;
            for piece in bytes.chunks(size) {
                sleep_unless_stopped(pause, shared)?;
                stream.write_all(piece)?;
                stream.flush()?;
                request.body_bytes += piece.len();
            }
            Ok(false)
        }
        Answer::Endless => {
            send_head(stream, request, 200, &[header("connection", &"close")])?;
            while request.body_bytes < MOST_BYTES && !shared.stop.load(Ordering::SeqCst) {
                stream.write_all(&[0; 16 * 1024])?;
                request.body_bytes += 16 * 1024;
            }
            Ok(false)
        }
        Answer::Silence => {
            sleep_unless_stopped(Duration::from_secs(120), shared)?;
            Ok(false)
        }
        Answer::RawDrip(bytes, size, pause) => {
            for piece in bytes.chunks(size) {
                sleep_unless_stopped(pause, shared)?;
                stream.write_all(piece)?;
                stream.flush()?;
            }
            Ok(false)
        }
        Answer::Raw(bytes) => {
            stream.write_all(&bytes)?;
            stream.flush()?;
            Ok(false)
        }
    }
}

/// Sends a file as RFC 9110 sections 13 and 14 have it, at most `cut` bytes of the body.
fn send_file<S: Write>(stream: &mut S, request: &mut LoggedRequest, bytes: &[u8], cut: usize) -> std::io::Result<bool> {
    let etag = etag_of(bytes);
    let mut headers = vec![("etag".to_owned(), etag.clone()), ("accept-ranges".to_owned(), "bytes".to_owned())];
    if request.headers.get("if-none-match") == Some(&etag) {
        return send_whole(stream, request, 304, &headers, b"");
    }
    let same = request.headers.get("if-range").is_none_or(|tag| *tag == etag);
    let range = request.headers.get("range").and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-'));
    let mut start = 0;
    let mut status = 200;
    if let Some(from) = range.and_then(|from| from.parse::<usize>().ok()).filter(|_| same) {
        if from >= bytes.len() {
            headers.push(("content-range".to_owned(), format!("bytes */{}", bytes.len())));
            return send_whole(stream, request, 416, &headers, b"");
        }
        (start, status) = (from, 206);
        headers.push(("content-range".to_owned(), format!("bytes {from}-{}/{}", bytes.len() - 1, bytes.len())));
    }
    let body = &bytes[start..];
    headers.push(("content-length".to_owned(), body.len().to_string()));
    send_head(stream, request, status, &headers)?;
    let sent = &body[..cut.min(body.len())];
    stream.write_all(sent)?;
    stream.flush()?;
    request.body_bytes = sent.len();
    Ok(sent.len() == body.len())
}

fn send_whole<S: Write>(
    stream: &mut S,
    request: &mut LoggedRequest,
    status: u16,
    headers: &[(String, String)],
    body: &[u8],
) -> std::io::Result<bool> {
    let mut headers = headers.to_vec();
    if status != 304 {
        headers.push(("content-length".to_owned(), body.len().to_string()));
    }
    send_head(stream, request, status, &headers)?;
    stream.write_all(body)?;
    stream.flush()?;
    request.body_bytes = body.len();
    Ok(true)
}

fn send_head<S: Write>(
    stream: &mut S,
    request: &mut LoggedRequest,
    status: u16,
    headers: &[(String, String)],
) -> std::io::Result<()> {
    request.status = status;
    let mut head = format!("HTTP/1.1 {status} Test\r\n");
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    stream.write_all(head.as_bytes())
}

fn sleep_unless_stopped(duration: Duration, shared: &Shared) -> std::io::Result<()> {
    let until = Instant::now() + duration;
    loop {
        if shared.stop.load(Ordering::SeqCst) {
            return Err(ErrorKind::ConnectionAborted.into());
        }
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(());
        }
        std::thread::sleep(left.min(Duration::from_millis(20)));
    }
}

/// Returns the entity tag under which [`Answer::File`] serves these bytes.
pub fn etag_of(bytes: &[u8]) -> String {
    format!("\"{}\"", &Sha256::of(bytes).to_string()[..16])
}

/// The most bytes of an endless answer: far above every limit of the updater, far below what would hurt.
pub const MOST_BYTES: usize = 64 * 1024 * 1024;
/// The most connections at a time.
const MOST_CONNECTIONS: usize = 64;
/// The most bytes of a request's head.
const MOST_HEAD: usize = 64 * 1024;
