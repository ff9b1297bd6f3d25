//! `kill -9` at the system calls of an update: the next start runs the old or the new version, never none.
//!
//! A sample by default, in even steps; `UPDATER_TEST_KILLS=all` stops at every call.

use crate::scene::{Scene, text};
use std::collections::BTreeMap;
use std::process::Command;

/// Every call that can change a disk, or that comes between two that do.
const CALLS: &str = "openat,open,creat,write,pwrite64,rename,renameat,renameat2,symlinkat,symlink,linkat,unlink,unlinkat,rmdir,mkdir,mkdirat,fsync,fchmod,fchmodat,chmod,ftruncate,flock";
/// How many of them are tried by default.
const SAMPLE: usize = 14;

fn site() -> Scene {
    let scene = Scene::new();
    let table = r#"{"interval":"never","update-at-start":false,"health":{"stay-up":"10ms","limit":"5s"}}"#;
    scene.release("1.0.0", "echo 1.0.0", table);
    scene.install();
    scene.release("1.1.0", "echo 1.1.0", table);
    scene
}

/// Runs `update` under strace.
fn traced(scene: &Scene, options: &[&str]) -> std::process::Output {
    let mut command = Command::new("strace");
    command.args(["-f", "-qq"]).args(options).arg(env!("CARGO_BIN_EXE_updater-launcher"));
    command.args(["update", "-C"]).arg(scene.app()).output().unwrap()
}

#[test]
fn a_kill_at_any_call_of_an_update_leaves_a_version_that_runs() {
    if !updater_tests::require::command("strace", "apt-get install strace") {
        return;
    }
    let scene = site();
    let trace = scene.folder.path().join("trace");
    let output = traced(&scene, &["-o", trace.to_str().unwrap(), "-e", &format!("trace={CALLS}")]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    let points: Vec<(String, usize)> = std::fs::read_to_string(&trace)
        .unwrap()
        .lines()
        .filter_map(|line| {
            let call = line.split_whitespace().nth(1)?.split_once('(')?.0.to_owned();
            let count = counts.entry(call.clone()).or_default();
            *count += 1;
            Some((call, *count))
        })
        .collect();
    assert!(points.len() > 50, "{points:?}");
    let all = std::env::var("UPDATER_TEST_KILLS").is_ok_and(|kills| kills == "all");
    let step = if all { 1 } else { (points.len() / SAMPLE).max(1) };
    let (mut old, mut new) = (0, 0);
    for (call, number) in points.iter().rev().step_by(step) {
        let scene = site();
        let inject = format!("inject={call}:signal=KILL:when={number}");
        traced(&scene, &["-o", "/dev/null", "-e", &format!("trace={call}"), "-e", &inject]);
        let at = format!("killed at {call} {number}");
        // The very next start runs one of the two, whole.
        let run = scene.run(&["run"]);
        assert_eq!(run.status.code(), Some(0), "{at}: {}", text(&run.stderr));
        match text(&run.stdout).as_str() {
            "1.0.0\n" => old += 1,
            "1.1.0\n" => new += 1,
            other => panic!("{at}: {other:?}"),
        }
        // And what was interrupted can be done once more.
        let again = scene.run(&["update"]);
        assert!(again.status.success(), "{at}: {}", text(&again.stderr));
        assert_eq!(text(&scene.run(&["run"]).stdout), "1.1.0\n", "{at}");
    }
    eprintln!("{} of {} calls: {old} ran the old version, {new} the new one", old + new, points.len());
    assert!(old > 0 && new > 0, "{old} old, {new} new");
}
