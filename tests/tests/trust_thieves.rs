//! What somebody who controls the storage can do with a stolen key: key by key, goal by goal, as `SECURITY.md` says.
//!
//! A thief serves what he likes: every genuine document, and whatever the stolen keys sign. What he changes without the
//! key for it is signed by a stranger's.

#![expect(clippy::unwrap_used, reason = "in a test a wrong set-up is a failure like any other")]

use std::collections::BTreeMap;
use updater_format::release::ChannelContents;
use updater_format::role::{ChannelRules, Percent, RoleName, Steering, TimestampExtension};
use updater_format::trust::TrustError;
use updater_format::{Channel, InstallId, InstallKind};
use updater_runtime::Clock as _;
use updater_runtime::check::{Decision, Installed, Offer, Rollout, choose};
use updater_runtime::refresh::RefreshError;
use updater_runtime::transport::FetchError;
use updater_tests::simulator::{Fault, Repository, RepositorySimulator, SigningKey, SimulatedClient, TRIPLE, keyring};

/// Keys that may be stolen together.
type Keys = &'static [&'static str];

const NOTHING: Keys = &[];
const ONLINE: Keys = &["online"];
const CHANNEL: Keys = &["stable"];
const TARGETS: Keys = &["targets"];
const ONE_ROOT: Keys = &["root-1"];
const BOTH_ROOTS: Keys = &["root-1", "root-2"];

/// How an attempt ended.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    /// The client took it.
    Taken,
    /// The client refused it: the check and the role.
    Refused(&'static str, String),
    /// The client is told nothing new, until this role is stale.
    HeldUntilStale(String),
}

/// A publisher with a root of two keys, both needed, and two releases of which every victim knows both.
fn publisher() -> RepositorySimulator {
    let sim = RepositorySimulator::new();
    {
        let mut repo = sim.repo();
        repo.signers.root = [1, 2].map(SigningKey::from_seed).to_vec();
        let ring = keyring(&repo.signers.root, 2);
        repo.root.roles.insert(RoleName::Root, ring);
        repo.release("stable", "1.0.0", b"one");
        repo.release("beta", "2.0.0", b"two");
    }
    sim
}

fn victim(sim: &RepositorySimulator) -> SimulatedClient {
    let client = sim.client();
    client.offers("stable").unwrap();
    client.offers("beta").unwrap();
    client
}

/// Makes the storage that a thief with these keys can offer: `genuine`, changed.
fn forge(stolen: Keys, genuine: &RepositorySimulator, change: impl FnOnce(&mut Repository)) -> RepositorySimulator {
    let evil = genuine.copy();
    change(&mut evil.repo());
    let before = genuine.repo().clone();
    let has = |key: &str| stolen.contains(&key);
    let stranger = || vec![SigningKey::from_seed(200)];
    let mut repo = evil.repo();
    if repo.root != before.root {
        let own: Vec<_> = [(1, "root-1"), (2, "root-2")].into_iter().filter(|(_, name)| has(name)).collect();
        repo.signers.root = own.iter().map(|(seed, _)| SigningKey::from_seed(*seed)).chain(stranger()).collect();
        let genuine_root = genuine.file(&format!("metadata/{}.root.json", before.root.version));
        repo.old_roots.insert(before.root.version, genuine_root);
    }
    // Whoever has the root has replaced all other keys by his own in it.
    let owns_all = has("root-1") && has("root-2") && repo.root != before.root;
    if repo.targets != before.targets && !has("targets") && !owns_all {
        repo.signers.targets = stranger();
    }
    for role in ["stable", "beta"] {
        // A channel's keys are those that targets.json names; a thief of targets names his own.
        if repo.roles[role] != before.roles[role] && !has(role) && !has("targets") && !owns_all {
            repo.signers.roles.insert(role.to_owned(), stranger());
        }
    }
    drop(repo);
    if !has("online") && !owns_all {
        // Snapshot and timestamp stay the genuine ones, so the rest is served under the names that those pin.
        let path = |role: &str, version: u64| format!("metadata/{version}.{role}.json");
        let changed = |role: &str| {
            let (now, then) = (evil.repo().clone(), before.clone());
            match role {
                "targets" => (now.targets != then.targets).then_some((now.targets.version, then.targets.version)),
                role => {
                    (now.roles[role] != then.roles[role]).then_some((now.roles[role].version, then.roles[role].version))
                }
            }
        };
        for role in ["targets", "stable", "beta"] {
            if let Some((now, then)) = changed(role) {
                let bytes = evil.file(&path(role, now));
                evil.fault(&path(role, then), Fault::Replace(bytes));
            }
        }
        evil.fault("metadata/timestamp.json", Fault::Replace(genuine.file("metadata/timestamp.json")));
        let snapshot = path("snapshot", before.snapshot.version);
        evil.fault(&snapshot, Fault::Replace(genuine.file(&snapshot)));
    }
    evil
}

/// Lets a victim look at a storage; `success` says whether what it reads is what the thief wanted.
fn attempt(victim: SimulatedClient, evil: &RepositorySimulator, success: impl Fn(&ChannelContents) -> bool) -> Outcome {
    look(&victim.over(evil.transport(), &["https://a.example/"]), success)
}

/// Lets a client that has never checked look at it, and one that has: the kept copies of the latter must not make it
/// easier for the thief.
fn both(
    genuine: &RepositorySimulator,
    evil: &RepositorySimulator,
    success: impl Fn(&ChannelContents) -> bool,
) -> Outcome {
    let newcomer = attempt(genuine.client(), evil, &success);
    let returning = attempt(victim(genuine), evil, &success);
    assert_eq!(newcomer == Outcome::Taken, returning == Outcome::Taken, "{newcomer:?}, {returning:?}");
    newcomer
}

fn look(victim: &SimulatedClient, success: impl Fn(&ChannelContents) -> bool) -> Outcome {
    match victim.channel("stable") {
        Ok(channel) if success(channel.contents()) => Outcome::Taken,
        Ok(_) => Outcome::Refused("nothing new", "stable".to_owned()),
        Err(RefreshError::Stale { role, .. }) => Outcome::HeldUntilStale(role),
        Err(RefreshError::Trust { source, .. } | RefreshError::Inconsistent { source }) => {
            let check = match &source {
                TrustError::Signatures { .. } => "signatures",
                TrustError::Rollback { .. } => "rollback",
                TrustError::Hash { .. } | TrustError::Length { .. } => "pinned",
                TrustError::WrongChannel { .. } => "channel",
                TrustError::WrongApp { .. } => "app",
                other => panic!("{other}"),
            };
            Outcome::Refused(check, source.role().to_owned())
        }
        // A document longer than the pinned one is not even read to its end.
        Err(RefreshError::Fetch(FetchError::TooLarge { url, .. })) => {
            let role = url.expose().rsplit(['/', '.']).nth(1).unwrap().to_owned();
            Outcome::Refused("pinned", role)
        }
        Err(other) => panic!("{other:?}"),
    }
}

fn refused(check: &'static str, role: &str) -> Outcome {
    Outcome::Refused(check, role.to_owned())
}

/// Puts the thief's own key in the place of every other one.
fn replace_all_keys(repo: &mut Repository) {
    let own = vec![SigningKey::from_seed(200)];
    let root = repo.next_root();
    for role in RoleName::ALL {
        root.roles.insert(role, keyring(&own, 1));
    }
    repo.signers.targets.clone_from(&own);
    repo.signers.snapshot.clone_from(&own);
    repo.signers.timestamp.clone_from(&own);
    rename_channel_keys(repo);
}

/// Names the thief's own key for the channels.
fn rename_channel_keys(repo: &mut Repository) {
    let own = vec![SigningKey::from_seed(200)];
    for delegation in &mut repo.targets.delegations.as_mut().unwrap().roles {
        delegation.keyring = keyring(&own, 1);
        repo.signers.roles.insert(delegation.name.clone(), own.clone());
    }
    repo.targets.version += 1;
}

#[test]
fn goal_run_foreign_code() {
    let evil_release = |repo: &mut Repository| drop(repo.release("stable", "6.6.6", b"evil"));
    let is_there = |contents: &ChannelContents| contents.bundles.iter().any(|b| b.version.to_string() == "6.6.6");
    let run = |stolen: Keys, change: &dyn Fn(&mut Repository)| {
        let genuine = publisher();
        both(&genuine, &forge(stolen, &genuine, |repo| change(repo)), is_there)
    };
    assert_eq!(run(NOTHING, &evil_release), refused("pinned", "stable"));
    assert_eq!(run(ONLINE, &evil_release), refused("signatures", "stable"));
    assert_eq!(run(CHANNEL, &evil_release), refused("pinned", "stable"));
    let redelegate = |repo: &mut Repository| {
        rename_channel_keys(repo);
        evil_release(repo);
    };
    assert_eq!(run(TARGETS, &redelegate), refused("pinned", "targets"));
    let take_over = |repo: &mut Repository| {
        replace_all_keys(repo);
        evil_release(repo);
    };
    assert_eq!(run(ONE_ROOT, &take_over), refused("signatures", "root"));
    assert_eq!(run(BOTH_ROOTS, &take_over), Outcome::Taken);
    // Two keys together. This is why the online key and a channel's key are kept apart.
    assert_eq!(run(&["online", "stable"], &evil_release), Outcome::Taken);
    assert_eq!(run(&["online", "targets"], &redelegate), Outcome::Taken);
    assert_eq!(run(&["online", "beta"], &evil_release), refused("signatures", "stable"));
    assert_eq!(run(&["stable", "targets"], &redelegate), refused("pinned", "targets"));
    assert_eq!(run(&["online", "stable", "targets", "root-1"], &take_over), refused("signatures", "root"));
}

#[test]
fn goal_go_back() {
    // The victim knows 1.0.0; the genuine state before it was released is served again.
    let before = publisher();
    let now = before.copy();
    now.repo().release("stable", "1.1.0", b"newer");
    let went_back = |contents: &ChannelContents| contents.bundles.len() == 1;
    for stolen in [NOTHING, CHANNEL, TARGETS, ONE_ROOT] {
        assert_eq!(attempt(victim(&now), &forge(stolen, &before, |_| {}), went_back), refused("rollback", "timestamp"));
    }
    let newer_dates = |repo: &mut Repository| {
        repo.timestamp.version += 100;
        repo.snapshot.version += 100;
    };
    assert_eq!(attempt(victim(&now), &forge(ONLINE, &before, newer_dates), went_back), refused("rollback", "stable"));
    // A client without any state reads the old role from the thief of the online key. Its own version is its floor.
    let newcomer = now.client();
    let evil = forge(ONLINE, &before, newer_dates);
    let newcomer = newcomer.over(evil.transport(), &["https://a.example/"]);
    let contents = newcomer.channel("stable").unwrap().contents().clone();
    assert!(went_back(&contents));
    let (version, platform, channel) = ("1.1.0".parse().unwrap(), TRIPLE.parse().unwrap(), Channel::stable());
    let installed = Installed {
        app: &newcomer.app,
        version: &version,
        platform: &platform,
        kind: InstallKind::Executable,
        libc: None,
        bad: &[],
        epoch: 0,
        rollout: Rollout::Last,
        now: updater_runtime::Clock::now(&now.clock),
        component: None,
    };
    let rules = ChannelRules::default();
    let offers = [Offer { channel: &channel, contents: &contents, rules: &rules, steering: None }];
    assert_eq!(choose(&installed, &offers), Decision::Current);
}

#[test]
fn goal_freeze() {
    // A newer release is out; the thief shows the state before it, for ever. How many days is a client held?
    let days_held = |stolen: Keys| {
        let genuine = publisher();
        let place = genuine.copy();
        let client = victim(&place);
        for day in 1..400 {
            let clock = genuine.clock.clone();
            clock.advance_days(1);
            let evil = forge(stolen, &genuine, |repo| {
                if stolen.contains(&"online") {
                    repo.timestamp.version += day;
                    repo.timestamp.expires = clock.in_days(7);
                    repo.snapshot.version += day;
                    repo.snapshot.expires = clock.in_days(7);
                }
            });
            *place.repo() = evil.repo().clone();
            match look(&client, |_| false) {
                Outcome::Refused("nothing new", _) => {}
                Outcome::HeldUntilStale(role) => return (day, role),
                other => panic!("{other:?}"),
            }
        }
        panic!("frozen for ever");
    };
    for stolen in [NOTHING, CHANNEL, TARGETS, ONE_ROOT] {
        assert_eq!(days_held(stolen), (7, "timestamp".to_owned()), "{stolen:?}");
    }
    // With the online key: until the channel's role is stale, which its human signers renew with each release.
    assert_eq!(days_held(ONLINE), (180, "stable".to_owned()));
}

#[test]
fn goal_hide_a_root() {
    // Root 2 takes the online key away; the thief answers that it does not exist.
    let hidden = |stolen: Keys| {
        let genuine = publisher();
        let client = victim(&genuine);
        let old = genuine.copy();
        genuine.repo().rotate(RoleName::Timestamp, 61);
        genuine.repo().rotate(RoleName::Snapshot, 61);
        let clock = genuine.clock.clone();
        clock.advance_days(8);
        let evil = forge(stolen, &old, |repo| {
            if stolen.contains(&"online") {
                repo.timestamp.version += 1;
                repo.timestamp.expires = clock.in_days(7);
            }
        });
        evil.fault("metadata/2.root.json", Fault::Status(404));
        attempt(client, &evil, |_| true)
    };
    for stolen in [NOTHING, CHANNEL, TARGETS, ONE_ROOT] {
        assert_eq!(hidden(stolen), Outcome::HeldUntilStale("timestamp".to_owned()), "{stolen:?}");
    }
    assert_eq!(hidden(ONLINE), Outcome::Taken, "until a role's own time is over, as with a freeze");
    // Once a client has seen the root it never goes back behind it, state or no state of the rest.
    let genuine = publisher();
    let old = genuine.copy();
    genuine.repo().rotate(RoleName::Timestamp, 61);
    genuine.repo().rotate(RoleName::Snapshot, 61);
    genuine.repo().bump();
    let client = victim(&genuine);
    let evil = forge(ONLINE, &old, |repo| repo.timestamp.version += 50);
    assert_eq!(attempt(client, &evil, |_| true), refused("signatures", "timestamp"));
}

#[test]
fn goal_cross_app_or_channel() {
    let is_beta = |contents: &ChannelContents| contents.bundles.iter().any(|b| b.version.to_string() == "2.0.0");
    let swap = |repo: &mut Repository| {
        let beta = repo.roles["beta"].clone();
        repo.roles.insert("stable".to_owned(), beta);
        repo.bump();
    };
    let run = |stolen: Keys| {
        let genuine = publisher();
        both(&genuine, &forge(stolen, &genuine, swap), is_beta)
    };
    assert_eq!(run(NOTHING), refused("pinned", "stable"));
    assert_eq!(run(ONLINE), refused("signatures", "stable"));
    assert_eq!(run(CHANNEL), refused("pinned", "stable"));
    assert_eq!(run(&["online", "beta"]), refused("signatures", "stable"));
    // Even who may sign for the channel cannot pass off another channel's document: it says what it is.
    assert_eq!(run(&["online", "stable"]), refused("channel", "stable"));
    // Another app of the same publisher, same keys: see `two_apps_with_the_same_keys_stay_apart`. Here with theft.
    let genuine = publisher();
    let evil = forge(&["online", "stable"], &genuine, |repo| {
        repo.stable().extension.as_mut().unwrap().app = "other".parse().unwrap();
        repo.stable().version += 1;
        repo.bump();
    });
    assert_eq!(attempt(victim(&genuine), &evil, |_| true), refused("app", "stable"));
}

#[test]
fn goal_fast_forward() {
    let far = |repo: &mut Repository| {
        repo.timestamp.version = 1 << 53;
        repo.snapshot.version = 1 << 53;
    };
    let is_taken = |stolen: Keys| {
        let genuine = publisher();
        let client = victim(&genuine);
        let before = client.keeps();
        let evil = forge(stolen, &genuine, far);
        let client = client.over(evil.transport(), &["https://a.example/"]);
        let _ = client.channel("stable");
        client.keeps() != before
    };
    for stolen in [NOTHING, CHANNEL, TARGETS, ONE_ROOT] {
        assert!(!is_taken(stolen), "{stolen:?}");
    }
    assert!(is_taken(ONLINE), "recovered from by a new root: `after_fast_forward_a_new_key_lets_versions_start_again`");
}

/// A publisher who lets a quarter of the installs have 1.1.0 and, by the online key, holds it at a tenth; 1.2.0 is yanked
/// by the online key and 1.3.0 by the channel's.
fn careful_publisher() -> RepositorySimulator {
    let sim = publisher();
    let mut repo = sim.repo();
    for version in ["1.1.0", "1.2.0", "1.3.0"] {
        repo.release("stable", version, version.as_bytes());
    }
    let rules = &mut repo.stable().extension.as_mut().unwrap().rules;
    rules.rollout.insert("1.1.0".parse().unwrap(), Percent::new(25).unwrap());
    rules.yank.insert("1.3.0".parse().unwrap());
    let steering = Steering {
        hold: [("1.1.0".parse().unwrap(), Percent::new(10).unwrap())].into(),
        yank: ["1.2.0".parse().unwrap()].into(),
    };
    repo.timestamp.extension =
        Some(TimestampExtension { channels: [(Channel::stable(), steering)].into(), ..TimestampExtension::default() });
    drop(repo);
    sim
}

/// Returns how many of 1,000 installs of 1.0.0 take which version, after a check of this storage.
fn offered(client: &SimulatedClient, now: updater_format::UtcTime) -> BTreeMap<String, usize> {
    let stable = Channel::stable();
    let look = client.with(|refreshed| {
        let steering = refreshed.set().current_timestamp().steering(&stable).cloned();
        Ok((refreshed.channel(&stable)?, steering))
    });
    let (channel, steering) = look.unwrap();
    let (version, platform) = ("1.0.0".parse().unwrap(), TRIPLE.parse().unwrap());
    let mut taken = BTreeMap::new();
    for install in 0..1000u128 {
        let id = InstallId::from_bytes(install.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835).to_be_bytes());
        let installed = Installed {
            app: &client.app,
            version: &version,
            platform: &platform,
            kind: InstallKind::Executable,
            libc: None,
            bad: &[],
            epoch: 0,
            rollout: Rollout::Id(id),
            now,
            component: None,
        };
        let rules = channel.role().rules().unwrap();
        let offers = [Offer { channel: &stable, contents: channel.contents(), rules, steering: steering.as_ref() }];
        if let Decision::Available(candidate) = choose(&installed, &offers) {
            *taken.entry(candidate.bundle.version.to_string()).or_default() += 1;
        }
    }
    taken
}

#[test]
fn goals_lift_a_hold_and_offer_a_yanked_release() {
    let genuine = careful_publisher();
    let now = genuine.clock.now();
    let reference = offered(&genuine.client(), now);
    assert_eq!(reference.keys().collect::<Vec<_>>(), ["1.1.0"], "nothing that is yanked");
    assert!((70..=130).contains(&reference["1.1.0"]), "{reference:?}");
    let lift = |repo: &mut Repository| {
        repo.timestamp.extension = None;
        repo.timestamp.version += 1;
        let rules = &mut repo.stable().extension.as_mut().unwrap().rules;
        *rules = ChannelRules::default();
    };
    // Without the online key the genuine timestamp stays, and with it every other document.
    for stolen in [NOTHING, CHANNEL, TARGETS, ONE_ROOT] {
        let evil = forge(stolen, &genuine, lift);
        assert!(matches!(attempt(genuine.client(), &evil, |_| true), Outcome::Refused("pinned", _)), "{stolen:?}");
        let returning = victim(&genuine).over(evil.transport(), &["https://a.example/"]);
        assert_eq!(offered(&returning, now), reference, "{stolen:?}");
    }
    // With it, what the online key itself had said is gone. What the channel's keys said still holds: a quarter at most,
    // and never 1.3.0.
    let evil = forge(ONLINE, &genuine, |repo| {
        repo.timestamp.extension = None;
        repo.timestamp.version += 1;
    });
    let client = victim(&genuine).over(evil.transport(), &["https://a.example/"]);
    let taken = offered(&client, now);
    assert_eq!(taken.get("1.3.0"), None, "{taken:?}");
    assert_eq!(taken["1.2.0"], 1000, "a yank by the online key alone is lifted with it: sign it into the role");
    let evil = forge(ONLINE, &genuine, |repo| {
        repo.timestamp.version += 1;
        let extension = repo.timestamp.extension.as_mut().unwrap();
        extension.channels.get_mut(&Channel::stable()).unwrap().hold.clear();
    });
    let client = victim(&genuine).over(evil.transport(), &["https://a.example/"]);
    let taken = offered(&client, now);
    assert_eq!(taken.keys().collect::<Vec<_>>(), ["1.1.0"]);
    assert!((200..=300).contains(&taken["1.1.0"]), "up to the ceiling of the role: {taken:?}");
}
