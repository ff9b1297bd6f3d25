//! What is done in the way of Unix: by descriptors, with permission bits, links never followed at the end of a path.

pub(crate) use super::dir::Dir;
pub(crate) use super::entries::Entry;
pub(crate) use super::space::space;
use super::{
    PathError, PathResult, digest_of, ignore_missing, metadata, missing, require, require_regular, sync_parent,
};
use rustix::fs::{AtFlags, CWD, Gid, Mode, OFlags, RawMode, RenameFlags};
use std::ffi::{OsStr, OsString};
use std::fs::{File, Metadata, OpenOptions};
use std::io::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use updater_format::Sha256;

/// Creates a file that must not exist, with exactly these permission bits, for writing.
pub(crate) fn create_new(path: &Path, mode: u32) -> PathResult<File> {
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::RDWR | OFlags::CLOEXEC;
    let file = rustix::fs::openat(CWD, path, flags, Mode::from_raw_mode(mode as RawMode))
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

/// Gives the installed program a second name, by link or by copy, so that replacing the first leaves it. Returns the path
/// under which it is to be looked at.
pub(crate) fn keep_beside(program: &Path, kept: &Path) -> PathResult<PathBuf> {
    if hard_link(program, kept).is_err() {
        // Not every file system has links, and some kernels refuse one to a file of another user.
        copy(program, kept)?;
    }
    Ok(kept.to_owned())
}

/// Gives a file a second name.
fn hard_link(from: &Path, to: &Path) -> PathResult<()> {
    rustix::fs::linkat(CWD, from, CWD, to, AtFlags::empty()).map_err(|error| PathError::new("link", from, error))
}

/// Makes what leads from a path that must not exist to the folder of a version: a link. The target is relative.
pub(crate) fn point_at(target: &Path, at: &Path) -> PathResult<()> {
    rustix::fs::symlinkat(target, CWD, at).map_err(|error| PathError::new("create the link", at, error))
}

/// Returns the folder that [`point_at`] has made a path lead to.
pub(crate) fn pointed(path: &Path) -> PathResult<PathBuf> {
    canonical(path)
}

/// Tells whether something is what [`point_at`] makes.
pub(crate) fn is_pointer(metadata: &Metadata) -> bool {
    metadata.is_symlink()
}

/// Copies a regular file to a path that must not exist, with its permission bits, durably.
pub(super) fn copy(from: &Path, to: &Path) -> PathResult<()> {
    let mut source = open_regular(from)?.ok_or_else(|| missing("copy", from))?;
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

/// Resolves every link in a path.
pub(crate) fn canonical(path: &Path) -> PathResult<PathBuf> {
    std::fs::canonicalize(path).map_err(|source| PathError::new("resolve", path, source))
}

/// Gives a program that waits to be installed the permission bits and the group that the installed one was given here,
/// durably: who could run the one can run the other. On macOS also the attributes that its user gave it.
pub(crate) fn take_access_of(path: &Path, like: &Path) -> PathResult<()> {
    let mode = require(like)?.mode() & 0o777;
    set_group_like(path, like)?;
    set_mode(path, mode | 0o100)?;
    #[cfg(target_vendor = "apple")]
    if let (Some(new), Some(old)) = (open_regular(path)?, open_regular(like)?) {
        super::attributes::adopt(new, old);
    }
    let synced = open_regular(path)?.map(|file| file.sync_all());
    synced.transpose().map(|_| ()).map_err(|source| PathError::new("make durable", path, source))
}

/// Tells whether a file has exactly these permission bits.
pub(crate) fn has_mode(metadata: &Metadata, mode: u32) -> bool {
    metadata.mode() & 0o7777 == mode
}

/// Sets the permission bits of a file or folder.
fn set_mode(path: &Path, mode: u32) -> PathResult<()> {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))
        .map_err(|source| PathError::new("set the permissions of", path, source))
}

fn set_group_like(path: &Path, like: &Path) -> PathResult<()> {
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

/// Tells whether this user may make, rename and remove entries of a folder: `Ok`, or what the system says against it.
pub(crate) fn check_writable(folder: &Path) -> std::io::Result<()> {
    use rustix::fs::Access;
    Ok(rustix::fs::accessat(CWD, folder, Access::WRITE_OK | Access::EXEC_OK, AtFlags::EACCESS)?)
}

/// Returns the digest of the program that this process runs, whatever has happened to its path since.
pub(crate) fn running_digest() -> PathResult<Sha256> {
    let (file, path) = running_program()?;
    Ok(digest_of(file, &path)?.1)
}

/// Tells whether the program that this process runs is the one that now lies at a path.
pub(crate) fn is_running_program(path: &Path) -> PathResult<bool> {
    is_same_file(&running_program()?.0, path)
}

/// Returns the path that the running program was started by; a name that it lost since is still the one.
pub(crate) fn running_path() -> PathResult<PathBuf> {
    let program = std::env::current_exe().map_err(|source| PathError::new("find", "the running program", source))?;
    Ok(without_deleted(program))
}

/// Removes what Linux appends to the path of a running program that was replaced.
fn without_deleted(program: PathBuf) -> PathBuf {
    match program.as_os_str().as_bytes().strip_suffix(b" (deleted)") {
        Some(path) if !program.exists() => PathBuf::from(OsStr::from_bytes(path)),
        _ => program,
    }
}

/// Returns a name without its prefix and suffix; `None` when it does not have both.
pub(crate) fn stripped(name: &OsStr, prefix: &str, suffix: &str) -> Option<OsString> {
    let rest = name.as_bytes().strip_prefix(prefix.as_bytes())?.strip_suffix(suffix.as_bytes())?;
    Some(OsStr::from_bytes(rest).to_owned())
}

/// Returns the bytes by which a path is the same as another.
pub(crate) fn text_of(path: &Path) -> Vec<u8> {
    path.as_os_str().as_bytes().to_vec()
}

fn running_program() -> PathResult<(File, PathBuf)> {
    let path = running_file().map_err(|source| PathError::new("find", "the running program", source))?;
    let file = File::open(&path).map_err(|source| PathError::new("open", &path, source))?;
    Ok((file, path))
}

/// Returns a path to the file that this process runs, which follows it when it is renamed where the system can tell.
fn running_file() -> std::io::Result<PathBuf> {
    #[cfg(target_os = "linux")]
    return Ok(PathBuf::from("/proc/self/exe"));
    #[cfg(target_os = "macos")]
    return crate::apple::running_program().map_or_else(std::env::current_exe, Ok);
    #[cfg(not(any(target_os = "linux", target_os = "macos")))]
    return std::env::current_exe();
}

/// Tells whether an open file is the one that now lies at a path.
pub(crate) fn is_same_file(file: &File, path: &Path) -> PathResult<bool> {
    let open = file.metadata().map_err(|source| PathError::new("inspect", path, source))?;
    Ok(metadata(path)?.is_some_and(|there| (there.dev(), there.ino()) == (open.dev(), open.ino())))
}

/// Returns the number of the file system that something lies on, links not followed.
pub(crate) fn device(path: &Path) -> PathResult<u64> {
    Ok(require(path)?.dev())
}

/// Tells whether what lies at a path belongs to another user.
pub(crate) fn is_another_users(path: &Path) -> PathResult<bool> {
    Ok(metadata(path)?.is_some_and(|metadata| metadata.uid() != rustix::process::geteuid().as_raw()))
}

/// Tells whether this process has the rights of the administrator.
pub(crate) fn runs_as_administrator() -> bool {
    rustix::process::geteuid().is_root()
}

/// Tells whether somebody other than the administrator could change what lies at a path. In a sticky folder such as `/tmp`
/// nobody can rename what belongs to the administrator; inside an install that is not enough.
pub(crate) fn is_open_to_others(path: &Path, is_install: bool) -> bool {
    let Ok(Some(metadata)) = metadata(path) else { return true };
    let mode = metadata.mode();
    let is_sticky = metadata.is_dir() && !is_install && mode & 0o1000 != 0;
    // The bits of a link mean nothing.
    let is_shared = !metadata.is_symlink() && mode & 0o022 != 0 && !is_sticky;
    metadata.uid() != 0 || is_shared
}

/// Opens a regular file of this user for reading and writing, which has no other name; whoever else has a hand in it could
/// change it later.
pub(crate) fn open_own(path: &Path, create: bool) -> std::io::Result<File> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let mut options = OpenOptions::new();
    options.read(true).write(true).create_new(create).mode(0o600).custom_flags(flags.bits().cast_signed());
    let file = options.open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(std::io::Error::other("it is not a regular file"));
    }
    if metadata.nlink() != 1 || metadata.uid() != rustix::process::geteuid().as_raw() {
        return Err(std::io::Error::other("it has other names or another owner"));
    }
    Ok(file)
}

/// Puts a program in the place of another, in one step: it is kept under a second name already, and `_aside` is not needed.
pub(crate) fn replace_program(new: &Path, at: &Path, _aside: &Path) -> PathResult<()> {
    rename(new, at)
}

/// Tells whether a file could not be changed because a program has it open, which keeps nobody from anything here.
pub(crate) fn is_in_use(_error: &std::io::Error) -> bool {
    false
}

/// Tells whether a link on the way leads to itself.
pub(super) fn is_link_loop(error: &std::io::Error) -> bool {
    error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error())
}

/// How deep folders are opened up for their removal: 256, twice what a path of 255 bytes can hold in a release.
const MAX_DEPTH: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_was_replaced_has_its_path() {
        let replaced = PathBuf::from("/nowhere/hello (deleted)");
        assert_eq!(without_deleted(replaced), Path::new("/nowhere/hello"));
        let folder = tempfile::tempdir().unwrap();
        let odd = folder.path().join("hello (deleted)");
        std::fs::write(&odd, "").unwrap();
        assert_eq!(without_deleted(odd.clone()), odd);
    }
}
