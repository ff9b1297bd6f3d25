//! What a channel role offers, read out of the `custom` of each target (docs/format/release.md).
//!
//! Names of targets are never parsed: the signed `custom` says what a target is. Everything for one update comes from
//! one role. A kind or a format number that this program does not know is passed over and counted.

use crate::app::AppId;
use crate::digest::Sha256;
use crate::error::FormatError;
use crate::json::{Fields, Map, Value};
use crate::manifest::InstallKind;
use crate::path::TargetName;
use crate::platform::Platform;
use crate::role::{Hashes, TargetFile, Targets};
use crate::trust::TrustError;
use crate::version::ReleaseVersion;

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
    /// Whatever the publisher wants to tell the app.
    pub metadata: Map<String, Value>,
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
}

/// The release notes of one version, Markdown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotesEntry {
    /// The text.
    pub artifact: Artifact,
    /// The version it describes.
    pub version: ReleaseVersion,
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

/// Everything that a channel role offers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ChannelContents {
    /// All bundles, in order of target name.
    pub bundles: Vec<BundleEntry>,
    /// All patches, in order of target name.
    pub patches: Vec<PatchEntry>,
    /// All notes, in order of target name.
    pub notes: Vec<NotesEntry>,
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

    /// Adds one entry.
    pub fn push(&mut self, entry: Entry) {
        match entry {
            Entry::Bundle(entry) => self.bundles.push(entry),
            Entry::Patch(entry) => self.patches.push(entry),
            Entry::Notes(entry) => self.notes.push(entry),
        }
    }
}

impl Entry {
    /// Reads one target; `None` when its kind or format number is not known here.
    /// # Errors
    /// [`FormatError`] when a known kind has a wrong shape.
    pub fn from_target(name: &str, file: &TargetFile) -> Result<Option<(AppId, Self)>, FormatError> {
        let Some(custom) = &file.custom else { return Ok(None) };
        let mut fields = Fields::open(WHAT, custom.clone())?;
        if !fields.has("fmt") || !fields.has("kind") || fields.number("fmt")? != FORMAT {
            return Ok(None);
        }
        let kind = fields.string("kind")?;
        if !["bundle", "patch", "notes"].contains(&kind.as_str()) {
            return Ok(None);
        }
        let sha256 =
            file.hashes.sha256().ok_or_else(|| FormatError::shape(WHAT, format!("{name:?} has no sha256 hash")))?;
        let artifact = Artifact { name: TargetName::parse(name)?, length: file.length, sha256 };
        let app = fields.parsed("app")?;
        let version = fields.parsed("version")?;
        let entry = match kind.as_str() {
            "bundle" => Self::Bundle(BundleEntry {
                artifact,
                version,
                platform: fields.parsed("triple")?,
                install: install_kind(&fields.string("install")?)?,
                unpacked: fields.number("unpacked")?,
                files: fields.number("files")?,
                manifest: fields.parsed("manifest")?,
                codecs: fields.strings("codecs")?,
                epoch: if fields.has("epoch") { fields.number("epoch")? } else { 0 },
                libc: if fields.has("libc") { Some(fields.string("libc")?) } else { None },
                notes: if fields.has("notes") { Some(fields.parsed("notes")?) } else { None },
                metadata: if fields.has("metadata") { fields.object("metadata")? } else { Map::new() },
            }),
            "patch" => Self::Patch(PatchEntry {
                artifact,
                platform: fields.parsed("triple")?,
                from: fields.parsed("from")?,
                version,
                manifest: fields.parsed("manifest")?,
                codecs: fields.strings("codecs")?,
            }),
            _ => Self::Notes(NotesEntry { artifact, version }),
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
        set("fmt", FORMAT.into());
        set("app", app.as_str().into());
        let artifact = match self {
            Self::Bundle(entry) => {
                set("kind", "bundle".into());
                set("version", entry.version.to_string().into());
                set("triple", entry.platform.as_str().into());
                set("install", entry.install.to_string().into());
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
                if !entry.metadata.is_empty() {
                    set("metadata", entry.metadata.clone().into());
                }
                &entry.artifact
            }
            Self::Patch(entry) => {
                set("kind", "patch".into());
                set("version", entry.version.to_string().into());
                set("from", entry.from.to_string().into());
                set("triple", entry.platform.as_str().into());
                set("manifest", entry.manifest.to_string().into());
                set("codecs", entry.codecs.clone().into());
                &entry.artifact
            }
            Self::Notes(entry) => {
                set("kind", "notes".into());
                set("version", entry.version.to_string().into());
                &entry.artifact
            }
        };
        let file = TargetFile {
            length: artifact.length,
            hashes: Hashes::sha256_only(artifact.sha256),
            custom: Some(Value::Object(custom)),
            extra: Map::new(),
        };
        (artifact.name.to_string(), file)
    }
}

fn install_kind(text: &str) -> Result<InstallKind, FormatError> {
    [InstallKind::Executable, InstallKind::Directory]
        .into_iter()
        .find(|kind| kind.to_string() == text)
        .ok_or_else(|| FormatError::invalid("install kind", text, "it must be `executable` or `directory`"))
}

/// The format number of `custom` that this program reads and writes.
const FORMAT: u64 = 1;
const WHAT: &str = "target custom";
