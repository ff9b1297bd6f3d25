//! Trusted metadata on disk: the exact bytes that were signed, as they were served.
//!
//! What lies here is never believed for lying here. Every file is verified again, from the embedded root on, and one that
//! does not hold is as good as absent: a damaged or planted state costs a download and gains nothing.
//!
//! Layout of the folder: `root.json`, `timestamp.json`, `snapshot.json`, `targets.json`, one `<role>.json` per channel,
//! `roots/<N>.root.json` for every root after the embedded one, `timestamp.etag`, and `lock`, which is empty.

use crate::fs::{self, PathError};
use crate::transport::Url;
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use updater_format::length;
use updater_format::role::RoleName;
use updater_format::signed::Untrusted;
use updater_format::trust::quote;

/// The folder in which a client keeps the metadata it verified. Made, with mode 0700, when something is first kept.
#[derive(Debug, Clone)]
pub struct TrustStore {
    /// `None` keeps nothing: every check is a first check.
    folder: Option<PathBuf>,
}

impl TrustStore {
    /// Uses a folder. Its parent is made if need be; nothing is touched yet.
    #[must_use]
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: Some(folder.into()) }
    }

    /// Keeps nothing, for a program that has no place to keep things: the embedded root remains the only floor.
    #[must_use]
    pub fn nowhere() -> Self {
        Self { folder: None }
    }

    /// Returns what is kept of a role; `None` for nothing, for what cannot be read and for what is beyond its limit.
    #[must_use]
    pub fn read(&self, role: &str) -> Option<Untrusted> {
        self.read_file(&format!("{}.json", quote(role)), limit_of(role))
    }

    /// Keeps the verified bytes of a role, unless they are there already.
    /// # Errors
    /// [`PathError`] when they cannot be written durably.
    pub fn write(&self, role: &str, bytes: &[u8]) -> Result<(), PathError> {
        if self.read(role).is_some_and(|kept| kept.as_bytes() == bytes) {
            return Ok(());
        }
        self.write_file(&format!("{}.json", quote(role)), bytes)
    }

    /// Keeps the verified bytes of a role that `timestamp` led to, unless another process has replaced that timestamp
    /// meanwhile: what lies beside its own then is of that process.
    /// # Errors
    /// [`PathError`] when they cannot be written durably.
    pub fn write_beside(&self, timestamp: &[u8], role: &str, bytes: &[u8]) -> Result<(), PathError> {
        let _lock = self.lock()?;
        match self.read(RoleName::Timestamp.as_str()) {
            Some(kept) if kept.as_bytes() == timestamp => self.write(role, bytes),
            _ => Ok(()),
        }
    }

    /// Keeps other processes from writing for as long as the guard lives. Never held during a request.
    /// # Errors
    /// [`PathError`] when the folder cannot be made, or another process holds the lock for seconds.
    pub(crate) fn lock(&self) -> Result<StoreLock, PathError> {
        let Some(folder) = &self.folder else { return Ok(StoreLock { _file: None }) };
        make_folder(folder)?;
        let path = folder.join(LOCK);
        let begin = Instant::now();
        loop {
            let file = open_lock(&path)?;
            match file.try_lock() {
                // Another process may have put a file in the place of garbage in this moment: its lock is the one.
                Ok(()) if !fs::is_same_file(&file, &path)? => {}
                Ok(()) => return Ok(StoreLock { _file: Some(file) }),
                Err(TryLockError::WouldBlock) if begin.elapsed() < LOCK_PATIENCE => std::thread::sleep(LOCK_PAUSE),
                Err(TryLockError::WouldBlock) => {
                    return Err(PathError::new("lock", path, std::io::Error::from(std::io::ErrorKind::TimedOut)));
                }
                // A file system that knows no locks must not stop the updates.
                Err(TryLockError::Error(error)) => {
                    log::debug!("cannot lock {}: {error}", path.display());
                    return Ok(StoreLock { _file: None });
                }
            }
        }
    }

    /// Returns the kept root of a version.
    #[must_use]
    pub fn read_root(&self, version: u64) -> Option<Untrusted> {
        self.read_file(&format!("{ROOTS}/{version}.root.json"), length::MAX_ROOT)
    }

    /// Keeps a verified root of the chain from the embedded one.
    /// # Errors
    /// [`PathError`] when it cannot be written durably.
    pub fn write_root(&self, version: u64, bytes: &[u8]) -> Result<(), PathError> {
        self.write_file(&format!("{ROOTS}/{version}.root.json"), bytes)
    }

    /// Drops a kept root that does not hold, and with it the rest of its chain, because nothing leads there any more.
    /// # Errors
    /// [`PathError`] when it cannot be removed.
    pub fn drop_root(&self, version: u64) -> Result<(), PathError> {
        self.folder.as_ref().map_or(Ok(()), |folder| {
            log::debug!("the kept root {version} does not hold and is dropped");
            fs::remove_all(&folder.join(ROOTS).join(format!("{version}.root.json")))
        })
    }

    /// Returns the entity tag under which this URL served the kept timestamp.
    #[must_use]
    pub fn read_etag(&self, url: &Url) -> Option<String> {
        let bytes = self.read_file(ETAG, MAX_ETAG_FILE)?;
        let (from, etag) = std::str::from_utf8(bytes.as_bytes()).ok()?.trim_end().split_once('\n')?;
        (from == url.to_string()).then(|| etag.to_owned())
    }

    /// Keeps the entity tag of the timestamp. That it cannot be kept costs a few hundred bytes next time, nothing more.
    pub fn write_etag(&self, url: &Url, etag: Option<&str>) {
        if etag.map(str::to_owned) == self.read_etag(url) {
            return;
        }
        let text = etag.map(|etag| format!("{url}\n{etag}\n")).unwrap_or_default();
        if let Err(error) = self.write_file(ETAG, text.as_bytes()) {
            log::debug!("the entity tag is not kept: {error}");
        }
    }

    fn read_file(&self, name: &str, limit: u64) -> Option<Untrusted> {
        let path = self.folder.as_ref()?.join(name);
        // One byte more than allowed, so that a longer file is noticed.
        let bytes = fs::read_bounded(&path, limit + 1).unwrap_or_else(|error| {
            log::debug!("kept metadata is passed over: {error}");
            None
        })?;
        (bytes.len() as u64 <= limit).then(|| Untrusted::new(bytes))
    }

    fn write_file(&self, name: &str, bytes: &[u8]) -> Result<(), PathError> {
        let Some(folder) = &self.folder else { return Ok(()) };
        let path = folder.join(name);
        make_folder(folder)?;
        if let Some(parent) = path.parent().filter(|parent| parent != folder) {
            if fs::metadata(parent)?.is_some_and(|found| !found.is_dir()) {
                fs::remove_all(parent)?;
            }
            fs::private_dir(parent)?;
        }
        make_way(&path)?;
        fs::atomic_write(&path, bytes)
    }
}

/// The right to replace files of the store, given back when it is dropped or the process ends.
#[derive(Debug)]
pub(crate) struct StoreLock {
    /// `None` where nothing is kept, or the file system knows no locks.
    _file: Option<File>,
}

fn make_folder(folder: &Path) -> Result<(), PathError> {
    make_parents(folder)?;
    fs::private_dir(folder)
}

/// Opens the lock file, and makes it if need be. What else lies there, a link or a pipe, is removed: the folder is this
/// user's alone, and nothing could ever be kept while it lies there.
fn open_lock(path: &Path) -> Result<File, PathError> {
    if fs::metadata(path)?.is_some_and(|found| !found.is_file()) {
        fs::remove_all(path)?;
    }
    if let Some(file) = fs::open_lock(path)? {
        return Ok(file);
    }
    match fs::create_new(path, 0o600) {
        // Another process made it in this moment.
        Err(error) if error.source.kind() == std::io::ErrorKind::AlreadyExists => fs::open_lock(path)?.ok_or(error),
        created => created,
    }
}

/// Removes a folder from where a file of the store belongs: nothing could be kept there, and no app would ever hear of
/// an update again.
fn make_way(path: &Path) -> Result<(), PathError> {
    match fs::metadata(path)? {
        Some(found) if found.is_dir() => fs::remove_all(path),
        _ => Ok(()),
    }
}

/// Makes the folders above that are missing, for this user alone, as the XDG base directory specification wants it.
/// Those that are there are left as they are.
pub(crate) fn make_parents(folder: &Path) -> Result<(), PathError> {
    // The last ancestor of a relative path is the empty one, which is the current folder.
    let is_missing = |path: &&Path| !path.as_os_str().is_empty() && !path.is_dir();
    let missing: Vec<&Path> = folder.ancestors().skip(1).take_while(is_missing).collect();
    missing.into_iter().rev().try_for_each(fs::private_dir)
}

fn limit_of(role: &str) -> u64 {
    match role {
        "root" => length::MAX_ROOT,
        "timestamp" => length::MAX_TIMESTAMP,
        "snapshot" => length::MAX_SNAPSHOT,
        _ => length::MAX_ROLE,
    }
}

/// Not beside the other files: the official conformance suite counts those.
const ROOTS: &str = "roots";
const ETAG: &str = "timestamp.etag";
const LOCK: &str = "lock";
/// How long another process is waited for: 10 seconds, many times what it takes to write a file on a slow disk.
const LOCK_PATIENCE: Duration = Duration::from_secs(10);
const LOCK_PAUSE: Duration = Duration::from_millis(5);
/// Bytes of the file that keeps an entity tag: a URL and a tag.
const MAX_ETAG_FILE: u64 = 8 * 1024;

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(unix)]
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    #[cfg(unix)]
    #[test]
    fn what_is_written_is_private_and_comes_back_byte_for_byte() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join("state/hello/metadata");
        let store = TrustStore::new(&folder);
        assert!(store.read("timestamp").is_none());
        assert!(!home.path().join("state").exists(), "reading made a folder");
        store.write("timestamp", b"{ }\n").unwrap();
        store.write("../up", b"role").unwrap();
        store.write_root(2, b"root two").unwrap();
        assert_eq!(store.read("timestamp").unwrap().as_bytes(), b"{ }\n");
        assert_eq!(store.read_root(2).unwrap().as_bytes(), b"root two");
        assert!(folder.join("..%2Fup.json").is_file(), "a role name is not a path");
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&folder), mode(&folder.join("roots"))), (0o700, 0o700));
        assert_eq!(mode(&folder.join("timestamp.json")), 0o600);
        store.drop_root(2).unwrap();
        assert!(store.read_root(2).is_none());
        TrustStore::nowhere().write("timestamp", b"x").unwrap();
        assert!(TrustStore::nowhere().read("timestamp").is_none());
    }

    #[test]
    fn a_relative_folder_lies_in_the_current_one() {
        make_parents(Path::new("metadata")).unwrap();
        assert!(!Path::new("metadata").exists(), "only what is above it is made");
    }

    #[cfg(unix)]
    #[test]
    fn a_planted_or_oversized_file_is_no_file() {
        let home = tempfile::tempdir().unwrap();
        let store = TrustStore::new(home.path());
        let path = home.path().join("timestamp.json");
        symlink("/etc/passwd", &path).unwrap();
        assert!(store.read("timestamp").is_none());
        std::fs::remove_file(&path).unwrap();
        std::fs::create_dir(&path).unwrap();
        assert!(store.read("timestamp").is_none());
        std::fs::remove_dir(&path).unwrap();
        for (length, is_read) in [(length::MAX_TIMESTAMP, true), (length::MAX_TIMESTAMP + 1, false)] {
            std::fs::write(&path, vec![b' '; usize::try_from(length).unwrap()]).unwrap();
            assert_eq!(store.read("timestamp").is_some(), is_read);
        }
    }

    #[cfg(unix)]
    #[test]
    fn what_is_no_lock_file_gives_way_to_one() {
        let home = tempfile::tempdir().unwrap();
        let store = TrustStore::new(home.path());
        let (path, victim) = (home.path().join(LOCK), home.path().join("victim"));
        std::fs::write(&victim, "precious").unwrap();
        let garbage: [fn(&Path); 4] = [
            |path| symlink("victim", path).unwrap(),
            |path| symlink("nowhere", path).unwrap(),
            |path| std::fs::create_dir_all(path.join("full")).unwrap(),
            |path| assert!(std::process::Command::new("mkfifo").arg(path).status().unwrap().success()),
        ];
        for put in garbage {
            fs::remove_all(&path).unwrap();
            put(&path);
            let lock = store.lock().unwrap();
            assert!(path.symlink_metadata().unwrap().is_file());
            let other = File::options().write(true).open(&path).unwrap();
            assert!(matches!(other.try_lock(), Err(TryLockError::WouldBlock)), "the lock is held");
            drop(lock);
        }
        assert_eq!(std::fs::read(&victim).unwrap(), b"precious");
    }

    #[test]
    fn an_entity_tag_belongs_to_its_server() {
        let home = tempfile::tempdir().unwrap();
        let store = TrustStore::new(home.path());
        let [one, other] = ["https://a.example/t", "https://b.example/t"].map(|url| Url::parse(url).unwrap());
        store.write_etag(&one, Some("\"x\""));
        assert_eq!((store.read_etag(&one).as_deref(), store.read_etag(&other)), (Some("\"x\""), None));
        store.write_etag(&one, None);
        assert_eq!(store.read_etag(&one), None);
    }
}
