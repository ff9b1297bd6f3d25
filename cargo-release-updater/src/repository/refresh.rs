//! What the online key does alone: a fresh timestamp before the old one ends, a fresh snapshot when that is due, and
//! the folding in of what other keys have signed: newer roots, the targets role, the roles of channels.
//!
//! It must not sign whatever somebody put into the storage. Every document that it names is verified under the newest
//! root, no role goes back, and the storage is compared with what this machine has seen there.

mod prepare;

use super::commit::{Commit, Sent, TIMESTAMP, Versions, WentBack, metadata};
use super::error::RepositoryError;
use super::state::{Expiry, RepositoryState};
use super::submission::Submission;
use crate::error::{CommandError, ExitCode};
use crate::roles::{Document, next_snapshot, next_timestamp};
use crate::storage::Created;
use std::time::{Duration, Instant, SystemTime};
use updater_format::UtcTime;
use updater_format::length::MAX_ROLE;
use updater_format::role::{RoleName, Root};
use updater_format::signed::{Signed, Untrusted};

/// When a refresh signs although nothing waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Renew {
    /// Every time.
    Always,
    /// When half of the timestamp's life is over.
    WhenDue,
}

/// What a refresh does or has done.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Refreshed {
    /// The version of the root in force.
    pub root: u64,
    /// Whether the root has changed since the timestamp was signed.
    pub new_root: bool,
    /// The roles that were folded in, with their versions.
    pub folded: Vec<Folded>,
    /// What waits and was left there, because clients would refuse it or lose something by it.
    pub skipped: Vec<Skipped>,
    /// The version of the new snapshot; none when the old one stays.
    pub snapshot: Option<u64>,
    /// The version of the new timestamp; none when nothing was due.
    pub timestamp: Option<u64>,
    /// When the timestamp ends.
    #[cfg_attr(test, schemars(with = "Option<String>"))]
    pub expires: Option<UtcTime>,
}

/// A role that waits and cannot be folded in.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Skipped {
    /// The role.
    pub role: String,
    /// Why not.
    pub problem: String,
    /// What to do about it.
    pub hints: Vec<String>,
    /// The exit code for it.
    #[serde(skip)]
    pub code: ExitCode,
}

/// A role that waited for the online key.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Folded {
    /// The role.
    pub role: String,
    /// Its version.
    pub version: u64,
}

impl Commit<'_> {
    /// Tells what [`Commit::refresh`] would do. No key is needed and nothing is written.
    /// # Errors
    /// As [`Commit::refresh`].
    pub fn plan_refresh(&self, renew: Renew) -> Result<Refreshed, CommandError> {
        let prepared = self.prepare(renew)?;
        let known = prepared.state.as_ref().map_or(0, |state| state.snapshot().version);
        let before = prepared.state.as_ref().map_or(0, |state| state.timestamp().version);
        let snapshot = prepared.renew_snapshot.then_some(known + 1);
        let timestamp = (prepared.due || snapshot.is_some()).then_some(before + 1);
        Ok(prepared.told(snapshot, timestamp, None))
    }

    /// Signs the timestamp anew, and with it whatever waits for the online key.
    /// # Errors
    /// [`RepositoryError::NothingPublished`] when nothing is published and nothing waits,
    /// [`RepositoryError::Expired`] and [`RepositoryError::OtherKeys`] when people have to sign first,
    /// [`RepositoryError::WentBack`] when the storage shows an older state than this machine has seen.
    pub fn refresh(&mut self, renew: Renew) -> Result<Refreshed, CommandError> {
        self.merging(|commit| commit.attempt_refresh(renew))
    }

    /// Returns how long the newest root has been published while the timestamp is still signed by the keys of an earlier
    /// one; `None` when no key has changed by which clients judge other documents.
    /// # Errors
    /// As [`RepositoryState::read_behind`].
    pub fn age_of_new_keys(&self) -> Result<Option<Duration>, RepositoryError> {
        let (state, root) = RepositoryState::read_behind(self.storage, self.app, self.root)?;
        let changed = state.is_some_and(|state| {
            [RoleName::Targets, RoleName::Snapshot, RoleName::Timestamp]
                .iter()
                .any(|role| state.root().keyring(*role).keys() != root.keyring(*role).keys())
        });
        if !changed {
            return Ok(None);
        }
        let since = self.storage.modified(&metadata(&format!("{}.root.json", root.version)))?;
        Ok(Some(since.and_then(|since| SystemTime::now().duration_since(since).ok()).unwrap_or_default()))
    }

    fn attempt_refresh(&mut self, renew: Renew) -> Result<Option<Refreshed>, CommandError> {
        // Looked at before anything is read, so that whatever is committed from now on is noticed.
        let expected = self.storage.precondition(&metadata(TIMESTAMP))?;
        let prepared = self.prepare(renew)?;
        let state = prepared.state.as_ref();
        if self.went_back(state, &prepared.root, &prepared.targets, &expected)? == WentBack::Repaired {
            return Ok(None);
        }
        if !prepared.first {
            self.publish_lost_root()?;
        }
        if !prepared.renew_snapshot && !prepared.due {
            if let Some(state) = state {
                self.remember(state)?;
                self.mend_version_files(state)?;
            }
            return Ok(Some(prepared.told(None, None, state.map(|state| state.timestamp().expires))));
        }
        let snapshot_signers = match prepared.renew_snapshot {
            true => self.keychain.signers("snapshot", prepared.root.keyring(RoleName::Snapshot))?,
            false => Vec::new(),
        };
        let timestamp_signers = self.keychain.signers("timestamp", prepared.root.keyring(RoleName::Timestamp))?;

        self.check_clocks()?;

        let mut changed = Vec::new();
        if prepared.first {
            self.publish_first_root(prepared.root.version)?;
            if !prepared.folds("targets") {
                changed.push(("targets".to_owned(), self.publish_first_targets(prepared.targets.version)?));
            }
        }
        for (folded, document) in &prepared.roles {
            let path = metadata(&document.file);
            if self.storage.put_new(&path, document.bytes.clone())? == Created::Exists
                && self.storage.read(&path, MAX_ROLE)?.as_deref() != Some(&document.bytes)
            {
                let role = folded.role.clone();
                return Err(RepositoryError::NumberGone { role, version: folded.version }.into());
            }
            changed.push((folded.role.clone(), document.meta.clone()));
        }

        let known = match state.map_or(0, |state| state.snapshot().version) {
            far if far > FAR => self.newest_plausible_snapshot()?,
            known => known,
        };
        // Waits for the claims of others. Where a claim is all that keeps publishers apart, there is a snapshot to claim.
        let Some(free) = self.free_snapshot_number(known)? else { return Ok(None) };
        // The lease runs from before the claim can be seen.
        let claimed = Instant::now();
        let before = state.map(|state| &**state.timestamp());
        let (meta, snapshot) = match (prepared.renew_snapshot, state) {
            (false, Some(state)) => (state.timestamp().snapshot.clone(), None),
            _ => {
                let mut snapshot = next_snapshot(state.map(|state| &**state.snapshot()), free, changed, self.now);
                self.mark_claim(&mut snapshot);
                let snapshot =
                    Document::sign("snapshot", &snapshot, &snapshot_signers).map_err(RepositoryError::from)?;
                if self.storage.put_new(&metadata(&snapshot.file), snapshot.bytes.clone())? == Created::Exists {
                    return Ok(None);
                }
                (snapshot.meta.clone(), Some(snapshot))
            }
        };
        let mut timestamp = next_timestamp(before, meta, &prepared.targets, self.now);
        if timestamp.version > FAR && prepared.new_root {
            timestamp.version = free;
        }
        let document = Document::sign("timestamp", &timestamp, &timestamp_signers).map_err(RepositoryError::from)?;
        if self.overtaken(Versions::of(state), free, claimed)? {
            return Ok(None);
        }
        let sent = self.replace_timestamp(document.bytes.clone(), &expected, claimed)?;

        // Read as a client does: success is told only of what can be had.
        let named: Vec<(&str, &[u8])> = prepared
            .roles
            .iter()
            .map(|(_, role)| role)
            .chain(&snapshot)
            .map(|document| (document.file.as_str(), document.bytes.as_slice()))
            .collect();
        let after = self.look_after_commit(&document.bytes, &named, || {
            RepositoryState::read(self.storage, self.app, self.root, Expiry::Ignored)
        })?;
        let is_newer = |after: &RepositoryState| {
            let folded = |folded: &Folded| after.snapshot().roles.get(&folded.role).map_or(0, |meta| meta.version);
            after.timestamp().version >= timestamp.version
                && prepared.roles.iter().all(|(role, _)| folded(role) >= role.version)
        };
        let after = match (after.filter(is_newer), sent) {
            (Some(after), _) => after,
            (None, Sent::Late(error)) => return Err(error.into()),
            (None, _) => return Ok(None),
        };
        if let Some((role, since)) = after.expired_for_all(self.now) {
            return Err(RepositoryError::Expired { role, since }.into());
        }
        self.remember(&after)?;
        self.mend_version_files(&after)?;
        for (folded, _) in &prepared.roles {
            // A channel that got other keys: its files are signed by them from now on.
            if let Some(submission) = Submission::read(self.storage, &folded.role)?
                && submission.is(&after, &folded.role)
            {
                submission.publish_minisigs(self.storage)?;
            }
        }
        Ok(Some(prepared.told(snapshot.map(|_| free), Some(timestamp.version), Some(timestamp.expires))))
    }

    /// Publishes the project's root again where the storage has lost it: installed copies cannot follow otherwise.
    fn publish_lost_root(&self) -> Result<(), CommandError> {
        let Ok(own) = Signed::<Root>::parse(&Untrusted::new(self.root)) else { return Ok(()) };
        let file = metadata(&format!("{}.root.json", own.unverified().version));
        if self.storage.length(&file)?.is_none() && self.storage.put_new(&file, self.root.to_vec())? == Created::New {
            self.shell.warn(format_args!("{file} was missing in {}; it is published again", self.storage.name()));
        }
        Ok(())
    }

    /// Returns the highest number of a snapshot that honest publishers can have reached: whoever held the online key may
    /// have jumped to the last number there is. Clients of the new root forget what the old key signed.
    fn newest_plausible_snapshot(&self) -> Result<u64, RepositoryError> {
        let files = self.storage.list(super::METADATA)?;
        let numbers = files.iter().filter_map(|file| file.strip_suffix(".snapshot.json")?.parse().ok());
        Ok(numbers.filter(|number| *number <= FAR).max().unwrap_or(0))
    }
}

/// A number that no publisher reaches: a snapshot a second for thirty thousand years.
const FAR: u64 = 1 << 40;
