//! The side of the supervisor on Windows: a named pipe for this user alone. Its name has a random part and stands in
//! `var/run/control.pipe`, in a folder that others cannot read; the first end of the name is the first of all, or none.
//!
//! One thread waits for clients, one for each of them reads. What they find lies in a box that the supervisor empties.

use super::clients::{ClientId, Clients, Link, MAX_INPUT};
use super::protocol::{Reply, Request};
use crate::error::{Error, Result};
use crate::places::{Places, write_atomic};
use crate::record::read_bounded;
use crate::supervise::{Pid, bell};
use crate::win32::Pipe;
use std::fs::{File, OpenOptions};
use std::hash::{BuildHasher as _, Hasher as _};
use std::os::windows::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use updater_format::Sha256;
use windows_sys::Win32::Foundation::ERROR_PIPE_BUSY;
use windows_sys::Win32::Storage::FileSystem::SECURITY_IDENTIFICATION;

/// The pipe and its clients. The file with its name is removed when it is dropped.
#[derive(Debug)]
pub(crate) struct Server {
    path: Option<PathBuf>,
    shared: Arc<Shared>,
    clients: Clients<Client>,
}

/// What the threads and the supervisor share.
#[derive(Debug, Default)]
struct Shared {
    /// Clients that have come.
    new: Mutex<Vec<Arc<Pipe>>>,
    ended: AtomicBool,
}

/// The pipe to a client, and what its thread has read from it.
#[derive(Debug)]
struct Client {
    pipe: Arc<Pipe>,
    input: Arc<Mutex<Input>>,
}

/// What a client has sent and nobody has taken yet.
#[derive(Debug, Default)]
struct Input {
    bytes: Vec<u8>,
    is_over: bool,
}

impl Server {
    /// Listens. The caller has the lock of the folder, so a name that is written there belongs to nobody.
    pub(crate) fn listen(places: &Places) -> Result<Self> {
        let path = places.socket();
        let failed = |source| Error::file("listen on", &path, source);
        let name = new_name(places);
        let first = Pipe::serve(&name, true).map_err(failed)?;
        write_atomic(&path, name.as_bytes())?;
        let shared = Arc::new(Shared::default());
        let of_thread = Arc::clone(&shared);
        std::thread::spawn(move || accept(first, &name, &of_thread));
        Ok(Self { path: Some(path), shared, clients: Clients::new() })
    }

    /// Takes what has come: new clients, and their requests.
    pub(crate) fn receive(&mut self) -> Vec<(ClientId, Request)> {
        let new = std::mem::take(&mut *self.shared.new.lock().unwrap_or_else(PoisonError::into_inner));
        for pipe in new {
            if let Some(process) = pipe.client().ok().and_then(Pid::from_raw) {
                let input = Arc::new(Mutex::new(Input::default()));
                let (of_thread, read) = (Arc::clone(&pipe), Arc::clone(&input));
                std::thread::spawn(move || read_all(&of_thread, &read));
                self.clients.add(Client { pipe, input }, process);
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

    /// Removes the file with the name, once: nobody new comes. Clients that are there stay.
    pub(crate) fn stop_listening(&mut self) {
        if let Some(path) = self.path.take() {
            self.shared.ended.store(true, Ordering::SeqCst);
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

impl Link for Client {
    fn receive(&mut self, input: &mut Vec<u8>) -> bool {
        let mut read = self.input.lock().unwrap_or_else(PoisonError::into_inner);
        input.append(&mut read.bytes);
        !read.is_over
    }

    fn send(&mut self, bytes: &[u8]) -> bool {
        self.pipe.write(bytes, WRITE_TIME).is_ok()
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // Its thread ends with the read that it is in, and hangs up.
        self.input.lock().unwrap_or_else(PoisonError::into_inner).is_over = true;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop_listening();
    }
}

/// Waits for clients until the supervisor ends.
fn accept(first: Pipe, name: &str, shared: &Shared) {
    let mut pipe = first;
    loop {
        let connected = pipe.connect();
        if shared.ended.load(Ordering::SeqCst) {
            return;
        }
        // The next end before this one is served: a name without any would be anybody's to take.
        let next = match Pipe::serve(name, false) {
            Ok(next) => next,
            Err(error) => {
                log::warn!("no more clients are served: {error}");
                return;
            }
        };
        if connected.is_ok() {
            shared.new.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::new(pipe));
            bell::ring();
        }
        pipe = next;
    }
}

/// Reads what a client sends until it goes, or has sent more than anybody has a reason to.
fn read_all(pipe: &Pipe, input: &Mutex<Input>) {
    let mut buffer = [0; 4096];
    loop {
        let read = match pipe.read(&mut buffer, READ_TIME) {
            Err(error) if error.kind() == std::io::ErrorKind::TimedOut => None,
            read => Some(read.unwrap_or(0)),
        };
        let mut input = input.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(read) = read else {
            if input.is_over {
                return;
            }
            continue;
        };
        input.bytes.extend_from_slice(buffer.get(..read).unwrap_or_default());
        input.is_over = input.is_over || read == 0 || input.bytes.len() > 2 * MAX_INPUT;
        let is_over = input.is_over;
        drop(input);
        bell::ring();
        if is_over {
            return;
        }
    }
}

/// Makes a name that nobody can guess or have taken.
fn new_name(places: &Places) -> String {
    let random = std::hash::RandomState::new().build_hasher().finish();
    let time = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let text = format!("{} {} {random} {}", places.root().display(), std::process::id(), time.as_nanos());
    let digest = Sha256::of(text.as_bytes()).to_string();
    format!(r"{PREFIX}{}", digest.get(..32).unwrap_or(&digest))
}

/// Returns the name of the pipe of the supervisor of a folder.
pub(crate) fn pipe_of(places: &Places) -> Option<String> {
    let name = String::from_utf8(read_bounded(&places.socket()).ok()??).ok()?;
    name.starts_with(PREFIX).then_some(name)
}

/// Connects; `None` when nobody listens.
pub(super) fn connect(places: &Places) -> Result<Option<File>> {
    let Some(name) = pipe_of(places) else { return Ok(None) };
    let begin = Instant::now();
    loop {
        let mut options = OpenOptions::new();
        // Whoever serves learns who asks, and cannot act in his name.
        let opened = options.read(true).write(true).security_qos_flags(SECURITY_IDENTIFICATION).open(&name);
        match opened {
            Ok(pipe) => return Ok(Some(pipe)),
            // A name without a launcher: it was killed.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error)
                if error.raw_os_error() == Some(ERROR_PIPE_BUSY.cast_signed()) && begin.elapsed() < BUSY_TIME =>
            {
                std::thread::sleep(Duration::from_millis(10));
            }
            Err(source) => return Err(Error::file("connect to", &places.socket(), source)),
        }
    }
}

/// What the name of every such pipe begins with.
const PREFIX: &str = r"\\.\pipe\updater-launcher-";
/// How long a client waits while others are being accepted.
const BUSY_TIME: Duration = Duration::from_secs(5);
/// How long a client that does not read is waited for, once: its pipe has room for 64 KiB.
const WRITE_TIME: Duration = Duration::from_millis(100);
/// How often a thread that reads looks whether its client was let go: every second.
const READ_TIME: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::{Command, ask};
    use std::io::{Read as _, Write as _};

    fn places() -> (tempfile::TempDir, Places) {
        let folder = tempfile::tempdir().unwrap();
        let places = Places::at(folder.path()).unwrap();
        places.make().unwrap();
        (folder, places)
    }

    fn next(server: &mut Server) -> (ClientId, Request) {
        let begin = Instant::now();
        loop {
            match server.receive().pop() {
                Some(found) => return found,
                None => bell::wait(Some(Duration::from_millis(20))),
            }
            assert!(begin.elapsed() < Duration::from_secs(30), "nothing was asked");
        }
    }

    #[test]
    fn a_request_is_answered_and_garbage_is_refused() {
        let (_folder, places) = places();
        assert!(ask(&places, Command::Status, None).unwrap().is_none(), "nobody listens");
        let mut server = Server::listen(&places).unwrap();
        for number in 0..3 {
            let asking = {
                let places = places.clone();
                std::thread::spawn(move || ask(&places, Command::Status, None).unwrap().unwrap())
            };
            let (id, request) = next(&mut server);
            assert_eq!(request.command, Command::Status);
            assert_eq!(id.process, Pid::from_raw(std::process::id()).unwrap());
            server.reply(id, &Reply::done(serde_json::json!({"number": number})));
            assert_eq!(asking.join().unwrap()["number"], number);
        }
        let mut stream = connect(&places).unwrap().unwrap();
        stream.write_all(b"garbage\n").unwrap();
        let asking = std::thread::spawn(move || {
            let mut answer = [0; 512];
            let n = stream.read(&mut answer).unwrap();
            String::from_utf8_lossy(&answer[..n]).into_owned()
        });
        let begin = Instant::now();
        while !asking.is_finished() && begin.elapsed() < Duration::from_secs(30) {
            assert!(server.receive().is_empty());
            std::thread::sleep(Duration::from_millis(5));
        }
        assert!(asking.join().unwrap().contains("\"ok\":false"));
    }

    #[test]
    fn a_name_is_served_by_the_first_alone_and_forgotten_at_the_end() {
        let (_folder, places) = places();
        let server = Server::listen(&places).unwrap();
        let name = pipe_of(&places).unwrap();
        // Wine 8 lets a second one be the first.
        if !std::path::Path::new(r"C:\windows\system32\winecfg.exe").exists() {
            assert!(Pipe::serve(&name, true).is_err(), "somebody else has taken the name");
        }
        drop(server);
        assert_eq!(pipe_of(&places), None);
        std::fs::write(places.socket(), r"\\server\pipe\updater-launcher-x").unwrap();
        assert_eq!(pipe_of(&places), None, "a pipe of another computer");
        std::fs::write(places.socket(), format!("{PREFIX}0000")).unwrap();
        assert!(ask(&places, Command::Stop, None).unwrap().is_none(), "the name of a launcher that was killed");
    }

    #[test]
    fn who_sends_without_end_is_let_go() {
        let (_folder, places) = places();
        let mut server = Server::listen(&places).unwrap();
        let mut stream = connect(&places).unwrap().unwrap();
        let sending = std::thread::spawn(move || {
            let sent = (0..64).try_for_each(|_| stream.write_all(&[b'x'; 4096]));
            sent.is_err() || stream.read(&mut [0; 16]).unwrap_or(0) == 0
        });
        let begin = Instant::now();
        while !sending.is_finished() && begin.elapsed() < Duration::from_secs(30) {
            assert!(server.receive().is_empty());
            std::thread::sleep(Duration::from_millis(5));
        }
        assert!(sending.join().unwrap());
    }
}
