//! Files in requests on their way: told piece by piece, given up when they stand still.
//!
//! OpenDAL hands a request over as a whole and tells nothing before it is answered. That is 8 MiB on S3 and a whole file by
//! WebDAV: a bar would stand still for minutes, and a limit in seconds would be one on the size of a file.

use super::opendal::{Storage, patient};
use super::service::Service;
use super::upload::Tell;
use futures_util::stream;
use http_body::{Body, Frame, SizeHint};
use opendal::{Buffer, ErrorKind, HttpBody, HttpRedirect, HttpTransport, HttpTransporter, OperationContext, blocking};
use opendal_http_transport_reqwest::ReqwestTransport;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use ureq::http::{Method, Request, Response};

impl Storage {
    /// Returns an operator that tells by itself how far a file is, where files go in requests.
    pub(super) fn telling(&self, tell: &Tell) -> opendal::Result<Option<blocking::Operator>> {
        match self.service {
            Service::Folder | Service::Memory | Service::Command | Service::Sftp | Service::GitHub => return Ok(None),
            Service::S3 | Service::Azblob | Service::Gcs | Service::Webdav | Service::Http => {}
        }
        let tell = tell.clone();
        let context =
            OperationContext::new().with_http_transport(HttpTransporter::new(Telling { tell, longest_still: STILL }));
        let _inside = self.runtime.enter();
        blocking::Operator::new(patient(self.bare.clone(), LONGEST).with_context(context)).map(Some)
    }
}

struct Telling {
    tell: Tell,
    longest_still: Duration,
}

impl HttpTransport for Telling {
    async fn fetch(&self, request: Request<Buffer>) -> opendal::Result<Response<HttpBody>> {
        let is_sent = matches!(*request.method(), Method::PUT | Method::POST) && !request.body().is_empty();
        // Nothing to tell, or an address that is not the one it is written to.
        if !is_sent || request.extensions().get::<HttpRedirect>().is_some() {
            return ReqwestTransport::new(CLIENT.clone()).fetch(request).await;
        }
        let (parts, body) = request.into_parts();
        let way = Arc::new(Way { tell: self.tell.clone(), told: AtomicI64::new(0), moved: Mutex::new(Instant::now()) });
        let pieces = Pieces { left: body, way: way.clone() };
        let request = CLIENT.request(parts.method, parts.uri.to_string()).version(parts.version).headers(parts.headers);
        let answered = async {
            let answer = request.body(reqwest::Body::wrap(pieces)).send().await?;
            let mut response = Response::builder().status(answer.status()).version(answer.version());
            if let Some(headers) = response.headers_mut() {
                headers.extend(answer.headers().iter().map(|(name, value)| (name.clone(), value.clone())));
            }
            Ok::<_, reqwest::Error>((response, answer.bytes().await?))
        };
        let (response, bytes) = tokio::select! {
            answered = answered => answered.map_err(|error| broken("the connection broke").set_source(error.without_url()))?,
            () = way.stands_still(self.longest_still) => return Err(broken("nothing was taken in or answered for too long")),
        };
        let length = bytes.len() as u64;
        let body = HttpBody::new(stream::iter([Ok(Buffer::from(bytes))]), Some(length));
        let response = response.body(body).map_err(|error| broken("the answer is none").set_source(error))?;
        if response.status().is_success() {
            way.told.store(0, Ordering::Relaxed);
        }
        Ok(response)
    }
}

fn broken(what: &'static str) -> opendal::Error {
    opendal::Error::new(ErrorKind::Unexpected, what).set_temporary()
}

/// How far one request is.
struct Way {
    tell: Tell,
    /// Bytes that were told and are taken back, unless the request succeeds.
    told: AtomicI64,
    moved: Mutex<Instant>,
}

impl Way {
    fn passed(&self, bytes: usize) {
        let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
        self.told.fetch_add(bytes, Ordering::Relaxed);
        *self.moved.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        (self.tell)(bytes);
    }

    /// Ends when nothing has moved for too long.
    async fn stands_still(&self, longest: Duration) {
        loop {
            let still = self.moved.lock().unwrap_or_else(PoisonError::into_inner).elapsed();
            let Some(rest) = longest.checked_sub(still).filter(|rest| !rest.is_zero()) else { return };
            tokio::time::sleep(rest).await;
        }
    }
}

impl Drop for Way {
    fn drop(&mut self) {
        match self.told.load(Ordering::Relaxed) {
            0 => {}
            told => (self.tell)(-told),
        }
    }
}

/// A body that is handed out in small pieces.
struct Pieces {
    left: Buffer,
    way: Arc<Way>,
}

impl Body for Pieces {
    type Data = <Buffer as Iterator>::Item;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        if self.left.is_empty() {
            return Poll::Ready(None);
        }
        let length = self.left.len().min(PIECE);
        let piece = self.left.slice(..length).to_bytes();
        self.left = self.left.slice(length..);
        self.way.passed(length);
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.left.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left.len() as u64)
    }
}

/// Made when it is first needed, which is after the TLS provider was chosen.
static CLIENT: LazyLock<reqwest::Client> = LazyLock::new(reqwest::Client::new);
/// Bytes that are told at once: a tenth of a second at 5 Mbit/s.
const PIECE: usize = 64 * 1024;
/// The longest that a request may stand still. What the system has taken in, 4 MiB as a rule, counts as sent, and goes
/// out in this time at 15 KiB/s.
const STILL: Duration = Duration::from_secs(280);
/// The longest that a request may take while it moves: as good as forever.
const LONGEST: Duration = Duration::from_secs(7 * 24 * 60 * 60);

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};

    const LENGTH: usize = 32 << 20;

    /// Sends 32 MiB to a server that does this with its only connection; returns what was told in all, the most that it
    /// came to, and what became of the request.
    fn send(server: impl FnOnce(TcpStream, &AtomicI64) + Send) -> (i64, i64, Result<u16, String>) {
        drop(rustls::crypto::ring::default_provider().install_default());
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let request = Request::put(format!("http://{}/file", listener.local_addr().unwrap()));
        let request = request.body(Buffer::from(vec![7; LENGTH])).unwrap();
        let told: Arc<(AtomicI64, AtomicI64)> = Arc::default();
        let count = told.clone();
        let tell: Tell = Arc::new(move |bytes| {
            let now = count.0.fetch_add(bytes, Ordering::SeqCst) + bytes;
            count.1.fetch_max(now, Ordering::SeqCst);
        });
        let telling = Telling { tell, longest_still: Duration::from_secs(2) };
        let answer = std::thread::scope(|scope| {
            scope.spawn(|| server(listener.accept().unwrap().0, &told.0));
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(telling.fetch(request))
        });
        let answer = answer.map(|answer| answer.status().as_u16()).map_err(|error| {
            assert!(error.is_temporary(), "it is tried again");
            error.to_string()
        });
        (told.0.load(Ordering::SeqCst), told.1.load(Ordering::SeqCst), answer)
    }

    fn read(stream: &mut TcpStream, most: usize) {
        let mut left = most;
        let mut buffer = [0; 1 << 16];
        while left > 0 {
            let n = stream.read(&mut buffer[..left.min(1 << 16)]).unwrap();
            assert!(n > 0);
            left -= n;
        }
    }

    fn answer(mut stream: TcpStream, status: &str) {
        // The rest of the body may still be on its way: whoever closes now resets the connection.
        stream.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
        while stream.read(&mut [0; 1 << 16]).is_ok_and(|n| n > 0) {}
        write!(stream, "HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n").unwrap();
    }

    #[test]
    fn a_body_is_told_while_it_is_taken_in() {
        let sent = send(|mut stream, told| {
            read(&mut stream, LENGTH / 2);
            let half = told.load(Ordering::SeqCst);
            // What lies in the buffers of both sides counts as sent.
            assert!((LENGTH as i64 / 2 - 1024..LENGTH as i64).contains(&half), "{half} when half was read");
            answer(stream, "201 Created");
        });
        assert_eq!(sent, (LENGTH as i64, LENGTH as i64, Ok(201)));
    }

    #[test]
    fn what_is_refused_or_breaks_is_taken_back() {
        let (left, most, status) = send(|stream, _| answer(stream, "503 Service Unavailable"));
        assert_eq!((left, most, status), (0, LENGTH as i64, Ok(503)));
        let (left, most, error) = send(|mut stream, _| read(&mut stream, LENGTH / 2));
        assert!(left == 0 && most >= LENGTH as i64 / 2 - 1024, "{left} of {most}");
        assert!(error.unwrap_err().contains("the connection broke"));
    }

    #[test]
    fn what_stands_still_is_given_up_and_what_is_only_slow_is_not() {
        let (left, _, error) = send(|mut stream, _| {
            read(&mut stream, LENGTH / 2);
            std::thread::sleep(Duration::from_secs(4));
        });
        assert!(left == 0 && error.unwrap_err().contains("nothing was taken in or answered for too long"));
        // Four seconds in all, and never two without a byte.
        let (_, _, status) = send(|mut stream, _| {
            for _ in 0..8 {
                std::thread::sleep(Duration::from_millis(500));
                read(&mut stream, LENGTH / 8 - 1024);
            }
            answer(stream, "201 Created");
        });
        assert_eq!(status, Ok(201));
    }
}
