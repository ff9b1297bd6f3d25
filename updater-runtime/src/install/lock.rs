//! One process at a time changes an install.

use super::InstallError;
use super::layout::Layout;
use crate::fs::{self, PathError, PathResult};
use std::fs::{File, TryLockError};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The right to change an install. Given back when it is dropped, or when the process ends in any way.
#[derive(Debug)]
pub(crate) struct InstallLock {
    // Closed before the folder is removed: some file systems keep the name of a file until nobody has it open.
    file: File,
    _folder: Tidy,
}

/// A folder that is removed with this, if it is empty.
#[derive(Debug)]
struct Tidy(Option<PathBuf>);

impl Drop for Tidy {
    fn drop(&mut self) {
        if let Some(folder) = &self.0 {
            fs::remove_empty_dir(folder);
        }
    }
}

impl InstallLock {
    /// Takes the lock, waiting up to `patience` for another process, and makes the hidden folder if needed.
    /// # Errors
    /// [`InstallError::Busy`] with the number of the process that holds it; [`InstallError::File`].
    pub(crate) fn take_within(layout: &Layout, patience: Duration) -> Result<Self, InstallError> {
        let begin = Instant::now();
        let mut vanished = 0;
        loop {
            let file = match open_or_create(layout) {
                Ok(file) => file,
                // Removed in this moment by a process that had finished.
                Err(error) if is_vanishing(&error) && vanished < MAX_VANISHED => {
                    vanished += 1;
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            match claim(&file, &layout.lock())? {
                Claim::Taken => return Self { file, _folder: Tidy(None) }.signed(layout),
                Claim::Nameless => {}
                Claim::Held if begin.elapsed() < patience => std::thread::sleep(PAUSE),
                Claim::Held => return Err(InstallError::Busy { path: layout.root().to_owned(), owner: owner(layout) }),
            }
        }
    }

    /// Writes this process's number into the file, for the message of whoever finds it held.
    fn signed(mut self, layout: &Layout) -> Result<Self, InstallError> {
        let written = self.file.set_len(0).and_then(|()| writeln!(self.file, "{}", std::process::id()));
        // On a full disk the lock holds all the same.
        if let Err(error) = written {
            log::debug!("cannot write {}: {error}", layout.lock().display());
        }
        Ok(self)
    }

    /// Removes the hidden folder if nothing else is in it. Whoever waits for the lock makes it anew.
    pub(crate) fn tidy(&mut self, layout: &Layout) {
        let alone = fs::names(layout.hidden()).is_ok_and(|names| names == ["lock"]);
        if alone && fs::remove_file(&layout.lock()).is_ok() && !fs::remove_empty_dir(layout.hidden()) {
            self._folder = Tidy(Some(layout.hidden().to_owned()));
        }
    }
}

/// Tells whether a file was removed in this moment, or is about to be: Windows lets nobody open one that is removed while
/// somebody has it open.
fn is_vanishing(error: &PathError) -> bool {
    error.source.kind() == std::io::ErrorKind::NotFound || fs::is_in_use(&error.source)
}

/// What became of an attempt to lock a file.
#[derive(Debug, PartialEq, Eq)]
enum Claim {
    /// The lock is ours.
    Taken,
    /// Somebody else has it.
    Held,
    /// The file has lost its name to a process that had finished: a lock on it would exclude nobody.
    Nameless,
}

fn claim(file: &File, path: &Path) -> PathResult<Claim> {
    match file.try_lock() {
        Ok(()) if fs::is_same_file(file, path)? => Ok(Claim::Taken),
        Ok(()) => Ok(Claim::Nameless),
        Err(TryLockError::WouldBlock) => Ok(Claim::Held),
        Err(TryLockError::Error(source)) => Err(PathError::new("lock", path, source)),
    }
}

fn open_or_create(layout: &Layout) -> PathResult<File> {
    fs::own_dir(layout.hidden())?;
    let path = layout.lock();
    if fs::metadata(&path)?.is_some_and(|there| !there.is_file()) {
        // Nobody can hold what is no file; the folder is ours alone.
        fs::remove_all(&path)?;
    }
    match fs::create_new(&path, 0o600) {
        Err(error) if error.source.kind() == std::io::ErrorKind::AlreadyExists => {
            fs::open_lock(&path)?.ok_or_else(|| fs::missing("open", &path))
        }
        other => other,
    }
}

/// Returns the process that holds the lock, where that can be read: on Windows nobody else can read a file that is locked.
fn owner(layout: &Layout) -> Option<u32> {
    let bytes = fs::read_bounded(&layout.lock(), 16).ok()??;
    std::str::from_utf8(&bytes).ok()?.trim().parse().ok()
}

/// How often the file or its folder may vanish under us before that is an error: 1,000. Each time another process got its
/// work done; a parent folder that is missing altogether shows the same way.
const MAX_VANISHED: u32 = 1000;
/// How long to wait between two attempts.
const PAUSE: Duration = Duration::from_millis(5);

#[cfg(test)]
mod tests {
    use super::*;
    use updater_format::{FilePath, InstallKind};

    fn layout(folder: &std::path::Path) -> Layout {
        let program = folder.join("hello");
        std::fs::write(&program, "").unwrap();
        Layout::at(InstallKind::Executable, &program, &FilePath::parse("hello").unwrap()).unwrap()
    }

    fn take(layout: &Layout) -> Result<InstallLock, InstallError> {
        InstallLock::take_within(layout, Duration::ZERO)
    }

    #[test]
    fn the_second_taker_learns_who_holds_it() {
        let folder = tempfile::tempdir().unwrap();
        let layout = layout(folder.path());
        let lock = take(&layout).unwrap();
        let own = std::process::id();
        match take(&layout) {
            Err(InstallError::Busy { owner, .. }) => assert!(owner == Some(own) || (cfg!(windows) && owner.is_none())),
            other => panic!("{other:?}"),
        }
        drop(lock);
        take(&layout).unwrap();
    }

    #[test]
    fn a_lock_without_a_living_owner_is_free() {
        let folder = tempfile::tempdir().unwrap();
        let layout = layout(folder.path());
        fs::private_dir(layout.hidden()).unwrap();
        std::fs::write(layout.lock(), "4000000\n").unwrap();
        take(&layout).unwrap();
        assert_eq!(owner(&layout), Some(std::process::id()), "no lock is held any more");
    }

    // Where a file keeps its name until nobody has it open, as on FAT, there is none without a name.
    #[cfg(unix)]
    #[test]
    fn a_lock_on_a_file_without_a_name_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let open = || std::fs::File::create(&path).unwrap();
        let (first, second) = (open(), open());
        assert_eq!(claim(&first, &path).unwrap(), Claim::Taken);
        assert_eq!(claim(&second, &path).unwrap(), Claim::Held);
        std::fs::remove_file(&path).unwrap();
        drop(first);
        assert_eq!(claim(&second, &path).unwrap(), Claim::Nameless);
        drop(second);
        let old = open();
        std::fs::remove_file(&path).unwrap();
        let _its_successor = open();
        assert_eq!(claim(&old, &path).unwrap(), Claim::Nameless);
    }

    #[test]
    fn many_takers_exclude_each_other_while_the_folder_comes_and_goes() {
        let folder = tempfile::tempdir().unwrap();
        let layout = layout(folder.path());
        let inside = std::sync::atomic::AtomicU32::new(0);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..50 {
                        let mut lock = InstallLock::take_within(&layout, Duration::from_secs(60)).unwrap();
                        use std::sync::atomic::Ordering::SeqCst;
                        assert_eq!(inside.fetch_add(1, SeqCst), 0);
                        inside.fetch_sub(1, SeqCst);
                        lock.tidy(&layout);
                        drop(lock);
                    }
                });
            }
        });
        assert!(!layout.hidden().exists());
    }

    #[cfg(unix)]
    #[test]
    fn what_is_not_a_lock_file_is_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let layout = layout(folder.path());
        fs::private_dir(layout.hidden()).unwrap();
        let victim = folder.path().join("victim");
        std::fs::write(&victim, "precious").unwrap();
        std::os::unix::fs::symlink(&victim, layout.lock()).unwrap();
        take(&layout).unwrap();
        assert_eq!(std::fs::read(&victim).unwrap(), b"precious");
    }
}
