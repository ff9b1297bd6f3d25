//! `install` and what looks at an install: what is put there, and what is refused with nothing left behind.

use crate::scene::{Scene, is_empty, refused, text};
use updater_format::Sha256;
use updater_tests::app::names;

#[test]
fn from_a_url_to_a_current_version_and_back() {
    let scene = Scene::new();
    scene.release("1.0.0", "exit 0", r#"{"args":["-v"]}"#);
    scene.install();
    assert_eq!(scene.current(), "1.0.0");
    assert_eq!(names(&scene.app()), ["current", "var", "versions"]);
    assert_eq!(scene.ok(&["list"]), "* 1.0.0\n");
    assert_eq!(scene.ok(&["check"]), "");
    scene.release("1.1.0", "exit 0", r#"{"args":["-v"]}"#);
    assert_eq!(scene.ok(&["check"]), "1.1.0\n");
    assert_eq!(scene.ok(&["update"]), "1.1.0\n");
    assert_eq!(scene.current(), "1.1.0");
    assert_eq!(scene.ok(&["list"]), "* 1.1.0\n  1.0.0\n");
    let offered = scene.ok(&["list", "--offered"]);
    assert!(offered.starts_with("* 1.1.0  ") && offered.contains("\n  1.0.0  "), "{offered}");
    assert_eq!(scene.ok(&["rollback"]), "1.0.0\n");
    assert_eq!(scene.current(), "1.0.0");
    // What was left is not offered again.
    refused(&scene.run(&["check"]), 50, "1.1.0");
    refused(&scene.run(&["rollback"]), 2, "no version before 1.0.0");
    refused(&scene.run(&["rollback", "7.0.0"]), 2, "7.0.0 is not kept here");
}

#[test]
fn a_pin_is_as_good_as_the_file_and_a_wrong_one_leaves_nothing() {
    let scene = Scene::new();
    scene.release("1.0.0", "exit 0", "{}");
    let wrong = Sha256::of(b"another").to_string();
    refused(&scene.install_by("--pin", &wrong), 50, &wrong);
    assert!(is_empty(&scene.app()));
    let pin = Sha256::of(&scene.published.root()).to_string();
    assert!(scene.install_by("--pin", &pin).status.success());
    let status: serde_json::Value = serde_json::from_str(&scene.ok(&["status"])).unwrap();
    assert_eq!((status["app"].as_str(), status["root"].as_str()), (Some("hello"), Some(pin.as_str())));
    assert_eq!((status["version"].as_str(), status["running"].as_bool()), (Some("1.0.0"), Some(false)));
}

#[test]
fn what_cannot_be_installed_leaves_nothing_behind() {
    let scene = Scene::new();
    let root = scene.published.root_file();
    let root = root.to_str().unwrap();
    refused(&scene.install_by("--root", root), 50, "no release yet");
    scene.release("1.0.0", "exit 0", "{}");
    refused(&scene.install_by("--root", "/nowhere/root.json"), 70, "/nowhere/root.json");
    let garbage = scene.folder.path().join("garbage.json");
    std::fs::write(&garbage, "{}").unwrap();
    refused(&scene.install_by("--root", garbage.to_str().unwrap()), 50, "root");
    let output = scene.command(&["install", &scene.published.url(), "app"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "no trust, no install: {}", text(&output.stderr));
    {
        let mut repository = scene.published.simulator.repo();
        repository.timestamp.expires = updater_tests::app::now().plus_days(-1);
        repository.bump();
    }
    scene.published.write();
    refused(&scene.install_by("--root", root), 50, "timestamp");
    assert!(is_empty(&scene.app()));
}

#[test]
fn an_occupied_folder_is_left_alone() {
    let scene = Scene::new();
    scene.release("1.0.0", "exit 0", "{}");
    let root = scene.published.root_file();
    std::fs::create_dir(scene.app()).unwrap();
    std::fs::write(scene.app().join("notes.txt"), "mine").unwrap();
    refused(&scene.install_by("--root", root.to_str().unwrap()), 70, "notes.txt");
    assert_eq!(names(&scene.app()), ["notes.txt"]);
    std::fs::remove_file(scene.app().join("notes.txt")).unwrap();
    std::fs::write(scene.app().join("launcher.toml"), "").unwrap();
    scene.install();
    refused(&scene.install_by("--root", root.to_str().unwrap()), 70, "installed version");
    refused(&scene.command(&["status", "-C", "/"]).output().unwrap(), 70, "no install");
}

#[test]
fn an_interrupted_install_goes_on() {
    let scene = Scene::new();
    scene.release("1.0.0", "exit 0", "{}");
    scene.install();
    // As after a kill before the link: the record is there, `current` is not.
    std::fs::remove_file(scene.app().join("current")).unwrap();
    refused(&scene.run(&["check"]), 70, "no install");
    let other = Scene::new();
    other.release("1.0.0", "exit 0", "{}");
    let (url, app) = (other.published.url(), scene.app());
    let root = other.published.root_file();
    let output = scene.command(&["install", &url, app.to_str().unwrap(), "--root", root.to_str().unwrap()]).output();
    refused(&output.unwrap(), 70, "unfinished install of hello");
    scene.install();
    assert_eq!(scene.current(), "1.0.0");
}

#[test]
fn settings_show_where_they_come_from() {
    let scene = Scene::new();
    scene.release("1.0.0", "exit 0", r#"{"stop":{"grace":"3s"}}"#);
    scene.install();
    scene.overrides("keep = 4\n");
    let shown = scene.ok(&["config"]);
    let line = |key: &str| shown.lines().find(|line| line.starts_with(key)).unwrap().to_owned();
    assert!(line("keep ").ends_with("= 4  # launcher.toml"), "{shown}");
    assert!(line("stop.grace").ends_with("= \"3s\"  # bundle"), "{shown}");
    assert!(line("restart").ends_with("= \"on-failure\"  # default"), "{shown}");
    refused(&scene.run(&["init"]), 2, "launcher.toml is there already");
    let unit = scene.ok(&["init", "--service", "systemd"]);
    let root = scene.app().canonicalize().unwrap();
    assert!(unit.contains(&format!(" start -C \"{}\"\n", root.display())), "{unit}");
    assert!(unit.contains("\nTimeoutStopSec=18\n"), "the grace of 3 s and some: {unit}");
    verified_by_systemd(&scene, &unit);
    let job = scene.ok(&["init", "--service", "launchd"]);
    if updater_tests::require::command("python3", "apt-get install python3") {
        let shown = "import plistlib, sys; job = plistlib.load(sys.stdin.buffer); print(job['Label'], job['ProgramArguments'][1:], job['RunAtLoad'], job['KeepAlive'], job['ExitTimeOut'])";
        let file = scene.folder.path().join("hello.plist");
        std::fs::write(&file, job).unwrap();
        let input = std::fs::File::open(&file).unwrap();
        let output = std::process::Command::new("python3").args(["-c", shown]).stdin(input).output().unwrap();
        let expected = format!("hello ['start', '-C', '{}'] True {{'SuccessfulExit': False}} 18\n", root.display());
        assert_eq!(text(&output.stdout), expected, "{}", text(&output.stderr));
    }
    scene.overrides("kepe = 4\n");
    refused(&scene.run(&["config"]), 20, "did you mean `keep`?");
}

/// Asks systemd's own checker, where there is one.
fn verified_by_systemd(scene: &Scene, unit: &str) {
    if !updater_tests::require::command("systemd-analyze", "apt-get install systemd") {
        return;
    }
    let file = scene.folder.path().join("hello.service");
    std::fs::write(&file, unit).unwrap();
    let verify = |file: &std::path::Path| {
        std::process::Command::new("systemd-analyze").arg("verify").arg("--man=no").arg(file).output().unwrap()
    };
    let output = verify(&file);
    assert!(output.status.success() && output.stderr.is_empty(), "{}", text(&output.stderr));
    // It does look.
    std::fs::write(&file, unit.replace("Restart=on-failure", "Restart=somehow")).unwrap();
    assert!(text(&verify(&file).stderr).contains("somehow"), "a wrong unit is not noticed");
}

#[test]
fn a_release_that_no_launcher_can_run_is_not_installed() {
    for (table, code, words) in [
        (r#"{"restrat":"never"}"#, 20, "did you mean `restart`?"),
        (r#"{"exec":"bin/none"}"#, 80, "cannot start bin/none: the release has no such file"),
        (r#"[]"#, 20, "no JSON object"),
    ] {
        let scene = Scene::new();
        scene.release("1.0.0", "exit 0", table);
        let root = scene.published.root_file();
        refused(&scene.install_by("--root", root.to_str().unwrap()), code, words);
        assert!(!scene.app().exists(), "{table}");
        // In a folder of the owner's, his settings stay and nothing else.
        std::fs::create_dir(scene.app()).unwrap();
        std::fs::write(scene.app().join("launcher.toml"), "").unwrap();
        refused(&scene.install_by("--root", root.to_str().unwrap()), code, words);
        assert_eq!(names(&scene.app()), ["launcher.toml"], "{table}");
        // The next release is one that can.
        scene.release("1.1.0", "exit 0", "{}");
        scene.install();
        assert_eq!(scene.current(), "1.1.0");
    }
}
