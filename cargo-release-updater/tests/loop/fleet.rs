//! The life of a fleet: released, a key lost, rotated, stolen, revoked, expired, wiped and put back. The real command, real
//! builds, a server, and installed programs of every age, each built with the root of its time.

use crate::app::{App, Installed, Outcome, finish};
use crate::package::Run;
use std::path::PathBuf;
use updater_tests::clock::days_from_now;
use updater_tests::server::TestServer;
use updater_tests::{require, workspace};

/// The app, its address, and everybody who has ever installed it.
struct Fleet {
    app: App,
    server: TestServer,
    version: String,
    /// Copies that look for updates at every turn.
    awake: Vec<Installed>,
    /// Copies that are started for the first time in the end.
    asleep: Vec<Installed>,
}

impl Fleet {
    fn new() -> Self {
        let server = TestServer::start();
        let table = "storage = \"fs:repository\"\npatches-from = 1\n";
        let app = App::package(include_str!("programs/fleet.rs"), table);
        let (url, checkout) = (server.url(""), workspace());
        let checkout = checkout.to_str().unwrap();
        let init = ["init", "--url", &url, "--no-password", "--daily-refresh", "--path-deps", checkout];
        app.cargo_updater(&init).ok();
        let fleet = Self { app, server, version: "1.0.0".to_owned(), awake: Vec::new(), asleep: Vec::new() };
        std::fs::create_dir_all(fleet.repository()).unwrap();
        fleet
    }

    fn repository(&self) -> PathBuf {
        self.app.path("repository")
    }

    fn run(&self, arguments: &[&str]) -> Run {
        self.app.cargo_updater(arguments)
    }

    /// Rotates a role with a key that is made here.
    fn rotate(&self, role: &str) {
        self.run(&["keys", "rotate", role, "--no-password", "--wait", "0"]).ok();
    }

    fn set_version(&mut self, version: &str) {
        let line = |version: &str| format!("version = \"{version}\"\nedition");
        self.app.replace("Cargo.toml", &line(&self.version), &line(version));
        version.clone_into(&mut self.version);
    }

    /// Publishes a version, sees everybody who is awake take it, and installs two copies of it.
    fn release(&mut self, version: &str) {
        if self.version != version {
            self.set_version(version);
        }
        self.run(&["publish", "--level", "1"]).ok();
        self.run(&["verify"]).ok();
        self.server.serve_folder(self.repository());
        self.everybody_awake_has(version);
        let install = || self.app.install(&self.repository(), version);
        let (awake, asleep) = (install(), install());
        self.awake.push(awake);
        self.asleep.push(asleep);
    }

    /// Lets everybody who is awake look for updates.
    fn everybody_awake_has(&self, version: &str) {
        self.server.serve_folder(self.repository());
        for copy in &self.awake {
            start(copy, 0).done_by(version);
            start(copy, 0).done_by(version).tells(&format!("no update: {version} is the newest version"));
        }
    }

    /// Somebody copies the keys with these names.
    fn steal(&self, keys: &[&str]) -> String {
        let thief = self.app.path("thief");
        std::fs::create_dir_all(&thief).unwrap();
        for key in keys {
            for ending in ["key", "pub"] {
                let file = format!("{key}.{ending}");
                std::fs::copy(self.app.release_keys().join(&file), thief.join(&file)).unwrap();
            }
        }
        thief.to_str().unwrap().to_owned()
    }

    fn lose(&self, key: &str) {
        std::fs::remove_file(self.app.release_keys().join(format!("{key}.key"))).unwrap();
    }

    fn root(&self) -> u64 {
        let root: serde_json::Value =
            serde_json::from_slice(&std::fs::read(self.app.path("updater/root.json")).unwrap()).unwrap();
        root["signed"]["version"].as_u64().unwrap()
    }
}

/// Starts a copy this many days from now.
fn start(copy: &Installed, days: u32) -> Outcome {
    if days == 0 {
        return copy.run(&["run"]);
    }
    let program = copy.command(&["run"]);
    let mut command = days_from_now(days.into());
    command.arg(program.get_program()).args(program.get_args());
    command.env_clear().envs(program.get_envs().filter_map(|(name, value)| Some((name, value?))));
    finish(command.current_dir(program.get_current_dir().unwrap()))
}

#[test]
fn apps_of_every_age_come_through_loss_theft_revocation_expiry_and_a_wiped_storage() {
    if !require::command("faketime", "apt-get install faketime") {
        return;
    }
    let mut fleet = Fleet::new();
    fleet.release("1.0.0");

    // The key of the channel is lost: nothing can be released before another one has its place.
    fleet.lose("stable");
    fleet.set_version("1.1.0");
    fleet.run(&["publish", "--level", "1"]).fails(40, "cannot sign the role stable: 0 of the 1 keys", "--key-dir");
    fleet.rotate("stable");
    fleet.release("1.1.0");

    // Every other key is changed before anything happens to it: the next build embeds another root.
    assert_eq!(fleet.root(), 1);
    for role in ["root", "targets", "online"] {
        fleet.rotate(role);
        fleet.everybody_awake_has("1.1.0");
    }
    assert_eq!(fleet.root(), 4);
    fleet.release("1.2.0");

    // The online key is stolen: the thief holds the newest release back and pushes the numbers on. He installs nothing.
    let thief = fleet.steal(&["online-2"]);
    let latecomer = fleet.app.install(&fleet.repository(), "1.1.0");
    fleet.run(&["release", "hold", "1.2.0", "0", "--key-dir", &thief]).ok();
    for _ in 0..3 {
        fleet.run(&["refresh", "--key-dir", &thief]).ok();
    }
    start(&latecomer, 0).done_by("1.1.0").tells("no update: ");
    fleet.rotate("online");
    fleet.run(&["release", "hold", "1.2.0", "100"]).ok();
    fleet.run(&["refresh", "--key-dir", &thief]).fails(40, "cannot sign the role timestamp: 0 of the 1 keys", "");
    fleet.awake.push(latecomer);
    fleet.everybody_awake_has("1.2.0");

    // Now the channel's key and the new online key: a release of the thief goes out, and copies take it.
    let thief = fleet.steal(&["stable-2", "online-3"]);
    fleet.set_version("1.3.0");
    fleet.app.replace("src/main.rs", "println!(\"done by", "println!(\"the thief says hello\\ndone by");
    fleet.run(&["publish", "--level", "1", "--key-dir", &thief]).ok();
    let says = |copy: &Installed| start(copy, 0).stdout.contains("the thief says hello");
    assert!(fleet.awake.iter().all(says));
    let victim = fleet.app.install(&fleet.repository(), "1.3.0");
    // Revoked: both keys, and the release. What comes next takes its place.
    fleet.rotate("stable");
    fleet.rotate("online");
    fleet.run(&["release", "yank", "1.3.0"]).ok();
    fleet.run(&["publish", "--level", "1", "--key-dir", &thief]).fails(40, "cannot sign the role stable: 0 of", "");
    fleet.app.replace("src/main.rs", "the thief says hello\\n", "");
    fleet.release("1.4.0");
    fleet.asleep.push(victim);

    // The root gets three holders of whom two sign, and loses one of them.
    for holder in ["anna", "bert"] {
        fleet.run(&["keys", "new", holder, "--no-password"]).ok();
    }
    let public = |holder: &str| fleet.app.release_keys().join(format!("{holder}.pub")).to_str().unwrap().to_owned();
    let (anna, bert) = (public("anna"), public("bert"));
    fleet.run(&["keys", "rotate", "root", "--add", "--with", &anna, "--with", &bert, "--threshold", "2"]).ok();
    let keys = fleet.run(&["keys", "list", "--message-format", "json"]).ok().messages("key");
    let anna = keys.iter().find(|key| key["role"] == "anna").unwrap()["id"].as_str().unwrap();
    fleet.lose("anna");
    fleet.run(&["keys", "rotate", "root", "--replace", anna, "--no-password"]).ok();
    fleet.release("1.5.0");

    // The storage is wiped and put back from a copy; timestamps were signed since.
    let copy = fleet.app.path("copy").to_str().unwrap().to_owned();
    fleet.run(&["verify", "--save", &copy]).ok();
    fleet.run(&["refresh"]).ok();
    fleet.everybody_awake_has("1.5.0");
    std::fs::remove_dir_all(fleet.repository()).unwrap();
    fleet.run(&["publish", "--level", "1"]).fails(50, "fs:", "cargo updater restore DIR");
    fleet.run(&["restore", &copy]).ok();
    fleet.run(&["refresh"]).ok();
    fleet.everybody_awake_has("1.5.0");

    // Nobody does anything for two years. The apps run, and know that what they see is stale.
    let days = 800;
    for copy in fleet.awake.iter().chain(&fleet.asleep[..1]) {
        start(copy, days).tells("no update: the publisher's ").tells(" role is stale since ");
    }
    for renewal in [&["keys", "renew", "root", "targets"][..], &["keys", "renew", "stable"], &["refresh"]] {
        fleet.app.cargo_updater_in(i64::from(days), renewal).ok();
    }
    // Everybody, however old, ends on the newest version; whoever never ran before, too.
    fleet.server.serve_folder(fleet.repository());
    assert_eq!((fleet.awake.len(), fleet.asleep.len()), (6, 6));
    for copy in fleet.awake.iter().chain(&fleet.asleep) {
        start(copy, days).done_by("1.5.0");
        start(copy, days).done_by("1.5.0").tells("no update: 1.5.0 is the newest version");
    }
}
