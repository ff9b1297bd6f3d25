//! TUF 5.6: the top-level targets role and the roles it delegates to.

use super::{Complete, TrustError, TrustedSet, Wanted, WantsTargets, check_limit, check_meta};
use crate::length::MAX_ROLE;
use crate::role::{DelegatedRole, MetaFile, RoleName, Snapshot, Targets, Timestamp};
use crate::signed::{Signed, Untrusted, Verified};

impl TrustedSet<WantsTargets> {
    /// Returns what to ask for. TUF 5.6.1: the version that the snapshot names, at most its length or [`MAX_ROLE`]
    /// bytes.
    /// # Errors
    /// [`TrustError::UnknownRole`] when the snapshot does not list the role.
    pub fn wanted(&self) -> Result<Wanted, TrustError> {
        let role = RoleName::Targets.as_str();
        Ok(Wanted::new(self, role, listed(&self.state.snapshot, role)?, MAX_ROLE))
    }

    /// Returns the timestamp in force.
    #[must_use]
    pub fn current_timestamp(&self) -> &Verified<Timestamp> {
        &self.state.timestamp
    }

    /// Returns the snapshot in force.
    #[must_use]
    pub fn current_snapshot(&self) -> &Verified<Snapshot> {
        &self.state.snapshot
    }

    /// Takes the top-level targets role: a download, or kept bytes while they are what the snapshot names.
    /// # Errors
    /// [`TrustError`] when it is not the named one (length, hash, version), not signed by the root's targets keys,
    /// expired or for another app.
    pub fn targets(self, bytes: &Untrusted) -> Result<TrustedSet<Complete>, TrustError> {
        let role = RoleName::Targets.as_str();
        check_limit(role, MAX_ROLE, bytes)?;
        let meta = listed(&self.state.snapshot, role)?;
        // TUF 5.6.2: the hashes of the snapshot.
        check_meta(role, meta, bytes)?;
        // TUF 5.6.3: signed by a threshold of the targets keys of the trusted root.
        let targets = self.signed_by_root::<Targets>(RoleName::Targets, bytes)?;
        // TUF 5.6.4: the version that the snapshot names.
        check_version(role, meta, targets.version)?;
        // TUF 5.6.5
        self.check_expiry(role, &*targets)?;
        self.check_app(role, targets.extension.as_ref().map(|x| &x.app))?;
        let state = self.state.clone();
        Ok(self.with(Complete { timestamp: state.timestamp, snapshot: state.snapshot, targets }))
    }
}

impl TrustedSet<Complete> {
    /// Returns the timestamp in force.
    #[must_use]
    pub fn current_timestamp(&self) -> &Verified<Timestamp> {
        &self.state.timestamp
    }

    /// Returns the snapshot in force.
    #[must_use]
    pub fn current_snapshot(&self) -> &Verified<Snapshot> {
        &self.state.snapshot
    }

    /// Returns the top-level targets role in force.
    #[must_use]
    pub fn current_targets(&self) -> &Verified<Targets> {
        &self.state.targets
    }

    /// Returns what to ask for to read a delegated role.
    /// # Errors
    /// [`TrustError::UnknownRole`] when the snapshot does not list it.
    pub fn wanted_role(&self, role: &str) -> Result<Wanted, TrustError> {
        Ok(Wanted::new(self, role, listed(&self.state.snapshot, role)?, MAX_ROLE))
    }

    /// Takes a delegated role and verifies it along this one delegation; a role that two roles delegate to is verified
    /// for each of them (TUF 5.6.7).
    /// # Errors
    /// [`TrustError`] when it is not what the snapshot names, not signed by the keys of the delegation, or expired.
    pub fn delegated(&self, delegation: &DelegatedRole, bytes: &Untrusted) -> Result<Verified<Targets>, TrustError> {
        let role = delegation.name.as_str();
        check_limit(role, MAX_ROLE, bytes)?;
        let meta = listed(&self.state.snapshot, role)?;
        check_meta(role, meta, bytes)?;
        let signed = Signed::<Targets>::parse(bytes).map_err(|source| TrustError::format(role, source))?;
        let targets = signed.verify(role, &delegation.keyring, self.rules.policy)?;
        check_version(role, meta, targets.version)?;
        self.check_expiry(role, &*targets)?;
        Ok(targets)
    }
}

fn listed<'a>(snapshot: &'a Snapshot, role: &str) -> Result<&'a MetaFile, TrustError> {
    snapshot
        .roles
        .get(role)
        .ok_or_else(|| TrustError::UnknownRole { role: role.to_owned(), by: RoleName::Snapshot.to_string() })
}

fn check_version(role: &str, meta: &MetaFile, found: u64) -> Result<(), TrustError> {
    if found != meta.version {
        return Err(TrustError::Version { role: role.to_owned(), expected: meta.version, found });
    }
    Ok(())
}
