//! Where everything lies in an install's folder.
//!
//! ```text
//! launcher.toml            what the owner of this computer wants otherwise; written by people (and by `init`)
//! versions/APP-VERSION/    one folder for each version; never changed once it is there
//! current                  the link to the one that runs; a file with its path on Windows
//! .current.updater/        the runtime's hidden folder: lock, journal, staging
//! var/log/                 APP.out.log, APP.err.log, launcher.log, and older ones with a number
//! var/run/                 lock, control.sock (control.pipe), app.json; nothing that must survive a boot
//! var/state/               install.json, root.json (the pinned trust), metadata/ (what was verified)
//! ```
//!
//! What the app itself keeps belongs outside of `versions/`: anywhere else in this folder, or elsewhere.

use crate::error::{Error, Result};
use std::path::{Path, PathBuf};
use updater_format::AppId;

/// The places of one install.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Places {
    root: PathBuf,
}

impl Places {
    /// Uses a folder that exists.
    /// # Errors
    /// [`Error::File`] when it does not.
    pub(crate) fn at(root: &Path) -> Result<Self> {
        let root = crate::files::resolved(root).map_err(|source| Error::file("open the folder", root, source))?;
        Ok(Self { root })
    }

    /// Uses a folder with an install, finished or not.
    /// # Errors
    /// [`Error::NoInstall`]; [`Error::File`] when its files are nobody else's business.
    pub(crate) fn of_install(root: &Path) -> Result<Self> {
        let missing = || Error::NoInstall { path: root.to_owned() };
        let places = Self::at(root).map_err(|_| missing())?;
        let path = places.record();
        match path.metadata() {
            Ok(metadata) if metadata.is_file() => Ok(places),
            Err(source) if source.kind() == std::io::ErrorKind::PermissionDenied => {
                Err(Error::file("read", &path, source))
            }
            _ => Err(missing()),
        }
    }

    /// Returns the install's folder.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn current(&self) -> PathBuf {
        self.root.join("current")
    }

    pub(crate) fn overrides(&self) -> PathBuf {
        self.root.join(OVERRIDES)
    }

    pub(crate) fn logs(&self) -> PathBuf {
        self.root.join("var/log")
    }

    pub(crate) fn own_log(&self) -> PathBuf {
        self.logs().join("launcher.log")
    }

    /// Returns the log file of a stream, `out` or `err`.
    pub(crate) fn app_log(&self, app: &AppId, stream: &str) -> PathBuf {
        self.logs().join(format!("{app}.{stream}.log"))
    }

    pub(crate) fn run(&self) -> PathBuf {
        self.root.join("var/run")
    }

    pub(crate) fn lock(&self) -> PathBuf {
        self.run().join("lock")
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.run().join(SOCKET)
    }

    /// Uses the socket under a name that fits into an address: one of more than 107 bytes is reached through its folder.
    /// # Errors
    /// What `with` returns, and when the folder cannot be opened.
    #[cfg(unix)]
    pub(crate) fn with_socket<T>(&self, with: impl FnOnce(&Path) -> std::io::Result<T>) -> std::io::Result<T> {
        use std::os::fd::AsRawFd as _;
        if self.socket().as_os_str().len() <= MAX_SOCKET {
            return with(&self.socket());
        }
        let folder = std::fs::File::open(self.run())?;
        with(&Path::new("/proc/self/fd").join(folder.as_raw_fd().to_string()).join(SOCKET))
    }

    /// Returns the name under which the app finds the pipe.
    #[cfg(windows)]
    pub(crate) fn socket_for_app(&self) -> PathBuf {
        crate::control::pipe_of(self).unwrap_or_default().into()
    }

    /// Returns the name under which the app finds the socket: a short one from its working directory if the whole one does
    /// not fit into an address.
    #[cfg(unix)]
    pub(crate) fn socket_for_app(&self) -> PathBuf {
        match self.socket() {
            path if path.as_os_str().len() <= MAX_SOCKET => path,
            _ => Path::new("../../var/run").join(SOCKET),
        }
    }

    /// Returns the runtime's journal: what has begun, and which releases have failed here.
    pub(crate) fn journal(&self) -> PathBuf {
        self.root.join(".current.updater").join("state.json")
    }

    /// Returns where the running app is written down, for a launcher that comes after one that was killed.
    #[cfg(unix)]
    pub(crate) fn running_app(&self) -> PathBuf {
        self.run().join("app.json")
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.root.join("var/state")
    }

    pub(crate) fn record(&self) -> PathBuf {
        self.state().join("install.json")
    }

    pub(crate) fn trusted_root(&self) -> PathBuf {
        self.state().join("root.json")
    }

    /// Makes the folders below `var`. What is in `run` and `state` is for this user alone.
    /// # Errors
    /// [`Error::File`].
    pub(crate) fn make(&self) -> Result<()> {
        make_folder(&self.root.join("var"), 0o755)?;
        make_folder(&self.logs(), 0o755)?;
        make_folder(&self.run(), 0o700)?;
        make_folder(&self.state(), 0o700)
    }

    /// Removes what an install has made that came to nothing, and the folder itself if it made that too. Settings of the
    /// owner stay.
    /// # Errors
    /// [`Error::File`].
    pub(crate) fn remove(&self, is_new: bool) -> Result<()> {
        for name in ["versions", ".current.updater", "var"] {
            let path = self.root.join(name);
            match std::fs::remove_dir_all(&path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(Error::file("remove", &path, error));
                }
                _ => {}
            }
        }
        if is_new {
            std::fs::remove_dir(&self.root).map_err(|source| Error::file("remove", &self.root, source))?;
        }
        Ok(())
    }

    /// Returns the folder of the version that `current` leads to.
    /// # Errors
    /// [`Error::NoInstall`] when there is none: the install was not finished.
    pub(crate) fn current_version(&self) -> Result<PathBuf> {
        let missing = |_| Error::NoInstall { path: self.root.clone() };
        updater_runtime::current_version(&self.current()).map_err(missing)
    }

    /// Returns the first thing in the folder that no install has put there.
    /// # Errors
    /// [`Error::File`].
    pub(crate) fn foreign(&self) -> Result<Option<String>> {
        let failed = |source| Error::file("list", &self.root, source);
        for entry in std::fs::read_dir(&self.root).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name();
            let is_own = OWN.iter().any(|own| name == *own);
            if !is_own {
                return Ok(Some(name.to_string_lossy().into_owned()));
            }
        }
        Ok(None)
    }
}

/// Makes a folder with this mode unless it is there.
fn make_folder(path: &Path, mode: u32) -> Result<()> {
    match crate::files::make_folder(path, mode) {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        other => other.map_err(|source| Error::file("create the folder", path, source)),
    }
}

/// Writes a file so that a reader sees the old or the new one, durably.
/// # Errors
/// [`Error::File`].
pub(crate) fn write_atomic(path: &Path, bytes: &[u8]) -> Result<()> {
    use std::io::Write as _;
    let temporary = path.with_extension(format!("{}.tmp", std::process::id()));
    let written = || {
        let mut options = std::fs::OpenOptions::new();
        let options = crate::files::own(options.write(true).create(true).truncate(true), 0o600);
        let mut file = options.open(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        drop(file);
        crate::files::replace(&temporary, path)
    };
    written().map_err(|source| Error::file("write", path, source))
}

/// The control socket; on Windows a file with the name of the pipe.
const SOCKET: &str = if cfg!(windows) { "control.pipe" } else { "control.sock" };
/// The most bytes of a socket's name in an address: 107, and a NUL.
#[cfg(unix)]
const MAX_SOCKET: usize = 107;
/// The file for local settings.
const OVERRIDES: &str = "launcher.toml";
/// What an install consists of.
const OWN: [&str; 5] = [OVERRIDES, "versions", "current", ".current.updater", "var"];
