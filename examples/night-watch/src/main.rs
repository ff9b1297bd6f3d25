//! A service in the background that updates itself at night: between 2 and 5 o'clock (UTC) it looks once, prepares the new
//! version beside the running one, and restarts between two pieces of work.
//!
//! Whoever runs it has the last word: `NIGHT_WATCH_UPDATES=notify` tells of updates and takes none, `=off` asks no server,
//! and `NIGHT_WATCH_HOURS=22-4` is another night. Built as the package `example-night-watch` its app id is that one, and the
//! first variable `EXAMPLE_NIGHT_WATCH_UPDATES`.

use std::ops::ControlFlow;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use updater_runtime::{Error, Followed, NoUpdate, Policy, Updater};

fn main() {
    // First line: answers a probe, finishes an interrupted update, counts the start of a new version.
    let updater = updater_runtime::updater!();
    let night = Night::of_environment();
    println!("night-watch {}, updates: {}", env!("CARGO_PKG_VERSION"), updater.policy(Policy::Auto));
    for round in 1.. {
        if work(round).is_break() {
            return;
        }
        // Between two pieces of work nothing is lost by a restart.
        if night.is_now()
            && let Err(error) = update(&updater)
        {
            // An update error never ends the service. The next look comes after an hour at the earliest.
            eprintln!("night-watch: no update: {}", error.full_message());
        }
    }
}

/// Follows the policy. Looks at most once a day, whatever how often it is called.
fn update(updater: &Updater) -> Result<(), Error> {
    match updater.follow(Policy::Auto)? {
        Followed::Announced(update) => println!("night-watch: version {} is available", update.version()),
        Followed::Ready(staged) => {
            println!("night-watch: {} -> {}", staged.from(), staged.version());
            // The same arguments, environment and working directory; on Unix the same process, too.
            staged.install()?.restart()?.hand_over();
        }
        Followed::NoUpdate(NoUpdate::NotDue { .. }) | Followed::Off => {}
        Followed::NoUpdate(why) => println!("night-watch: {why}"),
    }
    Ok(())
}

/// One piece of work, here a second of sleep. `NIGHT_WATCH_ROUNDS` ends it after so many, for trying it out.
fn work(round: u64) -> ControlFlow<()> {
    println!("night-watch: round {round}");
    std::thread::sleep(Duration::from_secs(1));
    let rounds = std::env::var("NIGHT_WATCH_ROUNDS").ok().and_then(|text| text.parse::<u64>().ok());
    if rounds.is_some_and(|rounds| round >= rounds) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
}

/// The hours in which a restart disturbs nobody, in UTC: from the first one on, before the second one.
struct Night {
    from: u64,
    to: u64,
}

impl Night {
    fn of_environment() -> Self {
        let text = std::env::var("NIGHT_WATCH_HOURS").unwrap_or_default();
        let hours = text.split_once('-').and_then(|(from, to)| Some((from.parse().ok()?, to.parse().ok()?)));
        let (from, to) = hours.filter(|(from, to)| *from < 24 && *to <= 24).unwrap_or((2, 5));
        Self { from, to }
    }

    fn is_now(&self) -> bool {
        let seconds = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let hour = seconds / 3600 % 24;
        match self.from <= self.to {
            true => (self.from..self.to).contains(&hour),
            // Over midnight.
            false => hour >= self.from || hour < self.to,
        }
    }
}
