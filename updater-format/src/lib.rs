//! The formats and the trust rules of cargo updater.

#![forbid(unsafe_code)]

mod app;
mod channel;
pub mod digest;
mod error;
pub mod length;
mod path;
mod platform;
mod text;
mod time;
mod version;

pub use app::AppId;
pub use channel::Channel;
pub use digest::Sha256;
pub use error::FormatError;
pub use path::{FilePath, TargetName};
pub use platform::Platform;
pub use time::UtcTime;
pub use version::ReleaseVersion;
