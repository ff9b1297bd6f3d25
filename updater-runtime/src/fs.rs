//! Files: every write of an install goes through here, so that each is durable, private and named in its error.
//!
//! No other module of staging and installing calls the file system by itself. What systems do in different ways is in
//! `unix.rs` and `windows.rs`, under the same names.

#![expect(clippy::disallowed_methods, reason = "the one place that changes files")]

#[cfg(any(target_vendor = "apple", all(test, target_os = "linux")))]
mod attributes;
#[cfg(unix)]
mod dir;
#[cfg(unix)]
mod entries;
#[cfg(unix)]
mod space;
#[cfg_attr(unix, path = "fs/unix.rs")]
#[cfg_attr(windows, path = "fs/windows.rs")]
mod system;

pub(crate) use system::{
    Dir, Entry, canonical, check_writable, create_dir, create_new, device, exchange, has_mode, is_another_users,
    is_in_use, is_open_to_others, is_pointer, is_running_program, is_same_file, keep_beside, open_lock, open_own,
    open_regular, point_at, pointed, private_dir, remove_all, remove_file, rename, replace_program, running_digest,
    running_path, runs_as_administrator, space, stripped, sync_dir, take_access_of, text_of, write_new,
};

use std::ffi::OsString;
use std::fs::{File, Metadata};
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use updater_format::Sha256;
use updater_format::digest::HashingReader;

/// A file operation that failed, with the path it failed on.
#[derive(Debug, thiserror::Error)]
#[error("cannot {operation} {}", path.display())]
pub struct PathError {
    /// What was attempted, as a verb: `write`, `rename`.
    pub operation: &'static str,
    /// On which file or folder.
    pub path: PathBuf,
    /// What the system said.
    pub source: std::io::Error,
}

impl PathError {
    pub(crate) fn new(operation: &'static str, path: impl Into<PathBuf>, source: impl Into<std::io::Error>) -> Self {
        Self { operation, path: path.into(), source: source.into() }
    }

    /// Tells whether the file system or the user's quota is full.
    #[must_use]
    pub fn is_out_of_space(&self) -> bool {
        matches!(self.source.kind(), std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded)
    }

    /// Returns what to do about it.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        use std::io::ErrorKind;
        match self.source.kind() {
            _ if self.is_out_of_space() => "free some space on this file system, then try again",
            _ if is_in_use(&self.source) && cfg!(windows) => {
                "close other programs that use this file or folder (a virus scanner does so for moments), then try again"
            }
            ErrorKind::PermissionDenied => "run as the user who installed the app, or ask them to update it",
            ErrorKind::ReadOnlyFilesystem => "the file system is read-only; update the copy that it was made from",
            _ => "check the file system and the permissions of this path, then try again",
        }
    }
}

/// Says that there is nothing at a path, as the system would.
pub(crate) fn missing(operation: &'static str, path: &Path) -> PathError {
    PathError::new(operation, path, std::io::Error::from_raw_os_error(NOT_FOUND))
}

/// `ENOENT`, and `ERROR_FILE_NOT_FOUND` of Windows.
const NOT_FOUND: i32 = 2;

/// The result of a file operation.
pub(crate) type PathResult<T> = Result<T, PathError>;

/// Replaces a file as a whole: whoever reads it sees the old bytes or the new ones, after a power cut too.
pub(crate) fn atomic_write(path: &Path, bytes: &[u8]) -> PathResult<()> {
    let temporary = temporary_beside(path)?;
    let write = |file: &mut File| file.write_all(bytes).and_then(|()| file.sync_all());
    let written = create_new(&temporary, 0o600)
        .and_then(|mut file| write(&mut file).map_err(|source| PathError::new("write", &temporary, source)))
        .and_then(|()| rename(&temporary, path));
    if written.is_err() {
        // The error being returned says more than a failed cleaning.
        let _ = std::fs::remove_file(&temporary);
    }
    written?;
    sync_parent(path)
}

/// Reads a small regular file; `None` when there is none.
pub(crate) fn read_bounded(path: &Path, limit: u64) -> PathResult<Option<Vec<u8>>> {
    let Some(file) = open_regular(path)? else { return Ok(None) };
    let mut bytes = Vec::new();
    file.take(limit).read_to_end(&mut bytes).map_err(|source| PathError::new("read", path, source))?;
    Ok(Some(bytes))
}

/// Returns the length and digest of a regular file; `None` when there is none.
pub(crate) fn digest(path: &Path) -> PathResult<Option<(u64, Sha256)>> {
    open_regular(path)?.map(|file| digest_of(file, path)).transpose()
}

/// Returns the length and digest of what is read from an open file.
pub(crate) fn digest_of(file: File, path: &Path) -> PathResult<(u64, Sha256)> {
    let mut reader = HashingReader::new(file);
    std::io::copy(&mut reader, &mut std::io::sink()).map_err(|source| PathError::new("read", path, source))?;
    Ok(reader.finish())
}

/// As [`private_dir`], and removes whatever else lies there: for names that are ours alone. Links are not followed.
pub(crate) fn own_dir(path: &Path) -> PathResult<()> {
    if metadata(path)?.is_some_and(|there| !there.is_dir()) {
        remove_file(path)?;
    }
    private_dir(path)
}

/// Tries once to remove a file that nobody needs.
pub(crate) fn try_remove(path: &Path) -> bool {
    std::fs::remove_file(path).is_ok()
}

/// Removes a folder if it is empty and tells whether it is gone.
pub(crate) fn remove_empty_dir(path: &Path) -> bool {
    std::fs::remove_dir(path).is_ok()
}

/// Returns what lies at a path, links not followed; `None` for nothing.
pub(crate) fn metadata(path: &Path) -> PathResult<Option<Metadata>> {
    match std::fs::symlink_metadata(path) {
        Ok(metadata) => Ok(Some(metadata)),
        Err(error) if matches!(error.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory) => {
            Ok(None)
        }
        // A link above that leads to itself.
        Err(error) if system::is_link_loop(&error) => Ok(None),
        Err(source) => Err(PathError::new("inspect", path, source)),
    }
}

/// Returns what lies at a path, which must be there, links not followed.
pub(crate) fn require(path: &Path) -> PathResult<Metadata> {
    metadata(path)?.ok_or_else(|| missing("find", path))
}

/// Returns the names in a folder, sorted; none when the folder is not there.
pub(crate) fn names(path: &Path) -> PathResult<Vec<OsString>> {
    let failed = |source| PathError::new("list", path, source);
    let entries = match std::fs::read_dir(path) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => return Err(failed(source)),
    };
    let mut names = entries.map(|entry| entry.map(|entry| entry.file_name())).collect::<Result<Vec<_>, _>>();
    if let Ok(names) = &mut names {
        names.sort();
    }
    names.map_err(failed)
}

/// Returns a path below a release as a manifest has it, with slashes; `None` for one that is no text.
pub(crate) fn slashed(path: &Path) -> Option<String> {
    let text = path.to_str()?;
    // Elsewhere a backslash is a letter of a name.
    Some(if cfg!(windows) { text.replace('\\', "/") } else { text.to_owned() })
}

/// Makes the entry of a file in its folder durable.
pub(crate) fn sync_parent(path: &Path) -> PathResult<()> {
    path.parent().map_or(Ok(()), sync_dir)
}

fn require_regular(file: File, path: &Path) -> PathResult<File> {
    let metadata = file.metadata().map_err(|source| PathError::new("inspect", path, source))?;
    if metadata.is_file() {
        Ok(file)
    } else {
        Err(PathError::new("read", path, std::io::Error::other("it is not a regular file")))
    }
}

fn ignore_missing(result: std::io::Result<()>) -> std::io::Result<()> {
    match result {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// Names a file that no other process and no other call uses. Its folder belongs to this user, so it needs no secret.
fn temporary_beside(path: &Path) -> PathResult<PathBuf> {
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    let name = path.file_name().ok_or_else(|| PathError::new("write", path, std::io::ErrorKind::IsADirectory))?;
    let mut temporary = OsString::from(".");
    temporary.push(name);
    temporary.push(format!(".{}-{}.tmp", std::process::id(), COUNTER.fetch_add(1, Ordering::Relaxed)));
    let temporary = path.with_file_name(temporary);
    // A process with our number that was killed may have left one.
    remove_file(&temporary)?;
    Ok(temporary)
}

/// Names a file in a folder of ours that is no use any more but cannot be removed yet: a program that still runs, on Windows.
/// What sweeps the folder removes it.
pub(crate) fn spent(folder: &Path) -> PathBuf {
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    folder.join(format!("{SPENT}{}-{}", std::process::id(), COUNTER.fetch_add(1, Ordering::Relaxed)))
}

/// What the names of [`spent`] files begin with.
pub(crate) const SPENT: &str = ".spent-";

#[cfg(test)]
#[cfg(unix)]
mod tests;
#[cfg(test)]
#[cfg(windows)]
#[path = "fs/windows/tests.rs"]
mod tests;
