//! Which release an install should take, out of what its channels offer. Pure: no files, no network, no clock.

use updater_format::release::{BundleEntry, ChannelContents, NotesEntry, PatchEntry};
use updater_format::{Channel, InstallKind, Platform, ReleaseVersion, Sha256};

/// What is installed, as far as the choice needs it.
#[derive(Debug, Clone, Copy)]
pub struct Installed<'a> {
    /// The version.
    pub version: &'a ReleaseVersion,
    /// The target triple.
    pub platform: &'a Platform,
    /// How it is installed.
    pub kind: InstallKind,
    /// The version of the system's C library, such as `2.36`; `None` where there is none.
    pub libc: Option<&'a str>,
    /// The manifests of releases that failed their trial here lately.
    pub bad: &'a [Sha256],
}

/// One channel's offers. The first one is the app's own channel, the others those it may fall back to.
#[derive(Debug, Clone, Copy)]
pub struct Offer<'a> {
    /// The channel.
    pub channel: &'a Channel,
    /// What its verified role lists.
    pub contents: &'a ChannelContents,
}

/// A release to update to. Everything in it comes from one channel role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// The channel that offers it.
    pub channel: Channel,
    /// Its bundle.
    pub bundle: BundleEntry,
    /// The patches that lead to it from the installed version.
    pub patches: Vec<PatchEntry>,
    /// Its notes.
    pub notes: Option<NotesEntry>,
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Nothing newer is offered.
    Current,
    /// There is a newer release for this install.
    Available(Box<Candidate>),
    /// There is a newer release, but not for this install.
    Withheld(Withheld),
}

/// Why a newer release is not for this install.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Withheld {
    /// No channel has anything for this target triple.
    NoSuchPlatform {
        /// The triple.
        platform: Platform,
    },
    /// It runs as another kind of install.
    OtherKind {
        /// The version.
        version: ReleaseVersion,
        /// The kind it is made for.
        kind: InstallKind,
    },
    /// The system's C library is too old for it.
    LibcTooOld {
        /// The version.
        version: ReleaseVersion,
        /// The C library it needs.
        needs: String,
        /// The C library that is there.
        has: String,
    },
    /// It failed its trial here during the last 30 days.
    FailedHere {
        /// The version.
        version: ReleaseVersion,
    },
}

impl std::fmt::Display for Withheld {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NoSuchPlatform { platform } => write!(f, "nothing is published for {platform}"),
            Self::OtherKind { version, kind } => write!(f, "{version} is made for installs of kind {kind}"),
            Self::LibcTooOld { version, needs, has } => {
                write!(f, "{version} needs C library {needs}, this system has {has}")
            }
            Self::FailedHere { version } => write!(f, "{version} failed its trial here within the last 30 days"),
        }
    }
}

/// Chooses the highest version above the installed one that this install may have.
///
/// When every newer release is withheld, the reason is that of the highest one.
#[must_use]
pub fn choose(installed: &Installed<'_>, offers: &[Offer<'_>]) -> Decision {
    let ours = |bundle: &&BundleEntry| bundle.platform == *installed.platform;
    if !offers.is_empty() && !offers.iter().any(|offer| offer.contents.bundles.iter().any(|b| ours(&b))) {
        return Decision::Withheld(Withheld::NoSuchPlatform { platform: installed.platform.clone() });
    }
    let mut newer: Vec<(&Offer<'_>, &BundleEntry)> = offers
        .iter()
        .flat_map(|offer| offer.contents.bundles.iter().filter(ours).map(move |bundle| (offer, bundle)))
        .filter(|(_, bundle)| bundle.version > *installed.version)
        .collect();
    // Stable: of the same version in two channels the app's own channel comes first.
    newer.sort_by(|a, b| b.1.version.cmp(&a.1.version));
    let mut reason = None;
    for (offer, bundle) in newer {
        match withheld(installed, bundle) {
            None => return Decision::Available(Box::new(candidate(installed, offer, bundle))),
            Some(why) => reason = reason.or(Some(why)),
        }
    }
    reason.map_or(Decision::Current, Decision::Withheld)
}

fn withheld(installed: &Installed<'_>, bundle: &BundleEntry) -> Option<Withheld> {
    let version = bundle.version.clone();
    if bundle.install != installed.kind {
        return Some(Withheld::OtherKind { version, kind: bundle.install });
    }
    if installed.bad.contains(&bundle.manifest) {
        return Some(Withheld::FailedHere { version });
    }
    match (&bundle.libc, installed.libc) {
        (Some(needs), Some(has)) if is_below(has, needs) => {
            Some(Withheld::LibcTooOld { version, needs: needs.clone(), has: has.to_owned() })
        }
        _ => None,
    }
}

fn candidate(installed: &Installed<'_>, offer: &Offer<'_>, bundle: &BundleEntry) -> Candidate {
    let contents = offer.contents;
    let leads_here = |patch: &&PatchEntry| {
        patch.platform == bundle.platform
            && patch.from == *installed.version
            && patch.version == bundle.version
            // A patch to anything else than what the signed bundle entry names is of no use, whoever signed it.
            && patch.manifest == bundle.manifest
    };
    Candidate {
        channel: offer.channel.clone(),
        bundle: bundle.clone(),
        patches: contents.patches.iter().filter(leads_here).cloned().collect(),
        notes: contents.notes.iter().find(|notes| notes.version == bundle.version).cloned(),
    }
}

/// Compares dotted numbers: `2.9` is below `2.31`. What is not a number counts as 0.
fn is_below(has: &str, needs: &str) -> bool {
    let numbers = |text: &str| text.split('.').map(|part| part.parse::<u64>().unwrap_or(0)).collect::<Vec<_>>();
    numbers(has) < numbers(needs)
}

#[cfg(test)]
mod tests {
    use super::*;
    use updater_format::json::Map;
    use updater_format::release::Artifact;

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
            codecs: vec!["bsdiff-1".into()],
            epoch: 0,
            libc: None,
            notes: None,
            metadata: Map::new(),
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
            codecs: vec!["bsdiff-1".into()],
        }
    }

    fn contents(bundles: Vec<BundleEntry>, patches: Vec<PatchEntry>) -> ChannelContents {
        ChannelContents { bundles, patches, ..ChannelContents::default() }
    }

    fn decide(version: &str, change: impl Fn(&mut Installed<'_>), channels: &[(&str, ChannelContents)]) -> Decision {
        let (version, platform) = (version.parse().unwrap(), LINUX.parse().unwrap());
        let mut installed = Installed {
            version: &version,
            platform: &platform,
            kind: InstallKind::Executable,
            libc: Some("2.36"),
            bad: &[],
        };
        change(&mut installed);
        let names: Vec<Channel> = channels.iter().map(|(name, _)| name.parse().unwrap()).collect();
        let offers: Vec<_> =
            names.iter().zip(channels).map(|(channel, (_, contents))| Offer { channel, contents }).collect();
        choose(&installed, &offers)
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
        let installed = Installed {
            version: &version,
            platform: &platform,
            kind: InstallKind::Executable,
            libc: None,
            bad: &bad,
        };
        let stable = Channel::stable();
        let offer = |contents: &ChannelContents| choose(&installed, &[Offer { channel: &stable, contents }]);
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
}
