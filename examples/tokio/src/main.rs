//! An async program on tokio. The updater blocks, so it works in a blocking task; its progress comes through a channel, and
//! the async side goes on with its work meanwhile.
//!
//! Copy this. The rest of the work is `cargo updater init` once and `cargo updater publish` per release.

use std::time::Duration;
use tokio::sync::watch;
use tokio::task::spawn_blocking;
use updater_runtime::{Error, Installed, Progress, Status, Updater};

// Not `#[tokio::main]`: that the first line of `main` answers probes and finishes updates must not wait for an executor.
fn main() {
    let updater = updater_runtime::updater!();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_time().build();
    let installed = match runtime {
        Ok(runtime) => runtime.block_on(run(updater)),
        Err(error) => return eprintln!("ticker: no runtime: {error}"),
    };
    // After the executor has ended: a restart replaces the process, and whatever its tasks were doing.
    if let Some(installed) = installed {
        match installed.restart() {
            Ok(restarted) => restarted.hand_over(),
            Err(error) => eprintln!("ticker: {error}"),
        }
    }
}

/// Does the work of the program until that ends, or until an update is installed.
async fn run(updater: Updater) -> Option<Installed> {
    let (progress, mut seen) = watch::channel(None::<Progress>);
    let mut update = spawn_blocking(move || update(&updater, &progress));
    let mut work = tokio::time::interval(Duration::from_millis(50));
    let (mut ticks, mut searching) = (0, true);
    loop {
        tokio::select! {
            _ = work.tick() => {
                ticks += 1;
                println!("ticker {} tick {ticks}", env!("CARGO_PKG_VERSION"));
                // Not before the update is over: the blocking task would be waited for anyway.
                if ticks >= 3 && !searching {
                    return None;
                }
            }
            changed = seen.changed(), if searching => {
                if changed.is_ok() && let Some(progress) = *seen.borrow_and_update() {
                    eprintln!("ticker: {:?} {}/{}", progress.phase, progress.bytes, progress.total);
                }
            }
            outcome = &mut update, if searching => {
                searching = false;
                match outcome {
                    Ok(Ok(Some(installed))) => return Some(installed),
                    Ok(Ok(None)) => {}
                    // An update error never ends the app.
                    Ok(Err(error)) => eprintln!("ticker: no update: {}", error.full_message()),
                    Err(error) => eprintln!("ticker: no update: {error}"),
                }
            }
        }
    }
}

/// The blocking part. To give up from outside, keep a clone of `updater.cancel_token()` and cancel that.
fn update(updater: &Updater, progress: &watch::Sender<Option<Progress>>) -> Result<Option<Installed>, Error> {
    match updater.check()? {
        Status::Available(update) => {
            let staged = update.download(|now| {
                progress.send_replace(Some(now));
            })?;
            Ok(Some(staged.install()?))
        }
        Status::NoUpdate(_) => Ok(None),
    }
}
