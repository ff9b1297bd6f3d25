//! Which process is whose: who may confirm, who gets the grace period, and what a reader that stands still may not hold up.

use crate::running::{Running, lives, until};
use crate::scene::{Scene, refused, text};
use serde_json::{Value, json};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::process::{Child, Stdio};
use std::time::Duration;

/// A program that lives until it is asked to end.
const LIVES: &str = "trap 'exit 0' TERM\nwhile :; do sleep 0.05; done";

fn table(more: Value) -> String {
    let mut table = json!({
        "interval": "never",
        "update-at-start": false,
        "health": {"stay-up": "50ms", "limit": "3s"},
        "backoff": {"first": "10ms", "ceiling": "50ms"},
        "stop": {"grace": "5s"},
    });
    table.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    table.to_string()
}

/// Asks the supervisor as any program can, and returns its answer.
fn say(scene: &Scene, line: &str) -> Value {
    let mut stream = UnixStream::connect(scene.app().join("var/run/control.sock")).unwrap();
    stream.write_all(format!("{line}\n").as_bytes()).unwrap();
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer).unwrap();
    serde_json::from_str(&answer).unwrap()
}

#[test]
fn nobody_but_the_app_confirms_it() {
    let scene = Scene::new();
    scene.release("1.0.0", LIVES, &table(json!({})));
    scene.install();
    let mut running = scene.start();
    running.ready("1.0.0");
    let health = json!({"stay-up": "10ms", "limit": "2s", "confirm": true});
    scene.release("1.1.0", &format!("echo runs\n{LIVES}"), &table(json!({"health": health})));
    let mut updating = scene.command(&["update"]);
    let updating = updating.arg("-C").arg(scene.app()).stderr(Stdio::piped()).spawn().unwrap();
    until("the new version runs", || scene.read("var/log/hello.out.log").contains("runs"));
    let answer = say(&scene, r#"{"v":1,"command":"confirm"}"#);
    assert_eq!((&answer["ok"], &answer["data"]["code"]), (&json!(false), &json!("not-the-app")), "{answer}");
    let output = updating.wait_with_output().unwrap();
    refused(&output, 80, "it has not confirmed itself yet");
    running.ready("1.0.0");
    running.stop();
}

#[test]
fn a_version_that_has_confirmed_itself_is_still_watched() {
    let scene = Scene::new();
    scene.release("1.0.0", &format!("echo old runs\n{LIVES}"), &table(json!({})));
    scene.install();
    let mut running = scene.start();
    running.ready("1.0.0");
    // What `confirm()` of the runtime does to the journal. After it the health check fails.
    let launcher = env!("CARGO_BIN_EXE_updater-launcher");
    let script = format!("{launcher} __job $UPDATER_LAUNCHER_DIR confirm\ntouch $UPDATER_LAUNCHER_DIR/said\n{LIVES}");
    let health =
        json!({"stay-up": "10ms", "limit": "3s", "command": ["sh", "-c", "test -e {{root}}/said && exit 7; exit 8"]});
    scene.release("1.1.0", &script, &table(json!({"health": health})));
    refused(&scene.run(&["update"]), 80, "version 1.1.0 failed");
    running.ready("1.0.0");
    assert!(scene.read("var/log/hello.out.log").contains("\"confirmed\""), "{}", running.log());
    assert_eq!(scene.current(), "1.0.0");
    refused(&scene.run(&["update"]), 50, "1.1.0");
    running.stop();
}

#[test]
fn what_the_app_has_started_gets_the_rest_of_the_grace_period() {
    // The worker ignores nothing and is no child of the launcher: it finishes what it has begun.
    let worker = "(trap 'sleep 0.4; echo saved by worker; exit 0' TERM; echo worker; while :; do sleep 0.05; done) &";
    for (ending, event) in
        [("trap 'kill $!; exit 0' TERM\nwhile :; do sleep 0.05; done", "stop"), ("sleep 0.4; exit 1", "crash")]
    {
        let scene = Scene::new();
        let restart = if event == "crash" { "never" } else { "on-failure" };
        scene.release("1.0.0", &format!("{worker}\n{ending}"), &table(json!({"restart": restart})));
        scene.install();
        let mut running = scene.spawn();
        until("the worker runs", || scene.read("var/log/hello.out.log").contains("worker"));
        if event == "stop" {
            running.stop();
        } else {
            assert_eq!(running.end(), Some(1), "{}", running.log());
        }
        assert!(scene.read("var/log/hello.out.log").contains("saved by worker"), "{event}: {}", running.log());
    }
}

#[test]
fn a_worker_that_does_not_end_is_killed_before_the_app_starts_again() {
    let scene = Scene::new();
    let script = "(trap '' TERM; echo worker; while :; do sleep 0.05; done) &\necho $! >> $UPDATER_LAUNCHER_DIR/workers\nsleep 0.2\ntest -e $UPDATER_LAUNCHER_DIR/once || { touch $UPDATER_LAUNCHER_DIR/once; exit 1; }\nwait";
    scene.release("1.0.0", script, &table(json!({"stop": {"grace": "300ms"}})));
    scene.install();
    let mut running = scene.spawn();
    until("it was started twice", || scene.read("workers").lines().count() == 2);
    let first: i32 = scene.read("workers").lines().next().unwrap().parse().unwrap();
    assert!(!lives(first), "{}", running.log());
    assert!(scene.run(&["stop"]).status.success());
    running.end();
}

#[test]
fn a_folder_with_a_long_name_has_a_control_socket_too() {
    let mut scene = Scene::new();
    scene.deep = "a-folder-with-a-long-name".repeat(5);
    let confirm = "import os, socket, time\ns = socket.socket(socket.AF_UNIX)\ns.connect(os.environ['UPDATER_LAUNCHER_SOCKET'])\ns.sendall(b'{\"v\":1,\"command\":\"status\"}\\n')\nprint('answer', s.recv(100), flush=True)\ntime.sleep(1000)";
    let script = format!("exec python3 -c \"{}\"", confirm.replace('"', "\\\""));
    scene.release("1.0.0", &script, &table(json!({})));
    scene.install();
    assert!(scene.app().as_os_str().len() > 120);
    let mut running = scene.start();
    running.ready("1.0.0");
    until("the app has asked", || scene.read("var/log/hello.out.log").contains("answer b'{\"v\":1,\"ok\":true"));
    assert!(scene.run(&["stop"]).status.success());
    running.end();
}

#[test]
fn a_reader_of_the_launchers_stderr_that_stands_still_stops_nothing() {
    let scene = Scene::new();
    scene.release("1.0.0", "exit 1", &table(json!({"backoff": {"first": "1ms", "ceiling": "1ms", "limit": 0}})));
    scene.install();
    // A pipe that holds one page, and nobody reads it.
    let (reader, writer) = std::io::pipe().unwrap();
    rustix::pipe::fcntl_setpipe_size(&writer, 4096).unwrap();
    let child =
        scene.command(&["start"]).arg("-C").arg(scene.app()).stdout(Stdio::null()).stderr(writer).spawn().unwrap();
    let running = Running { scene: &scene, child };
    until("the launcher answers", || scene.app().join("var/run/control.sock").exists());
    until("it goes on", || running.status()["failures"].as_u64().unwrap() > 60);
    drop(reader);
    let failures = running.status()["failures"].as_u64().unwrap();
    until("it goes on without a reader", || running.status()["failures"].as_u64().unwrap() > failures);
}

#[test]
fn a_slow_reader_of_run_gets_everything_and_a_signal_is_heard_meanwhile() {
    let scene = Scene::new();
    scene.release(
        "1.0.0",
        "i=0; while [ $i -lt 4000 ]; do echo 012345678901234567890123456789012345678901234567; i=$((i+1)); done",
        &table(json!({})),
    );
    scene.install();
    let run = || -> Child {
        scene.command(&["run"]).arg("-C").arg(scene.app()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap()
    };
    let mut child = run();
    std::thread::sleep(Duration::from_millis(800));
    let mut shown = Vec::new();
    child.stdout.take().unwrap().read_to_end(&mut shown).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert_eq!(shown.len(), 4000 * 49, "{}", text(&shown[shown.len().saturating_sub(200)..]));
    // Nobody reads, and the launcher is asked to end.
    let mut child = run();
    std::thread::sleep(Duration::from_millis(800));
    crate::running::kill(i32::try_from(child.id()).unwrap(), "TERM");
    let begin = std::time::Instant::now();
    while child.try_wait().unwrap().is_none() {
        if begin.elapsed() > Duration::from_secs(20) {
            child.kill().unwrap();
            panic!("it does not hear the signal");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}
