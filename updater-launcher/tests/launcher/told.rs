//! What the launcher tells: states in `status`, the words of a failed health check, and how much it keeps open for others.

use crate::running::{kill, until};
use crate::scene::{Scene, text};
use crate::supervise::{scene, table};
use serde_json::Value;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::process::Stdio;

/// A program that lives.
const LIVES: &str = "trap 'exit 0' TERM\nwhile :; do sleep 0.05; done";

#[test]
fn the_state_is_told_at_every_moment() {
    let scene = scene("trap '' TERM\nwhile :; do sleep 0.05; done", r#""stop":{"grace":"1s"}"#);
    let offline: Value = serde_json::from_str(&scene.ok(&["status"])).unwrap();
    assert_eq!((&offline["state"], &offline["pid"]), (&"stopped".into(), &Value::Null));
    let running = scene.start();
    running.ready("1.0.0");
    let online = running.status();
    assert_eq!((&online["state"], &online["last-error"]), (&"running".into(), &Value::Null));
    let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(keys(&offline), keys(&online));

    // Asked to end it lives on for a while.
    let pid = running.app_pid();
    let restarting = scene.command(&["restart"]).arg("-C").arg(scene.app()).spawn().unwrap();
    let mut seen = Value::Null;
    until("it is being stopped", || {
        seen = running.status();
        seen["state"] == "stopping"
    });
    assert_eq!((&seen["running"], &seen["pid"], &seen["ready"]), (&true.into(), &pid.into(), &false.into()));
    assert!(restarting.wait_with_output().unwrap().status.success());
    running.ready("1.0.0");

    // A trial is no finished update.
    let sick = r#""health":{"limit":"20s","command":["test","-e","{{root}}/well"]}"#;
    scene.release("1.1.0", LIVES, &table(sick));
    let updating = scene.command(&["update"]).arg("-C").arg(scene.app()).stdout(Stdio::piped()).spawn().unwrap();
    until("it is on trial", || {
        seen = running.status();
        seen["state"] == "trial" && seen["pid"].is_i64()
    });
    assert_eq!((&seen["version"], &seen["updating"], &seen["ready"]), (&"1.1.0".into(), &true.into(), &false.into()));
    std::fs::write(scene.app().join("well"), "").unwrap();
    assert_eq!(text(&updating.wait_with_output().unwrap().stdout), "1.1.0\n");
    seen = running.status();
    assert_eq!((&seen["state"], &seen["updating"]), (&"running".into(), &false.into()), "{seen}");

    // What has failed is told, with what is not offered for it.
    scene.release("1.2.0", "exit 3", &table(""));
    assert!(!scene.run(&["update"]).status.success());
    running.ready("1.1.0");
    seen = running.status();
    assert_eq!(seen["not-offered"], serde_json::json!(["1.2.0"]));
    let error = seen["last-error"]["message"].as_str().unwrap();
    assert_eq!(error, "version 1.2.0 failed: the app ended with exit code 3; 1.1.0 runs again");
    let mut running = running;
    running.stop();
    let offline: Value = serde_json::from_str(&scene.ok(&["status"])).unwrap();
    assert_eq!(offline["not-offered"], seen["not-offered"]);
}

#[test]
fn a_failed_health_check_says_what_failed_and_says_it_once() {
    // Free a moment ago, and nobody else here asks for it.
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let open = server.local_addr().unwrap();
    std::thread::spawn(move || {
        for client in server.incoming() {
            let mut client = client.unwrap();
            let _ = client.read(&mut [0; 1024]);
            let _ = client.write_all(b"HTTP/1.0 500 Oh\r\n\r\n");
        }
    });
    for (check, words) in [
        (format!(r#""tcp":"{closed}""#), format!("health.tcp {closed}: connection refused")),
        (format!(r#""http":"http://{open}/x""#), format!("health.http http://{open}/x: answered 500")),
        (
            r#""command":["sh","-c","echo because; exit 4"]"#.to_owned(),
            "health.command sh -c echo because; exit 4: ended with exit code 4".to_owned(),
        ),
    ] {
        let scene =
            scene(LIVES, &format!(r#""backoff":{{"limit":1}},"health":{{"stay-up":"10ms","limit":"700ms",{check}}}"#));
        let mut running = scene.spawn();
        assert_eq!(running.end(), Some(80), "{}", running.log());
        let log = running.log();
        assert_eq!(log.matches(&format!(" not-ready: {words}\n")).count(), 1, "{log}");
        assert!(log.contains(&format!(" failed: the app is not ready after 700ms: {words}\n")), "{log}");
        assert_eq!(log.matches("\nbecause\n").count(), usize::from(check.contains("because")), "{log}");
    }
}

#[test]
fn two_versions_side_by_side_are_stopped_at_once() {
    let script = "echo $$ > $UPDATER_LAUNCHER_DIR/pid-{V}\ntrap 'kill -0 $(cat $UPDATER_LAUNCHER_DIR/pid-1.0.0) && echo together {V}' TERM\nwhile :; do sleep 0.05; done";
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let more = format!(r#""listen":"{address}","stop":{{"grace":"2s"}}"#);
    let scene = Scene::new();
    scene.release("1.0.0", &script.replace("{V}", "1.0.0"), &table(&more));
    scene.install();
    let mut running = scene.start();
    running.ready("1.0.0");
    let never = format!(r#"{more},"health":{{"limit":"50s","command":["false"]}}"#);
    scene.release("1.1.0", &script.replace("{V}", "1.1.0"), &table(&never));
    let mut updating = scene.command(&["update"]).arg("-C").arg(scene.app()).stderr(Stdio::null()).spawn().unwrap();
    until("it is on trial", || scene.app().join("pid-1.1.0").exists() && running.status()["state"] == "trial");
    running.signal("TERM");
    running.end();
    updating.wait().unwrap();
    let out = scene.read("var/log/hello.out.log");
    assert!(out.contains("together 1.1.0"), "{out} {}", running.log());
    assert_eq!(running.log().matches(" killed: ").count(), 2, "{}", running.log());
}

#[test]
fn what_crashing_apps_leave_running_holds_few_descriptors() {
    let scene = scene(
        "setsid sleep 60 & echo $!; exit 1",
        r#""backoff":{"first":"1ms","ceiling":"1ms","limit":0,"window":"1d"}"#,
    );
    let running = scene.start();
    until("many starts", || running.status()["failures"].as_u64() > Some(45));
    let descriptors = std::fs::read_dir(format!("/proc/{}/fd", running.child.id())).unwrap().count();
    let log = running.log();
    drop(running);
    for pid in scene.read("var/log/hello.out.log").lines().filter_map(|line| line.parse().ok()) {
        if crate::running::lives(pid) {
            kill(pid, "KILL");
        }
    }
    assert!(descriptors < 70, "{descriptors}");
    assert_eq!(log.matches(" closed: ").count(), 1, "{log}");
}
