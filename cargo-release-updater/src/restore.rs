//! Puts a saved copy back where a storage lost its files. Needs no key: everything in it is signed already.
//!
//! Nothing that is there is overwritten, so that a copy can neither undo a release nor take the timestamp back; the
//! timestamp comes last, so that clients see the old state or the whole new one.

use crate::context::Execute;
use crate::error::{CommandResult, ExitCode, Explain};
use crate::repository::state::{Expiry, artifact_path};
use crate::repository::{METADATA, RepositoryError, RepositoryState, version_file};
use crate::shell::{Message, Shell};
use crate::storage::{Created, Storage};
use std::path::Path;
use updater_format::AppId;
use updater_format::length::{MAX_ROLE, MAX_ROOT};

/// What was put back.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct Restored {
    /// The version of the copy's timestamp.
    pub timestamp: u64,
    /// The files that were missing.
    pub restored: Vec<String>,
    /// How many were there already.
    pub unchanged: usize,
    /// The version of the timestamp that was there and stays.
    pub kept_timestamp: Option<u64>,
}

impl Message for Restored {
    const REASON: &'static str = "restored";
}

/// Puts a copy back whose files were verified.
/// # Errors
/// [`RepositoryError::Trust`] when the copy is another app's or was damaged meanwhile;
/// [`StorageError`](crate::storage::StorageError) when the storage fails: running it again continues.
pub fn restore(
    copy: &Path,
    storage: &Storage,
    app: &AppId,
    root: &[u8],
    execute: Execute,
    shell: &Shell,
) -> CommandResult<Restored> {
    let saved = Storage::open_folder(copy, copy.display().to_string())?;
    let act = execute == Execute::ForReal;
    let nothing = || RepositoryError::NothingPublished { storage: saved.name().to_owned() };
    let state = RepositoryState::read(&saved, app, root, Expiry::Ignored)?.ok_or_else(nothing)?;
    let _lock =
        if act { storage.lock(|| shell.status("Waiting", "for another publisher of this folder"))? } else { None };
    let mut work = Work { copy, saved: &saved, storage, act, done: Restored::default() };
    work.done.timestamp = state.timestamp().version;
    for channel in state.channels().values() {
        let contents = channel.contents();
        let bundles = contents.bundles.iter().map(|bundle| &bundle.artifact);
        let patches = contents.patches.iter().map(|patch| &patch.artifact);
        let notes = contents.notes.iter().map(|notes| &notes.artifact);
        for artifact in bundles.chain(patches).chain(notes) {
            let path = artifact_path(artifact);
            work.file(&path)?;
            work.mutable(&format!("{path}.minisig"))?;
        }
    }
    for version in 1..=state.root().version {
        work.document(&format!("{version}.root.json"), MAX_ROOT)?;
    }
    for (channel, role) in state.channels() {
        work.document(&format!("{}.{channel}.json", role.role().version), MAX_ROLE)?;
    }
    work.document(&format!("{}.targets.json", state.targets().version), MAX_ROLE)?;
    work.document(&format!("{}.snapshot.json", state.snapshot().version), MAX_ROLE)?;
    for channel in state.channels().keys() {
        work.mutable(&version_file::path(channel))?;
    }
    let timestamp = format!("{METADATA}/timestamp.json");
    if work.storage.length(&timestamp)?.is_some() {
        // Whatever it says, it is not older than what clients have seen because of us.
        let there = RepositoryState::read(storage, app, root, Expiry::Ignored).ok().flatten();
        work.done.kept_timestamp = Some(there.map_or(0, |there| there.timestamp().version));
    } else {
        work.mutable(&timestamp)?;
    }
    Ok(work.done)
}

struct Work<'a> {
    copy: &'a Path,
    saved: &'a Storage,
    storage: &'a Storage,
    act: bool,
    done: Restored,
}

impl Work<'_> {
    /// Puts a file back whose name says its content.
    fn file(&mut self, path: &str) -> CommandResult {
        let there = match self.act {
            true => self.storage.put_file(path, &self.copy.join(path), |_| {})? == Created::Exists,
            false => self.storage.length(path)? == self.saved.length(path)?,
        };
        match there {
            true => self.done.unchanged += 1,
            false => self.done.restored.push(path.to_owned()),
        }
        Ok(())
    }

    /// Puts a versioned document back. Another one of its name is not overwritten: it was published since.
    fn document(&mut self, file: &str, limit: u64) -> CommandResult {
        let path = format!("{METADATA}/{file}");
        let missing = || RepositoryError::Missing {
            file: file.to_owned(),
            storage: self.saved.name().to_owned(),
            named_by: "the rest of the copy",
        };
        let bytes = self.saved.read(&path, limit)?.ok_or_else(missing)?;
        match self.storage.read(&path, limit)? {
            Some(there) if there == bytes => {
                self.done.unchanged += 1;
                return Ok(());
            }
            Some(_) => return Err(self.other(file)),
            None => {}
        }
        if self.act && self.storage.put_new(&path, bytes)? == Created::Exists {
            return Err(self.other(file));
        }
        self.done.restored.push(path);
        Ok(())
    }

    /// Puts a file back that publishing replaces, where there is none. One that the copy does not have is left out.
    fn mutable(&mut self, path: &str) -> CommandResult {
        if self.storage.length(path)?.is_some_and(|length| length > 0) {
            self.done.unchanged += 1;
            return Ok(());
        }
        let Some(bytes) = self.saved.read(path, MAX_ROLE)? else { return Ok(()) };
        if self.act {
            self.storage.put_mutable(path, bytes)?;
        }
        self.done.restored.push(path.to_owned());
        Ok(())
    }

    fn other(&self, file: &str) -> crate::error::CommandError {
        RestoreError::Taken { file: file.to_owned(), storage: self.storage.name().to_owned() }.into()
    }
}

/// Why a copy is not put back.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RestoreError {
    /// The storage has another document of the same number.
    #[error("{file} in {storage} is another document than the copy's")]
    Taken {
        /// The document.
        file: String,
        /// The storage.
        storage: String,
    },
}

impl Explain for RestoreError {
    fn code(&self) -> ExitCode {
        ExitCode::Verification
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::Taken { .. } => vec![
                "something was published there that the copy does not know: `cargo updater verify` tells whether it holds; \
                 nothing was overwritten"
                    .to_owned(),
            ],
        }
    }
}
