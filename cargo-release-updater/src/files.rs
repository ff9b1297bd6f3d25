//! Small files of the publisher: whole or not there, whatever is pulled out meanwhile.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// A file that could not be read or written, for a command that has no error of its own for it.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {}", path.display())]
pub(crate) struct FileError {
    /// What was tried, for example `read`.
    pub(crate) action: &'static str,
    /// The file.
    pub(crate) path: PathBuf,
    /// What the system said.
    pub(crate) source: std::io::Error,
}

impl FileError {
    /// Makes the error of one attempt.
    pub(crate) fn of(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        move |source| Self { action, path: path.to_owned(), source }
    }
}

/// Replaces a file that everybody may read, with the folders above it; it and its folder are on the disk when this returns.
pub(crate) fn write_durably(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    std::fs::create_dir_all(folder)?;
    let mut file = tempfile::Builder::new().prefix(".new-").tempfile_in(folder)?;
    file.write_all(bytes)?;
    publish_mode(file.as_file())?;
    persist(file, path)
}

/// Puts a finished file in its place; it and its folder are on the disk when this returns.
pub(crate) fn persist(file: tempfile::NamedTempFile, path: &Path) -> std::io::Result<()> {
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    // A folder cannot be opened for this on Windows, where the rename itself is written through.
    #[cfg(unix)]
    File::open(path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or_else(|| Path::new(".")))?
        .sync_all()?;
    Ok(())
}

/// Lets everybody read a file that was made as a private temporary one: it is going to be published.
pub(crate) fn publish_mode(file: &File) -> std::io::Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        file.set_permissions(std::fs::Permissions::from_mode(0o644))?;
    }
    #[cfg(not(unix))]
    let _ = file;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_and_nothing_is_left_beside_it() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("a/b/file");
        for text in ["one", "another"] {
            write_durably(&path, text.as_bytes()).unwrap();
            assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
        }
        assert_eq!(std::fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
        // A folder of that name stays as it is, and the error is the system's.
        write_durably(&temp.path().join("a/b"), b"x").unwrap_err();
        assert_eq!(std::fs::read_dir(temp.path().join("a")).unwrap().count(), 1);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o644);
        }
    }
}
