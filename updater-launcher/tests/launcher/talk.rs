//! What is said between a launcher and those who ask it, start it, or read its logs.

use crate::running::{lives, until};
use crate::scene::{Scene, refused, text};
use serde_json::{Value, json};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};

const LIVES: &str = "while :; do sleep 0.05; done";

fn scene(script: &str) -> Scene {
    let scene = Scene::new();
    let table = json!({
        "interval": "never",
        "update-at-start": false,
        "health": {"stay-up": "20ms", "limit": "5s"},
        "stop": {"grace": "2s"},
    });
    scene.release("1.0.0", script, &table.to_string());
    scene.install();
    scene
}

fn connect(scene: &Scene) -> UnixStream {
    UnixStream::connect(scene.app().join("var/run/control.sock")).unwrap()
}

#[test]
fn who_has_said_everything_is_answered_all_the_same() {
    let scene = scene(LIVES);
    let mut running = scene.start();
    running.ready("1.0.0");
    let before = running.app_pid();
    for command in ["status", "restart"] {
        let mut stream = connect(&scene);
        stream.write_all(format!("{{\"v\":1,\"command\":\"{command}\"}}\n").as_bytes()).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let answer: Value = serde_json::from_str(&answer).unwrap();
        assert_eq!(answer["ok"], true, "{command}: {answer}");
    }
    assert_ne!(running.app_pid(), before);
    running.stop();
}

#[test]
fn silent_clients_lock_nobody_out_and_those_that_wait_are_kept() {
    let scene = scene(LIVES);
    let mut running = scene.start();
    running.ready("1.0.0");
    let mut listening: Vec<UnixStream> = (0..31).map(|_| connect(&scene)).collect();
    for stream in &mut listening {
        stream.write_all(b"{\"v\":1,\"command\":\"events\"}\n").unwrap();
    }
    // Asked after them, and so answered when they have been heard.
    assert_eq!(running.status()["ready"], true);
    let silent: Vec<UnixStream> = (0..40).map(|_| connect(&scene)).collect();
    assert_eq!(running.status()["ready"], true);
    // One more that waits for events, and there is no room; that is said.
    let mut last = None;
    until("the last place is taken", || {
        // One that has not been read yet is as silent as the others, and may have to make room like them.
        let mut stream = connect(&scene);
        let is_sent = stream.write_all(b"{\"v\":1,\"command\":\"events\"}\n").is_ok();
        last = Some(stream);
        is_sent && !scene.run(&["status"]).status.success()
    });
    refused(&scene.run(&["status"]), 75, "32 clients wait for answers or events already");
    drop((listening, silent, last));
    until("there is room again", || scene.run(&["status"]).status.success());
    running.stop();
}

#[test]
fn a_launcher_that_stands_still_is_told_from_one_that_is_not_there() {
    let scene = scene(LIVES);
    let mut running = scene.start();
    running.ready("1.0.0");
    running.signal("STOP");
    refused(&scene.run(&["status"]), 75, "does not answer");
    running.signal("CONT");
    assert_eq!(running.status()["ready"], true);
    running.stop();
}

#[test]
fn a_start_in_the_background_says_why_it_did_not_come_about() {
    let scene = scene(LIVES);
    scene.overrides("restrat = \"always\"\n");
    let output = scene.run(&["start", "--detach"]);
    refused(&output, 20, "did you mean `restart`?");
    assert!(!text(&output.stderr).contains("Started"), "{}", text(&output.stderr));
    std::fs::remove_file(scene.app().join("launcher.toml")).unwrap();

    // Several at once: one of them is the launcher, the others say so.
    let mut starts: Vec<_> = (0..4)
        .map(|_| {
            let mut command = scene.command(&["start", "--detach"]);
            command.arg("-C").arg(scene.app()).stderr(Stdio::piped()).spawn().unwrap()
        })
        .collect();
    let done = starts.iter_mut().map(|child| child.wait().unwrap().code()).collect::<Vec<_>>();
    scene.ok(&["stop"]);
    assert_eq!(done.iter().filter(|code| **code == Some(0)).count(), 1, "{done:?}");
    assert_eq!(done.iter().filter(|code| **code == Some(75)).count(), 3, "{done:?}");
}

#[test]
fn what_the_caller_has_open_ends_with_him() {
    let scene = scene("ls -l /proc/self/fd >fds; exec sleep 1000");
    let lock = scene.folder.path().join("lock");
    let mut command = Command::new("sh");
    command.args(["-c", "exec 9>\"$0\"; exec \"$@\""]).arg(&lock).arg(env!("CARGO_BIN_EXE_updater-launcher"));
    let output = command.args(["start", "--detach", "-C"]).arg(scene.app()).output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    let status: Value = serde_json::from_str(&scene.ok(&["status"])).unwrap();
    let own = std::path::PathBuf::from(format!("/proc/{}/fd", status["launcher"]));
    let is_held =
        std::fs::read_dir(own).unwrap().any(|fd| std::fs::read_link(fd.unwrap().path()).is_ok_and(|path| path == lock));
    until("the app has looked", || scene.read("versions/hello-1.0.0/fds").contains("/proc"));
    let of_app = scene.read("versions/hello-1.0.0/fds");
    scene.ok(&["stop"]);
    assert!(!is_held, "the launcher has the caller's file open");
    assert!(!of_app.contains("/lock"), "{of_app}");
}

#[test]
fn only_another_launcher_takes_over() {
    let scene = scene(LIVES);
    let own = scene.folder.path().join("own");
    std::fs::copy(env!("CARGO_BIN_EXE_updater-launcher"), &own).unwrap();
    let mut command = Command::new(&own);
    command.args(["start"]).stdin(Stdio::null());
    let mut running = scene.spawn_by(command);
    until("the launcher answers", || scene.app().join("var/run/control.sock").exists());
    running.ready("1.0.0");
    let app = running.app_pid();
    std::fs::copy("/bin/true", scene.folder.path().join("new")).unwrap();
    std::fs::rename(scene.folder.path().join("new"), &own).unwrap();
    refused(&scene.run(&["restart", "--launcher"]), 80, "it is no launcher that can take over");
    assert_eq!(running.app_pid(), app);
    assert!(lives(app));
    running.stop();
}

#[test]
fn a_followed_log_loses_nothing_when_it_is_rotated_and_ends_with_its_reader() {
    let scene = scene(LIVES);
    let folder = scene.app().join("var/log");
    std::fs::create_dir_all(&folder).unwrap();
    let log = folder.join("hello.out.log");
    let rotated = |number: u32| folder.join(format!("hello.out.log.{number}"));
    std::fs::write(&log, "1\n").unwrap();
    let mut command = scene.command(&["logs", "-f", "-C"]);
    let mut reader = command.arg(scene.app()).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(reader.stdout.take().unwrap()).lines();
    let mut next = || lines.next().unwrap().unwrap();
    assert_eq!(next(), "1");
    // Two rotations between two looks: the rest of the file that was read, one that was never seen, and the new one.
    std::fs::write(&log, "1\n2\n").unwrap();
    std::fs::rename(&log, rotated(2)).unwrap();
    std::fs::write(rotated(1), "3\n").unwrap();
    std::fs::write(&log, "4\n").unwrap();
    assert_eq!([next(), next(), next()], ["2", "3", "4"]);
    drop(lines);
    std::fs::OpenOptions::new().append(true).open(&log).unwrap().write_all(b"5\n").unwrap();
    until("it ends without a reader", || reader.try_wait().unwrap().is_some());
}
