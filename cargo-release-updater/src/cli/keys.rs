//! `cargo updater keys`: make and list keys, and change who may sign.

mod abort;
pub(super) mod advance;
mod ask;
mod carry;
mod ceremony;
pub(super) mod list;
mod private;
pub(super) mod root;

pub(super) use advance::tell_review;

use super::{DryRunArgs, PackageArgs, PasswordArgs};
use crate::config::Project;
use crate::context::{Context, Execute};
use crate::error::{CommandError, CommandResult, ExitCode};
use crate::keys::{KeyFile, KeyRole, Protection};
use updater_format::AppId;

/// Make and list the keys of releases, and change who may sign.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  cargo updater keys list\n  cargo updater keys new beta\n  cargo updater keys rotate online\n\n\
                        docs/keys.md leads through each ceremony."
)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    New(New),
    List(list::List),
    Export(carry::Export),
    Import(carry::Import),
    Rotate(ceremony::RotateArgs),
    Renew(ceremony::RenewArgs),
    Resume(ceremony::ResumeArgs),
    Root(root::Args),
}

/// Make a key for each role named.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  cargo updater keys new beta\n  cargo updater keys new online --no-password")]
struct New {
    /// `root`, `targets`, `online`, or a channel such as `stable`.
    #[arg(required = true, value_name = "ROLE")]
    roles: Vec<KeyRole>,
    /// Do not protect the keys with a password: whoever reads the files can sign.
    #[arg(long, help_heading = "Signing", conflicts_with = "password_stdin")]
    no_password: bool,
    #[command(flatten)]
    keys: PasswordArgs,
    #[command(flatten)]
    which: AppArgs,
    #[command(flatten)]
    dry_run: DryRunArgs,
}

/// Which app the keys are for.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Selection")]
struct AppArgs {
    /// The app id; the project's own when not named.
    #[arg(long, value_name = "APP")]
    app: Option<AppId>,
    #[command(flatten)]
    package: PackageArgs,
}

impl AppArgs {
    /// Tells whether an app is named, whatever package is here.
    fn names_another(&self) -> bool {
        self.app.is_some()
    }

    /// Returns the package, when there is one.
    fn project(&self, context: &Context) -> Option<Project> {
        Project::find(context, &self.package).ok()
    }

    /// Returns the app that is named, that the table names, or that the package's name is.
    fn app(&self, context: &Context) -> CommandResult<AppId> {
        if let Some(app) = &self.app {
            return Ok(app.clone());
        }
        let project = Project::find(context, &self.package)?;
        match &project.table {
            Some(table) => Ok(table.app.clone()),
            None => AppId::parse(&project.name)
                .map_err(|error| CommandError::new(ExitCode::Config, error).hint("name the app with `--app APP`")),
        }
    }
}

impl Args {
    pub(super) fn run(&self, context: &Context) -> CommandResult {
        match &self.command {
            Command::New(args) => args.run(context),
            Command::List(args) => args.run(context),
            Command::Export(args) => args.run(context),
            Command::Import(args) => args.run(context),
            Command::Rotate(args) => args.run(context),
            Command::Renew(args) => args.run(context),
            Command::Resume(args) => args.run(context),
            Command::Root(args) => args.run(context),
        }
    }
}

impl New {
    fn run(&self, context: &Context) -> CommandResult {
        let app = self.which.app(context)?;
        let folder = self.keys.folder(context, &app)?;
        if self.dry_run.execute() == Execute::DryRun {
            for role in &self.roles {
                context.shell.status("Would create", folder.secret_path(role).display());
            }
            return Ok(());
        }
        let protection = match self.no_password {
            true => Protection::Plain,
            false => Protection::Password(self.keys.passwords(context)?.for_new_key()?),
        };
        crate::init::cover_keys(context, self.which.project(context).as_ref(), &folder)?;
        for role in &self.roles {
            let signer = folder.create(&app, role, &protection)?;
            let path = folder.secret_path(role);
            context.shell.status("Created", format_args!("{} ({})", path.display(), signer.public().id_text()));
            context.shell.message(&list::Key::alone(&KeyFile::read(&path.with_extension("pub"))?));
        }
        context.shell.note("keep a copy of each file and its password where this machine cannot take it along");
        Ok(())
    }
}

fn protection(file: &KeyFile) -> &'static str {
    match (&file.secret, file.is_encrypted()) {
        (None, _) => "public half only",
        _ if file.is_external() => "held by a command",
        (_, Some(true)) => "encrypted",
        (_, Some(false)) => "not encrypted",
        (_, None) => "unreadable",
    }
}
