//! Completions of the launcher in the shells they are for.

use std::path::{Path, PathBuf};
use std::process::Command;
use updater_tests::require;
use updater_tests::shells::{self, Question};

/// Writes the completions of a shell into a folder.
fn completions(shell: &str, folder: &Path, file: &str) -> PathBuf {
    let output = Command::new(env!("CARGO_BIN_EXE_updater-launcher")).args(["completions", shell]).output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    // What the launcher runs in its children is nobody's to complete.
    assert!(!String::from_utf8_lossy(&output.stdout).contains("__job"), "{shell}");
    std::fs::write(folder.join(file), output.stdout).unwrap();
    folder.join(file)
}

const QUESTIONS: &[Question<'_>] = &[
    (&["updater-launcher", "up"], "update", "status"),
    (&["updater-launcher", "install", "--p"], "--pin", "--root"),
    (&["updater-launcher", "start", "--d"], "--detach", "--pin"),
];

#[test]
fn the_shells_complete_the_launcher() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    if require::command("bash", "apt-get install bash") {
        let file = completions("bash", folder, "completions.bash");
        shells::asked(QUESTIONS, |words| shells::bash("", &file, words));
    }
    if require::command("zsh", "apt-get install zsh") {
        let functions = folder.join("functions");
        std::fs::create_dir(&functions).unwrap();
        completions("zsh", &functions, "_updater-launcher");
        shells::asked(QUESTIONS, |words| shells::zsh(&functions, words));
    }
    if require::command("fish", "apt-get install fish") {
        let file = completions("fish", folder, "completions.fish");
        shells::asked(QUESTIONS, |words| shells::fish(folder, &file, words));
    }
    if shells::has_powershell() {
        let file = completions("powershell", folder, "completions.ps1");
        shells::asked(QUESTIONS, |words| shells::powershell(&file, "", words));
    }
}
