//! Files as Windows has them: access lists, links that are not followed, identities.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Result};
use std::os::windows::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use windows_sys::Win32::Storage::FileSystem::FILE_FLAG_OPEN_REPARSE_POINT;

/// Lets a file not be opened through a link that others might have put there. Its access list is that of its folder.
pub(crate) fn own(options: &mut OpenOptions, _mode: u32) -> &mut OpenOptions {
    options.custom_flags(FILE_FLAG_OPEN_REPARSE_POINT)
}

/// Makes a folder that must not exist; one that others have no business in (0700) with an access list that says so.
pub(crate) fn make_folder(path: &Path, mode: u32) -> Result<()> {
    if mode & 0o077 == 0 { updater_runtime::windows::private_folder(path) } else { std::fs::create_dir(path) }
}

/// Renames, replacing a file that is there; returns when the volume has it. Whoever reads it for a moment is waited for.
pub(crate) fn replace(from: &Path, to: &Path) -> Result<()> {
    updater_runtime::windows::replace(from, to)
}

/// Tells a file from every other: its volume and its number.
pub(crate) fn identity(file: &File) -> Result<(u64, u64)> {
    crate::win32::file_identity(file)
}

/// Makes the path of a folder absolute. Links in it stay: what the system resolves begins with `\\\\?\\`, which many programs do
/// not take as a working directory.
pub(crate) fn resolved(path: &Path) -> Result<PathBuf> {
    let path = std::path::absolute(path)?;
    if path.is_dir() { Ok(path) } else { Err(ErrorKind::NotFound.into()) }
}
