//! How much room a file system has left.

use super::{PathError, PathResult};
use std::path::Path;

/// What a file system still takes from this user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Space {
    /// Free bytes.
    pub(crate) bytes: u64,
    /// Free files; `None` on file systems that do not count them.
    pub(crate) files: Option<u64>,
}

/// Returns the room on the file system of a folder.
pub(crate) fn space(folder: &Path) -> PathResult<Space> {
    let stat = rustix::fs::statvfs(folder).map_err(|error| PathError::new("measure", folder, error))?;
    // btrfs and others make files as needed and say that they have none at all.
    let files = (stat.f_files > 0).then_some(stat.f_favail);
    Ok(Space { bytes: stat.f_bavail.saturating_mul(stat.f_frsize), files })
}
