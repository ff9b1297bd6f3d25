//! `cargo updater doctor`: each finding is provoked on a real package, and what `--fix` says that it does is done.

use crate::package::{Package, Run};
use crate::publish::{files, package, publish};
use crate::refresh::real_package;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use updater_tests::server::{Answer, TestServer};

/// A package with all that `init` leaves to a person, that doctor has nothing to say about.
fn healthy() -> Package {
    let package = package();
    package.write("src/main.rs", "fn main() { let _ = updater_runtime::updater!(); }\n");
    package
}

fn doctor(package: &Package, more: &[&str]) -> Run {
    package.run(&[&["doctor", "--message-format", "json"], more].concat())
}

/// Returns the findings as `severity code`.
fn findings(run: &Run) -> Vec<String> {
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    run.messages("finding").iter().map(|f| format!("{} {}", text(&f["severity"]), text(&f["code"]))).collect()
}

fn set_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

fn mode(path: &Path) -> u32 {
    path.metadata().unwrap().permissions().mode() & 0o777
}

fn git(package: &Package, arguments: &[&str]) {
    let output = Command::new("git")
        .args(["-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "commit.gpgsign=false"])
        .args(arguments)
        .current_dir(package.path(""))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_package_that_is_set_up_is_left_alone() {
    let package = healthy();
    // Cargo, which is asked for the files of the package, makes this folder.
    std::fs::create_dir(package.path("target")).unwrap();
    let before = package.snapshot();
    let run = doctor(&package, &[]);
    assert_eq!((run.code, findings(&run)), (0, vec!["note nothing-published".to_owned()]), "{}", run.stdout);
    assert_eq!(run.messages("examined")[0]["open"], 0);
    assert_eq!(package.snapshot(), before);
    package.run(&publish("1.0.0", &[])).ok();
    // The address of `init --dev` is a server that is not running now.
    let run = doctor(&package, &[]);
    assert_eq!((run.code, findings(&run)), (60, vec!["error address-unreachable".to_owned()]), "{}", run.stdout);
    assert_eq!(run.messages("finding")[0]["cure"], "start it: cargo updater serve");
    let run = package.run(&["doctor"]);
    run.fails(60, "1 thing needs somebody", "each finding above says what helps");
}

#[test]
fn every_code_is_documented_with_its_severity() {
    let page = include_str!("../../../docs/doctor.md");
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `"));
    let documented: std::collections::BTreeSet<&str> = rows.filter_map(|row| row.split('`').next()).collect();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/doctor");
    let mut used = std::collections::BTreeSet::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let source = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        let source = source.split("#[cfg(test)]").next().unwrap().to_owned();
        let words = source.split('"').skip(1).step_by(2).map(str::to_owned);
        used.extend(words.filter(|word| documented.contains(word.as_str()) || looks_like_a_code(&source, word)));
    }
    let used: std::collections::BTreeSet<&str> = used.iter().map(String::as_str).collect();
    assert_eq!(used, documented);
}

/// Tells whether a text is the first argument of a finding.
fn looks_like_a_code(source: &str, word: &str) -> bool {
    let quoted = format!("\"{word}\"");
    source.contains(&format!("Finding::new({quoted}"))
        || source.contains(&format!("Finding::new(\n            {quoted}"))
}

#[test]
fn before_init_it_says_what_comes_first() {
    Package::new().run(&["doctor"]).fails(20, "", "`cargo updater init`");
}

#[test]
fn what_is_missing_in_the_source_is_told_with_its_cure() {
    let package = package();
    package.write("src/main.rs", "fn main() {}\n");
    package.write("build.rs", "fn main() {}\n");
    let run = doctor(&package, &[]);
    assert_eq!(findings(&run)[..2], ["error no-build-script", "warning no-updater-line"]);
    assert_eq!(run.code, 20);
    let root = package.read("updater/root.json");
    package.write("updater/root.json", &root.replacen("\"version\":1", "\"version\":2", 1));
    let run = doctor(&package, &[]);
    assert_eq!(findings(&run)[0], "error root-refused");
    assert!(run.messages("finding")[0]["cure"].as_str().unwrap().contains("restore"), "{}", run.stdout);
}

#[test]
fn a_targets_role_that_is_gone_is_told_and_taken_from_what_is_published() {
    let package = healthy();
    let targets = package.read("updater/targets.json");
    let remove = || std::fs::remove_file(package.path("updater/targets.json")).unwrap();
    remove();
    let run = doctor(&package, &["--fix"]);
    assert_eq!((run.code, findings(&run)[0].as_str()), (20, "error targets-missing"), "{}", run.stdout);
    assert_eq!(run.messages("finding")[0]["cure"], "restore it from version control");
    let overview = package.run(&["--message-format", "json"]).ok();
    assert_eq!(overview.messages("next")[0]["code"], "targets-missing");
    assert!(package.run(&[]).ok().stdout.contains("  can sign   not known without root and targets role"));

    package.write("updater/targets.json", &targets);
    package.run(&publish("1.0.0", &[])).ok();
    remove();
    let overview = package.run(&["--message-format", "json"]).ok();
    assert_eq!(overview.messages("overview")[0]["can_sign"].as_array().unwrap().len(), 4, "{}", overview.stdout);
    let run = doctor(&package, &["--fix"]);
    assert_eq!(
        (&run.messages("finding")[0]["code"], &run.messages("finding")[0]["fixed"]),
        (&"targets-missing".into(), &true.into())
    );
    assert_eq!(package.read("updater/targets.json"), targets);
}

#[test]
fn permissions_are_told_and_fixed() {
    let package = real_package();
    let key = package.keys().join("online.key");
    set_mode(&key, 0o644);
    set_mode(&package.keys(), 0o755);
    let run = doctor(&package, &[]);
    let found = findings(&run);
    assert!(found.contains(&"error key-readable".to_owned()), "{found:?}");
    assert!(found.contains(&"warning key-folder-open".to_owned()), "{found:?}");
    assert!(found.contains(&"warning root-key-plain".to_owned()), "{found:?}");
    assert!(found.contains(&"note single-root-key".to_owned()), "{found:?}");
    assert_eq!(run.code, 40, "{}", run.stdout);
    assert_eq!(mode(&key), 0o644);

    let run = doctor(&package, &["--fix"]);
    let fixed: Vec<_> = run.messages("finding").into_iter().filter(|finding| finding["fixed"] == true).collect();
    assert_eq!(fixed.len(), 2, "{}", run.stdout);
    assert_eq!((mode(&key), mode(&package.keys())), (0o600, 0o700));
    assert!(!findings(&doctor(&package, &[])).iter().any(|code| code.ends_with("key-readable")));
}

#[test]
fn keys_in_the_repository_in_the_package_and_in_the_history_are_found() {
    if !updater_tests::require::command("git", "apt-get install git") {
        return;
    }
    let package = healthy();
    git(&package, &["init", "-q"]);
    git(&package, &["add", "Cargo.toml", "src"]);
    git(&package, &["commit", "-q", "-m", "begin"]);
    package.run(&["keys", "new", "beta", "--no-password", "--key-dir", "secret"]).ok();
    // `keys new` has covered the folder; somebody takes that back.
    std::fs::remove_file(package.path(".gitignore")).unwrap();
    let run = doctor(&package, &["--key-dir", "secret"]);
    let found = findings(&run);
    assert!(found.contains(&"error key-not-ignored".to_owned()), "{found:?}");
    // No role lists it, so it is a warning.
    assert!(found.contains(&"warning key-in-package".to_owned()), "{found:?}");
    assert!(!run.stdout.contains(secret_line(&package, "secret/beta.key").as_str()));
    assert_eq!(run.code, 40);

    doctor(&package, &["--key-dir", "secret", "--fix"]);
    assert_eq!(package.read(".gitignore").lines().last(), Some("/secret/beta.key"));
    let found = findings(&doctor(&package, &["--key-dir", "secret"]));
    assert!(!found.iter().any(|finding| finding.contains("key-not-ignored")), "{found:?}");

    // The key of the channel, committed, removed again, and the branch forgotten: still an object.
    std::fs::copy(package.keys().join("development/stable.key"), package.path("ci.env")).unwrap();
    git(&package, &["add", "ci.env"]);
    git(&package, &["commit", "-q", "-m", "add"]);
    git(&package, &["rm", "-q", "ci.env"]);
    git(&package, &["commit", "-q", "-m", "remove"]);
    let run = doctor(&package, &[]);
    let finding = run.messages("finding").into_iter().find(|finding| finding["code"] == "key-in-history").unwrap();
    assert_eq!(finding["severity"], "error");
    let what = finding["what"].as_str().unwrap();
    assert!(what.starts_with("the secret key of the role stable is in the git history (commit "), "{what}");
    assert!(what.ends_with("ci.env)"), "{what}");
    git(&package, &["reset", "-q", "--hard", "HEAD~2"]);
    git(&package, &["reflog", "expire", "--expire=now", "--all"]);
    let run = doctor(&package, &[]);
    let finding = run.messages("finding").into_iter().find(|finding| finding["code"] == "key-in-history").unwrap();
    assert!(finding["what"].as_str().unwrap().contains("which no branch leads to"), "{finding}");
}

fn secret_line(package: &Package, path: &str) -> String {
    package.read(path).lines().nth(1).unwrap().to_owned()
}

#[test]
fn a_scheduled_job_is_looked_for_where_the_timestamp_needs_one() {
    let package = real_package();
    let job = |run: &Run| {
        let found = findings(run).into_iter().map(|f| f.split(' ').nth(1).unwrap().to_owned());
        found.filter(|code| code.contains("refresh")).collect::<Vec<_>>()
    };
    assert_eq!(job(&doctor(&package, &[])), ["no-scheduled-refresh"]);
    std::fs::create_dir_all(package.path(".github/workflows")).unwrap();
    let file = ".github/workflows/refresh.yml";
    package.write(file, "on: push\njobs: { a: { steps: [{ run: cargo updater refresh }] } }\n");
    git(&package, &["init", "-q"]);
    assert_eq!(job(&doctor(&package, &[])), ["refresh-unscheduled", "refresh-forgets"]);
    // The workflow that `init --github` writes is a good one.
    package.write(file, include_str!("../../template/release.yml"));
    assert_eq!(job(&doctor(&package, &[])), Vec::<String>::new());
}

#[test]
fn what_ends_soon_what_waits_and_what_is_damaged() {
    if !updater_tests::require::command("faketime", "apt-get install faketime") {
        return;
    }
    let package = real_package();
    package.write("src/main.rs", "fn main() { let _ = updater_runtime::updater!(); }\n");
    package.write("build.rs", "fn main() { updater_build::embed(); }\n");
    let served = package.path("target/updater/repository/hello").display().to_string();
    let manifest = package.read("Cargo.toml").replace("https://example.com/hello", &format!("file://{served}"));
    package.write("Cargo.toml", &manifest);
    package.run(&publish("1.0.0", &[])).ok();
    let run = doctor(&package, &[]);
    assert_eq!(run.code, 0, "{}", run.stdout);
    let at = |days, more: &[&str]| package.run_in(days, &[&["doctor", "--message-format", "json"], more].concat());
    let run = at(4, &[]);
    assert!(findings(&run).contains(&"warning refresh-overdue".to_owned()), "{}", run.stdout);
    let run = at(5, &[]);
    assert!(findings(&run).contains(&"warning expires-soon".to_owned()), "{}", run.stdout);
    assert_eq!(run.code, 10);
    let run = at(8, &[]);
    let found = findings(&run);
    assert!(
        found.contains(&"error expired".to_owned()) && found.contains(&"error address-stale".to_owned()),
        "{found:?}"
    );
    assert_eq!(run.code, 50);

    let online = package.keys().join("online.key");
    std::fs::rename(&online, package.path("aside")).unwrap();
    files(&package, "1.1.0");
    package.run(&publish("1.1.0", &["--no-patches"])).ok();
    let run = doctor(&package, &[]);
    assert!(findings(&run).contains(&"warning submission-waiting".to_owned()), "{}", run.stdout);
    std::fs::rename(package.path("aside"), &online).unwrap();
    package.run(&["refresh"]).ok();
    assert!(!findings(&doctor(&package, &[])).iter().any(|finding| finding.contains("submission")));

    let stable = package.path("target/updater/repository/hello/metadata/2.stable.json");
    std::fs::write(&stable, std::fs::read_to_string(&stable).unwrap().replace("1.1.0", "1.1.1")).unwrap();
    let run = doctor(&package, &[]);
    assert!(findings(&run).contains(&"error published-refused".to_owned()), "{}", run.stdout);
    assert_eq!(run.code, 50);
    let run = doctor(&package, &["--storage", "sftp:me:hunter2@host"]);
    assert!(findings(&run).contains(&"error storage-unusable".to_owned()), "{}", run.stdout);
    assert!(!format!("{}{}", run.stdout, run.stderr).contains("hunter2"), "{}{}", run.stdout, run.stderr);
}

#[test]
fn caches_that_hide_a_rotation_and_pages_for_what_is_missing_are_told() {
    let package = healthy();
    package.run(&publish("1.0.0", &[])).ok();
    let server = TestServer::start();
    server.serve_folder(package.path("target/updater/repository/hello"));
    let url = server.url("").trim_end_matches('/').to_owned();
    let look = || doctor(&package, &[&url]);
    // The test server says nothing about caching.
    assert_eq!(findings(&look()), ["warning cache-timestamp"]);
    let timestamp = std::fs::read(package.path("target/updater/repository/hello/metadata/timestamp.json")).unwrap();
    let answer = |status: &str, cache: &str, body: &[u8]| {
        let head = format!(
            "HTTP/1.1 {status}\r\nCache-Control: {cache}\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n\
             Content-Length: {}\r\nConnection: close\r\n\r\n",
            body.len()
        );
        Answer::Raw([head.as_bytes(), body].concat())
    };
    server.set("/metadata/timestamp.json", answer("200 OK", "max-age=60", &timestamp));
    server.set("/metadata/1000001.root.json", answer("404 Not Found", "max-age=86400", b""));
    let run = look();
    assert_eq!(findings(&run), ["warning clock-skew", "warning cache-missing"], "{}", run.stdout);
    assert_eq!(run.code, 0);
    server.set("/metadata/1000001.root.json", answer("200 OK", "no-cache", b"<html>"));
    let run = look();
    assert_eq!(findings(&run)[1], "error missing-answered", "{}", run.stdout);
    assert_eq!(run.code, 60);
    server.set("/metadata/timestamp.json", answer("200 OK", "max-age=60", b"{}"));
    assert_eq!(findings(&look())[0], "error address-refused");
}

#[test]
fn a_program_is_looked_into_and_started_as_clients_do() {
    let package = healthy();
    let root = package.read("updater/root.json");
    let answer = "echo updater-probe 1 $UPDATER_PROBE hello 1.0.0 x86_64-unknown-linux-gnu";
    let url = "http://127.0.0.1:8700";
    let program = |text: &str| {
        package.write("app", text);
        set_mode(&package.path("app"), 0o755);
        doctor(&package, &["app"])
    };
    let run = program(&format!("#!/bin/sh\n{answer}\nexit\n{url}\ncargo-updater-channels=beta,stable;\n{root}"));
    assert_eq!((run.code, findings(&run)), (0, vec![]), "{}", run.stdout);
    let embedded = &run.messages("embedded")[0];
    assert_eq!(
        (&embedded["app"], &embedded["version"], &embedded["root"]),
        (&"hello".into(), &"1.0.0".into(), &1.into())
    );
    assert_eq!(embedded["urls"][0], url);
    assert_eq!(embedded["channels"], serde_json::json!(["beta", "stable"]));
    let told = package.run(&["doctor", "app"]).ok().stdout;
    assert!(told.contains("follows  beta, and stable when that is newer\n"), "{told}");

    // A copy that somebody else keeps up to date.
    let keg = package.home().join("Cellar/hello/1.0.0");
    std::fs::create_dir_all(keg.join("bin")).unwrap();
    std::fs::write(keg.join("INSTALL_RECEIPT.json"), "{}").unwrap();
    std::fs::copy(package.path("app"), keg.join("bin/hello")).unwrap();
    let run = doctor(&package, &[keg.join("bin/hello").to_str().unwrap()]);
    assert_eq!((run.code, findings(&run)), (0, vec!["warning install-blocked".to_owned()]), "{}", run.stdout);
    assert!(run.messages("finding")[0]["what"].as_str().unwrap().contains("`brew upgrade hello`"), "{}", run.stdout);

    let run = program(&format!("#!/bin/sh\nexit 1\n{root}"));
    assert_eq!(findings(&run), ["warning program-silent", "warning program-without-url"], "{}", run.stdout);
    let run = program(&format!("#!/bin/sh\n{answer}\nexit\n{url}\n"));
    assert_eq!((run.code, findings(&run)), (30, vec!["error program-without-root".to_owned()]));
    let run = program(&format!(
        "#!/bin/sh\necho updater-probe 1 $UPDATER_PROBE other 1.0.0 x86_64-unknown-linux-gnu\nexit\n{url}\n{root}"
    ));
    assert_eq!((run.code, findings(&run)), (30, vec!["error program-of-other-app".to_owned()]));
    let other = self::package();
    let root = other.read("updater/root.json");
    let run = program(&format!("#!/bin/sh\n{answer}\nexit\n{url}\n{root}"));
    assert_eq!((run.code, findings(&run)), (30, vec!["error program-root-differs".to_owned()]));
}

#[test]
fn what_could_not_be_looked_at_is_told() {
    if !updater_tests::require::command("git", "apt-get install git") {
        return;
    }
    let package = healthy();
    git(&package, &["init", "-q"]);
    for message in ["begin", "go on"] {
        package.write("notes", message);
        git(&package, &["add", "Cargo.toml", "src", "build.rs", "updater", "notes"]);
        git(&package, &["commit", "-q", "-m", message]);
    }
    let found = |run: &Run| findings(run).into_iter().filter(|code| code.starts_with("note ")).collect::<Vec<_>>();
    assert_eq!(found(&doctor(&package, &[])), ["note nothing-published"]);
    let origin = format!("file://{}", package.path("").display());
    git(&package, &["clone", "-q", "--depth", "1", &origin, "clone"]);
    let run = doctor(&package, &["clone"]);
    assert!(found(&run).contains(&"note history-shallow".to_owned()), "{}", run.stdout);

    // A machine without git, and one whose git refuses the repository.
    let run = package.run_with(&["doctor", "--message-format", "json"], &[("GIT_DIR", "/nonexistent")]);
    assert_eq!(found(&run), ["note history-unread", "note nothing-published"], "{}", run.stdout);
    let (bin, path) = (package.home().join("bin"), std::env::var("PATH").unwrap());
    std::fs::create_dir_all(&bin).unwrap();
    for program in ["cargo", "rustc"] {
        let real = std::env::split_paths(&path).map(|folder| folder.join(program)).find(|path| path.is_file());
        std::os::unix::fs::symlink(real.unwrap(), bin.join(program)).unwrap();
    }
    let run = package.run_with(&["doctor", "--message-format", "json"], &[("PATH", bin.to_str().unwrap())]);
    assert_eq!(found(&run), ["note history-unread", "note nothing-published"], "{}", run.stdout);
    let what = run.messages("finding")[0]["what"].as_str().unwrap().to_owned();
    assert!(what.contains("git does not start"), "{what}");

    let manifest = package.read("Cargo.toml");
    package.write("Cargo.toml", &manifest.replacen("[package]", "[package]\nreadme = \"nowhere.md\"", 1));
    let run = doctor(&package, &[]);
    assert!(found(&run).contains(&"note package-unread".to_owned()), "{}", run.stdout);
}

#[test]
fn roots_that_do_not_fit_what_is_behind_and_what_is_damaged_are_told() {
    let package = real_package();
    package.write("src/main.rs", "fn main() { let _ = updater_runtime::updater!(); }\n");
    package.write("build.rs", "fn main() { updater_build::embed(); }\n");
    let repository = package.path("target/updater/repository/hello");
    let manifest = package.read("Cargo.toml");
    let reads_from = |folder: &Path| {
        let url = format!("file://{}", folder.display());
        package.write("Cargo.toml", &manifest.replace("https://example.com/hello", &url));
    };
    reads_from(&repository);
    package.run(&publish("1.0.0", &[])).ok();
    let first = package.read("updater/root.json");
    package.run(&["keys", "renew", "root"]).ok();
    let second = package.read("updater/root.json");
    let told = |code: &str| {
        let run = doctor(&package, &[]);
        let finding = run.messages("finding").into_iter().find(|finding| finding["code"] == code);
        (finding.unwrap_or_else(|| panic!("{code} is not in {}", run.stdout)), run.code)
    };
    let gone =
        |code: &str| assert!(!findings(&doctor(&package, &[])).iter().any(|found| found.ends_with(code)), "{code}");

    package.write("updater/root.json", &first);
    assert_eq!(told("root-behind").1, 0);
    let run = doctor(&package, &["--fix"]);
    assert_eq!(run.messages("examined")[0]["fixed"], 1, "{}", run.stdout);
    assert_eq!(package.read("updater/root.json"), second);
    gone("root-behind");

    let published = repository.join("metadata/2.root.json");
    std::fs::remove_file(&published).unwrap();
    assert_eq!(told("root-unpublished").0["cure"], "cargo updater refresh");
    let run = package.run(&["refresh"]).ok();
    assert!(run.stderr.contains("2.root.json was missing in fs:"), "{}", run.stderr);
    assert_eq!(std::fs::read_to_string(&published).unwrap(), second);
    gone("root-unpublished");
    // Within one second a renewed root differs from the one before by its number alone.
    let other = first.replacen("\"version\":1", "\"version\":2", 1).replacen("\"expires\":\"20", "\"expires\":\"21", 1);
    std::fs::write(&published, other).unwrap();
    let (finding, code) = told("root-differs");
    assert_eq!((&finding["severity"], code), (&"error".into(), 50), "{finding}");
    std::fs::write(&published, &second).unwrap();
    gone("root-differs");

    std::fs::create_dir_all(repository.join("submissions")).unwrap();
    std::fs::write(repository.join("submissions/stable.json"), "{}").unwrap();
    assert_eq!(told("submission-unreadable").0["cure"], "cargo updater refresh --discard stable");
    package.run(&["refresh", "--discard", "stable"]).ok();
    gone("submission-unreadable");

    // Another place, to which nothing is copied any more.
    let mirror = package.path("mirror");
    assert!(Command::new("cp").arg("-a").args([&repository, &mirror]).status().unwrap().success());
    reads_from(&mirror);
    gone("address-behind");
    package.run(&["refresh"]).ok();
    assert_eq!(told("address-behind").1, 0);
    reads_from(&repository);
    gone("address-behind");

    let damaged = package.keys().join("damaged.pub");
    std::fs::write(&damaged, "no key").unwrap();
    assert_eq!(told("keys-unreadable").1, 40);
    std::fs::remove_file(damaged).unwrap();
    assert_eq!(doctor(&package, &[]).code, 0);
}
