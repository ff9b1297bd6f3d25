//! What is done in the way of Windows: by paths, below folders that are held open so that nobody can put others in their
//! place; with access lists in place of permission bits; and with patience, because virus scanners and indexers open what
//! was just written.
//!
//! A folder cannot be synced here. NTFS writes its log of names in order, and each rename below returns only when the volume
//! has it (`MOVEFILE_WRITE_THROUGH`); `docs/windows.md` says what is known and what was not tried.

#[path = "windows/dir.rs"]
mod dir;

pub(crate) use dir::{Dir, Entry};

use super::{PathError, PathResult, metadata, missing, names, require, require_regular};
use crate::win32;
use std::ffi::{OsStr, OsString};
use std::fs::{File, Metadata, OpenOptions};
use std::io::{Error, ErrorKind, Write as _};
use std::os::windows::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::{Duration, Instant};
use updater_format::Sha256;
use updater_format::digest::HashingReader;
use windows_sys::Win32::Foundation::{
    ERROR_ACCESS_DENIED, ERROR_DELETE_PENDING, ERROR_LOCK_VIOLATION, ERROR_SHARING_VIOLATION, ERROR_USER_MAPPED_FILE,
};
use windows_sys::Win32::Foundation::{GENERIC_ALL, GENERIC_WRITE};
use windows_sys::Win32::Storage::FileSystem::{
    DELETE, FILE_ADD_FILE, FILE_ADD_SUBDIRECTORY, FILE_APPEND_DATA, FILE_DELETE_CHILD, FILE_FLAG_BACKUP_SEMANTICS,
    FILE_FLAG_OPEN_REPARSE_POINT, FILE_READ_ATTRIBUTES, FILE_WRITE_DATA, WRITE_DAC, WRITE_OWNER,
};

/// Creates a file that must not exist, for writing. Its access list is that of its folder.
pub(crate) fn create_new(path: &Path, _mode: u32) -> PathResult<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create_new(true).custom_flags(FILE_FLAG_OPEN_REPARSE_POINT);
    options.open(path).map_err(|error| PathError::new("create", path, error))
}

/// Writes a file that must not exist, durably.
pub(crate) fn write_new(path: &Path, bytes: &[u8], mode: u32) -> PathResult<()> {
    let mut file = create_new(path, mode)?;
    let written = file.write_all(bytes).and_then(|()| file.sync_all());
    written.map_err(|source| PathError::new("write", path, source))
}

/// Opens a regular file for reading without following a link at its end; `None` when there is none.
pub(crate) fn open_regular(path: &Path) -> PathResult<Option<File>> {
    open(OpenOptions::new().read(true), path)
}

/// Opens a lock file for reading and writing; `None` when there is none.
pub(crate) fn open_lock(path: &Path) -> PathResult<Option<File>> {
    open(OpenOptions::new().read(true).write(true), path)
}

fn open(options: &mut OpenOptions, path: &Path) -> PathResult<Option<File>> {
    // A folder is opened too, to say what it is; a pipe or a device has no path in a folder here.
    options.custom_flags(FILE_FLAG_OPEN_REPARSE_POINT | FILE_FLAG_BACKUP_SEMANTICS);
    match patiently(|| options.open(path)) {
        Ok(file) => require_regular(file, path).map(Some),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(None),
        Err(error) => Err(PathError::new("open", path, error)),
    }
}

/// Makes a folder that only this user, the system and the administrators can enter, or takes one that is there and belongs
/// to this user. Its parent must exist. It is hidden if its name begins with a dot.
///
/// The list is explicit and inherits nothing: beside an app in `C:\Tools` a new folder would be open to every user. In a
/// profile it says the same as what would be inherited there.
pub(crate) fn private_dir(path: &Path) -> PathResult<()> {
    match win32::make_private_folder(path) {
        Ok(()) => {
            if path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b".")) {
                // For people only.
                let _ = win32::hide(path);
            }
            return Ok(());
        }
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
        Err(error) => return Err(PathError::new("create the folder", path, error)),
    }
    if !require(path)?.is_dir() {
        return Err(PathError::new("use as a folder", path, ErrorKind::NotADirectory));
    }
    if is_another_users(path)? {
        return Err(PathError::new("use the folder of another user", path, ErrorKind::PermissionDenied));
    }
    Ok(())
}

/// Makes a folder unless it is there. Its access list is that of the folder above.
pub(crate) fn create_dir(path: &Path) -> PathResult<()> {
    match std::fs::create_dir(path) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == ErrorKind::AlreadyExists && require(path)?.is_dir() => Ok(()),
        Err(error) => Err(PathError::new("create the folder", path, error)),
    }
}

/// Renames, replacing a file that is there, durably. One volume only. Who holds a file for a moment is waited for.
pub(crate) fn rename(from: &Path, to: &Path) -> PathResult<()> {
    let failed = |error| PathError::new("rename", from, error);
    // What can never work is not waited for.
    if metadata(to)?.is_some_and(|there| there.is_dir()) {
        return Err(failed(ErrorKind::IsADirectory.into()));
    }
    patiently(|| win32::move_file(from, to)).map_err(failed)
}

/// Windows exchanges nothing in one step.
pub(crate) fn exchange(one: &Path, _other: &Path) -> PathResult<()> {
    Err(PathError::new("exchange", one, ErrorKind::Unsupported))
}

/// Links need a right of their own here, which users do not have.
fn symlink(_target: &Path, at: &Path) -> PathResult<()> {
    Err(PathError::new("create the link", at, ErrorKind::Unsupported))
}

/// Makes what leads from a path that must not exist to the folder of a version: a small file with the relative path
/// (`docs/adr/0021-current-is-a-file-on-windows.md` says why no junction).
pub(crate) fn point_at(target: &Path, at: &Path) -> PathResult<()> {
    let text = target.to_str().ok_or_else(|| PathError::new("write", at, ErrorKind::InvalidFilename))?;
    write_new(at, format!("{text}\n").as_bytes(), 0o644)
}

/// Returns the folder that [`point_at`] has made a path lead to. A path that leads out of the folder of the pointer is none.
pub(crate) fn pointed(path: &Path) -> PathResult<PathBuf> {
    let failed = |kind: ErrorKind| PathError::new("follow", path, kind);
    let bytes = super::read_bounded(path, MAX_POINTER)?.ok_or_else(|| failed(ErrorKind::NotFound))?;
    let text = std::str::from_utf8(&bytes).map_err(|_| failed(ErrorKind::InvalidData))?;
    let target = Path::new(text.strip_suffix('\n').unwrap_or(text));
    let is_below = target.components().all(|part| matches!(part, std::path::Component::Normal(_)));
    match path.parent() {
        Some(folder) if is_below && !target.as_os_str().is_empty() => canonical(&folder.join(target)),
        _ => Err(failed(ErrorKind::InvalidData)),
    }
}

/// Tells whether something may be what [`point_at`] makes.
pub(crate) fn is_pointer(metadata: &Metadata) -> bool {
    metadata.is_file()
}

/// The installed program is kept by its own rename, when it is replaced: returns where it is to be looked at until then.
pub(crate) fn keep_beside(program: &Path, _kept: &Path) -> PathResult<PathBuf> {
    Ok(program.to_owned())
}

/// Puts a program in the place of another: that one, which may run, is renamed to `aside`, and `new` gets its name. Between
/// the two no file has the name; when the second rename fails, the first is taken back.
pub(crate) fn replace_program(new: &Path, at: &Path, aside: &Path) -> PathResult<()> {
    let is_there = metadata(at)?.is_some();
    if is_there {
        rename(at, aside)?;
    }
    let renamed = rename(new, at);
    if is_there
        && renamed.is_err()
        && let Err(second) = rename(aside, at)
    {
        log::error!("{second}: start {} to repair that", aside.display());
    }
    renamed
}

/// Gives a program that waits to be installed the access list of the installed one: who could run the one can run the other.
pub(crate) fn take_access_of(path: &Path, like: &Path) -> PathResult<()> {
    win32::copy_access(like, path).map_err(|error| PathError::new("set the permissions of", path, error))
}

/// There are no permission bits.
pub(crate) fn has_mode(_metadata: &Metadata, _mode: u32) -> bool {
    true
}

/// Removes a file; that there is none is no error.
pub(crate) fn remove_file(path: &Path) -> PathResult<()> {
    patiently(|| remove(path)).map_err(|source| PathError::new("remove", path, source))
}

/// Removes whatever lies at a path, links not followed; that there is nothing is no error. A program that still runs is
/// renamed out of the way, to a name that [`spent`](super::spent) makes in the folder above.
pub(crate) fn remove_all(path: &Path) -> PathResult<()> {
    let above = path.parent().unwrap_or(path);
    match metadata(path)? {
        None => Ok(()),
        Some(found) if found.is_dir() => remove_folder(path, above, 0),
        Some(_) => remove_or_put_aside(path, above),
    }
}

fn remove_folder(folder: &Path, above: &Path, depth: usize) -> PathResult<()> {
    for name in names(folder)? {
        let path = folder.join(&name);
        match metadata(&path)? {
            Some(found) if found.is_dir() && depth < MAX_DEPTH => remove_folder(&path, above, depth + 1)?,
            Some(_) => remove_or_put_aside(&path, above)?,
            None => {}
        }
    }
    // What somebody else has open keeps its name until they close it.
    patiently(|| match std::fs::remove_dir(folder) {
        Err(error) if error.kind() == ErrorKind::DirectoryNotEmpty => {
            Err(Error::from_raw_os_error(ERROR_SHARING_VIOLATION.cast_signed()))
        }
        other => super::ignore_missing(other),
    })
    .map_err(|source| PathError::new("remove", folder, source))
}

fn remove_or_put_aside(path: &Path, above: &Path) -> PathResult<()> {
    patiently(|| match remove(path) {
        Err(error) if is_in_use(&error) => {
            if path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(super::SPENT.as_bytes())) {
                return Ok(());
            }
            // A program that runs cannot be removed, but it can be renamed.
            win32::move_file(path, &super::spent(above)).map_err(|_| error)
        }
        other => other,
    })
    .map_err(|source| PathError::new("remove", path, source))
}

fn remove(path: &Path) -> std::io::Result<()> {
    let removed = match std::fs::remove_file(path) {
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            // A link to a folder is a folder, and a file may be read-only.
            std::fs::remove_dir(path)
                .or_else(|_| win32::clear_attributes(path).and_then(|()| std::fs::remove_file(path)))
        }
        other => other,
    };
    super::ignore_missing(removed)
}

/// Resolves every link in a path, and finds how its names are really written. Without the `\\?\` in front where it is not
/// needed: many programs take no such working directory.
pub(crate) fn canonical(path: &Path) -> PathResult<PathBuf> {
    let found = std::fs::canonicalize(path).map_err(|source| PathError::new("resolve", path, source))?;
    Ok(shortened(found))
}

fn shortened(path: PathBuf) -> PathBuf {
    let Some(text) = path.to_str() else { return path };
    let short = match text.strip_prefix(r"\\?\UNC\") {
        Some(share) => Some(format!(r"\\{share}")),
        None => text.strip_prefix(r"\\?\").map(str::to_owned),
    };
    // A volume without a letter has no other form.
    let is_plain = |short: &String| short.starts_with(r"\\") || short.as_bytes().get(1) == Some(&b':');
    match short.filter(is_plain) {
        Some(short) if short.len() < MAX_PLAIN => PathBuf::from(short),
        _ => path,
    }
}

/// Folders are not synced here; see the head of this file.
pub(crate) fn sync_dir(_path: &Path) -> PathResult<()> {
    Ok(())
}

/// Tells whether this user may make, rename and remove entries of a folder: the system is asked for a handle with these
/// rights, and nothing is done with it.
pub(crate) fn check_writable(folder: &Path) -> std::io::Result<()> {
    let mut options = OpenOptions::new();
    options.access_mode(FILE_ADD_FILE | FILE_ADD_SUBDIRECTORY).custom_flags(FILE_FLAG_BACKUP_SEMANTICS);
    options.open(folder).map(|_| ())
}

/// The file that this process runs, held open from the start. The path of a process does not follow its file.
static RUNNING: OnceLock<(File, Sha256)> = OnceLock::new();

/// Returns the path that the running program was started by, as its names are really written.
pub(crate) fn running_path() -> PathResult<PathBuf> {
    let failed = |source| PathError::new("find", "the running program", source);
    let program = std::env::current_exe().map_err(failed)?;
    // Early: nothing is in its place yet that was put there since this process was started.
    running()?;
    match canonical(&program) {
        Err(error) if error.source.kind() == ErrorKind::NotFound => {
            let (folder, name) = (program.parent(), program.file_name());
            let folder = folder.ok_or_else(|| missing("find", &program)).and_then(canonical)?;
            Ok(name.map_or(program.clone(), |name| folder.join(name)))
        }
        found => found,
    }
}

fn running() -> PathResult<&'static (File, Sha256)> {
    if let Some(running) = RUNNING.get() {
        return Ok(running);
    }
    let failed = |source| PathError::new("find", "the running program", source);
    let path = std::env::current_exe().map_err(failed)?;
    let file = patiently(|| File::open(&path)).map_err(|source| PathError::new("open", &path, source))?;
    let sha256 = digest_of_shared(&file).map_err(|source| PathError::new("read", &path, source))?;
    Ok(RUNNING.get_or_init(|| (file, sha256)))
}

/// Hashes a file by places, not by the handle's own position, which others may use.
fn digest_of_shared(file: &File) -> std::io::Result<Sha256> {
    struct At<'a>(&'a File, u64);
    impl std::io::Read for At<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            let n = self.0.seek_read(buffer, self.1)?;
            self.1 += n as u64;
            Ok(n)
        }
    }
    let mut reader = HashingReader::new(At(file, 0));
    std::io::copy(&mut reader, &mut std::io::sink())?;
    Ok(reader.finish().1)
}

/// Returns the digest of the program that this process runs, whatever has happened to its path since. Nobody can write to a
/// program that runs.
pub(crate) fn running_digest() -> PathResult<Sha256> {
    Ok(running()?.1)
}

/// Tells whether the program that this process runs is the one that now lies at a path.
pub(crate) fn is_running_program(path: &Path) -> PathResult<bool> {
    is_same_file(&running()?.0, path)
}

/// Tells whether an open file is the one that now lies at a path.
pub(crate) fn is_same_file(file: &File, path: &Path) -> PathResult<bool> {
    let failed = |source| PathError::new("inspect", path, source);
    let id = |file: &File| win32::file_id(file).map_err(failed);
    match inspected(path) {
        Ok(there) => Ok(id(&there)?.is(id(file)?)),
        // One that was removed while it was open has a name until it is closed.
        Err(error) if is_in_use(&error) || error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(failed(error)),
    }
}

fn inspected(path: &Path) -> std::io::Result<File> {
    let mut options = OpenOptions::new();
    let flags = FILE_FLAG_OPEN_REPARSE_POINT | FILE_FLAG_BACKUP_SEMANTICS;
    options.access_mode(FILE_READ_ATTRIBUTES).custom_flags(flags).open(path)
}

/// Returns the serial number of the volume that something lies on, links not followed.
pub(crate) fn device(path: &Path) -> PathResult<u64> {
    let id = inspected(path).and_then(|file| win32::file_id(&file));
    id.map(|id| id.volume.into()).map_err(|source| PathError::new("inspect", path, source))
}

/// Tells whether what lies at a path belongs to another user. What an administrator makes may belong to all of them.
pub(crate) fn is_another_users(path: &Path) -> PathResult<bool> {
    let failed = |source| PathError::new("inspect", path, source);
    let owner = match win32::owner(path) {
        Ok(owner) => owner,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(failed(error)),
    };
    Ok(owner != win32::user().map_err(failed)? && !(owner == ADMINISTRATORS && win32::elevated()))
}

/// Tells whether this process has the rights of an administrator.
pub(crate) fn runs_as_administrator() -> bool {
    win32::elevated()
}

/// Tells whether somebody other than this user and the administrators could change what lies at a path: the file, or which
/// entries the folder of an install has, or what the name of a folder on the way leads to.
pub(crate) fn is_open_to_others(path: &Path, is_install: bool) -> bool {
    let (Ok(Some(metadata)), Ok(user)) = (metadata(path), win32::user()) else { return true };
    let taking = DELETE | WRITE_DAC | WRITE_OWNER | GENERIC_ALL;
    let changing = match (metadata.is_dir(), is_install) {
        (false, _) => taking | FILE_WRITE_DATA | FILE_APPEND_DATA | GENERIC_WRITE,
        (true, true) => taking | FILE_ADD_FILE | FILE_DELETE_CHILD | GENERIC_WRITE,
        // That others can make folders beside it, as in C:\, harms nobody.
        (true, false) => taking | FILE_DELETE_CHILD,
    };
    let is_trusted = |sid: &str| sid == user || TRUSTED.contains(&sid);
    let Ok(Some(grants)) = win32::grants(path) else { return true };
    let is_owned = win32::owner(path).is_ok_and(|owner| is_trusted(&owner));
    !is_owned || grants.iter().any(|grant| grant.mask & changing != 0 && !is_trusted(&grant.sid))
}

/// Opens a regular file of this user for reading and writing, which has no other name; whoever else has a hand in it could
/// change it later.
pub(crate) fn open_own(path: &Path, create: bool) -> std::io::Result<File> {
    let mut options = OpenOptions::new();
    let flags = FILE_FLAG_OPEN_REPARSE_POINT | FILE_FLAG_BACKUP_SEMANTICS;
    options.read(true).write(true).create_new(create).custom_flags(flags);
    let file = patiently(|| options.open(path))?;
    if !file.metadata()?.is_file() {
        return Err(Error::other("it is not a regular file"));
    }
    if win32::file_id(&file)?.links != 1 || is_another_users(path).map_err(|error| error.source)? {
        return Err(Error::other("it has other names or another owner"));
    }
    Ok(file)
}

/// Returns a name without its prefix and suffix; `None` when it does not have both.
pub(crate) fn stripped(name: &OsStr, prefix: &str, suffix: &str) -> Option<OsString> {
    Some(name.to_str()?.strip_prefix(prefix)?.strip_suffix(suffix)?.into())
}

/// Returns the bytes by which a path is the same as another: names that differ in case only are one.
pub(crate) fn text_of(path: &Path) -> Vec<u8> {
    path.to_string_lossy().to_lowercase().into_bytes()
}

/// What a volume still takes from this user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Space {
    /// Free bytes.
    pub(crate) bytes: u64,
    /// Free files: no volume counts them here.
    pub(crate) files: Option<u64>,
}

/// Returns the room on the volume of a folder.
pub(crate) fn space(folder: &Path) -> PathResult<Space> {
    let bytes = win32::free_bytes(folder).map_err(|error| PathError::new("measure", folder, error))?;
    Ok(Space { bytes, files: None })
}

/// Tells whether a file could not be changed because somebody has it open. Which right is missing and which program is in
/// the way cannot be told apart: a folder that this user may not change was refused before.
pub(crate) fn is_in_use(error: &Error) -> bool {
    let codes = [
        ERROR_ACCESS_DENIED,
        ERROR_SHARING_VIOLATION,
        ERROR_LOCK_VIOLATION,
        ERROR_USER_MAPPED_FILE,
        ERROR_DELETE_PENDING,
    ];
    error.raw_os_error().is_some_and(|code| codes.contains(&code.cast_unsigned()))
}

/// No link leads to itself here that could be opened.
pub(super) fn is_link_loop(_error: &Error) -> bool {
    false
}

/// Tries again while somebody has the file open, with growing pauses, up to [`PATIENCE`].
fn patiently<T>(mut attempt: impl FnMut() -> std::io::Result<T>) -> std::io::Result<T> {
    let (begin, mut pause) = (Instant::now(), FIRST_PAUSE);
    loop {
        match attempt() {
            Err(error) if is_in_use(&error) && begin.elapsed() < PATIENCE => {
                std::thread::sleep(pause);
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
            other => return other,
        }
    }
}

/// How long a file that somebody has open is waited for: 3 seconds. A scanner takes a few hundred milliseconds for a program;
/// a start of the app that installs what is scheduled may wait so long.
pub(super) const PATIENCE: Duration = Duration::from_secs(3);
/// The first pause between two attempts, and the longest one: each is twice the one before it.
const FIRST_PAUSE: Duration = Duration::from_millis(5);
const LONGEST_PAUSE: Duration = Duration::from_millis(200);
/// How deep folders are walked for their removal: 256, twice what a path of 255 bytes can hold in a release.
const MAX_DEPTH: usize = 256;
/// From this length on a path keeps its `\\?\`: 248 characters, where folders reach the limit of 260 with a short name in them.
const MAX_PLAIN: usize = 248;
/// The most bytes of a pointer to a version's folder: 1 KiB. Names of apps and versions are far shorter.
const MAX_POINTER: u64 = 1024;
/// The group of the administrators.
const ADMINISTRATORS: &str = "S-1-5-32-544";
/// Who may change what an administrator runs, beside the user: the system, the administrators, the installer of Windows, and
/// whoever made a folder, which names the owner again.
const TRUSTED: [&str; 5] = [
    "S-1-5-18",
    ADMINISTRATORS,
    "S-1-5-80-956008885-3418522649-1831038044-1853292631-2271478464",
    "S-1-3-0",
    "S-1-3-4",
];
