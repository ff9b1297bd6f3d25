//! Rules survive the round trip, are absent when there are none, and are bounded.

use super::super::{Payload, Steering, Targets, TargetsExtension, Timestamp, TimestampExtension};
use super::*;
use crate::json::{self, compact};
use crate::role::MetaFile;
use proptest::prelude::{Strategy, any, prop, prop_assert_eq, proptest};

fn version() -> impl Strategy<Value = ReleaseVersion> {
    (0u8..4, 0u8..4, any::<bool>()).prop_map(|(major, minor, pre)| {
        let text = format!("{major}.{minor}.0{}", if pre { "-rc.1" } else { "" });
        text.parse().unwrap()
    })
}

fn percent() -> impl Strategy<Value = Percent> {
    (0u64..=100).prop_map(|percent| Percent::new(percent).unwrap())
}

fn shares() -> impl Strategy<Value = BTreeMap<ReleaseVersion, Percent>> {
    prop::collection::btree_map(version(), percent(), 0..4)
}

fn unknown() -> Map<String, Value> {
    [("x-later".to_owned(), Value::from(vec![1, 2]))].into_iter().collect()
}

fn retreat() -> impl Strategy<Value = Retreat> {
    (version(), 0i64..4_000_000_000).prop_map(|(to, seconds)| Retreat {
        to,
        from: "9.0.0".parse().unwrap(),
        expires: UtcTime::from_unix(seconds),
        extra: unknown(),
    })
}

fn rules() -> impl Strategy<Value = ChannelRules> {
    let versions = || prop::collection::btree_set(version(), 0..4);
    let retreats = prop::collection::vec(retreat(), 0..3);
    (prop::option::of(version()), versions(), shares(), retreats, versions())
        .prop_map(|(floor, required, rollout, retreat, yank)| ChannelRules { floor, required, rollout, retreat, yank })
}

fn role(rules: ChannelRules) -> Targets {
    let channel = Some("stable".parse().unwrap());
    Targets {
        version: 1,
        expires: UtcTime::from_unix(1_800_000_000),
        targets: BTreeMap::new(),
        delegations: None,
        extension: Some(TargetsExtension {
            app: "hello".parse().unwrap(),
            channel,
            rules,
            keys: BTreeMap::new(),
            extra: unknown(),
            components: Default::default(),
        }),
        extra: Map::new(),
    }
}

fn timestamp(extension: Option<TimestampExtension>) -> Timestamp {
    let expires = UtcTime::from_unix(1_800_000_000);
    Timestamp { version: 1, expires, snapshot: MetaFile::of(1, b""), extension, extra: unknown() }
}

fn again<T: Payload>(payload: &T) -> T {
    let bytes = compact(&payload.to_value());
    T::from_value(json::parse("role", &bytes).unwrap()).unwrap()
}

proptest! {
    #[test]
    fn what_is_written_is_read_again(
        rules in rules(),
        hold in shares(),
        yank in prop::collection::btree_set(version(), 0..3),
    ) {
        let role = role(rules);
        prop_assert_eq!(again(&role), role);
        let steering = Steering { hold, yank };
        let channels = [("stable".parse().unwrap(), steering.clone()), ("beta".parse().unwrap(), steering.clone())];
        let channels = if steering == Steering::default() { BTreeMap::new() } else { channels.into() };
        let timestamp = timestamp(Some(TimestampExtension { channels, extra: unknown(), components: Default::default() }));
        prop_assert_eq!(again(&timestamp), timestamp);
    }
}

#[test]
fn no_rules_leave_no_trace() {
    let mut role = role(ChannelRules::default());
    assert!(role.rules().unwrap().is_empty());
    role.extension.as_mut().unwrap().extra.clear();
    let expected = r#""x-updater":{"app":"hello","channel":"stable"}"#;
    assert!(String::from_utf8(compact(&role.to_value())).unwrap().contains(expected));
    assert!(!String::from_utf8(compact(&timestamp(None).to_value())).unwrap().contains("x-updater"));
}

fn read_rules(text: &str) -> Result<ChannelRules, FormatError> {
    ChannelRules::take(&mut Fields::open("test", json::parse("test", text.as_bytes())?)?)
}

#[test]
fn the_documented_form_is_read() {
    let rules = read_rules(
        r#"{"floor":"2.0.0","required":["2.2.0"],"rollout":{"2.4.1":25},"yank":["2.4.0"],
            "retreat":[{"from":"2.4.0","to":"2.3.0","expires":"2026-12-20T00:00:00Z"}]}"#,
    )
    .unwrap();
    assert_eq!(rules.rollout[&"2.4.1".parse().unwrap()].get(), 25);
    assert_eq!(rules.floor.unwrap().to_string(), "2.0.0");
    assert_eq!((rules.required.len(), rules.yank.len(), rules.retreat.len()), (1, 1, 1));
}

#[test]
fn what_makes_no_sense_is_refused() {
    for text in [
        r#"{"floor":2}"#,
        r#"{"rollout":{"2.4.1":101}}"#,
        r#"{"rollout":{"2.4.1":"25"}}"#,
        r#"{"rollout":[]}"#,
        r#"{"retreat":[{"from":"2.4.0","to":"2.4.0","expires":"2026-12-20T00:00:00Z"}]}"#,
        r#"{"retreat":[{"from":"2.4.0","to":"2.5.0","expires":"2026-12-20T00:00:00Z"}]}"#,
        r#"{"retreat":[{"from":"2.4.0","to":"2.3.0"}]}"#,
        r#"{"yank":[1]}"#,
    ] {
        assert!(matches!(read_rules(text), Err(FormatError::Shape { .. })), "{text}");
    }
    for text in [r#"{"floor":"2.0"}"#, r#"{"required":["a"]}"#, r#"{"rollout":{"x":1}}"#] {
        assert!(matches!(read_rules(text), Err(FormatError::Invalid { what: "version", .. })), "{text}");
    }
    let many = |count: usize| (0..count).map(|i| format!("\"1.0.{i}\"")).collect::<Vec<_>>().join(",");
    assert!(read_rules(&format!(r#"{{"yank":[{}]}}"#, many(256))).is_ok());
    let error = read_rules(&format!(r#"{{"yank":[{}]}}"#, many(257))).unwrap_err();
    assert!(matches!(error, FormatError::TooLarge { limit: 256, unit: "entries", .. }), "{error}");
    let retreat = r#"{"from":"2.4.0","to":"2.3.0","expires":"2026-12-20T00:00:00Z"}"#;
    let error = read_rules(&format!(r#"{{"retreat":[{}]}}"#, [retreat; 33].join(","))).unwrap_err();
    assert!(matches!(error, FormatError::TooLarge { what: "retreats", limit: 32, .. }), "{error}");
}

#[test]
fn the_timestamp_names_channels_and_versions() {
    let read = |text: &str| {
        let mut value = timestamp(None).to_value();
        value["x-updater"] = json::parse("test", text.as_bytes()).unwrap();
        Timestamp::from_value(value)
    };
    let stamp = read(r#"{"hold":{"stable":{"2.4.1":10}},"yank":{"stable":["2.4.0"]},"x-later":1}"#).unwrap();
    let steering = stamp.steering(&"stable".parse().unwrap()).unwrap();
    assert_eq!(steering.hold[&"2.4.1".parse().unwrap()], Percent::new(10).unwrap());
    assert!(steering.yank.contains(&"2.4.0".parse().unwrap()));
    assert!(stamp.steering(&"beta".parse().unwrap()).is_none());
    assert_eq!(again(&stamp), stamp);
    for text in [r#"{"hold":{"stable":[]}}"#, r#"{"yank":{"stable":{}}}"#, r#"{"hold":{"stable":{"1.0.0":200}}}"#, "[]"]
    {
        assert!(matches!(read(text), Err(FormatError::Shape { .. })), "{text}");
    }
    assert!(matches!(read(r#"{"hold":{"root":{}}}"#), Err(FormatError::Invalid { what: "channel", .. })));
}

#[test]
fn a_percentage_is_read_with_or_without_its_sign() {
    assert_eq!("25%".parse::<Percent>().unwrap(), "25".parse().unwrap());
    for bad in ["101", "-1", "2.5", "", "%", "all"] {
        assert!(matches!(bad.parse::<Percent>(), Err(FormatError::Invalid { what: "percentage", .. })), "{bad:?}");
    }
}
