//! Self-update for Rust programs.

mod apply;
mod background;
mod cancel;
pub mod check;
mod clock;
mod config;
mod embedded;
mod error;
mod event;
mod fs;
mod install;
mod install_id;
mod interval;
mod libc_version;
pub mod refresh;
mod restart;
pub mod route;
mod state_dir;
mod status;
pub mod download;
mod text;
pub mod transport;
mod trust_store;
mod update;
mod updater;

pub use apply::ApplyError;
pub use background::Background;
pub use cancel::CancelToken;
pub use clock::{Clock, FixedClock, SystemClock};
pub use config::{Config, ConfigError};
pub use embedded::{Embedded, SCHEMA};
pub use error::Error;
pub use event::{Event, Phase, Progress};
pub use fs::PathError;
pub use install::{
    DEFAULT_PROBE_TIME, InstallError, InstallKind, Installed, Obstacle, PROBE_VARIABLE, ProbeError, Scheduled, Staged, Trial,
};
pub use restart::RESTARTED_FROM_VARIABLE;
pub use status::{NoUpdate, Status};
pub use text::terminal_safe;
pub use trust_store::TrustStore;
pub use update::Update;
pub use updater::{Start, Updater};
