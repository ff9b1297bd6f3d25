//! What a root must fulfil before it is compiled into a program that will believe it for years.

use crate::table::Table;
use updater_format::role::{RoleName, Root};
use updater_format::signed::{Signed, Untrusted};
use updater_format::trust::TrustError;
use updater_format::{FormatError, MinisignKey, SignaturePolicy, UtcTime};

/// A root that may be embedded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckedRoot {
    /// Its version, the lowest that the program will ever trust.
    pub version: u64,
    /// Why it is worth a warning, although it may be embedded: old tags must build.
    pub warning: Option<String>,
}

/// Checks a root against the settings of the app.
///
/// Expiry only warns: a client walks from the embedded root to the newest one, and only that one's expiry counts
/// (TUF 5.3.10); besides, an old tag must still build.
/// # Errors
/// [`RootError`] with the rule that the root breaks.
pub fn check_root(bytes: &[u8], table: &Table, now: UtcTime) -> Result<CheckedRoot, RootError> {
    let signed = Signed::<Root>::parse(&Untrusted::new(bytes)).map_err(|source| RootError::Format { source })?;
    let root = signed.unverified();
    let keyring = root.keyring(RoleName::Root);
    signed
        .check(RoleName::Root.as_str(), keyring, SignaturePolicy::default())
        .map_err(|source| RootError::NotSigned { source: Box::new(source) })?;

    let extension = root.extension.as_ref();
    let found = extension.map_or_else(|| "none".to_owned(), |x| x.app.to_string());
    if found != table.app.as_str() {
        return Err(RootError::WrongApp { expected: table.app.to_string(), found });
    }
    if keyring.threshold() == 1 && !table.allow_single_root_key {
        return Err(RootError::SingleKey);
    }
    same_keys(keyring.keys().iter().map(|(_, key)| key), &table.public_keys)?;
    if root.is_development()
        && let Some(url) = table.urls.iter().find(|url| !url.is_local())
    {
        return Err(RootError::Development { url: url.to_string() });
    }
    let expired = root.expires <= now;
    let warning =
        expired.then(|| format!("the embedded root expired on {}; clients fetch its successor", root.expires));
    Ok(CheckedRoot { version: root.version, warning })
}

/// The keys in the table are what a reviewer sees; the keys in the root are what the program obeys.
fn same_keys<'a>(
    in_root: impl Iterator<Item = &'a updater_format::PublicKey>,
    in_table: &[MinisignKey],
) -> Result<(), RootError> {
    let mut unlisted = 0;
    let mut matched = Vec::new();
    for key in in_root {
        match in_table.iter().find(|listed| listed.key == *key) {
            Some(listed) => matched.push(listed),
            None => unlisted += 1,
        }
    }
    let missing: Vec<String> = in_table.iter().filter(|key| !matched.contains(key)).map(MinisignKey::id_text).collect();
    if unlisted == 0 && missing.is_empty() {
        return Ok(());
    }
    Err(RootError::OtherKeys { unlisted, missing })
}

/// Why a root is not embedded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RootError {
    /// The file is no root.
    #[error("the root cannot be read")]
    Format {
        /// What is wrong with it.
        source: FormatError,
    },
    /// It is not signed by its own keys.
    #[error("the root is not signed by its own keys")]
    NotSigned {
        /// How many signatures are missing.
        source: Box<TrustError>,
    },
    /// It belongs to another app.
    #[error("the root is for the app `{found}`, this package is `{expected}`")]
    WrongApp {
        /// The app of the table.
        expected: String,
        /// The app of the root.
        found: String,
    },
    /// One stolen key could replace it.
    #[error("one key alone can replace the root")]
    SingleKey,
    /// The table and the root do not name the same keys.
    #[error("`public-key` and the keys of the root differ: {unlisted} of the root not listed, {} listed but not in it", missing.len())]
    OtherKeys {
        /// How many keys of the root the table does not list.
        unlisted: usize,
        /// The minisign ids of the keys that the table lists and the root does not have.
        missing: Vec<String>,
    },
    /// A root for trying out would leave the machine.
    #[error("a development root with the public address {url}")]
    Development {
        /// The first address that is not local.
        url: String,
    },
}

impl RootError {
    /// Returns what to do about it, one line.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Format { .. } => "restore the file from version control",
            Self::NotSigned { .. } => "restore the file from version control; an edited root must be signed again",
            Self::WrongApp { .. } => "set `app` to the app of the root, or use the root of this app",
            Self::SingleKey => "use a root with a threshold of 2, or accept it with `allow-single-root-key = true`",
            Self::OtherKeys { .. } => {
                "if the root was changed on purpose, set `public-key` to the public keys of its holders; if not, restore it"
            }
            Self::Development { .. } => {
                "make a real root with `cargo updater init`; a development root is for this machine"
            }
        }
    }
}

#[cfg(test)]
pub(crate) mod fixtures;
#[cfg(test)]
mod tests;
