//! What lies on disk when more than one process checks, and when something else lies where a file belongs.

#![expect(clippy::unwrap_used, reason = "helpers of tests may fail like a test")]

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use updater_format::role::RoleName;
use updater_format::trust::Rules;
use updater_format::{Channel, SignaturePolicy, json};
use updater_runtime::refresh::{Refresh, RefreshError, RequestOrder};
use updater_runtime::transport::{FetchError, FetchRequest, Fetched, Fetcher, Mirror, Retry, Transport};
use updater_runtime::{Clock as _, TrustStore};
use updater_tests::simulator::RepositorySimulator;

/// A process of the app, among others that share one state folder.
struct Process {
    sim: RepositorySimulator,
    embedded: Vec<u8>,
    state: PathBuf,
    transport: Arc<dyn Transport>,
    order: RequestOrder,
}

impl Process {
    fn new(sim: &RepositorySimulator, embedded: &[u8], state: &Path) -> Self {
        let (sim, embedded, state) = (sim.clone(), embedded.to_vec(), state.to_owned());
        Self { transport: sim.transport(), sim, embedded, state, order: RequestOrder::Strict }
    }

    fn check(&self) -> Result<Vec<String>, RefreshError> {
        let pause = Duration::from_millis(1);
        let fetcher =
            Fetcher::new(Arc::clone(&self.transport)).with_retry(Retry { rounds: 1, pause, longest_pause: pause });
        let mirrors = vec![Mirror::parse("https://a.example/").unwrap()];
        let refresh = Refresh::new(fetcher, mirrors, TrustStore::new(&self.state)).with_order(self.order);
        let app = Some("hello".parse().unwrap());
        let rules = Rules { now: self.sim.clock.now(), policy: SignaturePolicy::default(), app };
        let channel = refresh.run(rules, &self.embedded)?.channel(&Channel::stable())?;
        Ok(channel.contents().bundles.iter().map(|bundle| bundle.version.to_string()).collect())
    }
}

/// Lets another process run from beginning to end between the moment in which a server answers and the moment in which
/// the answer arrives.
struct Overtaken {
    by: Mutex<Option<Process>>,
    /// The end of the URL whose answer takes so long.
    at: &'static str,
    server: Arc<dyn Transport>,
}

impl Transport for Overtaken {
    fn fetch(&self, request: &FetchRequest) -> Result<Fetched, FetchError> {
        let answer = self.server.fetch(request);
        if request.url.expose().ends_with(self.at)
            && let Some(other) = self.by.lock().unwrap().take()
        {
            other.check().unwrap();
        }
        answer
    }
}

fn kept_version(state: &Path, role: &str) -> u64 {
    let bytes = std::fs::read(state.join(format!("{role}.json"))).unwrap();
    json::parse("kept", &bytes).unwrap()["signed"]["version"].as_u64().unwrap()
}

fn assert_keeps_the_newest(sim: &RepositorySimulator, home: &Path) {
    let newest = {
        let mut repo = sim.repo();
        [("timestamp", repo.timestamp.version), ("snapshot", repo.snapshot.version), ("stable", repo.stable().version)]
    };
    assert_eq!(newest.map(|(role, _)| (role, kept_version(&home.join("metadata"), role))), newest);
}

/// Checks once in a process that is overtaken `at` a request by one that finds the repository after `change`. Returns what
/// it saw, the repository, and the state folder's parent.
fn overtaken(
    at: &'static str,
    order: RequestOrder,
    change: impl FnOnce(&RepositorySimulator),
) -> (Vec<String>, RepositorySimulator, tempfile::TempDir) {
    let sim = RepositorySimulator::new();
    sim.repo().release("stable", "1.0.0", b"one");
    let embedded = sim.repo().root_bytes();
    let home = tempfile::tempdir().unwrap();
    let state = home.path().join("metadata");
    Process::new(&sim, &embedded, &state).check().unwrap();
    sim.repo().release("stable", "1.1.0", b"two");
    // What a server in another part of the world still has.
    let behind = sim.copy();
    change(&sim);
    let by = Mutex::new(Some(Process::new(&sim, &embedded, &state)));
    let transport = Arc::new(Overtaken { by, at, server: behind.transport() });
    let slow = Process { transport, order, ..Process::new(&behind, &embedded, &state) };
    let offers = slow.check().unwrap();
    (offers, sim, home)
}

#[test]
fn a_check_that_another_process_overtakes_goes_on_with_the_newer_timestamp() {
    for order in [RequestOrder::Strict, RequestOrder::Together] {
        let (offers, sim, home) = overtaken("timestamp.json", order, |sim| {
            sim.repo().release("stable", "1.2.0", b"three");
        });
        assert_eq!(offers, ["1.0.0", "1.1.0", "1.2.0"], "{order:?}: the check went back behind what is known");
        assert_keeps_the_newest(&sim, home.path());
    }
}

#[test]
fn what_an_older_timestamp_led_to_is_not_kept_beside_a_newer_one() {
    for at in [".snapshot.json", ".stable.json"] {
        let (offers, sim, home) = overtaken(at, RequestOrder::Strict, |sim| {
            sim.repo().release("stable", "1.2.0", b"three");
        });
        assert_eq!(offers, ["1.0.0", "1.1.0"], "{at}: what it verified before it was overtaken still holds");
        assert_keeps_the_newest(&sim, home.path());
    }
}

#[test]
fn a_timestamp_of_the_keys_before_a_rotation_does_not_replace_one_of_the_keys_after_it() {
    let (_, _, home) = overtaken("timestamp.json", RequestOrder::Strict, |sim| {
        sim.repo().rotate(RoleName::Timestamp, 71);
        sim.repo().timestamp.version = 1;
        sim.repo().timestamp.snapshot.version = 1;
    });
    let state = home.path().join("metadata");
    assert!(state.join("roots/2.root.json").exists());
    assert_eq!(kept_version(&state, "timestamp"), 1);
}

#[test]
fn checks_side_by_side_never_let_the_state_go_back() {
    let home = tempfile::tempdir().unwrap();
    let state = home.path().join("metadata");
    let sim = RepositorySimulator::new();
    sim.repo().release("stable", "1.0.0", b"one");
    let embedded = sim.repo().root_bytes();
    Process::new(&sim, &embedded, &state).check().unwrap();
    // Each version as a repository of its own, so that every checker can be at another one.
    let versions: Vec<RepositorySimulator> = (0..40)
        .map(|_| {
            sim.repo().bump();
            sim.copy()
        })
        .collect();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let watcher = scope.spawn(|| {
            let mut highest = 0;
            while !done.load(Ordering::SeqCst) {
                let version = kept_version(&state, "timestamp");
                assert!(version >= highest, "the kept timestamp went from {highest} back to {version}");
                highest = version;
            }
            highest
        });
        let checkers: Vec<_> = (0..4)
            .map(|number| {
                let (versions, state, embedded) = (&versions, &state, &embedded);
                scope.spawn(move || {
                    for sim in versions.iter().skip(number).step_by(4) {
                        // One that asks a mirror that lags behind is told so; it must not take it for an answer.
                        let result = Process::new(sim, embedded, state).check();
                        assert!(
                            matches!(result, Ok(_) | Err(RefreshError::Trust { .. } | RefreshError::Fetch(_))),
                            "{result:?}"
                        );
                    }
                })
            })
            .collect();
        checkers.into_iter().for_each(|checker| checker.join().unwrap());
        done.store(true, Ordering::SeqCst);
        assert!(watcher.join().unwrap() > 1);
    });
    assert_eq!(kept_version(&state, "timestamp"), sim.repo().timestamp.version);
}

#[test]
fn a_lock_that_is_never_given_back_is_named() {
    let home = tempfile::tempdir().unwrap();
    let state = home.path().join("metadata");
    let sim = RepositorySimulator::new();
    sim.repo().release("stable", "1.0.0", b"one");
    let embedded = sim.repo().root_bytes();
    let process = Process::new(&sim, &embedded, &state);
    process.check().unwrap();
    let held = std::fs::File::open(state.join("lock")).unwrap();
    held.lock().unwrap();
    // Nothing new: nothing to write, nobody to wait for.
    assert_eq!(process.check().unwrap(), ["1.0.0"]);
    sim.repo().bump();
    let begin = Instant::now();
    let error = process.check().unwrap_err();
    assert!(begin.elapsed() >= Duration::from_secs(9), "{:?}", begin.elapsed());
    let RefreshError::Store(error) = error else { panic!("{error:?}") };
    assert_eq!((error.operation, error.path), ("lock", state.join("lock")));
    drop(held);
    assert_eq!(process.check().unwrap(), ["1.0.0"]);
}

#[test]
fn a_folder_where_a_file_belongs_costs_a_download_and_nothing_else() {
    let home = tempfile::tempdir().unwrap();
    let state = home.path().join("metadata");
    let sim = RepositorySimulator::new();
    let embedded = sim.repo().root_bytes();
    sim.repo().rotate(RoleName::Targets, 51);
    sim.repo().release("stable", "1.0.0", b"one");
    let process = Process::new(&sim, &embedded, &state);
    process.check().unwrap();
    let files = ["root.json", "timestamp.json", "snapshot.json", "targets.json", "stable.json", "roots/2.root.json"];
    for file in files.into_iter().chain(["lock", "timestamp.etag"]) {
        let path = state.join(file);
        let before = std::fs::read(&path).ok();
        let _ = std::fs::remove_file(&path);
        std::fs::create_dir_all(path.join("inner")).unwrap();
        std::fs::write(path.join("inner/file"), "in the way").unwrap();
        assert_eq!(process.check().unwrap(), ["1.0.0"], "{file}");
        if files.contains(&file) {
            assert_eq!(std::fs::read(&path).ok(), before, "{file} is not there again");
        }
    }
    std::fs::remove_dir_all(state.join("roots")).unwrap();
    std::fs::write(state.join("roots"), "a file where a folder belongs").unwrap();
    assert_eq!(process.check().unwrap(), ["1.0.0"]);
    assert!(state.join("roots/2.root.json").is_file());
}
