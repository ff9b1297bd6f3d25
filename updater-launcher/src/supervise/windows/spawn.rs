//! How a child is started: it leads a process group, which Ctrl-Break reaches, in a job, which ends with the launcher.

use super::QUIET;
use super::child::{Child, Start};
use super::processes::{Pid, Running};
use crate::error::{Error, Result};
use crate::launch::{check_program, shown};
use crate::win32::{Job, has_console, resume};
use std::os::windows::io::OwnedHandle;
use std::os::windows::process::CommandExt as _;
use std::process::{Command, Stdio};
use windows_sys::Win32::System::Threading::{CREATE_NEW_PROCESS_GROUP, CREATE_NO_WINDOW, CREATE_SUSPENDED};

/// A socket on its way to a child: nothing on Windows.
#[derive(Debug)]
pub(super) enum Handed {}

/// The end of a pipe to which a child writes.
pub(super) type Output = OwnedHandle;

impl Start<'_> {
    /// Starts it. It runs only when it is in its job, so that nothing it starts can be outside.
    pub(super) fn spawn(self) -> Result<Child> {
        let None = self.listener;
        let program = self.argv.first().cloned().unwrap_or_default();
        check_program(&program, self.dir)?;
        let failed = |problem: String| Error::Start { program: shown(&program, self.dir), problem };
        let mut command = Command::new(&program);
        command.args(self.argv.iter().skip(1)).current_dir(self.dir).env_remove(QUIET);
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        command.stdin(if self.talks { Stdio::piped() } else { Stdio::null() });
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        // No window appears where the launcher has none.
        let unseen = if has_console() { 0 } else { CREATE_NO_WINDOW };
        command.creation_flags(CREATE_NEW_PROCESS_GROUP | CREATE_SUSPENDED | unseen);
        let job = Job::new().map_err(|error| failed(error.to_string()))?;
        let mut child = command.spawn().map_err(|error| failed(error.to_string()))?;
        let begun = job.take(&child).and_then(|()| resume(child.id()));
        if let Err(error) = begun {
            let _ = child.kill();
            return Err(failed(error.to_string()));
        }
        let (Some(pid), Some(stdout), Some(stderr)) = (Pid::of(&child), child.stdout.take(), child.stderr.take())
        else {
            return Err(failed("it has no pipes".to_owned()));
        };
        let stdin = child.stdin.take();
        Ok(Child { pid, running: Running::new(child, job), stdin, stdout: stdout.into(), stderr: stderr.into() })
    }
}

/// Returns the running program; a file that has taken its place is another one of the same launcher.
pub(crate) fn own_program() -> String {
    std::env::current_exe()
        .map_or_else(|_| "updater-launcher.exe".to_owned(), |path| path.to_string_lossy().into_owned())
}
