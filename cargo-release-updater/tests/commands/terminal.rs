//! A program on a terminal of its own, as a person sees and answers it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// A terminal with a program in it.
pub(crate) struct Terminal {
    socket: PathBuf,
}

impl Terminal {
    /// Starts a program. `socket` is where the terminal is found; it must not exist.
    pub(crate) fn start(program: &Command, socket: &Path) -> Self {
        Self::of_width(program, socket, 160)
    }

    /// Does the same on a terminal with so many columns.
    pub(crate) fn of_width(program: &Command, socket: &Path, columns: u16) -> Self {
        let terminal = Self { socket: socket.to_owned() };
        let mut tmux = terminal.tmux();
        tmux.args(["-f", "/dev/null", "new-session", "-d", "-x", &columns.to_string(), "-y", "60"]);
        tmux.arg("env");
        // `env` takes what goes before what comes.
        for name in program.get_envs().filter(|(_, value)| value.is_none()).map(|(name, _)| name) {
            tmux.arg("-u").arg(name);
        }
        for (name, value) in program.get_envs().filter_map(|(name, value)| Some((name, value?))) {
            tmux.arg(format!("{}={}", name.to_str().unwrap(), value.to_str().unwrap()));
        }
        // The screen stays when the program has ended, and says with which exit code.
        tmux.args(["sh", "-c", r#""$@"; echo "It ended with $?."; exec sleep 600"#, "sh"]);
        tmux.arg(program.get_program()).args(program.get_args());
        tmux.current_dir(program.get_current_dir().unwrap_or_else(|| Path::new("/")));
        // tmux 3.3 says now and then that its server exited while it started; nothing has run then.
        let started = Instant::now();
        while !tmux.status().unwrap().success() {
            assert!(started.elapsed() < PATIENCE, "tmux does not start");
            std::thread::sleep(Duration::from_millis(100));
        }
        terminal
    }

    fn tmux(&self) -> Command {
        let mut tmux = Command::new("tmux");
        tmux.arg("-S").arg(&self.socket);
        tmux
    }

    pub(crate) fn screen(&self) -> String {
        let output = self.tmux().args(["capture-pane", "-p", "-S", "-200"]).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    }

    /// Waits until the screen shows a text.
    #[track_caller]
    pub(crate) fn shows(&self, text: &str) {
        let started = Instant::now();
        while !self.screen().contains(text) {
            assert!(started.elapsed() < PATIENCE, "{text:?} does not appear in {}", self.screen());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    pub(crate) fn types(&self, keys: &[&str]) {
        assert!(self.tmux().arg("send-keys").args(keys).status().unwrap().success());
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        drop(self.tmux().arg("kill-server").status());
        drop(std::fs::remove_file(&self.socket));
    }
}

/// How long something may take to appear, on a machine that does much else.
const PATIENCE: Duration = Duration::from_secs(60);
