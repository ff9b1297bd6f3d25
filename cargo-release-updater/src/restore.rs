//! Puts a saved copy back where a storage lost its files. Needs no key: everything in it is signed already.
//!
//! Nothing that is there is overwritten, so that a copy can neither undo a release nor take the timestamp back, and a copy
//! older than what was published is refused; the timestamp comes last, so that clients see the old state or the whole new
//! one.

use crate::context::Execute;
use crate::error::{CommandResult, ExitCode, Explain};
use crate::repository::state::{Expiry, artifact_path};
use crate::repository::{METADATA, RepositoryError, RepositoryState, last_seen_snapshot, version_file};
use crate::shell::{Message, Shell};
use crate::storage::{Created, Storage};
use std::path::Path;
use updater_format::length::{MAX_ROLE, MAX_ROOT, MAX_TIMESTAMP};
use updater_format::role::Root;
use updater_format::signed::{Signed, Untrusted};
use updater_format::trust::{Rules, TrustError, TrustedSet};
use updater_format::{AppId, SignaturePolicy, UtcTime};

/// What was put back.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Restored {
    /// The version of the copy's timestamp.
    pub timestamp: u64,
    /// The files that were missing.
    pub restored: Vec<String>,
    /// How many were there already.
    pub unchanged: usize,
    /// The version of the timestamp that was there and stays.
    pub kept_timestamp: Option<u64>,
    /// The version of the targets role that was put back.
    pub targets: u64,
    /// Whether the project has a newer root than the copy.
    pub older_root: bool,
}

impl Message for Restored {
    const REASON: &'static str = "restored";
}

/// What a copy is put back by.
#[derive(Debug)]
pub struct Restore<'a> {
    /// The folder of the copy, whose files were verified.
    pub copy: &'a Path,
    /// Where it is put back.
    pub storage: &'a Storage,
    /// The app.
    pub app: &'a AppId,
    /// The root by which the copy was verified.
    pub root: &'a [u8],
    /// The roots that the project has, in order, its own last: those that came after the copy are put back from here.
    pub roots: &'a [Vec<u8>],
    /// The file that remembers what this machine has published.
    pub record: Option<&'a Path>,
    /// Whether to act.
    pub execute: Execute,
    /// Where waiting is told.
    pub shell: &'a Shell,
}

impl Restore<'_> {
    /// Puts the copy back.
    /// # Errors
    /// [`RestoreError`] when the storage or the record knows something newer, or has other documents, or a root is missing;
    /// [`RepositoryError::Trust`] when the copy is another app's or was damaged meanwhile;
    /// [`StorageError`](crate::storage::StorageError) when the storage fails: running it again continues.
    pub fn run(&self) -> CommandResult<Restored> {
        let Self { copy, storage, app, root, shell, .. } = *self;
        let saved = Storage::open_folder(copy, copy.display().to_string())?;
        let act = self.execute == Execute::ForReal;
        let nothing = || RepositoryError::NothingPublished { storage: saved.name().to_owned() };
        let state = RepositoryState::read(&saved, app, root, Expiry::Ignored)?.ok_or_else(nothing)?;
        let later = later_roots(&state, app, self.roots)?;
        let _lock =
            if act { storage.lock(|| shell.status("Waiting", "for another publisher of this folder"))? } else { None };
        let is_there = storage.length(&timestamp_path())?.is_some();
        if !is_there {
            refuse_newer(storage, self.record, &state)?;
        }
        let mut work = Work { copy, saved: &saved, storage, act, done: Restored::default() };
        work.done.timestamp = state.timestamp().version;
        work.done.targets = state.targets().version;
        work.done.older_root = !later.is_empty();
        for channel in state.channels().values() {
            for entry in channel.contents().entries() {
                let artifact = entry.artifact();
                work.file(&artifact_path(artifact), &storage.artifact_path(artifact, entry.release()))?;
                work.mutable(&Storage::signature_path(artifact))?;
            }
        }
        for version in 1..=state.root().version {
            work.document(&format!("{version}.root.json"), MAX_ROOT)?;
        }
        for (version, bytes) in later {
            work.project_root(&format!("{version}.root.json"), bytes)?;
        }
        for (channel, role) in state.channels() {
            work.document(&format!("{}.{channel}.json", role.role().version), MAX_ROLE)?;
        }
        work.document(&format!("{}.targets.json", state.targets().version), MAX_ROLE)?;
        work.document(&format!("{}.snapshot.json", state.snapshot().version), MAX_ROLE)?;
        for channel in state.channels().keys() {
            work.mutable(&version_file::path(channel))?;
        }
        match is_there {
            true => {
                if act {
                    storage.flush()?;
                }
                work.done.kept_timestamp = Some(work.timestamp_there(app, root)?);
            }
            false => work.timestamp()?,
        }
        Ok(work.done)
    }
}

/// Returns the first of these roots that a copy has, too, whoever has signed it there: a root is trusted because the project has
/// it, never because the copy does.
pub fn root_of_copy<'a>(copy: &Path, mut roots: impl Iterator<Item = &'a Vec<u8>>) -> Option<&'a Vec<u8>> {
    roots.find(|root| {
        let Ok(parsed) = Signed::<Root>::parse(&Untrusted::new(root.as_slice())) else { return false };
        let file = format!("{}.root.json", parsed.unverified().version);
        let there = std::fs::read(copy.join(METADATA).join(file)).unwrap_or_default();
        message_of(&there).as_deref() == Some(parsed.message())
    })
}

/// Returns the project's roots that came after the copy, each verified to follow the one before: without them what was
/// published last would be forgotten, a revocation perhaps.
fn later_roots<'a>(state: &RepositoryState, app: &AppId, roots: &'a [Vec<u8>]) -> CommandResult<Vec<(u64, &'a [u8])>> {
    let version_of =
        |bytes: &[u8]| Signed::<Root>::parse(&Untrusted::new(bytes)).map_or(0, |root| root.unverified().version);
    let newest = roots.last().map_or(0, |root| version_of(root));
    let refuse = |version: u64| {
        move |source: TrustError| RepositoryError::Trust {
            file: format!("{version}.root.json"),
            storage: "the project".to_owned(),
            source: Box::new(source),
        }
    };
    // Long expired by now, perhaps.
    let rules = Rules { now: UtcTime::from_unix(0), policy: SignaturePolicy::default(), app: Some(app.clone()) };
    let known = state.root();
    let mut chain = TrustedSet::new(rules, &Untrusted::new(known.bytes())).map_err(refuse(known.version))?;
    let mut later = Vec::new();
    for version in known.version + 1..=newest {
        let root = roots.iter().find(|root| version_of(root) == version);
        let root = root.ok_or(RestoreError::NoRoot { version })?;
        chain.root(&Untrusted::new(root.as_slice())).map_err(refuse(version))?;
        later.push((version, root.as_slice()));
    }
    Ok(later)
}

/// Refuses a copy when releases were published after it: clients have seen them, and would refuse what it says.
fn refuse_newer(storage: &Storage, record: Option<&Path>, state: &RepositoryState) -> CommandResult {
    let copy = state.snapshot().version;
    let published = storage.list(METADATA)?.into_iter().filter_map(|file| {
        let name = file.rsplit('/').next()?.strip_suffix(".snapshot.json")?;
        name.parse::<u64>().ok()
    });
    if let Some(newest) = published.max().filter(|newest| *newest > copy) {
        return Err(RestoreError::Older { copy, newest, known_by: storage.name().to_owned() }.into());
    }
    let Some(record) = record else { return Ok(()) };
    if let Some(newest) = last_seen_snapshot(storage, record)?.filter(|newest| *newest > copy) {
        return Err(RestoreError::Older { copy, newest, known_by: record.display().to_string() }.into());
    }
    Ok(())
}

fn timestamp_path() -> String {
    format!("{METADATA}/timestamp.json")
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
    fn file(&mut self, saved: &str, path: &str) -> CommandResult {
        let there = match self.act {
            true => self.storage.put_file(path, &self.copy.join(saved), |_| {})? == Created::Exists,
            false => self.storage.length(path)? == self.saved.length(saved)?,
        };
        match there {
            true => self.done.unchanged += 1,
            false => self.done.restored.push(path.to_owned()),
        }
        Ok(())
    }

    /// Puts a root back that came after the copy.
    fn project_root(&mut self, file: &str, bytes: &[u8]) -> CommandResult {
        let path = format!("{METADATA}/{file}");
        match self.storage.read(&path, MAX_ROOT)? {
            // Perhaps with the signatures of other holders.
            Some(there) if message_of(&there) == message_of(bytes) => {
                self.done.unchanged += 1;
                return Ok(());
            }
            Some(_) => return Err(self.other(file)),
            None => {}
        }
        if self.act && self.storage.put_new(&path, bytes.to_vec())? == Created::Exists {
            return Err(self.other(file));
        }
        self.done.restored.push(path);
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
        let length = self.storage.length(path)?;
        if length.is_some_and(|length| length > 0) {
            self.done.unchanged += 1;
            return Ok(());
        }
        let Some(bytes) = self.saved.read(path, MAX_ROLE)? else { return Ok(()) };
        match (self.act, length) {
            (false, _) => {}
            // A write that was cut off left nothing but the name.
            (true, Some(_)) => self.storage.put_mutable(path, bytes)?,
            (true, None) => {
                if self.storage.put_new(path, bytes)? == Created::Exists {
                    // Somebody publishes just now, and theirs is newer.
                    self.done.unchanged += 1;
                    return Ok(());
                }
            }
        }
        self.done.restored.push(path.to_owned());
        Ok(())
    }

    /// Puts the timestamp back, unless somebody has published one meanwhile.
    fn timestamp(&mut self) -> CommandResult {
        let path = timestamp_path();
        let missing = || RepositoryError::NothingPublished { storage: self.saved.name().to_owned() };
        let bytes = self.saved.read(&path, MAX_TIMESTAMP)?.ok_or_else(missing)?;
        if self.act && self.storage.put_new(&path, bytes)? == Created::Exists {
            return Err(self.other("timestamp.json"));
        }
        self.done.restored.push(path);
        Ok(())
    }

    /// Returns the version of the timestamp that is there, which has to hold with everything that it leads to.
    fn timestamp_there(&self, app: &AppId, root: &[u8]) -> CommandResult<u64> {
        match RepositoryState::read_behind(self.storage, app, root) {
            Ok((Some(there), _)) => Ok(there.timestamp().version),
            Ok((None, _)) => Err(self.other("timestamp.json")),
            // A dry run has not put back what is missing.
            Err(RepositoryError::Missing { .. }) if !self.act => Ok(self.done.timestamp),
            Err(source) => {
                Err(RestoreError::Timestamp { storage: self.storage.name().to_owned(), source: Box::new(source) }
                    .into())
            }
        }
    }

    fn other(&self, file: &str) -> crate::error::CommandError {
        RestoreError::Taken { file: file.to_owned(), storage: self.storage.name().to_owned() }.into()
    }
}

fn message_of(root: &[u8]) -> Option<Vec<u8>> {
    Signed::<Root>::parse(&Untrusted::new(root)).ok().map(|root| root.message().to_vec())
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
    /// Something newer than the copy was published.
    #[error("the copy has snapshot {copy}, and {known_by} knows snapshot {newest}")]
    Older {
        /// The version of the copy's snapshot.
        copy: u64,
        /// The newest version.
        newest: u64,
        /// The storage, or the record of what was published.
        known_by: String,
    },
    /// A root between the copy's and the project's is nowhere.
    #[error("the copy ends before root {version}, and the project does not keep that one")]
    NoRoot {
        /// Its version.
        version: u64,
    },
    /// The timestamp that is there leads to something that does not verify.
    #[error("the timestamp.json in {storage} does not hold")]
    Timestamp {
        /// The storage.
        storage: String,
        /// Why.
        source: Box<RepositoryError>,
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
            Self::Older { newest, .. } => vec![
                format!(
                    "take a newer copy, or put timestamp.json of snapshot {newest} back from another mirror: clients that \
                     have seen it refuse an older one"
                ),
                "if there is none, move that snapshot or that record away and run it again; then a new online key makes installed \
                 copies go on: `cargo updater keys rotate online --wait 0`"
                    .to_owned(),
            ],
            Self::NoRoot { version } => vec![format!(
                "take it from version control, where it was the project's root.json, or from an app that embeds it, and put it \
                 beside that as {version}.root.json"
            )],
            Self::Timestamp { .. } => vec![
                "move metadata/timestamp.json away there and run it again: the copy's takes its place".to_owned(),
            ],
        }
    }
}
