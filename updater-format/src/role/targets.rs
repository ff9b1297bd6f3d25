//! The targets role and its delegations (TUF 4.5). Each channel is one delegated role.

use super::meta::{length_and_hashes, write_length_and_hashes};
use super::root::{KeyOwner, read_keyring, read_keys, read_owners, write_keyring, write_owners};
use super::rules::{ChannelRules, ComponentRules, check_count};
use super::{Hashes, Head, Payload, head, open};
use crate::app::AppId;
use crate::channel::{Channel, RESERVED};
use crate::component::ComponentName;
use crate::error::FormatError;
use crate::json::{Fields, Map, Value};
use crate::key::{KeyId, Keyring};
use crate::length::MAX_DELEGATED_ROLES;
use crate::time::UtcTime;
use std::collections::{BTreeMap, BTreeSet};

/// The payload of a `targets.json` or of a delegated role such as `stable.json`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Targets {
    /// The version, from 1.
    pub version: u64,
    /// From when on it is stale.
    pub expires: UtcTime,
    /// The files that this role vouches for, by name.
    pub targets: BTreeMap<String, TargetFile>,
    /// The roles to which it delegates.
    pub delegations: Option<Delegations>,
    /// What we add to TUF.
    pub extension: Option<TargetsExtension>,
    /// Unknown fields, preserved.
    pub extra: Map<String, Value>,
}

/// One file that a targets role vouches for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetFile {
    /// Its exact length in bytes.
    pub length: u64,
    /// Its hashes.
    pub hashes: Hashes,
    /// What the file is, signed with it. TUF leaves the content to us.
    pub custom: Option<Value>,
    /// Unknown fields, preserved.
    pub extra: Map<String, Value>,
}

/// The field `x-updater` of a channel role and of the top-level targets role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetsExtension {
    /// The app that the role is for.
    pub app: AppId,
    /// The channel; `None` in the top-level role.
    pub channel: Option<Channel>,
    /// What the channel's keys say about its releases; none in the top-level role.
    pub rules: ChannelRules,
    /// What they say about the releases of each component.
    pub components: BTreeMap<ComponentName, ComponentRules>,
    /// Who holds which key of a delegation, by TUF key id: those that came after the root was signed.
    pub keys: BTreeMap<KeyId, KeyOwner>,
    /// Unknown fields, preserved.
    pub extra: Map<String, Value>,
}

/// The delegations of a targets role, in order of priority.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Delegations {
    /// The delegated roles.
    pub roles: Vec<DelegatedRole>,
    /// Unknown fields, preserved.
    pub extra: Map<String, Value>,
}

/// One delegation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DelegatedRole {
    /// The role's name.
    pub name: String,
    /// Who may sign it.
    pub keyring: Keyring,
    /// Whether a search that enters this role ends with it.
    pub terminating: bool,
    /// The target names it may list, as shell patterns; empty for delegations by hash, which match nothing here.
    pub paths: Vec<String>,
    /// Unknown fields, preserved.
    pub extra: Map<String, Value>,
}

impl Targets {
    /// Returns the delegation with this name.
    #[must_use]
    pub fn delegation(&self, name: &str) -> Option<&DelegatedRole> {
        self.delegations.as_ref()?.roles.iter().find(|role| role.name == name)
    }

    /// Returns the rules of a channel's role.
    #[must_use]
    pub fn rules(&self) -> Option<&ChannelRules> {
        self.extension.as_ref().map(|extension| &extension.rules)
    }

    /// Returns the rules of a channel's role for the app itself, or for one of its components.
    #[must_use]
    pub fn rules_of(&self, component: Option<&ComponentName>) -> Option<&ChannelRules> {
        match component {
            None => self.rules(),
            Some(name) => Some(&self.extension.as_ref()?.components.get(name)?.rules),
        }
    }
}

impl Payload for Targets {
    const TYPE: &'static str = "targets";

    fn from_value(value: Value) -> Result<Self, FormatError> {
        let (Head { version, expires }, mut fields) = open::<Self>(value)?;
        let mut targets = BTreeMap::new();
        for (name, value) in fields.object("targets")? {
            let mut entry = Fields::open("target", value)?;
            let (length, hashes) = length_and_hashes(&mut entry)?;
            let custom = entry.optional("custom");
            targets.insert(name, TargetFile { length, hashes, custom, extra: entry.rest() });
        }
        let delegations = fields.optional("delegations").map(Delegations::from_value).transpose()?;
        let extension = fields.optional("x-updater").map(TargetsExtension::from_value).transpose()?;
        Ok(Self { version, expires, targets, delegations, extension, extra: fields.rest() })
    }

    fn to_value(&self) -> Value {
        let mut map = head(self, &self.extra);
        let targets = self.targets.iter().map(|(name, file)| {
            let mut entry = file.extra.clone();
            write_length_and_hashes(&mut entry, file.length, &file.hashes);
            if let Some(custom) = &file.custom {
                entry.insert("custom".to_owned(), custom.clone());
            }
            (name.clone(), Value::Object(entry))
        });
        map.insert("targets".to_owned(), Value::Object(targets.collect()));
        if let Some(delegations) = &self.delegations {
            map.insert("delegations".to_owned(), delegations.to_value());
        }
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

impl TargetsExtension {
    /// Returns the rules for the app itself, or for one of its components, to be changed.
    pub fn rules_mut(&mut self, component: Option<&ComponentName>) -> &mut ChannelRules {
        match component {
            None => &mut self.rules,
            Some(name) => &mut self.components.entry(name.clone()).or_default().rules,
        }
    }

    fn from_value(value: Value) -> Result<Self, FormatError> {
        let mut fields = Fields::open("targets x-updater", value)?;
        let app = fields.parsed("app")?;
        let channel = if fields.has("channel") { Some(fields.parsed("channel")?) } else { None };
        let rules = ChannelRules::take(&mut fields)?;
        let keys = read_owners(&mut fields)?;
        let listed = if fields.has(COMPONENTS) { fields.object(COMPONENTS)? } else { Map::new() };
        check_count("components", listed.len(), MAX_COMPONENTS)?;
        let component = |(name, rules): (String, Value)| Ok((name.parse()?, ComponentRules::from_value(rules)?));
        let components = listed.into_iter().map(component).collect::<Result<_, FormatError>>()?;
        Ok(Self { app, channel, rules, components, keys, extra: fields.rest() })
    }

    fn to_value(&self) -> Value {
        let mut map = self.extra.clone();
        self.rules.write(&mut map);
        map.insert("app".to_owned(), self.app.as_str().into());
        let ruled = self.components.iter().filter(|(_, rules)| !rules.is_empty());
        let components: Map<_, _> = ruled.map(|(name, rules)| (name.to_string(), rules.to_value())).collect();
        if !components.is_empty() {
            map.insert(COMPONENTS.to_owned(), components.into());
        }
        if !self.keys.is_empty() {
            map.insert("keys".to_owned(), write_owners(&self.keys));
        }
        if let Some(channel) = &self.channel {
            map.insert("channel".to_owned(), channel.as_str().into());
        }
        Value::Object(map)
    }
}

impl Delegations {
    fn from_value(value: Value) -> Result<Self, FormatError> {
        let mut fields = Fields::open("delegations", value)?;
        let keys = read_keys(&mut fields)?;
        let mut roles = Vec::new();
        // Hash bins (`succinct_roles`, TUF 4.5) stay in `extra`: nothing of ours publishes them and they match nothing.
        if fields.has("roles") {
            for value in fields.array("roles")? {
                roles.push(DelegatedRole::from_value(value, &keys)?);
            }
        }
        if roles.len() > MAX_DELEGATED_ROLES {
            return Err(FormatError::TooLarge {
                what: "delegations",
                limit: MAX_DELEGATED_ROLES as u64,
                unit: "roles",
            });
        }
        let names: BTreeSet<&str> = roles.iter().map(|role| role.name.as_str()).collect();
        if names.len() != roles.len() {
            return Err(FormatError::shape("delegations", "a role name stands twice"));
        }
        Ok(Self { roles, extra: fields.rest() })
    }

    fn to_value(&self) -> Value {
        let mut map = self.extra.clone();
        let mut keys = Map::new();
        let mut roles = Vec::new();
        for role in &self.roles {
            keys.extend(role.keyring.keys().iter().map(|(id, key)| (id.as_str().to_owned(), key.to_value())));
            roles.push(role.to_value());
        }
        map.insert("keys".to_owned(), keys.into());
        map.insert("roles".to_owned(), roles.into());
        Value::Object(map)
    }
}

impl DelegatedRole {
    fn from_value(
        value: Value,
        keys: &BTreeMap<crate::key::KeyId, crate::key::PublicKey>,
    ) -> Result<Self, FormatError> {
        let mut fields = Fields::open("delegated role", value)?;
        let name = fields.string("name")?;
        if RESERVED.contains(&name.as_str()) {
            return Err(FormatError::invalid("delegated role", &name, "it takes the name of a top-level role"));
        }
        let keyring = read_keyring(&mut fields, keys)?;
        let terminating = fields.boolean("terminating")?;
        let paths = if fields.has("paths") { fields.strings("paths")? } else { Vec::new() };
        Ok(Self { name, keyring, terminating, paths, extra: fields.rest() })
    }

    fn to_value(&self) -> Value {
        let mut map = self.extra.clone();
        map.extend(write_keyring(&self.keyring));
        map.insert("name".to_owned(), self.name.as_str().into());
        map.insert("terminating".to_owned(), self.terminating.into());
        if !self.paths.is_empty() {
            map.insert("paths".to_owned(), self.paths.clone().into());
        }
        Value::Object(map)
    }
}

/// The field of `x-updater` with the rules of the components, by name.
const COMPONENTS: &str = "components";
/// The most components that rules are for: 64. An app has a handful.
pub(super) const MAX_COMPONENTS: usize = 64;
