//! The storage of a repository: any service that OpenDAL reaches, under the few operations that publishing needs.
//!
//! Immutable objects are created only if absent, one object is the commit, and nothing is ever deleted here.

mod error;
mod lock;
mod opendal;
mod uri;

pub use self::opendal::{Created, Storage};
pub use error::StorageError;
pub use lock::StorageLock;
pub use uri::StorageUri;
