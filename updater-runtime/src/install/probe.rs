//! The probe: a staged program is started once, and must say who it is, before it replaces anything.
//!
//! It finds what no check of bytes finds: a missing library, a processor that the build does not fit, a loader that does
//! not exist here. The program's side is [`answer`].

use group::Group;
use std::io::{Read, Write as _};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};
use updater_format::{AppId, Platform, ReleaseVersion, Sha256};

#[cfg_attr(unix, path = "probe/unix.rs")]
#[cfg_attr(windows, path = "probe/windows.rs")]
mod group;

/// The variable that asks a program to answer the probe; its value is the nonce.
pub const PROBE_VARIABLE: &str = "UPDATER_PROBE";
/// How long a program may take to answer, unless configured otherwise.
pub const DEFAULT_PROBE_TIME: Duration = Duration::from_secs(10);

/// Why a program did not pass the probe.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProbeError {
    /// The system could not start it.
    #[error("the system cannot start it")]
    Start {
        /// What the system said.
        source: std::io::Error,
    },
    /// It did not end in time and was killed.
    #[error("it did not answer within {} s", limit.as_secs_f32())]
    TimedOut {
        /// The time it had.
        limit: Duration,
    },
    /// It ended with an error instead of an answer.
    // What it wrote is made harmless already.
    #[error("it ended with {status} instead of an answer{}", if said.is_empty() { String::new() } else { format!("; it wrote \"{said}\"") })]
    Ended {
        /// Its exit status or signal.
        status: ExitStatus,
        /// The beginning of what it wrote to standard error: the message of the loader or of a panic.
        said: String,
    },
    /// It ended well but did not say what was expected.
    // Quotes alone: what it wrote is made harmless already, and a second time it would be hard to read.
    #[error("it answered \"{got}\" instead of \"{expected}\"")]
    Answer {
        /// The expected line.
        expected: String,
        /// The beginning of what it wrote.
        got: String,
    },
}

impl ProbeError {
    /// Returns what to do about it.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Start { .. } => "the release was built for another system, or this folder forbids running programs",
            Self::TimedOut { .. } => {
                "`updater!()` must be the first line of `main`; a slow machine needs a longer time limit"
            }
            Self::Ended { .. } => {
                "start the release by hand on this system: a library or a processor feature may be missing"
            }
            Self::Answer { .. } => "`updater!()` must be the first line of `main`, and the version that of the release",
        }
    }
}

/// Who a program must say it is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Identity<'a> {
    pub(crate) app: &'a AppId,
    pub(crate) version: &'a ReleaseVersion,
    pub(crate) platform: &'a Platform,
}

impl Identity<'_> {
    fn answer(&self, nonce: &str) -> String {
        format!("updater-probe 1 {nonce} {} {} {}", self.app, self.version, self.platform)
    }
}

/// Starts a staged program and holds its answer against what is expected, within `limit`.
pub(crate) fn probe(program: &Path, expected: &Identity<'_>, limit: Duration) -> Result<(), ProbeError> {
    let (nonce, text) = ask(program, limit)?;
    let answer = expected.answer(&nonce);
    if text.lines().any(|line| line == answer) {
        return Ok(());
    }
    let got = crate::terminal_safe(text.trim(), MAX_SHOWN);
    Err(ProbeError::Answer { expected: answer, got })
}

/// Starts a program in its own folder and waits for its answer, at most `limit`. Returns the nonce and what it wrote.
///
/// It gets the probe variable, the search paths of programs and libraries, and nothing else: no input, no arguments.
pub(crate) fn ask(program: &Path, limit: Duration) -> Result<(String, String), ProbeError> {
    let nonce = nonce(program);
    let mut command = Command::new(program);
    command.env_clear().env(PROBE_VARIABLE, &nonce);
    for name in PASSED_ON {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    if let Some(folder) = program.parent().filter(|folder| group::takes_working_directory(folder)) {
        command.current_dir(folder);
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    // A group of its own, so that whatever it starts is killed with it.
    group::separate(&mut command);
    let begin = Instant::now();
    let mut child = start(&mut command, begin, limit).map_err(|source| ProbeError::Start { source })?;
    let group = Group::of(&child);
    let (output, errors) = (read_output(child.stdout.take()), read_output(child.stderr.take()));
    let status = wait(&mut child, &group, begin, limit)?;
    if !status.success() {
        let said = errors.recv_timeout(GRACE).unwrap_or_default();
        let said = String::from_utf8_lossy(&said);
        let lines: Vec<&str> = said.lines().map(str::trim).filter(|line| !line.is_empty()).take(MAX_LINES).collect();
        return Err(ProbeError::Ended { status, said: crate::terminal_safe(&lines.join(" / "), MAX_SHOWN) });
    }
    // What it has started may still hold the pipe; it does not hold us.
    let rest = limit.saturating_sub(begin.elapsed()).max(GRACE);
    let output = output.recv_timeout(rest).unwrap_or_else(|_| {
        group.kill();
        Vec::new()
    });
    Ok((nonce, String::from_utf8_lossy(&output).into_owned()))
}

/// Answers the probe if this process was started by one: prints the line on stdout and ends the process.
///
/// This is the one place where the library ends a process. A value that is no nonce is ignored.
#[expect(clippy::exit, clippy::print_stdout, reason = "the documented exit; the answer goes to the probing process")]
pub(crate) fn answer(identity: &Identity<'_>) {
    let Some(nonce) = std::env::var_os(PROBE_VARIABLE).and_then(|value| value.into_string().ok()) else { return };
    if !is_nonce(&nonce) {
        return;
    }
    println!("{}", identity.answer(&nonce));
    let flushed = std::io::stdout().flush().is_ok();
    std::process::exit(i32::from(!flushed));
}

/// Ends the process without an answer if it was started by a probe: a program that cannot update itself must not take the
/// place of one that can.
#[expect(clippy::exit, reason = "the documented exit of the probe")]
pub(crate) fn refuse() {
    if std::env::var(PROBE_VARIABLE).is_ok_and(|nonce| is_nonce(&nonce)) {
        std::process::exit(1);
    }
}

/// Starts the command. A file that was just written may be "busy" for a moment, while a child that another thread is
/// starting still has it open.
fn start(command: &mut Command, begin: Instant, limit: Duration) -> std::io::Result<Child> {
    loop {
        match command.spawn() {
            Err(error) if error.kind() == std::io::ErrorKind::ExecutableFileBusy && begin.elapsed() < limit => {
                std::thread::sleep(PAUSE);
            }
            other => return other,
        }
    }
}

/// Reads what the child writes, up to a limit, on a thread of its own: the pipe may stay open after the child's end.
fn read_output(pipe: Option<impl Read + Send + 'static>) -> Receiver<Vec<u8>> {
    let (sender, receiver) = channel();
    if let Some(mut pipe) = pipe {
        std::thread::spawn(move || {
            let mut bytes = Vec::new();
            // A pipe that breaks has said what it said.
            let _ = pipe.by_ref().take(MAX_OUTPUT).read_to_end(&mut bytes);
            let _ = sender.send(bytes);
            // Who writes more is not held up, and does not fail for it.
            let _ = std::io::copy(&mut pipe, &mut std::io::sink());
        });
    }
    receiver
}

fn wait(child: &mut Child, group: &Group, begin: Instant, limit: Duration) -> Result<ExitStatus, ProbeError> {
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Ok(status),
            Ok(None) if begin.elapsed() < limit => std::thread::sleep(PAUSE),
            Ok(None) => {
                group.kill();
                let _ = child.wait();
                return Err(ProbeError::TimedOut { limit });
            }
            Err(source) => {
                group.kill();
                return Err(ProbeError::Start { source });
            }
        }
    }
}

/// A word that no other probe uses, so that a program cannot answer with a line that it has stored.
fn nonce(program: &Path) -> String {
    use std::hash::{BuildHasher as _, RandomState};
    let random = RandomState::new().hash_one((program, std::process::id(), Instant::now()));
    let mut text = Sha256::of(&random.to_le_bytes()).to_string();
    text.truncate(NONCE_LENGTH);
    text
}

fn is_nonce(text: &str) -> bool {
    text.len() == NONCE_LENGTH && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

/// What a dynamic program may need to start at all.
const PASSED_ON: &[&str] = if cfg!(windows) {
    // Libraries of the system are found by these, and the random numbers of every program with them.
    &["PATH", "SystemRoot", "SystemDrive", "windir", "TEMP", "TMP"]
} else {
    &["PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH"]
};
/// Hexadecimal digits of a nonce.
const NONCE_LENGTH: usize = 32;
/// The most bytes of output that are read: 64 KiB. The answer has about 100.
const MAX_OUTPUT: u64 = 64 * 1024;
/// How much of a wrong answer is shown, in characters.
const MAX_SHOWN: usize = 200;
/// How many lines of an error are shown: a panic says where in its first line and what in its second.
const MAX_LINES: usize = 2;
/// How long to wait between two looks.
const PAUSE: Duration = Duration::from_millis(2);
/// How long the last bytes of a process that has ended may take.
const GRACE: Duration = Duration::from_millis(500);

#[cfg(test)]
#[cfg(unix)]
mod tests;
