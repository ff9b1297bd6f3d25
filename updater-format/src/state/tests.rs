use super::{BadRelease, InstallState, JournaledRelease, KnownCounter, Phase, SuspendedTrial, Trial};
use crate::{FormatError, ReleaseVersion, Sha256, UtcTime};
use proptest::prelude::{Just, Strategy, any, prop, prop_assert_eq, prop_oneof, proptest};

fn now() -> UtcTime {
    UtcTime::parse("2026-11-20T08:30:00Z").unwrap()
}

fn release(version: &str) -> JournaledRelease {
    let digest = Sha256::of(version.as_bytes());
    JournaledRelease {
        entry: digest,
        manifest: Some(digest),
        version: ReleaseVersion::parse(version).unwrap(),
        epoch: 0,
    }
}

fn sample() -> InstallState {
    let mut state = InstallState::idle(Sha256::of(b"/opt/hello"));
    state.phase = Phase::Trial { from: release("1.0.0"), to: release("1.1.0"), trial: Trial::Confirm };
    state.put_away(Sha256::of(b"bad"), ReleaseVersion::parse("1.0.5").unwrap(), now());
    state
}

#[test]
fn the_encoding_is_fixed() {
    let mut state = sample();
    state.phase = Phase::Idle;
    let (bad, install) = (Sha256::of(b"bad"), Sha256::of(b"/opt/hello"));
    let expected = format!(
        r#"{{"bad":[{{"manifest":"{bad}","since":"2026-11-20T08:30:00Z","version":"1.0.5"}}],"format":1,"install":"{install}","phase":{{"name":"idle"}}}}"#
    );
    assert_eq!(String::from_utf8(state.encode()).unwrap(), expected);
}

#[test]
fn the_epoch_is_kept_and_absent_while_it_is_zero() {
    let mut state = sample();
    assert!(!String::from_utf8(state.encode()).unwrap().contains("epoch"));
    state.epoch = 4;
    assert_eq!(InstallState::parse(&state.encode()).unwrap(), state);
}

#[test]
fn counters_are_known_of_the_latest_releases() {
    let mut state = sample();
    let numbered = |epoch: u64| JournaledRelease { epoch, ..release(&format!("1.{epoch}.0")) };
    state.complete(&numbered(0));
    assert!(!String::from_utf8(state.encode()).unwrap().contains("counters"));
    for epoch in [3, 1, 3] {
        state.complete(&numbered(epoch));
    }
    assert_eq!((state.epoch, state.counters.len()), (3, 2));
    let of = |state: &InstallState, epoch| state.counter_of(numbered(epoch).manifest.unwrap());
    assert_eq!((of(&state, 1), of(&state, 3), of(&state, 2)), (1, 3, 0));
    (1..=200).for_each(|epoch| state.complete(&numbered(epoch)));
    assert_eq!((state.counters.len(), of(&state, 72), of(&state, 73), of(&state, 200)), (128, 0, 73, 200));
    assert_eq!(InstallState::parse(&state.encode()).unwrap(), state);
    let one = r#"{"epoch":200,"manifest":""#;
    let text = String::from_utf8(state.encode()).unwrap();
    let more = text.replacen("\"counters\":[", &format!("\"counters\":[{one}{}\"}},", Sha256::of(b"x")), 1);
    assert!(matches!(InstallState::parse(more.as_bytes()), Err(FormatError::TooLarge { unit: "counters", .. })));
}

#[test]
fn garbage_has_a_named_error() {
    let good = String::from_utf8(sample().encode()).unwrap();
    for length in 0..good.len() {
        let result = InstallState::parse(&good.as_bytes()[..length]);
        assert!(matches!(result, Err(FormatError::Json { .. } | FormatError::Shape { .. })), "{length}");
    }
    assert!(matches!(InstallState::parse(&[0; 100]), Err(FormatError::Json { .. })));
    assert!(matches!(InstallState::parse(b"{}"), Err(FormatError::Shape { .. })));
    assert!(matches!(InstallState::parse(&vec![b' '; 70_000]), Err(FormatError::TooLarge { unit: "bytes", .. })));
    let changed = |from, to| InstallState::parse(good.replacen(from, to, 1).as_bytes());
    assert!(matches!(changed("\"format\":1", "\"format\":2"), Err(FormatError::NewerFormat { found: 2, .. })));
    assert!(matches!(changed("\"name\":\"trial\"", "\"name\":\"other\""), Err(FormatError::Shape { .. })));
}

#[test]
fn a_failed_release_is_remembered_for_30_days() {
    let (state, bad) = (sample(), Sha256::of(b"bad"));
    assert!(state.is_bad(bad, now()) && state.is_bad(bad, now().plus_days(29)));
    assert!(!state.is_bad(bad, now().plus_days(30)) && !state.is_bad(Sha256::of(b"good"), now()));
    // A clock that was a year ahead when the release failed does not hold it back for a year.
    assert!(!state.is_bad(bad, now().plus_days(-365)));
}

#[test]
fn the_memory_is_bounded() {
    let mut state = sample();
    for n in 0..100u8 {
        state.put_away(Sha256::of(&[n]), ReleaseVersion::parse("1.0.5").unwrap(), now());
    }
    assert_eq!(state.bad.len(), 16);
    assert!(state.is_bad(Sha256::of(&[99]), now()) && !state.is_bad(Sha256::of(&[0]), now()));
    state.put_away(Sha256::of(b"new"), ReleaseVersion::parse("1.0.6").unwrap(), now().plus_days(40));
    assert_eq!(state.bad.len(), 1);
}

/// Any journal.
fn states() -> impl Strategy<Value = InstallState> {
    let release = || {
        (any::<[u8; 32]>(), prop::option::of(any::<[u8; 32]>()), 0..100u64).prop_map(|(entry, manifest, minor)| {
            JournaledRelease {
                entry: Sha256::from_bytes(entry),
                manifest: manifest.map(Sha256::from_bytes),
                version: ReleaseVersion::parse(&format!("1.{minor}.0")).unwrap(),
                epoch: minor % 3,
            }
        })
    };
    let phase = (release(), release(), prop_oneof![Just(Trial::Start), Just(Trial::Confirm)], 0..5u8).prop_map(
        |(from, to, trial, which)| match which {
            0 => Phase::Idle,
            1 => Phase::Staged { from, to, trial },
            2 => Phase::Swapping { from, to, trial },
            3 => Phase::Trial { from, to, trial },
            _ => Phase::Returning { from, to },
        },
    );
    let bad = (any::<[u8; 32]>(), 0..4_000_000_000i64).prop_map(|(manifest, since)| BadRelease {
        manifest: Sha256::from_bytes(manifest),
        since: UtcTime::from_unix(since),
        version: ReleaseVersion::parse("1.0.0").unwrap(),
    });
    (any::<[u8; 32]>(), phase, prop::collection::vec(bad, 0..16), 0..3u64).prop_map(|(install, phase, bad, epoch)| {
        let suspended = match phase.clone() {
            Phase::Staged { from, to, trial } | Phase::Swapping { from, to, trial } if epoch > 0 => {
                Some(SuspendedTrial { from: to, to: from, trial })
            }
            _ => None,
        };
        let known = |bad: &BadRelease| KnownCounter { epoch: 1, manifest: bad.manifest };
        let counters = bad.iter().map(known).collect();
        InstallState { install: Sha256::from_bytes(install), phase, bad, epoch, counters, suspended }
    })
}

proptest! {
    #[test]
    fn parse_inverts_encode(state in states()) {
        prop_assert_eq!(InstallState::parse(&state.encode()).unwrap(), state);
    }

    #[test]
    fn damaged_bytes_never_panic(state in states(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut bytes = state.encode();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if let Ok(read) = InstallState::parse(&bytes) {
            prop_assert_eq!(InstallState::parse(&read.encode()).unwrap(), read);
        }
    }
}
