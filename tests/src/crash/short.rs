//! Real short writes: a library that is loaded into the app and halves one of its writes.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The library, and where it leaves word.
#[derive(Debug, Clone)]
pub struct ShortWrites {
    library: PathBuf,
    done: PathBuf,
}

impl ShortWrites {
    /// Compiles the library with the system's `cc`.
    /// # Errors
    /// When there is none, or it fails.
    pub fn prepare(folder: &Path) -> io::Result<Self> {
        let (source, library) = (folder.join("short-write.c"), folder.join("short-write.so"));
        std::fs::write(&source, include_str!("short-write.c"))?;
        let status = Command::new("cc").args(["-O1", "-shared", "-fPIC", "-o"]).args([&library, &source]).status()?;
        if !status.success() {
            return Err(io::Error::other(format!("cc: {status}")));
        }
        Ok(Self { library, done: folder.join("short-write.done") })
    }

    /// Makes the n-th write below a folder a short one, from 1.
    pub fn dress<'a>(&self, command: &'a mut Command, below: &Path, number: usize) -> &'a mut Command {
        let _ = std::fs::remove_file(&self.done);
        command
            .env("LD_PRELOAD", &self.library)
            .env("SHORT_WRITE_AT", number.to_string())
            .env("SHORT_WRITE_BELOW", below)
            .env("SHORT_WRITE_DONE", &self.done)
    }

    /// Tells whether it has happened since [`ShortWrites::dress`].
    #[must_use]
    pub fn have_happened(&self) -> bool {
        self.done.exists()
    }
}
