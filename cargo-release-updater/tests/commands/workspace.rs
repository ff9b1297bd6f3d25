//! Several apps of a workspace, published by one command, each to a repository of its own.

use crate::package::Package;

/// A workspace of two apps and a library; the apps do not know their updater, so that they are built in a moment.
fn workspace() -> Package {
    let package = Package::new();
    for (name, version) in [("one", "1.0.0"), ("two", "2.0.0")] {
        std::fs::create_dir_all(package.path(&format!("{name}/src"))).unwrap();
        package.write(&format!("{name}/src/main.rs"), "fn main() {}\n");
        package.write(
            &format!("{name}/Cargo.toml"),
            &format!("[package]\nname = \"{name}\"\nversion = \"{version}\"\nedition = \"2024\"\n"),
        );
    }
    std::fs::create_dir_all(package.path("lib/src")).unwrap();
    package.write("lib/src/lib.rs", "");
    package.write("lib/Cargo.toml", "[package]\nname = \"lib\"\nversion = \"0.1.0\"\nedition = \"2024\"\n");
    std::fs::remove_dir_all(package.path("src")).unwrap();
    package.write("Cargo.toml", "[workspace]\nmembers = [\"one\", \"two\", \"lib\"]\nresolver = \"3\"\n");
    for name in ["one", "two"] {
        package.run(&["init", "--dev", "-p", name]).ok();
        let file = format!("{name}/Cargo.toml");
        let manifest = package.read(&file);
        let table = &manifest[manifest.find("[package.metadata.updater]").unwrap()..];
        let end = table[1..].find("\n[").map_or(table.len(), |end| end + 1);
        let head = &manifest[..manifest.find("edition = \"2024\"\n").unwrap() + 17];
        package.write(&file, &format!("{head}\n{}\nprobe = false\n", &table[..end]));
        drop(std::fs::remove_file(package.path(&format!("{name}/build.rs"))));
    }
    package
}

#[test]
fn one_command_publishes_each_app_to_a_repository_of_its_own() {
    let package = workspace();
    let dry = package.run(&["publish", "--workspace", "--dry-run", "--message-format", "json"]).ok();
    let planned: Vec<_> = dry.messages("plan").iter().map(|plan| plan["app"].as_str().unwrap().to_owned()).collect();
    assert_eq!(planned, ["one", "two"]);
    let run = package.run(&["publish", "--workspace", "--message-format", "json"]).ok();
    let published = run.messages("published");
    let published: Vec<_> = published.iter().map(|p| (p["app"].as_str(), p["version"].as_str())).collect();
    assert_eq!(published, [(Some("one"), Some("1.0.0")), (Some("two"), Some("2.0.0"))]);
    for name in ["one", "two"] {
        assert!(package.path(&format!("target/updater/repository/{name}/metadata/timestamp.json")).exists());
    }
    let status = package.run(&["status", "-p", "two", "-p", "one", "--message-format", "json"]).ok();
    let apps: Vec<_> = status.messages("status").iter().map(|s| s["app"].as_str().unwrap().to_owned()).collect();
    assert_eq!((apps, status.messages("published-release").len()), (vec!["two".to_owned(), "one".to_owned()], 2));
    let again = package.run(&["publish", "--workspace", "--exclude", "two"]).ok();
    assert!(again.stderr.contains("Unchanged one 1.0.0") && !again.stderr.contains("two"), "{}", again.stderr);
}

#[test]
fn what_is_wrong_with_one_app_is_told_before_anything_is_done_for_another() {
    let package = workspace();
    package.run(&["publish", "-p", "one", "-p", "tow"]).fails(20, "package `tow` is not in this workspace", "-p two");
    package.run(&["publish", "--workspace", "--exclude", "tow"]).fails(20, "package `tow` is not in this", "-p two");
    package.run(&["publish", "-p", "one", "-p", "lib"]).fails(20, "", "cargo updater init");
    let folder = ["publish", "--workspace", "--from-dir", "one", "--version", "1.0.0"];
    package.run(&folder).fails(2, "--from-dir is for one app, not for several", "`-p NAME`");
    package.run(&["publish", "--workspace", "--storage", "fs:here"]).fails(
        2,
        "--storage without {app} is for one app",
        "-p",
    );
    package.write(
        "Cargo.toml",
        &format!("{}\n[workspace.metadata.updater]\nstorage = \"fs:/tmp/nowhere\"\n", package.read("Cargo.toml")),
    );
    for name in ["one", "two"] {
        let file = format!("{name}/Cargo.toml");
        let lines = package.read(&file);
        let lines: Vec<&str> = lines.lines().filter(|line| !line.starts_with("storage")).collect();
        package.write(&file, &lines.join("\n"));
    }
    let shared = package.run(&["publish", "--workspace"]);
    shared.fails(20, "one and two would both be published to fs:/tmp/nowhere", "write `{app}` in `storage`");
    assert!(!package.path("target/updater/bundles").exists(), "nothing was built");
    let here = package.path("out").display().to_string();
    package.write("Cargo.toml", &package.read("Cargo.toml").replace("/tmp/nowhere", &format!("{here}/{{app}}")));
    package.run(&["publish", "--workspace"]).ok();
    assert!(package.path("out/one/metadata/timestamp.json").exists());
    assert!(package.path("out/two/metadata/timestamp.json").exists());
}
