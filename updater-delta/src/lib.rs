//! Binary deltas of executables: small to send, bounded to apply.
//!
//! A delta turns one exact file (*old*) into another exact file (*new*). It carries the length and SHA-256 of both: [`apply`] checks
//! *old* before it reads the rest, checks *new* when it has written it, and refuses everything else with a typed [`ApplyError`].
//!
//! * [`apply`] needs no feature: *old* is read in place, the delta is read once from front to back, *new* is written in order.
//! * `diff` (feature `encode`) makes a delta, applies it, and returns it only if the result was equal.
//! * [`Codec`] names how a delta is made. A codec's bytes never change their meaning; a better way gets a new identifier.
//!
//! The crate knows nothing of releases, trust, files or networks.
#![forbid(unsafe_code)]

mod apply;
mod codec;
#[cfg(feature = "encode")]
mod diff;
mod error;
mod header;
#[cfg(feature = "encode")]
mod inspect;
mod limits;
mod opened1;
mod refs1;

pub use apply::{Applied, apply};
pub use codec::{Codec, JOINT};
#[cfg(feature = "encode")]
pub use diff::{Delta, DiffError, DiffOptions, Progress, Reading, Stage, diff};
pub use error::{ApplyError, Side};
pub use header::Header;
#[cfg(feature = "encode")]
pub use inspect::{Cost, Costs, Inspection, RegionSummary, inspect, inspect_with};
pub use limits::{ApplyLimits, DEFAULT_APPLY_MEMORY, NewLength};
#[cfg(feature = "fuzz")]
#[doc(hidden)]
pub use refs1::doors;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
