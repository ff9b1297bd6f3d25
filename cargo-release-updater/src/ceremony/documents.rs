//! The two documents that people sign, as far as they are at hand, and what they tell of a key.

use updater_format::role::{KeyOwner, Root, Targets};
use updater_format::{Keyring, PublicKey};

/// A root and a targets role, as far as they are at hand.
#[derive(Debug, Clone, Copy, Default)]
pub struct Documents<'a> {
    /// The root.
    pub root: Option<&'a Root>,
    /// The targets role.
    pub targets: Option<&'a Targets>,
}

impl<'a> Documents<'a> {
    /// Takes both.
    #[must_use]
    pub fn of(root: &'a Root, targets: &'a Targets) -> Self {
        Self { root: Some(root), targets: Some(targets) }
    }

    /// Returns what they tell people of a key: the targets role of those that channels got later, the root of all others.
    #[must_use]
    pub fn owner_of(&self, key: &PublicKey) -> Option<&'a KeyOwner> {
        let id = key.id();
        let of_targets = self.targets.and_then(|targets| targets.extension.as_ref()?.keys.get(&id));
        of_targets.or_else(|| self.root?.extension.as_ref()?.keys.get(&id))
    }

    /// Returns minisign's id of a key; its id in the metadata when they do not tell it.
    #[must_use]
    pub fn id_of(&self, key: &PublicKey) -> String {
        self.owner_of(key).map_or_else(|| key.id().as_str().to_owned(), |owner| owner.minisign.clone())
    }

    /// Returns the ids of a keyring, as [`Documents::id_of`] does.
    #[must_use]
    pub fn ids(&self, keyring: &Keyring) -> Vec<String> {
        keyring.keys().iter().map(|(_, key)| self.id_of(key)).collect()
    }
}
