//! Why the table or the root cannot be embedded. Each error knows the line that mends it.

use std::path::PathBuf;

/// What is wrong with `[package.metadata.updater]`.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TableError {
    /// A manifest could not be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The manifest.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A manifest is not TOML.
    #[error("{} is not valid TOML", path.display())]
    Syntax {
        /// The manifest.
        path: PathBuf,
        /// Where and why.
        source: Box<toml_edit::TomlError>,
    },
    /// A manifest lacks what Cargo itself needs, or has it in a form that only Cargo resolves.
    #[error("{} has no {what}", path.display())]
    NotAPackage {
        /// The manifest.
        path: PathBuf,
        /// What is missing, for example `[package] name`.
        what: &'static str,
    },
    /// A key that does not exist; a misspelled setting must not be ignored in silence.
    #[error("unknown key `{key}` in {table} of {}", path.display())]
    UnknownKey {
        /// The manifest.
        path: PathBuf,
        /// Which table.
        table: &'static str,
        /// The key as written.
        key: String,
        /// The known key that looks most like it.
        suggestion: Option<String>,
    },
    /// A value of another TOML type.
    #[error("`{key}` in [package.metadata.updater] must be {expected}, found {found}")]
    WrongType {
        /// The key.
        key: String,
        /// The type that is read.
        expected: &'static str,
        /// The type that was found.
        found: &'static str,
    },
    /// A value that breaks a rule.
    #[error("`{key}` in [package.metadata.updater]: {rule}")]
    Value {
        /// The key.
        key: &'static str,
        /// The rule, with what was found.
        rule: String,
    },
    /// A name, version or path that breaks the rule of its type.
    #[error("`{key}` in [package.metadata.updater]")]
    Format {
        /// The key.
        key: &'static str,
        /// Which rule.
        source: updater_format::FormatError,
    },
    /// The file that has the version of a component has none.
    #[error("{} has no version of the component `{name}` on its first line", path.display())]
    ComponentVersion {
        /// The file.
        path: PathBuf,
        /// The component.
        name: String,
        /// Which rule the line breaks.
        source: updater_format::FormatError,
    },
    /// A repository URL that breaks a rule.
    #[error("repository URL {url:?} is refused: {rule}")]
    Url {
        /// The URL, with a password hidden.
        url: String,
        /// The rule.
        rule: &'static str,
    },
    /// A key without which nothing can be embedded or published.
    #[error("`{key}` is missing in [package.metadata.updater]")]
    Missing {
        /// The key.
        key: &'static str,
    },
}

impl TableError {
    /// Returns what to do about it, one line.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::Read { .. } => "check the path and its permissions".to_owned(),
            Self::Syntax { .. } => "mend the TOML at the line named above".to_owned(),
            Self::NotAPackage { .. } => "name the manifest of a package, for example with `-p NAME`".to_owned(),
            Self::UnknownKey { suggestion: Some(known), .. } => format!("did you mean `{known}`?"),
            Self::UnknownKey { .. } => "remove it; docs/format/table.md lists every key".to_owned(),
            Self::WrongType { key, expected, .. } => format!("write `{key}` as {expected}"),
            Self::Value { .. } | Self::Format { .. } => "docs/format/table.md has an example of every key".to_owned(),
            Self::ComponentVersion { .. } => "write MAJOR.MINOR.PATCH there, and nothing else".to_owned(),
            Self::Url { .. } => "set `url = \"https://...\"`, the address under which clients read".to_owned(),
            Self::Missing { .. } => "run `cargo updater init`, which writes it".to_owned(),
        }
    }
}
