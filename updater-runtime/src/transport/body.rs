//! The body of an answer, read with a bound that holds whatever the transport does.

use super::{FetchError, FetchRequest, Url};
use std::io::Read;

/// The bytes of an answer, not yet trusted and not yet read.
pub struct Body {
    reader: Box<dyn Read + Send>,
    url: Url,
    /// Offset in the file of the first byte that follows.
    start: u64,
    /// Bytes that follow, as the server claims.
    length: Option<u64>,
    etag: Option<String>,
    received: u64,
    max: u64,
}

impl Body {
    /// Wraps the bytes that a transport received for a request, from the start of the file.
    ///
    /// An error of the reader is taken for a broken connection unless it was made by [`FetchError::into_io`].
    #[must_use]
    pub fn new(request: &FetchRequest, reader: Box<dyn Read + Send>) -> Self {
        let (url, max) = (request.url.clone(), request.max_bytes);
        Self { reader, url, start: 0, length: None, etag: None, received: 0, max }
    }

    /// Says that the bytes begin at this offset of the file, as a resumed download asks for.
    #[must_use]
    pub fn with_start(self, start: u64) -> Self {
        Self { start, ..self }
    }

    /// Says how many bytes follow, if the server told.
    #[must_use]
    pub fn with_length(self, length: Option<u64>) -> Self {
        Self { length, ..self }
    }

    /// Says under which entity tag the server keeps the file.
    #[must_use]
    pub fn with_etag(self, etag: Option<String>) -> Self {
        Self { etag, ..self }
    }

    /// Returns the offset in the file of the first byte, 0 unless the answer resumes a download.
    #[must_use]
    pub fn start(&self) -> u64 {
        self.start
    }

    /// Returns how many bytes follow as the server claims.
    #[must_use]
    pub fn length(&self) -> Option<u64> {
        self.length
    }

    /// Returns the entity tag, if the server sent one.
    #[must_use]
    pub fn etag(&self) -> Option<&str> {
        self.etag.as_deref()
    }

    /// Returns what was asked for.
    #[must_use]
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// Reads the next bytes; 0 means the end.
    /// # Errors
    /// [`FetchError::TooLarge`] as soon as one byte more than allowed arrives, whatever length the server claimed;
    /// what the transport reports otherwise.
    pub fn read(&mut self, buffer: &mut [u8]) -> Result<usize, FetchError> {
        // Never asks for more than one byte beyond the bound.
        let room =
            usize::try_from((self.max - self.start.min(self.max)).saturating_sub(self.received).saturating_add(1));
        let wanted = buffer.len().min(room.unwrap_or(usize::MAX));
        let n = loop {
            match self.reader.read(&mut buffer[..wanted]) {
                Ok(n) => break n,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.broken(error)),
            }
        };
        self.received += n as u64;
        if self.start.saturating_add(self.received) > self.max {
            return Err(FetchError::TooLarge { url: self.url.clone(), limit: self.max });
        }
        Ok(n)
    }

    fn broken(&self, error: std::io::Error) -> FetchError {
        let interrupted = |detail: String| FetchError::Interrupted {
            url: self.url.clone(),
            received: self.received,
            detail: updater_format::terminal_safe(&detail, updater_format::SHOWN),
        };
        match error.downcast::<FetchError>() {
            Ok(FetchError::Interrupted { detail, .. }) => interrupted(detail),
            Ok(error) => error,
            Err(error) => interrupted(error.to_string()),
        }
    }
}

impl std::fmt::Debug for Body {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Body")
            .field("url", &self.url)
            .field("start", &self.start)
            .field("length", &self.length)
            .field("received", &self.received)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(max: u64, reader: impl Read + Send + 'static) -> Body {
        Body::new(&FetchRequest::new(Url::parse("https://example.com/x").unwrap(), max), Box::new(reader))
    }

    #[test]
    fn an_endless_body_ends_one_byte_after_the_bound() {
        let mut endless = body(10, std::io::repeat(7));
        let mut buffer = [0; 4];
        let mut total = 0;
        let error = loop {
            match endless.read(&mut buffer) {
                Ok(n) => total += n,
                Err(error) => break error,
            }
        };
        assert!(matches!(error, FetchError::TooLarge { limit: 10, .. }), "{error:?}");
        assert_eq!((total, endless.received), (8, 11));
        let mut exact = body(10, std::io::Cursor::new([1; 10]));
        let mut buffer = [0; 64];
        assert_eq!((exact.read(&mut buffer).unwrap(), exact.read(&mut buffer).unwrap()), (10, 0));
        let mut resumed = body(10, std::io::Cursor::new([1; 10])).with_start(9);
        assert!(matches!(resumed.read(&mut buffer), Err(FetchError::TooLarge { .. })));
    }

    #[test]
    fn errors_of_a_transport_pass_through_and_others_are_interruptions() {
        struct Broken(Option<std::io::Error>);
        impl Read for Broken {
            fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
                Err(self.0.take().unwrap())
            }
        }
        let mut own = body(10, Broken(Some(FetchError::Cancelled.into_io())));
        assert!(matches!(own.read(&mut [0; 4]), Err(FetchError::Cancelled)));
        let mut other = body(10, Broken(Some(std::io::Error::other("odd \u{1b}[31m"))));
        match other.read(&mut [0; 4]) {
            Err(FetchError::Interrupted { received: 0, detail, .. }) => assert_eq!(detail, r"odd \u{1b}[31m"),
            unexpected => panic!("{unexpected:?}"),
        }
    }
}
