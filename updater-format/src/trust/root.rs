//! TUF 5.3: from the embedded root to the newest one, each signed by the one before it and by itself.

use super::{Rules, TrustError, TrustedSet, Wanted, WantsRoot, WantsTimestamp, check_limit};
use crate::length::MAX_ROOT;
use crate::role::{RoleName, Root};
use crate::signed::{Signed, Untrusted};

impl TrustedSet<WantsRoot> {
    /// TUF 5.2: starts from the root that came with the app. It must be signed by itself; it may be expired, because
    /// only the newest root's expiry counts (TUF 5.3.10).
    /// # Errors
    /// [`TrustError`] when it cannot be read, is not signed to its own threshold or is for another app.
    pub fn new(rules: Rules, embedded: &Untrusted) -> Result<Self, TrustError> {
        let role = RoleName::Root;
        check_limit(role.as_str(), MAX_ROOT, embedded)?;
        let signed = Signed::<Root>::parse(embedded).map_err(|source| TrustError::format(role.as_str(), source))?;
        let keyring = signed.unverified().keyring(role).clone();
        let root = signed.verify(role.as_str(), &keyring, rules.policy)?;
        let set = Self { rules, root, state: WantsRoot(()) };
        set.check_app(role.as_str(), set.root.extension.as_ref().map(|x| &x.app))?;
        Ok(set)
    }

    /// Returns the next root to ask for. TUF 5.3.3: version N + 1, at most [`MAX_ROOT`] bytes.
    #[must_use]
    pub fn wanted(&self) -> Wanted {
        Wanted { file: format!("{}.root.json", self.root.version + 1), max_length: MAX_ROOT }
    }

    /// Takes the next root. On an error the set stays as it was.
    /// # Errors
    /// [`TrustError`] when it is not version N + 1, or not signed by the threshold of both the old and the new root.
    pub fn root(&mut self, next: &Untrusted) -> Result<(), TrustError> {
        let role = RoleName::Root;
        check_limit(role.as_str(), MAX_ROOT, next)?;
        let signed = Signed::<Root>::parse(next).map_err(|source| TrustError::format(role.as_str(), source))?;
        // TUF 5.3.4: signed by a threshold of the keys of version N, and of version N + 1 itself.
        signed.check(role.as_str(), self.root.keyring(role), self.rules.policy)?;
        let keyring = signed.unverified().keyring(role).clone();
        let next = signed.verify(role.as_str(), &keyring, self.rules.policy)?;
        // TUF 5.3.5: version is exactly N + 1.
        let expected = self.root.version + 1;
        if next.version != expected {
            return Err(TrustError::Version { role: role.to_string(), expected, found: next.version });
        }
        // One app's root never leads to another app's.
        self.check_app(role.as_str(), next.extension.as_ref().map(|x| &x.app))?;
        self.root = next;
        Ok(())
    }

    /// TUF 5.3.9 to 5.3.11: ends the search; from here on no root is accepted. Local timestamp and snapshot that the
    /// new root's keys did not sign cannot become [`super::Kept`], which is how a fast-forward attack is recovered from.
    /// # Errors
    /// [`TrustError::Expired`] when the newest root is stale.
    pub fn finish_root(self) -> Result<TrustedSet<WantsTimestamp>, TrustError> {
        // TUF 5.3.10: only the newest root's expiry counts.
        self.check_expiry(RoleName::Root.as_str(), &*self.root)?;
        Ok(self.with(WantsTimestamp(())))
    }
}
