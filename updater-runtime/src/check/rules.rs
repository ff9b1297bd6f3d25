//! What the rules of the channels, the online key and this computer allow, one check after the other.

use super::{Installed, Offer, Rollout, Withheld};
use updater_format::release::BundleEntry;
use updater_format::role::Percent;
use updater_format::{ReleaseVersion, UtcTime};

/// How the channels judge the installed version.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Standing {
    /// The lowest version that is still good, if the installed one is below it.
    pub below_floor: Option<ReleaseVersion>,
    /// Whether the installed version was withdrawn.
    pub yanked: bool,
}

impl Standing {
    /// Tells whether nothing is held against the installed version.
    #[must_use]
    pub fn is_good(&self) -> bool {
        *self == Self::default()
    }
}

/// Tells whether a newer release may be taken.
pub(super) fn forward(
    installed: &Installed<'_>,
    offers: &[Offer<'_>],
    offer: &Offer<'_>,
    bundle: &BundleEntry,
) -> Result<(), Withheld> {
    let version = &bundle.version;
    if is_withdrawn(offers, version, installed.now) {
        return Err(Withheld::Yanked { version: version.clone() });
    }
    let step = next_step(installed, offer);
    if let Some(step) = step.filter(|step| *step < version) {
        return Err(Withheld::StepFirst { version: version.clone(), step: step.clone() });
    }
    // A stepping stone may be older than the floor: it is on the way there.
    if let Some(floor) = offer.rules.floor.as_ref().filter(|floor| version < *floor && step != Some(version)) {
        return Err(Withheld::BelowFloor { version: version.clone(), floor: floor.clone() });
    }
    fits(installed, offers, bundle)?;
    let share = share(offer, version);
    let is_among = match installed.rollout {
        Rollout::Every => true,
        Rollout::Id(id) => match installed.component {
            None => id.is_among(share, installed.app, version),
            Some(of) => id.component_bucket(installed.app, of.name, version) < share.get(),
        },
        Rollout::Last => share == Percent::ALL,
    };
    if is_among { Ok(()) } else { Err(Withheld::HeldBack { version: version.clone(), share }) }
}

/// Returns the release to which a retreat of the app's own channel leads back from the installed version. Rollout and
/// hold do not delay it: what is left behind does harm.
pub(super) fn back<'a>(installed: &Installed<'_>, offers: &'a [Offer<'a>]) -> Option<(&'a Offer<'a>, &'a BundleEntry)> {
    let own = offers.first()?;
    let leads_from_here = own
        .rules
        .retreat
        .iter()
        .filter(|retreat| retreat.from == *installed.version && installed.now < retreat.expires);
    let mut ways: Vec<&BundleEntry> = leads_from_here
        .filter_map(|retreat| own.contents.bundles.iter().find(|bundle| is_for(installed, bundle, &retreat.to)))
        .filter(|bundle| {
            own.rules.floor.as_ref().is_none_or(|floor| bundle.version >= *floor)
                && !is_withdrawn(offers, &bundle.version, installed.now)
                && fits(installed, offers, bundle).is_ok()
        })
        .collect();
    // Of several ways the shortest.
    ways.sort_by(|a, b| b.version.cmp(&a.version));
    Some((own, *ways.first()?))
}

/// Tells whether a release was withdrawn, in whichever of the channels: it is the same release in all of them. What an
/// installed copy is led back from is not offered to others either.
pub(super) fn is_withdrawn(offers: &[Offer<'_>], version: &ReleaseVersion, now: UtcTime) -> bool {
    offers.iter().any(|offer| {
        offer.rules.yank.contains(version)
            || offer.steering.is_some_and(|steering| steering.yank.contains(version))
            || offer.rules.retreat.iter().any(|retreat| retreat.from == *version && now < retreat.expires)
    })
}

/// Returns the share of installs that may have a release: the lower one of what its channel and the online key say.
pub(super) fn share(offer: &Offer<'_>, version: &ReleaseVersion) -> Percent {
    let rollout = offer.rules.rollout.get(version).copied().unwrap_or(Percent::ALL);
    let hold = offer.steering.and_then(|steering| steering.hold.get(version).copied()).unwrap_or(Percent::ALL);
    rollout.min(hold)
}

/// Returns the lowest required release above the installed version.
fn next_step<'a>(installed: &Installed<'_>, offer: &Offer<'a>) -> Option<&'a ReleaseVersion> {
    offer.rules.required.iter().find(|required| *required > installed.version)
}

fn is_for(installed: &Installed<'_>, bundle: &BundleEntry, version: &ReleaseVersion) -> bool {
    installed.suits(&bundle.platform) && bundle.version == *version
}

/// Checks what holds forwards and back: this computer, its kind of install, and what was installed here before.
fn fits(installed: &Installed<'_>, offers: &[Offer<'_>], bundle: &BundleEntry) -> Result<(), Withheld> {
    let version = bundle.version.clone();
    if bundle.install != installed.kind {
        return Err(Withheld::OtherKind { version, kind: bundle.install });
    }
    if installed.bad.contains(&bundle.manifest) {
        return Err(Withheld::FailedHere { version });
    }
    // A copy that was not installed by an update has recorded nothing, but its own release may be listed.
    let listed = offers.iter().flat_map(|offer| &offer.contents.bundles);
    let own = listed.filter(|bundle| is_for(installed, bundle, installed.version)).map(|bundle| bundle.epoch).max();
    let completed = installed.epoch.max(own.unwrap_or(0));
    if bundle.epoch < completed {
        return Err(Withheld::LowerEpoch { version, epoch: bundle.epoch, completed });
    }
    if let (Some(of), Some(needs)) = (installed.component, &bundle.minimum_app)
        && of.app_version < needs
    {
        return Err(Withheld::AppTooOld { version, needs: needs.clone() });
    }
    match (&bundle.libc, installed.libc) {
        (Some(needs), Some(has)) if is_below(has, needs) => {
            Err(Withheld::LibcTooOld { version, needs: needs.clone(), has: has.to_owned() })
        }
        _ => Ok(()),
    }
}

/// Compares dotted numbers: `2.9` is below `2.31`. What is not a number counts as 0.
pub(super) fn is_below(has: &str, needs: &str) -> bool {
    let numbers = |text: &str| text.split('.').map(|part| part.parse::<u64>().unwrap_or(0)).collect::<Vec<_>>();
    numbers(has) < numbers(needs)
}
