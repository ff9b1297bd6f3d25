//! `cargo updater doctor`: does everything agree, and what helps where it does not.

use super::{KeyFolderArgs, PackageArgs, StorageArgs};
use crate::config::Project;
use crate::context::Context;
use crate::doctor::{Embedded, Finding, Patient, Severity, examine, examine_address, examine_program, exit_code};
use crate::error::{CommandError, CommandResult, ExitCode};
use crate::repository::RepositoryState;
use crate::repository::state::Expiry;
use crate::shell::Message;
use std::path::{Path, PathBuf};
use updater_build::table::Table;
use updater_runtime::transport::Url;

/// Look whether everything agrees, and tell what helps.
///
/// Settings, root, keys, repository, CI, built and installed programs, and the address at which clients read.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  cargo updater doctor\n  cargo updater doctor target/release/hello\n  \
                        cargo updater doctor https://example.com/hello --root updater/root.json\n\n\
                        Each finding has a code that docs/doctor.md explains, and its cure. Exit code 0: nothing that needs \
                        somebody now; 10: people have to sign before long; else that of the first error.")]
pub(super) struct Args {
    /// A built or installed program, an address at which clients read, or the folder of a package; the package of the
    /// working folder when not given.
    #[arg(value_name = "APP|URL|FOLDER")]
    subject: Option<String>,
    /// Put right what is safe: permissions of keys, .gitignore, a missing targets.json, an older root that its own keys have replaced.
    #[arg(long)]
    fix: bool,
    /// The root to hold an address against; the project's when not given.
    #[arg(long, value_name = "FILE", help_heading = "Selection")]
    root: Option<PathBuf>,
    #[command(flatten)]
    package: PackageArgs,
    #[command(flatten)]
    storage: StorageArgs,
    #[command(flatten)]
    keys: KeyFolderArgs,
}

impl Args {
    pub(super) fn run(&self, context: &Context) -> CommandResult {
        let findings = match self.subject.as_deref() {
            Some(text) if text.contains("://") => self.address(context, text)?,
            Some(path) if !context.path(path.as_ref()).is_dir() => self.program(context, path.as_ref())?,
            Some(folder) => {
                let package = PackageArgs {
                    manifest_path: Some(Path::new(folder).join("Cargo.toml")),
                    package: self.package.package.clone(),
                };
                self.project(context, &package)?
            }
            None => self.project(context, &self.package)?,
        };
        self.report(context, findings)
    }

    fn project(&self, context: &Context, package: &PackageArgs) -> CommandResult<Vec<Finding>> {
        let project = Project::find(context, package)?;
        let table = project.table()?;
        context.shell.status("Examining", format_args!("{} in {}", table.app, project.folder().display()));
        let root = std::fs::read(project.root_file()?).ok();
        // Why a storage cannot be opened is a finding, not the end.
        let storage = self.storage.open(context, &project).map_err(|error| CommandError::from(error).to_string());
        let state = match (&storage, &root) {
            (Ok(storage), Some(root)) => RepositoryState::read(storage, &table.app, root, Expiry::Ignored).transpose(),
            _ => None,
        };
        let patient = Patient {
            context,
            project: &project,
            table,
            root,
            keys: self.keys.folder(context, &table.app)?,
            storage,
            state,
        };
        Ok(examine(&patient))
    }

    fn program(&self, context: &Context, path: &Path) -> CommandResult<Vec<Finding>> {
        let path = context.path(path);
        let project = Project::find(context, &self.package).ok();
        let own = project.as_ref().and_then(|project| std::fs::read(project.root_file().ok()?).ok());
        let table: Option<&Table> = project.as_ref().and_then(|project| project.table.as_ref());
        context.shell.status("Examining", path.display());
        let (embedded, findings) = examine_program(&path, table.map(|table| (table, own.as_deref())));
        if let Some(embedded) = embedded {
            tell_embedded(context, &embedded);
        }
        Ok(findings)
    }

    fn address(&self, context: &Context, text: &str) -> CommandResult<Vec<Finding>> {
        // Documents are examined; where the files of releases are does not matter.
        let url = Url::parse(text.split('#').next().unwrap_or_default())
            .map_err(|error| CommandError::new(ExitCode::Usage, error).hint("give an https:// address"))?;
        let project = Project::find(context, &self.package).ok();
        let root = super::verify::trusted_root(context, self.root.as_deref(), project.as_ref())?;
        let app = super::verify::app_of(&root)?;
        let table = project.as_ref().and_then(|project| project.table.as_ref());
        let missing_status = table.map_or(vec![404], |table| table.missing_status.clone());
        context.shell.status("Examining", format_args!("{app} at {url}"));
        Ok(examine_address(context, &url, &root, &app, &missing_status))
    }

    fn report(&self, context: &Context, mut findings: Vec<Finding>) -> CommandResult {
        for finding in &mut findings {
            if self.fix
                && let Some(repair) = &finding.repair
            {
                match repair.run() {
                    Ok(()) => {
                        context.shell.status("Fixed", format_args!("{} ({repair})", finding.code));
                        finding.fixed = true;
                    }
                    Err(error) => context.shell.warn(format_args!("{error}: {}", error.source)),
                }
            }
            tell(context, finding, self.fix);
        }
        let open = findings.iter().filter(|finding| !finding.fixed && finding.severity > Severity::Note).count();
        let summary = Summary { findings: findings.len(), open, fixed: findings.iter().filter(|f| f.fixed).count() };
        context.shell.message(&summary);
        let code = exit_code(&findings);
        if code == ExitCode::Success {
            let words = match open {
                0 => "nothing that needs somebody".to_owned(),
                1 => "1 warning".to_owned(),
                _ => format!("{open} warnings"),
            };
            context.shell.status("Examined", words);
            return Ok(());
        }
        let what = if open == 1 { "1 thing needs somebody".to_owned() } else { format!("{open} things need somebody") };
        let error = CommandError::new(code, what).hint("each finding above says what helps");
        let repairable = findings.iter().any(|finding| !finding.fixed && finding.repair.is_some());
        Err(if repairable && !self.fix { error.hint("`cargo updater doctor --fix` does the safe ones") } else { error })
    }
}

fn tell(context: &Context, finding: &Finding, fixing: bool) {
    context.shell.message(finding);
    if finding.fixed {
        return;
    }
    let severity = match finding.severity {
        Severity::Note => "note",
        Severity::Warning => "warning",
        Severity::Error => "error",
    };
    let Finding { code, what, why, cure, .. } = finding;
    let safe = if finding.repair.is_some() && !fixing { " (or `--fix`)" } else { "" };
    context.shell.result(format_args!("{severity}[{code}]: {what}\n  why: {why}\n  cure: {cure}{safe}"));
}

fn tell_embedded(context: &Context, embedded: &Embedded) {
    context.shell.message(embedded);
    let Embedded { app, version, triple, root, root_expires, root_keys, root_threshold, development, .. } = embedded;
    let unknown = || "unknown".to_owned();
    let kind = if *development { "development root" } else { "root" };
    context.shell.result(format_args!("app      {app} {}", version.clone().unwrap_or_else(unknown)));
    context.shell.result(format_args!("triple   {}", triple.clone().unwrap_or_else(unknown)));
    context.shell.result(format_args!(
        "{kind} {root}, until {root_expires}; {root_threshold} of {} must sign: {}",
        root_keys.len(),
        root_keys.join(", ")
    ));
    let follows = match embedded.channels.split_first() {
        None => unknown(),
        Some((channel, [])) => channel.clone(),
        Some((channel, others)) => format!("{channel}, and {} when that is newer", others.join(", ")),
    };
    context.shell.result(format_args!("follows  {follows}"));
    for url in &embedded.urls {
        context.shell.result(format_args!("reads    {url}"));
    }
}

/// How an examination ended.
#[derive(serde::Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct Summary {
    findings: usize,
    /// Warnings and errors that stay.
    open: usize,
    fixed: usize,
}

impl Message for Summary {
    const REASON: &'static str = "examined";
}
