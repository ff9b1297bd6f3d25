//! The metadata documents a publisher makes: the first ones of an app and the next version of each.
//!
//! Pure: keys come as signers, time as an argument; nothing is read or written here.

use crate::keys::{KeyError, Signer};
use crate::repository::Base;
use std::rc::Rc;
use updater_format::json::{Map, Value};
use updater_format::role::{
    DelegatedRole, Delegations, KeyOwner, MetaFile, Payload, RoleName, Root, RootExtension, Snapshot, Targets,
    TargetsExtension, Timestamp,
};
use updater_format::signed::Verified;
use updater_format::{AppId, Channel, FormatError, KeyId, Keyring, MinisignKey, PublicKey, UtcTime, signed};

/// A signed document with the place where it is published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// The object below `metadata/`, for example `7.stable.json`.
    pub file: String,
    /// What other documents say of it.
    pub meta: MetaFile,
    /// Its exact bytes.
    pub bytes: Vec<u8>,
}

impl Document {
    /// Signs the payload of a role.
    /// # Errors
    /// [`KeyError`] when a key cannot sign.
    pub fn sign<T: Payload>(role: &str, payload: &T, signers: &[Rc<Signer>]) -> Result<Self, KeyError> {
        let message = signed::message(payload);
        let signatures = signers.iter().map(|signer| signer.sign(&message)).collect::<Result<Vec<_>, _>>()?;
        let bytes = signed::assemble(payload, &signatures);
        let file = match role {
            "timestamp" => "timestamp.json".to_owned(),
            _ => format!("{}.{role}.json", payload.version()),
        };
        Ok(Self { file, meta: MetaFile::of(payload.version(), &bytes), bytes })
    }
}

/// The holders of one role's keys.
#[derive(Debug, Clone)]
pub struct Holders {
    /// Their public keys.
    pub keys: Vec<MinisignKey>,
    /// How many of them must sign.
    pub threshold: u32,
}

impl Holders {
    /// One key that signs alone.
    #[must_use]
    pub fn one(key: MinisignKey) -> Self {
        Self { keys: vec![key], threshold: 1 }
    }

    fn keyring(&self) -> Result<Keyring, FormatError> {
        let keys: Vec<(KeyId, PublicKey)> = self.keys.iter().map(|key| (key.key.id(), key.key.clone())).collect();
        Keyring::new(keys, u64::from(self.threshold))
    }
}

/// Who holds the keys of a new app.
#[derive(Debug, Clone)]
pub struct Custody {
    /// The root.
    pub root: Holders,
    /// The top-level targets role.
    pub targets: Holders,
    /// Snapshot and timestamp.
    pub online: Holders,
    /// Each channel, in order.
    pub channels: Vec<(Channel, Holders)>,
}

/// What a first root is made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Real releases.
    Release,
    /// Trying out on one machine; clients take it from loopback and `file:` repositories only.
    Development,
}

/// How often a job re-signs the timestamp; decides how long one lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refresh {
    /// A scheduled job does it every day.
    Daily,
    /// Nobody does between releases.
    Never,
}

/// Makes the first root of an app.
/// # Errors
/// [`FormatError`] when a threshold does not fit its keys.
pub fn first_root(app: &AppId, custody: &Custody, purpose: Purpose, now: UtcTime) -> Result<Root, FormatError> {
    let online = custody.online.keyring()?;
    let holders = [&custody.root, &custody.targets, &custody.online].into_iter();
    let owner = |key: &MinisignKey| (key.key.id(), KeyOwner { minisign: key.id_text(), owner: String::new() });
    let channels = custody.channels.iter().map(|(_, holders)| holders);
    Ok(Root {
        version: 1,
        expires: now.plus_days(ROOT_DAYS),
        consistent_snapshot: true,
        roles: [
            (RoleName::Root, custody.root.keyring()?),
            (RoleName::Targets, custody.targets.keyring()?),
            (RoleName::Snapshot, online.clone()),
            (RoleName::Timestamp, online),
        ]
        .into(),
        extension: Some(RootExtension {
            app: app.clone(),
            keys: holders.chain(channels).flat_map(|holders| holders.keys.iter().map(owner)).collect(),
            development: purpose == Purpose::Development,
            extra: Map::new(),
        }),
        unused_keys: Default::default(),
        extra: Map::new(),
    })
}

/// Makes the first top-level targets role: one delegation per channel and nothing else.
/// # Errors
/// [`FormatError`] when a threshold does not fit its keys.
pub fn first_targets(app: &AppId, custody: &Custody, refresh: Refresh, now: UtcTime) -> Result<Targets, FormatError> {
    let delegate = |(channel, holders): &(Channel, Holders)| {
        Ok(DelegatedRole {
            name: channel.to_string(),
            keyring: holders.keyring()?,
            terminating: false,
            paths: vec![format!("{app}-*")],
            extra: Map::new(),
        })
    };
    let days = match refresh {
        Refresh::Daily => DAILY_TIMESTAMP_DAYS,
        Refresh::Never => UNATTENDED_TIMESTAMP_DAYS,
    };
    Ok(Targets {
        version: 1,
        expires: now.plus_days(TARGETS_DAYS),
        targets: Default::default(),
        delegations: Some(Delegations {
            roles: custody.channels.iter().map(delegate).collect::<Result<_, _>>()?,
            extra: Map::new(),
        }),
        extension: Some(TargetsExtension {
            app: app.clone(),
            channel: None,
            rules: Default::default(),
            keys: Default::default(),
            extra: [(TIMESTAMP_DAYS.to_owned(), Value::from(days))].into_iter().collect(),
            components: Default::default(),
        }),
        extra: Map::new(),
    })
}

/// Makes the next version of a channel's role: what it lists stays, the expiry starts anew, and it names the one that it was
/// made from.
#[must_use]
pub fn next_channel(app: &AppId, channel: &Channel, previous: Option<&Verified<Targets>>, now: UtcTime) -> Targets {
    let expires = now.plus_days(days_of(channel));
    match previous {
        Some(previous) => {
            let mut next = Targets { version: previous.version + 1, expires, ..(**previous).clone() };
            if let Some(extension) = &mut next.extension {
                Base::of(previous).name_in(extension);
            }
            next
        }
        None => Targets {
            version: 1,
            expires,
            targets: Default::default(),
            delegations: None,
            extension: Some(TargetsExtension {
                app: app.clone(),
                channel: Some(channel.clone()),
                rules: Default::default(),
                keys: Default::default(),
                extra: Map::new(),
                components: Default::default(),
            }),
            extra: Map::new(),
        },
    }
}

/// Makes the role that takes the place of one that waits: what that lists stays, and so do its number and the role that both
/// are made from; the expiry starts anew.
#[must_use]
pub fn waiting_channel(channel: &Channel, waiting: &Targets, now: UtcTime) -> Targets {
    Targets { expires: now.plus_days(days_of(channel)), ..waiting.clone() }
}

fn days_of(channel: &Channel) -> i64 {
    if *channel == Channel::stable() { STABLE_DAYS } else { OTHER_CHANNEL_DAYS }
}

/// Makes a snapshot with the number that was claimed. Roles that `changed` does not name stay as they were: a role
/// never leaves a snapshot (TUF 5.5.5).
#[must_use]
pub fn next_snapshot(
    previous: Option<&Snapshot>,
    version: u64,
    changed: impl IntoIterator<Item = (String, MetaFile)>,
    now: UtcTime,
) -> Snapshot {
    let mut roles = previous.map(|snapshot| snapshot.roles.clone()).unwrap_or_default();
    roles.extend(changed);
    let extra = previous.map(|snapshot| snapshot.extra.clone()).unwrap_or_default();
    Snapshot { version, expires: now.plus_days(SNAPSHOT_DAYS), roles, extra }
}

/// Makes the timestamp that commits a snapshot. It lives as long as the targets role says.
#[must_use]
pub fn next_timestamp(previous: Option<&Timestamp>, snapshot: MetaFile, targets: &Targets, now: UtcTime) -> Timestamp {
    let days = timestamp_days(targets);
    Timestamp {
        version: previous.map_or(0, |timestamp| timestamp.version) + 1,
        expires: now.plus_days(days),
        snapshot,
        // What is withheld stays withheld until somebody says otherwise.
        extension: previous.and_then(|timestamp| timestamp.extension.clone()),
        extra: previous.map(|timestamp| timestamp.extra.clone()).unwrap_or_default(),
    }
}

/// Returns how many days a timestamp lives, as the targets role says.
#[must_use]
pub fn timestamp_days(targets: &Targets) -> i64 {
    let days = targets.extension.as_ref().and_then(|x| x.extra.get(TIMESTAMP_DAYS)).and_then(Value::as_i64);
    days.unwrap_or(DAILY_TIMESTAMP_DAYS).clamp(1, UNATTENDED_TIMESTAMP_DAYS)
}

/// The field of the targets role's `x-updater` with the life of a timestamp in days.
const TIMESTAMP_DAYS: &str = "timestamp_days";
/// A root lives a year: long enough to meet its holders, short enough that a lost key is noticed.
pub(crate) const ROOT_DAYS: i64 = 365;
/// The delegations change as rarely as the root.
pub(crate) const TARGETS_DAYS: i64 = 365;
/// The role of `stable`, renewed by each release.
const STABLE_DAYS: i64 = 180;
/// Roles of other channels, whose keys lie in build machines.
const OTHER_CHANNEL_DAYS: i64 = 90;
/// Snapshots live long so that a returning client fetches nothing but the timestamp.
pub(crate) const SNAPSHOT_DAYS: i64 = 180;
/// A timestamp that a job renews every day.
const DAILY_TIMESTAMP_DAYS: i64 = 7;
/// A timestamp that only releases renew.
const UNATTENDED_TIMESTAMP_DAYS: i64 = 90;
