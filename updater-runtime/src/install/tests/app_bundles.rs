//! What is different about app bundles: nothing is added to them, and which release one is, is told from beside it.

use super::*;
use crate::apply::ApplyError;
use crate::install::manifests::manifest_in;
use crate::install::testing::APP_PROGRAM;

fn write(world: &World, path: &str, content: &str) {
    std::fs::write(world.layout.root().join(path), content).unwrap();
}

/// What somebody puts in the place of the app by hand.
fn another(version: &str) -> Release {
    Release::app_bundle(version, &format!("#!/bin/sh\necho by hand {version}\n"), &[])
}

fn replace_by_hand(world: &World, release: &Release) {
    std::fs::remove_dir_all(world.layout.root()).unwrap();
    release.install_at(world.layout.root());
}

#[test]
fn a_staged_bundle_with_anything_beside_the_release_is_refused() {
    let world = World::app_bundle();
    let staged = staged(&world.layout, &world.old, &world.new, Trial::Start).unwrap();
    assert!(!staged.path().join(MANIFEST_PATH).exists());
    std::fs::write(staged.path().join(MANIFEST_PATH), world.new.manifest.encode()).unwrap();
    let error = crate::apply::verify_staged(&world.layout, world.new.digest()).unwrap_err();
    assert!(matches!(&error, ApplyError::Damaged { path, .. } if path == MANIFEST_PATH), "{error:?}");
    assert!(matches!(staged.install(), Err(InstallError::Damaged { .. })));
    world.assert_installed(&world.old);
}

#[test]
fn what_a_user_put_into_a_bundle_goes_and_comes_with_it() {
    let world = World::app_bundle();
    write(&world, "Contents/Resources/mine", "the user's");
    write(&world, "Icon\r", "");
    write(&world, "Contents/.DS_Store", "1");
    std::os::unix::fs::symlink("/nowhere", world.layout.root().join("Contents/out")).unwrap();
    let before = tree_of(world.layout.root());
    world.swap(Trial::Confirm);
    world.assert_installed(&world.new);
    // It is whole whatever the Finder writes into it.
    std::fs::write(world.layout.previous_tree().join("Contents/.DS_Store"), "2").unwrap();
    recovery::put_back(&world);
    let mut after = tree_of(world.layout.root());
    after.insert("Contents/.DS_Store".into(), b"1".to_vec());
    assert_eq!(after, before);
    world.swap(Trial::Start);
    assert!(confirm(&world.layout, now()).unwrap());
    world.assert_installed(&world.new);
    // But for the memory of the release that was put back.
    let left = crate::fs::names(world.layout.hidden()).unwrap();
    assert!(left.iter().all(|name| name == "lock" || name == "state.json"), "{left:?}");
}

#[test]
fn another_version_put_there_by_hand_is_updated_like_any_other() {
    let world = World::app_bundle();
    let by_hand = another("1.0.5");
    replace_by_hand(&world, &by_hand);
    let staged = staged(&world.layout, &by_hand, &world.new, Trial::Confirm).unwrap();
    staged.install().unwrap();
    world.assert_installed(&world.new);
    recovery::put_back(&world);
    world.assert_installed(&by_hand);
}

#[test]
fn a_scheduled_release_is_not_put_over_another_version_that_came_by_hand() {
    let world = World::app_bundle();
    staged(&world.layout, &world.old, &world.new, Trial::Start).unwrap().install_at_next_start().unwrap();
    let by_hand = another("1.0.5");
    replace_by_hand(&world, &by_hand);
    assert!(matches!(settle(&world.layout, now()), Ok(Settled::Nothing)));
    world.assert_installed(&by_hand);
    world.assert_tidy();
    // The same program with other resources: the seal tells.
    let world = World::app_bundle();
    staged(&world.layout, &world.old, &world.new, Trial::Start).unwrap().install_at_next_start().unwrap();
    write(&world, "Contents/_CodeSignature/CodeResources", "another seal");
    let before = tree_of(world.layout.root());
    let error = settle(&world.layout, now()).unwrap_err();
    assert!(matches!(&error, InstallError::Damaged { path, .. } if path == world.layout.root()), "{error:?}");
    assert_eq!(tree_of(world.layout.root()), before);
    assert_eq!(world.phase(), Phase::Idle);
}

#[test]
fn another_version_put_there_by_hand_after_a_crash_stays() {
    for exchanged in [false, true] {
        let world = World::app_bundle();
        let begun = recovery::begin(&world);
        if exchanged {
            drop(begun.exchange().unwrap())
        } else {
            drop(begun)
        }
        let by_hand = another("1.0.5");
        replace_by_hand(&world, &by_hand);
        recovery::recover(&world);
        world.assert_installed(&by_hand);
        // The next update ends whatever was left, and can be taken back to what was there.
        let newer = world.next("1.2.0");
        staged(&world.layout, &by_hand, &newer, Trial::Confirm).unwrap().install().unwrap();
        world.assert_installed(&newer);
        recovery::put_back(&world);
        world.assert_installed(&by_hand);
    }
}

#[test]
fn a_release_that_nothing_tells_from_the_installed_one_is_refused() {
    let world = World::app_bundle();
    let mut same = world.old.files.clone();
    same.insert("Contents/Resources/same".to_owned(), b"not sealed".to_vec());
    let same = world.old.with(same, APP_PROGRAM, "1.1.0");
    let error = staged(&world.layout, &world.old, &same, Trial::Start).unwrap_err();
    assert_eq!(error.code(), "install-same-bundle", "{error:?}");
    world.assert_installed(&world.old);
}

#[test]
fn releases_may_differ_in_the_name_of_their_program() {
    let mut world = World::app_bundle();
    let mut files = world.new.files.clone();
    let program = files.remove(APP_PROGRAM).unwrap();
    files.insert("Contents/MacOS/renamed".to_owned(), program);
    world.new = world.new.with(files, "Contents/MacOS/renamed", "1.1.0");
    drop(recovery::exchanged(&world));
    recovery::recover(&world);
    world.assert_installed(&world.new);
    assert!(matches!(world.phase(), Phase::Trial { .. }));
    let (installed, digest) = manifest_in(&world.layout, world.layout.root()).unwrap().unwrap();
    assert_eq!((installed.entry().file_name(), digest), ("renamed", world.new.digest()));
    recovery::put_back(&world);
    world.assert_installed(&world.old);
}

#[test]
fn a_kept_bundle_that_lost_a_file_is_not_put_back() {
    let world = World::app_bundle();
    world.swap(Trial::Confirm);
    let lost = world.layout.previous_tree().join("Contents/Frameworks/X.framework/X");
    std::fs::remove_file(&lost).unwrap();
    let session = Session::recover(&world.layout, Duration::from_secs(5), now()).unwrap();
    let result = crate::install::rollback::Kept::verify(session);
    assert!(matches!(&result, Err(InstallError::Damaged { path, .. }) if *path == lost), "{result:?}");
    world.assert_installed(&world.new);
}
