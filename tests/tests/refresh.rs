//! The client's work flow: which requests it makes, what it keeps, and how mirrors, caches and broken state are dealt
//! with. What is believed is tested in `trust.rs`.

#![expect(clippy::unwrap_used, reason = "helpers of tests may fail like a test")]

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use updater_format::json::Value;
use updater_format::role::RoleName;
use updater_format::trust::{Rules, TrustError};
use updater_format::{Channel, SignaturePolicy};
use updater_runtime::refresh::{Refresh, RefreshError, RequestOrder};
use updater_runtime::transport::{
    FetchError, Fetcher, HttpOptions, HttpTransport, Mirror, ProxyChoice, Retry, TargetLayout, Transport, Url,
};
use updater_runtime::{Clock as _, TrustStore};
use updater_tests::server::{Answer, TestServer};
use updater_tests::simulator::{Fault, Network, RepositorySimulator, SigningKey, sign};

/// A client with a state folder and the root that was the newest when it was built.
struct Client {
    home: tempfile::TempDir,
    embedded: Vec<u8>,
    sim: RepositorySimulator,
    mirrors: Vec<Mirror>,
    transport: Arc<dyn Transport>,
    order: RequestOrder,
}

impl Client {
    fn of(sim: &RepositorySimulator) -> Self {
        Self {
            home: tempfile::tempdir().unwrap(),
            embedded: sim.repo().root_bytes(),
            mirrors: vec![Mirror::parse("https://a.example/").unwrap()],
            transport: sim.transport(),
            sim: sim.clone(),
            order: RequestOrder::Strict,
        }
    }

    fn with_mirrors(sim: &RepositorySimulator, mirrors: &[(&str, &RepositorySimulator)]) -> Self {
        let network = mirrors.iter().fold(Network::default(), |network, (base, sim)| network.with(base, sim));
        let urls = mirrors.iter().map(|(base, _)| Mirror::parse(base).unwrap());
        Self { mirrors: urls.collect(), transport: Arc::new(network), ..Self::of(sim) }
    }

    fn over_http(self, server: &TestServer) -> Self {
        let transport = HttpTransport::new(HttpOptions::default().with_proxy(ProxyChoice::Direct)).unwrap();
        let mirrors = vec![Mirror::parse(&server.url("/")).unwrap()];
        Self { transport: Arc::new(transport), mirrors, ..self }
    }

    fn refresh(&self) -> Refresh {
        let pause = Duration::from_millis(1);
        let fetcher =
            Fetcher::new(Arc::clone(&self.transport)).with_retry(Retry { rounds: 2, pause, longest_pause: pause });
        Refresh::new(fetcher, self.mirrors.clone(), TrustStore::new(self.state())).with_order(self.order)
    }

    fn rules(&self) -> Rules {
        let app = Some("hello".parse().unwrap());
        Rules { now: self.sim.clock.now(), policy: SignaturePolicy::default(), app }
    }

    /// Reads the channel `stable` and returns the versions it lists.
    fn check(&self) -> Result<Vec<String>, RefreshError> {
        let refresh = self.refresh();
        let channel = refresh.run(self.rules(), &self.embedded)?.channel(&Channel::stable())?;
        Ok(channel.contents().bundles.iter().map(|bundle| bundle.version.to_string()).collect())
    }

    fn state(&self) -> std::path::PathBuf {
        self.home.path().join("metadata")
    }

    /// Returns the kept documents; the empty file for locks is none.
    fn kept(&self) -> Vec<String> {
        files_below(&self.state()).into_iter().filter(|name| name != "lock").collect()
    }

    fn requests(&self) -> Vec<String> {
        let requests = self.sim.take_requests();
        requests.into_iter().map(|path| path.trim_start_matches("metadata/").to_owned()).collect()
    }
}

/// Puts every file of a repository, as it now is, on a server.
fn serve(sim: &RepositorySimulator, server: &TestServer) {
    let files = sim.repo().files();
    for path in files {
        server.put(&format!("/{path}"), sim.repo().file(&path).unwrap());
    }
}

fn files_below(folder: &Path) -> Vec<String> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().map(Result::unwrap) {
        let name = entry.file_name().into_string().unwrap();
        if entry.file_type().unwrap().is_dir() {
            names.extend(files_below(&entry.path()).into_iter().map(|inner| format!("{name}/{inner}")));
        } else {
            names.push(name);
        }
    }
    names.sort();
    names
}

fn stale(error: &RefreshError) -> &str {
    match error {
        RefreshError::Stale { role, .. } => role,
        other => panic!("not stale: {other:?}"),
    }
}

fn refused(error: &RefreshError) -> &TrustError {
    match error {
        RefreshError::Trust { source, .. } => source,
        other => panic!("not refused: {other:?}"),
    }
}

const KEPT: [&str; 6] =
    ["root.json", "snapshot.json", "stable.json", "targets.json", "timestamp.etag", "timestamp.json"];

#[test]
fn a_first_check_is_five_requests_and_the_next_one_two() {
    let sim = RepositorySimulator::new();
    sim.repo().release("stable", "1.1.0", b"bundle");
    let client = Client::of(&sim);
    assert_eq!(client.check().unwrap(), ["1.1.0"]);
    assert_eq!(
        client.requests(),
        ["2.root.json", "timestamp.json", "2.snapshot.json", "1.targets.json", "2.stable.json"]
    );
    assert_eq!(client.kept(), KEPT);
    assert_eq!(
        std::fs::read(client.state().join("timestamp.json")).unwrap(),
        sim.repo().file("metadata/timestamp.json").unwrap()
    );
    assert_eq!(client.check().unwrap(), ["1.1.0"]);
    let log = sim.take_log();
    let (paths, bytes): (Vec<_>, Vec<_>) = log.iter().map(|request| (request.path.as_str(), request.bytes)).unzip();
    assert_eq!(paths, ["metadata/2.root.json", "metadata/timestamp.json"]);
    assert_eq!(bytes, [None, None], "neither a root nor a timestamp was sent");
}

#[test]
fn nothing_that_a_kept_copy_covers_is_fetched() {
    let sim = RepositorySimulator::new();
    let client = Client::of(&sim);
    client.check().unwrap();
    client.requests();
    sim.repo().release("beta", "2.0.0", b"bundle");
    assert!(client.check().unwrap().is_empty());
    assert_eq!(client.requests(), ["2.root.json", "timestamp.json", "2.snapshot.json"], "a release of another channel");
    sim.repo().timestamp.version += 1;
    client.check().unwrap();
    assert_eq!(client.requests(), ["2.root.json", "timestamp.json"], "a timestamp signed anew");
    sim.repo().release("stable", "1.1.0", b"bundle");
    assert_eq!(client.check().unwrap(), ["1.1.0"]);
    assert_eq!(client.requests(), ["2.root.json", "timestamp.json", "3.snapshot.json", "2.stable.json"]);
}

#[test]
fn an_equal_version_keeps_the_kept_timestamp() {
    let sim = RepositorySimulator::new();
    sim.repo().etags = false;
    let client = Client::of(&sim);
    client.check().unwrap();
    let before = std::fs::read(client.state().join("timestamp.json")).unwrap();
    // Other bytes under the same version: not what TUF calls an update.
    sim.repo().timestamp.expires = sim.clock.in_days(30);
    client.check().unwrap();
    assert_eq!(std::fs::read(client.state().join("timestamp.json")).unwrap(), before);
}

#[test]
fn together_or_one_after_the_other_the_verdict_is_the_same() {
    for order in [RequestOrder::Strict, RequestOrder::Together] {
        let sim = RepositorySimulator::new();
        let client = Client { order, ..Client::of(&sim) };
        sim.repo().rotate(RoleName::Timestamp, 33);
        sim.repo().release("stable", "1.1.0", b"bundle");
        assert_eq!(client.check().unwrap(), ["1.1.0"], "{order:?}");
        assert_eq!(client.kept().len(), 7, "{order:?}: {:?}", client.kept());
        client.requests();
        client.check().unwrap();
        let mut requests = client.requests();
        requests.sort();
        assert_eq!(requests, ["3.root.json", "timestamp.json"], "{order:?}");
        sim.fault("metadata/timestamp.json", Fault::Status(500));
        assert!(
            matches!(client.check(), Err(RefreshError::Fetch(FetchError::Status { status: 500, .. }))),
            "{order:?}"
        );
        sim.fault("metadata/3.root.json", Fault::Status(503));
        let error = client.check().unwrap_err();
        assert!(matches!(error, RefreshError::Fetch(FetchError::Status { status: 503, .. })), "{order:?}: {error:?}");
    }
}

#[test]
fn every_root_on_the_way_is_kept_and_walked_again_without_a_request() {
    let sim = RepositorySimulator::new();
    let client = Client::of(&sim);
    for seed in [41, 42, 43] {
        sim.repo().rotate(RoleName::Root, seed);
    }
    client.check().unwrap();
    assert_eq!(client.requests()[..4], ["2.root.json", "3.root.json", "4.root.json", "5.root.json"]);
    for version in [2, 3, 4] {
        let file = client.state().join(format!("roots/{version}.root.json"));
        let published = sim.repo().file(&format!("metadata/{version}.root.json"));
        assert_eq!(std::fs::read(file).ok(), published);
    }
    client.check().unwrap();
    assert_eq!(client.requests(), ["5.root.json", "timestamp.json"]);
}

#[test]
fn a_failure_is_not_the_answer_that_there_is_no_newer_root() {
    let sim = RepositorySimulator::new();
    let client = Client::of(&sim);
    client.check().unwrap();
    for fault in
        [Fault::Status(500), Fault::Status(403), Fault::Status(200), Fault::Offline, Fault::Cut(0), Fault::NotModified]
    {
        sim.fault("metadata/2.root.json", fault.clone());
        let error = client.check().unwrap_err();
        assert!(matches!(error, RefreshError::Fetch(_)), "{fault:?}: {error:?}");
        assert!(!matches!(error, RefreshError::Fetch(FetchError::NotFound { .. })), "{fault:?}");
    }
    // The login page of a hotel network.
    sim.fault("metadata/2.root.json", Fault::Replace(b"<html>please log in</html>".to_vec()));
    assert!(matches!(refused(&client.check().unwrap_err()), TrustError::Format { .. }));
    sim.fault("metadata/2.root.json", Fault::Endless);
    let error = client.check().unwrap_err();
    assert!(matches!(error, RefreshError::Fetch(FetchError::TooLarge { .. })), "{error:?}");
}

#[test]
fn each_file_comes_from_the_first_mirror_that_has_it_right() {
    let good = RepositorySimulator::new();
    good.repo().release("stable", "1.1.0", b"bundle");
    let paths = ["2.root.json", "timestamp.json", "2.snapshot.json", "1.targets.json", "2.stable.json"];
    let forged = sign(&good.repo().timestamp, &[SigningKey::from_seed(99)]);
    for path in paths.map(|path| format!("metadata/{path}")) {
        for fault in
            [Fault::Status(500), Fault::Offline, Fault::Flip(40, 1), Fault::Cut(10), Fault::Replace(forged.clone())]
        {
            let bad = good.copy();
            bad.fault(&path, fault.clone());
            let client =
                Client::with_mirrors(&good, &[("https://bad.example/", &bad), ("https://good.example/", &good)]);
            let result = client.check();
            assert_eq!(result.as_deref().ok(), Some(&["1.1.0".to_owned()][..]), "{path} {fault:?}: {result:?}");
        }
    }
}

#[test]
fn two_mirrors_broken_in_different_places_make_one_whole_one() {
    let sim = RepositorySimulator::new();
    sim.repo().release("stable", "1.1.0", b"bundle");
    let (one, other) = (sim.copy(), sim.copy());
    one.fault("metadata/2.snapshot.json", Fault::Truncate(100));
    other.fault("metadata/timestamp.json", Fault::Status(500));
    other.fault("metadata/2.stable.json", Fault::Flip(100, 2));
    let client = Client::with_mirrors(&sim, &[("https://one.example/", &one), ("https://other.example/", &other)]);
    assert_eq!(client.check().unwrap(), ["1.1.0"]);
}

#[test]
fn a_mirror_that_lags_behind_what_is_known_is_passed_by() {
    let sim = RepositorySimulator::new();
    let lagging = sim.copy();
    sim.repo().release("stable", "1.1.0", b"bundle");
    let client = Client::with_mirrors(&sim, &[("https://new.example/", &sim)]);
    client.check().unwrap();
    let both = Client::with_mirrors(&sim, &[("https://old.example/", &lagging), ("https://new.example/", &sim)]);
    let client = Client { mirrors: both.mirrors, transport: both.transport, ..client };
    assert_eq!(client.check().unwrap(), ["1.1.0"]);
    sim.fault("metadata/timestamp.json", Fault::Offline);
    let error = client.check().unwrap_err();
    assert!(matches!(refused(&error), TrustError::Rollback { .. }), "{error:?}");
}

#[test]
fn mirrors_that_the_signed_root_names_come_last() {
    let sim = RepositorySimulator::new();
    let client = Client::with_mirrors(&sim, &[("https://gone.example/", &sim)]);
    let urls = [
        "https://gone.example/",
        "ftp://no.example/",
        "http://no.example/",
        "file:///no",
        "https://signed.example/repo",
    ];
    let urls: Vec<Value> = urls.into_iter().map(Value::from).collect();
    sim.repo().next_root().extension.as_mut().unwrap().extra.insert("urls".to_owned(), urls.into());
    // The domain of the app is gone but for its roots.
    let gone = sim.copy();
    let files = sim.repo().files();
    for path in files.iter().filter(|path| !path.ends_with("root.json")) {
        gone.fault(path, Fault::Offline);
    }
    let network = Network::default().with("https://gone.example/", &gone).with("https://signed.example/repo/", &sim);
    let client = Client { transport: Arc::new(network), ..client };
    let refresh = client.refresh();
    let refreshed = refresh.run(client.rules(), &client.embedded).unwrap();
    let mirrors: Vec<_> = refreshed.mirrors().iter().map(|mirror| mirror.metadata_url("x").to_string()).collect();
    assert_eq!(mirrors, ["https://gone.example/metadata/x", "https://signed.example/repo/metadata/x"]);
    refreshed.channel(&Channel::stable()).unwrap();
}

#[test]
fn a_development_root_is_for_this_computer_alone() {
    let sim = RepositorySimulator::new();
    let development = |sim: &RepositorySimulator| {
        sim.repo().root.extension.as_mut().unwrap().development = true;
        Client::of(sim)
    };
    // As it would be compiled in, with an address that leads to another computer.
    let client = development(&sim);
    let error = client.check().unwrap_err();
    assert!(
        matches!(&error, RefreshError::Development { url } if url.to_string() == "https://a.example/metadata/"),
        "{error:?}"
    );
    assert_eq!(error.code(), "development-root");
    assert!(client.requests().is_empty(), "it was asked all the same");
    for local in ["http://127.0.0.1:8000/", "https://localhost/", "http://[::1]:1/"] {
        let client = Client { mirrors: vec![Mirror::parse(local).unwrap()], ..Client::of(&sim) };
        client.check().unwrap();
    }
    // One remote mirror among local ones, or one remote half, is enough.
    let [local, remote] = ["http://127.0.0.1:8000/", "https://a.example/"].map(|url| Url::parse(url).unwrap());
    let halves = Mirror::from_parts(local.clone(), remote.clone(), TargetLayout::Hashed);
    for mirrors in [vec![Mirror::new(&local), Mirror::new(&remote)], vec![halves]] {
        let client = Client { mirrors, ..Client::of(&sim) };
        assert!(matches!(client.check(), Err(RefreshError::Development { .. })));
    }
    // A mirror that the root names, and a root that follows on a real one.
    let urls: Vec<Value> = vec!["https://signed.example/".into()];
    sim.repo().root.extension.as_mut().unwrap().extra.insert("urls".to_owned(), urls.into());
    let client = Client { mirrors: vec![Mirror::new(&local)], ..Client::of(&sim) };
    let error = client.check().unwrap_err();
    assert!(matches!(&error, RefreshError::Development { url } if url.host() == "signed.example"), "{error:?}");
    let sim = RepositorySimulator::new();
    let client = Client::of(&sim);
    sim.repo().next_root().extension.as_mut().unwrap().development = true;
    assert!(matches!(client.check(), Err(RefreshError::Development { .. })));
}

#[test]
fn a_root_that_a_cache_hides_is_asked_for_once_more() {
    let server = TestServer::start();
    let sim = RepositorySimulator::new();
    let client = Client::of(&sim);
    sim.repo().rotate(RoleName::Timestamp, 34);
    sim.repo().rotate(RoleName::Snapshot, 35);
    serve(&sim, &server);
    // The cache answers the first question for the next root from memory.
    server.once("/metadata/2.root.json", Answer::Status(404, Vec::new()));
    let client = client.over_http(&server);
    client.check().unwrap();
    let log = server.log_of(9);
    let asked: Vec<_> = log
        .iter()
        .map(|request| (request.target.as_str(), request.headers.get("cache-control").map(String::as_str)))
        .collect();
    let again = Some("no-cache");
    assert_eq!(
        asked,
        [
            ("/metadata/2.root.json", None),
            ("/metadata/timestamp.json", None),
            ("/metadata/2.root.json", again),
            ("/metadata/3.root.json", again),
            ("/metadata/4.root.json", again),
            ("/metadata/timestamp.json", again),
            ("/metadata/1.snapshot.json", None),
            ("/metadata/1.targets.json", None),
            ("/metadata/1.stable.json", None),
        ]
    );
}

#[test]
fn unknown_keys_without_a_newer_root_stay_unknown() {
    let sim = RepositorySimulator::new();
    let client = Client::of(&sim);
    sim.repo().signers.timestamp = vec![SigningKey::from_seed(77)];
    let error = client.check().unwrap_err();
    assert!(matches!(refused(&error), TrustError::Signatures { role, valid: 0, threshold: 1 } if role == "timestamp"));
    let log = sim.take_log();
    let asked: Vec<_> = log.iter().map(|request| (request.path.as_str(), request.no_cache)).collect();
    let root = "metadata/2.root.json";
    assert_eq!(
        asked,
        [(root, false), ("metadata/timestamp.json", false), (root, true)],
        "one extra request and no more"
    );
    assert_eq!(client.kept(), ["root.json"]);
}

#[test]
fn stale_roles_are_named_with_their_time_and_nothing_is_taken_from_them() {
    for role in ["root", "timestamp", "snapshot", "targets", "stable"] {
        let sim = RepositorySimulator::new();
        let yesterday = sim.clock.yesterday();
        {
            let mut repo = sim.repo();
            match role {
                "root" => repo.root.expires = yesterday,
                "timestamp" => repo.timestamp.expires = yesterday,
                "snapshot" => repo.snapshot.expires = yesterday,
                "targets" => repo.targets.expires = yesterday,
                _ => repo.stable().expires = yesterday,
            }
        }
        let error = Client::of(&sim).check().unwrap_err();
        assert_eq!(stale(&error), role);
        assert_eq!(error.to_string(), format!("the publisher's {role} role is stale since {yesterday}"));
        assert_eq!(error.code(), "metadata-stale");
    }
}

#[test]
fn not_modified_proves_nothing_about_freshness() {
    let sim = RepositorySimulator::new();
    let client = Client::of(&sim);
    client.check().unwrap();
    sim.fault("metadata/timestamp.json", Fault::NotModified);
    client.check().unwrap();
    sim.clock.advance_days(8);
    assert_eq!(stale(&client.check().unwrap_err()), "timestamp");
}

#[test]
fn not_modified_without_a_kept_copy_is_refused() {
    let sim = RepositorySimulator::new();
    let client = Client::of(&sim);
    sim.fault("metadata/timestamp.json", Fault::NotModified);
    for order in [RequestOrder::Strict, RequestOrder::Together] {
        let error = Client { order, ..Client::of(&client.sim) }.check().unwrap_err();
        assert!(matches!(error, RefreshError::Fetch(FetchError::Protocol { .. })), "{order:?}: {error:?}");
    }
}

#[test]
fn a_damaged_state_costs_a_download_and_nothing_else() {
    let sim = RepositorySimulator::new();
    sim.repo().rotate(RoleName::Targets, 51);
    sim.repo().release("stable", "1.1.0", b"bundle");
    let client = Client::of(&sim);
    let client = Client { embedded: sim.repo().old_roots[&1].clone(), ..client };
    for order in [RequestOrder::Strict, RequestOrder::Together] {
        let client =
            Client { order, home: tempfile::tempdir().unwrap(), embedded: client.embedded.clone(), ..Client::of(&sim) };
        client.check().unwrap();
        let kept = client.kept();
        assert_eq!(kept.len(), 7);
        for file in &kept {
            let path = client.state().join(file);
            let before = std::fs::read(&path).unwrap();
            for damage in [Vec::new(), vec![0xff; 100], before[..before.len() / 2].to_vec(), vec![b'['; 3_000_000]] {
                std::fs::write(&path, damage).unwrap();
                assert_eq!(client.check().unwrap(), ["1.1.0"], "{order:?} {file}");
                assert_eq!(std::fs::read(&path).unwrap(), before, "{order:?} {file} was not mended");
            }
        }
    }
}

#[test]
fn planted_roots_do_not_widen_what_is_trusted() {
    let sim = RepositorySimulator::new();
    let client = Client::of(&sim);
    client.check().unwrap();
    // A thief of the state folder leaves a root of their own, and serves a repository that follows from it.
    let evil = sim.copy();
    {
        let mut repo = evil.repo();
        let thief = SigningKey::from_seed(66);
        for role in RoleName::ALL {
            let ring = updater_tests::simulator::keyring(std::slice::from_ref(&thief), 1);
            repo.root.roles.insert(role, ring);
        }
        repo.root.version = 2;
        repo.signers.root = vec![thief.clone()];
        repo.signers.timestamp = vec![thief.clone()];
        repo.signers.snapshot = vec![thief.clone()];
        repo.signers.targets = vec![thief];
        repo.bump();
    }
    let planted = evil.repo().root_bytes();
    std::fs::create_dir_all(client.state().join("roots")).unwrap();
    std::fs::write(client.state().join("roots/2.root.json"), &planted).unwrap();
    std::fs::write(client.state().join("root.json"), &planted).unwrap();
    client.check().unwrap();
    assert!(!client.state().join("roots/2.root.json").exists(), "the planted root was kept");
    assert_eq!(std::fs::read(client.state().join("root.json")).unwrap(), client.embedded);
    let client = Client { transport: evil.transport(), ..client };
    let error = client.check().unwrap_err();
    assert!(matches!(refused(&error), TrustError::Signatures { role, .. } if role == "root"), "{error:?}");
}

#[test]
fn a_root_that_came_with_the_app_is_a_floor_without_any_state() {
    let sim = RepositorySimulator::new();
    let old = sim.copy();
    sim.repo().rotate(RoleName::Timestamp, 61);
    let client = Client { transport: old.transport(), ..Client::of(&sim) };
    let error = client.check().unwrap_err();
    assert!(matches!(refused(&error), TrustError::Signatures { role, .. } if role == "timestamp"), "{error:?}");
}

#[test]
fn a_repository_that_begins_anew_after_a_fast_forward_is_followed() {
    let sim = RepositorySimulator::new();
    let client = Client::of(&sim);
    sim.repo().timestamp.version = 1 << 50;
    sim.repo().snapshot.version = 1 << 50;
    client.check().unwrap();
    {
        let mut repo = sim.repo();
        repo.rotate(RoleName::Timestamp, 71);
        repo.rotate(RoleName::Snapshot, 72);
        repo.timestamp.version = 2;
        repo.snapshot.version = 2;
    }
    client.check().unwrap();
    client.check().unwrap();
}

#[test]
fn a_timestamp_that_is_being_replaced_is_waited_for() {
    let server = TestServer::start();
    let sim = RepositorySimulator::new();
    serve(&sim, &server);
    server.once("/metadata/timestamp.json", Answer::Status(404, Vec::new()));
    let client = Client::of(&sim).over_http(&server);
    client.check().unwrap();
    server.remove("/metadata/timestamp.json");
    let error = client.check().unwrap_err();
    assert!(matches!(error, RefreshError::Fetch(FetchError::NotFound { .. })), "{error:?}");
}

#[test]
fn a_timestamp_from_before_a_rotation_is_asked_for_again_after_it() {
    let server = TestServer::start();
    let sim = RepositorySimulator::new();
    let client = Client::of(&sim);
    let before = sim.repo().file("metadata/timestamp.json").unwrap();
    sim.repo().rotate(RoleName::Timestamp, 36);
    serve(&sim, &server);
    // The publisher commits while the client looks for the root: its early timestamp is still the old one.
    server.once("/metadata/timestamp.json", Answer::File(before));
    let client = Client { order: RequestOrder::Together, ..client.over_http(&server) };
    client.check().unwrap();
    let asked = server.log_of(7).iter().filter(|request| request.target.ends_with("timestamp.json")).count();
    assert_eq!(asked, 2);
}

#[test]
fn no_place_for_state_is_a_first_check_every_time() {
    let sim = RepositorySimulator::new();
    sim.repo().release("stable", "1.1.0", b"bundle");
    let client = Client::of(&sim);
    let refresh = Refresh::new(Fetcher::new(sim.transport()), client.mirrors.clone(), TrustStore::nowhere());
    for _ in 0..2 {
        sim.take_requests();
        let refreshed = refresh.run(client.rules(), &client.embedded).unwrap();
        refreshed.channel(&Channel::stable()).unwrap();
        assert_eq!(sim.take_requests().len(), 5);
    }
}

#[test]
fn a_state_that_cannot_be_written_is_said() {
    let sim = RepositorySimulator::new();
    let client = Client::of(&sim);
    std::fs::write(client.state(), "a file where the folder must be").unwrap();
    let error = client.check().unwrap_err();
    assert!(matches!(error, RefreshError::Store(_)), "{error:?}");
    assert_eq!(error.code(), "metadata-store");
}

#[test]
fn an_embedded_root_that_cannot_be_used_is_the_builds_fault() {
    let sim = RepositorySimulator::new();
    let client = Client { embedded: b"{}".to_vec(), ..Client::of(&sim) };
    assert!(matches!(client.check(), Err(RefreshError::Embedded { .. })));
    assert!(client.requests().is_empty(), "nothing is asked before the root holds");
}

#[test]
fn an_unknown_channel_is_named() {
    let sim = RepositorySimulator::new();
    let client = Client::of(&sim);
    let refresh = client.refresh();
    let refreshed = refresh.run(client.rules(), &client.embedded).unwrap();
    let error = refreshed.channel(&"nightly".parse().unwrap()).unwrap_err();
    assert!(
        matches!(&error, RefreshError::Inconsistent { source: TrustError::UnknownRole { role, .. } } if role == "nightly"),
        "{error:?}"
    );
}
