//! The app of `tests/windows.sh`: says who it is, and does what its first argument says.

use std::fs::OpenOptions;
use std::io::Read as _;
use std::os::windows::fs::OpenOptionsExt as _;
use updater_runtime::{Error, Status, Updater};

fn main() {
    let updater = updater_runtime::updater!();
    let arguments: Vec<String> = std::env::args().collect();
    println!("this is {}, {:?}", env!("CARGO_PKG_VERSION"), updater.start_report());
    match arguments.get(1).map(String::as_str) {
        Some("update") => {
            if let Err(error) = update(&updater) {
                println!("error {}: {error}", error.code());
            }
        }
        Some("confirm") => println!("confirmed: {:?}", updater.confirm()),
        Some("abort") => std::process::abort(),
        // A virus scanner: nobody else may change the file meanwhile. Ends with its input.
        Some("hold") => {
            let _held = OpenOptions::new().read(true).share_mode(1).open(&arguments[2]).expect("the file to hold");
            println!("holding");
            let _ = std::io::stdin().read(&mut [0]);
        }
        _ => {}
    }
    println!("arguments {:?} in {}", &arguments[1..], std::env::current_dir().unwrap_or_default().display());
    println!("done by {}", env!("CARGO_PKG_VERSION"));
}

fn update(updater: &Updater) -> Result<(), Error> {
    match updater.check()? {
        Status::Available(update) => {
            let tell = |event: &updater_runtime::Event| println!("event {event}");
            update.download_with_events(|_| {}, tell)?.install()?.restart()?.hand_over();
        }
        Status::NoUpdate(why) => println!("no update: {why}"),
    }
    Ok(())
}
