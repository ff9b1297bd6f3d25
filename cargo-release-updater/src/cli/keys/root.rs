//! `cargo updater keys root`: the documents of a ceremony go out to their holders, are looked at, and come back signed.

use super::advance::{advance, tell_review};
use super::ceremony::CeremonyArgs;
use crate::ceremony::{Ceremony, CeremonyError, Documents, Reviewed, Signatures, read_signatures, review, sign_file};
use crate::cli::desk::Desk;
use crate::cli::{ExecuteArgs, KeyArgs};
use crate::context::{Context, Execute};
use crate::error::{CommandError, CommandResult, ExitCode};
use crate::progress::counted;
use crate::shell::Message;
use std::path::{Path, PathBuf};
use updater_format::AppId;

/// Export what holders sign, look at it, sign it where no project is, and import the signatures.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  cargo updater keys root export /media/stick\n  \
                        cargo updater keys root review root.canonical.json\n  \
                        cargo updater keys root import root.canonical.json.minisig")]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Export(Export),
    Review(Review),
    Sign(Sign),
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
    #[command(flatten)]
    against: Against,
}

/// With what a document is compared.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Selection")]
struct Against {
    /// The root or targets role in force, from a place that you trust: what is different is told. Twice for both.
    #[arg(long, value_name = "FILE")]
    against: Vec<PathBuf>,
}

/// Sign an exported file with the keys of this machine: no network, no project. Writes the signed document beside it.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  cargo updater keys root sign root.canonical.json --key-dir /media/keys --against root.json"
)]
struct Sign {
    /// The exported bytes, or a document that others have signed already.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    against: Against,
    /// The app whose keys sign, when no folder is named; the one in the file when not given.
    #[arg(long, value_name = "APP", help_heading = "Selection")]
    app: Option<AppId>,
    #[command(flatten)]
    keys: KeyArgs,
    #[command(flatten)]
    execute: ExecuteArgs,
}

/// Take signatures that were made elsewhere, and go on with the ceremony.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  cargo updater keys root import root.canonical.json.minisig\n  cargo updater keys root import root.signed.json"
)]
struct Import {
    /// Files that `minisign -Sl` or `keys root sign` wrote.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    #[command(flatten)]
    ceremony: CeremonyArgs,
}

impl Args {
    pub(super) fn run(&self, context: &Context) -> CommandResult {
        match &self.command {
            Command::Export(args) => args.run(context),
            Command::Review(args) => args.run(context),
            Command::Sign(args) => args.run(context),
            Command::Import(args) => args.run(context),
        }
    }
}

impl Export {
    fn run(&self, context: &Context) -> CommandResult {
        let (desk, ceremony) = self.ceremony.under_way(context)?;
        let channels = ceremony.waiting_channels(&desk.storage, desk.state.as_ref())?;
        let folder = context.path(&self.folder);
        if self.ceremony.execute.execute() == Execute::DryRun {
            for (name, bytes) in ceremony.messages() {
                let what =
                    format!("{}: {} bytes", folder.join(format!("{name}.canonical.json")).display(), bytes.len());
                context.shell.status("Would write", what);
            }
            return Ok(());
        }
        let mut written = ceremony.export(&folder)?;
        for channel in &channels {
            let path = folder.join(format!("{}.canonical.json", channel.channel()));
            channel.export(&path)?;
            written.push(path);
        }
        for path in written {
            context.shell.status("Exported", path.display());
            context.shell.message(&Written { path: path.display().to_string() });
        }
        context
            .shell
            .note("sign each with `minisign -Sl -m FILE`, and bring back the `.minisig` for `keys root import`");
        Ok(())
    }
}

impl Against {
    /// Reads the documents in force that are named.
    fn read(&self, context: &Context) -> CommandResult<Vec<Reviewed>> {
        Ok(self.against.iter().map(|path| read(&context.path(path))).collect::<Result<_, _>>()?)
    }
}

fn read(path: &Path) -> Result<Reviewed, CeremonyError> {
    let failed = |source| CeremonyError::Io { action: "read", path: path.to_owned(), source };
    review::read(path, &std::fs::read(path).map_err(failed)?)
}

fn known(documents: &[Reviewed]) -> Documents<'_> {
    let mut known = Documents::default();
    for document in documents {
        match document {
            Reviewed::Root(root) => known.root = Some(root),
            Reviewed::Targets(targets) => known.targets = Some(targets),
        }
    }
    known
}

impl Review {
    fn run(&self, context: &Context) -> CommandResult {
        let document = read(&context.path(&self.file))?;
        let before = self.against.read(context)?;
        let known = known(&before);
        tell_review(&context.shell, &document.review(known, known.root));
        Ok(())
    }
}

impl Sign {
    fn run(&self, context: &Context) -> CommandResult {
        let path = context.path(&self.file);
        let document = read(&path)?;
        let before = self.against.read(context)?;
        let known = known(&before);
        tell_review(&context.shell, &document.review(known, known.root));
        let app = match self.app.as_ref().or(document.app()) {
            Some(app) => app.clone(),
            None => {
                return Err(CommandError::new(ExitCode::Usage, "the file is for no app of this program")
                    .hint("name the app whose keys sign with `--app APP`"));
            }
        };
        let mut keychain = self.keys.keychain(context, &app)?;
        if self.execute.execute() == Execute::DryRun {
            context.shell.note("dry run: nothing was signed");
            return Ok(());
        }
        self.execute.confirm(context, "Sign this?")?;
        let signed = sign_file(&path, &document, known, &mut keychain)?;
        context
            .shell
            .status("Signed", format_args!("{}: {}", counted(signed.count as usize, "time"), signed.path.display()));
        context.shell.message(&Written { path: signed.path.display().to_string() });
        Ok(())
    }
}

impl Import {
    fn run(&self, context: &Context) -> CommandResult {
        let (desk, mut ceremony) = self.ceremony.under_way(context)?;
        if self.ceremony.execute.execute() == Execute::DryRun {
            for file in &self.files {
                read_signatures(&context.path(file))?;
            }
            let keychain = desk.keychain(&self.ceremony.keys)?;
            return advance(context, &desk, keychain, ceremony, &self.ceremony);
        }
        for file in &self.files {
            let path = context.path(file);
            let signatures = read_signatures(&path)?;
            let imported = match ceremony.add(&signatures, &path) {
                // Of a channel's role, perhaps: it lies in the storage and not among the drafts.
                Err(error @ CeremonyError::Foreign { .. }) => {
                    match Self::add_to_channel(&desk, &ceremony, &signatures, &path)? {
                        Some(channel) => vec![channel],
                        None => return Err(error.into()),
                    }
                }
                imported => imported?.into_iter().map(str::to_owned).collect(),
            };
            for document in imported {
                context.shell.status("Imported", format_args!("a signature of {document} from {}", file.display()));
            }
        }
        let keychain = desk.keychain(&self.ceremony.keys)?;
        advance(context, &desk, keychain, ceremony, &self.ceremony)
    }
}

impl Import {
    /// Adds signatures to the role of a channel that waits for its new keys; `None` when they are of none.
    fn add_to_channel(
        desk: &Desk<'_>,
        ceremony: &Ceremony,
        signatures: &Signatures,
        from: &Path,
    ) -> CommandResult<Option<String>> {
        for mut waiting in ceremony.waiting_channels(&desk.storage, desk.state.as_ref())? {
            if waiting.add(signatures, from).is_ok() {
                waiting.leave(&desk.storage)?;
                return Ok(Some(waiting.channel().to_string()));
            }
        }
        Ok(None)
    }
}

/// A file was written that is carried elsewhere.
#[derive(serde::Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(in crate::cli) struct Written {
    path: String,
}

impl Message for Written {
    const REASON: &'static str = "exported";
}
