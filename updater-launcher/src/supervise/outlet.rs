//! Standard output and error, written only as far as their readers take it at once.

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::os::fd::BorrowedFd;

/// One of the two streams.
#[derive(Debug, Clone, Copy)]
pub(super) struct Outlet(BorrowedFd<'static>);

/// Returns standard output.
pub(super) fn stdout() -> Outlet {
    Outlet(rustix::stdio::stdout())
}

/// Returns standard error.
pub(super) fn stderr() -> Outlet {
    Outlet(rustix::stdio::stderr())
}

impl Outlet {
    /// Takes as much as is taken now. A reader that is gone takes everything.
    pub(super) fn take(self, pending: &mut Vec<u8>) {
        while !pending.is_empty() && self.is_ready() {
            // At most what a pipe with room takes at once.
            match rustix::io::write(self.0, pending.get(..pending.len().min(ATOMIC)).unwrap_or_default()) {
                Ok(written) => drop(pending.drain(..written)),
                Err(rustix::io::Errno::INTR) => {}
                Err(rustix::io::Errno::AGAIN) => return,
                Err(_) => pending.clear(),
            }
        }
    }

    /// Tells whether bytes that were taken are still on their way: never, they are the kernel's.
    #[expect(clippy::unused_self, reason = "on Windows a thread may be at work")]
    pub(super) fn is_busy(self) -> bool {
        false
    }

    /// Returns what the loop waits for until there is room.
    pub(super) fn fd(self) -> BorrowedFd<'static> {
        self.0
    }

    /// Tells whether a write does not have to wait: there is room, or nobody who could make any.
    fn is_ready(self) -> bool {
        let mut fds = [PollFd::from_borrowed_fd(self.0, PollFlags::OUT)];
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        poll(&mut fds, Some(&now)).is_ok_and(|ready| ready > 0)
    }
}

/// Writes one line to standard error if its reader takes it at once. Returns whether it did.
pub(super) fn show_line(line: &[u8]) -> bool {
    let mut pending = line.get(..line.len().min(ATOMIC)).unwrap_or_default().to_vec();
    stderr().take(&mut pending);
    pending.is_empty()
}

/// The most bytes of one write: a pipe that is ready has room for so many (PIPE_BUF).
const ATOMIC: usize = 4096;
