//! The side of the supervisor: accepts clients, checks who they are, and takes their lines apart. Never blocks.

use super::clients::{ClientId, Clients, Link, MAX_INPUT};
use super::protocol::{Reply, Request};
use crate::error::{Error, Result};
use crate::places::Places;
use crate::supervise::Pid;
use std::io::{Read as _, Write as _};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};

/// The socket and its clients. The file is removed when it is dropped.
#[derive(Debug)]
pub(crate) struct Server {
    /// The file of the socket until it is removed: after that somebody else may have one there.
    path: Option<std::path::PathBuf>,
    listener: UnixListener,
    clients: Clients<UnixStream>,
}

impl Server {
    /// Listens. The caller has the lock of the folder, so a socket that is there belongs to nobody.
    pub(crate) fn listen(places: &Places) -> Result<Self> {
        let path = places.socket();
        let failed = |source| Error::file("listen on", &path, source);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
        let listener = places.with_socket(|path| UnixListener::bind(path)).map_err(failed)?;
        // The folder is 0700 already; the socket says so itself.
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).map_err(failed)?;
        listener.set_nonblocking(true).map_err(failed)?;
        Ok(Self { path: Some(path), listener, clients: Clients::new() })
    }

    /// Returns everything that the loop waits for.
    pub(crate) fn fds(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        std::iter::once(self.listener.as_fd()).chain(self.clients.links().map(AsFd::as_fd))
    }

    /// Takes what has come: new clients, and their requests.
    pub(crate) fn receive(&mut self) -> Vec<(ClientId, Request)> {
        while let Ok((stream, _)) = self.listener.accept() {
            if let Some(process) = allowed(&stream)
                && stream.set_nonblocking(true).is_ok()
            {
                self.clients.add(stream, process);
            }
        }
        self.clients.receive()
    }

    /// Answers a client, if it is still there.
    pub(crate) fn reply(&mut self, id: ClientId, reply: &Reply) {
        self.clients.reply(id, reply);
    }

    /// Sends a client every event from now on.
    pub(crate) fn subscribe(&mut self, id: ClientId) {
        self.clients.subscribe(id);
    }

    /// Removes the file of the socket, once: nobody new comes. Clients that are there stay.
    pub(crate) fn stop_listening(&mut self) {
        if let Some(path) = self.path.take() {
            let _ = std::fs::remove_file(path);
        }
    }

    /// Says good-bye to these clients, and to all others without a word.
    pub(crate) fn close(mut self, leaving: &[ClientId]) {
        self.stop_listening();
        for id in leaving {
            self.reply(*id, &Reply::done(serde_json::json!({})));
        }
    }

    /// Tells an event to those who want it. Who does not read is let go.
    pub(crate) fn tell(&mut self, event: &impl serde::Serialize) {
        self.clients.tell(event);
    }
}

impl Link for UnixStream {
    fn receive(&mut self, input: &mut Vec<u8>) -> bool {
        let mut buffer = [0; 4096];
        while input.len() <= MAX_INPUT {
            match self.read(&mut buffer) {
                Ok(0) => return false,
                Ok(n) => input.extend_from_slice(&buffer[..n]),
                Err(error) => return error.kind() == std::io::ErrorKind::WouldBlock,
            }
        }
        false
    }

    fn send(&mut self, bytes: &[u8]) -> bool {
        self.write_all(bytes).is_ok()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop_listening();
    }
}

/// Connects; `None` when nobody listens.
pub(super) fn connect(places: &Places) -> Result<Option<UnixStream>> {
    use std::io::ErrorKind::{ConnectionRefused, NotFound};
    match places.with_socket(|path| UnixStream::connect(path)) {
        Ok(stream) => Ok(Some(stream)),
        Err(error) if matches!(error.kind(), NotFound | ConnectionRefused) => Ok(None),
        Err(source) => Err(Error::file("connect to", &places.socket(), source)),
    }
}

/// Returns the process at the other end, if it belongs to our user or to root.
fn allowed(stream: &UnixStream) -> Option<Pid> {
    let peer = rustix::net::sockopt::socket_peercred(stream).ok()?;
    (peer.uid.is_root() || peer.uid == rustix::process::geteuid()).then_some(peer.pid)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::{Command, ask};

    #[test]
    fn the_socket_of_the_next_launcher_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let places = Places::at(folder.path()).unwrap();
        places.make().unwrap();
        let mut first = Server::listen(&places).unwrap();
        first.stop_listening();
        assert!(!places.socket().exists());
        let next = Server::listen(&places).unwrap();
        first.close(&[]);
        assert!(places.socket().exists(), "removed by the one before");
        drop(next);
        assert!(!places.socket().exists());
    }

    #[test]
    fn a_request_is_answered_and_garbage_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let places = Places::at(folder.path()).unwrap();
        places.make().unwrap();
        assert!(ask(&places, Command::Status, None).unwrap().is_none(), "nobody listens");
        let mut server = Server::listen(&places).unwrap();
        assert_eq!(std::fs::metadata(places.socket()).unwrap().permissions().mode() & 0o777, 0o600);
        let asking = {
            let places = places.clone();
            std::thread::spawn(move || ask(&places, Command::Status, None).unwrap().unwrap())
        };
        let (id, request) = loop {
            match server.receive().pop() {
                Some(found) => break found,
                None => std::thread::sleep(std::time::Duration::from_millis(5)),
            }
        };
        assert_eq!(request.command, Command::Status);
        server.reply(id, &Reply::done(serde_json::json!({"app": "hello"})));
        assert_eq!(asking.join().unwrap()["app"], "hello");

        let mut stream = UnixStream::connect(places.socket()).unwrap();
        stream.write_all(b"garbage\n").unwrap();
        assert!(server.receive().is_empty());
        let mut answer = [0; 512];
        let n = stream.read(&mut answer).unwrap();
        assert!(String::from_utf8_lossy(&answer[..n]).contains("\"ok\":false"));
        // Who sends without end is let go.
        let mut stream = UnixStream::connect(places.socket()).unwrap();
        stream.write_all(&[b'x'; MAX_INPUT + 1]).unwrap();
        server.receive();
        assert_eq!(stream.read(&mut answer).unwrap_or(0), 0);
    }
}
