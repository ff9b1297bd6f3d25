//! `start` and `run`: the app under supervision, or once.

use super::Place;
use crate::control::{Command as Ask, ask};
use crate::error::{Error, Result};
use crate::files;
use crate::release::Install;
use crate::shell;
use crate::supervise::{How, Mode, QUIET, Supervisor, own_program};
use clap::Args;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

/// Start the app, keep it running and up to date. Stays in the foreground and passes the app's exit code on.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  updater-launcher start -C /opt/hello
  updater-launcher start -C /opt/hello --detach && updater-launcher logs -C /opt/hello -f")]
pub(super) struct Start {
    #[command(flatten)]
    place: Place,
    /// Go to the background once the launcher answers; its log is var/log/launcher.log.
    #[arg(long)]
    detach: bool,
    /// What the launcher before, in this process, has left.
    #[arg(long, hide = true, value_name = "JSON", conflicts_with = "detach")]
    handover: Option<String>,
}

/// Run the app once, without updates and without restarts; its output is shown as well as logged.
#[derive(Debug, Args)]
pub(super) struct Run {
    #[command(flatten)]
    place: Place,
}

impl Start {
    pub(super) fn run(self, updates_itself: bool) -> Result<ExitCode> {
        let install = Install::open(&self.place.dir)?;
        if self.detach {
            return detach(&install);
        }
        if std::env::var_os(QUIET).is_some() {
            // A session of its own: the terminal's end is not ours. It fails only for a process that has one already. On
            // Windows it was started with a console of its own.
            #[cfg(unix)]
            let _ = rustix::process::setsid();
        }
        supervise(install, How { mode: Mode::Supervise, handover: self.handover, updates_itself })
    }
}

impl Run {
    pub(super) fn run(self) -> Result<ExitCode> {
        supervise(Install::open(&self.place.dir)?, How { mode: Mode::Once, handover: None, updates_itself: false })
    }
}

fn supervise(install: Install, how: How) -> Result<ExitCode> {
    // What a launcher before has left in this process is meant for this one, and taken first.
    #[cfg(unix)]
    if how.handover.is_none() {
        crate::descriptors::keep_to_ourselves()
            .map_err(|source| Error::file("look into", Path::new("/proc/self/fd"), source))?;
    }
    let code = Supervisor::new(install, how)?.run()?;
    Ok(super::ended_with(code))
}

/// Starts a launcher in the background and waits until it answers.
fn detach(install: &Install) -> Result<ExitCode> {
    let places = &install.places;
    if let Some(status) = ask(places, Ask::Status, None)? {
        let pid = status["launcher"].as_u64().and_then(|pid| u32::try_from(pid).ok());
        return Err(Error::Busy { path: places.root().to_owned(), pid });
    }
    let failed = |problem: String| Error::Start { program: "the launcher".to_owned(), problem };
    let path = places.own_log();
    let log = files::own(std::fs::File::options().append(true).create(true), 0o640).open(&path);
    let log = log.map_err(|source| Error::file("open", &path, source))?;
    let begin_of_log = log.metadata().map_or(0, |metadata| metadata.len());
    // What the caller has open is not the launcher's: a lock that it holds would be held as long as the app runs.
    #[cfg(unix)]
    crate::descriptors::keep_to_ourselves().map_err(|error| failed(error.to_string()))?;
    let mut command = Command::new(own_program());
    #[cfg(windows)]
    {
        use std::os::windows::process::CommandExt as _;
        // A console of its own that nobody sees: by it the app is asked to end.
        let flags = windows_sys::Win32::System::Threading::CREATE_NO_WINDOW;
        command.creation_flags(flags);
    }
    let mut child = command
        .args(["start", "-C"])
        .arg(places.root())
        .env(QUIET, "1")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::from(log))
        .spawn()
        .map_err(|error| failed(error.to_string()))?;
    let (begin, mut answered) = (Instant::now(), None);
    while begin.elapsed() < PATIENCE {
        if let Ok(Some(status)) = child.try_wait() {
            let told = last_error(&path, begin_of_log, status.code());
            return Err(told.unwrap_or_else(|| failed(format!("it ended ({status}); see {}", path.display()))));
        }
        // Another launcher may have been quicker: then this one is about to end.
        if let Some(status) = ask(places, Ask::Status, None)?.filter(|status| status["launcher"] == child.id()) {
            let answered = *answered.get_or_insert_with(Instant::now);
            if status["running"] == true || answered.elapsed() >= FIRST_START {
                let app = if status["running"] == true {
                    ""
                } else {
                    "; the app does not run yet: `updater-launcher logs launcher` says why"
                };
                shell::step("Started", format!("process {}{app}", child.id()));
                return Ok(ExitCode::SUCCESS);
            }
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Err(failed(format!("it does not answer; see {}", path.display())))
}

/// Returns the error with which a launcher in the background has ended, as it stands at the end of its log.
fn last_error(log: &Path, begin: u64, exit: Option<i32>) -> Option<Error> {
    let mut file = std::fs::File::open(log).ok()?;
    file.seek(SeekFrom::Start(begin)).ok()?;
    let mut bytes = Vec::new();
    file.take(MAX_TOLD).read_to_end(&mut bytes).ok()?;
    let text = String::from_utf8_lossy(&bytes);
    let told = text.get(text.rfind("error: ")? + "error: ".len()..)?;
    let (message, hint) = told.split_once("\n  help: ")?;
    let exit = exit.and_then(|code| u8::try_from(code).ok())?;
    Some(Error::Refused { message: message.to_owned(), hint: hint.trim_end().to_owned(), exit })
}

/// How long a launcher in the background may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long is waited for the app's first start once the launcher answers; a hook may take longer, and it goes on.
const FIRST_START: Duration = Duration::from_secs(2);
/// The most bytes of the log in which an error is looked for: 64 KiB.
const MAX_TOLD: u64 = 64 * 1024;
