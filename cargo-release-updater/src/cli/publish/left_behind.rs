//! Copies that a release would leave behind: refused, or left out of what is planned.

use crate::cli::desk::Desk;
use crate::context::Context;
use crate::error::CommandResult;
use crate::plan::{Plan, PlannedPlatform};
use crate::steps::bundle::Bundled;
use crate::steps::left_behind::{check_addresses, check_kind};
use crate::steps::release::Release;
use updater_format::release::BundleEntry;
use updater_format::{Platform, ReleaseVersion};

/// Refuses a release that leaves copies behind. One platform speaks for all about addresses: they have one table.
pub(super) fn refuse_left_behind(desk: &Desk<'_>, release: &Release, plan: &Plan, context: &Context) -> CommandResult {
    if desk.component.is_some() {
        return Ok(());
    }
    let table = desk.project.table()?;
    let mut is_asked = false;
    for (planned, new) in side_by_side(plan, release) {
        // Those before it were left behind then.
        if let Some(newest) = listed(desk, planned).max_by_key(|old| &old.version) {
            check_kind(newest, new)?;
        }
        let newest = planned.rehearsed_from.iter().max().cloned();
        if let Some(old) = desk.earlier(&planned.platform, newest.as_slice())?.first().filter(|_| !is_asked) {
            check_addresses(old, new, &table.urls, &desk.trust.root, &table.missing_status, context.clock.now())?;
            is_asked = true;
        }
    }
    Ok(())
}

/// Plans nothing for copies that cannot take the release.
pub(super) fn pass_over(desk: &Desk<'_>, release: &Release, plan: &mut Plan) {
    let mut others = Vec::new();
    for (planned, new) in side_by_side(plan, release) {
        let other = listed(desk, planned).filter(|old| check_kind(old, new).is_err());
        others.extend(other.map(|old| (old.platform.clone(), old.version.clone())));
    }
    for planned in &mut plan.platforms {
        let takes = |version: &ReleaseVersion| !others.contains(&(planned.platform.clone(), version.clone()));
        planned.patches_from.retain(takes);
        planned.rehearsed_from.retain(takes);
    }
}

fn side_by_side<'a>(plan: &'a Plan, release: &'a Release) -> impl Iterator<Item = (&'a PlannedPlatform, &'a Bundled)> {
    let made = |platform: &Platform| release.bundles.iter().find(|bundled| bundled.part.platform == *platform);
    plan.platforms.iter().filter_map(move |planned| Some((planned, made(&planned.platform)?)))
}

/// Returns the published bundles from which an update is planned.
fn listed<'a>(desk: &'a Desk<'_>, planned: &'a PlannedPlatform) -> impl Iterator<Item = &'a BundleEntry> {
    let bundles = desk.published().map_or(&[][..], |published| &published.bundles);
    let is_from = |bundle: &&BundleEntry| {
        let from = planned.rehearsed_from.iter().chain(&planned.patches_from);
        bundle.platform == planned.platform && from.into_iter().any(|version| *version == bundle.version)
    };
    bundles.iter().filter(is_from)
}
