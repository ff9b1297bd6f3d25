//! `cargo updater demo`: the whole loop on this machine, with a program made for it, and nothing left behind.

use crate::context::Context;
use crate::demo;
use crate::error::CommandResult;
use std::path::PathBuf;

/// Show the whole loop on this machine with a throw-away program.
///
/// Makes it, publishes two versions of it, and watches the first become the second.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  cargo updater demo\n  cargo updater demo --keep\n\nIt works in a temporary folder, on this machine only, and removes everything at the end."
)]
pub(super) struct Args {
    /// The checkout of cargo updater to take the crates from; the one that this program was built in when it is there.
    #[arg(long, value_name = "DIR", hide = true)]
    checkout: Option<PathBuf>,
    /// Keep the folder, to look around in it.
    #[arg(long, help_heading = "Output")]
    keep: bool,
}

impl Args {
    pub(super) fn run(&self, context: &Context) -> CommandResult {
        let keep = if self.keep { demo::Afterwards::Keep } else { demo::Afterwards::Remove };
        demo::run(context, self.checkout.as_deref().map(|path| context.path(path)), keep)
    }
}
