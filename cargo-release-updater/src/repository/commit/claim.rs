//! Whose turn it is: claims of snapshot numbers, leases, and the clocks that leases are measured by.

use super::{Commit, MAX_SKIPPED, TIMESTAMP, metadata};
use crate::repository::{RepositoryError, RepositoryState};
use crate::storage::{Coordination, Pause, Precondition, Replaced, StorageError};
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::time::{Duration, Instant, SystemTime};
use updater_format::json::Value;
use updater_format::role::{Snapshot, Timestamp};
use updater_format::signed::{Signed, Untrusted};

/// The two numbers of a committed state; zeros when there is none. A refresh may change the first alone.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::repository) struct Versions {
    timestamp: u64,
    snapshot: u64,
}

impl Versions {
    pub(in crate::repository) fn of(state: Option<&RepositoryState>) -> Self {
        state.map_or(Self::default(), |state| Self {
            timestamp: state.timestamp().version,
            snapshot: state.snapshot().version,
        })
    }
}

/// What became of the request that commits. What is published decides, not what was answered: an answer can get lost,
/// and the conditions of a service can fail.
#[derive(Debug)]
pub(in crate::repository) enum Sent {
    /// The storage says that the timestamp is replaced.
    Done,
    /// The storage says that somebody else had replaced it.
    Refused,
    /// The lease was over before the storage said anything.
    Late(StorageError),
}

impl Commit<'_> {
    /// Warns where nothing keeps publishers apart, and where they have to take turns although the service says otherwise.
    pub(in crate::repository) fn tell_coordination(&self) -> Result<(), RepositoryError> {
        // Once: whoever publishes there for the first time decides how.
        if self.storage.coordination() == Coordination::Nothing && self.storage.length(&metadata(TIMESTAMP))?.is_none()
        {
            self.shell.note(format_args!(
                "{} cannot keep two publishers apart: publish from one machine at a time",
                self.storage.name()
            ));
        }
        if let Some(Pause { winners, pause }) = self.storage.try_conditions()? {
            self.shell.note(format_args!(
                "the conditions of {} do not hold: {winners} of {} requests that met were each told to be the first. Publishers \
                 take turns and look at each step again after {} ms; better publish from one machine",
                self.storage.name(),
                Pause::GUESTS,
                pause.as_millis()
            ));
        }
        Ok(())
    }

    /// Looks at what was committed. Where conditions fail and that does not verify, looks once more when what others have written over
    /// it is back; `named` are the documents that our timestamp leads to.
    pub(in crate::repository) fn look_after_commit<T, E: From<RepositoryError>>(
        &self,
        timestamp: &[u8],
        named: &[(&str, &[u8])],
        mut look: impl FnMut() -> Result<T, E>,
    ) -> Result<T, E> {
        match look() {
            Err(error) if self.storage.conditions_fail() => match self.put_back(timestamp, named)? {
                true => look(),
                false => Err(error),
            },
            looked => looked,
        }
    }

    /// Writes documents once more where another publisher has written its own over them: it was late with a request that
    /// should have been refused. False when the timestamp is not ours, or nothing of ours is missing.
    fn put_back(&self, timestamp: &[u8], named: &[(&str, &[u8])]) -> Result<bool, RepositoryError> {
        let there = self.storage.read(&metadata(TIMESTAMP), updater_format::length::MAX_TIMESTAMP)?;
        if there.as_deref() != Some(timestamp) {
            return Ok(false);
        }
        let mut written = false;
        for (file, bytes) in named {
            let path = metadata(file);
            if self.storage.read(&path, updater_format::length::MAX_ROLE)?.as_deref() != Some(*bytes) {
                self.shell.warn(format_args!("{path} was overwritten by another publisher; it is put back"));
                self.storage.put_mutable(&path, bytes.to_vec())?;
                written = true;
            }
        }
        Ok(written)
    }

    /// Finds the first snapshot number that nobody has claimed; `None` when a claim was committed while it was waited
    /// for.
    ///
    /// A claim without a commit is waited for only where it is all that keeps publishers apart. Under a lock it is what
    /// a crash left behind; where the commit is conditional, the faster of the two commits and the other one merges.
    pub(in crate::repository) fn free_snapshot_number(&self, known: u64) -> Result<Option<u64>, RepositoryError> {
        for number in known + 1..=known + MAX_SKIPPED {
            let file = metadata(&format!("{number}.snapshot.json"));
            if self.storage.length(&file)?.is_none() {
                return Ok(Some(number));
            }
            if self.storage.coordination() == Coordination::Claim && !self.lease_ran_out(&file, number, known)? {
                return Ok(None);
            }
        }
        Err(RepositoryError::NumbersTaken { file: format!("{}.snapshot.json", known + 1), count: MAX_SKIPPED })
    }

    /// Waits for the owner of a claim; false when somebody committed meanwhile.
    fn lease_ran_out(&self, file: &str, number: u64, known: u64) -> Result<bool, RepositoryError> {
        let seen = Instant::now();
        // By the clock of the storage alone: this machine's may be hours off, and a claim would seem abandoned.
        let claimed = self.storage.modified(file)?;
        let clock = self.storage.clock()?;
        let before = match (claimed, clock) {
            (Some(claimed), Some(clock)) => clock.duration_since(claimed).unwrap_or_default(),
            _ => Duration::ZERO,
        };
        loop {
            if self.committed()?.snapshot > known {
                return Ok(false);
            }
            let age = before + seen.elapsed();
            if age >= self.lease.duration {
                return Ok(true);
            }
            let left = self.lease.duration - age;
            self.shell.detail(format_args!("waiting for the owner of snapshot {number}, at most {} s", left.as_secs()));
            std::thread::sleep(self.lease.poll.min(left));
        }
    }

    /// Tells, right before the commit, whether somebody else's turn has come: they committed since the state was read,
    /// or took this claim for abandoned. A conditional commit finds out by itself.
    pub(in crate::repository) fn overtaken(
        &self,
        known: Versions,
        claimed: u64,
        since: Instant,
    ) -> Result<bool, RepositoryError> {
        match self.storage.coordination() {
            Coordination::ConditionalReplace => Ok(false),
            Coordination::Lock | Coordination::Nothing => Ok(self.committed()? != known),
            Coordination::Claim => {
                let later = metadata(&format!("{}.snapshot.json", claimed + 1));
                Ok(self.committed()? != known
                    || self.storage.length(&later)?.is_some()
                    || since.elapsed() >= self.lease.duration)
            }
        }
    }

    /// Makes a snapshot different from that of anybody else who claims the same number in the same second, where the claim
    /// is all that keeps publishers apart: an object with the very bytes that were to be created counts as created.
    pub(in crate::repository) fn mark_claim(&self, snapshot: &mut Snapshot) {
        if self.storage.coordination() != Coordination::Claim {
            return;
        }
        // Seeded by the system, each anew.
        let owner = RandomState::new().build_hasher().finish();
        let owner = Value::Object([("claim".to_owned(), Value::from(format!("{owner:016x}")))].into_iter().collect());
        snapshot.extra.insert("x-updater".to_owned(), owner);
    }

    /// Commits. Where a claim is the lock, within what is left of its lease.
    pub(in crate::repository) fn replace_timestamp(
        &self,
        bytes: Vec<u8>,
        expected: &Precondition,
        claimed: Instant,
    ) -> Result<Sent, RepositoryError> {
        let left = self.lease.duration.saturating_sub(claimed.elapsed());
        let left = (self.storage.coordination() == Coordination::Claim).then_some(left);
        match self.storage.replace_within(&metadata(TIMESTAMP), bytes, expected, left) {
            Ok(Replaced::Done) => Ok(Sent::Done),
            Ok(Replaced::Changed) => Ok(Sent::Refused),
            Err(late @ StorageError::Late { .. }) => Ok(Sent::Late(late)),
            Err(error) => Err(error.into()),
        }
    }

    /// Refuses to sign by a clock that is far from the storage's: clients would take the release for expired, or keep an
    /// old one for valid. `path` was written just now.
    pub(super) fn check_clock(&self, path: &str) -> Result<(), RepositoryError> {
        match self.storage.coordination() {
            // That of this machine.
            Coordination::Lock => Ok(()),
            _ => self.compare_clocks(self.storage.modified(path)?),
        }
    }

    /// Refuses the same where nothing was written yet.
    pub(in crate::repository) fn check_clocks(&self) -> Result<(), RepositoryError> {
        match self.storage.coordination() {
            Coordination::Lock => Ok(()),
            _ => self.compare_clocks(self.storage.clock()?),
        }
    }

    fn compare_clocks(&self, there: Option<SystemTime>) -> Result<(), RepositoryError> {
        match there.and_then(|there| skew(SystemTime::now(), there)) {
            None => Ok(()),
            Some((minutes, direction)) => {
                Err(RepositoryError::Clock { storage: self.storage.name().to_owned(), minutes, direction })
            }
        }
    }

    /// Returns what is committed. Read without verification: it only decides whether to look again.
    fn committed(&self) -> Result<Versions, RepositoryError> {
        let bytes = self.storage.read(&metadata(TIMESTAMP), updater_format::length::MAX_TIMESTAMP)?;
        let timestamp = bytes.and_then(|bytes| Signed::<Timestamp>::parse(&Untrusted::new(bytes)).ok());
        Ok(timestamp.map_or(Versions::default(), |signed| Versions {
            timestamp: signed.unverified().version,
            snapshot: signed.unverified().snapshot.version,
        }))
    }
}

/// Returns by how many minutes a clock is off, and whether it is ahead of the other one or behind it; `None` when they
/// are as near to each other as clocks are.
fn skew(here: SystemTime, there: SystemTime) -> Option<(u64, &'static str)> {
    let (apart, direction) = match here.duration_since(there) {
        Ok(ahead) => (ahead, "ahead of"),
        Err(behind) => (behind.duration(), "behind"),
    };
    (apart >= MAX_SKEW).then_some((apart.as_secs() / 60, direction))
}

/// How far two clocks may be apart: S3 itself refuses requests beyond 15 minutes.
const MAX_SKEW: Duration = Duration::from_secs(15 * 60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_far_apart_are_told_with_the_direction() {
        let there = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        let minutes = |minutes: u64| Duration::from_secs(minutes * 60);
        assert_eq!(skew(there + minutes(14), there), None);
        assert_eq!(skew(there - minutes(14), there), None);
        assert_eq!(skew(there + minutes(90), there), Some((90, "ahead of")));
        assert_eq!(skew(there - minutes(15), there), Some((15, "behind")));
    }
}
