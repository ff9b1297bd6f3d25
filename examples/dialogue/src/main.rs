//! A program that asks the person at its terminal: update now, later, or skip this version. In a script, in a pipe or in CI
//! it asks nobody.
//!
//! Copy this. The rest of the work is `cargo updater init` once and `cargo updater publish` per release.

use updater_runtime::{Answer, Error, Updater};

fn main() {
    // First line: answers a probe, finishes an interrupted update, counts the start of a new version.
    let updater = updater_runtime::updater!();
    let wanted = std::env::args().nth(1).as_deref() == Some("update");
    // An update error never ends the app.
    if let Err(error) = ask(&updater, wanted) {
        eprintln!("asker: no update: {}", error.full_message());
    }
    println!("asker {} works", env!("CARGO_PKG_VERSION"));
}

/// Asks once a day at most; at once, and about a skipped version too, when the user wants it.
fn ask(updater: &Updater, wanted: bool) -> Result<(), Error> {
    let answer = if wanted { updater.ask_now()? } else { updater.ask()? };
    match answer {
        // The same command runs in the new version.
        Answer::Installed(installed) => installed.restart()?.hand_over(),
        Answer::NoUpdate(why) if wanted => eprintln!("asker: {why}"),
        Answer::NobodyToAsk if wanted => eprintln!("asker: updates are asked about on a terminal"),
        _ => {}
    }
    Ok(())
}
