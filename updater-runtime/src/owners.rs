//! For the launcher, which judges files of its own by the same rule. No part of the interface: it changes with any version.

use std::path::Path;

/// Tells whether this process has the rights of an administrator.
#[must_use]
pub fn runs_as_administrator() -> bool {
    crate::fs::runs_as_administrator()
}

/// Tells whether somebody other than the administrator (on Windows: this user and the administrators) can change a file or
/// folder, which is there; for one of an install more counts.
#[must_use]
pub fn is_open_to_others(path: &Path, is_install: bool) -> bool {
    crate::fs::is_open_to_others(path, is_install)
}
