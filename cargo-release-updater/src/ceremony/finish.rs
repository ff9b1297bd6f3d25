//! From signed drafts to what clients trust: the root is published first, roles wait for the online key, and the
//! project's own files follow when clients can see all of it.

use super::folder::write_durably;
use super::{Ceremony, CeremonyError, Cosign, Documents, Draft, Folder, Missing, ROOT, TARGETS};
use crate::error::CommandResult;
use crate::keys::Keychain;
use crate::repository::{Base, METADATA, RepositoryError, RepositoryState, Submission, version_file};
use crate::roles::{Document, next_channel};
use crate::steps::promote::{Detached, sign_again};
use crate::storage::{Created, Replaced, Storage};
use std::path::Path;
use updater_format::length::MAX_ROOT;
use updater_format::role::{DelegatedRole, RoleName, Root, Targets};
use updater_format::signed::{Signed, Untrusted};
use updater_format::trust::TrustedChannel;
use updater_format::{AppId, Channel, Keyring, PublicKey, SignaturePolicy, UtcTime, signed};

/// How far a ceremony has come whose drafts are signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// Clients see it; the project's files were replaced and the drafts removed.
    Done,
    /// What was signed is in the storage and waits for the online key.
    WaitsForOnlineKey,
}

impl Ceremony {
    /// Publishes the root, and leaves the targets role, and the roles of channels whose keys change, for the online key.
    /// May be done again. Nothing of it needs the online key. Returns who has to sign before: the new keys of a channel
    /// sign its role here, one after the other, and until enough have nothing is published.
    /// # Errors
    /// [`CeremonyError::Outdated`] when something newer is published; what the storage or a key returns.
    pub fn publish(
        &self,
        app: &AppId,
        storage: &Storage,
        state: Option<&RepositoryState>,
        keychain: &mut Keychain,
        now: UtcTime,
    ) -> CommandResult<Vec<Missing>> {
        // A repository that is empty gets the new documents with its first release.
        let Some(state) = state else { return Ok(Vec::new()) };
        if let Some(draft) = &self.targets {
            let (draft, published) = (&draft.payload, state.targets());
            let same = signed::message(draft) == signed::message(&**published);
            if draft.version < published.version || draft.version == published.version && !same {
                return Err(outdated("targets", draft.version, published.version).into());
            }
            // The roles of channels first: without the targets role they are only waiting.
            let missing = self.sign_channels(app, storage, state, draft, keychain, now)?;
            if !missing.is_empty() {
                return Ok(missing);
            }
        }
        self.publish_root(storage)?;
        if let Some(draft) = &self.targets
            && draft.payload.version > state.targets().version
        {
            leave(&Submission::new(&draft.bytes(), None, None), storage, "targets", draft.payload.version)?;
        }
        Ok(Vec::new())
    }

    fn publish_root(&self, storage: &Storage) -> CommandResult {
        let Some(draft) = &self.root else { return Ok(()) };
        let path = root_path(draft.payload.version);
        if storage.put_new(&path, draft.bytes())? == Created::New {
            return Ok(());
        }
        // The same one may have been published with other signatures of its holders.
        let there = storage.read(&path, MAX_ROOT)?.unwrap_or_default();
        let there = Signed::<Root>::parse(&Untrusted::new(there));
        match there.is_ok_and(|there| there.message() == draft.message()) {
            true => Ok(()),
            false => Err(outdated("root", draft.payload.version, draft.payload.version).into()),
        }
    }

    /// Tells whether clients see what was signed, and if so replaces the project's files and removes the drafts. Before, `page`
    /// brings the page for people up to it, and `table` the project's settings in line with the new root.
    /// # Errors
    /// What reading the storage or writing the files returns.
    pub fn settle(
        &mut self,
        app: &AppId,
        storage: &Storage,
        root_file: &Path,
        root: &[u8],
        table: &dyn Fn(&Root) -> CommandResult,
        page: &dyn Fn(),
    ) -> CommandResult<Progress> {
        let (state, newest) = RepositoryState::read_behind(storage, app, root)?;
        if let Some(state) = &state {
            let root_is_in_force = state.root().version == newest.version
                && self.root.as_ref().is_none_or(|draft| newest.version >= draft.payload.version);
            let targets_are = self.targets.as_ref().is_none_or(|t| state.targets().version >= t.payload.version);
            if !root_is_in_force || !targets_are {
                return Ok(Progress::WaitsForOnlineKey);
            }
            catch_up(storage, state)?;
            page();
        }
        // From here on the two files of the project do not fit each other until both are written.
        self.request.settling = true;
        self.folder.set_request(&self.request)?;
        settle(&self.folder, storage, root_file, table)?;
        Ok(Progress::Done)
    }

    /// Returns the roles of channels that their new keys have begun to sign.
    /// # Errors
    /// What reading the storage returns.
    pub fn waiting_channels(
        &self,
        storage: &Storage,
        state: Option<&RepositoryState>,
    ) -> Result<Vec<Cosign>, RepositoryError> {
        let (Some(draft), Some(state)) = (&self.targets, state) else { return Ok(Vec::new()) };
        let mut waiting = Vec::new();
        for (channel, published) in state.channels() {
            let Some(delegation) = draft.payload.delegation(channel.as_str()) else { continue };
            let before = state.targets().delegation(channel.as_str()).map(|before| &before.keyring);
            if before != Some(&delegation.keyring) {
                waiting.extend(waits(storage, channel, published, delegation)?);
            }
        }
        Ok(waiting)
    }

    /// Signs the roles of channels whose keys the new targets role changes with the new keys, and their files.
    fn sign_channels(
        &self,
        app: &AppId,
        storage: &Storage,
        state: &RepositoryState,
        targets: &Targets,
        keychain: &mut Keychain,
        now: UtcTime,
    ) -> CommandResult<Vec<Missing>> {
        let documents = Documents::of(self.next_root(), targets);
        let mut missing = Vec::new();
        for (channel, published) in state.channels() {
            let Some(delegation) = targets.delegation(channel.as_str()) else { continue };
            let before = state.targets().delegation(channel.as_str()).map(|before| &before.keyring);
            if before == Some(&delegation.keyring) {
                continue;
            }
            let name = |key: &PublicKey| documents.id_of(key);
            // Those who signed it in an earlier run of this very step have left it there.
            let waiting = match waits(storage, channel, published, delegation)? {
                Some(waiting) => Some(waiting),
                None if keychain.count(&delegation.keyring) == 0 => None,
                None => {
                    sign_channel(app, storage, (channel, published), &delegation.keyring, keychain, now)?;
                    waits(storage, channel, published, delegation)?
                }
            };
            match waiting {
                Some(mut waiting) => {
                    if waiting.sign(keychain)? > 0 {
                        waiting.leave(storage)?;
                    }
                    missing.extend(waiting.missing(&name));
                }
                None => missing.push(Missing {
                    document: channel.to_string(),
                    keys_of: "its keys",
                    have: 0,
                    threshold: delegation.keyring.threshold(),
                    wanted: documents.ids(&delegation.keyring),
                }),
            }
        }
        Ok(missing)
    }
}

/// Leaves the published role of a channel, signed with those of its new keys that are here, for the others and for the
/// online key; and with it the signatures of its files, which take the place of the old ones when it is in force.
fn sign_channel(
    app: &AppId,
    storage: &Storage,
    (channel, published): (&Channel, &TrustedChannel),
    keyring: &Keyring,
    keychain: &mut Keychain,
    now: UtcTime,
) -> CommandResult {
    let signers = keychain.some_signers(channel.as_str(), keyring)?;
    let mut role = next_channel(app, channel, Some(published.role()), now);
    // A number that an interrupted publisher has taken stays taken.
    while storage.length(&format!("{METADATA}/{}.{channel}.json", role.version))?.is_some() {
        role.version += 1;
    }
    let document = Document::sign(channel.as_str(), &role, &signers)?;
    let first = signers.first();
    let version_file = first.map(|signer| version_file::signed(app, channel, &role, signer)).transpose()?;
    let minisigs = first.map(|signer| sign_again(app, channel, published.contents(), storage, signer)).transpose()?;
    let minisigs = minisigs.unwrap_or_default().into_iter().map(Detached::into_parts).collect();
    let base = Some(Base::of(published.role()));
    let submission = Submission::new(&document.bytes, base, version_file).with_minisigs(minisigs);
    leave(&submission, storage, channel.as_str(), role.version)
}

/// Publishes the `VERSION` of channels whose new role is in force, and the signatures of their files: whoever folded the role
/// in may have been stopped before that, and the old ones are by a key that counts no more.
fn catch_up(storage: &Storage, state: &RepositoryState) -> CommandResult {
    for channel in state.channels().keys() {
        let submission = Submission::read(storage, channel.as_str())?;
        let Some(submission) = submission.filter(|one| one.is(state, channel.as_str())) else { continue };
        submission.publish_minisigs(storage)?;
        if let Some(text) = submission.version_file {
            storage.put_mutable(&version_file::path(channel), text.into_bytes())?;
        }
    }
    Ok(())
}

/// Replaces the project's files by the drafts and removes these: the last step, in which a stopped command goes on. Returns
/// the documents that were replaced.
/// # Errors
/// What reading the storage or writing the files returns.
pub fn settle(
    folder: &Folder,
    storage: &Storage,
    root_file: &Path,
    table: &dyn Fn(&Root) -> CommandResult,
) -> CommandResult<Vec<&'static str>> {
    let mut replaced = Vec::new();
    if let Some(draft) = Draft::<Targets>::load(folder, TARGETS, "targets role")? {
        write_durably(&crate::init::targets_file(root_file), &draft.bytes())?;
        replaced.push("targets");
    }
    if let Some(draft) = Draft::<Root>::load(folder, ROOT, "root")? {
        table(&draft.payload)?;
        // As it is published, where it is: others may have signed that one.
        let published = storage.read(&root_path(draft.payload.version), MAX_ROOT)?;
        let before = std::fs::read(root_file).ok();
        if let Some(before) = &before {
            keep_replaced(before, draft.payload.version, root_file)?;
        }
        let published = published.filter(|bytes| is_signed_alike(bytes, &draft, before.as_deref()));
        write_durably(root_file, &published.unwrap_or_else(|| draft.bytes()))?;
        replaced.push("root");
    }
    folder.remove()?;
    Ok(replaced)
}

/// Keeps the root before the drafted one beside it, as `N.root.json`: a storage that is wiped needs all of them, because
/// installed copies follow them one by one; and an old copy of a storage is verified by the root of its time.
fn keep_replaced(before: &[u8], drafted: u64, root_file: &Path) -> Result<(), CeremonyError> {
    let Ok(root) = Signed::<Root>::parse(&Untrusted::new(before)) else { return Ok(()) };
    let version = root.unverified().version;
    match version < drafted {
        true => write_durably(&crate::init::earlier_root_file(root_file, version), before),
        false => Ok(()),
    }
}

/// Tells whether what a storage returned is the drafted root with signatures that count, by its own keys and by those of
/// the root before it. The next build trusts these bytes, and a storage may return anything.
fn is_signed_alike(published: &[u8], draft: &Draft<Root>, before: Option<&[u8]>) -> bool {
    let parse = |bytes: &[u8]| Signed::<Root>::parse(&Untrusted::new(bytes)).ok();
    let Some(published) = parse(published).filter(|published| published.message() == draft.message()) else {
        return false;
    };
    let before = before.and_then(parse);
    let keyrings = before.iter().map(Signed::unverified).chain([&draft.payload]);
    keyrings.map(|root| root.keyring(RoleName::Root)).all(|keyring| {
        let valid = keyring.count_valid(SignaturePolicy::default(), published.message(), published.signatures());
        valid >= keyring.threshold()
    })
}

/// Finds the channel's role, as it is published, that its new keys have begun to sign: in an earlier run of this very step.
pub(super) fn waits(
    storage: &Storage,
    channel: &Channel,
    published: &TrustedChannel,
    delegation: &DelegatedRole,
) -> Result<Option<Cosign>, RepositoryError> {
    let waiting = match Cosign::find(storage, channel, &delegation.keyring, Some(published)) {
        // It is built on something else, and nobody can publish it any more.
        Err(RepositoryError::BaseChanged { .. }) => return Ok(None),
        waiting => waiting?,
    };
    let Some(waiting) = waiting else { return Ok(None) };
    let (ours, theirs) = (waiting.role(), published.role());
    let said = |role: &Targets| role.extension.as_ref().map(|said| (said.rules.clone(), said.components.clone()));
    if ours.targets != theirs.targets || said(ours) != said(theirs) {
        // A release that waits: it would be lost, or be signed by people who have not looked at it.
        return Err(RepositoryError::Waiting { channel: channel.clone(), version: ours.version });
    }
    Ok(Some(waiting))
}

fn leave(submission: &Submission, storage: &Storage, role: &str, version: u64) -> CommandResult {
    match submission.put(storage, role)? {
        Replaced::Done => Ok(()),
        Replaced::Changed => Err(RepositoryError::NumberGone { role: role.to_owned(), version }.into()),
    }
}

fn root_path(version: u64) -> String {
    format!("{METADATA}/{version}.root.json")
}

fn outdated(role: &str, draft: u64, published: u64) -> CeremonyError {
    CeremonyError::Outdated { role: role.to_owned(), draft, published }
}
