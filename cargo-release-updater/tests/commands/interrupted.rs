//! A ceremony that is killed before any of its writes goes on to the same end.

use crate::package::Package;
use crate::publish::publish;
use crate::refresh::real_package;
use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Stdio};
use updater_tests::require;

/// What is the same however often a ceremony was stopped: the keys, the files of the project, their versions, and that
/// all of it verifies.
fn end(package: &Package) -> (BTreeSet<String>, BTreeSet<String>, String, String) {
    let names = |folder: &Path| {
        let names = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.collect::<BTreeSet<_>>()
    };
    let version = |file: &str| {
        let document: serde_json::Value = serde_json::from_str(&package.read(file)).unwrap();
        format!("{file} {}", document["signed"]["version"])
    };
    // What a killed process had not named yet: nobody ever used it.
    let is_named = |name: &String| !name.starts_with(".new-") && !name.starts_with(".tmp");
    let named = |folder: &Path| names(folder).into_iter().filter(is_named).collect::<BTreeSet<_>>();
    let keys = named(&package.keys());
    let project = format!("{} {}", version("updater/root.json"), version("updater/targets.json"));
    let verified = package.run(&["verify", "--deep"]).ok().stdout;
    let verified = verified.lines().map(|line| line.split_whitespace().next().unwrap_or_default()).collect::<Vec<_>>();
    (keys, named(&package.path("updater")), project, verified.join(" "))
}

fn copy(from: &Path, to: &Path) {
    drop(std::fs::remove_dir_all(to));
    assert!(Command::new("cp").arg("-a").args([from, to]).status().unwrap().success());
}

/// Every step ends when a file gets its name: by a call of the C library, in any thread, or by a system call of the main
/// thread that goes past it. Returns whether the command got to its end before that happened for the n-th time.
#[derive(Debug, Clone, Copy)]
enum Kill<'a> {
    Library(&'a Path),
    SystemCall,
}

impl Kill<'_> {
    fn at(self, package: &Package, arguments: &[&str], number: usize) -> bool {
        let program = package.command(arguments);
        let mut command = match self {
            Self::Library(_) => Command::new(program.get_program()),
            Self::SystemCall => {
                let inject = format!("inject={CALLS}:signal=KILL:when={number}");
                let mut strace = Command::new("strace");
                let trace = format!("trace={CALLS}");
                strace.args(["-f", "-qqq", "-o", "/dev/null", "-e", &trace, "-e", &inject]);
                strace.arg(program.get_program());
                strace
            }
        };
        for (name, value) in program.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        if let Self::Library(library) = self {
            command.env("LD_PRELOAD", library).env("KILL_AT", number.to_string());
        }
        command.args(program.get_args()).current_dir(package.path(""));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.status().unwrap().success()
    }
}

/// The calls that give a file its name and do not go through the C library's `rename`.
const CALLS: &str = "renameat,renameat2,linkat";

fn killed_anywhere(role: &str, at_least: usize) {
    if !require::command("strace", "apt-get install strace") || !require::command("cc", "apt-get install gcc") {
        return;
    }
    let package = real_package();
    package.run(&publish("1.0.0", &[])).ok();
    let (folder, scratch) = (package.path("").parent().unwrap().to_owned(), tempfile::tempdir().unwrap());
    let [kept, source, library] = ["kept", "kill.c", "kill.so"].map(|name| scratch.path().join(name));
    std::fs::write(&source, include_str!("kill-at-rename.c")).unwrap();
    let built = Command::new("cc").args(["-O1", "-shared", "-fPIC", "-o"]).args([&library, &source]).status();
    assert!(built.unwrap().success());
    copy(&folder, &kept);
    let rotate = ["keys", "rotate", role, "--no-password", "--wait", "0"];
    package.run(&rotate).ok();
    let expected = end(&package);

    let mut seen = 0;
    for kill in [Kill::Library(&library), Kill::SystemCall] {
        let mut number = 0;
        loop {
            copy(&kept, &folder);
            number += 1;
            if kill.at(&package, &rotate, number) {
                break;
            }
            let resumed = package.run(&["keys", "resume", "--wait", "0"]);
            match resumed.code {
                0 => {}
                // Nothing was written down yet.
                2 if !package.path("updater/next/ceremony.json").exists() => drop(package.run(&rotate).ok()),
                _ => panic!("{role}, {kill:?} {number}: {}", resumed.stderr),
            }
            assert_eq!(end(&package), expected, "{role}, {kill:?} {number}");
        }
        seen += number - 1;
    }
    assert!(seen >= at_least, "{role}: only {seen} writes were seen");
}

#[test]
fn a_rotation_of_the_targets_key_is_killed_before_every_write() {
    killed_anywhere("targets", 12);
}

#[test]
fn a_rotation_of_a_channel_key_is_killed_before_every_write() {
    killed_anywhere("stable", 12);
}

#[test]
fn a_rotation_of_the_root_key_is_killed_before_every_write() {
    killed_anywhere("root", 8);
}

#[test]
fn a_rotation_of_the_online_key_is_killed_before_every_write() {
    killed_anywhere("online", 8);
}
