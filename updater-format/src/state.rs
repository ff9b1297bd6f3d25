//! The journal of an install: what has begun and not ended, so that the next start can finish or undo it.
//!
//! It lies beside the install as `state.json`. No file means [`Phase::Idle`]. The format is described in
//! `docs/format/state.md`; what each phase means on disk stands there too.

use crate::digest::Sha256;
use crate::error::FormatError;
use crate::time::UtcTime;
use crate::version::ReleaseVersion;

/// A release as the journal names it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct JournaledRelease {
    /// Digest of its program.
    pub entry: Sha256,
    /// Digest of its manifest; unknown for a single executable that was not installed by an update.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manifest: Option<Sha256>,
    /// Its version.
    pub version: ReleaseVersion,
    /// Its security counter; 0 for a release that was not installed by an update.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub epoch: u64,
}

/// What completes the trial of a new version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Trial {
    /// Reaching the first line of `main`.
    #[default]
    Start,
    /// A call by the app when it is healthy.
    Confirm,
}

/// What has begun and not ended.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case", tag = "name")]
pub enum Phase {
    /// Nothing.
    #[default]
    Idle,
    /// A release is staged, verified and probed; it is installed at the end of a process or at the next start.
    Staged {
        /// The installed release that it is to replace.
        from: JournaledRelease,
        /// The staged release.
        to: JournaledRelease,
        /// What completes its trial.
        trial: Trial,
    },
    /// The new release is being put in place.
    Swapping {
        /// The release that is replaced and kept.
        from: JournaledRelease,
        /// The release that takes its place.
        to: JournaledRelease,
        /// What completes its trial.
        trial: Trial,
    },
    /// The new release is in place, the old one is kept.
    Trial {
        /// The release that is kept.
        from: JournaledRelease,
        /// The release on trial.
        to: JournaledRelease,
        /// What completes the trial.
        trial: Trial,
    },
    /// The kept release is being put back.
    Returning {
        /// The release that failed its trial.
        from: JournaledRelease,
        /// The release that is put back.
        to: JournaledRelease,
    },
}

/// A trial that was not over when a newer release began to take the place of the one on trial.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct SuspendedTrial {
    /// The release that is kept.
    pub from: JournaledRelease,
    /// The release on trial.
    pub to: JournaledRelease,
    /// What completes the trial.
    pub trial: Trial,
}

/// A release that failed its trial here and is not to be offered again for a while.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct BadRelease {
    /// Digest of its manifest.
    pub manifest: Sha256,
    /// When it was put away.
    pub since: UtcTime,
    /// Its version.
    pub version: ReleaseVersion,
}

/// The security counter of a release that lies here, for a return to it by hand.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct KnownCounter {
    /// The counter, never 0.
    pub epoch: u64,
    /// Digest of the release's manifest.
    pub manifest: Sha256,
}

/// The journal of one install.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstallState {
    /// SHA-256 of the canonical path of the install (its exact bytes): a journal that was copied elsewhere does not match.
    pub install: Sha256,
    /// What has begun and not ended.
    pub phase: Phase,
    /// Releases that failed here, the latest last; at most 16 are kept.
    pub bad: Vec<BadRelease>,
    /// The highest security counter of a release that completed its trial here. No lower one is taken any more, but a
    /// failed trial ends with the release before it, whatever its counter.
    pub epoch: u64,
    /// Counters of releases that completed their trial here, the latest last; at most 128 are kept. One that is not listed
    /// has 0.
    pub counters: Vec<KnownCounter>,
    /// The trial that goes on if the release that is staged or being put in place does not get there.
    pub suspended: Option<SuspendedTrial>,
}

impl InstallState {
    /// Returns the state of an install to which nothing has happened.
    #[must_use]
    pub fn idle(install: Sha256) -> Self {
        Self { install, phase: Phase::Idle, bad: Vec::new(), epoch: 0, counters: Vec::new(), suspended: None }
    }

    /// Reads a journal.
    /// # Errors
    /// [`FormatError::NewerFormat`] when a later version wrote it, [`FormatError::TooLarge`] beyond 64 KiB,
    /// [`FormatError::Json`] or [`FormatError::Shape`] when it is damaged.
    pub fn parse(bytes: &[u8]) -> Result<Self, FormatError> {
        if bytes.len() as u64 > MAX_STATE {
            return Err(FormatError::TooLarge { what: WHAT, limit: MAX_STATE, unit: "bytes" });
        }
        let version: WireFormat = from_json(bytes)?;
        if version.format != FORMAT {
            return Err(FormatError::NewerFormat { what: WHAT, found: version.format, supported: FORMAT });
        }
        let wire: WireState = from_json(bytes)?;
        if wire.bad.len() > MAX_BAD {
            return Err(FormatError::TooLarge { what: WHAT, limit: MAX_BAD as u64, unit: "bad releases" });
        }
        if wire.counters.len() > MAX_COUNTERS {
            return Err(FormatError::TooLarge { what: WHAT, limit: MAX_COUNTERS as u64, unit: "counters" });
        }
        let WireState { bad, counters, epoch, install, phase, suspended, .. } = wire;
        Ok(Self { install, phase, bad, epoch, counters, suspended })
    }

    /// Writes the journal as compact JSON.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let kept = self.bad.len().saturating_sub(MAX_BAD);
        let (bad, phase) = (self.bad[kept..].to_vec(), self.phase.clone());
        let counters = self.counters[self.counters.len().saturating_sub(MAX_COUNTERS)..].to_vec();
        let (epoch, install, suspended) = (self.epoch, self.install, self.suspended.clone());
        crate::compact::to_vec(&WireState { bad, counters, epoch, format: FORMAT, install, phase, suspended })
    }

    /// Remembers the security counter of a release that has completed its trial: its own, and that nothing below it is
    /// taken any more.
    pub fn complete(&mut self, release: &JournaledRelease) {
        self.epoch = self.epoch.max(release.epoch);
        let Some(manifest) = release.manifest.filter(|_| release.epoch > 0) else { return };
        self.counters.retain(|known| known.manifest != manifest);
        self.counters.push(KnownCounter { epoch: release.epoch, manifest });
        self.counters.drain(..self.counters.len().saturating_sub(MAX_COUNTERS));
    }

    /// Returns the security counter of a release that completed its trial here; 0 for one that is not known.
    #[must_use]
    pub fn counter_of(&self, manifest: Sha256) -> u64 {
        self.counters.iter().find(|known| known.manifest == manifest).map_or(0, |known| known.epoch)
    }

    /// Remembers that a release failed here. Entries past their time, and the oldest beyond 16, are dropped.
    pub fn put_away(&mut self, manifest: Sha256, version: ReleaseVersion, now: UtcTime) {
        self.bad.retain(|bad| bad.manifest != manifest && is_current(bad, now));
        self.bad.push(BadRelease { manifest, since: now, version });
        self.bad.drain(..self.bad.len().saturating_sub(MAX_BAD));
    }

    /// Tells whether a release failed here during the last 30 days.
    #[must_use]
    pub fn is_bad(&self, manifest: Sha256, now: UtcTime) -> bool {
        self.bad.iter().any(|bad| bad.manifest == manifest && is_current(bad, now))
    }
}

/// A clock that was set back does not make an entry last longer than 30 days from either side.
fn is_current(bad: &BadRelease, now: UtcTime) -> bool {
    now < bad.since.plus_days(BAD_DAYS) && bad.since < now.plus_days(BAD_DAYS)
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

fn from_json<T: serde::de::DeserializeOwned>(bytes: &[u8]) -> Result<T, FormatError> {
    serde_json::from_slice(bytes).map_err(|error| match error.classify() {
        serde_json::error::Category::Data => FormatError::shape(WHAT, error.to_string()),
        _ => FormatError::Json { what: WHAT, detail: error.to_string() },
    })
}

#[derive(serde::Deserialize)]
struct WireFormat {
    format: u64,
}

/// Fields in the order of their names.
#[derive(serde::Serialize, serde::Deserialize)]
struct WireState {
    #[serde(default)]
    bad: Vec<BadRelease>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    counters: Vec<KnownCounter>,
    #[serde(default, skip_serializing_if = "is_zero")]
    epoch: u64,
    format: u64,
    install: Sha256,
    phase: Phase,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    suspended: Option<SuspendedTrial>,
}

const WHAT: &str = "install state";
/// The format that is written, and the newest that is read.
const FORMAT: u64 = 1;
/// The most bytes of a journal: 64 KiB; ours has less than 20.
const MAX_STATE: u64 = 64 * 1024;
/// The most failed releases that are remembered: 16. Newer ones push out the oldest.
const MAX_BAD: usize = 16;
/// The most counters that are remembered: 128, more than the versions that may be kept. Newer ones push out the oldest.
const MAX_COUNTERS: usize = 128;
/// How long a failed release is not offered again, in days.
const BAD_DAYS: i64 = 30;

#[cfg(test)]
mod tests;
