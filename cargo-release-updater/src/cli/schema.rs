//! `cargo updater schema`: what programs and editors hold our messages and our settings against.

use crate::context::Context;
use crate::error::CommandResult;

/// Write a JSON schema to stdout, of the messages or the settings.
///
/// `messages` describes each line of `--message-format json`. `table` describes a Cargo.toml with the tables
/// [package.metadata.updater] and [workspace.metadata.updater]; editors complete and check them by it.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  cargo updater schema messages > messages.schema.json\n  \
                        cargo updater schema table > updater.schema.json\n\nIn Cargo.toml, for taplo and editors that use it, as the first line:\n  \
                        #:schema ./updater.schema.json\n\ndocs/shells.md says how each editor finds it.")]
pub(super) struct Args {
    /// What is described.
    #[arg(value_enum)]
    what: What,
}

/// What is described.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum What {
    /// The lines of `--message-format json`.
    Messages,
    /// The table [package.metadata.updater] in Cargo.toml.
    Table,
}

impl Args {
    pub(super) fn run(&self, context: &Context) -> CommandResult {
        context.shell.text(match self.what {
            What::Messages => MESSAGES,
            What::Table => TABLE,
        });
        Ok(())
    }
}

/// Made from the types by a test, which fails when they differ.
const MESSAGES: &str = include_str!("../../schema/messages.schema.json");
/// Likewise.
const TABLE: &str = include_str!("../../schema/table.schema.json");

#[cfg(test)]
mod messages;
#[cfg(test)]
mod table;
