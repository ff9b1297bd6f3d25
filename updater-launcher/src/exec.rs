//! What runs in a child before the program itself: hidden subcommands of the launcher.
//!
//! `__exec` (not on Windows, where a job does the first) makes the child die with the launcher and puts a listening socket,
//! which comes as standard input, where sd_listen_fds(3) says that a program finds it. `__check` asks a program whether it
//! is healthy.

#[cfg(unix)]
#[path = "exec/become.rs"]
mod becoming;

#[cfg(unix)]
pub(crate) use becoming::{NOT_EXECUTED, NOT_EXECUTED_NAME, exec};

use crate::error::Result;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs as _};
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// `__check tcp ADDRESS` or `__check http URL`: ends with 0 when the answer is good, and says why not otherwise.
pub(crate) fn health_check(args: &[String]) -> Result<ExitCode> {
    let checked = match args {
        [kind, address] if kind == "tcp" => connect(address).map(|_| ()),
        [kind, url] if kind == "http" => http(url),
        _ => Err("unknown check".to_owned()),
    };
    Ok(match checked {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            crate::shell::out(problem);
            ExitCode::FAILURE
        }
    })
}

fn connect(address: &str) -> std::result::Result<TcpStream, String> {
    let addresses: Vec<SocketAddr> = address.to_socket_addrs().map_err(|error| in_words(&error))?.collect();
    connect_any(&addresses)
}

/// Connects to the first address that answers: a name such as `localhost` has one of IPv6 and one of IPv4, and an app
/// listens on either.
fn connect_any(addresses: &[SocketAddr]) -> std::result::Result<TcpStream, String> {
    let mut problems = Vec::new();
    for address in addresses {
        let share = CHECK_TIME / u32::try_from(addresses.len()).unwrap_or(u32::MAX);
        match TcpStream::connect_timeout(address, share.max(Duration::from_millis(1))) {
            Ok(stream) => return Ok(stream),
            Err(error) => problems.push((address, in_words(&error))),
        }
    }
    Err(match problems.as_slice() {
        [] => "it has no address".to_owned(),
        [(_, problem)] => problem.clone(),
        all => all.iter().map(|(address, problem)| format!("{address}: {problem}")).collect::<Vec<_>>().join("; "),
    })
}

/// Asks by HTTP/1.0 and reads the status line.
fn http(url: &str) -> std::result::Result<(), String> {
    let rest = url.strip_prefix("http://").ok_or("only http:// is asked")?;
    let (host, path) = rest.find('/').map_or((rest, "/"), |at| rest.split_at(at));
    let address = if host.contains(':') { host.to_owned() } else { format!("{host}:80") };
    let mut stream = connect(&address)?;
    let failed = |error: std::io::Error| in_words(&error);
    stream.set_read_timeout(Some(CHECK_TIME)).map_err(failed)?;
    // In one piece: a server may answer, and hang up, as soon as it has seen the first line.
    let request = format!("GET {path} HTTP/1.0\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).map_err(failed)?;
    let begin = Instant::now();
    let mut answer = Vec::new();
    let mut buffer = [0; 64];
    while !answer.contains(&b'\n') && answer.len() < MAX_STATUS_LINE && begin.elapsed() < CHECK_TIME {
        match stream.read(&mut buffer).map_err(failed)? {
            0 => break,
            n => answer.extend_from_slice(&buffer[..n]),
        }
    }
    let line = String::from_utf8_lossy(&answer);
    let status = line.split(' ').nth(1).and_then(|status| status.get(..3)?.parse::<u16>().ok());
    match status {
        Some(200..=299) if line.starts_with("HTTP/") => Ok(()),
        Some(status) => Err(format!("answered {status}")),
        None => Err("gave no HTTP answer".to_owned()),
    }
}

/// Says what kind of error it is; the number that a system adds is left out where the kind says enough.
fn in_words(error: &std::io::Error) -> String {
    use std::io::ErrorKind::{
        ConnectionRefused, ConnectionReset, HostUnreachable, NetworkUnreachable, TimedOut, WouldBlock,
    };
    match error.kind() {
        WouldBlock | TimedOut => "no answer in time".to_owned(),
        kind @ (ConnectionRefused | ConnectionReset | HostUnreachable | NetworkUnreachable) => kind.to_string(),
        _ => error.to_string(),
    }
}

/// How long one health check may take: the launcher asks again.
pub(crate) const CHECK_TIME: Duration = Duration::from_secs(2);
/// The most bytes of a status line that are read.
const MAX_STATUS_LINE: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn every_address_is_tried() {
        let open = TcpListener::bind("127.0.0.1:0").unwrap();
        // Bound and not listening any more: nobody answers there.
        let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let open = open.local_addr().unwrap();
        assert_eq!(connect_any(&[closed, open]).unwrap().peer_addr().unwrap(), open);
        let problem = connect_any(&[closed, closed]).unwrap_err();
        assert_eq!(problem.matches(&closed.to_string()).count(), 2, "{problem}");
        assert_eq!(connect_any(&[]).unwrap_err(), "it has no address");
    }
}
