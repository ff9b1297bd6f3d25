//! A real server under load through updates by the launcher.
//!
//! `static-web-server` in two versions (built from crates.io when they are not there yet) is installed from a URL, supervised
//! and taken through ten updates while clients ask it on loopback, each request on a connection of its own. (wrk
//! counts the end of every connection that is closed as told as an error of its own, so it cannot tell a reset.) With the launcher's own listening socket no request may be
//! refused, reset or answered by anything but 200; without it the gap is measured.
//!
//! ```text
//! cargo run --release -p updater-tests --bin launcher-load [-- --launcher PROGRAM] [--servers FOLDER]
//! ```

#![expect(clippy::print_stdout, reason = "a program for people")]
#![expect(clippy::unwrap_used, reason = "whatever fails here ends the measurement, with its place")]

use serde_json::json;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use updater_tests::app::Published;
use updater_tests::crash::release::small_program;
use updater_tests::server::TestServer;
use updater_tests::workspace;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let option =
        |name: &str| arguments.iter().position(|word| word == name).map(|at| PathBuf::from(&arguments[at + 1]));
    let launcher = option("--launcher").unwrap_or_else(build_launcher);
    let servers = option("--servers").unwrap_or_else(|| workspace().join("target/launcher-load"));
    let servers = VERSIONS.map(|version| server(&servers, version));
    println!("load of the machine at the start: {}", load());

    let site = Site::new(&launcher, &servers, Way::ZeroDowntime);
    let (requests, failed) = site.under_load();
    println!("zero-downtime: {requests} requests, {UPDATES} updates, {failed} failed; load {}", load());
    let plain = Site::new(&launcher, &servers, Way::Plain);
    let gaps = plain.gaps();
    let shown: Vec<String> = gaps.iter().map(|gap| format!("{} ms", gap.as_millis())).collect();
    println!("plain, the gap of each update: {}; load {}", shown.join(", "), load());
    let longest = gaps.iter().max().unwrap().as_millis();
    println!(
        "launcher load: {requests} requests, {UPDATES} updates, {failed} failed (zero-downtime); gap {longest} ms (plain)"
    );
    assert_eq!(failed, 0, "requests have failed");
}

/// How the server gets its socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// From the launcher, with the versions side by side.
    ZeroDowntime,
    /// By itself, one version after the other.
    Plain,
}

/// One install under a launcher that runs.
struct Site {
    folder: tempfile::TempDir,
    launcher: PathBuf,
    published: Published,
    _web: TestServer,
    programs: [Vec<u8>; 2],
    address: SocketAddr,
    way: Way,
}

impl Site {
    /// Publishes the first version, installs it from the repository's URL and starts it.
    fn new(launcher: &Path, servers: &[PathBuf; 2], way: Way) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let published = Published::new(folder.path().join("repository"));
        let web = TestServer::start();
        web.serve_folder(folder.path().join("repository"));
        let programs = [0, 1].map(|at: usize| small_program(&servers[at], folder.path()));
        // Free a moment ago.
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let url = web.url("/");
        let this = Self { folder, launcher: launcher.to_owned(), published, _web: web, programs, address, way };
        this.publish(0);
        let (app, root) = (this.app(), this.published.root_file());
        this.run(&["install", &url, app.to_str().unwrap(), "--root", root.to_str().unwrap()]);
        this.run(&["start", "--detach", "-C", app.to_str().unwrap()]);
        let begin = Instant::now();
        while this.ask().is_err() {
            assert!(begin.elapsed() < PATIENCE, "the server does not answer");
            std::thread::sleep(Duration::from_millis(20));
        }
        this
    }

    fn app(&self) -> PathBuf {
        self.folder.path().join("app")
    }

    fn run(&self, arguments: &[&str]) -> String {
        let output = Command::new(&self.launcher).args(arguments).stdin(Stdio::null()).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
        text(&output.stdout)
    }

    /// Publishes release 1.NUMBER.0: the two versions of the server in turn.
    fn publish(&self, number: usize) {
        let public = "{{dir}}/public";
        let mut table = match self.way {
            Way::ZeroDowntime => json!({
                // The first of the sockets that LISTEN_FDS speaks of.
                "args": ["--fd", "0", "--root", public, "--log-level", "error"],
                "listen": self.address,
                "health": {"stay-up": "500ms", "limit": "1m"},
            }),
            Way::Plain => json!({
                "args": ["--host", "127.0.0.1", "--port", self.address.port().to_string(), "--root", public, "--log-level", "error"],
                "health": {"stay-up": "0ms", "limit": "1m", "tcp": self.address},
            }),
        };
        table.as_object_mut().unwrap().extend(
            json!({"interval": "never", "update-at-start": false, "stop": {"grace": "30s"}})
                .as_object()
                .unwrap()
                .clone(),
        );
        let (version, table) = (version(number), table.to_string());
        let files: [(&str, &[u8]); 3] = [
            ("bin/server", &self.programs[number % 2]),
            (".updater-launcher.json", table.as_bytes()),
            ("public/index.html", version.as_bytes()),
        ];
        self.published.release(&version, "bin/server", &files);
    }

    /// Takes the next release.
    fn update(&self, number: usize) {
        self.publish(number);
        let updated = self.run(&["update", "-C", self.app().to_str().unwrap()]);
        assert_eq!(updated.trim(), version(number));
    }

    /// Asks once; the version that answers with 200.
    fn ask(&self) -> std::io::Result<String> {
        ask(self.address)
    }

    /// Takes every update while clients ask. Returns how many requests were made and how many of them failed.
    fn under_load(&self) -> (u64, u64) {
        let address = self.address;
        let (done, requests, failed) = (AtomicBool::new(false), AtomicU64::new(0), AtomicU64::new(0));
        let begin = Instant::now();
        std::thread::scope(|scope| {
            for _ in 0..CLIENTS {
                scope.spawn(|| {
                    while !done.load(Ordering::SeqCst) || requests.load(Ordering::SeqCst) < REQUESTS {
                        assert!(begin.elapsed() < LIMIT, "too few requests in {LIMIT:?}");
                        if let Err(error) = ask(address) {
                            println!("a request failed: {error}");
                            failed.fetch_add(1, Ordering::SeqCst);
                        }
                        requests.fetch_add(1, Ordering::SeqCst);
                    }
                });
            }
            for number in 1..=UPDATES {
                self.update(number);
                println!("update to {} after {} requests", version(number), requests.load(Ordering::SeqCst));
            }
            done.store(true, Ordering::SeqCst);
        });
        assert_eq!(self.ask().unwrap(), version(UPDATES));
        (requests.into_inner(), failed.into_inner())
    }

    /// Takes every update and measures for how long nobody answers: from the last answer before it to the first after it.
    fn gaps(&self) -> Vec<Duration> {
        let address = self.address;
        let longest = |until: &AtomicBool| {
            let (mut last, mut longest) = (Instant::now(), Duration::ZERO);
            while !until.load(Ordering::SeqCst) {
                if ask(address).is_ok() {
                    longest = longest.max(last.elapsed());
                    last = Instant::now();
                } else {
                    std::thread::sleep(Duration::from_millis(1));
                }
            }
            longest
        };
        (1..=UPDATES)
            .map(|number| {
                let done = AtomicBool::new(false);
                std::thread::scope(|scope| {
                    let asking = scope.spawn(|| longest(&done));
                    self.update(number);
                    while self.ask().is_err() {
                        std::thread::sleep(Duration::from_millis(1));
                    }
                    std::thread::sleep(Duration::from_millis(50));
                    done.store(true, Ordering::SeqCst);
                    asking.join().unwrap()
                })
            })
            .collect()
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        let stopped = Command::new(&self.launcher).args(["stop", "-C"]).arg(self.app()).output();
        if !stopped.is_ok_and(|output| output.status.success()) {
            println!("the launcher in {} was not stopped", self.app().display());
        }
    }
}

/// Asks once; the version that answers with 200.
fn ask(address: SocketAddr) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    match answer.split_once("\r\n\r\n") {
        Some((head, body)) if head.starts_with("HTTP/1.1 200 ") => Ok(body.to_owned()),
        _ => Err(std::io::Error::other(format!("answered {answer:?}"))),
    }
}

fn version(number: usize) -> String {
    format!("1.{number}.0")
}

/// Builds the launcher as this program was built.
fn build_launcher() -> PathBuf {
    let own = std::env::current_exe().unwrap();
    let profile = if cfg!(debug_assertions) { "dev" } else { "release" };
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .args(["build", "--profile", profile, "-p", "updater-launcher"])
        .current_dir(workspace())
        .status()
        .unwrap();
    assert!(status.success(), "the launcher cannot be built");
    own.with_file_name("updater-launcher")
}

/// Returns the program of a version of the server; installs it with cargo when it is not there.
fn server(folder: &Path, version: &str) -> PathBuf {
    let root = folder.join(version);
    let program = root.join("bin/static-web-server");
    if !program.is_file() {
        println!("installing static-web-server {version} from crates.io");
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let status = Command::new(cargo)
            .args(["install", "static-web-server", "--locked", "--no-default-features", "--version", version, "--root"])
            .arg(&root)
            .status()
            .unwrap();
        assert!(status.success(), "static-web-server {version} cannot be installed");
    }
    program
}

/// Returns the mean number of runnable processes during the last minute, and the number of processors.
fn load() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    format!("{} on {processors} processors", text.split(' ').next().unwrap_or("?"))
}

/// The two versions of the server.
const VERSIONS: [&str; 2] = ["2.41.0", "2.42.0"];
/// How many updates each install takes.
const UPDATES: usize = 10;
/// How many clients ask at a time.
const CLIENTS: usize = 8;
/// How many requests are made at least.
const REQUESTS: u64 = 50_000;
/// How long all of them may take: 20 minutes.
const LIMIT: Duration = Duration::from_secs(20 * 60);
/// How long a server may take to start, and to answer.
const PATIENCE: Duration = Duration::from_secs(60);
