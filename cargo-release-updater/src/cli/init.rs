//! `cargo updater init`: set a package up, by question and answer on a terminal, by options without one.

use super::{DryRunArgs, PackageArgs, PasswordArgs};
use crate::config::Project;
use crate::context::{Context, Execute, Prompts};
use crate::error::CommandResult;
use crate::init::{self, Answers, Dependencies, GitHubSetup, InitError, NewKeys};
use crate::roles::{Purpose, Refresh};
use crate::steps::bundle::host_triple;
use crate::storage::StorageUri;
use std::path::PathBuf;
use updater_build::url::RepositoryUrl;
use updater_format::{AppId, Channel};

/// Set a package up: keys, trusted root, settings, build script.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  cargo updater init --url https://example.com/hello\n  \
                        cargo updater init --dev\n  cargo updater init --github owner/repo\n\nRunning it again changes nothing that is there.")]
pub(super) struct Args {
    /// The app id; the package's name when not given.
    #[arg(long, value_name = "APP", help_heading = "Selection")]
    app: Option<AppId>,
    #[command(flatten)]
    package: PackageArgs,
    /// Where clients read; several are mirrors in order.
    #[arg(long, value_name = "URL", value_parser = RepositoryUrl::parse, help_heading = "Storage")]
    url: Vec<RepositoryUrl>,
    /// Where `publish` writes, as fs:PATH; a folder below target when not given.
    #[arg(long, value_name = "URI", help_heading = "Storage")]
    storage: Option<String>,
    /// Publish to the releases and the pages of a repository on GitHub, that of the remote `origin` when not named, and
    /// write the workflow that does it.
    #[arg(long, value_name = "OWNER/REPO", num_args = 0..=1, default_missing_value = "", help_heading = "Storage", conflicts_with_all = ["storage", "dev"])]
    github: Option<String>,
    /// The channels, the one to compile in first.
    #[arg(long, value_name = "NAME", default_value = "stable", help_heading = "Storage")]
    channel: Vec<Channel>,
    /// A scheduled job will re-sign the timestamp every day; without one it lives 90 days instead of 7.
    #[arg(long, help_heading = "Signing")]
    daily_refresh: bool,
    /// Do not protect new keys with a password: whoever reads the files can sign.
    #[arg(long, help_heading = "Signing", conflicts_with = "password_stdin")]
    no_password: bool,
    /// Make a root for trying out on this machine: no questions, keys without password, apps accept it from loopback
    /// and file: addresses only.
    #[arg(long, help_heading = "Signing")]
    dev: bool,
    #[command(flatten)]
    keys: PasswordArgs,
    /// Take the two crates from this checkout of cargo updater. A command that was built in a checkout takes them from there.
    #[arg(long, value_name = "DIR", hide = true)]
    path_deps: Option<PathBuf>,
    #[command(flatten)]
    dry_run: DryRunArgs,
}

impl Args {
    pub(super) fn run(&self, context: &Context) -> CommandResult {
        let project = Project::find(context, &self.package)?;
        let answers = self.answers(context, &project)?;
        let folder = self.keys.folder(context, &answers.app)?;
        let folder = match answers.purpose {
            Purpose::Release => folder,
            Purpose::Development => folder.development(),
        };
        let passwords = self.keys.passwords(context)?;
        let changes = init::run(context, &project, &answers, &folder, passwords, self.dry_run.execute())?;
        if changes.created.is_empty() && changes.edited.is_empty() {
            context.shell.status("Unchanged", format_args!("{} is set up", answers.app));
        } else if answers.purpose == Purpose::Release {
            context.shell.note("keep a copy of the keys and their password where this machine cannot take it along");
        }
        let has_new_root = changes.created.iter().any(|path| path.ends_with("root.json"));
        if self.dry_run.execute() == Execute::ForReal && has_new_root {
            context.shell.note("then publish the first release: `cargo updater publish`");
        }
        context.shell.message(&changes);
        Ok(())
    }

    /// Collects what the options, the table and the person say, in this order.
    fn answers(&self, context: &Context, project: &Project) -> CommandResult<Answers> {
        let table = project.table.as_ref();
        let app = match (&self.app, table) {
            (Some(app), _) => app.clone(),
            (None, Some(table)) => table.app.clone(),
            (None, None) => AppId::parse(&project.name).map_err(|source| InitError::Name { source })?,
        };
        if let Some(storage) = &self.storage {
            StorageUri::parse(storage)?;
        }
        let github = self.github.as_deref().map(|named| setup(named, project)).transpose()?;
        let purpose = if self.dev { Purpose::Development } else { Purpose::Release };
        let urls = match table.map(|table| table.urls.clone()).filter(|urls| !urls.is_empty()) {
            Some(urls) if self.url.is_empty() => urls,
            _ if !self.url.is_empty() => self.url.clone(),
            _ if github.is_some() => {
                github.iter().map(|setup| Ok(RepositoryUrl::parse(&setup.url())?)).collect::<CommandResult<_>>()?
            }
            _ if self.dev => vec![RepositoryUrl::parse(DEVELOPMENT_URL)?],
            _ => vec![ask_url(context.prompts)?],
        };
        let channels = match table {
            Some(table) if table.channels.len() > 1 => table.channels.iter().map(|entry| entry.name.clone()).collect(),
            _ => self.channel.clone(),
        };
        let fresh = !project.folder().join("updater/root.json").exists();
        // The workflow has the job.
        let daily = self.daily_refresh || github.is_some();
        let refresh = match daily || (fresh && !self.dev && ask_refresh(context.prompts)?) {
            true => Refresh::Daily,
            false => Refresh::Never,
        };
        let dependencies = match (&self.path_deps, init::own_checkout()) {
            (Some(path), _) => Dependencies::Path(init::absolute(&context.working_dir, path)),
            (None, Some(checkout)) => Dependencies::OwnCheckout(checkout),
            (None, None) => Dependencies::Registry,
        };
        let passwords = if self.no_password || self.dev { NewKeys::Plain } else { NewKeys::Encrypted };
        let storage = self.storage.clone().or_else(|| github.as_ref().map(|setup| setup.address.to_string()));
        Ok(Answers { app, urls, storage, channels, purpose, refresh, dependencies, passwords, github })
    }
}

/// Finds out which repository on GitHub is meant, and what is built there.
fn setup(named: &str, project: &Project) -> CommandResult<GitHubSetup> {
    let found = if named.is_empty() { init::origin(project.folder()) } else { Some(named.to_owned()) };
    let missing = InitError::Missing { what: "the repository on GitHub", option: "--github OWNER/REPO" };
    let uri = StorageUri::parse(&format!("github:{}", found.ok_or(missing)?))?;
    let StorageUri::GitHub(address) = uri else {
        return Err(InitError::Missing { what: "the repository on GitHub", option: "--github OWNER/REPO" }.into());
    };
    let targets = project.table.as_ref().map_or(Vec::new(), |table| table.targets.clone());
    let targets = if targets.is_empty() { vec![host_triple()?] } else { targets };
    Ok(GitHubSetup { address, targets })
}

fn ask_url(prompts: Prompts) -> Result<RepositoryUrl, InitError> {
    if prompts == Prompts::Never {
        return Err(InitError::Missing { what: "the address where clients read", option: "--url URL" });
    }
    let text: String = dialoguer::Input::new()
        .with_prompt("Under which address will clients read the published files")
        .validate_with(|text: &String| RepositoryUrl::parse(text).map(drop).map_err(|error| error.to_string()))
        .interact_text()
        .map_err(prompt_failed)?;
    RepositoryUrl::parse(&text).map_err(|_| InitError::Missing { what: "a valid address", option: "--url URL" })
}

fn ask_refresh(prompts: Prompts) -> Result<bool, InitError> {
    if prompts == Prompts::Never {
        return Ok(false);
    }
    dialoguer::Confirm::new()
        .with_prompt("Will a scheduled job re-sign the timestamp every day (it then lives 7 days instead of 90)")
        .default(false)
        .interact()
        .map_err(prompt_failed)
}

fn prompt_failed(error: dialoguer::Error) -> InitError {
    let dialoguer::Error::IO(source) = error;
    InitError::Prompt { source }
}

/// Where `cargo updater serve` listens when nothing else is said.
const DEVELOPMENT_URL: &str = "http://127.0.0.1:8700";
