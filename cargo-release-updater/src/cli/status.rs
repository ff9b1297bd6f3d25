//! `cargo updater status`: what is published, what waits for which key, what expires when, which keys are here.

use super::packages::PackagesArgs;
use super::{KeyArgs, PackageArgs, StorageArgs};
use crate::config::Project;
use crate::context::Context;
use crate::error::CommandResult;
use crate::expiry::RoleExpiry;
use crate::keys::Keychain;
use crate::progress::{counted, human_bytes};
use crate::repository::state::Expiry;
use crate::repository::{Base, RepositoryState, Submission};
use crate::shell::Message;
use crate::storage::Storage;
use std::collections::{BTreeMap, BTreeSet};
use updater_format::release::{BundleEntry, ChannelContents};
use updater_format::role::{ChannelRules, Percent, RoleName, Steering, Targets};
use updater_format::trust::TrustedChannel;
use updater_format::{AppId, Channel, ComponentName, Keyring, Platform, ReleaseVersion, UtcTime};

/// Tell what is published, what waits, what expires, who can sign.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  cargo updater status\n  cargo updater status --workspace\n  cargo updater status --message-format json"
)]
pub(super) struct Args {
    #[command(flatten)]
    packages: PackagesArgs,
    #[command(flatten)]
    storage: StorageArgs,
    #[command(flatten)]
    keys: KeyArgs,
}

impl Args {
    pub(super) fn run(&self, context: &Context) -> CommandResult {
        let mut first = true;
        for package in self.packages.each(context)? {
            if !std::mem::take(&mut first) {
                context.shell.result("");
            }
            self.tell(context, &package)?;
        }
        Ok(())
    }

    fn tell(&self, context: &Context, package: &PackageArgs) -> CommandResult {
        let project = Project::find(context, package)?;
        let app = project.table()?.app.clone();
        let root = super::verify::trusted_root(context, None, Some(&project))?;
        let storage = self.storage.open(context, &project)?;
        let state = RepositoryState::read(&storage, &app, &root, Expiry::Ignored)?;
        context.shell.message(&Status { app: app.as_str(), storage: storage.name(), published: state.is_some() });
        let Some(state) = state else {
            context.shell.result(format_args!("{app}: nothing is published in {}", storage.name()));
            let channels = project.table()?.channels.iter().map(|channel| channel.name.to_string());
            let waiting = waiting(&app, &storage, None, channels)?;
            if waiting.is_empty() {
                context.shell.note("publish the first release with `cargo updater publish`");
            }
            tell_waiting(context, &waiting);
            return Ok(());
        };
        context.shell.result(format_args!("{app} in {}", storage.name()));
        let mut total = Saved::default();
        for (channel, role) in state.channels() {
            for (component, contents) in role.contents().subjects() {
                let of = component.map(|component| format!(", component {component}")).unwrap_or_default();
                context.shell.result(format_args!("\n{channel}{of}"));
                let rules = role.role().rules_of(component).cloned().unwrap_or_default();
                let steering = state.timestamp().steering_of(channel, component).cloned().unwrap_or_default();
                let releases = releases(channel, contents, &rules, &steering);
                let longest = releases.iter().map(|release| release.version.to_string().len()).max();
                for release in &releases {
                    total.add(release);
                    release.tell(context, longest.unwrap_or_default().max(SHORT_VERSION));
                }
            }
        }
        total.tell(context);
        let channels = state.targets().delegations.iter().flat_map(|delegations| &delegations.roles);
        let channels = channels.map(|role| role.name.clone());
        tell_waiting(context, &waiting(&app, &storage, Some(&state), channels)?);
        context.shell.result("\nexpires");
        for (role, expires) in state.expiries() {
            tell_expiry(context, &role, expires);
        }
        context.shell.result("\nkeys on this machine");
        tell_keys(context, &state, &self.keys.keychain(context, &app)?);
        Ok(())
    }
}

/// The app that the following lines are about.
#[derive(serde::Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct Status<'a> {
    app: &'a str,
    storage: &'a str,
    published: bool,
}

impl Message for Status<'_> {
    const REASON: &'static str = "status";
}

/// One version for one platform.
#[derive(Debug, PartialEq, Eq, serde::Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct Release {
    channel: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    component: Option<String>,
    #[cfg_attr(test, schemars(with = "String"))]
    pub(super) version: ReleaseVersion,
    #[cfg_attr(test, schemars(with = "String"))]
    triple: Platform,
    bundle_bytes: u64,
    /// The bytes of the patch from each earlier version.
    #[cfg_attr(test, schemars(with = "BTreeMap<String, u64>"))]
    patches: BTreeMap<ReleaseVersion, u64>,
    /// The share of installs that may take it, in percent: the lower one of rollout and hold, 0 when it is yanked.
    pub(super) percent: u8,
    pub(super) yanked: bool,
    required: bool,
}

impl Message for Release {
    const REASON: &'static str = "published-release";
}

impl Release {
    /// `width` is that of the longest version beside it.
    fn tell(&self, context: &Context, width: usize) {
        context.shell.result(self.line(width));
        context.shell.message(self);
    }

    fn line(&self, width: usize) -> String {
        let patches: Vec<String> = self
            .patches
            .iter()
            .map(|(from, bytes)| {
                format!("{} from {from} (-{}%)", human_bytes(*bytes), saving(*bytes, self.bundle_bytes))
            })
            .collect();
        let patches = if patches.is_empty() { "no patches".to_owned() } else { patches.join(", ") };
        let words = [
            (self.yanked, "yanked".to_owned()),
            (!self.yanked && self.percent < 100, format!("for {}% of the installs", self.percent)),
            (self.required, "required".to_owned()),
        ];
        let words: Vec<String> = words.into_iter().filter(|(holds, _)| *holds).map(|(_, word)| word).collect();
        let words = if words.is_empty() { String::new() } else { format!("{}; ", words.join(", ")) };
        let (version, bytes) = (self.version.to_string(), human_bytes(self.bundle_bytes));
        format!("  {version:width$} {:28} {bytes:>9}  {words}{patches}", self.triple.as_str())
    }
}

/// The columns of a version that is not longer than most.
const SHORT_VERSION: usize = 9;

/// Returns how many percent of the bundle a patch saves, rounded down: no patch saves all of it.
fn saving(patch: u64, bundle: u64) -> u64 {
    bundle.saturating_sub(patch).saturating_mul(100) / bundle.max(1)
}

/// What all patches together come to.
#[derive(Debug, Default, PartialEq, Eq, serde::Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct Saved {
    /// Bundles, one per release and triple.
    bundles: usize,
    bundle_bytes: u64,
    patches: usize,
    patch_bytes: u64,
    /// What the users of these patches would download without them.
    instead_of: u64,
}

impl Message for Saved {
    const REASON: &'static str = "sizes";
}

impl Saved {
    fn add(&mut self, release: &Release) {
        self.bundles += 1;
        self.bundle_bytes = self.bundle_bytes.saturating_add(release.bundle_bytes);
        self.patches += release.patches.len();
        self.patch_bytes = self.patch_bytes.saturating_add(release.patches.values().sum());
        self.instead_of =
            self.instead_of.saturating_add(release.bundle_bytes.saturating_mul(release.patches.len() as u64));
    }

    fn tell(&self, context: &Context) {
        let patches = match self.patches {
            0 => "no patches".to_owned(),
            patches => format!(
                "{patches} {} of {} instead of {} (-{}%)",
                if patches == 1 { "patch" } else { "patches" },
                human_bytes(self.patch_bytes),
                human_bytes(self.instead_of),
                saving(self.patch_bytes, self.instead_of)
            ),
        };
        context.shell.result(format_args!(
            "\n{} of {}, {patches}",
            counted(self.bundles, "bundle"),
            human_bytes(self.bundle_bytes)
        ));
        context.shell.message(self);
    }
}

/// Collects the releases of a channel, the newest first.
pub(super) fn releases(
    channel: &Channel,
    contents: &ChannelContents,
    rules: &ChannelRules,
    steering: &Steering,
) -> Vec<Release> {
    let percent = |version: &ReleaseVersion| {
        let share = |of: &BTreeMap<ReleaseVersion, Percent>| of.get(version).copied().unwrap_or(Percent::ALL);
        share(&rules.rollout).min(share(&steering.hold)).get()
    };
    let release = |bundle: &BundleEntry| {
        let version = &bundle.version;
        let yanked = rules.yank.contains(version) || steering.yank.contains(version);
        let patches = contents.patches.iter().filter(|p| p.version == *version && p.platform == bundle.platform);
        Release {
            channel: channel.to_string(),
            component: bundle.component.as_ref().map(ToString::to_string),
            version: version.clone(),
            triple: bundle.platform.clone(),
            bundle_bytes: bundle.artifact.length,
            patches: patches.map(|patch| (patch.from.clone(), patch.artifact.length)).collect(),
            percent: if yanked { 0 } else { percent(version) },
            yanked,
            required: rules.required.contains(version),
        }
    };
    let mut releases: Vec<Release> = contents.bundles.iter().map(release).collect();
    releases.sort_by(|a, b| b.version.cmp(&a.version).then_with(|| a.triple.cmp(&b.triple)));
    releases
}

/// A signed role that clients do not see yet.
#[derive(Debug, PartialEq, Eq, serde::Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct Waiting {
    role: String,
    version: u64,
    /// `online-key`, or `nobody`: it was made from a role that is not the published one any more.
    waits_for: &'static str,
    /// What it lists and the published one does not: `1.2.0`, or `model 3.0.0` of a component.
    adds: Vec<String>,
}

impl Message for Waiting {
    const REASON: &'static str = "waiting";
}

/// Finds what waits in the storage. Nobody has checked its signatures.
fn waiting(
    app: &AppId,
    storage: &Storage,
    state: Option<&RepositoryState>,
    channels: impl Iterator<Item = String>,
) -> CommandResult<Vec<Waiting>> {
    let mut waiting = Vec::new();
    for role in channels.chain(["targets".to_owned()]) {
        let role = role.as_str();
        let Some(submission) = Submission::read(storage, role)? else { continue };
        let version = submission.parse(storage, role)?.unverified().version;
        let published = match role {
            "targets" => state.map(RepositoryState::targets),
            role => {
                let channel = Channel::parse(role).ok().and_then(|name| state?.channels().get(&name));
                channel.map(TrustedChannel::role)
            }
        };
        if version <= published.map_or(0, |published| published.version) {
            continue;
        }
        let fits = role == "targets" || submission.base == published.map(Base::of);
        let waits_for = if fits { "online-key" } else { "nobody" };
        let listed = published.map(|published| versions(app, published)).unwrap_or_default();
        let adds = versions(app, submission.parse(storage, role)?.unverified());
        let adds = adds.difference(&listed).cloned().collect();
        waiting.push(Waiting { role: role.to_owned(), version, waits_for, adds });
    }
    Ok(waiting)
}

/// Returns the releases that a role lists, those of components after their name.
fn versions(app: &AppId, role: &Targets) -> BTreeSet<String> {
    let Ok(contents) = ChannelContents::read(app, role) else { return BTreeSet::new() };
    let of = |(component, contents): (Option<&ComponentName>, &ChannelContents)| -> Vec<String> {
        let name = component.map(|name| format!("{name} ")).unwrap_or_default();
        contents.bundles.iter().map(|bundle| format!("{name}{}", bundle.version)).collect()
    };
    contents.subjects().flat_map(of).collect()
}

fn tell_waiting(context: &Context, waiting: &[Waiting]) {
    if waiting.is_empty() {
        return;
    }
    context.shell.result("\nwaits");
    for Waiting { role, version, waits_for, adds } in waiting {
        let what = match *waits_for {
            "online-key" => "for the online key: `cargo updater refresh`".to_owned(),
            _ => format!("for nobody, the channel has changed since: `cargo updater refresh --discard {role}`"),
        };
        let adds = if adds.is_empty() { String::new() } else { format!(" with {}", adds.join(", ")) };
        context.shell.result(format_args!("  {role:12} version {version}{adds} waits {what}"));
    }
    waiting.iter().for_each(|waiting| context.shell.message(waiting));
}

fn tell_expiry(context: &Context, role: &str, expires: UtcTime) {
    let expiry = RoleExpiry::of(role, expires, context.clock.now());
    let left = match expiry.days_left {
        ..0 => "expired: clients take nothing new".to_owned(),
        0 => "today".to_owned(),
        days => format!("in {days} days"),
    };
    context.shell.result(format_args!("  {role:12} {expires}  {left}"));
    context.shell.message(&expiry);
    if expiry.is_near() {
        context.shell.warn(expiry.warning());
    }
}

/// Whether a role can be signed on this machine.
#[derive(serde::Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct Signing {
    role: String,
    can_sign: bool,
    /// How many of its keys are here.
    here: u32,
    threshold: u32,
}

impl Message for Signing {
    const REASON: &'static str = "signing";
}

fn tell_keys(context: &Context, state: &RepositoryState, keychain: &Keychain) {
    let fixed = [RoleName::Root, RoleName::Targets, RoleName::Snapshot, RoleName::Timestamp];
    let fixed = fixed.into_iter().map(|role| (role.to_string(), state.root().keyring(role)));
    let delegated = state.targets().delegations.iter().flat_map(|delegations| &delegations.roles);
    let all: Vec<(String, &Keyring)> = fixed.chain(delegated.map(|role| (role.name.clone(), &role.keyring))).collect();
    for (role, keyring) in all {
        let can_sign = keychain.can_sign(keyring);
        let threshold = keyring.threshold();
        let here = keychain.count(keyring);
        let words = match (can_sign, here) {
            (true, _) => "can sign",
            (false, 0) => "not here",
            (false, _) => "in part",
        };
        let of = format!("{threshold} of {} must sign", keyring.keys().len());
        context.shell.result(format_args!("  {role:12} {words:9} {of}"));
        context.shell.message(&Signing { role, can_sign, here, threshold });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::steps::testing::listing;

    #[test]
    fn savings_in_percent() {
        for (patch, bundle, percent) in
            [(0, 100, 100), (25, 100, 75), (100, 100, 0), (200, 100, 0), (1, 0, 0), (4, 1000, 99)]
        {
            assert_eq!(saving(patch, bundle), percent, "{patch} of {bundle}");
        }
    }

    #[test]
    fn patches_stand_in_the_order_of_versions_and_columns_below_each_other() {
        let v = |text: &str| text.parse::<ReleaseVersion>().unwrap();
        let release = |version: &str, from: &[&str]| Release {
            channel: "beta".to_owned(),
            component: None,
            version: v(version),
            triple: Platform::parse("x86_64-unknown-linux-gnu").unwrap(),
            bundle_bytes: 4096,
            patches: from.iter().map(|from| (v(from), 1024)).collect(),
            percent: 100,
            yanked: false,
            required: false,
        };
        let line = release("1.11.0", &["1.10.0", "1.8.0", "1.9.0"]).line(12);
        assert!(line.ends_with("from 1.8.0 (-75%), 1.0 KiB from 1.9.0 (-75%), 1.0 KiB from 1.10.0 (-75%)"), "{line}");
        assert_eq!(line.find("x86_64"), release("1.5.0-beta.1", &[]).line(12).find("x86_64"));
    }

    #[test]
    fn each_release_knows_who_may_take_it() {
        let v = |text: &str| text.parse::<ReleaseVersion>().unwrap();
        let contents = listing(&[("1.0.0", 0), ("1.1.0", 0), ("1.2.0", 0)]);
        let rules = ChannelRules {
            required: [v("1.0.0")].into(),
            rollout: [(v("1.2.0"), Percent::new(40).unwrap())].into(),
            ..ChannelRules::default()
        };
        let steering = Steering { hold: [(v("1.2.0"), Percent::new(10).unwrap())].into(), yank: [v("1.1.0")].into() };
        let found = releases(&Channel::stable(), &contents, &rules, &steering);
        let found: Vec<_> = found.iter().map(|r| (r.version.to_string(), r.percent, r.yanked, r.required)).collect();
        let expected = [("1.2.0", 10, false, false), ("1.1.0", 0, true, false), ("1.0.0", 100, false, true)];
        assert_eq!(
            found,
            expected.map(|(version, percent, yanked, required)| (version.to_owned(), percent, yanked, required))
        );
    }
}
