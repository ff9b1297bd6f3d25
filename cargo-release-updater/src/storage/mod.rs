//! The storage of a repository: any service that OpenDAL reaches, under the few operations that publishing needs.
//!
//! Immutable objects are created only if absent, and one object is the commit. Of what is published only `prune` removes
//! anything.

mod command;
mod conditions;
mod error;
mod github;
mod lock;
mod object;
mod objects;
mod opendal;
#[cfg(feature = "network")]
mod sending;
mod service;
mod upload;
mod uri;

pub use self::command::CommandStorage;
pub use self::conditions::Pause;
pub(crate) use self::object::{SHORT, cache_control, content_type};
pub use self::objects::{Created, Precondition, Replaced};
pub use self::opendal::{Coordination, Storage};
pub use error::{ServiceError, StorageError};
pub use github::{GitHubAddress, GitHubError};
pub use lock::StorageLock;
pub use service::Service;
pub use uri::{Remote, StorageUri};

#[cfg(test)]
mod tests;
