//! A manifest as JSON.

use super::{EntryContent, FileMode, InstallKind, Manifest, ManifestEntry, ManifestParts, WHAT};
use crate::digest::Sha256;
use crate::error::FormatError;
use crate::length::{MAX_ENTRIES, MAX_MANIFEST, MAX_NUMBER};
use crate::path::FilePath;
use crate::pattern::PathPattern;
use crate::{AppId, ComponentName, Platform, ReleaseVersion};

/// The format that is written, and the newest that is read.
const FORMAT: u64 = 1;

pub(super) fn parse(bytes: &[u8]) -> Result<Manifest, FormatError> {
    if bytes.len() as u64 > MAX_MANIFEST {
        return Err(FormatError::TooLarge { what: WHAT, limit: MAX_MANIFEST, unit: "bytes" });
    }
    // The version is read alone first: a newer format need not have today's fields.
    let version: WireFormat = from_json(bytes)?;
    if version.format != FORMAT {
        return Err(FormatError::NewerFormat { what: WHAT, found: version.format, supported: FORMAT });
    }
    let wire: WireManifest = from_json(bytes)?;
    if wire.files.len() > MAX_ENTRIES {
        return Err(FormatError::TooLarge { what: WHAT, limit: MAX_ENTRIES as u64, unit: "entries" });
    }
    if let Some(pair) = wire.files.windows(2).find(|pair| pair[0].path > pair[1].path) {
        let (first, second) = (&pair[0].path, &pair[1].path);
        return Err(FormatError::shape(WHAT, format!("files must be sorted by path: {second:?} follows {first:?}")));
    }
    let entries = wire.files.into_iter().map(ManifestEntry::try_from).collect::<Result<_, _>>()?;
    Manifest::new(ManifestParts {
        app: wire.app,
        version: wire.version,
        platform: wire.triple,
        install: wire.install,
        entry: match (wire.entry, &wire.component) {
            (Some(entry), _) => entry,
            (None, Some(_)) => FilePath::of_manifest(),
            (None, None) => return Err(FormatError::shape(WHAT, "`entry` is missing")),
        },
        component: wire.component,
        keep_local: wire.keep_local,
        entries,
    })
}

pub(super) fn encode(manifest: &Manifest) -> Vec<u8> {
    let parts = &manifest.parts;
    let wire = WireManifest {
        app: parts.app.clone(),
        component: parts.component.clone(),
        entry: parts.component.is_none().then(|| parts.entry.clone()),
        files: parts.entries.iter().map(WireEntry::from).collect(),
        format: FORMAT,
        install: parts.install,
        keep_local: parts.keep_local.clone(),
        triple: parts.platform.clone(),
        version: parts.version.clone(),
    };
    crate::compact::to_vec(&wire)
}

fn from_json<T: serde::de::DeserializeOwned>(bytes: &[u8]) -> Result<T, FormatError> {
    serde_json::from_slice(bytes).map_err(|error| match error.classify() {
        serde_json::error::Category::Data => FormatError::shape(WHAT, error.to_string()),
        _ => FormatError::Json { what: WHAT, detail: error.to_string() },
    })
}

#[derive(serde::Deserialize)]
struct WireFormat {
    format: u64,
}

// Fields stand in the order of canonical JSON: by name.
#[derive(serde::Serialize, serde::Deserialize)]
struct WireManifest {
    app: AppId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    component: Option<ComponentName>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    entry: Option<FilePath>,
    files: Vec<WireEntry>,
    format: u64,
    install: InstallKind,
    keep_local: Vec<PathPattern>,
    triple: Platform,
    version: ReleaseVersion,
}

#[derive(serde::Serialize, serde::Deserialize)]
struct WireEntry {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    length: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    link: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    mode: Option<FileMode>,
    path: FilePath,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sha256: Option<Sha256>,
}

impl TryFrom<WireEntry> for ManifestEntry {
    type Error = FormatError;
    fn try_from(wire: WireEntry) -> Result<Self, FormatError> {
        let content = match wire {
            WireEntry { length: Some(length), mode: Some(mode), sha256: Some(sha256), link: None, .. } => {
                if length > MAX_NUMBER {
                    return Err(FormatError::TooLarge { what: "file in a manifest", limit: MAX_NUMBER, unit: "bytes" });
                }
                EntryContent::File { length, sha256, mode }
            }
            WireEntry { length: None, mode: None, sha256: None, link: Some(target), .. } => {
                EntryContent::Link { target }
            }
            WireEntry { path, .. } => {
                let detail = format!("{:?} must have either length, sha256 and mode, or link", path.as_str());
                return Err(FormatError::shape(WHAT, detail));
            }
        };
        Ok(Self { path: wire.path, content })
    }
}

impl From<&ManifestEntry> for WireEntry {
    fn from(entry: &ManifestEntry) -> Self {
        let path = entry.path.clone();
        match &entry.content {
            EntryContent::File { length, sha256, mode } => {
                Self { path, length: Some(*length), sha256: Some(*sha256), mode: Some(*mode), link: None }
            }
            EntryContent::Link { target } => {
                Self { path, length: None, sha256: None, mode: None, link: Some(target.clone()) }
            }
        }
    }
}
