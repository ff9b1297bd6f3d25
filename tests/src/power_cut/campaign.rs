//! The moments at which the power is cut, and what came of each cut.

use super::boot::{Kernel, initramfs};
use super::disk::{CacheLoss, Disk};
use super::guest::{LOOK, UPDATE};
use super::machine::{Boot, Machine};
use crate::crash::release::Versions;
use crate::crash::scenario::Scenario;
use crate::crash::world::{Kind, World};
use crate::random::Random;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// What to do.
#[derive(Debug, Clone)]
pub struct Options {
    /// How many times the power is cut, in all.
    pub cuts: usize,
    /// Where the choice of the moments begins.
    pub seed: u64,
    /// How many machines run at once.
    pub jobs: usize,
    /// Only install kinds whose name begins so.
    pub only: String,
    /// A folder with `boot/` and `lib/modules/`, in place of a kernel that is fetched.
    pub kernel: Option<PathBuf>,
}

/// What came of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Summary {
    /// Power cuts.
    pub cuts: usize,
    /// Those after which something did not hold, and undisturbed updates that did not outlast a cut after their end.
    pub failures: usize,
}

impl std::fmt::Display for Summary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "power cuts: {} cuts, {} failures", self.cuts, self.failures)
    }
}

/// What is updated, and by which route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Subject {
    /// The install.
    pub kind: Kind,
    /// The update.
    pub scenario: Scenario,
}

impl Subject {
    /// All of them. A patch completes its trial by starting, a bundle by a confirmation.
    const ALL: [Self; 3] = [
        Self { kind: Kind::Executable, scenario: Scenario::Patch },
        Self { kind: Kind::Directory, scenario: Scenario::Bundle },
        Self { kind: Kind::Versions, scenario: Scenario::Bundle },
    ];

    /// Returns its name, for example `directory/bundle`.
    #[must_use]
    pub fn name(self) -> String {
        format!("{}/{}", self.kind.name(), self.scenario.name())
    }

    /// Finds it by its name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|subject| subject.name() == name)
    }
}

/// When the power is cut.
#[derive(Debug, Clone, Copy)]
enum Moment {
    /// So long after the beginning of the update.
    After(Duration),
    /// Before the disk answers its n-th write or flush, from 0.
    Request(usize),
}

impl std::fmt::Display for Moment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::After(time) => write!(f, "after {} ms", time.as_millis()),
            Self::Request(number) => write!(f, "at request {number}"),
        }
    }
}

/// An install kind, ready to be updated, and what an undisturbed update takes.
struct Case {
    subject: Subject,
    image: Vec<u8>,
    time: Duration,
    requests: usize,
}

/// One cut that is to be made.
#[derive(Debug, Clone, Copy)]
struct Step {
    case: usize,
    number: usize,
    moment: Moment,
    loss: CacheLoss,
    seed: u64,
}

/// What one cut left.
struct Left {
    /// The last word of the update.
    word: String,
    /// The version and the digest of what was found.
    found: Option<(String, String)>,
    problem: Option<String>,
}

/// Cuts the power and writes a line about each cut. `program` is this binary; `cache` a folder to keep the kernel in.
/// # Errors
/// When the machines cannot be prepared, or one does not say a word.
pub fn run(options: &Options, program: &[u8], cache: &Path, out: &mut (impl Write + Send)) -> io::Result<Summary> {
    let folder = tempfile::Builder::new().prefix("power-cuts-").tempdir()?;
    let kernel = match &options.kernel {
        Some(folder) => Kernel::in_folder(folder)?,
        None => Kernel::fetch(cache)?,
    };
    writeln!(out, "seed {}, kernel {}, ext4, {} machines at once", options.seed, kernel.release, options.jobs)?;
    let initramfs_path = folder.path().join("initramfs");
    std::fs::write(&initramfs_path, initramfs(&kernel, program)?)?;
    let boot = Boot { kernel, initramfs: initramfs_path };
    let (mut cases, mut flaws) = (Vec::new(), 0);
    for subject in Subject::ALL.into_iter().filter(|subject| subject.name().starts_with(&options.only)) {
        let image = image(subject, program, folder.path())?;
        let (case, left) = undisturbed(&boot, subject, image, folder.path())?;
        let (name, time, requests) = (subject.name(), case.time.as_millis(), case.requests);
        writeln!(out, "{name}: an undisturbed update takes {time} ms, {requests} writes and flushes")?;
        if let Some(problem) = left.problem {
            flaws += 1;
            writeln!(out, "FAILED {name}: cut after the end of an undisturbed update: {problem}")?;
        }
        cases.push(case);
    }
    let steps = plan(&cases, options);
    let (next, out) = (AtomicUsize::new(0), Mutex::new((out, Tally::default())));
    let work = |worker: usize| -> io::Result<()> {
        let socket = folder.path().join(format!("disk-{worker}"));
        while let Some(step) = steps.get(next.fetch_add(1, Ordering::Relaxed)) {
            let left = cut(&boot, &cases[step.case], step, &socket)?;
            let mut guard = out.lock().unwrap_or_else(PoisonError::into_inner);
            let (out, tally) = &mut *guard;
            tally.add(&cases[step.case], step, &left, *out)?;
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let work = &work;
        let workers: Vec<_> = (0..options.jobs.max(1)).map(|worker| scope.spawn(move || work(worker))).collect();
        workers.into_iter().try_for_each(|worker| worker.join().unwrap_or_else(|_| Err(io::Error::other("a panic"))))
    })?;
    let (out, tally) = out.into_inner().unwrap_or_else(PoisonError::into_inner);
    for (name, versions) in &tally.found {
        let text: Vec<String> = versions.iter().map(|(version, times)| format!("{version} {times} times")).collect();
        writeln!(out, "{name}: found {}", text.join(", "))?;
    }
    writeln!(out, "{} different states were left", tally.states.len())?;
    Ok(Summary { failures: tally.summary.failures + flaws, ..tally.summary })
}

#[derive(Default)]
struct Tally {
    summary: Summary,
    states: BTreeSet<String>,
    found: BTreeMap<String, BTreeMap<String, usize>>,
}

impl Tally {
    fn add(&mut self, case: &Case, step: &Step, left: &Left, out: &mut impl Write) -> io::Result<()> {
        self.summary.cuts += 1;
        let name = case.subject.name();
        let version = left.found.as_ref().map_or("nothing whole", |(version, _)| version.as_str());
        *self.found.entry(name.clone()).or_default().entry(version.to_owned()).or_default() += 1;
        if let Some((_, state)) = &left.found {
            self.states.insert(format!("{name} {state}"));
        }
        let Step { number, moment, loss, .. } = step;
        let cache = format!("{loss:?}").to_lowercase();
        let word = if left.word.is_empty() { "nothing yet" } else { &left.word };
        let verdict = match &left.problem {
            None => "sound, starts, updates".to_owned(),
            Some(problem) => {
                self.summary.failures += 1;
                format!("FAILED: {problem}")
            }
        };
        writeln!(
            out,
            "{name} {number}: cut {moment} (said: {word}), {cache} of the disk's cache lost: found {version}: {verdict}"
        )
    }
}

/// Makes the image of a disk with an install, its repositories and its trusted root.
fn image(subject: Subject, program: &[u8], folder: &Path) -> io::Result<Vec<u8>> {
    let content = folder.join("content");
    std::fs::create_dir(&content)?;
    let versions = Versions::publish(program, subject.kind, &content)?;
    World { slot: content.join(SLOT), kind: subject.kind }.install(&versions.old)?;
    let path = folder.join("image");
    std::fs::File::create(&path)?.set_len(DISK_SIZE)?;
    let status = Command::new("mkfs.ext4").args(["-q", "-F", "-d"]).args([&content, &path]).status()?;
    if !status.success() {
        return Err(io::Error::other(format!("mkfs.ext4: {status}")));
    }
    std::fs::remove_dir_all(&content)?;
    let bytes = std::fs::read(&path)?;
    std::fs::remove_file(path)?;
    Ok(bytes)
}

/// Updates without a cut, and measures; then looks at what a cut after the end leaves.
fn undisturbed(boot: &Boot, subject: Subject, image: Vec<u8>, folder: &Path) -> io::Result<(Case, Left)> {
    let disk = Arc::new(Disk::new(&image));
    let machine = Machine::start(boot, &disk, &format!("{UPDATE}:{}", subject.name()), &folder.join("disk"))?;
    begin(&machine)?;
    disk.arm(None);
    let begin = Instant::now();
    let word = machine.wait_for(&["@end", "@unsound", "failed", "unsettled"])?;
    let (time, requests) = (begin.elapsed(), disk.requests());
    machine.kill();
    if word != "@end" {
        return Err(io::Error::other(format!("an undisturbed update of {} fails: {word}", subject.name())));
    }
    let case = Case { subject, image, time, requests };
    disk.restore(CacheLoss::All, &mut Random::new(0));
    let left = look(boot, &case, &disk, &folder.join("disk"), word)?;
    Ok((case, left))
}

/// Waits until the update begins.
fn begin(machine: &Machine) -> io::Result<()> {
    match machine.wait_for(&["@begin", "@unsound"])? {
        word if word == "@begin" => Ok(()),
        word => Err(io::Error::other(word)),
    }
}

/// Spreads the cuts over the cases, and those of a case over its update: one moment at random in each of as many equal
/// parts, by turns of its time and of its requests to the disk. A tenth of the time comes after the end.
fn plan(cases: &[Case], options: &Options) -> Vec<Step> {
    let mut random = Random::new(options.seed);
    let mut steps = Vec::new();
    for (at, case) in cases.iter().enumerate() {
        let cuts = options.cuts * (at + 1) / cases.len() - options.cuts * at / cases.len();
        for number in 0..cuts {
            // In millionths of the update.
            let place = (number * MILLION + random.below(MILLION)) / cuts;
            let moment = if number % 2 == 0 {
                let time = case.time.as_micros() * 11 / 10 * place as u128 / MILLION as u128;
                Moment::After(Duration::from_micros(u64::try_from(time).unwrap_or(u64::MAX)))
            } else {
                Moment::Request(case.requests * place / MILLION)
            };
            steps.push(Step {
                case: at,
                number: number + 1,
                moment,
                loss: CacheLoss::of(number / 2),
                seed: random.below(MILLION) as u64,
            });
        }
    }
    steps
}

/// Cuts the power of an update at a moment and looks at what is left.
fn cut(boot: &Boot, case: &Case, step: &Step, socket: &Path) -> io::Result<Left> {
    let disk = Arc::new(Disk::new(&case.image));
    let machine = Machine::start(boot, &disk, &format!("{UPDATE}:{}", case.subject.name()), socket)?;
    begin(&machine)?;
    let (end, request) = match step.moment {
        Moment::After(time) => (Instant::now() + time, None),
        Moment::Request(number) => (Instant::now() + PATIENCE, Some(number)),
    };
    disk.arm(request);
    let mut word = String::new();
    while Instant::now() < end && !disk.is_off() && !(request.is_some() && word == "@end") {
        let soon = end.min(Instant::now() + PAUSE);
        if let Some(line) = machine.line(soon)?.filter(|line| WORDS.iter().any(|known| line.starts_with(known))) {
            word = line;
        }
    }
    machine.kill();
    disk.restore(step.loss, &mut Random::new(step.seed));
    look(boot, case, &disk, socket, word)
}

/// Boots from what is left, and lets the guest judge it.
fn look(boot: &Boot, case: &Case, disk: &Arc<Disk>, socket: &Path, word: String) -> io::Result<Left> {
    let machine = Machine::start(boot, disk, &format!("{LOOK}:{}", case.subject.name()), socket)?;
    let mut found = None;
    let mut problem = loop {
        let line = match machine.wait_for(&["@found", "@sound", "@unsound", "Kernel panic"]) {
            Ok(line) => line,
            // Whatever keeps it from a word is no sound install. The other cuts are made all the same.
            Err(error) => break Some(error.to_string()),
        };
        match line.split_once(' ') {
            None => break None,
            Some(("@found", rest)) => found = rest.split_once(' ').map(|(v, s)| (v.to_owned(), s.to_owned())),
            Some((_, rest)) => break Some(rest.to_owned()),
        }
    };
    machine.kill();
    // What was reported as done is done.
    let is_reported = word.starts_with(REPORTED) || word.starts_with("@done") || word == "@end";
    if problem.is_none() && is_reported && found.as_ref().is_none_or(|(version, _)| version != NEW) {
        problem = Some(format!("{NEW} had said that it is installed"));
    }
    Ok(Left { word, found, problem })
}

/// Where the disk is mounted.
pub const DISK_FOLDER: &str = "/disk";
/// The folder of the install on the disk.
pub const SLOT: &str = "slot";
/// The version that is installed by the update.
const NEW: &str = "1.1.0";
/// The first word of the new version after the restart.
const REPORTED: &str = "version 1.1.0";
/// How lines begin that tell how far an update is.
const WORDS: [&str; 7] = ["@", "event", "version", "none", "failed", "unsettled", "Kernel panic"];
/// The size of the disk in bytes, five times what an update needs.
const DISK_SIZE: u64 = 128 * 1024 * 1024;
const MILLION: usize = 1_000_000;
/// How long an update may take until a request is reached.
const PATIENCE: Duration = Duration::from_secs(300);
const PAUSE: Duration = Duration::from_millis(20);
