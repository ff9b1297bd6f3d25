//! `private-storage`: what waits and what is remembered lie where clients cannot read.

use crate::hooks::table;
use crate::publish::{files, publish};
use crate::refresh::real_package;

#[test]
fn what_waits_and_what_is_remembered_lie_apart_from_what_is_published() {
    let package = real_package();
    table(&package, "private-storage = \"fs:private\"");
    package.run(&publish("1.0.0", &[])).ok();
    let repository = package.path("target/updater/repository/hello");
    let last_week = std::fs::read(repository.join("metadata/timestamp.json")).unwrap();
    assert!(package.path("private/hello/submissions/1.VERSION").exists());
    assert!(package.read("private/hello/last-published.json").contains("\"timestamp\": 1"));

    let online = package.keys().join("online.key");
    let text = std::fs::read_to_string(&online).unwrap();
    std::fs::remove_file(&online).unwrap();
    files(&package, "1.1.0");
    package.run(&publish("1.1.0", &[])).ok();
    assert!(package.path("private/hello/submissions/stable.json").exists());
    assert!(!repository.join("submissions").exists(), "nothing of it lies where clients read");
    let status = package.run(&["status", "--message-format", "json"]).ok();
    let waiting = &status.messages("waiting")[0];
    assert_eq!((&waiting["role"], &waiting["waits_for"]), (&"stable".into(), &"online-key".into()));
    package.run_with(&["refresh", "--key-dir", "job"], &[("UPDATER_ONLINE_KEY", &text)]).ok();
    package.run(&["verify", "--deep"]).ok();

    // Somebody puts the storage back to last week. This job has a new folder for its record, and notices all the same.
    std::fs::write(repository.join("metadata/timestamp.json"), last_week).unwrap();
    std::fs::remove_file(repository.join("metadata/2.snapshot.json")).unwrap();
    let job = ["refresh", "--key-dir", "another-job"];
    let refused = package.run_with(&job, &[("UPDATER_ONLINE_KEY", &text)]);
    assert!(refused.stderr.contains("last-published.json in fs:private/hello"), "{}", refused.stderr);
    refused.fails(50, "fs:", "somebody put old files back");
}

#[test]
fn a_pack_of_keys_is_carried_by_the_private_storage() {
    let package = real_package();
    let none = package.run(&["keys", "export", "private:anna.json"]);
    none.fails(20, "the table names no `private-storage`", "private-storage = ");
    table(&package, "private-storage = \"fs:private\"");
    package.run(&["keys", "export", "private:anna.json"]).ok();
    assert!(package.path("private/hello/keys/anna.json").exists());
    package.run(&["keys", "export", "private:anna.json"]).ok();
    let other = package.run(&["keys", "export", "private:anna.json", "stable"]);
    other.fails(40, "private:anna.json exists", "another name");
    package.run(&["keys", "export", "private:../x"]).fails(2, "", "letters");
    let open = package.run(&["keys", "export", "private:secret.json", "--with-secrets"]);
    open.fails(40, "the secret key online has no password", "keys new");
    package.run(&["keys", "import", "private:anna.json", "--key-dir", "elsewhere"]).ok();
    assert!(package.path("elsewhere/online.pub").exists());
    assert!(!package.path("elsewhere/online.key").exists());
    package.run(&["keys", "import", "private:bert.json"]).fails(40, "there is no private:bert.json", "keys export");
}
