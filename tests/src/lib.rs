//! What the tests of the whole system share: servers that behave and servers that do not.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "what the tests share may fail like a test: where the set-up is wrong"
)]

pub mod app;
pub mod clock;
pub mod corpus;
pub mod crash;
pub mod github;
pub mod peers;
#[cfg(target_os = "linux")]
pub mod power_cut;
pub mod process;
pub mod proxy;
#[cfg(feature = "publisher")]
pub mod race;
pub mod random;
pub mod require;
#[cfg(feature = "publisher")]
pub mod scale;
pub mod schema;
pub mod server;
pub mod shells;
pub mod simulator;

/// Returns the folder of the workspace.
#[must_use]
pub fn workspace() -> &'static std::path::Path {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(std::path::Path::new("."))
}
