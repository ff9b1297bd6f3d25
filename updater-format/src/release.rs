//! What a channel role offers, read out of the `custom` of each target (docs/format/release.md).
//!
//! Names of targets are never parsed: the signed `custom` says what a target is. Everything for one update comes from
//! one role. A kind or a format number that this program does not know is passed over and counted: components have kinds
//! of their own, so that a program that does not know them never takes one for a release of the app.

use crate::app::AppId;
use crate::component::ComponentName;
use crate::digest::Sha256;
use crate::error::FormatError;
use crate::json::{Fields, Map, Value};
use crate::layout::ReleaseOf;
use crate::manifest::InstallKind;
use crate::path::TargetName;
use crate::platform::Platform;
use crate::role::{Hashes, TargetFile, Targets};
use crate::time::UtcTime;
use crate::trust::TrustError;
use crate::version::ReleaseVersion;
use std::collections::BTreeMap;

/// A published file: what to ask for, and what must come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Artifact {
    /// The name of the target, without the digest that stands before it in storage.
    pub name: TargetName,
    /// Its exact length in bytes.
    pub length: u64,
    /// Its digest.
    pub sha256: Sha256,
}

impl Artifact {
    /// Returns the file name below `targets/`: `<sha256>.<name>`.
    #[must_use]
    pub fn file(&self) -> String {
        format!("{}.{}", self.sha256, self.name)
    }
}

/// The full bundle of one release for one platform.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BundleEntry {
    /// The `.tar.xz`.
    pub artifact: Artifact,
    /// The version it installs.
    pub version: ReleaseVersion,
    /// The platform it runs on.
    pub platform: Platform,
    /// What it is installed as.
    pub install: InstallKind,
    /// The sum of the lengths of its files, in bytes: decompression stops there.
    pub unpacked: u64,
    /// How many files and links it holds.
    pub files: u64,
    /// The digest of its manifest, against which every staged file is checked.
    pub manifest: Sha256,
    /// The delta codecs that this release's own runtime applies.
    pub codecs: Vec<String>,
    /// The security counter: an install that completed a higher one never takes this release.
    pub epoch: u64,
    /// The lowest C library version it runs with, as its ELF files say, for example `2.31`.
    pub libc: Option<String>,
    /// The target that holds its release notes.
    pub notes: Option<TargetName>,
    /// When it was published, by the publisher's clock: for people. Nothing is decided by it.
    pub released: Option<UtcTime>,
    /// Whatever the publisher wants to tell the app.
    pub metadata: Map<String, Value>,
    /// The component whose release it is; `None` for the app itself.
    pub component: Option<ComponentName>,
    /// The lowest version of the app that may take this release of a component.
    pub minimum_app: Option<ReleaseVersion>,
}

/// A patch from one release to another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PatchEntry {
    /// The patch container.
    pub artifact: Artifact,
    /// The platform of both releases.
    pub platform: Platform,
    /// The version that must be installed.
    pub from: ReleaseVersion,
    /// The version that results.
    pub version: ReleaseVersion,
    /// The digest of the resulting manifest; it must be that of the bundle entry of `version`.
    pub manifest: Sha256,
    /// The delta codecs inside: a client that lacks one passes the patch over.
    pub codecs: Vec<String>,
    /// The component of both releases; `None` for the app itself.
    pub component: Option<ComponentName>,
}

/// The release notes of one version, Markdown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotesEntry {
    /// The text.
    pub artifact: Artifact,
    /// The version it describes.
    pub version: ReleaseVersion,
    /// The component that it is about; `None` for the app itself.
    pub component: Option<ComponentName>,
}

/// One target of a channel role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// A full bundle.
    Bundle(BundleEntry),
    /// A patch.
    Patch(PatchEntry),
    /// Release notes.
    Notes(NotesEntry),
}

/// Everything that a channel role offers of an app, and of each of its components.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ChannelContents {
    /// All bundles, in order of target name.
    pub bundles: Vec<BundleEntry>,
    /// All patches, in order of target name.
    pub patches: Vec<PatchEntry>,
    /// All notes, in order of target name.
    pub notes: Vec<NotesEntry>,
    /// What it offers of each component: bundles, patches and notes, as of an app.
    pub components: BTreeMap<ComponentName, Self>,
    /// How many targets have a kind or format number that this program does not know.
    pub unknown: u64,
}

impl ChannelContents {
    /// Reads the targets of a verified role.
    /// # Errors
    /// [`TrustError::WrongApp`] when one belongs to another app; [`TrustError::Format`] when one has a wrong shape.
    pub fn read(app: &AppId, role: &Targets) -> Result<Self, TrustError> {
        let channel = role.extension.as_ref().and_then(|x| x.channel.as_ref()).map_or("targets", |c| c.as_str());
        let refuse = |source| TrustError::Format { role: channel.to_owned(), source };
        let mut contents = Self::default();
        for (name, file) in &role.targets {
            match Entry::from_target(name, file).map_err(refuse)? {
                Some((found, entry)) => {
                    if found != *app {
                        return Err(TrustError::WrongApp {
                            role: channel.to_owned(),
                            expected: app.to_string(),
                            found: found.to_string(),
                        });
                    }
                    contents.push(entry);
                }
                None => contents.unknown += 1,
            }
        }
        Ok(contents)
    }

    /// Returns what the role offers of the app itself, or of one of its components; nothing when it offers nothing.
    #[must_use]
    pub fn of(&self, component: Option<&ComponentName>) -> Option<&Self> {
        match component {
            None => Some(self),
            Some(name) => self.components.get(name),
        }
    }

    /// Returns what the role offers of the app itself and then of each component.
    pub fn subjects(&self) -> impl Iterator<Item = (Option<&ComponentName>, &Self)> {
        std::iter::once((None, self)).chain(self.components.iter().map(|(name, contents)| (Some(name), contents)))
    }

    /// Returns every entry, those of the components included.
    pub fn entries(&self) -> impl Iterator<Item = Entry> {
        self.subjects().flat_map(|(_, contents)| {
            let bundles = contents.bundles.iter().cloned().map(Entry::Bundle);
            let patches = contents.patches.iter().cloned().map(Entry::Patch);
            bundles.chain(patches).chain(contents.notes.iter().cloned().map(Entry::Notes))
        })
    }

    /// Adds one entry, to the app or to the component that it belongs to.
    pub fn push(&mut self, entry: Entry) {
        if let Some(component) = entry.component().cloned() {
            return self.components.entry(component).or_default().add(entry);
        }
        self.add(entry);
    }

    fn add(&mut self, entry: Entry) {
        match entry {
            Entry::Bundle(entry) => self.bundles.push(entry),
            Entry::Patch(entry) => self.patches.push(entry),
            Entry::Notes(entry) => self.notes.push(entry),
        }
    }
}

impl Entry {
    /// Returns the component that it belongs to; `None` for the app itself.
    #[must_use]
    pub fn component(&self) -> Option<&ComponentName> {
        match self {
            Self::Bundle(entry) => entry.component.as_ref(),
            Self::Patch(entry) => entry.component.as_ref(),
            Self::Notes(entry) => entry.component.as_ref(),
        }
    }

    /// Returns the release that it belongs to, with the component whose versions are counted.
    #[must_use]
    pub fn release(&self) -> ReleaseOf<'_> {
        ReleaseOf { component: self.component(), version: self.version() }
    }

    /// Returns the version of the release that it belongs to; of a patch, the one that results.
    #[must_use]
    pub fn version(&self) -> &ReleaseVersion {
        match self {
            Self::Bundle(entry) => &entry.version,
            Self::Patch(entry) => &entry.version,
            Self::Notes(entry) => &entry.version,
        }
    }

    /// Returns the published file.
    #[must_use]
    pub fn artifact(&self) -> &Artifact {
        match self {
            Self::Bundle(entry) => &entry.artifact,
            Self::Patch(entry) => &entry.artifact,
            Self::Notes(entry) => &entry.artifact,
        }
    }

    /// Returns the platform that it is for; notes are for all.
    #[must_use]
    pub fn platform(&self) -> Option<&Platform> {
        match self {
            Self::Bundle(entry) => Some(&entry.platform),
            Self::Patch(entry) => Some(&entry.platform),
            Self::Notes(_) => None,
        }
    }

    /// Reads one target; `None` when its kind or format number is not known here.
    /// # Errors
    /// [`FormatError`] when a known kind has a wrong shape.
    pub fn from_target(name: &str, file: &TargetFile) -> Result<Option<(AppId, Self)>, FormatError> {
        let Some(custom) = &file.custom else { return Ok(None) };
        let mut fields = Fields::open(WHAT, custom.clone())?;
        if !fields.has("fmt") || !fields.has("kind") {
            return Ok(None);
        }
        let format = fields.number("fmt")?;
        if format != FORMAT && format != FORMAT_OF_APP_BUNDLES {
            return Ok(None);
        }
        let Some((kind, of_component)) = Kind::parse(&fields.string("kind")?) else { return Ok(None) };
        let sha256 =
            file.hashes.sha256().ok_or_else(|| FormatError::shape(WHAT, format!("{name:?} has no sha256 hash")))?;
        let artifact = Artifact { name: TargetName::parse(name)?, length: file.length, sha256 };
        let app = fields.parsed("app")?;
        let version = fields.parsed("version")?;
        let component = if of_component { Some(fields.parsed("component")?) } else { None };
        let platform = |fields: &mut Fields| {
            let platform: Platform = fields.parsed("triple")?;
            match platform.is_any() && !of_component {
                true => Err(FormatError::shape(WHAT, "only a component is for `any` triple")),
                false => Ok(platform),
            }
        };
        let entry = match kind {
            Kind::Bundle => Self::Bundle(BundleEntry {
                artifact,
                version,
                platform: platform(&mut fields)?,
                install: match of_component {
                    true => InstallKind::Component,
                    false => install_kind(format, &fields.string("install")?)?,
                },
                unpacked: fields.number("unpacked")?,
                files: fields.number("files")?,
                manifest: fields.parsed("manifest")?,
                codecs: fields.strings("codecs")?,
                epoch: if fields.has("epoch") { fields.number("epoch")? } else { 0 },
                libc: if fields.has("libc") { Some(fields.string("libc")?) } else { None },
                notes: if fields.has("notes") { Some(fields.parsed("notes")?) } else { None },
                released: if fields.has("released") { Some(fields.parsed("released")?) } else { None },
                metadata: if fields.has("metadata") { fields.object("metadata")? } else { Map::new() },
                minimum_app: match of_component && fields.has("minimum-app") {
                    true => Some(fields.parsed("minimum-app")?),
                    false => None,
                },
                component,
            }),
            Kind::Patch => Self::Patch(PatchEntry {
                artifact,
                platform: platform(&mut fields)?,
                from: fields.parsed("from")?,
                version,
                manifest: fields.parsed("manifest")?,
                codecs: fields.strings("codecs")?,
                component,
            }),
            Kind::Notes => Self::Notes(NotesEntry { artifact, version, component }),
        };
        Ok(Some((app, entry)))
    }

    /// Writes the entry as a target: its name and what is signed of it.
    #[must_use]
    pub fn to_target(&self, app: &AppId) -> (String, TargetFile) {
        let mut custom = Map::new();
        let mut set = |name: &str, value: Value| {
            custom.insert(name.to_owned(), value);
        };
        set("fmt", self.format().into());
        set("app", app.as_str().into());
        if let Some(component) = self.component() {
            set("component", component.as_str().into());
        }
        set("kind", self.kind().name(self.component().is_some()).into());
        set("version", self.version().to_string().into());
        match self {
            Self::Bundle(entry) => {
                set("triple", entry.platform.as_str().into());
                if entry.component.is_none() {
                    set("install", entry.install.to_string().into());
                }
                if let Some(minimum) = &entry.minimum_app {
                    set("minimum-app", minimum.to_string().into());
                }
                set("unpacked", entry.unpacked.into());
                set("files", entry.files.into());
                set("manifest", entry.manifest.to_string().into());
                set("codecs", entry.codecs.clone().into());
                set("epoch", entry.epoch.into());
                if let Some(libc) = &entry.libc {
                    set("libc", libc.as_str().into());
                }
                if let Some(notes) = &entry.notes {
                    set("notes", notes.as_str().into());
                }
                if let Some(released) = entry.released {
                    set("released", released.to_string().into());
                }
                if !entry.metadata.is_empty() {
                    set("metadata", entry.metadata.clone().into());
                }
            }
            Self::Patch(entry) => {
                set("from", entry.from.to_string().into());
                set("triple", entry.platform.as_str().into());
                set("manifest", entry.manifest.to_string().into());
                set("codecs", entry.codecs.clone().into());
            }
            Self::Notes(_) => {}
        }
        let artifact = self.artifact();
        let file = TargetFile {
            length: artifact.length,
            hashes: Hashes::sha256_only(artifact.sha256),
            custom: Some(Value::Object(custom)),
            extra: Map::new(),
        };
        (artifact.name.to_string(), file)
    }

    /// Returns the format number: a client that does not know app bundles must not stumble over one, because its own platform
    /// may be listed in the same role.
    fn format(&self) -> u64 {
        match self {
            Self::Bundle(BundleEntry { install: InstallKind::AppBundle, .. }) => FORMAT_OF_APP_BUNDLES,
            _ => FORMAT,
        }
    }

    fn kind(&self) -> Kind {
        match self {
            Self::Bundle(_) => Kind::Bundle,
            Self::Patch(_) => Kind::Patch,
            Self::Notes(_) => Kind::Notes,
        }
    }
}

/// What a target is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Bundle,
    Patch,
    Notes,
}

impl Kind {
    const ALL: [Self; 3] = [Self::Bundle, Self::Patch, Self::Notes];

    /// Returns the word in `custom`. What belongs to a component has one of its own.
    const fn name(self, of_component: bool) -> &'static str {
        match (self, of_component) {
            (Self::Bundle, false) => "bundle",
            (Self::Patch, false) => "patch",
            (Self::Notes, false) => "notes",
            (Self::Bundle, true) => "component",
            (Self::Patch, true) => "component-patch",
            (Self::Notes, true) => "component-notes",
        }
    }

    fn parse(word: &str) -> Option<(Self, bool)> {
        let all = Self::ALL.into_iter().flat_map(|kind| [(kind, false), (kind, true)]);
        all.into_iter().find(|(kind, of_component)| kind.name(*of_component) == word)
    }
}

fn install_kind(format: u64, text: &str) -> Result<InstallKind, FormatError> {
    let known = InstallKind::OF_APPS.into_iter().find(|kind| kind.to_string() == text);
    let fits = |kind: &InstallKind| (*kind == InstallKind::AppBundle) == (format == FORMAT_OF_APP_BUNDLES);
    let rule = "it must be `executable` or `directory`, or with `fmt` 2 `app-bundle`";
    known.filter(fits).ok_or_else(|| FormatError::invalid("install kind", text, rule))
}

/// The format number of `custom` that this program writes for everything but app bundles.
const FORMAT: u64 = 1;
/// That of the bundle of an app bundle.
const FORMAT_OF_APP_BUNDLES: u64 = 2;
const WHAT: &str = "target custom";

#[cfg(test)]
mod tests;
