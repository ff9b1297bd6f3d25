//! The program that is updated. It is this very binary with a line behind its last byte that says which version it is:
//! the system runs it as before, and two versions differ by that line.

use super::release::host_triple;
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;
use std::process::ExitCode;
use updater_format::InstallKind;
use updater_runtime::{Component, ComponentStatus, Embedded, Event, SCHEMA, Start, Status, Updater};

/// Who a copy of the program is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Label {
    /// Its version.
    pub version: String,
    /// How it is installed.
    pub kind: InstallKind,
    /// Whether it survives its own start.
    pub healthy: bool,
}

impl Label {
    /// Returns the line that makes a copy of this binary that version.
    #[must_use]
    pub fn trailer(&self) -> Vec<u8> {
        let health = if self.healthy { "healthy" } else { "broken" };
        let line = format!("{MARK} {} {} {health}", self.version, self.kind);
        format!("\n{line:<width$}\n", width = TRAILER - 2).into_bytes()
    }

    /// Reads the line of a program; `None` when it has none: then it is the harness itself.
    #[must_use]
    pub fn read(program: &Path) -> Option<Self> {
        let mut file = std::fs::File::open(program).ok()?;
        file.seek(SeekFrom::End(-i64::try_from(TRAILER).ok()?)).ok()?;
        let mut text = String::new();
        file.read_to_string(&mut text).ok()?;
        let mut words = text.trim().strip_prefix(MARK)?.split_whitespace();
        let version = words.next()?.to_owned();
        let kind = match words.next()? {
            "directory" => InstallKind::Directory,
            "component" => InstallKind::Component,
            "app-bundle" => InstallKind::AppBundle,
            _ => InstallKind::Executable,
        };
        Some(Self { version, kind, healthy: words.next()? == "healthy" })
    }
}

/// The `main` of a harness, which is the app as well: a copy of its binary with a version behind it. `harness` tells whether
/// nothing failed.
pub fn main_or(harness: impl FnOnce() -> std::io::Result<bool>) -> ExitCode {
    let result = match std::env::current_exe().ok().and_then(|program| Label::read(&program)) {
        Some(label) => main(&label).map(|()| true),
        None => harness(),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Runs the program: `report` does nothing but start, `update` takes an update, `thread` does that in another thread,
/// `confirm` ends a trial. Always says which version speaks; an error of the updater never ends it.
/// # Errors
/// When stdout is closed.
fn main(label: &Label) -> std::io::Result<()> {
    if std::env::args().nth(1).as_deref() != Some("thread") {
        return work(label);
    }
    let own = label.clone();
    let thread = std::thread::spawn(move || {
        // The main thread has opened libraries. Faults are placed by the number of a call in its thread: this one must
        // be ahead.
        for _ in 0..AHEAD {
            drop(std::fs::File::open("/dev/null"));
        }
        work(&own)
    });
    thread.join().unwrap_or(Ok(()))
}

fn work(label: &Label) -> std::io::Result<()> {
    let updater = Updater::start(embedded(label));
    if !label.healthy {
        std::process::abort();
    }
    let mut out = std::io::stdout();
    if let Some(reason) = updater.disabled_reason() {
        writeln!(out, "failed disabled {reason}")?;
    }
    if let Start::Unsettled { problem } = updater.start_report() {
        writeln!(out, "unsettled {problem}")?;
    }
    if label.kind == InstallKind::Component {
        return work_on_component(&updater);
    }
    let result = match std::env::args().nth(1).as_deref() {
        Some("update" | "thread") => update(&updater),
        Some("confirm") => updater.confirm().map(|_| ()),
        _ => Ok(()),
    };
    if let Err(error) = result {
        writeln!(out, "failed {} {}", error.code(), error.full_message())?;
    }
    writeln!(out, "version {}", label.version)
}

/// The same for the component beside the app: it says the version of that.
fn work_on_component(updater: &Updater) -> std::io::Result<()> {
    let mut out = std::io::stdout();
    let folder = std::env::current_exe()?.with_file_name(COMPONENT_AT.rsplit('/').next().unwrap_or_default());
    let result = match updater.component(COMPONENT, &folder) {
        Ok(component) => match std::env::args().nth(1).as_deref() {
            Some("update" | "thread") => update_component(&component),
            _ => Ok(()),
        },
        Err(error) => Err(error),
    };
    if let Err(error) = result {
        writeln!(out, "failed {} {}", error.code(), error.full_message())?;
    }
    let manifest = std::fs::read(folder.join(updater_format::MANIFEST_PATH))?;
    let version = updater_format::Manifest::parse(&manifest).map(|manifest| manifest.version().to_string());
    writeln!(out, "version {}", version.unwrap_or_else(|error| error.to_string()))
}

fn update_component(component: &Component) -> Result<(), updater_runtime::Error> {
    match component.check()? {
        ComponentStatus::Available(update) => {
            let tell = |event: &Event| {
                let _ = writeln!(std::io::stdout(), "event {event}");
            };
            update.download_with_events(|_| {}, tell)?.install()?;
        }
        ComponentStatus::NoUpdate(why) => {
            let _ = writeln!(std::io::stdout(), "none {why}");
        }
    }
    Ok(())
}

fn update(updater: &Updater) -> Result<(), updater_runtime::Error> {
    match updater.check()? {
        Status::Available(update) => {
            let tell = |event: &Event| {
                let _ = writeln!(std::io::stdout(), "event {event}");
            };
            update.download_with_events(|_| {}, tell)?.install()?.restart()?.hand_over();
        }
        Status::NoUpdate(why) => {
            let _ = writeln!(std::io::stdout(), "none {why}");
        }
    }
    Ok(())
}

/// What `build.rs` would have compiled in; where the repository lies comes from the environment.
fn embedded(label: &Label) -> &'static Embedded {
    let variable = |name: &str| std::env::var(name).unwrap_or_default();
    let leak = |text: String| -> &'static str { text.leak() };
    let url = leak(variable(REPOSITORY));
    let urls: &'static [&'static str] = if url.is_empty() { &[] } else { vec![url].leak() };
    Box::leak(Box::new(Embedded {
        version: leak(label.version.clone()),
        triple: leak(host_triple()),
        urls,
        root: std::fs::read(variable(ROOT)).unwrap_or_default().leak(),
        install: match label.kind {
            InstallKind::Directory => "directory",
            InstallKind::AppBundle => "app-bundle",
            _ => "executable",
        },
        entry: if label.kind == InstallKind::AppBundle { APP_BUNDLE_ENTRY } else { ENTRY },
        trial: if variable(TRIAL) == "confirm" { "confirm" } else { "start" },
        ..blank()
    }))
}

/// What is compiled into an app that has no repository.
#[must_use]
pub fn blank() -> Embedded {
    Embedded {
        schema: SCHEMA,
        app: "hello",
        version: "0.0.0",
        triple: "",
        channel: "stable",
        fallback: &[],
        urls: &[],
        root: b"",
        install: "executable",
        entry: ENTRY,
        trial: "start",
        missing_status: &[404],
        build_time: 0,
        disabled: None,
    }
}

/// The component.
pub const COMPONENT: &str = "model";
/// Where it lies, in the folder with everything.
pub const COMPONENT_AT: &str = "place/my model";
/// Where a folder has the program.
pub const ENTRY: &str = "bin/hello";
/// Where an app bundle has it.
pub const APP_BUNDLE_ENTRY: &str = "Contents/MacOS/hello";
/// Names the repository's URL.
pub const REPOSITORY: &str = "CRASH_POINTS_REPOSITORY";
/// Names the file with the trusted root.
pub const ROOT: &str = "CRASH_POINTS_ROOT";
/// `start` or `confirm`.
pub const TRIAL: &str = "CRASH_POINTS_TRIAL";

/// More files than a main thread opens before its program begins.
const AHEAD: usize = 64;
const MARK: &str = "crash-points-app";
/// The length of the line with its two line ends, in bytes.
const TRAILER: usize = 96;
