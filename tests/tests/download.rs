//! Downloads against a real server on the loopback interface: what breaks off, lies, or never ends.

#![expect(clippy::unwrap_used, reason = "helpers of tests may fail like a test")]

use std::cell::RefCell;
use std::io::Read as _;
use std::num::NonZeroU64;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use updater_format::release::Artifact;
use updater_format::{Sha256, TargetName};
use updater_runtime::CancelToken;
use updater_runtime::download::{DownloadError, Progress, VerifiedFile, download};
use updater_runtime::transport::{
    FetchError, Fetcher, HttpOptions, HttpTransport, ProxyChoice, RateLimit, Retry, TimedOut, Timeouts, Url,
};
use updater_tests::peers::Peer;
use updater_tests::proxy::{Breakage, FaultyRelay};
use updater_tests::server::{Answer, MOST_BYTES, TestServer, etag_of};

/// Some bytes that do not repeat, so that a part in the wrong place is a wrong part.
fn content(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    })
    .flatten()
    .take(length)
    .collect()
}

fn artifact(content: &[u8]) -> Artifact {
    let name = TargetName::parse("hello-1.0.0.tar.xz").unwrap();
    Artifact { name, length: content.len() as u64, sha256: Sha256::of(content) }
}

fn fetcher() -> Fetcher {
    let transport = HttpTransport::new(HttpOptions::default().with_proxy(ProxyChoice::Direct)).unwrap();
    let pause = Duration::from_millis(1);
    Fetcher::new(Arc::new(transport)).with_retry(Retry { rounds: 3, pause, longest_pause: pause })
}

fn url(server: &TestServer, path: &str) -> Url {
    Url::parse(&server.url(path)).unwrap()
}

fn run(folder: &Path, artifact: &Artifact, mirrors: &[Url]) -> Result<VerifiedFile, DownloadError> {
    download(&fetcher(), folder, artifact, mirrors, &mut |_| {})
}

fn bytes(mut file: VerifiedFile) -> Vec<u8> {
    let mut bytes = Vec::new();
    file.reader().unwrap().read_to_end(&mut bytes).unwrap();
    bytes
}

#[test]
fn a_file_arrives_with_progress_and_leaves_nothing_behind() {
    let (server, folder) = (TestServer::start(), tempfile::tempdir().unwrap());
    let content = content(300_000);
    server.put("/x", content.clone());
    let seen = RefCell::new(Vec::new());
    let note = &mut |progress: Progress| seen.borrow_mut().push(progress);
    let file = download(&fetcher(), folder.path(), &artifact(&content), &[url(&server, "/x")], note).unwrap();
    assert_eq!((file.length(), file.sha256()), (300_000, Sha256::of(&content)));
    let seen = seen.into_inner();
    assert!(seen.windows(2).all(|pair| pair[0].bytes <= pair[1].bytes) && seen.len() > 3, "{seen:?}");
    assert_eq!(seen.last(), Some(&Progress { bytes: 300_000, total: 300_000 }));
    // Each reader begins at the start.
    let mut file = file;
    let mut first = [0; 100];
    file.reader().unwrap().read_exact(&mut first).unwrap();
    assert_eq!(first, content[..100]);
    let mut whole = Vec::new();
    file.reader().unwrap().read_to_end(&mut whole).unwrap();
    assert_eq!(whole, content);
    file.discard();
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn the_handle_stays_the_file_that_was_checked() {
    let (server, folder) = (TestServer::start(), tempfile::tempdir().unwrap());
    let content = content(1000);
    server.put("/x", content.clone());
    let file = run(folder.path(), &artifact(&content), &[url(&server, "/x")]).unwrap();
    let part = folder.path().join(format!("{}.part", Sha256::of(&content)));
    std::fs::remove_file(&part).unwrap();
    std::fs::write(&part, "another file under the same name").unwrap();
    assert_eq!(bytes(file), content);
}

#[test]
fn a_broken_download_goes_on_in_the_same_run() {
    let (server, folder) = (TestServer::start(), tempfile::tempdir().unwrap());
    let content = content(1_000_000);
    server.put("/x", content.clone());
    // Each answer brings real progress, so that more of them may break than there are rounds.
    for _ in 0..5 {
        server.once("/x", Answer::Cut(content.clone(), 150_000));
    }
    assert_eq!(bytes(run(folder.path(), &artifact(&content), &[url(&server, "/x")]).unwrap()), content);
    let log = server.log_of(6);
    let ranges: Vec<_> = log.iter().map(|request| request.headers.get("range").map(String::as_str)).collect();
    assert_eq!(ranges[..2], [None, Some("bytes=150000-")]);
    assert_eq!(log[1].headers["if-range"], etag_of(&content));
    assert_eq!(log.iter().map(|request| request.body_bytes).sum::<usize>(), 1_000_000, "a byte was sent twice");
}

/// nginx packs what it may and cuts nothing off by itself: a relay before it does.
#[test]
fn a_broken_download_from_nginx_goes_on_by_its_ranges() {
    let text = "root FOLDER/www; access_log FOLDER/access.log; gzip on; gzip_types *; gzip_min_length 1;";
    let Some(peer) = Peer::nginx(text) else { return };
    let (folder, content) = (tempfile::tempdir().unwrap(), content(1_000_000));
    std::fs::create_dir(peer.folder().join("www")).unwrap();
    std::fs::write(peer.folder().join("www/x"), &content).unwrap();
    let mut connections = 0;
    let relay = FaultyRelay::start(([127, 0, 0, 1], peer.port()).into(), move || {
        connections += 1;
        if connections < 3 { Breakage::Cut(200_000) } else { Breakage::None }
    });
    let url = Url::parse(&format!("http://{}/x", relay.address())).unwrap();
    assert_eq!(bytes(run(folder.path(), &artifact(&content), &[url]).unwrap()), content);
    let log = std::fs::read_to_string(peer.folder().join("access.log")).unwrap();
    let statuses: Vec<&str> = log.lines().filter_map(|line| line.split(' ').nth(8)).collect();
    assert_eq!(statuses, ["200", "206", "206"], "{log}");
}

#[test]
fn a_server_that_always_hangs_up_is_given_up() {
    let (server, folder) = (TestServer::start(), tempfile::tempdir().unwrap());
    let content = content(1_000_000);
    server.set("/x", Answer::Cut(content.clone(), 10));
    let error = run(folder.path(), &artifact(&content), &[url(&server, "/x")]).unwrap_err();
    assert!(matches!(error, DownloadError::Fetch(FetchError::Interrupted { .. })), "{error:?}");
    assert_eq!(server.log_of(3).len(), 3);
}

#[test]
fn a_later_run_goes_on_and_a_finished_one_asks_nothing() {
    let (server, folder) = (TestServer::start(), tempfile::tempdir().unwrap());
    let content = content(500_000);
    let (artifact, mirrors) = (artifact(&content), [url(&server, "/x")]);
    server.set("/x", Answer::Cut(content.clone(), 100_000));
    let once = fetcher().with_retry(Retry { rounds: 1, ..Retry::default() });
    server.once("/x", Answer::Cut(content.clone(), 20_000));
    assert!(download(&once, folder.path(), &artifact, &mirrors, &mut |_| {}).is_err());
    server.log_of(1);
    server.take_log();
    server.put("/x", content.clone());
    let first = std::cell::Cell::new(None);
    let mut note = |progress: Progress| first.set(first.get().or(Some(progress.bytes)));
    let file = download(&fetcher(), folder.path(), &artifact, &mirrors, &mut note).unwrap();
    assert!(first.get().unwrap() > 20_000, "progress begins where it stopped");
    drop(file);
    server.log_of(1);
    let log = server.take_log();
    assert_eq!((log.len(), log[0].status, log[0].body_bytes), (1, 206, 480_000));
    assert_eq!(bytes(run(folder.path(), &artifact, &mirrors).unwrap()), content);
    assert!(server.log().is_empty(), "a complete file was fetched again");
}

#[test]
fn what_was_altered_on_disk_is_fetched_anew() {
    let (server, folder) = (TestServer::start(), tempfile::tempdir().unwrap());
    let content = content(200_000);
    let artifact = artifact(&content);
    server.put("/x", content.clone());
    let part = folder.path().join(format!("{}.part", artifact.sha256));
    for (planted, answers) in
        [(vec![0; 1000], vec![206, 200]), (vec![0; 200_000], vec![200]), (vec![0; 200_001], vec![200])]
    {
        std::fs::write(&part, planted).unwrap();
        assert_eq!(bytes(run(folder.path(), &artifact, &[url(&server, "/x")]).unwrap()), content);
        server.log_of(answers.len());
        assert_eq!(server.take_log().iter().map(|request| request.status).collect::<Vec<_>>(), answers);
        std::fs::remove_file(&part).unwrap();
    }
}

#[test]
fn a_file_that_changed_on_the_server_is_fetched_anew() {
    let (server, folder) = (TestServer::start(), tempfile::tempdir().unwrap());
    let (old, new) = (vec![1; 200_000], content(200_000));
    let artifact = artifact(&new);
    server.once("/x", Answer::Cut(old, 90_000));
    server.put("/x", new.clone());
    // The entity tag differs, so the server sends all of it.
    assert_eq!(bytes(run(folder.path(), &artifact, &[url(&server, "/x")]).unwrap()), new);
    assert_eq!(server.log_of(2).iter().map(|request| request.status).collect::<Vec<_>>(), [200, 200]);
}

#[test]
fn a_server_without_ranges_is_no_obstacle() {
    let (server, folder) = (TestServer::start(), tempfile::tempdir().unwrap());
    let content = content(200_000);
    server.once("/x", Answer::Cut(content.clone(), 90_000));
    server.set("/x", Answer::Plain(content.clone()));
    assert_eq!(bytes(run(folder.path(), &artifact(&content), &[url(&server, "/x")]).unwrap()), content);
}

#[test]
fn every_kind_of_failure_leads_on_to_the_next_mirror() {
    let content = content(200_000);
    let mut altered = content.clone();
    altered[150_000] ^= 1;
    let mut longer = content.clone();
    longer.push(0);
    let pieces = |bytes: &[u8]| Answer::Drip(bytes.to_vec(), 64 * 1024, Duration::ZERO);
    let page = b"\n<!DOCTYPE html><html>log in</html>".to_vec();
    type Check = fn(&DownloadError) -> bool;
    let cases: [(&str, Answer, Check); 12] = [
        ("altered", Answer::File(altered), |e| matches!(e, DownloadError::WrongDigest { .. })),
        ("short", Answer::File(content[..1000].to_vec()), |e| matches!(e, DownloadError::TooShort { found: 1000, .. })),
        ("short, unannounced", pieces(&content[..1000]), |e| matches!(e, DownloadError::TooShort { found: 1000, .. })),
        ("empty", Answer::File(Vec::new()), |e| matches!(e, DownloadError::TooShort { found: 0, .. })),
        ("long", Answer::File(longer.clone()), |e| matches!(e, DownloadError::TooLong { expected: 200_000, .. })),
        ("long, unannounced", pieces(&longer), |e| matches!(e, DownloadError::TooLong { expected: 200_000, .. })),
        ("endless", Answer::Endless, |e| matches!(e, DownloadError::TooLong { .. })),
        ("web page", Answer::Plain(page), |e| matches!(e, DownloadError::WebPage { .. })),
        ("absent", Answer::Status(404, Vec::new()), |e| matches!(e, DownloadError::Fetch(FetchError::NotFound { .. }))),
        ("forbidden", Answer::Status(403, Vec::new()), |e| {
            matches!(e, DownloadError::Fetch(FetchError::Status { status: 403, .. }))
        }),
        ("broken", Answer::Status(500, Vec::new()), |e| {
            matches!(e, DownloadError::Fetch(FetchError::Status { status: 500, .. }))
        }),
        ("hung up", Answer::Raw(Vec::new()), |e| matches!(e, DownloadError::Fetch(FetchError::Interrupted { .. }))),
    ];
    for (name, answer, expected) in cases {
        let (bad, good, folder) = (TestServer::start(), TestServer::start(), tempfile::tempdir().unwrap());
        bad.set("/x", answer);
        good.put("/x", content.clone());
        let artifact = artifact(&content);
        let error = run(folder.path(), &artifact, &[url(&bad, "/x")]).unwrap_err();
        assert!(expected(&error), "{name}: {error:?}");
        assert!(!error.hint().is_empty() && !error.code().is_empty());
        let file = run(folder.path(), &artifact, &[url(&bad, "/x"), url(&good, "/x")]);
        assert_eq!(bytes(file.unwrap()), content, "{name}");
        assert!(bad.log().iter().all(|request| request.body_bytes < MOST_BYTES), "{name}: read without end");
    }
}

#[test]
fn the_first_mirror_is_enough_when_it_is_right() {
    let (first, second, folder) = (TestServer::start(), TestServer::start(), tempfile::tempdir().unwrap());
    let content = content(1000);
    first.put("/x", content.clone());
    second.put("/x", content.clone());
    let mirrors = [url(&first, "/x"), url(&second, "/x")];
    assert_eq!(bytes(run(folder.path(), &artifact(&content), &mirrors).unwrap()), content);
    assert_eq!((first.log_of(1).len(), second.log().len()), (1, 0));
}

#[test]
fn another_mirror_continues_what_one_began() {
    let (first, second, folder) = (TestServer::start(), TestServer::start(), tempfile::tempdir().unwrap());
    let content = content(500_000);
    first.set("/x", Answer::Cut(content.clone(), 200_000));
    first.once("/x", Answer::Cut(content.clone(), 200_000));
    second.put("/x", content.clone());
    let mirrors = [url(&first, "/x"), url(&second, "/x")];
    assert_eq!(bytes(run(folder.path(), &artifact(&content), &mirrors).unwrap()), content);
    let log = second.log_of(1);
    assert_eq!((log[0].status, log[0].body_bytes), (206, 300_000));
    assert!(!log[0].headers.contains_key("if-range"), "an entity tag of another server was sent");
}

#[test]
fn too_slow_is_a_failure_and_not_a_wait() {
    let (slow, good, folder) = (TestServer::start(), TestServer::start(), tempfile::tempdir().unwrap());
    let content = content(100_000);
    slow.set("/x", Answer::Drip(content.clone(), 10, Duration::from_millis(20)));
    good.put("/x", content.clone());
    let (artifact, window) = (artifact(&content), Duration::from_millis(400));
    let watched = fetcher().with_timeouts(Timeouts { slow_window: window, ..Timeouts::default() });
    let started = Instant::now();
    let error = download(&watched, folder.path(), &artifact, &[url(&slow, "/x")], &mut |_| {}).unwrap_err();
    assert!(matches!(error, DownloadError::Fetch(FetchError::TooSlow { .. })), "{error:?}");
    let mirrors = [url(&slow, "/x"), url(&good, "/x")];
    assert_eq!(bytes(download(&watched, folder.path(), &artifact, &mirrors, &mut |_| {}).unwrap()), content);
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
    assert_eq!(good.log_of(1)[0].status, 206, "the slow server's bytes were thrown away");
}

#[test]
fn a_stalled_download_ends_with_the_idle_limit() {
    let (server, folder) = (TestServer::start(), tempfile::tempdir().unwrap());
    let content = content(1000);
    server.set("/x", Answer::Drip(content.clone(), 500, Duration::from_secs(20)));
    let timeouts = Timeouts { idle: Duration::from_millis(200), ..Timeouts::default() };
    let error = download(
        &fetcher().with_timeouts(timeouts),
        folder.path(),
        &artifact(&content),
        &[url(&server, "/x")],
        &mut |_| {},
    );
    let error = error.unwrap_err();
    assert!(matches!(error, DownloadError::Fetch(FetchError::Timeout { what: TimedOut::Idle, .. })), "{error:?}");
}

#[test]
fn cancelling_keeps_what_is_there() {
    let (server, folder) = (TestServer::start(), tempfile::tempdir().unwrap());
    let content = content(1_000_000);
    server.put("/x", content.clone());
    let cancel = CancelToken::new();
    let rate = RateLimit::new(NonZeroU64::new(2_000_000).unwrap());
    let limited = fetcher().with_cancel(cancel.clone()).with_rate_limit(Some(rate));
    let artifact = artifact(&content);
    let mut stop_half_way = |progress: Progress| {
        if progress.bytes > 400_000 {
            cancel.cancel();
        }
    };
    let error = download(&limited, folder.path(), &artifact, &[url(&server, "/x")], &mut stop_half_way).unwrap_err();
    assert!(matches!(error, DownloadError::Fetch(FetchError::Cancelled)), "{error:?}");
    server.log_of(1);
    server.take_log();
    assert_eq!(bytes(run(folder.path(), &artifact, &[url(&server, "/x")]).unwrap()), content);
    let log = server.log_of(1);
    assert!(log[0].status == 206 && log[0].body_bytes < 600_000, "{log:?}");
}

#[test]
fn a_folder_that_cannot_be_written_is_not_the_mirrors_fault() {
    let (server, folder) = (TestServer::start(), tempfile::tempdir().unwrap());
    let content = content(1000);
    server.put("/x", content.clone());
    let gone = folder.path().join("gone");
    let error = run(&gone, &artifact(&content), &[url(&server, "/x"), url(&server, "/x")]).unwrap_err();
    assert!(matches!(&error, DownloadError::Disk { path, .. } if path.starts_with(&gone)), "{error:?}");
    assert!(server.log().is_empty());
}

#[test]
fn a_full_disk_is_named_and_nothing_else_is_tried() {
    let folder = tempfile::tempdir().unwrap();
    if !updater_tests::require::root("a small tmpfs") {
        return;
    }
    let mount = |arguments: &[&str]| std::process::Command::new(arguments[0]).args(&arguments[1..]).status();
    let at = folder.path().to_str().unwrap();
    if !mount(&["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", at]).is_ok_and(|status| status.success()) {
        let _ = updater_tests::require::absent("mounting a tmpfs", "CAP_SYS_ADMIN");
        return;
    }
    let server = TestServer::start();
    let content = content(1_000_000);
    server.put("/x", content.clone());
    let result = run(folder.path(), &artifact(&content), &[url(&server, "/x"), url(&server, "/x")]);
    let unmounted = mount(&["umount", at]).unwrap();
    let error = result.unwrap_err();
    assert!(
        matches!(&error, DownloadError::Disk { source, .. } if source.kind() == std::io::ErrorKind::StorageFull),
        "{error:?}"
    );
    assert_eq!(error.code(), "download-disk-full");
    assert_eq!(server.log_of(1).len(), 1);
    assert!(unmounted.success());
}
