//! `cargo updater man`: one manual page for each command.

use super::help;
use crate::context::{Context, Execute};
use crate::error::{CommandError, CommandResult, ExitCode};
use crate::shell::Message;
use std::path::{Path, PathBuf};

/// Write the manual pages into a folder.
///
/// One page for each command, `cargo-updater.1` for the whole. `man cargo-updater-publish` finds them in a folder `man1` of
/// MANPATH, for example ~/.local/share/man/man1.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  cargo updater man ~/.local/share/man/man1\n  cargo updater man target/man")]
pub(super) struct Args {
    /// The folder; it is made when it is not there, and pages in it are replaced.
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    #[command(flatten)]
    dry_run: super::DryRunArgs,
}

impl Args {
    pub(super) fn run(&self, context: &Context) -> CommandResult {
        let folder = context.path(&self.folder);
        let mut command = help::whole().disable_help_subcommand(true);
        command.build();
        let mut pages = Vec::new();
        collect(&command, &mut pages);
        for (name, page) in &pages {
            let path = folder.join(name);
            if self.dry_run.execute() == Execute::ForReal {
                write(&path, page)?;
            }
            context.shell.message(&Page { path: path.display().to_string() });
        }
        let verb = if self.dry_run.execute() == Execute::ForReal { "Written" } else { "Would write" };
        context.shell.status(verb, format_args!("{} manual pages to {}", pages.len(), folder.display()));
        Ok(())
    }
}

fn write(path: &Path, page: &[u8]) -> CommandResult {
    crate::files::write_durably(path, page)
        .map_err(crate::files::FileError::of("write", path))
        .map_err(|error| CommandError::new(ExitCode::Config, error).hint("name a folder that you can write"))
}

/// Makes the page of a command and those of its subcommands.
fn collect(command: &clap::Command, pages: &mut Vec<(String, Vec<u8>)>) {
    let name = command.get_display_name().unwrap_or_else(|| command.get_name()).replace(' ', "-");
    let page = clap_mangen::Man::new(command.clone())
        .title(name.to_uppercase())
        .section("1")
        .source(concat!("cargo-updater ", env!("CARGO_PKG_VERSION")))
        .manual("Releases that update themselves");
    let mut bytes = Vec::new();
    // Into memory: it cannot fail.
    drop(page.render(&mut bytes));
    pages.push((format!("{name}.1"), bytes));
    command.get_subcommands().filter(|sub| sub.get_name() != "help").for_each(|sub| collect(sub, pages));
}

/// A page was written.
#[derive(serde::Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct Page {
    path: String,
}

impl Message for Page {
    const REASON: &'static str = "man-page";
}
