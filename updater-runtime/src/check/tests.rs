//! The choice between releases, without and ([`steering`]) with rules.

use super::rules::is_below;
use super::*;
use updater_format::json::Map;
use updater_format::release::Artifact;

mod steering;

const LINUX: &str = "x86_64-unknown-linux-gnu";

fn bundle(version: &str, platform: &str) -> BundleEntry {
    BundleEntry {
        artifact: artifact(&format!("hello-{version}-{platform}.tar.xz"), 1000),
        version: version.parse().unwrap(),
        platform: platform.parse().unwrap(),
        install: InstallKind::Executable,
        unpacked: 3000,
        files: 1,
        manifest: Sha256::of(version.as_bytes()),
        codecs: vec!["refs-1".into()],
        epoch: 0,
        libc: None,
        notes: None,
        released: None,
        metadata: Map::new(),
        component: None,
        minimum_app: None,
    }
}

fn artifact(name: &str, length: u64) -> Artifact {
    Artifact { name: name.parse().unwrap(), length, sha256: Sha256::of(name.as_bytes()) }
}

fn patch(from: &str, to: &str) -> PatchEntry {
    PatchEntry {
        artifact: artifact(&format!("hello-{from}-to-{to}.patch"), 100),
        platform: LINUX.parse().unwrap(),
        from: from.parse().unwrap(),
        version: to.parse().unwrap(),
        manifest: Sha256::of(to.as_bytes()),
        codecs: vec!["refs-1".into()],
        component: None,
    }
}

fn contents(bundles: Vec<BundleEntry>, patches: Vec<PatchEntry>) -> ChannelContents {
    ChannelContents { bundles, patches, ..ChannelContents::default() }
}

fn decide(version: &str, change: impl Fn(&mut Installed<'_>), channels: &[(&str, ChannelContents)]) -> Decision {
    let (version, platform) = (version.parse().unwrap(), LINUX.parse().unwrap());
    let app = "hello".parse().unwrap();
    let mut installed = Installed { libc: Some("2.36"), ..install(&app, &version, &platform) };
    change(&mut installed);
    let names: Vec<Channel> = channels.iter().map(|(name, _)| name.parse().unwrap()).collect();
    let offers: Vec<_> =
        names.iter().zip(channels).map(|(channel, (_, contents))| offer_of(channel, contents)).collect();
    choose(&installed, &offers)
}

fn install<'a>(app: &'a AppId, version: &'a ReleaseVersion, platform: &'a Platform) -> Installed<'a> {
    Installed {
        app,
        version,
        platform,
        kind: InstallKind::Executable,
        libc: None,
        bad: &[],
        epoch: 0,
        rollout: Rollout::Last,
        now: now(),
        component: None,
    }
}

fn now() -> UtcTime {
    "2026-11-20T08:00:00Z".parse().unwrap()
}

fn offer_of<'a>(channel: &'a Channel, contents: &'a ChannelContents) -> Offer<'a> {
    static NO_RULES: std::sync::LazyLock<ChannelRules> = std::sync::LazyLock::new(ChannelRules::default);
    Offer { channel, contents, rules: &NO_RULES, steering: None }
}

fn version_of(decision: Decision) -> (String, String, usize) {
    match decision {
        Decision::Available(c) => (c.channel.to_string(), c.bundle.version.to_string(), c.patches.len()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_highest_version_of_this_platform_with_its_patches() {
    let offer = contents(
        vec![bundle("1.10.0", LINUX), bundle("1.9.0", LINUX), bundle("2.0.0", "aarch64-unknown-linux-gnu")],
        vec![patch("1.0.0", "1.10.0"), patch("1.0.0", "1.9.0"), patch("1.1.0", "1.10.0")],
    );
    assert_eq!(
        version_of(decide("1.0.0", |_| {}, &[("stable", offer.clone())])),
        ("stable".into(), "1.10.0".into(), 1)
    );
    for current in ["1.10.0", "3.0.0"] {
        assert_eq!(decide(current, |_| {}, &[("stable", offer.clone())]), Decision::Current);
    }
}

#[test]
fn a_patch_to_another_manifest_is_not_taken() {
    let mut odd = patch("1.0.0", "1.1.0");
    odd.manifest = Sha256::of(b"older, signed");
    let offer = contents(vec![bundle("1.1.0", LINUX)], vec![odd]);
    assert_eq!(version_of(decide("1.0.0", |_| {}, &[("stable", offer)])).2, 0);
}

#[test]
fn a_patch_for_another_platform_is_not_taken() {
    let mut odd = patch("1.0.0", "1.1.0");
    odd.platform = "aarch64-unknown-linux-gnu".parse().unwrap();
    let offer = contents(vec![bundle("1.1.0", LINUX)], vec![odd]);
    assert_eq!(version_of(decide("1.0.0", |_| {}, &[("stable", offer)])).2, 0);
}

#[test]
fn everything_comes_from_one_role() {
    let stable = contents(vec![bundle("1.1.0", LINUX)], vec![]);
    let beta = contents(vec![bundle("1.1.0", LINUX)], vec![patch("1.0.0", "1.1.0")]);
    let both = [("stable", stable.clone()), ("beta", beta)];
    assert_eq!(version_of(decide("1.0.0", |_| {}, &both)), ("stable".into(), "1.1.0".into(), 0));
    let newer = contents(vec![bundle("1.2.0", LINUX)], vec![]);
    assert_eq!(version_of(decide("1.0.0", |_| {}, &[("beta", stable), ("stable", newer)])).0, "stable");
}

#[test]
fn the_reason_is_that_of_the_highest_release_and_a_lower_one_may_still_do() {
    let mut needs_libc = bundle("1.3.0", LINUX);
    needs_libc.libc = Some("2.39".into());
    let mut folder = bundle("1.4.0", LINUX);
    folder.install = InstallKind::Directory;
    let only = |bundles| [("stable", contents(bundles, vec![]))];
    assert_eq!(
        decide("1.0.0", |_| {}, &only(vec![needs_libc.clone()])),
        Decision::Withheld(Withheld::LibcTooOld {
            version: "1.3.0".parse().unwrap(),
            needs: "2.39".into(),
            has: "2.36".into()
        })
    );
    assert!(matches!(
        decide("1.0.0", |_| {}, &only(vec![needs_libc.clone(), folder])),
        Decision::Withheld(Withheld::OtherKind { .. })
    ));
    assert_eq!(version_of(decide("1.0.0", |_| {}, &only(vec![needs_libc, bundle("1.2.0", LINUX)]))).1, "1.2.0");
    assert!(matches!(
        decide("1.0.0", |_| {}, &only(vec![bundle("1.1.0", "aarch64-unknown-linux-gnu")])),
        Decision::Withheld(Withheld::NoSuchPlatform { .. })
    ));
    let bad = [Sha256::of(b"1.1.0")];
    let (platform, version) = (LINUX.parse().unwrap(), "1.0.0".parse().unwrap());
    let app = "hello".parse().unwrap();
    let installed = Installed { bad: &bad, ..install(&app, &version, &platform) };
    let stable = Channel::stable();
    let offer = |contents: &ChannelContents| choose(&installed, &[offer_of(&stable, contents)]);
    assert!(matches!(
        offer(&contents(vec![bundle("1.1.0", LINUX)], vec![])),
        Decision::Withheld(Withheld::FailedHere { .. })
    ));
}

#[test]
fn library_versions_are_numbers() {
    assert!(is_below("2.9", "2.31") && !is_below("2.31", "2.31") && !is_below("2.31", "2.9"));
    assert!(is_below("2", "2.1"));
}
