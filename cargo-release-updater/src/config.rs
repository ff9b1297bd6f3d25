//! The project a command works on: found by Cargo, set up by the table in its manifest.

use crate::context::Context;
use crate::error::{ExitCode, Explain};
use cargo_metadata::{MetadataCommand, Package};
use std::path::{Path, PathBuf};
use updater_build::table::Table;
use updater_format::{FormatError, ReleaseVersion};

/// Which package a command works on.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Selection")]
pub struct PackageArgs {
    /// Path of the package's Cargo.toml.
    #[arg(long, value_name = "PATH")]
    pub manifest_path: Option<PathBuf>,
    /// The package of the workspace.
    #[arg(short, long, value_name = "NAME")]
    pub package: Option<String>,
}

/// A package that uses the updater, or is about to.
#[derive(Debug, Clone)]
pub struct Project {
    /// The package's name as Cargo has it.
    pub name: String,
    /// The version to release: Cargo's, the only source of it.
    pub version: ReleaseVersion,
    /// The package's `Cargo.toml`.
    pub manifest: PathBuf,
    /// The folder of the workspace, the package's own when there is none.
    pub workspace_root: PathBuf,
    /// Cargo's target folder.
    pub target_dir: PathBuf,
    /// One line about the package.
    pub description: Option<String>,
    /// Where more is said about it: its homepage, else its repository.
    pub homepage: Option<String>,
    /// The programs of the package, by name.
    pub programs: Vec<String>,
    /// The program that Cargo would run when no other is named.
    pub default_run: Option<String>,
    /// The settings; `None` before `cargo updater init`.
    pub table: Option<Table>,
}

impl Project {
    /// Finds the package that the command line names, else the one in the working folder.
    /// # Errors
    /// [`ProjectError`] when Cargo finds no manifest, or more than one package could be meant, or the table is wrong.
    pub fn find(context: &Context, args: &PackageArgs) -> Result<Self, ProjectError> {
        let metadata = metadata(context, args.manifest_path.as_deref())?;
        let package = choose(&metadata, context, args)?;
        let manifest = package.manifest_path.clone().into_std_path_buf();
        Ok(Self {
            name: package.name.to_string(),
            version: ReleaseVersion::parse(&package.version.to_string())
                .map_err(|source| ProjectError::Version { package: package.name.to_string(), source })?,
            workspace_root: metadata.workspace_root.clone().into_std_path_buf(),
            target_dir: metadata.target_directory.clone().into_std_path_buf(),
            description: package.description.clone(),
            homepage: package.homepage.clone().or_else(|| package.repository.clone()),
            programs: package.targets.iter().filter(|target| target.is_bin()).map(|t| t.name.clone()).collect(),
            default_run: package.default_run.clone(),
            table: Table::read(&manifest)?,
            manifest,
        })
    }

    /// Returns the packages of the workspace, in Cargo's order.
    /// # Errors
    /// [`ProjectError::Cargo`] when Cargo finds no manifest.
    pub fn members(context: &Context, manifest: Option<&Path>) -> Result<Vec<Member>, ProjectError> {
        let metadata = metadata(context, manifest)?;
        let member = |package: &&Package| Member {
            name: package.name.to_string(),
            is_set_up: package.metadata.get("updater").is_some_and(|table| table.is_object()),
        };
        Ok(metadata.workspace_packages().iter().map(member).collect())
    }

    /// Returns the folder of the package.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.manifest.parent().unwrap_or_else(|| Path::new("."))
    }

    /// Returns the settings.
    /// # Errors
    /// [`ProjectError::NotSetUp`] before `cargo updater init`.
    pub fn table(&self) -> Result<&Table, ProjectError> {
        self.table.as_ref().ok_or_else(|| ProjectError::NotSetUp { manifest: self.manifest.clone() })
    }

    /// Returns the file of the trusted root.
    /// # Errors
    /// [`ProjectError::NotSetUp`] before `cargo updater init`.
    pub fn root_file(&self) -> Result<PathBuf, ProjectError> {
        Ok(self.folder().join(&self.table()?.root))
    }

    /// Returns the program that is bundled when the table names none: Cargo's default, else the only one.
    #[must_use]
    pub fn default_program(&self) -> Option<&str> {
        match (&self.default_run, self.programs.as_slice()) {
            (Some(name), _) => Some(name),
            (None, [only]) => Some(only),
            (None, programs) => programs.iter().find(|name| **name == self.name).map(String::as_str),
        }
    }
}

/// One package of a workspace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its name.
    pub name: String,
    /// Whether it has a table of its own; the workspace's defaults alone make no app.
    pub is_set_up: bool,
}

fn metadata(context: &Context, manifest: Option<&Path>) -> Result<cargo_metadata::Metadata, ProjectError> {
    let mut command = MetadataCommand::new();
    // Dependencies do not matter here, and resolving them may need a network.
    command.no_deps().current_dir(&context.working_dir);
    command.cargo_path(crate::toolchain::cargo());
    for name in crate::keys::SECRET_VARIABLES.iter().copied().chain(crate::toolchain::empty_variables()) {
        command.env_remove(name);
    }
    if let Some(manifest) = manifest {
        command.manifest_path(context.path(manifest));
    }
    command.exec().map_err(|source| ProjectError::Cargo { source: Box::new(source) })
}

/// Picks the package: by name, by the manifest that was named, by the working folder, or the only one there is.
fn choose<'a>(
    metadata: &'a cargo_metadata::Metadata,
    context: &Context,
    args: &PackageArgs,
) -> Result<&'a Package, ProjectError> {
    let members = metadata.workspace_packages();
    let names = || members.iter().map(|package| package.name.to_string()).collect::<Vec<_>>();
    if let Some(wanted) = &args.package {
        let found = members.iter().copied().find(|package| package.name.as_str() == wanted);
        return found.ok_or_else(|| ProjectError::NoSuchPackage { package: wanted.clone(), members: names() });
    }
    let folder = match &args.manifest_path {
        Some(manifest) => context.path(manifest).parent().map(Path::to_owned).unwrap_or_default(),
        None => context.working_dir.clone(),
    };
    let folder = folder.canonicalize().unwrap_or(folder);
    let contains = |package: &&Package| {
        let own = package.manifest_path.parent().map(|path| path.as_std_path().to_owned()).unwrap_or_default();
        folder.starts_with(own.canonicalize().unwrap_or(own))
    };
    // The deepest folder wins: the root package of a workspace contains every member.
    let here = members.iter().copied().filter(contains).max_by_key(|package| package.manifest_path.as_str().len());
    match (here, members.as_slice()) {
        (Some(package), _) => Ok(package),
        (None, [only]) => Ok(only),
        (None, _) => Err(ProjectError::WhichPackage { members: names() }),
    }
}

/// Why there is no project to work on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProjectError {
    /// Cargo cannot read the manifest, or there is none.
    #[error("cannot find a Cargo package to work on")]
    Cargo {
        /// What Cargo said.
        source: Box<cargo_metadata::Error>,
    },
    /// The package named with `--package` is not in the workspace.
    #[error("package `{package}` is not in this workspace")]
    NoSuchPackage {
        /// The name.
        package: String,
        /// The packages there are.
        members: Vec<String>,
    },
    /// The working folder belongs to no package of the workspace and there are several.
    #[error("more than one package could be meant")]
    WhichPackage {
        /// The packages there are.
        members: Vec<String>,
    },
    /// Cargo's version cannot be a release.
    #[error("the version of package `{package}` cannot be released")]
    Version {
        /// The package.
        package: String,
        /// Which rule it breaks.
        source: FormatError,
    },
    /// The table is wrong.
    #[error(transparent)]
    Table(#[from] updater_build::TableError),
    /// There is no table yet.
    #[error("{} has no [package.metadata.updater]", manifest.display())]
    NotSetUp {
        /// The package's manifest.
        manifest: PathBuf,
    },
}

impl Explain for ProjectError {
    fn code(&self) -> ExitCode {
        ExitCode::Config
    }

    fn hints(&self) -> Vec<String> {
        vec![match self {
            Self::Cargo { .. } => "run it inside a package, or name one with `--manifest-path PATH`".to_owned(),
            Self::NoSuchPackage { package, members } => {
                match crate::suggest::nearest(package, members.iter().map(String::as_str)) {
                    Some(near) => format!("did you mean `-p {near}`?"),
                    None => format!("name one with `-p`: {}", members.join(", ")),
                }
            }
            Self::WhichPackage { members } => format!("name it with `-p`: {}", members.join(", ")),
            Self::Version { .. } => "set `version` in Cargo.toml to MAJOR.MINOR.PATCH, without +build".to_owned(),
            Self::Table(error) => error.hint(),
            Self::NotSetUp { .. } => "set the project up with `cargo updater init`".to_owned(),
        }]
    }
}
