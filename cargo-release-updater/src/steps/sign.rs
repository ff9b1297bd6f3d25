//! Signing: a complete repository in a local folder, exactly as it would be published, for the rehearsal and for
//! whoever copies it somewhere by hand.
//!
//! The documents that are published now are copied beside the new ones, so that a client can walk from any root to the
//! new release. The root's key is never needed here.

use super::bundle::BundleStepError;
use super::release::Release;
use crate::config::Project;
use crate::error::{CommandError, CommandResult};
use crate::keys::{KeyError, Keychain, Signer};
use crate::repository::{
    Commit, Committed, FileProgress, Lease, METADATA, RepositoryError, RepositoryState, Upload, first_roles,
};
use crate::shell::Shell;
use crate::storage::{Storage, StorageError};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use updater_format::length::MAX_ROOT;
use updater_format::role::{RoleName, Root, Targets};
use updater_format::signed::{Signed, Untrusted};
use updater_format::trust::find_channel;
use updater_format::{AppId, Channel, Keyring, UtcTime};

/// What a project is trusted by: the files that people signed and committed.
#[derive(Debug, Clone)]
pub struct Trust {
    /// The app.
    pub app: AppId,
    /// The bytes of `updater/root.json`.
    pub root: Vec<u8>,
    /// The bytes of `updater/targets.json`.
    pub targets: Vec<u8>,
    /// The bytes of the roots before that one, from the first on, in order: `updater/N.root.json`; none when not all are kept.
    pub earlier: Vec<Vec<u8>>,
}

impl Trust {
    /// Reads the files of a project.
    /// # Errors
    /// [`ProjectError::NotSetUp`](crate::config::ProjectError::NotSetUp) before `init`; [`BundleStepError::NoRoot`] when
    /// a file is missing.
    pub fn of(project: &Project) -> CommandResult<Self> {
        let root = project.root_file()?;
        let targets = crate::init::targets_file(&root);
        let read = |path: PathBuf| std::fs::read(&path).map_err(|source| BundleStepError::NoRoot { path, source });
        let own = read(root.clone())?;
        let kept = kept_roots(&root, &own)?;
        let is_whole = kept.first().and_then(|first| version_of(first)) == Some(1);
        let earlier = if is_whole { kept } else { Vec::new() };
        Ok(Self { app: project.table()?.app.clone(), root: own, targets: read(targets)?, earlier })
    }
}

/// Reads the roots before the project's own that ceremonies have kept beside it, as `N.root.json`, in order and without a gap.
/// Nobody has verified them.
/// # Errors
/// [`BundleStepError::NoRoot`] when one cannot be read.
pub fn kept_roots(root_file: &Path, root: &[u8]) -> Result<Vec<Vec<u8>>, BundleStepError> {
    let mut kept = Vec::new();
    for version in (1..version_of(root).unwrap_or(1)).rev() {
        let path = crate::init::earlier_root_file(root_file, version);
        match std::fs::read(&path) {
            Ok(bytes) => kept.push(bytes),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => break,
            Err(source) => return Err(BundleStepError::NoRoot { path, source }),
        }
    }
    kept.reverse();
    Ok(kept)
}

fn version_of(root: &[u8]) -> Option<u64> {
    Signed::<Root>::parse(&Untrusted::new(root)).ok().map(|root| root.unverified().version)
}

/// A release with its signatures, in a repository of its own on this disk.
#[derive(Debug)]
pub struct SignedRelease {
    pub(super) release: Release,
    pub(super) uploads: Vec<Upload>,
    folder: PathBuf,
    committed: Committed,
    root: Vec<u8>,
}

impl SignedRelease {
    /// Returns the release.
    #[must_use]
    pub fn release(&self) -> &Release {
        &self.release
    }

    /// Returns the folder of the repository.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Returns the root by which a client trusts this folder: the project's, or a stand-in where the online key is
    /// elsewhere.
    #[must_use]
    pub fn root(&self) -> &[u8] {
        &self.root
    }

    /// Returns the versions of the new documents in it.
    #[must_use]
    pub fn committed(&self) -> Committed {
        self.committed
    }
}

/// Who publishes, where, and with what. Built once per command.
#[derive(Debug)]
pub struct Publisher<'a> {
    /// What the project is trusted by.
    pub trust: &'a Trust,
    /// Where it is published.
    pub storage: &'a Storage,
    /// What is published there now.
    pub state: Option<&'a RepositoryState>,
    /// The keys on this machine.
    pub keychain: &'a mut Keychain,
    /// The time from which expiries count.
    pub now: UtcTime,
    /// Where progress is told.
    pub shell: &'a Shell,
}

impl Publisher<'_> {
    /// Adds a release to a storage by the commit protocol.
    pub(super) fn commit(
        &mut self,
        storage: &Storage,
        trust: &Trust,
        release: &Release,
        uploads: &[Upload],
        sent: impl FnMut(&str, FileProgress),
    ) -> CommandResult<Committed> {
        let mut commit = Commit {
            storage,
            app: &trust.app,
            root: &trust.root,
            targets: &trust.targets,
            earlier: &trust.earlier,
            keychain: self.keychain,
            now: self.now,
            lease: Lease::default(),
            shell: self.shell,
        };
        commit.upload(uploads, sent)?;
        commit.publish(release.channel(), |role, before| {
            release.edit(role, before).map_err(CommandError::from)?;
            Ok(())
        })
    }
}

/// Signs a release on top of what is published, into a new repository in `folder`; what lay there is removed.
/// # Errors
/// A missing key, a version that is not greater, a storage or a disk that fails: each with its own exit code and help.
pub fn sign(release: Release, publisher: &mut Publisher<'_>, folder: &Path) -> CommandResult<SignedRelease> {
    let failed = |source| StorageError::Io { action: "prepare", path: folder.to_owned(), source };
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(failed(error).into()),
        _ => {}
    }
    let local = Storage::open_scratch(folder)?;
    let needed = keyrings(release.channel(), publisher.trust, publisher.state)?;
    // The role of a channel that several people sign is complete when the last of them has.
    let all_are_here = needed.iter().all(|(_, keyring)| publisher.keychain.can_sign(keyring));
    let trust = match (all_are_here, publisher.state) {
        (false, _) => super::stand_in::prepare(publisher, release.channel(), &local)?,
        (true, Some(state)) => {
            copy_published(publisher.trust, publisher.storage, state, &local)?;
            publisher.trust.clone()
        }
        (true, None) => publisher.trust.clone(),
    };
    let signer = channel_signer(release.channel(), publisher)?;
    let uploads = release.uploads(&signer)?;
    let committed = publisher.commit(&local, &trust, &release, &uploads, |_, _| {})?;
    Ok(SignedRelease { release, uploads, folder: folder.to_owned(), committed, root: trust.root })
}

/// Returns the keyrings that a release needs: of the channel's role, the snapshot and the timestamp.
/// # Errors
/// [`RepositoryError::Trust`] when the project's own root or targets role does not verify,
/// [`RepositoryError::NoChannel`] when there is no such channel.
pub fn keyrings(
    channel: &Channel,
    trust: &Trust,
    state: Option<&RepositoryState>,
) -> Result<[(String, Keyring); 3], RepositoryError> {
    let (root, targets) = roles_in_force(trust, state)?;
    let delegation = find_channel(&targets, channel).map_err(|_| RepositoryError::no_channel(channel, &targets))?;
    let of_root = |role: RoleName| (role.to_string(), root.keyring(role).clone());
    let channel = (channel.to_string(), delegation.keyring.clone());
    Ok([channel, of_root(RoleName::Snapshot), of_root(RoleName::Timestamp)])
}

/// Returns the root and the top-level targets role in force: the published ones, else the project's own, verified.
/// # Errors
/// [`RepositoryError::Trust`] when the project's own do not verify.
pub fn roles_in_force(trust: &Trust, state: Option<&RepositoryState>) -> Result<(Root, Targets), RepositoryError> {
    match state {
        Some(state) => Ok(((**state.root()).clone(), (**state.targets()).clone())),
        None => first_roles(&trust.app, &trust.root, &trust.targets),
    }
}

/// Returns the root and the targets role that the next ones follow: the newest that are known. `newest` is the newest root
/// that is published, which may be ahead of what is read of `state`; the project's own targets role counts when it is newer
/// than the published one, as after a return to an old copy.
/// # Errors
/// [`RepositoryError::Trust`] when nothing is published and the project's own do not verify.
pub fn newest_roles(
    trust: &Trust,
    state: Option<&RepositoryState>,
    newest: Option<&Root>,
) -> Result<(Root, Targets), RepositoryError> {
    let (root, targets) = roles_in_force(trust, state)?;
    let root = newest.filter(|newest| newest.version > root.version).cloned().unwrap_or(root);
    let own = Signed::<Targets>::parse(&Untrusted::new(&*trust.targets));
    let own = own.ok().filter(|own| own.unverified().version > targets.version);
    let own = own.and_then(|own| own.verify("targets", root.keyring(RoleName::Targets), Default::default()).ok());
    Ok((root, own.map_or(targets, |own| (*own).clone())))
}

/// Unlocks the first key of a channel that is here: it makes the detached signatures.
fn channel_signer(channel: &Channel, publisher: &mut Publisher<'_>) -> CommandResult<Rc<Signer>> {
    let [(role, keyring), ..] = keyrings(channel, publisher.trust, publisher.state)?;
    let signers = publisher.keychain.some_signers(&role, &keyring)?;
    let missing = || KeyError::NotEnough {
        role,
        have: 0,
        threshold: keyring.threshold(),
        wanted: String::new(),
        folder: publisher.keychain.folder().path().to_owned(),
    };
    Ok(signers.into_iter().next().ok_or_else(missing)?)
}

/// Copies the documents that clients see now, and every root on the way to the newest one.
fn copy_published(
    trust: &Trust,
    published: &Storage,
    state: &RepositoryState,
    local: &Storage,
) -> Result<(), RepositoryError> {
    let known = version_of(&trust.root).unwrap_or(1);
    for version in known..=state.root().version {
        let path = format!("{METADATA}/{version}.root.json");
        if let Some(bytes) = published.read(&path, MAX_ROOT)? {
            local.put_mutable(&path, bytes)?;
        }
    }
    let put = |file: String, bytes: &[u8]| local.put_mutable(&format!("{METADATA}/{file}"), bytes.to_vec());
    for (channel, role) in state.channels() {
        put(format!("{}.{channel}.json", role.role().version), role.role().bytes())?;
    }
    put(format!("{}.targets.json", state.targets().version), state.targets().bytes())?;
    put(format!("{}.snapshot.json", state.snapshot().version), state.snapshot().bytes())?;
    put("timestamp.json".to_owned(), state.timestamp().bytes())?;
    Ok(())
}
