//! The command line: `cargo updater COMMAND`. One file per command, each with its `Args` and its `run`.

mod args;
mod bundle;
mod completions;
mod demo;
mod desk;
mod diff;
mod doctor;
#[cfg(test)]
mod documented;
mod help;
mod hooking;
mod init;
mod keys;
mod man;
mod overview;
mod packages;
mod page;
mod prune;
mod publish;
mod refresh;
mod rehearse;
mod release;
mod restore;
mod schema;
mod serve;
mod services;
mod sign;
mod source;
mod status;
mod subject;
mod verify;

pub use packages::PackagesArgs;

pub use crate::config::PackageArgs;
pub use args::{DiffArgs, DryRunArgs, ExecuteArgs, KeyArgs, KeyFolderArgs, OutputArgs, PasswordArgs, StorageArgs};

use crate::context::{Clock, Context, Prompts};
use crate::error::{CommandError, CommandResult, ExitCode};
use crate::shell::Shell;
use std::ffi::OsString;

/// Runs the program with the arguments of the process and returns its exit code.
///
/// Works as `cargo updater X` (Cargo starts `cargo-updater updater X`) and as `cargo-updater X`.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> std::process::ExitCode {
    crate::keys::take_secrets();
    let cli = match parse(without_cargo(arguments)) {
        Ok(cli) => cli,
        // Help and version are no errors; clap prints them to stdout and the rest to stderr.
        Err(error) => {
            let code = if error.use_stderr() { ExitCode::Usage } else { ExitCode::Success };
            drop(error.print());
            return code.into();
        }
    };
    let shell = Shell::new(cli.output.message_format, cli.output.color, cli.output.verbosity());
    let outcome = match std::env::current_dir() {
        Ok(working_dir) => {
            let context = Context { shell, working_dir, clock: Clock::System, prompts: Prompts::of_process() };
            let result = match &cli.command {
                Some(command) => command.run(&context),
                None => cli.overview.run(&context),
            };
            result.map_err(|error| (context.shell, error))
        }
        Err(source) => {
            let error = CommandError::new(ExitCode::Unexpected, source).hint("change into a folder that exists");
            Err((shell, error))
        }
    };
    match outcome {
        Ok(()) => ExitCode::Success.into(),
        Err((shell, error)) => {
            shell.error(&error);
            error.code.into()
        }
    }
}

/// Parses the arguments. What is for `cargo updater` alone is refused in front of a command, where it would do nothing.
fn parse(arguments: Vec<OsString>) -> Result<Cli, clap::Error> {
    use clap::FromArgMatches as _;
    let mut command = help::grouped(help::color(&arguments));
    let cli = Cli::from_arg_matches(&command.try_get_matches_from_mut(arguments)?)?;
    match (&cli.command, cli.overview.given()) {
        (Some(_), Some(option)) => {
            let what = format!(
                "the argument '{option}' in front of a command is for `cargo updater` alone; a command has its own behind it"
            );
            Err(command.error(clap::error::ErrorKind::ArgumentConflict, what))
        }
        _ => Ok(cli),
    }
}

/// Drops the `updater` that Cargo puts before the arguments of its subcommand.
fn without_cargo(arguments: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut arguments: Vec<OsString> = arguments.into_iter().collect();
    if arguments.get(1).is_some_and(|argument| argument == "updater") {
        arguments.remove(1);
    }
    arguments
}

/// Build, sign, patch and publish releases that update themselves.
#[derive(Debug, clap::Parser)]
#[command(
    name = "cargo-updater",
    bin_name = "cargo updater",
    version,
    after_help = "Examples:\n  cargo updater             where the project stands, and what comes next\n  cargo updater demo        try it without a project\n  \
                  cargo updater init --url https://example.com/hello\n  cargo updater publish     a release: the first one, and every other"
)]
struct Cli {
    #[command(flatten)]
    overview: overview::Args,
    #[command(flatten)]
    output: OutputArgs,
    /// Where the project stands and what comes next is told without one.
    #[command(subcommand)]
    command: Option<Command>,
}

/// One variant per command, in the order in which a project meets them.
#[derive(Debug, clap::Subcommand)]
enum Command {
    Init(init::Args),
    Keys(keys::Args),
    Publish(publish::Args),
    Bundle(bundle::Args),
    Diff(diff::Args),
    Sign(sign::Args),
    Rehearse(rehearse::Args),
    Refresh(refresh::Args),
    Release(release::Args),
    Status(status::Args),
    Verify(verify::Args),
    Page(page::Args),
    Prune(prune::Args),
    Restore(restore::Args),
    Doctor(doctor::Args),
    Serve(serve::Args),
    Services(services::Args),
    Demo(demo::Args),
    Completions(completions::Args),
    Man(man::Args),
    Schema(schema::Args),
}

impl Command {
    fn run(&self, context: &Context) -> CommandResult {
        match self {
            Self::Init(args) => args.run(context),
            Self::Keys(args) => args.run(context),
            Self::Publish(args) => args.run(context),
            Self::Bundle(args) => args.run(context),
            Self::Diff(args) => args.run(context),
            Self::Sign(args) => args.run(context),
            Self::Rehearse(args) => args.run(context),
            Self::Refresh(args) => args.run(context),
            Self::Release(args) => args.run(context),
            Self::Status(args) => args.run(context),
            Self::Verify(args) => args.run(context),
            Self::Page(args) => args.run(context),
            Self::Prune(args) => args.run(context),
            Self::Restore(args) => args.run(context),
            Self::Doctor(args) => args.run(context),
            Self::Serve(args) => args.run(context),
            Self::Services(args) => args.run(context),
            Self::Demo(args) => args.run(context),
            Self::Completions(args) => args.run(context),
            Self::Man(args) => args.run(context),
            Self::Schema(args) => args.run(context),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn cargo_may_put_its_subcommand_first() {
        let words = |words: &[&str]| words.iter().map(OsString::from).collect::<Vec<_>>();
        assert_eq!(without_cargo(words(&["cargo-updater", "updater", "keys"])), words(&["cargo-updater", "keys"]));
        assert_eq!(without_cargo(words(&["cargo-updater", "keys"])), words(&["cargo-updater", "keys"]));
    }
}
