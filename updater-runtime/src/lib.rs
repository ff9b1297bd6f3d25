//! Self-update for Rust programs: verified, by small patches, swapped in one step, taken back by itself.
//!
//! ```no_run
//! use updater_runtime::{Error, Status, Updater};
//!
//! fn update(updater: &Updater) -> Result<(), Error> {
//!     if let Status::Available(update) = updater.check()? {
//!         println!("{} -> {} ({} bytes)", update.from(), update.version(), update.route().bytes());
//!         update.download(|progress| println!("{}/{}", progress.bytes, progress.total))?.install()?.restart()?.hand_over();
//!     }
//!     Ok(())
//! }
//! ```
//!
//! The first line of `main` is `let updater = updater_runtime::updater!();` ([`updater!`]); `build.rs` calls
//! `updater_build::embed()`, which compiles the trusted root in. The library blocks, starts no executor, prints nothing,
//! and never changes the working directory or the environment. An error of the updater never ends the app.
//!
//! * [`Updater`]: check, confirm, settings. [`Status`] and [`NoUpdate`]: the answer, with its reason.
//! * [`Update`]: what was found; [`Update::download`] gives a [`Staged`] release, [`Staged::install`] an [`Installed`]
//!   one, [`Installed::restart`] runs it.
//! * [`Component`]: files with versions of their own, swapped while the app runs ([`Updater::component`]).
//! * [`Config`]: every option. [`transport`]: bring a network stack of your own.
//! * [`Error`]: one enum over the phases, each with a stable `code()` and a `hint()` for the user.
//!
//! From async code call it in a blocking task (`tokio::task::spawn_blocking(move || updater.check())`).
//!
//! # Features
//!
//! `http` (default): HTTP and HTTPS by ureq and rustls with the system's certificates. Without it: `file:` repositories and
//! transports of your own.
//!
//! `policy`: what a program does when nobody is asked, `auto`, `notify` or `off`, with a variable for whoever runs it
//! ([`Updater::follow`]). `dialogue`: a ready-made dialogue on a terminal ([`Updater::ask`]); the one part that prints.
//! Both bring no crate.

#![cfg_attr(test, expect(clippy::disallowed_methods, reason = "tests make files of their own"))]

#[cfg(target_os = "macos")]
mod apple;
mod apply;
mod background;
mod cancel;
pub mod check;
mod clock;
mod component;
mod config;
#[cfg(feature = "dialogue")]
mod dialogue;
pub mod download;
mod embedded;
mod error;
mod event;
mod first_install;
mod fs;
pub mod inspect;
mod install;
mod install_id;
mod interval;
mod kept;
mod libc_version;
#[doc(hidden)]
pub mod owners;
#[cfg(feature = "policy")]
mod policy;
mod process;
pub mod refresh;
mod restart;
pub mod route;
mod state_dir;
mod status;
pub mod transport;
mod trust_store;
mod update;
mod updater;
#[cfg(windows)]
mod win32;
#[cfg(windows)]
#[doc(hidden)]
pub mod windows;

pub use apply::ApplyError;
pub use background::Background;
pub use cancel::CancelToken;
pub use clock::{Clock, FixedClock, SystemClock};
pub use component::{Component, ComponentStatus, ComponentUpdate, StagedComponent};
pub use config::{Config, ConfigError};
#[cfg(feature = "dialogue")]
pub use dialogue::Answer;
pub use embedded::{Embedded, SCHEMA};
pub use error::Error;
pub use event::{Event, Phase, Progress};
pub use first_install::{
    FirstInstall, FirstInstallError, FirstRelease, OfferedRelease, app_of_root, fetch_pinned_root,
};
pub use fs::PathError;
pub use install::{
    DEFAULT_PROBE_TIME, InstallError, InstallKind, Installed, Obstacle, PROBE_VARIABLE, ProbeError, Scheduled, Staged,
    Trial,
};
pub use kept::{PendingTrial, PutBack, current_version};
#[cfg(feature = "policy")]
pub use policy::{Followed, Policy, UnknownPolicy};
pub use restart::{RESTARTED_FROM_VARIABLE, Restarted, harden_library_search};
pub use status::{NoUpdate, Status};
pub use trust_store::TrustStore;
pub use update::Update;
pub use updater::{Start, Updater};
pub use updater_format::terminal_safe;
