//! `crash-points [--all] [--runs N] [--seconds N] [--jobs N] [--seed N] [--only KIND/SCENARIO] [--faults KIND] [--at POINT]`: stops and
//! fails real updates at their file-system calls, cuts the power of a model of their disk, and checks what is left. Needs strace, cc.
//!
//! `--all` disturbs every call that can change the disk; otherwise a sample is taken from a printed seed. A failure is
//! printed with the `--at` that repeats it, and makes the exit code 1. `TMPDIR=/dev/shm` saves the waiting for a disk.

use std::io::{self, Write as _};
use std::process::{Command, ExitCode};
use std::time::Duration;
use updater_tests::crash::app;
use updater_tests::crash::campaign::{self, Options};
use updater_tests::require;

fn main() -> ExitCode {
    app::main_or(harness)
}

fn harness() -> io::Result<bool> {
    let mut out = io::stdout();
    let options = options(std::env::args().skip(1)).map_err(io::Error::other)?;
    if !require::command("strace", "apt install strace") || !require::command("cc", "apt install build-essential") {
        return Ok(true);
    }
    writeln!(out, "seed {}", options.seed)?;
    let summary = campaign::run(&options, &stripped()?, &mut out)?;
    writeln!(out, "{} of the faults are power cuts; {} different states were left", summary.cuts, summary.states)?;
    writeln!(out, "{summary}")?;
    Ok(summary.failures == 0)
}

fn options(mut arguments: impl Iterator<Item = String>) -> Result<Options, String> {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let mut options = Options {
        all: false,
        faults: None,
        runs: DEFAULT_RUNS,
        time: None,
        jobs: None,
        seed: now.as_secs(),
        only: String::new(),
        at: None,
    };
    while let Some(argument) = arguments.next() {
        if argument == "--all" {
            options.all = true;
            continue;
        }
        let value = arguments.next().ok_or_else(|| format!("{argument} needs a value"))?;
        let number = || value.parse::<u64>().map_err(|_| format!("{argument} needs a number, not {value}"));
        match argument.as_str() {
            "--runs" => options.runs = usize::try_from(number()?).unwrap_or(usize::MAX),
            "--seconds" => options.time = Some(Duration::from_secs(number()?)),
            "--jobs" => options.jobs = usize::try_from(number()?).ok(),
            "--seed" => options.seed = number()?,
            "--only" => options.only = value,
            "--faults" if FAULTS.contains(&value.as_str()) => options.faults = Some(value),
            "--faults" => return Err(format!("--faults needs one of {}, not {value}", FAULTS.join(", "))),
            "--at" => options.at = Some(value),
            _ => return Err(format!("{argument} is not known")),
        }
    }
    Ok(options)
}

/// Returns this binary without its symbols, which nobody needs to copy hundreds of times; with them where there is no
/// `strip`.
fn stripped() -> io::Result<Vec<u8>> {
    let program = std::env::current_exe()?;
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("stripped");
    match Command::new("strip").arg("-o").arg(&path).arg(&program).status() {
        Ok(status) if status.success() => std::fs::read(path),
        _ => std::fs::read(program),
    }
}

const DEFAULT_RUNS: usize = 100;
/// Kinds of disturbances.
const FAULTS: [&str; 5] = ["kill", "error", "lie", "short", "cut"];
