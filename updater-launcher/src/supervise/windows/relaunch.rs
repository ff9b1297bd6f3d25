//! Another launcher in place of this one while the app runs on: not on Windows, where a process cannot become another
//! program, and where the app ends with the launcher whose child it is. A new launcher takes over with the next start.

use super::Supervisor;
use super::app::App;
use super::poll::Stream;
use crate::error::{Error, Result};
use crate::lock::Lock;
use crate::places::Places;
use std::fs::File;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::OnceLock;

/// What a launcher before has left for this one.
#[derive(Debug)]
pub(super) struct Handover {
    pub(super) lock: Lock,
    pub(super) listener: Option<(SocketAddr, TcpListener)>,
    pub(super) streams: Vec<Stream>,
    pub(super) app: Option<App>,
}

impl Handover {
    /// Nothing is handed over here.
    /// # Errors
    /// [`Error::NotHere`].
    pub(super) fn take(_text: &str, _places: &Places) -> Result<Self> {
        Err(refused())
    }
}

impl Supervisor {
    /// Tells whether another program lies where this one was started from.
    pub(super) fn is_replaced(&self) -> bool {
        let there = File::open(&self.program).and_then(|file| crate::win32::file_identity(&file)).ok();
        RUNNING.get() != there.as_ref()
    }

    /// Refuses.
    pub(super) fn relaunch(&mut self) -> Error {
        refused()
    }
}

/// The file that this process runs, by its identity: its name may be another's later.
static RUNNING: OnceLock<(u64, u64)> = OnceLock::new();

/// Returns the path of the running program.
pub(super) fn own_program_path() -> Result<PathBuf> {
    let failed = |source| Error::file("find", std::path::Path::new("the launcher"), source);
    let program = std::env::current_exe().map_err(failed)?;
    let identity = File::open(&program).and_then(|file| crate::win32::file_identity(&file)).map_err(failed)?;
    let _ = RUNNING.set(identity);
    Ok(program)
}

fn refused() -> Error {
    Error::NotHere {
        what: "a launcher takes the place of a running one",
        hint: "end it with `updater-launcher stop` and start the new one with `updater-launcher start`",
    }
}
