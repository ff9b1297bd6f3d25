//! What the next root and the next targets role are to be. Pure.

use super::CeremonyError;
use crate::keys::KeyRole;
use crate::roles::{ROOT_DAYS, TARGETS_DAYS};
use updater_format::role::{KeyOwner, RoleName, Root, Targets};
use updater_format::{Keyring, MinisignKey, PublicKey, UtcTime};

/// A change of the keys of one role.
#[derive(Debug, Clone, Default)]
pub struct KeyChange {
    /// The keys that come.
    pub add: Vec<MinisignKey>,
    /// minisign's ids of the keys that go.
    pub remove: Vec<String>,
    /// How many must sign; as before when not given.
    pub threshold: Option<u32>,
    /// Who holds the keys that come.
    pub owner: String,
}

impl KeyChange {
    /// Makes the next root and, where its keys or its content change, the next targets role.
    /// # Errors
    /// [`CeremonyError::NoSuchKey`], [`CeremonyError::Keyring`].
    pub fn apply(
        &self,
        role: &KeyRole,
        root: &Root,
        targets: &Targets,
        now: UtcTime,
    ) -> Result<(Option<Root>, Option<Targets>), CeremonyError> {
        let mut next = renewed_root(root, now);
        for key in &self.add {
            let owner = KeyOwner { minisign: key.id_text(), owner: self.owner.clone() };
            next.extension.iter_mut().for_each(|x| drop(x.keys.insert(key.key.id(), owner.clone())));
        }
        let roles: &[RoleName] = match role {
            KeyRole::Root => &[RoleName::Root],
            KeyRole::Targets => &[RoleName::Targets],
            KeyRole::Online => &[RoleName::Snapshot, RoleName::Timestamp],
            KeyRole::Channel(channel) => {
                // The delegation names the keys; the root only says who holds them, and is asked for that no more.
                let mut targets = renewed_targets(targets, now);
                for delegation in targets.delegations.iter_mut().flat_map(|delegations| &mut delegations.roles) {
                    if delegation.name == channel.as_str() {
                        delegation.keyring = self.keyring(role, &delegation.keyring, root)?;
                    }
                }
                return Ok((None, Some(targets)));
            }
        };
        for name in roles {
            let keyring = self.keyring(role, next.keyring(*name), root)?;
            next.roles.insert(*name, keyring);
        }
        let targets = (*role == KeyRole::Targets).then(|| renewed_targets(targets, now));
        Ok((Some(next), targets))
    }

    fn keyring(&self, role: &KeyRole, before: &Keyring, root: &Root) -> Result<Keyring, CeremonyError> {
        let id_of = |key: &PublicKey| id_of(root, key);
        for id in &self.remove {
            if !before.keys().iter().any(|(_, key)| id_of(key).eq_ignore_ascii_case(id)) {
                let keys = ids(root, before).join(", ");
                return Err(CeremonyError::NoSuchKey { role: role.as_str().to_owned(), id: id.clone(), keys });
            }
        }
        let goes = |key: &PublicKey| self.remove.iter().any(|id| id_of(key).eq_ignore_ascii_case(id));
        let mut keys: Vec<_> = before.keys().iter().filter(|(_, key)| !goes(key)).cloned().collect();
        for key in &self.add {
            if !keys.iter().any(|(_, known)| *known == key.key) {
                keys.push((key.key.id(), key.key.clone()));
            }
        }
        let threshold = self.threshold.unwrap_or(before.threshold());
        let refuse = |source| CeremonyError::Keyring { role: role.as_str().to_owned(), source };
        Keyring::new(keys, u64::from(threshold)).map_err(refuse)
    }
}

/// Returns the next root with the same keys and a new term.
#[must_use]
pub fn renewed_root(root: &Root, now: UtcTime) -> Root {
    Root { version: root.version + 1, expires: now.plus_days(ROOT_DAYS), ..root.clone() }
}

/// Returns the next targets role with the same content and a new term.
#[must_use]
pub fn renewed_targets(targets: &Targets, now: UtcTime) -> Targets {
    Targets { version: targets.version + 1, expires: now.plus_days(TARGETS_DAYS), ..targets.clone() }
}

/// Returns minisign's id of a key, as the root tells it.
pub(crate) fn id_of(root: &Root, key: &PublicKey) -> String {
    let known = root.extension.as_ref().and_then(|x| x.keys.get(&key.id()));
    known.map_or_else(|| key.id().as_str().to_owned(), |owner| owner.minisign.clone())
}

/// Returns minisign's ids of a keyring.
pub(crate) fn ids(root: &Root, keyring: &Keyring) -> Vec<String> {
    keyring.keys().iter().map(|(_, key)| id_of(root, key)).collect()
}
