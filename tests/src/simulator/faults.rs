//! What can go wrong with one file on its way.

use std::io::{Cursor, Read};
use std::time::Duration;
use updater_runtime::transport::{Body, FetchError, FetchRequest, Fetched};

/// How a request for a file is answered instead of with the file.
#[derive(Debug, Clone)]
pub enum Fault {
    /// With these bytes.
    Replace(Vec<u8>),
    /// With the file, one byte of it changed: offset and the bits to turn over.
    Flip(usize, u8),
    /// With only so many bytes of it, and an orderly end.
    Truncate(usize),
    /// With so many bytes of it, and then the connection breaks.
    Cut(usize),
    /// With zeros that never end.
    Endless,
    /// With one byte of it at a time, and a pause before each.
    Drip(Duration),
    /// With an HTTP status; 404 is the answer that it does not exist.
    Status(u16),
    /// Not at all: nobody can be reached.
    Offline,
    /// With "not modified", whatever was asked.
    NotModified,
}

impl Fault {
    pub(super) fn answer(self, request: &FetchRequest, file: Option<Vec<u8>>) -> Result<Fetched, FetchError> {
        let url = || request.url.clone();
        let mut file = file.unwrap_or_default();
        let whole = |bytes: Vec<u8>| {
            let length = bytes.len() as u64;
            Body::new(request, Box::new(Cursor::new(bytes))).with_length(Some(length))
        };
        Ok(Fetched::Body(match self {
            Self::Replace(bytes) => whole(bytes),
            Self::Flip(at, bits) => {
                if let Some(byte) = file.get_mut(at) {
                    *byte ^= bits;
                }
                whole(file)
            }
            Self::Truncate(length) => {
                file.truncate(length);
                whole(file)
            }
            Self::Cut(length) => {
                file.truncate(length);
                Body::new(request, Box::new(Cursor::new(file).chain(Broken)))
            }
            Self::Endless => Body::new(request, Box::new(std::io::repeat(0))),
            Self::Drip(pause) => Body::new(request, Box::new(Slow(Cursor::new(file), pause))),
            Self::Status(404) => return Err(FetchError::NotFound { url: url() }),
            Self::Status(status) => return Err(FetchError::Status { url: url(), status }),
            Self::Offline => {
                let detail = "the network is unreachable".to_owned();
                return Err(FetchError::Connect { url: url(), detail });
            }
            Self::NotModified => return Ok(Fetched::NotModified),
        }))
    }
}

struct Broken;
impl Read for Broken {
    fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
        Err(std::io::ErrorKind::ConnectionReset.into())
    }
}

struct Slow(Cursor<Vec<u8>>, Duration);
impl Read for Slow {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        std::thread::sleep(self.1);
        let one = buffer.len().min(1);
        self.0.read(&mut buffer[..one])
    }
}
