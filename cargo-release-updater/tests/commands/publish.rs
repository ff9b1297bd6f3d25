//! The commands from `bundle` to `verify` on a folder with a script: no compiler takes part, so they run in seconds.

use crate::package::Package;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

/// A package that is set up for trying out, with a folder to publish.
pub(crate) fn package() -> Package {
    let package = Package::new();
    package.run(&["init", "--dev"]).ok();
    files(&package, "1.0.0");
    package
}

/// Writes what is published as a version: a program that answers the probe, and data that makes a patch worth it.
pub(crate) fn files(package: &Package, version: &str) {
    std::fs::create_dir_all(package.path("dist/share")).unwrap();
    let answer = format!("updater-probe 1 $UPDATER_PROBE hello {version} {TRIPLE}");
    let program =
        format!("#!/bin/sh\n[ -z \"$UPDATER_PROBE\" ] || {{ echo \"{answer}\"; exit; }}\necho hello {version}\n");
    package.write("dist/hello", &program);
    executable(&package.path("dist/hello"));
    let mut state = 7u64;
    let mut noise = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        char::from(b'!' + (state >> 40) as u8 % 90)
    };
    package.write("dist/share/data", &(0..30_000).map(|_| noise()).collect::<String>());
}

/// Writes a script that can be started.
pub(crate) fn write_program(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap();
    executable(path);
}

fn executable(path: &Path) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

pub(crate) fn publish<'a>(version: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let mut arguments = vec!["publish", "--from-dir", "dist", "--version", version, "--target", TRIPLE, "--level", "1"];
    arguments.extend(more);
    arguments
}

#[test]
fn two_releases_and_everything_that_can_be_said_about_them() {
    let package = package();
    let first = package.run(&publish("1.0.0", &["--message-format", "json"])).ok();
    assert_eq!(first.messages("published")[0]["role"], 1);
    files(&package, "1.1.0");
    let dry = package.run(&publish("1.1.0", &["--dry-run"])).ok();
    for line in ["Bundle hello 1.1.0", "Diff 1.0.0 -> 1.1.0", "Sign the role stable", "Rehearse 1.0.0 -> 1.1.0"] {
        assert!(dry.stderr.contains(line), "{line} is not in {}", dry.stderr);
    }
    assert!(!package.path("target/updater/bundles/hello-1.1.0-x86_64-unknown-linux-gnu.json").exists());

    let second = package.run(&publish("1.1.0", &["--message-format", "json"])).ok();
    let patch = &second.messages("patch")[0];
    assert_eq!((&patch["outcome"], &patch["from"]), (&"kept".into(), &"1.0.0".into()));
    assert!(patch["bytes"].as_u64().unwrap() * 10 < patch["bundle_bytes"].as_u64().unwrap(), "{patch}");
    let rehearsed = second.messages("rehearsed");
    let told: Vec<_> = rehearsed.iter().map(|run| (run["by"].as_str(), run["reached"].as_str())).collect();
    assert_eq!(told, [(Some("patch"), Some("installed")), (Some("bundle"), Some("installed"))]);
    assert_eq!(second.messages("plan")[0]["listed"], serde_json::json!(["1.1.0", "1.0.0"]));

    // Again: nothing is left to do. Then each way to go back.
    let again = package.run(&publish("1.1.0", &[])).ok();
    assert!(again.stderr.contains("Unchanged hello 1.1.0 is published in stable already"), "{}", again.stderr);
    let help = "raise the version above 1.1.0";
    package.run(&publish("1.0.9", &[])).fails(20, "version 1.0.9 is not greater than 1.1.0", help);
    files(&package, "other");
    let help = "published files never change";
    package.run(&publish("1.1.0", &[])).fails(60, "1.1.0 is published in channel `stable` already with another", help);

    let verified = package.run(&["verify", "--deep", "--message-format", "json"]).ok();
    assert_eq!(verified.messages("verified")[0]["failed"], serde_json::json!([]));
    let applied = verified.messages("verified-file").into_iter().find(|file| file["what"] == "patch, applied");
    assert_eq!(applied.unwrap()["problem"], serde_json::Value::Null);

    // Somebody tidies up. With a root for trying out that is no attack, and copies out there do not follow.
    assert!(!second.stderr.contains("begins anew"), "{}", second.stderr);
    std::fs::remove_dir_all(package.path("target")).unwrap();
    let anew = package.run(&publish("1.1.0", &["--message-format", "json"])).ok();
    assert!(anew.stderr.contains("warning: fs:") && anew.stderr.contains("its history begins anew"), "{}", anew.stderr);
    assert_eq!(anew.messages("published")[0]["role"], 1);
}

#[test]
fn each_step_runs_alone() {
    let package = package();
    package.run(&publish("1.0.0", &[])).ok();
    files(&package, "1.1.0");
    let none = "make it with `cargo updater bundle`";
    package.run(&["diff", "--version", "1.1.0"]).fails(30, "there is no bundle of hello 1.1.0", none);
    package.run(&["sign", "--version", "1.1.0"]).fails(30, "there is no bundle of hello 1.1.0", none);
    let mut bundle = publish("1.1.0", &[]);
    bundle[0] = "bundle";
    let made = package.run(&bundle).ok();
    assert!(made.stderr.contains("Bundled hello-1.1.0-x86_64-unknown-linux-gnu.tar.xz"), "{}", made.stderr);
    let made = package.run(&["diff", "--version", "1.1.0"]).ok();
    assert!(made.stderr.contains("Diffed 1.0.0 -> 1.1.0"), "{}", made.stderr);
    package.write("NOTES.md", "- better\n");
    let dry = package.run(&["sign", "--version", "1.1.0", "--notes", "NOTES.md", "--dry-run"]).ok();
    assert!(dry.stderr.contains("1 bundle, patches from 1, 2 releases listed"), "{}", dry.stderr);
    let signed = package.run(&["sign", "--version", "1.1.0", "--notes", "NOTES.md", "--message-format", "json"]).ok();
    let folder = signed.messages("signed")[0]["folder"].as_str().unwrap().to_owned();
    let rehearsed = package.run(&["rehearse"]).ok();
    assert!(rehearsed.stderr.contains("by patch"), "{}", rehearsed.stderr);
    // What was signed is a whole repository, but for the files of earlier releases.
    let checked = package.run(&["verify", &folder, "--message-format", "json"]);
    let problems = checked.messages("verified-file").into_iter().filter(|file| !file["problem"].is_null());
    let problems: Vec<_> = problems.map(|file| file["file"].as_str().unwrap().to_owned()).collect();
    assert_eq!(problems, ["hello-1.0.0-x86_64-unknown-linux-gnu.tar.xz"]);
}

#[test]
fn every_changed_file_is_named() {
    let package = package();
    package.run(&publish("1.0.0", &[])).ok();
    let repository = package.path("target/updater/repository/hello");
    let mut files: Vec<_> = ["metadata", "targets"]
        .iter()
        .flat_map(|folder| std::fs::read_dir(repository.join(folder)).unwrap())
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    assert_eq!(files.len(), 7, "{files:?}");
    for path in files {
        let good = std::fs::read(&path).unwrap();
        let mut bad = good.clone();
        let at = bad.len() / 2;
        bad[at] ^= 1;
        std::fs::write(&path, bad).unwrap();
        let name = path.file_name().unwrap().to_str().unwrap();
        let run = package.run(&["verify"]);
        assert_eq!(run.code, 50, "{name}: {}", run.stderr);
        let digest_and_name = name.trim_end_matches(".minisig");
        let told = format!("{}{}", run.stdout, run.stderr);
        let target = digest_and_name.split_once('.').map_or(digest_and_name, |(_, target)| target);
        assert!(told.contains(digest_and_name) || told.contains(target), "{name} is not named: {told}");
        std::fs::remove_file(&path).unwrap();
        assert_eq!(package.run(&["verify"]).code, 50, "{name} is missing");
        std::fs::write(&path, good).unwrap();
    }
    package.run(&["verify"]).ok();
}

#[test]
fn what_cannot_be_published_is_refused_before_anything_is_written() {
    let package = package();
    let before = |package: &Package| package.path("target/updater/repository").exists();
    package.run(&publish("1.0.0", &["--channel", "beta"])).fails(
        20,
        "the app has no channel `beta`",
        "use one of: stable",
    );
    package.run(&publish("1.0.0", &["--key-dir", "nowhere"])).fails(
        40,
        "cannot sign the role stable: 0 of the 1 keys that must sign are here",
        "--key-dir",
    );
    package.run(&publish("1.0.0", &["--app", "other"])).fails(2, "this project publishes hello, not other", "--app");
    package.write("dist/share/aux.txt", "");
    package.run(&publish("1.0.0", &[])).fails(30, "", "rename it");
    std::fs::remove_file(package.path("dist/share/aux.txt")).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", package.path("dist/share/link")).unwrap();
    package.run(&publish("1.0.0", &[])).fails(30, "the link ", "relative link inside the folder");
    std::fs::remove_file(package.path("dist/share/link")).unwrap();
    package.write("dist/second", "#!/bin/sh\n");
    executable(&package.path("dist/second"));
    package.run(&publish("1.0.0", &[])).fails(30, "2 programs could be the entry", "--entry PATH");
    package.run(&publish("1.0.0", &["--entry", "hello"])).ok();
    assert!(before(&package));
}

#[test]
fn a_program_that_fails_its_probe_changes_nothing_for_anybody() {
    let package = package();
    package.run(&publish("1.0.0", &[])).ok();
    let repository = package.path("target/updater/repository/hello/metadata/timestamp.json");
    let before = std::fs::read(&repository).unwrap();
    files(&package, "1.0.5");
    package.run(&publish("1.1.0", &[])).fails(
        30,
        "the update from 1.0.0 to 1.1.0 does not work",
        "nothing was published",
    );
    assert_eq!(std::fs::read(&repository).unwrap(), before);
}

#[test]
fn a_folder_without_a_package_needs_its_names() {
    let package = Package::new();
    files(&package, "1.0.0");
    std::fs::remove_file(package.path("Cargo.toml")).unwrap();
    let bundle = ["bundle", "--from-dir", "dist", "--version", "1.0.0", "--target", TRIPLE, "--level", "1"];
    package.run(&bundle).fails(20, "cannot find a Cargo package to work on", "`--app APP`");
    let with_app = [&bundle[..], &["--app", "hello", "--out", "out"]].concat();
    package.run(&with_app).ok();
    let bytes = std::fs::read(package.path("out/hello-1.0.0-x86_64-unknown-linux-gnu.tar.xz")).unwrap();
    package.run(&with_app).ok();
    assert_eq!(std::fs::read(package.path("out/hello-1.0.0-x86_64-unknown-linux-gnu.tar.xz")).unwrap(), bytes);
    package.run_with(&with_app, &[("SOURCE_DATE_EPOCH", "soon")]).fails(2, "SOURCE_DATE_EPOCH is \"soon\"", "unset it");
    let run = package.run(&["verify", "out"]);
    run.fails(2, "there is no root to hold the repository against", "--root FILE");
}

/// The bundles of two machines in folders of their own.
fn runners(package: &Package, version: &str) -> [&'static str; 2] {
    for (out, triple) in [("linux", TRIPLE), ("arm", "aarch64-unknown-linux-gnu")] {
        let bundle = ["bundle", "--from-dir", "dist", "--version", version, "--target", triple, "--level", "1"];
        package.run(&[&bundle[..], &["--out", out]].concat()).ok();
    }
    ["linux", "arm"]
}

#[test]
fn bundles_of_several_machines_are_published_by_one() {
    let package = package();
    let [linux, arm] = runners(&package, "1.0.0");
    let table = "[package.metadata.updater]";
    let targets = format!("{table}\ntargets = [\"{TRIPLE}\", \"aarch64-unknown-linux-gnu\"]");
    package.write("Cargo.toml", &package.read("Cargo.toml").replace(table, &targets));
    let missing = package.run(&["publish", "--merge", linux]);
    missing.fails(30, "the merge has no bundle for aarch64-unknown-linux-gnu", "or name with `--target`");
    package.run(&["publish", "--merge", linux, arm, "--dry-run"]).ok();
    let merged = package.run(&["publish", "--merge", linux, arm, "--message-format", "json"]).ok();
    assert_eq!(merged.stderr.matches("    Uploaded ").count(), 2, "{}", merged.stderr);
    assert_eq!(merged.messages("published")[0]["files"], 2);
    let again = package.run(&["publish", "--merge", linux, arm]).ok();
    assert!(again.stderr.contains("Unchanged hello 1.0.0 is published in stable already"), "{}", again.stderr);
    package.run(&["verify", "--deep"]).ok();
    let status = package.run(&["status"]).ok();
    assert!(status.stdout.contains("aarch64-unknown-linux-gnu") && status.stdout.contains(TRIPLE), "{}", status.stdout);
}

#[test]
fn what_is_published_already_is_not_packed_again() {
    let package = package();
    package.run(&publish("1.0.0", &[])).ok();
    std::fs::remove_dir_all(package.path("target/updater/bundles")).unwrap();
    let again = package.run(&publish("1.0.0", &[])).ok();
    assert!(again.stderr.contains("Unchanged hello 1.0.0 is published in stable already"), "{}", again.stderr);
    files(&package, "other");
    let other = package.run(&publish("1.0.0", &[]));
    other.fails(60, "1.0.0 is published in channel `stable` already with another content", "published files never");
    assert!(!package.path("target/updater/bundles").exists());
}

#[test]
fn the_notes_of_a_release_are_its_section_of_the_change_log() {
    let package = package();
    package.write("CHANGELOG.md", "# Changelog\n\n## [1.0.0] - 2026-11-20\n- the first one\n\n## 0.9.0\n- before\n");
    package.run(&publish("1.0.0", &["--metadata", "severity=low"])).ok();
    let targets = package.path("target/updater/repository/hello/targets");
    let mut notes = std::fs::read_dir(targets).unwrap().map(|entry| entry.unwrap().path());
    let notes = notes.find(|path| path.extension().is_some_and(|extension| extension == "md")).unwrap();
    assert_eq!(std::fs::read_to_string(notes).unwrap(), "- the first one\n");
    let role = package.read("target/updater/repository/hello/metadata/1.stable.json");
    assert!(role.contains(r#""metadata":{"severity":"low"}"#), "{role}");
    let again = package.run(&publish("1.0.0", &[])).ok();
    assert!(again.stderr.contains("Unchanged hello 1.0.0"), "{}", again.stderr);
    let refused = package.run(&publish("1.1.0", &["--metadata", "severity"]));
    assert!(refused.code == 2 && refused.stderr.contains("NAME=TEXT"), "{}", refused.stderr);
}

pub(crate) const TRIPLE: &str = "x86_64-unknown-linux-gnu";

/// A release whose `url` is mistyped would update every copy into one that never finds anything again.
#[test]
fn a_release_that_asks_where_nothing_is_found_is_refused() {
    let package = package();
    let repository = format!("file://{}", package.path("target/updater/repository/hello").display());
    let asks = |address: &str, version: &str| {
        let manifest = package.read("Cargo.toml");
        let url = manifest.lines().find(|line| line.starts_with("url = ")).unwrap().to_owned();
        package.write("Cargo.toml", &manifest.replace(&url, &format!("url = \"{address}\"")));
        files(&package, version);
        let program = package.read("dist/hello");
        package.write("dist/hello", &format!("{program}# {address}\n"));
    };
    asks(&repository, "1.0.0");
    package.run(&publish("1.0.0", &[])).ok();
    // Nothing listens at the first, and the second is a folder without a repository.
    for wrong in ["http://127.0.0.1:9/fetchit".to_owned(), format!("file://{}", package.path("dist").display())] {
        asks(&wrong, "1.1.0");
        let refused = package.run(&publish("1.1.0", &[]));
        let why = format!("1.1.0 asks for updates at {wrong}, where 1.0.0 does not, and nothing of this app is found");
        refused.fails(20, &why, "`--leave-behind` publishes it all the same");
    }
    package.run(&publish("1.1.0", &["--leave-behind"])).ok();
    // Back at the old one, where it is: nothing to say.
    asks(&repository, "1.2.0");
    package.run(&publish("1.2.0", &[])).ok();
    // What asks where earlier ones did is not tried: a server may be down, or not there yet.
    asks("http://127.0.0.1:9/elsewhere", "1.3.0");
    package.run(&publish("1.3.0", &["--leave-behind"])).ok();
    asks("http://127.0.0.1:9/elsewhere", "1.4.0");
    package.run(&publish("1.4.0", &[])).ok();
}

#[test]
fn a_release_that_no_copy_can_take_is_refused() {
    let package = package();
    let data = package.path("dist/share");
    std::fs::rename(&data, package.path("aside")).unwrap();
    package.run(&publish("1.0.0", &[])).ok();
    files(&package, "1.1.0");
    let why = "1.0.0 is installed as executable, 1.1.0 as directory: no copy of it takes the update";
    package.run(&publish("1.1.0", &[])).fails(20, why, "keep the kind: `--kind executable`");
    let run = package.run(&publish("1.1.0", &["--leave-behind"])).ok();
    assert!(!run.stderr.contains("Rehearsed 1.0.0"), "{}", run.stderr);
    files(&package, "1.2.0");
    let run = package.run(&publish("1.2.0", &[])).ok();
    assert!(run.stderr.contains("Rehearsed 1.1.0 -> 1.2.0"), "{}", run.stderr);
    assert!(!run.stderr.contains("1.0.0 -> 1.2.0"), "said once: {}", run.stderr);
}

#[test]
fn a_website_that_was_there_first_stays() {
    let package = package();
    let repository = "target/updater/repository/hello";
    std::fs::create_dir_all(package.path(repository)).unwrap();
    package.write(&format!("{repository}/index.html"), "<h1>mine</h1>\n");
    let run = package.run(&publish("1.0.0", &[])).ok();
    assert!(run.stderr.contains("index.html in fs:") && run.stderr.contains("`page = false`"), "{}", run.stderr);
    assert_eq!(package.read(&format!("{repository}/index.html")), "<h1>mine</h1>\n");
    assert!(package.path(&format!("{repository}/install.sh")).is_file(), "nobody had that name");
    std::fs::remove_file(package.path(&format!("{repository}/index.html"))).unwrap();
    let run = package.run(&["page"]).ok();
    assert!(!run.stderr.contains("stays"), "{}", run.stderr);
    assert!(package.read(&format!("{repository}/index.html")).ends_with("leaves alone. -->\n"));
}
