//! Starting programs that a test has just written.

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

const LONGEST: Duration = Duration::from_secs(10);
