//! `cargo updater` alone: where a project stands at each moment of its life, and what comes next.

use crate::package::{Package, Run};
use crate::publish::{files, package, publish};
use crate::refresh::real_package;
use updater_tests::require;

/// Returns the codes of what comes next, in order.
fn codes(run: &Run) -> Vec<String> {
    run.messages("next").iter().map(|next| next["code"].as_str().unwrap().to_owned()).collect()
}

fn overview(package: &Package) -> Run {
    package.run(&["--message-format", "json"]).ok()
}

/// Says in Cargo.toml which version comes next.
fn version(package: &Package, from: &str, to: &str) {
    let text = package.read("Cargo.toml").replacen(&format!("version = \"{from}\""), &format!("version = \"{to}\""), 1);
    package.write("Cargo.toml", &text);
}

#[test]
fn a_folder_that_is_no_package_is_told_where_to_begin() {
    let package = Package::new();
    let mut command = package.command(&[]);
    let output = command.current_dir(package.path("..")).output().unwrap();
    assert!(output.status.success());
    let stdout = String::from_utf8(output.stdout).unwrap();
    assert!(stdout.contains("is no Cargo package\n") && stdout.contains("\n     -> cargo updater demo\n"), "{stdout}");
    // One that Cargo cannot read is an error.
    package.write("Cargo.toml", "[package]\nname = ");
    package.run(&[]).fails(20, "cannot find a Cargo package to work on", "run it inside a package");
}

#[test]
fn from_the_first_command_to_the_second_release() {
    let package = Package::new();
    assert_eq!(codes(&overview(&package)), ["set-up"]);
    package.run(&["init", "--dev"]).ok();
    package.write("src/main.rs", "fn main() { updater_runtime::updater!(); }\n");
    assert_eq!(codes(&overview(&package)), ["publish", "development-root"]);

    files(&package, "1.0.0");
    package.run(&publish("1.0.0", &[])).ok();
    let run = overview(&package);
    assert_eq!(codes(&run), ["next-release", "development-root"]);
    let told = &run.messages("overview")[0];
    assert_eq!((&told["published"]["stable"], &told["looked"]), (&"1.0.0".into(), &true.into()));
    assert_eq!(told["can_sign"], serde_json::json!(["root", "targets", "online", "stable"]));
    let human = package.run(&[]).ok();
    assert!(human.stdout.starts_with("hello 1.0.0\n  published  stable 1.0.0 in fs:"), "{}", human.stdout);
    assert!(
        human.stdout.contains("\nnext\n  1. 1.0.0 is published in stable\n     -> raise `version` in Cargo.toml"),
        "{}",
        human.stdout
    );

    version(&package, "1.0.0", "1.1.0");
    let run = overview(&package);
    assert_eq!(codes(&run), ["publish", "development-root"]);
    assert_eq!(run.messages("next")[0]["what"], "1.1.0 is not published; stable has 1.0.0");
    version(&package, "1.1.0", "0.9.0");
    assert_eq!(codes(&overview(&package)), ["version-behind", "development-root"]);
}

#[test]
fn a_pre_release_is_not_for_the_apps_own_channel() {
    let package = Package::new();
    package.run(&["init", "--dev", "--channel", "stable", "--channel", "beta"]).ok();
    package.write("src/main.rs", "fn main() { updater_runtime::updater!(); }\n");
    version(&package, "1.0.0", "1.5.0-beta.1");
    let next = |package: &Package| {
        let next = &overview(package).messages("next")[0];
        ["code", "what", "help"].map(|field| next[field].as_str().unwrap().to_owned())
    };
    let [code, _, help] = next(&package);
    assert_eq!((&*code, &*help), ("publish", "cargo updater publish --channel beta"));
    files(&package, "1.5.0-beta.1");
    package.run(&publish("1.5.0-beta.1", &["--channel", "beta"])).ok();
    let [code, what, help] = next(&package);
    assert_eq!(
        (&*code, &*what),
        ("next-release", "1.5.0-beta.1 is published in beta; a pre-release stays out of stable")
    );
    assert!(help.contains("cargo updater publish --channel beta") && !help.contains("promote"), "{help}");
    // A release that is none is promoted, as ever.
    version(&package, "1.5.0-beta.1", "1.5.0");
    files(&package, "1.5.0");
    package.run(&publish("1.5.0", &["--channel", "beta"])).ok();
    let [code, _, help] = next(&package);
    assert_eq!((&*code, &*help), ("promote", "cargo updater release promote 1.5.0 --from beta --channel stable"));
}

#[test]
fn what_was_begun_and_not_ended_comes_first() {
    let package = package();
    package.write("src/main.rs", "fn main() { updater_runtime::updater!(); }\n");
    package.run(&publish("1.0.0", &[])).ok();
    // A bundle that was made and never published.
    version(&package, "1.0.0", "1.1.0");
    files(&package, "1.1.0");
    package.run(&["bundle", "--from-dir", "dist", "--version", "1.1.0", "--target", crate::publish::TRIPLE]).ok();
    let run = overview(&package);
    assert_eq!(codes(&run), ["half-done", "development-root"]);
    assert_eq!(run.messages("next")[0]["urgency"], "now");
    // A number that was taken and not committed.
    let metadata = package.path("target/updater/repository/hello/metadata");
    std::fs::copy(metadata.join("1.snapshot.json"), metadata.join("2.snapshot.json")).unwrap();
    let what = overview(&package).messages("next")[0]["what"].as_str().unwrap().to_owned();
    assert!(what.starts_with("a publish has begun snapshot 2 and not ended"), "{what}");
}

#[test]
fn yanked_waiting_and_shared_out_releases_have_their_own_next_step() {
    let package = real_package();
    package.write("src/main.rs", "fn main() { updater_runtime::updater!(); }\n");
    package.run(&publish("1.0.0", &[])).ok();
    package.run(&["release", "rollout", "1.0.0", "25"]).ok();
    let run = overview(&package);
    assert!(codes(&run).contains(&"rollout".to_owned()), "{:?}", codes(&run));
    package.run(&["release", "yank", "1.0.0", "--yes"]).ok();
    let run = overview(&package);
    assert!(codes(&run).contains(&"yanked".to_owned()), "{:?}", codes(&run));

    std::fs::remove_file(package.keys().join("online.key")).unwrap();
    version(&package, "1.0.0", "1.1.0");
    files(&package, "1.1.0");
    package.run(&publish("1.1.0", &[])).ok();
    let run = overview(&package);
    assert_eq!(codes(&run)[0], "submission-waiting", "{:?}", codes(&run));
    assert!(!codes(&run).contains(&"publish".to_owned()), "what waits is published already: {:?}", codes(&run));
    std::fs::remove_file(package.keys().join("stable.key")).unwrap();
    let run = overview(&package);
    assert!(codes(&run).contains(&"no-keys".to_owned()), "{:?}", codes(&run));
}

#[test]
fn what_ends_before_long_is_told_in_time() {
    if !require::command("faketime", "apt-get install faketime") {
        return;
    }
    let package = package();
    package.run(&publish("1.0.0", &[])).ok();
    let run = package.run_in(300, &["--message-format", "json"]).ok();
    let all = run.messages("next");
    let of =
        |code: &str| all.iter().filter(|next| next["code"] == code).map(|n| n["help"].to_string()).collect::<Vec<_>>();
    // The timestamp is over, the root has two months left.
    assert!(of("expired").iter().any(|help| help.contains("cargo updater refresh")), "{all:?}");
    assert!(of("expires-soon").iter().any(|help| help.contains("cargo updater keys renew root")), "{all:?}");
    assert_eq!(all[0]["urgency"], "now");
}

#[test]
fn nothing_is_asked_of_a_network_unless_somebody_wants_it() {
    let package = Package::new();
    package
        .run(&[
            "init",
            "--url",
            "https://example.com/hello",
            "--storage",
            "webdav+http://127.0.0.1:9/x",
            "--no-password",
        ])
        .ok();
    // A port on which nobody listens: whoever asked would tell.
    let run = overview(&package);
    let told = &run.messages("overview")[0];
    assert_eq!(told["looked"], false);
    // Last, below all that is known without it.
    assert_eq!(codes(&run), ["no-updater-line", "not-looked"]);
    package.run(&["keys", "renew", "root", "--storage", "fs:elsewhere"]).ok();
    std::fs::rename(package.keys().join("root.key"), package.path("away")).unwrap();
    assert_eq!(package.run(&["keys", "renew", "root", "--storage", "fs:elsewhere"]).code, 11);
    assert_eq!(codes(&overview(&package)), ["ceremony-open", "no-updater-line", "not-looked"]);
    let run = package.run(&["--online"]).ok();
    assert!(run.stdout.contains("\n  published  not known: webdav+"), "{}", run.stdout);
    assert!(
        run.stdout.contains("; nothing can be published from here") && !run.stdout.contains("nothing yet"),
        "{}",
        run.stdout
    );
}

#[test]
fn each_app_of_a_workspace_is_told() {
    let package = Package::new();
    std::fs::create_dir_all(package.path("other/src")).unwrap();
    package.write("other/src/main.rs", "fn main() {}\n");
    package.write("other/Cargo.toml", "[package]\nname = \"other\"\nversion = \"0.1.0\"\nedition = \"2024\"\n");
    std::fs::create_dir_all(package.path("third/src")).unwrap();
    package.write("third/src/main.rs", "fn main() {}\n");
    package.write("third/Cargo.toml", "[package]\nname = \"third\"\nversion = \"0.1.0\"\nedition = \"2024\"\n");
    std::fs::remove_dir_all(package.path("src")).unwrap();
    package.write("Cargo.toml", "[workspace]\nresolver = \"3\"\nmembers = [\"other\", \"third\"]\n");
    let run = overview(&package);
    assert_eq!(run.messages("next")[0]["help"], "cargo updater init -p NAME");
    package.run(&["init", "--dev", "-p", "other"]).ok();
    package.run(&["init", "--dev", "-p", "third"]).ok();
    let run = overview(&package);
    let apps: Vec<_> = run.messages("overview").iter().map(|told| told["app"].to_string()).collect();
    assert_eq!(apps, ["\"other\"", "\"third\""]);
}
