//! A release that is ready to be signed: its bundles, patches and notes, and how they change a channel's role.

use super::bundle::{Bundled, Contents, describe};
use super::diff::Patch;
use crate::error::{CommandError, CommandResult, ExitCode, Explain};
use crate::keys::{KeyError, Signer};
use crate::plan::{Plan, PlanError, Request, stem};
use crate::repository::Upload;
use std::collections::BTreeSet;
use std::fs::File;
use std::path::{Path, PathBuf};
use updater_format::bundle::BundleExpectation;
use updater_format::digest::HashingReader;
use updater_format::json::{Map, Value};
use updater_format::length::MAX_NOTES;
use updater_format::release::{Artifact, BundleEntry, ChannelContents, Entry, NotesEntry};
use updater_format::role::{ChannelRules, Targets};
use updater_format::{
    AppId, Channel, ComponentName, FormatError, Platform, ReleaseVersion, Sha256, TargetName, UtcTime,
};

/// Everything that one release publishes.
#[derive(Debug, Clone)]
pub struct Release {
    /// What was asked for.
    pub request: Request,
    /// The bundles, one per triple.
    pub bundles: Vec<Bundled>,
    /// The patches from earlier releases.
    pub patches: Vec<Patch>,
    /// The release notes.
    pub notes: Option<Notes>,
    /// When it is published.
    pub released: UtcTime,
    /// What the publisher says about the release besides, for the app.
    pub metadata: Map<String, Value>,
}

/// Release notes on disk, Markdown.
#[derive(Debug, Clone)]
pub struct Notes {
    /// What is to be signed about them.
    pub entry: NotesEntry,
    /// The file.
    pub path: PathBuf,
}

impl Notes {
    /// Takes a file as the notes of a release.
    /// # Errors
    /// [`ReleaseError::Notes`] when it cannot be read, is no text or is longer than clients show.
    pub fn read(
        path: &Path,
        app: &AppId,
        component: Option<&ComponentName>,
        version: &ReleaseVersion,
    ) -> Result<Self, ReleaseError> {
        let refuse = |source| ReleaseError::Notes { path: path.to_owned(), source };
        let mut reader = HashingReader::new(File::open(path).map_err(refuse)?);
        let text = std::io::read_to_string(&mut reader).map_err(refuse)?;
        if text.len() as u64 > MAX_NOTES {
            return Err(refuse(std::io::Error::other(format!("more than {MAX_NOTES} bytes"))));
        }
        let (length, sha256) = reader.finish();
        let name = TargetName::parse(&format!("{}-{version}.md", stem(app, component)))
            .map_err(|source| ReleaseError::Name { source })?;
        let artifact = Artifact { name, length, sha256 };
        Ok(Self {
            entry: NotesEntry { artifact, version: version.clone(), component: component.cloned() },
            path: path.to_owned(),
        })
    }
}

impl Release {
    /// Returns the app.
    #[must_use]
    pub fn app(&self) -> &AppId {
        &self.request.app
    }

    /// Returns the component that it is a release of; `None` for the app itself.
    #[must_use]
    pub fn component(&self) -> Option<&ComponentName> {
        self.request.component.as_ref()
    }

    /// Returns the version.
    #[must_use]
    pub fn version(&self) -> &ReleaseVersion {
        &self.request.version
    }

    /// Returns the channel.
    #[must_use]
    pub fn channel(&self) -> &Channel {
        &self.request.channel
    }

    /// Changes the role of the channel: adds this release and drops those that are no longer listed. Looks only at
    /// what it is given, so that it can be repeated after another publisher was faster. What the role lists of the app's
    /// other components, or of the app, stays as it is.
    /// # Errors
    /// [`ReleaseError::Plan`] when the version is not greater any more; [`ReleaseError::OtherBytes`] when this version was
    /// published with another bundle.
    pub fn edit(&self, role: &mut Targets, published: Option<&ChannelContents>) -> Result<Plan, ReleaseError> {
        let component = self.component();
        let published = published.and_then(|contents| contents.of(component));
        let rules = role.rules_of(component).cloned().unwrap_or_default();
        let plan = Plan::new(&self.request, published, &rules)?;
        self.check_bytes(published)?;
        let mut listed: BTreeSet<ReleaseVersion> = plan.listed.iter().cloned().collect();
        listed.extend(needed(&rules));
        role.targets.retain(|name, file| match Entry::from_target(name, file) {
            Ok(Some((_, entry))) => entry.component() != component || listed.contains(entry.version()),
            // Of a kind that this program does not know: somebody else's to remove.
            Ok(None) | Err(_) => true,
        });
        role.targets.extend(self.entries(plan.epoch).iter().map(|entry| entry.to_target(self.app())));
        Ok(plan)
    }

    /// Tells whether a channel lists this very release already, so that there is nothing to publish.
    #[must_use]
    pub fn is_published(&self, published: &ChannelContents) -> bool {
        let epoch = self.request.epoch.of(published, &self.request.version);
        self.entries(epoch).iter().all(|entry| match entry {
            // The one that is published was published earlier.
            Entry::Bundle(bundle) => published
                .bundles
                .iter()
                .any(|there| *there == BundleEntry { released: there.released, ..bundle.clone() }),
            Entry::Patch(patch) => published.patches.contains(patch),
            Entry::Notes(notes) => published.notes.contains(notes),
        })
    }

    /// Returns everything that is uploaded, each with its detached signature.
    /// # Errors
    /// [`KeyError`] when the key cannot sign; [`ReleaseError::Read`] when a file cannot be read.
    pub fn uploads(&self, signer: &Signer) -> Result<Vec<Upload>, CommandError> {
        let mut uploads = Vec::new();
        for (artifact, path, triple) in self.files() {
            let version = self.version().clone();
            let unreadable = |source| ReleaseError::Read { path: path.to_owned(), source };
            // What people see when they check it by hand; programs read the signed metadata instead.
            let subject = (self.app(), self.component());
            let comment = signature_comment(subject, self.version(), triple.as_ref(), self.channel(), &artifact);
            let minisig = signer.sign_file(File::open(path).map_err(unreadable)?, &comment)?;
            let component = self.component().cloned();
            uploads.push(Upload { artifact, component, version, content: path.to_owned(), minisig: Some(minisig) });
        }
        Ok(uploads)
    }

    fn files(&self) -> Vec<(Artifact, &Path, Option<Platform>)> {
        let bundles = self.bundles.iter().map(|bundled| {
            let part = &bundled.part;
            (part.entry(0, None).artifact, bundled.path.as_path(), Some(part.platform.clone()))
        });
        let patches = self
            .patches
            .iter()
            .map(|patch| (patch.entry.artifact.clone(), patch.path.as_path(), Some(patch.entry.platform.clone())));
        let notes = self.notes.iter().map(|notes| (notes.entry.artifact.clone(), notes.path.as_path(), None));
        bundles.chain(patches).chain(notes).collect()
    }

    fn entries(&self, epoch: u64) -> Vec<Entry> {
        let notes = self.notes.as_ref().map(|notes| notes.entry.artifact.name.clone());
        let bundle = |bundled: &Bundled| BundleEntry {
            released: Some(self.released),
            metadata: self.metadata.clone(),
            ..bundled.part.entry(epoch, notes.clone())
        };
        let bundles = self.bundles.iter().map(|bundled| Entry::Bundle(bundle(bundled)));
        let patches = self.patches.iter().map(|patch| Entry::Patch(patch.entry.clone()));
        let notes = self.notes.iter().map(|notes| Entry::Notes(notes.entry.clone()));
        bundles.chain(patches).chain(notes).collect()
    }

    /// Refuses to put other bytes under a version that clients may have installed already.
    /// # Errors
    /// [`ReleaseError::OtherBytes`].
    pub fn check_bytes(&self, published: Option<&ChannelContents>) -> Result<(), ReleaseError> {
        let listed = published.map_or(&[][..], |contents| &contents.bundles);
        for bundled in &self.bundles {
            let part = &bundled.part;
            let other = listed.iter().find(|bundle| {
                (&bundle.version, &bundle.platform) == (&part.version, &part.platform)
                    && bundle.artifact.sha256 != part.sha256
            });
            if let Some(other) = other {
                return Err(ReleaseError::OtherBytes {
                    version: part.version.clone(),
                    channel: self.channel().clone(),
                    name: part.file.clone(),
                    published: Box::new(other.artifact.sha256),
                    ours: Box::new(part.sha256),
                });
            }
        }
        Ok(())
    }
}

/// Tells whether a channel lists bundles of these very files already, so that nothing has to be packed.
/// # Errors
/// [`ReleaseError::OtherFiles`] when it lists the version with other files; what [`describe`] returns.
pub fn is_listed(contents: &Contents, channel: &Channel, published: &ChannelContents) -> CommandResult<bool> {
    let Contents { version, platform, .. } = contents;
    let listed = published.bundles.iter().find(|bundle| (&bundle.version, &bundle.platform) == (version, platform));
    let Some(listed) = listed else { return Ok(false) };
    let (manifest, _) = describe(contents)?;
    if BundleExpectation::of(&manifest).manifest == listed.manifest {
        return Ok(true);
    }
    let (version, channel, platform) = (version.clone(), channel.clone(), platform.clone());
    Err(ReleaseError::OtherFiles { version, channel, platform }.into())
}

/// Returns the releases that stay listed for the sake of a channel's rules, however old: stepping stones, and those to
/// which installs go back.
pub(super) fn needed(rules: &ChannelRules) -> BTreeSet<ReleaseVersion> {
    rules.required.iter().chain(rules.retreat.iter().map(|retreat| &retreat.to)).cloned().collect()
}

/// Returns the trusted comment of a file's `.minisig`: what it is and for whom.
pub(crate) fn signature_comment(
    (app, component): (&AppId, Option<&ComponentName>),
    version: &ReleaseVersion,
    triple: Option<&Platform>,
    channel: &Channel,
    artifact: &Artifact,
) -> String {
    let triple = triple.map(|triple| format!("target={triple} ")).unwrap_or_default();
    let (sha256, name) = (artifact.sha256, &artifact.name);
    let component = component.map(|component| format!("component={component} ")).unwrap_or_default();
    format!("app={app} {component}version={version} {triple}channel={channel} sha256={sha256} file={name}")
}

/// Returns the same for a file that is published already.
pub(crate) fn entry_comment(app: &AppId, entry: &Entry, channel: &Channel) -> String {
    signature_comment((app, entry.component()), entry.version(), entry.platform(), channel, entry.artifact())
}

/// Why a release cannot be signed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReleaseError {
    /// It does not fit what is published.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The version is out already, with another content.
    #[error(
        "{version} is published in channel `{channel}` already with another {name}: sha256 {published}, not {ours}"
    )]
    OtherBytes {
        /// The version.
        version: ReleaseVersion,
        /// The channel.
        channel: Channel,
        /// The bundle.
        name: TargetName,
        /// The digest that is published.
        published: Box<Sha256>,
        /// The digest that was to be published.
        ours: Box<Sha256>,
    },
    /// The version is out already, with other files.
    #[error("{version} is published in channel `{channel}` already with another content for {platform}")]
    OtherFiles {
        /// The version.
        version: ReleaseVersion,
        /// The channel.
        channel: Channel,
        /// The triple.
        platform: Platform,
    },
    /// The notes cannot be taken.
    #[error("cannot use {} as release notes", path.display())]
    Notes {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A name is too long.
    #[error("this release cannot be published under its name")]
    Name {
        /// Which rule.
        source: FormatError,
    },
    /// A file to publish cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Keys are missing or locked.
    #[error(transparent)]
    Key(#[from] KeyError),
}

impl Explain for ReleaseError {
    fn code(&self) -> ExitCode {
        match self {
            Self::Plan(error) => error.code(),
            Self::Key(error) => error.code(),
            Self::OtherBytes { .. } | Self::OtherFiles { .. } => ExitCode::Storage,
            Self::Notes { .. } => ExitCode::Usage,
            Self::Name { .. } => ExitCode::Config,
            Self::Read { .. } => ExitCode::Bundle,
        }
    }

    fn hints(&self) -> Vec<String> {
        vec![match self {
            Self::Plan(error) => return error.hints(),
            Self::Key(error) => return error.hints(),
            Self::OtherBytes { .. } | Self::OtherFiles { .. } => {
                "published files never change: raise `version` in Cargo.toml, or `--version` of a folder, and publish that".to_owned()
            }
            Self::Notes { .. } => format!("name a UTF-8 text of at most {MAX_NOTES} bytes with `--notes FILE`"),
            Self::Name { .. } => "shorten the app id or the version".to_owned(),
            Self::Read { .. } => "make it again with `cargo updater bundle`".to_owned(),
        }]
    }
}

#[cfg(test)]
mod tests;
