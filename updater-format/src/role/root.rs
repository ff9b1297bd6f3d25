//! The root role: which keys sign what (TUF 4.3), and which app all of it belongs to.

use super::{Head, Payload, head, open};
use crate::app::AppId;
use crate::error::FormatError;
use crate::json::{Fields, Map, Value};
use crate::key::{KeyId, Keyring, PublicKey};
use crate::time::UtcTime;
use std::collections::BTreeMap;

/// The four top-level roles.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RoleName {
    /// Signs the keys of all roles; offline.
    Root,
    /// Signs the delegations to channels; offline.
    Targets,
    /// Signs the versions of all targets roles.
    Snapshot,
    /// Signs the snapshot's version, often and with a short life.
    Timestamp,
}

impl RoleName {
    /// All four, in the order of root.json.
    pub const ALL: [Self; 4] = [Self::Root, Self::Snapshot, Self::Targets, Self::Timestamp];

    /// Returns the name as metadata writes it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Root => "root",
            Self::Targets => "targets",
            Self::Snapshot => "snapshot",
            Self::Timestamp => "timestamp",
        }
    }
}

impl std::fmt::Display for RoleName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The payload of a `root.json`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Root {
    /// The version, from 1.
    pub version: u64,
    /// From when on it is stale.
    pub expires: UtcTime,
    /// Whether file names carry versions and hashes. Ours always do.
    pub consistent_snapshot: bool,
    /// The keyring of each top-level role.
    pub roles: BTreeMap<RoleName, Keyring>,
    /// What we add to TUF: the app, the owners of keys.
    pub extension: Option<RootExtension>,
    /// Keys that no role uses, preserved.
    pub unused_keys: BTreeMap<KeyId, PublicKey>,
    /// Unknown fields, preserved.
    pub extra: Map<String, Value>,
}

/// The field `x-updater` of a root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RootExtension {
    /// The app that this root is for.
    pub app: AppId,
    /// Who holds which key, by TUF key id.
    pub keys: BTreeMap<KeyId, KeyOwner>,
    /// A root made for trying things out: clients take it from loopback and `file:` repositories only.
    pub development: bool,
    /// Unknown fields, preserved.
    pub extra: Map<String, Value>,
}

/// What people know a key by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyOwner {
    /// minisign's key id, 16 upper-case hexadecimal digits.
    pub minisign: String,
    /// A name chosen by the publisher; may be empty.
    pub owner: String,
}

impl Root {
    /// Returns the keyring of a top-level role.
    #[must_use]
    pub fn keyring(&self, role: RoleName) -> &Keyring {
        &self.roles[&role]
    }

    /// Tells whether it is for trying out on one machine: clients believe it at local addresses only.
    #[must_use]
    pub fn is_development(&self) -> bool {
        self.extension.as_ref().is_some_and(|extension| extension.development)
    }
}

impl Payload for Root {
    const TYPE: &'static str = "root";

    fn from_value(value: Value) -> Result<Self, FormatError> {
        let (Head { version, expires }, mut fields) = open::<Self>(value)?;
        let consistent_snapshot =
            if fields.has("consistent_snapshot") { fields.boolean("consistent_snapshot")? } else { false };
        let mut keys = read_keys(&mut fields)?;
        let mut named = fields.object("roles")?;
        let mut roles = BTreeMap::new();
        let mut used = Vec::new();
        for role in RoleName::ALL {
            let value = named
                .remove(role.as_str())
                .ok_or_else(|| FormatError::shape("root", format!("role `{role}` is missing in `roles`")))?;
            let keyring = read_keyring(&mut Fields::open("root role", value)?, &keys)?;
            used.extend(keyring.keys().iter().map(|(id, _)| id.clone()));
            roles.insert(role, keyring);
        }
        keys.retain(|id, _| !used.contains(id));
        let extension = fields.optional("x-updater").map(RootExtension::from_value).transpose()?;
        Ok(Self { version, expires, consistent_snapshot, roles, extension, unused_keys: keys, extra: fields.rest() })
    }

    fn to_value(&self) -> Value {
        let mut map = head(self, &self.extra);
        map.insert("consistent_snapshot".to_owned(), self.consistent_snapshot.into());
        let mut keys: Map<String, Value> =
            self.unused_keys.iter().map(|(id, key)| (id.as_str().to_owned(), key.to_value())).collect();
        let mut roles = Map::new();
        for (role, keyring) in &self.roles {
            keys.extend(keyring.keys().iter().map(|(id, key)| (id.as_str().to_owned(), key.to_value())));
            roles.insert(role.as_str().to_owned(), Value::Object(write_keyring(keyring)));
        }
        map.insert("keys".to_owned(), keys.into());
        map.insert("roles".to_owned(), roles.into());
        if let Some(extension) = &self.extension {
            map.insert("x-updater".to_owned(), extension.to_value());
        }
        Value::Object(map)
    }

    fn version(&self) -> u64 {
        self.version
    }

    fn expires(&self) -> UtcTime {
        self.expires
    }
}

impl RootExtension {
    fn from_value(value: Value) -> Result<Self, FormatError> {
        let mut fields = Fields::open("root x-updater", value)?;
        let app = fields.parsed("app")?;
        let development = if fields.has("development") { fields.boolean("development")? } else { false };
        let keys = read_owners(&mut fields)?;
        Ok(Self { app, keys, development, extra: fields.rest() })
    }

    fn to_value(&self) -> Value {
        let mut map = self.extra.clone();
        map.insert("app".to_owned(), self.app.as_str().into());
        if self.development {
            map.insert("development".to_owned(), true.into());
        }
        map.insert("keys".to_owned(), write_owners(&self.keys));
        Value::Object(map)
    }
}

/// Reads the object `keys` of a root or a delegation.
pub(super) fn read_keys(fields: &mut Fields) -> Result<BTreeMap<KeyId, PublicKey>, FormatError> {
    fields.object("keys")?.into_iter().map(|(id, value)| Ok((KeyId::new(id), PublicKey::from_value(value)?))).collect()
}

/// Reads who holds which key: the object `keys` of `x-updater`, which may be absent.
pub(super) fn read_owners(fields: &mut Fields) -> Result<BTreeMap<KeyId, KeyOwner>, FormatError> {
    let mut keys = BTreeMap::new();
    if fields.has("keys") {
        for (id, value) in fields.object("keys")? {
            let mut owner = Fields::open("x-updater key", value)?;
            let owner = KeyOwner { minisign: owner.string("minisign")?, owner: owner.string("owner")? };
            keys.insert(KeyId::new(id), owner);
        }
    }
    Ok(keys)
}

/// Writes who holds which key.
pub(super) fn write_owners(keys: &BTreeMap<KeyId, KeyOwner>) -> Value {
    let owners = keys.iter().map(|(id, owner)| {
        let mut entry = Map::new();
        entry.insert("minisign".to_owned(), owner.minisign.as_str().into());
        entry.insert("owner".to_owned(), owner.owner.as_str().into());
        (id.as_str().to_owned(), Value::Object(entry))
    });
    Value::Object(owners.collect())
}

/// Reads `keyids` and `threshold`; every key id must be in `keys`.
pub(super) fn read_keyring(fields: &mut Fields, keys: &BTreeMap<KeyId, PublicKey>) -> Result<Keyring, FormatError> {
    let mut listed = Vec::new();
    for id in fields.strings("keyids")? {
        let id = KeyId::new(id);
        match keys.get(&id) {
            Some(key) => listed.push((id, key.clone())),
            None => return Err(FormatError::shape("role", format!("key {id} is not listed in `keys`"))),
        }
    }
    Keyring::read(listed, fields.number("threshold")?)
}

/// Writes `keyids` and `threshold`.
pub(super) fn write_keyring(keyring: &Keyring) -> Map<String, Value> {
    let mut map = Map::new();
    map.insert("keyids".to_owned(), keyring.keys().iter().map(|(id, _)| id.as_str()).collect::<Vec<_>>().into());
    map.insert("threshold".to_owned(), keyring.threshold().into());
    map
}
