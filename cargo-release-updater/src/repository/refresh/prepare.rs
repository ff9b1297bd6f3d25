//! What a refresh decides before a key is asked for: which of what waits may be published, and what is due.

use super::{Folded, Refreshed, Renew};
use crate::error::CommandError;
use crate::repository::commit::{Commit, metadata};
use crate::repository::state::{RepositoryState, artifact_path};
use crate::repository::submission::{Base, Submission};
use crate::repository::{RepositoryError, version_file};
use crate::roles::{Document, timestamp_days};
use crate::storage::Coordination;
use updater_format::length::MAX_ROLE;
use updater_format::release::{Artifact, ChannelContents};
use updater_format::role::{MetaFile, RoleName, Root, Targets};
use updater_format::signed::{Signed, Untrusted, Verified};
use updater_format::trust::TrustError;
use updater_format::{Channel, SignaturePolicy, UtcTime};

/// Everything that is decided before a key is asked for.
pub(super) struct Prepared {
    pub(super) state: Option<RepositoryState>,
    pub(super) root: Verified<Root>,
    pub(super) targets: Targets,
    /// Documents to be created: the file, its bytes and what the snapshot says of it.
    pub(super) roles: Vec<(Folded, Document)>,
    /// What replaces the `VERSION` of channels.
    pub(super) version_files: Vec<(String, String)>,
    /// The first root and targets role of an empty storage.
    pub(super) first: bool,
    pub(super) renew_snapshot: bool,
    pub(super) due: bool,
    pub(super) new_root: bool,
}

impl Commit<'_> {
    pub(super) fn prepare(&self, renew: Renew) -> Result<Prepared, CommandError> {
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
    pub(super) fn told(&self, snapshot: Option<u64>, timestamp: Option<u64>, expires: Option<UtcTime>) -> Refreshed {
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

/// Seconds of a day.
const DAY: i64 = 86_400;
