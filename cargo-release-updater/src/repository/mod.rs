//! What is published, as a client would believe it, and how a release is added to it.
//!
//! [`state`] reads a storage with the client's own verification; [`commit`] adds a release by the commit protocol.

pub mod commit;
mod error;
mod seen;
pub mod state;
pub mod version_file;

pub use commit::{Commit, Committed, Lease, Upload};
pub use error::RepositoryError;
pub use state::RepositoryState;

/// The folder of the metadata.
pub const METADATA: &str = "metadata";
/// The folder of bundles, patches and notes.
pub const TARGETS: &str = "targets";
