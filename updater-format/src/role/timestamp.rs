//! The timestamp role: which snapshot is the newest (TUF 4.6), and what the online key holds back.

use super::rules::{check_count, percents, percents_value, versions, versions_value};
use super::targets::MAX_COMPONENTS;
use super::{Head, MetaFile, Payload, Percent, head, open};
use crate::channel::Channel;
use crate::component::ComponentName;
use crate::error::FormatError;
use crate::json::{Fields, Map, Value};
use crate::length::MAX_DELEGATED_ROLES;
use crate::time::UtcTime;
use crate::version::ReleaseVersion;
use std::collections::{BTreeMap, BTreeSet};

/// The payload of a `timestamp.json`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timestamp {
    /// The version, from 1.
    pub version: u64,
    /// From when on it is stale.
    pub expires: UtcTime,
    /// The snapshot that it vouches for.
    pub snapshot: MetaFile,
    /// What we add to TUF.
    pub extension: Option<TimestampExtension>,
    /// Unknown fields, preserved.
    pub extra: Map<String, Value>,
}

/// The field `x-updater` of a timestamp: what is offered less than the channels' own rules allow.
///
/// It is signed by the online key, which may be stolen more easily than others; therefore it can only withhold.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TimestampExtension {
    /// What is withheld, by channel.
    pub channels: BTreeMap<Channel, Steering>,
    /// What is withheld of components, by channel and name.
    pub components: BTreeMap<Channel, BTreeMap<ComponentName, Steering>>,
    /// Unknown fields, preserved.
    pub extra: Map<String, Value>,
}

/// What the online key withholds of one channel.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Steering {
    /// A share of installs below that of the role's rollout; the lower one counts.
    pub hold: BTreeMap<ReleaseVersion, Percent>,
    /// Releases that are not offered.
    pub yank: BTreeSet<ReleaseVersion>,
}

impl Timestamp {
    /// Returns what is withheld of a channel.
    #[must_use]
    pub fn steering(&self, channel: &Channel) -> Option<&Steering> {
        self.extension.as_ref()?.channels.get(channel)
    }

    /// Returns what is withheld in a channel of the app itself, or of one of its components.
    #[must_use]
    pub fn steering_of(&self, channel: &Channel, component: Option<&ComponentName>) -> Option<&Steering> {
        match component {
            None => self.steering(channel),
            Some(name) => self.extension.as_ref()?.components.get(channel)?.get(name),
        }
    }
}

impl Steering {
    fn from_value(value: Value) -> Result<Self, FormatError> {
        let mut fields = Fields::open(WHAT, value)?;
        let hold = if fields.has("hold") { percents(fields.object("hold")?)? } else { BTreeMap::new() };
        let yank = if fields.has("yank") { versions(&fields.strings("yank")?)? } else { BTreeSet::new() };
        Ok(Self { hold, yank })
    }

    fn to_value(&self) -> Value {
        let mut map = Map::new();
        if !self.hold.is_empty() {
            map.insert("hold".to_owned(), percents_value(&self.hold));
        }
        if !self.yank.is_empty() {
            map.insert("yank".to_owned(), versions_value(&self.yank));
        }
        Value::Object(map)
    }
}

impl TimestampExtension {
    /// Returns what is withheld in a channel of the app itself, or of one of its components, to be changed. What is
    /// empty afterwards is not written.
    pub fn steering_mut(&mut self, channel: &Channel, component: Option<&ComponentName>) -> &mut Steering {
        match component {
            None => self.channels.entry(channel.clone()).or_default(),
            Some(name) => self.components.entry(channel.clone()).or_default().entry(name.clone()).or_default(),
        }
    }

    /// Drops what says nothing.
    pub fn tidy(&mut self) {
        let says_something = |steering: &Steering| *steering != Steering::default();
        self.channels.retain(|_, steering| says_something(steering));
        self.components.values_mut().for_each(|components| components.retain(|_, steering| says_something(steering)));
        self.components.retain(|_, components| !components.is_empty());
    }

    fn from_value(value: Value) -> Result<Self, FormatError> {
        let mut fields = Fields::open(WHAT, value)?;
        let mut channels: BTreeMap<Channel, Steering> = BTreeMap::new();
        for (channel, held) in by_channel(&mut fields, "hold")? {
            let held = percents(Fields::open(WHAT, held)?.rest())?;
            channels.entry(channel).or_default().hold = held;
        }
        for (channel, yanked) in by_channel(&mut fields, "yank")? {
            let mut wrapped = Fields::open(WHAT, Value::Object([("yank".to_owned(), yanked)].into_iter().collect()))?;
            channels.entry(channel).or_default().yank = versions(&wrapped.strings("yank")?)?;
        }
        let mut components = BTreeMap::new();
        for (channel, held) in by_channel(&mut fields, "components")? {
            let held = Fields::open(WHAT, held)?.rest();
            check_count("components", held.len(), MAX_COMPONENTS)?;
            let component = |(name, value): (String, Value)| Ok((name.parse()?, Steering::from_value(value)?));
            components.insert(channel, held.into_iter().map(component).collect::<Result<_, FormatError>>()?);
        }
        let mut extension = Self { channels, components, extra: fields.rest() };
        // An empty entry says nothing and is not written.
        extension.tidy();
        Ok(extension)
    }

    fn to_value(&self) -> Value {
        let mut map = self.extra.clone();
        let held = self.channels.iter().filter(|(_, steering)| !steering.hold.is_empty());
        let hold: Map<_, _> = held.map(|(name, s)| (name.to_string(), percents_value(&s.hold))).collect();
        let yanked = self.channels.iter().filter(|(_, steering)| !steering.yank.is_empty());
        let yank: Map<_, _> = yanked.map(|(name, s)| (name.to_string(), versions_value(&s.yank))).collect();
        let of_channel = |components: &BTreeMap<ComponentName, Steering>| -> Map<String, Value> {
            let held = components.iter().filter(|(_, steering)| **steering != Steering::default());
            held.map(|(name, steering)| (name.to_string(), steering.to_value())).collect()
        };
        let components = self.components.iter().map(|(channel, held)| (channel.to_string(), of_channel(held)));
        let components: Map<_, _> =
            components.filter(|(_, held)| !held.is_empty()).map(|(channel, held)| (channel, held.into())).collect();
        for (name, field) in [("hold", hold), ("yank", yank), ("components", components)] {
            if !field.is_empty() {
                map.insert(name.to_owned(), field.into());
            }
        }
        Value::Object(map)
    }
}

impl Payload for Timestamp {
    const TYPE: &'static str = "timestamp";

    fn from_value(value: Value) -> Result<Self, FormatError> {
        let (Head { version, expires }, mut fields) = open::<Self>(value)?;
        let mut meta = fields.object("meta")?;
        match (meta.remove("snapshot.json"), meta.is_empty()) {
            (Some(snapshot), true) => {
                let extension = fields.optional("x-updater").map(TimestampExtension::from_value).transpose()?;
                let snapshot = MetaFile::from_value(snapshot)?;
                Ok(Self { version, expires, snapshot, extension, extra: fields.rest() })
            }
            _ => Err(FormatError::shape("timestamp", "`meta` must list snapshot.json and nothing else")),
        }
    }

    fn to_value(&self) -> Value {
        let mut map = head(self, &self.extra);
        let mut meta = Map::new();
        meta.insert("snapshot.json".to_owned(), self.snapshot.to_value());
        map.insert("meta".to_owned(), meta.into());
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

/// Takes a field that is an object from channels to something.
fn by_channel(fields: &mut Fields, name: &str) -> Result<Vec<(Channel, Value)>, FormatError> {
    if !fields.has(name) {
        return Ok(Vec::new());
    }
    let map = fields.object(name)?;
    check_count(WHAT, map.len(), MAX_DELEGATED_ROLES)?;
    map.into_iter().map(|(channel, value)| Ok((channel.parse()?, value))).collect()
}

const WHAT: &str = "timestamp x-updater";
