//! The storage of a repository: any service that OpenDAL reaches, under the few operations that publishing needs.
//!
//! Immutable objects are created only if absent, one object is the commit, and of what is published nothing is ever
//! removed here.

mod error;
mod github;
mod lock;
mod object;
mod objects;
mod opendal;
mod service;
mod upload;
mod uri;

pub use self::objects::{Created, Precondition, Replaced};
pub use self::opendal::{Coordination, Storage};
pub use error::{ServiceError, StorageError};
pub use github::{GitHubAddress, GitHubError};
pub use lock::StorageLock;
pub use service::Service;
pub use uri::{Remote, StorageUri};

#[cfg(test)]
mod tests;
