//! Starting programs that a test has just written, and the Cargo that writes them.

use std::io::ErrorKind;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

/// Starts a command. A program that was just written is busy for a moment when another thread forks meanwhile: the child
/// has it open for writing until its own exec.
/// # Errors
/// When it cannot be started, or stays busy for ten seconds.
pub fn start(command: &mut Command) -> std::io::Result<Child> {
    let begin = Instant::now();
    loop {
        match command.spawn() {
            Err(error) if error.kind() == ErrorKind::ExecutableFileBusy && begin.elapsed() < LONGEST => {
                std::thread::sleep(Duration::from_millis(5));
            }
            other => return other,
        }
    }
}

/// Prepares the Cargo that built this test, to build something else.
#[must_use]
pub fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    forget_this_test(&mut command);
    command
}

/// Keeps from a command what Cargo tells this test of its package: build scripts that look at it, as that of ring does, would
/// all run once more, and what depends on them would be compiled again.
pub fn forget_this_test(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(|name| OF_THIS_TEST.iter().any(|start| name.starts_with(start))) {
            command.env_remove(name);
        }
    }
}

const OF_THIS_TEST: [&str; 2] = ["CARGO_PKG_", "CARGO_MANIFEST_"];
const LONGEST: Duration = Duration::from_secs(10);
