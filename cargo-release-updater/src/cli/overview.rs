//! `cargo updater` alone: where the project stands, and what comes next.
//!
//! It answers at once and without a network. A storage that is a folder is read as clients read it; one on a network only
//! with `--online`, because nobody expects a program that was called by its name to send anything.

mod next;
mod standing;

use super::PackageArgs;
use crate::config::{Project, ProjectError};
use crate::context::Context;
use crate::error::CommandResult;
use crate::shell::Message;
use next::{Next, Urgency};
use standing::Standing;
use std::path::PathBuf;

/// What `cargo updater` takes when no command follows.
#[derive(Debug, Default, clap::Args)]
#[command(next_help_heading = "Without a command")]
pub(super) struct Args {
    /// Look into a storage on a network, too, to tell where the project stands.
    #[arg(long)]
    online: bool,
    /// Path of the package's Cargo.toml.
    #[arg(long, value_name = "PATH")]
    manifest_path: Option<PathBuf>,
    /// The package of the workspace.
    #[arg(short, long, value_name = "NAME")]
    package: Option<String>,
    /// The folder with the keys; below the user's configuration when not named.
    #[arg(long, env = "UPDATER_KEY_DIR", hide_env = true, value_name = "DIR")]
    key_dir: Option<PathBuf>,
}

impl Args {
    /// Returns an option that belongs behind the command that was given, too.
    pub(super) fn given(&self) -> Option<&'static str> {
        let given = [
            (self.online, "--online"),
            (self.manifest_path.is_some(), "--manifest-path"),
            (self.package.is_some(), "--package"),
            // A variable is not an option that somebody put in the wrong place.
            (self.key_dir.is_some() && std::env::var_os("UPDATER_KEY_DIR").is_none(), "--key-dir"),
        ];
        given.into_iter().find(|(given, _)| *given).map(|(_, option)| option)
    }

    pub(super) fn run(&self, context: &Context) -> CommandResult {
        let package = PackageArgs { manifest_path: self.manifest_path.clone(), package: self.package.clone() };
        match Project::find(context, &package) {
            Ok(project) => self.tell(context, &project),
            Err(ProjectError::Cargo { source }) if self.manifest_path.is_none() && is_no_package(&source) => {
                outside(context);
                Ok(())
            }
            Err(ProjectError::WhichPackage { .. }) => self.workspace(context),
            Err(error) => Err(error.into()),
        }
    }

    /// Tells of each app of a workspace.
    fn workspace(&self, context: &Context) -> CommandResult {
        let members = Project::members(context, self.manifest_path.as_deref())?;
        let apps: Vec<_> = members.iter().filter(|member| member.is_set_up).collect();
        if apps.is_empty() {
            context.shell.result(format_args!("no package of this workspace is set up for updates"));
            let names: Vec<_> = members.iter().map(|member| member.name.as_str()).collect();
            next::tell(context, &[Next::set_up_one_of(&names)]);
        }
        for (index, member) in apps.into_iter().enumerate() {
            if index > 0 {
                context.shell.result("");
            }
            let package = PackageArgs { manifest_path: self.manifest_path.clone(), package: Some(member.name.clone()) };
            self.tell(context, &Project::find(context, &package)?)?;
        }
        Ok(())
    }

    fn tell(&self, context: &Context, project: &Project) -> CommandResult {
        let Some(table) = &project.table else {
            let (name, version) = (&project.name, &project.version);
            context.shell.result(format_args!("{name} {version} is not set up for updates"));
            next::tell(context, &[Next::set_up(project)]);
            return Ok(());
        };
        let standing = Standing::look(context, project, table, self.online, self.key_dir.as_deref())?;
        standing.tell();
        let mut all = standing.next();
        all.sort_by_key(|next| next.urgency);
        next::tell(context, &all);
        Ok(())
    }
}

/// Tells whether Cargo found no manifest at all; one that it cannot read is an error.
fn is_no_package(error: &cargo_metadata::Error) -> bool {
    matches!(error, cargo_metadata::Error::CargoMetadata { stderr } if stderr.contains("could not find `Cargo.toml`"))
}

fn outside(context: &Context) {
    context.shell.result(format_args!("{} is no Cargo package", context.working_dir.display()));
    context.shell.message(&Outside { folder: context.working_dir.display().to_string() });
    next::tell(context, &Next::outside());
}

/// The folder is no package.
#[derive(serde::Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct Outside {
    folder: String,
}

impl Message for Outside {
    const REASON: &'static str = "no-package";
}

#[cfg(test)]
pub(super) use {next::Next as NextMessage, standing::Overview};
