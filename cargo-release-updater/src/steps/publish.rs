//! Publishing: the files first, then the documents, `timestamp.json` last. Only what was rehearsed gets here.

use super::rehearse::Rehearsed;
use super::sign::Publisher;
use crate::error::CommandResult;
use crate::hooks::HookError;
use crate::progress::Uploads;
use crate::repository::{Committed, Upload};
use updater_format::digest::HashingReader;

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
    let files: Vec<(String, u64)> = signed.uploads.iter().map(|u| (u.name(), length(u))).collect();
    let bytes = files.iter().map(|(_, length)| length).sum();
    let (shell, storage, trust) = (publisher.shell, publisher.storage, publisher.trust);
    let mut progress = Uploads::new(shell, &files);
    // The bars end with the upload: what is told of the commit would be drawn into them.
    let sent = move |name: &str, what| progress.sent(name, what);
    let committed = publisher.commit(storage, trust, signed.release(), &signed.uploads, sent)?;
    Ok(Published { committed, files: signed.uploads.len(), bytes })
}

impl Rehearsed {
    /// Holds every file against what was signed: a hook has run since.
    /// # Errors
    /// [`HookError::Changed`] for the first that is another now.
    pub fn must_be_as_signed(&self) -> Result<(), HookError> {
        let is_same = |upload: &Upload| -> std::io::Result<bool> {
            let mut reader = HashingReader::new(std::fs::File::open(&upload.content)?);
            std::io::copy(&mut reader, &mut std::io::sink())?;
            Ok(reader.finish() == (upload.artifact.length, upload.artifact.sha256))
        };
        match self.signed().uploads.iter().find(|upload| !is_same(upload).unwrap_or(false)) {
            Some(upload) => Err(HookError::Changed { file: upload.content.display().to_string() }),
            None => Ok(()),
        }
    }
}
