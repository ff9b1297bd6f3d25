//! What `--fix` does by itself: only what takes nothing away and what anybody would do the same way.

use std::path::{Path, PathBuf};

/// A safe repair.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Repair {
    /// Takes the permissions of others away from a file or folder.
    Permissions {
        /// The file or folder.
        path: PathBuf,
        /// Its mode from now on.
        mode: u32,
    },
    /// Adds a line to a `.gitignore`.
    Ignore {
        /// The file.
        file: PathBuf,
        /// The line.
        pattern: String,
    },
    /// Writes a file whose content was verified: a newer root, signed by the one that it replaces, or the targets role that is
    /// published.
    Write {
        /// The file.
        path: PathBuf,
        /// Its bytes.
        bytes: Vec<u8>,
    },
}

impl Repair {
    /// Does it.
    /// # Errors
    /// [`RepairError`] when the file cannot be changed.
    pub fn run(&self) -> Result<(), RepairError> {
        let (path, result) = match self {
            Self::Permissions { path, mode } => (path, restrict(path, *mode)),
            Self::Ignore { file, pattern } => (file, append_line(file, pattern)),
            Self::Write { path, bytes } => (path, crate::files::write_durably(path, bytes)),
        };
        result.map_err(|source| RepairError { path: path.clone(), source })
    }
}

impl std::fmt::Display for Repair {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Permissions { path, mode } => write!(f, "set the permissions of {} to {mode:o}", path.display()),
            Self::Ignore { file, pattern } => write!(f, "add {pattern} to {}", file.display()),
            Self::Write { path, .. } => write!(f, "write {}", path.display()),
        }
    }
}

fn restrict(path: &Path, mode: u32) -> std::io::Result<()> {
    #[cfg(unix)]
    {
        use rustix::fs::{Mode, OFlags};
        use std::os::unix::fs::PermissionsExt as _;
        // Through the file that was opened, so that no link that takes its place is followed.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = std::fs::File::from(rustix::fs::open(path, flags, Mode::empty())?);
        file.set_permissions(std::fs::Permissions::from_mode(mode))
    }
    #[cfg(not(unix))]
    {
        let _ = (path, mode);
        Err(std::io::ErrorKind::Unsupported.into())
    }
}

fn append_line(file: &Path, line: &str) -> std::io::Result<()> {
    let mut text = match std::fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(error),
    };
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    text.push_str(line);
    text.push('\n');
    crate::files::write_durably(file, text.as_bytes())
}

/// A repair that failed.
#[derive(Debug, thiserror::Error)]
#[error("cannot change {}", path.display())]
pub struct RepairError {
    /// The file.
    pub path: PathBuf,
    /// What the system said.
    pub source: std::io::Error,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_added_whatever_the_file_ends_with() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join(".gitignore");
        let repair = Repair::Ignore { file: file.clone(), pattern: "/a.key".to_owned() };
        for (before, after) in [(None, "/a.key\n"), (Some("target"), "target\n/a.key\n"), (Some("x\n"), "x\n/a.key\n")]
        {
            match before {
                Some(text) => std::fs::write(&file, text).unwrap(),
                None => assert!(!file.exists()),
            }
            repair.run().unwrap();
            assert_eq!(std::fs::read_to_string(&file).unwrap(), after);
        }
    }

    #[cfg(unix)]
    #[test]
    fn permissions_of_what_a_link_leads_to_stay() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let (target, link) = (folder.path().join("target"), folder.path().join("root.key"));
        std::fs::write(&target, "").unwrap();
        std::fs::set_permissions(&target, std::fs::Permissions::from_mode(0o644)).unwrap();
        std::os::unix::fs::symlink(&target, &link).unwrap();
        let mode = || target.metadata().unwrap().permissions().mode() & 0o777;
        let error = Repair::Permissions { path: link, mode: 0o600 }.run().unwrap_err();
        assert_eq!((error.source.raw_os_error(), mode()), (Some(rustix::io::Errno::LOOP.raw_os_error()), 0o644));
        Repair::Permissions { path: target.clone(), mode: 0o600 }.run().unwrap();
        assert_eq!(mode(), 0o600);
    }

    #[test]
    fn what_cannot_be_changed_is_named() {
        let path = PathBuf::from("/nowhere/root.key");
        let error = Repair::Permissions { path: path.clone(), mode: 0o600 }.run().unwrap_err();
        assert_eq!((error.path, error.source.kind()), (path, std::io::ErrorKind::NotFound));
    }
}
