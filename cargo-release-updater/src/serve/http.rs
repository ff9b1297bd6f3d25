//! The little of HTTP/1.1 (RFC 9112) that a static server needs.

use std::io::Read;

/// A request without its body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) method: String,
    /// The path as sent, without the query.
    pub(super) path: String,
    headers: Vec<(String, String)>,
}

impl Head {
    /// Reads a request up to its empty line; `None` when it is malformed or too long.
    pub(super) fn read(stream: &mut impl Read) -> std::io::Result<Option<Self>> {
        let mut bytes = Vec::new();
        let mut byte = [0];
        // One byte at a time: what follows the head would belong to a body that is never read.
        while !bytes.ends_with(b"\r\n\r\n") {
            if bytes.len() == MAX_HEAD || stream.read(&mut byte)? == 0 {
                return Ok(None);
            }
            bytes.push(byte[0]);
        }
        Ok(String::from_utf8(bytes).ok().and_then(|text| Self::parse(&text)))
    }

    fn parse(text: &str) -> Option<Self> {
        let mut lines = text.split("\r\n");
        let mut words = lines.next()?.split(' ');
        let (method, target, version) = (words.next()?, words.next()?, words.next()?);
        if words.next().is_some() || !version.starts_with("HTTP/1.") || !target.starts_with('/') {
            return None;
        }
        let path = target.split('?').next().unwrap_or(target);
        let headers = lines
            .take_while(|line| !line.is_empty())
            .map(|line| line.split_once(':').map(|(name, value)| (name.to_lowercase(), value.trim().to_owned())))
            .collect::<Option<_>>()?;
        Some(Self { method: method.to_owned(), path: path.to_owned(), headers })
    }

    /// Returns the first header with this lower-case name.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// An answer.
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) headers: Vec<(&'static str, String)>,
    /// The bytes of the body, as `Content-Length` says them.
    pub(super) length: u64,
    pub(super) body: Box<dyn Read>,
}

impl Reply {
    /// Makes an answer whose body is the name of its status.
    pub(super) fn status(status: u16) -> Self {
        let body = format!("{}\n", reason(status));
        Self {
            status,
            headers: vec![("Content-Type", "text/plain; charset=utf-8".to_owned())],
            length: body.len() as u64,
            body: Box::new(std::io::Cursor::new(body)),
        }
    }

    /// Adds a header.
    pub(super) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// Writes the status line and the headers.
    pub(super) fn head(&self) -> Vec<u8> {
        let mut text = format!("HTTP/1.1 {} {}\r\n", self.status, reason(self.status));
        // RFC 9110 section 8.6: a 304 has no body, and its length would be taken for that of the file.
        if self.status != 304 {
            text.push_str(&format!("Content-Length: {}\r\n", self.length));
        }
        for (name, value) in &self.headers {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        text.push_str("Connection: close\r\n\r\n");
        text.into_bytes()
    }
}

/// What a `Range` header asks for of a file (RFC 9110 section 14).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Range {
    /// The whole file: no range, or one that may be ignored.
    Whole,
    /// From a first byte to a last, both included.
    Part(u64, u64),
    /// Nothing of the file lies in it.
    Unsatisfiable,
}

impl Range {
    /// Reads a header for a file of `length` bytes. Several ranges, other units and nonsense are ignored, as the
    /// specification allows.
    pub(super) fn parse(header: &str, length: u64) -> Self {
        let Some((first, last)) = header.strip_prefix("bytes=").and_then(|range| range.split_once('-')) else {
            return Self::Whole;
        };
        let number = |text: &str| text.trim().parse::<u64>().ok();
        match (first.trim().is_empty(), number(first), last.trim().is_empty(), number(last)) {
            (true, _, false, Some(0)) => Self::Unsatisfiable,
            (true, _, false, Some(_)) if length == 0 => Self::Unsatisfiable,
            (true, _, false, Some(count)) => Self::Part(length.saturating_sub(count), length - 1),
            (false, Some(first), true, _) if first < length => Self::Part(first, length - 1),
            (false, Some(first), false, Some(last)) if first <= last && first < length => {
                Self::Part(first, last.min(length - 1))
            }
            (false, Some(first), false, Some(last)) if first > last => Self::Whole,
            (false, Some(_), true, _) | (false, Some(_), false, Some(_)) => Self::Unsatisfiable,
            _ => Self::Whole,
        }
    }
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        206 => "Partial Content",
        304 => "Not Modified",
        400 => "Bad Request",
        404 => "Not Found",
        405 => "Method Not Allowed",
        416 => "Range Not Satisfiable",
        _ => "Internal Server Error",
    }
}

/// The most bytes of a request's head: what common servers allow.
const MAX_HEAD: usize = 16 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges() {
        for (header, range) in [
            ("bytes=0-9", Range::Part(0, 9)),
            ("bytes=5-", Range::Part(5, 99)),
            ("bytes=-10", Range::Part(90, 99)),
            ("bytes=-1000", Range::Part(0, 99)),
            ("bytes=90-1000", Range::Part(90, 99)),
            ("bytes=100-", Range::Unsatisfiable),
            ("bytes=100-200", Range::Unsatisfiable),
            ("bytes=-0", Range::Unsatisfiable),
            ("bytes=9-0", Range::Whole),
            ("bytes=0-1,5-6", Range::Whole),
            ("lines=0-1", Range::Whole),
            ("bytes=a-b", Range::Whole),
            ("", Range::Whole),
        ] {
            assert_eq!(Range::parse(header, 100), range, "{header}");
        }
        assert_eq!(Range::parse("bytes=0-", 0), Range::Unsatisfiable);
        assert_eq!(Range::parse("bytes=-5", 0), Range::Unsatisfiable);
    }

    #[test]
    fn malformed_requests_are_told_apart_from_good_ones() {
        let read = |text: &str| Head::read(&mut text.as_bytes()).unwrap();
        let head = read("GET /a%20b?x HTTP/1.1\r\nRange: bytes=0-1\r\n\r\n").unwrap();
        assert_eq!((head.path.as_str(), head.header("range")), ("/a%20b", Some("bytes=0-1")));
        let long = format!("GET /{} HTTP/1.1\r\n\r\n", "a".repeat(MAX_HEAD));
        for bad in
            ["GET / HTTP/1.1\r\n", "GET /\r\n\r\n", "GET x HTTP/1.1\r\n\r\n", "GET / HTTP/1.1\r\nx\r\n\r\n", &long]
        {
            assert_eq!(read(bad), None);
        }
    }
}
