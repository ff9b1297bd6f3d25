//! The unsigned part beside a bundle: what a later step, perhaps on another machine, needs to sign it.
//! The format is described in `docs/format/part.md`.

use super::{BundleStepError, OfComponent};
use std::path::Path;
use updater_format::json::{self, Fields, Map, Value};
use updater_format::release::{Artifact, BundleEntry};
use updater_format::{AppId, FormatError, InstallKind, Platform, ReleaseVersion, Sha256, TargetName};

/// What a bundle is. Nothing in it is trusted: whoever signs it vouches for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// The app.
    pub app: AppId,
    /// The component that it is a release of; `None` for the app itself.
    pub component: Option<OfComponent>,
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
            released: None,
            metadata: Map::new(),
            component: self.component.as_ref().map(|of| of.name.clone()),
            minimum_app: self.component.as_ref().and_then(|of| of.minimum_app.clone()),
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
        crate::files::write_durably(path, &self.encode())
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
        let minimum_app = if fields.has("minimum-app") { Some(fields.parsed("minimum-app")?) } else { None };
        let name = if fields.has("component") { Some(fields.parsed("component")?) } else { None };
        let part = Self {
            app: fields.parsed("app")?,
            component: name.map(|name| OfComponent { name, minimum_app }),
            version: fields.parsed("version")?,
            platform: fields.parsed("triple")?,
            file: fields.parsed("file")?,
            length: fields.number("length")?,
            sha256: fields.parsed("sha256")?,
            install: InstallKind::OF_APPS
                .into_iter()
                .chain([InstallKind::Component])
                .find(|kind| kind.to_string() == install)
                .ok_or_else(|| FormatError::Shape {
                    what: WHAT,
                    detail: format!(
                        "`install` is {install:?}, none of `executable`, `directory`, `app-bundle` and `component`"
                    ),
                })?,
            unpacked: fields.number("unpacked")?,
            files: fields.number("files")?,
            manifest: fields.parsed("manifest")?,
            codecs: fields.strings("codecs")?,
            libc: if fields.has("libc") { Some(fields.string("libc")?) } else { None },
        };
        fields.finish()?;
        if part.component.is_some() != (part.install == InstallKind::Component) {
            let detail = "`component` and `install` do not go together".to_owned();
            return Err(FormatError::Shape { what: WHAT, detail });
        }
        Ok(part)
    }

    /// Returns the text of the part: one line of compact JSON.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut map = Map::new();
        let mut set = |name: &str, value: Value| map.insert(name.to_owned(), value);
        set("format", FORMAT.into());
        set("app", self.app.as_str().into());
        if let Some(of) = &self.component {
            set("component", of.name.as_str().into());
            if let Some(minimum) = &of.minimum_app {
                set("minimum-app", minimum.to_string().into());
            }
        }
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
            component: None,
            version: ReleaseVersion::parse("1.4.0").unwrap(),
            platform: Platform::parse("x86_64-unknown-linux-gnu").unwrap(),
            file: TargetName::parse("hello-1.4.0-x86_64-unknown-linux-gnu.tar.xz").unwrap(),
            length: 1234,
            sha256: Sha256::of(b"archive"),
            install: InstallKind::Executable,
            unpacked: 5678,
            files: 1,
            manifest: Sha256::of(b"manifest"),
            codecs: vec!["refs-1".to_owned()],
            libc: Some("2.31".to_owned()),
        }
    }

    #[test]
    fn a_part_reads_back() {
        let component = |minimum_app: Option<&str>| Part {
            component: Some(OfComponent {
                name: "model".parse().unwrap(),
                minimum_app: minimum_app.map(|text| text.parse().unwrap()),
            }),
            install: InstallKind::Component,
            platform: Platform::any(),
            ..part()
        };
        let folder = Part { libc: None, install: InstallKind::Directory, ..part() };
        for part in [part(), folder, component(None), component(Some("1.2.0"))] {
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
        assert!(matches!(parse(text.replace("\"executable\"", "\"component\"")), FormatError::Shape { .. }));
        assert!(matches!(parse(text.replace("hello-1.4.0", "../hello")), FormatError::Invalid { .. }));
    }
}
