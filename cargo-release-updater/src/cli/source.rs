//! What a release is made of: the package as Cargo builds it, or a folder.

use super::desk::unknown_component;
use crate::config::{Project, ProjectError};
use crate::context::Context;
use crate::error::{CommandError, CommandResult, ExitCode};
use crate::hooks::{Hook, Hooks};
use crate::steps::bundle::{
    self, AppBundle, Build, BundleStepError, Bundled, Contents, DEFAULT_LEVEL, OfComponent, Packing,
    add_launcher_table, after_build, announced_codecs, check_embedded, from_build, from_folder, host_triple,
};
use crate::steps::folders::Folders;
use std::path::{Path, PathBuf};
use updater_delta::Codec;
use updater_format::{AppId, ComponentName, FilePath, InstallKind, Platform, ReleaseVersion};

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
    /// How the app is installed: `executable`, `directory` or `app-bundle`; from the number of files when not given.
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
    /// The component; `None` for the app itself.
    component: Option<ComponentName>,
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
        Ok(Source { args: self.clone(), project, app, component: None, version, platforms, folder })
    }

    /// Works out the names of a release of a component. It is described in the table, or it is the folder that is named.
    pub(super) fn resolve_component(
        &self,
        context: &Context,
        project: &Project,
        name: &ComponentName,
    ) -> CommandResult<Source> {
        let table = project.table()?;
        let entries: Vec<_> = table.components.iter().filter(|entry| entry.name == *name).collect();
        let known = || table.components.iter().map(|entry| entry.name.clone()).collect::<Vec<_>>();
        let version = match (&self.version, entries.first()) {
            (Some(version), _) => version.clone(),
            (None, Some(entry)) => entry.version(project.folder()).map_err(ProjectError::from)?,
            (None, None) => return Err(unknown_component(name, &known())),
        };
        let is_wanted =
            |platform: &Platform| platform.is_any() || self.target.is_empty() || self.target.contains(platform);
        let platforms = match (&self.from_dir, self.target.as_slice()) {
            (None, _) => entries.iter().map(|entry| entry.platform.clone()).filter(is_wanted).collect(),
            (Some(_), []) => vec![Platform::any()],
            (Some(_), named) => named.to_vec(),
        };
        let folder = self.from_dir.as_ref().map(|folder| context.path(folder));
        let (project, app, component) = (Some(project.clone()), table.app.clone(), Some(name.clone()));
        Ok(Source { args: self.clone(), project, app, component, version, platforms, folder })
    }

    /// Tells whether a folder is bundled instead of what the table describes.
    pub(super) fn is_folder(&self) -> bool {
        self.from_dir.is_some()
    }
}

impl Source {
    /// Returns what is bundled, in words: the app, or the app and its component.
    pub(super) fn subject(&self) -> String {
        self.component.as_ref().map_or_else(|| self.app.to_string(), |component| format!("{} {component}", self.app))
    }

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
            None if self.component.is_some() => Ok("the files that the table names".to_owned()),
            None => Ok(format!("cargo {}", self.build(platform)?.arguments().join(" "))),
        }
    }

    /// Makes the bundle of one triple.
    pub(super) fn bundle(&self, context: &Context, platform: &Platform, out: &Path) -> CommandResult<Bundled> {
        self.pack(context, &self.gather(context, platform)?, out)
    }

    /// Builds what is bundled for one triple, or finds it in the folder.
    pub(super) fn gather(&self, context: &Context, platform: &Platform) -> CommandResult<Contents> {
        self.before_bundle(context, platform)?;
        if let Some(component) = &self.component {
            return self.contents_of_component(component, platform);
        }
        let mut contents = match &self.folder {
            Some(folder) => self.contents_of_folder(context, folder, platform)?,
            None => self.contents_of_package(context, platform)?,
        };
        let table = self.project.as_ref().and_then(|project| project.table.as_ref());
        // A launcher runs no app bundle, and nothing can be added to one.
        let is_app_bundle = contents.install == Some(InstallKind::AppBundle);
        let launcher = table.filter(|_| !is_app_bundle).and_then(|table| table.launcher.as_ref());
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
        context.shell.status("Bundling", format_args!("{} {} ({platform})", self.subject(), self.version));
        Ok(bundle::bundle(contents, packing, out, &context.shell)?)
    }

    fn contents_of_component(&self, name: &ComponentName, platform: &Platform) -> CommandResult<Contents> {
        let project = self.package()?;
        let mut entries = project.table()?.components.iter().filter(|entry| entry.name == *name);
        let entry = entries.clone().find(|entry| entry.platform == *platform);
        let minimum_app = entry.or_else(|| entries.next()).and_then(|entry| entry.minimum_app.clone());
        let files = match (&self.folder, entry) {
            (Some(folder), _) => from_folder(folder)?,
            (None, Some(entry)) => {
                let folder = project.folder().join(&entry.folder);
                from_build(&[], &FilePath::of_manifest(), &folder, &project.target_dir, &entry.files)?
            }
            (None, None) => return Err(unknown_component(name, &[])),
        };
        Ok(Contents {
            component: Some(OfComponent { name: name.clone(), minimum_app }),
            keep_local: Vec::new(),
            files,
            ..self.contents(platform)
        })
    }

    fn contents_of_folder(&self, context: &Context, folder: &Path, platform: &Platform) -> CommandResult<Contents> {
        let table = self.project.as_ref().and_then(|project| project.table.as_ref());
        let install = self.args.kind.or_else(|| table.and_then(|table| table.named_kind(platform)));
        if install == Some(InstallKind::AppBundle) {
            return self.contents_of_app_bundle(context, folder, platform);
        }
        Ok(Contents {
            install,
            entry: match (&self.args.entry, table.and_then(|table| table.entry.as_ref())) {
                (Some(named), _) => Some(named.clone()),
                (None, Some(entry)) => Some(program_path(platform, entry.as_str())?),
                (None, None) => None,
            },
            files: from_folder(folder)?.into_iter().map(|file| file.for_platform(platform)).collect(),
            ..self.contents(platform)
        })
    }

    fn contents_of_app_bundle(&self, context: &Context, folder: &Path, platform: &Platform) -> CommandResult<Contents> {
        let app = AppBundle::read(folder, platform)?;
        // What is compiled into the program, as far as its package tells.
        let table = self.project.as_ref().and_then(|project| project.table.as_ref());
        let binary = self.build(platform).ok().and_then(|build| build.programs.into_iter().next());
        let expected = match (&self.args.entry, table, binary) {
            (Some(named), ..) => Some(named.clone()),
            (None, Some(table), binary) if table.entry.is_some() || binary.is_some() => {
                Some(program_path(platform, &table.entry_for(platform, &binary.unwrap_or_default()))?)
            }
            _ => None,
        };
        expected.map_or(Ok(()), |expected| app.check_entry(&expected))?;
        app.warnings(&self.version).iter().for_each(|warning| context.shell.warn(warning));
        let (install, entry) = (Some(InstallKind::AppBundle), Some(app.entry));
        let files = from_folder(&app.folder)?;
        Ok(Contents { install, entry, keep_local: Vec::new(), files, ..self.contents(platform) })
    }

    fn contents_of_package(&self, context: &Context, platform: &Platform) -> CommandResult<Contents> {
        let project = self.package()?;
        let table = project.table()?;
        if table.install_kind(platform) == InstallKind::AppBundle {
            return Err(BundleStepError::NotMade { platform: platform.clone() }.into());
        }
        let build = self.build(platform)?;
        let built = build.run(&context.shell)?;
        let place = self.folders(context).signed_programs(&self.app, platform);
        let release = (&self.app, &self.version, platform);
        let built = after_build(built, &Hooks::of(project)?, &place, release, &context.shell)?;
        // The same rule as in the build script, so that the program knows its own place.
        let first = build.programs.first().map(String::as_str).unwrap_or_default();
        let entry = program_path(platform, table.entry.as_ref().map_or(first, FilePath::as_str))?;
        let files = from_build(&built, &entry, project.folder(), &project.target_dir, &table.include)?;
        let contents = Contents {
            install: Some(table.install_kind(platform)),
            entry: Some(entry.clone()),
            files,
            ..self.contents(platform)
        };
        let program = built.iter().find(|program| platform.program(&program.name) == entry.file_name());
        match program {
            Some(program) if table.probe => check_embedded(&program.path, &project.root_file()?, &contents)?,
            _ => context.shell.detail("the entry is not looked into: it is not built here, or `probe` is false"),
        }
        Ok(contents)
    }

    /// Runs the hook before a triple is bundled; outside of a package there is none.
    fn before_bundle(&self, context: &Context, platform: &Platform) -> CommandResult {
        let Some(hooks) = self.hooks()?.filter(|hooks| !hooks.programs(Hook::BeforeBundle).is_empty()) else {
            return Ok(());
        };
        let package = self.project.as_ref().map(Project::folder);
        let folder = self.folder.as_deref().or(package).unwrap_or(&context.working_dir);
        context.shell.status("Running", format_args!("{} for {platform}", Hook::BeforeBundle.name()));
        let values = [
            ("app", self.app.as_str()),
            ("version", &self.version.to_string()),
            ("triple", platform.as_str()),
            ("folder", &folder.display().to_string()),
        ];
        Ok(hooks.run(Hook::BeforeBundle, &values, "")?)
    }

    /// Tells which hooks a bundle would run.
    pub(super) fn tell_hooks(&self, context: &Context) -> CommandResult {
        let Some(hooks) = self.hooks()? else { return Ok(()) };
        hooks.tell(Hook::BeforeBundle, &context.shell);
        if self.folder.is_none() {
            hooks.tell(Hook::AfterBuild, &context.shell);
        }
        Ok(())
    }

    fn hooks(&self) -> CommandResult<Option<Hooks>> {
        let set_up = self.project.as_ref().filter(|project| project.table.is_some());
        Ok(set_up.map(Hooks::of).transpose()?)
    }

    fn contents(&self, platform: &Platform) -> Contents {
        let table = self.project.as_ref().and_then(|project| project.table.as_ref());
        Contents {
            app: self.app.clone(),
            component: None,
            version: self.version.clone(),
            platform: platform.clone(),
            install: None,
            entry: None,
            keep_local: table.map(|table| table.keep_local.clone()).unwrap_or_default(),
            codecs: Codec::announced().map(str::to_owned).collect(),
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
    let known = InstallKind::OF_APPS.into_iter().find(|kind| kind.to_string() == text);
    known.ok_or_else(|| "it must be `executable`, `directory` or `app-bundle`".to_owned())
}

/// Returns where a program lies: the same name for every triple in the manifest, and `.exe` behind it on Windows.
fn program_path(platform: &Platform, path: &str) -> Result<FilePath, BundleStepError> {
    FilePath::parse(&platform.program(path)).map_err(|source| BundleStepError::Manifest { source })
}
