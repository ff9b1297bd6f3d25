//! Waiting for anything: one thread for each pipe reads, and the bell wakes the loop.

use super::child::Child;
use super::processes::Pid;
use super::turn::{CHUNK, LONGEST, Sink};
use super::{Supervisor, bell};
use std::fs::File;
use std::io::Read as _;
use std::os::windows::io::OwnedHandle;
use std::process::ChildStdin;
use std::sync::mpsc::{Receiver, TryRecvError, sync_channel};
use std::time::Instant;

/// A pipe from a child.
#[derive(Debug)]
pub(super) struct Stream {
    /// At most one chunk waits here and one in the thread; then the child waits.
    chunks: Receiver<Vec<u8>>,
    to: Sink,
    /// The child that was given it.
    of: Option<Pid>,
    /// Bytes of a job's line that is not whole yet.
    line: Vec<u8>,
}

impl Stream {
    fn new(pipe: OwnedHandle, to: Sink) -> Self {
        let (sender, chunks) = sync_channel(1);
        std::thread::spawn(move || {
            let mut pipe = File::from(pipe);
            let mut buffer = vec![0; CHUNK];
            while let Ok(n) = pipe.read(&mut buffer) {
                if n == 0 || sender.send(buffer.get(..n).unwrap_or_default().to_vec()).is_err() {
                    break;
                }
                bell::ring();
            }
            drop(sender);
            bell::ring();
        });
        Self { chunks, to, of: None, line: Vec::new() }
    }

    pub(super) fn to(&self) -> Sink {
        self.to
    }

    /// Returns the child that was given it, if that is known.
    pub(super) fn of(&self) -> Option<Pid> {
        self.of
    }
}

impl Supervisor {
    /// Watches a child: its end, and what it writes.
    pub(super) fn watch(&mut self, child: Child, out: Sink, err: Sink) -> (Pid, Option<ChildStdin>) {
        self.children.add(child.pid, child.running);
        for (pipe, to) in [(child.stdout, out), (child.stderr, err)] {
            let stream = Stream { of: Some(child.pid), ..Stream::new(pipe, to) };
            self.streams.push(stream);
        }
        self.close_old_streams();
        (child.pid, child.stdin)
    }

    /// Waits until something comes or the time is there, and takes it.
    pub(super) fn turn(&mut self, until: Option<Instant>) {
        self.shown.pass_on();
        bell::wait(until.map(|until| until.saturating_duration_since(Instant::now()).min(LONGEST)));
        self.shown.pass_on();
        self.take_signals();
        self.children.look();
        self.copy_streams();
        if let Some(server) = &mut self.server {
            let requests = server.receive();
            self.take_requests(requests);
        }
    }

    fn copy_streams(&mut self) {
        let mut at = 0;
        while let Some(stream) = self.streams.get_mut(at) {
            // Where nobody has taken yet what was read last, no more is read.
            let taken = if self.shown.blocked(stream.to).is_some() {
                Err(TryRecvError::Empty)
            } else {
                stream.chunks.try_recv()
            };
            match taken {
                Ok(bytes) => {
                    let (to, mut line) = (stream.to, std::mem::take(&mut stream.line));
                    self.take_bytes(to, &mut line, &bytes);
                    if let Some(stream) = self.streams.get_mut(at) {
                        stream.line = line;
                    }
                    // Another may wait already, whose ring was heard.
                    bell::ring();
                    at += 1;
                }
                Err(TryRecvError::Empty) => at += 1,
                Err(TryRecvError::Disconnected) => drop(self.streams.remove(at)),
            }
        }
    }
}
