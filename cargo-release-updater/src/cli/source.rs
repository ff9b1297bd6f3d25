//! What a release is made of: the package as Cargo builds it, or a folder.

use crate::config::{Project, ProjectError};
use crate::context::Context;
use crate::error::{CommandError, CommandResult, ExitCode};
use crate::steps::bundle::{
    self, Build, BundleStepError, Bundled, Contents, DEFAULT_LEVEL, Packing, add_launcher_table, announced_codecs,
    check_embedded, from_build, from_folder, host_triple,
};
use crate::steps::folders::Folders;
use std::path::{Path, PathBuf};
use updater_delta::Codec;
use updater_format::{AppId, FilePath, InstallKind, Platform, ReleaseVersion};

/// What is bundled, and how.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Selection")]
pub(super) struct SourceArgs {
    /// Bundle this folder as it is instead of building the package.
    #[arg(long, value_name = "DIR", requires = "release")]
    from_dir: Option<PathBuf>,
    /// The version of the release, with --from-dir; Cargo.toml's otherwise.
    #[arg(long = "version", id = "release", value_name = "VERSION", requires = "from_dir")]
    version: Option<ReleaseVersion>,
    /// The app, with --from-dir outside of a package.
    #[arg(long, value_name = "APP", requires = "from_dir")]
    app: Option<AppId>,
    /// The target triple; may be given several times. The table's when not given, else this machine's.
    #[arg(long, value_name = "TRIPLE")]
    pub(super) target: Vec<Platform>,
    /// How the app is installed: `executable` or `directory`; from the number of files when not given.
    #[arg(long, value_name = "KIND", value_parser = parse_kind, requires = "from_dir")]
    kind: Option<InstallKind>,
    /// The program that is started, inside the folder; the only program when not given.
    #[arg(long, value_name = "PATH", requires = "from_dir")]
    entry: Option<FilePath>,
    /// The xz level, 0 to 9.
    #[arg(long, value_name = "LEVEL", default_value_t = DEFAULT_LEVEL, value_parser = clap::value_parser!(u32).range(..=9))]
    level: u32,
}

/// What is going to be bundled: names, before anything is built.
#[derive(Debug, Clone)]
pub(super) struct Source {
    args: SourceArgs,
    project: Option<Project>,
    pub(super) app: AppId,
    pub(super) version: ReleaseVersion,
    pub(super) platforms: Vec<Platform>,
    folder: Option<PathBuf>,
}

impl SourceArgs {
    /// Works out the names of the release. A folder can be bundled without a package around it.
    pub(super) fn resolve(&self, context: &Context, project: Result<Project, ProjectError>) -> CommandResult<Source> {
        let project = match (project, &self.from_dir, &self.app) {
            (Ok(project), ..) => Some(project),
            (Err(ProjectError::Cargo { .. }), Some(_), Some(_)) => None,
            (Err(error), Some(_), None) => {
                let error = CommandError::from(error);
                return Err(error.hint("or name the app of the folder with `--app APP`"));
            }
            (Err(error), ..) => return Err(error.into()),
        };
        let table = project.as_ref().and_then(|project| project.table.as_ref());
        let app = match (&self.app, table, &project) {
            (Some(app), ..) => app.clone(),
            (None, Some(table), _) => table.app.clone(),
            (None, None, Some(project)) => project.table().map(|table| table.app.clone())?,
            (None, None, None) => {
                return Err(CommandError::new(ExitCode::Usage, "the folder has no app id").hint("add `--app APP`"));
            }
        };
        let version = match (&self.version, &project) {
            (Some(version), _) => version.clone(),
            (None, Some(project)) => project.version.clone(),
            (None, None) => {
                return Err(
                    CommandError::new(ExitCode::Usage, "the folder has no version").hint("add `--version VERSION`")
                );
            }
        };
        let platforms = match (self.target.as_slice(), table, &self.from_dir) {
            ([], Some(table), None) if !table.targets.is_empty() => table.targets.clone(),
            ([], ..) => vec![host_triple()?],
            ([_, _, ..], _, Some(_)) => {
                return Err(CommandError::new(ExitCode::Usage, "a folder is for one target triple")
                    .hint("bundle each folder with its own `--target TRIPLE`"));
            }
            (named, ..) => named.to_vec(),
        };
        let folder = self.from_dir.as_ref().map(|folder| context.path(folder));
        Ok(Source { args: self.clone(), project, app, version, platforms, folder })
    }
}

impl Source {
    /// Returns where results go.
    pub(super) fn folders(&self, context: &Context) -> Folders {
        match &self.project {
            Some(project) => Folders::of(project),
            None => Folders::at(context.path(Path::new("target/updater"))),
        }
    }

    /// Returns what would be done for one triple, for a dry run.
    pub(super) fn describe(&self, platform: &Platform) -> CommandResult<String> {
        match &self.folder {
            Some(folder) => Ok(format!("the files of {}", folder.display())),
            None => Ok(format!("cargo {}", self.build(platform)?.arguments().join(" "))),
        }
    }

    /// Makes the bundle of one triple.
    pub(super) fn bundle(&self, context: &Context, platform: &Platform, out: &Path) -> CommandResult<Bundled> {
        self.pack(context, &self.gather(context, platform)?, out)
    }

    /// Builds what is bundled for one triple, or finds it in the folder.
    pub(super) fn gather(&self, context: &Context, platform: &Platform) -> CommandResult<Contents> {
        let mut contents = match &self.folder {
            Some(folder) => self.contents_of_folder(folder, platform)?,
            None => self.contents_of_package(context, platform)?,
        };
        let table = self.project.as_ref().and_then(|project| project.table.as_ref());
        let launcher = table.and_then(|table| table.launcher.as_ref());
        add_launcher_table(&mut contents, launcher, &self.folders(context).root().join("launcher"))?;
        // Patches are made for the runtime in the release, which may be older or newer than this program.
        match announced_codecs(&contents)? {
            Some(codecs) => contents.codecs = codecs,
            None => context.shell.detail("no program announces its delta codecs; those of this program are listed"),
        }
        Ok(contents)
    }

    /// Packs what was gathered.
    pub(super) fn pack(&self, context: &Context, contents: &Contents, out: &Path) -> CommandResult<Bundled> {
        let packing = Packing::new(self.args.level, std::env::var("SOURCE_DATE_EPOCH").ok().as_deref())?;
        let platform = &contents.platform;
        context.shell.status("Bundling", format_args!("{} {} ({platform})", self.app, self.version));
        Ok(bundle::bundle(contents, packing, out, &context.shell)?)
    }

    fn contents_of_folder(&self, folder: &Path, platform: &Platform) -> CommandResult<Contents> {
        let table = self.project.as_ref().and_then(|project| project.table.as_ref());
        Ok(Contents {
            install: self.args.kind.or_else(|| table.and_then(|table| table.kind)),
            entry: self.args.entry.clone().or_else(|| table.and_then(|table| table.entry.clone())),
            files: from_folder(folder)?,
            ..self.contents(platform)
        })
    }

    fn contents_of_package(&self, context: &Context, platform: &Platform) -> CommandResult<Contents> {
        let project = self.package()?;
        let table = project.table()?;
        let build = self.build(platform)?;
        let built = build.run(&context.shell)?;
        // The same rule as in the build script, so that the program knows its own place.
        let entry = match &table.entry {
            Some(entry) => entry.clone(),
            None => {
                let first = build.programs.first().map(String::as_str).unwrap_or_default();
                FilePath::parse(first).map_err(|source| BundleStepError::Manifest { source })?
            }
        };
        let files = from_build(&built, &entry, project.folder(), &project.target_dir, &table.include)?;
        let contents = Contents {
            install: Some(table.install_kind()),
            entry: Some(entry.clone()),
            files,
            ..self.contents(platform)
        };
        let program = built.iter().find(|program| program.name == entry.file_name());
        match program {
            Some(program) if table.probe => check_embedded(&program.path, &project.root_file()?, &contents)?,
            _ => context.shell.detail("the entry is not looked into: it is not built here, or `probe` is false"),
        }
        Ok(contents)
    }

    fn contents(&self, platform: &Platform) -> Contents {
        let table = self.project.as_ref().and_then(|project| project.table.as_ref());
        Contents {
            app: self.app.clone(),
            version: self.version.clone(),
            platform: platform.clone(),
            install: None,
            entry: None,
            keep_local: table.map(|table| table.keep_local.clone()).unwrap_or_default(),
            codecs: Codec::SUPPORTED.iter().map(|codec| codec.id().to_owned()).collect(),
            files: Vec::new(),
        }
    }

    fn build(&self, platform: &Platform) -> CommandResult<Build> {
        let project = self.package()?;
        let table = project.table()?;
        // Without a named triple Cargo builds where the developer's own builds are, and much is built already.
        let named = !self.args.target.is_empty() || !table.targets.is_empty();
        Ok(Build::new(project, table, named.then(|| platform.clone()))?)
    }

    fn package(&self) -> CommandResult<&Project> {
        self.project.as_ref().ok_or_else(|| {
            CommandError::new(ExitCode::Usage, "there is no package to build")
                .hint("name a folder with `--from-dir DIR`")
        })
    }
}

fn parse_kind(text: &str) -> Result<InstallKind, String> {
    [InstallKind::Executable, InstallKind::Directory]
        .into_iter()
        .find(|kind| kind.to_string() == text)
        .ok_or_else(|| "it must be `executable` or `directory`".to_owned())
}
