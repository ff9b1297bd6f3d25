//! Supervision: restarts, signals, exit codes, locks, orphans, logs, and what a killed launcher leaves.

use crate::running::{kill, lives, until};
use crate::scene::{Scene, refused, text};
use serde_json::{Value, json};
use std::os::unix::process::ExitStatusExt as _;

/// Quick times for tests, with what a test adds laid over them.
pub(crate) fn table(more: &str) -> String {
    let mut table = json!({
        "interval": "never",
        "update-at-start": false,
        "health": {"stay-up": "100ms", "limit": "5s"},
        "backoff": {"first": "10ms", "ceiling": "50ms", "limit": 5, "window": "1m"},
        "stop": {"grace": "2s"},
    });
    let more: Value = serde_json::from_str(&format!("{{{more}}}")).unwrap();
    for (key, value) in more.as_object().unwrap() {
        match (table[key].as_object_mut(), value.as_object()) {
            (Some(below), Some(above)) => below.extend(above.clone()),
            _ => table[key] = value.clone(),
        }
    }
    table.to_string()
}

pub(crate) fn scene(script: &str, more: &str) -> Scene {
    let scene = Scene::new();
    scene.release("1.0.0", script, &table(more));
    scene.install();
    scene
}

#[test]
fn the_app_runs_in_its_folder_and_stops_by_its_signal() {
    let scene = scene(
        "trap 'echo stopped; exit 0' USR1\npwd; echo \"$1 $NAME $UPDATER_LAUNCHER_DIR\"; while :; do sleep 0.05; done",
        r#""stop":{"signal":"USR1","grace":"5s"},"args":["{{version}}"],"env":{"NAME":"{{app}}"}"#,
    );
    let mut running = scene.start();
    running.ready("1.0.0");
    let pid = running.app_pid();
    assert!(lives(pid));
    refused(&scene.run(&["start"]), 75, &format!("another launcher (process {})", running.child.id()));
    running.stop();
    assert!(!lives(pid));
    let root = scene.app().canonicalize().unwrap();
    let root = root.display();
    assert_eq!(
        scene.read("var/log/hello.out.log"),
        format!("{root}/versions/hello-1.0.0\n1.0.0 hello {root}\nstopped\n")
    );
    refused(&scene.run(&["stop"]), 75, "no launcher runs");
    assert!(scene.ok(&["logs", "-n", "1"]).ends_with("stopped\n"));
    assert!(scene.ok(&["logs", "launcher"]).contains("launcher-ended: exit code 0"));
}

#[test]
fn exit_codes_pass_through_and_a_crash_loop_ends() {
    for (script, more, code, starts) in [
        ("exit 0", "", 0, 1),
        ("exit 7", r#""restart":"never""#, 7, 1),
        ("kill -KILL $$", r#""restart":"never""#, 128 + 9, 1),
        ("exit 7", "", 7, 5),
        ("exit 0", r#""restart":"always""#, 80, 5),
    ] {
        let scene = scene(&format!("echo start\n{script}"), more);
        let mut running = scene.spawn();
        assert_eq!(running.end(), Some(code), "{script} {more}: {}", running.log());
        let count = scene.read("var/log/hello.out.log").lines().count();
        assert_eq!(count, starts, "{script} {more}: {}", running.log());
    }
}

#[test]
fn run_is_once_and_shows_the_output() {
    let scene = scene("echo out; echo err >&2; exit 3", r#""restart":"always""#);
    let output = scene.run(&["run"]);
    assert_eq!(output.status.code(), Some(3));
    assert_eq!(text(&output.stdout), "out\n");
    assert!(text(&output.stderr).contains("err\n"));
    assert_eq!(scene.read("var/log/hello.err.log"), "err\n");
}

#[test]
fn signals_go_where_they_belong() {
    let scene =
        scene("trap 'echo hup' HUP; trap 'echo term; exit 5' TERM\necho begin; while :; do sleep 0.05; done", "");
    let mut running = scene.start();
    until("the app has begun", || scene.read("var/log/hello.out.log").contains("begin"));
    running.signal("HUP");
    until("the app got HUP", || scene.read("var/log/hello.out.log").contains("hup"));
    running.signal("TERM");
    assert_eq!(running.end(), Some(5), "the app's own exit code");
    assert!(scene.read("var/log/hello.out.log").ends_with("term\n"));
    assert!(!scene.app().join("var/run/control.sock").exists());
}

#[test]
fn an_app_that_does_not_stop_is_killed_with_its_children() {
    let scene =
        scene("trap '' TERM\nsleep 1000 & echo $!\nwhile :; do sleep 0.05; done", r#""stop":{"grace":"200ms"}"#);
    let mut running = scene.start();
    until("the child is there", || scene.read("var/log/hello.out.log").ends_with('\n'));
    let (app, child) = (running.app_pid(), scene.read("var/log/hello.out.log").trim().parse().unwrap());
    assert!(lives(child));
    assert!(scene.run(&["stop"]).status.success());
    assert_eq!(running.end(), Some(128 + 9));
    until("both are gone", || !lives(app) && !lives(child));
}

#[test]
fn a_killed_launcher_takes_its_app_along_and_leaves_no_lock() {
    let scene = scene("trap '' TERM\nwhile :; do sleep 0.05; done", r#""stop":{"grace":"200ms"}"#);
    let mut running = scene.start();
    running.ready("1.0.0");
    let pid = running.app_pid();
    running.child.kill().unwrap();
    assert_eq!(running.child.wait().unwrap().signal(), Some(9));
    // It does not listen to the signal that tells it of the end, so the next launcher ends it.
    assert!(lives(pid) && scene.app().join("var/run/lock").exists());
    let mut next = scene.start();
    next.ready("1.0.0");
    assert!(!lives(pid), "two at once");
    assert!(next.log().contains(&format!("leftover: process {pid}")), "{}", next.log());
    assert!(scene.run(&["stop"]).status.success());
    next.end();
}

#[test]
fn in_the_background_it_answers_before_the_command_ends() {
    let scene = scene("while :; do sleep 0.05; done", "");
    let output = scene.run(&["start", "--detach"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let status: serde_json::Value = serde_json::from_str(&scene.ok(&["status"])).unwrap();
    assert_eq!(status["running"], true);
    refused(&scene.run(&["start", "--detach"]), 75, "another launcher");
    let before = status["pid"].as_i64().unwrap();
    scene.ok(&["restart"]);
    let status: serde_json::Value = serde_json::from_str(&scene.ok(&["status"])).unwrap();
    assert_ne!(status["pid"].as_i64().unwrap(), before);
    scene.ok(&["stop"]);
    let status: serde_json::Value = serde_json::from_str(&scene.ok(&["status"])).unwrap();
    assert_eq!(status["running"], false);
}

#[test]
fn an_unhealthy_app_is_restarted() {
    let scene = scene(
        "echo start; while :; do sleep 0.05; done",
        r#""health":{"stay-up":"10ms","limit":"5s","every":"50ms","failures":2,"command":["sh","-c","test ! -e {{root}}/sick"]}"#,
    );
    let mut running = scene.start();
    running.ready("1.0.0");
    let pid = running.app_pid();
    std::fs::write(scene.app().join("sick"), "").unwrap();
    until("it was stopped", || !lives(pid));
    std::fs::remove_file(scene.app().join("sick")).unwrap();
    running.ready("1.0.0");
    assert_ne!(running.app_pid(), pid);
    assert!(running.log().contains("2 health checks have failed"), "{}", running.log());
    running.stop();
}

#[test]
fn a_restart_that_cannot_be_leaves_the_app_or_is_tried_again() {
    let scene = scene(
        "echo start; trap 'exit 0' TERM; while :; do sleep 0.05; done",
        r#""backoff":{"limit":0},"hooks":{"before-start":[["sh","-c","test -e {{root}}/go"]]}"#,
    );
    std::fs::write(scene.app().join("go"), "").unwrap();
    let mut running = scene.start();
    running.ready("1.0.0");
    let pid = running.app_pid();
    scene.overrides("restrat = 'never'");
    refused(&scene.run(&["restart"]), 20, "unknown key `restrat`");
    assert_eq!(running.app_pid(), pid, "it runs on");
    scene.overrides("");
    // A hook that fails keeps the app from starting, again and again, until it succeeds.
    std::fs::remove_file(scene.app().join("go")).unwrap();
    refused(&scene.run(&["restart"]), 80, "hook before-start");
    until("it was tried again", || running.log().matches("failed: hook before-start").count() >= 3);
    assert_eq!(scene.read("var/log/hello.out.log"), "start\n", "{}", running.log());
    std::fs::write(scene.app().join("go"), "").unwrap();
    running.ready("1.0.0");
    assert_ne!(running.app_pid(), pid);
    running.stop();
}

#[test]
fn a_folder_that_others_can_change_is_not_run_by_root() {
    if !updater_tests::require::root("a folder of another user") {
        return;
    }
    let scene = scene("touch $UPDATER_LAUNCHER_DIR/ran", "");
    std::os::unix::fs::chown(scene.app(), Some(65534), None).unwrap();
    for command in ["start", "run", "update", "rollback", "script"] {
        refused(&scene.run(&[command]), 70, "can be changed by others");
    }
    assert!(!scene.app().join("ran").exists());
    std::os::unix::fs::chown(scene.app(), Some(0), None).unwrap();
    assert!(scene.run(&["run"]).status.success());
    assert!(scene.app().join("ran").exists());
}

#[test]
fn scripts_run_by_name_with_variables() {
    let scene = scene(
        "exit 0",
        r#""values":{"to":"backup"},"script":{"show":["sh","-c","echo {{version}} {{value.to}} $0 $1"],"own":["bin/hello"]}"#,
    );
    assert_eq!(scene.ok(&["script"]), "own\nshow\n");
    let output = scene.command(&["script", "-C", "app", "show", "--x", "y"]).output().unwrap();
    assert_eq!(text(&output.stdout), "1.0.0 backup --x y\n");
    assert!(scene.run(&["script", "own"]).status.success());
    refused(&scene.command(&["script", "-C", "app", "none"]).output().unwrap(), 2, "no script `none`");
}

#[test]
fn as_process_one_it_reaps_orphans_and_passes_on_the_end() {
    if !updater_tests::require::command("unshare", "apt-get install util-linux")
        || !updater_tests::require::root("a namespace")
    {
        return;
    }
    // Ten grandchildren lose their parent; nobody but process 1 can take them.
    let scene = scene(
        "for i in 1 2 3 4 5 6 7 8 9 10; do (sleep 0.05 &) ; done\nsleep 0.5\necho zombies $(grep -l '^State:.Z' /proc/[0-9]*/status | wc -l)\ntrap 'echo term; exit 0' TERM\nwhile :; do sleep 0.05; done",
        "",
    );
    let mut command = std::process::Command::new("unshare");
    command.args(["--pid", "--fork", "--kill-child", "--mount-proc", env!("CARGO_BIN_EXE_updater-launcher"), "start"]);
    let mut running = scene.spawn_by(command);
    until("the orphans were reaped", || scene.read("var/log/hello.out.log").contains("zombies 0\n"));
    assert!(running.log().contains("launcher-started: process 1"), "{}", running.log());
    // `unshare` does not pass signals on; the launcher is its child.
    let parent = running.child.id();
    let children = std::fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).unwrap();
    kill(children.trim().parse().unwrap(), "TERM");
    assert_eq!(running.end(), Some(0), "{}", running.log());
    assert!(scene.read("var/log/hello.out.log").ends_with("term\n"));
}

#[test]
fn many_restarts_stay_within_bounds() {
    let wanted = std::env::var("UPDATER_TEST_RESTARTS").ok().and_then(|text| text.parse().ok());
    let restarts: usize = wanted.unwrap_or(60);
    let scene = scene(
        "echo 0123456789012345678901234567890123456789; exit 1",
        r#""backoff":{"first":"1ms","ceiling":"1ms","limit":0,"window":"1d"},"log":{"bytes":4096,"files":2}"#,
    );
    let begin = std::time::Instant::now();
    let running = scene.start();
    let pid = running.child.id();
    let descriptors = || std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count();
    let resident = || {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap().to_owned();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap()
    };
    let failures = || usize::try_from(running.status()["failures"].as_u64().unwrap()).unwrap();
    // However slow they are: as long as they go on.
    let wait_for = |wanted: usize| {
        while failures() < wanted {
            let now = failures();
            until("another restart", || failures() > now);
        }
    };
    wait_for(restarts / 6);
    let (fds_before, kib_before) = (descriptors(), resident());
    wait_for(restarts);
    let seconds = begin.elapsed().as_secs();
    eprintln!(
        "{restarts} restarts in {seconds} s: {fds_before} then {} descriptors, {kib_before} then {} KiB resident",
        descriptors(),
        resident()
    );
    // A descriptor more or less: the app may be starting at this moment, or a client be there.
    assert!(descriptors() <= fds_before + 8, "{} then {}", fds_before, descriptors());
    assert!(resident() <= kib_before + 1024, "{kib_before} KiB then {} KiB", resident());
    for name in updater_tests::app::names(&scene.app().join("var/log")) {
        let length = std::fs::metadata(scene.app().join("var/log").join(&name)).unwrap().len();
        assert!(length <= 4096 + 256, "{name}: {length}");
        eprintln!("{name}: {length} bytes");
    }
}
