//! The entries of a folder that is held open, by name: what lies there, and how it is moved. No link is followed, and
//! whoever renames the folder meanwhile changes nothing about which folder is meant.

use super::dir::FOLDER;
use super::{Dir, PathError, PathResult, digest_of, require_regular};
use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, Uid};
use rustix::io::Errno;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::os::unix::ffi::OsStrExt as _;
use updater_format::Sha256;

/// What lies under a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry {
    /// A folder, no link to one.
    pub(crate) is_dir: bool,
    /// A regular file.
    pub(crate) is_file: bool,
    /// The number of its file system.
    pub(crate) device: u64,
}

impl Dir {
    /// Returns the names of all entries, sorted.
    pub(crate) fn names(&self) -> PathResult<Vec<OsString>> {
        let failed = |error: Errno| PathError::new("list", self.path(), error);
        let mut names = Vec::new();
        for entry in rustix::fs::Dir::read_from(self).map_err(failed)? {
            let name = OsStr::from_bytes(entry.map_err(failed)?.file_name().to_bytes()).to_owned();
            if name != "." && name != ".." {
                names.push(name);
            }
        }
        names.sort();
        Ok(names)
    }

    /// Returns what lies under a name; `None` for nothing.
    pub(crate) fn entry(&self, name: &OsStr) -> PathResult<Option<Entry>> {
        match rustix::fs::statat(self, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => {
                let kind = FileType::from_raw_mode(stat.st_mode);
                let (is_dir, is_file) = (kind == FileType::Directory, kind == FileType::RegularFile);
                Ok(Some(Entry { is_dir, is_file, device: number(stat.st_dev) }))
            }
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(PathError::new("inspect", self.path().join(name), error)),
        }
    }

    /// Opens a folder in this one.
    pub(crate) fn folder(&self, name: &OsStr) -> PathResult<Self> {
        let path = self.path().join(name);
        match rustix::fs::openat(self, name, FOLDER, Mode::empty()) {
            Ok(fd) => Ok(Self::of(fd, path)),
            Err(error) => Err(PathError::new("open the folder", path, error)),
        }
    }

    /// Returns the length and digest of a regular file; `None` for anything else.
    pub(crate) fn digest(&self, name: &OsStr) -> PathResult<Option<(u64, Sha256)>> {
        if !self.entry(name)?.is_some_and(|entry| entry.is_file) {
            return Ok(None);
        }
        let path = self.path().join(name);
        // Without NONBLOCK a pipe that took its place would hold us for ever.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(self, name, flags, Mode::empty())
            .map_err(|error| PathError::new("open", &path, error))?;
        digest_of(require_regular(File::from(fd), &path)?, &path).map(Some)
    }

    /// Moves an entry into another folder, replacing a file that is there.
    pub(crate) fn rename(&self, name: &OsStr, to: &Self, new_name: &OsStr) -> PathResult<()> {
        rustix::fs::renameat(self, name, to, new_name)
            .map_err(|error| PathError::new("rename", self.path().join(name), error))
    }

    /// Makes a folder in this one, with the permissions and the owner of another.
    pub(crate) fn make_folder(&self, name: &OsStr, like: &Self) -> PathResult<Self> {
        rustix::fs::mkdirat(self, name, Mode::RWXU)
            .map_err(|error| PathError::new("create the folder", self.path().join(name), error))?;
        let made = self.just_made(name)?;
        made.adopt(like)?;
        Ok(made)
    }

    /// Opens a folder that this process has made a moment ago. Another user who may change this folder could have put one
    /// in its place that lies elsewhere by another name; it must not be given away, nor filled.
    pub(super) fn just_made(&self, name: &OsStr) -> PathResult<Self> {
        let made = self.folder(name)?;
        let stat = |dir: &Self| rustix::fs::fstat(dir).map_err(|error| PathError::new("inspect", dir.path(), error));
        let (found, above) = (stat(&made)?, stat(self)?);
        let is_new = found.st_uid == rustix::process::geteuid().as_raw()
            && found.st_mode & 0o777 == 0o700
            && found.st_dev == above.st_dev
            && made.names()?.is_empty();
        if is_new { Ok(made) } else { Err(PathError::new("use what took the place of", made.path(), Errno::PERM)) }
    }

    /// Takes over the permission bits and the group of another folder, and its owner if the administrator asks. Tells
    /// whether anything had to change.
    pub(crate) fn adopt(&self, like: &Self) -> PathResult<bool> {
        let failed = |error: Errno| PathError::new("set the permissions of", self.path(), error);
        let stat = |dir: &Self| rustix::fs::fstat(dir).map_err(failed);
        let (ours, theirs) = (stat(self)?, stat(like)?);
        let is_root = rustix::process::geteuid().is_root();
        let owner = (is_root && ours.st_uid != theirs.st_uid).then(|| Uid::from_raw(theirs.st_uid));
        let group = (ours.st_gid != theirs.st_gid).then(|| Gid::from_raw(theirs.st_gid));
        // The owner before the bits: a change of owner may clear some of them.
        if owner.is_some() || group.is_some() {
            match rustix::fs::fchown(self, owner, group) {
                // A group that this user is not in cannot be given; the folder is theirs all the same.
                Err(Errno::PERM) if !is_root => {}
                other => other.map_err(failed)?,
            }
        }
        #[cfg(target_vendor = "apple")]
        super::attributes::adopt(self, like);
        let mode = |bits| Mode::from_raw_mode(bits) & Mode::from_raw_mode(0o7777);
        if mode(ours.st_mode) != mode(theirs.st_mode) {
            rustix::fs::fchmod(self, mode(theirs.st_mode)).map_err(failed)?;
        } else if owner.is_none() && group.is_none() {
            return Ok(false);
        }
        Ok(true)
    }

    /// Makes the entries of this folder and its permissions durable.
    pub(crate) fn sync_entries(&self) -> PathResult<()> {
        super::dir::durable(self).map_err(|error| PathError::new("make durable", self.path(), error))
    }
}

/// Returns the number of a device as the standard library has it; macOS has it signed.
#[cfg(target_vendor = "apple")]
fn number(device: rustix::fs::Dev) -> u64 {
    // The same cast as that of `MetadataExt::dev`, which this is compared with.
    device as u64
}

/// Returns the number of a device as the standard library has it.
#[cfg(not(target_vendor = "apple"))]
fn number(device: rustix::fs::Dev) -> u64 {
    device
}
