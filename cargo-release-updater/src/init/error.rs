//! Why a package could not be set up.

use crate::error::{ExitCode, Explain};
use std::path::PathBuf;
use updater_format::{AppId, FormatError};

/// What stood in the way.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InitError {
    /// An answer is missing and nobody can be asked.
    #[error("{what} is not given")]
    Missing {
        /// What is missing.
        what: &'static str,
        /// The option that gives it.
        option: &'static str,
    },
    /// The package's name cannot be an app id.
    #[error("the package's name cannot be an app id")]
    Name {
        /// Which rule it breaks.
        source: FormatError,
    },
    /// The terminal could not be read.
    #[error("cannot ask on this terminal")]
    Prompt {
        /// What the terminal said.
        source: std::io::Error,
    },
    /// A file could not be read or written.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The manifest cannot be edited.
    #[error("cannot edit {}: {reason}", path.display())]
    Manifest {
        /// The manifest.
        path: PathBuf,
        /// What is in the way.
        reason: String,
    },
    /// The manifest would no longer be read after the edit.
    #[error("{} would be refused after the edit", path.display())]
    Refused {
        /// The manifest.
        path: PathBuf,
        /// Why.
        source: Box<updater_build::TableError>,
    },
    /// The package has a root already, of another kind or app.
    #[error("{} is {found}, not {wanted}", path.display())]
    OtherRoot {
        /// The root.
        path: PathBuf,
        /// What it is.
        found: String,
        /// What was asked for.
        wanted: String,
    },
    /// The project was set up, and its root is gone: another one would be another app to everybody who has it.
    #[error("{} has the public key of a root, and {} is not there", manifest.display(), root.display())]
    RootLost {
        /// The manifest with the table.
        manifest: PathBuf,
        /// Where the root should be.
        root: PathBuf,
    },
    /// The project has a root, and the targets role that belongs to it is gone.
    #[error("{} is there, and {} beside it is not", root.display(), targets.display())]
    TargetsLost {
        /// The root.
        root: PathBuf,
        /// Where the targets role should be.
        targets: PathBuf,
    },
    /// An option says something else than the table.
    #[error("`{option}` is given, and {} has `{key} = \"{value}\"`", manifest.display())]
    Differs {
        /// The option.
        option: &'static str,
        /// The key of the table.
        key: &'static str,
        /// What the table says.
        value: String,
        /// The manifest with the table.
        manifest: PathBuf,
    },
    /// The package's root cannot be read.
    #[error("{} cannot be read as a root", path.display())]
    BadRoot {
        /// The root.
        path: PathBuf,
        /// What is wrong with it.
        source: FormatError,
    },
    /// The keys do not make a root.
    #[error("the metadata of {app} cannot be made")]
    Metadata {
        /// The app.
        app: AppId,
        /// Which rule is broken.
        source: FormatError,
    },
}

impl Explain for InitError {
    fn code(&self) -> ExitCode {
        match self {
            Self::Missing { .. } | Self::Prompt { .. } => ExitCode::Usage,
            _ => ExitCode::Config,
        }
    }

    fn hints(&self) -> Vec<String> {
        vec![match self {
            Self::Missing { option, .. } => format!("give it with `{option}`"),
            Self::Name { .. } => "choose one with `--app APP`".to_owned(),
            Self::Prompt { .. } => "give the answers as options; `cargo updater init --help` lists them".to_owned(),
            Self::Io { .. } => "check that the file is yours and the disk has room, then run it again".to_owned(),
            Self::Manifest { .. } => "write the table by hand; docs/format/table.md has an example".to_owned(),
            Self::Refused { source, .. } => source.hint(),
            Self::OtherRoot { path, .. } => format!(
                "to start over, remove {} and the table [package.metadata.updater]; installed apps keep trusting the old root",
                path.parent().unwrap_or(path).display()
            ),
            Self::TargetsLost { root, targets } => {
                return vec![
                    format!("restore {} from version control", targets.display()),
                    "where something is published `cargo updater doctor --fix` takes the role from there, when its signatures hold"
                        .to_owned(),
                    format!(
                        "to start over, remove {} and the table [package.metadata.updater]; installed apps keep trusting the old root",
                        root.display()
                    ),
                ];
            }
            Self::RootLost { root, .. } => {
                return vec![
                    format!("restore {} and the targets.json beside it from version control", root.display()),
                    "to start over, remove the table [package.metadata.updater], too; installed apps keep trusting the old root"
                        .to_owned(),
                ];
            }
            Self::Differs { option: "--github", .. } => {
                "for GitHub take `url` and `storage` out of the table first, and run it again; from another storage the action \
                 publishes, too (docs/github.md)"
                    .to_owned()
            }
            Self::Differs { key, .. } => format!("`init` changes nothing that is there: edit `{key}` in the table"),
            Self::BadRoot { .. } => "restore it from version control".to_owned(),
            Self::Metadata { .. } => "look at the keys with `cargo updater keys list`".to_owned(),
        }]
    }
}
