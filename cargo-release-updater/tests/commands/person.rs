//! A ceremony as a person goes through it: on a terminal, by question and answer.

use crate::package::Package;
use crate::publish::publish;
use crate::refresh::real_package;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};
use updater_tests::require;

/// A terminal with the program in it.
struct Terminal {
    socket: PathBuf,
}

impl Terminal {
    fn start(package: &Package, arguments: &[&str]) -> Self {
        let program = package.command(arguments);
        let terminal = Self { socket: package.home().join("tmux") };
        let mut tmux = terminal.tmux();
        tmux.args(["-f", "/dev/null", "new-session", "-d", "-x", "160", "-y", "60"]);
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
        tmux.arg(program.get_program()).args(program.get_args()).current_dir(package.path(""));
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

    fn screen(&self) -> String {
        let output = self.tmux().args(["capture-pane", "-p", "-S", "-200"]).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    }

    /// Waits until the screen shows a text.
    #[track_caller]
    fn shows(&self, text: &str) {
        let started = Instant::now();
        while !self.screen().contains(text) {
            assert!(started.elapsed() < PATIENCE, "{text:?} does not appear in {}", self.screen());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn types(&self, keys: &[&str]) {
        assert!(self.tmux().arg("send-keys").args(keys).status().unwrap().success());
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        drop(self.tmux().arg("kill-server").status());
    }
}

#[test]
fn a_person_is_asked_which_role_and_whether_to_sign_and_to_publish() {
    if !require::command("tmux", "apt-get install tmux") {
        return;
    }
    let package = real_package();
    package.run(&publish("1.0.0", &[])).ok();
    let terminal = Terminal::start(&package, &["keys", "rotate", "--wait", "1"]);
    terminal.shows("Which role gets another key");
    terminal.types(&["Down", "Down", "Enter"]);
    terminal.shows("Password for the new keys");
    terminal.types(&["otter violin rust", "Enter"]);
    terminal.shows("The same again");
    terminal.types(&["otter violin rust", "Enter"]);
    terminal.shows("change: timestamp: ");
    terminal.shows("Sign this with the keys that are here?");
    terminal.types(&["y"]);
    terminal.shows("Publish what is signed of hello?");
    // An answer that stops it changes nothing, and the same command goes on.
    terminal.types(&["n"]);
    terminal.shows("stopped by your answer");
    terminal.shows("It ended with 2.");
    assert!(!terminal.screen().contains("otter"), "{}", terminal.screen());
    drop(terminal);
    assert!(!package.path("target/updater/repository/hello/metadata/2.root.json").exists());

    let terminal = Terminal::start(&package, &["keys", "rotate", "online", "--wait", "1"]);
    terminal.shows("Continuing the ceremony in");
    terminal.shows("Publish what is signed of hello?");
    terminal.types(&["y"]);
    terminal.shows("online-2.key");
    terminal.types(&["otter violin rust", "Enter"]);
    terminal.shows("Published the new documents of hello: root");
    terminal.shows("It ended with 0.");
    drop(terminal);
    package.run(&["verify"]).ok();
}

/// How long something may take to appear, on a machine that does much else.
const PATIENCE: Duration = Duration::from_secs(60);
