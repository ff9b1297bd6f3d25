//! One request per connection, a log, and faults on demand.

use super::state::State;
use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Mutex;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use updater_format::UtcTime;

/// A request that was read to its end.
#[derive(Debug, Clone)]
pub(super) struct Request {
    pub(super) method: String,
    pub(super) path: String,
    query: String,
    headers: BTreeMap<String, String>,
    pub(super) body: Vec<u8>,
    /// Whether the connection ended before the body did.
    pub(super) is_cut: bool,
}

/// What is sent back.
#[derive(Debug, Clone)]
pub(super) struct Answer {
    pub(super) status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

/// What happens to a request instead of what should.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// The connection ends before anything is done.
    Lost,
    /// It is done, and the answer is lost.
    AnswerLost,
    /// Nothing is done; this status with these headers comes back.
    Status(u16, Vec<(&'static str, String)>),
    /// An upload breaks off: its asset is left in the state `starter`, and 502 comes back.
    HalfUploaded,
    /// Somebody else commits this file to the branch first; then the request is done.
    Pushed(&'static str, Vec<u8>),
}

/// A request that was answered.
#[derive(Debug, Clone)]
pub struct Logged {
    /// The method.
    pub method: String,
    /// The path, without its query.
    pub path: String,
    /// The status; 0 when nothing was sent.
    pub status: u16,
    /// Whether it came with a token.
    pub has_token: bool,
}

impl Request {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    pub(super) fn query(&self, name: &str) -> Option<&str> {
        self.query.split('&').find_map(|pair| pair.split_once('=').filter(|(n, _)| *n == name).map(|(_, value)| value))
    }

    pub(super) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

impl Answer {
    pub(super) fn json(status: u16, value: &serde_json::Value) -> Self {
        Self::bytes(status, value.to_string().into_bytes()).with("content-type", "application/json; charset=utf-8")
    }

    pub(super) fn error(status: u16, message: &str) -> Self {
        Self::json(status, &serde_json::json!({"message": message, "status": status.to_string()}))
    }

    pub(super) fn bytes(status: u16, body: Vec<u8>) -> Self {
        Self { status, headers: Vec::new(), body }
    }

    pub(super) fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }
}

/// Reads one request, answers it, and closes the connection.
pub(super) fn converse(stream: TcpStream, state: &Mutex<State>, handle: impl Fn(&Request, &mut State) -> Answer) {
    drop(stream.set_read_timeout(Some(Duration::from_secs(30))));
    let Some(request) = read(&stream) else { return };
    let Ok(mut state) = state.lock() else { return };
    let fault = state.fault(&request.method, &request.path);
    let answer = match fault {
        None | Some(Fault::AnswerLost) if request.is_cut => None,
        None => Some(handle(&request, &mut state)),
        Some(Fault::Pushed(path, bytes)) => {
            state.push(path, &bytes);
            Some(handle(&request, &mut state))
        }
        Some(Fault::AnswerLost) => {
            drop(handle(&request, &mut state));
            None
        }
        Some(Fault::Lost) => None,
        Some(Fault::Status(status, headers)) => {
            let answer = Answer::error(status, "told to refuse");
            Some(headers.iter().fold(answer, |answer, (name, value)| answer.with(name, value)))
        }
        Some(Fault::HalfUploaded) => {
            super::releases::leave_starter(&request, &mut state);
            Some(Answer::error(502, "Server Error"))
        }
    };
    state.log.push(Logged {
        method: request.method.clone(),
        path: request.path.clone(),
        status: answer.as_ref().map_or(0, |answer| answer.status),
        has_token: request.header("authorization").is_some(),
    });
    drop(state);
    if let Some(answer) = answer {
        // A client that hangs up is part of many tests.
        drop(write(&stream, &answer));
    }
}

fn read(stream: &TcpStream) -> Option<Request> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let mut words = line.split_whitespace();
    let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        match line.trim_end().split_once(':') {
            Some((name, value)) => headers.insert(name.to_ascii_lowercase(), value.trim().to_owned()),
            None => break,
        };
    }
    let length: usize = headers.get("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    if headers.get("expect").is_some_and(|expect| expect == "100-continue") {
        (&*stream).write_all(b"HTTP/1.1 100 Continue\r\n\r\n").ok()?;
    }
    let mut body = Vec::new();
    let read = reader.take(length as u64).read_to_end(&mut body).unwrap_or(0);
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    let (path, query) = (path.to_owned(), query.to_owned());
    Some(Request { method, path, query, headers, is_cut: read < length, body })
}

fn write(mut stream: &TcpStream, answer: &Answer) -> std::io::Result<()> {
    // https://docs.github.com/rest/using-the-rest-api/rate-limits-for-the-rest-api#checking-the-status-of-your-rate-limit
    let mut head = format!(
        "HTTP/1.1 {} X\r\ndate: {}\r\ncontent-length: {}\r\nconnection: close\r\nx-ratelimit-limit: 5000\r\n",
        answer.status,
        http_date(SystemTime::now()),
        answer.body.len()
    );
    if !answer.headers.iter().any(|(name, _)| name == "x-ratelimit-remaining") {
        head.push_str("x-ratelimit-remaining: 4000\r\n");
    }
    for (name, value) in &answer.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    stream.write_all(format!("{head}\r\n").as_bytes())?;
    stream.write_all(&answer.body)?;
    stream.flush()
}

/// Writes a time as HTTP has it (RFC 9110, 5.6.7).
fn http_date(time: SystemTime) -> String {
    let seconds = time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let text = UtcTime::from_unix(i64::try_from(seconds).unwrap_or(0)).to_string();
    let (date, clock) = text.split_once('T').unwrap_or(("", ""));
    let parts: Vec<&str> = date.split('-').collect();
    let month = parts[1].parse::<usize>().unwrap_or(1) - 1;
    let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let days = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    let day = days[usize::try_from(seconds / 86_400 % 7).unwrap_or(0)];
    format!("{day}, {} {} {} {} GMT", parts[2], months[month], parts[0], clock.trim_end_matches('Z'))
}
