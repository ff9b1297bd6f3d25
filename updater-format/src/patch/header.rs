//! The header of a patch: what it reads, what it makes, and from what.

use crate::digest::Sha256;
use crate::error::FormatError;
use crate::length::{MAX_ENTRIES, MAX_JOINT, MAX_NUMBER};
use crate::manifest::{EntryContent, Manifest, ManifestEntry};
use crate::path::FilePath;
use crate::{AppId, Platform, ReleaseVersion};

/// An installed file that the patch reads. Its digest is checked before anything is made from it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct PatchSource {
    /// Length in bytes.
    pub length: u64,
    /// Where it lies in the installed release.
    pub path: FilePath,
    /// Digest of the whole content.
    pub sha256: Sha256,
}

/// Where the bytes of one file of the new release come from.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Operation {
    /// An installed file as it is: kept, or renamed.
    Copy {
        /// Place in the list of sources.
        source: usize,
    },
    /// Bytes that the patch carries, compressed by xz.
    Add {
        /// Length of the payload in bytes.
        packed: u64,
    },
    /// A delta against an installed file.
    Delta {
        /// How the delta is made, for example `refs-1`.
        codec: String,
        /// Length of the payload in bytes.
        packed: u64,
        /// Place in the list of sources.
        source: usize,
    },
    /// The first of several files that one delta makes, one behind the other, from several installed files behind each other. Small files
    /// that are alike cost little more than one of them.
    Joint {
        /// How the delta is made.
        codec: String,
        /// Length of the payload in bytes.
        packed: u64,
        /// Places in the list of sources, rising.
        sources: Vec<usize>,
    },
    /// One more of the files that [`Operation::Joint`] makes, in the order of the manifest.
    Part,
}

impl Operation {
    /// Returns how many bytes of the patch belong to this operation.
    #[must_use]
    pub fn packed(&self) -> u64 {
        match self {
            Self::Copy { .. } | Self::Part => 0,
            Self::Add { packed } | Self::Delta { packed, .. } | Self::Joint { packed, .. } => *packed,
        }
    }

    /// Returns the places of the installed files that this operation reads.
    #[must_use]
    pub fn sources(&self) -> &[usize] {
        match self {
            Self::Copy { source } | Self::Delta { source, .. } => std::slice::from_ref(source),
            Self::Joint { sources, .. } => sources,
            Self::Add { .. } | Self::Part => &[],
        }
    }

    /// Returns how the delta of this operation is made, if it has one.
    #[must_use]
    pub fn codec(&self) -> Option<&str> {
        match self {
            Self::Delta { codec, .. } | Self::Joint { codec, .. } => Some(codec),
            Self::Copy { .. } | Self::Add { .. } | Self::Part => None,
        }
    }
}

/// The fields of a patch header before they are checked together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PatchParts {
    /// The installed release that the patch reads.
    pub from: ReleaseVersion,
    /// The exact bytes of the manifest of the release that it makes.
    pub manifest: Vec<u8>,
    /// The installed files that it reads, sorted by path.
    pub sources: Vec<PatchSource>,
    /// One operation for each regular file of the manifest, in its order.
    pub operations: Vec<Operation>,
}

/// A consistent patch header: every operation has its file, every source exists, and copies make what is listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PatchHeader {
    parts: PatchParts,
    manifest: Manifest,
}

impl PatchHeader {
    /// Checks the parts against each other.
    /// # Errors
    /// All of [`Manifest::parse`]; [`FormatError::Shape`] when the operations are not one per file, name a source that is
    /// not there, copy another file than the manifest lists or a codec with an impossible name, when sources are not
    /// sorted, or when several deltas make joint files or none does; [`FormatError::TooLarge`] for more than 100,000 sources,
    /// 2^53 bytes, or 16 MiB of joint files.
    pub fn new(parts: PatchParts) -> Result<Self, FormatError> {
        let manifest = Manifest::parse(&parts.manifest)?;
        let shape = |detail: String| Err(FormatError::shape(WHAT, detail));
        if parts.from == *manifest.version() {
            return shape(format!("it leads from {} to itself", parts.from));
        }
        if parts.sources.len() > MAX_ENTRIES {
            return Err(FormatError::TooLarge { what: WHAT, limit: MAX_ENTRIES as u64, unit: "sources" });
        }
        if let Some(pair) = parts.sources.windows(2).find(|pair| pair[0].path >= pair[1].path) {
            return shape(format!("sources must be sorted by path: {} follows {}", pair[1].path, pair[0].path));
        }
        let header = Self { parts, manifest };
        let files = header.files().count();
        if header.parts.operations.len() != files {
            return shape(format!("{} operations for {files} files", header.parts.operations.len()));
        }
        for (entry, operation) in header.files().zip(&header.parts.operations) {
            header.check_operation(entry, operation)?;
        }
        header.check_joint()?;
        let lengths = header.parts.sources.iter().map(|source| source.length);
        let packed = header.parts.operations.iter().map(Operation::packed);
        let sum = |mut numbers: Box<dyn Iterator<Item = u64> + '_>| numbers.try_fold(0u64, u64::checked_add);
        for total in [sum(Box::new(lengths)), sum(Box::new(packed))] {
            if total.is_none_or(|total| total > MAX_NUMBER) {
                return Err(FormatError::TooLarge { what: WHAT, limit: MAX_NUMBER, unit: "bytes" });
            }
        }
        Ok(header)
    }

    /// Returns the app that the patch is for.
    #[must_use]
    pub fn app(&self) -> &AppId {
        self.manifest.app()
    }

    /// Returns the triple of both releases.
    #[must_use]
    pub fn platform(&self) -> &Platform {
        self.manifest.platform()
    }

    /// Returns the release that must be installed.
    #[must_use]
    pub fn from(&self) -> &ReleaseVersion {
        &self.parts.from
    }

    /// Returns the release that is made.
    #[must_use]
    pub fn to(&self) -> &ReleaseVersion {
        self.manifest.version()
    }

    /// Returns the manifest of the release that is made.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Returns the exact bytes of that manifest.
    #[must_use]
    pub fn manifest_bytes(&self) -> &[u8] {
        &self.parts.manifest
    }

    /// Returns the installed files that the patch reads, sorted by path.
    #[must_use]
    pub fn sources(&self) -> &[PatchSource] {
        &self.parts.sources
    }

    /// Returns one operation for each regular file of the manifest, in its order.
    #[must_use]
    pub fn operations(&self) -> &[Operation] {
        &self.parts.operations
    }

    /// Returns the bytes that the files of [`Operation::Joint`] have together; 0 if there is none.
    #[must_use]
    pub fn joint_length(&self) -> u64 {
        let files = self.files().zip(&self.parts.operations);
        let lengths = files.filter_map(|(entry, operation)| match (operation, &entry.content) {
            (Operation::Joint { .. } | Operation::Part, EntryContent::File { length, .. }) => Some(*length),
            _ => None,
        });
        lengths.fold(0, u64::saturating_add)
    }

    /// Returns the regular files of the manifest, in order.
    pub(super) fn files(&self) -> impl Iterator<Item = &ManifestEntry> {
        self.manifest.entries().iter().filter(|entry| matches!(entry.content, EntryContent::File { .. }))
    }

    fn check_operation(&self, entry: &ManifestEntry, operation: &Operation) -> Result<(), FormatError> {
        let shape = |detail: &str| Err(FormatError::shape(WHAT, format!("operation for {}: {detail}", entry.path)));
        if operation.sources().iter().any(|&at| at >= self.parts.sources.len()) {
            return shape("its source is not listed");
        }
        if operation.codec().is_some_and(|codec| !is_codec_id(codec)) {
            return shape("its codec must be 1 to 32 of [a-z0-9-]");
        }
        match (operation, &entry.content) {
            (Operation::Copy { source }, EntryContent::File { length, sha256, .. })
                if (self.parts.sources[*source].length, self.parts.sources[*source].sha256) != (*length, *sha256) =>
            {
                shape("it copies another content than the manifest lists")
            }
            _ => Ok(()),
        }
    }

    /// Joint files are held in memory, so there is one lot of them, of a bounded length, and it begins with its delta.
    fn check_joint(&self) -> Result<(), FormatError> {
        let shape = |detail: &str| Err(FormatError::shape(WHAT, detail));
        let mut joint = self
            .parts
            .operations
            .iter()
            .filter(|operation| matches!(operation, Operation::Joint { .. } | Operation::Part));
        let sources = match joint.next() {
            None => return Ok(()),
            Some(Operation::Joint { sources, .. }) => sources,
            Some(_) => return shape("no delta makes the first of the joint files"),
        };
        if joint.any(|operation| matches!(operation, Operation::Joint { .. })) {
            return shape("two deltas make joint files");
        }
        if sources.windows(2).any(|pair| pair[0] >= pair[1]) {
            return shape("the sources of joint files must rise");
        }
        let read = sources.iter().map(|&at| self.parts.sources[at].length).fold(0, u64::saturating_add);
        if read.max(self.joint_length()) > MAX_JOINT {
            return Err(FormatError::TooLarge { what: "joint files of a patch", limit: MAX_JOINT, unit: "bytes" });
        }
        Ok(())
    }
}

fn is_codec_id(id: &str) -> bool {
    (1..=32).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

/// The header as JSON; fields in the order of canonical JSON.
#[derive(serde::Serialize, serde::Deserialize)]
struct WireHeader {
    app: AppId,
    from: ReleaseVersion,
    manifest: String,
    operations: Vec<Operation>,
    sources: Vec<PatchSource>,
    to: ReleaseVersion,
    triple: Platform,
}

impl PatchHeader {
    pub(super) fn to_json(&self) -> Vec<u8> {
        crate::compact::to_vec(&WireHeader {
            app: self.app().clone(),
            from: self.from().clone(),
            // It was parsed from JSON, so it is UTF-8.
            manifest: String::from_utf8_lossy(&self.parts.manifest).into_owned(),
            operations: self.parts.operations.clone(),
            sources: self.parts.sources.clone(),
            to: self.to().clone(),
            triple: self.platform().clone(),
        })
    }

    pub(super) fn from_json(bytes: &[u8]) -> Result<Self, FormatError> {
        let wire: WireHeader = serde_json::from_slice(bytes).map_err(|error| match error.classify() {
            serde_json::error::Category::Data => FormatError::shape(WHAT, error.to_string()),
            _ => FormatError::Json { what: WHAT, detail: error.to_string() },
        })?;
        let (sources, operations) = (wire.sources, wire.operations);
        let header =
            Self::new(PatchParts { from: wire.from, manifest: wire.manifest.into_bytes(), sources, operations })?;
        if (&wire.app, &wire.triple, &wire.to) != (header.app(), header.platform(), header.to()) {
            return Err(FormatError::shape(WHAT, "app, triple and to must be those of the manifest"));
        }
        Ok(header)
    }
}

const WHAT: &str = "patch header";
