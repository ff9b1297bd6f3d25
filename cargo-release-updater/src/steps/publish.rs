//! Publishing: the files first, then the documents, `timestamp.json` last. Only what was rehearsed gets here.

use super::rehearse::Rehearsed;
use super::sign::Publisher;
use crate::error::CommandResult;
use crate::progress::Progress;
use crate::repository::{Committed, Upload};
use std::collections::BTreeMap;

/// A release that clients can see.
#[derive(Debug)]
pub struct Published {
    /// The versions of its documents.
    pub committed: Committed,
    /// How many files were uploaded or found there.
    pub files: usize,
    /// Their bytes.
    pub bytes: u64,
}

/// Publishes a rehearsed release. What an interrupted run has uploaded is not uploaded again; when another publisher was
/// faster, the release is added to what it published. The protocol ends by reading everything back as a client does.
/// # Errors
/// What the storage or the commit protocol refuses; clients still see the old state then.
pub fn publish(rehearsed: &Rehearsed, publisher: &mut Publisher<'_>) -> CommandResult<Published> {
    let signed = rehearsed.signed();
    let length = |upload: &Upload| upload.content.metadata().map_or(0, |metadata| metadata.len());
    let mut left: BTreeMap<String, u64> = signed.uploads.iter().map(|u| (u.name(), length(u))).collect();
    let bytes = left.values().sum();
    let shell = publisher.shell;
    let progress = Progress::bytes(shell, "Uploading", bytes);
    let (storage, trust) = (publisher.storage, publisher.trust);
    let committed = publisher.commit(storage, trust, signed.release(), &signed.uploads, |name, sent| {
        progress.name(name);
        progress.add(sent);
        // A line for each file where nobody sees the bar.
        let is_last = left.get_mut(name).is_some_and(|left| {
            *left = left.saturating_sub(sent);
            *left == 0
        });
        if is_last && left.remove(name).is_some() && !shell.shows_progress() {
            shell.status("Uploaded", name);
        }
    })?;
    Ok(Published { committed, files: signed.uploads.len(), bytes })
}
