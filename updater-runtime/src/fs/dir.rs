//! A folder held open, in which paths are walked part by part and no link is followed.

use super::{PathError, PathResult, require_regular};
use rustix::fs::{CWD, Mode, OFlags, RawMode};
use rustix::io::Errno;
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use updater_format::FilePath;

/// An open folder. What is made or opened in it stays in it, whoever changes the folder meanwhile.
#[derive(Debug)]
pub(crate) struct Dir {
    fd: OwnedFd,
    path: PathBuf,
}

impl Dir {
    /// Opens a folder; a link at the end of the path is refused.
    pub(crate) fn open(path: &Path) -> PathResult<Self> {
        let fd = rustix::fs::openat(CWD, path, FOLDER, Mode::empty())
            .map_err(|error| PathError::new("open the folder", path, error))?;
        Ok(Self { fd, path: path.to_owned() })
    }

    pub(super) fn of(fd: OwnedFd, path: PathBuf) -> Self {
        Self { fd, path }
    }

    /// Returns the path by which it was opened, for messages.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Opens a folder below this one; `None` when there is none, or a link on the way.
    pub(crate) fn folder_at(&self, folder: &str) -> PathResult<Option<Self>> {
        match self.walk(folder.split('/'), Missing::Refuse) {
            Ok(Place::Below(fd)) => Ok(Some(Self::of(fd, self.path.join(folder)))),
            Ok(Place::Here) => Ok(None),
            Err(error) => match error.source.raw_os_error().map(Errno::from_raw_os_error) {
                Some(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(None),
                _ => Err(error),
            },
        }
    }

    /// Creates a file that must not exist, with the folders above it, and exactly these permission bits.
    pub(crate) fn create_file(&self, path: &FilePath, mode: u32) -> PathResult<File> {
        let failed = |error: Errno| PathError::new("create", self.shown(path), error);
        let folder = self.parent(path, Missing::Create)?;
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::WRONLY | OFlags::CLOEXEC;
        let fd =
            rustix::fs::openat(folder.fd(self), path.file_name(), flags, Mode::RUSR | Mode::WUSR).map_err(failed)?;
        // The process's umask does not decide what a release looks like.
        rustix::fs::fchmod(&fd, Mode::from_raw_mode(mode as RawMode)).map_err(failed)?;
        Ok(File::from(fd))
    }

    /// Creates a link that must not exist, with the folders above it.
    pub(crate) fn create_link(&self, path: &FilePath, target: &str) -> PathResult<()> {
        let folder = self.parent(path, Missing::Create)?;
        rustix::fs::symlinkat(target, folder.fd(self), path.file_name())
            .map_err(|error| PathError::new("create the link", self.shown(path), error))
    }

    /// Opens a regular file for reading; `None` when it is not there.
    pub(crate) fn open_file(&self, path: &FilePath) -> PathResult<Option<File>> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let opened = match self.parent(path, Missing::Refuse) {
            Err(error) if error.source.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
            Ok(folder) => rustix::fs::openat(folder.fd(self), path.file_name(), flags, Mode::empty()),
        };
        match opened {
            Ok(fd) => require_regular(File::from(fd), &self.shown(path)).map(Some),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(PathError::new("open", self.shown(path), error)),
        }
    }

    /// Returns where a link leads; `None` when there is no link.
    pub(crate) fn read_link(&self, path: &FilePath) -> PathResult<Option<String>> {
        let folder = self.parent(path, Missing::Refuse)?;
        match rustix::fs::readlinkat(folder.fd(self), path.file_name(), Vec::new()) {
            Ok(target) => Ok(target.into_string().ok()),
            Err(Errno::NOENT | Errno::INVAL) => Ok(None),
            Err(error) => Err(PathError::new("read the link", self.shown(path), error)),
        }
    }

    /// Makes the entries of this folder and of the named folders below it durable.
    pub(crate) fn sync<'a>(&self, folders: impl IntoIterator<Item = &'a str>) -> PathResult<()> {
        let failed = |path: &Path, error: Errno| PathError::new("make durable", path, error);
        for folder in folders {
            let fd = self.walk(folder.split('/'), Missing::Refuse)?;
            durable(fd.fd(self)).map_err(|error| failed(&self.path.join(folder), error))?;
        }
        durable(&self.fd).map_err(|error| failed(&self.path, error))
    }

    fn parent(&self, path: &FilePath, missing: Missing) -> PathResult<Place> {
        match path.as_str().rsplit_once('/') {
            Some((folder, _)) => self.walk(folder.split('/'), missing),
            None => Ok(Place::Here),
        }
    }

    fn walk<'a>(&self, parts: impl Iterator<Item = &'a str>, missing: Missing) -> PathResult<Place> {
        let mut place = Place::Here;
        let mut shown = self.path.clone();
        for part in parts {
            shown.push(part);
            let failed = |error: Errno| PathError::new("open the folder", &shown, error);
            if matches!(missing, Missing::Create) {
                match rustix::fs::mkdirat(place.fd(self), part, Mode::RWXU) {
                    Ok(()) => {
                        let made = rustix::fs::openat(place.fd(self), part, FOLDER, Mode::empty()).map_err(failed)?;
                        rustix::fs::fchmod(&made, Mode::from_raw_mode(0o755)).map_err(failed)?;
                        place = Place::Below(made);
                        continue;
                    }
                    Err(Errno::EXIST) => {}
                    Err(error) => return Err(failed(error)),
                }
            }
            place = Place::Below(rustix::fs::openat(place.fd(self), part, FOLDER, Mode::empty()).map_err(failed)?);
        }
        Ok(place)
    }

    fn shown(&self, path: &FilePath) -> PathBuf {
        self.path.join(path.as_str())
    }
}

impl AsFd for Dir {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Makes what is open durable, on the medium itself.
///
/// On Apple's systems `fsync` stops at the drive's own cache (`fsync(2)`: "the drive itself may not physically write the data
/// to the platters for quite some time"), and the standard library asks for `F_FULLFSYNC` there; so does this. File systems
/// that do not know it, those of networks above all, are asked for what they have.
pub(super) fn durable(open: impl AsFd) -> Result<(), Errno> {
    #[cfg(target_vendor = "apple")]
    match rustix::fs::fcntl_fullfsync(&open) {
        Err(Errno::NOTSUP | Errno::NOTTY | Errno::INVAL) => {}
        other => return other,
    }
    rustix::fs::fsync(open)
}

/// Whether folders on the way are made.
#[derive(Debug, Clone, Copy)]
enum Missing {
    Create,
    Refuse,
}

/// The folder that a walk ended in.
enum Place {
    Here,
    Below(OwnedFd),
}

impl Place {
    fn fd<'a>(&'a self, start: &'a Dir) -> BorrowedFd<'a> {
        match self {
            Self::Here => start.fd.as_fd(),
            Self::Below(fd) => fd.as_fd(),
        }
    }
}

pub(super) const FOLDER: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
