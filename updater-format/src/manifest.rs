//! The manifest: what an installed release consists of, file by file.
//!
//! It is the first member of every bundle and stays in an installed folder, where it says which files the release owns;
//! only an app bundle of macOS has none inside, because its code signature allows nothing beside what it seals.
//! The signed entry of a bundle names the SHA-256 of the manifest's exact bytes; every file follows from there.
//! The format is described in `docs/format/manifest.md`.

mod links;
mod wire;

use crate::digest::Sha256;
use crate::error::FormatError;
use crate::length::{MAX_ENTRIES, MAX_NUMBER};
use crate::path::FilePath;
use crate::pattern::PathPattern;
use crate::{AppId, ComponentName, Platform, ReleaseVersion};
use std::collections::HashMap;

/// Where the manifest lies in a bundle and in an installed folder.
pub const MANIFEST_PATH: &str = ".updater-manifest.json";

/// How a release is installed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum InstallKind {
    /// One program file, replaced by one rename.
    Executable,
    /// A whole folder, replaced by one exchange.
    Directory,
    /// The folder of a component, replaced by one exchange while the app runs: it holds no program of its own.
    Component,
    /// A `.app` folder of macOS, replaced by one exchange. Nothing of a user's is in it, and nothing is ever added to it: that
    /// would break its code signature.
    AppBundle,
}

impl InstallKind {
    /// How an app is installed, as opposed to a component.
    pub const OF_APPS: [Self; 3] = [Self::Executable, Self::Directory, Self::AppBundle];

    /// Tells whether an installed release has its manifest inside.
    #[must_use]
    pub const fn holds_manifest(self) -> bool {
        matches!(self, Self::Directory | Self::Component)
    }
}

impl std::fmt::Display for InstallKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Executable => "executable",
            Self::Directory => "directory",
            Self::Component => "component",
            Self::AppBundle => "app-bundle",
        })
    }
}

/// The permission bits of a file. There are two, so that no archive can carry setuid or world-writable bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub enum FileMode {
    /// `0644`: data.
    #[serde(rename = "644")]
    Data,
    /// `0755`: a program.
    #[serde(rename = "755")]
    Program,
}

impl FileMode {
    /// Returns the permission bits.
    #[must_use]
    pub const fn bits(self) -> u32 {
        match self {
            Self::Data => 0o644,
            Self::Program => 0o755,
        }
    }
}

/// What lies at one path.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum EntryContent {
    /// A regular file.
    File {
        /// Length in bytes.
        length: u64,
        /// Digest of the whole content.
        sha256: Sha256,
        /// Permission bits.
        mode: FileMode,
    },
    /// A symbolic link that stays inside the install.
    Link {
        /// Relative to the folder of the link, `/`-separated; leads to a listed file, link or folder.
        target: String,
    },
}

/// One file or link of a release.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ManifestEntry {
    /// Where it lies, relative to the install.
    pub path: FilePath,
    /// What lies there.
    pub content: EntryContent,
}

/// The fields of a manifest before they are checked together.
///
/// ```
/// use updater_format::{
///     EntryContent, FileMode, FilePath, InstallKind, Manifest, ManifestEntry, ManifestParts, Sha256,
/// };
///
/// let program = b"#!/bin/sh\necho hello\n";
/// let content =
///     EntryContent::File { length: program.len() as u64, sha256: Sha256::of(program), mode: FileMode::Program };
/// let manifest = Manifest::new(ManifestParts {
///     app: "hello".parse().unwrap(),
///     version: "1.0.0".parse().unwrap(),
///     platform: "x86_64-unknown-linux-gnu".parse().unwrap(),
///     install: InstallKind::Executable,
///     component: None,
///     entry: FilePath::parse("hello").unwrap(),
///     keep_local: Vec::new(),
///     entries: vec![ManifestEntry { path: FilePath::parse("hello").unwrap(), content }],
/// })
/// .unwrap();
/// assert_eq!(Manifest::parse(&manifest.encode()).unwrap(), manifest);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManifestParts {
    /// Which app.
    pub app: AppId,
    /// Which release of it.
    pub version: ReleaseVersion,
    /// The triple that it was built for.
    pub platform: Platform,
    /// How it is installed.
    pub install: InstallKind,
    /// Which component of the app; `None` for the app itself.
    pub component: Option<ComponentName>,
    /// The program that is probed and restarted: a listed file of mode `0755`. A component has none; it has
    /// [`FilePath::of_manifest`] here, the one file by which its releases differ for certain.
    pub entry: FilePath,
    /// Files that a user may edit: an update never overwrites them.
    pub keep_local: Vec<PathPattern>,
    /// Every file and link, in any order; sorted by path when the manifest is made.
    pub entries: Vec<ManifestEntry>,
}

/// A release, file by file. Can only be made consistent: see [`Manifest::new`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    parts: ManifestParts,
    unpacked: u64,
}

impl Manifest {
    /// Checks the parts against each other and sorts the entries by path.
    /// # Errors
    /// [`FormatError::TooLarge`] beyond 100,000 entries, 64 patterns or 2^53 bytes in all. [`FormatError::Invalid`] with
    /// the path and the rule when two paths are equal or differ by case only, a file is also used as a folder, a path
    /// takes the manifest's own name or the `.new` name of a kept file, a link leaves the install, passes through another
    /// link (but in an app bundle) or leads nowhere, the entry is not a program, an executable has more than its one file, an
    /// app bundle has its program elsewhere than in [`PROGRAMS_OF_APP_BUNDLE`] or files for a user to edit, or a component and
    /// its install kind do not go together.
    pub fn new(mut parts: ManifestParts) -> Result<Self, FormatError> {
        if parts.entries.len() > MAX_ENTRIES {
            return Err(FormatError::TooLarge { what: WHAT, limit: MAX_ENTRIES as u64, unit: "entries" });
        }
        if parts.keep_local.len() > MAX_PATTERNS {
            return Err(FormatError::TooLarge { what: "keep_local", limit: MAX_PATTERNS as u64, unit: "patterns" });
        }
        parts.entries.sort_by(|a, b| a.path.cmp(&b.path));
        let unpacked = parts.entries.iter().try_fold(0u64, |sum, entry| match entry.content {
            EntryContent::File { length, .. } => sum.checked_add(length).filter(|sum| *sum <= MAX_NUMBER),
            EntryContent::Link { .. } => Some(sum),
        });
        let Some(unpacked) = unpacked else {
            return Err(FormatError::TooLarge { what: "unpacked release", limit: MAX_NUMBER, unit: "bytes" });
        };
        let manifest = Self { parts, unpacked };
        manifest.check_names()?;
        links::check(&manifest)?;
        manifest.check_component()?;
        if manifest.component().is_none() {
            manifest.check_entry()?;
        }
        Ok(manifest)
    }

    /// Reads a manifest from the bytes that its digest was checked over. Unknown fields are ignored.
    /// # Errors
    /// [`FormatError::TooLarge`] beyond 16 MiB, [`FormatError::NewerFormat`], [`FormatError::Json`],
    /// [`FormatError::Shape`] when entries are not sorted by path, and all of [`Manifest::new`].
    pub fn parse(bytes: &[u8]) -> Result<Self, FormatError> {
        wire::parse(bytes)
    }

    /// Returns the one spelling of this manifest: compact canonical JSON, keys sorted, no newline at the end.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        wire::encode(self)
    }

    /// Returns which app this is a release of.
    #[must_use]
    pub fn app(&self) -> &AppId {
        &self.parts.app
    }

    /// Returns which release this is.
    #[must_use]
    pub fn version(&self) -> &ReleaseVersion {
        &self.parts.version
    }

    /// Returns the triple that it was built for.
    #[must_use]
    pub fn platform(&self) -> &Platform {
        &self.parts.platform
    }

    /// Returns how it is installed.
    #[must_use]
    pub fn install(&self) -> InstallKind {
        self.parts.install
    }

    /// Returns which component of the app this is; `None` for the app itself.
    #[must_use]
    pub fn component(&self) -> Option<&ComponentName> {
        self.parts.component.as_ref()
    }

    /// Returns the path of the program that is probed and restarted; of a component, that of this manifest.
    #[must_use]
    pub fn entry(&self) -> &FilePath {
        &self.parts.entry
    }

    /// Returns the digest of the program that is probed and restarted; of a component, that of this manifest as
    /// [`Manifest::encode`] writes it.
    #[must_use]
    pub fn entry_digest(&self) -> Sha256 {
        if self.component().is_some() {
            return Sha256::of(&self.encode());
        }
        match self.find(&self.parts.entry).map(|entry| &entry.content) {
            Some(EntryContent::File { sha256, .. }) => *sha256,
            // `check_entry` refused every other manifest.
            _ => Sha256::of(b""),
        }
    }

    /// Returns every file and link, sorted by path.
    #[must_use]
    pub fn entries(&self) -> &[ManifestEntry] {
        &self.parts.entries
    }

    /// Returns the patterns of files that a user may edit.
    #[must_use]
    pub fn keep_local(&self) -> &[PathPattern] {
        &self.parts.keep_local
    }

    /// Tells whether a user may edit this file, so that an update leaves it alone.
    #[must_use]
    pub fn keeps_local(&self, path: &FilePath) -> bool {
        self.parts.keep_local.iter().any(|pattern| pattern.matches(path))
    }

    /// Returns what lies at a path, if the release owns it.
    #[must_use]
    pub fn find(&self, path: &FilePath) -> Option<&ManifestEntry> {
        self.position(path).map(|at| &self.parts.entries[at])
    }

    /// Returns the place of a path in [`Manifest::entries`].
    #[must_use]
    pub fn position(&self, path: &FilePath) -> Option<usize> {
        self.parts.entries.binary_search_by(|entry| entry.path.cmp(path)).ok()
    }

    /// Tells whether anything of the release lies below this path.
    #[must_use]
    pub fn has_folder(&self, path: &FilePath) -> bool {
        let inside = format!("{path}/");
        let at = self.parts.entries.partition_point(|entry| entry.path.as_str() < inside.as_str());
        self.parts.entries.get(at).is_some_and(|entry| entry.path.as_str().starts_with(&inside))
    }

    /// Returns the sum of the lengths of all files, in bytes.
    #[must_use]
    pub fn unpacked(&self) -> u64 {
        self.unpacked
    }

    /// Returns the checked parts, to change one and make another manifest.
    #[must_use]
    pub fn into_parts(self) -> ManifestParts {
        self.parts
    }

    /// Refuses two paths that are one on some file system, a file used as a folder, and reserved names.
    fn check_names(&self) -> Result<(), FormatError> {
        // Folded text -> exact text and whether something lies in it. A folder may come up again, in the same spelling.
        let mut seen: HashMap<String, (&str, bool)> = HashMap::new();
        for entry in &self.parts.entries {
            let path = &entry.path;
            for (text, is_folder) in path.parents().map(|folder| (folder, true)).chain([(path.as_str(), false)]) {
                let rule = match seen.insert(text.to_lowercase(), (text, is_folder)) {
                    None => continue,
                    Some((other, true)) if is_folder && other == text => continue,
                    Some((other, other_is_folder)) if other == text && is_folder == other_is_folder => {
                        "it is listed twice"
                    }
                    Some((other, _)) if other == text => "it is listed as a file and used as a folder",
                    Some(_) => "it differs from another path by case only",
                };
                return Err(FormatError::invalid("path in a manifest", path.as_str(), rule));
            }
            let first = path.as_str().split('/').next().unwrap_or_default();
            if first.to_lowercase() == MANIFEST_PATH {
                return Err(FormatError::invalid(
                    "path in a manifest",
                    path.as_str(),
                    "the name belongs to the manifest",
                ));
            }
        }
        for entry in self.parts.entries.iter().filter(|entry| self.keeps_local(&entry.path)) {
            if seen.contains_key(&format!("{}{NEW_SUFFIX}", entry.path.folded())) {
                let rule = "its `.new` name, used when a user's file is kept, is listed too";
                return Err(FormatError::invalid("path in a manifest", entry.path.as_str(), rule));
            }
        }
        Ok(())
    }

    /// Refuses a component that says it is installed as an app, an app that says it is a component, and an app for all
    /// platforms.
    fn check_component(&self) -> Result<(), FormatError> {
        let ManifestParts { component, install, entry, platform, .. } = &self.parts;
        let refuse = |rule| Err(FormatError::invalid("install kind of a manifest", &install.to_string(), rule));
        match (component, install) {
            (Some(_), InstallKind::Component) if *entry == FilePath::of_manifest() => Ok(()),
            (Some(_), InstallKind::Component) => refuse("a component has no program to start"),
            (Some(_), _) => refuse("a component is installed as `component`"),
            (None, InstallKind::Component) => refuse("it names no component"),
            (None, _) if platform.is_any() => refuse("a program is for one platform, not for `any`"),
            (None, _) => Ok(()),
        }
    }

    /// Refuses an entry that is not a program, and an executable with anything beside its program.
    fn check_entry(&self) -> Result<(), FormatError> {
        let refuse = |rule| Err(FormatError::invalid("entry of a manifest", self.parts.entry.as_str(), rule));
        match self.find(&self.parts.entry).map(|entry| &entry.content) {
            Some(EntryContent::File { mode: FileMode::Program, .. }) => {}
            Some(EntryContent::File { .. }) => return refuse("it must have mode 755"),
            Some(EntryContent::Link { .. }) => return refuse("it must be a file, not a link"),
            None => return refuse("it must be one of the listed files"),
        }
        match self.parts.install {
            InstallKind::Executable if self.parts.entries.len() != 1 => {
                refuse("an executable has exactly one file; use install kind `directory`")
            }
            InstallKind::AppBundle if !is_program_of_app_bundle(&self.parts.entry) => {
                refuse("the program of an app bundle lies in Contents/MacOS")
            }
            InstallKind::AppBundle if !self.parts.keep_local.is_empty() => {
                refuse("nothing in an app bundle is for its user to edit: that would break its signature")
            }
            _ => Ok(()),
        }
    }
}

/// Tells whether a path is one that the main program of an app bundle may have.
fn is_program_of_app_bundle(path: &FilePath) -> bool {
    path.as_str().strip_prefix(PROGRAMS_OF_APP_BUNDLE).is_some_and(|name| !name.contains('/'))
}

/// Where an app bundle of macOS has its programs.
pub const PROGRAMS_OF_APP_BUNDLE: &str = "Contents/MacOS/";
/// What describes an app bundle of macOS to the system.
pub const INFO_OF_APP_BUNDLE: &str = "Contents/Info.plist";
/// What seals an app bundle of macOS: the digests of all its resources. The main program is signed over this file.
pub const SEAL_OF_APP_BUNDLE: &str = "Contents/_CodeSignature/CodeResources";

/// What is appended to the name of a new file when the user's own one is kept.
pub const NEW_SUFFIX: &str = ".new";
/// The most `keep_local` patterns: 64. Each is matched against every file.
const MAX_PATTERNS: usize = 64;
const WHAT: &str = "manifest";

#[cfg(test)]
mod tests;
