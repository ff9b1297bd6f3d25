//! A folder held open, in which paths are walked part by part and no link is followed.
//!
//! A handle to a folder that does not share the right to delete keeps that folder where it is: nobody can rename or remove
//! it, nor put a link in its place, until the handle is closed. So a path through folders that are held is as good as a
//! descriptor.

use crate::fs::{PathError, PathResult, digest_of, metadata, names, open_regular, rename, require_regular};
use crate::win32;
use std::ffi::{OsStr, OsString};
use std::fs::{File, OpenOptions};
use std::io::{Error, ErrorKind};
use std::os::windows::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use updater_format::{FilePath, Sha256};
use windows_sys::Win32::Storage::FileSystem::{
    FILE_FLAG_BACKUP_SEMANTICS, FILE_FLAG_OPEN_REPARSE_POINT, FILE_LIST_DIRECTORY, FILE_READ_ATTRIBUTES,
    FILE_SHARE_READ, FILE_SHARE_WRITE, SYNCHRONIZE,
};

/// An open folder. It stays where it is, and what it is, while this exists.
#[derive(Debug)]
pub(crate) struct Dir {
    held: File,
    path: PathBuf,
    /// Those between it and the one that it was found in.
    _above: Vec<File>,
}

/// What lies under a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry {
    /// A folder, no link to one.
    pub(crate) is_dir: bool,
    /// A regular file.
    pub(crate) is_file: bool,
    /// The number of its volume.
    pub(crate) device: u64,
}

impl Dir {
    /// Opens a folder; a link at the end of the path is refused.
    pub(crate) fn open(path: &Path) -> PathResult<Self> {
        let held = hold(path).map_err(|error| PathError::new("open the folder", path, error))?;
        Ok(Self { held, path: path.to_owned(), _above: Vec::new() })
    }

    /// Returns the path by which it was opened, for messages.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Opens a folder below this one; `None` when there is none, or a link on the way.
    pub(crate) fn folder_at(&self, folder: &str) -> PathResult<Option<Self>> {
        match self.walk(folder, Missing::Refuse) {
            Ok(mut above) => {
                let path = self.path.join(folder);
                Ok(above.pop().map(|held| Self { held, path, _above: above }))
            }
            Err(error) if is_no_folder(&error.source) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Creates a file that must not exist, with the folders above it.
    pub(crate) fn create_file(&self, path: &FilePath, mode: u32) -> PathResult<File> {
        let _above = self.parent(path, Missing::Create)?;
        crate::fs::create_new(&self.shown(path), mode)
    }

    /// Creates a link that must not exist, with the folders above it.
    pub(crate) fn create_link(&self, path: &FilePath, target: &str) -> PathResult<()> {
        super::symlink(Path::new(target), &self.shown(path))
    }

    /// Opens a regular file for reading; `None` when it is not there.
    pub(crate) fn open_file(&self, path: &FilePath) -> PathResult<Option<File>> {
        let _above = match self.parent(path, Missing::Refuse) {
            Err(error) if error.source.kind() == ErrorKind::NotFound => return Ok(None),
            other => other?,
        };
        open_regular(&self.shown(path))
    }

    /// Returns where a link leads; `None` when there is no link.
    pub(crate) fn read_link(&self, path: &FilePath) -> PathResult<Option<String>> {
        let _above = self.parent(path, Missing::Refuse)?;
        Ok(std::fs::read_link(self.shown(path)).ok().and_then(|target| target.into_os_string().into_string().ok()))
    }

    /// Folders are not synced here.
    pub(crate) fn sync<'a>(&self, folders: impl IntoIterator<Item = &'a str>) -> PathResult<()> {
        folders.into_iter().try_for_each(|folder| self.walk(folder, Missing::Refuse).map(|_| ()))
    }

    /// Returns the names of all entries, sorted.
    pub(crate) fn names(&self) -> PathResult<Vec<OsString>> {
        names(&self.path)
    }

    /// Returns what lies under a name; `None` for nothing.
    pub(crate) fn entry(&self, name: &OsStr) -> PathResult<Option<Entry>> {
        let path = self.path.join(name);
        let Some(found) = metadata(&path)? else { return Ok(None) };
        Ok(Some(Entry { is_dir: found.is_dir(), is_file: found.is_file(), device: crate::fs::device(&path)? }))
    }

    /// Opens a folder in this one.
    pub(crate) fn folder(&self, name: &OsStr) -> PathResult<Self> {
        Self::open(&self.path.join(name))
    }

    /// Returns the length and digest of a regular file; `None` for anything else.
    pub(crate) fn digest(&self, name: &OsStr) -> PathResult<Option<(u64, Sha256)>> {
        if !self.entry(name)?.is_some_and(|entry| entry.is_file) {
            return Ok(None);
        }
        let path = self.path.join(name);
        match open_regular(&path)? {
            Some(file) => digest_of(require_regular(file, &path)?, &path).map(Some),
            None => Ok(None),
        }
    }

    /// Moves an entry into another folder, replacing a file that is there.
    pub(crate) fn rename(&self, name: &OsStr, to: &Self, new_name: &OsStr) -> PathResult<()> {
        rename(&self.path.join(name), &to.path.join(new_name))
    }

    /// Makes a folder in this one, with the access list of another.
    pub(crate) fn make_folder(&self, name: &OsStr, like: &Self) -> PathResult<Self> {
        let path = self.path.join(name);
        std::fs::create_dir(&path).map_err(|error| PathError::new("create the folder", &path, error))?;
        let made = self.folder(name)?;
        if !made.names()?.is_empty() {
            return Err(PathError::new("use what took the place of", path, ErrorKind::PermissionDenied));
        }
        made.adopt(like)?;
        Ok(made)
    }

    /// Takes over the access list of another folder. Tells whether that is to be made durable.
    pub(crate) fn adopt(&self, like: &Self) -> PathResult<bool> {
        let copied = win32::copy_access(&like.path, &self.path);
        copied.map_err(|error| PathError::new("set the permissions of", &self.path, error))?;
        Ok(true)
    }

    /// Folders are not synced here.
    pub(crate) fn sync_entries(&self) -> PathResult<()> {
        self.held.metadata().map(|_| ()).map_err(|error| PathError::new("inspect", &self.path, error))
    }

    /// Holds the folders above a path.
    fn parent(&self, path: &FilePath, missing: Missing) -> PathResult<Vec<File>> {
        match path.as_str().rsplit_once('/') {
            Some((folder, _)) => self.walk(folder, missing),
            None => Ok(Vec::new()),
        }
    }

    /// Holds the folders of a path below this one, outermost first.
    fn walk(&self, folder: &str, missing: Missing) -> PathResult<Vec<File>> {
        let (mut held, mut path) = (Vec::new(), self.path.clone());
        for part in folder.split('/') {
            path.push(part);
            if matches!(missing, Missing::Create) {
                crate::fs::create_dir(&path)?;
            }
            held.push(hold(&path).map_err(|error| PathError::new("open the folder", &path, error))?);
        }
        Ok(held)
    }

    fn shown(&self, path: &FilePath) -> PathBuf {
        // With the separator of the system: the form without a limit of 260 characters takes no other.
        path.as_str().split('/').fold(self.path.clone(), |at, part| at.join(part))
    }
}

/// Opens a folder so that it stays where it is. A link is opened as what it is, and refused.
fn hold(path: &Path) -> std::io::Result<File> {
    let mut options = OpenOptions::new();
    // Only a handle with one of the rights to read or write takes part in what others may share.
    options.access_mode(FILE_LIST_DIRECTORY | FILE_READ_ATTRIBUTES | SYNCHRONIZE);
    options.share_mode(FILE_SHARE_READ | FILE_SHARE_WRITE);
    options.custom_flags(FILE_FLAG_BACKUP_SEMANTICS | FILE_FLAG_OPEN_REPARSE_POINT);
    let folder = options.open(path)?;
    if folder.metadata()?.is_dir() { Ok(folder) } else { Err(Error::from(ErrorKind::NotADirectory)) }
}

fn is_no_folder(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}

/// Whether folders on the way are made.
#[derive(Debug, Clone, Copy)]
enum Missing {
    Create,
    Refuse,
}
