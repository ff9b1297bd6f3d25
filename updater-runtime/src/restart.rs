//! Runs the installed version in place of this process.

use crate::install::{InstallError, Layout, end_attempt};
use crate::process::{own_mark, restart_mark};
use std::io::Write as _;
use std::path::Path;
use std::process::Command;
use updater_format::ReleaseVersion;

/// Tells a restarted process which version it was restarted from, and by which process: `1.0.0 4711-8812`. On Unix a restart
/// keeps the process; on Windows it is the one above. So the programs that a restarted app starts, which inherit the
/// variable, know that it is not about them.
pub const RESTARTED_FROM_VARIABLE: &str = "UPDATER_RESTARTED_FROM";

/// The new version runs. On Unix it has taken the place of this process, so that nobody ever holds this value there; on
/// Windows it runs beside this process, which should end now: return from `main`, or call [`Restarted::hand_over`].
#[derive(Debug)]
#[must_use = "on Windows the new version runs beside this one: call `hand_over`, or return from `main`"]
pub struct Restarted {
    #[cfg(unix)]
    never: std::convert::Infallible,
    #[cfg(windows)]
    child: std::process::Child,
}

impl Restarted {
    /// Waits for the new version and ends this process with its exit code, as if it had taken this one's place: whoever
    /// waits for this process, a shell for example, gets the terminal back when the new version has ended. Nothing is
    /// dropped on the way.
    pub fn hand_over(self) -> ! {
        #[cfg(unix)]
        match self.never {}
        #[cfg(windows)]
        windows::hand_over(self.child)
    }

    /// Returns the number of the process of the new version.
    #[must_use]
    pub fn id(&self) -> u32 {
        #[cfg(unix)]
        match self.never {}
        #[cfg(windows)]
        self.child.id()
    }
}

/// Runs the installed program: the path resolved at the start, never one found through `PATH` or the name that this process
/// was called by; same arguments, environment and working directory. On Unix it takes the place of this process, and this
/// returns only with an error.
pub(crate) fn restart(layout: &Layout, program: &Path, from: &ReleaseVersion) -> Result<Restarted, InstallError> {
    check_loop(from)?;
    let mut command = Command::new(program);
    let mut arguments = std::env::args_os();
    let name = arguments.next();
    command.args(arguments).env(RESTARTED_FROM_VARIABLE, format!("{from} {}", restart_mark()));
    // A working directory inside the install moved away with the old release; the one of the same name is meant.
    if let Ok(folder) = std::env::current_dir()
        && let Some(folder) = layout.after_swap(&folder).filter(|folder| folder.is_dir())
    {
        command.current_dir(folder);
    }
    // What was printed must not be lost with the buffer. A closed pipe is no reason to stay.
    let _ = std::io::stdout().flush();
    end_attempt();
    start(&mut command, name).map_err(|source| InstallError::Restart { path: program.to_owned(), source })
}

#[cfg(unix)]
fn start(command: &mut Command, name: Option<std::ffi::OsString>) -> std::io::Result<Restarted> {
    use std::os::unix::process::CommandExt as _;
    if let Some(name) = name {
        command.arg0(name);
    }
    Err(command.exec())
}

#[cfg(windows)]
use windows::start;

/// Refuses to restart a version that was itself restarted from a program of the same version: what was published as newer
/// says that it is not, and would be installed for ever.
/// # Errors
/// [`InstallError::RestartLoop`].
pub(crate) fn check_loop(running: &ReleaseVersion) -> Result<(), InstallError> {
    let from = std::env::var(RESTARTED_FROM_VARIABLE).ok();
    if own_mark().is_some_and(|mark| is_loop(from.as_deref(), running, &mark)) {
        Err(InstallError::RestartLoop { version: running.clone() })
    } else {
        Ok(())
    }
}

fn is_loop(from: Option<&str>, running: &ReleaseVersion, this_process: &str) -> bool {
    let Some((from, process)) = from.and_then(|from| from.split_once(' ')) else { return false };
    process == this_process && ReleaseVersion::parse(from).is_ok_and(|from| from == *running)
}

/// Lets libraries that this program loads by name come from its own folder and the system's only, no longer from the working
/// directory or `PATH`: call it first in `main` if nothing is meant to come from there. Only Windows looks there; elsewhere
/// this does nothing. Libraries that the program is linked with are found before `main`: `docs/windows.md` has the linker
/// option for these.
///
/// # Errors
/// What the system says when it cannot, as before Windows 8.
pub fn harden_library_search() -> std::io::Result<()> {
    #[cfg(windows)]
    crate::win32::harden_library_search()?;
    Ok(())
}

#[cfg(windows)]
mod windows {
    use super::Restarted;
    use std::process::{Child, Command};

    /// Starts the new version. Arguments are quoted by the standard library, as the C runtime takes them apart; the name by
    /// which a program was called cannot be passed on.
    pub(super) fn start(command: &mut Command, _name: Option<std::ffi::OsString>) -> std::io::Result<Restarted> {
        crate::win32::no_console_flash(command);
        Ok(Restarted { child: command.spawn()? })
    }

    /// Ctrl-C and Ctrl-Break of the console reach the new version too, which decides; this process only waits for it.
    #[expect(clippy::exit, reason = "the documented end of `Restarted::hand_over`")]
    pub(super) fn hand_over(mut child: Child) -> ! {
        crate::win32::leave_interrupts_to_others();
        let code = child.wait().ok().and_then(|status| status.code());
        std::process::exit(code.unwrap_or(1))
    }
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
