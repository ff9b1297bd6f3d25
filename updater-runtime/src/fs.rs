//! Files: every write of an install goes through here, so that each is durable, private and named in its error.
//!
//! No other module of staging and installing calls the file system by itself.

#![expect(clippy::disallowed_methods, reason = "the one place that changes files")]

mod dir;
mod entries;
mod space;

pub(crate) use dir::Dir;
pub(crate) use entries::Entry;
pub(crate) use space::space;

use rustix::fs::{AtFlags, CWD, Gid, Mode, OFlags, RenameFlags};
use std::ffi::OsString;
use std::fs::{File, Metadata};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
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
            ErrorKind::PermissionDenied => "run as the user who installed the app, or ask them to update it",
            ErrorKind::ReadOnlyFilesystem => "the file system is read-only; update the copy that it was made from",
            _ => "check the file system and the permissions of this path, then try again",
        }
    }
}

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

/// Creates a file that must not exist, with exactly these permission bits, for writing.
pub(crate) fn create_new(path: &Path, mode: u32) -> PathResult<File> {
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::RDWR | OFlags::CLOEXEC;
    let file = rustix::fs::openat(CWD, path, flags, Mode::from_raw_mode(mode))
        .map(File::from)
        .map_err(|error| PathError::new("create", path, error))?;
    Ok(file)
}

/// Writes a file that must not exist, with exactly these permission bits, durably but for its entry in the folder.
pub(crate) fn write_new(path: &Path, bytes: &[u8], mode: u32) -> PathResult<()> {
    let mut file = create_new(path, 0o600)?;
    // The mode before the sync: a power cut must not leave a file that only its owner can read.
    file.write_all(bytes)
        .and_then(|()| file.set_permissions(std::fs::Permissions::from_mode(mode)))
        .and_then(|()| file.sync_all())
        .map_err(|source| PathError::new("write", path, source))
}

/// Reads a small regular file; `None` when there is none.
pub(crate) fn read_bounded(path: &Path, limit: u64) -> PathResult<Option<Vec<u8>>> {
    let Some(file) = open_regular(path)? else { return Ok(None) };
    let mut bytes = Vec::new();
    file.take(limit).read_to_end(&mut bytes).map_err(|source| PathError::new("read", path, source))?;
    Ok(Some(bytes))
}

/// Opens a regular file for reading without following a link at its end; `None` when there is none.
pub(crate) fn open_regular(path: &Path) -> PathResult<Option<File>> {
    // Without NONBLOCK a pipe that lies here would hold us for ever.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    match rustix::fs::openat(CWD, path, flags, Mode::empty()) {
        Ok(fd) => require_regular(File::from(fd), path).map(Some),
        Err(rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR) => Ok(None),
        Err(error) => Err(PathError::new("open", path, error)),
    }
}

/// Opens a lock file for reading and writing; `None` when there is none.
pub(crate) fn open_lock(path: &Path) -> PathResult<Option<File>> {
    let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    match rustix::fs::openat(CWD, path, flags, Mode::empty()) {
        Ok(fd) => require_regular(File::from(fd), path).map(Some),
        Err(rustix::io::Errno::NOENT) => Ok(None),
        Err(error) => Err(PathError::new("open", path, error)),
    }
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

/// Makes a folder that only this user can enter, or takes one that is there and is exactly that. Its parent must exist.
pub(crate) fn private_dir(path: &Path) -> PathResult<()> {
    match rustix::fs::mkdirat(CWD, path, Mode::RWXU) {
        Ok(()) => return sync_parent(path),
        Err(rustix::io::Errno::EXIST) => {}
        Err(error) => return Err(PathError::new("create the folder", path, error)),
    }
    let metadata = require(path)?;
    if !metadata.is_dir() {
        return Err(PathError::new("use as a folder", path, rustix::io::Errno::NOTDIR));
    }
    if metadata.uid() != rustix::process::geteuid().as_raw() {
        return Err(PathError::new("use the folder of another user", path, rustix::io::Errno::PERM));
    }
    if metadata.mode() & 0o7777 != 0o700 {
        set_mode(path, 0o700)?;
    }
    Ok(())
}

/// As [`private_dir`], and removes whatever else lies there: for names that are ours alone. Links are not followed.
pub(crate) fn own_dir(path: &Path) -> PathResult<()> {
    if metadata(path)?.is_some_and(|there| !there.is_dir()) {
        remove_file(path)?;
    }
    private_dir(path)
}

/// Makes a folder with mode 0755 unless it is there.
pub(crate) fn create_dir(path: &Path) -> PathResult<()> {
    match rustix::fs::mkdirat(CWD, path, Mode::from_raw_mode(0o755)) {
        Ok(()) => set_mode(path, 0o755),
        Err(rustix::io::Errno::EXIST) if require(path)?.is_dir() => Ok(()),
        Err(error) => Err(PathError::new("create the folder", path, error)),
    }
}

/// Renames, replacing a file that is there. One file system only.
pub(crate) fn rename(from: &Path, to: &Path) -> PathResult<()> {
    rustix::fs::renameat(CWD, from, CWD, to).map_err(|error| PathError::new("rename", from, error))
}

/// Exchanges two paths in one step. Fails without effect where the file system cannot.
pub(crate) fn exchange(one: &Path, other: &Path) -> PathResult<()> {
    rustix::fs::renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE)
        .map_err(|error| PathError::new("exchange", one, error))
}

/// Gives a file a second name.
pub(crate) fn hard_link(from: &Path, to: &Path) -> PathResult<()> {
    rustix::fs::linkat(CWD, from, CWD, to, AtFlags::empty()).map_err(|error| PathError::new("link", from, error))
}

/// Makes a link at a path that must not exist.
pub(crate) fn symlink(target: &Path, at: &Path) -> PathResult<()> {
    rustix::fs::symlinkat(target, CWD, at).map_err(|error| PathError::new("create the link", at, error))
}

/// Copies a regular file to a path that must not exist, with its permission bits, durably.
pub(crate) fn copy(from: &Path, to: &Path) -> PathResult<()> {
    let missing = || PathError::new("copy", from, rustix::io::Errno::NOENT);
    let mut source = open_regular(from)?.ok_or_else(missing)?;
    let mode = source.metadata().map_err(|error| PathError::new("inspect", from, error))?.mode() & 0o777;
    let mut target = create_new(to, 0o600)?;
    std::io::copy(&mut source, &mut target).map_err(|error| PathError::new("copy", from, error))?;
    target
        .set_permissions(std::fs::Permissions::from_mode(mode))
        .and_then(|()| target.sync_all())
        .map_err(|error| PathError::new("write", to, error))
}

/// Removes a file; that there is none is no error.
pub(crate) fn remove_file(path: &Path) -> PathResult<()> {
    ignore_missing(std::fs::remove_file(path)).map_err(|source| PathError::new("remove", path, source))
}

/// Removes whatever lies at a path, links not followed; that there is nothing is no error.
pub(crate) fn remove_all(path: &Path) -> PathResult<()> {
    let removed = match metadata(path)? {
        None => Ok(()),
        Some(metadata) if metadata.is_dir() => match std::fs::remove_dir_all(path) {
            Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
                // A folder that its user has closed to writing goes as well.
                Dir::open(path).and_then(|folder| open_up(&folder, 0))?;
                std::fs::remove_dir_all(path)
            }
            other => other,
        },
        Some(_) => std::fs::remove_file(path),
    };
    ignore_missing(removed).map_err(|source| PathError::new("remove", path, source))
}

/// Makes all folders in a folder writable for their owner.
fn open_up(folder: &Dir, depth: usize) -> PathResult<()> {
    rustix::fs::fchmod(folder, Mode::RWXU)
        .map_err(|error| PathError::new("set the permissions of", folder.path(), error))?;
    for name in folder.names()? {
        if depth < MAX_DEPTH && folder.entry(&name)?.is_some_and(|entry| entry.is_dir) {
            open_up(&folder.folder(&name)?, depth + 1)?;
        }
    }
    Ok(())
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
        Err(error) if error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error()) => Ok(None),
        Err(source) => Err(PathError::new("inspect", path, source)),
    }
}

/// Returns what lies at a path, which must be there, links not followed.
pub(crate) fn require(path: &Path) -> PathResult<Metadata> {
    metadata(path)?.ok_or_else(|| PathError::new("find", path, rustix::io::Errno::NOENT))
}

/// Resolves every link in a path.
pub(crate) fn canonical(path: &Path) -> PathResult<PathBuf> {
    std::fs::canonicalize(path).map_err(|source| PathError::new("resolve", path, source))
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

/// Sets the permission bits of a file or folder.
pub(crate) fn set_mode(path: &Path, mode: u32) -> PathResult<()> {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))
        .map_err(|source| PathError::new("set the permissions of", path, source))
}

/// Gives a file the group of another, so that who could run the one can run the other.
pub(crate) fn set_group_like(path: &Path, like: &Path) -> PathResult<()> {
    let (ours, theirs) = (require(path)?.gid(), require(like)?.gid());
    if ours == theirs {
        return Ok(());
    }
    match rustix::fs::chownat(CWD, path, None, Some(Gid::from_raw(theirs)), AtFlags::SYMLINK_NOFOLLOW) {
        // A group that this user is not in cannot be given.
        Err(rustix::io::Errno::PERM) if !rustix::process::geteuid().is_root() => Ok(()),
        other => other.map_err(|error| PathError::new("set the group of", path, error)),
    }
}

/// Makes the entries of a folder durable.
pub(crate) fn sync_dir(path: &Path) -> PathResult<()> {
    let synced = File::open(path).and_then(|folder| folder.sync_all());
    synced.map_err(|source| PathError::new("make durable", path, source))
}

/// Makes the entry of a file in its folder durable.
pub(crate) fn sync_parent(path: &Path) -> PathResult<()> {
    path.parent().map_or(Ok(()), sync_dir)
}

/// Tells whether this user may make, rename and remove entries of a folder: `Ok`, or what the system says against it.
pub(crate) fn check_writable(folder: &Path) -> Result<(), rustix::io::Errno> {
    use rustix::fs::Access;
    rustix::fs::accessat(CWD, folder, Access::WRITE_OK | Access::EXEC_OK, AtFlags::EACCESS)
}

/// Opens the program that this process runs, whatever has happened to its path since.
pub(crate) fn running_program() -> PathResult<File> {
    let path = if cfg!(target_os = "linux") {
        PathBuf::from("/proc/self/exe")
    } else {
        std::env::current_exe().map_err(|source| PathError::new("find", "the running program", source))?
    };
    File::open(&path).map_err(|source| PathError::new("open", &path, source))
}

/// Tells whether an open file is the one that now lies at a path.
pub(crate) fn is_same_file(file: &File, path: &Path) -> PathResult<bool> {
    let open = file.metadata().map_err(|source| PathError::new("inspect", path, source))?;
    Ok(metadata(path)?.is_some_and(|there| (there.dev(), there.ino()) == (open.dev(), open.ino())))
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
    let name = path.file_name().ok_or_else(|| PathError::new("write", path, rustix::io::Errno::ISDIR))?;
    let mut temporary = OsString::from(".");
    temporary.push(name);
    temporary.push(format!(".{}-{}.tmp", std::process::id(), COUNTER.fetch_add(1, Ordering::Relaxed)));
    let temporary = path.with_file_name(temporary);
    // A process with our number that was killed may have left one.
    remove_file(&temporary)?;
    Ok(temporary)
}

/// How deep folders are opened up for their removal: 256, twice what a path of 255 bytes can hold in a release.
const MAX_DEPTH: usize = 256;

#[cfg(test)]
mod tests;
