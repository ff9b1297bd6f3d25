//! Files as this system has them: permission bits, links that are not followed, identities.

use std::fs::{File, OpenOptions};
use std::io::Result;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// Lets a file be made with this mode, and not opened through a link that others might have put there.
pub(crate) fn own(options: &mut OpenOptions, mode: u32) -> &mut OpenOptions {
    options.mode(mode).custom_flags(NO_LINK)
}

/// Makes a folder that must not exist, with this mode.
pub(crate) fn make_folder(path: &Path, mode: u32) -> Result<()> {
    std::fs::DirBuilder::new().mode(mode).create(path)
}

/// Renames, replacing a file that is there, durably.
pub(crate) fn replace(from: &Path, to: &Path) -> Result<()> {
    std::fs::rename(from, to)?;
    File::open(to.parent().unwrap_or(to))?.sync_all()
}

/// Tells a file from every other: its device and its number.
pub(crate) fn identity(file: &File) -> Result<(u64, u64)> {
    file.metadata().map(|metadata| (metadata.dev(), metadata.ino()))
}

/// Resolves every link in the path of a folder.
pub(crate) fn resolved(path: &Path) -> Result<PathBuf> {
    path.canonicalize()
}

/// The flag of files that are opened where others might have put a link: it is not followed.
#[expect(clippy::cast_possible_wrap, reason = "the flag is far below the sign bit")]
const NO_LINK: i32 = rustix::fs::OFlags::NOFOLLOW.bits() as i32;
