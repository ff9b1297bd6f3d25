//! A program of the tests: it tells what it was started with, and does what its first argument says.
//!
//! The repository is named by `TRIAL_URL`, so that one build serves many tests with a server of their own.

use std::path::PathBuf;
use updater_runtime::transport::{Mirror, ProxyChoice};
use updater_runtime::{Error, Event, Status, Updater};

mod behaviour;

fn main() {
    behaviour::before_start();
    let updater = updater_runtime::updater!();
    behaviour::after_start();
    let command = std::env::args_os().nth(1).unwrap_or_default();
    if command == "--help" {
        println!("usage: trial [update | confirm | tell]");
        return;
    }
    println!("this is {}, {:?}", env!("CARGO_PKG_VERSION"), updater.start_report());
    if command == "confirm" {
        println!("confirmed: {:?}", updater.confirm());
    } else if command == "update" {
        let url = std::env::var("TRIAL_URL").expect("the test names a repository");
        let mirror = Mirror::parse(&url).expect("the test names a valid URL");
        let updater = updater.configure(|config| config.with_mirrors(vec![mirror]).with_proxy(ProxyChoice::Direct));
        if let Err(error) = update(&updater) {
            println!("error {}: {}", error.code(), error.full_message());
            println!("help: {}", error.hint());
        }
    }
    // After the update: what is told here is what the new version was given.
    println!("arguments {:?}", std::env::args_os().collect::<Vec<_>>());
    println!("folder {:?}", std::env::current_dir().unwrap_or(PathBuf::new()));
    let mut variables: Vec<_> = std::env::vars_os().collect();
    variables.sort();
    println!("variables {variables:?}");
    println!("done by {}", env!("CARGO_PKG_VERSION"));
}

fn update(updater: &Updater) -> Result<(), Error> {
    match updater.check()? {
        Status::Available(update) => {
            let tell = |event: &Event| println!("event {event}");
            update.download_with_events(|_| {}, tell)?.install()?.restart()?.hand_over();
        }
        Status::NoUpdate(why) => println!("no update: {why}"),
    }
    Ok(())
}
