//! `cargo updater prune`: what goes, and above all what stays.

use crate::package::Package;
use crate::publish::{files, publish};
use crate::refresh::real_package;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

const DAY: Duration = Duration::from_secs(86_400);

fn repository(package: &Package) -> PathBuf {
    package.path("target/updater/repository/hello")
}

/// Every object, relative to the repository, without its digest.
fn objects(package: &Package) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for folder in ["metadata", "targets", "submissions"] {
        let Ok(entries) = std::fs::read_dir(repository(package).join(folder)) else { continue };
        for entry in entries {
            let name = entry.unwrap().file_name().into_string().unwrap();
            let name = if folder == "targets" { name.split_once('.').unwrap().1.to_owned() } else { name };
            found.insert(format!("{folder}/{name}"));
        }
    }
    found
}

/// Sets the age of objects whose path has these words; all when there are none.
fn aged(package: &Package, days: u32, words: &str) {
    for folder in ["metadata", "targets", "submissions"] {
        let Ok(entries) = std::fs::read_dir(repository(package).join(folder)) else { continue };
        for entry in entries {
            let path = entry.unwrap().path();
            if path.to_string_lossy().contains(words) {
                let file = std::fs::File::options().write(true).open(path).unwrap();
                file.set_modified(SystemTime::now() - DAY * days).unwrap();
            }
        }
    }
}

/// Three releases of which one is listed, and a stepping stone.
fn three_releases() -> Package {
    let package = real_package();
    crate::hooks::table(&package, "keep = 1\npatches-from = 1");
    for version in ["1.0.0", "1.1.0", "1.2.0"] {
        files(&package, version);
        package.run(&publish(version, &[])).ok();
    }
    package
}

#[test]
fn what_was_replaced_long_ago_goes_and_everything_else_stays() {
    let package = three_releases();
    let all = objects(&package);
    let young = package.run(&["prune", "--message-format", "json"]).ok();
    assert_eq!((&young.messages("pruned")[0]["files"], objects(&package)), (&0.into(), all.clone()));

    // Everything is old, but 1.1.0 was replaced yesterday: a client may still be on its way to it.
    aged(&package, 400, "");
    aged(&package, 1, "3.stable.json");
    let dry = package.run(&["prune", "--dry-run", "--message-format", "json"]).ok();
    assert_eq!(objects(&package), all, "a dry run removes nothing");
    let told = dry.messages("removed-file");
    assert!(told.iter().all(|file| file["dry_run"] == true));
    let run = package.run(&["prune", "--message-format", "json"]).ok();
    assert_eq!(run.messages("removed-file").len(), told.len());
    let gone: Vec<_> = all.difference(&objects(&package)).cloned().collect();
    assert!(
        !gone.is_empty() && gone.iter().all(|path| !path.contains("1.2.0") && !path.contains("-1.1.0-x86")),
        "{gone:?}"
    );
    let bundle = "targets/hello-1.0.0-x86_64-unknown-linux-gnu.tar.xz";
    for path in [bundle, &format!("{bundle}.minisig"), "metadata/1.stable.json", "submissions/1.VERSION"] {
        assert!(gone.iter().any(|gone| gone == path), "{path} stays: {gone:?}");
    }
    package.run(&["verify", "--deep"]).ok();

    aged(&package, 400, "3.stable.json");
    package.run(&["prune"]).ok();
    let left = objects(&package);
    assert!(!left.iter().any(|path| path.contains("1.1.0-x86")), "{left:?}");
    for path in ["metadata/1.root.json", "metadata/1.targets.json", "metadata/3.stable.json", "metadata/timestamp.json"]
    {
        assert!(left.contains(path), "{path} is gone: {left:?}");
    }
    package.run(&["verify", "--deep"]).ok();
    files(&package, "1.3.0");
    package.run(&publish("1.3.0", &[])).ok();
}

#[test]
fn stepping_stones_and_what_waits_stay_however_old() {
    let package = real_package();
    crate::hooks::table(&package, "keep = 1\npatches-from = 0");
    package.run(&publish("1.0.0", &[])).ok();
    package.run(&["release", "require", "1.0.0"]).ok();
    files(&package, "1.1.0");
    package.run(&publish("1.1.0", &[])).ok();
    let online = package.keys().join("online.key");
    let text = std::fs::read_to_string(&online).unwrap();
    std::fs::remove_file(&online).unwrap();
    files(&package, "1.2.0");
    package.run(&publish("1.2.0", &[])).ok();
    aged(&package, 400, "");
    let before = objects(&package);
    package.run(&["prune"]).ok();
    let left = objects(&package);
    for version in ["1.0.0", "1.1.0", "1.2.0"] {
        let bundle = format!("targets/hello-{version}-x86_64-unknown-linux-gnu.tar.xz");
        assert!(left.contains(&bundle), "{bundle}: {left:?}");
    }
    assert!(left.len() < before.len(), "documents that nobody needs go");
    package.run_with(&["refresh"], &[("UPDATER_ONLINE_KEY", &text)]).ok();
    package.run(&["verify", "--deep"]).ok();
}

#[test]
fn a_storage_that_was_put_back_is_not_pruned() {
    let package = real_package();
    package.run(&publish("1.0.0", &[])).ok();
    let timestamp = repository(&package).join("metadata/timestamp.json");
    let last_week = std::fs::read(&timestamp).unwrap();
    files(&package, "1.1.0");
    package.run(&publish("1.1.0", &[])).ok();
    std::fs::write(&timestamp, last_week).unwrap();
    aged(&package, 400, "");
    let before = objects(&package);
    package.run(&["prune"]).fails(50, "", "somebody put old files back");
    assert_eq!(objects(&package), before);
    // A machine that remembers nothing keeps what newer documents list, too.
    std::fs::remove_file(package.keys().join("last-published.json")).unwrap();
    package.run(&["prune"]).ok();
    assert!(objects(&package).iter().any(|path| path.contains("hello-1.1.0")));
}

#[test]
fn what_cannot_be_pruned_says_so() {
    let package = crate::publish::package();
    package.run(&["prune"]).fails(2, "nothing is published in fs:", "cargo updater publish");

    // One that a command writes: nobody knows what else lies there, and the hook is not asked to remove anything.
    crate::hooks::delivering(&package, "[\"./deliver.sh\", \"{{folder}}\"]");
    let deliver = "while read -r file; do install -D -m 644 \"$1/$file\" \"www/$file\" || exit 1; done";
    crate::publish::write_program(&package.path("deliver.sh"), &format!("#!/bin/sh\n{deliver}\n"));
    package.run(&publish("1.0.0", &[])).ok();
    crate::publish::write_program(&package.path("deliver.sh"), "#!/bin/sh\ntouch pruned\n");
    for arguments in [&["prune"][..], &["prune", "--dry-run"], &["prune", "--yes"]] {
        let refused = package.run(arguments);
        refused.fails(60, "command (read at file://", "remove old files with the program that writes it");
    }
    assert!(!package.path("pruned").exists());
    package.run(&["verify", "--deep"]).ok();
}
