//! The README's ten minutes: its commands and its code, as they stand there.

use crate::app::App;
use updater_tests::workspace;

/// What a developer types. `cargo install` takes minutes of release build and is what built the program under test; its
/// package and its program are looked at instead.
const COMMANDS: [&str; 3] = [
    "cargo install --path cargo-release-updater",
    "cargo updater init --url https://example.com/hello",
    "cargo updater publish",
];

#[test]
fn the_readme_leads_to_a_program_that_can_update_itself() {
    let readme = std::fs::read_to_string(workspace().join("README.md")).unwrap();
    for command in COMMANDS {
        assert!(readme.lines().any(|line| line.starts_with(command)), "the README does not show `{command}`");
    }
    let installed = workspace().join(COMMANDS[0].rsplit(' ').next().unwrap()).join("Cargo.toml");
    assert!(std::fs::read_to_string(installed).unwrap().contains("name = \"cargo-updater\""));

    let code = readme.split("```rust\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let app = App::package(code, "");
    let words: Vec<&str> = COMMANDS[1].split(' ').skip(2).collect();
    let checkout = workspace().to_str().unwrap();
    let password = [("UPDATER_KEY_PASSWORD", "ten minutes")];
    let init = [&words[..], &["--path-deps", checkout]].concat();
    app.cargo_updater_with(&init, &password).ok();
    let published = app.cargo_updater_with(&COMMANDS[2].split(' ').skip(2).collect::<Vec<_>>(), &password).ok();
    assert!(published.stderr.contains("Published hello 1.0.0 in stable"), "{}", published.stderr);
    app.cargo_updater(&["verify", "--deep"]).ok();

    // The published program is the one that the README shows; nobody should be asked for updates by a test.
    let installed = app.install(&app.path("target/updater/repository/hello"), "1.0.0");
    let mut command = installed.command(&["any"]);
    let run = crate::app::finish(command.env("UPDATER_DISABLE", "1"));
    assert!(run.status.success() && run.stderr.is_empty(), "{run:#?}");
}
