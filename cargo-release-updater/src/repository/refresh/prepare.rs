//! What a refresh decides before a key is asked for: which of what waits may be published, and what is due.

use super::{Folded, Refreshed, Renew, Skipped};
use crate::error::CommandError;
use crate::repository::RepositoryError;
use crate::repository::commit::{Commit, metadata};
use crate::repository::state::RepositoryState;
use crate::repository::submission::{Base, Submission};
use crate::roles::{Document, timestamp_days};
use crate::storage::Coordination;
use updater_format::length::MAX_ROLE;
use updater_format::release::ChannelContents;
use updater_format::role::{DelegatedRole, MetaFile, RoleName, Root, Targets};
use updater_format::signed::{Signed, Untrusted, Verified};
use updater_format::trust::{TrustError, TrustedChannel};
use updater_format::{Channel, SignaturePolicy, UtcTime};

/// Everything that is decided before a key is asked for.
pub(super) struct Prepared {
    pub(super) state: Option<RepositoryState>,
    pub(super) root: Verified<Root>,
    pub(super) targets: Targets,
    /// Documents to be created: the file, its bytes and what the snapshot says of it.
    pub(super) roles: Vec<(Folded, Document)>,
    /// What waits and is left where it is.
    pub(super) left: Vec<Skipped>,
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
        let mut left = Vec::new();
        let (waiting, skipped) = skip("targets", self.waiting_targets(state.as_ref(), &root))?;
        let waiting = waiting.flatten();
        left.extend(skipped);
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
            let (waiting, skipped) = skip(channel.as_str(), self.waiting_channel(&channel, delegation, published))?;
            match (waiting.flatten(), published, skipped) {
                (Some(role), ..) => {
                    let folded = Folded { role: channel.to_string(), version: role.version };
                    roles.push((folded, Document::of(channel.as_str(), &role)));
                }
                // A delegation with other keys needs a role that they have signed.
                (None, Some(published), refused) => {
                    let checked = self.check_keys(channel.as_str(), published.role().bytes(), &delegation.keyring);
                    match (checked, refused) {
                        (Ok(()), refused) => left.extend(refused),
                        (Err(other_keys), None) => return Err(other_keys.into()),
                        (Err(_), Some(refused)) => return Err(refused.into_error()),
                    }
                }
                (None, None, refused) => left.extend(refused),
            }
        }
        let first = state.is_none();
        if first {
            self.refuse_lost_timestamp()?;
        }
        if first && roles.is_empty() {
            if let Some(skipped) = left.into_iter().next() {
                return Err(skipped.into_error());
            }
            return Err(RepositoryError::NothingPublished { storage: self.storage.name().to_owned() }.into());
        }
        // A snapshot of other keys is none for clients of the new root.
        let other_snapshot_keys = state.as_ref().is_some_and(|state| {
            self.check_keys("snapshot", state.snapshot().bytes(), root.keyring(RoleName::Snapshot)).is_err()
        });
        let old_snapshot = state.as_ref().is_some_and(|state| {
            state.snapshot().expires.unix() - self.now.unix() < crate::roles::SNAPSHOT_DAYS * DAY / 2
        });
        let life = state.as_ref().map_or(0, |state| state.timestamp().expires.unix() - self.now.unix());
        let other_timestamp_keys = state.as_ref().is_some_and(|state| {
            self.check_keys("timestamp", state.timestamp().bytes(), root.keyring(RoleName::Timestamp)).is_err()
        });
        let due = renew == Renew::Always || other_timestamp_keys || life < timestamp_days(&targets) * DAY / 2;
        // A timestamp alone makes no claim, and nobody would see it coming.
        let claims = due && self.storage.coordination() == Coordination::Claim;
        let renew_snapshot = first || !roles.is_empty() || other_snapshot_keys || old_snapshot || claims;
        Ok(Prepared { state, root, targets, roles, left, first, renew_snapshot, due, new_root })
    }

    fn refuse_expired(&self, role: &str, since: UtcTime) -> Result<(), RepositoryError> {
        match since <= self.now {
            true => Err(RepositoryError::Expired { role: role.to_owned(), since }),
            false => Ok(()),
        }
    }

    /// Returns the role of a channel that waits, when it is above the published one.
    fn waiting_channel(
        &self,
        channel: &Channel,
        delegation: &DelegatedRole,
        published: Option<&TrustedChannel>,
    ) -> Result<Option<Verified<Targets>>, RepositoryError> {
        let Some(submission) = Submission::read(self.storage, channel.as_str())? else { return Ok(None) };
        let role = submission.parse(self.storage, channel.as_str())?;
        let version = role.unverified().version;
        if version <= published.map_or(0, |published| published.role().version) {
            self.tell_lost(channel.as_str(), version, &submission)?;
            return Ok(None);
        }
        let unsigned = RepositoryError::waiting(channel.clone(), &role, &delegation.keyring);
        if matches!(unsigned, RepositoryError::Unsigned { .. }) {
            return Err(unsigned);
        }
        let role = role
            .verify(channel.as_str(), &delegation.keyring, SignaturePolicy::default())
            .map_err(|source| self.refuse_submission(channel.as_str(), source))?;
        if published.map(|published| Base::of(published.role())) != submission.base {
            return Err(RepositoryError::BaseChanged { channel: channel.clone(), version });
        }
        self.check_submission(channel, &role)?;
        self.check_number(channel.as_str(), &role)?;
        Ok(Some(role))
    }

    /// Refuses a role whose number was given to another document.
    fn check_number(&self, name: &str, role: &Verified<Targets>) -> Result<(), RepositoryError> {
        let there = self.storage.read(&metadata(&format!("{}.{name}.json", role.version)), MAX_ROLE)?;
        match there.is_none_or(|there| there == role.bytes()) {
            true => Ok(()),
            false => Err(RepositoryError::NumberGone { role: name.to_owned(), version: role.version }),
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
        self.check_number("targets", &role)?;
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
        for entry in contents.entries() {
            let artifact = entry.artifact();
            let path = self.storage.artifact_path(artifact, entry.release());
            if self.storage.length(&path)? != Some(artifact.length) {
                let storage = self.storage.name().to_owned();
                return Err(crate::storage::StorageError::Missing { path, storage }.into());
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
    /// Tells whether a role that waits is folded in.
    pub(super) fn folds(&self, role: &str) -> bool {
        self.roles.iter().any(|(folded, _)| folded.role == role)
    }

    pub(super) fn told(&self, snapshot: Option<u64>, timestamp: Option<u64>, expires: Option<UtcTime>) -> Refreshed {
        Refreshed {
            root: self.root.version,
            new_root: self.new_root,
            skipped: self.left.clone(),
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

/// Turns what is wrong with one submission into a reason to leave it there: the other roles go on. What the storage fails
/// at stops everything.
fn skip<T>(role: &str, waiting: Result<T, RepositoryError>) -> Result<(Option<T>, Option<Skipped>), RepositoryError> {
    use crate::storage::StorageError::{Io, Service, Stopped};
    match waiting {
        Ok(waiting) => Ok((Some(waiting), None)),
        Err(error @ RepositoryError::Storage(Io { .. } | Service { .. } | Stopped { .. })) => Err(error),
        Err(error) => {
            let error = CommandError::from(error);
            let (problem, code) = (error.to_string(), error.code);
            Ok((None, Some(Skipped { role: role.to_owned(), problem, hints: error.hints, code })))
        }
    }
}

impl Skipped {
    /// Returns it as the failure of a command that could do nothing else.
    fn into_error(self) -> CommandError {
        let error = CommandError::new(self.code, self.problem);
        self.hints.into_iter().fold(error, CommandError::hint)
    }
}

/// Seconds of a day.
const DAY: i64 = 86_400;
