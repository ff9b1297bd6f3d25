//! The changes of an install that are interrupted, each from a state that was reached by the program itself.

use super::judge::Judge;
use super::power::{Cut, Recording};
use super::release::Versions;
use super::short::ShortWrites;
use super::trace::{self, Call, Fault, Outcome, Subject, Trace};
use super::world::{Kind, World};
use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use updater_format::Sha256;

/// What is interrupted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scenario {
    /// An update by patch.
    Patch,
    /// An update by bundle.
    Bundle,
    /// An update by bundle, all of it in another thread than the main one, with its restart.
    Thread,
    /// The return of the old version after two failed attempts of the new one.
    Return,
    /// The confirmation of a version on trial.
    Trial,
    /// The repair of an update that was killed right after its visible change.
    Repair,
}

impl Scenario {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::Patch, Self::Bundle, Self::Thread, Self::Return, Self::Trial, Self::Repair];

    /// Returns its name on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Patch => "patch",
            Self::Bundle => "bundle",
            Self::Thread => "thread",
            Self::Return => "return",
            Self::Trial => "trial",
            Self::Repair => "repair",
        }
    }

    /// Tells whether it happens to installs of a kind. A component has no trial.
    #[must_use]
    pub fn concerns(self, kind: Kind) -> bool {
        kind != Kind::Component || matches!(self, Self::Patch | Self::Bundle | Self::Repair)
    }

    /// Returns what the program is asked to do.
    #[must_use]
    pub fn argument(self) -> &'static str {
        match self {
            Self::Patch | Self::Bundle => "update",
            Self::Thread => "thread",
            Self::Trial => "confirm",
            Self::Return | Self::Repair => "report",
        }
    }

    /// Returns the folder of the repository that is asked.
    #[must_use]
    pub fn repository(self) -> &'static str {
        match self {
            Self::Patch => "by-patch",
            Self::Return => "broken",
            _ => "by-bundle",
        }
    }

    fn subject(self) -> Subject {
        if self == Self::Thread { Subject::Second } else { Subject::Main }
    }

    /// Patches complete their trial by starting, everything else by a confirmation.
    #[must_use]
    pub fn trial(self) -> &'static str {
        if self == Self::Patch { "start" } else { "confirm" }
    }
}

/// One scenario for one install kind: the state before it, and the calls of an undisturbed run.
#[derive(Debug)]
pub struct Case {
    /// What is interrupted.
    pub scenario: Scenario,
    /// The install, the version before and the version after, and what must hold of them.
    pub judge: Judge,
    /// The calls that concern the install, of an undisturbed run.
    pub calls: Vec<Call>,
    /// What an undisturbed run did to the disk; empty when another thread than the main one did it.
    pub recording: Recording,
    /// What did not hold after the undisturbed run.
    pub flaw: Option<String>,
    /// States after which everything that must hold did.
    sound: Mutex<HashSet<Sha256>>,
    short_writes: ShortWrites,
}

impl Case {
    /// Returns its name, for example `directory/patch`.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{}/{}", self.judge.world.kind.name(), self.scenario.name())
    }

    /// Runs the scenario from its beginning, with a fault at one call, and returns what does not hold afterwards.
    /// # Errors
    /// When the state cannot be brought back or the process does not end.
    pub fn disturbed(&self, call: usize, fault: Fault) -> io::Result<Option<String>> {
        self.judge.world.load(&self.before())?;
        let Call { name, number, .. } = &self.calls[call];
        let (program, argument) = (self.judge.world.program(), self.scenario.argument());
        let mut command = match fault {
            Fault::Short => Command::new(&program),
            _ => trace::faulty(&program, self.scenario.subject(), name, *number, fault),
        };
        self.judge.dress(command.arg(argument), self.scenario.repository());
        if fault == Fault::Short {
            let writes = self.calls[..=call].iter().filter(|call| call.name == "write").count();
            self.short_writes.dress(&mut command, &self.judge.world.slot, writes);
        }
        let outcome = trace::run(&mut command)?;
        let problem = match self.judge_run(&outcome, fault) {
            Ok(()) => self.judge_left()?,
            Err(problem) => Some(problem),
        };
        Ok(problem.map(|problem| format!("{problem} ({outcome:?})")))
    }

    /// Leaves what a power cut leaves, and returns what does not hold then.
    /// # Errors
    /// When the state cannot be made.
    pub fn cut(&self, cut: Cut) -> io::Result<Option<String>> {
        self.judge.world.clear()?;
        self.recording.leave(cut)?;
        // What was reported as done is done.
        let Judge { world, known: [_, must], .. } = &self.judge;
        let durable = if self.recording.is_over(cut) { world.installed(&[must]).map(|_| ()) } else { Ok(()) };
        match durable {
            Ok(()) => self.judge_left(),
            Err(problem) => Ok(Some(problem)),
        }
    }

    /// Returns how many different states were judged.
    #[must_use]
    pub fn states(&self) -> usize {
        self.sound.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    fn judge_run(&self, outcome: &Outcome, fault: Fault) -> Result<(), String> {
        match fault {
            Fault::Kill if !outcome.was_killed() => Err("the call was not reached".to_owned()),
            Fault::Short if !self.short_writes.have_happened() => Err("the write was not reached".to_owned()),
            Fault::Kill => Ok(()),
            // What could not return goes on with the broken version, which breaks; the next start returns.
            _ if self.scenario == Scenario::Return && outcome.signal == Some(ABORTED) => Ok(()),
            _ if outcome.code != Some(0) => Err(format!("the app ended with {:?}, {:?}", outcome.code, outcome.signal)),
            _ => Ok(()),
        }
    }

    /// Checks everything that must hold after any disturbance, unless the same was left, byte for byte, by one before it:
    /// most errors end in the old version and nothing else.
    fn judge_left(&self) -> io::Result<Option<String>> {
        let state = self.judge.world.fingerprint()?;
        let sound = || self.sound.lock().unwrap_or_else(PoisonError::into_inner);
        if sound().contains(&state) {
            return Ok(None);
        }
        let problem = self.judge.judge().err();
        if problem.is_none() {
            sound().insert(state);
        }
        Ok(problem)
    }

    fn before(&self) -> PathBuf {
        self.judge.folder.join("before")
    }

    /// Brings the install to where the scenario begins.
    fn prepare(&self) -> Result<(), String> {
        let text = |error: io::Error| error.to_string();
        self.judge
            .world
            .install(if self.scenario == Scenario::Return { &self.judge.known[1] } else { &self.judge.known[0] })
            .map_err(text)?;
        match self.scenario {
            Scenario::Patch | Scenario::Bundle | Scenario::Thread => {}
            Scenario::Trial => drop(self.judge.start("update", self.scenario.repository())?),
            Scenario::Return => {
                for argument in ["update", "report"] {
                    let mut command = Command::new(self.judge.world.program());
                    let outcome = trace::run(self.judge.dress(command.arg(argument), "broken")).map_err(text)?;
                    if outcome.signal != Some(ABORTED) {
                        return Err(format!("the broken version did not break: {outcome:?}"));
                    }
                }
            }
            Scenario::Repair => {
                self.judge.world.keep(&self.before()).map_err(text)?;
                let calls = self.clean_run("update").map_err(text)?.calls;
                let root = self.judge.world.root().to_string_lossy().into_owned();
                let visible = calls.iter().position(|call| replaces(call, &root));
                let call = visible.and_then(|at| calls[at + 1..].iter().find(|call| call.changes()));
                let call = call.ok_or("there is no visible change to stop after")?;
                let program = self.judge.world.program();
                let mut command = trace::faulty(&program, Subject::Main, &call.name, call.number, Fault::Kill);
                self.judge.world.load(&self.before()).map_err(text)?;
                let command = self.judge.dress(command.arg("update"), self.scenario.repository());
                if !trace::run(command).map_err(text)?.was_killed() {
                    return Err("the update to be repaired was not killed".to_owned());
                }
                std::fs::remove_dir_all(self.before()).map_err(text)?;
            }
        }
        self.judge.world.keep(&self.before()).map_err(text)
    }

    /// Runs without a fault and returns the calls that concern the install.
    fn clean_run(&self, argument: &str) -> io::Result<Trace> {
        let log = self.judge.folder.join("trace");
        self.judge.world.load(&self.before())?;
        let mut command = trace::traced(&self.judge.world.program(), &log);
        let outcome = trace::run(self.judge.dress(command.arg(argument), self.scenario.repository()))?;
        if outcome.code != Some(0) || outcome.output.contains("failed") {
            return Err(io::Error::other(format!("an undisturbed run fails: {outcome:?}")));
        }
        let by_patch = outcome.output.contains(".patch");
        if by_patch != (self.scenario == Scenario::Patch) {
            return Err(io::Error::other(format!("the wrong route was taken: {}", outcome.output)));
        }
        trace::read(&log, &self.judge.world.slot, self.scenario.subject())
    }

    fn record(&self) -> Result<Recording, String> {
        self.judge.world.load(&self.before()).map_err(|error| error.to_string())?;
        Recording::make(&self.judge.world.program(), &self.judge.world.slot, &self.before(), |command| {
            self.judge.dress(command.arg(self.scenario.argument()), self.scenario.repository());
        })
    }
}

/// Makes the cases of an install kind in a folder: three versions, the repositories, the states to begin from.
/// # Errors
/// What could not be made; this says nothing about crash points.
pub fn cases(program: &[u8], kind: Kind, folder: &Path, wanted: &[Scenario]) -> Result<Vec<Case>, String> {
    let text = |error: io::Error| error.to_string();
    let Versions { old, new, next, broken } = Versions::publish(program, kind, folder).map_err(text)?;
    let mut cases = Vec::new();
    for &scenario in wanted {
        let known = match scenario {
            Scenario::Return => [broken.clone(), old.clone()],
            _ => [old.clone(), new.clone()],
        };
        let own = folder.join(scenario.name());
        std::fs::create_dir(&own).map_err(text)?;
        let judge = Judge {
            world: World { slot: own.join("slot"), kind },
            known,
            next: next.clone(),
            repository: scenario.repository(),
            trial: scenario.trial(),
            patience: trace::LIMIT,
            remembers: scenario == Scenario::Return,
            folder: own.clone(),
            shared: folder.to_owned(),
        };
        let mut case = Case {
            scenario,
            judge,
            calls: Vec::new(),
            recording: Recording::default(),
            flaw: None,
            sound: Mutex::default(),
            short_writes: ShortWrites::prepare(&own).map_err(text)?,
        };
        let named = |problem: String| format!("{}/{}: {problem}", kind.name(), scenario.name());
        case.prepare().map_err(named)?;
        let trace = case.clean_run(scenario.argument()).map_err(|error| named(error.to_string()))?;
        case.calls = trace.calls;
        case.flaw = case.judge.world.check(&case.judge.known[1]).err();
        if let Some(stray) = trace.strays.first() {
            case.flaw = Some(format!("another thread changes the disk: {stray}"));
        }
        if scenario.subject() == Subject::Main {
            case.recording = case.record().map_err(named)?;
        }
        cases.push(case);
    }
    Ok(cases)
}

/// Tells whether a call is the visible change: something takes the place of the install.
#[must_use]
pub fn replaces(call: &Call, root: &str) -> bool {
    let renames = call.succeeded && call.name.starts_with("rename");
    renames && call.arguments.split('"').any(|part| part == root)
}

/// SIGABRT, by which the broken version ends.
const ABORTED: i32 = 6;
