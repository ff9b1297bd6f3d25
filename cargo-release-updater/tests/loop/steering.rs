//! What a publisher does about a bad release, shown on copies of a real program that installed it.

use crate::app::Installed;
use crate::trial_app::{Behaviour, TrialApp, copy_folder, trial_app};
use std::path::{Path, PathBuf};
use updater_tests::server::TestServer;

/// Runs `cargo updater release` on a repository.
fn release(trial: &TrialApp, repository: &Path, arguments: &[&str]) -> crate::package::Run {
    let storage = format!("fs:{}", repository.display());
    let all = [["release"].as_slice(), arguments, &["--storage", &storage]].concat();
    trial.app.cargo_updater(&all)
}

/// Publishes 1.1.0, or what `version` says, on top of 1.0.0 in a repository of its own.
fn repository_with(trial: &TrialApp, name: &str, version: &str, behaviour: Behaviour, options: &[&str]) -> PathBuf {
    let repository = trial.app.path("repositories").join(name);
    copy_folder(&trial.first, &repository);
    trial.at(version, behaviour, || trial.app.publish_with(repository.to_str().unwrap(), options));
    repository
}

fn updated(trial: &TrialApp, url: &str) -> Installed {
    let installed = trial.app.install(&trial.first, "1.0.0");
    installed.update(url).done_by("1.1.0");
    installed.run(&["confirm"]).done_by("1.1.0").tells("confirmed: Ok(true)");
    installed
}

#[test]
fn a_retreat_puts_the_older_release_back_on_disk_in_one_check() {
    let mut trial = trial_app();
    let repository = trial.app.path("repositories/retreat");
    copy_folder(&trial.with_second(Behaviour::Healthy), &repository);
    let server = TestServer::start();
    server.serve_folder(&repository);
    let url = server.url("/");
    let copies = [updated(&trial, &url), updated(&trial, &url)];
    let (old, new) = (trial.app.install(&trial.first, "1.0.0"), copies[0].bytes());
    assert_ne!(old.bytes(), new);

    // A yank by the online key moves nobody: whoever has it is told, nobody else gets it.
    release(&trial, &repository, &["yank", "1.1.0", "--online"]).ok();
    let told = "no update: 1.1.0 was withdrawn by its publisher; there is no other version to go to yet";
    copies[0].update(&url).done_by("1.1.0").tells(told);
    old.update(&url).done_by("1.0.0").tells("no update: no update for this computer: 1.1.0 was withdrawn");
    assert_eq!(copies[0].bytes(), new);

    // The channel's key leads back.
    release(&trial, &repository, &["retreat", "1.1.0", "1.0.0"]).ok();
    for copy in &copies {
        copy.update(&url).done_by("1.0.0").tells("this is 1.1.0").tells("event 1.0.0 is staged");
        assert_eq!(copy.bytes(), old.bytes(), "what is on disk is the release that was published as 1.0.0");
        copy.run(&["confirm"]).done_by("1.0.0").tells("confirmed: Ok(true)");
        copy.update(&url).done_by("1.0.0").tells("no update: ");
    }
    old.update(&url).done_by("1.0.0").tells("no update: ");
    assert_eq!(old.bytes(), copies[0].bytes());

    // From there the next release is taken as by everybody.
    trial.publish("1.2.0", Behaviour::Healthy, &repository);
    copies[0].update(&url).done_by("1.2.0").tells("event 1.2.0 is staged");
}

#[test]
fn nothing_below_a_raised_epoch_is_taken() {
    let trial = trial_app();
    let repository = repository_with(&trial, "epoch", "1.1.0", Behaviour::Healthy, &["--raise-epoch"]);
    let server = TestServer::start();
    server.serve_folder(&repository);
    let installed = updated(&trial, &server.url("/"));
    let new = installed.bytes();
    release(&trial, &repository, &["retreat", "1.1.0", "1.0.0"]).fails(
        2,
        "1.1.0 has the epoch 1, 1.0.0 only 0: no install would go back",
        "publish a repaired, newer release",
    );
    // A repository that never heard of the epoch, newer by all its numbers and signed by the same keys.
    let other = repository_with(&trial, "epoch-lost", "1.2.0", Behaviour::Healthy, &[]);
    for share in ["50", "100"] {
        release(&trial, &other, &["rollout", "1.2.0", share]).ok();
    }
    server.serve_folder(&other);
    let url = server.url("/");
    let told = "1.2.0 has the security counter 0, but 1 was installed here";
    installed.update(&url).done_by("1.1.0").tells(told);
    assert_eq!(installed.bytes(), new);
    // A copy that never had 1.1.0 takes it.
    trial.app.install(&trial.first, "1.0.0").update(&url).done_by("1.2.0");
}

#[test]
fn a_failed_trial_returns_below_the_epoch_that_it_would_have_raised() {
    let trial = trial_app();
    let repository = repository_with(&trial, "epoch-fails", "1.1.0", Behaviour::Panics, &["--raise-epoch"]);
    let server = TestServer::start();
    server.serve_folder(&repository);
    let (installed, url) = (trial.app.install(&trial.first, "1.0.0"), server.url("/"));
    let old = installed.bytes();
    for run in [installed.update(&url), installed.run(&["tell"])] {
        assert_eq!(run.status.code(), Some(101), "{run:#?}");
        assert_ne!(installed.bytes(), old);
    }
    installed.run(&["tell"]).done_by("1.0.0");
    assert_eq!(installed.bytes(), old);
    // The epoch of a release that never completed its trial does not count against what comes next.
    installed.update(&url).done_by("1.0.0").tells("1.1.0 failed its trial here");
}
