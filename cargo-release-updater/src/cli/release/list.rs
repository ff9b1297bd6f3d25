//! `release list`: what each channel offers to whom.

use crate::cli::desk::{ChannelArgs, Desk};
use crate::cli::{PackageArgs, StorageArgs};
use crate::context::Context;
use crate::error::CommandResult;
use crate::shell::Message;
use std::collections::BTreeSet;
use updater_format::release::ChannelContents;
use updater_format::role::{ChannelRules, Percent, Steering};
use updater_format::{Channel, ComponentName, ReleaseVersion, UtcTime};

/// List the releases of every channel, with what holds for each.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  cargo updater release list\n  cargo updater release list --message-format json")]
pub(super) struct Args {
    #[command(flatten)]
    package: PackageArgs,
    #[command(flatten)]
    storage: StorageArgs,
}

impl Args {
    pub(super) fn run(&self, context: &Context) -> CommandResult {
        let desk = Desk::open(context, &self.package, &self.storage, &ChannelArgs::default())?;
        let state = super::published(&desk)?;
        for (channel, role) in state.channels() {
            let contents = role.contents();
            // One whose releases are all gone may have rules still.
            let ruled = role.role().extension.iter().flat_map(|extension| extension.components.keys());
            let components: BTreeSet<_> = contents.components.keys().chain(ruled).collect();
            for component in std::iter::once(None).chain(components.into_iter().map(Some)) {
                let rules = role.role().rules_of(component).cloned().unwrap_or_default();
                let steering = state.timestamp().steering_of(channel, component).cloned().unwrap_or_default();
                let nothing = ChannelContents::default();
                let contents = contents.of(component).unwrap_or(&nothing);
                let found = releases(channel, contents, &rules, &steering, context.clock.now());
                tell(context, (channel, component), rules.floor.as_ref(), found);
            }
        }
        Ok(())
    }
}

fn tell(
    context: &Context,
    (channel, component): (&Channel, Option<&ComponentName>),
    floor: Option<&ReleaseVersion>,
    found: Vec<Listed>,
) {
    let floor = floor.map(|floor| format!(", floor {floor}")).unwrap_or_default();
    let component = component.map(ToString::to_string);
    let of = component.as_ref().map(|component| format!(", component {component}")).unwrap_or_default();
    context.shell.result(format_args!("{channel}{of}{floor}"));
    for mut release in found {
        let notes = release.notes.join(", ");
        let line = format!(
            "  {:12} {:>5}  epoch {}  {notes}",
            release.version,
            format!("{}%", release.percent),
            release.epoch
        );
        context.shell.result(line.trim_end());
        release.component.clone_from(&component);
        context.shell.message(&release);
    }
}

/// One release of a channel.
#[derive(Debug, PartialEq, Eq, serde::Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(in crate::cli) struct Listed {
    channel: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    component: Option<String>,
    version: String,
    /// The share of installs that may take it: the lower one of rollout and hold, 0 when it is yanked.
    percent: u8,
    epoch: u64,
    triples: Vec<String>,
    /// What holds besides, in words.
    notes: Vec<String>,
}

impl Message for Listed {
    const REASON: &'static str = "listed-release";
}

/// Collects the releases of a channel, the newest first, and those that a rule names and nobody lists.
fn releases(
    channel: &Channel,
    contents: &ChannelContents,
    rules: &ChannelRules,
    steering: &Steering,
    now: UtcTime,
) -> Vec<Listed> {
    let mut versions: BTreeSet<&ReleaseVersion> = contents.bundles.iter().map(|bundle| &bundle.version).collect();
    versions.extend(rules.rollout.keys().chain(steering.hold.keys()));
    versions.extend(rules.yank.iter().chain(&steering.yank));
    let listed = |version: &ReleaseVersion| {
        let bundles: Vec<_> = contents.bundles.iter().filter(|bundle| bundle.version == *version).collect();
        let mut notes = Vec::new();
        let mut note = |holds: bool, text: String| {
            if holds {
                notes.push(text);
            }
        };
        let rollout = rules.rollout.get(version).copied().unwrap_or(Percent::ALL);
        let hold = steering.hold.get(version).copied().unwrap_or(Percent::ALL);
        let yanked = rules.yank.contains(version) || steering.yank.contains(version);
        note(bundles.is_empty(), "not listed".to_owned());
        note(rollout != Percent::ALL, format!("rollout {rollout}"));
        note(hold != Percent::ALL, format!("held at {hold}"));
        note(rules.yank.contains(version), "yanked".to_owned());
        note(steering.yank.contains(version), "yanked by the online key".to_owned());
        note(rules.required.contains(version), "required".to_owned());
        note(rules.floor.as_ref().is_some_and(|floor| version < floor), "below the floor".to_owned());
        for retreat in rules.retreat.iter().filter(|retreat| retreat.from == *version) {
            let over = if retreat.expires <= now { " (over)" } else { "" };
            note(true, format!("retreat to {} until {}{over}", retreat.to, retreat.expires));
        }
        Listed {
            channel: channel.to_string(),
            component: None,
            version: version.to_string(),
            percent: if yanked || bundles.is_empty() { 0 } else { rollout.min(hold).get() },
            epoch: bundles.iter().map(|bundle| bundle.epoch).max().unwrap_or(0),
            triples: bundles.iter().map(|bundle| bundle.platform.to_string()).collect(),
            notes,
        }
    };
    versions.into_iter().rev().map(listed).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::steps::testing::listing;

    #[test]
    fn each_release_says_what_holds_for_it() {
        let contents = listing(&[("1.0.0", 0), ("1.1.0", 1), ("1.2.0", 1)]);
        let v = |text: &str| text.parse::<ReleaseVersion>().unwrap();
        let rules = ChannelRules {
            floor: Some(v("1.1.0")),
            required: [v("1.0.0")].into(),
            rollout: [(v("1.2.0"), Percent::new(40).unwrap()), (v("1.3.0"), Percent::NONE)].into(),
            yank: [v("1.1.0")].into(),
            ..ChannelRules::default()
        };
        let steering = Steering { hold: [(v("1.2.0"), Percent::new(10).unwrap())].into(), ..Steering::default() };
        let found = releases(&Channel::stable(), &contents, &rules, &steering, UtcTime::from_unix(0));
        let lines: Vec<_> = found.iter().map(|r| (r.version.as_str(), r.percent, r.notes.join(", "))).collect();
        let expected = [
            ("1.3.0", 0, "not listed, rollout 0 %"),
            ("1.2.0", 10, "rollout 40 %, held at 10 %"),
            ("1.1.0", 0, "yanked"),
            ("1.0.0", 100, "required, below the floor"),
        ];
        assert_eq!(lines, expected.map(|(version, percent, notes)| (version, percent, notes.to_owned())));
    }
}
