//! Runs the installed version in place of this process.

use crate::install::{InstallError, Layout, end_attempt, process_name};
use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;
use updater_format::ReleaseVersion;

/// Tells a restarted process which version it was restarted from, and which process that was: `1.0.0 4711-8812`. A restart
/// keeps the process, so that the programs that a restarted app starts, which inherit the variable, know that it is not
/// about them.
pub const RESTARTED_FROM_VARIABLE: &str = "UPDATER_RESTARTED_FROM";

/// Replaces this process by the installed program: the path resolved at the start, never one found through `PATH` or the
/// name that this process was called by; same arguments, environment and working directory. Returns only with an error.
pub(crate) fn restart(layout: &Layout, program: &Path, from: &ReleaseVersion) -> InstallError {
    if let Err(error) = check_loop(from) {
        return error;
    }
    let mut arguments = std::env::args_os();
    let mut command = Command::new(program);
    if let Some(name) = arguments.next() {
        command.arg0(name);
    }
    command.args(arguments).env(RESTARTED_FROM_VARIABLE, format!("{from} {}", process_name()));
    // A working directory inside the install moved away with the old release; the one of the same name is meant.
    if let Ok(folder) = std::env::current_dir()
        && let Some(folder) = layout.after_swap(&folder).filter(|folder| folder.is_dir())
    {
        command.current_dir(folder);
    }
    // What was printed must not be lost with the buffer. A closed pipe is no reason to stay.
    let _ = std::io::stdout().flush();
    end_attempt();
    InstallError::Restart { path: program.to_owned(), source: command.exec() }
}

/// Refuses to restart a version that was itself restarted from a program of the same version: what was published as newer
/// says that it is not, and would be installed for ever.
/// # Errors
/// [`InstallError::RestartLoop`].
pub(crate) fn check_loop(running: &ReleaseVersion) -> Result<(), InstallError> {
    let from = std::env::var(RESTARTED_FROM_VARIABLE).ok();
    if is_loop(from.as_deref(), running, &process_name()) {
        Err(InstallError::RestartLoop { version: running.clone() })
    } else {
        Ok(())
    }
}

fn is_loop(from: Option<&str>, running: &ReleaseVersion, this_process: &str) -> bool {
    let Some((from, process)) = from.and_then(|from| from.split_once(' ')) else { return false };
    process == this_process && ReleaseVersion::parse(from).is_ok_and(|from| from == *running)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_version_twice_is_a_loop() {
        let running = ReleaseVersion::parse("1.1.0").unwrap();
        let is_loop = |from| is_loop(from, &running, "4711-88");
        assert!(is_loop(Some("1.1.0 4711-88")));
        for other in [None, Some("1.0.0 4711-88"), Some("1.2.0 4711-88"), Some("nonsense"), Some("1.1.0"), Some(" ")] {
            assert!(!is_loop(other), "{other:?}");
        }
    }

    #[test]
    fn what_a_restarted_process_starts_was_not_restarted() {
        let running = ReleaseVersion::parse("1.1.0").unwrap();
        assert!(!is_loop(Some("1.1.0 4711-88"), &running, "4712-90"));
        assert!(!is_loop(Some("1.1.0 4711-88"), &running, "4711-99"), "numbers of processes come again");
    }
}
