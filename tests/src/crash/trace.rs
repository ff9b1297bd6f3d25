//! strace: which calls a run makes, and how one of them is stopped or made to fail.
//!
//! What was learned of it: a signal is delivered before the call takes effect; calls are counted by name and by thread,
//! through an exec; a filter of no calls turns injection off in silence. `-y` shows the path behind each descriptor, so
//! that a call can be told to concern the install. Without `-f` only the main thread is traced, so that the probed program
//! and the thread that fetches the timestamp early do not come to a number first; with it, calls that they could come to
//! first are left out.

use std::io::Read as _;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Which thread makes the change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    /// The main thread.
    Main,
    /// The first one that the main thread starts. It has made more calls of each name than the main thread when it comes
    /// to the change, so that its number is reached by it first.
    Second,
}

impl Subject {
    fn follow(self) -> &'static [&'static str] {
        match self {
            Self::Main => &[],
            Self::Second => &["-f"],
        }
    }
}

/// One call of the thread that makes the change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// Its name, for example `renameat2`.
    pub name: String,
    /// Which one of that name it is, from 1; 0 for the `execve` that starts the program.
    pub number: usize,
    /// Its arguments as strace shows them.
    pub arguments: String,
    /// Whether it succeeded.
    pub succeeded: bool,
    /// Whether another thread or a child makes as many calls of that name: a fault at this number could meet that one.
    pub is_ambiguous: bool,
}

impl Call {
    /// Tells whether the call can change what is on disk, or ends the program. Between two of these the disk is the same,
    /// so a kill at any other call leaves what a kill at the next one of these leaves.
    #[must_use]
    pub fn changes(&self) -> bool {
        match self.name.as_str() {
            "open" | "openat" => self.arguments.contains("O_CREAT") || self.arguments.contains("O_TRUNC"),
            name => CHANGING.contains(&name),
        }
    }

    /// Returns what calls that do the same to the same file have in common.
    #[must_use]
    pub fn group(&self) -> String {
        let path = self.arguments.split(['<', '>', '"']).find(|part| part.starts_with('/')).unwrap_or_default();
        // Numbers of processes stand in names.
        let path: String = path.chars().filter(|c| !c.is_ascii_digit()).collect();
        format!("{} {path}", self.name)
    }
}

/// What is to happen at a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// The process is killed before the call takes effect.
    Kill,
    /// The call fails with this error and has no effect.
    Error(&'static str),
    /// A write says that it wrote this many bytes, and has written none.
    Lie(u32),
    /// A write writes the first half, and says so.
    Short,
}

impl Fault {
    /// Reads what [`Fault`] shows.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "KILL" => Some(Self::Kill),
            "SHORT" => Some(Self::Short),
            _ => match text.strip_prefix("LIE") {
                Some(bytes) => bytes.parse().ok().map(Self::Lie),
                None => ERRORS.iter().copied().find(|error| *error == text).map(Self::Error),
            },
        }
    }

    fn expression(self, call: &str, number: usize) -> String {
        match self {
            Self::Kill => format!("inject={call}:signal=KILL:when={number}"),
            // Not by strace: it can replace a result, but not an argument.
            Self::Short => String::new(),
            Self::Error(error) => format!("inject={call}:error={error}:when={number}"),
            Self::Lie(bytes) => format!("inject={call}:retval={bytes}:when={number}"),
        }
    }
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Kill => f.write_str("KILL"),
            Self::Short => f.write_str("SHORT"),
            Self::Error(error) => f.write_str(error),
            Self::Lie(bytes) => write!(f, "LIE{bytes}"),
        }
    }
}

/// How a run ended.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// Everything it wrote to stdout.
    pub output: String,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// Its exit code.
    pub code: Option<i32>,
}

impl Outcome {
    /// Tells whether it was killed by SIGKILL.
    #[must_use]
    pub fn was_killed(&self) -> bool {
        self.signal == Some(9)
    }
}

/// Runs a command to its end.
/// # Errors
/// When it cannot be started, or does not end within a minute.
pub fn run(command: &mut Command) -> std::io::Result<Outcome> {
    run_within(command, LIMIT)
}

/// Runs a command to its end, which must come within a limit.
/// # Errors
/// When it cannot be started, or does not end in time.
pub fn run_within(command: &mut Command, limit: Duration) -> std::io::Result<Outcome> {
    let mut child = crate::process::start(command.process_group(0).stdin(Stdio::null()).stdout(Stdio::piped()))?;
    let pipe = child.stdout.take();
    let reader = std::thread::spawn(move || {
        let mut text = Vec::new();
        pipe.map(|mut pipe| pipe.read_to_end(&mut text));
        String::from_utf8_lossy(&text).into_owned()
    });
    let begin = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if begin.elapsed() > limit {
            if let Some(group) = i32::try_from(child.id()).ok().and_then(rustix::process::Pid::from_raw) {
                let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
            }
            let _ = child.wait();
            return Err(std::io::Error::other(format!("it did not end within {} s", limit.as_secs())));
        }
        std::thread::sleep(PAUSE);
    };
    let output = reader.join().unwrap_or_default();
    Ok(Outcome { output, signal: status.signal(), code: status.code() })
}

/// Makes a command that runs a program under strace, with a fault at one call.
#[must_use]
pub fn faulty(program: &Path, subject: Subject, call: &str, number: usize, fault: Fault) -> Command {
    let mut command = Command::new("strace");
    command.args(subject.follow()).args(["-qq", "-o", "/dev/null", "-e"]).arg(format!("trace={call}"));
    command.arg("-e").arg(fault.expression(call, number)).arg(program);
    command
}

/// Makes a command that runs a program and writes down the calls of all its threads and children.
#[must_use]
pub fn traced(program: &Path, log: &Path) -> Command {
    let mut command = Command::new("strace");
    command.args(["-f", "-y", "-qq", "-s", "0", "-e", "signal=none", "-e", "trace=%file,%desc", "-o"]);
    command.arg(log).arg(program);
    command
}

/// What a traced run did to a folder.
#[derive(Debug, Default)]
pub struct Trace {
    /// The calls of the thread that makes the change, in order.
    pub calls: Vec<Call>,
    /// Calls of other threads and of children that change something there, as strace shows them. Nobody kills or fails
    /// those, so there must be none.
    pub strays: Vec<String>,
}

/// Reads the calls that concern a folder.
/// # Errors
/// When the log cannot be read.
pub fn read(log: &Path, folder: &Path, subject: Subject) -> std::io::Result<Trace> {
    let text = String::from_utf8_lossy(&std::fs::read(log)?).into_owned();
    let lines = || text.lines().filter_map(|line| line.split_once(' ')).map(|(task, rest)| (task, rest.trim_start()));
    let main = lines().next().map(|(task, _)| task).unwrap_or_default();
    let second = lines().map(|(task, _)| task).find(|task| *task != main).unwrap_or(main);
    let actor = if subject == Subject::Main { main } else { second };
    let folder = folder.to_string_lossy();
    let mut counters = std::collections::BTreeMap::<String, usize>::new();
    let mut others = std::collections::BTreeMap::<(&str, String), usize>::new();
    let mut trace = Trace::default();
    for (task, rest) in lines() {
        let Some((name, rest)) = rest.split_once('(') else { continue };
        if !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
            continue;
        }
        let (arguments, result) = rest.rsplit_once(" = ").unwrap_or((rest, ""));
        let mut call = Call {
            name: name.to_owned(),
            number: 0,
            arguments: arguments.trim_end().trim_end_matches(')').to_owned(),
            succeeded: !result.starts_with('-'),
            is_ambiguous: false,
        };
        let concerns = arguments.contains(&*folder);
        if task != actor {
            if subject == Subject::Second {
                *others.entry((task, call.name.clone())).or_default() += 1;
            }
            // A child that is started changes nothing by that.
            if concerns && call.changes() && call.succeeded && name != "execve" {
                trace.strays.push(format!("{name}({})", call.arguments));
            }
            continue;
        }
        // strace does not count the call by which it starts the program itself.
        let first = usize::from(name != "execve" || subject == Subject::Second);
        call.number = *counters.entry(name.to_owned()).and_modify(|number| *number += 1).or_insert(first);
        let restarts = subject == Subject::Second && name == "execve";
        if concerns {
            trace.calls.push(call);
        }
        if restarts {
            // Whichever thread execs goes on as the main one; that is what the other cases are for.
            break;
        }
    }
    for call in &mut trace.calls {
        call.is_ambiguous = others.iter().any(|((_, name), count)| *name == call.name && *count >= call.number);
    }
    Ok(trace)
}

/// Makes a command that runs a program and writes down everything that its main thread changes, with the bytes.
#[must_use]
pub fn recorded(program: &Path, log: &Path) -> Command {
    let mut command = Command::new("strace");
    let calls = CHANGING.iter().filter(|name| !["execve", "flock"].contains(name)).copied();
    // The question mark lets strace pass over what this system does not have.
    let calls: Vec<String> = calls.chain(["open", "openat", "lseek"]).map(|name| format!("?{name}")).collect();
    command.args(["-y", "-xx", "-qq", "-s", LONGEST_WRITE, "-e", "signal=none", "-e"]);
    command.arg(format!("trace={}", calls.join(","))).arg("-o").arg(log).arg(program);
    command
}

/// The errors that calls are made to fail with.
pub const ERRORS: [&str; 4] = ["EIO", "ENOSPC", "EACCES", "EINTR"];
/// The calls that can change what is on disk; opening for creation is told by its flags.
const CHANGING: [&str; 29] = [
    "chmod",
    "copy_file_range",
    "creat",
    "execve",
    "fchmod",
    "fchmodat",
    "fchmodat2",
    "fdatasync",
    "flock",
    "fsync",
    "ftruncate",
    "link",
    "linkat",
    "mkdir",
    "mkdirat",
    "pwrite64",
    "pwritev",
    "rename",
    "renameat",
    "renameat2",
    "rmdir",
    "sendfile",
    "symlink",
    "symlinkat",
    "sync_file_range",
    "truncate",
    "unlink",
    "unlinkat",
    "write",
];
/// More than any write has, in bytes: 64 MiB.
const LONGEST_WRITE: &str = "67108864";
/// How long one run may take on this machine.
pub const LIMIT: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(2);
