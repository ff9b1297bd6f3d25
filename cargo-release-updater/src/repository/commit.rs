//! Adds a release to a repository so that a client sees the old state or the new one and nothing between.
//!
//! Files first, then the channel's role, the top-level roles, the snapshot, and `timestamp.json` last: it is the commit.
//! Creating `V.snapshot.json` only if absent claims the number V. What keeps two publishers apart is the storage's
//! [`Coordination`](crate::storage::Coordination): a lock; or a commit that only succeeds on the timestamp that was read; or the claim itself, which
//! is waited for until it is committed or its lease has run out. The second one merges and goes on.

mod claim;
mod upload;

pub(super) use self::claim::Versions;
use super::METADATA;
use super::error::RepositoryError;
use super::seen::{self, Entry, Seen};
use super::state::{Expiry, RepositoryState};
use super::submission::{Base, Place, Submission};
use super::version_file;
use crate::error::CommandError;
use crate::keys::{Keychain, Signer};
use crate::roles::{Document, next_channel, next_snapshot, next_timestamp};
use crate::shell::Shell;
use crate::storage::{Created, Expected, Replaced, Storage, StorageError};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{Duration, Instant};
use updater_format::role::{MetaFile, RoleName, Root, Snapshot, TargetFile, Targets, Timestamp, TimestampExtension};
use updater_format::signed::{Signed, Untrusted};
use updater_format::trust::{Rules, TrustError, TrustedChannel, TrustedSet};
use updater_format::{AppId, Channel, Sha256, SignaturePolicy, UtcTime};

/// One publisher of one app in one storage.
#[derive(Debug)]
pub struct Commit<'a> {
    /// Where it is published.
    pub storage: &'a Storage,
    /// The app.
    pub app: &'a AppId,
    /// The trusted root of the project, `updater/root.json`.
    pub root: &'a [u8],
    /// The signed top-level targets role of the project, `updater/targets.json`, for the first publication.
    pub targets: &'a [u8],
    /// The keys on this machine.
    pub keychain: &'a mut Keychain,
    /// The time from which expiries count.
    pub now: UtcTime,
    /// How long a claim without a commit is waited for.
    pub lease: Lease,
    /// Where waiting is told.
    pub shell: &'a Shell,
}

/// How long a claim holds where nothing but the claim keeps publishers apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lease {
    /// From the claim on, this long.
    pub duration: Duration,
    /// How often a foreign claim is looked at again.
    pub poll: Duration,
}

impl Committed {
    /// Tells whether the role waits for the online key: clients do not see it yet.
    #[must_use]
    pub fn is_waiting(&self) -> bool {
        self.timestamp == 0
    }
}

impl Default for Lease {
    /// Ten minutes: longer than the slowest pair of small uploads, shorter than a coffee break.
    fn default() -> Self {
        Self { duration: Duration::from_secs(600), poll: Duration::from_millis(500) }
    }
}

/// A file that the release needs, uploaded before anything names it.
#[derive(Debug, Clone)]
pub struct Upload {
    /// The name below `targets/`: `<sha256>.<name>`.
    pub name: String,
    /// Where its content lies.
    pub content: PathBuf,
    /// The text of its `.minisig`, published beside it.
    pub minisig: Option<String>,
}

/// Whether the storage shows an older state than this machine has seen there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WentBack {
    /// It does not.
    No,
    /// It did, and the newest state is in force again.
    Repaired,
}

/// A release that clients can see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Committed {
    /// The version of the timestamp; 0 when the role waits for the online key as a submission.
    pub timestamp: u64,
    /// The version of the snapshot; 0 then, too.
    pub snapshot: u64,
    /// The version of the channel's role; 0 when only the online roles were signed.
    pub role: u64,
}

/// Whose role of the channel is the newest one after a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Newest {
    Ours,
    /// Somebody else has published on top of it meanwhile.
    Theirs,
}

/// A channel's role as it is to be, with the keys for it.
struct EditedRole {
    channel: Channel,
    role: Targets,
    signers: Vec<Rc<Signer>>,
    /// What it lists beyond the version before.
    added: BTreeMap<String, TargetFile>,
    /// The published role that it was made from.
    base: Option<Base>,
    /// Where it waits when the online key is elsewhere.
    place: Place,
}

/// A channel's role that was signed and created, and is not committed yet.
struct SignedRole {
    channel: Channel,
    version: u64,
    meta: MetaFile,
    /// The text of the channel's `VERSION`.
    version_file: String,
    /// What it lists beyond the version before.
    added: BTreeMap<String, TargetFile>,
}

/// Turns a channel's role as it is now into the one to publish.
type Edit<'a> = dyn FnMut(&mut Targets, Option<&TrustedChannel>) -> Result<(), CommandError> + 'a;

/// Turns what the online key withholds now into what it is to withhold.
type Withhold<'a> = dyn FnMut(&mut TimestampExtension, &RepositoryState) -> Result<(), CommandError> + 'a;

/// What a commit changes.
enum Change<'a, 'b> {
    /// The role of a channel, by its keys and the online key.
    Role(&'a Channel, &'a mut Edit<'b>),
    /// What the timestamp withholds, by the online key alone.
    Withheld(&'a mut Withhold<'b>),
}

impl Commit<'_> {
    /// Publishes the next version of a channel's role.
    ///
    /// `edit` turns the role as it is now into the one to publish. It is called again with fresh data when another
    /// publisher was faster, so it must look at what it is given and not at what it saw before.
    /// # Errors
    /// [`RepositoryError`] as a [`CommandError`], or what `edit` returns; then clients still see the old state, and
    /// running it again continues.
    pub fn publish(
        &mut self,
        channel: &Channel,
        mut edit: impl FnMut(&mut Targets, Option<&TrustedChannel>) -> Result<(), CommandError>,
    ) -> Result<Committed, CommandError> {
        self.run(&mut Change::Role(channel, &mut edit))
    }

    /// Publishes a timestamp that withholds something else, under a new snapshot of the same roles: the claim of its
    /// number keeps this apart from publishers of releases. Needs the online key only.
    /// # Errors
    /// As [`Commit::publish`]; [`RepositoryError::NothingPublished`] for an empty repository.
    pub fn withhold(
        &mut self,
        mut edit: impl FnMut(&mut TimestampExtension, &RepositoryState) -> Result<(), CommandError>,
    ) -> Result<Committed, CommandError> {
        self.run(&mut Change::Withheld(&mut edit))
    }

    fn run(&mut self, change: &mut Change<'_, '_>) -> Result<Committed, CommandError> {
        let shell = self.shell;
        let _lock = self.storage.lock(|| shell.status("Waiting", "for another publisher of this folder"))?;
        self.tell_coordination();
        for attempt in 0..ATTEMPTS {
            if let Some(committed) = self.attempt(change)? {
                return Ok(committed);
            }
            shell.status("Merging", "with what another publisher has published meanwhile");
            std::thread::sleep(back_off(attempt));
        }
        Err(RepositoryError::Overtaken { attempts: ATTEMPTS }.into())
    }

    /// Tries once; `None` when another publisher was faster.
    fn attempt(&mut self, change: &mut Change<'_, '_>) -> Result<Option<Committed>, CommandError> {
        // Looked at before anything is read, so that whatever is committed from now on is noticed.
        let expected = self.storage.expect(&metadata(TIMESTAMP))?;
        let state = RepositoryState::read(self.storage, self.app, self.root, Expiry::Ignored)?;
        let (root, targets) = self.human_roles(state.as_ref())?;
        if self.went_back(state.as_ref(), &root, &targets, &expected)? == WentBack::Repaired {
            return Ok(None);
        }
        if state.is_none() {
            self.refuse_lost_timestamp()?;
        }
        let known = state.as_ref().map_or(0, |state| state.snapshot().version);
        let Some(free) = self.free_snapshot_number(known)? else { return Ok(None) };

        let timestamp_before = state.as_ref().map(|state| &**state.timestamp());
        let mut extension = timestamp_before.and_then(|timestamp| timestamp.extension.clone());
        let edited = match change {
            Change::Role(channel, edit) => Some(self.edit_role(channel, *edit, state.as_ref(), &targets)?),
            Change::Withheld(edit) => {
                let missing = || RepositoryError::NothingPublished { storage: self.storage.name().to_owned() };
                edit(extension.get_or_insert_default(), state.as_ref().ok_or_else(missing)?)?;
                None
            }
        };
        let online = [RoleName::Snapshot, RoleName::Timestamp];
        if let Some(edited) = &edited
            && !online.iter().all(|role| self.keychain.can_sign(root.keyring(*role)))
        {
            return Ok(self.submit(edited)?);
        }
        // Asked for now: a missing online key must be told before anything is written.
        let snapshot_signers = self.keychain.signers("snapshot", root.keyring(RoleName::Snapshot))?;
        let timestamp_signers = self.keychain.signers("timestamp", root.keyring(RoleName::Timestamp))?;
        let signed = edited.map(|edited| self.create_role(edited)).transpose()?;
        if let Some(signed) = &signed {
            self.check_clock(&metadata(&format!("{}.{}.json", signed.version, signed.channel)))?;
        }

        // The top-level roles, which people signed elsewhere.
        let targets_meta = match &state {
            Some(state) => state.snapshot().roles.get("targets").cloned(),
            None => Some(self.publish_first_roles(root.version, targets.version)?),
        };
        let mut changed: Vec<(String, MetaFile)> =
            signed.iter().map(|signed| (signed.channel.to_string(), signed.meta.clone())).collect();
        changed.extend(targets_meta.map(|meta| ("targets".to_owned(), meta)));

        // The claim.
        let snapshot = next_snapshot(state.as_ref().map(|state| &**state.snapshot()), free, changed, self.now);
        let snapshot = Document::sign("snapshot", &snapshot, &snapshot_signers).map_err(RepositoryError::from)?;
        if self.storage.put_new(&metadata(&snapshot.file), snapshot.bytes.clone())? == Created::Exists {
            return Ok(None);
        }
        let claimed = Instant::now();

        // The commit, unless somebody took this claim for abandoned.
        let timestamp = next_timestamp(timestamp_before, snapshot.meta.clone(), &targets, self.now);
        let timestamp = Timestamp { extension, ..timestamp };
        let version = timestamp.version;
        let timestamp = Document::sign("timestamp", &timestamp, &timestamp_signers).map_err(RepositoryError::from)?;
        if self.overtaken(Versions::of(state.as_ref()), free, claimed)? {
            return Ok(None);
        }
        if self.storage.replace(&metadata(TIMESTAMP), timestamp.bytes, &expected)? == Replaced::Changed {
            return Ok(None);
        }
        let role = signed.as_ref().map_or(0, |signed| signed.version);
        let before = signed.as_ref().map(|signed| self.storage.expect(&version_file::path(&signed.channel)));
        let committed = self.confirm(signed.as_ref(), Committed { timestamp: version, snapshot: free, role })?;
        if let (Some((_, Newest::Ours)), Some(signed), Some(before)) = (&committed, signed, before) {
            // Nothing of the update depends on it, and the release is out: no reason to call that a failure. Whoever has
            // published a newer one meanwhile has written theirs.
            let path = version_file::path(&signed.channel);
            let replaced =
                before.and_then(|before| self.storage.replace(&path, signed.version_file.into_bytes(), &before));
            if let Err(error) = replaced {
                self.shell.warn(format_args!("{path} is that of an earlier release until the next one: {error}"));
            }
        }
        Ok(committed.map(|(committed, _)| committed))
    }

    /// Makes the next version of a channel's role, and unlocks the keys for it. Nothing is written.
    fn edit_role(
        &mut self,
        channel: &Channel,
        edit: &mut Edit<'_>,
        state: Option<&RepositoryState>,
        targets: &Targets,
    ) -> Result<EditedRole, CommandError> {
        let delegation = targets.delegation(channel.as_str()).ok_or_else(|| RepositoryError::NoChannel {
            channel: channel.clone(),
            known: targets
                .delegations
                .iter()
                .flat_map(|d| &d.roles)
                .map(|r| r.name.clone())
                .collect::<Vec<_>>()
                .join(", "),
        })?;
        let before = state.and_then(|state| state.channels().get(channel));
        let published = before.map_or(0, |channel| channel.role().version);
        let place = Place::look(self.storage, channel.as_str())?;
        let waiting = waiting_version(&place, self.storage, channel)?;
        if let Some(version) = waiting.filter(|version| *version > published) {
            // Built on what is published, this change would silently undo the one that waits.
            return Err(RepositoryError::Waiting { channel: channel.clone(), version }.into());
        }
        let mut role = next_channel(self.app, channel, before.map(|channel| &**channel.role()), self.now);
        edit(&mut role, before)?;
        let listed = before.map(|channel| &channel.role().targets);
        let is_new = |name: &str, file: &TargetFile| listed.is_none_or(|listed| listed.get(name) != Some(file));
        let added = role.targets.iter().filter(|(name, file)| is_new(name, file));
        let added = added.map(|(name, file)| (name.clone(), file.clone())).collect();
        let signers = self.keychain.signers(channel.as_str(), &delegation.keyring)?;
        let base = before.map(|channel| Base::of(channel.role()));
        Ok(EditedRole { channel: channel.clone(), role, signers, added, base, place })
    }

    /// Leaves a channel's role, signed, for whoever has the online key. Its number stays free until then. `None` when
    /// somebody else has published or submitted meanwhile.
    fn submit(&self, edited: &EditedRole) -> Result<Option<Committed>, RepositoryError> {
        let EditedRole { channel, role, signers, base, place, .. } = edited;
        let mut role = role.clone();
        let first = role.version;
        while self.storage.length(&metadata(&format!("{}.{channel}.json", role.version)))?.is_some() {
            role.version += 1;
            if role.version >= first + MAX_SKIPPED {
                return Err(RepositoryError::NumbersTaken {
                    file: format!("{first}.{channel}.json"),
                    count: MAX_SKIPPED,
                });
            }
        }
        let document = Document::sign(channel.as_str(), &role, signers)?;
        let version_file = signers.first().map(|signer| version_file::signed(self.app, channel, &role, signer));
        // Signing may wait for a password or a touch: long enough for a release.
        let state = RepositoryState::read(self.storage, self.app, self.root, Expiry::Ignored)?;
        let published = state.as_ref().and_then(|state| state.channels().get(channel));
        if published.map(|published| Base::of(published.role())) != *base {
            return Ok(None);
        }
        let submission = Submission::new(&document.bytes, *base, version_file.transpose()?);
        Ok(match submission.leave(self.storage, channel.as_str(), place)? {
            Replaced::Done => Some(Committed { timestamp: 0, snapshot: 0, role: role.version }),
            Replaced::Changed => None,
        })
    }

    /// Signs and creates a channel's role, at its next free number.
    fn create_role(&self, edited: EditedRole) -> Result<SignedRole, RepositoryError> {
        let EditedRole { channel, mut role, signers, added, .. } = edited;
        let document = self.create_numbered(channel.as_str(), &mut role, &signers)?;
        // A threshold is at least one, so there is a first signer.
        let version_file = signers.first().map(|signer| version_file::signed(self.app, &channel, &role, signer));
        let version_file = version_file.transpose()?.unwrap_or_default();
        Ok(SignedRole { version: role.version, channel, meta: document.meta, version_file, added })
    }

    /// Compares the storage with what this machine saw there. A timestamp that a late publisher put back, while the
    /// newer snapshot is still there byte for byte, is replaced by a fresh one of that snapshot.
    pub(super) fn went_back(
        &mut self,
        state: Option<&RepositoryState>,
        root: &Root,
        targets: &Targets,
        expected: &Expected,
    ) -> Result<WentBack, RepositoryError> {
        let Some(identity) = self.storage.identity() else { return Ok(WentBack::No) };
        let record = self.record();
        let Some(seen) = Seen::load(&record, &identity)? else { return Ok(WentBack::No) };
        // Trying out on one machine means emptying folders.
        let development = root.extension.as_ref().is_some_and(|extension| extension.development);
        if development || !seen.is_newer_than(state) {
            return Ok(WentBack::No);
        }
        let refuse = || RepositoryError::WentBack {
            storage: self.storage.name().to_owned(),
            found: state.map_or(0, |state| state.timestamp().version),
            seen: seen.timestamp,
            record: record.clone(),
        };
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
        if snapshot.version != seen.snapshot {
            return Err(refuse());
        }
        self.shell.warn(format_args!(
            "the timestamp of {} went back from {} to {}; repairing it",
            self.storage.name(),
            seen.timestamp,
            state.timestamp().version
        ));
        let before =
            Timestamp { version: seen.timestamp.max(state.timestamp().version), ..(**state.timestamp()).clone() };
        let timestamp = next_timestamp(Some(&before), MetaFile::of(seen.snapshot, &bytes), targets, self.now);
        let signers = self.keychain.signers("timestamp", root.keyring(RoleName::Timestamp))?;
        let timestamp = Document::sign("timestamp", &timestamp, &signers)?;
        // Somebody else may have repaired it or published meanwhile: the next try sees what came of it.
        self.storage.replace(&metadata(TIMESTAMP), timestamp.bytes, expected)?;
        Ok(WentBack::Repaired)
    }

    /// Refuses to start over where a timestamp has been: numbered from one again, it would unlist every release. A first
    /// publication that was interrupted leaves one snapshot at most.
    pub(super) fn refuse_lost_timestamp(&self) -> Result<(), RepositoryError> {
        // What can only be read is not started over, and a web server lists nothing.
        if !self.storage.is_writable() {
            return Ok(());
        }
        let files = self.storage.list(METADATA)?;
        let snapshots = files.iter().filter(|file| file.ends_with(".snapshot.json")).count();
        // Looked for again: the first publishers of all may have raced meanwhile.
        if snapshots > 1 && self.storage.length(&metadata(TIMESTAMP))?.is_none() {
            return Err(RepositoryError::TimestampLost { storage: self.storage.name().to_owned(), snapshots });
        }
        Ok(())
    }

    /// Returns the root and the targets role in force, and refuses expired ones: no client would take the release.
    fn human_roles(&self, state: Option<&RepositoryState>) -> Result<(Root, Targets), RepositoryError> {
        let (root, targets) = match state {
            Some(state) => ((**state.root()).clone(), (**state.targets()).clone()),
            None => self.first_roles()?,
        };
        for (role, since) in [("root", root.expires), ("targets", targets.expires)] {
            if since <= self.now {
                return Err(RepositoryError::Expired { role: role.to_owned(), since });
            }
        }
        Ok((root, targets))
    }

    /// Verifies the project's own root and targets role, for a repository that is still empty.
    fn first_roles(&self) -> Result<(Root, Targets), RepositoryError> {
        let refuse = |file: &str| {
            let file = file.to_owned();
            move |source: TrustError| RepositoryError::Trust {
                file,
                storage: "the project".to_owned(),
                source: Box::new(source),
            }
        };
        let rules = Rules { now: self.now, policy: SignaturePolicy::default(), app: Some(self.app.clone()) };
        let set = TrustedSet::new(rules, &Untrusted::new(self.root)).map_err(refuse("root.json"))?;
        let root = (**set.current_root()).clone();
        let targets = Signed::<Targets>::parse(&Untrusted::new(self.targets))
            .map_err(|source| TrustError::Format { role: "targets".to_owned(), source })
            .and_then(|signed| signed.verify("targets", root.keyring(RoleName::Targets), SignaturePolicy::default()))
            .map_err(refuse("targets.json"))?;
        Ok((root, (*targets).clone()))
    }

    /// Signs and creates a role at its number, or at the next that no unlisted file has taken.
    fn create_numbered(
        &self,
        name: &str,
        role: &mut Targets,
        signers: &[Rc<Signer>],
    ) -> Result<Document, RepositoryError> {
        let first = role.version;
        while role.version < first + MAX_SKIPPED {
            let document = Document::sign(name, role, signers)?;
            if self.storage.put_new(&metadata(&document.file), document.bytes.clone())? == Created::New {
                return Ok(document);
            }
            role.version += 1;
        }
        Err(RepositoryError::NumbersTaken { file: format!("{first}.{name}.json"), count: MAX_SKIPPED })
    }

    /// Publishes the project's root and targets role into an empty repository.
    pub(super) fn publish_first_roles(&self, root: u64, targets: u64) -> Result<MetaFile, RepositoryError> {
        for (file, bytes) in
            [(format!("{root}.root.json"), self.root), (format!("{targets}.targets.json"), self.targets)]
        {
            let path = metadata(&file);
            if self.storage.put_new(&path, bytes.to_vec())? == Created::New {
                continue;
            }
            // An upload that was cut off left the beginning of it, or the storage belongs to somebody else.
            let there = self.storage.read(&path, updater_format::length::MAX_ROLE)?;
            if !there.is_some_and(|there| bytes.starts_with(&there)) {
                return Err(StorageError::Differs { path, storage: self.storage.name().to_owned() }.into());
            }
            self.storage.put_mutable(&path, bytes.to_vec())?;
        }
        Ok(MetaFile::of(targets, self.targets))
    }

    /// Reads the repository as a client would and looks whether the change is in it.
    fn confirm(
        &self,
        signed: Option<&SignedRole>,
        committed: Committed,
    ) -> Result<Option<(Committed, Newest)>, CommandError> {
        let channel = signed.map(|signed| &signed.channel);
        // Another channel may be expired: that is no reason to call this release a failure.
        let state = RepositoryState::read(self.storage, self.app, self.root, Expiry::Ignored)?;
        let expired = |state: &RepositoryState| state.expired(channel?, self.now);
        if let Some((role, since)) = state.as_ref().and_then(expired) {
            return Err(RepositoryError::Expired { role, since }.into());
        }
        let is_there = |state: &RepositoryState| match signed {
            None => state.timestamp().version >= committed.timestamp,
            Some(signed) => state.channels().get(&signed.channel).is_some_and(|channel| {
                let role = channel.role();
                let lists = |(name, file): (&String, &TargetFile)| role.targets.get(name) == Some(file);
                // A later one was made from this one, or by somebody who did not see it: a service whose conditions
                // do not hold under load has let both through.
                role.version == signed.version || role.version > signed.version && signed.added.iter().all(lists)
            }),
        };
        // Otherwise somebody has put another timestamp in its place. Then once more, on top of that.
        let Some(state) = state.filter(is_there) else { return Ok(None) };
        if let Some(identity) = self.storage.identity() {
            Seen::save(&self.record(), &identity, Entry::of(&state))?;
        }
        let role = channel.and_then(|channel| state.channels().get(channel)).map_or(0, |c| c.role().version);
        let newest = if role == committed.role { Newest::Ours } else { Newest::Theirs };
        Ok(Some((committed, newest)))
    }

    /// Returns the file that remembers what was published: the one that was named, else the one beside the keys.
    pub(super) fn record(&self) -> PathBuf {
        self.storage.record().map_or_else(|| seen::file(self.keychain.folder()), Path::to_owned)
    }
}

/// Returns the version of a channel's role that waits for the online key. Read without verification: it only decides
/// whether to go on.
fn waiting_version(place: &Place, storage: &Storage, channel: &Channel) -> Result<Option<u64>, RepositoryError> {
    let Some(submission) = place.submission(storage, channel.as_str())? else { return Ok(None) };
    Ok(Some(submission.parse(storage, channel.as_str())?.unverified().version))
}

pub(super) fn metadata(file: &str) -> String {
    format!("{METADATA}/{file}")
}

/// Returns how long to wait before another try: longer each time, and not as long as the other publisher does.
pub(super) fn back_off(attempt: u32) -> Duration {
    let share = u64::from(std::process::id()) % 7 + 1;
    Duration::from_millis(10 * share * u64::from(attempt.min(10)))
}

/// The document whose replacement is the commit.
pub(super) const TIMESTAMP: &str = "timestamp.json";
/// How often a publisher merges with faster ones before it gives up.
pub(super) const ATTEMPTS: u32 = 20;
/// How many numbers in a row may be taken by files that nothing lists: each is one crash between two commits.
const MAX_SKIPPED: u64 = 1000;

#[cfg(test)]
mod tests;
