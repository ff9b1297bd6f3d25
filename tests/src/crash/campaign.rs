//! Which calls are disturbed, in which order, and what came of it.

use super::power::Cut;
use super::scenario::{Case, Scenario, cases};
use super::trace::{Call, ERRORS, Fault};
use super::world::Kind;
use crate::random::Random;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io::{self, Write};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// What to run.
#[derive(Debug, Clone)]
pub struct Options {
    /// Every changing call of every case is killed and made to fail in each way, one of each group of other calls is made
    /// to fail, and the power is cut wherever that leaves something of its own.
    pub all: bool,
    /// Only disturbances of this kind, and every one of them: `kill`, `error`, `lie`, `short` or `cut`.
    pub faults: Option<String>,
    /// How many runs there are at most, otherwise.
    pub runs: usize,
    /// How long the runs go on at most; what was not reached then is left out.
    pub time: Option<Duration>,
    /// How many runs go on at once; as many as there are processors, if not said.
    pub jobs: Option<usize>,
    /// Where the choice begins.
    pub seed: u64,
    /// Only cases whose name begins so, for example `directory/` or `executable/patch`.
    pub only: String,
    /// One disturbance, as a failure prints it: `directory/patch/renameat2:1=KILL`, `directory/patch/cut:120=later`.
    pub at: Option<String>,
}

/// What came of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Summary {
    /// Different calls that were killed.
    pub calls: usize,
    /// Errors, lies, short writes and power cuts.
    pub faults: usize,
    /// How many of these were power cuts.
    pub cuts: usize,
    /// Install kinds.
    pub kinds: usize,
    /// Runs.
    pub runs: usize,
    /// Different states that were left, byte for byte, and from each of which the app went on.
    pub states: usize,
    /// Runs after which something did not hold.
    pub failures: usize,
}

impl std::fmt::Display for Summary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { calls, faults, kinds, runs, failures, .. } = self;
        write!(f, "crash points: {calls} calls, {faults} faults, {kinds} kinds, {runs} runs, {failures} failures")
    }
}

/// One disturbance of a case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Step {
    case: usize,
    what: What,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum What {
    Call(usize, Fault),
    Cut(Cut),
}

impl What {
    /// Returns the name of its kind, as [`Options::faults`] takes it.
    fn kind(self) -> &'static str {
        match self {
            Self::Call(_, Fault::Kill) => "kill",
            Self::Call(_, Fault::Error(_)) => "error",
            Self::Call(_, Fault::Lie(_)) => "lie",
            Self::Call(_, Fault::Short) => "short",
            Self::Cut(_) => "cut",
        }
    }
}

/// Prepares the cases, runs what was asked for, and writes each failure with the command that repeats it.
/// # Errors
/// When the cases cannot be prepared or `out` is closed.
pub fn run(options: &Options, program: &[u8], out: &mut (impl Write + Send)) -> io::Result<Summary> {
    let mut kinds = Vec::new();
    for kind in Kind::ALL {
        let name = |scenario: &Scenario| format!("{}/{}", kind.name(), scenario.name());
        let concerns = |scenario: &Scenario| match &options.at {
            Some(at) => at.starts_with(&format!("{}/", name(scenario))),
            None => name(scenario).starts_with(&options.only),
        };
        let wanted: Vec<Scenario> = Scenario::ALL.into_iter().filter(|s| s.concerns(kind) && concerns(s)).collect();
        if wanted.is_empty() {
            continue;
        }
        let folder = tempfile::Builder::new().prefix("crash-points-").tempdir()?;
        kinds.push((kind, folder, wanted));
    }
    // Each kind has a folder of its own, and a recording mostly waits for strace and the disk.
    let cases = std::thread::scope(|scope| {
        let record = |(kind, folder, wanted): &(Kind, tempfile::TempDir, Vec<Scenario>)| {
            cases(program, *kind, &std::fs::canonicalize(folder.path())?, wanted).map_err(io::Error::other)
        };
        let recorders: Vec<_> = kinds.iter().map(|kind| scope.spawn(move || record(kind))).collect();
        let recorded =
            recorders.into_iter().map(|recorder| recorder.join().unwrap_or_else(|_| Err(io::Error::other("a panic"))));
        recorded.collect::<io::Result<Vec<_>>>()
    })?;
    let cases: Vec<Case> = cases.into_iter().flatten().collect();
    let cuts = cases.iter().map(|case| case.recording.cuts()).collect::<io::Result<Vec<_>>>()?;
    let mut summary = Summary { kinds: kinds.len(), ..Summary::default() };
    for (case, cuts) in cases.iter().zip(&cuts) {
        let changing = case.calls.iter().filter(|call| is_point(call)).count();
        let (name, all, cuts) = (case.name(), case.calls.len(), cuts.len());
        writeln!(out, "{name}: {changing} changing calls of {all}, {cuts} states after a power cut")?;
        if let Some(flaw) = &case.flaw {
            summary.failures += 1;
            writeln!(out, "FAILED {name}: undisturbed: {flaw}")?;
        }
    }
    let steps = match &options.at {
        Some(at) => vec![find(&cases, &cuts, at).ok_or_else(|| io::Error::other(format!("there is no call {at}")))?],
        None => plan(&cases, &cuts, options),
    };
    let progress =
        Mutex::new(Progress { waiting: steps.into(), busy: BTreeSet::new(), killed: BTreeSet::new(), summary });
    let out = Mutex::new(out);
    let end = options.time.map(|limit| Instant::now() + limit);
    let workers = options.jobs.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from));
    std::thread::scope(|scope| {
        let work = || -> io::Result<()> {
            loop {
                // Not in a `while let`, which would hold the lock until the step is done.
                let next = lock(&progress).next(end);
                let Some(step) = next else { break };
                let problem = disturb(&cases[step.case], step.what);
                if let Some(problem) = &problem {
                    report(&cases[step.case], step.what, problem, &mut **lock(&out))?;
                }
                lock(&progress).done(step, problem.is_some());
            }
            Ok(())
        };
        let workers: Vec<_> = (0..workers.max(1)).map(|_| scope.spawn(work)).collect();
        workers.into_iter().try_for_each(|worker| worker.join().unwrap_or_else(|_| Err(io::Error::other("a panic"))))
    })?;
    let progress = progress.into_inner().unwrap_or_else(PoisonError::into_inner);
    let states = cases.iter().map(Case::states).sum();
    Ok(Summary { calls: progress.killed.len(), states, ..progress.summary })
}

/// What is to be done, and what was. Each case has one place on disk, so at most one of its steps runs at a time.
struct Progress {
    waiting: VecDeque<Step>,
    busy: BTreeSet<usize>,
    killed: BTreeSet<(usize, usize)>,
    summary: Summary,
}

impl Progress {
    fn next(&mut self, end: Option<Instant>) -> Option<Step> {
        if end.is_some_and(|end| Instant::now() > end) {
            return None;
        }
        // Where none is left but for busy cases, those who run these take them.
        let at = self.waiting.iter().position(|step| !self.busy.contains(&step.case))?;
        let step = self.waiting.remove(at)?;
        self.busy.insert(step.case);
        Some(step)
    }

    fn done(&mut self, step: Step, has_failed: bool) {
        self.busy.remove(&step.case);
        self.summary.runs += 1;
        self.summary.failures += usize::from(has_failed);
        match step.what {
            What::Call(call, Fault::Kill) => drop(self.killed.insert((step.case, call))),
            What::Call(..) => self.summary.faults += 1,
            What::Cut(_) => {
                self.summary.faults += 1;
                self.summary.cuts += 1;
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn disturb(case: &Case, what: What) -> Option<String> {
    let result = match what {
        What::Call(call, fault) => case.disturbed(call, fault),
        What::Cut(cut) => case.cut(cut),
    };
    result.unwrap_or_else(|error| Some(error.to_string()))
}

fn report(case: &Case, what: What, problem: &str, out: &mut impl Write) -> io::Result<()> {
    let (at, place) = match what {
        What::Call(call, fault) => {
            let call = &case.calls[call];
            (format!("{}:{}={fault}", call.name, call.number), format!("at {}({})", call.name, call.arguments))
        }
        What::Cut(Cut { after, loss }) => {
            let last = after.checked_sub(1).map(|last| case.recording.records[last].to_string());
            (format!("cut:{after}={}", loss.name()), format!("after {}", last.unwrap_or_else(|| "nothing".to_owned())))
        }
    };
    let at = format!("{}/{at}", case.name());
    writeln!(out, "FAILED {at}: {problem}\n    {place}")?;
    writeln!(out, "    repeat: cargo run -p updater-tests --bin crash-points -- --at '{at}'")
}

/// The start of the program itself is no step of the change.
fn is_point(call: &Call) -> bool {
    call.changes() && call.number > 0 && !call.is_ambiguous
}

fn plan(cases: &[Case], cuts: &[Vec<Cut>], options: &Options) -> Vec<Step> {
    let mut random = Random::new(options.seed);
    let mut kills: BTreeMap<(usize, String), Vec<Step>> = BTreeMap::new();
    let mut errors: BTreeMap<(usize, String), Vec<Step>> = BTreeMap::new();
    let mut every = Vec::new();
    for (at, case) in cases.iter().enumerate() {
        // Before it looks for its journal the program is only loaded: what fails there is nobody's update.
        let begin = case.calls.iter().position(|call| call.arguments.contains("state.json")).unwrap_or(0);
        let restart = case.calls.iter().position(|call| call.name == "execve" && call.number > 0);
        // The restarted program is loaded in the same way, and reads who it is.
        let after = |restart| case.calls[restart..].iter().position(|call| call.arguments.contains("state.json"));
        let loading = restart.map_or(0..0, |at| at + 1..after(at).map_or(case.calls.len(), |more| at + more));
        for (index, call) in case.calls.iter().enumerate() {
            let group = (at, call.group());
            let step = |fault| Step { case: at, what: What::Call(index, fault) };
            if is_point(call) {
                kills.entry(group.clone()).or_default().push(step(Fault::Kill));
            }
            let is_large_write = call.name == "write" && written(call) > 1;
            // A thread that restarts the program counts anew in it, so that a lie that nobody noticed would be told twice.
            let can_lie = is_large_write && case.scenario != Scenario::Thread;
            let can_be_short = is_large_write && restart.is_none_or(|restart| index < restart);
            if index >= begin
                && !loading.contains(&index)
                && !call.is_ambiguous
                && FAILING.contains(&call.name.as_str())
            {
                errors.entry(group).or_default().push(step(random.fault(call, can_lie, can_be_short)));
            }
            if is_point(call) && FAILING.contains(&call.name.as_str()) {
                every.extend(ERRORS.map(|error| step(Fault::Error(error))));
                every.extend(can_lie.then(|| step(Fault::Lie(lie(call)))));
                every.extend(can_be_short.then(|| step(Fault::Short)));
            }
        }
    }
    let cuts = cuts
        .iter()
        .enumerate()
        .flat_map(|(case, cuts)| cuts.iter().map(move |cut| Step { case, what: What::Cut(*cut) }));
    let mut cuts: Vec<Step> = cuts.collect();
    let mut one_of_each = |groups: BTreeMap<_, Vec<Step>>| -> Vec<Step> {
        let mut steps: Vec<Step> = groups.into_values().map(|steps| steps[random.below(steps.len())]).collect();
        random.shuffle(&mut steps);
        steps
    };
    if options.all || options.faults.is_some() {
        let mut steps: BTreeSet<Step> = kills.into_values().flatten().chain(every).chain(cuts).collect();
        steps.extend(one_of_each(errors));
        steps.retain(|step| options.faults.as_deref().is_none_or(|kind| step.what.kind() == kind));
        let mut counts = BTreeMap::<usize, usize>::new();
        steps.iter().for_each(|step| *counts.entry(step.case).or_default() += 1);
        let mut steps: Vec<Step> = steps.into_iter().collect();
        // The longest first, so that nobody waits for it in the end.
        steps.sort_by_key(|step| (std::cmp::Reverse(counts[&step.case]), *step));
        return steps;
    }
    let (kills, errors) = (one_of_each(kills), one_of_each(errors));
    random.shuffle(&mut cuts);
    let (mut kills, mut errors, mut cuts) = (kills.into_iter(), errors.into_iter(), cuts.into_iter());
    let mut steps = Vec::new();
    while steps.len() < options.runs {
        let before = steps.len();
        steps.extend(kills.next().into_iter().chain(errors.next()).chain(cuts.next()));
        if steps.len() == before {
            break;
        }
    }
    steps.truncate(options.runs);
    steps
}

fn find(cases: &[Case], cuts: &[Vec<Cut>], at: &str) -> Option<Step> {
    let (place, fault) = at.split_once('=')?;
    let (place, number) = place.rsplit_once(':')?;
    let (case, name) = place.rsplit_once('/')?;
    let number = number.parse::<usize>().ok()?;
    let index = cases.iter().position(|candidate| candidate.name() == case)?;
    let what = if name == "cut" {
        What::Cut(*cuts[index].iter().find(|cut| cut.after == number && cut.loss.name() == fault)?)
    } else {
        let call = cases[index].calls.iter().position(|call| call.name == name && call.number == number)?;
        What::Call(call, Fault::parse(fault)?)
    };
    Some(Step { case: index, what })
}

/// Returns how many bytes a write was asked to write.
fn written(call: &Call) -> u32 {
    call.arguments.rsplit(", ").next().and_then(|length| length.parse().ok()).unwrap_or(0)
}

/// Returns how many bytes a write may claim: all that it was asked to, or one where that depends on the number of the
/// process. No system claims more than it was asked to write.
fn lie(call: &Call) -> u32 {
    if call.arguments.contains("/lock>") { 1 } else { written(call) }
}

impl Random {
    fn shuffle(&mut self, steps: &mut [Step]) {
        for at in (1..steps.len()).rev() {
            steps.swap(at, self.below(at + 1));
        }
    }

    fn fault(&mut self, call: &Call, can_lie: bool, can_be_short: bool) -> Fault {
        match self.below(ERRORS.len() + 2) {
            choice if choice < ERRORS.len() => Fault::Error(ERRORS[choice]),
            4 if can_lie => Fault::Lie(lie(call)),
            5 if can_be_short => Fault::Short,
            choice => Fault::Error(ERRORS[choice % ERRORS.len()]),
        }
    }
}

/// The calls that are made to fail. `close` is not among them: its result says nothing that a sync has not said before.
const FAILING: [&str; 36] = [
    "access",
    "chmod",
    "copy_file_range",
    "execve",
    "faccessat",
    "faccessat2",
    "fchmod",
    "fchmodat",
    "flock",
    "fstat",
    "fsync",
    "ftruncate",
    "getdents64",
    "link",
    "linkat",
    "lseek",
    "lstat",
    "mkdir",
    "mkdirat",
    "newfstatat",
    "open",
    "openat",
    "pread64",
    "read",
    "readlink",
    "readlinkat",
    "rename",
    "renameat",
    "renameat2",
    "rmdir",
    "stat",
    "statfs",
    "statx",
    "symlinkat",
    "unlinkat",
    "write",
];
