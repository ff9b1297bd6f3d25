//! `cargo updater services`: the storages that this build reaches.

use crate::context::Context;
use crate::error::CommandResult;
use crate::services::offers;

/// List the storages that this build reaches, and what each needs.
///
/// With the options of their addresses, where their credentials come from, and what they offer to several publishers.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  cargo updater services\n  cargo updater services --message-format json")]
pub(super) struct Args {}

impl Args {
    #[expect(clippy::unused_self, reason = "every command is run by its arguments, also when it has none")]
    pub(super) fn run(&self, context: &Context) -> CommandResult {
        for offer in offers()? {
            let shell = &context.shell;
            shell.result(format_args!("{:8} {}", offer.service, offer.address));
            shell.result(format_args!("{:8} {}", "", offer.several_publishers()));
            shell.result(format_args!("{:8} credentials: {}", "", offer.credentials));
            if !offer.options.is_empty() {
                shell.result(format_args!("{:8} options: {}", "", offer.options.join(", ")));
            }
            shell.message(&offer);
        }
        Ok(())
    }
}
