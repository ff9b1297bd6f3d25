//! The changes of an install that are interrupted, each from a state that was reached by the program itself.

use super::app::{REPOSITORY, ROOT, TRIAL};
use super::power::{Cut, Recording};
use super::release::{Release, write_repository};
use super::short::ShortWrites;
use super::trace::{self, Call, Fault, Outcome, Subject, Trace};
use super::world::{Kind, World};
use crate::simulator::RepositorySimulator;
use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};
use updater_format::{Sha256, UtcTime};

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

    fn argument(self) -> &'static str {
        match self {
            Self::Patch | Self::Bundle => "update",
            Self::Thread => "thread",
            Self::Trial => "confirm",
            Self::Return | Self::Repair => "report",
        }
    }

    /// Returns the folder of the repository that is asked.
    fn repository(self) -> &'static str {
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
    fn trial(self) -> &'static str {
        if self == Self::Patch { "start" } else { "confirm" }
    }
}

/// One scenario for one install kind: the state before it, and the calls of an undisturbed run.
#[derive(Debug)]
pub struct Case {
    /// What is interrupted.
    pub scenario: Scenario,
    /// The install.
    pub world: World,
    /// The calls that concern the install, of an undisturbed run.
    pub calls: Vec<Call>,
    /// What an undisturbed run did to the disk; empty when another thread than the main one did it.
    pub recording: Recording,
    /// The version before and the version after.
    pub releases: [Release; 2],
    /// What did not hold after the undisturbed run.
    pub flaw: Option<String>,
    next: Release,
    /// States after which everything that must hold did.
    sound: Mutex<HashSet<Sha256>>,
    /// The case's own folder.
    folder: PathBuf,
    /// The folder with the repositories.
    shared: PathBuf,
    short_writes: ShortWrites,
}

impl Case {
    /// Returns its name, for example `directory/patch`.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{}/{}", self.world.kind.name(), self.scenario.name())
    }

    /// Runs the scenario from its beginning, with a fault at one call, and returns what does not hold afterwards.
    /// # Errors
    /// When the state cannot be brought back or the process does not end.
    pub fn disturbed(&self, call: usize, fault: Fault) -> io::Result<Option<String>> {
        self.world.load(&self.before())?;
        let Call { name, number, .. } = &self.calls[call];
        let (program, argument) = (self.world.program(), self.scenario.argument());
        let mut command = match fault {
            Fault::Short => Command::new(&program),
            _ => trace::faulty(&program, self.scenario.subject(), name, *number, fault),
        };
        self.dress(command.arg(argument), self.scenario.repository());
        if fault == Fault::Short {
            let writes = self.calls[..=call].iter().filter(|call| call.name == "write").count();
            self.short_writes.dress(&mut command, &self.world.slot, writes);
        }
        let outcome = trace::run(&mut command)?;
        let problem = match self.judge_run(&outcome, fault) {
            Ok(()) => self.judge()?,
            Err(problem) => Some(problem),
        };
        Ok(problem.map(|problem| format!("{problem} ({outcome:?})")))
    }

    /// Leaves what a power cut leaves, and returns what does not hold then.
    /// # Errors
    /// When the state cannot be made.
    pub fn cut(&self, cut: Cut) -> io::Result<Option<String>> {
        self.world.clear()?;
        self.recording.leave(cut)?;
        // What was reported as done is done.
        let must = &self.releases[1];
        let durable = if self.recording.is_over(cut) { self.world.installed(&[must]).map(|_| ()) } else { Ok(()) };
        match durable {
            Ok(()) => self.judge(),
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
    fn judge(&self) -> io::Result<Option<String>> {
        let state = self.world.fingerprint()?;
        let sound = || self.sound.lock().unwrap_or_else(PoisonError::into_inner);
        if sound().contains(&state) {
            return Ok(None);
        }
        let problem = self.judge_anew().err();
        if problem.is_none() {
            sound().insert(state);
        }
        Ok(problem)
    }

    fn judge_anew(&self) -> Result<(), String> {
        let known = [&self.releases[0], &self.releases[1]];
        // Before anything repairs it: whoever starts the app now starts a whole version.
        self.world.installed(&known)?;
        let start = self.start("report", self.scenario.repository())?;
        let version = spoken(&start)?;
        let release = self.world.installed(&known)?;
        if version != release.version {
            return Err(format!("{version} speaks, {} is installed", release.version));
        }
        self.world.check(release)?;
        self.start("update", "next")?;
        self.world.check(&self.next)?;
        let last = self.start("confirm", "next")?;
        if spoken(&last)? != self.next.version {
            return Err(format!("the next update led to {:?}", last.output));
        }
        self.world.check(&self.next)?;
        self.world.check_tidy(self.scenario == Scenario::Return)
    }

    /// Starts the app without any disturbance; it must not complain.
    fn start(&self, argument: &str, repository: &str) -> Result<Outcome, String> {
        let mut command = Command::new(self.world.program());
        let outcome = trace::run(self.dress(command.arg(argument), repository)).map_err(|error| error.to_string())?;
        let complains = ["failed", "unsettled"].iter().any(|word| outcome.output.lines().any(|l| l.starts_with(word)));
        if outcome.code != Some(0) || complains {
            return Err(format!("`{argument}` afterwards: {:?} {:?}", outcome.code.or(outcome.signal), outcome.output));
        }
        Ok(outcome)
    }

    fn dress<'a>(&self, command: &'a mut Command, repository: &str) -> &'a mut Command {
        let url = updater_runtime::transport::Url::from_path(&self.shared.join(repository));
        let url = url.map(|url| url.expose().to_owned()).unwrap_or_default();
        command
            .env(REPOSITORY, url)
            .env(ROOT, self.shared.join("root.json"))
            .env(TRIAL, self.scenario.trial())
            .env("XDG_STATE_HOME", self.world.state())
            .env_remove("UPDATER_DISABLE")
            .current_dir(&self.folder)
            .stderr(std::process::Stdio::null())
    }

    fn before(&self) -> PathBuf {
        self.folder.join("before")
    }

    /// Brings the install to where the scenario begins.
    fn prepare(&self) -> Result<(), String> {
        let text = |error: io::Error| error.to_string();
        self.world
            .install(if self.scenario == Scenario::Return { &self.releases[1] } else { &self.releases[0] })
            .map_err(text)?;
        match self.scenario {
            Scenario::Patch | Scenario::Bundle | Scenario::Thread => {}
            Scenario::Trial => drop(self.start("update", self.scenario.repository())?),
            Scenario::Return => {
                for argument in ["update", "report"] {
                    let mut command = Command::new(self.world.program());
                    let outcome = trace::run(self.dress(command.arg(argument), "broken")).map_err(text)?;
                    if outcome.signal != Some(ABORTED) {
                        return Err(format!("the broken version did not break: {outcome:?}"));
                    }
                }
            }
            Scenario::Repair => {
                self.world.keep(&self.before()).map_err(text)?;
                let calls = self.clean_run("update").map_err(text)?.calls;
                let root = self.world.root().to_string_lossy().into_owned();
                let visible = calls.iter().position(|call| replaces(call, &root));
                let call = visible.and_then(|at| calls[at + 1..].iter().find(|call| call.changes()));
                let call = call.ok_or("there is no visible change to stop after")?;
                let program = self.world.program();
                let mut command = trace::faulty(&program, Subject::Main, &call.name, call.number, Fault::Kill);
                self.world.load(&self.before()).map_err(text)?;
                let command = self.dress(command.arg("update"), self.scenario.repository());
                if !trace::run(command).map_err(text)?.was_killed() {
                    return Err("the update to be repaired was not killed".to_owned());
                }
                std::fs::remove_dir_all(self.before()).map_err(text)?;
            }
        }
        self.world.keep(&self.before()).map_err(text)
    }

    /// Runs without a fault and returns the calls that concern the install.
    fn clean_run(&self, argument: &str) -> io::Result<Trace> {
        let log = self.folder.join("trace");
        self.world.load(&self.before())?;
        let mut command = trace::traced(&self.world.program(), &log);
        let outcome = trace::run(self.dress(command.arg(argument), self.scenario.repository()))?;
        if outcome.code != Some(0) || outcome.output.contains("failed") {
            return Err(io::Error::other(format!("an undisturbed run fails: {outcome:?}")));
        }
        let by_patch = outcome.output.contains(".patch");
        if by_patch != (self.scenario == Scenario::Patch) {
            return Err(io::Error::other(format!("the wrong route was taken: {}", outcome.output)));
        }
        trace::read(&log, &self.world.slot, self.scenario.subject())
    }

    fn record(&self) -> Result<Recording, String> {
        self.world.load(&self.before()).map_err(|error| error.to_string())?;
        Recording::make(&self.world.program(), &self.world.slot, &self.before(), |command| {
            self.dress(command.arg(self.scenario.argument()), self.scenario.repository());
        })
    }
}

/// Makes the cases of an install kind in a folder: three versions, the repositories, the states to begin from.
/// # Errors
/// What could not be made; this says nothing about crash points.
pub fn cases(program: &[u8], kind: Kind, folder: &Path, wanted: &[Scenario]) -> Result<Vec<Case>, String> {
    let text = |error: io::Error| error.to_string();
    let release = |version, healthy| Release::new(program, kind.install(), version, healthy);
    let (old, new, next) = (release("1.0.0", true), release("1.1.0", true), release("1.2.0", true));
    let broken = release("1.1.0", false);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let repository = RepositorySimulator::starting_at(UtcTime::from_unix(i64::try_from(now).unwrap_or(0)));
    let write = |repository: &RepositorySimulator, name: &str| write_repository(repository, &folder.join(name));
    let other = repository.copy();
    broken.publish(&other);
    write(&other, "broken").map_err(text)?;
    new.publish(&repository);
    write(&repository, "by-bundle").map_err(text)?;
    new.publish_patch(&old, &repository);
    write(&repository, "by-patch").map_err(text)?;
    next.publish(&repository);
    next.publish_patch(&new, &repository);
    write(&repository, "next").map_err(text)?;
    let root = repository.repo().root_bytes();
    std::fs::write(folder.join("root.json"), root).map_err(text)?;
    let mut cases = Vec::new();
    for &scenario in wanted {
        let releases = match scenario {
            Scenario::Return => [broken.clone(), old.clone()],
            _ => [old.clone(), new.clone()],
        };
        let own = folder.join(scenario.name());
        std::fs::create_dir(&own).map_err(text)?;
        let mut case = Case {
            scenario,
            world: World { slot: own.join("slot"), kind },
            calls: Vec::new(),
            recording: Recording::default(),
            releases,
            flaw: None,
            next: next.clone(),
            sound: Mutex::default(),
            short_writes: ShortWrites::prepare(&own).map_err(text)?,
            folder: own,
            shared: folder.to_owned(),
        };
        let named = |problem: String| format!("{}/{}: {problem}", kind.name(), scenario.name());
        case.prepare().map_err(named)?;
        let trace = case.clean_run(scenario.argument()).map_err(|error| named(error.to_string()))?;
        case.calls = trace.calls;
        case.flaw = case.world.check(&case.releases[1]).err();
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

fn spoken(outcome: &Outcome) -> Result<String, String> {
    let line = outcome.output.lines().find_map(|line| line.strip_prefix("version "));
    line.map(str::to_owned).ok_or_else(|| format!("the app does not say its version: {:?}", outcome.output))
}

/// SIGABRT, by which the broken version ends.
const ABORTED: i32 = 6;
