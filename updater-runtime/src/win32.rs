//! The calls of Windows that the standard library does not make: every foreign call of this crate on Windows is here, each
//! behind a function that cannot be misused.

#![expect(unsafe_code, reason = "foreign calls; each says why it is sound")]

mod access;
mod end;
mod process;

pub(crate) use access::{copy_access, elevated, grants, make_private_folder, owner, user, with_access_list};
pub(crate) use end::at_exit;
pub(crate) use process::{Job, hide_console, leave_interrupts_to_others, no_console_flash, parent_process, start_time};

use std::fs::File;
use std::io::{Error, Result};
use std::os::windows::ffi::OsStrExt as _;
use std::os::windows::io::AsRawHandle as _;
use std::path::{Path, PathBuf, Prefix};
use windows_sys::Win32::Storage::FileSystem::{
    BY_HANDLE_FILE_INFORMATION, FILE_ATTRIBUTE_HIDDEN, FILE_ATTRIBUTE_NORMAL, GetDiskFreeSpaceExW,
    GetFileInformationByHandle, MOVEFILE_REPLACE_EXISTING, MOVEFILE_WRITE_THROUGH, MoveFileExW, SetFileAttributesW,
};

/// What tells a file from every other on this computer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FileId {
    /// The serial number of its volume.
    pub(crate) volume: u32,
    index: u64,
    /// How many names it has.
    pub(crate) links: u32,
}

impl FileId {
    /// Tells whether it is the same file.
    pub(crate) fn is(self, other: Self) -> bool {
        (self.volume, self.index) == (other.volume, other.index)
    }
}

/// Returns the identity of an open file or folder.
pub(crate) fn file_id(file: &File) -> Result<FileId> {
    let mut found = BY_HANDLE_FILE_INFORMATION::default();
    // SAFETY: the handle is open for as long as `file` is borrowed, and `found` is a structure of the size that is written.
    check(unsafe { GetFileInformationByHandle(file.as_raw_handle(), &raw mut found) })?;
    let index = u64::from(found.nFileIndexHigh) << 32 | u64::from(found.nFileIndexLow);
    Ok(FileId { volume: found.dwVolumeSerialNumber, index, links: found.nNumberOfLinks })
}

/// Renames, replacing a file that is there, and returns when the volume has it. One volume only.
pub(crate) fn move_file(from: &Path, to: &Path) -> Result<()> {
    let (from, to) = (wide(from)?, wide(to)?);
    // Without MOVEFILE_COPY_ALLOWED: a copy to another volume is no rename.
    let flags = MOVEFILE_REPLACE_EXISTING | MOVEFILE_WRITE_THROUGH;
    // SAFETY: both are strings that end in a zero and live through the call.
    check(unsafe { MoveFileExW(from.as_ptr(), to.as_ptr(), flags) })
}

/// Hides a folder from people: a leading dot means nothing to Explorer.
pub(crate) fn hide(path: &Path) -> Result<()> {
    let path = wide(path)?;
    // SAFETY: a string that ends in a zero and lives through the call.
    check(unsafe { SetFileAttributesW(path.as_ptr(), FILE_ATTRIBUTE_HIDDEN) })
}

/// Takes the read-only and hidden attributes of a file away, which keep it from being removed or replaced.
pub(crate) fn clear_attributes(path: &Path) -> Result<()> {
    let path = wide(path)?;
    // SAFETY: a string that ends in a zero and lives through the call.
    check(unsafe { SetFileAttributesW(path.as_ptr(), FILE_ATTRIBUTE_NORMAL) })
}

/// Returns how many bytes the volume of a folder still takes from this user.
pub(crate) fn free_bytes(folder: &Path) -> Result<u64> {
    let (folder, mut free) = (wide(folder)?, 0);
    let nothing = std::ptr::null_mut();
    // SAFETY: a string that ends in a zero, a place for the one number that is asked for, and null for those that are not.
    check(unsafe { GetDiskFreeSpaceExW(folder.as_ptr(), &raw mut free, nothing, nothing) })?;
    Ok(free)
}

/// Lets libraries that are loaded by name come from the program's own folder and the system's only, no longer from the
/// working directory or `PATH`.
pub(crate) fn harden_library_search() -> Result<()> {
    use windows_sys::Win32::System::LibraryLoader::{LOAD_LIBRARY_SEARCH_DEFAULT_DIRS, SetDefaultDllDirectories};
    // SAFETY: takes a number and changes where later loads look.
    check(unsafe { SetDefaultDllDirectories(LOAD_LIBRARY_SEARCH_DEFAULT_DIRS) })
}

/// Returns a path as these calls take it: absolute, in the `\\?\` form that has no limit of 260 characters and repairs
/// nothing, and ended by a zero.
pub(crate) fn wide(path: &Path) -> Result<Vec<u16>> {
    let mut text: Vec<u16> = verbatim(path)?.as_os_str().encode_wide().collect();
    if text.contains(&0) {
        return Err(std::io::ErrorKind::InvalidInput.into());
    }
    text.push(0);
    Ok(text)
}

fn verbatim(path: &Path) -> Result<PathBuf> {
    use std::path::Component;
    let path = std::path::absolute(path)?;
    let Some(Component::Prefix(prefix)) = path.components().next() else { return Ok(path) };
    let start = match prefix.kind() {
        Prefix::Disk(_) => std::ffi::OsString::from(r"\\?\"),
        Prefix::UNC(..) => std::ffi::OsString::from(r"\\?\UNC\"),
        _ => return Ok(path),
    };
    let mut long = start;
    match prefix.kind() {
        Prefix::UNC(server, share) => {
            long.push(server);
            long.push(r"\");
            long.push(share);
            let rest: PathBuf = path.components().skip(1).collect();
            long.push(rest);
        }
        _ => long.push(&path),
    }
    Ok(PathBuf::from(long))
}

/// Turns the answer of a call into a result.
fn check(answer: windows_sys::core::BOOL) -> Result<()> {
    if answer == 0 { Err(Error::last_os_error()) } else { Ok(()) }
}
