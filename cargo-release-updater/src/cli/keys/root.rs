//! `cargo updater keys root`: the documents of a ceremony go out to their holders, are looked at, and come back signed.

use super::ceremony::{CeremonyArgs, advance};
use crate::ceremony::review::review;
use crate::ceremony::{CeremonyError, read_signature};
use crate::context::Context;
use crate::error::CommandResult;
use crate::shell::Message;
use std::path::{Path, PathBuf};
use updater_format::role::Root;
use updater_format::signed::{Signed, Untrusted};

/// Export what holders sign, look at it, and import their signatures.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Export(Export),
    Review(Review),
    Import(Import),
}

/// Write the bytes to be signed: `minisign -Sl -m root.canonical.json` signs them on a machine without this program.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  cargo updater keys root export /media/stick\n  minisign -Sl -s root.key -m root.canonical.json"
)]
struct Export {
    /// The folder to write into.
    #[arg(value_name = "DIR", default_value = ".")]
    folder: PathBuf,
    #[command(flatten)]
    ceremony: CeremonyArgs,
}

/// Tell what a file would make its signer vouch for, from its bytes alone: no network, no project.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  cargo updater keys root review root.canonical.json --against root.json")]
struct Review {
    /// The exported bytes, or a whole document.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The root in force: what is different is told.
    #[arg(long, value_name = "FILE", help_heading = "Selection")]
    against: Option<PathBuf>,
}

/// Take signatures that were made elsewhere, and go on with the ceremony.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  cargo updater keys root import root.canonical.json.minisig")]
struct Import {
    /// Files that `minisign -Sl` wrote.
    #[arg(required = true, value_name = "MINISIG")]
    files: Vec<PathBuf>,
    #[command(flatten)]
    ceremony: CeremonyArgs,
}

impl Args {
    pub(super) fn run(&self, context: &Context) -> CommandResult {
        match &self.command {
            Command::Export(args) => args.run(context),
            Command::Review(args) => args.run(context),
            Command::Import(args) => args.run(context),
        }
    }
}

impl Export {
    fn run(&self, context: &Context) -> CommandResult {
        let (_, ceremony) = self.ceremony.under_way(context)?;
        for path in ceremony.export(&context.path(&self.folder))? {
            context.shell.status("Exported", path.display());
            context.shell.message(&Exported { path: path.display().to_string() });
        }
        context
            .shell
            .note("sign each with `minisign -Sl -m FILE`, and bring back the `.minisig` for `keys root import`");
        Ok(())
    }
}

impl Review {
    fn run(&self, context: &Context) -> CommandResult {
        let read = |path: &Path| {
            std::fs::read(path).map_err(|source| CeremonyError::Io { action: "read", path: path.to_owned(), source })
        };
        let before = match &self.against {
            None => None,
            Some(path) => {
                let path = context.path(path);
                let refuse = |source| CeremonyError::NotADocument { path: path.clone(), what: "root", source };
                let parsed = Signed::<Root>::parse(&Untrusted::new(read(&path)?)).map_err(refuse)?;
                Some(parsed.unverified().clone())
            }
        };
        let path = context.path(&self.file);
        let review = review(&path, &read(&path)?, before.as_ref())?;
        let shell = &context.shell;
        shell.result(format_args!("{} version {}, until {}", review.role, review.version, review.expires));
        for line in &review.lines {
            shell.result(format_args!("  {line}"));
        }
        for change in review.changes.iter().flatten() {
            shell.result(format_args!("  change: {change}"));
        }
        shell.result(format_args!("sha256 of what is signed: {}", review.sha256));
        shell.message(&review);
        Ok(())
    }
}

impl Import {
    fn run(&self, context: &Context) -> CommandResult {
        let (desk, mut ceremony) = self.ceremony.under_way(context)?;
        for file in &self.files {
            let path = context.path(file);
            let document = ceremony.add(read_signature(&path)?, &path)?;
            context.shell.status("Imported", format_args!("a signature of {document} from {}", file.display()));
        }
        advance(context, &desk, ceremony, &self.ceremony)
    }
}

/// Bytes to be signed were written.
#[derive(serde::Serialize)]
struct Exported {
    path: String,
}

impl Message for Exported {
    const REASON: &'static str = "exported";
}

impl Message for crate::ceremony::review::Review {
    const REASON: &'static str = "review";
}
