//! Arguments that several commands share, grouped as their help shows them.

use crate::config::Project;
use crate::context::{Context, Execute, Prompts};
use crate::error::{CommandError, CommandResult, ExitCode};
use crate::hooks::{HookError, Hooks};
use crate::keys::{KeyError, KeyFolder, Keychain, Passwords};
use crate::shell::{ColorChoice, MessageFormat, Verbosity};
use crate::steps::diff::DiffLimits;
use crate::steps::folders::Folders;
use crate::storage::{CommandStorage, Storage, StorageError, StorageUri};
use std::cell::OnceCell;
use std::path::PathBuf;
use updater_format::AppId;

/// How the program talks; accepted by every command.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Output")]
pub struct OutputArgs {
    /// Text for people, or one JSON object per line on stdout.
    #[arg(long, global = true, value_enum, default_value_t, value_name = "FORMAT")]
    pub message_format: MessageFormat,
    /// When to use colours. CARGO_TERM_COLOR says it for all of Cargo; `auto` heeds NO_COLOR.
    #[arg(
        long,
        global = true,
        value_enum,
        default_value_t,
        value_name = "WHEN",
        env = "CARGO_TERM_COLOR",
        hide_env = true
    )]
    pub color: ColorChoice,
    /// Tell warnings and errors only.
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub quiet: bool,
    /// Tell the details of each step.
    #[arg(short, long, global = true)]
    pub verbose: bool,
}

impl OutputArgs {
    /// Returns how much is told.
    #[must_use]
    pub fn verbosity(&self) -> Verbosity {
        match (self.quiet, self.verbose) {
            (true, _) => Verbosity::Quiet,
            (_, true) => Verbosity::Verbose,
            _ => Verbosity::Normal,
        }
    }
}

/// What the making of patches may take.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Selection")]
pub struct DiffArgs {
    /// How many deltas are made at once; one for each processor when not given.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    jobs: Option<u16>,
    /// The memory that making patches may take, in MiB. Two files that need more travel whole.
    #[arg(long, value_name = "MIB", value_parser = clap::value_parser!(u64).range(256..=1_048_576))]
    memory: Option<u64>,
}

impl DiffArgs {
    /// Returns what may be taken.
    #[must_use]
    pub fn limits(&self) -> DiffLimits {
        let usual = DiffLimits::default();
        DiffLimits {
            threads: self.jobs.map_or(usual.threads, usize::from),
            memory: self.memory.map_or(usual.memory, |mib| mib << 20),
        }
    }
}

/// Whether a command that changes something acts.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Output")]
pub struct DryRunArgs {
    /// Print what would be done; change nothing.
    #[arg(short = 'n', long)]
    pub dry_run: bool,
}

impl DryRunArgs {
    /// Returns whether the command acts.
    #[must_use]
    pub fn execute(&self) -> Execute {
        match self.dry_run {
            true => Execute::DryRun,
            false => Execute::ForReal,
        }
    }
}

/// Whether a command that cannot be taken back acts, and whether it asks.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Output")]
pub struct ExecuteArgs {
    #[command(flatten)]
    dry_run: DryRunArgs,
    /// Do not ask before what cannot be taken back.
    #[arg(short, long)]
    pub yes: bool,
}

impl ExecuteArgs {
    /// Returns whether the command acts.
    #[must_use]
    pub fn execute(&self) -> Execute {
        self.dry_run.execute()
    }

    /// Asks once before something that cannot be taken back. Without a terminal, with `--yes` and in a dry run nobody
    /// is asked and the answer is yes.
    /// # Errors
    /// A [`CommandError`] with [`ExitCode::Usage`] when the person says no or the terminal is gone.
    pub fn confirm(&self, context: &Context, question: &str) -> CommandResult {
        if self.yes || self.execute() == Execute::DryRun || context.prompts == Prompts::Never {
            return Ok(());
        }
        match dialoguer::Confirm::new().with_prompt(question).default(false).interact() {
            Ok(true) => Ok(()),
            Ok(false) => Err(CommandError::new(ExitCode::Usage, "stopped by your answer; nothing was changed")
                .hint("answer yes, or run it again with `--yes`")),
            Err(source) => Err(CommandError::new(ExitCode::Usage, source).hint("run it again with `--yes`")),
        }
    }
}

/// Where the keys lie.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Signing")]
pub struct KeyFolderArgs {
    /// The folder with the keys; below the user's configuration when not named. What was published last is remembered there, too.
    #[arg(long, env = "UPDATER_KEY_DIR", value_name = "DIR")]
    pub key_dir: Option<PathBuf>,
}

impl KeyFolderArgs {
    /// Returns the folder with the keys of an app.
    /// # Errors
    /// [`KeyError::NoFolder`] when none is named and there is no configuration folder.
    pub fn folder(&self, context: &Context, app: &AppId) -> Result<KeyFolder, KeyError> {
        match &self.key_dir {
            Some(path) => Ok(KeyFolder::at(context.path(path))),
            None => KeyFolder::of_app(app),
        }
    }
}

/// Where the keys lie, and where their passwords come from.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Signing")]
pub struct PasswordArgs {
    #[command(flatten)]
    at: KeyFolderArgs,
    /// Read the password of the keys from the first line of stdin. Without it UPDATER_KEY_PASSWORD is used, else a
    /// person is asked.
    #[arg(long)]
    password_stdin: bool,
    /// What stdin gave: it can be read once, and a rotation asks for the password of the old key and for that of the new
    /// one.
    #[arg(skip)]
    from_stdin: OnceCell<Passwords>,
}

impl PasswordArgs {
    /// Returns the folder with the keys of an app.
    /// # Errors
    /// As [`KeyFolderArgs::folder`].
    pub fn folder(&self, context: &Context, app: &AppId) -> Result<KeyFolder, KeyError> {
        self.at.folder(context, app)
    }

    /// Returns the source of passwords.
    /// # Errors
    /// [`KeyError::Prompt`] when stdin cannot be read.
    pub fn passwords(&self, context: &Context) -> Result<Passwords, KeyError> {
        if !self.password_stdin {
            return Passwords::of_process(context.prompts, false);
        }
        if let Some(known) = self.from_stdin.get() {
            return Ok(known.clone());
        }
        let read = Passwords::of_process(context.prompts, true)?;
        Ok(self.from_stdin.get_or_init(|| read).clone())
    }
}

/// Where keys and their passwords come from, for what signs.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Signing")]
pub struct KeyArgs {
    #[command(flatten)]
    with: PasswordArgs,
    /// Take one more key from stdin: the text of its file. UPDATER_KEY may hold one, too.
    #[arg(long, conflicts_with = "password_stdin")]
    pub key_stdin: bool,
}

impl KeyArgs {
    /// Returns the folder with the keys of an app.
    /// # Errors
    /// As [`KeyFolderArgs::folder`].
    pub fn folder(&self, context: &Context, app: &AppId) -> Result<KeyFolder, KeyError> {
        self.with.folder(context, app)
    }

    /// Returns the source of passwords.
    /// # Errors
    /// As [`PasswordArgs::passwords`].
    pub fn passwords(&self, context: &Context) -> Result<Passwords, KeyError> {
        self.with.passwords(context)
    }

    /// Opens the keys of an app.
    /// # Errors
    /// [`KeyError`] as [`Keychain::open`].
    pub fn keychain(&self, context: &Context, app: &AppId) -> Result<Keychain, KeyError> {
        let mut keychain = Keychain::open(self.folder(context, app)?, self.passwords(context)?)?;
        if self.key_stdin {
            use std::io::Read as _;
            let mut text = zeroize::Zeroizing::new(String::with_capacity(MAX_KEY as usize));
            let read = std::io::stdin().lock().take(MAX_KEY).read_to_string(&mut text);
            read.map_err(|source| KeyError::Prompt { source })?;
            keychain.add_text("stdin", &text)?;
        }
        Ok(keychain)
    }
}

/// Where the repository is.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Storage")]
pub struct StorageArgs {
    /// The storage of the repository, for example fs:PATH or s3://BUCKET (see `cargo updater services`); the table's
    /// when not named. `{app}` in it stands for the app.
    #[arg(long, value_name = "URI")]
    pub storage: Option<String>,
    /// The file that remembers what was published, so that a storage that was put back is noticed; beside the keys when
    /// not named. Where keys come from the environment, name one that is kept between runs.
    #[arg(long, env = "UPDATER_RECORD", value_name = "FILE")]
    pub record: Option<PathBuf>,
}

impl StorageArgs {
    /// Opens the storage that is named, that the table names, or the folder below Cargo's target folder.
    ///
    /// A path on the command line starts at the working folder, one in the table at the package's.
    /// # Errors
    /// [`StorageError`] when the address is refused or the storage cannot be opened.
    pub fn open(&self, context: &Context, project: &Project) -> Result<Storage, StorageError> {
        let record = self.record.as_ref().map(|record| context.path(record));
        Ok(self.open_plain(context, project)?.remembered_in(record).with_private(Self::open_private(project)?))
    }

    /// Opens the private storage of a project, when its table names one. Each app has a folder of its own there.
    /// # Errors
    /// [`StorageError`] when the address is refused or the storage cannot be opened.
    pub fn open_private(project: &Project) -> Result<Option<Storage>, StorageError> {
        let Some(table) = &project.table else { return Ok(None) };
        let Some(uri) = &table.private_storage else { return Ok(None) };
        let uri = StorageUri::parse(uri)?.join(table.app.as_str());
        let storage = Storage::open(&uri, project.folder())?;
        storage.must_be_writable().map(|()| Some(storage))
    }

    fn open_plain(&self, context: &Context, project: &Project) -> Result<Storage, StorageError> {
        let configured = project.table.as_ref().and_then(|table| table.storage.as_deref());
        let open = |uri: StorageUri, base: &std::path::Path| match (&uri, &project.table) {
            (StorageUri::Command, Some(table)) => Storage::open_command(&CommandStorage {
                app: &table.app,
                hooks: Hooks::of(project).map_err(|_| StorageError::Hook { source: HookError::NoUpload })?,
                urls: &table.urls,
                missing_status: &table.missing_status,
                folder: &Folders::of(project).staged(),
            }),
            _ => Storage::open(&uri, base),
        };
        let app = project.table.as_ref().map_or(project.name.as_str(), |table| table.app.as_str());
        match (&self.storage, configured) {
            (Some(named), _) => open(StorageUri::parse(&named.replace("{app}", app))?, &context.working_dir),
            (None, Some(configured)) => open(StorageUri::parse(configured)?, project.folder()),
            (None, None) => {
                // With the app's name: packages of a workspace, and of several projects, may share a target folder.
                let folder = project.target_dir.join(DEFAULT_REPOSITORY).join(app);
                Storage::open(&StorageUri::Folder(folder), project.folder())
            }
        }
    }
}

/// Bytes of a key file with the longest comments anybody writes.
const MAX_KEY: u64 = 4096;
/// The repository below Cargo's target folder, when the table names no storage.
const DEFAULT_REPOSITORY: &str = "updater/repository";
