//! What a check costs: counted in requests and bytes at a real server, after 10 and after 300 releases.

use crate::package::Package;
use cargo_release_updater::context::Prompts;
use cargo_release_updater::keys::{KeyFolder, Keychain, Passwords, Signer};
use cargo_release_updater::plan::{Epoch, Request};
use cargo_release_updater::repository::{Commit, Lease};
use cargo_release_updater::shell::{MessageFormat, Shell};
use cargo_release_updater::steps::bundle::{self, Contents, Packing};
use cargo_release_updater::steps::diff::{self, DiffLimits, OldBundle, Outcome};
use cargo_release_updater::steps::release::Release;
use cargo_release_updater::storage::Storage;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use updater_format::{AppId, Channel, Platform, ReleaseVersion, UtcTime};
use updater_runtime::transport::ProxyChoice;
use updater_runtime::{Config, NoUpdate, Status, Updater};
use updater_tests::server::{Answer, LoggedRequest, TestServer};

/// A publisher that works through the library: the same steps as `cargo updater publish` without the rehearsal, which
/// does not change what is published, so that hundreds of releases take seconds.
struct Publisher {
    package: Package,
    /// Where bundles, patches and the repository lie.
    folder: tempfile::TempDir,
    storage: Storage,
    keychain: Keychain,
    /// The last releases, newest first.
    old: Vec<OldBundle>,
    shell: Shell,
}

impl Publisher {
    fn new() -> Self {
        let package = Package::new();
        package.run(&["init", "--dev"]).ok();
        std::fs::create_dir(package.path("dist")).unwrap();
        // In memory where there is such a folder: each release is synced to disk some twenty times, and whether it
        // survives a power cut is not the question here.
        let memory = Path::new("/dev/shm");
        let folder = tempfile::tempdir_in(memory).or_else(|_| tempfile::tempdir()).unwrap();
        let storage = Storage::open_folder(&folder.path().join("repository"), "fs:repository").unwrap();
        let keychain = Keychain::open(KeyFolder::at(package.keys()), Passwords::none(Prompts::Never)).unwrap();
        Self { package, folder, storage, keychain, old: Vec::new(), shell: Shell::captured(MessageFormat::Human) }
    }

    fn path(&self, relative: &str) -> PathBuf {
        self.folder.path().join(relative)
    }

    fn publish(&mut self, version: &ReleaseVersion) {
        let (package, shell) = (&self.package, &self.shell);
        let program = package.path("dist/hello");
        std::fs::write(&program, program_of(version)).unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        let contents = Contents {
            app: app(),
            component: None,
            version: version.clone(),
            platform: platform(),
            install: None,
            entry: None,
            keep_local: Vec::new(),
            codecs: vec!["refs-1".to_owned()],
            files: bundle::from_folder(&package.path("dist")).unwrap(),
        };
        let packing = Packing::new(0, None).unwrap();
        let bundled = bundle::bundle(&contents, packing, &self.path("bundles"), shell).unwrap();
        let limits = DiffLimits::default();
        let outcomes = diff::diff(&bundled, &self.old, &self.path("patches"), limits, shell).unwrap();
        let patches = outcomes.into_iter().map(|outcome| match outcome {
            Outcome::Kept(patch) => *patch,
            other => panic!("no patch: {other:?}"),
        });
        let request = Request {
            app: app(),
            component: None,
            channel: Channel::stable(),
            version: version.clone(),
            platforms: vec![platform()],
            patches_from: KEEP,
            keep: KEEP,
            epoch: Epoch::Keep,
        };
        let release = Release {
            request,
            bundles: vec![bundled.clone()],
            patches: patches.collect(),
            notes: None,
            released: now(),
            metadata: Default::default(),
        };
        let (root, targets) = (package.read("updater/root.json"), package.read("updater/targets.json"));
        let uploads = release.uploads(&self.signer()).unwrap();
        let mut commit = Commit {
            storage: &self.storage,
            app: &app(),
            root: root.as_bytes(),
            targets: targets.as_bytes(),
            earlier: &[],
            keychain: &mut self.keychain,
            now: now(),
            lease: Lease::default(),
            shell: &self.shell,
        };
        commit.upload(&uploads, |_, _| {}).unwrap();
        commit
            .publish(&Channel::stable(), |role, before| {
                release.edit(role, before)?;
                Ok(())
            })
            .unwrap();
        self.old.insert(0, OldBundle { entry: bundled.part.entry(0, None), path: bundled.path });
        self.old.truncate(KEEP as usize);
    }

    /// Unlocks the key that signs the files.
    fn signer(&self) -> Signer {
        let path = self.package.keys().join("development/stable.key");
        Signer::from_text("stable.key", &std::fs::read_to_string(path).unwrap(), || panic!("it is not encrypted"))
            .unwrap()
    }

    /// Returns an updater of a copy of this version, installed afresh: no state, no cache.
    fn installed(&self, version: &ReleaseVersion, server: &TestServer) -> (Updater, tempfile::TempDir) {
        let folder = tempfile::tempdir().unwrap();
        let program: PathBuf = folder.path().join("hello");
        std::fs::write(&program, program_of(version)).unwrap();
        let root = std::fs::read(self.package.path("updater/root.json")).unwrap();
        let config = Config::new(app(), version.clone(), platform(), root, &server.url("/"))
            .unwrap()
            .with_executable(program)
            .with_state_dir(folder.path().join("state"))
            .with_proxy(ProxyChoice::Direct);
        (Updater::new(config).unwrap(), folder)
    }

    /// Counts what a fresh copy of the newest version asks in its first check, and in its second.
    fn cost_of_checks(&self, version: &ReleaseVersion) -> [Cost; 2] {
        let server = TestServer::start();
        server.serve_folder(self.path("repository"));
        let (updater, _folder) = self.installed(version, &server);
        [0; 2].map(|_| {
            match updater.check().unwrap() {
                Status::NoUpdate(NoUpdate::Current { .. }) => {}
                other => panic!("{other:?}"),
            }
            Cost::of(server.take_log())
        })
    }
}

/// What was asked, and how many bytes of bodies that took.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Cost {
    requests: Vec<String>,
    bytes: usize,
}

impl Cost {
    fn of(log: Vec<LoggedRequest>) -> Self {
        let bytes = log.iter().map(|request| request.body_bytes).sum();
        let mut requests: Vec<_> = log.into_iter().map(|request| request.target).collect();
        requests.sort();
        Self { requests, bytes }
    }
}

#[test]
fn a_check_without_news_is_two_requests_and_below_a_kilobyte() {
    let mut publisher = Publisher::new();
    publisher.publish(&version(0));
    let [_, again] = publisher.cost_of_checks(&version(0));
    assert_eq!(again.requests, ["/metadata/2.root.json", "/metadata/timestamp.json"]);
    assert!(again.bytes < 1024, "{again:?}");

    // A server that knows no entity tags sends the whole timestamp each time. That is within the promise too.
    let server = TestServer::start();
    server.serve_folder(publisher.path("repository"));
    let timestamp = std::fs::read(publisher.path("repository/metadata/timestamp.json")).unwrap();
    server.set("/metadata/timestamp.json", Answer::Plain(timestamp.clone()));
    let (updater, _folder) = publisher.installed(&version(0), &server);
    for _ in 0..2 {
        server.take_log();
        assert!(matches!(updater.check().unwrap(), Status::NoUpdate(NoUpdate::Current { .. })));
    }
    let again = Cost::of(server.log());
    assert_eq!(again.requests.len(), 2, "{again:?}");
    assert!(again.bytes > timestamp.len() && again.bytes < 1024, "{again:?}");
}

#[test]
fn the_first_check_costs_the_same_after_300_releases_as_after_10() {
    let mut publisher = Publisher::new();
    (0..10).for_each(|number| publisher.publish(&version(number)));
    let [few, _] = publisher.cost_of_checks(&version(9));
    (10..300).for_each(|number| publisher.publish(&version(number)));
    let [many, again] = publisher.cost_of_checks(&version(299));
    assert_eq!(published_bundles(&publisher), 300);

    // Documents have their versions in their names; apart from these the requests are the same.
    let without_numbers = |cost: &Cost| {
        let mut requests: Vec<_> =
            cost.requests.iter().map(|path| path.replace(|c: char| c.is_ascii_digit(), "")).collect();
        requests.sort();
        requests
    };
    assert_eq!(
        without_numbers(&few),
        [
            "/metadata/.root.json",
            "/metadata/.snapshot.json",
            "/metadata/.stable.json",
            "/metadata/.targets.json",
            "/metadata/timestamp.json"
        ]
    );
    assert_eq!(without_numbers(&few), without_numbers(&many));
    println!("a first check: {} bytes after 10 releases, {} after 300", few.bytes, many.bytes);
    assert!(many.bytes <= few.bytes + 64, "{} bytes after 10 releases, {} after 300", few.bytes, many.bytes);
    assert!(again.requests.len() == 2 && again.bytes < 1024, "{again:?}");
}

fn published_bundles(publisher: &Publisher) -> usize {
    let files = std::fs::read_dir(publisher.path("repository/targets")).unwrap();
    files.filter(|file| file.as_ref().unwrap().path().extension().is_some_and(|suffix| suffix == "xz")).count()
}

/// A program with a body that compresses badly, so that a patch is worth it, and a line that differs.
fn program_of(version: &ReleaseVersion) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut program = format!("#!/bin/sh\necho {version}\nexit\n").into_bytes();
    for _ in 0..512 {
        // SplitMix64: the same bytes in every release.
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        program.extend_from_slice(&mixed.to_le_bytes());
    }
    program
}

/// Versions of one length: what is counted is the number of releases, not how many digits their names have.
fn version(number: u32) -> ReleaseVersion {
    ReleaseVersion::parse(&format!("1.{}.0", 100 + number)).unwrap()
}

fn app() -> AppId {
    AppId::parse("hello").unwrap()
}

fn platform() -> Platform {
    Platform::parse("x86_64-unknown-linux-gnu").unwrap()
}

fn now() -> UtcTime {
    cargo_release_updater::context::Clock::System.now()
}

/// How many releases stay listed, and from how many there are patches: the defaults of the table.
const KEEP: u32 = 3;
