//! `cargo updater init` on a real package: what it writes, that it repeats, and what it refuses.

use crate::package::Package;
use updater_build::embed::{BuildEnvironment, write};
use updater_format::UtcTime;

/// Lets the build script's own code read what `init` wrote.
fn embeds(package: &Package) -> String {
    let out = tempfile::tempdir().unwrap();
    let environment = BuildEnvironment {
        package: package.path(""),
        out: out.path().to_owned(),
        version: "1.0.0".to_owned(),
        target: "x86_64-unknown-linux-gnu".to_owned(),
        source_date_epoch: None,
        commit_time: None,
    };
    let embedding = write(&environment, UtcTime::from_unix(0)).unwrap();
    assert_eq!(embedding.warnings, [""; 0]);
    std::fs::read_to_string(out.path().join("updater_embedded.rs")).unwrap()
}

#[test]
fn a_package_is_set_up_and_a_second_run_changes_nothing() {
    let package = Package::new();
    let url = "https://example.com/hello";
    let run = package.run(&["init", "--url", url, "--no-password", "--message-format", "json"]).ok();
    let changes = &run.messages("init")[0];
    assert_eq!(changes["edited"], serde_json::json!(["Cargo.toml"]));
    assert_eq!(changes["created"].as_array().unwrap().len(), 7, "{changes}");
    assert!(run.stderr.contains("     Created build.rs"), "{}", run.stderr);

    let manifest = package.read("Cargo.toml");
    assert!(
        manifest.contains("name = \"hello\" # a name") && manifest.contains("# kept\n[dependencies]\n"),
        "{manifest}"
    );
    assert!(manifest.contains("\n[package.metadata.updater]\n# Who may change the trusted keys"), "{manifest}");
    assert!(manifest.contains("\nurl = \"https://example.com/hello\"\n"), "{manifest}");
    assert!(manifest.contains("\nallow-single-root-key = true\n"), "{manifest}");
    // This command was built in a checkout: what it has may be in no registry.
    let checkout = updater_tests::workspace();
    let line = format!("updater-runtime = {{ path = \"{}\" }}", checkout.join("updater-runtime").display());
    assert!(manifest.contains(&line), "{manifest}");
    assert!(run.stderr.contains(&format!("the two crates are taken from {}", checkout.display())), "{}", run.stderr);
    assert!(package.read("build.rs").contains("    updater_build::embed();\n"));
    assert!(run.stderr.contains("let updater = updater_runtime::updater!();"), "{}", run.stderr);

    let embedded = embeds(&package);
    assert!(embedded.contains("app: \"hello\"") && embedded.contains(url) && embedded.contains("Option::None"));

    let before = package.snapshot();
    let again = package.run(&["init", "--url", url, "--no-password"]).ok();
    assert!(again.stderr.contains("   Unchanged hello is set up"), "{}", again.stderr);
    let again = package.run(&["updater", "init"]).ok();
    assert!(again.stderr.contains("   Unchanged hello is set up"), "{}", again.stderr);
    assert_eq!(before, package.snapshot());
}

#[test]
fn a_dry_run_tells_the_same_and_writes_nothing() {
    let package = Package::new();
    let before = package.snapshot();
    let run = package.run(&["init", "--url", "https://example.com", "--no-password", "--dry-run"]).ok();
    assert_eq!(before, package.snapshot());
    for what in ["root.key", "stable.key", "updater/root.json", "updater/targets.json", "build.rs"] {
        assert!(run.stderr.lines().any(|line| line.contains("Would create") && line.ends_with(what)), "{}", run.stderr);
    }
    assert!(run.stderr.contains("  Would edit Cargo.toml"), "{}", run.stderr);
}

#[test]
fn a_missing_answer_without_a_terminal_names_its_option() {
    let package = Package::new();
    let before = package.snapshot();
    package.run(&["init"]).fails(2, "the address where clients read is not given", "`--url URL`");
    let run = package.run(&["init", "--url", "https://example.com"]);
    run.fails(40, "no password for the new keys was given", "`--no-password`");
    assert_eq!(before, package.snapshot());
}

#[test]
fn keys_are_encrypted_with_the_password_of_the_environment_and_it_is_told_to_nobody() {
    let package = Package::new();
    let secret = [("UPDATER_KEY_PASSWORD", "correct horse battery")];
    let run = package.run_with(&["init", "--url", "https://example.com", "-v"], &secret).ok();
    assert!(!run.stderr.contains("correct horse") && !run.stdout.contains("correct horse"));
    let listed = package.run(&["keys", "list", "--message-format", "json"]).ok();
    let keys = listed.messages("key");
    assert_eq!(keys.len(), 4);
    assert!(keys.iter().all(|key| key["encrypted"] == true), "{}", listed.stdout);
    let files = package.snapshot();
    assert!(files.iter().all(|(_, bytes)| !bytes.windows(13).any(|window| window == b"correct horse")));
}

#[test]
fn a_development_root_needs_no_answers_and_keeps_its_keys_apart() {
    let package = Package::new();
    package.run(&["init", "--dev", "--path-deps", "/srv/checkout"]).ok();
    let manifest = package.read("Cargo.toml");
    assert!(manifest.contains("updater-build = { path = \"/srv/checkout/updater-build\" }"), "{manifest}");
    assert!(package.keys().join("development/root.key").exists() && !package.keys().join("root.key").exists());
    embeds(&package);

    package.write("Cargo.toml", &manifest.replace("http://127.0.0.1:8700", "https://example.com"));
    let run = package.run(&["init", "--no-password"]);
    run.fails(
        20,
        &format!("{} is a development root of `hello`", package.path("updater/root.json").display()),
        "remove",
    );
}

#[test]
fn a_table_that_is_left_of_another_root_is_refused_before_a_key_is_made() {
    let package = Package::new();
    package.run(&["init", "--dev"]).ok();
    let root = std::fs::read(package.path("updater/root.json")).unwrap();
    std::fs::remove_dir_all(package.path("updater")).unwrap();
    let before = package.snapshot();
    let over = ["init", "--url", "https://example.com/hello", "--no-password"];
    let message = format!("{} has the public key of a root, and ", package.path("Cargo.toml").display());
    // With the very keys of the lost root, too: another root of the same keys is another root.
    package.run(&["init", "--dev"]).fails(20, &message, "from version control");
    package.run(&over).fails(20, &message, "remove the table [package.metadata.updater], too");
    package.run(&over).fails(20, &message, "from version control");
    assert_eq!(before, package.snapshot());

    // What the help says: without the table it begins anew, and the program would build.
    let manifest = package.read("Cargo.toml");
    let (kept, table) = manifest.split_once("[package.metadata.updater]").unwrap();
    let rest = table.split_once("\n[").map_or(String::new(), |(_, rest)| format!("[{rest}"));
    package.write("Cargo.toml", &format!("{kept}{rest}"));
    package.run(&over).ok();
    embeds(&package);
    assert_ne!(std::fs::read(package.path("updater/root.json")).unwrap(), root);
}

#[test]
fn a_root_whose_targets_role_is_gone_is_not_made_anew() {
    let package = Package::new();
    package.run(&["init", "--dev"]).ok();
    let targets = package.path("updater/targets.json");
    std::fs::remove_file(&targets).unwrap();
    let before = package.snapshot();
    let message =
        format!("{} is there, and {} beside it is not", package.path("updater/root.json").display(), targets.display());
    for options in [&["init", "--dev"][..], &["init", "--dev", "--dry-run"]] {
        package.run(options).fails(20, &message, "from version control");
    }
    assert_eq!(before, package.snapshot());
}

#[test]
fn an_option_that_the_table_contradicts_is_refused() {
    let package = Package::new();
    let storage = format!("fs:{}", package.path("public").display());
    package.run(&["init", "--url", "https://example.com/hello", "--no-password", "--storage", &storage]).ok();
    let before = package.snapshot();
    let run = package.run(&["init", "--url", "https://example.org/hello"]);
    let manifest = package.path("Cargo.toml").display().to_string();
    let message = format!("`--url` is given, and {manifest} has `url = \"https://example.com/hello\"`");
    run.fails(20, &message, "edit `url` in the table");
    let run = package.run(&["init", "--storage", "fs:/elsewhere"]);
    let message = format!("`--storage` is given, and {manifest} has `storage = \"{storage}\"`");
    run.fails(20, &message, "edit `storage` in the table");
    package.run(&["init", "--url", "https://example.com/hello", "--storage", &storage]).ok();
    assert_eq!(before, package.snapshot());
}

#[test]
fn keys_inside_the_repository_are_warned_about_and_ignored_by_git() {
    let package = Package::new();
    std::fs::create_dir(package.path(".git")).unwrap();
    package.write(".gitignore", "/target");
    let run = package.run(&["init", "--url", "https://example.com", "--no-password", "--key-dir", "secret/keys"]).ok();
    assert!(run.stderr.contains("warning: the secret keys would lie inside the repository"), "{}", run.stderr);
    assert_eq!(package.read(".gitignore"), "/target\n# Secret keys of cargo updater\n/secret/keys/**/*.key\n");
    package.run(&["init", "--key-dir", "secret/keys"]).ok();
    assert_eq!(package.read(".gitignore").matches("*.key").count(), 1);
}

#[test]
fn an_existing_build_script_is_edited_or_left_to_its_author() {
    let package = Package::new();
    package.write("build.rs", "fn main() {\n    println!(\"cargo::rerun-if-changed=x\");\n}\n");
    package.run(&["init", "--dev"]).ok();
    let script = package.read("build.rs");
    assert_eq!(script, "fn main() {\n    updater_build::embed();\n    println!(\"cargo::rerun-if-changed=x\");\n}\n");

    let package = Package::new();
    package.write("build.rs", "mod other;\n");
    let run = package.run(&["init", "--dev"]).ok();
    assert_eq!(package.read("build.rs"), "mod other;\n");
    assert!(run.stderr.contains("call `updater_build::embed();` in `main`"), "{}", run.stderr);
}

#[test]
fn an_interrupted_run_is_continued_with_the_same_keys() {
    let package = Package::new();
    package.run(&["keys", "new", "root", "targets", "--no-password"]).ok();
    let root = std::fs::read(package.keys().join("root.key")).unwrap();
    package.run(&["init", "--url", "https://example.com", "--no-password"]).ok();
    assert_eq!(std::fs::read(package.keys().join("root.key")).unwrap(), root);
    embeds(&package);
    // Stopped before its last file, the table: made again with the keys that are there.
    let manifest = package.read("Cargo.toml");
    package.write("Cargo.toml", manifest.split_once("[package.metadata.updater]").unwrap().0);
    std::fs::remove_file(package.path("updater/root.json")).unwrap();
    package.run(&["init", "--url", "https://example.com", "--no-password"]).ok();
    assert_eq!(std::fs::read(package.keys().join("root.key")).unwrap(), root);
    embeds(&package);
}

#[test]
fn bad_settings_are_refused_before_anything_is_written() {
    let package = Package::new();
    let before = package.snapshot();
    let secret = "s3://bucket?secret_access_key=hunter2";
    let run = package.run(&["init", "--dev", "--storage", secret]);
    let run = run.fails(20, "storage \"s3://bucket?***\" is refused: it has a key", "leave it out");
    assert!(!run.stderr.contains("hunter2"));
    package.run(&["init", "--dev", "--storage", "ftp://me/hello"]).fails(
        20,
        "storage \"ftp://me/hello\" is refused: no storage of this name is known",
        "cargo updater services",
    );
    let run = package.run(&["init", "--url", "http://example.com"]);
    assert!(run.code == 2 && run.stderr.contains("http: is for loopback addresses only"), "{}", run.stderr);
    assert_eq!(before, package.snapshot());

    let manifest = package.read("Cargo.toml") + "[package.metadata.updater]\nchanel = \"beta\"\n";
    package.write("Cargo.toml", &manifest);
    package.run(&["init", "--dev"]).fails(20, "unknown key `chanel`", "did you mean `channel`?");
}

#[test]
fn no_output_carries_a_secret_key() {
    use base64::Engine as _;
    let package = Package::new();
    let mut told = String::new();
    for arguments in [
        &["init", "--url", "https://example.com", "--no-password", "-v"][..],
        &["init", "-v", "--message-format", "json"],
        &["keys", "list", "--message-format", "json"],
        &["keys", "new", "root", "--no-password"],
        &["status", "-v"],
    ] {
        let run = package.run(arguments);
        told.push_str(&run.stdout);
        told.push_str(&run.stderr);
    }
    for role in ["root", "targets", "online", "stable"] {
        let text = std::fs::read_to_string(package.keys().join(format!("{role}.key"))).unwrap();
        let line = text.lines().nth(1).unwrap();
        let record = base64::engine::general_purpose::STANDARD.decode(line).unwrap();
        let seed = &record[62..94];
        let hex = updater_format::digest::encode_hex(seed);
        let base64 = base64::engine::general_purpose::STANDARD.encode(seed);
        for spelling in [line, &hex, &base64[..40], &format!("{seed:?}")] {
            assert!(!told.contains(spelling), "the key of {role} was told");
            let written =
                package.snapshot().into_iter().filter(|(path, _)| path.extension().is_none_or(|e| e != "key"));
            for (path, bytes) in written {
                assert!(!String::from_utf8_lossy(&bytes).contains(spelling), "{role} is in {}", path.display());
            }
        }
    }
}
