//! The launcher: installs an app from a URL, keeps it running and up to date, and goes back when a new version fails. The
//! app needs to know nothing about updates.
//!
//! * [`cli`]: one file per command. `docs/launcher.md` is their manual.
//! * `places`, `record`, `settings`: where everything lies, what `install` wrote down, how the app is run.
//! * `release`: the runtime as seen from here: check, stage, install, put back.
//! * `supervise`: the one loop that owns the app, its logs, its timers and its updates.
//! * `control`: the socket by which commands reach a running supervisor.
//!
//! One thread, one loop over `poll`; everything that takes time (a download, a hook, a health check) is a child process of
//! the same binary, so that the supervisor stays small and nothing can hold it up.

#[cfg(not(target_os = "linux"))]
compile_error!("updater-launcher runs on Linux only; other systems are named in docs/launcher.md");

pub mod cli;
mod error;
mod lock;
mod places;
mod record;
mod release;
mod settings;
mod shell;
mod variables;
