//! A server that knows nothing of updates. `updater-launcher` installs it, keeps it running, looks for updates, starts the new
//! version and goes back when `/health` does not answer; the table `launcher` in `Cargo.toml` says how, and travels with
//! every release.
//!
//! ```text
//! cargo updater init --url https://example.com/web && cargo updater publish
//! updater-launcher install https://example.com/web /srv/web --pin PIN     # on the server
//! updater-launcher start -C /srv/web
//! ```

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};

fn main() -> std::io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8701".to_owned());
    let listener = TcpListener::bind(&address)?;
    println!("web {} on {}", env!("CARGO_PKG_VERSION"), listener.local_addr()?);
    for stream in listener.incoming() {
        // A client that goes away is nobody's error.
        if let Err(error) = stream.and_then(answer) {
            eprintln!("web: {error}");
        }
    }
    Ok(())
}

fn answer(mut stream: TcpStream) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let first = lines.next().transpose()?.unwrap_or_default();
    // The rest of the request has to be read before the connection is closed.
    for line in lines {
        if line?.is_empty() {
            break;
        }
    }
    let (status, body) = match first.split(' ').nth(1) {
        Some("/health") => ("200 OK", "well\n".to_owned()),
        Some("/") => ("200 OK", format!("this is web {}\n", env!("CARGO_PKG_VERSION"))),
        _ => ("404 Not Found", "nothing here\n".to_owned()),
    };
    write!(stream, "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len())
}
