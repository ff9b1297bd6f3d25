//! `updater-delta`: makes, applies and inspects deltas from the command line.
#![forbid(unsafe_code)]
#![expect(clippy::print_stderr, reason = "a program for people")]

mod tell;

use std::fs::{self, File};
use std::io::{self, BufReader, IsTerminal as _, Read, Write as _};
use std::path::Path;
use std::process::ExitCode;
use updater_delta::{
    ApplyError, ApplyLimits, DEFAULT_APPLY_MEMORY, DiffError, DiffOptions, Header, Progress, Reading, Side, Stage,
};

/// Prints a line; a reader that went away is no failure.
macro_rules! say {
    ($($argument:tt)*) => {{
        let _ = writeln!(io::stdout(), $($argument)*);
    }};
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let mut arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let memory = match take_memory(&mut arguments) {
        Ok(memory) => memory,
        Err(failure) => return failure.tell(),
    };
    let result = match arguments[..] {
        ["diff", old, new, patch] => diff(Path::new(old), Path::new(new), Path::new(patch), memory),
        ["apply", old, patch, new] => apply(Path::new(old), Path::new(patch), Path::new(new), memory),
        ["inspect", "--message-format", format @ ("human" | "json"), patch, ref old @ ..]
        | ["inspect", patch, ref old @ .., "--message-format", format @ ("human" | "json")]
            if old.len() < 2 && memory.is_none() =>
        {
            let format = if format == "json" { Format::Json } else { Format::Human };
            inspect(Path::new(patch), old.first().map(Path::new), format)
        }
        ["inspect", patch] if memory.is_none() => inspect(Path::new(patch), None, Format::Human),
        ["inspect", patch, old] if memory.is_none() => inspect(Path::new(patch), Some(Path::new(old)), Format::Human),
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
        Err(failure) => failure.tell(),
    }
}

/// Takes `--memory SIZE` out of the arguments, wherever it stands, and returns the bytes that it says.
fn take_memory(arguments: &mut Vec<&str>) -> Result<Option<u64>, Failure> {
    let Some(at) = arguments.iter().position(|argument| *argument == "--memory") else { return Ok(None) };
    arguments.remove(at);
    let text = if at < arguments.len() { arguments.remove(at) } else { "" };
    let digits = text.trim_end_matches(['K', 'M', 'G']);
    let factor = match &text[digits.len()..] {
        "" => Some(1),
        "K" => Some(1 << 10),
        "M" => Some(1 << 20),
        "G" => Some(1 << 30),
        _ => None,
    };
    let bytes = factor.zip(digits.parse::<u64>().ok()).and_then(|(factor, count)| count.checked_mul(factor));
    bytes.map(Some).ok_or_else(|| Failure {
        message: format!("--memory takes a number of bytes, not {text:?}"),
        hint: Some("write it like 512M or 4G (K, M and G are powers of 1024)"),
    })
}

fn diff(old_path: &Path, new_path: &Path, patch_path: &Path, memory: Option<u64>) -> Result<(), Failure> {
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
    let mut options = DiffOptions { progress: Some(&tell), ..DiffOptions::default() };
    options.memory = memory.unwrap_or(options.memory);
    let delta = updater_delta::diff(&old, &new, &options);
    if terminal {
        eprint!("{CLEAR}");
    }
    let delta = delta?;
    fs::write(patch_path, delta.bytes()).map_err(|error| Failure::file("write", patch_path, &error))?;
    let reading = match delta.reading() {
        Reading::Programs => "read as programs",
        Reading::Full => "the new file in full",
        _ => "read as data",
    };
    let (length, codec) = (delta.bytes().len(), delta.codec());
    say!("{}: {length} bytes for {} new bytes ({codec}, {reading})", patch_path.display(), new.len());
    for (name, bytes) in delta.streams() {
        say!("{bytes:>12}  {name}");
    }
    Ok(())
}

fn apply(old_path: &Path, patch_path: &Path, new_path: &Path, memory: Option<u64>) -> Result<(), Failure> {
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
    let new = File::create(partial).map_err(|error| Failure::file("write", partial, &error))?;
    let mut new = Watched::new(new, header.new_length);
    let limits = ApplyLimits::exactly(header.new_length).memory(memory.unwrap_or(DEFAULT_APPLY_MEMORY));
    let result = updater_delta::apply(header.codec, &mut old, head.chain(patch), &mut new, &limits)
        .map_err(Failure::from)
        .and_then(|_| new.flush().map_err(|error| Failure::file("write", partial, &error)))
        .and_then(|()| fs::rename(partial, new_path).map_err(|error| Failure::file("write", new_path, &error)));
    new.clear();
    if result.is_err() {
        // The error that is reported is the one that came first.
        let _ = fs::remove_file(partial);
    }
    result
}

fn inspect(path: &Path, old: Option<&Path>, format: Format) -> Result<(), Failure> {
    let patch = fs::read(path).map_err(|error| Failure::file("read", path, &error))?;
    let inspection = match old {
        None => updater_delta::inspect(&patch)?,
        Some(old) => {
            let bytes = fs::read(old).map_err(|error| Failure::file("read", old, &error))?;
            updater_delta::inspect_with(&bytes, &patch)?
        }
    };
    match format {
        Format::Human => say!("{}", tell::text(&inspection, patch.len()).trim_end()),
        Format::Json => say!("{}", tell::json(&inspection, patch.len())),
    }
    Ok(())
}

/// How a report is printed.
#[derive(Clone, Copy)]
enum Format {
    Human,
    Json,
}

/// A writer that tells a person how far it is.
struct Watched<W> {
    inner: W,
    written: u64,
    total: u64,
    /// Per cent told last; `None` away from a terminal.
    told: Option<u64>,
}

impl<W> Watched<W> {
    fn new(inner: W, total: u64) -> Self {
        Self { inner, written: 0, total, told: io::stderr().is_terminal().then_some(0) }
    }

    /// Takes back what was told.
    fn clear(&self) {
        if self.told.is_some() {
            eprint!("{CLEAR}");
        }
    }
}

impl<W: io::Write> io::Write for Watched<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.inner.write(bytes)?;
        self.written += count as u64;
        let now = self.written * 100 / self.total.max(1);
        if self.told.is_some_and(|told| told != now) {
            eprint!("\r{:>12} {now:>3} %", "Applying");
            self.told = Some(now);
        }
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// What a person is told.
struct Failure {
    message: String,
    hint: Option<&'static str>,
}

impl Failure {
    /// Prints it.
    fn tell(self) -> ExitCode {
        eprintln!("error: {}", self.message);
        if let Some(hint) = self.hint {
            eprintln!("  help: {hint}");
        }
        ExitCode::FAILURE
    }

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

/// Takes back a line about progress.
const CLEAR: &str = "\r                  \r";

const USAGE: &str = "\
Binary deltas of executables

Usage:
  updater-delta diff OLD NEW PATCH     make PATCH, which turns OLD into NEW; it is applied and compared before it is written
  updater-delta apply OLD PATCH NEW    make NEW from OLD and PATCH; both files are checked by length and SHA-256
  updater-delta inspect PATCH [OLD]    show what PATCH is made from and of; with OLD also what its bytes are for, per stream and section

Options of diff and apply:
  --memory SIZE                        memory to use at most, like 512M or 4G: when making beside the two files (4G unless told; files
                                       that need more are compared block by block), when applying in all (128M)

Options of inspect:
  --message-format human|json          for people, or one JSON object for programs
";
