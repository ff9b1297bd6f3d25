//! The payloads of the four TUF roles and of channel roles, which are delegated targets roles.
//!
//! Reading takes the known fields out and keeps the rest in `extra`, so that a document survives being read and signed
//! again by a program that does not know all of it (TUF 4.1: unknown fields are ignored, not refused).

mod meta;
mod root;
mod rules;
mod snapshot;
mod targets;
mod timestamp;

pub use meta::{Hashes, MetaFile};
pub use root::{KeyOwner, RoleName, Root, RootExtension};
pub use rules::{ChannelRules, ComponentRules, Percent, Retreat};
pub use snapshot::Snapshot;
pub use targets::{DelegatedRole, Delegations, TargetFile, Targets, TargetsExtension};
pub use timestamp::{Steering, Timestamp, TimestampExtension};

use crate::error::FormatError;
use crate::json::{Fields, Map, Value};
use crate::length::MAX_NUMBER;
use crate::time::UtcTime;

/// The version that we write as `spec_version`. Every `1.` is read.
pub const SPEC_VERSION: &str = "1.0.34";

/// What the `signed` part of one role's document holds.
pub trait Payload: Sized {
    /// The value of `_type`, and the role's name in errors.
    const TYPE: &'static str;

    /// Reads the payload.
    /// # Errors
    /// [`FormatError`] naming the field that is missing or wrong.
    fn from_value(value: Value) -> Result<Self, FormatError>;

    /// Writes the payload, unknown fields included.
    fn to_value(&self) -> Value;

    /// Returns the version of the document.
    fn version(&self) -> u64;

    /// Returns the moment from which on the document is stale.
    fn expires(&self) -> UtcTime;
}

/// The fields that every role has.
struct Head {
    version: u64,
    expires: UtcTime,
}

/// Opens a payload and takes what every role has: `_type`, `spec_version`, `version`, `expires`.
fn open<T: Payload>(value: Value) -> Result<(Head, Fields), FormatError> {
    let mut fields = Fields::open(T::TYPE, value)?;
    let found = fields.string("_type")?;
    if found != T::TYPE {
        return Err(FormatError::shape(T::TYPE, format!("`_type` is {found:?}")));
    }
    let spec = fields.string("spec_version")?;
    // TUF 4.3: an implementation refuses a major version that it does not know.
    if spec.split_once('.').is_none_or(|(major, _)| major != "1") {
        return Err(FormatError::shape(T::TYPE, format!("`spec_version` is {spec:?}, this program reads 1.x")));
    }
    let version = version(&mut fields, T::TYPE)?;
    let expires = fields.parsed("expires")?;
    Ok((Head { version, expires }, fields))
}

/// Takes `version`: 1 to 2^53.
fn version(fields: &mut Fields, what: &'static str) -> Result<u64, FormatError> {
    match fields.number("version")? {
        0 => Err(FormatError::shape(what, "`version` must be at least 1")),
        version => Ok(version),
    }
}

/// Starts a payload from its unknown fields and writes what every role has.
fn head<T: Payload>(payload: &T, extra: &Map<String, Value>) -> Map<String, Value> {
    debug_assert!(payload.version() <= MAX_NUMBER);
    let mut map = extra.clone();
    map.insert("_type".to_owned(), T::TYPE.into());
    map.insert("spec_version".to_owned(), SPEC_VERSION.into());
    map.insert("version".to_owned(), payload.version().into());
    map.insert("expires".to_owned(), payload.expires().to_string().into());
    map
}

#[cfg(test)]
mod tests;
