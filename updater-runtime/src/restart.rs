//! Runs the installed version in place of this process.

use crate::install::{InstallError, Layout, end_attempt};
use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;
use updater_format::ReleaseVersion;

/// Tells a restarted process which version it was restarted from.
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
    command.args(arguments).env(RESTARTED_FROM_VARIABLE, from.to_string());
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
    if is_loop(from.as_deref(), running) { Err(InstallError::RestartLoop { version: running.clone() }) } else { Ok(()) }
}

fn is_loop(from: Option<&str>, running: &ReleaseVersion) -> bool {
    from.and_then(|from| ReleaseVersion::parse(from).ok()).is_some_and(|from| from == *running)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_version_twice_is_a_loop() {
        let running = ReleaseVersion::parse("1.1.0").unwrap();
        assert!(is_loop(Some("1.1.0"), &running));
        for other in [None, Some("1.0.0"), Some("1.2.0"), Some("nonsense")] {
            assert!(!is_loop(other, &running), "{other:?}");
        }
    }
}
