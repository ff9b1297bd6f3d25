//! `logs` and `events`: what app and launcher have to say.

use super::Place;
use crate::control::follow;
use crate::error::{Error, Result};
use crate::release::Install;
use crate::shell;
use clap::{Args, ValueEnum};
use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
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
        let mut at = if path.exists() { show_end(&path, self.lines)? } else { Position::default() };
        // Until it is interrupted, or nobody reads it any more.
        while self.follow && at.is_read {
            std::thread::sleep(PAUSE);
            at = show_from(&path, at)?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Events {
    pub(super) fn run(self) -> Result<ExitCode> {
        let install = Install::open(&self.place.dir)?;
        follow(&install.places, |line| shell::is_out(line))?;
        Ok(ExitCode::SUCCESS)
    }
}

/// Where a reader is.
#[derive(Debug)]
struct Position {
    /// In which file; `None` when there was none.
    file: Option<(u64, u64)>,
    /// At which byte of it.
    at: u64,
    /// Whether anybody takes what is printed.
    is_read: bool,
}

impl Default for Position {
    fn default() -> Self {
        Self { file: None, at: 0, is_read: true }
    }
}

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
    let is_read = print(&bytes[begin..]);
    Ok(Position { file: Some(identity(&file)?), at: length, is_read })
}

/// Prints what has come since. When files have been rotated away meanwhile, the rest of the one that was being read and
/// those after it come first.
fn show_from(path: &Path, mut position: Position) -> Result<Position> {
    let numbered = |number: u32| {
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".{number}"));
        PathBuf::from(name)
    };
    // The newest first, back to the one that is known; all are held open, so that no rotation takes one away.
    let mut files: Vec<File> = Vec::new();
    let mut is_known = false;
    for path in std::iter::once(path.to_owned()).chain((1..).map(numbered)) {
        let Ok(file) = File::open(&path) else { break };
        is_known = position.file == Some(identity(&file)?);
        files.push(file);
        if is_known || position.file.is_none() {
            break;
        }
    }
    // Without the file that was being read nobody can tell which of the older ones were shown.
    if !is_known {
        files.truncate(1);
        position.at = 0;
    }
    for mut file in files.into_iter().rev() {
        let found = identity(&file)?;
        if position.file != Some(found) {
            position = Position { file: Some(found), at: 0, ..position };
        }
        position = show_rest(&mut file, position).map_err(|source| Error::file("read", path, source))?;
    }
    Ok(position)
}

/// Prints a file from a position to its end.
fn show_rest(file: &mut File, mut position: Position) -> std::io::Result<Position> {
    file.seek(SeekFrom::Start(position.at))?;
    let mut bytes = Vec::new();
    while position.is_read && file.take(MAX_TAIL).read_to_end(&mut bytes)? > 0 {
        position.at += bytes.len() as u64;
        position.is_read = print(&bytes);
        bytes.clear();
    }
    Ok(position)
}

fn identity(file: &File) -> Result<(u64, u64)> {
    crate::files::identity(file).map_err(|source| Error::file("inspect", Path::new("the log"), source))
}

/// Returns whether anybody takes it.
fn print(bytes: &[u8]) -> bool {
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(bytes).and_then(|()| stdout.flush()).is_ok()
}

/// The most bytes that are looked at for the last lines, and that are read at once: 1 MiB.
const MAX_TAIL: u64 = 1024 * 1024;
/// How often a followed log is looked at.
const PAUSE: Duration = Duration::from_millis(200);
