//! Adds a release to a repository so that a client sees the old state or the new one and nothing between.
//!
//! Files first, then the channel's role, the top-level roles, the snapshot, and `timestamp.json` last: it is the commit.
//! Creating `V.snapshot.json` only if absent claims the number V. What keeps two publishers apart is the storage's
//! [`Coordination`](crate::storage::Coordination): a lock; or a commit that only succeeds on the timestamp that was read; or the claim itself, which
//! is waited for until it is committed or its lease has run out. The second one merges and goes on.

mod claim;
mod confirm;
mod guard;
mod role;
mod summary;
mod upload;

pub(super) use self::claim::{Sent, Versions};
use self::confirm::Newest;
pub(super) use self::guard::WentBack;
pub use self::upload::FileProgress;
use super::METADATA;
use super::error::RepositoryError;
use super::state::{Expiry, RepositoryState};
use super::version_file;
use crate::error::CommandError;
use crate::keys::Keychain;
use crate::roles::{Document, next_snapshot, next_timestamp};
use crate::shell::Shell;
use crate::storage::{Created, Storage};
use std::path::PathBuf;
use std::time::{Duration, Instant};
use updater_format::release::{Artifact, ChannelContents};
use updater_format::role::{MetaFile, RoleName, Targets, Timestamp, TimestampExtension};
use updater_format::{AppId, Channel, ComponentName, ReleaseOf, ReleaseVersion, UtcTime};

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
    /// The roots before [`Commit::root`], from the first one on, that were never published; mostly none.
    pub earlier: &'a [Vec<u8>],
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
    /// Tells whether the role waits for the online key, or for other keys of its channel: clients do not see it yet.
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
    /// Its name, length and digest, as they are signed.
    pub artifact: Artifact,
    /// The component that it is a release of; `None` for the app itself.
    pub component: Option<ComponentName>,
    /// The release that it belongs to.
    pub version: ReleaseVersion,
    /// Where its content lies.
    pub content: PathBuf,
    /// The text of its `.minisig`, published beside it.
    pub minisig: Option<String>,
}

impl Upload {
    /// Returns the name under which people are told of it: `<sha256>.<name>`.
    #[must_use]
    pub fn name(&self) -> String {
        self.artifact.file()
    }

    /// Returns the release that it belongs to.
    #[must_use]
    pub fn release(&self) -> ReleaseOf<'_> {
        ReleaseOf { component: self.component.as_ref(), version: &self.version }
    }
}

/// A release that clients can see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Committed {
    /// The version of the timestamp; 0 when the role waits as a submission, for the online key or for more signatures.
    pub timestamp: u64,
    /// The version of the snapshot; 0 then, too.
    pub snapshot: u64,
    /// The version of the channel's role; 0 when only the online roles were signed.
    pub role: u64,
}

/// Turns a channel's role as it is now, and what it lists, into the one to publish.
type Edit<'a> = dyn FnMut(&mut Targets, Option<&ChannelContents>) -> Result<(), CommandError> + 'a;

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
    /// publisher was faster, so it must look at what it is given and not at what it saw before. Without the online key
    /// that is what waits for it, if anything does: then both wait, as one role.
    /// # Errors
    /// [`RepositoryError`] as a [`CommandError`], or what `edit` returns; then clients still see the old state, and
    /// running it again continues.
    pub fn publish(
        &mut self,
        channel: &Channel,
        mut edit: impl FnMut(&mut Targets, Option<&ChannelContents>) -> Result<(), CommandError>,
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
        self.merging(|commit| commit.attempt(change))
    }

    /// Tries under the storage's lock until nobody was faster.
    pub(super) fn merging<T>(
        &mut self,
        mut attempt: impl FnMut(&mut Self) -> Result<Option<T>, CommandError>,
    ) -> Result<T, CommandError> {
        let shell = self.shell;
        let _lock = self.storage.lock(|| shell.status("Waiting", "for another publisher of this folder"))?;
        self.tell_coordination()?;
        for tried in 0..ATTEMPTS {
            self.storage.start_over();
            if let Some(done) = attempt(self)? {
                return Ok(done);
            }
            shell.status("Merging", "with what another publisher has published meanwhile");
            std::thread::sleep(back_off(tried));
        }
        Err(RepositoryError::Overtaken { attempts: ATTEMPTS }.into())
    }

    /// Tries once; `None` when another publisher was faster.
    fn attempt(&mut self, change: &mut Change<'_, '_>) -> Result<Option<Committed>, CommandError> {
        // Looked at before anything is read, so that whatever is committed from now on is noticed.
        let expected = self.storage.precondition(&metadata(TIMESTAMP))?;
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
        let online = [RoleName::Snapshot, RoleName::Timestamp];
        let online = online.iter().all(|role| self.keychain.can_sign(root.keyring(*role)));
        let edited = match change {
            Change::Role(channel, edit) => Some(self.edit_role(channel, *edit, state.as_ref(), &targets, online)?),
            Change::Withheld(edit) => {
                let missing = || RepositoryError::NothingPublished { storage: self.storage.name().to_owned() };
                edit(extension.get_or_insert_default(), state.as_ref().ok_or_else(missing)?)?;
                None
            }
        };
        if let Some(edited) = &edited
            && (edited.lacks_signatures() || !online)
        {
            return Ok(self.submit(edited)?);
        }
        // Asked for now: a missing online key must be told before anything is written.
        let snapshot_signers = self.keychain.signers("snapshot", root.keyring(RoleName::Snapshot))?;
        let timestamp_signers = self.keychain.signers("timestamp", root.keyring(RoleName::Timestamp))?;
        let signed = edited.map(|edited| self.create_role(edited)).transpose()?;
        match &signed {
            Some(signed) => self.check_clock(&metadata(&format!("{}.{}.json", signed.version, signed.channel)))?,
            None => self.check_clocks()?,
        }

        // The top-level roles, which people signed elsewhere.
        let targets_meta = match &state {
            Some(state) => state.snapshot().roles.get("targets").cloned(),
            None => {
                self.publish_first_root(root.version)?;
                Some(self.publish_first_targets(targets.version)?)
            }
        };
        let mut changed: Vec<(String, MetaFile)> =
            signed.iter().map(|signed| (signed.channel.to_string(), signed.meta.clone())).collect();
        changed.extend(targets_meta.map(|meta| ("targets".to_owned(), meta)));

        // The claim. Its lease runs from before it can be seen.
        let claimed = Instant::now();
        let mut snapshot = next_snapshot(state.as_ref().map(|state| &**state.snapshot()), free, changed, self.now);
        self.mark_claim(&mut snapshot);
        let snapshot = Document::sign("snapshot", &snapshot, &snapshot_signers).map_err(RepositoryError::from)?;
        if self.storage.put_new(&metadata(&snapshot.file), snapshot.bytes.clone())? == Created::Exists {
            return Ok(None);
        }

        // The commit, unless somebody took this claim for abandoned.
        let timestamp = next_timestamp(timestamp_before, snapshot.meta.clone(), &targets, self.now);
        let timestamp = Timestamp { extension, ..timestamp };
        if self.overtaken(Versions::of(state.as_ref()), free, claimed)? {
            return Ok(None);
        }
        let document = Document::sign("timestamp", &timestamp, &timestamp_signers).map_err(RepositoryError::from)?;
        if let Some(signed) = &signed {
            self.storage.put_with_commit(&version_file::path(&signed.channel), signed.version_file.as_bytes());
        }
        let sent = self.replace_timestamp(document.bytes.clone(), &expected, claimed)?;
        let role = signed.as_ref().map_or(0, |signed| signed.version);
        let committed = Committed { timestamp: timestamp.version, snapshot: free, role };
        let named: Vec<(&str, &[u8])> = signed
            .iter()
            .map(|signed| (signed.file.as_str(), signed.bytes.as_slice()))
            .chain([(snapshot.file.as_str(), snapshot.bytes.as_slice())])
            .collect();
        let newest = self.look_after_commit(&document.bytes, &named, || match (&mut *change, &signed) {
            (Change::Withheld(edit), _) => self.confirm_withheld(*edit, &timestamp, &sent),
            (_, Some(signed)) => self.confirm_role(signed),
            (_, None) => Ok(None),
        })?;
        match (newest, sent) {
            (None, Sent::Late(error)) => Err(error.into()),
            (None, _) => Ok(None),
            (Some(newest), _) => {
                if let (Newest::Ours, Some(signed)) = (newest, &signed) {
                    self.publish_version_file(&signed.channel, signed.version, &signed.version_file);
                }
                Ok(Some(committed))
            }
        }
    }
}

pub(super) fn metadata(file: &str) -> String {
    format!("{METADATA}/{file}")
}

/// Returns how long to wait before another try: longer each time, and not as long as the other publisher does.
fn back_off(attempt: u32) -> Duration {
    let share = u64::from(std::process::id()) % 7 + 1;
    Duration::from_millis(10 * share * u64::from(attempt.min(10)))
}

/// The document whose replacement is the commit.
pub(super) const TIMESTAMP: &str = "timestamp.json";
/// How often a publisher merges with faster ones before it gives up.
const ATTEMPTS: u32 = 20;
/// How many numbers in a row may be taken by files that nothing lists: each is one crash between two commits.
const MAX_SKIPPED: u64 = 1000;

#[cfg(test)]
mod tests;
