//! What no client can still need. Nothing is decided by age alone: a file goes when no document lists it that was in force
//! within the last two lives of a timestamp, and when it is older than that itself.
//!
//! A client that has just read a timestamp may fetch what it leads to for as long as the timestamp lives, and a mirror may
//! be as late again. So what counts is when a document was replaced, not when it was written: a bundle of last year that
//! was unlisted yesterday stays. Roots stay always: a client may come from the first one.

use super::submission::Submission;
use super::{METADATA, RepositoryError, RepositoryState, TARGETS};
use crate::repository::submission::{Base, SUBMISSIONS};
use crate::roles::timestamp_days;
use crate::storage::Storage;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime};
use updater_format::length::{MAX_ROLE, MAX_SNAPSHOT};
use updater_format::role::{Hashes, Snapshot, Targets};
use updater_format::signed::{Signed, Untrusted};

/// What can be removed from a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pruning {
    /// What nobody needs, in the order in which it is removed: files before the documents that list them.
    pub doomed: Vec<Doomed>,
    /// How many objects stay.
    pub kept: usize,
    /// How long something must have been out of use, in days.
    pub days: u64,
}

/// One object that nobody needs.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Doomed {
    /// The object.
    pub path: String,
    /// Its length.
    pub bytes: u64,
    /// Whether it lies in the private storage.
    pub private: bool,
}

impl Pruning {
    /// Finds what can be removed. Reads as many documents as were in force within the time, and looks at each object that
    /// none of them lists; nothing is changed.
    /// # Errors
    /// [`RepositoryError`] when the storage fails, or a document that decides is damaged.
    pub fn plan(storage: &Storage, state: &RepositoryState, now: SystemTime) -> Result<Self, RepositoryError> {
        let days = 2 * u64::try_from(timestamp_days(state.targets())).unwrap_or(1);
        let survey = Survey { storage, state, now, window: Duration::from_secs(days * 86_400) };
        let mut kept = 0;
        let mut doomed = Vec::new();
        let documents = storage.list(METADATA)?;
        let needed = survey.needed(&documents)?;
        for (folder, names) in [(TARGETS, storage.list(TARGETS)?), (METADATA, documents)] {
            for name in names {
                let path = format!("{folder}/{name}");
                let ours = if folder == TARGETS { is_target(&name) } else { survey.is_document(&name) };
                match ours && !needed.contains(&path) {
                    true => survey.judge(storage, path, &mut doomed, &mut kept)?,
                    false => kept += 1,
                }
            }
        }
        for name in storage.of_submissions().list(SUBMISSIONS)? {
            match survey.is_done(&name) {
                true => {
                    survey.judge(storage.of_submissions(), format!("{SUBMISSIONS}/{name}"), &mut doomed, &mut kept)?
                }
                false => kept += 1,
            }
        }
        Ok(Self { doomed, kept, days })
    }

    /// Returns the bytes of all that goes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.doomed.iter().map(|doomed| doomed.bytes).sum()
    }
}

struct Survey<'a> {
    storage: &'a Storage,
    state: &'a RepositoryState,
    now: SystemTime,
    window: Duration,
}

impl Survey<'_> {
    /// Returns the paths that a client may still be led to.
    fn needed(&self, documents: &[String]) -> Result<BTreeSet<String>, RepositoryError> {
        let mut needed = BTreeSet::new();
        let mut versions: BTreeMap<&str, BTreeSet<u64>> = BTreeMap::new();
        for name in documents {
            if let Some((version, role)) = numbered(name) {
                versions.entry(role).or_default().insert(version);
            }
        }
        let current = &self.state.snapshot().roles;
        for (role, known) in &versions {
            let published = match *role {
                "snapshot" => self.state.snapshot().version,
                role => current.get(role).map_or(0, |meta| meta.version),
            };
            let mut keep: BTreeSet<u64> = known.range(published..).copied().collect();
            match *role {
                "root" => keep.extend(known),
                "snapshot" => keep.extend(self.recent(role, known, published, SPARE_SNAPSHOTS)?),
                "targets" => keep.extend(self.recent(role, known, published, 0)?),
                role => keep.extend(self.ancestors(role, known, published)?),
            }
            for version in keep {
                let path = document(role, version);
                match *role {
                    "root" => {}
                    // What earlier ones list is found by the roles themselves.
                    "snapshot" if version >= published => needed.extend(self.listed_roles(&path)?),
                    "snapshot" => {}
                    _ => needed.extend(self.listed_files(&path)?),
                }
                needed.insert(path);
            }
        }
        // What waits for the online key lists files that nothing published does yet.
        let delegations = self.state.targets().delegations.iter().flat_map(|delegations| &delegations.roles);
        for role in delegations.map(|role| role.name.as_str()).chain(["targets"]) {
            if let Some(waiting) = Submission::read(self.storage, role)? {
                needed.extend(files(waiting.parse(self.storage, role)?.unverified()));
            }
        }
        Ok(needed)
    }

    /// Returns the versions that were in force within the time, judged by when the next one was written, and some more:
    /// a number may have been claimed and never committed, so that the one before it stayed in force.
    fn recent(
        &self,
        role: &str,
        known: &BTreeSet<u64>,
        current: u64,
        spare: usize,
    ) -> Result<Vec<u64>, RepositoryError> {
        let mut recent = Vec::new();
        let (mut next, mut over) = (current, 0);
        for version in known.range(..current).rev() {
            if !self.is_young(self.storage, &document(role, next))? {
                over += 1;
                if over > spare {
                    break;
                }
            }
            recent.push(*version);
            next = *version;
        }
        Ok(recent)
    }

    /// Returns the versions of a channel's role from which the one in force was made, as far as they were in force within
    /// the time. Each names the one before it.
    fn ancestors(&self, role: &str, known: &BTreeSet<u64>, current: u64) -> Result<Vec<u64>, RepositoryError> {
        let mut ancestors = Vec::new();
        let mut version = current;
        while self.is_young(self.storage, &document(role, version))? {
            let Some(targets) = self.role(&document(role, version))? else { break };
            // One that names none was made by an earlier version of this program.
            let before = Base::named_in(&targets).map(|base| base.version);
            let before = before.or_else(|| known.range(..version).next_back().copied());
            let Some(before) = before.filter(|before| *before < version) else { break };
            ancestors.push(before);
            version = before;
        }
        Ok(ancestors)
    }

    fn listed_roles(&self, path: &str) -> Result<Vec<String>, RepositoryError> {
        let Some(bytes) = self.storage.read(path, MAX_SNAPSHOT)? else { return Ok(Vec::new()) };
        let Ok(snapshot) = Signed::<Snapshot>::parse(&Untrusted::new(bytes)) else { return Ok(Vec::new()) };
        Ok(snapshot.unverified().roles.iter().map(|(role, meta)| document(role, meta.version)).collect())
    }

    fn listed_files(&self, path: &str) -> Result<Vec<String>, RepositoryError> {
        Ok(self.role(path)?.map(|targets| files(&targets)).unwrap_or_default())
    }

    /// Reads a role without verifying it: it only says what stays. One that cannot be read leads no client anywhere.
    fn role(&self, path: &str) -> Result<Option<Targets>, RepositoryError> {
        let bytes = self.storage.read(path, MAX_ROLE)?;
        let parsed = bytes.and_then(|bytes| Signed::<Targets>::parse(&Untrusted::new(bytes)).ok());
        Ok(parsed.map(|signed| signed.unverified().clone()))
    }

    /// Dooms an object that is old enough.
    fn judge(
        &self,
        storage: &Storage,
        path: String,
        doomed: &mut Vec<Doomed>,
        kept: &mut usize,
    ) -> Result<(), RepositoryError> {
        if self.is_young(storage, &path)? {
            *kept += 1;
            return Ok(());
        }
        let private = !std::ptr::eq(storage, self.storage);
        let bytes = storage.length(&path)?.unwrap_or(0);
        doomed.push(Doomed { path, bytes, private });
        Ok(())
    }

    /// Tells whether an object was written within the time. One of which nobody knows when it was is young.
    fn is_young(&self, storage: &Storage, path: &str) -> Result<bool, RepositoryError> {
        let written = storage.modified(path)?;
        // One from the future, by another clock, too.
        Ok(written.is_none_or(|written| self.now.duration_since(written).unwrap_or_default() < self.window))
    }

    /// Tells whether a name is that of a document of this repository. Of others nothing is known, and they stay.
    fn is_document(&self, name: &str) -> bool {
        let channels = || self.state.targets().delegations.iter().flat_map(|delegations| &delegations.roles);
        numbered(name).is_some_and(|(_, role)| {
            matches!(role, "snapshot" | "targets") || channels().any(|channel| channel.name == role)
        })
    }

    /// Tells whether a name is that of a `VERSION` kept for a role that was replaced.
    fn is_done(&self, name: &str) -> bool {
        let Some((version, rest)) = name.split_once('.') else { return false };
        let (Ok(version), Some(channel)) = (version.parse::<u64>(), rest.strip_prefix("VERSION")) else { return false };
        let channel = channel.strip_prefix('.').unwrap_or("stable");
        self.state.snapshot().roles.get(channel).is_some_and(|meta| version < meta.version)
    }
}

/// Takes the name of a document apart: `12.stable.json`.
fn numbered(name: &str) -> Option<(u64, &str)> {
    let (version, role) = name.strip_suffix(".json")?.split_once('.')?;
    Some((version.parse().ok()?, role))
}

fn document(role: &str, version: u64) -> String {
    format!("{METADATA}/{version}.{role}.json")
}

/// Returns the files of a role and their signatures.
fn files(targets: &Targets) -> Vec<String> {
    let digest = |hashes: &Hashes| hashes.sha256();
    let names =
        targets.targets.iter().filter_map(|(name, file)| Some(format!("{TARGETS}/{}.{name}", digest(&file.hashes)?)));
    names.flat_map(|path| [format!("{path}.minisig"), path]).collect()
}

/// Tells whether a name is that of a published file: its digest, a dot, its name.
fn is_target(name: &str) -> bool {
    let digest = name.split_once('.').map_or("", |(digest, _)| digest);
    digest.len() == 64 && digest.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

/// Snapshots that stay beyond those of the time: so many claims in a row may have been left without a commit. Each has a
/// few hundred bytes.
const SPARE_SNAPSHOTS: usize = 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_ours_are_told_from_others() {
        assert_eq!(numbered("12.stable.json"), Some((12, "stable")));
        for name in ["timestamp.json", "stable.json", "x.stable.json", "12.stable.txt"] {
            assert_eq!(numbered(name), None, "{name}");
        }
        let digest = "0a".repeat(32);
        assert!(is_target(&format!("{digest}.hello.tar.xz")) && is_target(&format!("{digest}.hello.tar.xz.minisig")));
        for name in ["hello.tar.xz".to_owned(), format!("{}.x", digest.to_uppercase()), digest] {
            assert!(!is_target(&name), "{name}");
        }
    }
}
