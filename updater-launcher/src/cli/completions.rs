//! `completions`: what a shell needs to complete this program.

use super::Cli;
use crate::error::Result;
use crate::shell;
use clap::{Args, CommandFactory as _, ValueEnum};
use std::process::ExitCode;

/// Write the completions of a shell to stdout.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  source <(updater-launcher completions bash)\n  \
                  updater-launcher completions zsh > ~/.zfunc/_updater-launcher\n  \
                  updater-launcher completions fish > ~/.config/fish/completions/updater-launcher.fish\n  \
                  updater-launcher completions powershell >> $PROFILE")]
pub(super) struct Completions {
    /// The shell.
    #[arg(value_enum)]
    shell: Target,
}

/// The shells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Target {
    /// GNU Bash 4 or newer.
    Bash,
    /// The Z shell.
    Zsh,
    /// fish 3 or newer.
    Fish,
    /// PowerShell 5 or newer.
    #[value(name = "powershell")]
    PowerShell,
}

impl Completions {
    pub(super) fn run(self) -> Result<ExitCode> {
        shell::text(&script(self.shell));
        Ok(ExitCode::SUCCESS)
    }
}

/// Makes the script of a shell.
fn script(shell: Target) -> String {
    // For bash the generator makes two names of one with a dash, and what follows a subcommand would not be found.
    let (generator, name) = match shell {
        Target::Bash => (clap_complete::Shell::Bash, BASH_NAME),
        Target::Zsh => (clap_complete::Shell::Zsh, NAME),
        Target::Fish => (clap_complete::Shell::Fish, NAME),
        Target::PowerShell => (clap_complete::Shell::PowerShell, NAME),
    };
    let mut bytes = Vec::new();
    clap_complete::generate(generator, &mut for_people(), name, &mut bytes);
    // The generator writes what we gave it, which is text.
    let script = String::from_utf8_lossy(&bytes).into_owned();
    match shell {
        Target::Bash => script.replace(&format!(" {BASH_NAME}\n"), &format!(" {NAME}\n")),
        _ => script,
    }
}

/// Returns the command line without what only the launcher itself runs: the generator lists hidden commands, too.
fn for_people() -> clap::Command {
    let whole = Cli::command();
    let shown = whole.get_subcommands().filter(|command| !command.is_hide_set());
    clap::Command::new(NAME).version(env!("CARGO_PKG_VERSION")).subcommands(shown.cloned().collect::<Vec<_>>())
}

const NAME: &str = "updater-launcher";
const BASH_NAME: &str = "updater_launcher";
