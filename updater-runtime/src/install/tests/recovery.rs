//! The next start from every state between two transitions, and from garbage.

use super::{
    InstallError, Layout, Release, Session, Settled, Swapping, Trial, World, confirm, is_hidden, now, settle, staged,
    tree_of, verify_again, version,
};
use crate::install::rollback::{Kept, put_back_unfinished};
use crate::install::swap::{Carried, Exchanged};
use crate::install::trial::{Attempt, Attempts};
use crate::install::{InstallKind, journal};
use std::path::Path;
use std::time::Duration;
use updater_format::state::{InstallState, JournaledRelease, Phase};

/// A child that another test is starting has the lock for a moment.
const PATIENCE: Duration = Duration::from_secs(5);

fn journaled(world: &World, release: &Release) -> JournaledRelease {
    let manifest = match (world.layout.kind(), release.version() == world.old.version()) {
        (InstallKind::Executable, true) => None,
        _ => Some(release.digest()),
    };
    JournaledRelease { entry: release.manifest.entry_digest(), manifest, version: release.version().clone(), epoch: 0 }
}

/// Stages the new release and begins the swap.
pub(super) fn begin(world: &World) -> Swapping {
    let staged = staged(&world.layout, &world.old, &world.new, Trial::Confirm).unwrap();
    let (session, from, to) = staged.into_parts();
    verify_again(&world.layout, &to).unwrap();
    Swapping::begin(session, from, to, Trial::Confirm).unwrap()
}

pub(super) fn exchanged(world: &World) -> Exchanged {
    begin(world).exchange().unwrap()
}

fn carried(world: &World) -> Carried {
    exchanged(world).carry_over().unwrap()
}

/// The start after a crash.
pub(super) fn recover(world: &World) {
    Session::recover(&world.layout, PATIENCE, now()).unwrap().close();
}

/// Puts the old release back as a failed trial does.
pub(super) fn put_back(world: &World) {
    let session = Session::recover(&world.layout, PATIENCE, now()).unwrap();
    Kept::verify(session).unwrap().unwrap().begin().unwrap().put_back().unwrap().finish(now()).unwrap().close();
}

#[track_caller]
fn assert_on_trial(world: &World) {
    world.assert_installed(&world.new);
    assert!(matches!(world.phase(), Phase::Trial { .. }), "{:?}", world.phase());
    assert!(confirm(&world.layout, now()).unwrap());
    world.assert_tidy();
}

#[test]
fn a_crash_before_the_exchange_leaves_the_old_release() {
    for world in World::each() {
        drop(begin(&world));
        assert!(matches!(world.phase(), Phase::Swapping { .. }));
        recover(&world);
        world.assert_installed(&world.old);
        assert_eq!(world.phase(), Phase::Idle);
        world.assert_tidy();
        world.swap(Trial::Start);
        world.assert_installed(&world.new);
    }
}

#[test]
fn a_crash_after_the_exchange_is_finished() {
    for world in World::each() {
        drop(exchanged(&world));
        world.new.assert_installed(&world.layout);
        recover(&world);
        assert_on_trial(&world);
    }
}

#[test]
fn a_crash_between_two_user_files_is_finished() {
    let world = World::directory();
    drop(exchanged(&world));
    std::fs::rename(world.layout.staged_tree().join("notes.txt"), world.layout.root().join("notes.txt")).unwrap();
    recover(&world);
    assert_on_trial(&world);
}

#[test]
fn a_crash_after_the_user_files_is_finished() {
    for world in World::each() {
        drop(carried(&world));
        recover(&world);
        assert_on_trial(&world);
    }
}

#[test]
fn a_crash_after_the_old_release_was_put_aside_is_finished() {
    let world = World::directory();
    drop(carried(&world));
    std::fs::create_dir_all(world.layout.previous()).unwrap();
    std::fs::rename(world.layout.staged_tree(), world.layout.previous_tree()).unwrap();
    recover(&world);
    assert_on_trial(&world);
}

#[test]
fn a_recovery_that_is_interrupted_is_recovered_too() {
    for world in World::each() {
        drop(exchanged(&world));
        for _ in 0..3 {
            drop(Session::recover(&world.layout, PATIENCE, now()).unwrap());
        }
        assert_on_trial(&world);
    }
}

#[test]
fn a_failed_trial_brings_the_old_release_back() {
    for world in World::each() {
        world.swap(Trial::Confirm);
        put_back(&world);
        world.assert_installed(&world.old);
        let journal::Found::State(state) = journal::read(&world.layout).unwrap() else { panic!("no memory") };
        assert_eq!(state.phase, Phase::Idle);
        assert!(state.is_bad(world.new.digest(), now()));
        for leftover in [world.layout.previous(), world.layout.staged(), world.layout.attempts()] {
            assert!(!leftover.exists(), "{}", leftover.display());
        }
        // It can still be installed, by somebody who wants it.
        world.swap(Trial::Start);
        world.assert_installed(&world.new);
    }
}

#[test]
fn what_users_write_during_a_trial_comes_back_with_the_old_release() {
    let world = World::directory();
    world.swap(Trial::Confirm);
    let root = world.layout.root();
    std::fs::create_dir(root.join("lib/own")).unwrap();
    std::fs::write(root.join("lib/own/file"), "written in a folder of the new release").unwrap();
    std::fs::write(root.join("later"), "written during the trial").unwrap();
    put_back(&world);
    let tree = tree_of(root);
    assert_eq!(tree[Path::new("lib/own/file")], b"written in a folder of the new release");
    assert_eq!(tree[Path::new("later")], b"written during the trial");
    world.old.assert_installed(&world.layout);
    assert!(!root.join("lib/c").exists());
}

#[test]
fn a_crash_in_the_return_is_finished() {
    for steps in 0..2 {
        for world in World::each() {
            world.swap(Trial::Confirm);
            let session = Session::recover(&world.layout, PATIENCE, now()).unwrap();
            let returning = Kept::verify(session).unwrap().unwrap().begin().unwrap();
            if steps == 0 {
                drop(returning);
            } else {
                drop(returning.put_back().unwrap());
                world.old.assert_installed(&world.layout);
            }
            assert!(matches!(world.phase(), Phase::Returning { .. }));
            assert!(matches!(settle(&world.layout, now()), Ok(Settled::Nothing)));
            world.assert_installed(&world.old);
            assert_eq!(world.phase(), Phase::Idle);
            assert_eq!(crate::install::bad_releases(&world.layout, now()), [world.new.digest()]);
        }
    }
}

#[test]
fn a_kept_release_that_is_damaged_is_not_put_back() {
    for world in World::each() {
        world.swap(Trial::Confirm);
        let kept = world.kept(if world.layout.kind() == InstallKind::AppBundle {
            "Contents/Resources/same"
        } else {
            "share/a"
        });
        std::fs::write(&kept, "rotten").unwrap();
        let session = Session::recover(&world.layout, PATIENCE, now()).unwrap();
        let result = Kept::verify(session);
        assert!(matches!(result, Err(InstallError::Damaged { path, .. }) if path == kept));
        world.assert_installed(&world.new);
        assert_eq!(world.phase(), Phase::Idle);
    }
}

#[test]
fn a_swap_that_cannot_be_completed_is_undone() {
    let world = World::directory();
    let exchanged = exchanged(&world);
    // The old manifest is what tells the user's files apart; without it nothing can be carried over.
    let manifest = world.layout.staged_tree().join(updater_format::MANIFEST_PATH);
    let bytes = std::fs::read(&manifest).unwrap();
    std::fs::write(&manifest, world.new.manifest.encode()).unwrap();
    let error = exchanged.carry_over().unwrap_err();
    assert!(matches!(error, InstallError::Damaged { .. }), "{error:?}");
    // It could not even be undone; the journal says so, and once the obstacle is gone the next start finishes.
    assert!(matches!(world.phase(), Phase::Swapping { .. }));
    std::fs::write(&manifest, bytes).unwrap();
    recover(&world);
    assert_on_trial(&world);
}

#[test]
fn a_user_file_that_cannot_be_moved_undoes_the_exchange() {
    let world = World::directory();
    // Immutable: even the administrator cannot rename it.
    let stuck = world.layout.root().join("share/stuck");
    std::fs::write(&stuck, "stuck").unwrap();
    let chattr = |flag: &str, path: &Path| {
        std::process::Command::new("chattr").arg(flag).arg(path).status().is_ok_and(|status| status.success())
    };
    if !chattr("+i", &stuck) {
        return;
    }
    let result = staged(&world.layout, &world.old, &world.new, Trial::Start).unwrap().install();
    assert!(chattr("-i", &stuck));
    assert!(matches!(&result, Err(InstallError::File(error)) if error.operation == "rename"), "{result:?}");
    std::fs::remove_file(&stuck).unwrap();
    world.assert_installed(&world.old);
    assert_eq!(world.phase(), Phase::Idle);
    world.assert_tidy();
}

#[test]
fn an_undo_keeps_what_the_user_edited() {
    // Before the user's files were carried over, and after it.
    for carried_over in [false, true] {
        let world = World::directory();
        if carried_over {
            drop(carried(&world))
        } else {
            drop(exchanged(&world))
        }
        let (from, to) = (journaled(&world, &world.old), journaled(&world, &world.new));
        put_back_unfinished(&world.layout, &from, &to).unwrap();
        world.assert_installed(&world.old);
    }
}

#[test]
fn a_crash_in_the_undo_is_finished() {
    let world = World::directory();
    drop(exchanged(&world));
    // One file had been carried over when the swap failed; the folders were exchanged back, and then it crashed.
    std::fs::rename(world.layout.staged_tree().join("notes.txt"), world.layout.root().join("notes.txt")).unwrap();
    crate::fs::exchange(world.layout.root(), &world.layout.staged_tree()).unwrap();
    recover(&world);
    world.assert_installed(&world.old);
    assert_eq!(world.phase(), Phase::Idle);
    world.assert_tidy();
}

#[test]
fn garbage_in_the_journal_is_healed_and_user_files_come_back() {
    for world in World::each() {
        drop(exchanged(&world));
        std::fs::write(world.layout.journal(), [0xff; 40]).unwrap();
        assert!(matches!(settle(&world.layout, now()), Ok(Settled::Nothing)));
        world.new.assert_installed(&world.layout);
        if world.layout.kind() == InstallKind::Directory {
            assert_eq!(std::fs::read(world.layout.root().join("notes.txt")).unwrap(), b"the user's");
            assert_eq!(std::fs::read(world.layout.root().join("etc/app.conf")).unwrap(), b"edited");
        }
        world.assert_tidy();
    }
}

#[test]
fn any_garbage_in_the_hidden_folder_is_survived() {
    type Shape = (&'static str, fn(&Path));
    let shapes: [Shape; 5] = [
        ("file", |at| std::fs::write(at, "x").unwrap()),
        ("folder", |at| std::fs::create_dir(at).unwrap()),
        ("link", |at| std::os::unix::fs::symlink("/", at).unwrap()),
        ("loop", |at| std::os::unix::fs::symlink(at, at).unwrap()),
        ("nested", |at| std::fs::create_dir_all(at.join("tree/tree")).unwrap()),
    ];
    for name in [
        "staged",
        "previous",
        "manifests",
        "attempts",
        "download",
        "exchange-1",
        "lock",
        "state.json",
        ".state.json.1-2.tmp",
    ] {
        for (shape, make) in shapes {
            for world in World::each() {
                std::fs::create_dir(world.layout.hidden()).unwrap();
                make(&world.layout.hidden().join(name));
                assert!(matches!(settle(&world.layout, now()), Ok(Settled::Nothing)), "{name} {shape}");
                match Session::open(&world.layout, now()) {
                    Ok(session) => assert!(session.downloads().unwrap().is_dir()),
                    Err(error) => panic!("{name} {shape}: {error:?}"),
                }
                world.swap(Trial::Start);
                world.assert_installed(&world.new);
            }
        }
    }
}

#[test]
fn the_hidden_folder_itself_may_be_garbage() {
    for world in World::each() {
        let outside = world.folder.path().join("outside");
        std::fs::create_dir(&outside).unwrap();
        std::fs::write(outside.join("state.json"), "precious").unwrap();
        std::os::unix::fs::symlink(&outside, world.layout.hidden()).unwrap();
        settle(&world.layout, now()).unwrap();
        world.swap(Trial::Start);
        world.assert_installed(&world.new);
        assert!(world.layout.hidden().symlink_metadata().unwrap().is_dir());
        assert_eq!(std::fs::read(outside.join("state.json")).unwrap(), b"precious");
    }
    let world = World::executable();
    std::fs::write(world.layout.hidden(), "a file").unwrap();
    assert!(matches!(settle(&world.layout, now()), Ok(Settled::Nothing)));
    world.swap(Trial::Start);
    world.assert_installed(&world.new);
}

#[test]
fn garbage_in_the_place_of_attempts_counts_as_none() {
    let world = World::executable();
    let attempts = world.layout.attempts();
    let make_folder = |with: &dyn Fn(&Path)| {
        std::fs::create_dir_all(&attempts).unwrap();
        ["1-1", "2-2", "3-3"].iter().for_each(|name| with(&attempts.join(name)));
    };
    world.swap(Trial::Confirm);
    let cases: [&dyn Fn(); 5] = [
        &|| std::fs::write(&attempts, "a file").unwrap(),
        &|| std::os::unix::fs::symlink("/", &attempts).unwrap(),
        &|| make_folder(&|at| std::fs::create_dir(at).unwrap()),
        &|| make_folder(&|at| std::os::unix::fs::symlink("/etc/passwd", at).unwrap()),
        &|| make_folder(&|at| assert!(std::process::Command::new("mkfifo").arg(at).status().unwrap().success())),
    ];
    for (case, make) in cases.iter().enumerate() {
        crate::fs::remove_all(&attempts).unwrap();
        make();
        let count = Attempts::count(&world.layout).unwrap();
        assert_eq!(count, Attempts { failed: 0, living: 0 }, "case {case}");
        Attempt::begin(&world.layout).unwrap().end();
    }
    assert!(confirm(&world.layout, now()).unwrap());
    world.assert_tidy();
}

#[test]
fn a_journal_of_a_later_version_is_refused_and_left_alone() {
    let world = World::executable();
    std::fs::create_dir(world.layout.hidden()).unwrap();
    std::fs::write(world.layout.journal(), r#"{"format":2,"new":"things"}"#).unwrap();
    assert!(matches!(settle(&world.layout, now()), Err(InstallError::Journal { .. })));
    assert!(matches!(Session::open(&world.layout, now()), Err(InstallError::Journal { .. })));
    assert!(world.layout.journal().exists());
}

#[test]
fn a_copy_of_an_install_on_trial_is_on_its_own() {
    let world = World::executable();
    world.swap(Trial::Confirm);
    let copy = world.folder.path().join("copy");
    std::fs::create_dir(&copy).unwrap();
    let status = std::process::Command::new("cp")
        .arg("-a")
        .args([world.layout.root(), world.layout.hidden()])
        .arg(&copy)
        .status()
        .unwrap();
    assert!(status.success());
    let layout = Layout::at(InstallKind::Executable, &copy.join("hello"), world.new.manifest.entry()).unwrap();
    assert!(!confirm(&layout, now()).unwrap());
    assert!(matches!(settle(&layout, now()), Ok(Settled::Nothing)));
    assert!(!layout.hidden().exists(), "what was pending for the other path is dropped");
    world.new.assert_installed(&layout);
    assert!(matches!(world.phase(), Phase::Trial { .. }));
}

#[test]
fn a_moved_install_in_the_middle_of_a_swap_is_finished() {
    let world = World::directory();
    drop(exchanged(&world));
    let elsewhere = world.folder.path().join("elsewhere");
    std::fs::create_dir(&elsewhere).unwrap();
    for path in [world.layout.root(), world.layout.hidden()] {
        std::fs::rename(path, elsewhere.join(path.file_name().unwrap())).unwrap();
    }
    let layout = Layout::at(InstallKind::Directory, &elsewhere.join("my app"), world.new.manifest.entry()).unwrap();
    let moved = World { layout, old: world.old.clone(), new: world.new.clone(), folder: world.folder };
    assert!(matches!(settle(&moved.layout, now()), Ok(Settled::Nothing)));
    moved.assert_installed(&moved.new);
    assert!(matches!(moved.phase(), Phase::Trial { .. }));
}

#[test]
fn a_journal_that_lies_about_a_trial_changes_nothing() {
    for world in World::each() {
        std::fs::create_dir(world.layout.hidden()).unwrap();
        let other = JournaledRelease {
            entry: updater_format::Sha256::of(b"x"),
            manifest: Some(updater_format::Sha256::of(b"y")),
            version: version("9.0.0"),
            epoch: 0,
        };
        let release = journaled(&world, &world.old);
        for phase in [
            Phase::Trial { from: other.clone(), to: release.clone(), trial: Trial::Confirm },
            Phase::Swapping { from: other.clone(), to: other.clone(), trial: Trial::Start },
            Phase::Swapping { from: release, to: other.clone(), trial: Trial::Start },
            Phase::Returning { from: other.clone(), to: other.clone() },
            Phase::Staged { from: other.clone(), to: other.clone(), trial: Trial::Start },
        ] {
            let mut state = InstallState::idle(world.layout.identity());
            state.phase = phase.clone();
            std::fs::create_dir_all(world.layout.hidden()).unwrap();
            journal::write(&world.layout, &state).unwrap();
            let settled = settle(&world.layout, now());
            assert!(matches!(settled, Ok(Settled::Nothing)), "{phase:?}: {settled:?}");
            world.old.assert_installed(&world.layout);
            assert!(
                !tree_of(world.folder.path())
                    .into_keys()
                    .any(|path| path.ends_with("previous/tree") && is_hidden(&path))
            );
        }
    }
}

#[test]
fn what_the_old_release_wrote_after_the_exchange_is_kept() {
    let world = World::directory();
    world.swap(Trial::Confirm);
    // A process of the old release whose working directory moved away with its folder.
    std::fs::write(world.layout.previous_tree().join("session.log"), "late").unwrap();
    std::fs::create_dir_all(world.layout.previous_tree().join("out")).unwrap();
    std::fs::write(world.layout.previous_tree().join("out/table.csv"), "1,2").unwrap();
    assert!(confirm(&world.layout, now()).unwrap());
    assert_eq!(std::fs::read(world.layout.root().join("session.log")).unwrap(), b"late");
    assert_eq!(std::fs::read(world.layout.root().join("out/table.csv")).unwrap(), b"1,2");
    world.new.assert_installed(&world.layout);
    world.assert_tidy();
}

#[test]
fn a_lost_journal_loses_no_user_file() {
    let world = World::directory();
    world.swap(Trial::Confirm);
    std::fs::write(world.layout.previous_tree().join("mine.txt"), "mine").unwrap();
    std::fs::remove_file(world.layout.journal()).unwrap();
    drop(Session::open(&world.layout, now()).unwrap());
    assert_eq!(std::fs::read(world.layout.root().join("mine.txt")).unwrap(), b"mine");
    world.new.assert_installed(&world.layout);
}

#[test]
fn the_journal_of_another_user_is_left_alone() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let world = World::directory();
    world.swap(Trial::Start);
    std::os::unix::fs::chown(world.layout.journal(), Some(12345), None).unwrap();
    assert!(matches!(settle(&world.layout, now()), Ok(Settled::Nothing)));
    assert!(!confirm(&world.layout, now()).unwrap());
    assert!(matches!(world.phase(), Phase::Trial { .. }), "another user's trial was ended");
}

#[test]
fn a_start_removes_what_a_process_left_that_was_killed_once_its_update_was_completed() {
    for world in World::each() {
        world.swap(Trial::Confirm);
        let mut session = Session::recover(&world.layout, PATIENCE, now()).unwrap();
        session.write(Phase::Idle).unwrap();
        session.close();
        // The old release, and a download that is to be resumed.
        std::fs::create_dir_all(world.layout.previous()).unwrap();
        std::fs::write(world.layout.previous().join("rest"), "of the old release").unwrap();
        let download = world.layout.downloads().join("part");
        std::fs::create_dir_all(world.layout.downloads()).unwrap();
        std::fs::write(&download, "part").unwrap();
        let held = Session::recover(&world.layout, PATIENCE, now()).unwrap();
        std::fs::create_dir_all(world.layout.staged()).unwrap();
        assert!(matches!(settle(&world.layout, now()), Ok(Settled::Nothing)));
        assert!(world.layout.staged().exists(), "another process is at work");
        held.close();
        assert!(matches!(settle(&world.layout, now()), Ok(Settled::Nothing)));
        assert!(!world.layout.previous().exists() && !world.layout.staged().exists(), "{:?}", world.layout.kind());
        assert!(download.exists());
        world.new.assert_installed(&world.layout);
    }
}
