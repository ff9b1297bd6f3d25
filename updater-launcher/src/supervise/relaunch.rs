//! Another launcher in place of this one, in the same process, while the app runs on: after an update of the launcher
//! itself, or when its program was replaced by hand.
//!
//! The process stays the parent of the app. What must not be lost goes along as open descriptors: the lock of the folder, the
//! listening socket, the pipes from the app. Clients of the control socket have to come again.

use super::Supervisor;
use super::app::App;
use super::ending::Ending;
use super::poll::Stream;
use super::processes::{Pid, Process};
use super::turn::Sink;
use crate::error::{Error, Result};
use crate::lock::Lock;
use crate::places::Places;
use rustix::io::{FdFlags, fcntl_getfd, fcntl_setfd};
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd, RawFd};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};
use updater_format::ReleaseVersion;

/// What one launcher tells the next, as JSON in an argument.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    format: u64,
    lock: RawFd,
    listener: Option<(SocketAddr, RawFd)>,
    /// Pipes from the app, and whether each is of its standard error.
    pipes: Vec<(RawFd, bool)>,
    app: Option<WireApp>,
}

/// A running app.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct WireApp {
    pid: i32,
    ticks: u64,
    version: ReleaseVersion,
    uptime: u64,
    ready: bool,
}

/// What the launcher before has left for this one.
#[derive(Debug)]
pub(super) struct Handover {
    pub(super) lock: Lock,
    pub(super) listener: Option<(SocketAddr, TcpListener)>,
    pub(super) streams: Vec<Stream>,
    pub(super) app: Option<App>,
}

impl Handover {
    /// Takes over what the launcher before has described.
    /// # Errors
    /// [`Error::Usage`] when the description does not hold; [`Error::Busy`] when the lock is not the one of this folder.
    pub(super) fn take(text: &str, places: &Places) -> Result<Self> {
        let wire: Wire = serde_json::from_str(text).map_err(|error| refuse(&error.to_string()))?;
        if wire.format != FORMAT {
            return Err(refuse(&format!("it has format {}, this launcher reads {FORMAT}", wire.format)));
        }
        // All of them before anything else is opened, so that no number can be ours.
        let lock = adopt(wire.lock)?;
        let listener = wire.listener.map(|(address, fd)| Ok::<_, Error>((address, adopt(fd)?))).transpose()?;
        let pipes = wire.pipes.iter().map(|(fd, is_err)| Ok((adopt(*fd)?, *is_err))).collect::<Result<Vec<_>>>()?;
        let app = wire.app.and_then(|app| {
            let pid = Pid::from_raw(app.pid)?;
            let own = i32::try_from(std::process::id()).ok()?;
            // Also one that has ended meanwhile: its end is still there to be taken.
            Process::of(pid).filter(|process| process.ticks == app.ticks && process.parent == own)?;
            let started = Instant::now().checked_sub(Duration::from_millis(app.uptime)).unwrap_or_else(Instant::now);
            Some(App { pid, version: app.version, started, is_ready: app.ready, failed_checks: 0 })
        });
        Ok(Self {
            lock: Lock::adopt(places, lock.into())?,
            listener: listener.map(|(address, fd)| (address, fd.into())),
            streams: pipes.into_iter().map(|(fd, is_err)| Stream::new(fd, sink(is_err))).collect(),
            app,
        })
    }
}

impl Supervisor {
    /// Tells whether another program lies where this one was started from.
    pub(super) fn is_replaced(&self) -> bool {
        use std::os::unix::fs::MetadataExt as _;
        let identity = |path: &std::path::Path| path.metadata().map(|metadata| (metadata.dev(), metadata.ino())).ok();
        identity(&self.program) != identity(std::path::Path::new(&super::spawn::own_program()))
    }

    /// Runs the launcher's program, as it lies on disk now, in place of this one. Comes back only with an error: then
    /// everything goes on as it was.
    pub(super) fn relaunch(&mut self) -> Error {
        let program = self.program.clone();
        let failed = |problem: String| Error::Start { program: program.display().to_string(), problem };
        // What is no launcher, or one that does not understand this one, must not take its place.
        let dir = self.install.places.root().to_owned();
        // Nor does one begin where it would end at once, and the app with it.
        let readable = self.install.settings(&self.version.dir).and_then(|_| self.install.updater());
        if let Err(error) = readable {
            return error;
        }
        let argv = [program.to_string_lossy().into_owned(), "__takes-over".to_owned(), FORMAT.to_string()];
        match self.run_to_end(&argv, &dir, TRY_TIME) {
            Ok(Ending::Code(code)) if code == i32::from(TAKES_OVER) => {}
            Ok(_) => return failed("it is no launcher that can take over from this one".to_owned()),
            Err(error) => return error,
        }
        self.say("relaunching", &program.display().to_string());
        match self.hand_over(&dir, &program) {
            Ok(error) => failed(error.to_string()),
            Err(error) => failed(error.to_string()),
        }
    }

    fn hand_over(&self, dir: &std::path::Path, program: &std::path::Path) -> std::io::Result<std::io::Error> {
        let pipe = |stream: &Stream| match stream.to() {
            Sink::Out => Some((stream.as_fd().as_raw_fd(), false)),
            Sink::Err => Some((stream.as_fd().as_raw_fd(), true)),
            Sink::Own | Sink::Job | Sink::Check => None,
        };
        let app = self.app.as_ref().and_then(|app| {
            let ticks = Process::of(app.pid)?.ticks;
            let uptime = u64::try_from(app.started.elapsed().as_millis()).unwrap_or(0);
            let (pid, version) = (app.pid.as_raw_nonzero().get(), app.version.clone());
            Some(WireApp { pid, ticks, version, uptime, ready: app.is_ready })
        });
        let wire = Wire {
            format: FORMAT,
            lock: self.lock.as_fd().as_raw_fd(),
            listener: self.listener.as_ref().map(|(address, listener)| (*address, listener.as_raw_fd())),
            pipes: self.streams.iter().filter_map(pipe).collect(),
            app,
        };
        let inherited = || {
            let pipes = self.streams.iter().filter(|stream| pipe(stream).is_some()).map(Stream::as_fd);
            let listener = self.listener.iter().map(|(_, listener)| listener.as_fd());
            pipes.chain(listener).chain(std::iter::once(self.lock.as_fd()))
        };
        let keep = |flags: FdFlags| inherited().try_for_each(|fd: BorrowedFd<'_>| fcntl_setfd(fd, flags));
        keep(FdFlags::empty())?;
        let mut command = Command::new(program);
        command.args(["start", "-C"]).arg(dir).arg("--handover").arg(serde_json::to_string(&wire)?);
        let error = command.exec();
        keep(FdFlags::CLOEXEC)?;
        Ok(error)
    }
}

/// Returns the path of the running program, also when another file lies there by now.
pub(super) fn own_program_path() -> Result<PathBuf> {
    let program = std::env::current_exe();
    let program = program.map_err(|source| Error::file("find", std::path::Path::new("the launcher"), source))?;
    // The kernel's way to say that the file was replaced.
    let text = program.to_string_lossy().into_owned();
    Ok(text.strip_suffix(" (deleted)").map_or(program, PathBuf::from))
}

/// Makes a descriptor of a number that the launcher before has left open for this one.
#[expect(unsafe_code, reason = "what comes through an exec is a number, and std has no safe way from there")]
fn adopt(number: RawFd) -> Result<OwnedFd> {
    let is_open = number > 2 && std::path::Path::new(&format!("/proc/self/fd/{number}")).symlink_metadata().is_ok();
    if !is_open {
        return Err(refuse(&format!("descriptor {number} is not open")));
    }
    // SAFETY: it is open, as was just seen, and none of the standard ones. Nothing in this process owns it: whatever is
    // opened here closes on exec, and one that does is given back below.
    let fd = unsafe { OwnedFd::from_raw_fd(number) };
    if fcntl_getfd(&fd).is_ok_and(|flags| flags.contains(FdFlags::CLOEXEC)) {
        std::mem::forget(fd);
        return Err(refuse(&format!("descriptor {number} was not left by another launcher")));
    }
    // Taken, and for nobody else. A number that is named twice is refused by this.
    fcntl_setfd(&fd, FdFlags::CLOEXEC).map_err(|error| refuse(&error.to_string()))?;
    Ok(fd)
}

fn sink(is_err: bool) -> Sink {
    if is_err { Sink::Err } else { Sink::Out }
}

fn refuse(problem: &str) -> Error {
    Error::Usage { problem: format!("nothing was handed over: {problem}"), hint: "use `start` without --handover" }
}

/// `__takes-over FORMAT`: says by the exit code whether this launcher reads what one with that format hands over. Asked before
/// there is no way back.
pub(crate) fn takes_over(words: &[String]) -> ExitCode {
    if words == [FORMAT.to_string()] { ExitCode::from(TAKES_OVER) } else { ExitCode::from(2) }
}

/// The format of what is handed over.
const FORMAT: u64 = 1;
/// The exit code of a launcher that takes over. No other program has a reason to end with it.
const TAKES_OVER: u8 = 97;
/// How long the new program may take to say so.
const TRY_TIME: Duration = Duration::from_secs(10);
