//! What is published, as a client would believe it, and how a release is added to it.
//!
//! [`state`] reads a storage with the client's own verification; [`commit`] adds a release by the commit protocol;
//! [`refresh`] does what the online key does alone, and folds in what waits for it as a [`submission`]; [`prune`] finds what
//! nobody needs any more.

pub mod commit;
mod error;
mod first;
mod other_root;
pub mod prune;
pub mod refresh;
mod seen;
pub mod state;
pub mod submission;
pub mod version_file;

pub use commit::{Commit, Committed, FileProgress, Lease, Upload};
pub use error::RepositoryError;
pub(crate) use first::first_roles;
pub use other_root::refuse_other_root;
pub use prune::{Doomed, Pruning};
pub use refresh::{Refreshed, Renew, Skipped};
pub use seen::{last_seen_snapshot, record_of, refuse_older};
pub use state::RepositoryState;
pub use submission::{Base, Submission};

/// The folder of the metadata.
pub const METADATA: &str = "metadata";
/// The folder of bundles, patches and notes.
pub const TARGETS: &str = "targets";
