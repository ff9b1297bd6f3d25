//! Proxies for tests. [`TestProxy`] understands `CONNECT`, and leads every tunnel to one address whatever name was asked
//! for. [`FaultyRelay`] passes connections on and breaks some of them.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

/// A running proxy. Dropping it stops it.
#[derive(Debug)]
pub struct TestProxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    listener: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    leads_to: SocketAddr,
    heads: Mutex<Vec<String>>,
    stop: AtomicBool,
}

impl TestProxy {
    /// Starts a proxy on a free port of 127.0.0.1 that leads to `leads_to`.
    pub fn start(leads_to: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared { leads_to, heads: Mutex::default(), stop: AtomicBool::new(false) });
        let accepting = shared.clone();
        let listener = std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok).take(64) {
                if accepting.stop.load(Ordering::SeqCst) {
                    break;
                }
                let shared = accepting.clone();
                std::thread::spawn(move || tunnel(stream, &shared));
            }
        });
        Self { address, shared, listener: Some(listener) }
    }

    /// Returns where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the head of every request so far.
    pub fn heads(&self) -> Vec<String> {
        self.shared.heads.lock().unwrap().clone()
    }
}

impl Drop for TestProxy {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
        if let Some(listener) = self.listener.take() {
            let _ = listener.join();
        }
    }
}

fn tunnel(client: TcpStream, shared: &Shared) -> Option<()> {
    client.set_read_timeout(Some(Duration::from_secs(30))).ok()?;
    let mut reader = BufReader::new(client.try_clone().ok()?);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if (&mut reader).take(16 * 1024).read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    let is_connect = head.starts_with("CONNECT ");
    shared.heads.lock().unwrap().push(head);
    let mut client = client;
    if !is_connect {
        client.write_all(b"HTTP/1.1 405 Test\r\ncontent-length: 0\r\n\r\n").ok()?;
        return None;
    }
    let server = TcpStream::connect(shared.leads_to).ok()?;
    client.write_all(b"HTTP/1.1 200 Test\r\n\r\n").ok()?;
    let (mut from_server, mut to_client) = (server.try_clone().ok()?, client.try_clone().ok()?);
    let back = std::thread::spawn(move || {
        let _ = std::io::copy(&mut from_server, &mut to_client);
        let _ = to_client.shutdown(Shutdown::Both);
    });
    let mut to_server = server;
    let _ = std::io::copy(&mut reader, &mut to_server);
    let _ = to_server.shutdown(Shutdown::Both);
    back.join().ok()
}

/// What happens to a connection through a [`FaultyRelay`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Breakage {
    /// Nothing.
    None,
    /// It is closed after this many bytes of the answer.
    Cut(u64),
    /// It stands still for so long after this many bytes of the answer, and is closed then.
    Stall(u64, Duration),
    /// It is reset before anything was answered.
    Reset,
}

/// A relay to one address, which breaks each connection as it was told. Dropping it stops it.
pub struct FaultyRelay {
    address: SocketAddr,
    stop: Arc<AtomicBool>,
    listener: Option<JoinHandle<()>>,
}

impl FaultyRelay {
    /// Starts a relay on a free port of 127.0.0.1; `breakage` is asked for each connection.
    pub fn start(leads_to: SocketAddr, mut breakage: impl FnMut() -> Breakage + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let listener = std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok).take(MOST_CONNECTIONS) {
                if stopped.load(Ordering::SeqCst) {
                    break;
                }
                let breakage = breakage();
                std::thread::spawn(move || relay(&stream, leads_to, breakage));
            }
        });
        Self { address, stop, listener: Some(listener) }
    }

    /// Returns where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for FaultyRelay {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
        if let Some(listener) = self.listener.take() {
            let _ = listener.join();
        }
    }
}

fn relay(client: &TcpStream, leads_to: SocketAddr, breakage: Breakage) -> Option<()> {
    client.set_read_timeout(Some(Duration::from_secs(30))).ok()?;
    if breakage == Breakage::Reset {
        // A socket that is closed with unread bytes resets the connection.
        client.peek(&mut [0]).ok()?;
        return None;
    }
    let server = TcpStream::connect(leads_to).ok()?;
    let (mut request, mut to_server) = (client.try_clone().ok()?, server.try_clone().ok()?);
    let asking = std::thread::spawn(move || {
        let _ = std::io::copy(&mut request, &mut to_server);
        let _ = to_server.shutdown(Shutdown::Write);
    });
    let (mut answer, mut to_client) = (server.try_clone().ok()?, client.try_clone().ok()?);
    let copied = match breakage {
        Breakage::Cut(bytes) | Breakage::Stall(bytes, _) => std::io::copy(&mut answer.take(bytes), &mut to_client),
        Breakage::None | Breakage::Reset => std::io::copy(&mut answer, &mut to_client),
    };
    if let (Ok(_), Breakage::Stall(_, pause)) = (copied, breakage) {
        std::thread::sleep(pause);
    }
    for stream in [client, &server] {
        let _ = stream.shutdown(Shutdown::Both);
    }
    asking.join().ok()
}

/// The most connections that a relay takes: 10,000, so that a test that retries for ever ends.
const MOST_CONNECTIONS: usize = 10_000;
