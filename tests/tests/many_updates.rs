//! Updates in a row, from 1.0.0 on, while processes are killed at random moments and the network breaks: it ends at the
//! last version, and nothing piles up.
//!
//! 5 of each kind by default; `UPDATER_TEST_UPDATES=50` for all. The seed is printed; `UPDATER_TEST_SEED` repeats a run as far as the
//! moments of kills can be repeated.
#![expect(clippy::unwrap_used, reason = "helpers of tests outside a test function")]

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use updater_format::UtcTime;
use updater_tests::crash::app::{REPOSITORY, ROOT};
use updater_tests::crash::release::{Release, small_program, write_repository};
use updater_tests::crash::world::{Kind, World};
use updater_tests::proxy::{Breakage, FaultyRelay};
use updater_tests::server::TestServer;
use updater_tests::simulator::RepositorySimulator;

#[test]
fn many_updates_in_a_row_survive_kills_and_a_broken_network() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let updates = number("UPDATER_TEST_UPDATES").unwrap_or(5);
    let seed = number("UPDATER_TEST_SEED").unwrap_or_else(|| u64::from(std::process::id()) ^ now().unsigned_abs());
    eprintln!("seed {seed}, {updates} updates");
    let mut kills = 0;
    for kind in Kind::ALL {
        let tally = run(kind, updates, seed);
        eprintln!("{}: 1.0.0 to 1.0.{updates} in {} runs, {} killed", kind.name(), tally.runs, tally.kills);
        kills += tally.kills;
    }
    assert!(kills > 0, "no run was killed: seed {seed}");
}

#[derive(Default)]
struct Tally {
    runs: u32,
    kills: u32,
}

fn run(kind: Kind, updates: u64, seed: u64) -> Tally {
    let folder = tempfile::tempdir().unwrap();
    let program = small_program(Path::new(env!("CARGO_BIN_EXE_crash-points")), folder.path());
    let served = folder.path().join("repository");
    let repository = RepositorySimulator::starting_at(UtcTime::from_unix(now()));
    let server = TestServer::start();
    server.serve_folder(&served);
    let random = Arc::new(Mutex::new(Random(seed)));
    let calm = Arc::new(AtomicBool::new(false));
    let relay = {
        let (random, calm) = (Arc::clone(&random), Arc::clone(&calm));
        FaultyRelay::start(server.address(), move || {
            if calm.load(Ordering::SeqCst) { Breakage::None } else { breakage(&mut random.lock().unwrap()) }
        })
    };
    std::fs::write(folder.path().join("root.json"), repository.repo().root_bytes()).unwrap();
    let world = World { slot: folder.path().join("slot"), kind };
    let mut old = Release::new(&program, kind.install(), "1.0.0", true);
    world.install(&old).unwrap();
    let app = App { world: &world, folder: folder.path(), url: format!("http://{}/", relay.address()) };
    let mut tally = Tally::default();
    // How long an update takes that nothing disturbs: the first one is. Kills come within this time.
    let mut undisturbed = Duration::ZERO;
    for number in 1..=updates {
        let new = Release::new(&program, kind.install(), &format!("1.0.{number}"), true);
        new.publish(&repository);
        write_repository(&repository, &served).unwrap();
        let room = 5 * new.files.len() as u64 * 8192 + 4 * program.len() as u64;
        for attempt in 0.. {
            assert!(attempt < 20, "no progress to {}: seed {seed}", new.version);
            // Every update has its chance in the end: a network that never works is another test.
            let is_calm = number == 1 || attempt >= PATIENCE;
            calm.store(is_calm, Ordering::SeqCst);
            // The first try of every update is killed, so that no seed goes without.
            let is_killed = !is_calm && (attempt == 0 || random.lock().unwrap().below(2) == 0);
            let limit = is_killed.then(|| random.lock().unwrap().moment(undisturbed));
            let begin = Instant::now();
            tally.runs += 1;
            tally.kills += u32::from(app.run("update", limit));
            if number == 1 {
                undisturbed = begin.elapsed();
            }
            if let Err(difference) = world.installed(&[&old, &new]) {
                panic!("seed {seed}: {difference}");
            }
            let hidden = size(&world.hidden());
            assert!(hidden <= room, "the hidden folder takes {hidden} bytes, seed {seed}");
            if world.installed(&[&new]).is_ok() {
                break;
            }
        }
        old = new;
    }
    // One start without a fault settles the rest.
    calm.store(true, Ordering::SeqCst);
    app.run("report", None);
    world.check(&old).unwrap_or_else(|difference| panic!("seed {seed}: {difference}"));
    world.check_tidy(false).unwrap_or_else(|left| panic!("seed {seed}: {left}"));
    tally
}

/// The installed program and how it is started.
struct App<'a> {
    world: &'a World,
    folder: &'a Path,
    url: String,
}

impl App<'_> {
    /// Runs the installed program, kills it after a while if that is asked, and tells whether it had to be.
    fn run(&self, command: &str, limit: Option<Duration>) -> bool {
        let mut child = Command::new(self.world.program())
            .arg(command)
            .env(REPOSITORY, &self.url)
            .env(ROOT, self.folder.join("root.json"))
            .env("XDG_STATE_HOME", self.folder.join("state"))
            .env_remove("UPDATER_DISABLE")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let begin = Instant::now();
        loop {
            if child.try_wait().unwrap().is_some() {
                return false;
            }
            if limit.is_some_and(|limit| begin.elapsed() >= limit) {
                child.kill().unwrap();
                child.wait().unwrap();
                return true;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

/// Two of five connections break.
fn breakage(random: &mut Random) -> Breakage {
    let bytes = if random.below(2) == 0 { random.below(4096) } else { random.below(4 * 1024 * 1024) };
    match random.below(10) {
        0 | 1 => Breakage::Cut(bytes),
        2 => Breakage::Stall(bytes, Duration::from_millis(200)),
        3 => Breakage::Reset,
        _ => Breakage::None,
    }
}

/// SplitMix64: the same seed gives the same choice.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (word ^ (word >> 31)) % limit
    }

    /// A moment before the limit.
    fn moment(&mut self, limit: Duration) -> Duration {
        Duration::from_micros(self.below(u64::try_from(limit.as_micros()).unwrap().max(1)))
    }
}

fn now() -> i64 {
    i64::try_from(std::time::UNIX_EPOCH.elapsed().unwrap().as_secs()).unwrap()
}

/// Returns the bytes of all files in a folder.
fn size(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let size = |path: PathBuf| match path.symlink_metadata() {
        Ok(metadata) if metadata.is_dir() => size(&path),
        Ok(metadata) => metadata.len(),
        Err(_) => 0,
    };
    entries.map(|entry| size(entry.path())).sum()
}

/// After how many runs of one update the faults stop.
const PATIENCE: u32 = 6;
