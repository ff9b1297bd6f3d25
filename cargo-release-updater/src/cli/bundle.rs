//! `cargo updater bundle`: one archive per triple, and the unsigned part beside it.

use super::source::{Source, SourceArgs};
use super::subject::SubjectArgs;
use super::{DryRunArgs, PackageArgs};
use crate::config::Project;
use crate::context::{Context, Execute};
use crate::error::CommandResult;
use crate::progress::human_bytes;
use crate::shell::Message;
use crate::steps::bundle::Bundled;
use std::path::PathBuf;

/// Build the app and pack it, or pack any folder.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  cargo updater bundle\n  cargo updater bundle --target x86_64-unknown-linux-musl\n  \
                        cargo updater bundle --from-dir dist --app hello --version 1.4.0"
)]
pub(super) struct Args {
    #[command(flatten)]
    package: PackageArgs,
    #[command(flatten)]
    source: SourceArgs,
    #[command(flatten)]
    subject: SubjectArgs,
    /// Where bundles go; target/updater/bundles when not given.
    #[arg(long, value_name = "DIR", help_heading = "Output")]
    out: Option<PathBuf>,
    #[command(flatten)]
    dry_run: DryRunArgs,
}

impl Args {
    pub(super) fn run(&self, context: &Context) -> CommandResult {
        let project = Project::find(context, &self.package);
        let components: Vec<_> = match project.as_ref().ok().and_then(|project| project.table.as_ref()) {
            // A folder is a release of the app, or of the one component that is named.
            Some(table) if !self.source.is_folder() || !self.subject.component.is_empty() => {
                let mut names: Vec<_> = table.components.iter().map(|component| component.name.clone()).collect();
                names.dedup();
                names
            }
            _ => Vec::new(),
        };
        for subject in self.subject.subjects(&components)? {
            let source = match (&subject, &project) {
                (Some(component), Ok(project)) => self.source.resolve_component(context, project, component)?,
                _ => self.source.resolve(context, Project::find(context, &self.package))?,
            };
            self.make(context, &source)?;
        }
        Ok(())
    }

    fn make(&self, context: &Context, source: &Source) -> CommandResult {
        let out = match &self.out {
            Some(out) => context.path(out),
            None => source.folders(context).bundles(),
        };
        for platform in &source.platforms {
            if self.dry_run.execute() == Execute::DryRun {
                let (app, version) = (source.subject(), &source.version);
                context.shell.status("Would bundle", format_args!("{app} {version} ({platform})"));
                context.shell.detail(source.describe(platform)?);
                source.tell_hooks(context)?;
                continue;
            }
            tell(&source.bundle(context, platform, &out)?, context);
        }
        Ok(())
    }
}

/// Tells what a bundle is.
pub(super) fn tell(bundled: &Bundled, context: &Context) {
    let part = &bundled.part;
    let libc = part.libc.as_ref().map(|libc| format!(", needs glibc {libc}")).unwrap_or_default();
    context.shell.status(
        "Bundled",
        format_args!("{}: {} of {}{libc}", part.file, human_bytes(part.length), human_bytes(part.unpacked)),
    );
    context.shell.detail(format_args!("sha256 {}", part.sha256));
    context.shell.message(&Made {
        path: bundled.path.display().to_string(),
        component: part.component.as_ref().map(|of| of.name.to_string()),
        triple: part.platform.to_string(),
        version: part.version.to_string(),
        bytes: part.length,
        sha256: part.sha256.to_string(),
        unpacked_bytes: part.unpacked,
        files: part.files,
        install: part.install.to_string(),
        libc: part.libc.clone(),
    });
}

/// A bundle was made.
#[derive(serde::Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct Made {
    path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    component: Option<String>,
    triple: String,
    version: String,
    bytes: u64,
    sha256: String,
    unpacked_bytes: u64,
    files: u64,
    install: String,
    libc: Option<String>,
}

impl Message for Made {
    const REASON: &'static str = "bundle";
}
