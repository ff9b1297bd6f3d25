//! The launcher: installs an app from a URL, keeps it running and up to date, and goes back when a new version fails. The
//! app needs to know nothing about updates.
//!
//! * [`cli`]: one file per command. `docs/launcher.md` is their manual.
//! * `places`, `record`, `settings`: where everything lies, what `install` wrote down, how the app is run.
//! * `owners`: what others can change is not run as the administrator.
//! * `release`: the runtime as seen from here: check, stage, install, put back.
//! * `launch`: the app's command, and whether it can be started.
//! * `supervise`: the one loop that owns the app, its logs, its timers and its updates.
//! * `control`: the socket by which commands reach a running supervisor.
//!
//! The program is this library's `cli::main` and nothing else. A publisher who ships the launcher together with apps makes a
//! package of three lines with a root of its own: that one updates itself (`docs/launcher.md`, "A launcher of your own").
//!
//! ```no_run
//! # let updater: updater_runtime::Updater = unimplemented!();
//! // let updater = updater_runtime::updater!();
//! updater_launcher::cli::main_with(Some(updater), std::env::args_os());
//! ```
//!
//! One thread, one loop over `poll`; everything that takes time (a download, a hook, a health check) is a child process of
//! the same binary, so that the supervisor stays small and nothing can hold it up. On Windows, which has no `poll` over pipes,
//! small threads wait and ring a bell for the same loop (`supervise/windows`).

#[cfg(any(target_os = "linux", windows))]
pub mod cli;
#[cfg(any(target_os = "linux", windows))]
mod control;
#[cfg(target_os = "linux")]
mod descriptors;
#[cfg(any(target_os = "linux", windows))]
mod error;
#[cfg(any(target_os = "linux", windows))]
mod exec;
#[cfg(any(target_os = "linux", windows))]
#[cfg_attr(unix, path = "files/unix.rs")]
#[cfg_attr(windows, path = "files/windows.rs")]
mod files;
#[cfg(any(target_os = "linux", windows))]
mod job;
#[cfg(any(target_os = "linux", windows))]
mod launch;
#[cfg(any(target_os = "linux", windows))]
mod lock;
#[cfg(any(target_os = "linux", windows))]
mod owners;
#[cfg(any(target_os = "linux", windows))]
mod places;
#[cfg(any(target_os = "linux", windows))]
mod record;
#[cfg(any(target_os = "linux", windows))]
mod release;
#[cfg(any(target_os = "linux", windows))]
mod settings;
#[cfg(any(target_os = "linux", windows))]
mod shell;
#[cfg(any(target_os = "linux", windows))]
mod supervise;
#[cfg(any(target_os = "linux", windows))]
mod variables;
#[cfg(windows)]
mod win32;

#[cfg(not(any(target_os = "linux", windows)))]
pub mod cli {
    //! The refusal of every other system: half a supervisor would be worse than none.

    use std::ffi::OsString;
    use std::io::Write as _;
    use std::process::ExitCode;

    /// Says that this system is not supported, with the exit code of wrong usage.
    pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
        main_with(None, args)
    }

    /// As [`main`].
    pub fn main_with(_: Option<updater_runtime::Updater>, _: impl IntoIterator<Item = OsString>) -> ExitCode {
        let message = "error: updater-launcher runs on Linux and Windows only\n  help: an app that contains updater-runtime updates itself\n";
        let _ = std::io::stderr().write_all(message.as_bytes());
        ExitCode::from(2)
    }
}
