//! An HTTP proxy for tests: it understands `CONNECT`, and leads every tunnel to one address whatever name was asked for.

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
