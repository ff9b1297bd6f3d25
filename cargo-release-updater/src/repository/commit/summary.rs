//! `VERSION` after a commit. Nothing of an update depends on it, and a release that is out is no failure; so what could not
//! be written is told, and written by a later run: its signed text lies in the storage before the commit.

use super::Commit;
use crate::repository::submission::{SUBMISSIONS, Submission};
use crate::repository::{RepositoryState, version_file};
use crate::storage::{Replaced, StorageError};
use updater_format::Channel;
use updater_format::length::MAX_VERSION_FILE;

impl Commit<'_> {
    /// Keeps the text for whoever comes after a publisher that was stopped between its commit and `VERSION`.
    pub(super) fn keep_version_file(&self, channel: &Channel, role: u64, text: &str) -> Result<(), StorageError> {
        self.storage.of_submissions().put_new(&kept(channel, role), text.as_bytes().to_vec()).map(drop)
    }

    /// Replaces the `VERSION` of a channel, unless that of a newer role is there.
    pub(in crate::repository) fn publish_version_file(&self, channel: &Channel, role: u64, text: &str) {
        self.replace_version_file(channel, text, |there| there >= role);
    }

    /// Writes the `VERSION` of every channel that lacks it although its role is published. Warns where that fails.
    /// # Errors
    /// [`StorageError`] when the storage cannot be read.
    pub fn mend_version_files(&self, state: &RepositoryState) -> Result<(), StorageError> {
        if !self.storage.is_writable() {
            return Ok(());
        }
        for (channel, published) in state.channels() {
            let role = published.role();
            let path = version_file::path(channel);
            let there = self.storage.read(&path, MAX_VERSION_FILE)?;
            if there.as_deref().and_then(version_file::role_of) == Some(role.version) {
                continue;
            }
            let text = match self.storage.of_submissions().read(&kept(channel, role.version), MAX_VERSION_FILE)? {
                Some(text) => String::from_utf8(text).ok(),
                None => Submission::read(self.storage, channel.as_str())
                    .ok()
                    .flatten()
                    .filter(|submission| submission.document.as_bytes() == role.bytes())
                    .and_then(|submission| submission.version_file),
            };
            // What lies in the storage is believed as far as it says what is published.
            let lines = version_file::text(self.app, channel, role);
            let Some(text) = text.filter(|text| text.strip_prefix(&lines).is_some_and(is_signature)) else { continue };
            self.shell.detail(format_args!("{path} is written: an interrupted command has left it out"));
            self.replace_version_file(channel, &text, |there| there == role.version);
        }
        Ok(())
    }

    fn replace_version_file(&self, channel: &Channel, text: &str, is_done: impl Fn(u64) -> bool) {
        let path = version_file::path(channel);
        let replace = || -> Result<Replaced, StorageError> {
            let before = self.storage.precondition(&path)?;
            let there = self.storage.read(&path, MAX_VERSION_FILE)?;
            if there.as_deref().and_then(version_file::role_of).is_some_and(&is_done) {
                return Ok(Replaced::Done);
            }
            self.storage.replace(&path, text.as_bytes().to_vec(), &before)
        };
        // Whoever has changed it meanwhile has written theirs, or is about to.
        let replaced = match replace() {
            Ok(Replaced::Changed) => replace(),
            replaced => replaced,
        };
        if let Err(error) = replaced {
            self.shell.warn(format_args!("{path} is that of an earlier release until the next refresh: {error}"));
        }
    }
}

fn is_signature(line: &str) -> bool {
    line.strip_prefix("SIGNATURE ").is_some_and(|signature| signature.lines().count() == 1)
}

/// Returns where the text waits: beside the submissions, which clients never read.
fn kept(channel: &Channel, role: u64) -> String {
    format!("{SUBMISSIONS}/{role}.{}", version_file::path(channel))
}
