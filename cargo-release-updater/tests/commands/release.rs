//! `cargo updater release` on a repository that was published through the library, its files checked by stock minisign.

use crate::package::{Package, Run};
use base64::Engine as _;
use cargo_release_updater::context::Prompts;
use cargo_release_updater::keys::{KeyFolder, KeyRole, Keychain, Passwords};
use cargo_release_updater::repository::{Commit, Lease, RepositoryState, Upload, state::Expiry};
use cargo_release_updater::shell::{MessageFormat, Shell};
use cargo_release_updater::storage::Storage;
use std::path::{Path, PathBuf};
use std::process::Command;
use updater_format::release::{Artifact, BundleEntry, Entry};
use updater_format::role::{ChannelRules, Steering};
use updater_format::{AppId, Channel, InstallKind, ReleaseVersion, Sha256, UtcTime};
use updater_tests::require;

const TRIPLE: &str = "x86_64-unknown-linux-gnu";

/// A package with the channels stable and beta, and releases of these versions in one of them.
fn published(channel: &str, versions: &[&str]) -> Package {
    let package = Package::new();
    package.run(&["init", "--dev", "--channel", "stable", "--channel", "beta"]).ok();
    for version in versions {
        publish(&package, channel, version);
    }
    package
}

fn app() -> AppId {
    "hello".parse().unwrap()
}

fn channel(name: &str) -> Channel {
    name.parse().unwrap()
}

fn v(text: &str) -> ReleaseVersion {
    text.parse().unwrap()
}

fn now() -> UtcTime {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    UtcTime::from_unix(since.as_secs() as i64)
}

fn repository(package: &Package) -> PathBuf {
    package.path("target/updater/repository/hello")
}

/// Publishes a release whose bundle is its own name.
fn publish(package: &Package, to: &str, version: &str) {
    publish_at(package, to, version, now());
}

fn publish_at(package: &Package, to: &str, version: &str, now: UtcTime) {
    let name = format!("hello-{version}-{TRIPLE}.tar.xz");
    let file = package.path(&name);
    std::fs::write(&file, &name).unwrap();
    let artifact =
        Artifact { name: name.parse().unwrap(), length: name.len() as u64, sha256: Sha256::of(name.as_bytes()) };
    let folder = KeyFolder::at(package.keys()).development();
    let key = folder.find(&KeyRole::parse(to).unwrap()).unwrap().unwrap();
    let signer = key.unlock(&mut Passwords::none(Prompts::Never)).unwrap().unwrap();
    let sha256 = artifact.sha256;
    let comment = format!("app=hello version={version} target={TRIPLE} channel={to} sha256={sha256} file={name}");
    let minisig = signer.sign_file(name.as_bytes(), &comment).unwrap();
    let upload = Upload {
        artifact: artifact.clone(),
        component: None,
        version: v(version),
        content: file,
        minisig: Some(minisig),
    };
    let bundle = BundleEntry {
        artifact,
        version: v(version),
        platform: TRIPLE.parse().unwrap(),
        install: InstallKind::Executable,
        unpacked: 1,
        files: 1,
        manifest: Sha256::of(version.as_bytes()),
        codecs: Vec::new(),
        epoch: 0,
        libc: None,
        notes: None,
        released: None,
        metadata: Default::default(),
        component: None,
        minimum_app: None,
    };
    let storage = Storage::open_folder(&repository(package), "here").unwrap();
    let mut keychain = Keychain::open(KeyFolder::at(package.keys()), Passwords::none(Prompts::Never)).unwrap();
    let (root, targets) = (package.read("updater/root.json"), package.read("updater/targets.json"));
    let mut commit = Commit {
        storage: &storage,
        app: &app(),
        root: root.as_bytes(),
        targets: targets.as_bytes(),
        earlier: &[],
        keychain: &mut keychain,
        now,
        lease: Lease::default(),
        shell: &Shell::captured(MessageFormat::Human),
    };
    commit.upload(&[upload], |_, _| {}).unwrap();
    let entry = Entry::Bundle(bundle);
    commit
        .publish(&channel(to), |role, _| {
            role.targets.extend([entry.to_target(&app())]);
            Ok(())
        })
        .unwrap();
}

/// Reads what is published as a client does.
fn state(package: &Package) -> RepositoryState {
    let storage = Storage::open_folder(&repository(package), "here").unwrap();
    let root = package.read("updater/root.json");
    RepositoryState::read(&storage, &app(), root.as_bytes(), Expiry::Enforced(now())).unwrap().unwrap()
}

fn rules(package: &Package) -> ChannelRules {
    state(package).channels()[&channel("stable")].role().rules().unwrap().clone()
}

fn steering(package: &Package) -> Option<Steering> {
    state(package).timestamp().steering(&channel("stable")).cloned()
}

fn release(package: &Package, arguments: &[&str]) -> Run {
    let mut all = vec!["release"];
    all.extend(arguments);
    package.run(&all)
}

fn hide_key(package: &Package, name: &str) {
    std::fs::remove_file(package.keys().join(format!("development/{name}.key"))).unwrap();
}

/// Lets stock minisign check a file with the public key of a channel; returns the trusted comment that it prints.
fn minisign(package: &Package, channel: &str, file: &Path, signature: &Path) -> Option<String> {
    let public = package.keys().join(format!("development/{channel}.pub"));
    let mut command = Command::new("minisign");
    command.arg("-V").arg("-p").arg(public).arg("-m").arg(file).arg("-x").arg(signature);
    let output = command.output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let comment = text.lines().find_map(|line| line.strip_prefix("Trusted comment: ")).map(str::to_owned);
    output.status.success().then_some(comment)?
}

#[test]
fn the_rules_of_a_channel_change_by_its_key() {
    let package = published("stable", &["1.0.0", "1.1.0", "1.2.0"]);
    let run = release(&package, &["rollout", "1.2.0", "25", "--dry-run"]).ok();
    assert!(run.stderr.contains("Would offer 1.2.0 to 25 % of the installs, in stable of hello"), "{}", run.stderr);
    assert!(rules(&package).is_empty(), "a dry run changed something");
    release(&package, &["rollout", "1.2.0", "25%"]).ok();
    release(&package, &["require", "1.1.0"]).ok();
    release(&package, &["floor", "1.0.0"]).ok();
    let run = release(&package, &["retreat", "1.2.0", "1.1.0", "--days", "3", "--message-format", "json"]).ok();
    let told = &run.messages("steered")[0];
    assert_eq!((&told["channel"], told["role"].as_u64()), (&"stable".into(), Some(7)));
    let rules = rules(&package);
    assert_eq!(rules.rollout[&v("1.2.0")].get(), 25);
    assert_eq!((rules.floor.clone(), rules.required.clone()), (Some(v("1.0.0")), [v("1.1.0")].into()));
    assert!(rules.yank.contains(&v("1.2.0")));
    let retreat = &rules.retreat[0];
    assert!(retreat.expires > now().plus_days(2) && retreat.expires <= now().plus_days(3));

    let run = release(&package, &["list"]).ok();
    let line = run.stdout.lines().find(|line| line.contains("1.2.0")).unwrap();
    assert!(line.contains("rollout 25 %, yanked, retreat to 1.1.0 until"), "{line}");
    let run = release(&package, &["list", "--message-format", "json"]).ok();
    let listed: Vec<_> = run.messages("listed-release").iter().map(|line| line["percent"].as_u64().unwrap()).collect();
    assert_eq!(listed, [0, 100, 100]);

    release(&package, &["yank", "1.2.0", "--undo"]).fails(2, "installs of 1.2.0 are taken back to 1.1.0", "--undo");
    release(&package, &["retreat", "1.2.0", "--undo"]).ok();
    release(&package, &["yank", "1.2.0", "--undo"]).ok();
    release(&package, &["rollout", "1.2.0", "100"]).ok();
    release(&package, &["require", "1.1.0", "--undo"]).ok();
    release(&package, &["floor", "--none"]).ok();
    assert!(self::rules(&package).is_empty());
}

#[test]
fn what_no_client_would_follow_is_refused_before_anything_is_signed() {
    let package = published("stable", &["1.0.0", "1.1.0"]);
    let before = state(&package).timestamp().version;
    release(&package, &["rollout", "0.9.0", "10"]).fails(
        2,
        "the channel does not list 0.9.0",
        "use one of: 1.0.0, 1.1.0",
    );
    release(&package, &["yank", "1.2.0"]).fails(2, "the channel does not list 1.2.0", "did you mean `1.1.0`?");
    release(&package, &["floor", "2.0.0"]).fails(2, "the channel offers nothing from 2.0.0 on", "publish that release");
    release(&package, &["retreat", "1.0.0", "1.1.0"]).fails(2, "1.1.0 is not older than 1.0.0", "publish a newer");
    release(&package, &["promote", "1.0.0", "--from", "stable"]).fails(2, "stable cannot be promoted", "name two");
    release(&package, &["promote", "1.0.0", "--from", "beta"]).fails(2, "version 1.0.0 is not greater", "forward only");
    assert_eq!(release(&package, &["rollout", "1.1.0", "101"]).code, 2);
    assert_eq!(release(&package, &["retreat", "1.1.0"]).code, 2);
    assert_eq!(state(&package).timestamp().version, before);
    let empty = Package::new();
    empty.run(&["init", "--dev"]).ok();
    release(&empty, &["hold", "1.0.0", "10"]).fails(2, "nothing is published in fs:", "cargo updater publish");
}

#[test]
fn hold_and_yank_need_the_online_key_alone_and_survive_the_next_release() {
    let package = published("stable", &["1.0.0", "1.1.0"]);
    let role = state(&package).channels()[&channel("stable")].role().version;
    let text = std::fs::read(package.keys().join("development/stable.key")).unwrap();
    hide_key(&package, "stable");
    release(&package, &["hold", "1.1.0", "10"]).ok();
    release(&package, &["yank", "1.0.0", "--online"]).ok();
    let expected = Steering { hold: [(v("1.1.0"), "10".parse().unwrap())].into(), yank: [v("1.0.0")].into() };
    assert_eq!(steering(&package), Some(expected.clone()));
    assert_eq!(state(&package).channels()[&channel("stable")].role().version, role, "the role was not touched");
    release(&package, &["rollout", "1.1.0", "10"]).fails(40, "", "key");

    let key = package.keys().join("development/stable.key");
    std::fs::write(&key, text).unwrap();
    std::fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    publish(&package, "stable", "1.2.0");
    assert_eq!(steering(&package), Some(expected));
    release(&package, &["hold", "1.1.0", "100"]).ok();
    release(&package, &["yank", "1.0.0", "--online", "--undo"]).ok();
    assert_eq!(steering(&package), None);

    hide_key(&package, "online");
    release(&package, &["hold", "1.1.0", "10"]).fails(40, "", "key");
}

#[test]
fn a_promoted_release_is_the_same_file_under_another_signature() {
    let package = published("beta", &["1.0.0", "1.1.0"]);
    publish(&package, "stable", "1.0.0");
    let timestamp = state(&package).timestamp().version;
    release(&package, &["promote", "1.1.0", "--from", "beta", "--dry-run"]).ok();
    assert_eq!(state(&package).timestamp().version, timestamp);
    let files = || {
        let names = std::fs::read_dir(repository(&package).join("targets")).unwrap();
        let mut names: Vec<String> = names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    };
    let before = files();
    release(&package, &["promote", "1.1.0", "--from", "beta"]).ok();
    assert_eq!(files(), before, "nothing was built or uploaded");
    let state = state(&package);
    let [stable, beta] = ["stable", "beta"].map(|name| state.channels()[&channel(name)].contents().bundles.clone());
    assert_eq!(stable, beta);
    // A file has one signature; it is checked for the channel that got it last.
    package.run(&["verify"]).ok();

    if !require::command("minisign", "apt install minisign") {
        return;
    }
    let artifact = &stable[1].artifact;
    let file = repository(&package).join("targets").join(artifact.file());
    let signature = repository(&package).join("targets").join(format!("{}.minisig", artifact.file()));
    let comment = minisign(&package, "stable", &file, &signature).unwrap();
    let (sha256, name) = (artifact.sha256, &artifact.name);
    assert_eq!(comment, format!("app=hello version=1.1.0 target={TRIPLE} channel=stable sha256={sha256} file={name}"));
    assert_eq!(minisign(&package, "beta", &file, &signature), None, "it is beta's no longer");
    std::fs::write(&file, "other bytes").unwrap();
    assert_eq!(minisign(&package, "stable", &file, &signature), None);
}

#[test]
fn the_version_file_names_the_newest_release_for_all() {
    let package = published("stable", &["1.0.0", "1.1.0"]);
    publish(&package, "beta", "2.0.0");
    let file = repository(&package).join("VERSION");
    let current = |name: &str| {
        let text = std::fs::read_to_string(repository(&package).join(name)).unwrap();
        text.lines()
            .find_map(|line| line.strip_prefix("CURRENT "))
            .map(|line| line.split(' ').next().unwrap().to_owned())
    };
    assert_eq!((current("VERSION"), current("VERSION.beta")), (Some("1.1.0".to_owned()), Some("2.0.0".to_owned())));
    release(&package, &["rollout", "1.1.0", "50"]).ok();
    assert_eq!(current("VERSION").unwrap(), "1.0.0");
    release(&package, &["rollout", "1.1.0", "100"]).ok();
    release(&package, &["retreat", "1.1.0", "1.0.0"]).ok();
    assert_eq!(current("VERSION").unwrap(), "1.0.0");

    let text = std::fs::read_to_string(&file).unwrap();
    let bundle = format!("hello-1.0.0-{TRIPLE}.tar.xz");
    let sha256 = Sha256::of(bundle.as_bytes());
    let role = state(&package).channels()[&channel("stable")].role().clone();
    let expected = format!(
        "APP hello\nCHANNEL stable\nROLE {}\nEXPIRES {}\nCURRENT 1.0.0 {sha256}.{bundle} {sha256} {TRIPLE}\n\
         KIND executable {TRIPLE}\n",
        role.version, role.expires
    );
    let (signed, signature) = text.rsplit_once("SIGNATURE ").unwrap();
    assert_eq!(signed, expected);

    if !require::command("minisign", "apt install minisign") {
        return;
    }
    let [plain, minisig] = ["VERSION.text", "VERSION.minisig"].map(|name| package.path(name));
    let signature = base64::engine::general_purpose::STANDARD.decode(signature.trim_end()).unwrap();
    std::fs::write(&plain, signed).unwrap();
    std::fs::write(&minisig, signature).unwrap();
    let comment = minisign(&package, "stable", &plain, &minisig).unwrap();
    assert_eq!(comment, format!("app=hello channel=stable role={} file=VERSION", role.version));
    std::fs::write(&plain, signed.replace("1.0.0", "0.9.0")).unwrap();
    assert_eq!(minisign(&package, "stable", &plain, &minisig), None);
}

#[test]
fn a_promotion_that_comes_to_nothing_leaves_the_signatures_of_the_other_channel() {
    let package = published("beta", &["1.0.0"]);
    publish(&package, "stable", "0.9.0");
    let online = KeyFolder::at(package.keys()).development().path().join("online.key");
    std::fs::rename(&online, package.path("aside")).unwrap();
    package.run(&["release", "floor", "0.9.0"]).ok();
    std::fs::rename(package.path("aside"), &online).unwrap();
    let minisig = || {
        let name = format!("hello-1.0.0-{TRIPLE}.tar.xz");
        let file = format!("targets/{}.{name}.minisig", Sha256::of(name.as_bytes()));
        std::fs::read_to_string(repository(&package).join(file)).unwrap()
    };
    let before = minisig();
    let promote = ["release", "promote", "1.0.0", "--from", "beta"];
    package.run(&promote).fails(60, "version 2 of the role stable waits for the online key", "refresh");
    assert_eq!(minisig(), before);
    package.run(&["refresh"]).ok();
    package.run(&promote).ok();
    assert!(minisig().contains("channel=stable"), "{}", minisig());
}

#[test]
fn an_expired_channel_does_not_make_a_release_of_another_a_failure() {
    let package = published("beta", &[]);
    publish_at(&package, "beta", "1.0.0", now().plus_days(-100));
    crate::publish::files(&package, "1.1.0");
    let run = package.run(&crate::publish::publish("1.1.0", &[])).ok();
    assert!(run.stderr.contains("warning: the channel beta expired on"), "{}", run.stderr);
    assert!(run.stderr.contains("Published hello 1.1.0 in stable"), "{}", run.stderr);
}

#[test]
fn the_page_tells_what_is_held_and_what_is_withdrawn_by_either_key() {
    let package = published("stable", &["1.0.0", "1.1.0", "1.2.0", "1.3.0"]);
    package.run(&["release", "yank", "1.1.0", "--yes"]).ok();
    package.run(&["release", "yank", "1.2.0", "--online", "--yes"]).ok();
    package.run(&["release", "hold", "1.3.0", "0"]).ok();
    let page = std::fs::read_to_string(repository(&package).join("index.html")).unwrap();
    let of = |version: &str| {
        let (_, from) = page.split_once(&format!("<details id=\"stable-{version}\"")).unwrap();
        from.split_once("</details>").unwrap().0.to_owned()
    };
    for (version, told, links) in [
        ("1.0.0", "", true),
        ("1.1.0", ">withdrawn<", false),
        ("1.2.0", ">withdrawn<", false),
        ("1.3.0", ">not offered to everybody<", true),
    ] {
        let of = of(version);
        assert!(of.contains(told) && of.contains("href=") == links, "{version}: {of}");
    }
    assert!(page.contains("Version <strong>1.0.0</strong>"), "{page}");
}
