//! A rehearsal without the online key, or without all keys of the channel: a key made for this one run signs the roles around
//! it, and the channel's own as far as too few of its keys are here. The client takes them because the rehearsal hands it
//! their root; nobody else ever sees it.

use super::sign::{Publisher, Trust, roles_in_force};
use crate::error::CommandResult;
use crate::keys::Signer;
use crate::repository::{METADATA, RepositoryError};
use crate::roles::{Document, next_snapshot, next_timestamp};
use crate::storage::Storage;
use std::rc::Rc;
use updater_format::role::{MetaFile, Payload as _, RoleName};
use updater_format::{Channel, FormatError, Keyring};

/// Where the root of the stand-in lies in the folder of a signed release.
pub const STAND_IN_ROOT: &str = "stand-in-root.json";

/// Fills a folder with what is published, its top-level roles signed by a key made for this run, and adds that key to
/// the keychain.
pub(super) fn prepare(publisher: &mut Publisher<'_>, channel: &Channel, local: &Storage) -> CommandResult<Trust> {
    let (mut root, mut targets) = roles_in_force(publisher.trust, publisher.state)?;
    let (signer, _) = Signer::generate("stand-in", None)?;
    let key = &signer.public().key;
    let keyring = Keyring::new(vec![(key.id(), key.clone())], 1).map_err(refuse("root"))?;
    root.roles = RoleName::ALL.into_iter().map(|role| (role, keyring.clone())).collect();
    root.unused_keys.clear();
    root.version = 1;
    targets.version = 1;
    let delegations = targets.delegations.iter_mut().flat_map(|delegations| &mut delegations.roles);
    for delegation in delegations.filter(|delegation| delegation.name == channel.as_str()) {
        if !publisher.keychain.can_sign(&delegation.keyring) {
            // One signature of these is enough here: of what is published already, and of the release.
            let mut keys = delegation.keyring.keys().to_vec();
            keys.push((key.id(), key.clone()));
            delegation.keyring = Keyring::new(keys, 1).map_err(refuse("targets"))?;
        }
    }
    let signer = Rc::new(signer);
    let signers = [Rc::clone(&signer)];
    let root = Document::sign("root", &root, &signers)?;
    let signed_targets = Document::sign("targets", &targets, &signers)?;
    local.put_mutable(STAND_IN_ROOT, root.bytes.clone())?;
    if let Some(state) = publisher.state {
        let put = |file: String, bytes: Vec<u8>| local.put_mutable(&format!("{METADATA}/{file}"), bytes);
        let mut changed = vec![("targets".to_owned(), signed_targets.meta.clone())];
        for (channel, role) in state.channels() {
            let bytes = role.role().bytes();
            changed.push((channel.to_string(), MetaFile::of(role.role().version(), bytes)));
            put(format!("{}.{channel}.json", role.role().version), bytes.to_vec())?;
        }
        let snapshot = next_snapshot(None, 1, changed, publisher.now);
        let snapshot = Document::sign("snapshot", &snapshot, &signers)?;
        let timestamp = next_timestamp(Some(state.timestamp()), snapshot.meta.clone(), &targets, publisher.now);
        let timestamp = Document::sign("timestamp", &timestamp, &signers)?;
        for document in [&root, &signed_targets, &snapshot, &timestamp] {
            put(document.file.clone(), document.bytes.clone())?;
        }
    }
    publisher.keychain.add_shared(signer);
    let app = publisher.trust.app.clone();
    Ok(Trust { app, root: root.bytes, targets: signed_targets.bytes, earlier: Vec::new() })
}

fn refuse(role: &'static str) -> impl Fn(FormatError) -> RepositoryError {
    move |source| RepositoryError::Trust {
        file: format!("the stand-in of {role}"),
        storage: "this run".to_owned(),
        source: Box::new(updater_format::trust::TrustError::Format { role: role.to_owned(), source }),
    }
}
