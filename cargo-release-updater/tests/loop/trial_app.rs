//! The app of the trials: 1.0.0, and several programs that could come after it, each built and published once.

use crate::app::{App, Installed};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use updater_tests::server::TestServer;

/// What a version does around its `updater!()`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Behaviour {
    /// Nothing but its work.
    Healthy,
    /// Kills itself by SIGKILL.
    Killed,
    /// Calls `abort`.
    Aborts,
    /// Panics.
    Panics,
    /// Ends before it can answer the probe. It is published with `probe = false`, or the rehearsal would refuse it.
    Mute,
}

impl Behaviour {
    fn code(self) -> &'static str {
        match self {
            Self::Healthy => "",
            // The shell's parent is this program.
            Self::Killed => {
                "std::process::Command::new(\"/bin/sh\").args([\"-c\", \"kill -KILL $PPID\"]).status().ok();"
            }
            Self::Aborts => "std::process::abort();",
            Self::Panics => "panic!(\"broken\");",
            Self::Mute => "std::process::exit(0);",
        }
    }

    fn source(self) -> String {
        let code = self.code();
        let (before, after) = if self == Self::Mute { (code, "") } else { ("", code) };
        format!("pub fn before_start() {{ {before} }}\npub fn after_start() {{ {after} }}\n")
    }
}

/// The package, and where its repositories are.
pub(crate) struct TrialApp {
    pub(crate) app: App,
    /// The repository that has 1.0.0 alone.
    pub(crate) first: PathBuf,
    second: BTreeMap<Behaviour, PathBuf>,
}

/// Returns the app. Tests that need it at the same time wait for each other while it builds.
pub(crate) fn trial_app() -> MutexGuard<'static, TrialApp> {
    static APP: OnceLock<Mutex<TrialApp>> = OnceLock::new();
    APP.get_or_init(|| Mutex::new(TrialApp::new())).lock().unwrap_or_else(PoisonError::into_inner)
}

impl TrialApp {
    fn new() -> Self {
        // Nobody listens on port 1: each run names its repository.
        let app = App::new(include_str!("programs/trial.rs"), "http://127.0.0.1:1", "trial = \"confirm\"\n");
        app.write("src/behaviour.rs", &Behaviour::Healthy.source());
        let first = app.publish("repositories/first");
        Self { app, first, second: BTreeMap::new() }
    }

    /// Returns a repository in which 1.1.0 behaves like this.
    pub(crate) fn with_second(&mut self, behaviour: Behaviour) -> PathBuf {
        if let Some(repository) = self.second.get(&behaviour) {
            return repository.clone();
        }
        let repository = self.app.path("repositories").join(format!("{behaviour:?}"));
        copy_folder(&self.first, &repository);
        if behaviour == Behaviour::Mute {
            self.app.replace("Cargo.toml", "profile = \"dev\"", "probe = false\nprofile = \"dev\"");
        }
        self.publish("1.1.0", behaviour, &repository);
        if behaviour == Behaviour::Mute {
            self.app.replace("Cargo.toml", "probe = false\n", "");
        }
        self.second.insert(behaviour, repository.clone());
        repository
    }

    /// Publishes a version on top of what a repository has.
    pub(crate) fn publish(&self, version: &str, behaviour: Behaviour, repository: &Path) {
        self.at(version, behaviour, || drop(self.app.publish(repository.to_str().unwrap())));
    }

    /// Does something while the package is another version, then sets it back.
    pub(crate) fn at<T>(&self, version: &str, behaviour: Behaviour, act: impl FnOnce() -> T) -> T {
        let line = format!("version = \"{version}\"\nedition");
        self.app.replace("Cargo.toml", "version = \"1.0.0\"\nedition", &line);
        self.app.write("src/behaviour.rs", &behaviour.source());
        let result = act();
        self.app.replace("Cargo.toml", &line, "version = \"1.0.0\"\nedition");
        self.app.write("src/behaviour.rs", &Behaviour::Healthy.source());
        result
    }

    /// Installs 1.0.0 and serves a repository in which 1.1.0 behaves like this.
    pub(crate) fn installed_before(&mut self, behaviour: Behaviour) -> (Installed, TestServer) {
        let repository = self.with_second(behaviour);
        let server = TestServer::start();
        server.serve_folder(&repository);
        (self.app.install(&self.first, "1.0.0"), server)
    }
}

/// Copies a folder with everything in it.
pub(crate) fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        match path.is_dir() {
            true => copy_folder(&path, &target),
            false => drop(std::fs::copy(&path, &target).unwrap()),
        }
    }
}
