//! Ceremonies: renewals and rotations of every role, partial signatures, stock minisign on another machine.

use crate::package::Package;
use crate::publish::{files, publish};
use crate::refresh::real_package;
use std::process::Command;

fn published() -> Package {
    let package = real_package();
    package.run(&publish("1.0.0", &[])).ok();
    package
}

fn root(package: &Package) -> serde_json::Value {
    serde_json::from_str(&package.read("updater/root.json")).unwrap()
}

/// Everything holds, from the first root that was ever embedded, and the next release goes out.
fn assert_healthy(package: &Package, first_root: &str, version: &str) {
    package.run(&["verify", "--deep"]).ok();
    package.write("first-root.json", first_root);
    package.run(&["verify", "target/updater/repository/hello", "--root", "first-root.json"]).ok();
    files(package, version);
    package.run(&publish(version, &[])).ok();
    package.run(&["verify"]).ok();
}

#[test]
fn root_and_targets_get_a_new_term() {
    let package = published();
    let first = package.read("updater/root.json");
    let run = package.run(&["keys", "renew", "root", "targets"]).ok();
    assert!(run.stderr.contains("Published the new documents of hello"), "{}", run.stderr);
    assert_eq!(root(&package)["signed"]["version"], 2);
    assert!(!package.path("updater/next").exists());
    let none = package.run(&["keys", "resume"]);
    none.fails(2, "no ceremony is under way", "`cargo updater keys rotate ROLE`");
    let run = package.run(&["keys", "renew", "stable"]).ok();
    assert!(run.stderr.contains("Renewed version 2 of the role stable"), "{}", run.stderr);
    package.run(&["keys", "renew", "online"]).fails(
        2,
        "root and targets are renewed together",
        "cargo updater refresh",
    );
    assert_healthy(&package, &first, "1.1.0");
}

#[test]
fn every_role_gets_a_new_key() {
    let package = published();
    let first = package.read("updater/root.json");
    for role in ["online", "stable", "targets", "root"] {
        let dry = package.snapshot();
        package.run(&["keys", "rotate", role, "--no-password", "--dry-run"]).ok();
        assert_eq!(dry, package.snapshot(), "{role}");
        let run = package.run(&["keys", "rotate", role, "--no-password", "--wait", "0"]).ok();
        assert!(run.stderr.contains("Published the new documents"), "{role}: {}", run.stderr);
        assert!(package.keys().join(format!("{role}-2.key")).exists(), "{role}");
        // The key that went is worth nothing any more.
        std::fs::remove_file(package.keys().join(format!("{role}.key"))).unwrap();
        package.run(&["verify"]).ok();
    }
    let public = std::fs::read_to_string(package.keys().join("root-2.pub")).unwrap();
    assert!(package.read("Cargo.toml").contains(public.lines().nth(1).unwrap()), "{}", package.read("Cargo.toml"));
    assert_healthy(&package, &first, "1.1.0");
}

#[test]
fn a_channel_comes_later_by_the_table_and_a_key() {
    let package = published();
    files(&package, "1.2.0-beta.1");
    let beta = publish("1.2.0-beta.1", &["--channel", "beta"]);
    let help = "a channel comes by `channels` in the table, then `cargo updater keys rotate beta`";
    package.run(&beta).fails(20, "the app has no channel `beta`", help);
    package.run(&["keys", "rotate", "beta", "--no-password"]).fails(20, "the app has no channel `beta`", help);
    let manifest = package.read("Cargo.toml");
    let table = "[package.metadata.updater]\n";
    package.write("Cargo.toml", &manifest.replace(table, &format!("{table}channels = [\"stable\", \"beta\"]\n")));
    let dry = package.run(&["keys", "rotate", "beta", "--dry-run"]).ok();
    assert!(dry.stderr.contains("Would draft a new key beta for beta"), "{}", dry.stderr);
    package.run(&["keys", "rotate", "beta", "--replace", "0011223344556677"]).fails(
        2,
        "beta has no key 0011223344556677",
        "keep all with `--add`",
    );
    let run = package.run(&["keys", "rotate", "beta", "--no-password"]).ok();
    assert!(run.stderr.contains("Published the new documents of hello: targets"), "{}", run.stderr);
    let targets = package.read("updater/targets.json");
    assert!(targets.contains("\"name\":\"beta\",\"paths\":[\"hello-*\"]"), "{targets}");
    package.run(&beta).ok();
    package.run(&["verify", "--deep"]).ok();
    let listed = package.run(&["release", "list"]).ok();
    assert!(listed.stdout.contains("1.2.0-beta.1") && listed.stdout.contains("1.0.0"), "{}", listed.stdout);
    // From now on it is a channel like any other.
    package.run(&["keys", "rotate", "beta", "--no-password"]).ok();
    package.run(&["release", "promote", "1.2.0-beta.1", "--from", "beta", "--channel", "stable", "--yes"]).ok();
    package.run(&["verify", "--deep"]).ok();
}

#[test]
fn a_rotation_of_the_online_key_goes_on_in_the_job_that_has_it() {
    let package = published();
    let first = package.read("updater/root.json");
    let run = package.run(&["keys", "rotate", "online", "--no-password", "--wait", "0", "--dry-run"]).ok();
    assert!(run.stderr.contains("Would draft a new key online-2 for online"), "{}", run.stderr);
    // The new key is made by whoever runs the job; here is its public half alone.
    package.run(&["keys", "new", "online", "--no-password", "--key-dir", "job"]).ok();
    let with = ["keys", "rotate", "online", "--with", "job/online.pub"];
    let waits = || package.run(&with).fails(11, "what was signed waits for the online key", "cargo updater refresh");
    waits();
    // The same question again goes on, and another one has to wait.
    assert!(waits().stderr.contains("Continuing the ceremony in"));
    let other = package.run(&["keys", "rotate", "root", "--no-password"]);
    other.fails(2, "a ceremony is under way in", "`cargo updater keys resume`");
    // Clients of the new root get nothing from the old key; the job signs with the new one.
    assert_eq!(package.run(&["verify"]).code, 50);
    files(&package, "1.0.1");
    for command in [&publish("1.0.1", &[])[..], &["status"], &["release", "list"]] {
        package.run(command).fails(
            50,
            "root 2 is published in fs:",
            "a rotation is under way: `cargo updater keys resume`",
        );
    }
    package.run(&["refresh", "--key-dir", "job", "--wait", "0"]).ok();
    package.run(&["verify"]).ok();
    let run = package.run(&["keys", "resume"]).ok();
    assert!(run.stderr.contains("Published the new documents"), "{}", run.stderr);
    assert_eq!(root(&package)["signed"]["version"], 2);
    std::fs::copy(package.path("job/online.key"), package.keys().join("online-2.key")).unwrap();
    std::fs::copy(package.path("job/online.pub"), package.keys().join("online-2.pub")).unwrap();
    assert_healthy(&package, &first, "1.1.0");
}

#[test]
fn stock_minisign_signs_a_root_of_two_out_of_three() {
    if !updater_tests::require::command("minisign", "apt-get install minisign") {
        return;
    }
    let package = published();
    let first = package.read("updater/root.json");
    // Two holders with machines of their own, and nothing on them but minisign.
    let holder = |name: &str| {
        let folder = package.home().join(name);
        std::fs::create_dir_all(&folder).unwrap();
        let mut minisign = Command::new("minisign");
        minisign.args(["-G", "-W", "-s", "root.key", "-p", "root.pub"]).current_dir(&folder);
        assert!(minisign.output().unwrap().status.success());
        folder
    };
    let (anna, bert) = (holder("anna"), holder("bert"));
    let public = |folder: &std::path::Path| folder.join("root.pub").to_str().unwrap().to_owned();
    let run = package.run(&[
        "keys",
        "rotate",
        "root",
        "--add",
        "--with",
        &public(&anna),
        "--with",
        &public(&bert),
        "--threshold",
        "2",
        "--message-format",
        "json",
    ]);
    assert_eq!(run.code, 11, "{}", run.stderr);
    // Our own key has signed for the old root and for the new one; one more is wanted there.
    let missing = &run.messages("ceremony")[0]["missing"];
    assert_eq!(
        (missing.as_array().unwrap().len(), &missing[0]["have"], &missing[0]["threshold"]),
        (1, &1.into(), &2.into())
    );
    assert_eq!(root(&package)["signed"]["version"], 1, "nothing is published before all have signed");

    package.run(&["keys", "root", "export", anna.to_str().unwrap()]).ok();
    let canonical = anna.join("root.canonical.json");
    let review = ["keys", "root", "review", canonical.to_str().unwrap(), "--against", "updater/root.json"];
    let reviewed = package.run(&review).ok();
    assert!(reviewed.stdout.contains("root version 2"), "{}", reviewed.stdout);
    assert!(reviewed.stdout.contains("change: root: 2 must sign instead of 1"), "{}", reviewed.stdout);
    assert_eq!(reviewed.stdout.matches(" comes").count(), 2, "{}", reviewed.stdout);
    // The key as its holder knows it, from the file that minisign wrote.
    let public_line = std::fs::read_to_string(anna.join("root.pub")).unwrap().lines().nth(1).unwrap().to_owned();
    assert!(reviewed.stdout.contains(&public_line), "{}", reviewed.stdout);

    let sign = |folder: &std::path::Path, options: &[&str], file: &str| {
        let mut minisign = Command::new("minisign");
        minisign.args(options).args(["-s", "root.key", "-m", file]).current_dir(folder);
        assert!(minisign.output().unwrap().status.success());
        folder.join(format!("{file}.minisig")).to_str().unwrap().to_owned()
    };
    let prehashed = sign(&anna, &["-S"], "root.canonical.json");
    let run = package.run(&["keys", "root", "import", &prehashed]);
    run.fails(40, &format!("{prehashed} is not a signature that metadata can carry"), "minisign -Sl -m FILE");
    std::fs::write(anna.join("other"), "other bytes").unwrap();
    let foreign = sign(&anna, &["-S", "-l"], "other");
    package.run(&["keys", "root", "import", &foreign]).fails(40, "", "export anew");
    // Bert has this program, and no project.
    std::fs::copy(&canonical, bert.join("root.canonical.json")).unwrap();
    let exported = bert.join("root.canonical.json").to_str().unwrap().to_owned();
    let sign_here = |folder: &str| {
        package.run(&["keys", "root", "sign", &exported, "--key-dir", folder, "--against", "updater/root.json"])
    };
    std::fs::create_dir(package.path("empty")).unwrap();
    sign_here("empty").fails(40, "no key in", "--key-dir");
    let run = sign_here(bert.to_str().unwrap()).ok();
    assert!(run.stdout.contains("change: root: 2 must sign instead of 1"), "{}", run.stdout);
    let signed = bert.join("root.signed.json").to_str().unwrap().to_owned();
    let run = package.run(&["keys", "root", "import", &signed]).ok();
    assert!(run.stderr.contains("Published the new documents"), "{}", run.stderr);

    let manifest = package.read("Cargo.toml");
    assert!(!manifest.contains("allow-single-root-key") && manifest.matches("RW").count() == 3, "{manifest}");
    // Now without our key at all: the two holders renew it, one today, one next week.
    std::fs::remove_file(package.keys().join("root.key")).unwrap();
    let run = package.run(&["keys", "renew", "root"]);
    run.fails(11, "0 of 2 signatures of root by the root in force are here", "keys root export");
    package.run(&["keys", "root", "export", anna.to_str().unwrap()]).ok();
    package.run(&["keys", "root", "export", bert.to_str().unwrap()]).ok();
    let run = package.run(&["keys", "root", "import", &sign(&anna, &["-S", "-l"], "root.canonical.json")]);
    run.fails(11, "1 of 2 signatures of root", "keys root import");
    assert_eq!(root(&package)["signed"]["version"], 2);
    package.run(&["keys", "root", "import", &sign(&bert, &["-S", "-l"], "root.canonical.json")]).ok();
    assert_eq!(root(&package)["signed"]["version"], 3);
    assert_healthy(&package, &first, "1.1.0");
}

#[test]
fn what_is_signed_must_be_canonical_and_an_abandoned_draft_goes() {
    let package = published();
    std::fs::rename(package.keys().join("root.key"), package.path("away")).unwrap();
    let run = package.run(&["keys", "renew", "root"]);
    run.fails(11, "0 of 1 signatures of root by the root in force are here, wanted: ", "keys root export");
    package.run(&["keys", "root", "export", "."]).ok();
    package.write("spaced.json", &package.read("root.canonical.json").replacen(':', ": ", 1));
    let run = package.run(&["keys", "root", "review", "spaced.json"]);
    run.fails(40, &format!("{} is not in canonical form", package.path("spaced.json").display()), "keys root export");
    package.run(&["keys", "root", "review", "Cargo.toml"]).fails(40, "", "keys root export");
    package.run(&["keys", "resume", "--abort"]).ok();
    assert!(!package.path("updater/next").exists());
    package.run(&["keys", "rotate", "nightly", "--no-password"]).fails(
        20,
        "the app has no channel `nightly`",
        "stable",
    );
    let run = package.run(&["keys", "rotate", "online", "--replace", "0123456789ABCDEF", "--no-password"]);
    run.fails(2, "online has no key 0123456789ABCDEF", "--add");
    let run = package.run(&["keys", "rotate", "online", "--threshold", "5", "--no-password"]);
    run.fails(2, "5 keys cannot have to sign online: it would have 1", "--threshold N");
    assert!(!package.keys().join("online-2.key").exists() && !package.path("updater/next").exists());
}

#[test]
fn a_stopped_end_is_not_gone_on_with_by_a_dry_run_and_does_not_believe_the_storage() {
    let package = published();
    let first = package.read("updater/root.json");
    std::fs::rename(package.keys().join("root.key"), package.path("away")).unwrap();
    assert_eq!(package.run(&["keys", "renew", "root"]).code, 11);
    let mut request: serde_json::Value = serde_json::from_str(&package.read("updater/next/ceremony.json")).unwrap();
    std::fs::rename(package.path("away"), package.keys().join("root.key")).unwrap();
    package.run(&["keys", "resume"]).ok();
    // As if it had been killed before the drafts were removed.
    let renewed = package.read("updater/root.json");
    request["settling"] = true.into();
    std::fs::create_dir(package.path("updater/next")).unwrap();
    package.write("updater/next/ceremony.json", &request.to_string());
    package.write("updater/next/root.json", &renewed);
    let before = package.snapshot();
    for command in [&["keys", "resume", "--dry-run"][..], &["keys", "renew", "root", "--dry-run"]] {
        let run = package.run(command).ok();
        assert!(run.stderr.contains("Would settle"), "{}", run.stderr);
        assert_eq!(before, package.snapshot(), "{command:?}");
    }
    let mut unsigned: serde_json::Value = serde_json::from_str(&renewed).unwrap();
    unsigned["signatures"] = serde_json::json!([]);
    let published = "target/updater/repository/hello/metadata/2.root.json";
    for bytes in [first, unsigned.to_string(), "{}".to_owned()] {
        package.write("updater/next/ceremony.json", &request.to_string());
        package.write("updater/next/root.json", &renewed);
        package.write(published, &bytes);
        package.run(&["keys", "resume"]).ok();
        assert_eq!(package.read("updater/root.json"), renewed);
        std::fs::create_dir(package.path("updater/next")).unwrap();
    }
}

#[test]
fn roots_from_before_the_first_release_are_published_with_it() {
    let package = real_package();
    let first = package.read("updater/root.json");
    package.run(&["keys", "rotate", "root", "--no-password"]).ok();
    let second = package.read("updater/root.json");
    package.run(&["keys", "renew", "root"]).ok();
    assert_eq!(root(&package)["signed"]["version"], 3);
    assert_eq!([package.read("updater/1.root.json"), package.read("updater/2.root.json")], [&*first, &*second]);
    // One that the next does not follow goes nowhere.
    package.write("updater/2.root.json", &first);
    package.run(&publish("1.0.0", &[])).fails(50, "2.root.json in the project", "");
    assert!(!package.path("target/updater/repository/hello/metadata/timestamp.json").exists());
    package.write("updater/2.root.json", &second);
    package.run(&publish("1.0.0", &[])).ok();
    package.run(&["verify", "--save", "copy"]).ok();
    std::fs::remove_dir_all(package.path("target/updater/repository/hello")).unwrap();
    package.run(&["restore", "copy"]).ok();
    assert_healthy(&package, &first, "1.1.0");
}

#[test]
fn nothing_is_drafted_on_top_of_a_storage_that_was_put_back() {
    let package = published();
    let timestamp = "target/updater/repository/hello/metadata/timestamp.json";
    let before = package.read(timestamp);
    package.run(&["keys", "rotate", "stable", "--no-password"]).ok();
    let newest = package.read(timestamp);
    package.write(timestamp, &before);
    let project = package.read("updater/targets.json");
    for command in [&["keys", "renew", "targets"][..], &["keys", "renew", "targets", "--dry-run"]] {
        package.run(command).fails(50, "fs:", "cargo updater restore DIR");
    }
    // On a machine that has seen nothing, the project's own role tells.
    let record = package.keys().join("last-published.json");
    std::fs::rename(&record, package.path("record")).unwrap();
    package.run(&["keys", "renew", "targets"]).fails(
        50,
        "the project has version 2 of the role targets, and fs:",
        "cargo updater restore DIR",
    );
    assert!(!package.path("updater/next").exists());
    assert_eq!((package.read("updater/targets.json"), package.read(timestamp)), (project, before));
    package.write(timestamp, &newest);
    package.run(&["keys", "renew", "targets"]).ok();
}

/// Returns the `.minisig` files of what is published, with their texts.
fn minisigs(package: &Package) -> Vec<(std::path::PathBuf, Vec<u8>)> {
    let files = package.snapshot().into_iter();
    let is_one = |path: &str| path.contains("/repository/") && path.ends_with(".minisig");
    files.filter(|(path, _)| is_one(path.to_str().unwrap())).collect()
}

#[test]
fn files_are_signed_by_the_key_that_is_in_force_at_every_moment() {
    let package = published();
    let before = minisigs(&package);
    assert!(!before.is_empty());
    let online = package.keys().join("online.key");
    std::fs::rename(&online, package.path("aside")).unwrap();
    let run = package.run(&["keys", "rotate", "stable", "--no-password"]);
    run.fails(11, "what was signed waits for the online key", "cargo updater refresh");
    // Nobody has seen the new key yet.
    assert_eq!(minisigs(&package), before);
    package.run(&["verify"]).ok();
    std::fs::rename(package.path("aside"), &online).unwrap();
    package.run(&["refresh"]).ok();
    assert_ne!(minisigs(&package), before);
    package.run(&["verify"]).ok();
    package.run(&["keys", "resume"]).ok();
    package.run(&["verify"]).ok();
}

#[test]
fn what_waits_is_taken_back_and_what_is_published_is_not() {
    let package = published();
    let online = package.keys().join("online.key");
    std::fs::rename(&online, package.path("aside")).unwrap();
    for role in ["stable", "targets"] {
        let is_out = role == "targets";
        assert_eq!(package.run(&["keys", "rotate", role, "--no-password"]).code, 11);
        let abort = package.run(&["keys", "resume", "--abort"]);
        match is_out {
            false => drop(abort.ok()),
            true => {
                drop(abort.fails(2, "version 2 of the role root is published already", "`cargo updater keys resume`"))
            }
        }
        assert_eq!(package.path("updater/next").exists(), is_out);
    }
    std::fs::rename(package.path("aside"), &online).unwrap();
    package.run(&["keys", "resume", "--wait", "0"]).ok();
    package.run(&["verify"]).ok();
    // The key that was given up went with its ceremony.
    assert!(!package.run(&["keys", "list"]).ok().stdout.contains("stable-2"));
    files(&package, "1.1.0");
    package.run(&publish("1.1.0", &[])).ok();
    package.run(&["verify"]).ok();
}

#[test]
fn drafts_that_are_lost_after_the_root_is_out_are_no_dead_end() {
    let package = published();
    let first = package.read("updater/root.json");
    package.run(&["keys", "new", "online", "--no-password", "--key-dir", "job"]).ok();
    assert_eq!(package.run(&["keys", "rotate", "online", "--with", "job/online.pub"]).code, 11);
    std::fs::remove_dir_all(package.path("updater/next")).unwrap();
    // The key of the job, and with it every document of the new root, is gone for good.
    std::fs::remove_dir_all(package.path("job")).unwrap();
    package.run(&["keys", "rotate", "online", "--no-password", "--wait", "0"]).ok();
    assert_eq!(root(&package)["signed"]["version"], 3);
    assert_healthy(&package, &first, "1.1.0");
}

#[test]
fn no_key_beyond_the_threshold_is_unlocked() {
    let package = published();
    let password = [("UPDATER_KEY_PASSWORD", "one that nobody remembers")];
    package.run_with(&["keys", "new", "second"], &password).ok();
    let public = package.keys().join("second.pub").to_str().unwrap().to_owned();
    package.run(&["keys", "rotate", "root", "--add", "--with", &public]).ok();
    package.run(&["keys", "renew", "root"]).ok();
    assert_eq!(root(&package)["signatures"].as_array().unwrap().len(), 1);
    // With a threshold of two it is needed, and asked for.
    let run = package.run(&["keys", "rotate", "root", "--add", "--with", &public, "--threshold", "2"]);
    run.fails(40, "", "UPDATER_KEY_PASSWORD");
}

#[test]
fn a_draft_that_somebody_has_changed_is_not_signed() {
    let package = published();
    std::fs::rename(package.keys().join("root.key"), package.path("aside")).unwrap();
    assert_eq!(package.run(&["keys", "rotate", "targets", "--no-password"]).code, 11);
    std::fs::rename(package.path("aside"), package.keys().join("root.key")).unwrap();
    let draft = package.read("updater/next/root.json");
    let year: u32 = root(&package)["signed"]["expires"].as_str().unwrap()[..4].parse().unwrap();
    // The root key is to sign timestamps, too.
    let mut other: serde_json::Value = serde_json::from_str(&draft).unwrap();
    for role in ["snapshot", "timestamp"] {
        other["signed"]["roles"][role] = other["signed"]["roles"]["root"].clone();
    }
    for changed in
        [other.to_string(), draft.replace(&format!("\"expires\":\"{year}-"), &format!("\"expires\":\"{}-", year + 9))]
    {
        assert_ne!(changed, draft);
        package.write("updater/next/root.json", &changed);
        let run = package.run(&["keys", "resume"]);
        let path = package.path("updater/next/root.json");
        run.fails(40, &format!("{} is not the root that was asked for", path.display()), "version control");
    }
    std::fs::rename(package.path("updater/next/targets.json"), package.path("aside")).unwrap();
    package.write("updater/next/root.json", &draft);
    package.run(&["keys", "resume"]).fails(40, "", "version control");
    std::fs::rename(package.path("aside"), package.path("updater/next/targets.json")).unwrap();
    package.run(&["keys", "resume", "--wait", "0"]).ok();
    package.run(&["verify"]).ok();
}

#[test]
fn new_keys_in_the_repository_are_kept_out_of_git() {
    let package = published();
    let kept = package.path("secret");
    std::fs::create_dir(&kept).unwrap();
    for entry in std::fs::read_dir(package.keys()).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            std::fs::copy(&path, kept.join(path.file_name().unwrap())).unwrap();
        }
    }
    let rotate = ["keys", "rotate", "online", "--no-password", "--wait", "0", "--key-dir", "secret"];
    let run = package.run(&rotate).ok();
    assert!(run.stderr.contains("the secret keys would lie inside the repository"), "{}", run.stderr);
    assert!(kept.join("online-2.key").exists());
    assert!(package.read(".gitignore").contains("/secret/**/*.key"));
}

#[test]
fn a_ceremony_that_is_open_and_keys_that_are_elsewhere_are_told() {
    let package = published();
    std::fs::rename(package.keys().join("root.key"), package.path("../away")).unwrap();
    let overview = package.run(&[]).ok().stdout;
    assert!(overview.contains("can sign   targets, online, stable; no key here of root\n"), "{overview}");
    let doctor = package.run(&["doctor"]).stdout;
    assert!(doctor.contains("note[key-absent]: no key of the role root is on this machine"), "{doctor}");
    assert!(
        doctor.contains("if it is lost: enough others replace it") && !doctor.contains("ceremony-open"),
        "{doctor}"
    );
    // Before anything is made.
    let run = package.run(&["keys", "rotate", "online", "--no-password"]);
    let run = run.fails(11, "0 of 1 signatures of root", "keys root export");
    let place = |text: &str| run.stderr.find(text).unwrap_or_else(|| panic!("{text} is not in {}", run.stderr));
    assert!(place("note: no key of the role root is on this machine") < place("Created the key"), "{}", run.stderr);
    let dry = package.run(&["keys", "resume", "--dry-run"]).ok();
    assert!(dry.stderr.contains("Would need 1 more signature of root by the root in force, from "), "{}", dry.stderr);
    let doctor = package.run(&["doctor"]).stdout;
    assert!(doctor.contains("note[ceremony-open]: a new key online-2 for online was begun in "), "{doctor}");
    assert!(doctor.contains("cure: cargo updater keys resume, or `cargo updater keys resume --abort`"), "{doctor}");
    let job = package.run(&["doctor", "--key-dir", "empty"]).stdout;
    assert!(job.contains("note[key-absent]: no key of this app is on this machine"), "{job}");
}

#[test]
fn caches_may_be_waited_out_by_coming_back() {
    let package = published();
    let first = package.read("updater/root.json");
    let rotate = ["keys", "rotate", "online", "--no-password", "--later", "--message-format", "json"];
    let run = package.run(&rotate).fails(11, "for ", "`cargo updater keys resume`");
    assert!(run.stderr.contains("s caches may say that there is no newer root"), "{}", run.stderr);
    let told = &run.messages("ceremony")[0];
    assert_eq!((&told["waits_for"], &told["finished"]), (&"caches".into(), &false.into()));
    let seconds = told["seconds"].as_u64().unwrap();
    assert!((200..=301).contains(&seconds), "{told}");
    // The root is out, and everything else is still the old key's.
    assert!(package.path("target/updater/repository/hello/metadata/2.root.json").exists());
    // Meanwhile everybody is told what is going on.
    let overview = package.run(&[]).ok().stdout;
    assert!(overview.contains("published  not to be read before the rotation is at its end"), "{overview}");
    assert!(
        overview.contains("a new key online-2 for online is under way: root 2 is published; for about "),
        "{overview}"
    );
    assert!(
        overview.contains("installed apps keep what they have\n     -> let the command that waits end"),
        "{overview}"
    );
    assert!(!overview.contains("--abort"), "{overview}");
    let doctor = package.run(&["doctor", "--message-format", "json"]);
    let finding = doctor.messages("finding").into_iter().find(|finding| finding["code"] == "rotation-open").unwrap();
    assert_eq!((&finding["severity"], doctor.stdout.contains("published-refused")), (&"warning".into(), false));
    let again = package.run(&["keys", "resume", "--later", "--message-format", "json"]);
    assert_eq!((again.code, &again.messages("ceremony")[0]["waits_for"]), (11, &"caches".into()), "{}", again.stderr);
    assert!(again.messages("ceremony")[0]["seconds"].as_u64().unwrap() <= seconds);
    // The time has come.
    let root_2 = package.path("target/updater/repository/hello/metadata/2.root.json");
    let long_ago = std::time::SystemTime::now() - std::time::Duration::from_secs(400);
    std::fs::File::options().append(true).open(root_2).unwrap().set_modified(long_ago).unwrap();
    let doctor = package.run(&["doctor"]);
    assert!(doctor.stdout.contains("error[rotation-open]"), "{}", doctor.stdout);
    let run = package.run(&["keys", "resume", "--later"]).ok();
    assert!(run.stderr.contains("Published the new documents of hello: root"), "{}", run.stderr);
    assert_healthy(&package, &first, "1.1.0");
}

#[test]
fn a_mistyped_password_makes_no_key_and_a_ceremony_that_is_given_up_takes_its_key_along() {
    let package = Package::new();
    let run = |arguments: &[&str], password| package.run_with(arguments, &[("UPDATER_KEY_PASSWORD", password)]);
    run(&["init", "--url", "https://example.com/hello"], "right").ok();
    files(&package, "1.0.0");
    run(&publish("1.0.0", &[]), "right").ok();
    let before = package.snapshot();
    for (role, key) in [("stable", "targets"), ("online", "root"), ("root", "root"), ("targets", "root")] {
        let key = package.keys().join(format!("{key}.key"));
        run(&["keys", "rotate", role], "wrong").fails(
            40,
            &format!("wrong password for {}", key.display()),
            "try again",
        );
        assert_eq!(before, package.snapshot(), "{role}");
    }
    // A key of which nobody knows the password: what a person mistyped twice, or an earlier version of this program left.
    std::fs::rename(package.keys().join("root.key"), package.path("away")).unwrap();
    run(&["keys", "rotate", "online"], "other").fails(11, "0 of 1 signatures of root", "keys resume");
    std::fs::rename(package.path("away"), package.keys().join("root.key")).unwrap();
    let own = package.keys().join("online-2.key");
    let run_it = || run(&["keys", "resume", "--wait", "0"], "right");
    run_it().fails(40, &format!("wrong password for {}", own.display()), "`cargo updater keys resume --abort`");
    assert!(!package.path("target/updater/repository/hello/metadata/2.root.json").exists());

    let aborted = run(&["keys", "resume", "--abort", "--dry-run"], "right").ok();
    assert!(aborted.stderr.contains("Would remove the key online-2 in"), "{}", aborted.stderr);
    // A key that was put in its place meanwhile is somebody else's.
    let public = own.with_extension("pub");
    let made = std::fs::read(&public).unwrap();
    std::fs::copy(package.keys().join("stable.pub"), &public).unwrap();
    let request = package.read("updater/next/ceremony.json");
    run(&["keys", "resume", "--abort"], "right").ok();
    assert!(own.exists() && public.exists() && !package.path("updater/next").exists());
    std::fs::create_dir(package.path("updater/next")).unwrap();
    package.write("updater/next/ceremony.json", &request);
    std::fs::write(&public, made).unwrap();
    let aborted = run(&["keys", "resume", "--abort"], "right").ok();
    assert!(aborted.stderr.contains(&format!("Removed {}", own.display())), "{}", aborted.stderr);
    assert!(!package.path("updater/next").exists());
    assert_eq!(
        before.iter().filter(|(path, _)| path.starts_with(package.keys())).collect::<Vec<_>>(),
        package.snapshot().iter().filter(|(path, _)| path.starts_with(package.keys())).collect::<Vec<_>>()
    );
    run(&["keys", "rotate", "online", "--wait", "0"], "right").ok();
    package.run(&["verify"]).ok();
}
