//! The README's ten minutes: its commands and its code, as they stand there.

use crate::app::{App, finish};
use std::process::Command;
use updater_tests::workspace;

/// What a developer types, in this order. `cp` and the last two run here with places and a port of the test's own.
const COMMANDS: [&str; 6] = [
    "cargo updater init --dev",
    "cargo updater publish",
    "cp target/release/APP /tmp/APP",
    "cargo updater publish",
    "cargo updater serve &",
    "/tmp/APP",
];

#[test]
fn the_ten_minutes_of_the_readme_end_with_a_program_that_updates_itself() {
    let readme = std::fs::read_to_string(workspace().join("README.md")).unwrap();
    let ten_minutes = readme.split("\n## ").find(|part| part.starts_with("Ten minutes")).unwrap();
    assert_eq!(commands_in(ten_minutes), COMMANDS);
    let code = readme.split("```rust\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    // So that one can see which version came to its end.
    let code = code.replace("// ... the app", "println!(\"this is {}\", env!(\"CARGO_PKG_VERSION\"));");

    let app = App::package(&code, "");
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (url, checkout) = (format!("http://{address}"), workspace().to_str().unwrap());
    let init: Vec<_> = words(COMMANDS[0]).chain(["--url", &url, "--path-deps", checkout]).collect();
    app.cargo_updater(&init).ok();
    let published = app.cargo_updater(&words(COMMANDS[1]).collect::<Vec<_>>()).ok();
    assert!(published.stderr.contains("Published hello 1.0.0 in stable"), "{}", published.stderr);
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("hello");
    std::fs::copy(app.path("target/debug/hello"), &program).unwrap();
    app.replace("Cargo.toml", "version = \"1.0.0\"", "version = \"1.1.0\"");
    let published = app.cargo_updater(&words(COMMANDS[3]).collect::<Vec<_>>()).ok();
    assert!(published.stderr.contains("Diffed 1.0.0 -> 1.1.0: "), "{}", published.stderr);
    app.cargo_updater(&["verify", "--deep"]).ok();
    drop(listener);
    let server = app.serve(&address);

    let run = finish(Command::new(&program).env_clear().env("HOME", folder.path()));
    drop(server);
    assert!(run.status.success() && run.stderr.is_empty(), "{run:#?}");
    let lines: Vec<_> = run.stdout.lines().collect();
    assert!(matches!(lines[..], [update, "this is 1.1.0"] if update.starts_with("1.0.0 -> 1.1.0 (")), "{run:#?}");
    let run = finish(Command::new(&program).env_clear().env("HOME", folder.path()));
    assert_eq!(run.stdout, "this is 1.1.0\n", "it does not need its publisher");
}

/// Returns the lines of the blocks without a language, comments cut off.
fn commands_in(text: &str) -> Vec<&str> {
    let mut block = None;
    let mut commands = Vec::new();
    for line in text.lines() {
        match line.strip_prefix("```") {
            Some(language) => block = block.is_none().then_some(language),
            None if block == Some("") => commands.push(line.split('#').next().unwrap_or_default().trim()),
            None => {}
        }
    }
    commands
}

/// Returns the words behind `cargo updater`.
fn words(command: &str) -> impl Iterator<Item = &str> {
    command.split(' ').skip(2)
}
