//! What publishing a release will do, computed before anything is done. Pure: the same request and the same published
//! state give the same plan; `--dry-run` prints it and `--message-format json` shows it.

use crate::error::{ExitCode, Explain};
use crate::shell::Message;
use std::collections::BTreeSet;
use updater_format::release::ChannelContents;
use updater_format::role::ChannelRules;
use updater_format::{AppId, Channel, ComponentName, FormatError, Platform, ReleaseVersion, TargetName};

/// What is asked for.
#[derive(Debug, Clone)]
pub struct Request {
    /// The app.
    pub app: AppId,
    /// The component of it; `None` for the app itself. Versions and counters are its own.
    pub component: Option<ComponentName>,
    /// The channel to publish in.
    pub channel: Channel,
    /// The version to publish.
    pub version: ReleaseVersion,
    /// The triples that the release is for.
    pub platforms: Vec<Platform>,
    /// From how many earlier releases patches are made.
    pub patches_from: u32,
    /// How many releases stay listed.
    pub keep: u32,
    /// What becomes of the security counter.
    pub epoch: Epoch,
}

/// Returns what the names of all files of an app, or of one of its components, begin with.
#[must_use]
pub fn stem(app: &AppId, component: Option<&ComponentName>) -> String {
    component.map_or_else(|| app.to_string(), |component| format!("{app}-{component}"))
}

/// What a release does to the security counter of its channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Epoch {
    /// It has that of the newest release.
    #[default]
    Keep,
    /// It has a higher one: whoever has installed it never goes back below it.
    Raise,
}

impl Epoch {
    /// Returns the counter of a version over what is published. A version that is published already keeps its own, so
    /// that publishing it again raises nothing twice.
    #[must_use]
    pub fn of(self, published: &ChannelContents, version: &ReleaseVersion) -> u64 {
        let bundles = &published.bundles;
        let own = bundles.iter().filter(|bundle| bundle.version == *version).map(|bundle| bundle.epoch).max();
        let before = bundles.iter().map(|bundle| bundle.epoch).max();
        match (own, self) {
            (Some(own), _) => own,
            (None, Self::Keep) => before.unwrap_or(0),
            (None, Self::Raise) => before.unwrap_or(0) + 1,
        }
    }
}

/// Everything that publishing will do.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Plan {
    /// The app.
    #[cfg_attr(test, schemars(with = "String"))]
    pub app: AppId,
    /// The component of it; `None` for the app itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(with = "Option<String>"))]
    pub component: Option<ComponentName>,
    /// The channel.
    #[cfg_attr(test, schemars(with = "String"))]
    pub channel: Channel,
    /// The version.
    #[cfg_attr(test, schemars(with = "String"))]
    pub version: ReleaseVersion,
    /// One entry per triple.
    pub platforms: Vec<PlannedPlatform>,
    /// The versions that the channel lists afterwards, newest first.
    #[cfg_attr(test, schemars(with = "Vec<String>"))]
    pub listed: Vec<ReleaseVersion>,
    /// The versions that the channel lists now and no longer afterwards. Their files stay.
    #[cfg_attr(test, schemars(with = "Vec<String>"))]
    pub retired: Vec<ReleaseVersion>,
    /// The security counter of the release: that of the newest one.
    pub epoch: u64,
}

/// What is done for one triple.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct PlannedPlatform {
    /// The triple.
    #[cfg_attr(test, schemars(with = "String"))]
    pub platform: Platform,
    /// The name of the bundle.
    #[cfg_attr(test, schemars(with = "String"))]
    pub bundle: TargetName,
    /// The earlier releases from which patches are made, newest first.
    #[cfg_attr(test, schemars(with = "Vec<String>"))]
    pub patches_from: Vec<ReleaseVersion>,
    /// The earlier releases from which the update is rehearsed, newest first.
    #[cfg_attr(test, schemars(with = "Vec<String>"))]
    pub rehearsed_from: Vec<ReleaseVersion>,
}

impl Message for Plan {
    const REASON: &'static str = "plan";
}

impl Plan {
    /// Plans a release over what the channel lists now of this app, or of this component of it, `None` when it lists
    /// nothing yet, and over its rules.
    /// # Errors
    /// [`PlanError::NotGreater`] when the channel has a newer version, [`PlanError::NoPlatform`],
    /// [`PlanError::SamePlatform`], [`PlanError::Name`].
    pub fn new(
        request: &Request,
        published: Option<&ChannelContents>,
        rules: &ChannelRules,
    ) -> Result<Self, PlanError> {
        let nothing = ChannelContents::default();
        let published = published.unwrap_or(&nothing);
        let versions: BTreeSet<&ReleaseVersion> = published.bundles.iter().map(|bundle| &bundle.version).collect();
        if let Some(newest) = versions.last().copied().filter(|newest| **newest > request.version) {
            return Err(PlanError::NotGreater {
                version: request.version.clone(),
                newest: newest.clone(),
                channel: request.channel.clone(),
            });
        }
        if request.platforms.is_empty() {
            return Err(PlanError::NoPlatform);
        }
        let mut platforms = Vec::new();
        for platform in &request.platforms {
            if platforms.iter().any(|planned: &PlannedPlatform| planned.platform == *platform) {
                return Err(PlanError::SamePlatform { platform: platform.clone() });
            }
            platforms.push(PlannedPlatform::new(request, platform, published, rules)?);
        }
        let mut listed: Vec<ReleaseVersion> = versions.into_iter().cloned().collect();
        if listed.last() != Some(&request.version) {
            listed.push(request.version.clone());
        }
        listed.reverse();
        let retired = listed.split_off(newest(&listed, request.keep, rules));
        let epoch = request.epoch.of(published, &request.version);
        Ok(Self {
            app: request.app.clone(),
            component: request.component.clone(),
            channel: request.channel.clone(),
            version: request.version.clone(),
            platforms,
            listed,
            retired,
            epoch,
        })
    }

    /// Leaves out what the rules of the channel leave no client to do: an install before a stepping stone goes there first
    /// and not to this release.
    pub fn rehearse_by(&mut self, rules: &ChannelRules) {
        let has_step = |from: &ReleaseVersion| rules.required.iter().any(|step| step > from && *step < self.version);
        for planned in &mut self.platforms {
            planned.rehearsed_from.retain(|from| !has_step(from));
        }
    }

    /// Returns what is released, in words: the app, or the app and its component.
    #[must_use]
    pub fn subject(&self) -> String {
        self.component.as_ref().map_or_else(|| self.app.to_string(), |component| format!("{} {component}", self.app))
    }

    /// Returns the plan as lines for a person, each a verb of at most 12 characters and what it is done to.
    #[must_use]
    pub fn lines(&self) -> Vec<(&'static str, String)> {
        let (app, version) = (self.subject(), &self.version);
        let mut lines = Vec::new();
        for planned in &self.platforms {
            lines.push(("Bundle", format!("{app} {version} ({})", planned.platform)));
            for from in &planned.patches_from {
                lines.push(("Diff", format!("{from} -> {version} ({})", planned.platform)));
            }
        }
        lines.push(("Sign", format!("the role {} with {}", self.channel, joined(&self.listed))));
        for planned in &self.platforms {
            for from in &planned.rehearsed_from {
                lines.push(("Rehearse", format!("{from} -> {version} ({})", planned.platform)));
            }
        }
        lines.push(("Publish", format!("{app} {version} in {}", self.channel)));
        if !self.retired.is_empty() {
            lines.push(("Retire", format!("{}: no longer listed, files stay", joined(&self.retired))));
        }
        lines
    }
}

impl PlannedPlatform {
    fn new(
        request: &Request,
        platform: &Platform,
        published: &ChannelContents,
        rules: &ChannelRules,
    ) -> Result<Self, PlanError> {
        let ours = published.bundles.iter().filter(|bundle| bundle.platform == *platform);
        let older: BTreeSet<&ReleaseVersion> =
            ours.map(|bundle| &bundle.version).filter(|version| **version < request.version).collect();
        let older: Vec<ReleaseVersion> = older.into_iter().rev().cloned().collect();
        let name = |text: String| TargetName::parse(&text).map_err(|source| PlanError::Name { source });
        let patches_from = older[..newest(&older, request.patches_from, rules)].to_vec();
        let stem = stem(&request.app, request.component.as_ref());
        for from in &patches_from {
            name(format!("{stem}-{from}-to-{}-{platform}.patch", request.version))?;
        }
        Ok(Self {
            platform: platform.clone(),
            bundle: name(format!("{stem}-{}-{platform}.tar.xz", request.version))?,
            patches_from,
            rehearsed_from: older,
        })
    }
}

/// Returns how many versions, the newest first, it takes to have `count` that are not yanked. A yanked one takes the place of
/// none that is offered; among them it stays, because copies of it are installed and are to get away from it.
pub(crate) fn newest(versions: &[ReleaseVersion], count: u32, rules: &ChannelRules) -> usize {
    if count == 0 {
        return 0;
    }
    let offered = versions.iter().enumerate().filter(|(_, version)| !rules.yank.contains(version));
    offered.map(|(at, _)| at).nth(count as usize).unwrap_or(versions.len())
}

fn joined(versions: &[ReleaseVersion]) -> String {
    versions.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// Why a release cannot be planned.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PlanError {
    /// The channel has a newer release, so no client would ever take this one.
    #[error("version {version} is not greater than {newest}, which channel `{channel}` has already")]
    NotGreater {
        /// The version asked for.
        version: ReleaseVersion,
        /// The newest one published.
        newest: ReleaseVersion,
        /// The channel.
        channel: Channel,
    },
    /// The release is for nothing.
    #[error("there is no bundle to publish")]
    NoPlatform,
    /// A triple is named twice.
    #[error("{platform} is named twice")]
    SamePlatform {
        /// The triple.
        platform: Platform,
    },
    /// App id, versions and triple together make too long a name.
    #[error("this release cannot be published under its name")]
    Name {
        /// Which rule.
        source: FormatError,
    },
}

impl Explain for PlanError {
    fn code(&self) -> ExitCode {
        match self {
            Self::NoPlatform | Self::SamePlatform { .. } => ExitCode::Usage,
            Self::NotGreater { .. } | Self::Name { .. } => ExitCode::Config,
        }
    }

    fn hints(&self) -> Vec<String> {
        vec![match self {
            Self::NotGreater { newest, .. } => {
                format!("raise the version above {newest}, in Cargo.toml or with `--version`")
            }
            Self::NoPlatform => "make one with `cargo updater bundle`".to_owned(),
            Self::SamePlatform { .. } => "name each `--target` once".to_owned(),
            Self::Name { .. } => "shorten the app id or the version".to_owned(),
        }]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use updater_format::json::Map;
    use updater_format::release::{Artifact, BundleEntry};
    use updater_format::{InstallKind, Sha256};

    const LINUX: &str = "x86_64-unknown-linux-gnu";
    const ARM: &str = "aarch64-unknown-linux-gnu";

    fn bundle(version: &str, platform: &str) -> BundleEntry {
        let name = format!("hello-{version}-{platform}.tar.xz");
        BundleEntry {
            artifact: Artifact { sha256: Sha256::of(name.as_bytes()), name: name.parse().unwrap(), length: 1 },
            version: version.parse().unwrap(),
            platform: platform.parse().unwrap(),
            install: InstallKind::Executable,
            unpacked: 1,
            files: 1,
            manifest: Sha256::of(b""),
            codecs: Vec::new(),
            epoch: u64::from(version == "1.2.0") * 4,
            libc: None,
            notes: None,
            released: None,
            metadata: Map::new(),
            component: None,
            minimum_app: None,
        }
    }

    fn request(version: &str, platforms: &[&str]) -> Request {
        Request {
            app: "hello".parse().unwrap(),
            component: None,
            channel: Channel::stable(),
            version: version.parse().unwrap(),
            platforms: platforms.iter().map(|platform| platform.parse().unwrap()).collect(),
            patches_from: 2,
            keep: 3,
            epoch: Epoch::Keep,
        }
    }

    fn published(bundles: &[(&str, &str)]) -> ChannelContents {
        let bundles = bundles.iter().map(|(version, platform)| bundle(version, platform)).collect();
        ChannelContents { bundles, ..ChannelContents::default() }
    }

    #[test]
    fn the_first_release_has_nothing_before_it() {
        let plan = Plan::new(&request("1.0.0", &[LINUX]), None, &ChannelRules::default()).unwrap();
        let lines: Vec<_> = plan.lines().into_iter().map(|(verb, what)| format!("{verb} {what}")).collect();
        assert_eq!(
            lines,
            [
                "Bundle hello 1.0.0 (x86_64-unknown-linux-gnu)",
                "Sign the role stable with 1.0.0",
                "Publish hello 1.0.0 in stable"
            ]
        );
    }

    #[test]
    fn patches_come_from_the_last_releases_of_the_same_triple() {
        let published = published(&[("1.9.0", LINUX), ("1.10.0", LINUX), ("1.2.0", LINUX), ("1.10.0", ARM)]);
        let plan = Plan::new(&request("1.11.0", &[LINUX, ARM]), Some(&published), &ChannelRules::default()).unwrap();
        let lines: Vec<_> = plan.lines().into_iter().map(|(verb, what)| format!("{verb} {what}")).collect();
        assert_eq!(
            lines,
            [
                "Bundle hello 1.11.0 (x86_64-unknown-linux-gnu)",
                "Diff 1.10.0 -> 1.11.0 (x86_64-unknown-linux-gnu)",
                "Diff 1.9.0 -> 1.11.0 (x86_64-unknown-linux-gnu)",
                "Bundle hello 1.11.0 (aarch64-unknown-linux-gnu)",
                "Diff 1.10.0 -> 1.11.0 (aarch64-unknown-linux-gnu)",
                "Sign the role stable with 1.11.0, 1.10.0, 1.9.0",
                "Rehearse 1.10.0 -> 1.11.0 (x86_64-unknown-linux-gnu)",
                "Rehearse 1.9.0 -> 1.11.0 (x86_64-unknown-linux-gnu)",
                "Rehearse 1.2.0 -> 1.11.0 (x86_64-unknown-linux-gnu)",
                "Rehearse 1.10.0 -> 1.11.0 (aarch64-unknown-linux-gnu)",
                "Publish hello 1.11.0 in stable",
                "Retire 1.2.0: no longer listed, files stay"
            ]
        );
        let mut stepping = plan.clone();
        stepping.rehearse_by(&ChannelRules { required: ["1.9.0".parse().unwrap()].into(), ..ChannelRules::default() });
        let from: Vec<_> = stepping.platforms[0].rehearsed_from.iter().map(ToString::to_string).collect();
        assert_eq!(from, ["1.10.0", "1.9.0"], "1.2.0 goes to 1.9.0 first");
        // The counter of the newest epoch never falls.
        assert_eq!(plan.epoch, 4);
        let raised = Request { epoch: Epoch::Raise, ..request("1.11.0", &[LINUX]) };
        assert_eq!(Plan::new(&raised, Some(&published), &ChannelRules::default()).unwrap().epoch, 5);
        assert_eq!(Plan::new(&raised, None, &ChannelRules::default()).unwrap().epoch, 1);
        // Publishing goes on where it stopped: once is enough.
        assert_eq!(Epoch::Raise.of(&published, &"1.2.0".parse().unwrap()), 4);
        assert_eq!(
            Plan::new(&request("1.11.0", &[LINUX, ARM]), Some(&published), &ChannelRules::default()).unwrap(),
            plan
        );
    }

    #[test]
    fn a_yanked_release_takes_the_place_of_no_other() {
        let published = published(&[("1.0.0", LINUX), ("1.1.0", LINUX), ("1.2.0", LINUX), ("1.3.0", LINUX)]);
        let rules = ChannelRules { yank: ["1.3.0".parse().unwrap()].into(), ..ChannelRules::default() };
        let plan = Plan::new(&request("1.4.0", &[LINUX]), Some(&published), &rules).unwrap();
        let texts = |versions: &[ReleaseVersion]| versions.iter().map(ToString::to_string).collect::<Vec<_>>();
        // Two patches from what is offered, and one for the copies of the yanked one.
        assert_eq!(texts(&plan.platforms[0].patches_from), ["1.3.0", "1.2.0", "1.1.0"]);
        assert_eq!(texts(&plan.listed), ["1.4.0", "1.3.0", "1.2.0", "1.1.0"]);
        assert_eq!(texts(&plan.retired), ["1.0.0"]);
        // It goes when those behind it do.
        let rules = ChannelRules { yank: ["1.0.0".parse().unwrap()].into(), ..ChannelRules::default() };
        let plan = Plan::new(&request("1.4.0", &[LINUX]), Some(&published), &rules).unwrap();
        assert_eq!(texts(&plan.retired), ["1.1.0", "1.0.0"]);
        let none = Request { patches_from: 0, ..request("1.4.0", &[LINUX]) };
        let rules = ChannelRules { yank: ["1.3.0".parse().unwrap()].into(), ..ChannelRules::default() };
        let plan = Plan::new(&none, Some(&published), &rules).unwrap();
        assert!(plan.platforms[0].patches_from.is_empty(), "no patches were asked for: {plan:?}");
    }

    #[test]
    fn a_version_that_is_not_greater_is_refused_and_the_same_one_goes_on() {
        let published = published(&[("1.10.0", LINUX)]);
        let error = Plan::new(&request("1.9.9", &[LINUX]), Some(&published), &ChannelRules::default()).unwrap_err();
        assert!(matches!(&error, PlanError::NotGreater { newest, .. } if newest.to_string() == "1.10.0"));
        assert_eq!(error.to_string(), "version 1.9.9 is not greater than 1.10.0, which channel `stable` has already");
        let error =
            Plan::new(&request("1.10.0-rc.1", &[LINUX]), Some(&published), &ChannelRules::default()).unwrap_err();
        assert!(matches!(error, PlanError::NotGreater { .. }));
        let plan = Plan::new(&request("1.10.0", &[ARM]), Some(&published), &ChannelRules::default()).unwrap();
        assert_eq!((plan.listed.len(), plan.platforms[0].patches_from.len()), (1, 0));
    }

    #[test]
    fn odd_requests_are_named() {
        assert!(matches!(
            Plan::new(&request("1.0.0", &[]), None, &ChannelRules::default()),
            Err(PlanError::NoPlatform)
        ));
        let twice = Plan::new(&request("1.0.0", &[LINUX, LINUX]), None, &ChannelRules::default());
        assert!(matches!(twice, Err(PlanError::SamePlatform { .. })));
        let mut long = request(&format!("1.0.0-{}", "a".repeat(58)), &[LINUX]);
        long.app = "a".repeat(64).parse().unwrap();
        let older = published(&[(&format!("1.0.0-{}", "a".repeat(57)), LINUX)]);
        assert!(matches!(Plan::new(&long, Some(&older), &ChannelRules::default()), Err(PlanError::Name { .. })));
    }
}
