//! What the caller of the launcher has left open.

use rustix::io::{FdFlags, fcntl_getfd, fcntl_setfd};
use std::os::fd::{BorrowedFd, RawFd};

/// Makes every descriptor but the standard ones end with this program: no child has them. What this program has opened itself
/// ends with it anyway.
/// # Errors
/// What the system says.
pub(crate) fn keep_to_ourselves() -> std::io::Result<()> {
    let numbers: Vec<RawFd> = std::fs::read_dir("/proc/self/fd")?
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|number| *number > 2)
        .collect();
    for number in numbers {
        set_close_on_exec(number);
    }
    Ok(())
}

#[expect(unsafe_code, reason = "what a caller has left is a number, and std has no safe way from there")]
fn set_close_on_exec(number: RawFd) {
    // SAFETY: it was open a moment ago, and is used for two calls that a number which is closed by now only fails.
    let fd = unsafe { BorrowedFd::borrow_raw(number) };
    if let Ok(flags) = fcntl_getfd(fd) {
        let _ = fcntl_setfd(fd, flags | FdFlags::CLOEXEC);
    }
}
