//! Self-update for Rust programs.

mod apply;
mod cancel;
pub mod check;
mod clock;
mod config;
mod embedded;
mod event;
mod fs;
mod install;
pub mod refresh;
mod restart;
pub mod route;
pub mod download;
mod text;
pub mod transport;
mod trust_store;

pub use apply::ApplyError;
pub use cancel::CancelToken;
pub use clock::{Clock, FixedClock, SystemClock};
pub use config::{Config, ConfigError};
pub use embedded::{Embedded, SCHEMA};
pub use event::{Event, Phase, Progress};
pub use fs::PathError;
pub use install::{
    DEFAULT_PROBE_TIME, InstallError, InstallKind, Installed, Obstacle, PROBE_VARIABLE, ProbeError, Scheduled, Staged, Trial,
};
pub use restart::RESTARTED_FROM_VARIABLE;
pub use text::terminal_safe;
pub use trust_store::TrustStore;
