//! The first block of docs/launcher.md: its commands are run as they stand there, and tell what it shows.

use crate::scene::{Scene, text};
use std::process::{Command, Stdio};

#[test]
fn the_guide_is_followed() {
    let page = include_str!("../../../docs/launcher.md");
    let block = page.split("```console\n").nth(1).unwrap().split("```").next().unwrap();
    let scene = Scene::new();
    scene.release("1.4.0", "exec sleep 600", r#"{"interval":"never"}"#);
    let app = scene.app();
    let launcher = env!("CARGO_BIN_EXE_updater-launcher");
    let _stop = Stop(&scene);
    let mut told = Vec::new();
    for line in block.lines() {
        let Some(command) = line.strip_prefix("$ ") else {
            // What is shown: the verb and the words behind it that hold everywhere.
            let verb = line.split_whitespace().next().unwrap();
            assert!(told.iter().any(|said: &String| said.contains(&format!("{verb:>12} "))), "{line}: {told:?}");
            continue;
        };
        assert!(command.starts_with("updater-launcher "), "{command}");
        let command = command
            .replacen("updater-launcher", launcher, 1)
            .replace("https://updates.example.com/hello", &scene.published.url())
            .replace("/opt/hello", app.to_str().unwrap())
            .replace("root.json", scene.published.root_file().to_str().unwrap());
        let output = Command::new("sh").args(["-c", &command]).stdin(Stdio::null()).output().unwrap();
        assert!(output.status.success(), "{command}: {}", text(&output.stderr));
        told = text(&output.stderr).lines().map(str::to_owned).collect();
        if command.contains(" status ") {
            let status: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
            assert_eq!(status["version"], "1.4.0");
        }
    }
}

/// Ends the launcher in the background, however the test ends.
struct Stop<'a>(&'a Scene);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        drop(self.0.run(&["stop"]));
    }
}
