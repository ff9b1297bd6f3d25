//! A package that is built for real, and copies of it that are installed and run.

use crate::package::{Package, Run};
use std::ffi::OsStr;
use std::io::Read as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};
use updater_tests::workspace;

/// A package `hello` with `init --dev` done. It takes the crates from this checkout and builds offline, and shares what
/// is built already with the build that this test comes from.
pub(crate) struct App {
    package: Package,
}

impl App {
    /// Makes version 1.0.0 of a package from the text of its `main.rs` and the lines of its table, and sets it up.
    pub(crate) fn new(program: &str, url: &str, table: &str) -> Self {
        let app = Self::package(program, table);
        let checkout = workspace().to_str().unwrap();
        app.cargo_updater(&["init", "--dev", "--url", url, "--path-deps", checkout]).ok();
        app
    }

    /// Makes the package before `init`.
    pub(crate) fn package(program: &str, table: &str) -> Self {
        let app = Self { package: Package::new() };
        // Dependencies are compiled as in the workspace, or they would all be compiled once more.
        let workspace_manifest = std::fs::read_to_string(workspace().join("Cargo.toml")).unwrap();
        let profiles = &workspace_manifest[workspace_manifest.find("[profile.dev]").unwrap()..];
        app.package.write(
            "Cargo.toml",
            &format!(
                "[package]\nname = \"hello\"\nversion = \"1.0.0\"\nedition = \"2024\"\n\n\
                 [package.metadata.updater]\nprofile = \"dev\"\n{table}\n[workspace]\n\n\
                 [profile.dev.package.hello]\nstrip = true\n\n{profiles}"
            ),
        );
        app.package.write("src/main.rs", program);
        let copy = |from: &str, to: &str| std::fs::copy(workspace().join(from), app.package.path(to)).unwrap();
        copy("examples/hello/build.rs", "build.rs");
        copy("Cargo.lock", "Cargo.lock");
        app
    }

    /// Replaces a piece of a file, which must be there.
    #[track_caller]
    pub(crate) fn replace(&self, file: &str, from: &str, to: &str) {
        let text = self.package.read(file);
        assert!(text.contains(from), "{file} has no {from:?}: {text}");
        self.package.write(file, &text.replacen(from, to, 1));
    }

    pub(crate) fn write(&self, file: &str, text: &str) {
        self.package.write(file, text);
    }

    pub(crate) fn path(&self, relative: &str) -> PathBuf {
        self.package.path(relative)
    }

    /// Returns the folder of the development keys.
    pub(crate) fn keys(&self) -> PathBuf {
        self.package.keys().join("development")
    }

    /// Returns the folder of the keys of real releases.
    pub(crate) fn release_keys(&self) -> PathBuf {
        self.package.keys()
    }

    /// Runs `cargo updater` in the package, this many days from now.
    pub(crate) fn cargo_updater_in(&self, days: i64, arguments: &[&str]) -> Run {
        let variables = self.build_variables();
        let variables = variables.each_ref().map(|(name, value)| (*name, value.as_str()));
        self.package.run_in_with(days, arguments, &variables)
    }

    /// Runs `cargo updater` in the package.
    pub(crate) fn cargo_updater(&self, arguments: &[&str]) -> Run {
        let variables = self.build_variables();
        self.package.run_with(arguments, &variables.each_ref().map(|(name, value)| (*name, value.as_str())))
    }

    /// Runs `cargo` in the package.
    pub(crate) fn cargo(&self, arguments: &[&str]) -> Outcome {
        finish(updater_tests::process::cargo().args(arguments).current_dir(self.path("")).envs(self.build_variables()))
    }

    fn build_variables(&self) -> [(&'static str, String); 5] {
        build_variables(&self.path("target"))
    }

    /// Publishes the package as it is into a folder, and returns that.
    pub(crate) fn publish(&self, repository: &str) -> PathBuf {
        self.publish_with(repository, &[])
    }

    /// Publishes with more options.
    pub(crate) fn publish_with(&self, repository: &str, options: &[&str]) -> PathBuf {
        let folder = self.path(repository);
        // Level 1: these bundles are made in order to be taken, not in order to be small.
        let storage = format!("fs:{}", folder.display());
        self.cargo_updater(&[&["publish", "--level", "1", "--storage", &storage], options].concat()).ok();
        folder
    }

    /// Installs a published version as a user would: by unpacking its bundle.
    pub(crate) fn install(&self, repository: &Path, version: &str) -> Installed {
        let folder = tempfile::tempdir().unwrap();
        self.install_in(folder, repository, version)
    }

    /// Installs into a folder of the caller's.
    pub(crate) fn install_in(&self, folder: tempfile::TempDir, repository: &Path, version: &str) -> Installed {
        let bin = folder.path().join("bin");
        std::fs::create_dir_all(&bin).unwrap();
        unpack(&bundle_of(repository, "hello", version), &bin);
        std::fs::remove_file(bin.join(updater_format::MANIFEST_PATH)).unwrap();
        std::fs::create_dir_all(folder.path().join("home")).unwrap();
        Installed { program: bin.join("hello"), folder }
    }
}

/// Where Cargo finds what is built and fetched already. The package's own programs go into `target`.
pub(crate) fn build_variables(target: &Path) -> [(&'static str, String); 5] {
    let home = PathBuf::from(std::env::var_os("HOME").unwrap_or_default());
    let or_home = |name, folder| std::env::var_os(name).map_or_else(|| home.join(folder), PathBuf::from);
    let text = |path: &Path| path.to_str().unwrap().to_owned();
    // `<target>/tmp`: what is in `<target>` was built for this test, and is used as it is.
    let build = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    [
        ("CARGO_HOME", text(&or_home("CARGO_HOME", ".cargo"))),
        ("RUSTUP_HOME", text(&or_home("RUSTUP_HOME", ".rustup"))),
        ("CARGO_TARGET_DIR", text(target)),
        ("CARGO_BUILD_BUILD_DIR", text(build)),
        ("CARGO_NET_OFFLINE", "true".to_owned()),
    ]
}

/// Finds the bundle of a version of an app in its repository.
pub(crate) fn bundle_of(repository: &Path, app: &str, version: &str) -> PathBuf {
    let part = format!(".{app}-{version}-");
    let is_bundle = |path: &PathBuf| {
        let name = path.file_name().unwrap().to_string_lossy();
        name.contains(&part) && name.ends_with(".tar.xz")
    };
    let files = std::fs::read_dir(repository.join("targets")).unwrap();
    files.map(|entry| entry.unwrap().path()).find(is_bundle).unwrap()
}

/// Unpacks a bundle with nothing of ours.
pub(crate) fn unpack(bundle: &Path, folder: &Path) {
    let archive = std::fs::File::open(bundle).unwrap();
    let mut archive = tar::Archive::new(xz2::read::XzDecoder::new(archive));
    archive.set_preserve_permissions(true);
    archive.unpack(folder).unwrap();
}

/// An installed copy, with a home of its own.
pub(crate) struct Installed {
    pub(crate) program: PathBuf,
    folder: tempfile::TempDir,
}

/// How a run of the program ended.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Installed {
    /// Returns a path in the folder that holds `bin/hello` and `home`.
    pub(crate) fn path(&self, relative: &str) -> PathBuf {
        self.folder.path().join(relative)
    }

    /// Returns the hidden folder beside the program.
    pub(crate) fn hidden(&self) -> PathBuf {
        self.path("bin/.hello.updater")
    }

    /// Returns the folder of what the app keeps for its user.
    pub(crate) fn state(&self) -> PathBuf {
        self.path("home/.local/state/hello")
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        std::fs::read(&self.program).unwrap()
    }

    /// Prepares a start with a small environment: `HOME` and `PATH`.
    pub(crate) fn command(&self, arguments: &[impl AsRef<OsStr>]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(arguments).env_clear().env("HOME", self.path("home")).env("PATH", "/usr/bin:/bin");
        command.current_dir(self.folder.path());
        command
    }

    /// Runs the program and waits for its end.
    pub(crate) fn run(&self, arguments: &[impl AsRef<OsStr>]) -> Outcome {
        finish(&mut self.command(arguments))
    }

    /// Lets the program update itself from a repository.
    pub(crate) fn update(&self, url: &str) -> Outcome {
        finish(self.command(&["update"]).env("TRIAL_URL", url))
    }
}

impl Outcome {
    /// Asserts that the program came to its end as this version.
    #[track_caller]
    pub(crate) fn done_by(self, version: &str) -> Self {
        assert!(self.status.success() && self.stdout.ends_with(&format!("done by {version}\n")), "{self:#?}");
        self
    }

    /// Asserts that a line of stdout has this.
    #[track_caller]
    pub(crate) fn tells(self, text: &str) -> Self {
        assert!(self.stdout.contains(text), "{text:?} is not in {self:#?}");
        self
    }

    /// Asserts that the program was killed by this signal.
    #[track_caller]
    pub(crate) fn killed_by(self, signal: i32) -> Self {
        assert_eq!(self.status.signal(), Some(signal), "{self:#?}");
        self
    }

    /// Returns the rest of the line of stdout that begins so.
    #[track_caller]
    pub(crate) fn line(&self, begin: &str) -> &str {
        let line = self.stdout.lines().find_map(|line| line.strip_prefix(begin));
        line.unwrap_or_else(|| panic!("no line begins with {begin:?}: {self:#?}"))
    }
}

/// Runs a command to its end, at most a minute: a program that waits for something is a failure, not a hanging test.
pub(crate) fn finish(command: &mut Command) -> Outcome {
    let command = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = updater_tests::process::start(command).unwrap();
    let (mut out, mut err) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
    let read = |stream: &mut dyn std::io::Read| {
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).unwrap();
        String::from_utf8_lossy(&bytes).into_owned()
    };
    let stderr = std::thread::spawn(move || read(&mut err));
    let stdout = std::thread::spawn(move || {
        let mut bytes = Vec::new();
        out.read_to_end(&mut bytes).unwrap();
        String::from_utf8_lossy(&bytes).into_owned()
    });
    let begin = Instant::now();
    let status = loop {
        match child.try_wait().unwrap() {
            Some(status) => break status,
            None if begin.elapsed() > Duration::from_secs(60) => {
                child.kill().unwrap();
                panic!("{command:?} did not end: {} {}", stdout.join().unwrap(), stderr.join().unwrap());
            }
            None => std::thread::sleep(Duration::from_millis(5)),
        }
    };
    Outcome { status, stdout: stdout.join().unwrap(), stderr: stderr.join().unwrap() }
}
