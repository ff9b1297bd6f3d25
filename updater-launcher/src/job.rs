//! What takes time, in a process of its own: `__job check|update|confirm|put-back|rollback|self-update`. It tells the supervisor by
//! JSON lines on stdout how it goes; the memory of TLS and decompression goes away with it.

use crate::cli::rollback_target;
use crate::error::{Error, Result};
use crate::release::{Install, why_not};
use serde::{Deserialize, Serialize};
use std::io::{BufRead as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use updater_format::ReleaseVersion;
use updater_runtime::{Status, Updater};

/// A line from a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "report")]
pub(crate) enum Report {
    /// There is nothing newer.
    Current,
    /// There is something newer, but not for this install; or it cannot be told.
    Withheld {
        /// Why.
        why: String,
    },
    /// There is an update.
    Available {
        /// Its version.
        version: ReleaseVersion,
        /// Bytes of the first route.
        bytes: u64,
    },
    /// The new version lies beside the installed one; the job waits for the line `install`, and drops it otherwise.
    Staged {
        /// Its version.
        version: ReleaseVersion,
        /// Its folder until it is installed.
        dir: PathBuf,
    },
    /// `current` leads to the new version, which is on trial.
    Installed,
    /// The trial has ended well.
    Confirmed,
    /// `current` leads to an older version.
    PutBack {
        /// The version in place.
        installed: ReleaseVersion,
        /// The version left.
        left: ReleaseVersion,
    },
    /// It failed.
    Failed {
        /// The name of the error.
        code: String,
        /// What it was.
        message: String,
        /// What to do.
        hint: String,
        /// The exit code of a command that ends with it.
        exit: u8,
    },
}

/// Runs a job and reports; the exit code only says whether it failed.
pub(crate) fn run(args: &[String], own: Option<&Updater>) -> Result<ExitCode> {
    let [folder, name, rest @ ..] = args else {
        return Err(Error::Usage { problem: "__job is for the launcher itself".to_owned(), hint: "use `update`" });
    };
    crate::shell::log_to_stderr();
    let done = Install::open(Path::new(folder)).and_then(|install| match name.as_str() {
        "check" => check(&install),
        "update" => update(&install),
        "confirm" => Ok(install.updater()?.confirm().map(|_| Report::Confirmed)?),
        "self-update" => self_update(crate::cli::able(own)?),
        "put-back" => put_back(&install, rest.first()),
        _ => rollback(&install, rest.first()),
    });
    let (report, code) = match done {
        Ok(report) => (report, ExitCode::SUCCESS),
        Err(error) => {
            let (code, message, hint) = (error.code().to_owned(), error.full_message(), error.hint());
            (Report::Failed { code, message, hint, exit: error.exit_code() }, ExitCode::FAILURE)
        }
    };
    tell(&report);
    Ok(code)
}

fn check(install: &Install) -> Result<Report> {
    let status = install.updater()?.check()?;
    Ok(match &status {
        Status::Available(update) => {
            Report::Available { version: update.version().clone(), bytes: update.route().bytes() }
        }
        Status::NoUpdate(_) => why_not(&status).map_or(Report::Current, |why| Report::Withheld { why }),
    })
}

fn update(install: &Install) -> Result<Report> {
    install.require_settings()?;
    let status = install.updater()?.check()?;
    let why = why_not(&status);
    let Status::Available(update) = status else {
        return Ok(why.map_or(Report::Current, |why| Report::Withheld { why }));
    };
    tell(&Report::Available { version: update.version().clone(), bytes: update.route().bytes() });
    let staged = update.download(|_| {})?;
    // A table that cannot be read is the new version's fault, and it is known before anything has changed.
    install.settings(&staged.path())?;
    tell(&Report::Staged { version: staged.version().clone(), dir: staged.path() });
    let mut line = String::new();
    let heard = std::io::stdin().lock().read_line(&mut line);
    if heard.is_ok() && line.trim() == "install" {
        staged.install()?;
        return Ok(Report::Installed);
    }
    Ok(Report::Withheld { why: "it was given up".to_owned() })
}

/// Updates the launcher's own program.
fn self_update(updater: &Updater) -> Result<Report> {
    let status = updater.check()?;
    let why = why_not(&status);
    let Status::Available(update) = status else {
        return Ok(why.map_or(Report::Current, |why| Report::Withheld { why }));
    };
    tell(&Report::Available { version: update.version().clone(), bytes: update.route().bytes() });
    update.download(|_| {})?.install()?;
    Ok(Report::Installed)
}

/// Puts back the version before the one that failed. Its trial may be over: the app may have confirmed itself, by its own
/// runtime, before whoever watches it saw it fail.
fn put_back(install: &Install, before: Option<&String>) -> Result<Report> {
    let updater = install.updater()?;
    let before = before.map(|version| ReleaseVersion::parse(version)).transpose()?;
    let back = match (updater.put_back()?, before) {
        (None, Some(before)) if install.current()?.version != before => updater.put_back_to(&before)?,
        (back, _) => back,
    };
    Ok(back.map_or(Report::Current, |back| Report::PutBack { installed: back.installed, left: back.left }))
}

fn rollback(install: &Install, version: Option<&String>) -> Result<Report> {
    let updater = install.updater()?;
    let named = version.map(|version| ReleaseVersion::parse(version)).transpose()?;
    let to = rollback_target(&updater, named, &install.current()?.version)?;
    match updater.return_to(&to)? {
        Some(back) => Ok(Report::PutBack { installed: back.installed, left: back.left }),
        None => Ok(Report::Current),
    }
}

/// Writes a report. When nobody reads it, the supervisor is gone, and this process ends with it.
fn tell(report: &Report) {
    let mut stdout = std::io::stdout().lock();
    let written = serde_json::to_writer(&mut stdout, report).map_err(std::io::Error::from);
    let _ = written.and_then(|()| stdout.write_all(b"\n")).and_then(|()| stdout.flush());
}
