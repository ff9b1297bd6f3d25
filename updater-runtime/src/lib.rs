//! Self-update for Rust programs.

mod cancel;
pub mod check;
mod clock;
mod config;
mod embedded;
mod event;
pub mod route;
pub mod download;
mod text;
pub mod transport;

pub use cancel::CancelToken;
pub use clock::{Clock, FixedClock, SystemClock};
pub use config::{Config, ConfigError};
pub use embedded::{Embedded, SCHEMA};
pub use event::{Event, Phase, Progress};
pub use text::terminal_safe;
