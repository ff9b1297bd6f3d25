//! One launcher at a time has a folder: a lock that the kernel gives back whatever ends its holder.

use crate::error::{Error, Result};
use crate::files;
use crate::places::Places;
use std::fs::{File, TryLockError};
use std::io::{Read as _, Seek as _, Write as _};
#[cfg(unix)]
use std::os::fd::{AsFd, BorrowedFd};

/// The right to start, stop and change the app of a folder.
#[derive(Debug)]
pub(crate) struct Lock {
    #[cfg_attr(windows, expect(dead_code, reason = "held, until it is dropped"))]
    file: File,
}

impl Lock {
    /// Takes the lock, also that of a launcher that is dead.
    /// # Errors
    /// [`Error::Busy`] with the process that has it; [`Error::File`].
    pub(crate) fn take(places: &Places) -> Result<Self> {
        let path = places.lock();
        let mut options = File::options();
        let options = files::own(options.read(true).write(true).create(true).truncate(false), 0o600);
        let file = options.open(&path).map_err(|source| Error::file("open", &path, source))?;
        Self::of(places, file)
    }

    /// Goes on with the lock that a launcher before, in this process, has left open.
    /// # Errors
    /// [`Error::Busy`] when it is another file than that of this folder, or somebody else has the lock.
    #[cfg(unix)]
    pub(crate) fn adopt(places: &Places, file: File) -> Result<Self> {
        let path = places.lock();
        let failed = |source| Error::file("inspect", &path, source);
        let there = File::open(&path).and_then(|file| files::identity(&file)).map_err(failed)?;
        if files::identity(&file).map_err(failed)? != there {
            return Err(Error::Busy { path: places.root().to_owned(), pid: None });
        }
        // Asked for once more by the same open file it is granted.
        Self::of(places, file)
    }

    fn of(places: &Places, mut file: File) -> Result<Self> {
        let path = places.lock();
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut text = String::new();
                let _ = (&mut file).take(16).read_to_string(&mut text);
                return Err(Error::Busy { path: places.root().to_owned(), pid: text.trim().parse().ok() });
            }
            Err(TryLockError::Error(source)) => return Err(Error::file("lock", &path, source)),
        }
        // For the message of whoever finds it taken; on a full disk the lock holds all the same.
        // From the start, for one that was handed over.
        let written =
            file.set_len(0).and_then(|()| file.rewind()).and_then(|()| writeln!(file, "{}", std::process::id()));
        if let Err(error) = written {
            log::debug!("cannot write {}: {error}", path.display());
        }
        Ok(Self { file })
    }
}

#[cfg(unix)]
impl AsFd for Lock {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let places = Places::at(folder.path()).unwrap();
        places.make().unwrap();
        let target = folder.path().join("precious");
        std::fs::write(&target, "as it was").unwrap();
        std::os::unix::fs::symlink(&target, places.lock()).unwrap();
        match Lock::take(&places) {
            Err(Error::File { source, .. }) => {
                assert_eq!(source.raw_os_error(), Some(rustix::io::Errno::LOOP.raw_os_error()))
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(std::fs::read_to_string(&target).unwrap(), "as it was");
    }

    #[test]
    fn the_second_learns_who_has_it_and_a_dead_owner_has_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let places = Places::at(folder.path()).unwrap();
        places.make().unwrap();
        std::fs::write(places.lock(), "4000000\n").unwrap();
        let lock = Lock::take(&places).unwrap();
        match Lock::take(&places) {
            Err(Error::Busy { pid, .. }) => assert_eq!(pid, Some(std::process::id())),
            other => panic!("{other:?}"),
        }
        drop(lock);
        Lock::take(&places).unwrap();
    }
}
