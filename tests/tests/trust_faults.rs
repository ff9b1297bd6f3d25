//! Servers, mirrors and networks that misbehave: what a check and a download then report, and what they never do.

use std::time::{Duration, Instant};
use updater_format::FormatError;
use updater_format::length;
use updater_format::trust::TrustError;
use updater_runtime::download::DownloadError;
use updater_runtime::refresh::RefreshError;
use updater_runtime::transport::{FetchError, TimedOut, Timeouts};
use updater_tests::simulator::{Fault, Network, RepositorySimulator, SigningKey};

/// A repository with one release, and the paths of the documents that a first check reads.
fn published() -> (RepositorySimulator, [&'static str; 5]) {
    let sim = RepositorySimulator::new();
    sim.repo().next_root();
    sim.repo().release("stable", "1.0.0", b"the bytes of the bundle");
    let files = [
        "metadata/2.root.json",
        "metadata/timestamp.json",
        "metadata/2.snapshot.json",
        "metadata/1.targets.json",
        "metadata/2.stable.json",
    ];
    (sim, files)
}

/// A client that starts from the first root.
fn old_client(sim: &RepositorySimulator) -> updater_tests::simulator::SimulatedClient {
    let mut client = sim.client();
    client.embedded = sim.file("metadata/1.root.json");
    client
}

#[test]
fn endless_metadata_ends_at_its_limit() {
    let (sim, files) = published();
    let snapshot = sim.file(files[2]).len() as u64;
    let targets = sim.file(files[3]).len() as u64;
    let stable = sim.file(files[4]).len() as u64;
    // Where the signed length is known it is the limit, else the named one.
    let limits = [length::MAX_ROOT, length::MAX_TIMESTAMP, snapshot, targets, stable];
    for (file, expected) in files.iter().zip(limits) {
        let sim = sim.copy();
        sim.fault(file, Fault::Endless);
        match old_client(&sim).offers("stable") {
            Err(RefreshError::Fetch(FetchError::TooLarge { limit, .. })) => assert_eq!(limit, expected, "{file}"),
            other => panic!("{file}: {other:?}"),
        }
    }
}

#[test]
fn endless_metadata_ends_at_its_limit_where_no_length_is_signed() {
    let (sim, files) = published();
    sim.repo().unpin();
    for meta in sim.repo().snapshot.roles.values_mut() {
        (meta.length, meta.hashes) = (None, None);
    }
    sim.repo().timestamp.snapshot.length = None;
    sim.repo().timestamp.snapshot.hashes = None;
    old_client(&sim).offers("stable").unwrap();
    for (file, expected) in
        [(files[2], length::MAX_SNAPSHOT), (files[3], length::MAX_ROLE), (files[4], length::MAX_ROLE)]
    {
        let sim = sim.copy();
        sim.fault(file, Fault::Endless);
        match old_client(&sim).offers("stable") {
            Err(RefreshError::Fetch(FetchError::TooLarge { limit, .. })) => assert_eq!(limit, expected, "{file}"),
            other => panic!("{file}: {other:?}"),
        }
    }
}

#[test]
fn a_signed_length_above_the_limit_does_not_raise_the_limit() {
    let (sim, files) = published();
    sim.repo().unpin();
    sim.repo().snapshot.roles.get_mut("stable").unwrap().length = Some(length::MAX_ROLE + 1);
    sim.repo().pin_snapshot();
    sim.fault(files[4], Fault::Endless);
    match old_client(&sim).offers("stable") {
        Err(RefreshError::Fetch(FetchError::TooLarge { limit, .. })) => assert_eq!(limit, length::MAX_ROLE),
        other => panic!("{other:?}"),
    }
}

#[test]
fn kept_files_beyond_their_limit_are_not_even_parsed() {
    // The limit holds for what lies on disk too, and inside the trust rules whoever hands the bytes in.
    let (sim, _) = published();
    let client = sim.client();
    client.offers("stable").unwrap();
    let huge = vec![b' '; usize::try_from(length::MAX_TIMESTAMP).unwrap() + 1];
    let mut document = sim.file("metadata/timestamp.json");
    document.extend_from_slice(&huge);
    std::fs::write(client.metadata_dir().join("timestamp.json"), &document).unwrap();
    client.offers("stable").unwrap();
    assert_eq!(
        std::fs::read(client.metadata_dir().join("timestamp.json")).unwrap(),
        sim.file("metadata/timestamp.json")
    );
    let result = client.with(|refreshed| {
        let channel = updater_format::Channel::stable();
        let bytes = updater_format::signed::Untrusted::new(vec![b' '; usize::try_from(length::MAX_ROLE).unwrap() + 1]);
        Ok(refreshed.set().channel(&channel, &bytes).map(drop))
    });
    let source = FormatError::TooLarge { what: "metadata", limit: length::MAX_ROLE, unit: "bytes" };
    assert_eq!(result.unwrap(), Err(TrustError::Format { role: "stable".to_owned(), source }));
}

#[test]
fn a_server_that_drips_metadata_is_left_when_its_time_is_over() {
    let (sim, files) = published();
    let timeouts = Timeouts { document: Duration::from_millis(200), ..Timeouts::default() };
    for file in files {
        let sim = sim.copy();
        sim.fault(file, Fault::Drip(Duration::from_millis(20)));
        let started = Instant::now();
        let result = old_client(&sim).impatient(timeouts).offers("stable");
        assert!(
            matches!(result, Err(RefreshError::Fetch(FetchError::Timeout { what: TimedOut::Total, .. }))),
            "{file}: {result:?}"
        );
        assert!(started.elapsed() < Duration::from_secs(5), "{file}: {:?}", started.elapsed());
    }
}

#[test]
fn a_connection_that_breaks_is_no_answer() {
    let (sim, files) = published();
    for file in files {
        for (fault, expected) in [
            (Fault::Cut(10), "fetch-interrupted"),
            (Fault::Offline, "fetch-connect"),
            (Fault::Status(500), "fetch-status"),
        ] {
            let sim = sim.copy();
            sim.fault(file, fault);
            let client = old_client(&sim);
            match client.offers("stable") {
                Err(RefreshError::Fetch(error)) => assert_eq!(error.code(), expected, "{file}"),
                other => panic!("{file}: {other:?}"),
            }
        }
    }
}

#[test]
fn a_missing_document_is_an_error_for_all_but_the_next_root() {
    let (sim, files) = published();
    for file in &files[1..] {
        let sim = sim.copy();
        sim.fault(file, Fault::Status(404));
        let result = old_client(&sim).offers("stable");
        assert!(matches!(result, Err(RefreshError::Fetch(FetchError::NotFound { .. }))), "{file}: {result:?}");
    }
    let sim = sim.copy();
    sim.fault(files[0], Fault::Status(404));
    assert_eq!(old_client(&sim).offers("stable").unwrap(), ["1.0.0"]);
}

#[test]
fn not_modified_is_no_answer_to_an_unconditional_request() {
    let (sim, files) = published();
    for file in files {
        let sim = sim.copy();
        sim.fault(file, Fault::NotModified);
        let result = old_client(&sim).offers("stable");
        assert!(matches!(result, Err(RefreshError::Fetch(FetchError::Protocol { .. }))), "{file}: {result:?}");
    }
}

#[test]
fn a_bad_first_mirror_costs_one_request_per_document() {
    let (good, files) = published();
    let artifact = good.client().channel("stable").unwrap().contents().bundles[0].artifact.clone();
    for fault in [
        Fault::Flip(100, 1),
        Fault::Truncate(50),
        Fault::Replace(b"<html>".to_vec()),
        Fault::Endless,
        Fault::Cut(20),
        Fault::Offline,
        Fault::Status(503),
        Fault::NotModified,
    ] {
        let bad = good.copy();
        for file in files {
            bad.fault(file, fault.clone());
        }
        bad.fault(&format!("targets/{}", artifact.file()), fault.clone());
        let network = Network::default().with("https://bad.example/", &bad).with("https://good.example/", &good);
        let client =
            old_client(&good).over(std::sync::Arc::new(network), &["https://bad.example/", "https://good.example/"]);
        assert_eq!(client.offers("stable").unwrap_or_else(|e| panic!("{fault:?}: {e}")), ["1.0.0"]);
        assert_eq!(client.download(&artifact).unwrap(), b"the bytes of the bundle", "{fault:?}");
        assert!(bad.take_requests().len() <= 8, "{fault:?}");
    }
}

#[test]
fn a_mirror_that_lags_behind_holds_nobody_back_once_newer_is_known() {
    let (lagging, _) = published();
    let current = lagging.copy();
    current.repo().release("stable", "1.1.0", b"newer");
    let network = Network::default().with("https://old.example/", &lagging).with("https://new.example/", &current);
    let client =
        old_client(&current).over(std::sync::Arc::new(network), &["https://new.example/", "https://old.example/"]);
    assert_eq!(client.offers("stable").unwrap().len(), 2);
    // The order is turned round: the lagging mirror is refused as a rollback and the next one asked.
    let network = Network::default().with("https://old.example/", &lagging).with("https://new.example/", &current);
    let client = client.over(std::sync::Arc::new(network), &["https://old.example/", "https://new.example/"]);
    assert_eq!(client.offers("stable").unwrap().len(), 2);
}

#[test]
fn an_app_whose_domain_is_gone_finds_the_mirrors_that_its_root_names() {
    let (sim, _) = published();
    let extension = |repo: &mut updater_tests::simulator::Repository, urls: Vec<&str>| {
        repo.root.extension.as_mut().unwrap().extra.insert("urls".to_owned(), urls.into());
    };
    extension(&mut sim.repo(), vec!["file:///etc", "not a url", "https://second.example/"]);
    let client = sim.client();
    let gone = RepositorySimulator::new();
    gone.fault("metadata/timestamp.json", Fault::Offline);
    gone.fault("metadata/3.root.json", Fault::Status(404));
    let network = Network::default().with("https://first.example/", &gone).with("https://second.example/", &sim);
    let client = client.over(std::sync::Arc::new(network), &["https://first.example/"]);
    assert_eq!(client.offers("stable").unwrap(), ["1.0.0"]);
}

#[test]
fn nothing_but_the_signed_bytes_is_downloaded() {
    let (sim, _) = published();
    let client = sim.client();
    let artifact = client.channel("stable").unwrap().contents().bundles[0].artifact.clone();
    let path = format!("targets/{}", artifact.file());
    let download = |fault: Fault| {
        let sim = sim.copy();
        sim.fault(&path, fault);
        let client = sim.client();
        client.download(&artifact).map(drop)
    };
    let error = download(Fault::Flip(3, 0x80));
    assert!(
        matches!(error, Err(DownloadError::WrongDigest { expected, .. }) if expected == artifact.sha256),
        "{error:?}"
    );
    let error = download(Fault::Truncate(5));
    assert!(matches!(error, Err(DownloadError::TooShort { expected: 23, found: 5, .. })), "{error:?}");
    let error = download(Fault::Replace(b"the bytes of the bundle and more".to_vec()));
    assert!(matches!(error, Err(DownloadError::TooLong { expected: 23, .. })), "{error:?}");
    let error = download(Fault::Endless);
    assert!(matches!(error, Err(DownloadError::TooLong { expected: 23, .. })), "{error:?}");
    let error = download(Fault::Replace(b"<!DOCTYPE html>".to_vec()));
    assert!(matches!(error, Err(DownloadError::WebPage { .. })), "{error:?}");
    let error = download(Fault::Cut(7));
    assert!(matches!(error, Err(DownloadError::Fetch(FetchError::Interrupted { received: 7, .. }))), "{error:?}");
    let error = download(Fault::NotModified);
    assert!(matches!(error, Err(DownloadError::Fetch(FetchError::Protocol { .. }))), "{error:?}");
    let error = download(Fault::Status(404));
    assert!(matches!(error, Err(DownloadError::Fetch(FetchError::NotFound { .. }))), "{error:?}");
    assert_eq!(client.download(&artifact).unwrap(), b"the bytes of the bundle");
}

#[test]
fn a_download_that_drips_is_left() {
    let (sim, _) = published();
    let client = sim.client();
    let artifact = sim.repo().release("stable", "1.1.0", &[7; 4096]);
    let path = format!("targets/{}", artifact.file());
    sim.fault(&path, Fault::Drip(Duration::from_millis(5)));
    let timeouts =
        Timeouts { slow_window: Duration::from_millis(200), slow_bytes_per_second: 1024, ..Timeouts::default() };
    let started = Instant::now();
    let result = client.impatient(timeouts).download(&artifact);
    assert!(matches!(result, Err(DownloadError::Fetch(FetchError::TooSlow { .. }))), "{result:?}");
    assert!(started.elapsed() < Duration::from_secs(10));
}

#[test]
fn a_repository_without_consistent_snapshots_is_read() {
    let sim = RepositorySimulator::new();
    sim.repo().root.consistent_snapshot = false;
    sim.repo().release("stable", "1.0.0", b"one");
    let client = sim.client();
    assert_eq!(client.offers("stable").unwrap(), ["1.0.0"]);
    let mut asked = sim.take_requests();
    asked.sort();
    let plain = [
        "metadata/2.root.json",
        "metadata/snapshot.json",
        "metadata/stable.json",
        "metadata/targets.json",
        "metadata/timestamp.json",
    ];
    assert_eq!(asked, plain);
    // There the same name has another content after every publishing: what was kept is checked before it is used.
    sim.repo().release("stable", "1.1.0", b"two");
    assert_eq!(client.offers("stable").unwrap(), ["1.0.0", "1.1.0"]);
    let evil = SigningKey::from_seed(99);
    sim.repo().signers.roles.insert("stable".to_owned(), vec![evil]);
    sim.repo().stable().version += 1;
    sim.repo().bump();
    let result = client.offers("stable");
    assert!(matches!(result, Err(RefreshError::Trust { source: TrustError::Signatures { .. }, .. })), "{result:?}");
}

#[test]
fn a_clock_that_is_set_back_does_not_bring_back_what_the_build_time_rules_out() {
    use updater_runtime::{Clock as _, SystemClock};
    // An app built after the timestamp expired: whatever the clock of the computer says, that timestamp is stale.
    let (sim, _) = published();
    let built = sim.repo().timestamp.expires.plus_seconds(1);
    let real = SystemClock::new(built.max(updater_format::UtcTime::from_unix(4_102_444_800)));
    sim.clock.set(real.now());
    let result = sim.client().refresh();
    assert!(matches!(result, Err(RefreshError::Stale { .. })), "{result:?}");
}
