//! What the build script of an app needs: the settings in its `Cargo.toml` and the root that it trusts.
//!
//! [`table`] is also read by the publisher, so that the two cannot disagree on a setting.

#![forbid(unsafe_code)]

mod error;
pub mod manifest;
mod reader;
mod suggest;
pub mod table;
pub mod url;

pub use error::TableError;
