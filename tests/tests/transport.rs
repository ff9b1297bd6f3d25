//! Every option of the HTTP transport against a real server on the loopback interface.

#![expect(clippy::unwrap_used, reason = "helpers of tests may fail like a test")]

use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::{Duration, Instant};
use updater_format::Sha256;
use updater_format::release::Artifact;
use updater_runtime::CancelToken;
use updater_runtime::download::{DownloadError, download};
use updater_runtime::transport::{
    Document, DocumentRequest, FetchError, FetchRequest, Fetched, Fetcher, Freshness, HttpOptions, HttpTransport,
    Mirror, ProxyChoice, RateLimit, Resume, Retry, Roots, SchemeTransport, TimedOut, Timeouts, Transport, Url,
};
use updater_tests::proxy::TestProxy;
use updater_tests::server::{Answer, MOST_BYTES, TestServer, etag_of};

fn direct() -> HttpOptions {
    HttpOptions::default().with_proxy(ProxyChoice::Direct)
}

fn url(server: &TestServer, path: &str) -> Url {
    Url::parse(&server.url(path)).unwrap()
}

fn get(options: HttpOptions, request: &FetchRequest) -> Result<(u64, Vec<u8>), FetchError> {
    read(HttpTransport::new(options)?.fetch(request)?)
}

fn read(answer: Fetched) -> Result<(u64, Vec<u8>), FetchError> {
    let Fetched::Body(mut body) = answer else { panic!("not modified") };
    let (start, mut bytes, mut buffer) = (body.start(), Vec::new(), vec![0; 8192]);
    loop {
        match body.read(&mut buffer)? {
            0 => return Ok((start, bytes)),
            n => bytes.extend_from_slice(&buffer[..n]),
        }
    }
}

fn once() -> Retry {
    Retry { rounds: 1, ..Retry::default() }
}

fn fetcher(options: HttpOptions, timeouts: Timeouts) -> Fetcher {
    Fetcher::new(Arc::new(HttpTransport::new(options).unwrap())).with_timeouts(timeouts).with_retry(once())
}

fn document(max_bytes: u64) -> DocumentRequest {
    DocumentRequest { max_bytes, ..DocumentRequest::default() }
}

#[test]
fn two_clients_send_the_same_headers_and_nothing_that_identifies_them() {
    let server = TestServer::start();
    server.put("/x", "hello");
    for _ in 0..2 {
        let request = FetchRequest::new(url(&server, "/x"), 5);
        assert_eq!(get(direct(), &request).unwrap(), (0, b"hello".to_vec()));
    }
    let log = server.log_of(2);
    let sent: Vec<_> = log[0].headers.iter().map(|(name, value)| format!("{name}: {value}")).collect();
    let agent = format!("user-agent: cargo-updater/{}", env!("CARGO_PKG_VERSION"));
    let host = format!("host: {}", server.address());
    assert_eq!(sent, ["accept: */*", "accept-encoding: identity", &host, &agent]);
    assert_eq!(log[0].headers, log[1].headers);
}

#[test]
fn one_connection_serves_several_requests() {
    let server = TestServer::start();
    server.put("/x", "hello");
    let transport = HttpTransport::new(direct()).unwrap();
    let request = FetchRequest::new(url(&server, "/x"), 5);
    let started = Instant::now();
    for _ in 0..50 {
        read(transport.fetch(&request).unwrap()).unwrap();
    }
    assert_eq!(server.log_of(50).len(), 50);
    assert!(started.elapsed() < Duration::from_secs(10));
}

#[test]
fn statuses_mean_what_the_configuration_says() {
    let server = TestServer::start();
    let request = FetchRequest::new(url(&server, "/x"), 5);
    for status in [400, 401, 403, 410, 500, 503, 204, 300] {
        server.set("/x", Answer::Status(status, b"<html>".to_vec()));
        let error = get(direct(), &request).unwrap_err();
        assert!(matches!(error, FetchError::Status { status: found, .. } if found == status), "{status}: {error:?}");
        assert_eq!(error.is_retryable(), matches!(status, 500 | 503), "{status}");
    }
    server.remove("/x");
    assert!(matches!(get(direct(), &request), Err(FetchError::NotFound { .. })));
    server.set("/x", Answer::Status(403, Vec::new()));
    let s3 = direct().with_missing_status(vec![404, 403]);
    assert!(matches!(get(s3, &request), Err(FetchError::NotFound { .. })));
}

#[test]
fn a_known_copy_is_not_sent_again_and_caches_can_be_passed_by() {
    let server = TestServer::start();
    server.put("/x", "hello");
    let transport = HttpTransport::new(direct()).unwrap();
    let mut request = FetchRequest::new(url(&server, "/x"), 5);
    let Fetched::Body(body) = transport.fetch(&request).unwrap() else { panic!("not modified") };
    assert_eq!((body.etag(), body.length()), (Some(etag_of(b"hello").as_str()), Some(5)));
    request.known_etag = body.etag().map(str::to_owned);
    drop(body);
    assert!(matches!(transport.fetch(&request), Ok(Fetched::NotModified)));
    server.put("/x", "world");
    request.freshness = Freshness::Revalidate;
    assert_eq!(read(transport.fetch(&request).unwrap()).unwrap().1, b"world");
    let log = server.log_of(3);
    assert_eq!(
        log.iter().map(|request| (request.status, request.body_bytes)).collect::<Vec<_>>(),
        [(200, 5), (304, 0), (200, 5)]
    );
    assert_eq!(log[2].headers["cache-control"], "no-cache");
    assert!(!log[1].headers.contains_key("cache-control"));
}

#[test]
fn not_modified_without_a_question_is_refused() {
    let server = TestServer::start();
    server.set("/x", Answer::Status(304, Vec::new()));
    let result = fetcher(direct(), Timeouts::default()).document(&url(&server, "/x"), &document(5));
    assert!(matches!(result, Err(FetchError::Protocol { .. })), "{result:?}");
}

#[test]
fn a_download_goes_on_where_it_stopped_if_the_file_is_the_same() {
    let server = TestServer::start();
    server.put("/x", "0123456789");
    let mut request = FetchRequest::new(url(&server, "/x"), 10);
    request.resume = Some(Resume { offset: 6, etag: Some(etag_of(b"0123456789")) });
    assert_eq!(get(direct(), &request).unwrap(), (6, b"6789".to_vec()));
    request.resume = Some(Resume { offset: 6, etag: Some("\"other\"".into()) });
    assert_eq!(get(direct(), &request).unwrap(), (0, b"0123456789".to_vec()));
    // RFC 9110, 13.1.5: a weak entity tag must not be sent.
    request.resume = Some(Resume { offset: 6, etag: Some("W/\"x\"".into()) });
    assert_eq!(get(direct(), &request).unwrap(), (6, b"6789".to_vec()));
    let log = server.log_of(3);
    assert!(log[0].headers.contains_key("if-range") && !log[2].headers.contains_key("if-range"));
    server.set(
        "/x",
        Answer::Raw(b"HTTP/1.1 206 X\r\ncontent-range: bytes 3-9/10\r\ncontent-length: 7\r\n\r\n3456789".to_vec()),
    );
    let error = get(direct(), &request).unwrap_err();
    assert!(matches!(error, FetchError::Protocol { .. }), "a range that was not asked for: {error:?}");
    request.resume = None;
    assert!(matches!(get(direct(), &request), Err(FetchError::Protocol { .. })), "a part although all was asked for");
}

#[test]
fn three_redirects_are_followed_and_no_more() {
    let server = TestServer::start();
    server.put("/0", "hello");
    for hop in 1..=4 {
        server.set(&format!("/{hop}"), Answer::Redirect([301, 302, 307, 308][hop - 1], format!("{}", hop - 1)));
    }
    let at = |path| FetchRequest::new(url(&server, path), 5);
    assert_eq!(get(direct(), &at("/3")).unwrap().1, b"hello");
    let error = get(direct(), &at("/4")).unwrap_err();
    assert!(matches!(error, FetchError::Redirect { rule, .. } if rule.contains("more than 3")), "{error:?}");
    server.set("/loop", Answer::Redirect(302, "/loop".into()));
    assert!(matches!(get(direct(), &at("/loop")), Err(FetchError::Redirect { .. })));
    assert_eq!(server.log_of(12).len(), 4 + 4 + 4);
}

#[test]
fn redirects_that_lead_astray_are_refused() {
    let server = TestServer::start();
    let secret = "https://user:hunter2@example.com/?token=hunter2";
    for to in ["http://example.com/", "file:///etc/passwd", "ftp://example.com/", secret, "https:///x", "\u{1b}[31m"] {
        server.set("/x", Answer::Redirect(302, to.into()));
        let error = get(direct(), &FetchRequest::new(url(&server, "/x"), 5)).unwrap_err();
        let text = error.to_string();
        // An escape character in a header is already refused by the HTTP parser.
        assert!(matches!(error, FetchError::Redirect { .. } | FetchError::Protocol { .. }), "{to:?}: {error:?}");
        assert!(!text.contains("hunter2") && !text.contains('\u{1b}'), "{text}");
    }
    server.set("/x", Answer::Status(302, Vec::new()));
    let error = get(direct(), &FetchRequest::new(url(&server, "/x"), 5)).unwrap_err();
    assert!(matches!(error, FetchError::Redirect { rule, .. } if rule.contains("Location")), "{error:?}");
}

#[test]
fn credentials_stay_with_the_origin_they_were_given_for() {
    let (home, other) = (TestServer::start(), TestServer::start());
    home.require_header("authorization", "Basic bWU6cMOkc3M=");
    home.set("/away", Answer::Redirect(302, other.url("/x")));
    home.put("/x", "hello");
    other.put("/x", "hello");
    other.set("/back", Answer::Redirect(302, home.url("/x")));
    let origin = url(&home, "/").origin();
    let options = || {
        let options = direct().with_basic_auth(origin.clone(), "me", "päss").unwrap();
        options.with_header(origin.clone(), "X-Token", "hunter2").unwrap()
    };
    assert_eq!(get(options(), &FetchRequest::new(url(&home, "/away"), 5)).unwrap().1, b"hello");
    assert_eq!(get(options(), &FetchRequest::new(url(&other, "/back"), 5)).unwrap().1, b"hello");
    assert!(home.log_of(2).iter().all(|request| request.headers["x-token"] == "hunter2"));
    for request in other.log_of(2) {
        assert!(
            !request.headers.contains_key("x-token") && !request.headers.contains_key("authorization"),
            "{request:?}"
        );
    }
    let without = get(direct(), &FetchRequest::new(url(&home, "/x"), 5)).unwrap_err();
    assert!(matches!(without, FetchError::Status { status: 401, .. }));
    assert!(without.hint().contains("credentials"));
}

#[test]
fn endless_and_too_long_bodies_are_cut_off() {
    let server = TestServer::start();
    server.set("/endless", Answer::Endless);
    let error = get(direct(), &FetchRequest::new(url(&server, "/endless"), 100_000)).unwrap_err();
    assert!(matches!(error, FetchError::TooLarge { limit: 100_000, .. }), "{error:?}");
    // The kernel's buffers take some megabytes before the server notices.
    assert!(server.log_of(1)[0].body_bytes < MOST_BYTES, "read far more than the limit");
    server.put("/x", vec![0; 101]);
    let transport = HttpTransport::new(direct()).unwrap();
    let early = transport.fetch(&FetchRequest::new(url(&server, "/x"), 100));
    assert!(matches!(early, Err(FetchError::TooLarge { limit: 100, .. })), "the announced length is enough: {early:?}");
    let headers = "x".repeat(40_000);
    server.set("/x", Answer::WithHeaders(vec![("x-long".into(), headers)], Vec::new()));
    let error = get(direct(), &FetchRequest::new(url(&server, "/x"), 100)).unwrap_err();
    assert!(matches!(error, FetchError::Protocol { .. }), "{error:?}");
}

#[test]
fn a_compressed_answer_that_nobody_asked_for_stays_compressed() {
    let server = TestServer::start();
    let headers = vec![("content-encoding".to_owned(), "gzip".to_owned())];
    server.set("/x", Answer::WithHeaders(headers, b"not really gzip".to_vec()));
    assert_eq!(get(direct(), &FetchRequest::new(url(&server, "/x"), 100)).unwrap().1, b"not really gzip");
}

#[test]
fn a_body_that_breaks_off_is_not_a_short_body() {
    let server = TestServer::start();
    server.set("/x", Answer::Cut(b"0123456789".to_vec(), 4));
    let error = get(direct(), &FetchRequest::new(url(&server, "/x"), 10)).unwrap_err();
    assert!(matches!(error, FetchError::Interrupted { received: 4, .. }), "{error:?}");
    assert!(error.is_retryable());
    server.set("/x", Answer::Raw(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\n0123\r\n".to_vec()));
    let error = get(direct(), &FetchRequest::new(url(&server, "/x"), 10)).unwrap_err();
    assert!(matches!(error, FetchError::Interrupted { received: 4, .. }), "{error:?}");
}

#[test]
fn answers_that_are_not_http_are_refused() {
    let server = TestServer::start();
    for raw in ["SSH-2.0-OpenSSH_9.6\r\n", "HTTP/1.1 abc\r\n\r\n", "HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\nx"] {
        server.set("/x", Answer::Raw(raw.into()));
        let error = get(direct(), &FetchRequest::new(url(&server, "/x"), 10)).unwrap_err();
        assert!(matches!(error, FetchError::Protocol { .. }), "{raw:?}: {error:?}");
    }
    server.set("/x", Answer::Raw(Vec::new()));
    let error = get(direct(), &FetchRequest::new(url(&server, "/x"), 10)).unwrap_err();
    assert!(matches!(error, FetchError::Interrupted { .. }), "{error:?}");
}

#[test]
fn a_metadata_file_has_a_deadline_however_steadily_it_drips() {
    let server = TestServer::start();
    server.set("/x", Answer::Drip(vec![b' '; 1000], 1, Duration::from_millis(50)));
    let timeouts = Timeouts { document: Duration::from_millis(400), ..Timeouts::default() };
    let started = Instant::now();
    let error = fetcher(direct(), timeouts).document(&url(&server, "/x"), &document(1000)).unwrap_err();
    assert!(matches!(error, FetchError::Timeout { what: TimedOut::Total, .. }), "{error:?}");
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
}

#[test]
fn the_headers_of_a_download_have_a_deadline_however_steadily_they_drip() {
    let server = TestServer::start();
    let head = format!("HTTP/1.1 200 OK\r\nx-padding: {}", "a".repeat(1000));
    server.set("/x", Answer::RawDrip(head.into_bytes(), 1, Duration::from_millis(20)));
    let folder = tempfile::tempdir().unwrap();
    let artifact = Artifact { name: "x".parse().unwrap(), length: 10, sha256: Sha256::of(b"0123456789") };
    let limit = Duration::from_millis(400);
    let fetch = |path: &str, timeouts: Timeouts| {
        let fetcher = fetcher(direct(), timeouts).with_retry(once());
        download(&fetcher, folder.path(), &artifact, &[url(&server, path)], &mut |_| {}).map(drop)
    };
    let started = Instant::now();
    let error = fetch("/x", Timeouts { headers: limit, ..Timeouts::default() }).unwrap_err();
    assert!(matches!(error, DownloadError::Fetch(FetchError::Timeout { what: TimedOut::Headers, .. })), "{error:?}");
    assert!(started.elapsed() >= limit && started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    // The limit is for the headers: a body may take longer than that.
    server.set("/slow", Answer::Drip(b"0123456789".to_vec(), 1, Duration::from_millis(100)));
    fetch("/slow", Timeouts { headers: limit, ..Timeouts::default() }).unwrap();
}

#[test]
fn bytes_that_are_not_of_the_body_do_not_keep_a_download_alive() {
    let server = TestServer::start();
    let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    let padding = "a".repeat(1000);
    server.set("/extension", Answer::RawDrip(format!("{head}a;{padding}").into(), 40, Duration::from_millis(20)));
    let trailers = format!("{head}a\r\n0123456789\r\n0\r\nx-trailer: {padding}");
    server.set("/trailers", Answer::RawDrip(trailers.into(), 60, Duration::from_millis(50)));
    for path in ["/extension", "/trailers"] {
        let mut request = FetchRequest::new(url(&server, path), 1000);
        request.body_idle = Duration::from_millis(300);
        let started = Instant::now();
        let error = get(direct(), &request).unwrap_err();
        let FetchError::Timeout { what: TimedOut::Idle, limit, .. } = error else { panic!("{path}: {error:?}") };
        assert_eq!(limit, request.body_idle, "{path}");
        assert!(started.elapsed() < Duration::from_secs(5), "{path}: {:?}", started.elapsed());
    }
}

#[test]
fn silence_is_waited_out_once_for_headers_and_between_bytes() {
    let server = TestServer::start();
    server.set("/silent", Answer::Silence);
    server.set("/stalls", Answer::Drip(vec![b' '; 10], 5, Duration::from_secs(20)));
    for path in ["/silent", "/stalls"] {
        let mut request = FetchRequest::new(url(&server, path), 1000);
        request.idle = Duration::from_millis(300);
        let started = Instant::now();
        let error = get(direct(), &request).unwrap_err();
        assert!(matches!(error, FetchError::Timeout { what: TimedOut::Idle, .. }), "{path}: {error:?}");
        assert!(started.elapsed() < Duration::from_secs(5), "{path}: {:?}", started.elapsed());
    }
}

#[test]
fn cancelling_ends_a_wait_for_headers_and_a_wait_for_bytes() {
    let server = TestServer::start();
    server.set("/silent", Answer::Silence);
    server.set("/stalls", Answer::Drip(vec![b' '; 10], 5, Duration::from_secs(20)));
    for path in ["/silent", "/stalls"] {
        let request = FetchRequest::new(url(&server, path), 1000);
        let cancel = request.cancel.clone();
        let thread = std::thread::spawn(move || get(direct(), &request));
        std::thread::sleep(Duration::from_millis(150));
        let cancelled = Instant::now();
        cancel.cancel();
        let error = thread.join().unwrap().unwrap_err();
        assert!(matches!(error, FetchError::Cancelled), "{path}: {error:?}");
        assert!(cancelled.elapsed() < Duration::from_secs(2), "{path}: {:?}", cancelled.elapsed());
    }
}

#[test]
fn cancelling_ends_a_wait_for_the_rate_limit() {
    let server = TestServer::start();
    server.set("/x", Answer::Endless);
    let cancel = CancelToken::new();
    let rate = RateLimit::new(NonZeroU64::new(100).unwrap());
    let fetcher = fetcher(direct(), Timeouts::default()).with_rate_limit(Some(rate)).with_cancel(cancel.clone());
    let target = url(&server, "/x");
    let thread = std::thread::spawn(move || fetcher.document(&target, &document(1_000_000)));
    std::thread::sleep(Duration::from_millis(100));
    cancel.cancel();
    assert!(matches!(thread.join().unwrap(), Err(FetchError::Cancelled)));
}

#[test]
fn a_rate_limit_holds_over_several_files() {
    let server = TestServer::start();
    server.put("/x", vec![7; 20_000]);
    let rate = RateLimit::new(NonZeroU64::new(50_000).unwrap());
    let fetcher = fetcher(direct(), Timeouts::default()).with_rate_limit(Some(rate));
    let started = Instant::now();
    for _ in 0..2 {
        fetcher.document(&url(&server, "/x"), &document(20_000)).unwrap();
    }
    let took = started.elapsed();
    assert!(took >= Duration::from_millis(780), "40,000 bytes at 50,000 a second took {took:?}");
    assert!(took < Duration::from_secs(20), "{took:?}");
}

#[test]
fn nobody_there_is_offline_and_not_missing() {
    let gone = TestServer::start();
    let target = url(&gone, "/x");
    drop(gone);
    let error = get(direct(), &FetchRequest::new(target, 5)).unwrap_err();
    assert!(matches!(error, FetchError::Connect { .. }) && error.is_offline() && error.is_retryable(), "{error:?}");
    let unknown = FetchRequest::new(Url::parse("https://host.invalid/x").unwrap(), 5);
    let error = get(direct(), &unknown).unwrap_err();
    assert!(matches!(error, FetchError::Connect { .. }) && error.is_offline(), "{error:?}");
}

#[test]
fn connecting_has_a_limit_of_its_own() {
    // The system accepts the connection, and nobody ever answers the TLS handshake.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let target = Url::parse(&format!("https://localhost:{}/x", listener.local_addr().unwrap().port())).unwrap();
    let options = direct().with_connect_timeout(Duration::from_millis(300));
    let started = Instant::now();
    let error = get(options, &FetchRequest::new(target, 5)).unwrap_err();
    assert!(matches!(error, FetchError::Timeout { what: TimedOut::Connect, .. }), "{error:?}");
    assert!(error.is_offline() && started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
}

#[test]
fn an_explicit_proxy_is_used_for_everything() {
    let server = TestServer::start();
    server.put("/x", "hello");
    let proxy = TestProxy::start(server.address());
    let through = |userinfo: &str| {
        HttpOptions::default().with_proxy(ProxyChoice::Through(format!("http://{userinfo}{}", proxy.address())))
    };
    let request = FetchRequest::new(url(&server, "/x"), 5);
    assert_eq!(get(through(""), &request).unwrap().1, b"hello");
    assert_eq!(get(through("me:hunter2@"), &request).unwrap().1, b"hello");
    let heads = proxy.heads();
    assert!(heads[0].starts_with(&format!("CONNECT {} HTTP/1.1\r\n", server.address())), "{heads:?}");
    assert!(!heads[0].contains("Proxy-Authorization"), "{heads:?}");
    assert!(heads[1].contains("Proxy-Authorization: Basic bWU6aHVudGVyMg=="), "{heads:?}");
    assert!(server.log_of(2).iter().all(|request| !request.headers.contains_key("proxy-authorization")));
    let dead = TestProxy::start(server.address());
    let dead_url = format!("http://{}", dead.address());
    drop(dead);
    let error = get(HttpOptions::default().with_proxy(ProxyChoice::Through(dead_url)), &request).unwrap_err();
    assert!(matches!(error, FetchError::Connect { .. }), "a dead proxy is not passed by: {error:?}");
    let wrong = HttpTransport::new(HttpOptions::default().with_proxy(ProxyChoice::Through("gopher://x".into())));
    assert!(matches!(wrong, Err(FetchError::Option { option: "proxy", .. })));
}

#[test]
fn the_environment_names_a_proxy_but_not_for_loopback() {
    let server = TestServer::start();
    server.put("/x", "hello");
    let proxy = TestProxy::start(server.address());
    // Setting a variable of this process would race with the other tests: a child runs the test below.
    let child = |no_proxy: &str| {
        let output = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--ignored", "--exact", "child_that_obeys_its_environment", "--nocapture"])
            .env_remove("https_proxy")
            .env("HTTPS_PROXY", format!("http://{}", proxy.address()))
            .env("NO_PROXY", no_proxy)
            .env("no_proxy", no_proxy)
            .env("CHILD_URL", server.url("/x"))
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    };
    child("");
    let heads = proxy.heads();
    assert_eq!(heads.len(), 1, "{heads:?}");
    assert!(heads[0].starts_with("CONNECT updates.invalid:443 "), "{heads:?}");
    child("example.com,.invalid");
    assert_eq!(proxy.heads().len(), 1, "an exempt host went through the proxy");
    assert_eq!(server.log().iter().filter(|request| request.target == "/x").count(), 2);
}

#[test]
#[ignore = "run by the test above with an environment of its own"]
fn child_that_obeys_its_environment() {
    let loopback = Url::parse(&std::env::var("CHILD_URL").unwrap()).unwrap();
    assert_eq!(get(HttpOptions::default(), &FetchRequest::new(loopback, 5)).unwrap().1, b"hello");
    // What is behind the proxy speaks no TLS, so this fails in any case; which way it went is in the proxy's log.
    let remote = FetchRequest::new(Url::parse("https://updates.invalid/x").unwrap(), 5);
    assert!(get(HttpOptions::default(), &remote).is_err());
}

#[test]
fn certificates_are_checked_against_the_chosen_authorities() {
    let folder = tempfile::tempdir().unwrap();
    let Some(authority) = PrivateAuthority::make(folder.path()) else {
        return;
    };
    let server = TestServer::start_tls(&authority.chain, &authority.key);
    server.put("/x", "hello");
    let request = FetchRequest::new(url(&server, "/x"), 5);
    assert!(server.url("/x").starts_with("https://"));
    let private = || direct().with_roots(Roots::Only(authority.root.clone()));
    assert_eq!(get(private(), &request).unwrap().1, b"hello");
    let error = get(direct(), &request).unwrap_err();
    assert!(matches!(error, FetchError::Tls { .. }) && !error.is_retryable(), "{error:?}");
    assert!(error.hint().contains("ca-certificates"), "{}", error.hint());
    let address = Url::parse(&server.url("/x").replace("localhost", "127.0.0.1")).unwrap();
    let error = get(private(), &FetchRequest::new(address, 5)).unwrap_err();
    assert!(matches!(error, FetchError::Tls { .. }), "a certificate for another name: {error:?}");

    // Encryption is not given up on the way, not even for this computer.
    let plain = TestServer::start();
    plain.put("/x", "hello");
    server.set("/down", Answer::Redirect(302, plain.url("/x")));
    let error = get(private(), &FetchRequest::new(url(&server, "/down"), 5)).unwrap_err();
    assert!(matches!(error, FetchError::Redirect { rule, .. } if rule.contains("given up")), "{error:?}");
    assert!(plain.log().is_empty());

    // A body over TLS obeys the token too.
    server.set("/stalls", Answer::Drip(vec![b' '; 10], 5, Duration::from_secs(20)));
    let request = FetchRequest::new(url(&server, "/stalls"), 10);
    let (cancel, options) = (request.cancel.clone(), private());
    let thread = std::thread::spawn(move || get(options, &request));
    std::thread::sleep(Duration::from_millis(200));
    let cancelled = Instant::now();
    cancel.cancel();
    assert!(matches!(thread.join().unwrap(), Err(FetchError::Cancelled)));
    assert!(cancelled.elapsed() < Duration::from_secs(2), "{:?}", cancelled.elapsed());
}

#[test]
fn schemes_go_to_their_transports() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("x"), "hello").unwrap();
    let file = FetchRequest::new(Url::from_path(&folder.path().join("x")).unwrap(), 5);
    let server = TestServer::start();
    server.put("/x", "world");
    let network = FetchRequest::new(url(&server, "/x"), 5);
    let both = SchemeTransport::new(Some(Box::new(HttpTransport::new(direct()).unwrap())));
    assert_eq!(read(both.fetch(&file).unwrap()).unwrap().1, b"hello");
    assert_eq!(read(both.fetch(&network).unwrap()).unwrap().1, b"world");
    let local = SchemeTransport::new(None);
    assert_eq!(read(local.fetch(&file).unwrap()).unwrap().1, b"hello");
    assert!(matches!(local.fetch(&network), Err(FetchError::Url { .. })));
    assert!(matches!(HttpTransport::new(direct()).unwrap().fetch(&file), Err(FetchError::Url { .. })));
}

#[test]
fn documents_are_read_whole_and_bounded() {
    let server = TestServer::start();
    let mirror = Mirror::parse(&server.url("/repo")).unwrap();
    server.put("/repo/metadata/timestamp.json", "{}");
    let fetcher = fetcher(direct(), Timeouts::default());
    let target = mirror.metadata_url("timestamp.json");
    let got = fetcher.document(&target, &document(2)).unwrap();
    let etag = Some(etag_of(b"{}"));
    assert_eq!(got, Document::Bytes { bytes: b"{}".to_vec(), etag: etag.clone() });
    assert!(matches!(fetcher.document(&target, &document(1)), Err(FetchError::TooLarge { limit: 1, .. })));
    let known = DocumentRequest { known_etag: etag, ..document(2) };
    assert_eq!(fetcher.document(&target, &known).unwrap(), Document::NotModified);
}

/// A certificate authority made on the spot by the `openssl` command, and a certificate of it for `localhost`.
struct PrivateAuthority {
    root: Vec<u8>,
    chain: Vec<u8>,
    key: Vec<u8>,
}

impl PrivateAuthority {
    fn make(folder: &std::path::Path) -> Option<Self> {
        if !updater_tests::require::command("openssl", "apt-get install openssl") {
            return None;
        }
        let run = |arguments: &str| {
            let mut openssl = std::process::Command::new("openssl");
            let output = openssl.args(arguments.split(' ')).current_dir(folder).output().unwrap();
            assert!(output.status.success(), "{arguments}: {}", String::from_utf8_lossy(&output.stderr));
        };
        let new_key = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";
        let ca = "-addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign";
        run(&format!("req -x509 {new_key} -keyout ca.key -out ca.pem -days 2 -subj /CN=test-authority {ca}"));
        run(&format!("req {new_key} -keyout server.key -out server.csr -subj /CN=localhost"));
        std::fs::write(folder.join("server.ext"), "subjectAltName=DNS:localhost\nbasicConstraints=CA:FALSE\n").unwrap();
        let signing = "-CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile server.ext";
        run(&format!("x509 -req -in server.csr -out server.pem {signing}"));
        let read = |name: &str| std::fs::read(folder.join(name)).unwrap();
        Some(Self { root: read("ca.pem"), chain: read("server.pem"), key: read("server.key") })
    }
}
