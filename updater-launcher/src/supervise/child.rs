//! Child processes: always through the launcher's own `__exec`, which prepares the process without unsafe code here.

use crate::error::{Error, Result};
use rustix::process::{Pid, Signal, WaitStatus, kill_process, kill_process_group};
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

/// What is started.
#[derive(Debug)]
pub(super) struct Start<'a> {
    /// Program and arguments.
    pub(super) argv: &'a [String],
    /// Its working directory.
    pub(super) dir: &'a Path,
    /// Variables added to its environment.
    pub(super) env: &'a [(String, String)],
    /// A listening socket to hand over.
    pub(super) listener: Option<OwnedFd>,
    /// Whether it reads from a pipe; else it reads nothing.
    pub(super) talks: bool,
}

/// A child that runs, with the pipes to it.
#[derive(Debug)]
pub(super) struct Child {
    pub(super) pid: Pid,
    pub(super) stdin: Option<std::process::ChildStdin>,
    pub(super) stdout: OwnedFd,
    pub(super) stderr: OwnedFd,
}

impl Start<'_> {
    /// Starts it, as the leader of a process group of its own that dies with the launcher.
    pub(super) fn spawn(self) -> Result<Child> {
        let program = self.argv.first().cloned().unwrap_or_default();
        let failed = |problem: String| Error::Start { program: program.clone(), problem };
        let mut command = Command::new(OWN_PROGRAM);
        command.arg("__exec").arg(std::process::id().to_string());
        command.arg(if self.listener.is_some() { "listen" } else { "plain" }).args(self.argv);
        command.current_dir(self.dir).envs(self.env.iter().map(|(name, value)| (name, value)));
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
        // Never waited for through `child`: the loop reaps every process.
        Ok(Child { pid, stdin: child.stdin.take(), stdout: stdout.into(), stderr: stderr.into() })
    }
}

/// Sends a signal to a process; one that is gone is no error.
pub(super) fn signal(pid: Pid, signal: Signal) {
    if let Err(error) = kill_process(pid, signal) {
        log::debug!("signal {} to {}: {error}", signal.as_raw(), pid.as_raw_nonzero());
    }
}

/// Ends what is left of a process group.
pub(super) fn kill_group(leader: Pid) {
    if let Err(error) = kill_process_group(leader, Signal::KILL)
        && error != rustix::io::Errno::SRCH
    {
        log::debug!("ending the group {}: {error}", leader.as_raw_nonzero());
    }
}

/// Returns the exit code of a process, 128 and the signal's number for one that was ended by it.
pub(super) fn exit_code(status: WaitStatus) -> i32 {
    status.exit_status().or_else(|| status.terminating_signal().map(|signal| 128 + signal)).unwrap_or(1)
}

/// Says how a process ended.
pub(super) fn described(status: WaitStatus) -> String {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => format!("it ended with exit code {code}"),
        (None, Some(signal)) => format!("it was ended by signal {signal}"),
        (None, None) => "it ended".to_owned(),
    }
}

/// The running program, also after its file was replaced.
pub(crate) const OWN_PROGRAM: &str = "/proc/self/exe";
