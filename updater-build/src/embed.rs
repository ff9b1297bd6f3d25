//! What is compiled into a program, written as a Rust file into `OUT_DIR` (docs/format/embedded.md).

use crate::check::{RootError, check_root};
use crate::error::TableError;
use crate::manifest::Manifest;
use crate::table::Table;
use std::path::{Path, PathBuf};
use updater_format::{FormatError, Platform, ReleaseVersion, UtcTime};

/// What the build script is told by Cargo.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuildEnvironment {
    /// The package's folder (`CARGO_MANIFEST_DIR`).
    pub package: PathBuf,
    /// Where generated files go (`OUT_DIR`).
    pub out: PathBuf,
    /// The package's version (`CARGO_PKG_VERSION`).
    pub version: String,
    /// The triple that is built for (`TARGET`).
    pub target: String,
    /// The build time of reproducible builds (`SOURCE_DATE_EPOCH`), as written.
    pub source_date_epoch: Option<String>,
    /// The time of the commit that is checked out, where there is one.
    pub commit_time: Option<UtcTime>,
}

/// What became of embedding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Embedding {
    /// Files that the result depends on.
    pub inputs: Vec<PathBuf>,
    /// What the developer should know although the build goes on.
    pub warnings: Vec<String>,
}

/// Writes `updater_embedded.rs` and `updater_root.json` into `OUT_DIR`.
///
/// `now` only decides whether an expired root is worth a warning. A package without a table or without its root file gets a disabled updater that carries the reason: a crate from a
/// registry must build.
/// # Errors
/// [`EmbedError`] when the table or the root is refused: then the build must fail.
pub fn write(environment: &BuildEnvironment, now: UtcTime) -> Result<Embedding, EmbedError> {
    let manifest = Manifest::read(&environment.package.join("Cargo.toml"))?;
    let mut inputs: Vec<PathBuf> = manifest.files().map(Path::to_owned).collect();
    let mut warnings = Vec::new();
    let version = ReleaseVersion::parse(&environment.version).map_err(|source| EmbedError::Version { source })?;
    let triple = Platform::parse(&environment.target).map_err(|source| EmbedError::Target { source })?;

    let Some(table) = Table::from_manifest(&manifest)? else {
        let reason = "Cargo.toml has no [package.metadata.updater]; `cargo updater init` writes it";
        warnings.push(format!("the updater is disabled: {reason}"));
        write_file(&environment.out.join(EMBEDDED), disabled(&manifest, &version, &triple, reason)?.as_bytes())?;
        return Ok(Embedding { inputs, warnings });
    };
    let root_path = environment.package.join(&table.root);
    inputs.push(root_path.clone());
    let root = match std::fs::read(&root_path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let reason = format!("this build has no trusted root: {} is not part of the package", table.root.display());
            warnings.push(format!("the updater is disabled: {reason}"));
            write_file(&environment.out.join(EMBEDDED), disabled(&manifest, &version, &triple, &reason)?.as_bytes())?;
            return Ok(Embedding { inputs, warnings });
        }
        Err(source) => return Err(EmbedError::ReadRoot { path: root_path, source }),
    };
    if table.urls.is_empty() {
        return Err(TableError::Missing { key: "url" }.into());
    }
    let build_time = match &environment.source_date_epoch {
        Some(text) => parse_epoch(text)?,
        None => environment.commit_time.unwrap_or(now),
    };
    let checked = check_root(&root, &table, now).map_err(|source| EmbedError::Root { path: root_path, source })?;
    warnings.extend(checked.warning);
    // A copy of the very bytes that were checked: the file may change between this script and the compiler.
    write_file(&environment.out.join(ROOT), &root)?;
    let text = embedded(&manifest, &table, &version, &triple, build_time)?;
    write_file(&environment.out.join(EMBEDDED), text.as_bytes())?;
    Ok(Embedding { inputs, warnings })
}

fn embedded(
    manifest: &Manifest,
    table: &Table,
    version: &ReleaseVersion,
    triple: &Platform,
    build_time: UtcTime,
) -> Result<String, TableError> {
    let binary = match (&table.entry, table.bins.first()) {
        (Some(_), _) => "",
        (None, Some(bin)) => bin,
        (None, None) => manifest.default_bin()?,
    };
    Ok(expression(&[
        ("schema", SCHEMA.to_string()),
        ("app", text(table.app.as_str())),
        ("version", text(&version.to_string())),
        ("triple", text(triple.as_str())),
        ("channel", channel(table)),
        ("fallback", list(table.fallback().iter().map(|channel| text(channel.as_str())))),
        ("urls", list(table.urls.iter().map(|url| text(url.as_str())))),
        ("root", format!("include_bytes!(concat!(env!(\"OUT_DIR\"), \"/{ROOT}\"))")),
        ("install", text(&table.install_kind(triple).to_string())),
        ("entry", text(&table.entry_for(triple, binary))),
        ("trial", text(table.trial.as_str())),
        ("missing_status", list(table.missing_status.iter().map(u16::to_string))),
        ("build_time", build_time.unix().to_string()),
        ("disabled", "::core::option::Option::None".to_owned()),
    ]))
}

/// Describes a program that cannot update itself. It still knows its name and version.
fn disabled(
    manifest: &Manifest,
    version: &ReleaseVersion,
    triple: &Platform,
    reason: &str,
) -> Result<String, TableError> {
    Ok(expression(&[
        ("schema", SCHEMA.to_string()),
        ("app", text(manifest.package_name()?)),
        ("version", text(&version.to_string())),
        ("triple", text(triple.as_str())),
        ("channel", text("")),
        ("fallback", list(std::iter::empty())),
        ("urls", list(std::iter::empty())),
        ("root", "&[]".to_owned()),
        ("install", text("")),
        ("entry", text("")),
        ("trial", text("start")),
        ("missing_status", list(std::iter::empty())),
        ("build_time", "0".to_owned()),
        ("disabled", format!("::core::option::Option::Some({})", text(reason))),
    ]))
}

fn expression(fields: &[(&str, String)]) -> String {
    let fields: String = fields.iter().map(|(name, value)| format!("    {name}: {value},\n")).collect();
    format!("::updater_runtime::Embedded {{\n{fields}}}\n")
}

/// Writes the channel as a part of a text that is found in a built program: its mark, the channel, those that it may fall back
/// to, and a `;`. The optimizer must not take the text apart.
fn channel(table: &Table) -> String {
    let followed = std::iter::once(&table.channel).chain(table.fallback());
    let followed = followed.map(updater_format::Channel::as_str).collect::<Vec<_>>().join(",");
    let (mark, channel) = (CHANNELS_MARK.len(), table.channel.as_str().len());
    let whole = text(&format!("{CHANNELS_MARK}{followed};"));
    format!("::core::hint::black_box({whole}).split_at({mark}).1.split_at({channel}).0")
}

/// Writes a Rust string literal: Rust's own escapes read back as the same text.
fn text(value: &str) -> String {
    format!("{value:?}")
}

fn list(items: impl Iterator<Item = String>) -> String {
    format!("&[{}]", items.collect::<Vec<_>>().join(", "))
}

/// Reads `SOURCE_DATE_EPOCH`: seconds since 1970 (reproducible-builds.org specification).
fn parse_epoch(text: &str) -> Result<UtcTime, EmbedError> {
    let refuse = || EmbedError::SourceDateEpoch { text: text.to_owned() };
    let seconds: i64 = text.trim().parse().map_err(|_| refuse())?;
    if seconds < 0 { Err(refuse()) } else { Ok(UtcTime::from_unix(seconds)) }
}

/// Writes a file only when its content changes, so that the compiler does not run again for nothing.
fn write_file(path: &Path, bytes: &[u8]) -> Result<(), EmbedError> {
    if std::fs::read(path).is_ok_and(|old| old == bytes) {
        return Ok(());
    }
    std::fs::write(path, bytes).map_err(|source| EmbedError::Write { path: path.to_owned(), source })
}

/// Why nothing can be embedded, so that the build must fail.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EmbedError {
    /// The table is wrong.
    #[error(transparent)]
    Table(#[from] TableError),
    /// The root is refused.
    #[error("{} cannot be embedded", path.display())]
    Root {
        /// The file.
        path: PathBuf,
        /// Which rule it breaks.
        source: RootError,
    },
    /// The root file exists but cannot be read.
    #[error("cannot read {}", path.display())]
    ReadRoot {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The package's version cannot be a release.
    #[error("the package's version cannot be released")]
    Version {
        /// Which rule it breaks.
        source: FormatError,
    },
    /// The target triple has an unknown form.
    #[error("the target triple cannot be used")]
    Target {
        /// Which rule it breaks.
        source: FormatError,
    },
    /// `SOURCE_DATE_EPOCH` is no number of seconds.
    #[error("SOURCE_DATE_EPOCH is {text:?}, not a number of seconds since 1970")]
    SourceDateEpoch {
        /// Its value.
        text: String,
    },
    /// A variable that Cargo sets for build scripts is missing.
    #[error("the variable {name} is not set")]
    NotABuildScript {
        /// The variable.
        name: &'static str,
    },
    /// A generated file could not be written.
    #[error("cannot write {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

impl EmbedError {
    /// Returns what to do about it, one line.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::Table(error) => error.hint(),
            Self::Root { source, .. } => source.hint().to_owned(),
            Self::ReadRoot { .. } | Self::Write { .. } => "check the file's permissions and the free space".to_owned(),
            Self::Version { .. } => "set `version` in Cargo.toml to MAJOR.MINOR.PATCH, without +build".to_owned(),
            Self::Target { .. } => "build for one of rustc's own targets".to_owned(),
            Self::SourceDateEpoch { .. } => "unset it, or set it with `git log -1 --format=%ct`".to_owned(),
            Self::NotABuildScript { .. } => "call updater_build::embed() from build.rs".to_owned(),
        }
    }
}

/// The version of the embedded structure: raised when a field changes its meaning.
const SCHEMA: u32 = 1;
/// The file that `updater!()` includes.
/// How the text in a built program begins that tells which channels it follows.
pub const CHANNELS_MARK: &str = "cargo-updater-channels=";
const EMBEDDED: &str = "updater_embedded.rs";
/// The root beside it.
const ROOT: &str = "updater_root.json";

#[cfg(test)]
mod tests;
