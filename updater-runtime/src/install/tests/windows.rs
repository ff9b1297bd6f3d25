//! Whole installs on Windows: the swap by two renames, what interrupts it, scanners, programs that still run, and trials
//! with real processes (this test program is copied into an install, and does there what a variable says).

use super::testing::{Release, now, stage, staged, version};
use super::{InstallError, InstallKind, Layout, Obstacle, Plan, Session, Settled, Trial, confirm, journal, settle};
use crate::fs;
use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::windows::fs::OpenOptionsExt as _;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;
use updater_format::FilePath;
use updater_format::state::Phase;

struct World {
    folder: tempfile::TempDir,
    layout: Layout,
    old: Release,
    new: Release,
}

impl World {
    fn new() -> Self {
        Self::of(b"the old program", b"the new program")
    }

    fn of(old: &[u8], new: &[u8]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (old, new) = (Release::executable("1.0.0", old), Release::executable("1.1.0", new));
        let layout = old.install_at(&folder.path().join("Größe.exe"));
        Self { folder, layout, old, new }
    }

    fn phase(&self) -> Phase {
        match journal::read(&self.layout).unwrap() {
            journal::Found::State(state) => state.phase,
            journal::Found::Nothing => Phase::Idle,
            other => panic!("{other:?}"),
        }
    }

    /// Asserts that nothing is left of an update but what `kept` names, for example programs that still run.
    #[track_caller]
    fn assert_left(&self, kept: &[&str]) {
        let names = fs::names(self.layout.hidden()).unwrap();
        let known = |name: &std::ffi::OsString| kept.iter().any(|kept| name.to_string_lossy().starts_with(kept));
        assert!(names.iter().all(known), "{names:?}");
        assert!(!kept.is_empty() || !self.layout.hidden().exists(), "the hidden folder is empty and there");
    }
}

fn scanner(path: &Path) -> File {
    OpenOptions::new().read(true).share_mode(1).open(path).unwrap()
}

#[test]
fn an_update_replaces_keeps_and_completes() {
    let world = World::new();
    let installed = staged(&world.layout, &world.old, &world.new, Trial::Start).unwrap().install().unwrap();
    assert_eq!(installed.version(), world.new.version());
    world.new.assert_installed(&world.layout);
    assert_eq!(std::fs::read(world.layout.previous_program()).unwrap(), b"the old program");
    assert!(matches!(world.phase(), Phase::Trial { .. }));
    assert!(confirm(&world.layout, now()).unwrap());
    world.assert_left(&[]);
    assert_eq!(fs::names(world.folder.path()).unwrap(), ["Größe.exe"]);
}

#[test]
fn a_folder_is_refused_before_anything_is_downloaded() {
    let folder = tempfile::tempdir().unwrap();
    let release = Release::directory("1.0.0", &[("share/a", "a")], &[]);
    let layout = release.install_at(&folder.path().join("app"));
    let refused = Some(Obstacle::FolderInUse { path: layout.root().to_owned() });
    assert_eq!(layout.obstacle().unwrap(), refused);
    assert!(matches!(Session::open(&layout, now()), Err(InstallError::Obstacle(Obstacle::FolderInUse { .. }))));
}

#[test]
fn a_scanner_of_the_old_program_defers_the_update_to_the_next_start() {
    let world = World::new();
    let staged = staged(&world.layout, &world.old, &world.new, Trial::Start).unwrap();
    let held = scanner(world.layout.root());
    let error = staged.install().unwrap_err();
    assert!(matches!(&error, InstallError::Deferred { version, .. } if version == world.new.version()), "{error:?}");
    assert_eq!(error.code(), "install-deferred");
    world.old.assert_installed(&world.layout);
    assert!(matches!(world.phase(), Phase::Staged { .. }));
    // Still held at the next start: it waits on.
    assert!(matches!(settle(&world.layout, now()), Err(InstallError::Deferred { .. })));
    world.old.assert_installed(&world.layout);
    drop(held);
    settle(&world.layout, now()).unwrap();
    world.new.assert_installed(&world.layout);
}

#[test]
fn a_scanner_of_the_new_program_puts_the_old_one_back() {
    let world = World::new();
    let staged = staged(&world.layout, &world.old, &world.new, Trial::Start).unwrap();
    let held = scanner(&world.layout.staged_tree().join("hello"));
    let error = staged.install().unwrap_err();
    assert!(matches!(error, InstallError::Deferred { .. }), "{error:?}");
    world.old.assert_installed(&world.layout);
    drop(held);
    settle(&world.layout, now()).unwrap();
    world.new.assert_installed(&world.layout);
}

#[test]
fn a_kill_between_the_two_renames_is_repaired_by_the_kept_program() {
    let world = World::new();
    let (mut session, from, to) = staged(&world.layout, &world.old, &world.new, Trial::Start).unwrap().into_parts();
    session.write(Phase::Swapping { from, to, trial: Trial::Start }).unwrap();
    drop(session);
    for folder in [world.layout.previous(), world.layout.previous_tree()] {
        fs::private_dir(&folder).unwrap();
    }
    fs::rename(world.layout.root(), &world.layout.previous_program()).unwrap();
    // Nothing has the name now. The documented cure: start the program that was kept.
    let entry = FilePath::parse("hello").unwrap();
    let kind = InstallKind::Executable;
    let found = Layout::of_program(&world.layout.previous_program(), kind, &entry, super::Subject::Own).unwrap();
    assert_eq!(found.root(), world.layout.root());
    settle(&world.layout, now()).unwrap();
    world.old.assert_installed(&world.layout);
    assert_eq!(world.phase(), Phase::Idle);
    // And the update works afterwards.
    staged(&world.layout, &world.old, &world.new, Trial::Start).unwrap().install().unwrap();
    world.new.assert_installed(&world.layout);
}

#[test]
fn a_path_is_one_in_capitals_too() {
    let world = World::new();
    let text = world.layout.root().to_str().unwrap().to_ascii_uppercase();
    let entry = FilePath::parse("hello").unwrap();
    let other = Layout::at(InstallKind::Executable, Path::new(&text), &entry).unwrap();
    assert_eq!(other.identity(), world.layout.identity());
    assert_eq!(other.hidden(), world.layout.hidden());
}

const ACTION: &str = "UPDATER_TEST_ACTION";

/// What the copies run; under the test runner itself it does nothing.
#[test]
fn child() {
    let Ok(action) = std::env::var(ACTION) else { return };
    let layout = Layout::of_running(InstallKind::Executable, &FilePath::parse("hello").unwrap()).unwrap();
    match settle(&layout, now()) {
        Ok(Settled::Returned { installed, bad }) => say(&format!("returned from {bad} to {}", installed.version())),
        Ok(Settled::Updated(installed)) => say(&format!("updated to {}", installed.version())),
        Ok(settled) => say(&format!("settled {settled:?}")),
        Err(error) => say(&format!("error {error}")),
    }
    match action.as_str() {
        // In the thread that has settled: the harness has one for each test, and Wine tells of its own process's end only
        // there. That a return from `main` is an orderly end is shown by the story in tests/windows.sh.
        "end" => leave(0),
        "exit-7" => leave(7),
        "abort" => std::process::abort(),
        "panic" => panic!("as asked"),
        "confirm" => say(&format!("confirmed {}", confirm(&layout, now()).unwrap())),
        "wait" => {
            say("waiting");
            let _ = std::io::stdin().read(&mut [0]);
        }
        "install-on-exit" => {
            let new = std::fs::read(std::env::var("UPDATER_TEST_NEW").unwrap()).unwrap();
            let new = Release::executable("1.1.0", &new);
            let mut session = Session::open(&layout, now()).unwrap();
            let tree = stage(&mut session, &new).unwrap();
            let plan = Plan { installed: version("1.0.0"), trial: Trial::Start, epoch: 0 };
            session.without_probe(tree, &plan).unwrap().install_on_exit().unwrap();
            leave(0);
        }
        other => panic!("what is {other}?"),
    }
}

#[expect(clippy::exit, reason = "what is tested is how a process ends")]
fn leave(code: i32) -> ! {
    std::process::exit(code)
}

fn say(line: &str) {
    writeln!(std::io::stderr(), "child: {line}").unwrap();
}

/// The version is appended to the program file, as data of its own would be.
fn program(version: &str) -> Vec<u8> {
    let mut bytes = std::fs::read(std::env::current_exe().unwrap()).unwrap();
    bytes.extend_from_slice(version.as_bytes());
    bytes
}

fn command(program: &Path, action: &str) -> Command {
    let mut command = Command::new(program);
    command.args(["--exact", "install::tests::child", "--nocapture", "--test-threads=1"]).env(ACTION, action);
    command
}

fn run(program: &Path, action: &str) -> (Output, String) {
    let output = command(program, action).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    (output, said)
}

fn start_waiting(program: &Path) -> Child {
    let mut command = command(program, "wait");
    let mut child = command.stdin(Stdio::piped()).stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    let mut said = Vec::new();
    let mut err = child.stderr.take().unwrap();
    while !String::from_utf8_lossy(&said).contains("waiting") {
        let mut byte = [0];
        assert_eq!(err.read(&mut byte).unwrap(), 1, "{}", String::from_utf8_lossy(&said));
        said.extend(byte);
    }
    child
}

fn real_world() -> World {
    World::of(&program("1.0.0"), &program("1.1.0"))
}

#[test]
fn an_orderly_end_is_no_failure_and_two_others_bring_the_old_version_back() {
    let world = real_world();
    staged(&world.layout, &world.old, &world.new, Trial::Confirm).unwrap().install().unwrap();
    let root = world.layout.root();
    for action in ["end", "exit-7", "end", "exit-7"] {
        let (output, said) = run(root, action);
        assert!(said.contains("settled OnTrial"), "{said}");
        assert_eq!(output.status.code(), Some(if action == "exit-7" { 7 } else { 0 }));
    }
    for action in ["abort", "panic"] {
        let (_, said) = run(root, action);
        assert!(said.contains("settled OnTrial"), "{action}: {said}");
    }
    let (_, said) = run(root, "end");
    assert!(said.contains("returned from 1.1.0 to 1.0.0"), "{said}");
    world.old.assert_installed(&world.layout);
    // The failed one was running while it was replaced; the next start removes it.
    let (_, said) = run(root, "end");
    assert!(said.contains("settled Nothing"), "{said}");
    world.assert_left(&["lock", "state.json"]);
}

#[test]
fn a_confirmed_version_stays() {
    let world = real_world();
    staged(&world.layout, &world.old, &world.new, Trial::Confirm).unwrap().install().unwrap();
    let (_, said) = run(world.layout.root(), "confirm");
    assert!(said.contains("confirmed true"), "{said}");
    for _ in 0..3 {
        run(world.layout.root(), "abort");
    }
    world.new.assert_installed(&world.layout);
    world.assert_left(&[]);
}

#[test]
fn a_version_that_still_runs_is_replaced_and_removed_after_its_end() {
    let world = real_world();
    let mut child = start_waiting(world.layout.root());
    staged(&world.layout, &world.old, &world.new, Trial::Start).unwrap().install().unwrap();
    world.new.assert_installed(&world.layout);
    let (_, said) = run(world.layout.root(), "end");
    assert!(said.contains("settled Completed"), "{said}");
    world.assert_left(&[fs::SPENT, "lock"]);
    assert!(fs::names(world.layout.hidden()).unwrap().len() < 3);
    // Others update meanwhile.
    let newest = Release::executable("1.2.0", &program("1.2.0"));
    staged(&world.layout, &world.new, &newest, Trial::Start).unwrap().install().unwrap();
    newest.assert_installed(&world.layout);
    let (_, said) = run(world.layout.root(), "end");
    assert!(said.contains("settled Completed"), "{said}");
    drop(child.stdin.take());
    child.wait().unwrap();
    run(world.layout.root(), "end");
    world.assert_left(&[]);
}

#[test]
fn what_is_put_off_is_installed_at_the_exit() {
    let world = real_world();
    let new = world.folder.path().join("new");
    std::fs::write(&new, program("1.1.0")).unwrap();
    let mut command = command(world.layout.root(), "install-on-exit");
    let output = command.env("UPDATER_TEST_NEW", &new).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    world.new.assert_installed(&world.layout);
    let (_, said) = run(world.layout.root(), "end");
    assert!(said.contains("settled Completed"), "{said}");
    run(world.layout.root(), "end");
    world.assert_left(&[]);
}

#[test]
fn what_is_scheduled_is_installed_at_the_next_start() {
    let world = real_world();
    staged(&world.layout, &world.old, &world.new, Trial::Start).unwrap().install_at_next_start().unwrap();
    let (_, said) = run(world.layout.root(), "end");
    assert!(said.contains("updated to 1.1.0"), "{said}");
    world.new.assert_installed(&world.layout);
}

#[test]
fn the_probe_hears_and_ends_what_it_started() {
    use super::probe::{ProbeError, ask};
    let folder = tempfile::tempdir().unwrap();
    // Without a variable and arguments it runs all tests, for longer than this; what it starts ends with it.
    let program = folder.path().join("slow.exe");
    std::fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    assert!(matches!(ask(&program, Duration::from_secs(2)), Err(ProbeError::TimedOut { .. })));
    // A shell without input ends in order, and says something else.
    let (nonce, said) = ask(Path::new(r"C:\windows\system32\cmd.exe"), Duration::from_secs(60)).unwrap();
    assert!(!nonce.is_empty() && !said.contains(&nonce), "{said}");
    let missing = folder.path().join("none.exe");
    assert!(matches!(ask(&missing, Duration::from_secs(1)), Err(ProbeError::Start { .. })));
}

/// An install with a folder for each version, and `current` a file that names one.
fn versions() -> (tempfile::TempDir, Layout, Release, Release) {
    let folder = tempfile::tempdir().unwrap();
    let release = |version, text| Release::directory(version, &[("share/a", text)], &["etc/*.conf"]);
    let (old, new) = (release("1.0.0", "0"), release("1.1.0", "1"));
    let tree = folder.path().join("versions").join("hello-1.0.0");
    old.install_at(&tree);
    std::fs::write(tree.join("notes.txt"), "the user's").unwrap();
    point(&folder.path().join("current"), "versions\\hello-1.0.0\n");
    let layout = Layout::at(InstallKind::Directory, &folder.path().join("current"), old.manifest.entry()).unwrap();
    (folder, layout, old, new)
}

fn point(at: &Path, text: &str) {
    std::fs::write(at, text).unwrap();
}

#[test]
fn a_folder_for_each_version_is_updated_by_one_file() {
    let (folder, layout, old, new) = versions();
    assert_eq!(layout.obstacle().unwrap(), None);
    let current = || std::fs::read_to_string(folder.path().join("current")).unwrap();
    let names = || fs::names(&folder.path().join("versions")).unwrap();
    staged(&layout, &old, &new, Trial::Confirm).unwrap().install().unwrap();
    assert_eq!(current(), "versions\\hello-1.1.0\n");
    new.assert_installed(&layout);
    assert_eq!(std::fs::read(layout.files().join("notes.txt")).unwrap(), b"the user's");
    assert!(super::put_back_now(&layout, now()).unwrap().is_some());
    assert_eq!((current().as_str(), names().len()), ("versions\\hello-1.0.0\n", 1));
    old.assert_installed(&layout);
    assert_eq!(std::fs::read(layout.files().join("notes.txt")).unwrap(), b"the user's");
}

#[test]
fn a_kill_between_the_folder_and_the_pointer_leaves_the_old_version() {
    let (folder, layout, old, new) = versions();
    let (mut session, from, to) = staged(&layout, &old, &new, Trial::Confirm).unwrap().into_parts();
    session.write(Phase::Swapping { from, to, trial: Trial::Confirm }).unwrap();
    drop(session);
    std::fs::rename(layout.staged_tree(), layout.versions().unwrap().tree(new.version())).unwrap();
    settle(&layout, now()).unwrap();
    old.assert_installed(&layout);
    assert_eq!(std::fs::read_to_string(folder.path().join("current")).unwrap(), "versions\\hello-1.0.0\n");
}

#[test]
fn a_pointer_leads_to_no_place_but_a_version() {
    let (folder, layout, old, _) = versions();
    let current = folder.path().join("current");
    for text in [
        "",
        "\n",
        "..\\elsewhere",
        "C:\\Windows",
        "\\\\server\\share",
        "versions",
        "versions\\none",
        "versions\\..\\versions\\hello-1.0.0",
    ] {
        point(&current, text);
        assert!(matches!(layout.tree(), Err(InstallError::LostLink { .. })), "{text:?}");
    }
    point(&current, "versions\\hello-1.0.0");
    assert_eq!(layout.tree().unwrap(), layout.versions().unwrap().tree(old.version()));
}
