//! The command line: one file per command.

mod check;
mod config;
mod install;
mod latest;
mod list;
mod rollback;
mod status;
mod update;

use crate::error::Result;
use crate::shell;
use clap::{Args, Parser, Subcommand};
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

/// Installs an app from a URL, keeps it running and up to date, and goes back when a new version fails.
#[derive(Debug, Parser)]
#[command(name = "updater-launcher", version, help_template = HELP, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Install(install::Install),
    Latest(latest::Latest),
    List(list::List),
    Status(status::Status),
    Check(check::Check),
    Update(update::Update),
    Rollback(rollback::Rollback),
    Config(config::Show),
}

/// Which install.
#[derive(Debug, Clone, Args)]
pub(crate) struct Place {
    /// The install's folder.
    #[arg(long, short = 'C', value_name = "DIR", default_value = ".")]
    pub(crate) dir: PathBuf,
}

/// Runs one command and returns its exit code.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    match run(cli.command) {
        Ok(code) => code,
        Err(error) => {
            shell::error(&error);
            ExitCode::from(error.exit_code())
        }
    }
}

fn run(command: Command) -> Result<ExitCode> {
    match command {
        Command::Install(command) => command.run(),
        Command::Latest(command) => command.run(),
        Command::List(command) => command.run(),
        Command::Status(command) => command.run(),
        Command::Check(command) => command.run(),
        Command::Update(command) => command.run(),
        Command::Rollback(command) => command.run(),
        Command::Config(command) => command.run(),
    }
}

/// clap lists subcommands in one column; ours are in groups.
const HELP: &str = "\
{about}

{usage-heading} {usage}

Install:
  install    Install an app from a repository into an empty folder
  latest     Tell the newest version that a repository has for this computer
  list       List the versions that are here, or with --offered those that could be

Update:
  check      Ask whether there is an update
  update     Take it: download, verify, swap
  rollback   Go back to the version before, or to a kept one

Look:
  status     Tell what is installed and whether it runs, as JSON
  config     Show every setting and where it comes from

Options:
{options}

Examples:
  updater-launcher install https://updates.example.com/hello /opt/hello --root root.json
  updater-launcher update -C /opt/hello

Exit codes: 0 done, 2 usage, 20 settings, 50 repository or release, 70 folder or file, 75 busy or not running,
80 the app failed.
";
