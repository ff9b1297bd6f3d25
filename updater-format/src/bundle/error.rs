//! Why a bundle could not be written or was refused.

use crate::digest::Sha256;
use crate::error::FormatError;
use crate::xz::XzFault;

/// A bundle that was not written or not accepted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BundleError {
    /// The archive itself could not be read.
    #[error("cannot read the bundle")]
    Read {
        /// What the reader said.
        source: std::io::Error,
    },
    /// The bundle, or a file taken out of it, could not be written.
    #[error("cannot write")]
    Write {
        /// What the writer said.
        source: std::io::Error,
    },
    /// A file that goes into the bundle could not be read.
    #[error("cannot read {path} to bundle it")]
    Source {
        /// Its path in the bundle.
        path: String,
        /// What the reader said.
        source: std::io::Error,
    },
    /// The compressed stream is damaged or cut short.
    #[error("the bundle is not a sound xz stream: {detail}")]
    Compression {
        /// What the decoder met.
        detail: String,
    },
    /// Decoding would take more memory than is given to it.
    #[error("decoding the bundle takes more than {limit} bytes of memory")]
    Memory {
        /// The limit in bytes.
        limit: u64,
    },
    /// The manifest or a header broke a rule of the format.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// The manifest is not the one that was signed.
    #[error("the manifest in the bundle has sha256 {got}, {expected} was signed")]
    ManifestDigest {
        /// The signed digest.
        expected: Sha256,
        /// The digest of the first member.
        got: Sha256,
    },
    /// The manifest's totals are not those that were signed.
    #[error("the bundle has {got} {unit}, {expected} were signed")]
    Totals {
        /// `bytes unpacked` or `entries`.
        unit: &'static str,
        /// The signed number.
        expected: u64,
        /// The manifest's number.
        got: u64,
    },
    /// A member of the archive is not what the manifest lists.
    #[error("member {path:?} of the bundle is refused: {problem}")]
    Member {
        /// The name in the archive, shortened, or the place of the member when it has none.
        path: String,
        /// The rule that it broke.
        problem: MemberProblem,
    },
    /// There is something after the last listed member.
    #[error("the bundle goes on after its last member")]
    Trailing,
}

/// What is wrong with one member.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MemberProblem {
    /// The header is not one that a bundle has.
    #[error("its header is damaged: {0}")]
    Header(&'static str),
    /// The name could be another place than it says, or leaves the install.
    #[error(transparent)]
    Name(FormatError),
    /// Only files and symbolic links are carried.
    #[error("it is a {0}; only files and relative links are allowed")]
    Kind(&'static str),
    /// The manifest does not list it.
    #[error("the manifest does not list it")]
    NotListed,
    /// It was there before, or members are not sorted.
    #[error("it comes twice or out of order")]
    OutOfOrder,
    /// The archive ends or goes on without it.
    #[error("it is listed but missing")]
    Missing,
    /// Permission bits other than the manifest's, setuid bits included.
    #[error("its mode is {got:o}, the manifest says {expected:o}")]
    Mode {
        /// The manifest's bits.
        expected: u32,
        /// The archive's bits.
        got: u32,
    },
    /// Another length than the manifest's.
    #[error("it has {got} bytes, the manifest says {expected}")]
    Length {
        /// The manifest's length in bytes.
        expected: u64,
        /// The archive's length in bytes.
        got: u64,
    },
    /// Other content than the manifest's.
    #[error("its sha256 is {got}, the manifest says {expected}")]
    Digest {
        /// The manifest's digest.
        expected: Sha256,
        /// The content's digest.
        got: Sha256,
    },
    /// A link that leads elsewhere than the manifest says.
    #[error("it leads to {got:?}, the manifest says {expected:?}")]
    Target {
        /// The manifest's target.
        expected: String,
        /// The archive's target.
        got: String,
    },
}

impl From<XzFault> for BundleError {
    fn from(fault: XzFault) -> Self {
        match fault {
            XzFault::Read { source } => Self::Read { source },
            XzFault::Damaged { detail } => Self::Compression { detail },
            XzFault::Memory { limit } => Self::Memory { limit },
        }
    }
}

impl BundleError {
    pub(super) fn member(path: impl Into<String>, problem: MemberProblem) -> Self {
        let path: String = path.into();
        Self::Member { path: path.chars().take(MAX_SHOWN).collect(), problem }
    }
}

/// How much of a refused name is shown, in characters.
const MAX_SHOWN: usize = 120;
