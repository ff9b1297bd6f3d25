//! For the launcher, which does the same with files of its own. No part of the interface: it changes with any version.

use std::ffi::c_void;
use std::io::Result;
use std::path::Path;

/// Makes a folder that only this user, the system and the administrators can enter.
/// # Errors
/// As the system says.
pub fn private_folder(path: &Path) -> Result<()> {
    crate::win32::make_private_folder(path)
}

/// Renames, replacing a file that is there; returns when the volume has it. Who holds a file for a moment is waited for.
/// # Errors
/// As the system says.
pub fn replace(from: &Path, to: &Path) -> Result<()> {
    crate::fs::rename(from, to).map_err(|error| error.source)
}

/// Returns this user, as `S-1-...`.
/// # Errors
/// As the system says.
pub fn user() -> Result<String> {
    crate::win32::user()
}

/// Calls a function with the `SECURITY_ATTRIBUTES` that give what it makes this access list (in SDDL). They are alive until it
/// returns.
/// # Errors
/// When the list cannot be read.
pub fn with_access_list<T>(list: &str, make: impl FnOnce(*const c_void) -> T) -> Result<T> {
    crate::win32::with_access_list(list, |attributes| make(attributes.cast()))
}
