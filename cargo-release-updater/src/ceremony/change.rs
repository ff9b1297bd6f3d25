//! What the next root and the next targets role are to be. Pure.

use super::{CeremonyError, Documents};
use crate::keys::KeyRole;
use crate::roles::{ROOT_DAYS, TARGETS_DAYS};
use updater_format::json::Map;
use updater_format::role::{DelegatedRole, Delegations, KeyOwner, RoleName, Root, Targets};
use updater_format::{Channel, KeyId, Keyring, MinisignKey, PublicKey, UtcTime};

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
        Ok((self.next_root(role, root, targets, now)?, self.next_targets(role, root, targets, now)?))
    }

    /// Makes the next targets role; `None` when it stays.
    pub(super) fn next_targets(
        &self,
        role: &KeyRole,
        root: &Root,
        targets: &Targets,
        now: UtcTime,
    ) -> Result<Option<Targets>, CeremonyError> {
        match role {
            KeyRole::Channel(channel) => self.delegate(channel, root, targets, now).map(Some),
            KeyRole::Targets => Ok(Some(renewed_targets(targets, now))),
            _ => Ok(None),
        }
    }

    /// Makes the next root; `None` when it stays.
    pub(super) fn next_root(
        &self,
        role: &KeyRole,
        root: &Root,
        targets: &Targets,
        now: UtcTime,
    ) -> Result<Option<Root>, CeremonyError> {
        let names: &[RoleName] = match role {
            KeyRole::Root => &[RoleName::Root],
            KeyRole::Targets => &[RoleName::Targets],
            KeyRole::Online => &[RoleName::Snapshot, RoleName::Timestamp],
            KeyRole::Channel(_) => return Ok(None),
        };
        let mut next = renewed_root(root, now);
        for name in names {
            let keyring = self.keyring(role, Some(next.keyring(*name)), root, targets)?;
            next.roles.insert(*name, keyring);
        }
        if let Some(extension) = &mut next.extension {
            extension.keys.extend(self.owners());
            // Who holds a key that is worth nothing any more is nobody's business.
            let in_use: Vec<_> = next.roles.values().chain(delegated(targets)).flat_map(Keyring::keys).collect();
            extension.keys.retain(|id, _| in_use.iter().any(|(used, _)| used == id));
        }
        Ok(Some(next))
    }

    /// Makes the next targets role with other keys for a channel, or with a channel more. It says itself by which ids minisign knows
    /// them: the root need not be signed for that.
    fn delegate(
        &self,
        channel: &Channel,
        root: &Root,
        targets: &Targets,
        now: UtcTime,
    ) -> Result<Targets, CeremonyError> {
        let mut next = renewed_targets(targets, now);
        let role = KeyRole::Channel(channel.clone());
        let before = next.delegation(channel.as_str()).map(|known| known.keyring.clone());
        let keyring = self.keyring(&role, before.as_ref(), root, targets)?;
        let roles = &mut next.delegations.get_or_insert_with(Delegations::default).roles;
        match roles.iter_mut().find(|known| known.name == channel.as_str()) {
            Some(known) => known.keyring = keyring,
            // Every channel lists the same files: those of the app.
            None => roles.push(DelegatedRole {
                name: channel.to_string(),
                keyring,
                terminating: false,
                paths: roles.first().map(|other| other.paths.clone()).unwrap_or_default(),
                extra: Map::new(),
            }),
        }
        let in_use: Vec<_> = delegated(&next).flat_map(|keyring| keyring.keys().to_vec()).collect();
        if let Some(extension) = &mut next.extension {
            extension.keys.extend(self.owners());
            extension.keys.retain(|id, _| in_use.iter().any(|(used, _)| used == id));
        }
        Ok(next)
    }

    fn owners(&self) -> impl Iterator<Item = (KeyId, KeyOwner)> {
        let owner = |key: &MinisignKey| (key.key.id(), KeyOwner { minisign: key.id_text(), owner: self.owner.clone() });
        self.add.iter().map(owner)
    }

    fn keyring(
        &self,
        role: &KeyRole,
        before: Option<&Keyring>,
        root: &Root,
        targets: &Targets,
    ) -> Result<Keyring, CeremonyError> {
        let documents = Documents::of(root, targets);
        let id_of = |key: &PublicKey| documents.id_of(key);
        let known = before.map_or(&[][..], Keyring::keys);
        for id in &self.remove {
            if !known.iter().any(|(_, key)| id_of(key).eq_ignore_ascii_case(id)) {
                let keys = before.map(|before| documents.ids(before).join(", ")).unwrap_or_default();
                return Err(CeremonyError::NoSuchKey { role: role.as_str().to_owned(), id: id.clone(), keys });
            }
        }
        let goes = |key: &PublicKey| self.remove.iter().any(|id| id_of(key).eq_ignore_ascii_case(id));
        let mut keys: Vec<_> = known.iter().filter(|(_, key)| !goes(key)).cloned().collect();
        for key in &self.add {
            if !keys.iter().any(|(_, known)| *known == key.key) {
                keys.push((key.key.id(), key.key.clone()));
            }
        }
        let threshold = self.threshold.or(before.map(Keyring::threshold)).unwrap_or(1);
        let refuse = |source| CeremonyError::Keyring { role: role.as_str().to_owned(), source };
        Keyring::new(keys, u64::from(threshold)).map_err(refuse)
    }
}

fn delegated(targets: &Targets) -> impl Iterator<Item = &Keyring> {
    targets.delegations.iter().flat_map(|delegations| delegations.roles.iter().map(|role| &role.keyring))
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
