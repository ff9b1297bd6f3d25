//! The folder in which the demonstration takes place, and how programs are started in it.

use super::DemoError;
use crate::error::CommandResult;
use crate::init::own_checkout;
use crate::shell::{MessageFormat, Shell};
use crate::toolchain::{cargo, without_empty_variables};
use std::io::{BufRead as _, BufReader};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

/// A temporary folder with everything in it: package, keys, repository, install, state. Dropping it removes it.
#[derive(Debug)]
pub(super) struct Stage {
    folder: tempfile::TempDir,
    program: PathBuf,
    checkout: Option<PathBuf>,
    stopped: Arc<AtomicBool>,
}

impl Stage {
    /// Makes the folder. From here on Ctrl-C ends the demonstration in order instead of this process at once.
    pub(super) fn build(checkout: Option<PathBuf>) -> Result<Self, DemoError> {
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| DemoError::Io { path, source }
        };
        let temp = std::env::temp_dir();
        let folder = tempfile::Builder::new().prefix("cargo-updater-demo-").tempdir().map_err(failed(&temp))?;
        let program = std::env::current_exe().map_err(failed(Path::new("/proc/self/exe")))?;
        Ok(Self { folder, program, checkout: checkout.or_else(own_checkout), stopped: stop_on_signal()? })
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(super) fn repository(&self) -> PathBuf {
        self.path("repository")
    }

    pub(super) fn bundles(&self) -> PathBuf {
        self.path("target/updater/bundles")
    }

    /// Keeps the folder and returns its path.
    pub(super) fn keep(self) -> PathBuf {
        self.folder.keep()
    }

    /// Removes everything, also what the builds left in a shared build folder. Returns the folder if it is still there.
    pub(super) fn remove(self, shell: &Shell) -> Option<PathBuf> {
        if self.build_folder().is_some() {
            let mut clean = self.command(Path::new(&cargo()));
            clean.args(["clean", "--quiet", "--package", "demo-app", "--profile", "release"]);
            clean.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            if !clean.status().is_ok_and(|status| status.success()) {
                shell.detail("the build folder could not be cleaned");
            }
        }
        let path = self.folder.path().to_owned();
        match self.folder.close() {
            Ok(()) => None,
            Err(error) => {
                shell.warn(format_args!("cannot remove {}: {error}", path.display()));
                Some(path)
            }
        }
    }

    /// Writes the package: the template, and the lock file of the checkout so that nothing is fetched.
    pub(super) fn write_package(&self, version: &str) -> CommandResult {
        let package = self.path("app");
        let write = |path: PathBuf, text: &str| {
            let written =
                path.parent().map_or(Ok(()), std::fs::create_dir_all).and_then(|()| std::fs::write(&path, text));
            written.map_err(|source| DemoError::Io { path, source })
        };
        let mut manifest = MANIFEST.to_owned();
        if let Some(checkout) = &self.checkout {
            let path = checkout.join("Cargo.lock");
            let lock = std::fs::read_to_string(&path).map_err(|source| DemoError::Io { path, source })?;
            manifest.push_str(&shared_dependencies(&lock));
            write(package.join("Cargo.lock"), &lock)?;
        }
        write(package.join("Cargo.toml"), &manifest)?;
        write(package.join("src/main.rs"), PROGRAM)?;
        self.write_version(version)
    }

    /// Sets the version of the package.
    pub(super) fn write_version(&self, version: &str) -> CommandResult {
        let path = self.path("app/Cargo.toml");
        let failed = |source| DemoError::Io { path: path.clone(), source };
        let text = std::fs::read_to_string(&path).map_err(failed)?;
        let set = |line: &str| match line.starts_with("version = ") {
            true => format!("version = {version:?}\n"),
            false => format!("{line}\n"),
        };
        std::fs::write(&path, text.lines().map(set).collect::<String>()).map_err(failed)?;
        Ok(())
    }

    /// Runs a command of cargo updater in the package, as a developer would.
    pub(super) fn cargo_updater(&self, shell: &Shell, arguments: &[&str]) -> CommandResult {
        let mut command = self.command(&self.program);
        command.arg("updater").args(arguments).arg("--key-dir").arg(self.path("keys"));
        if let (["init", ..], Some(checkout)) = (arguments, &self.checkout) {
            command.arg("--path-deps").arg(checkout);
        }
        if shell.format() == MessageFormat::Json {
            command.args(["--message-format", "json"]);
        }
        command.stdin(Stdio::null());
        shell.detail(format_args!("cargo updater {}", arguments.join(" ")));
        self.wait(command.spawn(), &format!("cargo updater {}", arguments.join(" ")), BUILD_LIMIT)
    }

    /// Starts the installed program and returns what it said.
    pub(super) fn start(&self, program: &Path, shell: &Shell) -> CommandResult<Vec<String>> {
        let mut command = self.command(program);
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        let start = |source| DemoError::Start { program: program.to_owned(), source };
        let mut child = command.spawn().map_err(start)?;
        let (sender, receiver) = channel();
        // The pipe outlives the restart: the new version goes on writing to it.
        let output = child.stdout.take();
        let reader = std::thread::spawn(move || {
            for line in output.into_iter().flat_map(|output| BufReader::new(output).lines()).map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        let mut lines = Vec::new();
        let status = self.watch(&mut child, &program.display().to_string(), RUN_LIMIT, || {
            while let Ok(line) = receiver.try_recv() {
                shell.status("", line.escape_debug());
                lines.push(line);
            }
        })?;
        drop(reader.join());
        for line in receiver.try_iter() {
            shell.status("", line.escape_debug());
            lines.push(line);
        }
        ended(status, &program.display().to_string())?;
        Ok(lines)
    }

    /// Prepares a program with the folders of the stage in the place of the developer's own.
    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command
            .current_dir(self.path("app"))
            .env("CARGO_TARGET_DIR", self.path("target"))
            .env("XDG_STATE_HOME", self.path("state"))
            .env("XDG_CONFIG_HOME", self.path("config"));
        // A group of its own, so that a compiler below it ends with it.
        command.process_group(0);
        for name in FOREIGN {
            command.env_remove(name);
        }
        // What `cargo run` tells of its package: build scripts that look at it, as that of ring does, would all run once more.
        for (name, _) in std::env::vars_os() {
            if name.to_str().is_some_and(|name| name.starts_with("CARGO_PKG_")) {
                command.env_remove(name);
            }
        }
        without_empty_variables(&mut command);
        if self.checkout.is_some() {
            command.env("CARGO_NET_OFFLINE", "true");
        }
        if let Some(folder) = self.build_folder() {
            command.env("CARGO_BUILD_BUILD_DIR", folder);
        }
        command
    }

    /// Returns the folder in which this program was built: its dependencies are the program's too.
    fn build_folder(&self) -> Option<PathBuf> {
        self.checkout.as_ref()?;
        let folder = self.program.parent()?.parent()?;
        folder.join("CACHEDIR.TAG").is_file().then(|| folder.to_owned())
    }

    fn wait(&self, child: std::io::Result<Child>, what: &str, limit: Duration) -> CommandResult {
        let mut child = child.map_err(|source| DemoError::Start { program: self.program.clone(), source })?;
        let status = self.watch(&mut child, what, limit, || {})?;
        Ok(ended(status, what)?)
    }

    /// Waits for a child, and ends it when time is up or somebody stops the demonstration.
    fn watch(
        &self,
        child: &mut Child,
        what: &str,
        limit: Duration,
        mut meanwhile: impl FnMut(),
    ) -> Result<ExitStatus, DemoError> {
        let started = Instant::now();
        loop {
            meanwhile();
            let failed = |source| DemoError::Io { path: PathBuf::from(what), source };
            if let Some(status) = child.try_wait().map_err(failed)? {
                return match self.stopped.load(Ordering::SeqCst) {
                    true => Err(DemoError::Stopped),
                    false => Ok(status),
                };
            }
            let timed_out = started.elapsed() > limit;
            if timed_out || self.stopped.load(Ordering::SeqCst) {
                end(child);
                return Err(match timed_out {
                    true => DemoError::TimedOut { what: what.to_owned(), seconds: limit.as_secs() },
                    false => DemoError::Stopped,
                });
            }
            std::thread::sleep(LOOK);
        }
    }
}

/// Returns dependencies that have the features of the checkout's own build, as far as its lock file knows them.
fn shared_dependencies(lock: &str) -> String {
    let known = |line: &&str| {
        let name = line.split(" = ").next().unwrap_or_default();
        line.starts_with('#') || lock.contains(&format!("name = {name:?}\n"))
    };
    let lines: Vec<&str> = SHARED.lines().filter(known).collect();
    format!("\n[dependencies]\n{}\n", lines.join("\n"))
}

fn ended(status: ExitStatus, what: &str) -> Result<(), DemoError> {
    match status.success() {
        true => Ok(()),
        false => Err(DemoError::Ended { what: what.to_owned(), status }),
    }
}

/// Ends a child and everything that it has started.
fn end(child: &mut Child) {
    use rustix::process::{Pid, Signal, kill_process_group};
    // Already gone is what is wanted.
    let _ = kill_process_group(Pid::from_child(child), Signal::KILL);
    drop(child.wait());
}

/// Turns Ctrl-C and SIGTERM into a flag, so that the folder is removed before the process ends.
fn stop_on_signal() -> Result<Arc<AtomicBool>, DemoError> {
    use signal_hook::consts::{SIGINT, SIGTERM};
    let stopped = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&stopped)).map_err(|source| DemoError::Signal { source })?;
    }
    Ok(stopped)
}

/// The package of the program, embedded so that the demonstration needs no checkout.
const MANIFEST: &str = include_str!("../../template/manifest.toml");
/// Dependencies that change nothing but which features are shared.
const SHARED: &str = include_str!("../../template/shared.toml");
/// The program.
const PROGRAM: &str = include_str!("../../template/app.rs");
/// Settings of the developer that would change what the demonstration does.
const FOREIGN: &[&str] = &[
    "CARGO_BUILD_TARGET",
    "CARGO_MANIFEST_DIR",
    "CARGO_MANIFEST_PATH",
    "SOURCE_DATE_EPOCH",
    "UPDATER_DISABLE",
    "UPDATER_KEY_DIR",
    "UPDATER_KEY_PASSWORD",
    "UPDATER_ONLINE_KEY",
    "UPDATER_ONLINE_PASSWORD",
    "UPDATER_PROBE",
    "UPDATER_RESTARTED_FROM",
];
/// How long a command may take: half an hour, for a first build on a slow machine.
const BUILD_LIMIT: Duration = Duration::from_secs(1800);
/// How long the program may take to update itself over loopback.
const RUN_LIMIT: Duration = Duration::from_secs(120);
/// How often a child is looked at.
const LOOK: Duration = Duration::from_millis(20);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_locked_crates_are_shared() {
        let text = shared_dependencies("[[package]]\nname = \"http\"\nversion = \"1.0.0\"\n");
        assert!(text.contains("\nhttp = \"*\"\n") && !text.contains("memchr"), "{text}");
        let manifest = format!("{MANIFEST}{}", shared_dependencies(include_str!("../../../Cargo.lock")));
        let manifest: toml_edit::DocumentMut = manifest.parse().unwrap();
        // Each crate of the template is locked here, so that the demonstration of this checkout is quick.
        assert_eq!(
            manifest["dependencies"].as_table().unwrap().len(),
            SHARED.lines().filter(|l| l.contains('=')).count()
        );
    }
}
