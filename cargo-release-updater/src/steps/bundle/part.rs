//! The unsigned part beside a bundle: what a later step, perhaps on another machine, needs to sign it.
//! The format is described in `docs/format/part.md`.

use super::BundleStepError;
use std::path::Path;
use updater_format::json::{self, Fields, Map, Value};
use updater_format::release::{Artifact, BundleEntry};
use updater_format::{AppId, FormatError, InstallKind, Platform, ReleaseVersion, Sha256, TargetName};

/// What a bundle is. Nothing in it is trusted: whoever signs it vouches for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// The app.
    pub app: AppId,
    /// The release.
    pub version: ReleaseVersion,
    /// The triple that it was built for.
    pub platform: Platform,
    /// The name of the archive beside this part.
    pub file: TargetName,
    /// The length of the archive in bytes.
    pub length: u64,
    /// The digest of the archive.
    pub sha256: Sha256,
    /// How it is installed.
    pub install: InstallKind,
    /// The sum of the lengths of its files, in bytes.
    pub unpacked: u64,
    /// How many files and links it has.
    pub files: u64,
    /// The digest of its manifest.
    pub manifest: Sha256,
    /// The delta codecs that the runtime in it applies.
    pub codecs: Vec<String>,
    /// The oldest GNU C library it runs with.
    pub libc: Option<String>,
}

impl Part {
    /// Returns what is signed about the bundle. `epoch` is the security counter, `notes` the target with its notes.
    #[must_use]
    pub fn entry(&self, epoch: u64, notes: Option<TargetName>) -> BundleEntry {
        BundleEntry {
            artifact: Artifact { name: self.file.clone(), length: self.length, sha256: self.sha256 },
            version: self.version.clone(),
            platform: self.platform.clone(),
            install: self.install,
            unpacked: self.unpacked,
            files: self.files,
            manifest: self.manifest,
            codecs: self.codecs.clone(),
            epoch,
            libc: self.libc.clone(),
            notes,
            metadata: Map::new(),
        }
    }

    /// Reads a part.
    /// # Errors
    /// [`BundleStepError::Read`] and [`BundleStepError::Part`].
    pub fn read(path: &Path) -> Result<Self, BundleStepError> {
        let bytes = std::fs::read(path).map_err(|source| BundleStepError::Read { path: path.to_owned(), source })?;
        Self::parse(&bytes).map_err(|source| BundleStepError::Part { path: path.to_owned(), source })
    }

    /// Writes a part.
    /// # Errors
    /// [`BundleStepError::Write`].
    pub fn write(&self, path: &Path) -> Result<(), BundleStepError> {
        crate::steps::write_file(path, &self.encode())
            .map_err(|source| BundleStepError::Write { path: path.to_owned(), source })
    }

    /// Parses the bytes of a part. Unknown fields are refused: a part lives for one release only.
    /// # Errors
    /// [`FormatError`] with the field that is wrong.
    pub fn parse(bytes: &[u8]) -> Result<Self, FormatError> {
        let mut fields = Fields::open(WHAT, json::parse(WHAT, bytes)?)?;
        let format = fields.number("format")?;
        if format != FORMAT {
            return Err(FormatError::NewerFormat { what: WHAT, found: format, supported: FORMAT });
        }
        let install = fields.string("install")?;
        let part = Self {
            app: fields.parsed("app")?,
            version: fields.parsed("version")?,
            platform: fields.parsed("triple")?,
            file: fields.parsed("file")?,
            length: fields.number("length")?,
            sha256: fields.parsed("sha256")?,
            install: [InstallKind::Executable, InstallKind::Directory]
                .into_iter()
                .find(|kind| kind.to_string() == install)
                .ok_or_else(|| FormatError::Shape {
                    what: WHAT,
                    detail: format!("`install` is {install:?}, neither `executable` nor `directory`"),
                })?,
            unpacked: fields.number("unpacked")?,
            files: fields.number("files")?,
            manifest: fields.parsed("manifest")?,
            codecs: fields.strings("codecs")?,
            libc: if fields.has("libc") { Some(fields.string("libc")?) } else { None },
        };
        fields.finish()?;
        Ok(part)
    }

    /// Returns the text of the part: one line of compact JSON.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut map = Map::new();
        let mut set = |name: &str, value: Value| map.insert(name.to_owned(), value);
        set("format", FORMAT.into());
        set("app", self.app.as_str().into());
        set("version", self.version.to_string().into());
        set("triple", self.platform.as_str().into());
        set("file", self.file.as_str().into());
        set("length", self.length.into());
        set("sha256", self.sha256.to_string().into());
        set("install", self.install.to_string().into());
        set("unpacked", self.unpacked.into());
        set("files", self.files.into());
        set("manifest", self.manifest.to_string().into());
        set("codecs", self.codecs.clone().into());
        if let Some(libc) = &self.libc {
            set("libc", libc.as_str().into());
        }
        let mut bytes = json::compact(&Value::Object(map));
        bytes.push(b'\n');
        bytes
    }
}

/// The version of the format.
const FORMAT: u64 = 1;
const WHAT: &str = "bundle part";

#[cfg(test)]
mod tests {
    use super::*;

    fn part() -> Part {
        Part {
            app: AppId::parse("hello").unwrap(),
            version: ReleaseVersion::parse("1.4.0").unwrap(),
            platform: Platform::parse("x86_64-unknown-linux-gnu").unwrap(),
            file: TargetName::parse("hello-1.4.0-x86_64-unknown-linux-gnu.tar.xz").unwrap(),
            length: 1234,
            sha256: Sha256::of(b"archive"),
            install: InstallKind::Executable,
            unpacked: 5678,
            files: 1,
            manifest: Sha256::of(b"manifest"),
            codecs: vec!["bsdiff-1".to_owned()],
            libc: Some("2.31".to_owned()),
        }
    }

    #[test]
    fn a_part_reads_back() {
        for part in [part(), Part { libc: None, install: InstallKind::Directory, ..part() }] {
            assert_eq!(Part::parse(&part.encode()).unwrap(), part);
        }
    }

    #[test]
    fn other_documents_are_refused_by_name() {
        let text = String::from_utf8(part().encode()).unwrap();
        let parse = |text: String| Part::parse(text.as_bytes()).unwrap_err();
        assert!(matches!(
            parse(text.replace("\"format\":1", "\"format\":2")),
            FormatError::NewerFormat { found: 2, supported: 1, .. }
        ));
        assert!(matches!(parse(text.replace("\"length\"", "\"lengths\"")), FormatError::Shape { .. }));
        assert!(matches!(parse(text.replace("{", "{\"more\":1,")), FormatError::Shape { .. }));
        assert!(matches!(parse(text.replace("\"executable\"", "\"exe\"")), FormatError::Shape { .. }));
        assert!(matches!(parse(text.replace("hello-1.4.0", "../hello")), FormatError::Invalid { .. }));
    }
}
