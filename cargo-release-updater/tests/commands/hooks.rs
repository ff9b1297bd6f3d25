//! Hooks around a release, as a project sets them up: what they are told, what they are not, and what happens when they
//! fail.

use crate::package::{Package, Run};
use crate::publish::{files, package, publish, write_program};
use crate::refresh::real_package;

/// Adds lines to the table of the package.
pub(crate) fn table(package: &Package, lines: &str) {
    let head = "[package.metadata.updater]";
    let manifest = package.read("Cargo.toml");
    assert!(manifest.contains(head), "{manifest}");
    package.write("Cargo.toml", &manifest.replace(head, &format!("{head}\n{lines}")));
}

/// Writes a hook that notes what it is told, and then runs these lines.
fn noting(package: &Package, lines: &str) {
    let note = "echo \"$* | $(env | grep ^UPDATER_ | grep -v FOLDER | sort | tr '\\n' ' ')\" >> noted";
    write_program(&package.path("note.sh"), &format!("#!/bin/sh\n{note}\n{lines}\n"));
}

fn noted(package: &Package) -> Vec<String> {
    std::fs::read_to_string(package.path("noted")).unwrap_or_default().lines().map(str::to_owned).collect()
}

fn timestamp(package: &Package) -> bool {
    package.path("target/updater/repository/hello/metadata/timestamp.json").exists()
}

#[test]
fn hooks_run_between_the_steps_and_are_told_no_secret() {
    let package = real_package();
    table(
        &package,
        "hooks = { before-bundle = [\"./note.sh\", \"{{version}}\"], before-upload = [[\"./note.sh\", \"a b\"], \
         [\"./note.sh\"]], after-publish = [\"./note.sh\", \"{{url}}\"] }",
    );
    noting(&package, "echo said by a hook; if grep -q .; then echo something on stdin >> noted; fi");
    let secrets = [("UPDATER_KEY_PASSWORD", "hunter2"), ("UPDATER_ONLINE_PASSWORD", "hunter2"), ("KEPT", "yes")];
    let dry = package.run_with(&publish("1.0.0", &["--dry-run"]), &secrets).ok();
    let planned: Vec<&str> = dry.stderr.lines().filter_map(|line| line.trim().strip_prefix("Run ")).collect();
    let expected = [
        "before-bundle: ./note.sh {{version}}",
        "before-upload: ./note.sh \"a b\"",
        "before-upload: ./note.sh",
        "after-publish: ./note.sh {{url}}",
    ];
    assert_eq!(planned, expected, "{}", dry.stderr);
    assert!(noted(&package).is_empty(), "a dry run runs nothing");

    let run = package.run_with(&publish("1.0.0", &["--message-format", "json"]), &secrets).ok();
    assert!(run.stderr.contains("said by a hook"), "{}", run.stderr);
    assert_eq!(run.messages("published").len(), 1, "stdout is for programs alone");
    let of = |hook: &str, more: &str| format!("UPDATER_APP=hello {more}UPDATER_HOOK={hook} ");
    let expected = [
        format!("1.0.0 | {}UPDATER_TRIPLE=x86_64-unknown-linux-gnu UPDATER_VERSION=1.0.0 ", of("before-bundle", "")),
        format!("a b | {}UPDATER_VERSION=1.0.0 ", of("before-upload", "UPDATER_CHANNEL=stable UPDATER_COMPONENT= ")),
        format!(" | {}UPDATER_VERSION=1.0.0 ", of("before-upload", "UPDATER_CHANNEL=stable UPDATER_COMPONENT= ")),
    ];
    let noted = noted(&package);
    assert_eq!(noted[..3], expected);
    assert!(noted[3].starts_with("https://example.com/hello | UPDATER_APP=hello UPDATER_CHANNEL=stable"), "{noted:?}");
    assert_eq!(noted.len(), 4);
}

#[test]
fn a_hook_that_fails_before_the_upload_leaves_everything_as_it_was() {
    let package = package();
    table(&package, "hooks = { before-upload = [\"./note.sh\"], limit = \"1s\" }");
    noting(&package, "echo the virus scanner is not amused >&2; exit 3");
    let run = package.run(&publish("1.0.0", &["--message-format", "json"]));
    assert!(run.stderr.contains("the virus scanner is not amused"), "{}", run.stderr);
    assert_eq!(run.messages("error")[0]["code"], 70);
    run.fails(70, "hook `before-upload` failed: ./note.sh ended with exit status: 3", "run the same command again");
    noting(&package, "exec sleep 600");
    package.run(&publish("1.0.0", &[])).fails(
        70,
        "hook `before-upload` failed: ./note.sh took longer than 1 s",
        "limit",
    );
    std::fs::remove_file(package.path("note.sh")).unwrap();
    package.run(&publish("1.0.0", &[])).fails(70, "hook `before-upload` cannot start ./note.sh", "executable");
    noting(&package, "echo x >> target/updater/bundles/hello-1.0.0-x86_64-unknown-linux-gnu.tar.xz");
    package.run(&publish("1.0.0", &[])).fails(70, "", "`before-upload` may look, not change");
    assert!(!timestamp(&package));
    noting(&package, "");
    package.run(&publish("1.0.0", &[])).ok();
    package.run(&["verify", "--deep"]).ok();
}

#[test]
fn a_hook_that_fails_after_a_release_takes_nothing_back_and_runs_again() {
    let package = package();
    table(&package, "hooks = { after-publish = [\"./note.sh\"] }");
    noting(&package, "exit 1");
    let run = package.run(&publish("1.0.0", &[]));
    run.fails(70, "hook `after-publish` failed", "the release is published");
    assert!(timestamp(&package));
    noting(&package, "");
    let again = package.run(&publish("1.0.0", &[])).ok();
    assert!(again.stderr.contains("Unchanged hello 1.0.0"), "{}", again.stderr);
    assert_eq!(noted(&package).len(), 2);
    package.run(&publish("1.0.0", &[])).ok();
    assert_eq!(noted(&package).len(), 2, "once it was done it is done");
    files(&package, "1.1.0");
    package.run(&publish("1.1.0", &[])).ok();
    assert_eq!(noted(&package).len(), 3);
}

/// A package that is built and has no dependency: the program does not know its updater.
pub(crate) fn built() -> Package {
    let package = Package::new();
    package.run(&["init", "--dev"]).ok();
    let manifest = package.read("Cargo.toml");
    let table = &manifest[manifest.find("[package.metadata.updater]").unwrap()..];
    let end = table[1..].find("\n[").map_or(table.len(), |end| end + 1);
    let head = "[package]\nname = \"hello\"\nversion = \"1.0.0\"\nedition = \"2024\"\n\n[workspace]\n\n";
    package.write("Cargo.toml", &format!("{head}{}\nprobe = false\n", &table[..end]));
    drop(std::fs::remove_file(package.path("build.rs")));
    package
}

#[test]
fn programs_are_signed_once_and_hashed_after_it() {
    let package = built();
    table(&package, "hooks = { after-build = [\"./note.sh\", \"{{file}}\"] }");
    noting(&package, "date +signed-%s.%N >> \"$1\"");
    let publish = ["publish", "--message-format", "json"];
    let told = package.run(&publish).ok();
    let program = package.path("target/updater/after-build/hello/x86_64-unknown-linux-gnu/hello");
    let signed = std::fs::read(&program).unwrap();
    let built = std::fs::read(package.path("target/release/hello")).unwrap();
    assert!(signed.starts_with(&built) && signed.len() > built.len(), "the copy is signed, Cargo's own is not");
    let bundle = told.messages("bundle")[0]["path"].as_str().unwrap().to_owned();
    let mut archive = tar::Archive::new(xz2::read::XzDecoder::new(std::fs::File::open(bundle).unwrap()));
    let mut packed = Vec::new();
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        if entry.path().unwrap().ends_with("hello") {
            std::io::Read::read_to_end(&mut entry, &mut packed).unwrap();
        }
    }
    assert_eq!(packed, signed);
    // The signature holds the time; the release is the same all the same.
    let again: Run = package.run(&publish).ok();
    assert!(again.stderr.contains("Unchanged hello 1.0.0"), "{}", again.stderr);
    assert_eq!(noted(&package).len(), 1);
    // Another build is signed anew, and is another release.
    package.write("src/main.rs", "fn main() { println!(\"two\"); }\n");
    package.run(&publish).fails(60, "1.0.0 is published in channel `stable` already", "raise");
    assert_eq!(noted(&package).len(), 2);
}

#[test]
fn variables_that_are_empty_name_no_compiler() {
    let package = built();
    let empty = [("RUSTC", ""), ("CARGO", ""), ("RUSTDOC", ""), ("CARGO_BUILD_TARGET", "")];
    package.run_with(&["publish"], &empty).ok();
    package.run(&["verify", "--deep"]).ok();
    let named = package.run_with(&["bundle"], &[("RUSTC", "/nowhere/rustc")]);
    named.fails(30, "cannot run /nowhere/rustc", "install Rust");
}

/// Sets a storage up that a script writes, and the folder that clients read.
pub(crate) fn delivering(package: &Package, hook: &str) {
    let manifest = package.read("Cargo.toml");
    let lines = manifest.lines().filter(|line| !line.starts_with("url") && !line.starts_with("storage"));
    package.write("Cargo.toml", &lines.collect::<Vec<_>>().join("\n"));
    let www = package.path("www");
    std::fs::create_dir_all(&www).unwrap();
    table(
        package,
        &format!("url = \"file://{}\"\nstorage = \"command\"\nhooks = {{ upload = {hook} }}", www.display()),
    );
}

#[test]
fn a_command_is_handed_the_files_in_order_and_the_commit_alone() {
    let package = package();
    delivering(&package, "[\"./deliver.sh\", \"{{folder}}\", \"{{step}}\"]");
    let deliver = "while read -r file; do\n  mkdir -p \"www/$(dirname \"$file\")\"\n  \
                   cp \"$1/$file\" \"www/$file\" || exit 1\n  echo \"$2 $file\" >> delivered\ndone\n";
    write_program(&package.path("deliver.sh"), &format!("#!/bin/sh\n{deliver}"));
    let dry = package.run(&publish("1.0.0", &["--dry-run"])).ok();
    assert!(dry.stderr.contains("Run upload: ./deliver.sh {{folder}} {{step}}"), "{}", dry.stderr);
    let first = package.run(&publish("1.0.0", &[])).ok();
    assert!(first.stderr.contains("cannot keep two publishers apart"), "{}", first.stderr);
    package.run(&["verify", "--deep"]).ok();
    let delivered = package.read("delivered");
    let steps: Vec<&str> = delivered.lines().collect();
    let at =
        |what: &str| steps.iter().position(|line| line.contains(what)).unwrap_or_else(|| panic!("{what}: {steps:?}"));
    assert!(at("files targets/") < at("1.stable.json") && at("1.snapshot.json") < at("commit metadata/timestamp.json"));
    assert!(at("metadata/timestamp.json") < at("commit VERSION"), "{steps:?}");
    assert_eq!(
        steps.iter().filter(|line| line.starts_with("commit")).count(),
        7,
        "root, timestamp, VERSION, the four files of the page: {steps:?}"
    );

    // A hook that gets as far as the commit and no further; then one that does its work.
    files(&package, "1.1.0");
    let broken = deliver.replace("while", "[ \"$2\" = files ] || { echo no line >&2; exit 7; }\nwhile");
    write_program(&package.path("deliver.sh"), &format!("#!/bin/sh\n{broken}"));
    let run = package.run(&publish("1.1.0", &[]));
    assert!(run.stderr.contains("no line") && run.stderr.contains("exit status: 7"), "{}", run.stderr);
    run.fails(70, "hook `upload` failed: ./deliver.sh ended with exit status: 7", "run the same command again");
    assert!(package.run(&["status"]).ok().stdout.contains("1.0.0"));
    std::fs::remove_file(package.path("delivered")).unwrap();
    write_program(&package.path("deliver.sh"), &format!("#!/bin/sh\n{deliver}"));
    package.run(&publish("1.1.0", &[])).ok();
    let verified = package.run(&["verify", "--deep", "--message-format", "json"]).ok();
    assert!(verified.messages("verified-file").iter().any(|file| file["what"] == "patch, applied"));
    let delivered = package.read("delivered");
    assert!(!delivered.contains(".tar.xz\n"), "what is there already is not handed over again: {delivered}");

    // What is steered goes the same way; what is delivered elsewhere is noticed.
    package.run(&["release", "hold", "1.1.0", "0"]).ok();
    assert!(package.run(&["status"]).ok().stdout.contains("for 0% of the installs"));
    let before = std::fs::read(package.path("www/metadata/timestamp.json")).unwrap();
    write_program(&package.path("deliver.sh"), "#!/bin/sh\nexec cat > /dev/null\n");
    let lost = package.run(&["release", "hold", "1.1.0", "50"]);
    lost.fails(60, "metadata/", "the hook must write where `url` reads");
    assert_eq!(std::fs::read(package.path("www/metadata/timestamp.json")).unwrap(), before);
    assert!(
        std::fs::read_dir(package.path("target/updater/staged"))
            .unwrap()
            .all(|entry| { !entry.unwrap().file_name().to_string_lossy().starts_with("staged-") })
    );
}

#[test]
fn rclone_and_rsync_are_hooks_without_a_script() {
    for (program, hook) in [
        (
            "rclone",
            "[\"rclone\", \"copy\", \"--ignore-times\", \"--files-from-raw\", \"-\", \"--no-traverse\", \"{{folder}}\", \"www\"]",
        ),
        ("rsync", "[\"rsync\", \"-aI\", \"--files-from=-\", \"{{folder}}/\", \"www/\"]"),
    ] {
        if !updater_tests::require::command(program, &format!("apt install {program}")) {
            continue;
        }
        let package = package();
        delivering(&package, hook);
        package.run(&publish("1.0.0", &[])).ok();
        files(&package, "1.1.0");
        package.run(&publish("1.1.0", &[])).ok();
        let verified = package.run(&["verify", "--deep", "--message-format", "json"]).ok();
        assert!(verified.messages("verified-file").iter().any(|file| file["what"] == "patch, applied"), "{program}");
    }
}

#[test]
fn a_command_that_is_not_named_is_asked_for() {
    let package = package();
    let run = package.run(&publish("1.0.0", &["--storage", "command"]));
    run.fails(20, "storage \"command\" needs the hook `upload`", "docs/hooks.md");
}
