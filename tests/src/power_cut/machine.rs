//! QEMU: a machine whose console is read line by line, and which is killed.

use super::boot::Kernel;
use super::disk::Disk;
use super::guest::TASK;
use std::io::{self, BufRead as _, BufReader};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// What every machine boots.
#[derive(Debug)]
pub struct Boot {
    /// The kernel.
    pub kernel: Kernel,
    /// The file with the file system in memory.
    pub initramfs: PathBuf,
}

/// A running machine.
#[derive(Debug)]
pub struct Machine {
    child: Child,
    lines: Receiver<String>,
    disk: Arc<Disk>,
    server: Option<JoinHandle<io::Result<()>>>,
    socket: PathBuf,
}

impl Machine {
    /// Starts a machine with a task. `socket` is a path for its disk that nobody else uses.
    /// # Errors
    /// When QEMU cannot be started.
    pub fn start(boot: &Boot, disk: &Arc<Disk>, task: &str, socket: &Path) -> io::Result<Self> {
        let _ = std::fs::remove_file(socket);
        let listener = UnixListener::bind(socket)?;
        let served = Arc::clone(disk);
        let server = std::thread::spawn(move || listener.accept().and_then(|(stream, _)| served.serve(stream)));
        // `no_timer_check`: the kernel measures a timer while it boots, and gives up where the emulator got no time for it.
        // No KVM: where the tests run there is often none that works, and the moments do not depend on its speed.
        let mut child = Command::new(QEMU)
            .args(["-accel", "tcg", "-cpu", "max", "-m", "320", "-nodefaults", "-no-user-config", "-no-reboot"])
            .args(["-display", "none", "-serial", "stdio", "-kernel"])
            .arg(&boot.kernel.image)
            .arg("-initrd")
            .arg(&boot.initramfs)
            .args(["-append", &format!("console=ttyS0 quiet panic=-1 no_timer_check random.trust_cpu=on {TASK}{task}")])
            .args([
                "-drive",
                &format!("file=nbd+unix:///?socket={},format=raw,if=virtio,cache=writeback", socket.display()),
            ])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()?;
        let (sender, lines) = channel();
        if let Some(console) = child.stdout.take() {
            std::thread::spawn(move || {
                for line in BufReader::new(console).split(b'\n').map_while(Result::ok) {
                    let line = String::from_utf8_lossy(&line).trim_end().to_owned();
                    if sender.send(line).is_err() {
                        break;
                    }
                }
            });
        }
        Ok(Self { child, lines, disk: Arc::clone(disk), server: Some(server), socket: socket.to_owned() })
    }

    /// Returns the next line of the console; `None` when there is none by a moment.
    /// # Errors
    /// When the machine has ended by itself.
    pub fn line(&self, until: Instant) -> io::Result<Option<String>> {
        match self.lines.recv_timeout(until.saturating_duration_since(Instant::now())) {
            Ok(line) => Ok(Some(line)),
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => Err(io::Error::other("the machine has ended by itself")),
        }
    }

    /// Waits for a line that begins in one of these ways.
    /// # Errors
    /// When it does not come, with the last lines.
    pub fn wait_for(&self, beginnings: &[&str]) -> io::Result<String> {
        let until = Instant::now() + PATIENCE;
        let mut seen: Vec<String> = Vec::new();
        loop {
            match self.line(until) {
                Ok(Some(line)) if beginnings.iter().any(|beginning| line.starts_with(beginning)) => return Ok(line),
                Ok(Some(line)) => seen.push(line),
                Ok(None) => {
                    return Err(io::Error::other(format!("no {beginnings:?} within {PATIENCE:?}: {}", last(&seen))));
                }
                Err(error) => return Err(io::Error::other(format!("{error}: {}", last(&seen)))),
            }
        }
    }

    /// Kills the machine, with everything that it has in memory, and waits until its disk has seen the last request.
    pub fn kill(mut self) {
        self.end();
    }

    fn end(&mut self) {
        self.disk.cut();
        let _ = self.child.kill();
        let _ = self.child.wait();
        // A machine that never came to its disk leaves the server waiting for it.
        drop(std::os::unix::net::UnixStream::connect(&self.socket));
        if let Some(server) = self.server.take() {
            let _ = server.join();
        }
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        if self.server.is_some() {
            self.end();
        }
    }
}

fn last(lines: &[String]) -> String {
    lines[lines.len().saturating_sub(SHOWN)..].join(" | ")
}

/// The program that emulates the machine.
pub const QEMU: &str = "qemu-system-x86_64";
/// How long a word of a machine may take: emulated, on a loaded computer.
const PATIENCE: Duration = Duration::from_secs(300);
/// How many lines are shown when something is wrong.
const SHOWN: usize = 12;
