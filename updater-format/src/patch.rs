//! The patch container: how to make one release out of another one's installed files.
//!
//! A patch names, for every file of the new release, where its bytes come from: an installed file as it is, a delta
//! against an installed file, or bytes that it carries. It is only a transport: what it makes is held against the same
//! manifest as what a bundle carries. Deltas are opaque here. The format is described in `docs/format/patch.md`.

mod error;
mod header;
mod reader;
mod writer;

pub use error::PatchError;
pub use header::{Operation, PatchHeader, PatchParts, PatchSource};
pub use reader::{PatchExpectation, PatchReader, Payload, Step};
pub use writer::{pack_added, write_patch};

/// The first bytes of a patch, with its format version as the last one.
const MAGIC: [u8; 8] = *b"cupdiff\x01";

#[cfg(test)]
mod tests;
