//! Commands that work on several apps of a workspace, one after the other: each has a repository of its own.

use super::PackageArgs;
use crate::config::{Project, ProjectError};
use crate::context::Context;
use crate::error::{CommandError, CommandResult, ExitCode};
use crate::storage::Storage;
use std::path::PathBuf;
use updater_format::AppId;

/// Which packages a command works on, in Cargo's words.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Selection")]
pub struct PackagesArgs {
    /// Path of the package's Cargo.toml.
    #[arg(long, value_name = "PATH")]
    manifest_path: Option<PathBuf>,
    /// A package of the workspace; may be given several times.
    #[arg(short, long, value_name = "NAME")]
    package: Vec<String>,
    /// Every package of the workspace that has a table [package.metadata.updater].
    #[arg(long, conflicts_with = "package")]
    workspace: bool,
    /// Leave out a package; may be given several times.
    #[arg(long, value_name = "NAME", requires = "workspace")]
    exclude: Vec<String>,
}

impl PackagesArgs {
    /// Returns each package by itself, in the order in which they were named, else in Cargo's.
    /// # Errors
    /// [`ProjectError`] when Cargo finds no manifest or a name is none of the workspace; [`ExitCode::Usage`] when nothing
    /// is left.
    pub fn each(&self, context: &Context) -> CommandResult<Vec<PackageArgs>> {
        let one = |package| PackageArgs { manifest_path: self.manifest_path.clone(), package };
        if self.workspace {
            let members = Project::members(context, self.manifest_path.as_deref())?;
            let names = || members.iter().map(|member| member.name.clone()).collect::<Vec<_>>();
            if let Some(unknown) = self.exclude.iter().find(|name| !members.iter().any(|m| m.name == **name)) {
                return Err(ProjectError::NoSuchPackage { package: unknown.clone(), members: names() }.into());
            }
            let wanted = members.iter().filter(|m| m.is_set_up && !self.exclude.contains(&m.name));
            let wanted: Vec<_> = wanted.map(|member| one(Some(member.name.clone()))).collect();
            return match wanted.is_empty() {
                false => Ok(wanted),
                true => Err(CommandError::new(ExitCode::Usage, "no package of this workspace is set up for updates")
                    .hint("set one up with `cargo updater init -p NAME`")),
            };
        }
        if self.package.is_empty() {
            return Ok(vec![one(None)]);
        }
        let mut named: Vec<&String> = Vec::new();
        for name in &self.package {
            if !named.contains(&name) {
                named.push(name);
            }
        }
        Ok(named.into_iter().map(|name| one(Some(name.clone()))).collect())
    }
}

/// Refuses two apps in one place: what the one publishes would be refused by the clients of the other.
/// # Errors
/// [`ExitCode::Config`] for the first two that share one.
pub(super) fn one_repository_each<'a>(apps: impl IntoIterator<Item = (&'a AppId, &'a Storage)>) -> CommandResult {
    let mut known: Vec<(&AppId, String)> = Vec::new();
    for (app, storage) in apps {
        let place = storage.identity().unwrap_or_else(|| storage.name().to_owned());
        if let Some((other, _)) = known.iter().find(|(_, taken)| *taken == place) {
            let what = format!("{other} and {app} would both be published to {}", storage.name());
            return Err(CommandError::new(ExitCode::Config, what)
                .hint("each app has a repository of its own: write `{app}` in `storage`, or name one for each"));
        }
        known.push((app, place));
    }
    Ok(())
}
