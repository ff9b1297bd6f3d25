//! A throw-away package and a home of its own for the program under test.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A package in a temporary folder.
pub(crate) struct Package {
    folder: tempfile::TempDir,
}

/// What a run of the program gave.
pub(crate) struct Run {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Package {
    /// Makes a package `hello` 1.0.0 with a comment that must survive every edit.
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let package = Self { folder };
        std::fs::create_dir_all(package.path("src")).unwrap();
        package.write("src/main.rs", "fn main() {}\n");
        package.write(
            "Cargo.toml",
            "[package]\nname = \"hello\" # a name\nversion = \"1.0.0\"\nedition = \"2024\"\n\n# kept\n[dependencies]\n",
        );
        package
    }

    /// Returns a path inside the package.
    pub(crate) fn path(&self, relative: &str) -> PathBuf {
        self.folder.path().join("hello").join(relative)
    }

    /// Returns the home folder of the program: beside the package.
    pub(crate) fn home(&self) -> PathBuf {
        self.folder.path().join("home")
    }

    /// Returns the default folder of the package's keys.
    pub(crate) fn keys(&self) -> PathBuf {
        self.home().join(".config/cargo-updater/keys/hello")
    }

    pub(crate) fn write(&self, relative: &str, text: &str) {
        std::fs::write(self.path(relative), text).unwrap();
    }

    pub(crate) fn read(&self, relative: &str) -> String {
        std::fs::read_to_string(self.path(relative)).unwrap()
    }

    /// Runs the program in the package, without a terminal.
    pub(crate) fn run(&self, arguments: &[&str]) -> Run {
        self.run_with(arguments, &[])
    }

    /// Runs the program with more variables.
    pub(crate) fn run_with(&self, arguments: &[&str], variables: &[(&str, &str)]) -> Run {
        Run::of(self.command(arguments).envs(variables.iter().copied()).output().unwrap())
    }

    /// Runs the program this many days from now.
    pub(crate) fn run_in(&self, days: i64, arguments: &[&str]) -> Run {
        self.run_in_with(days, arguments, &[])
    }

    /// Runs the program this many days from now, with more variables.
    pub(crate) fn run_in_with(&self, days: i64, arguments: &[&str], variables: &[(&str, &str)]) -> Run {
        let program = self.command(arguments);
        let mut command = updater_tests::clock::days_from_now(days);
        command.arg(env!("CARGO_BIN_EXE_cargo-updater")).args(arguments);
        for (name, value) in program.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        command.current_dir(self.path("")).stdin(std::process::Stdio::null());
        // So that rustc need not be asked for the host: its allocator hangs in a process with another clock.
        command.env("CARGO_BUILD_TARGET", "x86_64-unknown-linux-gnu");
        Run::of(command.envs(variables.iter().copied()).output().unwrap())
    }

    /// Starts the program and leaves it running, with its stdout to be read.
    pub(crate) fn start(&self, arguments: &[&str]) -> std::process::Child {
        use std::process::Stdio;
        self.command(arguments).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap()
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cargo-updater"));
        command.args(arguments).current_dir(self.path("")).stdin(std::process::Stdio::null());
        for name in [
            "UPDATER_KEY_DIR",
            "UPDATER_KEY_PASSWORD",
            "UPDATER_KEY",
            "UPDATER_ONLINE_KEY",
            "XDG_CONFIG_HOME",
            "GH_TOKEN",
            "GITHUB_TOKEN",
            "GITHUB_API_URL",
            "GITHUB_SHA",
        ] {
            command.env_remove(name);
        }
        updater_tests::process::forget_this_test(&mut command);
        command.env_remove("CARGO_TARGET_DIR").env("HOME", self.home()).env("NO_COLOR", "1");
        command
    }

    /// Returns every file of the package with its bytes, sorted by path.
    pub(crate) fn snapshot(&self) -> Vec<(PathBuf, Vec<u8>)> {
        fn walk(folder: &Path, files: &mut Vec<(PathBuf, Vec<u8>)>) {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    walk(&path, files);
                } else {
                    files.push((path.clone(), std::fs::read(&path).unwrap()));
                }
            }
        }
        let mut files = Vec::new();
        walk(self.folder.path(), &mut files);
        files.sort();
        files
    }
}

impl Run {
    fn of(output: Output) -> Self {
        let run = Self {
            code: output.status.code().unwrap(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        };
        run.must_be_described();
        run
    }

    /// Holds each message against the schema that programs and editors are given.
    fn must_be_described(&self) {
        let schema = serde_json::from_str(include_str!("../../schema/messages.schema.json")).unwrap();
        let messages = self.stdout.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
        for message in messages.filter(|message| message.get("reason").is_some()) {
            let name = message["reason"].as_str().unwrap();
            let one = updater_tests::schema::named(&schema, name);
            assert_eq!(updater_tests::schema::check_part(&schema, &one, &message), Ok(()), "{message}");
        }
    }

    /// Asserts that the program succeeded.
    #[track_caller]
    pub(crate) fn ok(self) -> Self {
        assert_eq!(self.code, 0, "stderr: {}", self.stderr);
        self
    }

    /// Asserts the exit code and that stderr has the message and the help.
    #[track_caller]
    pub(crate) fn fails(self, code: i32, message: &str, help: &str) -> Self {
        assert_eq!(self.code, code, "stderr: {}", self.stderr);
        assert!(self.stderr.contains(&format!("error: {message}")), "{message:?} is not in: {}", self.stderr);
        assert!(self.stderr.lines().any(|line| line.starts_with("  help: ") && line.contains(help)), "{}", self.stderr);
        self
    }

    /// Returns the JSON lines of stdout with this reason.
    pub(crate) fn messages(&self, reason: &str) -> Vec<serde_json::Value> {
        let lines = self.stdout.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        lines.filter(|line| line["reason"] == reason).collect()
    }
}
