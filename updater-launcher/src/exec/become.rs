//! `__exec`: prepares this process and becomes the program.

use crate::error::{Error, Result};
use rustix::process::{Pid, Signal, getppid, set_parent_process_death_signal};
use std::os::fd::AsRawFd as _;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode};

/// `__exec PARENT plain|listen PROGRAM ARGS...`: becomes the program, or ends with 127.
pub(crate) fn exec(args: &[String]) -> Result<ExitCode> {
    let usage = || Error::Usage { problem: "__exec is for the launcher itself".to_owned(), hint: "use `start`" };
    let [parent, mode, program, args @ ..] = args else { return Err(usage()) };
    let failed = |problem: String| Error::Start { program: program.clone(), problem };
    set_parent_process_death_signal(Some(Signal::TERM)).map_err(|error| failed(error.to_string()))?;
    // The launcher may have died before the line above.
    if getppid().map(Pid::as_raw_nonzero).map(|pid| pid.to_string()).as_deref() != Some(parent) {
        return Ok(ExitCode::from(127));
    }
    let mut command = Command::new(program);
    command.args(args);
    if mode == "listen" {
        pass_listener().map_err(failed)?;
        command.env("LISTEN_FDS", "1").env("LISTEN_PID", std::process::id().to_string());
    }
    // Comes back only with an error.
    let error = command.exec();
    // The supervisor still sees the name of a process that has ended. Where it is not shown, the exit code has to do.
    let name = format!("{NOT_EXECUTED_NAME}{}", error.raw_os_error().unwrap_or_default());
    let _ = std::fs::write("/proc/self/comm", name);
    crate::shell::error(&failed(error.to_string()));
    Ok(ExitCode::from(127))
}

/// The exit code of a process that did not become its program, as in shells.
pub(crate) const NOT_EXECUTED: i32 = 127;
/// The name of such a process; the number of the error follows. The kernel keeps 15 bytes.
pub(crate) const NOT_EXECUTED_NAME: &str = "not-exec:";

/// Moves the socket from descriptor 0 to 3, and gives the program an empty standard input.
fn pass_listener() -> std::result::Result<(), String> {
    let shown = |error: rustix::io::Errno| error.to_string();
    let stdin = std::io::stdin();
    let passed = rustix::io::fcntl_dupfd_cloexec(&stdin, 3).map_err(shown)?;
    if passed.as_raw_fd() != 3 {
        return Err("descriptor 3 is taken; start the launcher without descriptors of its caller".to_owned());
    }
    rustix::io::fcntl_setfd(&passed, rustix::io::FdFlags::empty()).map_err(shown)?;
    let null = std::fs::File::open("/dev/null").map_err(|error| error.to_string())?;
    rustix::stdio::dup2_stdin(&null).map_err(shown)?;
    // It stays open for the program.
    std::mem::forget(passed);
    Ok(())
}
