//! A copy of everything that is published, and the way back from it.

use crate::client::{Client, Told};
use crate::package::Package;
use crate::publish::{files, publish};
use crate::refresh::real_package;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use updater_tests::server::TestServer;

const REPOSITORY: &str = "target/updater/repository/hello";

/// A package with two releases, one of them under a second root.
fn published() -> Package {
    let package = real_package();
    package.run(&publish("1.0.0", &[])).ok();
    package.run(&["keys", "renew", "root", "targets"]).ok();
    files(&package, "1.1.0");
    package.run(&publish("1.1.0", &[])).ok();
    package
}

/// Returns the files below a folder with their bytes.
fn tree(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                files.insert(path.strip_prefix(folder).unwrap().to_owned(), std::fs::read(&path).unwrap());
            }
        }
    }
    files
}

#[test]
fn a_copy_has_everything_that_clients_need_and_goes_on_where_it_stopped() {
    let package = published();
    let server = TestServer::start();
    server.serve_folder(package.path(REPOSITORY));
    let url = server.url("");
    let save = || package.run(&["verify", &url, "--save", "copy"]);
    let run = save().ok();
    assert!(run.stderr.contains("Saved hello in"), "{}", run.stderr);
    let (copy, repository) = (tree(&package.path("copy")), tree(&package.path(REPOSITORY)));
    for (path, bytes) in &copy {
        assert_eq!(repository.get(path), Some(bytes), "{}", path.display());
    }
    let has = |name: &str| copy.keys().any(|path| path.to_str().unwrap().contains(name));
    for name in
        ["1.root.json", "2.root.json", "2.targets.json", "2.stable.json", "timestamp.json", "VERSION", ".patch.minisig"]
    {
        assert!(has(name), "{name} is not in {:?}", copy.keys());
    }
    package.run(&["verify", "copy"]).ok();

    // One file lost and one damaged: these two are fetched, and nothing else among the targets.
    let targets: Vec<PathBuf> = copy
        .keys()
        .filter(|path| path.starts_with("targets") && path.extension().unwrap() != "minisig")
        .cloned()
        .collect();
    assert!(targets.len() > 2, "{targets:?}");
    std::fs::remove_file(package.path("copy").join(&targets[0])).unwrap();
    std::fs::write(package.path("copy").join(&targets[1]), "damaged").unwrap();
    server.take_log();
    save().ok();
    let fetched: Vec<String> = server.log().into_iter().map(|request| request.target).collect();
    let fetched = fetched.iter().filter(|path| path.starts_with("/targets/") && !path.ends_with(".minisig"));
    assert_eq!(fetched.count(), 2);
    assert_eq!(tree(&package.path("copy")), copy);

    // What does not verify does not get in, and takes nothing away.
    let damaged = package.path(REPOSITORY).join(&targets[0]);
    let good = std::fs::read(&damaged).unwrap();
    std::fs::write(&damaged, "damaged").unwrap();
    std::fs::remove_file(package.path("copy").join(&targets[0])).unwrap();
    save().fails(50, "1 of ", "copy them back");
    assert!(!package.path("copy").join(&targets[0]).exists());
    std::fs::write(&damaged, good).unwrap();

    // The first root is gone: installed copies of the first release could not follow any more.
    std::fs::remove_file(package.path(REPOSITORY).join("metadata/1.root.json")).unwrap();
    let run = save().fails(50, "2 of ", "copy them back");
    assert!(run.stdout.contains("FAILED root") && run.stdout.contains("1.root.json"), "{}", run.stdout);
}

#[test]
fn a_copy_of_another_repository_is_not_overwritten() {
    let (one, other) = (published(), published());
    one.run(&["verify", "--save", "copy"]).ok();
    let folder = one.path("copy").display().to_string();
    other.run(&["verify", "--save", &folder]).fails(2, &folder, "a folder of its own");
    other.run(&["restore", &folder]).fails(50, "", "");
}

#[test]
fn a_wiped_storage_is_put_back_and_installed_copies_go_on() {
    let package = published();
    let old = Client::install(&package, "1.0.0");
    let new = Client::install(&package, "1.1.0");
    assert_eq!(new.update(), Told::Current);
    package.run(&["verify", "--save", "copy"]).ok();
    let repository = package.path(REPOSITORY);
    let before = tree(&repository);
    // Timestamps go on after the copy was made, and clients see them.
    package.run(&["refresh"]).ok();
    package.run(&["refresh"]).ok();
    assert_eq!(new.update(), Told::Current);
    std::fs::remove_dir_all(&repository).unwrap();
    package.run(&["refresh"]).fails(2, "nothing is published in fs:", "cargo updater restore DIR");
    package.run(&publish("1.1.0", &[])).fails(50, "fs:", "cargo updater restore DIR");

    let dry = package.run(&["restore", "copy", "--dry-run"]).ok();
    assert!(dry.stderr.contains("Would restore"), "{}", dry.stderr);
    assert!(!repository.join("metadata/timestamp.json").exists());
    let run = package.run(&["restore", "copy", "--message-format", "json"]).ok();
    assert!(run.stderr.contains("sign a fresh timestamp now: `cargo updater refresh`"), "{}", run.stderr);
    let back = tree(&repository);
    for (path, bytes) in tree(&package.path("copy")) {
        assert!(before.get(&path) == Some(&bytes), "{} was copied as it was", path.display());
        // The publish above has signed its files once more before it was refused.
        let signature = path.extension().is_some_and(|ending| ending == "minisig");
        assert!(signature || back.get(&path) == Some(&bytes), "{} was put back", path.display());
    }
    // Once more changes nothing.
    let again = package.run(&["restore", "copy", "--message-format", "json"]).ok();
    assert_eq!(again.messages("restored")[0]["restored"], serde_json::json!([]));
    assert_eq!(tree(&repository), back);

    let run = package.run(&["refresh"]).ok();
    assert!(run.stderr.contains("went back from"), "{}", run.stderr);
    assert_eq!(new.update(), Told::Current);
    assert_eq!(old.update(), Told::Updated("1.1.0".to_owned()));
    files(&package, "1.2.0");
    package.run(&publish("1.2.0", &[])).ok();
    for client in [&old, &new] {
        assert_eq!(client.update(), Told::Updated("1.2.0".to_owned()));
    }
    package.run(&["verify", "--deep"]).ok();
}

#[test]
fn what_was_published_since_is_not_overwritten() {
    let package = published();
    package.run(&["verify", "--save", "copy"]).ok();
    files(&package, "1.2.0");
    package.run(&publish("1.2.0", &[])).ok();
    let before = tree(&package.path(REPOSITORY));
    let run = package.run(&["restore", "copy"]).ok();
    assert!(run.stderr.contains("timestamp.json was there and stays"), "{}", run.stderr);
    assert_eq!(tree(&package.path(REPOSITORY)), before);
    let taken = package.path(REPOSITORY).join("metadata/2.stable.json");
    std::fs::write(&taken, "{}").unwrap();
    package.run(&["restore", "copy"]).fails(50, "2.stable.json in fs:", "cargo updater verify");
    std::fs::write(package.path("copy/metadata/2.stable.json"), "{}").unwrap();
    package.run(&["restore", "copy"]).fails(50, "the repository does not verify", "another mirror");
}

#[test]
fn a_copy_older_than_what_was_published_is_not_put_back() {
    let package = published();
    package.run(&["verify", "--save", "copy"]).ok();
    files(&package, "1.2.0");
    package.run(&publish("1.2.0", &[])).ok();
    let metadata = package.path(REPOSITORY).join("metadata");
    let timestamp = metadata.join("timestamp.json");
    let published = std::fs::read(&timestamp).unwrap();
    let (before, empty) = (tree(&package.path(REPOSITORY)), package.path("empty").display().to_string());

    // A timestamp that does not hold is no reason to say that all is well.
    std::fs::write(&timestamp, "{}").unwrap();
    package.run(&["restore", "copy"]).fails(50, "the timestamp.json in fs:", "move metadata/timestamp.json away");
    std::fs::remove_file(&timestamp).unwrap();
    let missing = tree(&package.path(REPOSITORY));
    let restore = ["restore", "copy", "--key-dir", &empty];
    package.run(&restore).fails(50, "the copy has snapshot 3, and fs:", "take a newer copy");
    std::fs::remove_file(metadata.join("4.snapshot.json")).unwrap();
    let record = package.keys().join("last-published.json").display().to_string();
    let problem = format!("the copy has snapshot 3, and {record} knows snapshot 4");
    package.run(&["restore", "copy"]).fails(50, &problem, "take a newer copy");
    assert!(!timestamp.exists());
    std::fs::write(metadata.join("4.snapshot.json"), &before[Path::new("metadata/4.snapshot.json")]).unwrap();
    assert_eq!(tree(&package.path(REPOSITORY)), missing);
    std::fs::write(&timestamp, published).unwrap();
    package.run(&["restore", "copy"]).ok();
    assert_eq!(tree(&package.path(REPOSITORY)), before);
}

#[test]
fn a_copy_from_before_a_renewed_root_is_put_back_with_the_projects_own() {
    let package = published();
    let old = Client::install(&package, "1.0.0");
    package.run(&["verify", "--save", "copy"]).ok();
    package.run(&["keys", "renew", "root"]).ok();
    // One built with the newest root, which the copy does not have.
    let new = Client::install(&package, "1.1.0");
    assert_eq!(new.update(), Told::Current);
    std::fs::remove_dir_all(package.path(REPOSITORY)).unwrap();
    let dry = package.run(&["restore", "copy", "--dry-run"]).ok();
    assert!(dry.stderr.contains("Would restore"), "{}", dry.stderr);
    assert!(!package.path(REPOSITORY).join("metadata").exists());
    package.run(&["restore", "copy"]).ok();
    for version in 1..=3 {
        assert!(package.path(REPOSITORY).join(format!("metadata/{version}.root.json")).exists(), "{version}");
    }
    package.run(&["refresh"]).ok();
    package.run(&["verify", "--deep"]).ok();
    assert_eq!(new.update(), Told::Current);
    assert_eq!(old.update(), Told::Updated("1.1.0".to_owned()));
    // Once more changes nothing.
    let again = package.run(&["restore", "copy", "--message-format", "json"]).ok();
    assert_eq!(again.messages("restored")[0]["restored"], serde_json::json!([]));

    // A root between the two that nobody has any more would leave old copies without a way.
    let kept = package.read("updater/2.root.json");
    package.run(&["keys", "renew", "root"]).ok();
    let third = package.read("updater/3.root.json");
    std::fs::remove_file(package.path("updater/3.root.json")).unwrap();
    std::fs::remove_dir_all(package.path(REPOSITORY)).unwrap();
    package.write("old-root.json", &kept);
    let named = ["restore", "copy", "--root", "old-root.json"];
    package.run(&named).fails(50, "the copy ends before root 3", "beside that as 3.root.json");
    // Another document in its place is refused, and so is one that does not follow.
    package.write("updater/3.root.json", &kept);
    package.run(&named).fails(50, "the copy ends before root 3", "version control");
    package.write("updater/3.root.json", &third.replacen("2", "3", 1));
    assert_eq!(package.run(&named).code, 50);
    assert!(!package.path(REPOSITORY).join("metadata").exists());
    package.write("updater/3.root.json", &third);
    package.run(&named).ok();
    package.run(&["refresh"]).ok();
    package.run(&["verify"]).ok();
    assert_eq!(new.update(), Told::Current);
}

#[test]
fn a_copy_from_before_a_rotation_is_followed_only_when_somebody_says_so() {
    let package = real_package();
    package.run(&publish("1.0.0", &[])).ok();
    let first = package.read("updater/root.json");
    let (old, new) = (Client::install(&package, "1.0.0"), Client::install(&package, "1.0.0"));
    package.run(&["verify", "--save", "copy"]).ok();
    for role in ["stable", "targets", "online"] {
        package.run(&["keys", "rotate", role, "--no-password", "--wait", "0"]).ok();
        std::fs::remove_file(package.keys().join(format!("{role}.key"))).unwrap();
    }
    files(&package, "1.1.0");
    package.run(&publish("1.1.0", &[])).ok();
    assert_eq!(new.update(), Told::Updated("1.1.0".to_owned()));
    std::fs::remove_dir_all(package.path(REPOSITORY)).unwrap();
    std::fs::rename(package.keys().join("last-published.json"), package.path("record")).unwrap();
    let run = package.run(&["restore", "copy"]).ok();
    assert!(run.stderr.contains("`cargo updater keys renew targets --restored`"), "{}", run.stderr);

    // Whoever put these files there without being asked to gets nothing signed.
    let renew = ["keys", "renew", "targets"];
    assert_eq!(package.run(&renew).code, 50);
    assert_eq!(package.run(&["refresh"]).code, 50);
    package.write("other.json", &package.read("updater/root.json"));
    assert_eq!(package.run(&[&renew[..], &["--restored=other.json"]].concat()).code, 50);
    // The root of that time, as version control has it.
    std::fs::rename(package.path("updater/1.root.json"), package.path("first.json")).unwrap();
    assert_eq!(package.read("first.json"), first);
    assert_eq!(package.run(&[&renew[..], &["--restored"]].concat()).code, 50);
    package.run(&[&renew[..], &["--restored=first.json", "--wait", "0"]].concat()).ok();
    package.run(&["verify"]).ok();
    package.run(&["keys", "rotate", "online", "--no-password", "--wait", "0"]).ok();
    files(&package, "1.2.0");
    package.run(&publish("1.2.0", &[])).ok();
    package.run(&["verify", "--deep"]).ok();
    for client in [&old, &new] {
        assert_eq!(client.update(), Told::Updated("1.2.0".to_owned()));
    }
    // The keys that went before the copy was put back have no say.
    let listed = package.run(&["keys", "list"]).ok().stdout;
    assert!(listed.contains("stable-2") && listed.contains("targets-2"), "{listed}");
}

#[test]
fn a_copy_does_not_go_back_when_old_files_are_served() {
    let package = published();
    let metadata = package.path(REPOSITORY).join("metadata");
    let before = std::fs::read(metadata.join("timestamp.json")).unwrap();
    package.run(&["refresh"]).ok();
    let save = ["verify", "--save", "copy"];
    package.run(&save).ok();
    let copy = tree(&package.path("copy"));
    std::fs::write(metadata.join("timestamp.json"), before).unwrap();
    package.run(&save).fails(50, "timestamp 3 is served, and ", "cargo updater restore DIR");
    assert_eq!(tree(&package.path("copy")), copy);
    package.run(&["verify", "--save", "another"]).ok();
}

#[test]
fn a_project_that_began_anew_does_not_publish_beside_the_root_it_had() {
    let package = real_package();
    package.run(&publish("1.0.0", &[])).ok();
    let root = package.read("updater/root.json");
    std::fs::remove_file(package.path("updater/root.json")).unwrap();
    files(&package, "1.1.0");
    let next = publish("1.1.0", &[]);
    package.run(&next).fails(20, "", "restore it from version control");
    // The same keys and a later second: everything below the root verifies.
    std::thread::sleep(std::time::Duration::from_millis(1100));
    std::fs::remove_dir_all(package.path("updater")).unwrap();
    let manifest = package.read("Cargo.toml");
    package.write("Cargo.toml", manifest.split_once("[package.metadata.updater]").unwrap().0);
    package.run(&["init", "--url", "https://example.com/hello", "--no-password"]).ok();
    assert_ne!(package.read("updater/root.json"), root);
    let before = package.snapshot();
    for command in [&next[..], &["refresh"], &["keys", "renew", "root"], &["release", "yank", "1.0.0", "--yes"]] {
        package.run(command).fails(
            50,
            "1.root.json in fs:",
            "restore updater/root.json and targets.json from version control",
        );
        assert_eq!(before, package.snapshot(), "{command:?}");
    }
}
