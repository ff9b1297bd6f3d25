//! `logs` and `events`: what app and launcher have to say.

use super::Place;
use crate::control::follow;
use crate::error::{Error, Result};
use crate::release::Install;
use crate::shell;
use clap::{Args, ValueEnum};
use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

/// Show the end of a log.
#[derive(Debug, Args)]
pub(super) struct Logs {
    #[command(flatten)]
    place: Place,
    /// Which log.
    #[arg(value_enum, default_value = "out")]
    log: Which,
    /// Go on with what is written from now on.
    #[arg(long, short)]
    follow: bool,
    /// How many lines to begin with.
    #[arg(long, short = 'n', default_value_t = 20)]
    lines: usize,
}

/// A log.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Which {
    /// The app's standard output.
    Out,
    /// The app's standard error.
    Err,
    /// The launcher's own.
    Launcher,
}

/// Print every event of the running launcher, one JSON object per line, until it ends.
#[derive(Debug, Args)]
pub(super) struct Events {
    #[command(flatten)]
    place: Place,
}

impl Logs {
    pub(super) fn run(self) -> Result<ExitCode> {
        let install = Install::open(&self.place.dir)?;
        let path = match self.log {
            Which::Out => install.places.app_log(&install.record.app, "out"),
            Which::Err => install.places.app_log(&install.record.app, "err"),
            Which::Launcher => install.places.own_log(),
        };
        if !path.exists() && !self.follow {
            shell::step("Nothing", "was logged yet; `updater-launcher start` begins it");
            return Ok(ExitCode::SUCCESS);
        }
        let mut at = if path.exists() { show_end(&path, self.lines)? } else { (None, 0) };
        if !self.follow {
            return Ok(ExitCode::SUCCESS);
        }
        loop {
            std::thread::sleep(PAUSE);
            at = show_from(&path, at)?;
        }
    }
}

impl Events {
    pub(super) fn run(self) -> Result<ExitCode> {
        let install = Install::open(&self.place.dir)?;
        follow(&install.places, |line| shell::out(line))?;
        Ok(ExitCode::SUCCESS)
    }
}

/// Where a reader is: in which file, and at which byte.
type Position = (Option<(u64, u64)>, u64);

/// Prints the last lines of a file.
fn show_end(path: &Path, lines: usize) -> Result<Position> {
    let failed = |source| Error::file("read", path, source);
    let mut file = File::open(path).map_err(failed)?;
    let length = file.metadata().map_err(failed)?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(MAX_TAIL))).map_err(failed)?;
    let mut bytes = Vec::new();
    (&mut file).take(MAX_TAIL).read_to_end(&mut bytes).map_err(failed)?;
    let ends = bytes.iter().enumerate().rev().filter(|(at, byte)| **byte == b'\n' && at + 1 < bytes.len());
    let begin = match lines {
        0 => bytes.len(),
        lines => ends.map(|(at, _)| at + 1).nth(lines - 1).unwrap_or(0),
    };
    print(&bytes[begin..]);
    Ok((identity(&file)?, length))
}

/// Prints what has come since, also when the file has been rotated away meanwhile.
fn show_from(path: &Path, (known, at): Position) -> Result<Position> {
    let failed = |source| Error::file("read", path, source);
    let Ok(mut file) = File::open(path) else { return Ok((known, at)) };
    let found = identity(&file)?;
    let from = if found == known { at } else { 0 };
    file.seek(SeekFrom::Start(from)).map_err(failed)?;
    let mut bytes = Vec::new();
    file.take(MAX_TAIL).read_to_end(&mut bytes).map_err(failed)?;
    print(&bytes);
    Ok((found, from + bytes.len() as u64))
}

fn identity(file: &File) -> Result<Option<(u64, u64)>> {
    let found = crate::files::identity(file);
    found.map(Some).map_err(|source| Error::file("inspect", Path::new("the log"), source))
}

fn print(bytes: &[u8]) {
    let mut stdout = std::io::stdout().lock();
    let _ = stdout.write_all(bytes).and_then(|()| stdout.flush());
}

/// The most bytes that are looked at for the last lines, and that are read at once: 1 MiB.
const MAX_TAIL: u64 = 1024 * 1024;
/// How often a followed log is looked at.
const PAUSE: Duration = Duration::from_millis(200);
