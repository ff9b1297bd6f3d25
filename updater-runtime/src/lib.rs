//! Self-update for Rust programs.

mod cancel;
mod clock;
pub mod download;
mod text;
pub mod transport;

pub use cancel::CancelToken;
pub use clock::{Clock, FixedClock, SystemClock};
pub use text::terminal_safe;
