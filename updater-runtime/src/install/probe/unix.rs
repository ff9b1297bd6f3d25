//! The probed program and whatever it starts: a process group.

use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command};

/// The group of a child.
pub(super) struct Group(Option<rustix::process::Pid>);

/// Lets the child begin a group.
pub(super) fn separate(command: &mut Command) {
    command.process_group(0);
}

/// Tells whether a program can be started in a folder.
pub(super) fn takes_working_directory(_folder: &Path) -> bool {
    true
}

impl Group {
    pub(super) fn of(child: &Child) -> Self {
        Self(i32::try_from(child.id()).ok().and_then(rustix::process::Pid::from_raw))
    }

    /// Kills all of it. That it has ended already is as good.
    pub(super) fn kill(&self) {
        if let Some(pid) = self.0 {
            let _ = rustix::process::kill_process_group(pid, rustix::process::Signal::KILL);
        }
    }
}
