//! The probed program and whatever it starts: a job, which ends with its last handle.

use crate::win32::{Job, hide_console};
use std::path::Path;
use std::process::{Child, Command};

/// The job that a child is in; `None` where the system gave none.
pub(super) struct Group(Option<Job>);

/// Lets no console window appear for the child.
pub(super) fn separate(command: &mut Command) {
    hide_console(command);
}

/// Tells whether a program can be started in a folder: Windows takes no working directory of more than 258 characters,
/// and the end of the path may need one more.
pub(super) fn takes_working_directory(folder: &Path) -> bool {
    folder.as_os_str().len() < 248
}

impl Group {
    /// What the child has started before it is in the job is not; a program that answers the probe starts nothing.
    pub(super) fn of(child: &Child) -> Self {
        let job = Job::holding(child);
        if let Err(error) = &job {
            log::debug!("the probed program is in no job: {error}");
        }
        Self(job.ok())
    }

    /// Kills all of it. That it has ended already is as good.
    pub(super) fn kill(&self) {
        if let Some(job) = &self.0 {
            job.kill();
        }
    }
}
