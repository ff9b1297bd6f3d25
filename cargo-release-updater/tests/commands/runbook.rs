//! The runbook of SECURITY.md: every block of commands in it is run as it stands there, after the damage that it is for,
//! and installed copies of every age go on afterwards.

use crate::client::{Client, Told};
use crate::package::Package;
use crate::publish::{TRIPLE, files, publish};
use crate::refresh::real_package;
use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

/// A password for the keys that the runbook makes: nobody can be asked.
const PASSWORD: &str = "four words are better";

/// A published app with installed copies, and a shell in which `cargo updater` is the program under test.
struct Drill {
    package: Package,
    /// One that never looked for updates, and one that has seen everything.
    copies: Vec<Client>,
}

impl Drill {
    fn new() -> Self {
        let package = real_package();
        package.run(&publish("1.0.0", &[])).ok();
        let sleeping = Client::install(&package, "1.0.0");
        let awake = Client::install(&package, "1.0.0");
        files(&package, "1.1.0");
        package.run(&publish("1.1.0", &[])).ok();
        assert_eq!(awake.update(), Told::Updated("1.1.0".to_owned()));
        let drill = Self { package, copies: vec![sleeping, awake] };
        drill.make_cargo();
        drill
    }

    /// Puts a `cargo` first in the path that hands `updater` to the program under test. A release is a folder with a script
    /// here instead of what Cargo builds; nothing else differs from what people run.
    fn make_cargo(&self) {
        let bin = self.package.home().join("bin");
        std::fs::create_dir_all(&bin).unwrap();
        let real = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
        let script = format!(
            "#!/bin/sh\n\
             if [ \"$1\" != updater ]; then exec {real} \"$@\"; fi\n\
             if [ \"$2\" = publish ]; then\n  shift 2\n  \
             set -- updater publish --from-dir dist --version \"$NEXT\" --target {TRIPLE} --level 1 \"$@\"\nfi\n\
             echo \"+ cargo $*\" >&2\n\
             exec \"$UPDATER_UNDER_TEST\" \"$@\"\n"
        );
        crate::publish::write_program(&bin.join("cargo"), &script);
    }

    /// Runs the block below a heading of SECURITY.md; `days` from now when the time matters.
    fn follow(&self, title: &str, days: i64, variables: &[(&str, &str)]) {
        let blocks = runbook();
        let block = blocks.get(title).unwrap_or_else(|| panic!("SECURITY.md has no {title:?}"));
        // The only path in it that a test cannot have.
        let backup = self.package.path("backup").display().to_string();
        let block = block.replace("/backup/hello", &backup);
        let path = format!("{}:{}", self.package.home().join("bin").display(), std::env::var("PATH").unwrap());
        let mut command = match days {
            0 => Command::new("sh"),
            _ => {
                let mut later = updater_tests::clock::days_from_now(days);
                later.arg("sh");
                later
            }
        };
        for name in ["UPDATER_KEY_DIR", "UPDATER_ONLINE_KEY", "XDG_CONFIG_HOME", "CARGO_TARGET_DIR"] {
            command.env_remove(name);
        }
        let output = command
            .args(["-e", "-c", &block])
            .current_dir(self.package.path(""))
            .stdin(std::process::Stdio::null())
            .env("PATH", path)
            .env("HOME", self.package.home())
            .env("NO_COLOR", "1")
            .env("UPDATER_UNDER_TEST", env!("CARGO_BIN_EXE_cargo-updater"))
            .env("UPDATER_KEY_PASSWORD", PASSWORD)
            .envs(variables.iter().copied())
            .output()
            .unwrap();
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{title}\n{block}\n{told}");
    }

    fn lose(&self, role: &str) {
        std::fs::rename(self.package.keys().join(format!("{role}.key")), self.package.path(&format!("{role}.gone")))
            .unwrap();
    }

    /// Publishes a version, as every drill must be able to, and sees every copy take it.
    fn go_on(&self, version: &str) {
        files(&self.package, version);
        self.package.run_with(&publish(version, &[]), &[("UPDATER_KEY_PASSWORD", PASSWORD)]).ok();
        self.everybody_has(version, 0);
        self.package.run(&["verify", "--deep"]).ok();
    }

    fn everybody_has(&self, version: &str, days: i64) {
        for copy in &self.copies {
            let told = copy.update_in(days);
            assert!(matches!(&told, Told::Updated(new) if new == version) || told == Told::Current, "{told:?}");
            assert_eq!(copy.version(), version);
        }
    }
}

/// Returns the commands below each heading of the runbook.
fn runbook() -> BTreeMap<String, String> {
    let page = include_str!("../../../SECURITY.md");
    let section = page.split("## When a key is lost or stolen\n").nth(1).unwrap().split("\n## ").next().unwrap();
    let parts = section.split("\n### ").skip(1);
    parts
        .map(|part| {
            let (title, rest) = part.split_once('\n').unwrap();
            let block = rest.split("```sh\n").nth(1).unwrap_or_else(|| panic!("{title} has no commands"));
            (title.to_owned(), block.split("```").next().unwrap().to_owned())
        })
        .collect()
}

#[test]
fn every_block_of_the_runbook_is_followed_by_a_test() {
    let tests = include_str!("runbook.rs");
    let blocks = runbook();
    assert_eq!(blocks.len(), 11);
    for title in blocks.keys() {
        assert!(tests.contains(&format!("follow(\"{title}\"")), "{title}");
    }
}

#[test]
fn the_online_key() {
    let drill = Drill::new();
    // The thief signs timestamps far ahead; one copy sees them.
    for _ in 0..3 {
        drill.package.run(&["refresh"]).ok();
    }
    assert_eq!(drill.copies[1].update(), Told::Current);
    drill.lose("online");
    let run = drill.package.run(&["refresh"]);
    assert_eq!(run.code, 40, "{}", run.stderr);
    drill.follow("The online key is lost or stolen", 0, &[]);
    drill.go_on("1.2.0");
    // What the old key signs is worth nothing now.
    std::fs::create_dir(drill.package.path("thief")).unwrap();
    std::fs::copy(drill.package.path("online.gone"), drill.package.path("thief/online.key")).unwrap();
    std::fs::copy(drill.package.keys().join("online.pub"), drill.package.path("thief/online.pub")).unwrap();
    let run = drill.package.run(&["refresh", "--key-dir", "thief"]);
    assert_eq!(run.code, 40, "{}", run.stderr);
}

#[test]
fn the_key_of_a_channel() {
    let drill = Drill::new();
    drill.lose("stable");
    drill.follow("The key of a channel is lost", 0, &[]);
    drill.go_on("1.2.0");
}

#[test]
fn a_stolen_channel_with_a_release_of_the_thief() {
    let drill = Drill::new();
    // 1.1.0 was the thief's, and one copy has it.
    files(&drill.package, "1.2.0");
    drill.follow("The key of a channel is stolen", 0, &[("NEXT", "1.2.0")]);
    drill.everybody_has("1.2.0", 0);
    drill.lose("stable");
    drill.lose("online");
    drill.go_on("1.3.0");
}

#[test]
fn the_targets_key() {
    let drill = Drill::new();
    drill.lose("targets");
    drill.follow("The targets key is lost or stolen", 0, &[]);
    drill.go_on("1.2.0");
}

#[test]
fn a_root_key_of_three() {
    let drill = Drill::new();
    let package = &drill.package;
    for holder in ["anna", "bert"] {
        package.run(&["keys", "new", "root", "--no-password", "--key-dir", holder]).ok();
        for ending in ["key", "pub"] {
            let from = package.path(&format!("{holder}/root.{ending}"));
            std::fs::copy(from, package.keys().join(format!("{holder}.{ending}"))).unwrap();
        }
    }
    let three =
        ["keys", "rotate", "root", "--add", "--with", "anna/root.pub", "--with", "bert/root.pub", "--threshold", "2"];
    package.run(&three).ok();
    let list = package.run(&["keys", "list", "--message-format", "json"]).ok();
    let bert = list.messages("key").into_iter().find(|key| key["role"] == "bert").unwrap();
    drill.lose("bert");
    let id = bert["id"].as_str().unwrap();
    drill.follow("A root key is lost or stolen, and enough others are left", 0, &[("ID", id)]);
    drill.go_on("1.2.0");
    // The one that was lost signs nothing any more: two others do.
    drill.lose("anna");
    package.run_with(&["keys", "renew", "root"], &[("UPDATER_KEY_PASSWORD", PASSWORD)]).ok();
    drill.everybody_has("1.2.0", 0);
}

#[test]
fn the_only_root_key_is_lost() {
    let drill = Drill::new();
    drill.lose("root");
    files(&drill.package, "1.2.0");
    drill.follow("So many root keys are lost that the threshold cannot be met", 0, &[("NEXT", "1.2.0")]);
    drill.everybody_has("1.2.0", 0);
    begins_again(&drill);
}

#[test]
fn the_only_root_key_is_stolen() {
    let drill = Drill::new();
    drill.follow("The threshold of root keys is stolen", 0, &[]);
    begins_again(&drill);
}

/// The app has a new root, and publishes at a new place.
fn begins_again(drill: &Drill) {
    let manifest = drill.package.read("Cargo.toml");
    assert!(manifest.contains("hello-again") && !manifest.contains("example.com/hello\""), "{manifest}");
    files(&drill.package, "2.0.0");
    drill.package.run_with(&publish("2.0.0", &[]), &[("UPDATER_KEY_PASSWORD", PASSWORD)]).ok();
    drill.package.run(&["verify", "target/updater/again"]).ok();
    let new = Client::install_from(&drill.package, "2.0.0", Path::new("target/updater/again"));
    assert_eq!(new.update(), Told::Current);
}

#[test]
fn a_year_after_everything_expired() {
    if !updater_tests::require::command("faketime", "apt-get install faketime") {
        return;
    }
    let drill = Drill::new();
    for copy in &drill.copies {
        assert!(matches!(copy.update_in(800), Told::Stale(_)));
    }
    drill.follow("Everything has been expired for a year", 800, &[]);
    drill.everybody_has("1.1.0", 800);
}

#[test]
fn a_wiped_storage() {
    let drill = Drill::new();
    drill.package.run(&["verify", "--save", "backup"]).ok();
    std::fs::remove_dir_all(drill.package.path("target/updater/repository")).unwrap();
    drill.follow("The storage is wiped", 0, &[]);
    drill.go_on("1.2.0");
}

#[test]
fn a_wiped_storage_with_an_old_copy() {
    let drill = Drill::new();
    drill.package.run(&["verify", "--save", "backup"]).ok();
    files(&drill.package, "1.2.0");
    drill.package.run(&publish("1.2.0", &[])).ok();
    drill.package.run(&["refresh"]).ok();
    assert_eq!(drill.copies[1].update(), Told::Updated("1.2.0".to_owned()));
    std::fs::remove_dir_all(drill.package.path("target/updater/repository")).unwrap();
    files(&drill.package, "1.3.0");
    drill.follow("The storage is wiped, and the copy is old", 0, &[("NEXT", "1.3.0")]);
    drill.everybody_has("1.3.0", 0);
    drill.go_on("1.4.0");
}

#[test]
fn a_wiped_storage_with_a_copy_from_before_a_rotation() {
    let drill = Drill::new();
    drill.package.run(&["verify", "--save", "backup"]).ok();
    for role in ["stable", "online"] {
        drill.package.run(&["keys", "rotate", role, "--no-password", "--wait", "0"]).ok();
        drill.lose(role);
    }
    files(&drill.package, "1.2.0");
    drill.package.run(&publish("1.2.0", &[])).ok();
    assert_eq!(drill.copies[1].update(), Told::Updated("1.2.0".to_owned()));
    std::fs::remove_dir_all(drill.package.path("target/updater/repository")).unwrap();
    files(&drill.package, "1.3.0");
    drill.follow("The storage is wiped, and the copy is from before a rotation", 0, &[("NEXT", "1.3.0")]);
    drill.everybody_has("1.3.0", 0);
    drill.go_on("1.4.0");
}
