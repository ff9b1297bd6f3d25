//! A program that updates itself and says what happens on the way.

use std::time::Instant;
use updater_runtime::{Error, Event, Phase, Start, Status, Updater};

fn main() {
    let updater = updater_runtime::updater!();
    say(&format!("this is {VERSION}"));
    if let Start::Completed(version) = updater.start_report() {
        say(&format!("started as {version} for the first time: its trial is completed"));
    }
    match update(&updater) {
        Ok(answer) => say(&answer),
        Err(error) => say(&format!("no update: {}", error.full_message())),
    }
}

fn update(updater: &Updater) -> Result<String, Error> {
    let started = Instant::now();
    let update = match updater.check()? {
        Status::Available(update) => update,
        Status::NoUpdate(why) => return Ok(format!("nothing to do: {why}")),
    };
    say(&format!("found {} {}", update.version(), after(started)));
    let started = Instant::now();
    let mut phase = None;
    let staged = update.download_with_events(
        |progress| {
            if progress.bytes == progress.total && phase != Some(progress.phase) {
                phase = Some(progress.phase);
                match progress.phase {
                    Phase::Download => say(&format!("downloaded {} bytes {}", progress.total, after(started))),
                    Phase::Apply => say(&format!("put {} bytes together {}", progress.total, after(started))),
                    Phase::Probe => say(&format!("started the new version once, it answered {}", after(started))),
                    _ => {}
                }
            }
        },
        |event| {
            if let Event::RouteChosen { name, why, .. } = event {
                say(&format!("takes {name}: {why}"));
            }
        },
    )?;
    let started = Instant::now();
    let installed = staged.install()?;
    say(&format!("swapped {} for {} {}, restarting", installed.from(), installed.version(), after(started)));
    installed.restart()?.hand_over()
}

fn say(line: &str) {
    println!("demo-app {VERSION}: {line}");
}

fn after(started: Instant) -> String {
    format!("after {} ms", started.elapsed().as_millis())
}

const VERSION: &str = env!("CARGO_PKG_VERSION");
