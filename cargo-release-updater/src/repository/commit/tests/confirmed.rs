//! What is told as published is what can be had: looked at after the commit, and put back where others have written over it.

use super::*;

#[test]
fn what_a_late_publisher_has_overwritten_is_put_back() {
    let app = App::new();
    let storage = memory().with_failing_conditions(Duration::from_millis(10));
    app.publish(&storage, "a", NO_LEASE).unwrap();
    for file in ["2.stable.json", "3.snapshot.json", "4.snapshot.json"] {
        // Between the last look at the claim and the commit, another one writes over what the commit names.
        storage.slow_down(&metadata(TIMESTAMP), Duration::from_millis(600));
        std::thread::scope(|scope| {
            let late = scope.spawn(|| {
                while storage.length(&metadata(file)).unwrap().is_none() {
                    std::thread::sleep(Duration::from_millis(5));
                }
                std::thread::sleep(Duration::from_millis(200));
                storage.put_mutable(&metadata(file), b"of another publisher".to_vec()).unwrap();
            });
            match file {
                "4.snapshot.json" => drop(app.refresh(&storage).unwrap()),
                _ => drop(app.publish(&storage, &format!("with-{file}"), NO_LEASE).unwrap()),
            }
            late.join().unwrap();
        });
        let text = app.shell.output().0;
        assert!(
            text.contains(&format!("metadata/{file} was overwritten by another publisher; it is put back")),
            "{text}"
        );
    }
    assert_eq!(app.visible(&storage).unwrap(), ["a", "with-2.stable.json", "with-3.snapshot.json"]);
}

#[test]
fn a_rule_counts_as_published_when_the_newest_role_was_made_from_its_own() {
    let app = App::new();
    let storage = memory();
    app.publish(&storage, "a", NO_LEASE).unwrap();
    let ours = floor(&app, &storage, "1.0.0");
    let mut keychain = app.keychain();
    let commit = app.commit(&storage, &mut keychain, NO_LEASE);
    assert_eq!(commit.confirm_role(&ours).unwrap(), Some(Newest::Ours));
    // Somebody else sets it anew, and again: ours is not lost, it is over.
    floor(&app, &storage, "2.0.0");
    floor(&app, &storage, "3.0.0");
    assert_eq!(commit.confirm_role(&ours).unwrap(), Some(Newest::Theirs));
    // Of the same number, lost to one that knew nothing of it.
    let lost = SignedRole { meta: MetaFile::of(ours.version, b"another"), ..ours };
    assert_eq!(commit.confirm_role(&lost).unwrap(), None);
}

#[test]
fn a_hold_that_another_commit_has_overwritten_is_not_told_as_done() {
    let app = App::new();
    let storage = memory();
    app.publish(&storage, "a", NO_LEASE).unwrap();
    let before = storage.read(&metadata(TIMESTAMP), 1 << 20).unwrap().unwrap();
    let mut keychain = app.keychain();
    let mut commit = app.commit(&storage, &mut keychain, NO_LEASE);
    let mut yank = |extension: &mut TimestampExtension, _: &RepositoryState| {
        extension.channels.entry(Channel::stable()).or_default().yank.insert("1.0.0".parse().unwrap());
        Ok(())
    };
    commit.withhold(&mut yank).unwrap();
    let ours = RepositoryState::read(&storage, &app.id, &app.root, Expiry::Ignored).unwrap().unwrap();
    let ours = (**ours.timestamp()).clone();
    assert_eq!(commit.confirm_withheld(&mut yank, &ours, &Sent::Done).unwrap(), Some(Newest::Ours));
    // A later one that holds more keeps it; the one from before does not.
    commit
        .withhold(|extension, _| {
            extension.channels.entry(beta()).or_default().yank.insert("1.0.0".parse().unwrap());
            Ok(())
        })
        .unwrap();
    assert_eq!(commit.confirm_withheld(&mut yank, &ours, &Sent::Refused).unwrap(), Some(Newest::Theirs));
    storage.put_mutable(&metadata(TIMESTAMP), before).unwrap();
    assert_eq!(commit.confirm_withheld(&mut yank, &ours, &Sent::Done).unwrap(), None);
}

#[test]
fn a_version_file_that_was_not_written_is_written_by_the_next_refresh() {
    let app = App::new();
    let read = |storage: &Storage| {
        let text = storage.read("VERSION", 1 << 16).unwrap().unwrap();
        String::from_utf8(text).unwrap()
    };
    let stopped_after_the_commit = |operation| {
        let (temp, storage) = folder();
        app.publish(&storage, "a", NO_LEASE).unwrap();
        let _ = app.publish(&storage.stopping_after(operation), "b", NO_LEASE);
        (app.visible(&storage).unwrap().len() == 2).then_some((temp, storage))
    };
    let (_temp, storage) = (0..100).find_map(stopped_after_the_commit).unwrap();
    let first = read(&storage);
    assert!(first.contains("\nROLE 1\n"), "{first}");
    app.refresh(&storage).unwrap();
    let mended = read(&storage);
    assert!(mended.contains("\nROLE 2\n") && mended.contains("\nSIGNATURE "), "{mended}");
    // A late publisher of an older role does not put its own back.
    let mut keychain = app.keychain();
    app.commit(&storage, &mut keychain, NO_LEASE).publish_version_file(&app.channel, 1, &first);
    assert_eq!(read(&storage), mended);
}

/// Sets the floor of a channel and returns the role that says so, as its publisher knows it.
fn floor(app: &App, storage: &Storage, floor: &str) -> SignedRole {
    let mut keychain = app.keychain();
    let mut commit = app.commit(storage, &mut keychain, NO_LEASE);
    let committed = commit.publish(&app.channel, |role, _| {
        role.extension.as_mut().unwrap().rules.floor = Some(floor.parse().unwrap());
        Ok(())
    });
    let state = RepositoryState::read(storage, &app.id, &app.root, Expiry::Ignored).unwrap().unwrap();
    let meta = state.snapshot().roles["stable"].clone();
    SignedRole {
        channel: app.channel.clone(),
        version: committed.unwrap().role,
        meta,
        file: String::new(),
        bytes: Vec::new(),
        version_file: String::new(),
    }
}
