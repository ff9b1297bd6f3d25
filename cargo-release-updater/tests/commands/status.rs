//! `cargo updater status` on a repository that was published through the library.

use crate::package::Package;
use cargo_release_updater::context::Prompts;
use cargo_release_updater::keys::{KeyFolder, Keychain, Passwords};
use cargo_release_updater::repository::{Commit, Lease};
use cargo_release_updater::shell::{MessageFormat, Shell};
use cargo_release_updater::storage::Storage;
use updater_format::release::{Artifact, BundleEntry, Entry, PatchEntry};
use updater_format::{AppId, Channel, InstallKind, Platform, ReleaseVersion, Sha256, TargetName, UtcTime};

/// Publishes 1.1.0 with a patch from 1.0.0, signed at `now`.
fn publish(package: &Package, now: UtcTime) {
    let app = AppId::parse("hello").unwrap();
    let platform = Platform::parse("x86_64-unknown-linux-gnu").unwrap();
    let version = |text: &str| ReleaseVersion::parse(text).unwrap();
    let artifact = |name: &str, length| Artifact {
        name: TargetName::parse(name).unwrap(),
        length,
        sha256: Sha256::of(name.as_bytes()),
    };
    let manifest = Sha256::of(b"manifest");
    let bundle = BundleEntry {
        artifact: artifact("hello-1.1.0.tar.xz", 4096),
        version: version("1.1.0"),
        platform: platform.clone(),
        install: InstallKind::Executable,
        unpacked: 9000,
        files: 1,
        manifest,
        codecs: vec!["refs-1".to_owned()],
        epoch: 0,
        libc: None,
        notes: None,
        released: None,
        metadata: Default::default(),
        component: None,
        minimum_app: None,
    };
    let patch = PatchEntry {
        artifact: artifact("hello-1.0.0-to-1.1.0.patch", 1024),
        platform,
        from: version("1.0.0"),
        version: version("1.1.0"),
        manifest,
        codecs: vec!["refs-1".to_owned()],
        component: None,
    };
    let storage = Storage::open_folder(&package.path("target/updater/repository/hello"), "here").unwrap();
    let mut keychain = Keychain::open(KeyFolder::at(package.keys()), Passwords::none(Prompts::Never)).unwrap();
    let (root, targets) = (package.read("updater/root.json"), package.read("updater/targets.json"));
    let shell = Shell::captured(MessageFormat::Human);
    let mut commit = Commit {
        storage: &storage,
        app: &app,
        root: root.as_bytes(),
        targets: targets.as_bytes(),
        earlier: &[],
        keychain: &mut keychain,
        now,
        lease: Lease::default(),
        shell: &shell,
    };
    commit
        .publish(&Channel::stable(), |role, _| {
            role.targets
                .extend([Entry::Bundle(bundle.clone()), Entry::Patch(patch.clone())].map(|e| e.to_target(&app)));
            Ok(())
        })
        .unwrap();
}

fn now() -> UtcTime {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    UtcTime::from_unix(since.as_secs() as i64)
}

#[test]
fn before_init_and_before_the_first_release_it_says_what_comes_next() {
    let package = Package::new();
    let manifest = package.path("Cargo.toml").display().to_string();
    let run = package.run(&["status"]);
    run.fails(20, &format!("{manifest} has no [package.metadata.updater]"), "`cargo updater init`");
    package.run(&["init", "--dev"]).ok();
    let run = package.run(&["status"]).ok();
    assert!(run.stdout.contains("nothing is published"), "{}", run.stdout);
    assert!(run.stderr.contains("cargo updater publish"), "{}", run.stderr);
}

#[test]
fn releases_savings_expiries_and_keys_are_told_to_people_and_programs() {
    let package = Package::new();
    package.run(&["init", "--dev"]).ok();
    publish(&package, now().plus_seconds(-3600));
    let run = package.run(&["status"]).ok();
    let line = run.stdout.lines().find(|line| line.contains("1.1.0")).unwrap();
    assert!(line.contains("4.0 KiB") && line.ends_with("1.0 KiB from 1.0.0 (-75%)"), "{line}");
    assert!(run.stdout.contains("in 89 days"), "{}", run.stdout);
    assert!(!run.stderr.contains("warning"), "{}", run.stderr);

    let run = package.run(&["status", "--message-format", "json"]).ok();
    let release = &run.messages("published-release")[0];
    assert_eq!((&release["bundle_bytes"], &release["patches"]["1.0.0"]), (&4096.into(), &1024.into()));
    assert_eq!(run.messages("expiry").len(), 5);
    let signing = run.messages("signing");
    assert!(signing.len() == 5 && signing.iter().all(|role| role["can_sign"] == true), "{signing:?}");

    std::fs::remove_file(package.keys().join("development/online.key")).unwrap();
    let run = package.run(&["status", "--message-format", "json"]).ok();
    let missing: Vec<_> = run.messages("signing").into_iter().filter(|role| role["can_sign"] == false).collect();
    assert_eq!(
        missing.iter().map(|role| role["role"].as_str().unwrap()).collect::<Vec<_>>(),
        ["snapshot", "timestamp"]
    );
}

#[test]
fn what_expires_is_warned_about_with_what_helps() {
    let package = Package::new();
    package.run(&["init", "--dev"]).ok();
    // Before it is too late: a timestamp that nobody renews lives for 90 days, of which 2 are left.
    publish(&package, now().plus_days(-88));
    let run = package.run(&["status"]).ok();
    assert!(run.stdout.contains("  timestamp ") && !run.stdout.contains("expired"), "{}", run.stdout);
    assert!(run.stderr.contains("warning: the role timestamp expires on"), "{}", run.stderr);
    let package = Package::new();
    package.run(&["init", "--dev"]).ok();
    publish(&package, now().plus_days(-100));
    let run = package.run(&["status"]).ok();
    assert!(run.stdout.contains("expired: clients take nothing new"), "{}", run.stdout);
    assert!(run.stderr.contains("warning: the role timestamp expired on"), "{}", run.stderr);
    assert!(run.stderr.contains("`cargo updater publish` renews it"), "{}", run.stderr);
}

#[test]
fn a_changed_repository_is_refused_by_name() {
    let package = Package::new();
    package.run(&["init", "--dev"]).ok();
    publish(&package, now());
    let file = package.path("target/updater/repository/hello/metadata/1.stable.json");
    let text = std::fs::read_to_string(&file).unwrap().replace("4096", "4097");
    std::fs::write(&file, text).unwrap();
    let run = package.run(&["status"]);
    let run = run.fails(50, "1.stable.json in fs:", "changed by something else");
    assert!(run.stderr.contains("caused by:"), "{}", run.stderr);

    std::fs::remove_file(&file).unwrap();
    package.run(&["status"]).fails(50, "1.stable.json is missing in fs:", "copy it back");
}
