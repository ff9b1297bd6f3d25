//! What the online key does alone: a fresh timestamp before the old one ends, a fresh snapshot when that is due, and
//! the folding in of what other keys have signed: newer roots, the targets role, the roles of channels.
//!
//! It must not sign whatever somebody put into the storage. Every document that it names is verified under the newest
//! root, no role goes back, and the storage is compared with what this machine has seen there.

use super::commit::{ATTEMPTS, Commit, TIMESTAMP, Versions, WentBack, back_off, metadata};
use super::error::RepositoryError;
use super::seen::{Entry, Seen};
use super::state::{RepositoryState, artifact_path};
use super::submission::{Base, Submission};
use super::version_file;
use crate::error::CommandError;
use crate::roles::{Document, next_snapshot, next_timestamp, timestamp_days};
use crate::storage::{Coordination, Created, Replaced};
use std::time::{Duration, Instant, SystemTime};
use updater_format::length::MAX_ROLE;
use updater_format::release::{Artifact, ChannelContents};
use updater_format::role::{MetaFile, RoleName, Root, Targets};
use updater_format::signed::{Signed, Untrusted, Verified};
use updater_format::trust::TrustError;
use updater_format::{Channel, SignaturePolicy, UtcTime};

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
pub struct Refreshed {
    /// The version of the root in force.
    pub root: u64,
    /// Whether the root has changed since the timestamp was signed.
    pub new_root: bool,
    /// The roles that were folded in, with their versions.
    pub folded: Vec<Folded>,
    /// The version of the new snapshot; none when the old one stays.
    pub snapshot: Option<u64>,
    /// The version of the new timestamp; none when nothing was due.
    pub timestamp: Option<u64>,
    /// When the timestamp ends.
    pub expires: Option<UtcTime>,
}

/// A role that waited for the online key.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Folded {
    /// The role.
    pub role: String,
    /// Its version.
    pub version: u64,
}

/// Everything that is decided before a key is asked for.
struct Prepared {
    state: Option<RepositoryState>,
    root: Verified<Root>,
    targets: Targets,
    /// Documents to be created: the file, its bytes and what the snapshot says of it.
    roles: Vec<(Folded, Document)>,
    /// What replaces the `VERSION` of channels.
    version_files: Vec<(String, String)>,
    /// The first root and targets role of an empty storage.
    first: bool,
    renew_snapshot: bool,
    due: bool,
    new_root: bool,
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
        let shell = self.shell;
        let _lock = self.storage.lock(|| shell.status("Waiting", "for another publisher of this folder"))?;
        self.tell_coordination();
        for attempt in 0..ATTEMPTS {
            if let Some(refreshed) = self.attempt_refresh(renew)? {
                return Ok(refreshed);
            }
            shell.status("Merging", "with what another publisher has published meanwhile");
            std::thread::sleep(back_off(attempt));
        }
        Err(RepositoryError::Overtaken { attempts: ATTEMPTS }.into())
    }

    /// Returns how long the newest root has been published while the timestamp is still signed by the keys of an earlier
    /// one; `None` when no key of the online roles has changed.
    /// # Errors
    /// As [`RepositoryState::read_behind`].
    pub fn age_of_new_online_key(&self) -> Result<Option<Duration>, RepositoryError> {
        let (state, root) = RepositoryState::read_behind(self.storage, self.app, self.root)?;
        let changed = state.is_some_and(|state| {
            [RoleName::Snapshot, RoleName::Timestamp]
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
        let expected = self.storage.expect(&metadata(TIMESTAMP))?;
        let prepared = self.prepare(renew)?;
        let state = prepared.state.as_ref();
        if self.went_back(state, &prepared.root, &prepared.targets, &expected)? == WentBack::Repaired {
            return Ok(None);
        }
        if !prepared.renew_snapshot && !prepared.due {
            self.remember(state)?;
            return Ok(Some(prepared.told(None, None, state.map(|state| state.timestamp().expires))));
        }
        let snapshot_signers = match prepared.renew_snapshot {
            true => self.keychain.signers("snapshot", prepared.root.keyring(RoleName::Snapshot))?,
            false => Vec::new(),
        };
        let timestamp_signers = self.keychain.signers("timestamp", prepared.root.keyring(RoleName::Timestamp))?;

        let mut changed = Vec::new();
        if prepared.first {
            let targets = self.publish_first_roles(prepared.root.version, prepared.targets.version)?;
            changed.push(("targets".to_owned(), targets));
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
        let before = state.map(|state| &**state.timestamp());
        let (meta, snapshot) = match (prepared.renew_snapshot, state) {
            (false, Some(state)) => (state.timestamp().snapshot.clone(), None),
            _ => {
                let snapshot = next_snapshot(state.map(|state| &**state.snapshot()), free, changed, self.now);
                let snapshot =
                    Document::sign("snapshot", &snapshot, &snapshot_signers).map_err(RepositoryError::from)?;
                if self.storage.put_new(&metadata(&snapshot.file), snapshot.bytes.clone())? == Created::Exists {
                    return Ok(None);
                }
                (snapshot.meta, Some(free))
            }
        };
        let claimed = Instant::now();
        let mut timestamp = next_timestamp(before, meta, &prepared.targets, self.now);
        if timestamp.version > FAR && prepared.new_root {
            timestamp.version = free;
        }
        let document = Document::sign("timestamp", &timestamp, &timestamp_signers).map_err(RepositoryError::from)?;
        if self.overtaken(Versions::of(state), free, claimed)? {
            return Ok(None);
        }
        if self.storage.replace(&metadata(TIMESTAMP), document.bytes, &expected)? == Replaced::Changed {
            return Ok(None);
        }

        // Read as a client does: success is told only of what can be had.
        let after = RepositoryState::read(self.storage, self.app, self.root, super::state::Expiry::Ignored)?;
        let Some(after) = after.filter(|after| after.timestamp().version >= timestamp.version) else { return Ok(None) };
        self.remember(Some(&after))?;
        for (path, text) in &prepared.version_files {
            if let Err(error) = self.storage.put_mutable(path, text.clone().into_bytes()) {
                self.shell.warn(format_args!("{path} is that of an earlier release until the next one: {error}"));
            }
        }
        Ok(Some(prepared.told(snapshot, Some(timestamp.version), Some(timestamp.expires))))
    }

    /// Returns the highest number of a snapshot that honest publishers can have reached: whoever held the online key may
    /// have jumped to the last number there is. Clients of the new root forget what the old key signed.
    fn newest_plausible_snapshot(&self) -> Result<u64, RepositoryError> {
        let files = self.storage.list(super::METADATA)?;
        let numbers = files.iter().filter_map(|file| file.strip_suffix(".snapshot.json")?.parse().ok());
        Ok(numbers.filter(|number| *number <= FAR).max().unwrap_or(0))
    }

    fn remember(&self, state: Option<&RepositoryState>) -> Result<(), RepositoryError> {
        match (self.storage.identity(), state) {
            (Some(identity), Some(state)) => Seen::save(&self.record(), &identity, Entry::of(state)),
            _ => Ok(()),
        }
    }

    fn prepare(&self, renew: Renew) -> Result<Prepared, CommandError> {
        let (state, root) = RepositoryState::read_behind(self.storage, self.app, self.root)?;
        let new_root = state.as_ref().is_some_and(|state| state.root().version < root.version);
        self.refuse_expired("root", root.expires)?;

        let mut roles = Vec::new();
        let mut version_files = Vec::new();
        let waiting = self.waiting_targets(state.as_ref(), &root)?;
        let targets = match (&waiting, &state) {
            (Some(document), _) => {
                let folded = Folded { role: "targets".to_owned(), version: document.version };
                roles.push((folded, Document::of("targets", document)));
                (**document).clone()
            }
            (None, Some(state)) => {
                self.check_keys("targets", state.targets().bytes(), root.keyring(RoleName::Targets))?;
                (**state.targets()).clone()
            }
            (None, None) => self.first_targets(&root)?,
        };
        self.refuse_expired("targets", targets.expires)?;

        for delegation in targets.delegations.iter().flat_map(|delegations| &delegations.roles) {
            let Ok(channel) = Channel::parse(&delegation.name) else { continue };
            let published = state.as_ref().and_then(|state| state.channels().get(&channel));
            let version = published.map_or(0, |published| published.role().version);
            let submission = Submission::read(self.storage, channel.as_str())?;
            let parsed = submission.as_ref().map(|s| s.parse(self.storage, channel.as_str())).transpose()?;
            if let (Some(submission), Some(role)) = (&submission, &parsed) {
                let waiting = role.unverified().version;
                if waiting <= version {
                    self.tell_lost(channel.as_str(), waiting, submission)?;
                }
            }
            match (submission, parsed.filter(|role| role.unverified().version > version), published) {
                (Some(submission), Some(role), _) => {
                    let role = role
                        .verify(channel.as_str(), &delegation.keyring, SignaturePolicy::default())
                        .map_err(|source| self.refuse_submission(channel.as_str(), source))?;
                    if published.map(|published| Base::of(published.role())) != submission.base {
                        return Err(RepositoryError::BaseChanged { channel, version: role.version }.into());
                    }
                    self.check_submission(&channel, &role)?;
                    let folded = Folded { role: channel.to_string(), version: role.version };
                    roles.push((folded, Document::of(channel.as_str(), &role)));
                    version_files.extend(submission.version_file.map(|text| (version_file::path(&channel), text)));
                }
                // A delegation with other keys needs a role that they have signed.
                (_, _, Some(published)) => {
                    self.check_keys(channel.as_str(), published.role().bytes(), &delegation.keyring)?;
                }
                _ => {}
            }
        }
        let first = state.is_none();
        if first {
            self.refuse_lost_timestamp()?;
        }
        if first && roles.is_empty() {
            return Err(RepositoryError::NothingPublished { storage: self.storage.name().to_owned() }.into());
        }
        // A snapshot of other keys is none for clients of the new root.
        let other_snapshot_keys = state.as_ref().is_some_and(|state| {
            self.check_keys("snapshot", state.snapshot().bytes(), root.keyring(RoleName::Snapshot)).is_err()
        });
        let old_snapshot = state.as_ref().is_some_and(|state| {
            state.snapshot().expires.unix() - self.now.unix() < crate::roles::SNAPSHOT_DAYS * DAY / 2
        });
        let left = state.as_ref().map_or(0, |state| state.timestamp().expires.unix() - self.now.unix());
        let other_timestamp_keys = state.as_ref().is_some_and(|state| {
            self.check_keys("timestamp", state.timestamp().bytes(), root.keyring(RoleName::Timestamp)).is_err()
        });
        let due = renew == Renew::Always || other_timestamp_keys || left < timestamp_days(&targets) * DAY / 2;
        // A timestamp alone makes no claim, and nobody would see it coming.
        let claims = due && self.storage.coordination() == Coordination::Claim;
        let renew_snapshot = first || !roles.is_empty() || other_snapshot_keys || old_snapshot || claims;
        Ok(Prepared { state, root, targets, roles, version_files, first, renew_snapshot, due, new_root })
    }

    fn refuse_expired(&self, role: &str, since: UtcTime) -> Result<(), RepositoryError> {
        match since <= self.now {
            true => Err(RepositoryError::Expired { role: role.to_owned(), since }),
            false => Ok(()),
        }
    }

    /// Returns the targets role that waits, when it is above the published one.
    fn waiting_targets(
        &self,
        state: Option<&RepositoryState>,
        root: &Root,
    ) -> Result<Option<Verified<Targets>>, RepositoryError> {
        let Some(submission) = Submission::read(self.storage, "targets")? else { return Ok(None) };
        let role = submission.parse(self.storage, "targets")?;
        if role.unverified().version <= state.map_or(0, |state| state.targets().version) {
            return Ok(None);
        }
        let role = role
            .verify("targets", root.keyring(RoleName::Targets), SignaturePolicy::default())
            .map_err(|source| self.refuse_submission("targets", source))?;
        self.check_app("targets", &role)?;
        Ok(Some(role))
    }

    /// Verifies the project's own targets role, for a storage that is still empty.
    fn first_targets(&self, root: &Root) -> Result<Targets, RepositoryError> {
        self.check_keys("targets", self.targets, root.keyring(RoleName::Targets))?;
        let parsed = Signed::<Targets>::parse(&Untrusted::new(self.targets));
        parsed.map(|signed| signed.unverified().clone()).map_err(|source| {
            self.refuse_submission("targets", TrustError::Format { role: "targets".to_owned(), source })
        })
    }

    /// A submission is of this app and channel, and every file that it lists is there.
    fn check_submission(&self, channel: &Channel, role: &Targets) -> Result<(), RepositoryError> {
        self.check_app(channel.as_str(), role)?;
        let found = role.extension.as_ref().and_then(|extension| extension.channel.as_ref());
        if found != Some(channel) {
            let source = TrustError::WrongChannel {
                role: channel.to_string(),
                expected: channel.to_string(),
                found: found.map_or_else(|| "none".to_owned(), ToString::to_string),
            };
            return Err(self.refuse_submission(channel.as_str(), source));
        }
        self.refuse_expired(channel.as_str(), role.expires)?;
        let contents =
            ChannelContents::read(self.app, role).map_err(|error| self.refuse_submission(channel.as_str(), error))?;
        let bundles = contents.bundles.iter().map(|bundle| &bundle.artifact);
        let patches = contents.patches.iter().map(|patch| &patch.artifact);
        let notes = contents.notes.iter().map(|notes| &notes.artifact);
        let missing = |artifact: &Artifact| -> Result<bool, RepositoryError> {
            Ok(self.storage.length(&artifact_path(artifact))? != Some(artifact.length))
        };
        for artifact in bundles.chain(patches).chain(notes) {
            if missing(artifact)? {
                let storage = self.storage.name().to_owned();
                return Err(crate::storage::StorageError::Missing { path: artifact_path(artifact), storage }.into());
            }
        }
        Ok(())
    }

    /// Warns of a submission whose number went to another document: it is over, and nobody has published it.
    fn tell_lost(&self, role: &str, version: u64, submission: &Submission) -> Result<(), RepositoryError> {
        let published = self.storage.read(&metadata(&format!("{version}.{role}.json")), MAX_ROLE)?;
        if published.as_deref() != Some(submission.document.as_bytes()) {
            self.shell.warn(format_args!(
                "version {version} of the role {role} was submitted and something else was published: run the command \
                 that submitted it again; `cargo updater refresh --discard {role}` ends this warning"
            ));
        }
        Ok(())
    }

    fn check_app(&self, name: &str, role: &Targets) -> Result<(), RepositoryError> {
        let found = role.extension.as_ref().map(|extension| &extension.app);
        if found == Some(self.app) {
            return Ok(());
        }
        let source = TrustError::WrongApp {
            role: name.to_owned(),
            expected: self.app.to_string(),
            found: found.map_or_else(|| "none".to_owned(), ToString::to_string),
        };
        Err(self.refuse_submission(name, source))
    }

    /// Holds a published document against the keys that sign its role from now on.
    fn check_keys(&self, role: &str, bytes: &[u8], keyring: &updater_format::Keyring) -> Result<(), RepositoryError> {
        let policy = SignaturePolicy::default();
        let bytes = Untrusted::new(bytes);
        let other = |_| RepositoryError::OtherKeys { role: role.to_owned() };
        match role {
            "snapshot" => Signed::<updater_format::role::Snapshot>::parse(&bytes)
                .map_err(|_| RepositoryError::OtherKeys { role: role.to_owned() })?
                .check(role, keyring, policy)
                .map_err(other),
            "timestamp" => Signed::<updater_format::role::Timestamp>::parse(&bytes)
                .map_err(|_| RepositoryError::OtherKeys { role: role.to_owned() })?
                .check(role, keyring, policy)
                .map_err(other),
            _ => Signed::<Targets>::parse(&bytes)
                .map_err(|_| RepositoryError::OtherKeys { role: role.to_owned() })?
                .check(role, keyring, policy)
                .map_err(other),
        }
    }

    fn refuse_submission(&self, role: &str, source: TrustError) -> RepositoryError {
        RepositoryError::Trust {
            file: format!("the submission of {role}"),
            storage: self.storage.name().to_owned(),
            source: Box::new(source),
        }
    }
}

impl Prepared {
    fn told(&self, snapshot: Option<u64>, timestamp: Option<u64>, expires: Option<UtcTime>) -> Refreshed {
        Refreshed {
            root: self.root.version,
            new_root: self.new_root,
            folded: self.roles.iter().map(|(folded, _)| folded.clone()).collect(),
            snapshot,
            timestamp,
            expires,
        }
    }
}

impl Document {
    /// Takes a document that is signed already.
    fn of(role: &str, signed: &Verified<Targets>) -> Self {
        Self {
            file: format!("{}.{role}.json", signed.version),
            meta: MetaFile::of(signed.version, signed.bytes()),
            bytes: signed.bytes().to_vec(),
        }
    }
}

/// A number that no publisher reaches: a snapshot a second for thirty thousand years.
const FAR: u64 = 1 << 40;
/// Seconds of a day.
const DAY: i64 = 86_400;
