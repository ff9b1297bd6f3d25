//! Who may commit where a claim is all that keeps publishers apart.

use super::*;

#[test]
fn without_a_lock_a_claim_is_waited_for_until_it_is_committed() {
    let app = App::new();
    let storage = memory();
    app.publish(&storage, "a", NO_LEASE).unwrap();
    // Somebody claims 2 and commits it a little later.
    let staging = copy_of(&storage);
    app.publish(&staging, "b", NO_LEASE).unwrap();
    let copy = |file: &str| {
        let bytes = staging.read(&metadata(file), 1 << 20).unwrap().unwrap();
        storage.put_mutable(&metadata(file), bytes).unwrap();
    };
    for file in ["1.stable.json", "1.snapshot.json", "2.stable.json", "2.snapshot.json"] {
        copy(file);
    }
    std::thread::scope(|scope| {
        let publisher = scope.spawn(|| app.publish(&storage, "c", NO_LEASE).unwrap());
        std::thread::sleep(Duration::from_millis(50));
        copy("timestamp.json");
        assert_eq!(publisher.join().unwrap(), Committed { timestamp: 3, snapshot: 3, role: 3 });
    });
    assert_eq!(app.visible(&storage).unwrap(), ["a", "b", "c"]);
}

#[test]
fn without_a_lock_a_claim_is_skipped_when_its_lease_has_run_out() {
    let app = App::new();
    let storage = memory();
    app.publish(&storage, "a", NO_LEASE).unwrap();
    storage.put_new(&metadata("2.snapshot.json"), b"abandoned".to_vec()).unwrap();
    let lease = Lease { duration: Duration::from_millis(50), poll: Duration::from_millis(5) };
    let before = Instant::now();
    assert_eq!(app.publish(&storage, "b", lease).unwrap(), Committed { timestamp: 2, snapshot: 3, role: 2 });
    assert!(before.elapsed() >= Duration::from_millis(40));
    assert_eq!(app.visible(&storage).unwrap(), ["a", "b"]);
}

#[test]
fn a_commit_that_outlasts_its_lease_is_given_up() {
    let late = Some("took longer than the 0 s that were left");
    for (slow, millis, told) in [("2.snapshot.json", 900, None), (TIMESTAMP, 20_000, late)] {
        let app = App::new();
        let storage = memory();
        app.publish(&storage, "a", NO_LEASE).unwrap();
        let lease = Lease { duration: Duration::from_millis(800), poll: Duration::from_millis(5) };
        storage.slow_down(&metadata(slow), Duration::from_millis(millis));
        let committed = match (app.publish(&storage, "b", lease), told) {
            (Ok(committed), None) => committed,
            (Err(error), Some(told)) => {
                assert!(error.to_string().contains(told), "{error}");
                assert_eq!(app.visible(&storage).unwrap(), ["a"]);
                app.publish(&storage, "b", lease).unwrap()
            }
            (other, _) => panic!("{slow} was slow: {other:?}"),
        };
        // Others may have taken claim 2 for abandoned.
        assert_eq!(committed.snapshot, 3, "{slow} was slow");
        assert_eq!(app.visible(&storage).unwrap(), ["a", "b"]);
    }
}

#[test]
fn two_claims_of_the_same_second_are_told_apart() {
    let app = App::new();
    let storage = memory();
    app.publish(&storage, "a", NO_LEASE).unwrap();
    let mut keychain = app.keychain();
    let commit = app.commit(&storage, &mut keychain, NO_LEASE);
    let claim = || {
        let mut snapshot = next_snapshot(None, 2, [], now());
        commit.mark_claim(&mut snapshot);
        storage.put_new(&metadata("2.snapshot.json"), format!("{snapshot:?}").into_bytes()).unwrap()
    };
    assert_eq!([claim(), claim()], [Created::New, Created::Exists]);
}

#[test]
fn three_first_publishers_wait_for_the_first_timestamp() {
    let app = App::new();
    let (storage, staging) = (memory(), memory());
    app.publish(&staging, "a", NO_LEASE).unwrap();
    let copy = |file: &str| {
        let bytes = staging.read(&metadata(file), 1 << 20).unwrap().unwrap();
        storage.put_mutable(&metadata(file), bytes).unwrap();
    };
    ["1.root.json", "1.targets.json", "1.stable.json", "1.snapshot.json"].into_iter().for_each(copy);
    storage.put_new(&metadata("2.snapshot.json"), b"of the second".to_vec()).unwrap();
    let lease = Lease { duration: Duration::from_millis(500), poll: Duration::from_millis(1) };
    std::thread::scope(|scope| {
        let third = scope.spawn(|| app.publish(&storage, "c", lease).unwrap());
        std::thread::sleep(Duration::from_millis(100));
        copy(TIMESTAMP);
        assert_eq!(third.join().unwrap().role, 2);
    });
    assert_eq!(app.visible(&storage).unwrap(), ["a", "c"]);
}

#[test]
fn an_owner_that_was_overtaken_gives_up_and_merges() {
    let app = App::new();
    let storage = memory();
    app.publish(&storage, "a", NO_LEASE).unwrap();
    let lease = Lease { duration: Duration::from_millis(20), poll: Duration::from_millis(1) };
    let mut keychain = app.keychain();
    let mut rounds = 0;
    let committed = app.commit(&storage, &mut keychain, NO_LEASE).publish(&app.channel, |role, _| {
        rounds += 1;
        if rounds == 1 {
            // While this publisher works, another one publishes a whole release.
            app.publish(&storage, "b", lease).unwrap();
        }
        role.targets.insert("c".to_owned(), target("c"));
        Ok(())
    });
    assert_eq!((rounds, committed.unwrap().snapshot), (2, 3));
    assert_eq!(app.visible(&storage).unwrap(), ["a", "b", "c"]);
}

#[test]
fn a_number_taken_by_an_unlisted_file_is_skipped() {
    let app = App::new();
    let (_temp, storage) = folder();
    app.publish(&storage, "a", NO_LEASE).unwrap();
    for file in ["2.stable.json", "3.stable.json", "2.snapshot.json"] {
        storage.put_new(&metadata(file), b"left behind".to_vec()).unwrap();
    }
    assert_eq!(app.publish(&storage, "b", NO_LEASE).unwrap(), Committed { timestamp: 2, snapshot: 3, role: 4 });
    assert_eq!(storage.read(&metadata("2.stable.json"), 99).unwrap().unwrap(), b"left behind");
}

#[test]
fn a_timestamp_of_the_same_snapshot_is_not_overwritten() {
    let app = App::new();
    let (_temp, locked) = folder();
    app.publish(&locked, "a", NO_LEASE).unwrap();
    let storage = copy_of(&locked);
    // Under a lock, a refresh signs the timestamp alone.
    assert_eq!(app.refresh(&locked).unwrap().snapshot, None);
    let refreshed = locked.read(&metadata(TIMESTAMP), 1 << 20).unwrap().unwrap();
    let mut tries = 0;
    let mut keychain = app.keychain();
    let lease = Lease { duration: Duration::from_millis(500), poll: Duration::from_millis(1) };
    let committed = app.commit(&storage, &mut keychain, lease).publish(&app.channel, |role, _| {
        tries += 1;
        storage.put_mutable(&metadata(TIMESTAMP), refreshed.clone()).unwrap();
        role.targets.insert("b".to_owned(), target("b"));
        Ok(())
    });
    assert_eq!((tries, committed.unwrap().timestamp), (2, 3));
}

#[test]
fn a_refresh_makes_a_claim_where_claims_keep_publishers_apart() {
    let app = App::new();
    let storage = memory();
    app.publish(&storage, "a", NO_LEASE).unwrap();
    let refreshed = app.refresh(&storage).unwrap();
    assert_eq!((refreshed.timestamp, refreshed.snapshot), (Some(2), Some(2)));
}
