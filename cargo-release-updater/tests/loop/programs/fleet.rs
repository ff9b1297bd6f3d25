//! A program of the tests: it updates itself from the address that is compiled in, and tells what became of it.

use updater_runtime::{Error, Status, Updater};

fn main() {
    let updater = updater_runtime::updater!();
    match update(&updater) {
        Ok(why) => println!("no update: {why}"),
        Err(error) => println!("error {}: {}", error.code(), error.full_message()),
    }
    println!("done by {}", env!("CARGO_PKG_VERSION"));
}

fn update(updater: &Updater) -> Result<String, Error> {
    match updater.check()? {
        Status::Available(update) => update.download(|_| {})?.install()?.restart()?.hand_over(),
        Status::NoUpdate(why) => Ok(why.to_string()),
    }
}
