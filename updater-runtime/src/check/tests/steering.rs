//! Rollout, hold, yank, floor, stepping stones, retreat and epoch, each alone and where they meet.

use super::*;
use updater_format::role::Retreat;

/// An install, and what its channel says.
#[derive(Clone)]
struct Case {
    version: &'static str,
    epoch: u64,
    rollout: Rollout,
    contents: ChannelContents,
    rules: ChannelRules,
    steering: Steering,
}

fn case(version: &'static str, listed: &[&str]) -> Case {
    let bundles = listed.iter().map(|version| bundle(version, LINUX)).collect();
    Case {
        version,
        epoch: 0,
        rollout: Rollout::Id(InstallId::from_bytes([7; 16])),
        contents: contents(bundles, vec![]),
        rules: ChannelRules::default(),
        steering: Steering::default(),
    }
}

impl Case {
    fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    fn ask<T>(&self, ask: impl FnOnce(&Installed<'_>, &[Offer<'_>]) -> T) -> T {
        let (app, platform, channel) = ("hello".parse().unwrap(), LINUX.parse().unwrap(), Channel::stable());
        let version = v(self.version);
        let installed = Installed { epoch: self.epoch, rollout: self.rollout, ..install(&app, &version, &platform) };
        let (contents, rules, steering) = (&self.contents, &self.rules, Some(&self.steering));
        ask(&installed, &[Offer { channel: &channel, contents, rules, steering }])
    }

    fn decide(&self) -> Decision {
        self.ask(choose)
    }

    #[track_caller]
    fn takes(&self, version: &str) {
        assert_eq!(version_of(self.decide()).1, version);
    }

    #[track_caller]
    fn is_withheld(&self, why: Withheld) {
        assert_eq!(self.decide(), Decision::Withheld(why));
    }
}

fn v(text: &str) -> ReleaseVersion {
    text.parse().unwrap()
}

fn percent(percent: u64) -> Percent {
    Percent::new(percent).unwrap()
}

fn retreat(from: &str, to: &str, days: i64) -> Retreat {
    Retreat { from: v(from), to: v(to), expires: now().plus_days(days), extra: Map::new() }
}

/// The bucket of the install of [`case`] for a version.
fn bucket(version: &str) -> u64 {
    InstallId::from_bytes([7; 16]).bucket(&"hello".parse().unwrap(), &v(version)).into()
}

#[test]
fn a_rollout_reaches_this_install_at_its_bucket() {
    let at = |share: u64| {
        case("1.0.0", &["1.1.0"]).with(|case| {
            case.rules.rollout.insert(v("1.1.0"), percent(share));
        })
    };
    let bucket = bucket("1.1.0");
    at(bucket).is_withheld(Withheld::HeldBack { version: v("1.1.0"), share: percent(bucket) });
    at(bucket + 1).takes("1.1.0");
    at(100).takes("1.1.0");
    at(0).is_withheld(Withheld::HeldBack { version: v("1.1.0"), share: Percent::NONE });
    // Without an id an install is the last, and a rehearsal is not kept waiting.
    at(99)
        .with(|case| case.rollout = Rollout::Last)
        .is_withheld(Withheld::HeldBack { version: v("1.1.0"), share: percent(99) });
    at(100).with(|case| case.rollout = Rollout::Last).takes("1.1.0");
    at(0).with(|case| case.rollout = Rollout::Every).takes("1.1.0");
    // An id is drawn only where it decides something.
    assert!(at(50).ask(|installed, offers| needs_install_id(installed.version, offers)));
    for share in [0, 100] {
        assert!(!at(share).ask(|installed, offers| needs_install_id(installed.version, offers)));
    }
}

#[test]
fn a_hold_lowers_a_rollout_and_never_raises_it() {
    let both = |rollout: u64, hold: u64| {
        case("1.0.0", &["1.1.0", "1.0.5"]).with(|case| {
            case.rules.rollout.insert(v("1.1.0"), percent(rollout));
            case.steering.hold.insert(v("1.1.0"), percent(hold));
        })
    };
    both(100, 0).takes("1.0.5");
    both(0, 100).takes("1.0.5");
    both(100, 100).takes("1.1.0");
    assert_eq!(both(40, 10).ask(|_, offers| rules::share(&offers[0], &v("1.1.0"))), percent(10));
    assert_eq!(both(10, 40).ask(|_, offers| rules::share(&offers[0], &v("1.1.0"))), percent(10));
}

#[test]
fn a_yanked_release_is_not_offered_and_reported_where_it_is_installed() {
    let by_role = case("1.0.0", &["1.1.0"]).with(|case| {
        case.rules.yank.insert(v("1.1.0"));
    });
    let by_timestamp = case("1.0.0", &["1.1.0"]).with(|case| {
        case.steering.yank.insert(v("1.1.0"));
    });
    for case in [by_role, by_timestamp] {
        case.is_withheld(Withheld::Yanked { version: v("1.1.0") });
        assert!(case.ask(standing).is_good());
        let installed = case.with(|case| case.version = "1.1.0");
        assert_eq!(installed.ask(standing), Standing { below_floor: None, yanked: true });
        // Nobody goes back by a yank alone.
        assert_eq!(
            installed.with(|case| case.contents.bundles.push(bundle("1.0.0", LINUX))).decide(),
            Decision::Current
        );
    }
}

#[test]
fn a_yank_in_one_channel_counts_in_all() {
    let [stable, beta] = ["stable", "beta"].map(|name| name.parse::<Channel>().unwrap());
    let offered = contents(vec![bundle("1.1.0", LINUX)], vec![]);
    let yanking = ChannelRules { yank: [v("1.1.0")].into(), ..ChannelRules::default() };
    let (app, version, platform) = ("hello".parse().unwrap(), v("1.0.0"), LINUX.parse().unwrap());
    let offers = [Offer { rules: &yanking, ..offer_of(&stable, &offered) }, offer_of(&beta, &offered)];
    // Whichever of them is the app's own.
    for offers in [[offers[0], offers[1]], [offers[1], offers[0]]] {
        let decision = choose(&install(&app, &version, &platform), &offers);
        assert_eq!(decision, Decision::Withheld(Withheld::Yanked { version: v("1.1.0") }));
    }
}

#[test]
fn below_the_floor_is_told_and_not_offered() {
    let case = case("1.0.0", &["1.1.0"]).with(|case| case.rules.floor = Some(v("1.2.0")));
    case.is_withheld(Withheld::BelowFloor { version: v("1.1.0"), floor: v("1.2.0") });
    assert_eq!(case.ask(standing).below_floor, Some(v("1.2.0")));
    case.clone().with(|case| case.contents.bundles.push(bundle("1.2.0", LINUX))).takes("1.2.0");
    assert!(case.with(|case| case.version = "1.2.0").ask(standing).is_good());
}

#[test]
fn stepping_stones_are_taken_one_after_the_other() {
    let stones = |from| {
        case(from, &["1.5.0", "2.0.0", "2.5.0", "3.0.0", "3.1.0"])
            .with(|case| case.rules.required = [v("2.0.0"), v("3.0.0")].into())
    };
    stones("1.0.0").takes("2.0.0");
    stones("2.0.0").takes("3.0.0");
    stones("3.0.0").takes("3.1.0");
    // It is older than the floor, and on the way there.
    stones("1.0.0").with(|case| case.rules.floor = Some(v("3.0.0"))).takes("2.0.0");
    // One that cannot be had is not jumped over; what comes before it may still be taken.
    let without = stones("1.0.0").with(|case| case.contents.bundles.retain(|bundle| bundle.version != v("2.0.0")));
    without.takes("1.5.0");
    without
        .with(|case| case.version = "1.5.0")
        .is_withheld(Withheld::StepFirst { version: v("2.5.0"), step: v("2.0.0") });
    stones("1.5.0")
        .with(|case| {
            case.steering.hold.insert(v("2.0.0"), Percent::NONE);
        })
        .is_withheld(Withheld::HeldBack { version: v("2.0.0"), share: Percent::NONE });
}

#[test]
fn only_a_retreat_leads_back() {
    let back = |days| {
        case("1.2.0", &["1.0.0", "1.1.0", "1.2.0"])
            .with(|case| case.rules.retreat = vec![retreat("1.2.0", "1.1.0", days)])
    };
    assert_eq!(case("1.2.0", &["1.0.0", "1.1.0"]).decide(), Decision::Current);
    back(1).takes("1.1.0");
    assert_eq!(back(0).decide(), Decision::Current, "it has expired");
    assert_eq!(back(1).with(|case| case.version = "1.3.0").decide(), Decision::Current, "it is for 1.2.0");
    // Whoever does not have it yet does not get it, or they would go to and fro.
    back(1).with(|case| case.version = "1.1.0").is_withheld(Withheld::Yanked { version: v("1.2.0") });
    // A newer release is the better way out.
    back(1).with(|case| case.contents.bundles.push(bundle("1.2.1", LINUX))).takes("1.2.1");
    // Rollouts do not delay it.
    back(1)
        .with(|case| {
            case.steering.hold.insert(v("1.1.0"), Percent::NONE);
        })
        .takes("1.1.0");
    type Change = fn(&mut Case);
    let refusals: [(&str, Change); 5] = [
        ("not listed", |case| case.contents.bundles.retain(|bundle| bundle.version != v("1.1.0"))),
        ("below the floor", |case| case.rules.floor = Some(v("1.1.1"))),
        ("yanked", |case| {
            case.rules.yank.insert(v("1.1.0"));
        }),
        ("below the epoch", |case| case.epoch = 1),
        ("another kind", |case| case.contents.bundles.iter_mut().for_each(|b| b.install = InstallKind::Directory)),
    ];
    for (why, change) in refusals {
        assert_eq!(back(1).with(change).decide(), Decision::Current, "{why}");
    }
}

#[test]
fn a_fall_back_channel_moves_nobody_back() {
    let [beta, stable] = ["beta", "stable"].map(|name| name.parse::<Channel>().unwrap());
    let (own, other) = (contents(vec![bundle("1.2.0", LINUX)], vec![]), contents(vec![bundle("1.1.0", LINUX)], vec![]));
    let rules = ChannelRules { retreat: vec![retreat("1.2.0", "1.1.0", 1)], ..ChannelRules::default() };
    let (app, version, platform) = ("hello".parse().unwrap(), v("1.2.0"), LINUX.parse().unwrap());
    let offers = [offer_of(&beta, &own), Offer { rules: &rules, ..offer_of(&stable, &other) }];
    assert_eq!(choose(&install(&app, &version, &platform), &offers), Decision::Current);
}

#[test]
fn a_completed_epoch_is_never_gone_below() {
    let epochs = |epoch| case("1.0.0", &["1.1.0"]).with(|case| case.epoch = epoch);
    epochs(0).takes("1.1.0");
    epochs(2).is_withheld(Withheld::LowerEpoch { version: v("1.1.0"), epoch: 0, completed: 2 });
    epochs(2).with(|case| case.contents.bundles[0].epoch = 2).takes("1.1.0");
    // A fresh copy of a release with a counter has recorded nothing; the listing says it.
    let fresh = case("1.2.0", &["1.1.0", "1.2.0"]).with(|case| {
        case.rules.retreat = vec![retreat("1.2.0", "1.1.0", 1)];
        case.contents.bundles[1].epoch = 1;
    });
    assert_eq!(fresh.decide(), Decision::Current);
}
