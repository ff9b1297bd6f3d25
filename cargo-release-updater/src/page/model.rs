//! What the page tells, read out of a verified repository: which releases each channel offers to everybody, with their
//! files.

use super::notes::to_html;
use super::platform::Named;
use crate::keys::public_line;
use crate::repository::RepositoryState;
use crate::repository::state::artifact_path;
use std::collections::BTreeMap;
use updater_format::release::{BundleEntry, ChannelContents, NotesEntry, PatchEntry};
use updater_format::role::{ChannelRules, KeyOwner, Percent, Steering, Targets};
use updater_format::trust::TrustedChannel;
use updater_format::{
    AppId, Channel, InstallKind, KeyId, MinisignKey, Platform, PublicKey, ReleaseVersion, RepositoryAddress, Sha256,
    UtcTime,
};

/// An app and what is published of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Site {
    /// The app id.
    pub app: AppId,
    /// One line about the app, from its `Cargo.toml`.
    pub description: Option<String>,
    /// Where more is said about it, from its `Cargo.toml`.
    pub homepage: Option<String>,
    /// The address of the repository, without a slash at the end; empty when none is known.
    pub url: String,
    /// Where the files of releases lie when that is not below the page: an address with `{version}`, `{name}`, `{sha256}`.
    pub files: Option<String>,
    /// The channels that have published something, the app's own first.
    pub channels: Vec<Listed>,
}

/// A channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its name.
    pub channel: Channel,
    /// The keys by which its files are signed, as minisign writes them.
    pub keys: Vec<String>,
    /// Until when its role holds.
    pub expires: UtcTime,
    /// Its releases, the newest first.
    pub releases: Vec<Release>,
}

/// A release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Release {
    /// The version.
    pub version: ReleaseVersion,
    /// When it was published, as far as the publisher has said so.
    pub released: Option<UtcTime>,
    /// To whom it is offered.
    pub offer: Offer,
    /// Its notes as HTML.
    pub notes: Option<String>,
    /// Its bundles, in the order in which people look for their system.
    pub downloads: Vec<Download>,
}

/// To whom a release is offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Offer {
    /// To everybody.
    Everybody,
    /// To a part of the installs: it is in the middle of a rollout, or held.
    Part,
    /// To nobody: it was yanked or taken back.
    Nobody,
}

impl Offer {
    /// Reads it out of what the channel's key says, and what the online key withholds.
    fn of(version: &ReleaseVersion, rules: &ChannelRules, steering: &Steering) -> Self {
        let is_yanked = rules.yank.contains(version) || steering.yank.contains(version);
        if is_yanked || rules.retreat.iter().any(|retreat| retreat.from == *version) {
            return Self::Nobody;
        }
        let is_whole =
            |shares: &BTreeMap<ReleaseVersion, Percent>| shares.get(version).is_none_or(|share| *share == Percent::ALL);
        if is_whole(&rules.rollout) && is_whole(&steering.hold) { Self::Everybody } else { Self::Part }
    }
}

/// A bundle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Download {
    /// The platform.
    pub platform: Platform,
    /// The name of the file.
    pub name: String,
    /// Where it lies: relative to the page, or a whole address.
    pub path: String,
    /// Where its detached signature lies, relative to the page.
    pub signature: String,
    /// Bytes.
    pub length: u64,
    /// Its digest.
    pub sha256: Sha256,
    /// What it is installed as.
    pub kind: InstallKind,
    /// The lowest version of the GNU C library that it runs with.
    pub libc: Option<String>,
    /// The patches to it, from the newest older version on.
    pub patches: Vec<PatchSize>,
}

/// A patch, as far as it is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PatchSize {
    /// The version that it is made for.
    pub from: ReleaseVersion,
    /// Bytes.
    pub length: u64,
}

impl Site {
    /// Reads the channels of a repository. `own` is the channel that is named first; `notes` fetches the text of a file.
    /// # Errors
    /// What `notes` returns.
    pub fn read_channels<E>(
        state: &RepositoryState,
        own: &Channel,
        address: &RepositoryAddress,
        mut notes: impl FnMut(&NotesEntry) -> Result<Option<String>, E>,
    ) -> Result<Vec<Listed>, E> {
        let mut channels = Vec::new();
        for (channel, published) in state.channels() {
            let steering = state.timestamp().steering(channel).cloned().unwrap_or_default();
            let releases = releases(published, &steering, address, &mut notes)?;
            let keys = keys(channel, state.targets(), state.root().extension.as_ref().map(|extension| &extension.keys));
            channels.push(Listed { channel: channel.clone(), keys, expires: published.role().expires, releases });
        }
        channels.sort_by_key(|listed| listed.channel != *own);
        Ok(channels)
    }

    /// Returns the newest release that everybody gets of a channel.
    #[must_use]
    pub fn newest(&self) -> Option<(&Listed, &Release)> {
        let is_for_all = |release: &'_ &Release| release.offer == Offer::Everybody;
        self.channels.iter().find_map(|listed| Some((listed, listed.releases.iter().find(is_for_all)?)))
    }
}

fn releases<E>(
    published: &TrustedChannel,
    steering: &Steering,
    address: &RepositoryAddress,
    notes: &mut impl FnMut(&NotesEntry) -> Result<Option<String>, E>,
) -> Result<Vec<Release>, E> {
    let contents = published.contents();
    let rules = published.role().rules().cloned().unwrap_or_default();
    let mut versions: BTreeMap<&ReleaseVersion, Vec<&BundleEntry>> = BTreeMap::new();
    for bundle in contents.bundles.iter().filter(|bundle| bundle.component.is_none()) {
        versions.entry(&bundle.version).or_default().push(bundle);
    }
    let mut releases = Vec::new();
    for (version, mut bundles) in versions.into_iter().rev() {
        bundles.sort_by_key(|bundle| (Named::place(&bundle.platform), &bundle.platform));
        let text = match contents.notes.iter().find(|entry| entry.component.is_none() && entry.version == *version) {
            Some(entry) => notes(entry)?,
            None => None,
        };
        releases.push(Release {
            version: version.clone(),
            released: bundles.iter().filter_map(|bundle| bundle.released).min(),
            offer: Offer::of(version, &rules, steering),
            notes: text.as_deref().map(to_html),
            downloads: bundles.into_iter().map(|bundle| download(bundle, contents, address)).collect(),
        });
    }
    Ok(releases)
}

fn download(bundle: &BundleEntry, contents: &ChannelContents, address: &RepositoryAddress) -> Download {
    let ours = |patch: &&PatchEntry| (&patch.platform, &patch.version) == (&bundle.platform, &bundle.version);
    let patch = |patch: &PatchEntry| PatchSize { from: patch.from.clone(), length: patch.artifact.length };
    let mut patches: Vec<_> = contents.patches.iter().filter(ours).map(patch).collect();
    patches.sort_by(|a, b| b.from.cmp(&a.from));
    let artifact = &bundle.artifact;
    let hashed = artifact_path(artifact);
    let signature = format!("{hashed}.minisig");
    let path = match &address.targets {
        Some(targets) => {
            format!("{}{}", targets.base, targets.layout.path(&artifact.name, &artifact.sha256, &bundle.version))
        }
        None => hashed,
    };
    Download {
        platform: bundle.platform.clone(),
        name: bundle.artifact.name.to_string(),
        path,
        signature,
        length: bundle.artifact.length,
        sha256: bundle.artifact.sha256,
        kind: bundle.install,
        libc: bundle.libc.clone(),
        patches,
    }
}

/// Returns the keys of a channel as minisign writes them, as far as a document says by which id minisign knows them.
fn keys(channel: &Channel, targets: &Targets, of_root: Option<&BTreeMap<KeyId, KeyOwner>>) -> Vec<String> {
    let Some(delegation) = targets.delegation(channel.as_str()) else { return Vec::new() };
    let of_targets = targets.extension.as_ref().map(|extension| &extension.keys);
    let line = |(id, key): &(KeyId, PublicKey)| {
        let owner = [of_targets, of_root].into_iter().flatten().find_map(|owners| owners.get(id))?;
        let number = u64::from_str_radix(&owner.minisign, 16).ok()?;
        Some(public_line(&MinisignKey { key: key.clone(), id: number.to_le_bytes() }))
    };
    delegation.keyring.keys().iter().filter_map(line).collect()
}
