//! A program that updates itself: `hello` greets, and takes the next version when there is one.
//!
//! Copy this. The rest of the work is `cargo updater init` once and `cargo updater publish` per release.

use updater_runtime::{Error, Status, Updater};

fn main() {
    // First line: answers a probe, finishes an interrupted update, counts the start of a new version.
    let updater = updater_runtime::updater!();
    // An update error never ends the app.
    if let Err(error) = update(&updater) {
        eprintln!("hello: no update: {}", error.full_message());
    }
    let names: Vec<String> = std::env::args().skip(1).collect();
    let name = if names.is_empty() { "world".to_owned() } else { names.join(" ") };
    println!("hello {name}, this is {}", env!("CARGO_PKG_VERSION"));
}

fn update(updater: &Updater) -> Result<(), Error> {
    if let Status::Available(update) = updater.check()? {
        eprintln!("hello: {} -> {} ({} bytes)", update.from(), update.version(), update.route().bytes());
        update.download(|_progress| {})?.install()?.restart()?.hand_over();
    }
    Ok(())
}
