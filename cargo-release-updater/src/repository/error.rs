//! Why a repository cannot be read or added to.

use crate::error::{ExitCode, Explain};
use crate::keys::KeyError;
use crate::storage::StorageError;
use std::path::PathBuf;
use updater_format::role::Targets;
use updater_format::signed::Signed;
use updater_format::trust::TrustError;
use updater_format::{Channel, Keyring, SignaturePolicy, UtcTime};

/// What is wrong with a repository, or stands in the way of a commit.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RepositoryError {
    /// The storage failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// A key is missing.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// A document did not pass the client's own verification.
    #[error("{file} in {storage} does not verify")]
    Trust {
        /// The document.
        file: String,
        /// The storage.
        storage: String,
        /// Which rule it breaks.
        source: Box<TrustError>,
    },
    /// A document that another one names is absent.
    #[error("{file} is missing in {storage}, but {named_by} names it")]
    Missing {
        /// The document.
        file: String,
        /// The storage.
        storage: String,
        /// The document that names it.
        named_by: &'static str,
    },
    /// A role that people sign is over its time, so that no client takes anything new.
    #[error("the {role} role expired on {since}")]
    Expired {
        /// The role.
        role: String,
        /// When.
        since: UtcTime,
    },
    /// The app has no such channel.
    #[error("the app has no channel `{channel}`")]
    NoChannel {
        /// The channel.
        channel: Channel,
        /// The channels it has.
        known: String,
    },
    /// There is nothing yet that could be held back.
    #[error("nothing is published in {storage}")]
    NothingPublished {
        /// The storage.
        storage: String,
    },
    /// A signed role waits for the online key.
    #[error("version {version} of the role {channel} waits for the online key")]
    Waiting {
        /// The channel.
        channel: Channel,
        /// The version of its role.
        version: u64,
    },
    /// A signed role waits for more of its keys.
    #[error("version {version} of the role {channel} waits for signatures: {have} of {threshold} are there")]
    Unsigned {
        /// The channel.
        channel: Channel,
        /// The version of its role.
        version: u64,
        /// How many of its keys have signed.
        have: u32,
        /// How many have to.
        threshold: u32,
    },
    /// A submission cannot be read.
    #[error("the submission of {role} in {storage} cannot be read: {rule}")]
    Submission {
        /// The role.
        role: String,
        /// The storage.
        storage: String,
        /// What is wrong with it.
        rule: String,
    },
    /// The number of a submission is taken by another document.
    #[error("version {version} of the role {role} is another document by now")]
    NumberGone {
        /// The role.
        role: String,
        /// The number.
        version: u64,
    },
    /// A submission was made from a role that is not the published one any more: folded in, it would undo what was
    /// published since.
    #[error("the channel {channel} has changed since version {version} of its role was submitted")]
    BaseChanged {
        /// The channel.
        channel: Channel,
        /// The version of the submission.
        version: u64,
    },
    /// A newer root names other keys than those that have signed what is published.
    #[error("root {root} is published in {storage}, and its new keys have not signed the rest yet")]
    Rotating {
        /// The version of the newest root.
        root: u64,
        /// The storage.
        storage: String,
    },
    /// The storage has another root than the project under the same number.
    #[error("{file} in {storage} is another document than the project's root")]
    OtherRoot {
        /// The document.
        file: String,
        /// The storage.
        storage: String,
    },
    /// A published role is signed by other keys than are in force now.
    #[error("the role {role} is not signed by the keys that are in force now")]
    OtherKeys {
        /// The role.
        role: String,
    },
    /// The storage shows an older state than this machine has seen there.
    #[error("{storage} went back: timestamp {found} instead of {seen} or newer")]
    WentBack {
        /// The storage.
        storage: String,
        /// The version of its timestamp; 0 when it has none.
        found: u64,
        /// The version that was there before.
        seen: u64,
        /// The record of what was seen.
        record: PathBuf,
    },
    /// The storage lists an older version of a role than this machine has seen there, under a newer snapshot.
    #[error("{storage} went back: version {found} of the role {role} instead of {seen} or newer")]
    RoleWentBack {
        /// The storage.
        storage: String,
        /// The role.
        role: String,
        /// The version that is listed; 0 for none.
        found: u64,
        /// The version that was listed before.
        seen: u64,
        /// The record of what was seen.
        record: PathBuf,
    },
    /// There are snapshots and no timestamp that names one.
    #[error("{storage} has {snapshots} snapshots and no timestamp.json")]
    TimestampLost {
        /// The storage.
        storage: String,
        /// How many snapshots.
        snapshots: usize,
    },
    /// The record of what was seen cannot be read or written.
    #[error("cannot use {}", path.display())]
    Record {
        /// The record.
        path: PathBuf,
        /// What the system or the parser said.
        source: std::io::Error,
    },
    /// The clock of this machine and that of the storage are far apart.
    #[error("the clock of this machine is {minutes} minutes {direction} that of {storage}")]
    Clock {
        /// The storage.
        storage: String,
        /// How far.
        minutes: u64,
        /// `ahead of` or `behind`.
        direction: &'static str,
    },
    /// Other publishers were faster too often.
    #[error("other publishers were faster {attempts} times in a row")]
    Overtaken {
        /// How often it was tried.
        attempts: u32,
    },
    /// So many numbers are taken by files that nothing lists that something else must be wrong.
    #[error("{count} numbers in a row after {file} are taken by files that no snapshot lists")]
    NumbersTaken {
        /// The first of them.
        file: String,
        /// How many were tried.
        count: u64,
    },
}

impl RepositoryError {
    /// Says for what a channel's role waits: more signatures, or the online key.
    pub(crate) fn waiting(channel: Channel, role: &Signed<Targets>, keyring: &Keyring) -> Self {
        let version = role.unverified().version;
        let have = keyring.count_valid(SignaturePolicy::default(), role.message(), role.signatures());
        let threshold = keyring.threshold();
        match have > 0 && have < threshold {
            true => Self::Unsigned { channel, version, have, threshold },
            false => Self::Waiting { channel, version },
        }
    }

    /// Says that a targets role delegates to no such channel, and to which it does.
    pub(crate) fn no_channel(channel: &Channel, targets: &Targets) -> Self {
        let roles = targets.delegations.iter().flat_map(|delegations| &delegations.roles);
        let known = roles.map(|role| role.name.as_str()).collect::<Vec<_>>().join(", ");
        Self::NoChannel { channel: channel.clone(), known }
    }
}

impl Explain for RepositoryError {
    fn code(&self) -> ExitCode {
        match self {
            Self::Storage(error) => error.code(),
            Self::Key(error) => error.code(),
            Self::Trust { .. }
            | Self::Missing { .. }
            | Self::Expired { .. }
            | Self::OtherKeys { .. }
            | Self::OtherRoot { .. }
            | Self::Rotating { .. }
            | Self::TimestampLost { .. }
            | Self::WentBack { .. }
            | Self::RoleWentBack { .. } => ExitCode::Verification,
            Self::Record { .. } => ExitCode::Key,
            Self::Clock { .. } => ExitCode::Unexpected,
            Self::NoChannel { .. } => ExitCode::Config,
            Self::NothingPublished { .. } => ExitCode::Usage,
            Self::Unsigned { .. } => ExitCode::Waiting,
            Self::Overtaken { .. }
            | Self::NumbersTaken { .. }
            | Self::NumberGone { .. }
            | Self::BaseChanged { .. }
            | Self::Waiting { .. }
            | Self::Submission { .. } => ExitCode::Storage,
        }
    }

    fn hints(&self) -> Vec<String> {
        vec![match self {
            Self::Storage(error) => return error.hints(),
            Self::Key(error) => return error.hints(),
            Self::Trust { .. } => {
                "the storage was changed by something else, or it belongs to another root; compare it with your root.json"
                    .to_owned()
            }
            Self::Missing { .. } => "copy it back from a backup or a mirror; published files must stay".to_owned(),
            Self::Expired { role, .. } => match role.as_str() {
                "root" | "targets" => format!("its holders sign a new term: `cargo updater keys renew {role}`"),
                "snapshot" | "timestamp" => "renew it with the online key: `cargo updater refresh`".to_owned(),
                _ => format!("its keys renew it with `cargo updater keys renew {role}`"),
            },
            Self::Waiting { channel, .. } => format!(
                "`cargo updater refresh` with the online key publishes it; `cargo updater refresh --discard {channel}` drops it"
            ),
            Self::Unsigned { channel, .. } => {
                return vec![
                    format!("the holders of its other keys add theirs: `cargo updater release sign --channel {channel}`"),
                    format!("`cargo updater refresh --discard {channel}` drops it"),
                ];
            }
            Self::Submission { role, .. } => format!("drop it with `cargo updater refresh --discard {role}`"),
            Self::NumberGone { role, .. } => {
                format!("drop it with `cargo updater refresh --discard {role}` and sign it again")
            }
            Self::BaseChanged { channel, .. } => format!(
                "drop it with `cargo updater refresh --discard {channel}`, then run the command that submitted it again"
            ),
            Self::Rotating { .. } => {
                "a rotation is under way: `cargo updater keys resume`, or `cargo updater refresh` with the new online key, ends it"
                    .to_owned()
            }
            Self::OtherRoot { .. } => {
                return vec![
                    "restore updater/root.json and targets.json from version control: apps that are built with another root do not \
                     follow what is published there"
                        .to_owned(),
                    "if you began anew on purpose, name another `storage` in the table; installed apps keep trusting the old root"
                        .to_owned(),
                ];
            }
            Self::OtherKeys { role } => format!(
                "the holders of its new keys have to sign the role {role} again: `cargo updater keys resume` where they are"
            ),
            Self::NoChannel { channel, known } => {
                return vec![
                    crate::suggest::hint(channel.as_str(), &known.split(", ").collect::<Vec<_>>()),
                    format!("a channel comes by `channels` in the table, then `cargo updater keys rotate {channel}`"),
                ];
            }
            Self::NothingPublished { .. } => "publish the first release with `cargo updater publish`; a storage that lost its \
                                              files gets them back with `cargo updater restore DIR`"
                .to_owned(),
            Self::WentBack { record, .. } => format!(
                "somebody put old files back or emptied it: put the newest copy back with `cargo updater restore DIR`; if you did it on purpose and no app \
                 is out there, remove {}",
                record.display()
            ),
            Self::RoleWentBack { role, record, .. } => format!(
                "somebody else has the online key: move timestamp.json and the newest snapshot away there, then `cargo updater \
                 restore DIR` and `cargo updater keys rotate online --wait 0`; without a copy that has this version of {role}, \
                 move {} away and publish again after the rotation",
                record.display()
            ),
            Self::TimestampLost { .. } => {
                "copy metadata/timestamp.json back from a backup or a mirror; if nothing was ever published there, remove \
                 metadata/*.snapshot.json, which interrupted tries left"
                    .to_owned()
            }
            Self::Record { .. } => "it is only a record of what was published; move it away if it is damaged".to_owned(),
            Self::Clock { .. } => {
                "what is signed expires by this clock: set it, then run the same command again; nothing was published".to_owned()
            }
            Self::Overtaken { .. } => "run the same command again".to_owned(),
            Self::NumbersTaken { .. } => "look what else writes into this storage".to_owned(),
        }]
    }
}
