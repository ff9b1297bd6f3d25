//! `cargo updater verify`: reads what is published as clients do, every document and every file.

use super::{PackageArgs, StorageArgs};
use crate::config::Project;
use crate::context::Context;
use crate::error::{CommandError, CommandResult, ExitCode};
use crate::progress::human_bytes;
use crate::repository::METADATA;
use crate::verify::{Attestation, Checked, Depth, SavedCopy, Verification};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use updater_format::AppId;
use updater_format::length::MAX_TIMESTAMP;
use updater_format::role::{Root, Timestamp};
use updater_format::signed::{Signed, Untrusted};
use updater_runtime::transport::{Document, DocumentRequest, FetchError, Freshness, Mirror, Url};

/// Read what is published as clients do.
///
/// Every document, every listed file, every signature.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  cargo updater verify\n  cargo updater verify https://example.com/hello\n  \
                        cargo updater verify /srv/hello --root updater/root.json --deep\n  \
                        cargo updater verify --save /backup/hello\n\n\
                        What is damaged or missing, `cargo updater restore` puts back from a copy that `--save` made.")]
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
    /// Demand that workflows of this repository on GitHub have attested every bundle; needs the program gh.
    #[arg(long, value_name = "OWNER/REPO", help_heading = "Selection")]
    attestation: Option<String>,
    /// Wait until clients are given the newest timestamp of the project's storage: caches, and pages that are built first,
    /// take a while.
    #[arg(long, value_name = "SECONDS", default_value_t = 0, value_parser = clap::value_parser!(u64).range(0..=86_400), help_heading = "Selection")]
    wait: u64,
    #[command(flatten)]
    package: PackageArgs,
    #[command(flatten)]
    storage: StorageArgs,
}

impl Args {
    pub(super) fn run(&self, context: &Context) -> CommandResult {
        let attestation = self.attestation.as_deref().map(Attestation::of).transpose()?;
        let project = Project::find(context, &self.package);
        let (url, mirror) = match &self.repository {
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
        if let (Ok(project), true) = (&project, self.wait > 0) {
            self.wait_for_newest(context, project, &mirror, &missing_status)?;
        }
        let save = self.save.as_ref().map(|folder| SavedCopy::into_folder(&context.path(folder))).transpose()?;
        context.shell.status("Verifying", format_args!("{app} at {url}"));
        let verification = Verification {
            url: &url,
            mirror: &mirror,
            root: &root,
            app: Some(app.clone()),
            now: context.clock.now(),
            missing_status: &missing_status,
            depth: if self.deep { Depth::Deep } else { Depth::Files },
            save: save.as_ref(),
            attestation: attestation.as_ref(),
            shell: &context.shell,
        };
        let summary = verification.run(|_| true, |checked| tell(checked, context))?;
        context.shell.status("Verified", format_args!("{} files, {}", summary.files, human_bytes(summary.bytes)));
        if let Some(folder) = &self.save {
            context.shell.status("Saved", format_args!("{app} in {}", context.path(folder).display()));
        }
        context.shell.message(&summary);
        Ok(())
    }

    /// Waits until the address serves the timestamp that the storage has, or a newer one.
    fn wait_for_newest(
        &self,
        context: &Context,
        project: &Project,
        mirror: &Mirror,
        missing_status: &[u16],
    ) -> CommandResult {
        let storage = self.storage.open(context, project)?;
        storage.must_be_published()?;
        // Unverified on both sides: what is served is verified afterwards.
        let version = |bytes: Vec<u8>| {
            let parsed = Signed::<Timestamp>::parse(&Untrusted::new(bytes));
            parsed.map_or(0, |timestamp| timestamp.unverified().version)
        };
        let newest = storage.read(&format!("{METADATA}/timestamp.json"), MAX_TIMESTAMP)?.map_or(0, version);
        let fetcher = crate::verify::fetcher(missing_status)?;
        let url = mirror.metadata_url("timestamp.json");
        let request = DocumentRequest { max_bytes: MAX_TIMESTAMP, known_etag: None, freshness: Freshness::Revalidate };
        let begin = Instant::now();
        loop {
            let served = match fetcher.document(&url, &request) {
                Ok(Document::Bytes { bytes, .. }) => version(bytes),
                _ => 0,
            };
            if served >= newest {
                return Ok(());
            }
            if begin.elapsed() >= Duration::from_secs(self.wait) {
                let what = format!("{url} has version {served} of the timestamp after {} s, not {newest}", self.wait);
                return Err(CommandError::new(ExitCode::Verification, what)
                    .hint("look whether the pages were built, or a cache keeps old files; then run it again"));
            }
            context.shell.detail(format_args!("{url} has version {served}, {newest} is published"));
            std::thread::sleep(LOOK);
        }
    }

    /// Returns where the project publishes: its folder, else the first address at which clients read.
    fn published(&self, context: &Context, project: &Project) -> CommandResult<(Url, Mirror)> {
        let storage = self.storage.open(context, project)?;
        storage.must_be_published()?;
        let failed = |error: FetchError| {
            CommandError::new(ExitCode::Usage, error).hint("name it: `cargo updater verify URL|PATH`")
        };
        match storage.folder() {
            Some(folder) => {
                let url = Url::from_path(&crate::init::absolute(&context.working_dir, folder));
                let url = url.map_err(|error| failed(error.into()))?;
                Ok((url.clone(), Mirror::new(&url)))
            }
            None => {
                let first = project.table()?.urls.first().map(|url| url.as_str().to_owned());
                addresses(&first.unwrap_or_default()).map_err(failed)
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
fn parse(context: &Context, text: &str) -> CommandResult<(Url, Mirror)> {
    let parsed = match text.contains("://") {
        true => addresses(text),
        false => Url::from_path(&crate::init::absolute(&context.working_dir, text.as_ref()))
            .map(|url| (url.clone(), Mirror::new(&url)))
            .map_err(FetchError::from),
    };
    parsed.map_err(|error| CommandError::new(ExitCode::Usage, error).hint("give an https:// address or a folder"))
}

/// Takes an address apart as clients do: where the documents are, and where the files are.
fn addresses(text: &str) -> Result<(Url, Mirror), FetchError> {
    let mirror = Mirror::parse(text)?;
    Ok((Url::parse(text.split('#').next().unwrap_or_default())?, mirror))
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

/// How often the address is looked at.
const LOOK: Duration = Duration::from_secs(5);
