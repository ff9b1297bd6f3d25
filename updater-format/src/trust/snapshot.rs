//! TUF 5.5: the snapshot that the timestamp names.

use super::{Kept, TrustError, TrustedSet, Wanted, WantsSnapshot, WantsTargets, check_limit, check_meta};
use crate::length::MAX_SNAPSHOT;
use crate::role::{RoleName, Snapshot, Timestamp};
use crate::signed::{Untrusted, Verified};

impl TrustedSet<WantsSnapshot> {
    /// Returns what to ask for. TUF 5.5.1: the version that the timestamp names, at most its length or
    /// [`MAX_SNAPSHOT`] bytes.
    #[must_use]
    pub fn wanted(&self) -> Wanted {
        Wanted::new(self, RoleName::Snapshot.as_str(), &self.state.timestamp.snapshot, MAX_SNAPSHOT)
    }

    /// Returns the timestamp in force.
    #[must_use]
    pub fn current_timestamp(&self) -> &Verified<Timestamp> {
        &self.state.timestamp
    }

    /// Reads a snapshot kept from an earlier check, for the rollback checks.
    /// # Errors
    /// [`TrustError`] when it is damaged or not signed by the keys of today's root (TUF 5.3.11): drop it then.
    pub fn kept_snapshot(&self, bytes: &Untrusted) -> Result<Kept<Snapshot>, TrustError> {
        check_limit(RoleName::Snapshot.as_str(), MAX_SNAPSHOT, bytes)?;
        self.signed_by_root(RoleName::Snapshot, bytes).map(Kept)
    }

    /// Takes the snapshot: a download, or the kept bytes while they are what the timestamp names.
    /// # Errors
    /// [`TrustError`] when it is not the named one (length, hash, version), not signed by the root's snapshot keys,
    /// expired, or when a role went back or vanished since the kept one.
    pub fn snapshot(
        self,
        new: &Untrusted,
        kept: Option<&Kept<Snapshot>>,
    ) -> Result<TrustedSet<WantsTargets>, TrustError> {
        let role = RoleName::Snapshot.as_str();
        check_limit(role, MAX_SNAPSHOT, new)?;
        let meta = &self.state.timestamp.snapshot;
        // TUF 5.5.2: the hashes of the timestamp, before anything is parsed.
        check_meta(role, meta, new)?;
        // TUF 5.5.3: signed by a threshold of the snapshot keys of the trusted root.
        let new = self.signed_by_root::<Snapshot>(RoleName::Snapshot, new)?;
        // TUF 5.5.4: the version that the timestamp names.
        if new.version != meta.version {
            return Err(TrustError::Version { role: role.to_owned(), expected: meta.version, found: new.version });
        }
        // TUF 5.5.5: every role of the kept snapshot is still there and not older.
        if let Some(Kept(kept)) = kept {
            for (name, known) in &kept.roles {
                let Some(found) = new.roles.get(name) else {
                    return Err(TrustError::RoleRemoved { role: name.clone() });
                };
                if found.version < known.version {
                    return Err(TrustError::Rollback {
                        role: name.clone(),
                        known: known.version,
                        found: found.version,
                    });
                }
            }
        }
        // TUF 5.5.6
        self.check_expiry(role, &*new)?;
        let timestamp = self.state.timestamp.clone();
        Ok(self.with(WantsTargets { timestamp, snapshot: new }))
    }
}
