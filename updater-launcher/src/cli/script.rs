//! `script`: a program of the app by the name that its table gives it.

use super::Place;
use crate::error::{Error, Result};
use crate::release::Install;
use crate::shell;
use crate::supervise::FOLDER_VARIABLE;
use clap::Args;
use std::process::{Command, ExitCode};

/// Run a script of the app's table, in the current version's folder. Without a name the scripts are listed.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  updater-launcher script -C /opt/hello
  updater-launcher script -C /opt/hello backup --to /mnt/backup")]
pub(super) struct Script {
    #[command(flatten)]
    place: Place,
    /// The name in the table `script`.
    name: Option<String>,
    /// What is passed on to it: everything behind its name.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    args: Vec<String>,
}

impl Script {
    pub(super) fn run(self) -> Result<ExitCode> {
        let install = Install::open(&self.place.dir)?;
        let version = install.current()?;
        let merged = install.settings(&version.dir)?;
        let scripts = &merged.settings.script;
        let Some(name) = self.name else {
            scripts.keys().for_each(shell::out);
            return Ok(ExitCode::SUCCESS);
        };
        let argv = scripts.get(&name).ok_or_else(|| Error::Usage {
            problem: format!("there is no script `{name}`"),
            hint: "`updater-launcher script` lists them",
        })?;
        let argv = install.variables(&version, None, &merged).command(argv)?;
        let program = argv.first().cloned().unwrap_or_default();
        let mut command = Command::new(&program);
        command.args(argv.iter().skip(1)).args(&self.args).current_dir(&version.dir);
        command.env(FOLDER_VARIABLE, install.places.root());
        for (name, value) in &merged.settings.env {
            command.env(name, install.variables(&version, None, &merged).expand(value)?);
        }
        becoming(&mut command).map_err(|error| Error::Start { program, problem: error.to_string() })
    }
}

/// Becomes the program; comes back only with an error.
#[cfg(unix)]
fn becoming(command: &mut Command) -> std::io::Result<ExitCode> {
    use std::os::unix::process::CommandExt as _;
    Err(command.exec())
}

/// Runs the program, and ends with its exit code. Ctrl-C is the program's.
#[cfg(windows)]
fn becoming(command: &mut Command) -> std::io::Result<ExitCode> {
    extern "system" fn ignore(_event: u32) -> i32 {
        1
    }
    // Without a console there is nothing to leave to the program.
    let _ = crate::win32::on_interrupt(ignore);
    Ok(super::ended_with(command.status()?.code().unwrap_or(1)))
}
