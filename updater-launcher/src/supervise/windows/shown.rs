//! What is written to whoever watches: at his pace, by a thread for each stream, and never so that the loop stands still. A
//! console in which text is marked, and a pipe that nobody reads, take nothing for as long as they like.

use super::bell;
use super::turn::Sink;
use std::io::Write;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, OnceLock, PoisonError};
use std::time::Duration;

/// The app's output on its way to whoever has started `run`. While the last bytes of a stream were not taken no more are
/// read from it: the app waits, as it would without a launcher.
#[derive(Debug)]
pub(super) struct Shown {
    is_wanted: bool,
    out: Vec<u8>,
    err: Vec<u8>,
}

impl Shown {
    pub(super) fn new(is_wanted: bool) -> Self {
        Self { is_wanted, out: Vec::new(), err: Vec::new() }
    }

    /// Takes bytes of a stream, if they are shown at all.
    pub(super) fn add(&mut self, of: Sink, bytes: &[u8]) {
        if self.is_wanted
            && let Some((pending, _)) = self.stream(of)
        {
            pending.extend_from_slice(bytes);
            self.pass_on();
        }
    }

    /// Passes on what can be passed on now.
    pub(super) fn pass_on(&mut self) {
        for of in [Sink::Out, Sink::Err] {
            if let Some((pending, writer)) = self.stream(of)
                && !pending.is_empty()
                && writer.try_send(pending)
            {
                pending.clear();
            }
        }
    }

    /// Tells whether the reader of a stream has not taken yet what was read last from it.
    pub(super) fn is_blocked_for(&self, of: Sink) -> bool {
        match of {
            Sink::Out => !self.out.is_empty(),
            Sink::Err => !self.err.is_empty(),
            Sink::Own | Sink::Job => false,
        }
    }

    /// Tells whether anything was not taken yet.
    pub(super) fn is_blocked(&self) -> bool {
        let is_busy = |writer: &OnceLock<Writer>| writer.get().is_some_and(Writer::is_busy);
        !self.out.is_empty() || !self.err.is_empty() || is_busy(&STDOUT) || (self.is_wanted && is_busy(&STDERR))
    }

    fn stream(&mut self, of: Sink) -> Option<(&mut Vec<u8>, &'static Writer)> {
        match of {
            Sink::Out => Some((&mut self.out, STDOUT.get_or_init(|| Writer::of(std::io::stdout())))),
            Sink::Err => Some((&mut self.err, stderr())),
            Sink::Own | Sink::Job => None,
        }
    }
}

/// Writes one line to standard error if its reader takes it at once. Returns whether it did.
pub(super) fn show_line(line: &[u8]) -> bool {
    let writer = stderr();
    let is_sent = writer.try_send(line);
    if is_sent {
        writer.wait(LINE_TIME);
    }
    is_sent
}

static STDOUT: OnceLock<Writer> = OnceLock::new();
static STDERR: OnceLock<Writer> = OnceLock::new();

fn stderr() -> &'static Writer {
    STDERR.get_or_init(|| Writer::of(std::io::stderr()))
}

/// A thread that writes; one piece at a time.
#[derive(Debug)]
struct Writer {
    sender: SyncSender<Vec<u8>>,
    state: Arc<(Mutex<bool>, Condvar)>,
}

impl Writer {
    fn of(to: impl Write + Send + 'static) -> Self {
        let (sender, pieces) = sync_channel(1);
        let state = Arc::new((Mutex::new(false), Condvar::new()));
        let of_thread = Arc::clone(&state);
        std::thread::spawn(move || write_all(to, &pieces, &of_thread));
        Self { sender, state }
    }

    /// Gives it bytes, unless it is still at work.
    fn try_send(&self, bytes: &[u8]) -> bool {
        let mut is_busy = self.state.0.lock().unwrap_or_else(PoisonError::into_inner);
        if *is_busy {
            return false;
        }
        // A reader that is gone takes everything.
        *is_busy = self.sender.send(bytes.to_vec()).is_ok();
        true
    }

    fn is_busy(&self) -> bool {
        *self.state.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait(&self, limit: Duration) {
        let is_busy = self.state.0.lock().unwrap_or_else(PoisonError::into_inner);
        drop(self.state.1.wait_timeout_while(is_busy, limit, |is_busy| *is_busy));
    }
}

fn write_all(mut to: impl Write, pieces: &Receiver<Vec<u8>>, state: &(Mutex<bool>, Condvar)) {
    for piece in pieces {
        let _ = to.write_all(&piece).and_then(|()| to.flush());
        *state.0.lock().unwrap_or_else(PoisonError::into_inner) = false;
        state.1.notify_all();
        bell::ring();
    }
}

/// How long a line of the launcher is waited for: 200 ms. After that lines are left out until it was taken.
const LINE_TIME: Duration = Duration::from_millis(200);
