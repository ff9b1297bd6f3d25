//! TUF 5.4: the timestamp, the only document that is asked for without knowing its version.

use super::{Kept, TrustError, TrustedSet, Wanted, WantsSnapshot, WantsTimestamp, check_limit};
use crate::length::MAX_TIMESTAMP;
use crate::role::{RoleName, Timestamp};
use crate::signed::Untrusted;

impl TrustedSet<WantsTimestamp> {
    /// Returns what to ask for. TUF 5.4.1: at most [`MAX_TIMESTAMP`] bytes.
    #[must_use]
    pub fn wanted(&self) -> Wanted {
        Wanted { file: "timestamp.json".to_owned(), max_length: MAX_TIMESTAMP }
    }

    /// Reads a timestamp kept from an earlier check, for the rollback checks.
    /// # Errors
    /// [`TrustError`] when it is damaged or not signed by the keys of today's root (TUF 5.3.11): drop it then.
    pub fn kept_timestamp(&self, bytes: &Untrusted) -> Result<Kept<Timestamp>, TrustError> {
        check_limit(RoleName::Timestamp.as_str(), MAX_TIMESTAMP, bytes)?;
        self.signed_by_root(RoleName::Timestamp, bytes).map(Kept)
    }

    /// Reads a timestamp that was kept while this check ran, and returns it if it is newer than the accepted one.
    #[must_use]
    pub fn newer_timestamp(&self, bytes: &Untrusted, accepted: &TrustedSet<WantsSnapshot>) -> Option<Kept<Timestamp>> {
        self.kept_timestamp(bytes).ok().filter(|kept| kept.0.version > accepted.state.timestamp.version)
    }

    /// Takes the repository's timestamp. When it has the version of the kept one, the kept one stays (TUF 5.4.3.1).
    /// # Errors
    /// [`TrustError`] when it is not signed by the root's timestamp keys, goes back behind the kept one in its own or
    /// the snapshot's version, or is expired.
    pub fn timestamp(
        self,
        new: &Untrusted,
        kept: Option<Kept<Timestamp>>,
    ) -> Result<TrustedSet<WantsSnapshot>, TrustError> {
        let role = RoleName::Timestamp.as_str();
        check_limit(role, MAX_TIMESTAMP, new)?;
        // TUF 5.4.2: signed by a threshold of the timestamp keys of the trusted root.
        let new = self.signed_by_root::<Timestamp>(RoleName::Timestamp, new)?;
        let timestamp = match kept {
            Some(Kept(kept)) => {
                // TUF 5.4.3.1: a lower version is a rollback; an equal one means that there is nothing new.
                if new.version < kept.version {
                    return Err(TrustError::Rollback {
                        role: role.to_owned(),
                        known: kept.version,
                        found: new.version,
                    });
                }
                // TUF 5.4.3.2: the snapshot must not go back either.
                if new.snapshot.version < kept.snapshot.version {
                    return Err(TrustError::Rollback {
                        role: RoleName::Snapshot.to_string(),
                        known: kept.snapshot.version,
                        found: new.snapshot.version,
                    });
                }
                if new.version == kept.version { kept } else { new }
            }
            None => new,
        };
        // TUF 5.4.4. Also for the kept one: an old timestamp served for ever would freeze the client otherwise.
        self.check_expiry(role, &*timestamp)?;
        Ok(self.with(WantsSnapshot { timestamp }))
    }

    /// Goes on with the kept timestamp after the repository said that it is unchanged (HTTP 304).
    /// # Errors
    /// [`TrustError::Expired`] when it is stale: "unchanged" proves nothing about freshness.
    pub fn unchanged_timestamp(self, kept: Kept<Timestamp>) -> Result<TrustedSet<WantsSnapshot>, TrustError> {
        self.check_expiry(RoleName::Timestamp.as_str(), &*kept.0)?;
        Ok(self.with(WantsSnapshot { timestamp: kept.0 }))
    }
}
