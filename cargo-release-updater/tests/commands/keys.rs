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

#[test]
fn who_may_sign_what_and_what_can_be_signed_here() {
    let package = crate::refresh::real_package();
    let elsewhere = package.path("stable");
    std::fs::rename(package.keys().join("stable.key"), &elsewhere).unwrap();
    package.run(&["keys", "new", "beta", "--no-password"]).ok();
    let listed = package.run(&["keys", "list"]).ok().stdout;
    for line in [
        "root: 1 of 1 must sign, can be signed here, until 20",
        "targets: 1 of 1 must sign, can be signed here, until 20",
        "online: 1 of 1 must sign, can be signed here",
        "  root, not encrypted",
        "stable: 1 of 1 must sign, cannot be signed here",
        "  stable, public half only",
        "    key id ",
        "in no role\nbeta  ",
    ] {
        assert!(listed.contains(line), "{line:?} is not in {listed}");
    }
    let json = package.run(&["keys", "list", "--message-format", "json"]).ok();
    let (roles, keys) = (json.messages("role"), json.messages("key"));
    assert_eq!(
        roles.iter().map(|role| role["role"].as_str().unwrap()).collect::<Vec<_>>(),
        ["root", "targets", "online", "stable"]
    );
    let key = keys.iter().find(|key| key["role"] == "stable").unwrap();
    assert_eq!((&key["signs"][0], &key["secret"]), (&"stable".into(), &serde_json::Value::Null));
    assert_eq!((&roles[3]["keys"][0]["id"], &roles[3]["keys"][0]["key_id"]), (&key["id"], &key["key_id"]));
    assert_eq!((&roles[3]["can_sign"], &roles[0]["can_sign"]), (&false.into(), &true.into()));

    // An error that a key is missing names it as minisign does, although nothing of it is here.
    std::fs::remove_file(package.keys().join("stable.pub")).unwrap();
    let run = package.run(&crate::publish::publish("1.0.0", &[]));
    let wanted = format!(
        "cannot sign the role stable: 0 of the 1 keys that must sign are here, wanted: {}",
        key["id"].as_str().unwrap()
    );
    run.fails(40, &wanted, "--key-dir");
    let listed = package.run(&["keys", "list"]).ok().stdout;
    assert!(listed.contains(&format!("  {}  elsewhere", key["id"].as_str().unwrap())), "{listed}");
}

#[test]
fn a_key_that_would_lie_in_a_repository_is_kept_out_of_it() {
    let package = Package::new();
    std::fs::create_dir(package.path(".git")).unwrap();
    let run = package.run(&["keys", "new", "beta", "--no-password", "--key-dir", "keys"]).ok();
    assert!(run.stderr.contains("warning: the secret keys would lie inside the repository"), "{}", run.stderr);
    assert_eq!(package.read(".gitignore"), "# Secret keys of cargo updater\n/keys/**/*.key\n");
    // Also where no package is.
    let other = package.home().join("other");
    std::fs::create_dir_all(other.join(".git")).unwrap();
    let folder = other.join("k").to_str().unwrap().to_owned();
    let run = package.run(&["keys", "new", "beta", "--app", "x", "--no-password", "--key-dir", &folder]).ok();
    assert!(run.stderr.contains("inside the repository"), "{}", run.stderr);
    assert!(std::fs::read_to_string(other.join(".gitignore")).unwrap().contains("/k/**/*.key"));
    let quiet = package.run(&["keys", "new", "gamma", "--no-password"]).ok();
    assert!(!quiet.stderr.contains("inside the repository"), "{}", quiet.stderr);
}

#[test]
fn keys_of_stock_minisign_work_everywhere() {
    use std::io::Write as _;
    use std::process::{Command, Stdio};
    if !updater_tests::require::command("minisign", "apt-get install minisign") {
        return;
    }
    let package = Package::new();
    std::fs::create_dir_all(package.keys()).unwrap();
    // One of them encrypted, by libsodium's scrypt: minisign reads the password from stdin when that is no terminal.
    for (role, options) in [("root", &["-W"][..]), ("targets", &["-W"]), ("online", &["-W"]), ("stable", &[])] {
        let [secret, public] = ["key", "pub"].map(|ending| package.keys().join(format!("{role}.{ending}")));
        let mut minisign = Command::new("minisign");
        minisign.arg("-G").args(options).arg("-s").arg(&secret).arg("-p").arg(&public);
        let mut child = minisign.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        // With -W it asks for nothing, and may have ended already.
        let answers: &[u8] = if options.is_empty() { b"six random words\nsix random words\n" } else { b"" };
        child.stdin.take().unwrap().write_all(answers).unwrap();
        assert!(child.wait().unwrap().success(), "{role}");
    }
    let password = [("UPDATER_KEY_PASSWORD", "six random words")];
    package.run_with(&["init", "--url", "https://example.com/hello"], &password).ok();
    crate::publish::files(&package, "1.0.0");
    let publish = crate::publish::publish("1.0.0", &[]);
    let nobody = "is encrypted and no password was given";
    let run = package.run(&publish);
    assert!(run.code == 40 && run.stderr.contains(nobody), "{}", run.stderr);
    package.run_with(&publish, &password).ok();
    package.run(&["verify", "--deep"]).ok();
    package.run(&["keys", "renew", "root", "targets"]).ok();
}
