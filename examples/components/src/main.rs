//! A program whose words have versions of their own: it greets with those that it has, takes newer ones while it runs, and
//! greets with these. It is not restarted, and it needs no new version for new words.
//!
//! Publish the words with `cargo updater publish --component greetings`, the program and the words with
//! `cargo updater publish`.

use std::path::{Path, PathBuf};
use updater_runtime::{Component, ComponentStatus, Error, Updater};

fn main() {
    // First line: answers a probe, finishes an interrupted update, counts the start of a new version.
    let updater = updater_runtime::updater!();
    let folder = words_folder();
    println!("{}", greeting(&folder));
    match take_words(&updater, &folder) {
        Ok(true) => println!("{}", greeting(&folder)),
        Ok(false) => {}
        // An update error never ends the app.
        Err(error) => eprintln!("greeter: no new words: {}", error.full_message()),
    }
}

/// Takes newer words, or the first ones. Returns whether there were any.
fn take_words(updater: &Updater, folder: &Path) -> Result<bool, Error> {
    let words = updater.component("greetings", folder)?;
    match words.check()? {
        ComponentStatus::Available(update) => {
            let from = update.from().map_or_else(|| "nothing".to_owned(), ToString::to_string);
            eprintln!("greeter: words {from} -> {} ({} bytes)", update.version(), update.route().bytes());
            update.download(|_progress| {})?.install()?;
            Ok(true)
        }
        ComponentStatus::NoUpdate(why) => {
            eprintln!("greeter: {}: {why}", name(&words));
            Ok(false)
        }
    }
}

fn name(words: &Component) -> String {
    let version = words.version().ok().flatten();
    version.map_or_else(|| "no words".to_owned(), |version| format!("words {version}"))
}

fn greeting(folder: &Path) -> String {
    let process = std::process::id();
    match std::fs::read_to_string(folder.join("words.txt")) {
        Ok(words) => format!("{} from process {process}", words.trim()),
        Err(_) => format!("(no words yet) from process {process}"),
    }
}

/// Returns where the words lie: beside the program, in a folder that no release of the program owns.
fn words_folder() -> PathBuf {
    std::env::current_exe().map(|program| program.with_file_name("greetings")).unwrap_or_default()
}
