//! Who is offered which release: rollouts, holds, yanks, retreats, stepping stones and the floor (docs/format/release.md).
//!
//! Two parties set rules. The channel's keys sign [`ChannelRules`] in the channel's role: everything that decides what is
//! installed, going back included. The online key signs [`OnlineRules`] in the timestamp: it can only offer less. A thief of
//! the online key lifts its own restrictions and nothing else.

use crate::app::AppId;
use crate::channel::Channel;
use crate::digest::Sha256;
use crate::error::FormatError;
use crate::json::{Fields, Map, Value};
use crate::role::{Targets, Timestamp};
use crate::time::UtcTime;
use crate::trust::TrustError;
use crate::version::ReleaseVersion;
use std::collections::{BTreeMap, BTreeSet};

/// A share of all installs, from 0 to 100.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Percent(u8);

/// The rules in the field `x-updater` of a channel role, signed by the channel's keys.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ChannelRules {
    /// Versions below this one are told that they must update.
    pub floor: Option<ReleaseVersion>,
    /// Stepping stones: an install below one of these takes it before anything newer.
    pub required: BTreeSet<ReleaseVersion>,
    /// The most installs that may take a release; one that is not named is for all.
    pub rollout: BTreeMap<ReleaseVersion, Percent>,
    /// Releases that are no longer offered.
    pub yank: BTreeSet<ReleaseVersion>,
    /// The ways back.
    pub retreat: Vec<Retreat>,
}

/// Moves installs of one release back to another: the only thing that does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retreat {
    /// The release that is left.
    pub from: ReleaseVersion,
    /// The older release that takes its place.
    pub to: ReleaseVersion,
    /// From when on nobody is moved any more.
    pub expires: UtcTime,
}

/// The rules for one channel in the field `x-updater` of the timestamp, signed by the online key.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OnlineRules {
    /// A lower ceiling for a release than its rollout.
    pub hold: BTreeMap<ReleaseVersion, Percent>,
    /// Releases that are no longer offered, until the channel's role says so itself.
    pub yank: BTreeSet<ReleaseVersion>,
}

/// Both sets of rules for one channel: what holds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OfferRules {
    /// Those of the channel's keys.
    pub channel: ChannelRules,
    /// Those of the online key.
    pub online: OnlineRules,
}

impl Percent {
    /// All installs.
    pub const ALL: Self = Self(100);

    /// Makes a share.
    /// # Errors
    /// [`FormatError::Invalid`] above 100.
    pub fn new(percent: u64) -> Result<Self, FormatError> {
        match u8::try_from(percent) {
            Ok(percent @ 0..=100) => Ok(Self(percent)),
            _ => Err(FormatError::invalid("percentage", &percent.to_string(), "it must be from 0 to 100")),
        }
    }

    /// Returns the number, 0 to 100.
    #[must_use]
    pub const fn get(self) -> u8 {
        self.0
    }

    /// Tells whether the install in this bucket (0 to 99) belongs to the share. A larger share contains a smaller one.
    #[must_use]
    pub const fn covers(self, bucket: u8) -> bool {
        bucket < self.0
    }
}

/// Returns the place of an install in the order in which a release reaches installs, from 0 to 99.
///
/// It depends on the release, so that the same installs are not always the first, and on nothing that changes from check
/// to check, so that a release once offered stays offered. `install` is an id that never leaves the computer.
#[must_use]
pub fn bucket(app: &AppId, version: &ReleaseVersion, install: &str) -> u8 {
    let digest = Sha256::of(format!("{app}\n{version}\n{install}").as_bytes());
    let head = digest.as_bytes().iter().take(8).fold(0u64, |n, byte| n << 8 | u64::from(*byte));
    // 2^64 is so far above 100 that no bucket is larger by more than one part in 10^17.
    (head % 100) as u8
}

impl OfferRules {
    /// Reads the rules of a channel from its verified role and the verified timestamp.
    /// # Errors
    /// [`TrustError::Format`] when one of them has a wrong shape: rules that cannot be read are not skipped, because what
    /// they forbid would be allowed.
    pub fn read(channel: &Channel, role: &Targets, timestamp: &Timestamp) -> Result<Self, TrustError> {
        let refuse = |role: &str| {
            let role = role.to_owned();
            move |source| TrustError::Format { role, source }
        };
        let extra = role.extension.as_ref().map(|extension| extension.extra.clone()).unwrap_or_default();
        Ok(Self {
            channel: ChannelRules::from_fields(extra).map_err(refuse(channel.as_str()))?,
            online: OnlineRules::read(channel, timestamp).map_err(refuse("timestamp"))?,
        })
    }

    /// Returns the most installs that may take a release: the lower one of rollout and hold.
    #[must_use]
    pub fn share(&self, version: &ReleaseVersion) -> Percent {
        let of = |map: &BTreeMap<ReleaseVersion, Percent>| map.get(version).copied().unwrap_or(Percent::ALL);
        of(&self.channel.rollout).min(of(&self.online.hold))
    }

    /// Tells whether a release is no longer offered.
    #[must_use]
    pub fn is_yanked(&self, version: &ReleaseVersion) -> bool {
        self.channel.yank.contains(version) || self.online.yank.contains(version)
    }

    /// Returns the stepping stone that an install must take before anything newer: the lowest required release above it.
    #[must_use]
    pub fn next_required(&self, installed: &ReleaseVersion) -> Option<&ReleaseVersion> {
        self.channel.required.iter().find(|required| *required > installed)
    }

    /// Tells whether an install is below the floor: it should update even where updates are optional.
    #[must_use]
    pub fn is_below_floor(&self, installed: &ReleaseVersion) -> bool {
        self.channel.floor.as_ref().is_some_and(|floor| installed < floor)
    }

    /// Returns the release to which an install is moved back: of an unexpired retreat, below the installed version, not
    /// yanked and not below the floor.
    #[must_use]
    pub fn retreat(&self, installed: &ReleaseVersion, now: UtcTime) -> Option<&ReleaseVersion> {
        let usable = |retreat: &&Retreat| {
            retreat.from == *installed
                && retreat.to < retreat.from
                && now < retreat.expires
                && !self.is_yanked(&retreat.to)
                && !self.is_below_floor(&retreat.to)
        };
        self.channel.retreat.iter().filter(usable).map(|retreat| &retreat.to).max()
    }
}

impl ChannelRules {
    /// Reads the rules among the fields of a role's `x-updater`.
    /// # Errors
    /// [`FormatError`] naming the field that has a wrong shape.
    pub fn from_fields(extra: Map<String, Value>) -> Result<Self, FormatError> {
        let mut fields = Fields::open("channel rules", extra.into())?;
        let mut retreats = Vec::new();
        if fields.has("retreat") {
            for value in fields.array("retreat")? {
                let mut entry = Fields::open("retreat", value)?;
                let (from, to) = (entry.parsed("from")?, entry.parsed("to")?);
                retreats.push(Retreat { from, to, expires: entry.parsed("expires")? });
            }
        }
        Ok(Self {
            floor: if fields.has("floor") { Some(fields.parsed("floor")?) } else { None },
            required: versions(&mut fields, "required")?,
            rollout: percentages(&mut fields, "rollout")?,
            yank: versions(&mut fields, "yank")?,
            retreat: retreats,
        })
    }

    /// Writes the rules into the fields of a role's `x-updater`; a rule that is empty leaves no field.
    pub fn write_to(&self, extra: &mut Map<String, Value>) {
        put(extra, "floor", self.floor.as_ref().map(|floor| floor.to_string().into()));
        put(extra, "required", list(&self.required));
        put(extra, "rollout", table(&self.rollout));
        put(extra, "yank", list(&self.yank));
        let retreats = self.retreat.iter().map(|retreat| {
            let mut entry = Map::new();
            entry.insert("from".to_owned(), retreat.from.to_string().into());
            entry.insert("to".to_owned(), retreat.to.to_string().into());
            entry.insert("expires".to_owned(), retreat.expires.to_string().into());
            Value::Object(entry)
        });
        put(extra, "retreat", (!self.retreat.is_empty()).then(|| Value::Array(retreats.collect())));
    }
}

impl OnlineRules {
    /// Reads the rules for a channel.
    /// # Errors
    /// [`FormatError`] naming the field that has a wrong shape.
    pub fn read(channel: &Channel, timestamp: &Timestamp) -> Result<Self, FormatError> {
        let Some(extension) = timestamp.extra.get("x-updater") else { return Ok(Self::default()) };
        let mut fields = Fields::open("timestamp x-updater", extension.clone())?;
        // Each field is a table of channels; an absent channel has no rule.
        let mut of = |name: &'static str| -> Result<Fields, FormatError> {
            let mut all = if fields.has(name) { fields.object(name)? } else { Map::new() };
            let own = all.remove(channel.as_str());
            Fields::open(name, own.map(|own| Map::from_iter([(name.to_owned(), own)])).unwrap_or_default().into())
        };
        Ok(Self { hold: percentages(&mut of("hold")?, "hold")?, yank: versions(&mut of("yank")?, "yank")? })
    }

    /// Writes the rules for a channel; rules for other channels stay as they are.
    pub fn write_to(&self, channel: &Channel, timestamp: &mut Timestamp) {
        let mut extension = match timestamp.extra.remove("x-updater") {
            Some(Value::Object(map)) => map,
            _ => Map::new(),
        };
        for (name, value) in [("hold", table(&self.hold)), ("yank", list(&self.yank))] {
            let mut all = match extension.remove(name) {
                Some(Value::Object(map)) => map,
                _ => Map::new(),
            };
            put(&mut all, channel.as_str(), value);
            put(&mut extension, name, (!all.is_empty()).then(|| all.into()));
        }
        put(&mut timestamp.extra, "x-updater", (!extension.is_empty()).then(|| extension.into()));
    }
}

fn versions(fields: &mut Fields, name: &str) -> Result<BTreeSet<ReleaseVersion>, FormatError> {
    if !fields.has(name) {
        return Ok(BTreeSet::new());
    }
    fields.strings(name)?.iter().map(|text| ReleaseVersion::parse(text)).collect()
}

fn percentages(fields: &mut Fields, name: &'static str) -> Result<BTreeMap<ReleaseVersion, Percent>, FormatError> {
    if !fields.has(name) {
        return Ok(BTreeMap::new());
    }
    let mut table = BTreeMap::new();
    for (version, value) in fields.object(name)? {
        let percent = crate::json::as_number(&value)
            .ok_or_else(|| FormatError::shape(name, format!("{version:?} must have a whole number from 0 to 100")))?;
        table.insert(ReleaseVersion::parse(&version)?, Percent::new(percent)?);
    }
    Ok(table)
}

fn list(versions: &BTreeSet<ReleaseVersion>) -> Option<Value> {
    let texts: Vec<String> = versions.iter().map(ToString::to_string).collect();
    (!texts.is_empty()).then(|| texts.into())
}

fn table(percentages: &BTreeMap<ReleaseVersion, Percent>) -> Option<Value> {
    let entries = percentages.iter().map(|(version, percent)| (version.to_string(), Value::from(percent.get())));
    (!percentages.is_empty()).then(|| Value::Object(entries.collect()))
}

/// Sets a field, or removes it.
fn put(map: &mut Map<String, Value>, name: &str, value: Option<Value>) {
    match value {
        Some(value) => drop(map.insert(name.to_owned(), value)),
        None => drop(map.remove(name)),
    }
}

#[cfg(test)]
mod tests;
