//! How often a client asks, and checks that the app does not wait for.

#![expect(clippy::unwrap_used, reason = "helpers of tests may fail like a test")]

use std::ops::ControlFlow;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};
use updater_runtime::transport::Retry;
use updater_runtime::{Config, NoUpdate, Status, Updater};
use updater_tests::simulator::{Fault, RepositorySimulator, TRIPLE};

const HOUR: i64 = 60 * 60;

struct App {
    folder: tempfile::TempDir,
    sim: RepositorySimulator,
}

impl App {
    fn new() -> Self {
        let app = Self { folder: tempfile::tempdir().unwrap(), sim: RepositorySimulator::new() };
        std::fs::write(app.folder.path().join("hello"), "").unwrap();
        app.sim.repo().release("stable", "1.0.0", b"bundle");
        app
    }

    fn updater(&self) -> Updater {
        let root = self.sim.repo().root_bytes();
        let (id, version, platform) = ("hello".parse().unwrap(), "1.0.0".parse().unwrap(), TRIPLE.parse().unwrap());
        let config = Config::new(id, version, platform, root, "https://updates.example/").unwrap();
        let config = config
            .with_executable(self.folder.path().join("hello"))
            .with_state_dir(self.folder.path().join("state"))
            .with_clock(Arc::new(self.sim.clock.clone()))
            .with_retry(Retry { rounds: 1, ..Retry::default() })
            .with_transport(self.sim.transport());
        Updater::new(config).unwrap()
    }

    fn pass(&self, seconds: i64) {
        use updater_runtime::Clock as _;
        self.sim.clock.set(self.sim.clock.now().plus_seconds(seconds));
    }
}

fn is_current(status: &Status) -> bool {
    matches!(status, Status::NoUpdate(NoUpdate::Current { .. }))
}

#[test]
fn an_app_that_asks_at_every_start_asks_once_a_day() {
    let app = App::new();
    assert!(is_current(&app.updater().check_if_due().unwrap()));
    assert_eq!(app.sim.take_requests().len(), 5);
    for _ in 0..3 {
        app.pass(HOUR);
        let status = app.updater().check_if_due().unwrap();
        let Status::NoUpdate(NoUpdate::NotDue { wait }) = status else { panic!("{status:?}") };
        assert!(wait > Duration::from_secs(20 * 60 * 60) && wait < Duration::from_secs(26 * 60 * 60), "{wait:?}");
    }
    assert!(app.sim.take_requests().is_empty());
    assert!(is_current(&app.updater().check().unwrap()), "what the user asks for is done");
    app.sim.take_requests();
    app.pass(27 * HOUR);
    assert!(is_current(&app.updater().check_if_due().unwrap()));
    assert_eq!(app.sim.take_requests().len(), 2);
}

#[test]
fn without_network_the_next_try_comes_after_an_hour() {
    let app = App::new();
    app.sim.fault("metadata/2.root.json", Fault::Offline);
    let status = app.updater().check_if_due().unwrap();
    assert!(matches!(status, Status::NoUpdate(NoUpdate::Offline(_))), "{status:?}");
    app.pass(HOUR / 2);
    let status = app.updater().check_if_due().unwrap();
    assert!(matches!(status, Status::NoUpdate(NoUpdate::NotDue { .. })), "{status:?}");
    app.sim.repo().faults.clear();
    app.pass(HOUR);
    assert!(is_current(&app.updater().check_if_due().unwrap()));
}

#[test]
fn a_refusal_is_not_asked_for_again_at_once() {
    let app = App::new();
    app.sim.fault("metadata/timestamp.json", Fault::Flip(60, 1));
    assert_eq!(app.updater().check_if_due().unwrap_err().code(), "metadata-refused");
    let status = app.updater().check_if_due().unwrap();
    assert!(matches!(status, Status::NoUpdate(NoUpdate::NotDue { .. })), "{status:?}");
}

#[test]
fn an_app_that_cannot_note_the_time_does_not_ask() {
    let app = App::new();
    std::fs::write(app.folder.path().join("state"), "a file where the folder must be").unwrap();
    assert_eq!(app.updater().check_if_due().unwrap_err().code(), "metadata-store");
    assert!(app.sim.take_requests().is_empty());
}

#[test]
fn an_update_is_found_while_the_app_runs() {
    let app = App::new();
    app.sim.repo().release("stable", "1.1.0", b"bundle");
    let (sender, found) = mpsc::channel();
    let background = app.updater().check_in_background(move |answer| {
        let update = answer.unwrap().update().unwrap();
        sender.send((update.version().to_string(), std::thread::current().name().map(str::to_owned))).unwrap();
        ControlFlow::Break(())
    });
    let found = found.recv_timeout(Duration::from_secs(30)).unwrap();
    assert_eq!(found, ("1.1.0".to_owned(), Some("updater".to_owned())));
    assert!(background.unwrap().join());
}

#[test]
fn cancelling_ends_a_check_that_is_going_on() {
    let app = App::new();
    app.sim.fault("metadata/timestamp.json", Fault::Drip(Duration::from_millis(20)));
    let updater = app.updater();
    let background = updater.check_in_background(|answer| panic!("no answer was due: {answer:?}")).unwrap();
    let until = Instant::now() + Duration::from_secs(10);
    while app.sim.take_requests().is_empty() && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(5));
    }
    let cancelled = Instant::now();
    background.cancel();
    assert!(background.join(), "the callback was called");
    assert!(cancelled.elapsed() < Duration::from_secs(5), "{:?}", cancelled.elapsed());
    assert!(is_current(&{
        app.sim.repo().faults.clear();
        updater.check().unwrap()
    }));
}

#[test]
fn a_user_can_opt_out() {
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "child_whose_user_opted_out", "--nocapture"])
        .env("UPDATER_DISABLE", "1")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    assert!(String::from_utf8_lossy(&output.stdout).contains("1 passed"), "the child ran nothing");
}

#[test]
#[ignore = "run by the test above with an environment of its own"]
fn child_whose_user_opted_out() {
    let app = App::new();
    let disabled = |status: &Status| matches!(status, Status::NoUpdate(NoUpdate::Disabled { reason }) if reason.contains("UPDATER_DISABLE"));
    assert!(disabled(&app.updater().check().unwrap()));
    assert!(disabled(&app.updater().check_if_due().unwrap()));
    let (sender, answers) = mpsc::channel();
    let background = app.updater().check_in_background(move |answer| {
        sender.send(answer.unwrap()).unwrap();
        ControlFlow::Continue(())
    });
    assert!(disabled(&answers.recv_timeout(Duration::from_secs(30)).unwrap()));
    assert!(background.unwrap().join(), "it ends by itself");
    assert!(app.sim.take_requests().is_empty());
    assert!(!app.folder.path().join("state").exists());
}
