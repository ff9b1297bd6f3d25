//! Which calls are disturbed, in which order, and what came of it.

use super::durable;
use super::scenario::{Case, Scenario, cases};
use super::trace::{Call, ERRORS, Fault};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};
use std::time::{Duration, Instant};
use updater_format::InstallKind;

/// What to run.
#[derive(Debug, Clone)]
pub struct Options {
    /// Every changing call of every case is killed, and one call of each group is made to fail.
    pub all: bool,
    /// How many runs there are at most, otherwise.
    pub runs: usize,
    /// How long the runs go on at most; what was not reached then is left out.
    pub time: Option<Duration>,
    /// Where the choice begins.
    pub seed: u64,
    /// Only cases whose name begins so, for example `directory/` or `executable/patch`.
    pub only: String,
    /// One disturbance, as a failure prints it: `directory/patch/renameat2:1=KILL`.
    pub at: Option<String>,
}

/// What came of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Summary {
    /// Different calls that were killed.
    pub calls: usize,
    /// Errors and lies that calls were made to return.
    pub faults: usize,
    /// Install kinds.
    pub kinds: usize,
    /// Runs.
    pub runs: usize,
    /// Runs after which something did not hold, and orders of calls that a power cut would punish.
    pub failures: usize,
}

impl std::fmt::Display for Summary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { calls, faults, kinds, runs, failures } = self;
        write!(f, "crash points: {calls} calls, {faults} faults, {kinds} kinds, {runs} runs, {failures} failures")
    }
}

/// One disturbance: a case, one of its calls, and what happens there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Step {
    case: usize,
    call: usize,
    fault: Fault,
}

/// Prepares the cases, runs what was asked for, and writes each failure with the command that repeats it.
/// # Errors
/// When the cases cannot be prepared or `out` is closed.
pub fn run(options: &Options, program: &[u8], out: &mut impl Write) -> io::Result<Summary> {
    let mut cases = Vec::new();
    let mut folders = Vec::new();
    for kind in [InstallKind::Executable, InstallKind::Directory] {
        let name = |scenario: &Scenario| format!("{kind}/{}", scenario.name());
        let concerns = |scenario: &Scenario| match &options.at {
            Some(at) => at.starts_with(&format!("{}/", name(scenario))),
            None => name(scenario).starts_with(&options.only),
        };
        let wanted: Vec<Scenario> = Scenario::ALL.into_iter().filter(concerns).collect();
        if wanted.is_empty() {
            continue;
        }
        let folder = tempfile::Builder::new().prefix("crash-points-").tempdir()?;
        let path = std::fs::canonicalize(folder.path())?;
        cases.extend(self::cases(program, kind, &path, &wanted).map_err(io::Error::other)?);
        folders.push(folder);
    }
    for case in &cases {
        let changing = case.calls.iter().filter(|call| is_point(call)).count();
        writeln!(out, "{}: {changing} changing calls of {}", case.name(), case.calls.len())?;
    }
    let mut summary = Summary { kinds: folders.len(), ..Summary::default() };
    for case in &cases {
        let undisturbed = case.flaw.iter().map(|flaw| format!("undisturbed: {flaw}"));
        for violation in undisturbed.chain(durable::violations(&case.calls, &case.world)) {
            summary.failures += 1;
            writeln!(out, "FAILED {}: {violation}", case.name())?;
        }
    }
    let steps = match &options.at {
        Some(at) => vec![find(&cases, at).ok_or_else(|| io::Error::other(format!("there is no call {at}")))?],
        None => plan(&cases, options),
    };
    let begin = Instant::now();
    let mut killed = BTreeSet::new();
    for step in steps {
        if options.time.is_some_and(|limit| begin.elapsed() > limit) {
            break;
        }
        let (case, call) = (&cases[step.case], &cases[step.case].calls[step.call]);
        summary.runs += 1;
        match step.fault {
            Fault::Kill => drop(killed.insert((step.case, step.call))),
            _ => summary.faults += 1,
        }
        let problem = match case.disturbed(&call.name, call.number, step.fault) {
            Ok(outcome) => case.verdict(&outcome, step.fault).map(|problem| format!("{problem} ({outcome:?})")),
            Err(error) => Some(error.to_string()),
        };
        if let Some(problem) = problem {
            summary.failures += 1;
            let at = format!("{}/{}:{}={}", case.name(), call.name, call.number, step.fault);
            writeln!(out, "FAILED {at}: {problem}\n    call: {}({})", call.name, call.arguments)?;
            writeln!(out, "    repeat: cargo run -p updater-tests --bin crash-points -- --at {at}")?;
        }
    }
    summary.calls = killed.len();
    Ok(summary)
}

/// The start of the program itself is no step of the change.
fn is_point(call: &Call) -> bool {
    call.changes() && call.number > 0
}

fn plan(cases: &[Case], options: &Options) -> Vec<Step> {
    let mut random = Random(options.seed);
    let mut kills: BTreeMap<(usize, String), Vec<Step>> = BTreeMap::new();
    let mut faults: BTreeMap<(usize, String), Vec<Step>> = BTreeMap::new();
    for (at, case) in cases.iter().enumerate() {
        // Before it looks for its journal the program is only loaded: what fails there is nobody's update.
        let begin = case.calls.iter().position(|call| call.arguments.contains("state.json")).unwrap_or(0);
        for (index, call) in case.calls.iter().enumerate() {
            let group = (at, call.group());
            if is_point(call) {
                kills.entry(group.clone()).or_default().push(Step { case: at, call: index, fault: Fault::Kill });
            }
            if index >= begin && FAILING.contains(&call.name.as_str()) {
                let fault = random.fault(call);
                faults.entry(group).or_default().push(Step { case: at, call: index, fault });
            }
        }
    }
    let mut one_of_each = |groups: BTreeMap<_, Vec<Step>>| -> Vec<Step> {
        let mut steps: Vec<Step> = groups.into_values().map(|steps| steps[random.below(steps.len())]).collect();
        random.shuffle(&mut steps);
        steps
    };
    if options.all {
        let mut steps: Vec<Step> = kills.into_values().flatten().collect();
        steps.extend(one_of_each(faults));
        steps.sort();
        return steps;
    }
    let mut kills = one_of_each(kills).into_iter();
    let mut faults = one_of_each(faults).into_iter();
    let mut steps = Vec::new();
    while steps.len() < options.runs {
        let before = steps.len();
        steps.extend(kills.by_ref().take(2).chain(faults.next()));
        if steps.len() == before {
            break;
        }
    }
    steps.truncate(options.runs);
    steps
}

fn find(cases: &[Case], at: &str) -> Option<Step> {
    let (place, fault) = at.split_once('=')?;
    let (place, number) = place.rsplit_once(':')?;
    let (case, name) = place.rsplit_once('/')?;
    let (number, fault) = (number.parse::<usize>().ok()?, Fault::parse(fault)?);
    let index = cases.iter().position(|candidate| candidate.name() == case)?;
    let call = cases[index].calls.iter().position(|call| call.name == name && call.number == number)?;
    Some(Step { case: index, call, fault })
}

/// SplitMix64: the same seed gives the same choice.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % (limit.max(1) as u64)).unwrap_or(0)
    }

    fn shuffle(&mut self, steps: &mut [Step]) {
        for at in (1..steps.len()).rev() {
            steps.swap(at, self.below(at + 1));
        }
    }

    fn fault(&mut self, call: &Call) -> Fault {
        let length: u32 = call.arguments.rsplit(", ").next().and_then(|length| length.parse().ok()).unwrap_or(0);
        match self.below(ERRORS.len() + 2) {
            choice if choice < ERRORS.len() => Fault::Error(ERRORS[choice]),
            choice if call.name == "write" && length > 1 => {
                Fault::Lie(if choice % 2 == 0 { length } else { length / 2 })
            }
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
