//! How a child is started: always through the launcher's own `__exec`, which prepares the process without unsafe code here.

use super::QUIET;
use super::child::{Child, Start};
use crate::error::{Error, Result};
use crate::launch::{check_program, shown};
use rustix::process::Pid;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};

impl Start<'_> {
    /// Starts it, as the leader of a process group of its own that dies with the launcher.
    pub(super) fn spawn(self) -> Result<Child> {
        let program = self.argv.first().cloned().unwrap_or_default();
        if program != OWN_PROGRAM {
            check_program(&program, self.dir)?;
        }
        let failed = |problem: String| Error::Start { program: shown(&program, self.dir), problem };
        let mut command = Command::new(OWN_PROGRAM);
        command.arg("__exec").arg(std::process::id().to_string());
        command.arg(if self.listener.is_some() { "listen" } else { "plain" }).args(self.argv);
        command.current_dir(self.dir).env_remove(QUIET).envs(self.env.iter().map(|(name, value)| (name, value)));
        command.stdin(match self.listener {
            Some(listener) => Stdio::from(listener),
            None if self.talks => Stdio::piped(),
            None => Stdio::null(),
        });
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
        let mut child = command.spawn().map_err(|error| failed(error.to_string()))?;
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        let (Some(pid), Some(stdout), Some(stderr)) = (pid, child.stdout.take(), child.stderr.take()) else {
            return Err(failed("it has no pipes".to_owned()));
        };
        // Never waited for through `child`: the loop takes the end of every process.
        Ok(Child { pid, stdin: child.stdin.take(), stdout: stdout.into(), stderr: stderr.into() })
    }
}

/// A socket on its way to a child.
pub(super) type Handed = OwnedFd;

/// The end of a pipe to which a child writes.
pub(super) type Output = OwnedFd;

/// Returns the running program, also after its file was replaced.
pub(crate) fn own_program() -> String {
    OWN_PROGRAM.to_owned()
}

/// The running program, as the kernel names it.
const OWN_PROGRAM: &str = "/proc/self/exe";
