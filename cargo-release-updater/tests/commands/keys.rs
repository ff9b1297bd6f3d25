//! `cargo updater keys` as a person and as a script use it.

use crate::package::Package;

#[test]
fn keys_are_made_listed_and_never_overwritten() {
    let package = Package::new();
    let made = package.run(&["keys", "new", "beta", "online", "--no-password", "--message-format", "json"]).ok();
    let keys = made.messages("key");
    assert_eq!((keys[0]["role"].as_str(), keys[1]["role"].as_str()), (Some("beta"), Some("online")));
    let public = keys[0]["public_key"].as_str().unwrap();
    assert!(public.starts_with("RW") && public.len() == 56, "{public}");

    let listed = package.run(&["keys", "list"]).ok();
    let id = keys[0]["id"].as_str().unwrap();
    assert!(listed.stdout.contains(&format!("beta       {id}  not encrypted")), "{}", listed.stdout);

    let path = package.keys().join("beta.key");
    let run = package.run(&["keys", "new", "beta", "--no-password"]);
    run.fails(40, &format!("{} exists already", path.display()), "move it away first");
}

#[test]
fn a_role_that_has_no_key_of_its_own_is_a_usage_error() {
    let package = Package::new();
    for role in ["snapshot", "timestamp", "../x", "Beta"] {
        let run = package.run(&["keys", "new", role, "--no-password"]);
        assert_eq!(run.code, 2, "{}", run.stderr);
        assert!(run.stderr.contains("cannot have a key"), "{}", run.stderr);
    }
}

#[test]
fn a_dry_run_makes_no_key() {
    let package = Package::new();
    let before = package.snapshot();
    let run = package.run(&["keys", "new", "beta", "--no-password", "--dry-run"]).ok();
    assert!(run.stderr.contains("Would create"), "{}", run.stderr);
    assert_eq!(before, package.snapshot());
}

#[test]
fn without_a_home_the_option_is_named() {
    let package = Package::new();
    let run = package.run_with(&["keys", "list"], &[("HOME", "")]);
    run.fails(40, "no folder for keys", "`--key-dir DIR`");
    package.run_with(&["keys", "list", "--key-dir", "keys"], &[("HOME", "")]).ok();
}

#[test]
fn another_app_can_be_named_outside_a_package() {
    let package = Package::new();
    std::fs::remove_file(package.path("Cargo.toml")).unwrap();
    package.run(&["keys", "list"]).fails(20, "cannot find a Cargo package to work on", "--manifest-path");
    let run = package.run(&["keys", "new", "stable", "--app", "other", "--no-password"]).ok();
    assert!(run.stderr.contains("keys/other/stable.key"), "{}", run.stderr);
}
