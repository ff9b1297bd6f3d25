//! Why a patch could not be written or was refused.

use crate::digest::Sha256;
use crate::error::FormatError;
use crate::xz::XzFault;

/// A patch that was not written or not accepted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PatchError {
    /// The patch itself could not be read.
    #[error("cannot read the patch")]
    Read {
        /// What the reader said.
        source: std::io::Error,
    },
    /// The patch, or a file made by it, could not be written.
    #[error("cannot write")]
    Write {
        /// What the writer said.
        source: std::io::Error,
    },
    /// A compressed part is damaged or cut short.
    #[error("the patch has a damaged xz stream: {detail}")]
    Compression {
        /// What the decoder met.
        detail: String,
    },
    /// Decoding would take more memory than is given to it.
    #[error("decoding the patch takes more than {limit} bytes of memory")]
    Memory {
        /// The limit in bytes.
        limit: u64,
    },
    /// The header broke a rule of the format.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// The patch is for something else than what was signed.
    #[error("the patch has {field} {got}, {expected} was signed")]
    Mismatch {
        /// Which field, for example `app` or `sha256 of the manifest`.
        field: &'static str,
        /// What was signed.
        expected: String,
        /// What the header says.
        got: String,
    },
    /// A payload does not have the length that the header gives.
    #[error("the payload for {path} has {got} bytes, the header says {expected}")]
    Payload {
        /// The file that it is for.
        path: String,
        /// The header's length in bytes.
        expected: u64,
        /// The length in bytes that was met.
        got: u64,
    },
    /// A file that was made is not the one that the manifest lists.
    #[error("the patch makes {path} with sha256 {got}, the manifest says {expected}")]
    Digest {
        /// The file that was made.
        path: String,
        /// The manifest's digest.
        expected: Sha256,
        /// The digest of what was made.
        got: Sha256,
    },
    /// There is something after the last payload.
    #[error("the patch goes on after its last payload")]
    Trailing,
}

impl From<XzFault> for PatchError {
    fn from(fault: XzFault) -> Self {
        match fault {
            XzFault::Read { source } => Self::Read { source },
            XzFault::Damaged { detail } => Self::Compression { detail },
            XzFault::Memory { limit } => Self::Memory { limit },
        }
    }
}
