//! What a repository begins with: the project's own root and targets role.

use super::RepositoryError;
use updater_format::role::{RoleName, Root, Targets};
use updater_format::signed::{Signed, Untrusted};
use updater_format::trust::{Rules, TrustError, TrustedSet};
use updater_format::{AppId, SignaturePolicy, UtcTime};

/// Verifies them, whether or not they are within their time.
/// # Errors
/// [`RepositoryError::Trust`] when they are not signed by their own keys, or are another app's.
pub(crate) fn first_roles(app: &AppId, root: &[u8], targets: &[u8]) -> Result<(Root, Targets), RepositoryError> {
    let refuse = |file: &str| {
        let file = file.to_owned();
        move |source: TrustError| RepositoryError::Trust {
            file,
            storage: "the project".to_owned(),
            source: Box::new(source),
        }
    };
    let rules = Rules { now: UtcTime::from_unix(0), policy: SignaturePolicy::default(), app: Some(app.clone()) };
    let set = TrustedSet::new(rules, &Untrusted::new(root)).map_err(refuse("root.json"))?;
    let root = (**set.current_root()).clone();
    let targets = Signed::<Targets>::parse(&Untrusted::new(targets))
        .map_err(|source| TrustError::Format { role: "targets".to_owned(), source })
        .and_then(|signed| signed.verify("targets", root.keyring(RoleName::Targets), SignaturePolicy::default()))
        .map_err(refuse("targets.json"))?;
    Ok((root, (*targets).clone()))
}
