//! Which release an install should take, out of what its channels offer. Pure: no files, no network, no clock.
//!
//! Newer releases come first, the highest that this install may have; a way back is taken only where there is none
//! (docs/format/release.md has the rules in order).

mod rules;
mod withheld;

pub use rules::Standing;
pub use withheld::Withheld;

use updater_format::release::{BundleEntry, ChannelContents, NotesEntry, PatchEntry};
use updater_format::role::{ChannelRules, Percent, Steering};
use updater_format::{
    AppId, Channel, ComponentName, InstallId, InstallKind, Platform, ReleaseVersion, Sha256, UtcTime,
};

/// What is installed, as far as the choice needs it.
#[derive(Debug, Clone, Copy)]
pub struct Installed<'a> {
    /// The app.
    pub app: &'a AppId,
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
    /// The highest security counter that completed a trial here.
    pub epoch: u64,
    /// Which part it takes in rollouts.
    pub rollout: Rollout,
    /// When this is decided: a retreat has an end.
    pub now: UtcTime,
    /// The component that this is about, with the app that uses it; `None` for the app itself. What a channel offers of a
    /// component is in [`ChannelContents::of`], its rules in `Targets::rules_of`.
    pub component: Option<ComponentOf<'a>>,
}

/// A component of an app that is installed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ComponentOf<'a> {
    /// Its name.
    pub name: &'a ComponentName,
    /// The version of the app: a release of a component may need a newer one.
    pub app_version: &'a ReleaseVersion,
}

impl Installed<'_> {
    /// Tells whether a release for this platform is for this install. Only the files of a component are for all.
    fn suits(&self, platform: &Platform) -> bool {
        platform == self.platform || (self.component.is_some() && platform.is_any())
    }
}

/// Which part an install takes in rollouts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rollout {
    /// The one of its id.
    Id(InstallId),
    /// That of the last one: no id can be kept here, or [none is needed](needs_install_id).
    Last,
    /// Every one: a publisher rehearses what others will get later.
    Every,
}

/// One channel's offers. The first one is the app's own channel, the others those it may fall back to.
#[derive(Debug, Clone, Copy)]
pub struct Offer<'a> {
    /// The channel.
    pub channel: &'a Channel,
    /// What its verified role lists.
    pub contents: &'a ChannelContents,
    /// What the channel's keys say about it.
    pub rules: &'a ChannelRules,
    /// What the online key withholds of it.
    pub steering: Option<&'a Steering>,
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
    /// There is a release for this install: a newer one, or the older one of a retreat.
    Available(Box<Candidate>),
    /// There is a newer release, but not for this install.
    Withheld(Withheld),
}

/// Chooses the highest version above the installed one that this install may have; where there is none, the older one to
/// which a retreat leads.
///
/// When every newer release is withheld, the reason is that of the highest one.
#[must_use]
pub fn choose(installed: &Installed<'_>, offers: &[Offer<'_>]) -> Decision {
    let ours = |bundle: &&BundleEntry| installed.suits(&bundle.platform);
    if !offers.is_empty() && !offers.iter().any(|offer| offer.contents.bundles.iter().any(|b| ours(&b))) {
        let is_empty = offers.iter().all(|offer| offer.contents.bundles.is_empty());
        return Decision::Withheld(match installed.component {
            Some(of) if is_empty => Withheld::NoSuchComponent { component: of.name.clone() },
            _ => Withheld::NoSuchPlatform { platform: installed.platform.clone() },
        });
    }
    let mut newer: Vec<(&Offer<'_>, &BundleEntry)> = offers
        .iter()
        .flat_map(|offer| offer.contents.bundles.iter().filter(ours).map(move |bundle| (offer, bundle)))
        .filter(|(_, bundle)| bundle.version > *installed.version)
        .collect();
    // Stable: of the same version in two channels the app's own channel comes first; what is made for this platform comes
    // before what is for all.
    newer.sort_by(|a, b| b.1.version.cmp(&a.1.version).then_with(|| a.1.platform.is_any().cmp(&b.1.platform.is_any())));
    let mut reason = None;
    for (offer, bundle) in newer {
        match rules::forward(installed, offers, offer, bundle) {
            Ok(()) => return Decision::Available(Box::new(candidate(installed, offer, bundle))),
            // What comes after a stepping stone waits for it, for the reason of the stone.
            Err(why) if matches!(reason, None | Some(Withheld::StepFirst { .. })) => reason = Some(why),
            Err(_) => {}
        }
    }
    match rules::back(installed, offers) {
        Some((offer, bundle)) => Decision::Available(Box::new(candidate(installed, offer, bundle))),
        None => reason.map_or(Decision::Current, Decision::Withheld),
    }
}

/// Tells how the channels judge the installed version, whether or not there is another one to take.
#[must_use]
pub fn standing(installed: &Installed<'_>, offers: &[Offer<'_>]) -> Standing {
    let floor = offers.first().and_then(|own| own.rules.floor.as_ref());
    Standing {
        below_floor: floor.filter(|floor| *installed.version < **floor).cloned(),
        yanked: rules::is_withdrawn(offers, installed.version, installed.now),
    }
}

/// Tells whether the choice depends on an install id: something newer is for a share of the installs.
#[must_use]
pub fn needs_install_id(version: &ReleaseVersion, offers: &[Offer<'_>]) -> bool {
    let is_partial = |share: Percent| share != Percent::ALL && share != Percent::NONE;
    offers.iter().any(|offer| {
        let newer = offer.contents.bundles.iter().filter(|bundle| bundle.version > *version);
        newer.into_iter().any(|bundle| is_partial(rules::share(offer, &bundle.version)))
    })
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

#[cfg(test)]
mod tests;
