//! Packs of keys in the private storage: `private:NAME` in place of a file.

use crate::cli::StorageArgs;
use crate::config::Project;
use crate::error::{CommandError, CommandResult, ExitCode};
use crate::storage::{Created, Storage};
use std::path::Path;
use zeroize::Zeroizing;

/// The place of a pack in the private storage of a project.
pub(super) struct PrivatePack {
    storage: Storage,
    name: String,
}

impl PrivatePack {
    /// Finds the place that `private:NAME` means; `None` for a file of this machine.
    /// # Errors
    /// [`ExitCode::Usage`] for a name that is none; [`ExitCode::Config`] without a project or a private storage.
    pub(super) fn of(file: &Path, project: Option<Project>) -> CommandResult<Option<Self>> {
        let Some(name) = file.to_str().and_then(|text| text.strip_prefix(PREFIX)) else { return Ok(None) };
        let is_plain = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
        if name.is_empty() || name.starts_with('.') || !name.bytes().all(is_plain) {
            let what = format!("{PREFIX}{name} names no pack");
            return Err(
                CommandError::new(ExitCode::Usage, what).hint("letters, digits, dots and dashes: private:anna.json")
            );
        }
        let storage = project.map(|project| StorageArgs::open_private(&project)).transpose()?.flatten();
        let missing = || {
            CommandError::new(ExitCode::Config, "the table names no `private-storage`")
                .hint("add `private-storage = \"s3://BUCKET\"`, a storage that clients cannot read, or name a file")
        };
        Ok(Some(Self { storage: storage.ok_or_else(missing)?, name: name.to_owned() }))
    }

    /// Writes a pack; none that is there is replaced.
    /// # Errors
    /// What the storage refuses; [`ExitCode::Key`] when there is one of this name.
    pub(super) fn write(&self, text: &str) -> CommandResult {
        let _lock = self.storage.lock(|| ())?;
        match self.storage.put_new(&self.path(), text.as_bytes().to_vec())? {
            Created::New => Ok(()),
            Created::Exists => Err(CommandError::new(ExitCode::Key, format!("{PREFIX}{} exists already", self.name))
                .hint("choose another name; a pack is not replaced")),
        }
    }

    /// Reads a pack.
    /// # Errors
    /// What the storage refuses; [`ExitCode::Key`] when there is none.
    pub(super) fn read(&self) -> CommandResult<Zeroizing<String>> {
        let missing = || {
            CommandError::new(ExitCode::Key, format!("there is no {PREFIX}{} in {}", self.name, self.storage.name()))
                .hint("whoever has the keys writes it with `cargo updater keys export private:NAME`")
        };
        let bytes = self.storage.read(&self.path(), MAX_PACK)?.ok_or_else(missing)?;
        let no_text = || {
            CommandError::new(ExitCode::Key, format!("{PREFIX}{} in {} is no key pack", self.name, self.storage.name()))
                .hint("whoever has the keys writes it again with `cargo updater keys export private:NAME`")
        };
        let text = String::from_utf8(bytes).map_err(|_| no_text())?;
        Ok(Zeroizing::new(text))
    }

    fn path(&self) -> String {
        format!("keys/{}", self.name)
    }
}

const PREFIX: &str = "private:";
/// Bytes of a pack: a hundred keys with their secrets.
const MAX_PACK: u64 = 256 * 1024;
