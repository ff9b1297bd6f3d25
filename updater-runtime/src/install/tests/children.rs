//! Trials with real processes: this test program is copied into an install, and does there what a variable says.

use crate::fs;
use crate::install::testing::{Release, now, stage, staged, version};
use crate::install::{
    Basis, InstallKind, Layout, Plan, Session, Settled, Trial, confirm, exit, failed, journal, settle,
};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use updater_format::state::Phase;
use updater_format::{FilePath, Sha256};

const ACTION: &str = "UPDATER_TEST_ACTION";

/// What the copies run; under the test runner itself it does nothing.
#[test]
fn child() {
    let Ok(action) = std::env::var(ACTION) else { return };
    let layout = Layout::of_running(InstallKind::Executable, &FilePath::parse("hello").unwrap()).unwrap();
    say(&format!("version {}", own_version()));
    match settle(&layout, now()) {
        Ok(Settled::Returned { installed, bad }) => {
            say(&format!("returned from {bad} to {}", installed.version()));
            let error = installed.restart().unwrap_err();
            say(&format!("{error}"));
        }
        Ok(Settled::Updated(installed)) => {
            say(&format!("updated to {}", installed.version()));
            let error = installed.restart().unwrap_err();
            say(&format!("{error}"));
        }
        Ok(settled) => say(&format!("settled {settled:?}")),
        Err(error) => say(&format!("error {error}")),
    }
    let from = std::env::var(crate::RESTARTED_FROM_VARIABLE).ok();
    say(&format!("restarted from {:?}", from.and_then(|from| Some(from.split_once(' ')?.0.to_owned()))));
    say(&format!("in {}", std::env::current_dir().unwrap().display()));
    match action.as_str() {
        "end" => {}
        "exit-7" => leave(7),
        "abort" => std::process::abort(),
        "kill" => {
            let _ = Command::new("kill").args(["-9", &std::process::id().to_string()]).status();
        }
        "panic" => panic!("as asked"),
        "caught-panic" => assert!(std::panic::catch_unwind(|| panic!("as asked")).is_err()),
        "thread-panic" => assert!(std::thread::spawn(|| panic!("as asked")).join().is_err()),
        "failed" => failed(),
        "confirm" => say(&format!("confirmed {}", confirm(&layout, now()).unwrap())),
        "confirm-abort" => {
            confirm(&layout, now()).unwrap();
            std::process::abort();
        }
        "wait" => wait_for_input(),
        "wait-abort" => {
            wait_for_input();
            std::process::abort();
        }
        "wait-update" => {
            wait_for_input();
            let program = std::fs::read_link("/proc/self/exe").unwrap();
            say(&format!("deleted {}", program.to_string_lossy().ends_with(" (deleted)")));
            let entry = FilePath::parse("hello").unwrap();
            assert_eq!(Layout::of_running(InstallKind::Executable, &entry).unwrap(), layout);
            let opened = Basis::of(&layout).and_then(|basis| Session::open_for(&layout, &basis, 0, now()));
            say(&format!("update {}", opened.map_or_else(|error| error.code(), |_| "goes on")));
        }
        "exec" => {
            use std::os::unix::process::CommandExt as _;
            let program = std::env::current_exe().unwrap();
            let error = command(&program, "end").exec();
            panic!("{error}");
        }
        "install-on-exit" => {
            let new = std::fs::read(std::env::var("UPDATER_TEST_NEW").unwrap()).unwrap();
            let new = Release::executable("1.1.0", &new);
            let mut session = Session::open(&layout, now()).unwrap();
            let tree = stage(&mut session, &new).unwrap();
            let plan = Plan { installed: version("1.0.0"), trial: Trial::Start, epoch: 0 };
            session.without_probe(tree, &plan).unwrap().install_on_exit().unwrap();
            say("scheduled");
            wait_for_input();
        }
        other => panic!("what is {other}?"),
    }
}

#[expect(clippy::exit, reason = "what is tested is how a process ends")]
fn leave(code: i32) -> ! {
    std::process::exit(code)
}

/// Writes a line past the test runner's capture.
fn say(line: &str) {
    let mut out = std::io::stderr();
    writeln!(out, "child: {line}").unwrap();
}

fn wait_for_input() {
    say("waiting");
    let _ = std::io::stdin().read(&mut [0]);
}

/// The version is appended to the program file, as data of its own would be.
fn own_version() -> String {
    let bytes = std::fs::read("/proc/self/exe").unwrap();
    String::from_utf8(bytes[bytes.len() - 5..].to_vec()).unwrap()
}

fn program(version: &str) -> Vec<u8> {
    let mut bytes = std::fs::read(std::env::current_exe().unwrap()).unwrap();
    bytes.extend_from_slice(version.as_bytes());
    bytes
}

fn command(program: &std::path::Path, action: &str) -> Command {
    let mut command = Command::new(program);
    command.args(["--exact", "install::tests::children::child", "--nocapture", "--test-threads=1"]).env(ACTION, action);
    command
}

/// Starts a program that was just written. A test beside this one may have forked while it was open for writing, and
/// until that child execs the system calls the program busy.
fn when_free<T>(start: impl Fn() -> std::io::Result<T>) -> T {
    for _ in 0..500 {
        match start() {
            Err(error) if error.kind() == std::io::ErrorKind::ExecutableFileBusy => {
                std::thread::sleep(std::time::Duration::from_millis(10));
            }
            other => return other.unwrap(),
        }
    }
    panic!("the program stays busy");
}

struct World {
    _folder: tempfile::TempDir,
    layout: Layout,
    old: Release,
    new: Release,
}

impl World {
    fn new() -> Self {
        static RELEASES: OnceLock<[Release; 2]> = OnceLock::new();
        let make = || ["1.0.0", "1.1.0"].map(|version| Release::executable(version, &program(version)));
        let [old, new] = RELEASES.get_or_init(make).clone();
        let folder = tempfile::tempdir().unwrap();
        let layout = old.install_at(&folder.path().join("hello"));
        Self { _folder: folder, layout, old, new }
    }

    fn on_trial(trial: Trial) -> Self {
        let world = Self::new();
        staged(&world.layout, &world.old, &world.new, trial).unwrap().install().unwrap();
        world
    }

    /// Runs the installed program to its end and returns what it said.
    fn run(&self, action: &str) -> (Vec<String>, ExitStatus) {
        let output = when_free(|| command(self.layout.root(), action).output());
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        (text.lines().filter_map(|line| line.strip_prefix("child: ")).map(str::to_owned).collect(), output.status)
    }

    /// Starts the installed program and returns when it waits.
    fn start(&self, action: &str) -> Running {
        let mut child = when_free(|| {
            command(self.layout.root(), action)
                .env("UPDATER_TEST_NEW", self.layout.parent().join("new"))
                .stdin(Stdio::piped())
                .stdout(Stdio::null())
                .stderr(Stdio::piped())
                .spawn()
        });
        let mut lines = Vec::new();
        let mut output = BufReader::new(child.stderr.take().unwrap());
        while !lines.last().is_some_and(|line: &String| line.ends_with("waiting")) {
            let mut line = String::new();
            assert!(output.read_line(&mut line).unwrap() > 0, "it ended after {lines:?}");
            lines.push(line.trim().to_owned());
        }
        Running { child, output }
    }

    fn is_on_trial(&self) -> bool {
        matches!(journal::read(&self.layout).unwrap(), journal::Found::State(s) if matches!(s.phase, Phase::Trial { .. }))
    }

    fn installed(&self) -> Sha256 {
        fs::digest(self.layout.root()).unwrap().unwrap().1
    }

    #[track_caller]
    fn assert_new(&self) {
        assert!(self.installed() == self.new.manifest.entry_digest(), "the new version should be installed");
    }

    #[track_caller]
    fn assert_old(&self) {
        assert!(self.installed() == self.old.manifest.entry_digest(), "the old version should be installed");
    }
}

struct Running {
    child: Child,
    output: BufReader<std::process::ChildStderr>,
}

impl Running {
    fn end(mut self) -> ExitStatus {
        drop(self.child.stdin.take());
        self.child.wait().unwrap()
    }
}

#[track_caller]
fn assert_said(said: &[String], line: &str) {
    assert!(said.iter().any(|said| said == line), "{line:?} is missing in {said:#?}");
}

#[test]
fn reaching_the_first_line_completes_a_trial_by_start() {
    let world = World::on_trial(Trial::Start);
    let (said, _) = world.run("end");
    assert_said(&said, "version 1.1.0");
    assert!(said[1].starts_with("settled Completed"), "{said:?}");
    assert!(!world.layout.hidden().exists());
    let (said, _) = world.run("abort");
    assert_said(&said, "settled Nothing");
    world.assert_new();
}

#[test]
fn two_deaths_bring_the_old_version_back() {
    for death in ["abort", "kill", "panic", "caught-panic", "thread-panic", "failed"] {
        let world = World::on_trial(Trial::Confirm);
        for _ in 0..2 {
            let (said, _) = world.run(death);
            assert_said(&said, "version 1.1.0");
            assert!(said[1].starts_with("settled OnTrial"), "{death}: {said:?}");
            world.assert_new();
        }
        // The third start puts the old version back and becomes it: same process, same arguments.
        let (said, _) = world.run("end");
        assert_said(&said, "returned from 1.1.0 to 1.0.0");
        assert_said(&said, "version 1.0.0");
        assert_said(&said, "restarted from Some(\"1.1.0\")");
        world.assert_old();
        assert_eq!(crate::install::bad_releases(&world.layout, now()), [world.new.digest()], "{death}");
        let (said, _) = world.run("end");
        assert_said(&said, "settled Nothing");
    }
}

#[test]
fn ordered_ends_never_count() {
    let world = World::on_trial(Trial::Confirm);
    for _ in 0..4 {
        world.run("end");
        let (_, status) = world.run("exit-7");
        assert_eq!(status.code(), Some(7));
    }
    // One death among them is one death.
    world.run("abort");
    world.run("end");
    assert!(world.is_on_trial());
    world.assert_new();
    let help = Command::new(world.layout.root()).arg("--help").env_remove(ACTION).output().unwrap();
    assert!(help.status.success());
    assert!(world.is_on_trial());
}

#[test]
fn a_confirmed_version_may_die() {
    let world = World::on_trial(Trial::Confirm);
    world.run("abort");
    let (said, _) = world.run("confirm");
    assert_said(&said, "confirmed true");
    assert!(!world.layout.hidden().exists());
    for _ in 0..3 {
        let (_, status) = world.run("confirm-abort");
        assert_eq!(status.signal(), Some(6));
    }
    world.assert_new();
}

#[test]
fn nothing_counts_while_an_attempt_lives() {
    let world = World::on_trial(Trial::Confirm);
    let running = world.start("wait");
    for _ in 0..3 {
        world.run("abort");
        world.assert_new();
    }
    running.end();
    // The one that lived has ended well; the three deaths count now.
    let (said, _) = world.run("end");
    assert_said(&said, "returned from 1.1.0 to 1.0.0");
    world.assert_old();
}

#[test]
fn parallel_runs_of_a_healthy_version_never_count() {
    for trial in [Trial::Start, Trial::Confirm] {
        let world = World::on_trial(trial);
        std::thread::scope(|scope| {
            for _ in 0..20 {
                scope.spawn(|| {
                    let (said, status) = world.run("exit-7");
                    assert_said(&said, "version 1.1.0");
                    assert_eq!(status.code(), Some(7));
                });
            }
        });
        world.assert_new();
        assert_eq!(world.is_on_trial(), trial == Trial::Confirm);
        let names = fs::names(&world.layout.attempts()).unwrap();
        assert!(names.is_empty(), "{names:?}");
    }
}

#[test]
fn an_exec_of_the_app_itself_is_no_death() {
    let world = World::on_trial(Trial::Confirm);
    for _ in 0..4 {
        world.run("exec");
    }
    let (said, _) = world.run("end");
    assert!(said[1].starts_with("settled OnTrial"), "{said:?}");
    world.assert_new();
}

#[test]
fn a_process_of_the_old_version_neither_completes_nor_confirms() {
    let world = World::new();
    let running = world.start("wait");
    staged(&world.layout, &world.old, &world.new, Trial::Start).unwrap().install().unwrap();
    running.end();
    assert!(world.is_on_trial());
    world.run("end");
    assert!(!world.is_on_trial());
    world.assert_new();
}

#[test]
fn a_process_whose_program_was_deleted_updates_nothing() {
    let world = World::new();
    let mut running = world.start("wait-update");
    staged(&world.layout, &world.old, &world.new, Trial::Start).unwrap().install().unwrap();
    world.run("end");
    drop(running.child.stdin.take());
    let mut said = String::new();
    running.output.read_to_string(&mut said).unwrap();
    assert!(running.end().success());
    assert!(said.contains("child: deleted true\n") && said.contains("child: update install-changed\n"), "{said}");
    world.assert_new();
    assert!(!world.layout.hidden().exists());
}

#[test]
fn an_update_while_another_process_of_the_old_version_runs_disturbs_neither() {
    let world = World::new();
    let running = world.start("wait");
    staged(&world.layout, &world.old, &world.new, Trial::Confirm).unwrap().install().unwrap();
    let (said, _) = world.run("confirm");
    assert_said(&said, "confirmed true");
    assert!(running.end().success(), "the old program runs on from the file that has lost its name");
    world.assert_new();
}

#[test]
fn a_scheduled_version_runs_from_the_next_start_on() {
    let world = World::new();
    staged(&world.layout, &world.old, &world.new, Trial::Start).unwrap().install_at_next_start().unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    let output = command(world.layout.root(), "end").current_dir(elsewhere.path()).output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    for line in [
        "version 1.0.0".to_owned(),
        "updated to 1.1.0".to_owned(),
        "version 1.1.0".to_owned(),
        "restarted from Some(\"1.0.0\")".to_owned(),
        format!("in {}", elsewhere.path().canonicalize().unwrap().display()),
    ] {
        assert!(text.contains(&format!("child: {line}\n")), "{line:?} is missing in {text}");
    }
    world.assert_new();
    assert!(!world.layout.hidden().exists(), "the restarted version has completed its trial");
}

#[test]
fn an_ordered_exit_installs_and_a_killed_process_leaves_it_to_the_next_start() {
    for kill in [false, true] {
        let world = World::new();
        std::fs::write(world.layout.parent().join("new"), program("1.1.0")).unwrap();
        let mut running = world.start("install-on-exit");
        world.assert_old();
        if kill {
            running.child.kill().unwrap();
            running.child.wait().unwrap();
            world.assert_old();
            let (said, _) = world.run("end");
            assert_said(&said, "updated to 1.1.0");
        } else {
            running.end();
            world.assert_new();
            let (said, _) = world.run("end");
            assert!(said[1].starts_with("settled Completed"), "{said:?}");
        }
        world.assert_new();
        assert!(!world.layout.hidden().exists());
    }
}

#[test]
fn the_handlers_are_registered_once_and_hold_one_attempt() {
    let world = World::on_trial(Trial::Confirm);
    exit::begin_attempt(&world.layout).unwrap();
    exit::begin_attempt(&world.layout).unwrap();
    assert_eq!(fs::names(&world.layout.attempts()).unwrap().len(), 1);
    exit::end_attempt();
    exit::end_attempt();
    assert!(fs::names(&world.layout.attempts()).unwrap().is_empty());
}
