//! The side of the commands: ask a running supervisor.

use super::protocol::{Command, Reply, Request};
use super::server::connect;
use crate::error::{Error, Result};
use crate::places::Places;
use std::io::{BufRead as _, BufReader, Read as _, Write};
use updater_format::ReleaseVersion;

/// Asks the supervisor of a folder, and waits as long as it takes. `None` when none runs.
/// # Errors
/// [`Error::Refused`] with what the supervisor says; [`Error::File`] when it hangs up.
pub(crate) fn ask(
    places: &Places,
    command: Command,
    version: Option<ReleaseVersion>,
) -> Result<Option<serde_json::Value>> {
    let Some(mut stream) = connect(places)? else { return Ok(None) };
    let failed = |source| Error::file("talk to", &places.socket(), source);
    match send(&mut stream, &Request::new(command, version)) {
        // Whoever has no time for us has said so already.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => {}
        sent => sent.map_err(failed)?,
    }
    #[cfg(unix)]
    if command == Command::Status {
        // Answered at any time; nothing else has an end that is known.
        stream.set_read_timeout(Some(STATUS_TIME)).map_err(failed)?;
    }
    let mut line = Vec::new();
    match BufReader::new(stream).take(MAX_LINE).read_until(b'\n', &mut line) {
        Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
            return Err(Error::Silent { path: places.root().to_owned() });
        }
        Err(error) if error.kind() != std::io::ErrorKind::ConnectionReset => return Err(failed(error)),
        _ => {}
    }
    if line.is_empty() && command == Command::Status {
        // It was about to end when it was asked.
        return Ok(None);
    }
    if line.is_empty() {
        // It has ended, or another one is in its place: that is what was asked for. Anything else has lost its answer.
        let gone = Error::HungUp { path: places.root().to_owned() };
        let is_end = matches!(command, Command::Stop | Command::Relaunch);
        return if is_end { Ok(Some(serde_json::Value::Null)) } else { Err(gone) };
    }
    let reply: Reply = serde_json::from_slice(&line)
        .map_err(|error| Error::Format { path: places.socket(), problem: error.to_string() })?;
    reply.into_result().map(Some)
}

/// Calls `each` with every event of the supervisor until it ends, or until `each` wants no more.
/// # Errors
/// [`Error::NotRunning`]; [`Error::File`].
pub(crate) fn follow(places: &Places, mut each: impl FnMut(&str) -> bool) -> Result<()> {
    let mut stream = connect(places)?.ok_or_else(|| Error::NotRunning { path: places.root().to_owned() })?;
    let failed = |source| Error::file("talk to", &places.socket(), source);
    send(&mut stream, &Request::new(Command::Events, None)).map_err(failed)?;
    for line in BufReader::new(stream).lines() {
        if !each(&line.map_err(failed)?) {
            break;
        }
    }
    Ok(())
}

fn send(stream: &mut impl Write, request: &Request) -> std::io::Result<()> {
    let mut line = serde_json::to_vec(request)?;
    line.push(b'\n');
    stream.write_all(&line)
}

/// How long a supervisor may take to say how it is: 10 seconds. Its loop never stands still for so long.
#[cfg(unix)]
const STATUS_TIME: std::time::Duration = std::time::Duration::from_secs(10);
/// The most bytes of an answer: 1 MiB. The supervisor is ours; this is only so that nothing grows without bound.
const MAX_LINE: u64 = 1024 * 1024;
