//! Standard output and error, each written by a thread of its own, so that the loop never waits for their readers.

use super::bell;
use std::io::Write;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, OnceLock, PoisonError};
use std::time::Duration;

/// One of the two streams. Its thread begins with the first bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Outlet(&'static OnceLock<Writer>, fn() -> Writer);

/// Returns standard output.
pub(super) fn stdout() -> Outlet {
    Outlet(&STDOUT, || Writer::of(std::io::stdout()))
}

/// Returns standard error.
pub(super) fn stderr() -> Outlet {
    Outlet(&STDERR, || Writer::of(std::io::stderr()))
}

impl Outlet {
    /// Takes all, or nothing while the last bytes are still on their way. A reader that is gone takes everything.
    pub(super) fn take(self, pending: &mut Vec<u8>) {
        if self.writer().try_send(pending) {
            pending.clear();
        }
    }

    /// Tells whether bytes that were taken are still on their way.
    pub(super) fn is_busy(self) -> bool {
        self.0.get().is_some_and(Writer::is_busy)
    }

    fn writer(self) -> &'static Writer {
        self.0.get_or_init(self.1)
    }
}

/// Writes one line to standard error if its reader takes it at once. Returns whether it did.
pub(super) fn show_line(line: &[u8]) -> bool {
    let writer = stderr().writer();
    let is_sent = writer.try_send(line);
    if is_sent {
        writer.wait(LINE_TIME);
    }
    is_sent
}

static STDOUT: OnceLock<Writer> = OnceLock::new();
static STDERR: OnceLock<Writer> = OnceLock::new();

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
