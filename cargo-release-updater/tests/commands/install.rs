//! `install.sh` on a program of several files, run from the published folder: what it installs, what it takes away again,
//! and what it leaves to the user.

use crate::package::Package;
use crate::publish::{files, publish};
use std::path::PathBuf;
use std::process::{Command, Output};
use updater_tests::require;

/// A package whose 1.0.0 is published, with a setting that its users may edit, and a home to install into.
struct Visitor {
    package: Package,
    /// The channels that its program is built to follow.
    follows: &'static str,
    home: tempfile::TempDir,
}

impl Visitor {
    /// `None` where a tool is missing that the script needs.
    fn new() -> Option<Self> {
        Self::following("stable")
    }

    fn following(follows: &'static str) -> Option<Self> {
        let tools = [("curl", "apt-get install curl"), ("openssl", "apt-get install openssl")];
        if !tools.iter().all(|(name, help)| require::command(name, help)) {
            return None;
        }
        let package = Package::new();
        package.run(&["init", "--dev", "--channel", "stable", "--channel", "beta"]).ok();
        let table = "[package.metadata.updater]\n";
        let text = package.read("Cargo.toml").replacen(table, &format!("{table}keep-local = [\"etc/*.toml\"]\n"), 1);
        package.write("Cargo.toml", &text);
        let visitor = Self { package, follows, home: tempfile::tempdir().unwrap() };
        visitor.publish("1.0.0", &[]);
        Some(visitor)
    }

    fn publish(&self, version: &str, more: &[&str]) {
        files(&self.package, version);
        std::fs::create_dir_all(self.package.path("dist/etc")).unwrap();
        self.package.write("dist/etc/app.toml", &format!("greeting = \"{version}\"\n"));
        // In the order of the manifest the last file.
        self.package.write("dist/share/zz last", "the last one\n");
        // As every program of ours says which channels it was built to follow.
        let program = self.package.read("dist/hello");
        self.package.write("dist/hello", &format!("{program}# cargo-updater-channels={};\n", self.follows));
        self.package.run(&publish(version, more)).ok();
    }

    fn repository(&self) -> PathBuf {
        self.package.path("target/updater/repository/hello")
    }

    fn command(&self, options: &[&str]) -> Command {
        let mut command = Command::new("sh");
        command.arg(self.repository().join("install.sh")).env_clear().env("HOME", self.home.path());
        command.env("PATH", std::env::var_os("PATH").unwrap());
        command.args(["--url", &format!("file://{}", self.repository().display())]).args(options);
        command
    }

    /// Runs the script, which has to succeed, and returns what it said.
    #[track_caller]
    fn script(&self, options: &[&str]) -> String {
        let output = self.command(options).output().unwrap();
        assert!(output.status.success(), "{}", said(&output));
        said(&output)
    }

    #[track_caller]
    fn refuses(&self, options: &[&str], error: &str, help: &str) -> String {
        let output = self.command(options).output().unwrap();
        let said = said(&output);
        assert!(!output.status.success() && said.contains(&format!("error: {error}")), "{said}");
        assert!(said.lines().any(|line| line.starts_with("  help: ") && line.contains(help)), "{said}");
        said
    }

    /// A file of the installed folder.
    fn path(&self, file: &str) -> PathBuf {
        self.home.path().join(".local/share/hello").join(file)
    }

    fn read(&self, file: &str) -> String {
        std::fs::read_to_string(self.path(file)).unwrap()
    }
}

fn said(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn an_uninstall_leaves_nothing_of_a_folder_that_nobody_changed() {
    let Some(visitor) = Visitor::new() else { return };
    visitor.script(&[]);
    assert_eq!(visitor.read("share/zz last"), "the last one\n");
    let said = visitor.script(&["--uninstall"]);
    assert_eq!(said, "removed hello\n");
    assert!(!visitor.path("").exists());
    visitor.refuses(&["--uninstall"], "hello is not installed in ", "--to");
}

#[test]
fn an_uninstall_leaves_and_names_what_the_user_has_changed_or_added() {
    let Some(visitor) = Visitor::new() else { return };
    visitor.script(&[]);
    std::fs::write(visitor.path("etc/app.toml"), "greeting = \"mine\"\n").unwrap();
    // As an update leaves it beside.
    std::fs::write(visitor.path("etc/app.toml.new"), "greeting = \"1.0.0\"\n").unwrap();
    std::fs::write(visitor.path("my notes"), "mine\n").unwrap();
    let said = visitor.script(&["--uninstall"]);
    assert!(said.ends_with("because it may be yours:\n  etc/app.toml\n  my notes\n"), "{said}");
    assert_eq!(visitor.read("etc/app.toml"), "greeting = \"mine\"\n");
    assert!(!visitor.path("share").exists() && !visitor.path("etc/app.toml.new").exists());
}

#[test]
fn the_script_installs_after_a_rotation_and_a_renewal_of_the_keys() {
    let Some(visitor) = Visitor::new() else { return };
    let keys = || {
        let script = std::fs::read_to_string(visitor.repository().join("install.sh")).unwrap();
        script.lines().find(|line| line.starts_with("    stable) echo")).unwrap().to_owned()
    };
    let before = keys();
    visitor.package.run(&["keys", "rotate", "stable", "--no-password"]).ok();
    assert_ne!(keys(), before);
    assert!(visitor.script(&[]).contains("installed hello 1.0.0"));
    visitor.script(&["--uninstall"]);
    // What is lost of the page comes back with whatever is published next.
    for command in [&["keys", "renew", "stable"][..], &["keys", "renew", "root", "targets"]] {
        std::fs::remove_file(visitor.repository().join("index.html")).unwrap();
        visitor.package.run(command).ok();
        assert!(visitor.repository().join("index.html").exists(), "{command:?}");
    }
}

#[test]
fn an_install_goes_into_what_an_uninstall_has_left_and_keeps_it() {
    let Some(visitor) = Visitor::new() else { return };
    visitor.script(&[]);
    std::fs::write(visitor.path("etc/app.toml"), "greeting = \"mine\"\n").unwrap();
    std::fs::write(visitor.path("my notes"), "mine\n").unwrap();
    visitor.script(&["--uninstall"]);
    let again = visitor.refuses(&["--uninstall"], "hello is not installed; what is in ", "remove that folder by hand");
    assert!(again.contains(visitor.path("").to_str().unwrap().trim_end_matches('/')), "{again}");

    visitor.publish("1.1.0", &[]);
    let said = visitor.script(&[]);
    assert!(said.contains("etc/app.toml stays as you have it; the new one is beside it as .new\n"), "{said}");
    assert_eq!(visitor.read("etc/app.toml"), "greeting = \"mine\"\n");
    assert_eq!(visitor.read("etc/app.toml.new"), "greeting = \"1.1.0\"\n");
    assert_eq!(visitor.read("my notes"), "mine\n");
    let run = Command::new(visitor.home.path().join(".local/bin/hello")).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&run.stdout), "hello 1.1.0\n");

    // A program that somebody has changed stays behind, too, but nobody starts it instead of the new one.
    std::fs::write(visitor.path("hello"), "#!/bin/sh\necho mine\n").unwrap();
    let said = visitor.script(&["--uninstall"]);
    assert!(said.ends_with("because it may be yours:\n  etc/app.toml\n  hello\n  my notes\n"), "{said}");
    visitor.refuses(&[], "files of yours in ", "move them away");
    std::fs::remove_file(visitor.path("hello")).unwrap();
    visitor.script(&[]);
    std::fs::remove_file(visitor.path("my notes")).unwrap();
    std::fs::remove_file(visitor.path("etc/app.toml")).unwrap();
    assert_eq!(visitor.script(&["--uninstall"]), "removed hello\n");
    assert!(!visitor.path("").exists());
}

#[test]
fn a_place_that_is_taken_is_refused_before_anything_is_downloaded() {
    let Some(visitor) = Visitor::new() else { return };
    visitor.script(&[]);
    let said = visitor.refuses(&[], "hello is in ", "remove it with --uninstall");
    assert!(!said.contains("downloading"), "{said}");
    let other = visitor.home.path().join("other");
    std::fs::create_dir_all(&other).unwrap();
    std::fs::write(other.join("something"), "of somebody").unwrap();
    let said =
        visitor.refuses(&["--to", other.to_str().unwrap()], "", "move it away, or name another folder with --to");
    assert!(said.contains("other is there already, and holds no hello") && !said.contains("downloading"), "{said}");
}

#[test]
fn an_uninstall_takes_along_what_the_updater_kept_and_leaves_what_is_the_programs() {
    let Some(visitor) = Visitor::new() else { return };
    let state = visitor.home.path().join(".local/state/hello");
    let keep = || {
        std::fs::create_dir_all(state.join("metadata/roots")).unwrap();
        for file in ["install-id", "last-check", "metadata/root.json", "metadata/lock", "metadata/roots/2.root.json"] {
            std::fs::write(state.join(file), "").unwrap();
        }
    };
    keep();
    visitor.script(&[]);
    let said = visitor.script(&["--uninstall"]);
    let told = format!("removed hello, and what it kept for its updates in {}\n", state.display());
    assert_eq!(said, told);
    assert!(!state.exists());

    // The program was removed by hand; what it kept of its own is not ours.
    keep();
    std::fs::write(state.join("history"), "the program's").unwrap();
    assert_eq!(visitor.script(&["--uninstall"]), told);
    assert_eq!(std::fs::read_dir(&state).unwrap().count(), 1);
    visitor.refuses(&["--uninstall"], "hello is not installed in ", "--to");
}

#[test]
fn the_script_says_which_channel_the_installed_copy_follows() {
    let Some(visitor) = Visitor::new() else { return };
    let said = visitor.script(&[]);
    assert!(said.contains("; it updates itself from now on, from the channel stable\n"), "{said}");
    assert!(!said.contains("note: this version"), "{said}");
    visitor.script(&["--uninstall"]);
    visitor.publish("1.1.0-beta.1", &["--channel", "beta"]);
    let said = visitor.script(&["--channel", "beta"]);
    assert!(said.contains("installed hello 1.1.0-beta.1") && said.contains(", from the channel stable\n"), "{said}");
    let told = "note: this version is from the channel beta, and the next one comes from stable: that is built into it";
    assert!(said.contains(told), "{said}");

    let Some(visitor) = Visitor::following("beta,stable,nightly") else { return };
    let said = visitor.script(&[]);
    assert!(said.contains(", from the channel beta, and from stable, nightly when that is newer\n"), "{said}");
    let Some(visitor) = Visitor::following("") else { return };
    let said = visitor.script(&[]);
    assert!(said.contains(", from the channel that it was built for\n") && !said.contains("note: this"), "{said}");
}
