//! Starts that fail: what waits, what ends at once, what an update mends, and what never stops a healthy app.

use crate::running::until;
use crate::scene::{Scene, refused, text};
use crate::supervise::{scene, table};
use std::os::unix::fs::PermissionsExt as _;

/// A program that lives.
const LIVES: &str = "trap 'exit 0' TERM\nwhile :; do sleep 0.05; done";

#[test]
fn an_update_mends_an_app_that_fails_at_its_start() {
    for (name, script, more) in [
        ("ends at once", "exit 3", r#""restart":"never","update-at-start":true"#),
        ("is given up", "exit 3", r#""interval":"1h","backoff":{"limit":2}"#),
        ("fails a hook", LIVES, r#""interval":"1h","backoff":{"limit":2},"hooks":{"before-start":[["false"]]}"#),
        (
            "is not ready",
            LIVES,
            r#""interval":"1h","backoff":{"limit":1},"health":{"limit":"200ms","command":["false"]}"#,
        ),
        ("cannot be run", LIVES, r#""interval":"1h""#),
    ] {
        let scene = scene(script, more);
        if name == "cannot be run" {
            let program = scene.app().join("versions/hello-1.0.0").join(crate::scene::ENTRY);
            std::fs::set_permissions(program, std::fs::Permissions::from_mode(0o644)).unwrap();
        }
        scene.release("1.1.0", LIVES, &table(""));
        let mut running = scene.spawn();
        until(&format!("{name}: it is mended: {}", running.log()), || {
            running.log().contains("updated: 1.0.0 to 1.1.0")
        });
        running.ready("1.1.0");
        running.stop();
    }
}

#[test]
fn without_a_better_version_the_end_is_the_same() {
    // Nothing newer; one that is no better; and nothing is asked where updates are off.
    for (newer, more, starts, looks) in [
        (false, r#""restart":"never","interval":"1h""#, 1, 1),
        (true, r#""restart":"never","interval":"1h""#, 2, 1),
        (true, r#""restart":"never""#, 1, 0),
    ] {
        let scene = scene("exit 3", more);
        if newer {
            scene.release("1.1.0", "exit 4", &table(""));
        }
        let mut running = scene.spawn();
        assert_eq!(running.end(), Some(3), "{newer} {more}: {}", running.log());
        let log = running.log();
        assert_eq!(log.matches(" started: ").count(), starts, "{newer} {more}: {log}");
        assert_eq!(log.matches(" last-look: ").count(), looks, "{newer} {more}: {log}");
        assert_eq!(log.matches("1.0.0 is back, which has failed as well").count(), starts - 1, "{log}");
        assert_eq!(scene.current(), "1.0.0");
    }
}

#[test]
fn a_first_start_that_may_come_about_later_is_awaited() {
    let quick = r#""backoff":{"first":"300ms","ceiling":"300ms","limit":0}"#;
    let hooked = format!(r#"{quick},"hooks":{{"before-start":[["test","-e","{{{{root}}}}/go"]]}}"#);
    let scene = scene(LIVES, &hooked);
    let mut running = scene.start();
    until("it waits", || {
        let status = running.status();
        status["state"] == "waiting" && status["next-start"].is_u64() && status["failures"].as_u64() > Some(1)
    });
    let error = running.status()["last-error"].clone();
    assert_eq!(error["message"], "hook before-start: test ended with exit code 1", "{error}");
    std::fs::write(scene.app().join("go"), "").unwrap();
    running.ready("1.0.0");
    assert_eq!(running.status()["state"], "running");
    running.stop();

    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let scene = crate::supervise::scene(LIVES, &format!(r#"{quick},"listen":"{address}""#));
    let mut running = scene.start();
    until("it has failed", || running.status()["failures"].as_u64() > Some(0));
    drop(taken);
    running.ready("1.0.0");
    running.stop();
}

#[test]
fn what_no_wait_mends_ends_at_once() {
    for (toml, code, words) in [
        ("exec = 'bin/none'", 80, "cannot start bin/none: no such file"),
        ("exec = 'share'", 80, "cannot start share: it is a folder"),
        ("exec = 'share/version'", 80, "cannot start share/version: it is not executable"),
        ("exec = 'bin/other'", 80, "cannot start bin/other: the interpreter or loader that it names is not there"),
        ("args = ['{{nothing}}']", 20, "unknown variable `{{nothing}}`"),
    ] {
        let scene = scene(LIVES, "");
        let other = scene.app().join("versions/hello-1.0.0/bin/other");
        std::fs::write(&other, "#!/no/such/interpreter\n").unwrap();
        std::fs::set_permissions(&other, std::fs::Permissions::from_mode(0o755)).unwrap();
        scene.overrides(toml);
        for command in ["start", "run"] {
            let output = scene.run(&[command]);
            refused(&output, code, words);
            let log = scene.read("var/log/launcher.log");
            assert!(log.contains(&format!("failed: {words}")) && !log.contains("waiting: "), "{log}");
        }
    }
}

#[test]
fn nothing_that_cannot_start_takes_a_healthy_app_down() {
    let scene = scene(LIVES, "");
    let mut running = scene.start();
    running.ready("1.0.0");
    let pid = running.app_pid();
    for (toml, code, words) in [
        ("args = ['{{nothing}}']", 20, "unknown variable `{{nothing}}`"),
        ("env.A = '{{value.none}}'", 20, "unknown variable `{{value.none}}`"),
        ("health.command = ['{{x}}']", 20, "unknown variable `{{x}}`"),
        ("exec = 'bin/none'", 80, "cannot start bin/none: no such file"),
    ] {
        scene.overrides(toml);
        refused(&scene.run(&["restart"]), code, words);
        let shown = scene.run(&["config"]);
        refused(&shown, code, words);
        assert!(text(&shown.stdout).contains("# launcher.toml"), "{}", text(&shown.stdout));
        let status = running.status();
        assert_eq!((&status["pid"], &status["state"]), (&pid.into(), &"running".into()), "{status}");
    }
    scene.overrides("");
    scene.ok(&["config"]);
    running.stop();
}

#[test]
fn what_only_a_hook_makes_may_be_missing_before() {
    let scene = Scene::new();
    scene.release("1.0.0", LIVES, &table(r#""hooks":{"before-start":[["cp","bin/hello","bin/made"]]}"#));
    scene.install();
    scene.overrides("exec = 'bin/made'");
    let mut running = scene.start();
    running.ready("1.0.0");
    std::fs::remove_file(scene.app().join("versions/hello-1.0.0/bin/made")).unwrap();
    scene.ok(&["restart"]);
    running.ready("1.0.0");
    running.stop();
}
