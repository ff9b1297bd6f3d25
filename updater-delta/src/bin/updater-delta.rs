//! `updater-delta`: makes, applies and inspects deltas from the command line.
#![forbid(unsafe_code)]
#![expect(clippy::print_stderr, reason = "a program for people")]

use std::fs::{self, File};
use std::io::{self, BufReader, IsTerminal as _, Read, Write as _};
use std::path::Path;
use std::process::ExitCode;
use updater_delta::{
    ApplyError, ApplyLimits, Codec, DiffError, DiffOptions, Header, Inspection, Progress, Side, Stage,
};

/// Prints a line; a reader that went away is no failure.
macro_rules! say {
    ($($argument:tt)*) => {{
        let _ = writeln!(io::stdout(), $($argument)*);
    }};
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let result = match arguments[..] {
        ["diff", old, new, patch] => diff(Path::new(old), Path::new(new), Path::new(patch)),
        ["apply", old, patch, new] => apply(Path::new(old), Path::new(patch), Path::new(new)),
        ["inspect", patch] => inspect(Path::new(patch)),
        ["--help" | "-h" | "help"] => {
            say!("{}", USAGE.trim_end());
            return ExitCode::SUCCESS;
        }
        ["--version" | "-V"] => {
            say!("updater-delta {}", env!("CARGO_PKG_VERSION"));
            return ExitCode::SUCCESS;
        }
        _ => {
            eprint!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("error: {}", failure.message);
            if let Some(hint) = failure.hint {
                eprintln!("  help: {hint}");
            }
            ExitCode::FAILURE
        }
    }
}

fn diff(old_path: &Path, new_path: &Path, patch_path: &Path) -> Result<(), Failure> {
    let old = fs::read(old_path).map_err(|error| Failure::file("read", old_path, &error))?;
    let new = fs::read(new_path).map_err(|error| Failure::file("read", new_path, &error))?;
    let terminal = io::stderr().is_terminal();
    let tell = |progress: Progress| {
        if terminal {
            let verb = match progress.stage {
                Stage::Matching => "Matching",
                Stage::Encoding => "Encoding",
                _ => "Checking",
            };
            eprint!("\r{verb:>12} {:>3} %", progress.done * 100 / progress.total.max(1));
        }
    };
    let delta = updater_delta::diff(&old, &new, &DiffOptions { progress: Some(&tell), ..DiffOptions::default() });
    if terminal {
        eprint!("\r                  \r");
    }
    let delta = delta?;
    fs::write(patch_path, delta.bytes()).map_err(|error| Failure::file("write", patch_path, &error))?;
    say!("{}: {} bytes for {} new bytes ({})", patch_path.display(), delta.bytes().len(), new.len(), delta.codec());
    for (name, bytes) in delta.streams() {
        say!("{bytes:>12}  {name}");
    }
    Ok(())
}

fn apply(old_path: &Path, patch_path: &Path, new_path: &Path) -> Result<(), Failure> {
    let mut old = File::open(old_path).map_err(|error| Failure::file("read", old_path, &error))?;
    let patch = File::open(patch_path).map_err(|error| Failure::file("read", patch_path, &error))?;
    let mut patch = BufReader::new(patch);
    let mut head = Vec::new();
    let limit = Header::LENGTH as u64;
    patch.by_ref().take(limit).read_to_end(&mut head).map_err(|error| Failure::file("read", patch_path, &error))?;
    let header = Header::read(&mut &head[..])?;
    // The result takes the new file's place only when it is whole and checked.
    let mut partial = new_path.as_os_str().to_owned();
    partial.push(".partial");
    let partial = Path::new(&partial);
    let mut new = File::create(partial).map_err(|error| Failure::file("write", partial, &error))?;
    let limits = ApplyLimits::exactly(header.new_length);
    let result = updater_delta::apply(header.codec, &mut old, head.chain(patch), &mut new, &limits)
        .map_err(Failure::from)
        .and_then(|_| new.flush().map_err(|error| Failure::file("write", partial, &error)))
        .and_then(|()| fs::rename(partial, new_path).map_err(|error| Failure::file("write", new_path, &error)));
    if result.is_err() {
        // The error that is reported is the one that came first.
        let _ = fs::remove_file(partial);
    }
    result
}

fn inspect(path: &Path) -> Result<(), Failure> {
    let patch = fs::read(path).map_err(|error| Failure::file("read", path, &error))?;
    let inspection = updater_delta::inspect(&patch)?;
    let hex = |digest: [u8; 32]| digest.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let header = inspection.header;
    say!("codec    {}", header.codec);
    say!("old      {:>12} bytes  sha256 {}", header.old_length, hex(header.old_sha256));
    say!("new      {:>12} bytes  sha256 {}", header.new_length, hex(header.new_sha256));
    say!("delta    {:>12} bytes", patch.len());
    tell(&inspection);
    Ok(())
}

/// Prints what a delta takes from where, per section of the new file.
fn tell(inspection: &Inspection) {
    if let Some(opened) = &inspection.opened {
        let header = opened.header;
        say!("opened   {:>12} bytes of old, {} of new, codec {}", header.old_length, header.new_length, header.codec);
        return tell(opened);
    }
    if inspection.header.codec != Codec::Refs1 {
        return;
    }
    let new_length = inspection.header.new_length;
    say!("matches  {:>12} covering {} bytes", inspection.matches, inspection.matched);
    say!("inserted {:>12} bytes", new_length - inspection.matched);
    say!("{:>16} {:>22} {:>22} {:>9} {:>12} {:>10}", "section", "old", "new", "matches", "matched", "inserted");
    let (mut matches, mut matched, mut bytes) = (0, 0, 0);
    for region in &inspection.regions {
        let within = inspection.within(region.new);
        (matches, matched, bytes) = (matches + within.0, matched + within.1, bytes + region.new.1);
        let place = |(offset, length): (u64, u64)| format!("{offset}+{length}");
        let inserted = region.new.1 - within.1;
        let (old, new) = (place(region.old), place(region.new));
        say!("{:>16} {old:>22} {new:>22} {:>9} {:>12} {inserted:>10}", region.kind, within.0, within.1);
    }
    let rest = (inspection.matches - matches, inspection.matched - matched);
    let inserted = new_length - bytes - rest.1;
    say!("{:>16} {:>22} {:>22} {:>9} {:>12} {inserted:>10}", "elsewhere", "", new_length - bytes, rest.0, rest.1);
}

/// What a person is told.
struct Failure {
    message: String,
    hint: Option<&'static str>,
}

impl Failure {
    fn file(verb: &str, path: &Path, error: &io::Error) -> Self {
        Self { message: format!("cannot {verb} {}: {error}", path.display()), hint: None }
    }
}

impl From<ApplyError> for Failure {
    fn from(error: ApplyError) -> Self {
        let cause = match &error {
            ApplyError::Read { source, .. } | ApplyError::Write { source, .. } => format!(": {source}"),
            _ => String::new(),
        };
        let hint = match &error {
            // Here nothing can be downloaded again.
            ApplyError::Read { side: Side::Patch, .. } => None,
            other => Some(other.hint()),
        };
        Self { message: format!("{error}{cause}"), hint }
    }
}

impl From<DiffError> for Failure {
    fn from(error: DiffError) -> Self {
        Self { message: error.to_string(), hint: Some(error.hint()) }
    }
}

const USAGE: &str = "\
Binary deltas of executables

Usage:
  updater-delta diff OLD NEW PATCH     make PATCH, which turns OLD into NEW; it is applied and compared before it is written
  updater-delta apply OLD PATCH NEW    make NEW from OLD and PATCH; both files are checked by length and SHA-256
  updater-delta inspect PATCH          show what PATCH is made from and of
";
