//! The first process of the machine: it takes the update, or judges what a cut has left of it. Words for the host go to the
//! console, one line each, and begin with `@`.

use super::campaign::{DISK_FOLDER, Subject};
use crate::crash::judge::Judge;
use crate::crash::release::Versions;
use crate::crash::world::World;
use rustix::mount::MountFlags;
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, lchown};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Begins what the kernel's command line asks for; `None` when this process is not the first one of such a machine.
pub fn main() -> Option<()> {
    if std::process::id() != 1 {
        return None;
    }
    if let Err(problem) = run() {
        say(&format!("@unsound {}", problem.replace('\n', " | ")));
    }
    // The host ends the machine.
    loop {
        std::thread::sleep(Duration::from_secs(3600));
    }
}

fn run() -> Result<(), String> {
    let text = |error: io::Error| error.to_string();
    let mount = |source: &str, target: &str, kind: &str| {
        rustix::mount::mount(source, target, kind, MountFlags::empty(), None)
            .map_err(|error| format!("{target} cannot be mounted: {error}"))
    };
    mount("proc", "/proc", "proc")?;
    mount("dev", "/dev", "devtmpfs")?;
    let mut drivers: Vec<PathBuf> =
        std::fs::read_dir("/drivers").map_err(text)?.flatten().map(|entry| entry.path()).collect();
    drivers.sort();
    for driver in drivers {
        let bytes = std::fs::read(&driver).map_err(text)?;
        rustix::system::init_module(&bytes, c"").map_err(|error| format!("{}: {error}", driver.display()))?;
    }
    let begin = Instant::now();
    while !Path::new(DEVICE).exists() && begin.elapsed() < PATIENCE {
        std::thread::sleep(PAUSE);
    }
    mount(DEVICE, DISK_FOLDER, "ext4")?;
    let line = std::fs::read_to_string("/proc/cmdline").map_err(text)?;
    let task = line.split_whitespace().find_map(|word| word.strip_prefix(TASK)).ok_or("there is no task")?;
    let (mode, subject) = task.split_once(':').ok_or("there is no task")?;
    let judge = judge(Subject::parse(subject).ok_or_else(|| format!("{subject} is not known"))?)?;
    if mode == UPDATE { update(&judge) } else { look(&judge) }
}

/// Takes the update and ends its trial.
fn update(judge: &Judge) -> Result<(), String> {
    own(Path::new(DISK_FOLDER)).map_err(|error| error.to_string())?;
    rustix::fs::sync();
    say("@begin");
    // The host notes the moment.
    std::thread::sleep(PAUSE);
    for argument in ["update", "confirm"] {
        let mut command = Command::new(judge.world.program());
        let repository = judge.repository;
        let status = judge.dress(command.arg(argument), repository).stdin(Stdio::null()).status();
        match status {
            Ok(status) if status.success() => say(&format!("@done {argument}")),
            other => return Err(format!("{argument}: {other:?}")),
        }
    }
    say("@end");
    Ok(())
}

/// Says what is installed, whether it is sound, and whether updates go on.
fn look(judge: &Judge) -> Result<(), String> {
    let known = [&judge.known[0], &judge.known[1]];
    let found = judge.world.installed(&known)?;
    let state = judge.world.fingerprint().map_err(|error| error.to_string())?;
    say(&format!("@found {} {state}", found.version));
    judge.judge()?;
    say("@sound");
    Ok(())
}

fn judge(subject: Subject) -> Result<Judge, String> {
    // The same bytes as on the host give the same versions.
    let program = std::fs::read("/proc/self/exe").map_err(|error| error.to_string())?;
    let Versions { old, new, next, .. } = Versions::new(&program, subject.kind);
    let folder = PathBuf::from(DISK_FOLDER);
    Ok(Judge {
        world: World { slot: folder.join(super::campaign::SLOT), kind: subject.kind },
        known: [old, new],
        next,
        repository: subject.scenario.repository(),
        trial: subject.scenario.trial(),
        patience: START_PATIENCE,
        remembers: false,
        folder: PathBuf::from("/"),
        shared: folder,
    })
}

/// Gives everything to root: the image was made by whoever runs the harness.
fn own(path: &Path) -> io::Result<()> {
    let metadata = std::fs::symlink_metadata(path)?;
    if metadata.uid() != 0 || metadata.gid() != 0 {
        lchown(path, Some(0), Some(0))?;
    }
    if metadata.is_dir() {
        for entry in std::fs::read_dir(path)? {
            own(&entry?.path())?;
        }
    }
    Ok(())
}

fn say(line: &str) {
    let mut out = io::stdout();
    // Whoever does not listen has killed us already.
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

/// Begins the word of the kernel's command line that says what to do.
pub const TASK: &str = "power-cuts=";
/// The task to take the update.
pub const UPDATE: &str = "update";
/// The task to look at what is there.
pub const LOOK: &str = "look";
const DEVICE: &str = "/dev/vda";
const PATIENCE: Duration = Duration::from_secs(60);
/// How long a start of the app may take: emulated, on a loaded computer.
const START_PATIENCE: Duration = Duration::from_secs(240);
const PAUSE: Duration = Duration::from_millis(100);
