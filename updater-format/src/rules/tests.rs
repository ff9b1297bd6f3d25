//! Each rule survives the round trip and does what it says; shares are exact, stable and monotone.

use super::*;
use crate::role::{MetaFile, TargetsExtension};

fn version(text: &str) -> ReleaseVersion {
    text.parse().unwrap()
}

fn versions_of(texts: &[&str]) -> BTreeSet<ReleaseVersion> {
    texts.iter().map(|text| version(text)).collect()
}

fn shares(entries: &[(&str, u64)]) -> BTreeMap<ReleaseVersion, Percent> {
    entries.iter().map(|(v, percent)| (version(v), Percent::new(*percent).unwrap())).collect()
}

fn time(text: &str) -> UtcTime {
    UtcTime::parse(text).unwrap()
}

fn retreat(from: &str, to: &str) -> Retreat {
    Retreat { from: version(from), to: version(to), expires: time("2027-01-01T00:00:00Z") }
}

fn role(rules: &ChannelRules) -> Targets {
    let mut extra = Map::from_iter([("x-later".to_owned(), Value::from(1))]);
    rules.write_to(&mut extra);
    Targets {
        version: 1,
        expires: time("2027-01-01T00:00:00Z"),
        targets: BTreeMap::new(),
        delegations: None,
        extension: Some(TargetsExtension { app: "hello".parse().unwrap(), channel: Some(Channel::stable()), extra }),
        extra: Map::new(),
    }
}

fn timestamp() -> Timestamp {
    Timestamp {
        version: 1,
        expires: time("2027-01-01T00:00:00Z"),
        snapshot: MetaFile::of(1, b""),
        extra: Map::from_iter([("x-other".to_owned(), Value::from("kept"))]),
    }
}

fn all_rules() -> OfferRules {
    OfferRules {
        channel: ChannelRules {
            floor: Some(version("1.0.0")),
            required: versions_of(&["1.5.0", "2.0.0"]),
            rollout: shares(&[("2.4.1", 25), ("2.4.0", 0)]),
            yank: versions_of(&["2.3.9"]),
            retreat: vec![retreat("2.4.0", "2.3.8")],
        },
        online: OnlineRules { hold: shares(&[("2.4.1", 10)]), yank: versions_of(&["2.4.0"]) },
    }
}

#[test]
fn rules_survive_the_round_trip_and_leave_the_rest_alone() {
    let rules = all_rules();
    let (mut stamp, beta) = (timestamp(), "beta".parse().unwrap());
    let other = OnlineRules { hold: shares(&[("3.0.0", 1)]), ..OnlineRules::default() };
    other.write_to(&beta, &mut stamp);
    rules.online.write_to(&Channel::stable(), &mut stamp);
    let role = role(&rules.channel);
    assert_eq!(OfferRules::read(&Channel::stable(), &role, &stamp).unwrap(), rules);
    assert_eq!(OnlineRules::read(&beta, &stamp).unwrap(), other);
    assert!(role.extension.as_ref().unwrap().extra.contains_key("x-later"));
    // Taken back, nothing of it remains and nothing else is gone.
    OnlineRules::default().write_to(&beta, &mut stamp);
    OnlineRules::default().write_to(&Channel::stable(), &mut stamp);
    assert_eq!(stamp, timestamp());
    let mut extra = role.extension.unwrap().extra;
    ChannelRules::default().write_to(&mut extra);
    assert_eq!(extra.keys().collect::<Vec<_>>(), ["x-later"]);
    assert_eq!(ChannelRules::from_fields(Map::new()).unwrap(), ChannelRules::default());
}

#[test]
fn rules_that_cannot_be_read_are_refused_and_not_skipped() {
    for (name, text) in [
        ("floor", "1"),
        ("floor", r#""soon""#),
        ("required", r#"["1"]"#),
        ("required", r#""1.0.0""#),
        ("rollout", r#"{"1.0.0":101}"#),
        ("rollout", r#"{"1.0.0":"10"}"#),
        ("rollout", r#"{"x":10}"#),
        ("yank", "{}"),
        ("retreat", r#"[{"from":"1.1.0","to":"1.0.0"}]"#),
        ("retreat", r#"[{"from":"1.1.0","to":"1.0.0","expires":"never"}]"#),
    ] {
        let value = crate::json::parse("test", text.as_bytes()).unwrap();
        let mut role = role(&ChannelRules::default());
        role.extension.as_mut().unwrap().extra.insert(name.to_owned(), value);
        let error = OfferRules::read(&Channel::stable(), &role, &timestamp()).unwrap_err();
        assert!(matches!(&error, TrustError::Format { role, .. } if role == "stable"), "{name}: {error}");
    }
    for text in ["1", r#"{"hold":1}"#, r#"{"hold":{"stable":1}}"#, r#"{"yank":{"stable":{}}}"#] {
        let mut stamp = timestamp();
        stamp.extra.insert("x-updater".to_owned(), crate::json::parse("test", text.as_bytes()).unwrap());
        let error = OfferRules::read(&Channel::stable(), &role(&ChannelRules::default()), &stamp).unwrap_err();
        assert!(matches!(&error, TrustError::Format { role, .. } if role == "timestamp"), "{text}: {error}");
    }
}

#[test]
fn ten_percent_of_10000_installs_are_ten_percent_and_stay_the_same_ones() {
    let (app, release) = ("hello".parse().unwrap(), version("2.4.1"));
    let offered = |percent| -> BTreeSet<u32> {
        let share = Percent::new(percent).unwrap();
        (0..10_000).filter(|id| share.covers(bucket(&app, &release, &format!("install-{id}")))).collect()
    };
    let (ten, fifty) = (offered(10), offered(50));
    assert!((900..=1100).contains(&ten.len()), "{}", ten.len());
    assert!((4900..=5100).contains(&fifty.len()), "{}", fifty.len());
    assert!(ten.is_subset(&fifty), "who has it keeps it");
    assert_eq!(ten, offered(10), "the same at every check");
    assert_eq!((offered(0).len(), offered(100).len()), (0, 10_000));
    // Another release reaches others first.
    let other = version("2.4.2");
    let again = ten.iter().filter(|id| bucket(&app, &other, &format!("install-{id}")) < 10).count();
    assert!(again < ten.len() / 5, "{again}");
}

#[test]
fn the_online_key_can_only_offer_less() {
    let mut rules = all_rules();
    assert_eq!(rules.share(&version("2.4.1")).get(), 10);
    rules.online.hold = shares(&[("2.4.1", 90), ("2.4.0", 100), ("2.5.0", 30)]);
    assert_eq!(rules.share(&version("2.4.1")).get(), 25, "a hold does not raise a rollout");
    assert_eq!(rules.share(&version("2.4.0")).get(), 0);
    assert_eq!(rules.share(&version("2.5.0")).get(), 30);
    assert_eq!(rules.share(&version("2.6.0")), Percent::ALL);
    rules.online = OnlineRules::default();
    assert!(rules.is_yanked(&version("2.3.9")), "nor does it bring back what the channel yanked");
    assert!(!rules.is_yanked(&version("2.4.0")));
}

#[test]
fn the_next_stepping_stone_is_the_lowest_one_above() {
    let rules = all_rules();
    let next = |installed: &str| rules.next_required(&version(installed)).map(ToString::to_string);
    assert_eq!(next("1.4.0").as_deref(), Some("1.5.0"));
    assert_eq!(next("1.5.0").as_deref(), Some("2.0.0"));
    assert_eq!(next("2.0.0"), None);
    assert!(rules.is_below_floor(&version("0.9.0")) && !rules.is_below_floor(&version("1.0.0")));
}

#[test]
fn only_a_retreat_in_force_moves_an_install_back() {
    let now = time("2026-11-20T00:00:00Z");
    let mut rules = all_rules();
    let back = |rules: &OfferRules, from: &str, now| rules.retreat(&version(from), now).map(ToString::to_string);
    assert_eq!(back(&rules, "2.4.0", now).as_deref(), Some("2.3.8"));
    assert_eq!(back(&rules, "2.4.1", now), None, "of this very release");
    assert_eq!(back(&rules, "2.4.0", time("2027-01-01T00:00:00Z")), None, "expired");
    rules.channel.retreat = vec![retreat("2.4.0", "2.3.9")];
    assert_eq!(back(&rules, "2.4.0", now), None, "not to a yanked release");
    rules.channel.retreat = vec![retreat("2.4.0", "0.9.0")];
    assert_eq!(back(&rules, "2.4.0", now), None, "not below the floor");
    rules.channel.retreat = vec![retreat("2.4.0", "2.5.0"), retreat("2.4.0", "2.4.0")];
    assert_eq!(back(&rules, "2.4.0", now), None, "a retreat goes back");
    rules.channel.retreat = vec![retreat("2.4.0", "2.3.0"), retreat("2.4.0", "2.3.8")];
    assert_eq!(back(&rules, "2.4.0", now).as_deref(), Some("2.3.8"), "no further than needed");
}
