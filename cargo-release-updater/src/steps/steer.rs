//! Changes of a channel's rules: what each means, and what no client would follow. Pure.

use crate::error::{ExitCode, Explain};
use updater_format::release::ChannelContents;
use updater_format::role::{ChannelRules, Percent, Retreat, Steering};
use updater_format::{ReleaseVersion, UtcTime};

/// A change of the rules that a channel's keys sign.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RuleChange {
    /// A release is for this share of the installs.
    Rollout(ReleaseVersion, Percent),
    /// A release is not offered any more.
    Yank(ReleaseVersion),
    /// A release that was yanked is offered again.
    Unyank(ReleaseVersion),
    /// Installs of one version go back to an older one.
    Retreat {
        /// The version that is left; it is yanked, too.
        from: ReleaseVersion,
        /// The version that is taken instead.
        to: ReleaseVersion,
        /// From when on nobody is moved any more.
        expires: UtcTime,
    },
    /// Nobody is moved back from a version any more.
    EndRetreat(ReleaseVersion),
    /// Older installs take this release before any later one.
    Require(ReleaseVersion),
    /// A release is no stepping stone any more.
    Unrequire(ReleaseVersion),
    /// Versions below are told to update; `None` lets all be.
    Floor(Option<ReleaseVersion>),
}

/// A change of what the online key withholds of a channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SteeringChange {
    /// A release is for at most this share of the installs; 100 % lifts the hold.
    Hold(ReleaseVersion, Percent),
    /// A release is not offered for now.
    Yank(ReleaseVersion),
    /// It is offered again, as far as the channel's own rules allow.
    Unyank(ReleaseVersion),
}

impl RuleChange {
    /// Changes the rules of a channel that lists these releases.
    /// # Errors
    /// [`SteerError`] for what no client would follow.
    pub fn apply(&self, rules: &mut ChannelRules, contents: &ChannelContents) -> Result<(), SteerError> {
        match self {
            Self::Rollout(version, share) => {
                require_listed_or_new(contents, version)?;
                match *share {
                    Percent::ALL => rules.rollout.remove(version),
                    share => rules.rollout.insert(version.clone(), share),
                };
            }
            Self::Yank(version) => {
                require_known(rules, contents, version)?;
                rules.yank.insert(version.clone());
            }
            Self::Unyank(version) => {
                if let Some(retreat) = rules.retreat.iter().find(|retreat| retreat.from == *version) {
                    return Err(SteerError::IsLeft { version: version.clone(), to: retreat.to.clone() });
                }
                if !rules.yank.remove(version) {
                    return Err(SteerError::NotSo { version: version.clone(), what: "yanked" });
                }
            }
            Self::Retreat { from, to, expires } => {
                check_retreat(rules, contents, from, to)?;
                rules.retreat.retain(|retreat| retreat.from != *from);
                let (from, to) = (from.clone(), to.clone());
                rules.yank.insert(from.clone());
                rules.retreat.push(Retreat { from, to, expires: *expires, extra: Default::default() });
            }
            Self::EndRetreat(from) => {
                let before = rules.retreat.len();
                rules.retreat.retain(|retreat| retreat.from != *from);
                if rules.retreat.len() == before {
                    return Err(SteerError::NotSo { version: from.clone(), what: "left by a retreat" });
                }
            }
            Self::Require(version) => {
                require_listed(contents, version)?;
                if rules.yank.contains(version) {
                    return Err(SteerError::IsYanked { version: version.clone() });
                }
                rules.required.insert(version.clone());
            }
            Self::Unrequire(version) => {
                if !rules.required.remove(version) {
                    return Err(SteerError::NotSo { version: version.clone(), what: "required" });
                }
            }
            Self::Floor(floor) => {
                if let Some(floor) = floor
                    && !contents.bundles.iter().any(|b| b.version >= *floor && !rules.yank.contains(&b.version))
                {
                    return Err(SteerError::FloorTooHigh { floor: floor.clone() });
                }
                rules.floor.clone_from(floor);
            }
        }
        Ok(())
    }

    /// Says the change in one line.
    #[must_use]
    pub fn describe(&self) -> String {
        match self {
            Self::Rollout(version, Percent::ALL) => format!("offer {version} to all installs"),
            Self::Rollout(version, share) => format!("offer {version} to {share} of the installs"),
            Self::Yank(version) => format!("yank {version}"),
            Self::Unyank(version) => format!("offer {version} again"),
            Self::Retreat { from, to, expires } => {
                format!("yank {from} and take its installs back to {to}, until {expires}")
            }
            Self::EndRetreat(from) => format!("take nobody back from {from} any more"),
            Self::Require(version) => format!("let older installs take {version} before any later release"),
            Self::Unrequire(version) => format!("let older installs pass {version} over"),
            Self::Floor(Some(floor)) => format!("tell installs below {floor} that they must update"),
            Self::Floor(None) => "tell no install that it must update".to_owned(),
        }
    }
}

impl SteeringChange {
    /// Changes what is withheld of a channel that lists these releases.
    /// # Errors
    /// [`SteerError::NotListed`]; [`SteerError::NotSo`] when there is nothing to take back.
    pub fn apply(&self, steering: &mut Steering, contents: &ChannelContents) -> Result<(), SteerError> {
        match self {
            Self::Hold(version, Percent::ALL) => {
                if steering.hold.remove(version).is_none() {
                    return Err(SteerError::NotSo { version: version.clone(), what: "held" });
                }
            }
            Self::Hold(version, share) => {
                require_listed_or_new(contents, version)?;
                steering.hold.insert(version.clone(), *share);
            }
            Self::Yank(version) => {
                require_listed(contents, version)?;
                steering.yank.insert(version.clone());
            }
            Self::Unyank(version) => {
                if !steering.yank.remove(version) {
                    return Err(SteerError::NotSo { version: version.clone(), what: "yanked by the online key" });
                }
            }
        }
        Ok(())
    }

    /// Says the change in one line.
    #[must_use]
    pub fn describe(&self) -> String {
        match self {
            Self::Hold(version, Percent::ALL) => format!("lift the hold of {version}"),
            Self::Hold(version, share) => format!("hold {version} at {share} of the installs"),
            Self::Yank(version) => format!("yank {version} by the online key"),
            Self::Unyank(version) => format!("offer {version} again, as the role allows"),
        }
    }
}

fn check_retreat(
    rules: &ChannelRules,
    contents: &ChannelContents,
    from: &ReleaseVersion,
    to: &ReleaseVersion,
) -> Result<(), SteerError> {
    if to >= from {
        return Err(SteerError::NotBack { from: from.clone(), to: to.clone() });
    }
    require_listed(contents, to)?;
    if rules.yank.contains(to) {
        return Err(SteerError::IsYanked { version: to.clone() });
    }
    if let Some(floor) = rules.floor.as_ref().filter(|floor| to < *floor) {
        return Err(SteerError::BelowFloor { version: to.clone(), floor: floor.clone() });
    }
    let of =
        |version: &ReleaseVersion| contents.bundles.iter().filter(|b| b.version == *version).map(|b| b.epoch).min();
    match (of(from), of(to)) {
        (Some(high), Some(low)) if low < high => {
            Err(SteerError::LowerEpoch { from: from.clone(), to: to.clone(), high, low })
        }
        _ => Ok(()),
    }
}

fn is_listed(contents: &ChannelContents, version: &ReleaseVersion) -> bool {
    contents.bundles.iter().any(|bundle| bundle.version == *version)
}

fn not_listed(contents: &ChannelContents, version: &ReleaseVersion) -> SteerError {
    let mut listed: Vec<&ReleaseVersion> = contents.bundles.iter().map(|bundle| &bundle.version).collect();
    listed.sort();
    listed.dedup();
    let listed = listed.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    SteerError::NotListed { version: version.clone(), listed }
}

fn require_listed(contents: &ChannelContents, version: &ReleaseVersion) -> Result<(), SteerError> {
    if is_listed(contents, version) { Ok(()) } else { Err(not_listed(contents, version)) }
}

/// A share may be set before its release is published, so that nobody gets it too early.
fn require_listed_or_new(contents: &ChannelContents, version: &ReleaseVersion) -> Result<(), SteerError> {
    let is_new = contents.bundles.iter().all(|bundle| bundle.version < *version);
    if is_new { Ok(()) } else { require_listed(contents, version) }
}

/// One that is no longer listed may be installed still: its users are told.
fn require_known(rules: &ChannelRules, contents: &ChannelContents, version: &ReleaseVersion) -> Result<(), SteerError> {
    let newest = contents.bundles.iter().map(|bundle| &bundle.version).max();
    let was_listed = newest.is_some_and(|newest| version < newest) || rules.yank.contains(version);
    if was_listed { Ok(()) } else { require_listed(contents, version) }
}

/// Why a channel's rules are not changed in this way.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SteerError {
    /// The channel does not list the release.
    #[error("the channel does not list {version}")]
    NotListed {
        /// The version.
        version: ReleaseVersion,
        /// What it lists.
        listed: String,
    },
    /// There is nothing to take back.
    #[error("{version} is not {what}")]
    NotSo {
        /// The version.
        version: ReleaseVersion,
        /// What it would have to be.
        what: &'static str,
    },
    /// Its installs are being taken back.
    #[error("installs of {version} are taken back to {to}")]
    IsLeft {
        /// The version.
        version: ReleaseVersion,
        /// Where they go.
        to: ReleaseVersion,
    },
    /// A yanked release cannot be the way for anybody.
    #[error("{version} is yanked")]
    IsYanked {
        /// The version.
        version: ReleaseVersion,
    },
    /// A retreat leads to an older version.
    #[error("{to} is not older than {from}")]
    NotBack {
        /// The version that is left.
        from: ReleaseVersion,
        /// The other one.
        to: ReleaseVersion,
    },
    /// Nobody goes back behind the floor.
    #[error("{version} is below the floor, {floor}")]
    BelowFloor {
        /// The version.
        version: ReleaseVersion,
        /// The floor.
        floor: ReleaseVersion,
    },
    /// Nobody goes back behind a raised security counter.
    #[error("{from} has the epoch {high}, {to} only {low}: no install would go back")]
    LowerEpoch {
        /// The version that is left.
        from: ReleaseVersion,
        /// The version that would be taken.
        to: ReleaseVersion,
        /// The counter of the first.
        high: u64,
        /// The counter of the second.
        low: u64,
    },
    /// Nobody could ever reach the floor.
    #[error("the channel offers nothing from {floor} on")]
    FloorTooHigh {
        /// The floor.
        floor: ReleaseVersion,
    },
}

impl Explain for SteerError {
    fn code(&self) -> ExitCode {
        ExitCode::Usage
    }

    fn hints(&self) -> Vec<String> {
        vec![match self {
            Self::NotListed { listed, .. } if listed.is_empty() => "publish a release first".to_owned(),
            Self::NotListed { version, listed } => {
                crate::suggest::hint(&version.to_string(), &listed.split(", ").collect::<Vec<_>>())
            }
            Self::NotSo { .. } => "see `cargo updater release list`".to_owned(),
            Self::IsLeft { version, .. } => format!("end that first: `cargo updater release retreat {version} --undo`"),
            Self::IsYanked { .. } => {
                "name another release, or take the yank back with `release yank --undo`".to_owned()
            }
            Self::NotBack { .. } => "publish a newer release instead: that is how installs go forward".to_owned(),
            Self::BelowFloor { .. } => "name a release from the floor on, or lower the floor first".to_owned(),
            Self::LowerEpoch { .. } => "a raised epoch is for good: publish a repaired, newer release".to_owned(),
            Self::FloorTooHigh { .. } => "publish that release first".to_owned(),
        }]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::steps::testing::listing;

    fn v(text: &str) -> ReleaseVersion {
        text.parse().unwrap()
    }

    fn percent(percent: u64) -> Percent {
        Percent::new(percent).unwrap()
    }

    fn retreat(from: &str, to: &str) -> RuleChange {
        RuleChange::Retreat { from: v(from), to: v(to), expires: UtcTime::from_unix(1_900_000_000) }
    }

    #[test]
    fn rules_change_as_they_are_told() {
        let contents = listing(&[("1.0.0", 0), ("1.1.0", 0), ("1.2.0", 0)]);
        let mut rules = ChannelRules::default();
        let mut apply = |change: RuleChange| change.apply(&mut rules, &contents);
        apply(RuleChange::Rollout(v("1.2.0"), percent(10))).unwrap();
        apply(RuleChange::Rollout(v("1.3.0"), percent(5))).unwrap();
        apply(RuleChange::Require(v("1.1.0"))).unwrap();
        apply(RuleChange::Floor(Some(v("1.0.0")))).unwrap();
        apply(retreat("1.2.0", "1.1.0")).unwrap();
        apply(retreat("1.2.0", "1.0.0")).unwrap();
        assert_eq!(rules.rollout, [(v("1.2.0"), percent(10)), (v("1.3.0"), percent(5))].into());
        assert_eq!((rules.retreat.len(), &rules.retreat[0].to), (1, &v("1.0.0")));
        assert!(rules.yank.contains(&v("1.2.0")) && rules.required.contains(&v("1.1.0")));
        let mut apply = |change: RuleChange| change.apply(&mut rules, &contents);
        apply(RuleChange::EndRetreat(v("1.2.0"))).unwrap();
        apply(RuleChange::Unyank(v("1.2.0"))).unwrap();
        apply(RuleChange::Unrequire(v("1.1.0"))).unwrap();
        apply(RuleChange::Floor(None)).unwrap();
        apply(RuleChange::Rollout(v("1.2.0"), Percent::ALL)).unwrap();
        apply(RuleChange::Rollout(v("1.3.0"), Percent::ALL)).unwrap();
        assert!(rules.is_empty());
    }

    #[test]
    fn what_no_client_would_follow_is_refused() {
        let contents = listing(&[("1.0.0", 0), ("1.1.0", 0), ("1.2.0", 1)]);
        let start = ChannelRules { floor: Some(v("1.1.0")), yank: [v("1.1.0")].into(), ..ChannelRules::default() };
        let refused = |change: RuleChange| change.apply(&mut start.clone(), &contents).unwrap_err();
        assert!(matches!(refused(RuleChange::Rollout(v("0.9.0"), percent(1))), SteerError::NotListed { .. }));
        assert!(matches!(refused(RuleChange::Require(v("2.0.0"))), SteerError::NotListed { .. }));
        assert!(matches!(refused(RuleChange::Require(v("1.1.0"))), SteerError::IsYanked { .. }));
        assert!(matches!(refused(RuleChange::Unrequire(v("1.0.0"))), SteerError::NotSo { what: "required", .. }));
        assert!(matches!(refused(RuleChange::Unyank(v("1.2.0"))), SteerError::NotSo { what: "yanked", .. }));
        assert!(matches!(refused(RuleChange::Yank(v("3.0.0"))), SteerError::NotListed { .. }));
        assert!(matches!(refused(RuleChange::Floor(Some(v("1.3.0")))), SteerError::FloorTooHigh { .. }));
        assert!(matches!(refused(retreat("1.0.0", "1.2.0")), SteerError::NotBack { .. }));
        assert!(matches!(refused(retreat("1.2.0", "0.9.0")), SteerError::NotListed { .. }));
        assert!(matches!(refused(retreat("1.2.0", "1.1.0")), SteerError::IsYanked { .. }));
        assert!(matches!(refused(retreat("1.2.0", "1.0.0")), SteerError::BelowFloor { .. }));
        let no_floor = retreat("1.2.0", "1.0.0").apply(&mut ChannelRules::default(), &contents);
        assert!(matches!(no_floor, Err(SteerError::LowerEpoch { high: 1, low: 0, .. })));
        let mut left = ChannelRules::default();
        retreat("1.1.0", "1.0.0").apply(&mut left, &contents).unwrap();
        assert!(matches!(RuleChange::Unyank(v("1.1.0")).apply(&mut left, &contents), Err(SteerError::IsLeft { .. })));
    }

    #[test]
    fn the_online_key_only_withholds() {
        let contents = listing(&[("1.0.0", 0)]);
        let mut steering = Steering::default();
        let mut apply = |change: SteeringChange| change.apply(&mut steering, &contents);
        apply(SteeringChange::Hold(v("1.0.0"), percent(10))).unwrap();
        apply(SteeringChange::Yank(v("1.0.0"))).unwrap();
        assert!(matches!(apply(SteeringChange::Yank(v("0.9.0"))), Err(SteerError::NotListed { .. })));
        apply(SteeringChange::Hold(v("1.0.0"), Percent::ALL)).unwrap();
        apply(SteeringChange::Unyank(v("1.0.0"))).unwrap();
        assert!(matches!(apply(SteeringChange::Hold(v("1.0.0"), Percent::ALL)), Err(SteerError::NotSo { .. })));
        assert_eq!(steering, Steering::default());
    }
}
