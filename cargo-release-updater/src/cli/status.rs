//! `cargo updater status`: what is published, what expires when, which keys are here.

use super::{KeyArgs, PackageArgs, StorageArgs};
use crate::config::Project;
use crate::context::Context;
use crate::error::{CommandError, CommandResult, ExitCode};
use crate::expiry::RoleExpiry;
use crate::keys::Keychain;
use crate::progress::human_bytes;
use crate::repository::RepositoryState;
use crate::repository::state::Expiry;
use crate::shell::Message;
use std::collections::BTreeMap;
use updater_format::release::{BundleEntry, ChannelContents};
use updater_format::role::RoleName;
use updater_format::{Platform, ReleaseVersion, UtcTime};

/// Tell what is published, what expires when, and which roles can be signed here.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  cargo updater status\n  cargo updater status --message-format json")]
pub(super) struct Args {
    #[command(flatten)]
    package: PackageArgs,
    #[command(flatten)]
    storage: StorageArgs,
    #[command(flatten)]
    keys: KeyArgs,
}

impl Args {
    pub(super) fn run(&self, context: &Context) -> CommandResult {
        let project = Project::find(context, &self.package)?;
        let app = project.table()?.app.clone();
        let root_file = project.root_file()?;
        let root = std::fs::read(&root_file).map_err(|source| {
            CommandError::new(ExitCode::Config, source)
                .hint(format!("{} is made by `cargo updater init`", root_file.display()))
        })?;
        let storage = self.storage.open(context, &project)?;
        let Some(state) = RepositoryState::read(&storage, &app, &root, Expiry::Ignored)? else {
            context.shell.result(format_args!("{app}: nothing is published in {}", storage.name()));
            context.shell.note("publish the first release with `cargo updater publish`");
            return Ok(());
        };
        context.shell.result(format_args!("{app} in {}", storage.name()));
        for (channel, role) in state.channels() {
            for (component, contents) in role.contents().subjects() {
                let of = component.map(|component| format!(", component {component}")).unwrap_or_default();
                context.shell.result(format_args!("\n{channel}{of}"));
                for release in releases(contents) {
                    release.tell(context, channel.as_str());
                }
            }
        }
        context.shell.result("\nexpires");
        for (role, expires) in state.expiries() {
            tell_expiry(context, &role, expires);
        }
        context.shell.result("\nkeys on this machine");
        tell_keys(context, &state, &self.keys.keychain(context, &app)?);
        Ok(())
    }
}

/// One version for one platform.
#[derive(Debug, PartialEq, Eq, serde::Serialize)]
struct Release {
    channel: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    component: Option<String>,
    version: ReleaseVersion,
    triple: Platform,
    bundle_bytes: u64,
    /// The bytes of the patch from each earlier version.
    patches: BTreeMap<String, u64>,
}

impl Message for Release {
    const REASON: &'static str = "published-release";
}

impl Release {
    fn tell(mut self, context: &Context, channel: &str) {
        let patches: Vec<String> = self
            .patches
            .iter()
            .map(|(from, bytes)| {
                format!("{} from {from} (-{}%)", human_bytes(*bytes), saving(*bytes, self.bundle_bytes))
            })
            .collect();
        let patches = if patches.is_empty() { "no patches".to_owned() } else { patches.join(", ") };
        context.shell.result(format_args!(
            "  {:12} {:32} {:>10}  {patches}",
            self.version.to_string(),
            self.triple.as_str(),
            human_bytes(self.bundle_bytes),
        ));
        channel.clone_into(&mut self.channel);
        context.shell.message(&self);
    }
}

/// Returns how many percent of the bundle a patch saves, rounded down: no patch saves all of it.
fn saving(patch: u64, bundle: u64) -> u64 {
    bundle.saturating_sub(patch).saturating_mul(100) / bundle.max(1)
}

/// Collects the releases of a channel, the newest first.
fn releases(contents: &ChannelContents) -> Vec<Release> {
    let release = |bundle: &BundleEntry| Release {
        channel: String::new(),
        component: bundle.component.as_ref().map(ToString::to_string),
        version: bundle.version.clone(),
        triple: bundle.platform.clone(),
        bundle_bytes: bundle.artifact.length,
        patches: contents
            .patches
            .iter()
            .filter(|patch| patch.version == bundle.version && patch.platform == bundle.platform)
            .map(|patch| (patch.from.to_string(), patch.artifact.length))
            .collect(),
    };
    let mut releases: Vec<Release> = contents.bundles.iter().map(release).collect();
    releases.sort_by(|a, b| b.version.cmp(&a.version).then_with(|| a.triple.cmp(&b.triple)));
    releases
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
struct Signing {
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
    for (role, keyring) in fixed.chain(delegated.map(|role| (role.name.clone(), &role.keyring))) {
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

    #[test]
    fn savings_in_percent() {
        for (patch, bundle, percent) in
            [(0, 100, 100), (25, 100, 75), (100, 100, 0), (200, 100, 0), (1, 0, 0), (4, 1000, 99)]
        {
            assert_eq!(saving(patch, bundle), percent, "{patch} of {bundle}");
        }
    }
}
