//! The command line as a whole: how it is started, its help, and its exit codes.

use crate::package::Package;

#[test]
fn it_runs_as_a_subcommand_of_cargo_and_by_its_own_name() {
    let package = Package::new();
    for arguments in [&["--help"][..], &["updater", "--help"]] {
        let run = package.run(arguments).ok();
        assert!(run.stdout.contains("Usage: cargo updater [OPTIONS] [COMMAND]"), "{}", run.stdout);
        assert!(run.stdout.contains("cargo updater demo"), "{}", run.stdout);
    }
    let version = package.run(&["updater", "--version"]).ok();
    assert_eq!(version.stdout, format!("cargo-updater {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn usage_errors_end_with_2_and_a_suggestion() {
    let package = Package::new();
    let run = package.run(&["statsu"]);
    assert_eq!(run.code, 2);
    assert!(run.stderr.contains("'status'"), "{}", run.stderr);
    let run = package.run(&["--online", "status"]);
    assert_eq!(run.code, 2);
    assert!(run.stderr.contains("'--online' in front of a command is for `cargo updater` alone"), "{}", run.stderr);
}

#[test]
fn every_command_groups_its_options_and_has_an_example() {
    let package = Package::new();
    for command in [&["init"][..], &["keys", "new"], &["status"], &["serve"]] {
        let run = package.run(&[command, &["--help"]].concat()).ok();
        for part in ["Selection:", "Output:", "Examples:\n"] {
            assert!(run.stdout.contains(part), "{command:?} has no {part}: {}", run.stdout);
        }
    }
}

#[test]
fn the_package_is_found_by_folder_name_and_path() {
    let package = Package::new();
    std::fs::create_dir_all(package.path("other/src")).unwrap();
    package.write("other/src/main.rs", "fn main() {}\n");
    package.write("other/Cargo.toml", "[package]\nname = \"other\"\nversion = \"0.1.0\"\nedition = \"2024\"\n");
    let manifest = package.read("Cargo.toml") + "[workspace]\nmembers = [\"other\"]\n";
    package.write("Cargo.toml", &manifest);
    package.run(&["init", "--dev", "-p", "other"]).ok();
    assert!(package.path("other/updater/root.json").exists() && !package.path("updater").exists());
    let run = package.run(&["status", "--manifest-path", "other/Cargo.toml"]).ok();
    assert!(run.stdout.starts_with("other: nothing is published"), "{}", run.stdout);
    package.run(&["status", "-p", "othr"]).fails(
        20,
        "package `othr` is not in this workspace",
        "did you mean `-p other`?",
    );
}

#[test]
fn an_error_is_one_json_object_too() {
    let package = Package::new();
    let run = package.run(&["status", "--message-format", "json"]);
    let errors = run.messages("error");
    assert_eq!((errors.len(), &errors[0]["code"]), (1, &20.into()));
    assert!(errors[0]["hints"][0].as_str().unwrap().contains("cargo updater init"));
}

#[test]
fn a_version_that_cannot_be_released_is_refused() {
    let package = Package::new();
    package.write("Cargo.toml", &package.read("Cargo.toml").replace("1.0.0", "1.0.0+build"));
    package.run(&["status"]).fails(20, "the version of package `hello` cannot be released", "without +build");
}
