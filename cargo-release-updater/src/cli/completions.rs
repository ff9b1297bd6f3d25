//! `cargo updater completions`: what a shell needs to complete `cargo-updater`, and `cargo updater` as far as the
//! completions of Cargo itself allow.

use super::help;
use crate::context::Context;
use crate::error::CommandResult;

/// Write the completions of a shell to stdout.
///
/// They complete `cargo-updater`. `cargo updater` is completed too: in bash and fish by themselves, in zsh where Cargo's own
/// completions are loaded, in PowerShell after `Register-CargoUpdaterForCargo`, because it keeps one completer for `cargo`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  cargo updater completions bash > ~/.local/share/bash-completion/completions/cargo-updater\n  \
                        cargo updater completions zsh > ~/.zfunc/_cargo-updater\n  \
                        cargo updater completions fish > ~/.config/fish/conf.d/cargo-updater.fish\n  \
                        cargo updater completions powershell >> $PROFILE\n\nIn bash, to complete `cargo updater` from the start on, load them in ~/.bashrc:\n  \
                        source <(cargo updater completions bash)\n\ndocs/shells.md says what each shell needs."
)]
pub(super) struct Args {
    /// The shell.
    #[arg(value_enum)]
    shell: Target,
}

/// The shells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Target {
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

impl Args {
    pub(super) fn run(&self, context: &Context) -> CommandResult {
        context.shell.text(&script(self.shell));
        Ok(())
    }
}

/// Makes the script of a shell.
fn script(shell: Target) -> String {
    let (generator, rest) = match shell {
        Target::Bash => (clap_complete::Shell::Bash, BASH),
        Target::Zsh => (clap_complete::Shell::Zsh, ""),
        Target::Fish => (clap_complete::Shell::Fish, FISH),
        Target::PowerShell => (clap_complete::Shell::PowerShell, POWERSHELL),
    };
    let mut bytes = Vec::new();
    // For bash the generator makes two names of one with a dash, and what follows a subcommand would not be found.
    let name = if shell == Target::Bash { BASH_NAME } else { NAME };
    clap_complete::generate(generator, &mut help::whole(), name, &mut bytes);
    // The generator writes what we gave it, which is text.
    let mut script = String::from_utf8_lossy(&bytes).into_owned();
    if shell == Target::Bash {
        script = script.replace(&format!(" {BASH_NAME}\n"), &format!(" {NAME}\n"));
    }
    script.push_str(rest);
    script
}

const NAME: &str = "cargo-updater";
const BASH_NAME: &str = "cargo_updater";
/// Cargo's own completions know nothing of other programs' arguments, so they are asked for everything but `updater`.
const BASH: &str = include_str!("../../template/completions.bash");
/// fish asks every completion that fits, so Cargo's own stay.
const FISH: &str = include_str!("../../template/completions.fish");
/// PowerShell has one completer per command: a person decides.
const POWERSHELL: &str = include_str!("../../template/completions.ps1");
