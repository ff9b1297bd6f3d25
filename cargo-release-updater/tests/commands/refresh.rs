//! `cargo updater refresh` and the releases that wait for it.

use crate::package::Package;
use crate::publish::{TRIPLE, files, publish};
use std::path::PathBuf;

/// A package with a root for real releases, and a folder to publish.
pub(crate) fn real_package() -> Package {
    let package = Package::new();
    package.run(&["init", "--url", "https://example.com/hello", "--no-password", "--daily-refresh"]).ok();
    files(&package, "1.0.0");
    package
}

/// Moves the online key out of the folder of keys and returns its text.
fn take_online_key(package: &Package) -> String {
    let path = package.keys().join("online.key");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::remove_file(path).unwrap();
    text
}

fn metadata(package: &Package) -> PathBuf {
    package.path("target/updater/repository/hello/metadata")
}

#[test]
fn a_release_without_the_online_key_waits_and_is_folded_in() {
    let package = real_package();
    package.run(&publish("1.0.0", &[])).ok();
    let online = take_online_key(&package);
    files(&package, "1.1.0");
    package.run(&["bundle", "--from-dir", "dist", "--version", "1.1.0", "--target", TRIPLE, "--level", "1"]).ok();
    let signed = package.run(&["sign", "--version", "1.1.0", "--message-format", "json"]).ok();
    assert_eq!(signed.messages("signed")[0]["waits_for"], "online-key");
    let told = "cannot sign the role timestamp: 0 of the 1 keys that must sign are here";
    assert!(signed.stderr.contains("rehearse` alone") && signed.stderr.contains(told), "{}", signed.stderr);

    let run = package.run(&publish("1.1.0", &["--message-format", "json"])).ok();
    assert!(run.stderr.contains("waits as a submission"), "{}", run.stderr);
    assert!(run.stderr.contains("Submitted hello 1.1.0 in stable"), "{}", run.stderr);
    assert_eq!(run.messages("submitted")[0]["role"], 2);
    // Rehearsed all the same, by patch and by bundle, from what is published.
    assert_eq!(run.messages("rehearsed").len(), 2);
    // No client sees it.
    let status = package.run(&["status"]).ok();
    let (seen, waits) = status.stdout.split_once("waits").unwrap();
    assert!(!seen.contains("1.1.0") && waits.contains("version 2 with 1.1.0"), "{}", status.stdout);
    assert!(!metadata(&package).join("2.stable.json").exists());

    let again = package.run(&publish("1.1.0", &[])).ok();
    assert!(again.stderr.contains("Unchanged hello 1.1.0 waits for the online key"), "{}", again.stderr);
    // Another change waits together with it.
    let other = package.run(&["release", "floor", "1.0.0"]).ok();
    assert!(other.stderr.contains("Submitted hello stable: tell installs below 1.0.0"), "{}", other.stderr);
    package.run(&["refresh"]).fails(40, "cannot sign the role snapshot: 0 of the 1 keys", "UPDATER_ONLINE_KEY");

    let before = package.snapshot();
    let dry = package.run(&["refresh", "--dry-run", "--message-format", "json"]).ok();
    assert_eq!(dry.messages("refreshed")[0]["folded"][0]["role"], "stable");
    assert_eq!(before, package.snapshot());
    // As a scheduled job has it: the key in a variable, a folder of its own for the record.
    let job = ["refresh", "--key-dir", "cache", "--message-format", "json"];
    let run = package.run_with(&job, &[("UPDATER_ONLINE_KEY", &online)]).ok();
    assert!(run.stderr.contains("Published hello: version 2 of the role stable"), "{}", run.stderr);
    let told = &run.messages("refreshed")[0];
    assert_eq!((&told["timestamp"], &told["snapshot"]), (&2.into(), &2.into()));
    package.run(&["verify", "--deep"]).ok();
    let status = package.run(&["status"]).ok();
    assert!(status.stdout.contains("1.1.0") && status.stdout.contains("from 1.0.0"), "{}", status.stdout);
    let role = std::fs::read_to_string(metadata(&package).join("2.stable.json")).unwrap();
    assert!(role.contains("\"floor\":\"1.0.0\""), "{role}");
    assert!(package.read("cache/last-published.json").contains("\"timestamp\": 2"));
    // What was folded in is over.
    let run = package.run_with(&job, &[("UPDATER_ONLINE_KEY", &online)]).ok();
    assert_eq!(run.messages("refreshed")[0]["folded"], serde_json::json!([]));
}

#[test]
fn the_first_release_may_wait_too_and_can_be_dropped() {
    let package = real_package();
    let online = take_online_key(&package);
    package.run(&["refresh"]).fails(2, "nothing is published in fs:", "`cargo updater publish`");
    package.run(&publish("1.0.0", &[])).ok();
    assert!(!metadata(&package).join("timestamp.json").exists());
    let dropped = package.run(&["refresh", "--discard", "stable"]).ok();
    assert!(dropped.stderr.contains("Dropped the submission of stable"), "{}", dropped.stderr);
    package.run(&["refresh", "--discard", "../x"]).fails(2, "\"../x\" cannot have a key", "a channel such as");
    package.run(&publish("1.0.0", &[])).ok();
    package.run_with(&["refresh"], &[("UPDATER_ONLINE_KEY", &online)]).ok();
    package.run(&["verify"]).ok();
}

#[test]
fn a_submission_that_was_changed_or_has_no_files_is_refused() {
    let package = real_package();
    package.run(&publish("1.0.0", &[])).ok();
    let online = take_online_key(&package);
    files(&package, "1.1.0");
    package.run(&publish("1.1.0", &["--no-patches"])).ok();
    let refresh = |package: &Package| package.run_with(&["refresh"], &[("UPDATER_ONLINE_KEY", &online)]);
    let repository = package.path("target/updater/repository/hello");
    let submission = repository.join("submissions/stable.json");
    let good = std::fs::read_to_string(&submission).unwrap();

    let left = "what waits of stable is not published";
    std::fs::write(&submission, good.replace("1.1.0", "1.2.0")).unwrap();
    let run = refresh(&package).fails(
        50,
        "the refresh is done, but what waits of stable was left there",
        "changed by something else",
    );
    assert!(run.stderr.contains(left), "{}", run.stderr);
    std::fs::write(&submission, "{").unwrap();
    refresh(&package).fails(60, "the refresh is done, but what waits of stable was left there", "--discard stable");
    std::fs::write(&submission, &good).unwrap();
    let bundle = std::fs::read_dir(repository.join("targets")).unwrap().map(|entry| entry.unwrap().path());
    let bundle =
        bundle.into_iter().find(|path| path.to_str().unwrap().ends_with("1.1.0-x86_64-unknown-linux-gnu.tar.xz"));
    std::fs::rename(bundle.clone().unwrap(), package.path("aside")).unwrap();
    let run =
        refresh(&package).fails(60, "the refresh is done, but what waits of stable was left there", "copy it back");
    assert!(run.stderr.contains("targets/"), "{}", run.stderr);
    // Three times the timestamp was signed anew all the same.
    let status = package.run(&["status"]).ok();
    let (seen, waits) = status.stdout.split_once("waits").unwrap();
    assert!(!seen.contains("1.1.0") && waits.contains("version 2 with 1.1.0"), "{}", status.stdout);
    assert!(!metadata(&package).join("2.stable.json").exists());
    std::fs::rename(package.path("aside"), bundle.unwrap()).unwrap();
    refresh(&package).ok();
    package.run(&["verify"]).ok();
}

#[test]
fn the_timestamp_lives_on_while_nothing_else_changes() {
    if !updater_tests::require::command("faketime", "apt-get install faketime") {
        return;
    }
    let package = real_package();
    package.run(&publish("1.0.0", &[])).ok();
    let run = package.run(&["refresh", "--if-due", "--message-format", "json"]).ok();
    assert_eq!(run.messages("refreshed")[0]["timestamp"], serde_json::Value::Null);
    let run = package.run_in(4, &["refresh", "--if-due", "--message-format", "json"]).ok();
    let told = &run.messages("refreshed")[0];
    assert_eq!((&told["timestamp"], &told["snapshot"]), (&2.into(), &serde_json::Value::Null));
    assert!(!metadata(&package).join("2.snapshot.json").exists());

    // Half a life of the snapshot later it is renewed, too; then people have to act, and the job goes red with the command.
    let run = package.run_in(100, &["refresh", "--message-format", "json"]).ok();
    assert_eq!(run.messages("refreshed")[0]["snapshot"], 2);
    let run = package.run_in(160, &["refresh"]);
    run.fails(
        10,
        "the refresh is done, but the role stable expires on",
        "`cargo updater keys renew stable` or the next release renews it",
    );
    let run = package.run_in(300, &["refresh", "--message-format", "json"]);
    let run = run.fails(10, "the refresh is done, but the role root expires on", "cargo updater keys renew root");
    assert!(run.stderr.contains("warning: the role stable expired on"), "{}", run.stderr);
    assert_eq!(run.messages("error")[0]["code"], 10);
    // Whoever only looks, and whoever publishes, is told, too.
    let warning = "warning: the role root expires on ";
    let run = package.run_in(300, &["status"]).ok();
    assert!(run.stderr.contains(warning) && run.stderr.contains("cargo updater keys renew root"), "{}", run.stderr);
    files(&package, "1.1.0");
    let run = package.run_in(300, &publish("1.1.0", &[])).ok();
    assert!(run.stderr.contains(warning) && run.stderr.contains("cargo updater keys renew root"), "{}", run.stderr);
    let run = package.run_in(370, &["refresh"]);
    run.fails(50, "the root role expired on", "cargo updater keys renew root");
}

#[test]
fn old_files_put_back_are_not_signed_anew() {
    let package = real_package();
    package.run(&publish("1.0.0", &[])).ok();
    let metadata = metadata(&package);
    let old = std::fs::read(metadata.join("timestamp.json")).unwrap();
    files(&package, "1.1.0");
    package.run(&publish("1.1.0", &["--no-patches"])).ok();
    // A whole old state, validly signed: refused by the machine that knows better.
    let newest = std::fs::read(metadata.join("2.snapshot.json")).unwrap();
    std::fs::write(metadata.join("timestamp.json"), &old).unwrap();
    std::fs::remove_file(metadata.join("2.snapshot.json")).unwrap();
    let run = package.run(&["refresh"]);
    run.fails(50, "fs:", "put old files back");
    // Nothing is built for it either.
    files(&package, "1.2.0");
    let run = package.run(&publish("1.2.0", &[]));
    assert!(!run.stderr.contains("Bundling") && !run.stderr.contains("Uploaded"), "{}", run.stderr);
    run.fails(50, "fs:", "put old files back");
    assert_eq!(std::fs::read(metadata.join("timestamp.json")).unwrap(), old);
    // With the newest files still there it was an accident, and is repaired.
    std::fs::write(metadata.join("2.snapshot.json"), newest).unwrap();
    let run = package.run(&["refresh"]).ok();
    assert!(run.stderr.contains("went back from 2 to 1; repairing it"), "{}", run.stderr);
    let status = package.run(&["status"]).ok();
    assert!(status.stdout.contains("1.1.0"), "{}", status.stdout);
}
