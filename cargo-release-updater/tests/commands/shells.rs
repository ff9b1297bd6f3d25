//! Completions in the shells they are for, manual pages in the programs that show them, schemas in what editors use.

use crate::package::Package;
use std::path::PathBuf;
use std::process::Command;
use updater_tests::shells::{self, Question};
use updater_tests::{require, workspace};

/// Writes the completions of a shell into a file of a package, and returns its path.
fn completions(package: &Package, shell: &str, file: &str) -> PathBuf {
    let run = package.run(&["completions", shell]).ok();
    package.write(file, &run.stdout);
    package.path(file)
}

/// What every shell is asked, and words that the answer has and has not.
const QUESTIONS: &[Question<'_>] = &[
    (&["cargo-updater", "pub"], "publish", "status"),
    (&["cargo-updater", "release", "r"], "rollout", "publish"),
    (&["cargo-updater", "publish", "--ch"], "--channel", "--storage"),
    (&["cargo", "updater", "pub"], "publish", "status"),
    (&["cargo", "updater", "release", "r"], "rollout", "publish"),
    (&["cargo", "updater", "publish", "--ch"], "--channel", "--storage"),
];

#[test]
fn bash_completes_both_names_and_leaves_cargo_its_own() {
    if !require::command("bash", "apt-get install bash") {
        return;
    }
    let package = Package::new();
    let file = completions(&package, "bash", "completions.bash");
    let of_cargo = "_cargo() { COMPREPLY=(of-cargo); }";
    shells::asked(QUESTIONS, |words| {
        let told = shells::bash(of_cargo, &file, words);
        assert!(!told.contains(&"of-cargo".to_owned()), "{words:?}: {told:?}");
        told
    });
    assert_eq!(shells::bash(of_cargo, &file, &["cargo", "bui"]), ["of-cargo"]);
}

#[test]
fn zsh_completes_both_names_where_cargo_has_its_own() {
    if !require::command("zsh", "apt-get install zsh") {
        return;
    }
    let package = Package::new();
    let functions = package.path("functions");
    std::fs::create_dir_all(&functions).unwrap();
    completions(&package, "zsh", "functions/_cargo-updater");
    // A stand-in of Cargo's, which passes on what it does not know in the same way: by a function of that name.
    package.write(
        "functions/_cargo",
        "#compdef cargo\nlocal ret=1\nshift words; (( CURRENT-- ))\n_call_function ret _cargo-${words[1]}\nreturn ret\n",
    );
    shells::asked(QUESTIONS, |words| shells::zsh(&functions, words));
}

#[test]
fn fish_completes_both_names() {
    if !require::command("fish", "apt-get install fish") {
        return;
    }
    let package = Package::new();
    let file = completions(&package, "fish", "completions.fish");
    std::fs::create_dir_all(package.home()).unwrap();
    shells::asked(QUESTIONS, |words| shells::fish(&package.home(), &file, words));
}

#[test]
fn powershell_completes_the_name_and_cargo_where_it_is_asked_to() {
    if shells::has_powershell() {
        let package = Package::new();
        let file = completions(&package, "powershell", "completions.ps1");
        shells::asked(QUESTIONS, |words| shells::powershell(&file, "Register-CargoUpdaterForCargo", words));
    }
}

#[test]
fn every_command_has_a_manual_page_that_a_formatter_takes() {
    let package = Package::new();
    let run = package.run(&["man", "man/man1", "--message-format", "json"]).ok();
    let pages = run.messages("man-page");
    for name in
        ["cargo-updater.1", "cargo-updater-publish.1", "cargo-updater-keys-root-sign.1", "cargo-updater-release-yank.1"]
    {
        assert!(package.path("man/man1").join(name).is_file(), "{name} is missing");
    }
    let text = package.read("man/man1/cargo-updater-publish.1");
    assert!(text.starts_with(".ie") && text.contains("cargo updater publish \\-\\-dry\\-run"), "{text}");
    if require::command("mandoc", "apt-get install mandoc") {
        let paths: Vec<_> = pages.iter().map(|page| page["path"].as_str().unwrap()).collect();
        let output = Command::new("mandoc").args(["-T", "lint", "-W", "error"]).args(&paths).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        let output = Command::new("mandoc").args(["-T", "utf8"]).arg(paths[0]).output().unwrap();
        let page = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(page.contains("cargo-updater(1)") || page.contains("CARGO-UPDATER(1)"), "{page}");
    }
    // A dry run writes nothing, and a file in the way is told.
    package.run(&["man", "other", "--dry-run"]).ok();
    assert!(!package.path("other").exists());
    package.write("file", "");
    package.run(&["man", "file"]).fails(20, "", "name a folder that you can write");
}

#[test]
fn schemas_are_written_as_they_are_committed() {
    let package = Package::new();
    for (what, file) in [("messages", "messages"), ("table", "table")] {
        let run = package.run(&["schema", what, "--message-format", "json"]).ok();
        let committed = workspace().join(format!("cargo-release-updater/schema/{file}.schema.json"));
        assert_eq!(run.stdout, std::fs::read_to_string(committed).unwrap());
    }
}

#[test]
fn an_editor_sees_a_wrong_key_by_the_schema() {
    let Some(taplo) = updater_tests::peers::python_program("taplo", "taplo==0.9.3") else {
        return;
    };
    let package = Package::new();
    package.run(&["init", "--dev"]).ok();
    package.write("updater.schema.json", &package.run(&["schema", "table"]).ok().stdout);
    let lint = |package: &Package| {
        let mut command = Command::new(&taplo);
        command.args(["lint", "--no-auto-config", "--schema"]);
        command.arg(format!("file://{}", package.path("updater.schema.json").display())).arg("Cargo.toml");
        command.current_dir(package.path("")).output().unwrap()
    };
    let output = lint(&package);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    package.write(
        "Cargo.toml",
        &package
            .read("Cargo.toml")
            .replace("[package.metadata.updater]", "[package.metadata.updater]\ntrail = \"confirm\""),
    );
    let output = lint(&package);
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && told.contains("trail"), "{told}");
}
