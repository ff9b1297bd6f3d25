//! What a publisher does not sign on top of: a storage that went back, or one that lost its timestamp.

use super::{Commit, TIMESTAMP, Versions, metadata};
use crate::repository::seen::{self, Entry};
use crate::repository::{METADATA, RepositoryError, RepositoryState};
use crate::roles::{Document, next_snapshot, next_timestamp};
use crate::storage::{Coordination, Created, Precondition};
use std::path::PathBuf;
use std::time::{Duration, Instant};
use updater_format::role::{MetaFile, RoleName, Root, Snapshot, Targets, Timestamp};
use updater_format::signed::{Signed, Untrusted, Verified};
use updater_format::{Sha256, SignaturePolicy};

/// Whether the storage shows an older state than this machine has seen there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::repository) enum WentBack {
    /// It does not.
    No,
    /// It did, and the newest state is in force again.
    Repaired,
}

/// A snapshot newer than the one to which the timestamp leads, as this machine has seen it.
struct Newer {
    seen: Entry,
    snapshot: Verified<Snapshot>,
    bytes: Vec<u8>,
}

impl Commit<'_> {
    /// Refuses a storage that somebody has put back, before anything is built for it: what the commit would refuse at last. One
    /// that the commit repairs is not refused.
    /// # Errors
    /// [`RepositoryError::WentBack`], [`RepositoryError::RoleWentBack`]; [`RepositoryError::Record`] when the record cannot be
    /// read; [`RepositoryError::Expired`] and [`RepositoryError::Trust`] when root or targets are of no use.
    pub fn refuse_put_back(&self, state: Option<&RepositoryState>) -> Result<(), RepositoryError> {
        let (root, _) = self.human_roles(state)?;
        self.warn_of_new_beginning(state, &root)?;
        self.newer_snapshot(state, &root).map(drop)
    }

    /// Trying out on one machine means emptying folders, so a repository for that may begin anew. Copies that know more do
    /// not follow it.
    fn warn_of_new_beginning(&self, state: Option<&RepositoryState>, root: &Root) -> Result<(), RepositoryError> {
        let newest = seen::newest(self.storage, &self.record())?;
        if root.is_development() && newest.is_some_and(|newest| newest.entry.is_newer_than(state)) {
            self.shell.warn(format_args!(
                "{} has lost what was published there: its history begins anew (this root is for trying out); copies that \
                 are installed refuse it as going back, so install them again",
                self.storage.name()
            ));
        }
        Ok(())
    }

    /// Finds the newest snapshot that is known of a storage whose timestamp leads to an older one, so that it can be put in
    /// force again; `None` when the storage did not go back.
    fn newer_snapshot(&self, state: Option<&RepositoryState>, root: &Root) -> Result<Option<Newer>, RepositoryError> {
        let newest = seen::newest(self.storage, &self.record())?;
        let Some(seen::Newest { entry: seen, record }) = newest else { return Ok(None) };
        if root.is_development() || !seen.is_newer_than(state) {
            return Ok(None);
        }
        let refuse = || seen.refuse(self.storage, state, &record);
        // The newest snapshot itself lists less: no timestamp leads back.
        if seen.lost_role(state).is_some() {
            return Err(refuse());
        }
        let file = metadata(&format!("{}.snapshot.json", seen.snapshot));
        let (Some(state), Some(bytes)) = (state, self.storage.read(&file, updater_format::length::MAX_SNAPSHOT)?)
        else {
            return Err(refuse());
        };
        if Sha256::of(&bytes) != seen.sha256 || !seen.withholds_the_same(state.timestamp()) {
            return Err(refuse());
        }
        // The record lies in an ordinary file: that it names the snapshot makes nobody's signature.
        let snapshot = Signed::<Snapshot>::parse(&Untrusted::new(bytes.clone()))
            .map_err(|_| refuse())?
            .verify("snapshot", root.keyring(RoleName::Snapshot), SignaturePolicy::default())
            .map_err(|_| refuse())?;
        match snapshot.version == seen.snapshot {
            true => Ok(Some(Newer { seen, snapshot, bytes })),
            false => Err(refuse()),
        }
    }

    /// Compares the storage with what this machine saw there. A timestamp that a late publisher put back, while the
    /// newer snapshot is still there byte for byte, is replaced by a fresh one of that snapshot.
    pub(in crate::repository) fn went_back(
        &mut self,
        state: Option<&RepositoryState>,
        root: &Root,
        targets: &Targets,
        expected: &Precondition,
    ) -> Result<WentBack, RepositoryError> {
        let Some(Newer { seen, snapshot, bytes }) = self.newer_snapshot(state, root)? else { return Ok(WentBack::No) };
        // Without a state nothing can be repaired.
        let Some(state) = state else { return Ok(WentBack::No) };
        self.shell.warn(format_args!(
            "the timestamp of {} went back from {} to {}; repairing it",
            self.storage.name(),
            seen.timestamp,
            state.timestamp().version
        ));
        let before =
            Timestamp { version: seen.timestamp.max(state.timestamp().version), ..(**state.timestamp()).clone() };
        let signers = self.keychain.signers("timestamp", root.keyring(RoleName::Timestamp))?;
        self.check_clocks()?;
        // Where a claim is all that keeps publishers apart, a repair makes one like everybody else: a timestamp alone could
        // take the place of one that is being written.
        let mut meta = MetaFile::of(seen.snapshot, &bytes);
        let claimed = Instant::now();
        if self.storage.coordination() == Coordination::Claim {
            let Some(free) = self.free_snapshot_number(state.snapshot().version.max(seen.snapshot))? else {
                return Ok(WentBack::Repaired);
            };
            let mut again = next_snapshot(Some(&snapshot), free, Vec::new(), self.now);
            self.mark_claim(&mut again);
            let signers = self.keychain.signers("snapshot", root.keyring(RoleName::Snapshot))?;
            let again = Document::sign("snapshot", &again, &signers)?;
            if self.storage.put_new(&metadata(&again.file), again.bytes.clone())? == Created::Exists
                || self.overtaken(Versions::of(Some(state)), free, claimed)?
            {
                return Ok(WentBack::Repaired);
            }
            meta = again.meta;
        }
        let timestamp = next_timestamp(Some(&before), meta, targets, self.now);
        let timestamp = Document::sign("timestamp", &timestamp, &signers)?;
        // Somebody else may have repaired it or published meanwhile: the next try sees what came of it.
        self.replace_timestamp(timestamp.bytes, expected, claimed)?;
        Ok(WentBack::Repaired)
    }

    /// Refuses to start over where a timestamp has been: numbered from one again, it would unlist every release. A first
    /// publication that was interrupted leaves one snapshot at most; the first publishers of all, racing, leave as many as
    /// they are until one of them has committed.
    pub(in crate::repository) fn refuse_lost_timestamp(&self) -> Result<(), RepositoryError> {
        // What can only be read is not started over, and a web server lists nothing.
        if !self.storage.is_writable() {
            return Ok(());
        }
        let patience = match self.storage.coordination() {
            Coordination::Lock | Coordination::Nothing => Duration::ZERO,
            Coordination::ConditionalReplace => RACE,
            Coordination::Claim => self.lease.duration,
        };
        let since = Instant::now();
        loop {
            let files = self.storage.list(METADATA)?;
            let snapshots = files.iter().filter(|file| file.ends_with(".snapshot.json")).count();
            if snapshots <= 1 || self.storage.length(&metadata(TIMESTAMP))?.is_some() {
                return Ok(());
            }
            if since.elapsed() >= patience {
                return Err(RepositoryError::TimestampLost { storage: self.storage.name().to_owned(), snapshots });
            }
            self.shell.detail("waiting for the first timestamp: somebody may be publishing it now");
            std::thread::sleep(self.lease.poll);
        }
    }

    /// Returns the file that remembers what was published: the one that was named, else the one beside the keys.
    pub(in crate::repository) fn record(&self) -> PathBuf {
        seen::record_of(self.storage, self.keychain.folder())
    }
}

/// How long a publisher may take from its snapshot to the timestamp where nobody waits for anybody: two small uploads.
const RACE: Duration = Duration::from_secs(10);
