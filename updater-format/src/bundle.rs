//! The bundle: one release for one platform as a `.tar.xz` that any tar unpacks and that ours reads with its own rules.
//!
//! [`BundleWriter`] makes the same bytes from the same files, everywhere. [`BundleReader`] never trusts the archive: it
//! expects the members of the manifest, in order, and hands out nothing that the manifest does not list.
//! The format is described in `docs/format/bundle.md`.

mod error;
mod reader;
mod writer;

pub use error::{BundleError, MemberProblem};
pub use reader::{BundleExpectation, BundleReader, FileMember, Member, read_manifest};
pub use writer::{BundleOptions, BundleWriter};

/// Bytes moved at a time: 64 KiB, so that memory does not depend on the size of a file.
const CHUNK: usize = 64 * 1024;
/// The unit of a tar archive, in bytes.
const BLOCK: usize = 512;

#[cfg(test)]
mod tests;
