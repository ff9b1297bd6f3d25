//! Promotion: a release of one channel becomes one of another, byte for byte. Nothing is built or uploaded anew but the
//! detached signatures, which are the other channel's from then on.

use super::release::entry_comment;
use crate::error::{CommandResult, ExitCode, Explain};
use crate::keys::{KeyError, Signer};
use crate::plan::newest;
use crate::storage::{Storage, StorageError};
use std::collections::BTreeSet;
use updater_format::digest::HashingReader;
use updater_format::release::{Artifact, BundleEntry, ChannelContents, Entry};
use updater_format::role::{TargetFile, Targets};
use updater_format::{AppId, Channel, ComponentName, Platform, ReleaseVersion};

/// What is promoted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Promotion {
    /// The component; `None` for the app itself.
    pub component: Option<ComponentName>,
    /// The version.
    pub version: ReleaseVersion,
    /// The channel that has it.
    pub from: Channel,
    /// The channel that gets it.
    pub to: Channel,
    entries: Vec<Entry>,
}

impl Promotion {
    /// Takes everything that belongs to a version of the app, or of one of its components, whose contents are given: bundles, notes, and the patches from releases that the other channel
    /// lists, too. Patches from others would serve nobody there.
    /// # Errors
    /// [`PromoteError::NotListed`] when the channel has no such version, [`PromoteError::SameChannel`], and
    /// [`PromoteError::NotNewer`] when the other one has a newer version already.
    pub fn new(
        version: &ReleaseVersion,
        (from, source): (&Channel, &ChannelContents),
        (to, target): (&Channel, Option<&ChannelContents>),
    ) -> Result<Self, PromoteError> {
        if from == to {
            return Err(PromoteError::SameChannel { channel: from.clone() });
        }
        let listed = target.map_or(&[][..], |contents| &contents.bundles);
        if let Some(newest) = listed.iter().map(|bundle| &bundle.version).max().filter(|newest| *newest > version) {
            return Err(PromoteError::NotNewer {
                version: version.clone(),
                newest: newest.clone(),
                channel: to.clone(),
            });
        }
        let bundles = source.bundles.iter().filter(|bundle| bundle.version == *version).cloned();
        let mut entries: Vec<Entry> = bundles.map(Entry::Bundle).collect();
        if entries.is_empty() {
            let mut listed: Vec<&ReleaseVersion> = source.bundles.iter().map(|bundle| &bundle.version).collect();
            listed.sort();
            listed.dedup();
            let listed = listed.into_iter().map(ToString::to_string).collect();
            return Err(PromoteError::NotListed { version: version.clone(), channel: from.clone(), listed });
        }
        let leads_here = |version: &ReleaseVersion, platform: &Platform| {
            listed.iter().any(|bundle| (&bundle.version, &bundle.platform) == (version, platform))
        };
        let patches = source.patches.iter().filter(|patch| patch.version == *version);
        entries.extend(patches.filter(|p| leads_here(&p.from, &p.platform)).cloned().map(Entry::Patch));
        entries.extend(source.notes.iter().filter(|notes| notes.version == *version).cloned().map(Entry::Notes));
        let component = entries.first().and_then(|entry| entry.component().cloned());
        Ok(Self { component, version: version.clone(), from: from.clone(), to: to.clone(), entries })
    }

    /// Returns the versions of the other channel from which no patch leads here, with the bytes of the bundle that their copies
    /// download: nobody has made one, and none is made now.
    #[must_use]
    pub fn without_patch(&self, target: &ChannelContents) -> Vec<(ReleaseVersion, u64)> {
        let bundle_for = |platform: &Platform| {
            self.entries.iter().find_map(|entry| match entry {
                Entry::Bundle(bundle) if bundle.platform == *platform => Some(bundle.artifact.length),
                _ => None,
            })
        };
        let is_patched = |old: &BundleEntry| {
            self.entries.iter().any(|entry| match entry {
                Entry::Patch(patch) => (&patch.from, &patch.platform) == (&old.version, &old.platform),
                _ => false,
            })
        };
        let older = target.bundles.iter().filter(|old| old.version < self.version && !is_patched(old));
        let mut without: Vec<_> =
            older.filter_map(|old| Some((old.version.clone(), bundle_for(&old.platform)?))).collect();
        without.sort();
        without.dedup_by(|one, other| one.0 == other.0);
        without
    }

    /// Returns the files, in the order of their names.
    #[must_use]
    pub fn artifacts(&self) -> Vec<&Artifact> {
        self.entries.iter().map(Entry::artifact).collect()
    }

    /// Adds the release to the role of the other channel, and drops what is no longer listed there: all but the last
    /// `keep` releases, those that its rules need, and kinds that this program does not know.
    pub fn edit(&self, app: &AppId, role: &mut Targets, keep: u32) {
        role.targets.extend(self.entries.iter().map(|entry| entry.to_target(app)));
        let component = self.component.as_ref();
        // What does not belong to it, and kinds that this program does not know, are not looked at.
        let entry_of = |name: &str, file: &TargetFile| Entry::from_target(name, file).ok().flatten().map(|(_, e)| e);
        let ours = |entry: &Entry| entry.component() == component;
        let entries = role.targets.iter().filter_map(|(name, file)| entry_of(name, file)).filter(ours);
        let mut versions: Vec<_> = entries.map(|entry| entry.version().clone()).collect();
        versions.sort_by(|a, b| b.cmp(a));
        versions.dedup();
        let rules = role.rules_of(component).cloned().unwrap_or_default();
        versions.truncate(newest(&versions, keep, &rules));
        let mut listed: BTreeSet<_> = versions.into_iter().collect();
        listed.extend(super::release::needed(&rules));
        role.targets.retain(|name, file| {
            entry_of(name, file).is_none_or(|entry| !ours(&entry) || listed.contains(entry.version()))
        });
    }

    /// Makes a detached signature of the other channel's key for each file, which is read and compared with what was
    /// signed first.
    /// # Errors
    /// [`StorageError::Missing`] and [`StorageError::Differs`] when the storage does not have a file as it was signed.
    pub fn sign_files(&self, app: &AppId, storage: &Storage, signer: &Signer) -> CommandResult<Vec<Detached>> {
        self.entries.iter().map(|entry| sign_file(app, entry, &self.to, storage, signer)).collect()
    }
}

/// A detached signature that is to be published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Detached {
    path: String,
    text: String,
}

impl Detached {
    /// Returns the path below the storage, and the text.
    #[must_use]
    pub fn into_parts(self) -> (String, String) {
        (self.path, self.text)
    }

    /// Publishes it in place of the one that is there.
    /// # Errors
    /// [`StorageError`] when the storage fails.
    pub fn publish(&self, storage: &Storage) -> Result<(), StorageError> {
        storage.put_mutable(&self.path, self.text.clone().into_bytes())
    }
}

/// Makes the detached signature of every file that a channel lists by its new key, as [`Promotion::sign_files`] does.
/// # Errors
/// As [`Promotion::sign_files`].
pub fn sign_again(
    app: &AppId,
    channel: &Channel,
    contents: &ChannelContents,
    storage: &Storage,
    signer: &Signer,
) -> CommandResult<Vec<Detached>> {
    contents.entries().map(|entry| sign_file(app, &entry, channel, storage, signer)).collect()
}

fn sign_file(
    app: &AppId,
    entry: &Entry,
    channel: &Channel,
    storage: &Storage,
    signer: &Signer,
) -> CommandResult<Detached> {
    let artifact = entry.artifact();
    let path = storage.artifact_path(artifact, entry.release());
    let missing = || StorageError::Missing { path: path.clone(), storage: storage.name().to_owned() };
    let comment = entry_comment(app, entry, channel);
    // Read once, piece by piece: what is signed is what is held against the digest.
    let mut reader = HashingReader::new(storage.reader(&path)?.ok_or_else(missing)?);
    let text = signer.sign_file(&mut reader, &comment).map_err(PromoteError::Key)?;
    if reader.finish() != (artifact.length, artifact.sha256) {
        return Err(StorageError::Differs { path, storage: storage.name().to_owned() }.into());
    }
    Ok(Detached { path: Storage::signature_path(artifact), text })
}

/// Why a release cannot be promoted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PromoteError {
    /// A channel already has what it has.
    #[error("{channel} cannot be promoted to itself")]
    SameChannel {
        /// The channel.
        channel: Channel,
    },
    /// The channel does not list the version.
    #[error("channel `{channel}` does not list {version}")]
    NotListed {
        /// The version.
        version: ReleaseVersion,
        /// The channel.
        channel: Channel,
        /// What it lists.
        listed: Vec<String>,
    },
    /// The other channel has a newer release.
    #[error("version {version} is not greater than {newest}, which channel `{channel}` has already")]
    NotNewer {
        /// The version.
        version: ReleaseVersion,
        /// The newest one there.
        newest: ReleaseVersion,
        /// The other channel.
        channel: Channel,
    },
    /// A file cannot be signed.
    #[error(transparent)]
    Key(KeyError),
}

impl Explain for PromoteError {
    fn code(&self) -> ExitCode {
        match self {
            Self::Key(error) => error.code(),
            _ => ExitCode::Usage,
        }
    }

    fn hints(&self) -> Vec<String> {
        vec![match self {
            Self::SameChannel { .. } => "name two channels: `--from beta --channel stable`".to_owned(),
            Self::NotListed { listed, .. } if listed.is_empty() => "publish a release in it first".to_owned(),
            Self::NotListed { version, listed, .. } => {
                crate::suggest::hint(&version.to_string(), &listed.iter().map(String::as_str).collect::<Vec<_>>())
            }
            Self::NotNewer { .. } => "clients go forward only: promote a newer release".to_owned(),
            Self::Key(error) => return error.hints(),
        }]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::roles::next_channel;
    use crate::steps::testing::listing;
    use updater_format::UtcTime;

    fn v(text: &str) -> ReleaseVersion {
        text.parse().unwrap()
    }

    fn channel(name: &str) -> Channel {
        name.parse().unwrap()
    }

    #[test]
    fn entries_are_copied_as_they_are_and_old_ones_leave() {
        let app: AppId = "hello".parse().unwrap();
        let (beta, stable) = (channel("beta"), channel("stable"));
        let source = listing(&[("1.0.0", 0), ("1.3.0", 2)]);
        let target = listing(&[("1.0.0", 0), ("1.1.0", 0), ("1.2.0", 0)]);
        let promotion = Promotion::new(&v("1.3.0"), (&beta, &source), (&stable, Some(&target))).unwrap();
        let without: Vec<_> =
            promotion.without_patch(&target).into_iter().map(|(version, _)| version.to_string()).collect();
        assert_eq!(without, ["1.0.0", "1.1.0", "1.2.0"], "beta has no patch at all");
        let mut role = next_channel(&app, &stable, None, UtcTime::from_unix(1_800_000_000));
        role.targets.extend(target.bundles.iter().map(|bundle| Entry::Bundle(bundle.clone()).to_target(&app)));
        role.extension.as_mut().unwrap().rules.required.insert(v("1.0.0"));
        promotion.edit(&app, &mut role, 2);
        let listed = ChannelContents::read(&app, &role).unwrap().bundles;
        let versions: Vec<_> = listed.iter().map(|bundle| bundle.version.to_string()).collect();
        assert_eq!(versions, ["1.0.0", "1.2.0", "1.3.0"], "the last two and the stepping stone");
        assert!(listed.contains(&source.bundles[1]));
    }

    #[test]
    fn odd_promotions_are_refused() {
        let (beta, stable) = (channel("beta"), channel("stable"));
        let listed = listing(&[("1.0.0", 0)]);
        let newer = listing(&[("1.1.0", 0)]);
        let new = |version, to| Promotion::new(&v(version), (&beta, &listed), to).unwrap_err();
        assert!(matches!(new("1.0.0", (&beta, None)), PromoteError::SameChannel { .. }));
        assert!(matches!(new("2.0.0", (&stable, None)), PromoteError::NotListed { .. }));
        assert!(matches!(new("1.0.0", (&stable, Some(&newer))), PromoteError::NotNewer { .. }));
    }
}
