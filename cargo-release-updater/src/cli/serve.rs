//! `cargo updater serve`: a published folder on loopback, for trying out.

use super::{PackageArgs, StorageArgs};
use crate::config::Project;
use crate::context::Context;
use crate::error::{CommandError, CommandResult, ExitCode};
use crate::serve::{Request, Server};
use crate::shell::{Message, MessageFormat, Shell, Verbosity};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// Serve a published folder on this machine, for trying it out.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  cargo updater serve\n  cargo updater serve target/updater/repository --bind 127.0.0.1:8000"
)]
pub(super) struct Args {
    /// The folder; the project's own repository when not named.
    folder: Option<PathBuf>,
    /// The address to listen on.
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8700")]
    bind: SocketAddr,
    #[command(flatten)]
    package: PackageArgs,
}

impl Args {
    pub(super) fn run(&self, context: &Context) -> CommandResult {
        let folder = match &self.folder {
            Some(folder) => context.path(folder),
            None => published_folder(context, &Project::find(context, &self.package)?)?,
        };
        let format = context.shell.format();
        // The server's threads outlive the borrow of the context, so they get a shell of their own.
        let shell = Shell::new(format, crate::shell::ColorChoice::Auto, Verbosity::Normal);
        let server = Server::start_at(&folder, self.bind, Some(Box::new(move |request| tell(&shell, request))))?;
        if !server.address().ip().is_loopback() {
            context.shell.warn("this server is for trying out; every machine that reaches this address can read it");
        }
        context.shell.status("Serving", format_args!("{} at {}", folder.display(), server.url()));
        context.shell.message(&Serving { url: server.url(), folder: folder.display().to_string() });
        server.run();
        Ok(())
    }
}

/// Returns the folder to which `publish` writes, when it is one.
fn published_folder(context: &Context, project: &Project) -> CommandResult<PathBuf> {
    let storage = StorageArgs::default().open(context, project)?;
    storage.must_be_published()?;
    storage.folder().map(Path::to_owned).ok_or_else(|| {
        CommandError::new(ExitCode::Usage, format!("{} is not a folder on this machine", storage.name()))
            .hint("name a folder: `cargo updater serve FOLDER`")
    })
}

fn tell(shell: &Shell, request: &Request) {
    match shell.format() {
        MessageFormat::Json => shell.message(request),
        MessageFormat::Human => {
            let range = request.range.as_deref().map(|range| format!(" ({range})")).unwrap_or_default();
            let Request { method, path, status, body_bytes, .. } = request;
            // The path is the client's word: whatever could move the cursor is shown, not sent.
            shell.status(method, format_args!("{}{range} {status}, {body_bytes} bytes", path.escape_debug()));
        }
    }
}

/// The server has started.
#[derive(serde::Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct Serving {
    url: String,
    folder: String,
}

impl Message for Serving {
    const REASON: &'static str = "serving";
}

impl Message for Request {
    const REASON: &'static str = "request";
}
