//! A repository, an install folder, and the launcher to run on them.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use updater_tests::app::Published;

/// The program of every release here.
pub(crate) const ENTRY: &str = "bin/hello";

/// Everything that one test has; its processes are told to end with it.
pub(crate) struct Scene {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) published: Published,
    /// Folders between the test's own and that of the install; none by default.
    pub(crate) deep: String,
}

impl Scene {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let published = Published::new(folder.path().join("repository"));
        Self { folder, published, deep: String::new() }
    }

    /// Returns the install's folder.
    pub(crate) fn app(&self) -> PathBuf {
        self.folder.path().join(&self.deep).join("app")
    }

    /// Publishes a release of a shell script and a launcher's table.
    pub(crate) fn release(&self, version: &str, script: &str, table: &str) {
        let script = format!("#!/bin/sh\n{script}\n");
        let files: [(&str, &[u8]); 3] = [
            (ENTRY, script.as_bytes()),
            (".updater-launcher.json", table.as_bytes()),
            ("share/version", version.as_bytes()),
        ];
        self.published.release(version, ENTRY, &files);
    }

    /// Makes a command of the launcher.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_updater-launcher"));
        command.args(args).current_dir(self.folder.path()).stdin(Stdio::null());
        command
    }

    /// Runs a command on the install.
    pub(crate) fn run(&self, args: &[&str]) -> Output {
        self.command(args).arg("-C").arg(self.app()).output().unwrap()
    }

    /// Runs a command that must succeed, and returns its stdout.
    pub(crate) fn ok(&self, args: &[&str]) -> String {
        let output = self.run(args);
        assert!(output.status.success(), "{args:?}: {}", text(&output.stderr));
        text(&output.stdout)
    }

    /// Installs, and must succeed.
    pub(crate) fn install(&self) {
        let output = self.install_by("--root", self.published.root_file().to_str().unwrap());
        assert!(output.status.success(), "{}", text(&output.stderr));
    }

    /// Installs with one way of trust.
    pub(crate) fn install_by(&self, option: &str, value: &str) -> Output {
        let app = self.app();
        self.command(&["install", &self.published.url(), app.to_str().unwrap(), option, value]).output().unwrap()
    }

    /// Returns which version `current` leads to.
    pub(crate) fn current(&self) -> String {
        let link = std::fs::read_link(self.app().join("current")).unwrap();
        let name = link.file_name().unwrap().to_str().unwrap().to_owned();
        name.strip_prefix("hello-").unwrap().to_owned()
    }

    /// Returns the text of a file in the install, or nothing.
    pub(crate) fn read(&self, path: &str) -> String {
        std::fs::read_to_string(self.app().join(path)).unwrap_or_default()
    }

    /// Writes `launcher.toml`.
    pub(crate) fn overrides(&self, toml: &str) {
        std::fs::write(self.app().join("launcher.toml"), toml).unwrap();
    }
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Asserts the exit code and that the message has these words and a next step.
#[track_caller]
pub(crate) fn refused(output: &Output, code: i32, words: &str) {
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{stderr}");
    assert!(stderr.contains(words), "{stderr}");
    assert!(stderr.contains("\n  help: "), "{stderr}");
}

/// Tells whether a folder has nothing in it, or is not there.
pub(crate) fn is_empty(folder: &Path) -> bool {
    updater_tests::app::names(folder).is_empty()
}
