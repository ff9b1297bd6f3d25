//! The command line: one file per command.

mod check;
mod completions;
mod config;
mod init;
mod install;
mod latest;
mod list;
mod logs;
mod rollback;
mod script;
mod self_update;
mod start;
mod status;
mod stop;
mod update;

pub(crate) use rollback::target as rollback_target;
pub(crate) use self_update::able;

use crate::error::Result;
use crate::shell;
use clap::{Args, Parser, Subcommand};
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;
use updater_runtime::Updater;

/// Installs an app from a URL, keeps it running and up to date, and goes back when a new version fails.
#[derive(Debug, Parser)]
#[command(name = "updater-launcher", version, help_template = HELP, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Start(start::Start),
    Run(start::Run),
    Stop(stop::Stop),
    Restart(stop::Restart),
    Logs(logs::Logs),
    Events(logs::Events),
    Script(script::Script),
    Install(install::Install),
    Latest(latest::Latest),
    List(list::List),
    Status(status::Status),
    Check(check::Check),
    Update(update::Update),
    Rollback(rollback::Rollback),
    Config(config::Show),
    Init(init::Init),
    SelfUpdate(self_update::SelfUpdate),
    Completions(completions::Completions),
    /// What the launcher runs in its children.
    #[cfg(unix)]
    #[command(name = "__exec", hide = true)]
    Exec(Words),
    /// Whether another launcher can be followed.
    #[cfg(unix)]
    #[command(name = "__takes-over", hide = true)]
    TakesOver(Words),
    /// A health check.
    #[command(name = "__check", hide = true)]
    HealthCheck(Words),
    /// A step of an update.
    #[command(name = "__job", hide = true)]
    Job(Words),
}

/// Which install.
#[derive(Debug, Clone, Args)]
pub(crate) struct Place {
    /// The install's folder.
    #[arg(long, short = 'C', value_name = "DIR", default_value = ".")]
    pub(crate) dir: PathBuf,
}

/// The arguments of what only the launcher itself runs.
#[derive(Debug, Clone, Args)]
struct Words {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    words: Vec<String>,
}

/// Runs one command of a launcher that does not update itself, and returns its exit code.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    main_with(None, args)
}

/// Runs one command of a launcher with an updater of its own: `updater_runtime::updater!()`, the first line of its `main`.
pub fn main_with(updater: Option<Updater>, args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    match run(cli.command, updater.as_ref()) {
        Ok(code) => code,
        Err(error) => {
            shell::error(&error);
            ExitCode::from(error.exit_code())
        }
    }
}

/// Returns the exit code of the app as that of this process. Windows has more than a byte of them.
fn ended_with(code: i32) -> ExitCode {
    match u8::try_from(code) {
        Ok(code) => ExitCode::from(code),
        #[cfg(windows)]
        #[expect(clippy::exit, reason = "std has no other stable way to end with such a code; nothing is left to drop")]
        Err(_) => std::process::exit(code),
        #[cfg(not(windows))]
        Err(_) => ExitCode::FAILURE,
    }
}

fn run(command: Command, updater: Option<&Updater>) -> Result<ExitCode> {
    match command {
        Command::Start(command) => command.run(able(updater).is_ok()),
        Command::Run(command) => command.run(),
        Command::Stop(command) => command.run(),
        Command::Restart(command) => command.run(),
        Command::Logs(command) => command.run(),
        Command::Events(command) => command.run(),
        Command::Script(command) => command.run(),
        #[cfg(unix)]
        Command::Exec(words) => crate::exec::exec(&words.words),
        #[cfg(unix)]
        Command::TakesOver(words) => Ok(crate::supervise::takes_over(&words.words)),
        Command::HealthCheck(words) => crate::exec::health_check(&words.words),
        Command::Job(words) => crate::job::run(&words.words, updater),
        Command::Install(command) => command.run(),
        Command::Latest(command) => command.run(),
        Command::List(command) => command.run(),
        Command::Status(command) => command.run(),
        Command::Check(command) => command.run(),
        Command::Update(command) => command.run(),
        Command::Rollback(command) => command.run(),
        Command::Config(command) => command.run(),
        Command::Init(command) => command.run(),
        Command::SelfUpdate(command) => command.run(updater),
        Command::Completions(command) => command.run(),
    }
}

/// clap lists subcommands in one column; ours are in groups.
const HELP: &str = "\
{about}

{usage-heading} {usage}

Install:
  install      Install an app from a repository into an empty folder
  init         Write launcher.toml by question and answer; --service prints a unit
  latest       Tell the newest version that a repository has for this computer
  list         List the versions that are here, or with --offered those that could be

Run:
  start        Keep the app running and up to date; --detach for the background
  run          Run it once, without updates
  stop         End app and launcher
  restart      Stop the app and start it again
  script       Run a script of the app's table

Update:
  check        Ask whether there is an update
  update       Take it: download, verify, swap
  rollback     Go back to the version before, or to a kept one
  self-update  Update this launcher itself

Look:
  status       Tell what is installed and whether it runs, as JSON
  config       Show every setting and where it comes from
  logs         Show the end of a log; -f goes on
  events       Print every event as JSON

Shell:
  completions  Write the completions of bash, zsh, fish or PowerShell

Options:
{options}

Examples:
  updater-launcher install https://updates.example.com/hello /opt/hello --root root.json
  updater-launcher start -C /opt/hello --detach
  updater-launcher update -C /opt/hello

Exit codes: 0 done, 2 usage, 20 settings, 50 repository or release, 70 folder or file, 75 busy or not running,
80 the app failed.
";
