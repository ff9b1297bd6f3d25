//! Updates of a running app: taken, refused, taken back; hooks and health; what is asked over the control socket.

use crate::running::until;
use crate::scene::{Scene, refused, text};
use serde_json::{Value, json};

/// A program that lives, and says which version it is.
const LIVES: &str = "echo runs {V}\ntrap 'exit 0' TERM\nwhile :; do sleep 0.05; done";
/// The same, and writes down its process.
const NAMED: &str = "echo $$ > $UPDATER_LAUNCHER_DIR/pid\ntrap 'exit 0' TERM\nwhile :; do sleep 0.05; done";

impl Scene {
    /// Publishes a version with quick times; what `more` says is laid over them.
    fn publish(&self, version: &str, script: &str, more: Value) {
        let mut table = json!({
            "interval": "never",
            "update-at-start": false,
            "health": {"stay-up": "150ms", "limit": "3s"},
            "backoff": {"first": "10ms", "ceiling": "50ms"},
            "stop": {"grace": "2s"},
        });
        for (key, value) in more.as_object().unwrap() {
            match (table[key].as_object_mut(), value.as_object()) {
                (Some(below), Some(above)) => below.extend(above.clone()),
                _ => table[key] = value.clone(),
            }
        }
        self.release(version, &script.replace("{V}", version), &table.to_string());
    }

    fn out(&self) -> String {
        self.read("var/log/hello.out.log")
    }
}

#[test]
fn an_update_on_request_replaces_the_running_version() {
    let scene = Scene::new();
    let hooks = json!({"hooks": {
        "before-swap": [["sh", "-c", "echo before {{previous}} {{version}} >> {{root}}/hooks; test -e share/version"]],
        "after-swap": [["sh", "-c", "echo after $(readlink {{root}}/current) >> {{root}}/hooks"]],
        "before-start": [["sh", "-c", "echo start {{version}} >> {{root}}/hooks"]],
        "after-start": [["sh", "-c", "echo ready {{version}} >> {{root}}/hooks"]],
    }});
    scene.publish("1.0.0", LIVES, json!({}));
    scene.install();
    let mut running = scene.start();
    running.ready("1.0.0");
    assert_eq!(scene.ok(&["update"]), "", "nothing newer");
    scene.publish("1.1.0", LIVES, hooks);
    assert_eq!(scene.ok(&["check"]), "1.1.0\n");
    assert_eq!(scene.ok(&["update"]), "1.1.0\n");
    running.ready("1.1.0");
    assert_eq!((scene.current().as_str(), scene.out().as_str()), ("1.1.0", "runs 1.0.0\nruns 1.1.0\n"));
    let expected = "before 1.0.0 1.1.0\nafter versions/hello-1.1.0\nstart 1.1.0\nready 1.1.0\n";
    assert_eq!(scene.read("hooks"), expected);
    let log = running.log();
    for event in ["available: 1.1.0", "swapping: 1.0.0 to 1.1.0", "updated: 1.0.0 to 1.1.0"] {
        assert!(log.contains(event), "{event}: {log}");
    }
    // What cannot be gone back to does not even stop it.
    let pid = running.app_pid();
    refused(&scene.run(&["rollback", "9.9.9"]), 2, "9.9.9 is not kept here");
    refused(&scene.run(&["rollback", "1.1.0"]), 2, "1.1.0 is the current version");
    assert_eq!(running.app_pid(), pid);
    // Back by hand, while it runs.
    assert_eq!(scene.ok(&["rollback"]), "1.0.0\n");
    running.ready("1.0.0");
    refused(&scene.run(&["update"]), 50, "1.1.0");
    running.stop();
}

#[test]
fn updates_come_by_themselves_at_the_start_and_every_interval() {
    let scene = Scene::new();
    let eager = json!({"interval": "1s", "update-at-start": true});
    scene.publish("1.0.0", LIVES, eager.clone());
    scene.install();
    scene.publish("1.1.0", LIVES, eager.clone());
    let mut running = scene.start();
    running.ready("1.1.0");
    scene.publish("1.2.0", LIVES, eager);
    running.ready("1.2.0");
    running.stop();
}

#[test]
fn a_version_that_fails_is_taken_back_and_not_offered_again() {
    for (name, script, more, reason) in [
        ("ends at once", "exit 3", json!({}), "exit code 3"),
        ("hangs", LIVES, json!({"health": {"limit": "600ms", "tcp": "127.0.0.1:1"}}), "not ready after 600ms"),
        ("is sick", LIVES, json!({"health": {"limit": "600ms", "command": ["false"]}}), "exit code 1"),
        ("does not confirm", LIVES, json!({"health": {"limit": "600ms", "confirm": true}}), "not confirmed itself"),
        ("fails a hook", LIVES, json!({"hooks": {"after-swap": [["false"]]}}), "hook after-swap"),
        ("fails the last hook", LIVES, json!({"hooks": {"after-start": [["false"]]}}), "hook after-start"),
        (
            "dies while something answers for it",
            NAMED,
            json!({"health": {"command": ["sh", "-c", "kill -9 $(cat {{root}}/pid); sleep 0.2"]}}),
            "ended by signal 9",
        ),
        (
            "dies during the last hook",
            NAMED,
            json!({"hooks": {"after-start": [["sh", "-c", "kill -9 $(cat {{root}}/pid); sleep 0.2"]]}}),
            "ended by signal 9",
        ),
    ] {
        let scene = Scene::new();
        scene.publish("1.0.0", LIVES, json!({}));
        scene.install();
        let mut running = scene.start();
        running.ready("1.0.0");
        scene.publish("1.1.0", script, more);
        let output = scene.run(&["update"]);
        refused(&output, 80, "version 1.1.0 failed");
        assert!(text(&output.stderr).contains(reason), "{name}: {}", text(&output.stderr));
        running.ready("1.0.0");
        assert_eq!(scene.current(), "1.0.0", "{name}");
        assert!(running.log().contains("rolling-back: 1.1.0 to 1.0.0"), "{name}: {}", running.log());
        refused(&scene.run(&["update"]), 50, "1.1.0");
        // The next one is taken.
        scene.publish("1.2.0", LIVES, json!({}));
        assert_eq!(scene.ok(&["update"]), "1.2.0\n", "{name}");
        running.stop();
    }
}

#[test]
fn what_fails_before_the_swap_leaves_the_old_version_running() {
    for (name, more, reason) in [
        ("hook", json!({"hooks": {"before-swap": [["sh", "-c", "echo because; exit 4"]]}}), "hook before-swap"),
        (
            "slow hook",
            json!({"hooks": {"before-swap": [["sleep", "100"]], "limit": "200ms"}}),
            "hook before-swap: sleep took longer than 200ms",
        ),
        ("table", json!({"restrat": "never"}), "unknown key `restrat`"),
        ("no such program", json!({"exec": "bin/none"}), "cannot start bin/none: no such file"),
        ("unknown variable", json!({"args": ["{{nothing}}"]}), "unknown variable `{{nothing}}`"),
    ] {
        let scene = Scene::new();
        scene.publish("1.0.0", LIVES, json!({}));
        scene.install();
        let mut running = scene.start();
        running.ready("1.0.0");
        let pid = running.app_pid();
        scene.publish("1.1.0", LIVES, more);
        let output = scene.run(&["update"]);
        assert!(text(&output.stderr).contains(reason), "{name}: {}", text(&output.stderr));
        assert_eq!((scene.current().as_str(), running.app_pid()), ("1.0.0", pid), "{name}: it never stopped");
        running.stop();
    }
}

#[test]
fn settings_that_cannot_be_read_stop_updates_and_remove_nothing() {
    let scene = Scene::new();
    for version in ["1.0.0", "1.1.0", "1.2.0"] {
        scene.publish(version, LIVES, json!({"keep": 3}));
        if version == "1.0.0" {
            scene.install();
        }
        scene.ok(&["update"]);
        let mut running = scene.start();
        running.ready(version);
        running.stop();
    }
    scene.publish("1.3.0", LIVES, json!({"keep": 3}));
    scene.overrides("kep = 3");
    refused(&scene.run(&["update"]), 20, "unknown key `kep`");
    assert_eq!(scene.current(), "1.2.0");
    // A return still works, and leaves every other version where it is.
    assert_eq!(scene.ok(&["rollback"]), "1.1.0\n");
    let versions = updater_tests::app::names(&scene.app().join("versions"));
    assert_eq!(versions, ["hello-1.0.0", "hello-1.1.0"]);
}

#[test]
fn an_app_confirms_itself_over_the_socket() {
    let scene = Scene::new();
    scene.publish("1.0.0", LIVES, json!({}));
    scene.install();
    let mut running = scene.start();
    running.ready("1.0.0");
    // Any program of the user can: a line of JSON is all it takes.
    let confirm = "import os, socket, time\ns = socket.socket(socket.AF_UNIX)\ns.connect(os.environ['UPDATER_LAUNCHER_SOCKET'])\ns.sendall(b'{\"v\":1,\"command\":\"confirm\"}\\n')\nprint(s.recv(100))\ntime.sleep(1000)";
    let script = format!("exec python3 -c \"{}\"", confirm.replace('"', "\\\""));
    scene.publish("1.1.0", &script, json!({"health": {"limit": "20s", "confirm": true}}));
    assert_eq!(scene.ok(&["update"]), "1.1.0\n");
    running.ready("1.1.0");
    assert!(scene.run(&["stop"]).status.success());
    running.end();
}

#[test]
fn a_launcher_killed_in_a_trial_goes_on_with_it() {
    let scene = Scene::new();
    scene.publish("1.0.0", LIVES, json!({}));
    scene.install();
    let mut running = scene.start();
    running.ready("1.0.0");
    // It never becomes ready, and the launcher is killed before it is taken back.
    scene.publish("1.1.0", LIVES, json!({"health": {"limit": "3s", "command": ["false"]}}));
    let mut asking = scene.command(&["update"]).arg("-C").arg(scene.app()).spawn().unwrap();
    until("1.1.0 was started", || scene.out().contains("runs 1.1.0"));
    running.child.kill().unwrap();
    running.child.wait().unwrap();
    assert!(!asking.wait().unwrap().success());
    assert_eq!(scene.current(), "1.1.0");
    let mut next = scene.start();
    next.ready("1.0.0");
    assert!(next.log().contains("trial: 1.1.0 is still on trial"), "{}", next.log());
    assert_eq!(scene.current(), "1.0.0");
    next.stop();
}

#[test]
fn an_update_without_a_launcher_is_tried_by_the_next_start() {
    let scene = Scene::new();
    scene.publish("1.0.0", LIVES, json!({}));
    scene.install();
    scene.publish("1.1.0", "exit 1", json!({}));
    assert_eq!(scene.ok(&["update"]), "1.1.0\n");
    let mut running = scene.start();
    running.ready("1.0.0");
    running.stop();
    scene.publish("1.2.0", LIVES, json!({}));
    assert_eq!(scene.ok(&["update"]), "1.2.0\n");
    let mut running = scene.start();
    running.ready("1.2.0");
    until("the trial is over", || running.log().contains("updated: 1.0.0 to 1.2.0"));
    running.stop();
}

#[test]
fn events_are_told_as_they_happen() {
    let scene = Scene::new();
    scene.publish("1.0.0", LIVES, json!({}));
    scene.install();
    let mut running = scene.start();
    running.ready("1.0.0");
    let file = std::fs::File::create(scene.folder.path().join("events")).unwrap();
    let mut events = scene.command(&["events"]).arg("-C").arg(scene.app()).stdout(file).spawn().unwrap();
    std::thread::sleep(std::time::Duration::from_millis(300));
    scene.ok(&["restart"]);
    running.stop();
    assert!(events.wait().unwrap().success());
    let lines = std::fs::read_to_string(scene.folder.path().join("events")).unwrap();
    let names: Vec<String> = lines
        .lines()
        .map(|line| {
            let event: Value = serde_json::from_str(line).unwrap();
            assert_eq!((&event["v"], &event["version"]), (&json!(1), &json!("1.0.0")));
            event["event"].as_str().unwrap().to_owned()
        })
        .collect();
    assert_eq!(names.iter().filter(|name| *name == "stopped").count(), 2, "{names:?}");
    assert_eq!(names.last().map(String::as_str), Some("launcher-ended"));
}

#[test]
fn a_job_that_is_killed_in_the_swap_leaves_a_version_that_runs() {
    if !updater_tests::require::command("strace", "apt-get install strace") {
        return;
    }
    // Only the swap makes a link and renames it: killed before the link, and behind the rename that nobody can undo.
    for (call, expected) in [("symlinkat", "1.0.0"), ("unlinkat", "1.1.0")] {
        let scene = Scene::new();
        scene.publish("1.0.0", LIVES, json!({}));
        scene.install();
        let mut running = scene.start();
        running.ready("1.0.0");
        scene.publish("1.1.0", LIVES, json!({"hooks": {"before-swap": [["sh", "-c", "touch {{root}}/staged; while ! test -e {{root}}/go; do sleep 0.02; done"]]}}));
        let updating =
            scene.command(&["update"]).arg("-C").arg(scene.app()).stderr(std::process::Stdio::piped()).spawn().unwrap();
        until("it is staged", || scene.app().join("staged").exists());
        let launcher = running.child.id();
        let job = std::fs::read_to_string(format!("/proc/{launcher}/task/{launcher}/children")).unwrap();
        let is_job = |pid: &&str| std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap().contains("__job");
        let job = job.split_whitespace().find(is_job).unwrap().to_owned();
        // Behind the rename of the link comes the first file that the end of the swap removes.
        let when = if call == "unlinkat" { "when=1" } else { "when=1+" };
        let inject = format!("inject={call}:signal=KILL:{when}");
        let tracer = std::process::Command::new("strace")
            .args(["-f", "-qq", "-o", "/dev/null", "-e", &format!("trace={call}"), "-e", &inject, "-p", &job])
            .stderr(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        until("it is traced", || {
            let status = std::fs::read_to_string(format!("/proc/{job}/status")).unwrap_or_default();
            status.lines().any(|line| line == format!("TracerPid:\t{}", tracer.id()))
        });
        std::fs::write(scene.app().join("go"), "").unwrap();
        let output = updating.wait_with_output().unwrap();
        tracer.wait_with_output().unwrap();
        running.ready(expected);
        assert_eq!(scene.current(), expected, "{}", running.log());
        match expected {
            "1.0.0" => refused(&output, 80, "the process of the update has ended without a result"),
            _ => {
                assert!(output.status.success(), "{}", text(&output.stderr));
                until("its trial is over", || running.log().contains("updated: 1.0.0 to 1.1.0"));
            }
        }
        // And what was interrupted can be done once more.
        scene.publish("1.2.0", LIVES, json!({}));
        assert_eq!(scene.ok(&["update"]), "1.2.0\n", "{}", running.log());
        running.stop();
    }
}

#[test]
fn a_return_by_hand_never_goes_below_the_security_counter() {
    let scene = Scene::new();
    let release = |version: &str, epoch| {
        let table = json!({"keep": 5}).to_string();
        let files: [(&str, &[u8]); 2] = [("bin/hello", b"#!/bin/sh\n"), (".updater-launcher.json", table.as_bytes())];
        let release = updater_tests::app::release(version, "bin/hello", &files);
        scene.published.release_of(updater_tests::crash::release::Release { epoch, ..release });
    };
    release("1.0.0", 0);
    scene.install();
    for (version, epoch) in [("1.1.0", 2), ("1.2.0", 2), ("1.3.0", 2)] {
        release(version, epoch);
        assert_eq!(scene.ok(&["update"]), format!("{version}\n"));
        // What a launcher does when the version is ready.
        let confirmed = scene.command(&["__job", "app", "confirm"]).output().unwrap();
        assert!(confirmed.status.success(), "{}", text(&confirmed.stderr));
    }
    refused(&scene.run(&["rollback", "1.0.0"]), 50, "1.0.0 has the security counter 0, but 2 was installed here");
    assert_eq!(scene.current(), "1.3.0");
    assert_eq!(scene.ok(&["rollback", "1.1.0"]), "1.1.0\n");
    // Nor by two steps, and nothing that is known of the others is lost.
    refused(&scene.run(&["rollback"]), 50, "security counter");
    assert_eq!(scene.ok(&["rollback", "1.2.0"]), "1.2.0\n");
    // A first install knows its counter, too.
    let other = Scene { folder: tempfile::tempdir().unwrap(), published: scene.published, deep: String::new() };
    other.install();
    assert_eq!(other.current(), "1.3.0");
    assert!(other.read(".current.updater/state.json").contains("\"epoch\":2"));
}

#[test]
fn another_interval_counts_from_a_restart_on() {
    let scene = Scene::new();
    scene.publish("1.0.0", LIVES, json!({}));
    scene.install();
    let mut running = scene.start();
    running.ready("1.0.0");
    scene.publish("1.1.0", LIVES, json!({}));
    scene.overrides("interval = '1s'");
    scene.ok(&["restart"]);
    running.ready("1.1.0");
    running.stop();
}
