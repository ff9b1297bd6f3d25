//! The rules by which a client comes to believe a repository (TUF 1.0.34 section 5), without files, network or clock.
//!
//! The order is a type: [`TrustedSet`] goes from [`WantsRoot`] over [`WantsTimestamp`], [`WantsSnapshot`] and
//! [`WantsTargets`] to [`Complete`], each step consumes the last, and no later role can be loaded before the earlier
//! one is final. The reference time is fixed when the set is made (TUF 5.1).
//!
//! Documents kept from an earlier check enter as [`Kept`]: signed by today's keys, perhaps expired, good for rollback
//! checks. The caller may also offer the kept bytes in the place of a download; they pass the same checks.

mod channel;
mod error;
mod root;
mod search;
mod snapshot;
mod targets;
mod timestamp;

pub use channel::{TrustedChannel, find_channel};
pub use error::TrustError;
pub use search::{FoundTarget, SearchStep, TargetSearch};

use crate::app::AppId;
use crate::error::FormatError;
use crate::key::SignaturePolicy;
use crate::role::{MetaFile, Payload, RoleName, Root, Snapshot, Targets, Timestamp};
use crate::signed::{Signed, Untrusted, Verified};
use crate::time::UtcTime;

/// What does not change during one check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    /// The reference time: the later of the system's clock and the build time of the app.
    pub now: UtcTime,
    /// The accepted signature schemes.
    pub policy: SignaturePolicy,
    /// The app that every document must name; `None` for generic TUF repositories.
    pub app: Option<AppId>,
}

/// What is trusted so far. `S` says what comes next.
///
/// ```no_run
/// use updater_format::signed::Untrusted;
/// use updater_format::trust::{Rules, TrustedSet};
/// use updater_format::{Channel, SignaturePolicy, UtcTime};
///
/// # fn fetch(_: &str) -> Untrusted { Untrusted::new(Vec::new()) }
/// # fn check(now: UtcTime) -> Result<(), updater_format::trust::TrustError> {
/// let rules = Rules { now, policy: SignaturePolicy::default(), app: None };
/// // Another order does not compile: each step gives what the next one needs.
/// let set = TrustedSet::new(rules, &fetch("1.root.json"))?.finish_root()?;
/// let set = set.timestamp(&fetch("timestamp.json"), None)?;
/// let set = set.snapshot(&fetch("2.snapshot.json"), None)?;
/// let set = set.targets(&fetch("1.targets.json"))?;
/// let stable = set.channel(&Channel::stable(), &fetch("2.stable.json"))?;
/// for bundle in &stable.contents().bundles {
///     println!("{} for {}", bundle.version, bundle.platform);
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct TrustedSet<S> {
    rules: Rules,
    root: Verified<Root>,
    state: S,
}

/// The newest root is being looked for: [`TrustedSet::root`] until there is none newer, then
/// [`TrustedSet::finish_root`].
#[derive(Debug, Clone)]
pub struct WantsRoot(());

/// The root is final. [`TrustedSet::timestamp`] comes next.
#[derive(Debug, Clone)]
pub struct WantsTimestamp(());

/// The timestamp is final. [`TrustedSet::snapshot`] comes next.
#[derive(Debug, Clone)]
pub struct WantsSnapshot {
    timestamp: Verified<Timestamp>,
}

/// The snapshot is final. [`TrustedSet::targets`] comes next.
#[derive(Debug, Clone)]
pub struct WantsTargets {
    timestamp: Verified<Timestamp>,
    snapshot: Verified<Snapshot>,
}

/// All top-level roles are final. Channels can be read.
#[derive(Debug, Clone)]
pub struct Complete {
    timestamp: Verified<Timestamp>,
    snapshot: Verified<Snapshot>,
    targets: Verified<Targets>,
}

/// A document of an earlier check: signed by today's keys, perhaps expired. It serves rollback checks and nothing else.
#[derive(Debug, Clone)]
pub struct Kept<T>(Verified<T>);

impl<T> Kept<T> {
    /// Returns the exact bytes, to be offered in the place of a download.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.0.bytes()
    }
}

/// A document that is to be fetched next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Its file name below `metadata/`, version prefix included where the repository uses one.
    pub file: String,
    /// The most bytes to read: its exact length where that is known, a limit of [`crate::length`] otherwise.
    pub max_length: u64,
}

impl Wanted {
    fn new<S>(set: &TrustedSet<S>, role: &str, meta: &MetaFile, limit: u64) -> Self {
        let file = if set.root.consistent_snapshot {
            format!("{}.{}.json", meta.version, quote(role))
        } else {
            format!("{}.json", quote(role))
        };
        Self { file, max_length: meta.length.map_or(limit, |length| length.min(limit)) }
    }
}

impl<S> TrustedSet<S> {
    /// Returns the root in force.
    #[must_use]
    pub fn current_root(&self) -> &Verified<Root> {
        &self.root
    }

    /// Returns the rules of this check.
    #[must_use]
    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    /// Parses a document and checks its signatures with the root's keyring for `role`.
    fn signed_by_root<T: Payload>(&self, role: RoleName, bytes: &Untrusted) -> Result<Verified<T>, TrustError> {
        let signed = Signed::<T>::parse(bytes).map_err(|source| TrustError::format(role.as_str(), source))?;
        signed.verify(role.as_str(), self.root.keyring(role), self.rules.policy)
    }

    /// TUF 5.3.10, 5.4.4, 5.5.6, 5.6.5: a document whose time is over is not used.
    fn check_expiry<T: Payload>(&self, role: &str, document: &T) -> Result<(), TrustError> {
        if document.expires() <= self.rules.now {
            return Err(TrustError::Expired { role: role.to_owned(), since: document.expires() });
        }
        Ok(())
    }

    fn check_app(&self, role: &str, found: Option<&AppId>) -> Result<(), TrustError> {
        match &self.rules.app {
            Some(expected) if found != Some(expected) => Err(TrustError::WrongApp {
                role: role.to_owned(),
                expected: expected.to_string(),
                found: found.map_or_else(|| "none".to_owned(), ToString::to_string),
            }),
            _ => Ok(()),
        }
    }

    fn with<N>(self, state: N) -> TrustedSet<N> {
        TrustedSet { rules: self.rules, root: self.root, state }
    }
}

/// Checks a document against what another one says of it: length, hashes. The version is checked after parsing.
fn check_meta(role: &str, meta: &MetaFile, bytes: &Untrusted) -> Result<(), TrustError> {
    let length = bytes.as_bytes().len() as u64;
    if let Some(expected) = meta.length.filter(|expected| *expected != length) {
        return Err(TrustError::Length { role: role.to_owned(), expected, found: length });
    }
    if meta.hashes.as_ref().is_some_and(|hashes| !hashes.match_bytes(bytes.as_bytes())) {
        return Err(TrustError::Hash { role: role.to_owned() });
    }
    Ok(())
}

/// Refuses bytes above the limit of their role, whatever made somebody read them.
fn check_limit(role: &str, limit: u64, bytes: &Untrusted) -> Result<(), TrustError> {
    if bytes.as_bytes().len() as u64 > limit {
        return Err(TrustError::format(role, FormatError::TooLarge { what: "metadata", limit, unit: "bytes" }));
    }
    Ok(())
}

/// Quotes a role name for a URL and a file name: everything but letters, digits and `_.-~` as `%XX` (RFC 3986 section
/// 2.3), so that no role name is a path.
#[must_use]
pub fn quote(role: &str) -> String {
    let mut out = String::with_capacity(role.len());
    for byte in role.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-' | b'~') {
            out.push(byte as char);
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests;
