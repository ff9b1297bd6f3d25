//! `cargo updater verify`: reads what is published as clients do, every document and every file.

use super::{PackageArgs, StorageArgs};
use crate::config::Project;
use crate::context::Context;
use crate::error::{CommandError, CommandResult, ExitCode};
use crate::progress::human_bytes;
use crate::verify::{Checked, Depth, SavedCopy, Verification};
use std::path::{Path, PathBuf};
use updater_format::AppId;
use updater_format::role::Root;
use updater_format::signed::{Signed, Untrusted};
use updater_runtime::transport::Url;

/// Read what is published as clients do: every document, every listed file, every signature.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  cargo updater verify\n  cargo updater verify https://example.com/hello\n  \
                        cargo updater verify /srv/hello --root updater/root.json --deep\n  \
                        cargo updater verify --save /backup/hello")]
pub(super) struct Args {
    /// A URL or a folder; the project's storage when not given.
    #[arg(value_name = "URL|PATH")]
    repository: Option<String>,
    /// The root to trust; the project's when not given.
    #[arg(long, value_name = "FILE", help_heading = "Selection")]
    root: Option<PathBuf>,
    /// Also unpack every bundle, and apply every patch to its bundle.
    #[arg(long, help_heading = "Selection")]
    deep: bool,
    /// Keep a copy of everything there: what a lost storage is put back from with `cargo updater restore`. What an
    /// earlier run has left there is not fetched again.
    #[arg(long, value_name = "DIR", help_heading = "Output")]
    save: Option<PathBuf>,
    #[command(flatten)]
    package: PackageArgs,
    #[command(flatten)]
    storage: StorageArgs,
}

impl Args {
    pub(super) fn run(&self, context: &Context) -> CommandResult {
        let project = Project::find(context, &self.package);
        let url = match &self.repository {
            Some(text) => parse(context, text)?,
            None => {
                let project = project.as_ref().map_err(|error| {
                    CommandError::new(ExitCode::Usage, error.to_string())
                        .hint("name it: `cargo updater verify URL|PATH`")
                })?;
                self.published(context, project)?
            }
        };
        let root = trusted_root(context, self.root.as_deref(), project.as_ref().ok())?;
        let app = app_of(&root)?;
        let table = project.as_ref().ok().and_then(|project| project.table.as_ref());
        let missing_status = table.map_or(vec![404], |table| table.missing_status.clone());
        let save = self.save.as_ref().map(|folder| SavedCopy::into_folder(&context.path(folder))).transpose()?;
        context.shell.status("Verifying", format_args!("{app} at {url}"));
        let verification = Verification {
            url: &url,
            root: &root,
            app: Some(app.clone()),
            now: context.clock.now(),
            missing_status: &missing_status,
            depth: if self.deep { Depth::Deep } else { Depth::Files },
            save: save.as_ref(),
        };
        let summary = verification.run(|_| true, |checked| tell(checked, context))?;
        context.shell.status("Verified", format_args!("{} files, {}", summary.files, human_bytes(summary.bytes)));
        if let Some(folder) = &self.save {
            context.shell.status("Saved", format_args!("{app} in {}", context.path(folder).display()));
        }
        context.shell.message(&summary);
        Ok(())
    }

    /// Returns where the project publishes: its folder, else the first address at which clients read.
    fn published(&self, context: &Context, project: &Project) -> CommandResult<Url> {
        let storage = self.storage.open(context, project)?;
        storage.must_be_published()?;
        let failed = |error: updater_runtime::transport::FetchError| {
            CommandError::new(ExitCode::Usage, error).hint("name it: `cargo updater verify URL|PATH`")
        };
        match storage.folder() {
            Some(folder) => Url::from_path(&crate::init::absolute(&context.working_dir, folder)).map_err(failed),
            None => {
                let first = project.table()?.urls.first().map(|url| url.as_str().to_owned());
                Url::parse(&first.unwrap_or_default()).map_err(failed)
            }
        }
    }
}

/// Reads the root that is named, else the project's.
/// # Errors
/// [`CommandError`] with [`ExitCode::Usage`] when there is neither.
pub(super) fn trusted_root(
    context: &Context,
    named: Option<&Path>,
    project: Option<&Project>,
) -> CommandResult<Vec<u8>> {
    let path = match (named, project) {
        (Some(path), _) => context.path(path),
        (None, Some(project)) if project.table.is_some() => project.root_file()?,
        _ => {
            return Err(CommandError::new(ExitCode::Usage, "there is no root to hold the repository against")
                .hint("name the one your app embeds with `--root FILE`, or run it inside the project"));
        }
    };
    std::fs::read(&path).map_err(|source| {
        let error = crate::steps::bundle::BundleStepError::NoRoot { path, source };
        error.into()
    })
}

/// Reads a URL, or the path of a folder.
fn parse(context: &Context, text: &str) -> CommandResult<Url> {
    let url = match text.contains("://") {
        true => Url::parse(text),
        false => Url::from_path(&crate::init::absolute(&context.working_dir, text.as_ref())),
    };
    url.map_err(|error| CommandError::new(ExitCode::Usage, error).hint("give an https:// address or a folder"))
}

/// Returns the app that a root is for: everything in the repository must belong to it.
pub(super) fn app_of(root: &[u8]) -> CommandResult<AppId> {
    let refuse = |message: String| {
        CommandError::new(ExitCode::Config, message)
            .hint("name a root that `cargo updater init` made with `--root FILE`")
    };
    let root = Signed::<Root>::parse(&Untrusted::new(root)).map_err(|error| refuse(error.to_string()))?;
    let extension = root.unverified().extension.as_ref();
    extension.map(|extension| extension.app.clone()).ok_or_else(|| refuse("the root names no app".to_owned()))
}

fn tell(checked: &Checked, context: &Context) {
    let Checked { file, what, bytes, expires, problem } = checked;
    let detail = match (problem, expires) {
        (Some(problem), _) => format!("  {problem}"),
        (None, Some(expires)) => format!("  expires {expires}"),
        (None, None) => String::new(),
    };
    let verdict = if problem.is_some() { "FAILED" } else { "ok" };
    context.shell.result(format_args!("{verdict:6} {what:14} {:>10}  {file}{detail}", human_bytes(*bytes)));
    context.shell.message(checked);
}
