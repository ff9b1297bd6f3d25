//! One launcher at a time has a folder: a lock that the kernel gives back whatever ends its holder.

use crate::error::{Error, Result};
use crate::places::{NO_LINK, Places};
use std::fs::{File, TryLockError};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;

/// The right to start, stop and change the app of a folder.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the lock, also that of a launcher that is dead.
    /// # Errors
    /// [`Error::Busy`] with the process that has it; [`Error::File`].
    pub(crate) fn take(places: &Places) -> Result<Self> {
        let path = places.lock();
        let mut options = File::options();
        let options = options.read(true).write(true).create(true).truncate(false).mode(0o600).custom_flags(NO_LINK);
        let mut file = options.open(&path).map_err(|source| Error::file("open", &path, source))?;
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
        let written = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id()));
        if let Err(error) = written {
            log::debug!("cannot write {}: {error}", path.display());
        }
        Ok(Self { _file: file })
    }
}

#[cfg(test)]
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
