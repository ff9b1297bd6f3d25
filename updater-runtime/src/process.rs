//! Who this process is, and what system it runs on.

/// Names this process by its number and, because numbers come again, by when it started. An exec changes neither.
pub(crate) fn process_name() -> String {
    format!("{}-{}", std::process::id(), start_time().unwrap_or(0))
}

/// Returns what tells a process that it was restarted by this one. Programs that it starts inherit it, and must know that it
/// is not about them: on Unix the process stays the same, elsewhere it is the child of this one.
pub(crate) fn restart_mark() -> String {
    if cfg!(unix) { process_name() } else { std::process::id().to_string() }
}

/// Returns the mark that this process has if it was restarted.
pub(crate) fn own_mark() -> Option<String> {
    #[cfg(unix)]
    return Some(process_name());
    #[cfg(windows)]
    return crate::win32::parent_process().map(|parent| parent.to_string());
}

/// Returns when this process started, in microseconds since 1970.
#[cfg(target_os = "macos")]
fn start_time() -> Option<u64> {
    crate::apple::start_time()
}

/// Returns when this process started, in the kernel's ticks since boot (field 22 of `/proc/self/stat`).
#[cfg(all(unix, not(target_os = "macos")))]
fn start_time() -> Option<u64> {
    let stat = crate::fs::read_bounded(std::path::Path::new("/proc/self/stat"), 4096).ok()??;
    let stat = String::from_utf8_lossy(&stat).into_owned();
    // The name before it is in parentheses and may hold anything.
    stat.rsplit_once(')')?.1.split_whitespace().nth(19)?.parse().ok()
}

/// Returns when this process started, in units of 100 ns since 1601.
#[cfg(windows)]
fn start_time() -> Option<u64> {
    crate::win32::start_time()
}
