//! Rollouts, holds, yanks and retreats, from the signed documents to what the updater of an app answers.

#![expect(clippy::unwrap_used, reason = "helpers of tests may fail like a test")]

use std::collections::BTreeSet;
use std::sync::Arc;
use updater_format::role::{ChannelRules, Percent, Retreat, TimestampExtension};
use updater_format::{InstallId, ReleaseVersion, Sha256};
use updater_runtime::check::{Decision, Installed, Offer, Rollout, Withheld, choose};
use updater_runtime::transport::Retry;
use updater_runtime::{Clock as _, Config, InstallKind, NoUpdate, Status, Updater};
use updater_tests::simulator::{RepositorySimulator, SimulatedClient, TRIPLE};

/// How many clients are simulated.
const CLIENTS: u32 = 10_000;

fn v(text: &str) -> ReleaseVersion {
    text.parse().unwrap()
}

fn percent(percent: u64) -> Percent {
    Percent::new(percent).unwrap()
}

fn change_rules(sim: &RepositorySimulator, change: impl FnOnce(&mut ChannelRules)) {
    let mut repo = sim.repo();
    let role = repo.stable();
    role.version += 1;
    change(&mut role.extension.as_mut().unwrap().rules);
    repo.bump();
}

fn change_timestamp(sim: &RepositorySimulator, change: impl FnOnce(&mut TimestampExtension)) {
    let mut repo = sim.repo();
    repo.timestamp.version += 1;
    change(repo.timestamp.extension.get_or_insert_default());
}

fn retreat(sim: &RepositorySimulator, from: &str, to: &str) -> Retreat {
    let expires = sim.clock.in_days(30);
    Retreat { from: v(from), to: v(to), expires, extra: Default::default() }
}

/// The id of the n-th client: different ones, the same in every run.
fn id(client: u32) -> InstallId {
    let digest = Sha256::of(format!("install {client}").as_bytes());
    InstallId::from_bytes(digest.as_bytes()[..16].try_into().unwrap())
}

/// One check of many clients at once: what is fetched is the same for all of them, what they choose is not.
fn check_all(client: &SimulatedClient, version: &str) -> Vec<Decision> {
    let (stable, installed_version, platform) = ("stable".parse().unwrap(), v(version), TRIPLE.parse().unwrap());
    client
        .with(|refreshed| {
            let channel = refreshed.channel(&stable)?;
            let steering = refreshed.set().current_timestamp().steering(&stable);
            let (contents, rules) = (channel.contents(), channel.role().rules().unwrap());
            let offers = [Offer { channel: &stable, contents, rules, steering }];
            let decide = |n| {
                let installed = Installed {
                    app: &client.app,
                    version: &installed_version,
                    platform: &platform,
                    kind: InstallKind::Executable,
                    libc: None,
                    bad: &[],
                    epoch: 0,
                    rollout: Rollout::Id(id(n)),
                    now: refreshed.set().rules().now,
                    component: None,
                };
                choose(&installed, &offers)
            };
            Ok((0..CLIENTS).map(decide).collect())
        })
        .unwrap()
}

/// The clients that would take a version.
fn takers(decisions: &[Decision], version: &str) -> BTreeSet<usize> {
    let takes = |decision: &Decision| matches!(decision, Decision::Available(c) if c.bundle.version == v(version));
    decisions.iter().enumerate().filter(|(_, decision)| takes(decision)).map(|(n, _)| n).collect()
}

#[test]
fn a_rollout_reaches_its_share_of_ten_thousand_and_only_grows() {
    let sim = RepositorySimulator::new();
    sim.repo().release("stable", "1.1.0", b"new");
    let client = sim.client();
    let share = |share: u64| {
        change_rules(&sim, |rules| {
            rules.rollout.insert(v("1.1.0"), percent(share));
        });
        takers(&check_all(&client, "1.0.0"), "1.1.0")
    };
    let ten = share(10);
    let found = ten.len() as f64 * 100.0 / f64::from(CLIENTS);
    assert!((9.0..=11.0).contains(&found), "{found} % of the clients");
    assert_eq!(takers(&check_all(&client, "1.0.0"), "1.1.0"), ten, "the next check says the same");
    let mut before = ten.clone();
    for more in [20, 35, 50] {
        let now = share(more);
        assert!(before.is_subset(&now) && before.len() < now.len());
        let found = now.len() as f64 * 100.0 / f64::from(CLIENTS);
        assert!((found - more as f64).abs() < 2.0, "{found} instead of {more} %");
        before = now;
    }
    // The online key holds some back; those that stay are the first ones again.
    change_timestamp(&sim, |x| {
        x.channels.entry("stable".parse().unwrap()).or_default().hold.insert(v("1.1.0"), percent(10));
    });
    assert_eq!(takers(&check_all(&client, "1.0.0"), "1.1.0"), ten);
    assert_eq!(share(100), ten, "a hold is not lifted by a rollout");
    // Other clients go first with another release.
    sim.repo().release("stable", "1.2.0", b"newer");
    change_rules(&sim, |rules| {
        rules.rollout.insert(v("1.2.0"), percent(10));
    });
    let others = takers(&check_all(&client, "1.0.0"), "1.2.0");
    assert!(others.intersection(&ten).count() < 200, "the same clients again");
}

#[test]
fn a_yanked_release_is_left_by_all_in_one_check_after_a_retreat() {
    let sim = RepositorySimulator::new();
    for version in ["1.0.0", "1.1.0", "1.2.0"] {
        sim.repo().release("stable", version, version.as_bytes());
    }
    let client = sim.client();
    assert_eq!(takers(&check_all(&client, "1.1.0"), "1.2.0").len(), CLIENTS as usize);
    // The online key yanks: nobody new gets it, and nobody is moved.
    change_timestamp(&sim, |x| {
        x.channels.entry("stable".parse().unwrap()).or_default().yank.insert(v("1.2.0"));
    });
    let withheld = Decision::Withheld(Withheld::Yanked { version: v("1.2.0") });
    assert!(check_all(&client, "1.1.0").iter().all(|decision| *decision == withheld));
    assert!(check_all(&client, "1.2.0").iter().all(|decision| *decision == Decision::Current));
    // The channel's key retreats: everybody leaves.
    let back = retreat(&sim, "1.2.0", "1.1.0");
    change_rules(&sim, |rules| rules.retreat.push(back));
    assert_eq!(takers(&check_all(&client, "1.2.0"), "1.1.0").len(), CLIENTS as usize);
    assert!(check_all(&client, "1.1.0").iter().all(|decision| *decision == withheld), "nobody goes to and fro");
}

struct App {
    folder: tempfile::TempDir,
    sim: RepositorySimulator,
}

impl App {
    fn new(releases: &[&str]) -> Self {
        let app = Self { folder: tempfile::tempdir().unwrap(), sim: RepositorySimulator::new() };
        std::fs::write(app.folder.path().join("hello"), "").unwrap();
        for version in releases {
            app.sim.repo().release("stable", version, version.as_bytes());
        }
        app
    }

    /// Starts the app in a version and lets it check.
    fn check(&self, version: &str) -> Status {
        let root = self.sim.repo().root_bytes();
        let config =
            Config::new("hello".parse().unwrap(), v(version), TRIPLE.parse().unwrap(), root, "https://a.example/");
        let config = config
            .unwrap()
            .with_executable(self.folder.path().join("hello"))
            .with_state_dir(self.folder.path().join("state"))
            .with_clock(Arc::new(self.sim.clock.clone()))
            .with_retry(Retry { rounds: 1, ..Retry::default() })
            .with_transport(self.sim.transport());
        Updater::new(config).unwrap().check().unwrap()
    }

    fn id_file(&self) -> std::path::PathBuf {
        self.folder.path().join("state/install-id")
    }
}

#[test]
fn an_app_keeps_its_id_and_sends_it_to_nobody() {
    let app = App::new(&["1.1.0"]);
    assert!(matches!(app.check("1.0.0"), Status::Available(_)));
    assert!(!app.id_file().exists(), "it was not needed");
    change_rules(&app.sim, |rules| {
        rules.rollout.insert(v("1.1.0"), percent(50));
    });
    let first = matches!(app.check("1.0.0"), Status::Available(_));
    let kept = std::fs::read_to_string(app.id_file()).unwrap();
    let among = InstallId::parse(&kept).unwrap().bucket(&"hello".parse().unwrap(), &v("1.1.0")) < 50;
    assert_eq!(first, among);
    for _ in 0..3 {
        assert_eq!(matches!(app.check("1.0.0"), Status::Available(_)), among);
    }
    assert_eq!(std::fs::read_to_string(app.id_file()).unwrap(), kept);
    let asked = app.sim.take_requests().join("\n");
    assert!(!asked.is_empty() && !asked.contains(kept.trim_end()));
}

#[test]
fn an_app_goes_back_by_a_retreat_and_by_nothing_else() {
    let app = App::new(&["1.0.0", "1.1.0"]);
    assert!(matches!(app.check("1.1.0"), Status::NoUpdate(NoUpdate::Current { .. })));
    change_timestamp(&app.sim, |x| {
        x.channels.entry("stable".parse().unwrap()).or_default().yank.insert(v("1.1.0"));
    });
    let Status::NoUpdate(why @ NoUpdate::Unsupported { .. }) = app.check("1.1.0") else { panic!("it was yanked") };
    assert_eq!(why.to_string(), "1.1.0 was withdrawn by its publisher; there is no other version to go to yet");
    let back = retreat(&app.sim, "1.1.0", "1.0.0");
    change_rules(&app.sim, |rules| rules.retreat.push(back));
    let update = app.check("1.1.0").update().unwrap();
    assert_eq!((update.from(), update.version()), (&v("1.1.0"), &v("1.0.0")));
    assert!(update.is_urgent() && update.standing().yanked);
    // It has an end.
    let end = app.sim.clock.in_days(31);
    {
        let mut repo = app.sim.repo();
        repo.timestamp.expires = end.plus_days(7);
        repo.bump();
    }
    app.sim.clock.set(end);
    assert!(app.sim.clock.now() >= end);
    assert!(matches!(app.check("1.1.0"), Status::NoUpdate(NoUpdate::Unsupported { .. })));
}

#[test]
fn a_stale_timestamp_is_an_answer_and_installs_nothing() {
    let app = App::new(&["1.1.0"]);
    let expires = app.sim.repo().timestamp.expires;
    app.sim.clock.set(expires.plus_days(3));
    // A first check and one that kept the document while it was fresh: neither is an error, neither offers anything.
    for _ in 0..2 {
        let Status::NoUpdate(why) = app.check("1.0.0") else { panic!("something was offered") };
        assert_eq!(why.to_string(), format!("the publisher's timestamp role is stale since {expires}"));
        app.sim.clock.set(expires.plus_days(-1));
        assert!(matches!(app.check("1.0.0"), Status::Available(_)), "it is good until its last moment");
        app.sim.clock.set(expires.plus_days(3));
    }
}

#[test]
fn an_app_below_the_floor_is_told_so() {
    let app = App::new(&["1.2.0"]);
    change_rules(&app.sim, |rules| {
        rules.floor = Some(v("1.1.0"));
        rules.rollout.insert(v("1.2.0"), percent(0));
    });
    let Status::NoUpdate(why) = app.check("1.0.0") else { panic!("1.2.0 is for nobody yet") };
    assert_eq!(
        why.to_string(),
        "1.0.0 is older than 1.1.0, the lowest version that is still good; no update for this computer: 1.2.0 is being \
         rolled out, to 0 % of the installs so far"
    );
    change_rules(&app.sim, |rules| rules.rollout.clear());
    let update = app.check("1.0.0").update().unwrap();
    assert_eq!(update.standing().below_floor, Some(v("1.1.0")));
    assert!(update.is_urgent());
}
