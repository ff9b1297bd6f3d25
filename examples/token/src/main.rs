//! A program for members: its repository answers nobody without a token, and the token changes. A header that stays the same
//! needs none of this: `config.with_header("Authorization", ...)` does it.
//!
//! The transport here makes one attempt at one address, as every transport does. Mirrors, retries, limits and every check of
//! what came stay the library's business, so a transport cannot weaken them.

use std::path::PathBuf;
use std::sync::Arc;
use updater_runtime::transport::{FetchError, FetchRequest, Fetched, HttpOptions, HttpTransport, Transport};
use updater_runtime::{Error, Status, Updater};

fn main() {
    // First line: answers a probe, finishes an interrupted update, counts the start of a new version.
    let updater = updater_runtime::updater!();
    let tokens = Tokens { file: PathBuf::from(std::env::var_os("MEMBER_TOKEN_FILE").unwrap_or_default()) };
    let updater = updater.configure(|config| config.with_transport(Arc::new(tokens)));
    // An update error never ends the app.
    if let Err(error) = update(&updater) {
        eprintln!("member: no update: {}\nmember: {}", error.full_message(), error.hint());
    }
    println!("member {} works", env!("CARGO_PKG_VERSION"));
}

fn update(updater: &Updater) -> Result<(), Error> {
    if let Status::Available(update) = updater.check()? {
        eprintln!("member: {} -> {}", update.from(), update.version());
        update.download(|_progress| {})?.install()?.restart()?.hand_over();
    }
    Ok(())
}

/// HTTP with the token that stands in a file, read for each request: something else renews it.
struct Tokens {
    file: PathBuf,
}

impl Transport for Tokens {
    fn fetch(&self, request: &FetchRequest) -> Result<Fetched, FetchError> {
        let token = std::fs::read_to_string(&self.file).unwrap_or_default();
        let value = format!("Bearer {}", token.trim());
        // Only to the origin of this very address: a redirect to another host does not get the token.
        let options = HttpOptions::default().with_header(request.url.origin(), "Authorization", &value)?;
        HttpTransport::new(options)?.fetch(request)
    }
}
