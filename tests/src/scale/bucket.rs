//! An S3 bucket over a folder that counts what it is asked: enough of the protocol for a publisher and a client of small
//! files, with exact conditions, or with such as some small servers have. Signatures are not looked at. It listens on a free
//! port of 127.0.0.1.

use crate::race::Failure;
use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;
use updater_format::Sha256;

/// A running bucket. Dropping it stops it.
pub struct Bucket {
    address: SocketAddr,
    shared: Arc<Shared>,
    listener: Option<JoinHandle<()>>,
}

/// What was asked of a bucket. Bytes are those of bodies.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Requests for the bytes of an object.
    pub gets: usize,
    /// Requests for what is said of an object.
    pub heads: usize,
    /// Requests that write.
    pub puts: usize,
    /// Any other requests, lists for example.
    pub others: usize,
    /// Bytes that were read.
    pub read: u64,
    /// Bytes that were written.
    pub written: u64,
    /// Bytes of metadata among those that were written.
    pub metadata: u64,
    /// The objects that were read or looked at and are there.
    pub objects_read: BTreeSet<String>,
    /// The objects that were written.
    pub objects_written: BTreeSet<String>,
}

impl Traffic {
    /// Returns the number of requests.
    #[must_use]
    pub fn requests(&self) -> usize {
        self.gets + self.heads + self.puts + self.others
    }

    fn add(&mut self, asked: &Asked) {
        let (key, ok) = (asked.key.clone(), asked.status < 300);
        match asked.method.as_str() {
            "GET" => self.gets += 1,
            "HEAD" => self.heads += 1,
            "PUT" => self.puts += 1,
            _ => self.others += 1,
        }
        self.read += asked.sent;
        match asked.method.as_str() {
            "GET" | "HEAD" if ok => drop(self.objects_read.insert(key)),
            "PUT" if ok => {
                self.written += asked.received;
                self.metadata += if key.starts_with("metadata/") { asked.received } else { 0 };
                self.objects_written.insert(key);
            }
            _ => {}
        }
    }
}

/// One request.
struct Asked {
    method: String,
    key: String,
    status: u16,
    received: u64,
    sent: u64,
}

struct Shared {
    folder: PathBuf,
    traffic: Mutex<Traffic>,
    conditions: Conditions,
    /// Held from the look at a condition to the end of the write, where conditions are exact.
    writing: Mutex<()>,
    /// How many objects were written aside.
    written: AtomicU64,
    stop: AtomicBool,
}

/// What becomes of conditional requests that meet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Conditions {
    /// One of them succeeds.
    Exact,
    /// All of them do that have looked before the first one has written: this long after its look.
    Careless(Duration),
}

impl Bucket {
    /// Starts a bucket of what lies in a folder.
    /// # Errors
    /// When no port is free.
    pub fn start(folder: &Path, conditions: Conditions) -> Result<Self, Failure> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            folder: folder.to_owned(),
            traffic: Mutex::default(),
            conditions,
            writing: Mutex::default(),
            written: AtomicU64::new(0),
            stop: AtomicBool::new(false),
        });
        let accepting = Arc::clone(&shared);
        let listener = std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if accepting.stop.load(Ordering::SeqCst) {
                    break;
                }
                let shared = Arc::clone(&accepting);
                std::thread::spawn(move || shared.converse(&stream));
            }
        });
        Ok(Self { address, shared, listener: Some(listener) })
    }

    /// Returns the address for a publisher.
    #[must_use]
    pub fn storage(&self) -> String {
        format!("s3://bucket?region=us-east-1&endpoint=http://{}", self.address)
    }

    /// Returns the URL for a client.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}/bucket/", self.address)
    }

    /// Returns what was asked since the last time.
    #[must_use]
    pub fn take(&self) -> Traffic {
        std::mem::take(&mut self.shared.traffic.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for Bucket {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        // Wakes the listener up.
        drop(TcpStream::connect(self.address));
        if let Some(listener) = self.listener.take() {
            drop(listener.join());
        }
    }
}

/// What is sent back.
struct Answer {
    status: u16,
    etag: Option<String>,
    body: Vec<u8>,
}

impl Shared {
    /// Answers on one connection until it is closed. Counted before it is answered, so that whoever has the answer finds it
    /// counted.
    fn converse(&self, stream: &TcpStream) -> Option<()> {
        stream.set_nodelay(true).ok()?;
        let mut reader = BufReader::new(stream);
        while !self.stop.load(Ordering::SeqCst) {
            let mut head = String::new();
            while !head.ends_with("\r\n\r\n") {
                if (&mut reader).take(64 * 1024).read_line(&mut head).ok()? == 0 {
                    return None;
                }
            }
            let header = |name: &str| {
                let mut lines = head.lines().filter_map(|line| line.split_once(':'));
                lines.find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim().to_owned())
            };
            let mut words = head.split(' ');
            let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
            let length = header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
            if header("expect").is_some() {
                (&*stream).write_all(b"HTTP/1.1 100 Continue\r\n\r\n").ok()?;
            }
            let mut body = vec![0; length];
            reader.read_exact(&mut body).ok()?;
            let answer = self.answer(&method, &target, &header, &body);
            let sent = if method == "HEAD" { 0 } else { answer.body.len() as u64 };
            let key = target.strip_prefix("/bucket/").unwrap_or(&target).to_owned();
            let asked = Asked { method, key, status: answer.status, received: body.len() as u64, sent };
            self.traffic.lock().unwrap_or_else(PoisonError::into_inner).add(&asked);
            let etag = answer.etag.map(|etag| format!("ETag: {etag}\r\n")).unwrap_or_default();
            // A 304 has no length of its own.
            let length =
                if answer.status == 304 { String::new() } else { format!("Content-Length: {}\r\n", answer.body.len()) };
            let head = format!("HTTP/1.1 {} Bucket\r\n{etag}{length}\r\n", answer.status);
            (&*stream).write_all(head.as_bytes()).ok()?;
            if sent > 0 {
                (&*stream).write_all(&answer.body).ok()?;
            }
        }
        Some(())
    }

    fn answer(&self, method: &str, target: &str, header: &impl Fn(&str) -> Option<String>, body: &[u8]) -> Answer {
        let refuse = |status, code: &str| {
            let body = format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>{target}</Message></Error>");
            Answer { status, etag: None, body: body.into_bytes() }
        };
        if method == "GET"
            && let Some(query) =
                target.strip_prefix("/bucket").and_then(|rest| rest.trim_start_matches('/').strip_prefix('?'))
        {
            return Answer { status: 200, etag: None, body: self.list(query).into_bytes() };
        }
        let key = target.strip_prefix("/bucket/").filter(|key| !key.contains("..") && !key.contains('?'));
        let Some(key) = key else { return refuse(501, "NotImplemented") };
        let path = self.folder.join(key);
        let there = || std::fs::read(&path).ok();
        match method {
            "GET" | "HEAD" => {
                let Some(bytes) = there() else { return refuse(404, "NoSuchKey") };
                let etag = tag(&bytes);
                if header("if-none-match").as_ref() == Some(&etag) {
                    return Answer { status: 304, etag: Some(etag), body: Vec::new() };
                }
                let range = header("range").and_then(|range| {
                    let (from, to) = range.strip_prefix("bytes=")?.split_once('-')?;
                    let to = to.parse().unwrap_or(usize::MAX).min(bytes.len().checked_sub(1)?);
                    bytes.get(from.parse().ok()?..=to).map(<[u8]>::to_vec)
                });
                match range {
                    Some(piece) => Answer { status: 206, etag: Some(etag), body: piece },
                    None => Answer { status: 200, etag: Some(etag), body: bytes },
                }
            }
            "PUT" => {
                let _one_at_a_time = (self.conditions == Conditions::Exact).then(|| self.writing.lock());
                let before = there();
                let absent = header("if-none-match").is_some();
                let other = header("if-match").is_some_and(|tag_of| before.as_deref().map(tag) != Some(tag_of));
                if (absent && before.is_some()) || other {
                    return refuse(412, "PreconditionFailed");
                }
                let conditional = absent || header("if-match").is_some();
                if let (Conditions::Careless(pause), true) = (self.conditions, conditional) {
                    std::thread::sleep(pause);
                }
                let aside = path.with_extension(format!("aside-{}", self.written.fetch_add(1, Ordering::Relaxed)));
                let written = path.parent().map_or(Ok(()), std::fs::create_dir_all);
                match written.and_then(|()| std::fs::write(&aside, body)).and_then(|()| std::fs::rename(&aside, &path))
                {
                    Ok(()) => Answer { status: 200, etag: Some(tag(body)), body: Vec::new() },
                    Err(_) => refuse(500, "InternalError"),
                }
            }
            "DELETE" => {
                drop(std::fs::remove_file(&path));
                Answer { status: 204, etag: None, body: Vec::new() }
            }
            _ => refuse(501, "NotImplemented"),
        }
    }

    /// Lists the objects of one folder.
    fn list(&self, query: &str) -> String {
        let prefix = query.split('&').find_map(|pair| pair.strip_prefix("prefix=")).unwrap_or_default();
        let prefix = prefix.replace("%2F", "/");
        let entries = std::fs::read_dir(self.folder.join(&prefix)).into_iter().flatten().filter_map(Result::ok);
        let objects: String = entries
            .filter(|entry| entry.path().is_file() && !entry.file_name().to_string_lossy().contains(".aside-"))
            .map(|entry| {
                let (name, length) = (entry.file_name(), entry.metadata().map_or(0, |metadata| metadata.len()));
                format!(
                    "<Contents><Key>{prefix}{}</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified>\
                     <ETag>\"0\"</ETag><Size>{length}</Size></Contents>",
                    name.to_string_lossy()
                )
            })
            .collect();
        format!(
            "<?xml version=\"1.0\"?><ListBucketResult><Name>bucket</Name><Prefix>{prefix}</Prefix>\
             <IsTruncated>false</IsTruncated>{objects}</ListBucketResult>"
        )
    }
}

fn tag(bytes: &[u8]) -> String {
    format!("\"{}\"", &Sha256::of(bytes).to_string()[..32])
}
