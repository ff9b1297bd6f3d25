//! The server as a client on the wire sees it.

use super::*;

/// Sends one request and returns status, headers (lower case) and body.
fn ask(server: &Server, request: &str) -> (u16, String, Vec<u8>) {
    let mut stream = TcpStream::connect(server.address()).unwrap();
    stream.write_all(request.replace('\n', "\r\n").as_bytes()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n").unwrap();
    let head = String::from_utf8(answer[..end].to_vec()).unwrap().to_lowercase();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), head, answer[end + 4..].to_vec())
}

fn get(server: &Server, path: &str, headers: &str) -> (u16, String, Vec<u8>) {
    ask(server, &format!("GET {path} HTTP/1.1\nHost: x\n{headers}\n"))
}

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("metadata")).unwrap();
    std::fs::write(folder.path().join("metadata/1.root.json"), "0123456789").unwrap();
    std::fs::write(folder.path().join(".lock"), "hidden").unwrap();
    folder
}

#[test]
fn whole_files_parts_and_heads() {
    let folder = folder();
    let server = Server::start(folder.path()).unwrap();
    let (status, head, body) = get(&server, "/metadata/1.root.json", "");
    assert_eq!((status, body.as_slice()), (200, b"0123456789".as_slice()));
    assert!(head.contains("accept-ranges: bytes") && head.contains("immutable"), "{head}");

    let (status, head, body) = get(&server, "/metadata/1.root.json", "Range: bytes=3-5\n");
    assert_eq!((status, body.as_slice()), (206, b"345".as_slice()));
    assert!(head.contains("content-range: bytes 3-5/10"), "{head}");
    let (status, head, _) = get(&server, "/metadata/1.root.json", "Range: bytes=10-\n");
    assert!(status == 416 && head.contains("content-range: bytes */10"), "{head}");

    let (status, head, body) = ask(&server, "HEAD /metadata/1.root.json HTTP/1.1\n\n");
    assert!(status == 200 && body.is_empty() && head.contains("content-length: 10"), "{head}");
    let (status, head, _) = ask(&server, "POST / HTTP/1.1\n\n");
    assert!(status == 405 && head.contains("allow: get, head"), "{head}");

    let log: Vec<_> = server.requests().into_iter().map(|r| (r.method, r.status, r.body_bytes, r.range)).collect();
    let row =
        |method: &str, status, bytes, range: Option<&str>| (method.to_owned(), status, bytes, range.map(str::to_owned));
    assert_eq!(log[0], row("GET", 200, 10, None));
    assert_eq!(log[1], row("GET", 206, 3, Some("bytes=3-5")));
    assert_eq!(log[3], row("HEAD", 200, 0, None));
}

#[test]
fn a_tag_saves_the_body_and_guards_the_range() {
    let folder = folder();
    let server = Server::start(folder.path()).unwrap();
    let (_, head, _) = get(&server, "/metadata/1.root.json", "");
    let tag = head.lines().find_map(|line| line.strip_prefix("etag: ")).unwrap().to_owned();
    let (status, _, body) = get(&server, "/metadata/1.root.json", &format!("If-None-Match: {tag}\n"));
    assert_eq!((status, body.len()), (304, 0));
    let (status, ..) = get(&server, "/metadata/1.root.json", &format!("Range: bytes=1-\nIf-Range: {tag}\n"));
    assert_eq!(status, 206);

    std::fs::write(folder.path().join("metadata/1.root.json"), "abcdefghijk").unwrap();
    let (status, _, body) = get(&server, "/metadata/1.root.json", &format!("Range: bytes=1-\nIf-Range: {tag}\n"));
    assert_eq!((status, body.len()), (200, 11));
    let (status, ..) = get(&server, "/metadata/1.root.json", &format!("If-None-Match: {tag}\n"));
    assert_eq!(status, 200);
}

#[test]
fn nothing_outside_the_folder_is_served() {
    let outside = tempfile::tempdir().unwrap();
    std::fs::write(outside.path().join("secret"), "secret").unwrap();
    let folder = folder();
    #[cfg(unix)]
    std::os::unix::fs::symlink(outside.path().join("secret"), folder.path().join("link")).unwrap();
    let server = Server::start(folder.path()).unwrap();
    let name = outside.path().file_name().unwrap().to_str().unwrap().to_owned();
    for path in [
        format!("/../{name}/secret"),
        format!("/%2e%2e/{name}/secret"),
        format!("/..%2f{name}/secret"),
        format!("/..\\{name}\\secret"),
        "/link".to_owned(),
        "/.lock".to_owned(),
        "/metadata".to_owned(),
        "/".to_owned(),
        "/%00".to_owned(),
    ] {
        let (status, _, body) = get(&server, &path, "");
        assert_eq!(status, 404, "{path}");
        assert!(body.len() <= 16, "a small body keeps checks cheap");
    }
}

#[test]
fn more_clients_than_workers_are_all_answered_and_stopping_does_not_wait_for_a_silent_one() {
    let folder = folder();
    let server = Server::start(folder.path()).unwrap();
    let silent = TcpStream::connect(server.address()).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..3 * WORKERS {
            scope.spawn(|| assert_eq!(get(&server, "/metadata/1.root.json", "").0, 200));
        }
    });
    assert_eq!(server.requests().len(), 3 * WORKERS);
    let before = std::time::Instant::now();
    drop(server);
    assert!(before.elapsed() < READ_TIMEOUT / 2);
    drop(silent);
}

#[test]
fn a_folder_that_is_none_is_refused() {
    let missing = Path::new("/nonexistent/folder");
    assert!(matches!(Server::start(missing), Err(ServeError::NoFolder { .. })));
    let folder = folder();
    let taken = Server::start(folder.path()).unwrap();
    let second = Server::start_at(folder.path(), taken.address(), None);
    assert!(matches!(second, Err(ServeError::Listen { .. })));
}
