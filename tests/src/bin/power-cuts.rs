//! `power-cuts [--cuts N] [--seed N] [--jobs N] [--only KIND] [--kernel FOLDER]`: updates an app in virtual machines whose
//! power is cut in the midst of it, boots them again, and checks what is left. Needs QEMU, mkfs.ext4 and, to fetch a kernel,
//! the tools of Debian.
//!
//! 50 cuts, if not said otherwise, spread over three install kinds and over the update of each. A failure makes the exit code
//! 1; the same seed chooses the same moments.

use std::io::{self, Write as _};
use std::process::ExitCode;
use updater_tests::crash::app;
use updater_tests::crash::release::small_program;
use updater_tests::power_cut::campaign::{self, Options};
use updater_tests::power_cut::{guest, machine};
use updater_tests::require;

fn main() -> ExitCode {
    if guest::main().is_some() {
        return ExitCode::SUCCESS;
    }
    app::main_or(harness)
}

fn harness() -> io::Result<bool> {
    let mut out = io::stdout();
    let options = options(std::env::args().skip(1)).map_err(io::Error::other)?;
    let is_ready =
        cfg!(target_arch = "x86_64") || require::absent("a computer with x86_64", "the guest runs this very binary");
    let is_ready = is_ready
        && require::command(machine::QEMU, "apt install qemu-system-x86")
        && require::command("mkfs.ext4", "apt install e2fsprogs")
        && (options.kernel.is_some() || require::command("dpkg-deb", "a kernel that is unpacked: --kernel FOLDER"));
    if !is_ready {
        return Ok(true);
    }
    let program = std::env::current_exe()?;
    let folder = tempfile::tempdir()?;
    // Beside the folder of the profile: `target/power-cuts`.
    let cache = program.ancestors().nth(2).unwrap_or(folder.path()).join("power-cuts");
    let summary = campaign::run(&options, &small_program(&program, folder.path()), &cache, &mut out)?;
    writeln!(out, "{summary}")?;
    Ok(summary.failures == 0)
}

fn options(mut arguments: impl Iterator<Item = String>) -> Result<Options, String> {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let jobs = std::thread::available_parallelism().map_or(1, usize::from);
    let mut options = Options { cuts: DEFAULT_CUTS, seed: now.as_secs(), jobs, only: String::new(), kernel: None };
    while let Some(argument) = arguments.next() {
        let value = arguments.next().ok_or_else(|| format!("{argument} needs a value"))?;
        let number = || value.parse::<usize>().map_err(|_| format!("{argument} needs a number, not {value}"));
        match argument.as_str() {
            "--cuts" => options.cuts = number()?,
            "--seed" => options.seed = number()? as u64,
            "--jobs" => options.jobs = number()?,
            "--only" => options.only = value,
            "--kernel" => options.kernel = Some(value.into()),
            _ => return Err(format!("{argument} is not known")),
        }
    }
    Ok(options)
}

const DEFAULT_CUTS: usize = 50;
