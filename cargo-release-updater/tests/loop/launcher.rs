//! From `cargo updater publish` to a launcher that runs: an app with a table `launcher` in its `Cargo.toml` is published,
//! installed from a URL by its pin, started and updated; and the launcher, published in the same way, updates itself while
//! the app runs on.

use crate::app::{App, Installed, Outcome, finish};
use serde_json::Value;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use updater_format::Sha256;
use updater_tests::server::TestServer;
use updater_tests::workspace;

/// A launcher of somebody's own: the launcher's library, and a root that is built in.
const LAUNCHER: &str = r#"fn main() -> std::process::ExitCode {
    let updater = updater_runtime::updater!();
    updater_launcher::cli::main_with(Some(updater), std::env::args_os())
}
"#;

/// A program that knows nothing of updates.
const SERVICE: &str = r#"fn main() {
    println!("service {}", env!("CARGO_PKG_VERSION"));
    loop {
        std::thread::sleep(std::time::Duration::from_secs(3600));
    }
}
"#;

const TABLE: &str = r#"probe = false

[package.metadata.updater.launcher]
interval = "never"
update-at-start = false
health = { stay-up = "200ms", limit = "30s" }
script.which = ["sh", "-c", "echo this is {{version}}"]
"#;

/// The launcher as its users have it, and the folder of the app.
struct Launched {
    installed: Installed,
    folder: PathBuf,
}

impl Launched {
    fn run(&self, arguments: &[&str]) -> Outcome {
        finish(self.installed.command(arguments).arg("-C").arg(&self.folder))
    }

    #[track_caller]
    fn ok(&self, arguments: &[&str]) -> String {
        let outcome = self.run(arguments);
        assert!(outcome.status.success(), "{arguments:?}: {outcome:#?}");
        outcome.stdout
    }

    fn status(&self) -> Value {
        serde_json::from_str(&self.ok(&["status"])).unwrap()
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("var/log/launcher.log")).unwrap_or_default()
    }

    #[track_caller]
    fn ready(&self, version: &str) {
        let begin = Instant::now();
        loop {
            let status = self.status();
            if status["version"] == version && status["ready"] == true {
                return;
            }
            assert!(begin.elapsed() < Duration::from_secs(60), "{status}: {}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Launched {
    fn drop(&mut self) {
        // What runs in the background ends with the test, however that ends.
        let _ = self.installed.command(&["stop", "-C"]).arg(&self.folder).output();
    }
}

fn version(app: &App, from: &str, to: &str) {
    app.replace("Cargo.toml", &format!("version = \"{from}\""), &format!("version = \"{to}\""));
}

#[test]
fn what_is_published_runs_under_a_launcher_that_updates_itself() {
    let (own, web) = (TestServer::start(), TestServer::start());
    let checkout = workspace();
    let dependency =
        format!("\n[dependencies]\nupdater-launcher = {{ path = {:?} }}\n", checkout.join("updater-launcher"));
    let launcher = App::new(LAUNCHER, &own.url(""), &dependency);
    // Its patches are not the question here, and making one of a program of this size takes its time.
    let publish = || launcher.publish_with("repository", &["--no-patches"]);
    let launchers = publish();
    own.serve_folder(&launchers);
    let service = App::new(SERVICE, &web.url(""), TABLE);
    let services = service.publish("repository");
    web.serve_folder(&services);

    let installed = launcher.install(&launchers, "1.0.0");
    let folder = installed.path("service");
    let launched = Launched { installed, folder };
    let pin = Sha256::of(&std::fs::read(service.path("updater/root.json")).unwrap()).to_string();
    let arguments = ["install", &web.url(""), launched.folder.to_str().unwrap(), "--pin", &pin];
    let outcome = finish(&mut launched.installed.command(&arguments));
    assert!(outcome.status.success(), "{outcome:#?}");
    launched.ok(&["start", "--detach"]);
    launched.ready("1.0.0");
    assert_eq!(launched.ok(&["script", "which"]), "this is 1.0.0\n");

    // The app's update: by a patch, for that is what was published.
    version(&service, "1.0.0", "1.1.0");
    service.publish("repository");
    web.take_log();
    assert_eq!(launched.ok(&["update"]), "1.1.0\n", "{}", launched.log());
    launched.ready("1.1.0");
    let asked: Vec<_> = web.take_log().into_iter().map(|request| request.target).collect();
    assert!(asked.iter().any(|path| path.ends_with(".patch")), "{asked:?}");
    let out = std::fs::read_to_string(launched.folder.join("var/log/hello.out.log")).unwrap();
    assert_eq!(out, "service 1.0.0\nservice 1.1.0\n");

    // The launcher's own update: the app is not touched by it.
    version(&launcher, "1.0.0", "1.1.0");
    publish();
    let before = launched.status();
    let program = launched.installed.bytes();
    let run = finish(&mut launched.installed.command(&["self-update", "--check"]));
    assert_eq!((run.status.success(), run.stdout.as_str()), (true, "1.1.0\n"), "{run:#?}");
    let run = finish(&mut launched.installed.command(&["self-update"]));
    assert_eq!((run.status.success(), run.stdout.as_str()), (true, "1.1.0\n"), "{run:#?}");
    assert_ne!(launched.installed.bytes(), program);
    assert_eq!(launched.status()["launcher-replaced"], true);
    launched.ok(&["restart", "--launcher"]);
    let after = launched.status();
    assert_eq!((&after["launcher"], &after["pid"]), (&before["launcher"], &before["pid"]), "{}", launched.log());
    assert_eq!((&after["launcher-replaced"], &after["ready"]), (&Value::Bool(false), &Value::Bool(true)));
    // It is the same in every other way: the app's end is seen, and updates go on.
    version(&service, "1.1.0", "1.2.0");
    service.publish("repository");
    assert_eq!(launched.ok(&["update"]), "1.2.0\n", "{}", launched.log());
    launched.ready("1.2.0");
    launched.ok(&["stop"]);

    // And by itself, after a look for the app's updates.
    version(&launcher, "1.1.0", "1.2.0");
    publish();
    let program = launched.installed.bytes();
    std::fs::write(launched.folder.join("launcher.toml"), "update-at-start = true\n").unwrap();
    launched.ok(&["start", "--detach"]);
    launched.ready("1.2.0");
    let before = launched.status();
    let running = || std::fs::read(format!("/proc/{}/exe", before["launcher"])).unwrap();
    let begin = Instant::now();
    while running() == program {
        assert!(begin.elapsed() < Duration::from_secs(60), "{}", launched.log());
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(running(), launched.installed.bytes());
    launched.ready("1.2.0");
    let after = launched.status();
    assert_eq!((&after["launcher"], &after["pid"]), (&before["launcher"], &before["pid"]), "{}", launched.log());
    assert_eq!(after["launcher-replaced"], false);
    launched.ok(&["stop"]);
}
