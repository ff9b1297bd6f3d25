//! A launcher that runs: started here, asked by its own commands, and ended whatever the test does.

use crate::scene::{Scene, text};
use serde_json::Value;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A supervisor in the background of a test.
pub(crate) struct Running<'a> {
    pub(crate) scene: &'a Scene,
    pub(crate) child: Child,
}

impl Scene {
    /// Starts the supervisor and waits until it answers.
    pub(crate) fn start(&self) -> Running<'_> {
        let running = self.spawn();
        until("the launcher answers", || self.app().join("var/run/control.sock").exists());
        running
    }

    /// Starts the supervisor.
    pub(crate) fn spawn(&self) -> Running<'_> {
        self.spawn_by(self.command(&["start"]))
    }

    /// Starts a command that ends as a supervisor.
    pub(crate) fn spawn_by(&self, mut command: Command) -> Running<'_> {
        let log = std::fs::File::create(self.folder.path().join("stderr")).unwrap();
        let child = command.arg("-C").arg(self.app()).stdout(Stdio::null()).stderr(log).spawn().unwrap();
        Running { scene: self, child }
    }
}

impl Running<'_> {
    /// Returns what `status` says.
    pub(crate) fn status(&self) -> Value {
        serde_json::from_str(&self.scene.ok(&["status"])).unwrap()
    }

    /// Waits until a version runs and is ready.
    pub(crate) fn ready(&self, version: &str) {
        until(&format!("{version} is ready: {}", self.log()), || {
            let status = self.status();
            status["version"] == version && status["ready"] == true
        });
    }

    /// Returns the process of the app.
    pub(crate) fn app_pid(&self) -> i32 {
        i32::try_from(self.status()["pid"].as_i64().unwrap()).unwrap()
    }

    /// Returns what the launcher has logged.
    pub(crate) fn log(&self) -> String {
        self.scene.read("var/log/launcher.log")
    }

    /// Sends a signal to the launcher.
    pub(crate) fn signal(&self, signal: &str) {
        kill(i32::try_from(self.child.id()).unwrap(), signal);
    }

    /// Waits for the end of the launcher and returns its exit code.
    pub(crate) fn end(&mut self) -> Option<i32> {
        let begin = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            assert!(begin.elapsed() < PATIENCE, "the launcher does not end: {}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Stops the launcher by its command.
    pub(crate) fn stop(&mut self) {
        let output = self.scene.run(&["stop"]);
        assert!(output.status.success(), "{}", text(&output.stderr));
        assert_eq!(self.end(), Some(0), "{}", self.log());
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        if !matches!(self.child.try_wait(), Ok(Some(_))) {
            // The app dies with it.
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// Sends a signal to a process.
pub(crate) fn kill(pid: i32, signal: &str) {
    let status = Command::new("kill").arg(format!("-{signal}")).arg(pid.to_string()).status().unwrap();
    assert!(status.success(), "kill -{signal} {pid}");
}

/// Tells whether a process lives; a zombie does not.
pub(crate) fn lives(pid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
}

/// Waits until something holds.
#[track_caller]
pub(crate) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !holds() {
        assert!(begin.elapsed() < PATIENCE, "not after {PATIENCE:?}: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// How long anything here may take: the machine may be busy with other things.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
