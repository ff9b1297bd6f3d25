//! What another launcher has left: nothing. The job of the app of a launcher that was killed ended with it, and the system
//! hands no listening socket from process to process.

use super::Supervisor;
use super::processes::Pid;
use super::spawn::Handed;
use crate::error::{Error, Result};

impl Supervisor {
    /// There is none to end.
    pub(super) fn end_leftover(&mut self) {}

    /// Refuses an app that is to have a socket of the launcher's: its settings were refused before, when they were read.
    pub(super) fn listener(&mut self) -> Result<Option<Handed>> {
        match self.merged.settings.listen {
            Some(_) => Err(Error::no_sockets()),
            None => Ok(None),
        }
    }

    /// Nothing is written down.
    pub(super) fn write_down(&self, _pid: Pid) {}

    /// Nothing was written down.
    pub(super) fn forget(&self, _pid: Pid) {}
}
