//! Several implementations, one format: python-tuf, tough and sigstore-tuf read what we publish, our client reads what
//! python-tuf publishes.
//!
//! python-tuf runs as a process of its own. It is found as `UPDATER_PYTHON` or installed from PyPI into an environment
//! below the target folder; without either the tests say `skipped`. tough and sigstore-tuf are a program of their own in
//! `tests/peers-rs`, which takes minutes to build: it is built and run where `UPDATER_PEERS` is set.

#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "in a test a wrong set-up is a failure like any other, and one that skips says so"
)]

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::{Duration, Instant};
use updater_format::{Sha256, UtcTime};
use updater_runtime::{Clock as _, SystemClock};
use updater_tests::server::{Answer, TestServer};
use updater_tests::simulator::{RepositorySimulator, TRIPLE};

/// Returns a Python that has python-tuf.
fn python() -> Option<&'static Path> {
    static FOUND: OnceLock<Option<PathBuf>> = OnceLock::new();
    FOUND.get_or_init(updater_tests::peers::python_tuf).as_deref()
}

/// Builds the program that contains tough and sigstore-tuf, where that is asked for.
fn rust_peers() -> Option<&'static Path> {
    static BUILT: OnceLock<Option<PathBuf>> = OnceLock::new();
    let build = || {
        if std::env::var_os("UPDATER_PEERS").is_none() {
            eprintln!("skipped: tough and sigstore-tuf, which take minutes to build (set UPDATER_PEERS=1)");
            return None;
        }
        let package = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers-rs");
        // Beside the temporary folder of this test, so that it is built once.
        let target = std::env::var_os("UPDATER_PEERS_TARGET")
            .map_or_else(|| Path::new(env!("CARGO_TARGET_TMPDIR")).join("peers-rs"), PathBuf::from);
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut command = Command::new(cargo);
        command.args(["build", "--release", "--locked", "--manifest-path"]).arg(package.join("Cargo.toml"));
        let output = command.env("CARGO_TARGET_DIR", &target).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Some(target.join("release/updater-peers"))
    };
    BUILT.get_or_init(build).as_deref()
}

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers").join(name)
}

/// A repository of ours as of today, three roots long, with two releases, and a server that has its files.
fn ours() -> (RepositorySimulator, TestServer) {
    let sim = RepositorySimulator::starting_at(SystemClock::new(UtcTime::from_unix(0)).now());
    sim.repo().rotate(updater_format::role::RoleName::Timestamp, 81);
    sim.repo().rotate(updater_format::role::RoleName::Root, 82);
    for role in ["root", "timestamp", "snapshot", "targets", "stable"] {
        // TUF lets everybody add fields; the canonical form must agree about what is in them.
        sim.repo().edit(role, |signed| {
            signed["x-odd"] = serde_json::json!({"": "\u{7f}\t\n\"\\ ü \u{1f600}", "n": [0, 9_007_199_254_740_992_u64, true, null]});
        });
    }
    sim.repo().release("stable", "1.0.0", b"the bundle of 1.0.0");
    sim.repo().release("stable", "1.1.0", &[7; 100_000]);
    let server = TestServer::start();
    for path in sim.files() {
        server.put(&format!("/{path}"), sim.file(&path));
    }
    (sim, server)
}

#[test]
fn python_tuf_reads_our_repository() {
    let Some(python) = python() else { return };
    let (sim, server) = ours();
    let home = tempfile::tempdir().unwrap();
    let root = home.path().join("root.json");
    std::fs::write(&root, sim.file("metadata/1.root.json")).unwrap();
    let names: Vec<String> = sim.repo().stable().targets.keys().cloned().collect();
    assert_eq!(names.len(), 2);
    let read = || {
        Command::new(python)
            .arg(script("read.py"))
            .args([&root, Path::new(&server.url("/metadata/")), Path::new(&server.url("/targets/"))])
            .args([home.path().join("state"), home.path().join("targets")])
            .args(&names)
            .output()
            .unwrap()
    };
    let output = read();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let digests: Vec<String> = String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect();
    assert_eq!(digests, [Sha256::of(b"the bundle of 1.0.0"), Sha256::of(&[7; 100_000])].map(|d| d.to_string()));
    // It is the signatures that convince it: one changed bit in the newest timestamp, and it refuses.
    sim.repo().timestamp.version += 1;
    let mut bytes = sim.file("metadata/timestamp.json");
    let at = bytes.windows(6).position(|w| w == b"\"sig\":").unwrap() + 8;
    bytes[at] = if bytes[at] == b'0' { b'1' } else { b'0' };
    server.put("/metadata/timestamp.json", bytes);
    let output = read();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("UnsignedMetadataError"), "{said}");
}

/// A repository with two releases that `cargo updater publish` wrote below `home`, and the names of its targets.
fn published(home: &Path) -> (PathBuf, Vec<String>) {
    let package = home.join("package");
    std::fs::create_dir_all(package.join("src")).unwrap();
    let manifest = "[package]\nname = \"hello\"\nversion = \"1.0.0\"\nedition = \"2024\"\n";
    std::fs::write(package.join("Cargo.toml"), manifest).unwrap();
    std::fs::write(package.join("src/main.rs"), "fn main() {}\n").unwrap();
    let storage = format!("fs:{}", home.join("repository").display());
    publisher(&package, &["init", "--dev", "--url", "http://127.0.0.1:9/", "--storage", &storage]);
    for version in ["1.0.0", "1.1.0"] {
        let tree = home.join("tree");
        std::fs::create_dir_all(&tree).unwrap();
        // A program that answers the probe, so that the rehearsal is a real one.
        let answer = format!("updater-probe 1 $UPDATER_PROBE hello {version} {TRIPLE}");
        std::fs::write(tree.join("hello"), format!("#!/bin/sh\necho \"{answer}\"\n")).unwrap();
        std::fs::set_permissions(tree.join("hello"), std::fs::Permissions::from_mode(0o755)).unwrap();
        publisher(
            &package,
            &[
                "publish",
                "--target",
                TRIPLE,
                "--level",
                "1",
                "--version",
                version,
                "--from-dir",
                tree.to_str().unwrap(),
            ],
        );
    }
    let repository = home.join("repository");
    let role = std::fs::read(repository.join("metadata/2.stable.json")).unwrap();
    let role = updater_format::json::parse("role", &role).unwrap();
    let names: Vec<String> = role["signed"]["targets"].as_object().unwrap().keys().cloned().collect();
    assert!(names.len() >= 2, "{names:?}");
    (repository, names)
}

#[test]
fn python_tuf_reads_what_the_publisher_publishes() {
    let Some(python) = python() else { return };
    let home = tempfile::tempdir().unwrap();
    let (repository, names) = published(home.path());
    let server = TestServer::start();
    server.serve_folder(&repository);
    let output = Command::new(python)
        .arg(script("read.py"))
        .args([repository.join("metadata/1.root.json").as_path(), Path::new(&server.url("/metadata/"))])
        .args([Path::new(&server.url("/targets/")), &home.path().join("state"), &home.path().join("got")])
        .args(&names)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(String::from_utf8(output.stdout).unwrap().lines().count(), names.len());
}

#[test]
fn tough_and_sigstore_tuf_read_what_the_publisher_publishes() {
    let Some(peers) = rust_peers() else { return };
    let home = tempfile::tempdir().unwrap();
    let (repository, names) = published(home.path());
    let server = TestServer::start();
    server.serve_folder(&repository);
    let expected: Vec<String> = names
        .iter()
        .map(|name| {
            let files = std::fs::read_dir(repository.join("targets")).unwrap().map(|entry| entry.unwrap().path());
            let is_it = |path: &PathBuf| path.to_str().unwrap().ends_with(&format!(".{name}"));
            Sha256::of(&std::fs::read(files.into_iter().find(is_it).unwrap()).unwrap()).to_string()
        })
        .collect();
    let read = |implementation: &str, state: &str| {
        Command::new(peers)
            .arg(implementation)
            .args([repository.join("metadata/1.root.json").as_path(), Path::new(&server.url("/metadata/"))])
            .args([Path::new(&server.url("/targets/")), &home.path().join(state)])
            .args(&names)
            .output()
            .unwrap()
    };
    let digests = |output: &std::process::Output| {
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect::<Vec<_>>()
    };
    for implementation in ["tough", "sigstore-tuf"] {
        // A first check, and one with what the first one kept.
        for _ in 0..2 {
            assert_eq!(digests(&read(implementation, implementation)), expected, "{implementation}");
        }
    }
    // It is the signatures that convince them, and the signed hash of a file.
    let timestamp = std::fs::read(repository.join("metadata/timestamp.json")).unwrap();
    let mut forged = timestamp.clone();
    let at = forged.windows(6).position(|w| w == b"\"sig\":").unwrap() + 8;
    forged[at] = if forged[at] == b'0' { b'1' } else { b'0' };
    for implementation in ["tough", "sigstore-tuf"] {
        server.put("/metadata/timestamp.json", forged.clone());
        let output = read(implementation, "forged");
        let said = String::from_utf8_lossy(&output.stderr).to_lowercase();
        assert!(!output.status.success() && said.contains("signature"), "{implementation}: {said}");
        server.put("/metadata/timestamp.json", timestamp.clone());
        let file = format!("/targets/{}.{}", expected[0], names[0]);
        let length = std::fs::metadata(repository.join(&file[1..])).unwrap().len();
        server.put(&file, vec![0; usize::try_from(length).unwrap()]);
        let output = read(implementation, "changed");
        let said = String::from_utf8_lossy(&output.stderr).to_lowercase();
        assert!(
            !output.status.success() && (said.contains("hash") || said.contains("sha256")),
            "{implementation}: {said}"
        );
        server.remove(&file);
        assert_eq!(digests(&read(implementation, "again")), expected, "{implementation}");
    }
}

/// Runs `cargo updater` in a child process: this very program, at the test below.
fn publisher(folder: &Path, arguments: &[&str]) {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child_that_is_the_publisher", "--nocapture"])
        .current_dir(folder)
        .env("UPDATER_TEST_ARGUMENTS", arguments.join("\n"))
        .env("UPDATER_KEY_DIR", folder.with_file_name("keys"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn child_that_is_the_publisher() {
    let Ok(arguments) = std::env::var("UPDATER_TEST_ARGUMENTS") else { return };
    let words = std::iter::once("cargo-updater").chain(arguments.lines()).map(std::ffi::OsString::from);
    assert_eq!(cargo_release_updater::cli::main(words), std::process::ExitCode::SUCCESS);
}

#[test]
fn our_client_reads_the_repository_of_python_tuf() {
    let Some(python) = python() else { return };
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("repository");
    let output = Command::new(python).arg(script("write.py")).arg(&folder).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let server = TestServer::start();
    server.serve_folder(&folder);
    let client = Client::new(home.path(), &server);
    client.run(&["init", folder.join("metadata/1.root.json").to_str().unwrap()]).unwrap();
    let (readme, program) = ("readme.txt", "hello/1.0.0/hello.bin");
    client.run(&["--target-name", readme, "--target-name", program, "download"]).unwrap();
    assert_eq!(client.downloaded("readme.txt"), b"by the top-level role");
    assert_eq!(client.downloaded("hello%2F1.0.0%2Fhello.bin").len(), 256 * 40);
    // A target that its delegation does not cover, and one that nobody lists.
    for name in ["hello.bin", "other/1.0.0/hello.bin"] {
        let said = client.run(&["--target-name", name, "download"]).unwrap_err();
        assert!(said.contains("no role that may list it"), "{said}");
    }
    // One changed byte of the role.
    let mut role = std::fs::read(folder.join("metadata/1.stable.json")).unwrap();
    let at = role.windows(6).position(|w| w == b"hello/").unwrap();
    role[at] = b'j';
    server.set("/metadata/1.stable.json", Answer::File(role));
    std::fs::remove_file(home.path().join("state/stable.json")).unwrap();
    let said = client.run(&["--target-name", "hello/1.0.0/other.bin", "download"]).unwrap_err();
    assert!(said.contains("stable does not have the signed hash"), "{said}");
}

/// The conformance client as a process.
struct Client<'a> {
    home: &'a Path,
    server: &'a TestServer,
}

impl<'a> Client<'a> {
    fn new(home: &'a Path, server: &'a TestServer) -> Self {
        std::fs::create_dir_all(home.join("got")).unwrap();
        Self { home, server }
    }

    fn run(&self, arguments: &[&str]) -> Result<(), String> {
        let output = Command::new(env!("CARGO_BIN_EXE_tuf-conformance-client"))
            .arg("--metadata-dir")
            .arg(self.home.join("state"))
            .args(["--metadata-url", &self.server.url("/metadata/")])
            .args(["--target-base-url", &self.server.url("/targets/")])
            .arg("--target-dir")
            .arg(self.home.join("got"))
            .args(arguments)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        if output.status.success() { Ok(()) } else { Err(said) }
    }

    fn downloaded(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.home.join("got").join(name)).unwrap()
    }
}

/// Requests, body bytes and time of a first check and of one without news, beside python-tuf's.
/// `cargo test --release -p updater-tests --test trust_peers -- --nocapture cost`
#[test]
fn the_cost_of_a_check_beside_python_tuf() {
    let (sim, server) = ours();
    let home = tempfile::tempdir().unwrap();
    let root = home.path().join("root.json");
    std::fs::write(&root, sim.repo().root_bytes()).unwrap();
    let measure = |what: &str, run: &dyn Fn()| {
        let before = server.log().len();
        let started = Instant::now();
        run();
        let took = started.elapsed();
        let log = server.log();
        let bytes: usize = log[before..].iter().map(|request| request.body_bytes).sum();
        println!("{what:<32} {:>2} requests {bytes:>6} bytes {took:>8.1?}", log.len() - before);
        (log.len() - before, bytes, took)
    };
    let client = Client::new(home.path(), &server);
    client.run(&["init", root.to_str().unwrap()]).unwrap();
    let first = measure("first check", &|| client.run(&["refresh"]).unwrap());
    let again = measure("check without news", &|| client.run(&["refresh"]).unwrap());
    // Root (404), timestamp, snapshot, targets; then root (404) and timestamp, which is not sent again.
    assert_eq!((first.0, again.0), (4, 2));
    assert!(again.1 < 1024, "{} bytes", again.1);
    assert!(again.2 < Duration::from_secs(20));
    let Some(python) = python() else { return };
    let state = home.path().join("python");
    let refresh = || {
        let output = Command::new(python)
            .arg(script("read.py"))
            .args([&root, Path::new(&server.url("/metadata/")), Path::new(&server.url("/targets/")), &state, &state])
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    let theirs = measure("python-tuf, first check", &refresh);
    let theirs_again = measure("python-tuf, check without news", &refresh);
    assert!(first.0 <= theirs.0 && first.1 <= theirs.1, "{first:?} {theirs:?}");
    assert!(again.0 <= theirs_again.0 && again.1 <= theirs_again.1, "{again:?} {theirs_again:?}");
}
