//! The rules of a channel: which of the releases that it lists may be taken, by whom, and when installs go back.
//!
//! They stand in `x-updater` of the channel's role and are signed by the channel's keys. What the online key alone may
//! say, always less than this, stands in the timestamp ([`super::TimestampExtension`]).

use crate::error::FormatError;
use crate::json::{Fields, Map, Value, as_number};
use crate::time::UtcTime;
use crate::version::ReleaseVersion;
use std::collections::{BTreeMap, BTreeSet};

/// The rules of one channel. The default has none: the highest version is for everybody.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ChannelRules {
    /// Versions below are told to update, and nobody goes back behind it.
    pub floor: Option<ReleaseVersion>,
    /// Releases that an older install takes before any later one.
    pub required: BTreeSet<ReleaseVersion>,
    /// The share of installs that may take a release; a release that is not named is for all.
    pub rollout: BTreeMap<ReleaseVersion, Percent>,
    /// The ways back. Nothing else moves an install to an older version.
    pub retreat: Vec<Retreat>,
    /// Releases that are not offered any more.
    pub yank: BTreeSet<ReleaseVersion>,
}

/// A share of the installs, from 0 to 100 percent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Percent(u8);

impl Percent {
    /// Everybody.
    pub const ALL: Self = Self(100);
    /// Nobody.
    pub const NONE: Self = Self(0);

    /// Takes a number of percent.
    /// # Errors
    /// [`FormatError::Shape`] above 100.
    pub fn new(percent: u64) -> Result<Self, FormatError> {
        match u8::try_from(percent) {
            Ok(percent @ 0..=100) => Ok(Self(percent)),
            _ => Err(FormatError::shape(PERCENT, format!("{percent} is not from 0 to 100"))),
        }
    }

    /// Returns the number, 0 to 100.
    #[must_use]
    pub const fn get(self) -> u8 {
        self.0
    }
}

impl std::fmt::Display for Percent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} %", self.0)
    }
}

impl std::str::FromStr for Percent {
    type Err = FormatError;
    fn from_str(text: &str) -> Result<Self, FormatError> {
        let number = text.strip_suffix('%').unwrap_or(text);
        let refuse = || FormatError::invalid(PERCENT, text, "it must be a whole number from 0 to 100");
        Self::new(number.parse().map_err(|_| refuse())?).map_err(|_| refuse())
    }
}

/// A way back: installs of `from` take the older `to`, until it expires.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retreat {
    /// The version that is left.
    pub from: ReleaseVersion,
    /// The older version that is taken instead.
    pub to: ReleaseVersion,
    /// From when on it counts no more, so that an old role put back later moves nobody.
    pub expires: UtcTime,
    /// Unknown fields, preserved.
    pub extra: Map<String, Value>,
}

impl ChannelRules {
    /// Tells whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Takes the rules out of an `x-updater`.
    pub(super) fn take(fields: &mut Fields) -> Result<Self, FormatError> {
        let floor = if fields.has("floor") { Some(fields.parsed("floor")?) } else { None };
        let retreats = if fields.has("retreat") { fields.array("retreat")? } else { Vec::new() };
        check_count("retreats", retreats.len(), MAX_RETREATS)?;
        Ok(Self {
            floor,
            required: take_versions(fields, "required")?,
            rollout: if fields.has("rollout") { percents(fields.object("rollout")?)? } else { BTreeMap::new() },
            retreat: retreats.into_iter().map(Retreat::from_value).collect::<Result<_, _>>()?,
            yank: take_versions(fields, "yank")?,
        })
    }

    /// Writes the rules that there are: a channel without rules has the same document as before there were any.
    pub(super) fn write(&self, map: &mut Map<String, Value>) {
        if let Some(floor) = &self.floor {
            map.insert("floor".to_owned(), floor.to_string().into());
        }
        let mut set = |name: &str, value: Value, is_empty: bool| {
            if !is_empty {
                map.insert(name.to_owned(), value);
            }
        };
        set("required", versions_value(&self.required), self.required.is_empty());
        set("rollout", percents_value(&self.rollout), self.rollout.is_empty());
        set("retreat", self.retreat.iter().map(Retreat::to_value).collect(), self.retreat.is_empty());
        set("yank", versions_value(&self.yank), self.yank.is_empty());
    }
}

/// The rules of one component in a channel: the same as an app has, over versions of its own.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ComponentRules {
    /// The rules.
    pub rules: ChannelRules,
    /// Unknown fields, preserved.
    pub extra: Map<String, Value>,
}

impl ComponentRules {
    /// Tells whether nothing is said.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty() && self.extra.is_empty()
    }

    pub(super) fn from_value(value: Value) -> Result<Self, FormatError> {
        let mut fields = Fields::open("rules of a component", value)?;
        Ok(Self { rules: ChannelRules::take(&mut fields)?, extra: fields.rest() })
    }

    pub(super) fn to_value(&self) -> Value {
        let mut map = self.extra.clone();
        self.rules.write(&mut map);
        Value::Object(map)
    }
}

impl Retreat {
    fn from_value(value: Value) -> Result<Self, FormatError> {
        let mut fields = Fields::open("retreat", value)?;
        let (from, to): (ReleaseVersion, ReleaseVersion) = (fields.parsed("from")?, fields.parsed("to")?);
        if to >= from {
            return Err(FormatError::shape("retreat", format!("{to} is not older than {from}")));
        }
        Ok(Self { from, to, expires: fields.parsed("expires")?, extra: fields.rest() })
    }

    fn to_value(&self) -> Value {
        let mut map = self.extra.clone();
        map.insert("from".to_owned(), self.from.to_string().into());
        map.insert("to".to_owned(), self.to.to_string().into());
        map.insert("expires".to_owned(), self.expires.to_string().into());
        Value::Object(map)
    }
}

fn take_versions(fields: &mut Fields, name: &str) -> Result<BTreeSet<ReleaseVersion>, FormatError> {
    if fields.has(name) { versions(&fields.strings(name)?) } else { Ok(BTreeSet::new()) }
}

/// Reads a list of versions, in any order.
pub(super) fn versions(texts: &[String]) -> Result<BTreeSet<ReleaseVersion>, FormatError> {
    check_count("channel rules", texts.len(), MAX_RULED_VERSIONS)?;
    texts.iter().map(|text| text.parse()).collect()
}

/// Reads an object from versions to percents.
pub(super) fn percents(map: Map<String, Value>) -> Result<BTreeMap<ReleaseVersion, Percent>, FormatError> {
    check_count("channel rules", map.len(), MAX_RULED_VERSIONS)?;
    map.into_iter()
        .map(|(version, percent)| {
            let number = as_number(&percent).ok_or_else(|| FormatError::shape(PERCENT, "it must be a whole number"))?;
            Ok((version.parse()?, Percent::new(number)?))
        })
        .collect()
}

pub(super) fn versions_value(versions: &BTreeSet<ReleaseVersion>) -> Value {
    versions.iter().map(|version| Value::from(version.to_string())).collect()
}

pub(super) fn percents_value(percents: &BTreeMap<ReleaseVersion, Percent>) -> Value {
    let entry = |(version, percent): (&ReleaseVersion, &Percent)| (version.to_string(), Value::from(percent.get()));
    Value::Object(percents.iter().map(entry).collect())
}

pub(super) fn check_count(what: &'static str, count: usize, limit: usize) -> Result<(), FormatError> {
    match count > limit {
        true => Err(FormatError::TooLarge { what, limit: limit as u64, unit: "entries" }),
        false => Ok(()),
    }
}

const PERCENT: &str = "percentage";
/// The most versions that one rule names: 256. A channel lists a handful, and rules name what it lists or once listed.
const MAX_RULED_VERSIONS: usize = 256;
/// The most ways back at a time: 32.
const MAX_RETREATS: usize = 32;

#[cfg(test)]
mod tests;
