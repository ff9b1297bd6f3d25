//! A command line program with `update`, `update --check` and a progress bar. It never updates by itself: whoever runs it in
//! scripts decides when.
//!
//! Copy this. The rest of the work is `cargo updater init` once and `cargo updater publish` per release.

use indicatif::{ProgressBar, ProgressStyle};
use std::process::ExitCode;
use updater_runtime::{Error, Event, Phase, Progress, Status, Updater};

fn main() -> ExitCode {
    // First line: answers a probe, finishes an interrupted update, counts the start of a new version.
    let updater = updater_runtime::updater!();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["update"] => report(update(&updater, What::Install)),
        ["update", "--check"] => report(update(&updater, What::Tell)),
        ["--version"] => {
            println!("tool {}", env!("CARGO_PKG_VERSION"));
            ExitCode::SUCCESS
        }
        [] => {
            println!("tool {} works", env!("CARGO_PKG_VERSION"));
            ExitCode::SUCCESS
        }
        _ => {
            eprintln!("usage: tool [update [--check] | --version]");
            ExitCode::from(2)
        }
    }
}

/// What becomes of an update that was found.
enum What {
    Install,
    Tell,
}

/// The user has asked for it, so here an error is the program's own.
fn report(result: Result<ExitCode, Error>) -> ExitCode {
    result.unwrap_or_else(|error| {
        eprintln!("error: {}\n  help: {}", error.full_message(), error.hint());
        ExitCode::FAILURE
    })
}

/// Looks for an update and takes it. Exit code 10 with `--check` when there is one.
fn update(updater: &Updater, what: What) -> Result<ExitCode, Error> {
    let update = match updater.check()? {
        Status::Available(update) => update,
        Status::NoUpdate(why) => {
            println!("{why}");
            return Ok(ExitCode::SUCCESS);
        }
    };
    let (from, to) = (update.from().clone(), update.version().clone());
    println!("{from} -> {to}, {} bytes to download", update.route().bytes());
    if let Some(notes) = update.notes()? {
        println!("\n{notes}\n");
    }
    if let What::Tell = what {
        return Ok(ExitCode::from(10));
    }
    let bar = Bar::new();
    let staged = update.download_with_events(|progress| bar.show(progress), |event| bar.tell(event))?;
    let installed = staged.install()?;
    bar.0.finish_and_clear();
    println!("{to} is installed; what runs from now on is that");
    // A tool that ends at once need not restart. One that goes on calls `installed.restart()?`.
    drop(installed);
    Ok(ExitCode::SUCCESS)
}

/// One bar for every phase. On anything but a terminal it draws nothing.
struct Bar(ProgressBar);

impl Bar {
    fn new() -> Self {
        let bar = ProgressBar::new(0);
        let template = "{msg:>12} [{bar:30}] {bytes:>10}/{total_bytes:10} {bytes_per_sec:>12} {eta:>4}";
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.progress_chars("=> "));
        }
        Self(bar)
    }

    fn show(&self, progress: Progress) {
        let name = match progress.phase {
            Phase::Download => "Downloading",
            Phase::Apply => "Applying",
            Phase::Probe => "Trying",
            _ => "Updating",
        };
        if self.0.message() != name {
            // Rate and time left are about one phase.
            self.0.reset();
            self.0.set_message(name);
        }
        self.0.set_length(progress.total);
        self.0.set_position(progress.bytes);
    }

    /// Which way is taken, and why others failed.
    fn tell(&self, event: &Event) {
        self.0.suspend(|| eprintln!("{event}"));
    }
}
