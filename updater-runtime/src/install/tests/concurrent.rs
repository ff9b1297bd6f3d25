//! Two of them at once: a confirmation during a download, an update that somebody else has overtaken.

use super::*;
use crate::install::{Basis, highest_epoch, open};

fn plan(epoch: u64) -> Plan {
    Plan { installed: version("1.1.0"), trial: Trial::Confirm, epoch }
}

fn swap(world: &World, epoch: u64) {
    let mut session = Session::open(&world.layout, now()).unwrap();
    let tree = stage(&mut session, &world.new).unwrap();
    session.without_probe(tree, &plan(epoch)).unwrap().install().unwrap();
}

#[test]
fn a_confirmation_succeeds_while_this_process_downloads() {
    for world in World::each() {
        swap(&world, 4);
        let mut session = Session::open(&world.layout, now()).unwrap();
        let downloads = session.downloads().unwrap();
        std::fs::write(downloads.join("half"), "a download").unwrap();
        let begin = std::time::Instant::now();
        assert!(confirm(&world.layout, now()).unwrap());
        assert!(!confirm(&world.layout, now()).unwrap(), "once is enough");
        assert!(begin.elapsed() < Duration::from_secs(1), "it does not wait for the download");
        assert_eq!((world.phase(), highest_epoch(&world.layout)), (Phase::Idle, 4));
        assert!(!world.layout.previous().exists(), "the old release is dropped");
        assert!(downloads.join("half").exists(), "the download goes on");
        // What the session writes later does not undo it.
        let newer = world.next("1.2.0");
        let tree = stage(&mut session, &newer).unwrap();
        session.without_probe(tree, &plan(4)).unwrap().install().unwrap();
        newer.assert_installed(&world.layout);
        assert!(matches!(world.phase(), Phase::Trial { from, .. } if from.version == *world.new.version()));
        assert_eq!(highest_epoch(&world.layout), 4);
        assert!(confirm(&world.layout, now()).unwrap());
    }
}

#[test]
fn a_confirmation_from_another_thread_meets_no_half_written_session() {
    let world = World::executable();
    swap(&world, 1);
    let staged = std::thread::scope(|scope| {
        let confirming = scope.spawn(|| confirm(&world.layout, now()).unwrap());
        let mut session = Session::open(&world.layout, now()).unwrap();
        let tree = stage(&mut session, &world.next("1.2.0")).unwrap();
        let staged = session.without_probe(tree, &plan(1)).unwrap();
        assert!(confirming.join().unwrap());
        staged
    });
    assert_eq!(world.phase(), Phase::Idle);
    staged.install().unwrap();
    assert_eq!(highest_epoch(&world.layout), 1);
}

#[test]
fn what_was_chosen_for_an_older_release_does_not_replace_a_newer_one() {
    for world in World::each() {
        let basis = Basis::of(&world.layout).unwrap();
        Session::open_for(&world.layout, &basis, 0, now()).unwrap().close();
        // Another process is faster.
        world.swap(Trial::Confirm);
        assert!(confirm(&world.layout, now()).unwrap());
        let error = Session::open_for(&world.layout, &basis, 0, now()).unwrap_err();
        assert!(matches!(&error, InstallError::Changed { path } if *path == world.layout.program()), "{error:?}");
        world.assert_installed(&world.new);
        world.assert_tidy();
    }
}

#[test]
fn a_release_of_the_same_program_with_other_files_counts_as_another_one() {
    let world = World::directory();
    let basis = Basis::of(&world.layout).unwrap();
    std::fs::write(world.layout.manifest(), world.new.manifest.encode()).unwrap();
    let error = Session::open_for(&world.layout, &basis, 0, now()).unwrap_err();
    assert!(matches!(error, InstallError::Changed { .. }), "{error:?}");
}

#[test]
fn a_security_counter_that_was_raised_meanwhile_counts() {
    let world = World::executable();
    swap(&world, 3);
    assert!(confirm(&world.layout, now()).unwrap());
    let basis = Basis::of(&world.layout).unwrap();
    assert!(matches!(Session::open_for(&world.layout, &basis, 2, now()), Err(InstallError::Changed { .. })));
    Session::open_for(&world.layout, &basis, 3, now()).unwrap().close();
}

#[test]
fn no_thread_ever_sees_a_session_without_its_journal() {
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
    let world = World::executable();
    swap(&world, 1);
    let seen = AtomicUsize::new(0);
    let begin = std::time::Instant::now();
    let is_over = || seen.load(SeqCst) >= 50 || begin.elapsed() > Duration::from_secs(120);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over() {
                let phase = open::with(&world.layout, |state| state.phase.clone());
                if let Some(phase) = phase {
                    seen.fetch_add(1, SeqCst);
                    assert!(matches!(phase, Phase::Trial { .. }), "{phase:?}");
                }
                std::hint::spin_loop();
            }
        });
        while !is_over() {
            Session::recover(&world.layout, Duration::from_secs(60), now()).unwrap().close();
        }
    });
    assert!(seen.load(SeqCst) > 0, "no session was ever seen");
}

/// What an update to 1.2.0 meets while 1.1.0 is on trial.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Failure {
    /// Its program cannot be put in place.
    Error,
    /// The process is killed before the visible change.
    Crash,
    /// It waits for the next start, which finds it damaged.
    Damage,
}

#[test]
fn an_update_that_fails_during_a_trial_leaves_the_trial_as_it_was() {
    for failure in [Failure::Error, Failure::Crash, Failure::Damage] {
        for world in World::each() {
            swap(&world, 4);
            let trial = world.phase();
            let mut session = Session::open(&world.layout, now()).unwrap();
            let tree = stage(&mut session, &world.next("1.2.0")).unwrap();
            let staged = session.without_probe(tree, &plan(5)).unwrap();
            match failure {
                Failure::Error => {
                    let (session, from, to) = staged.into_parts();
                    let swapping = Swapping::begin(session, from, to, Trial::Confirm).unwrap();
                    crate::fs::remove_all(&world.layout.staged()).unwrap();
                    swapping.exchange().unwrap_err();
                }
                Failure::Crash => {
                    let (session, from, to) = staged.into_parts();
                    drop(Swapping::begin(session, from, to, Trial::Confirm).unwrap());
                    assert!(matches!(world.phase(), Phase::Swapping { .. }));
                    recovery::recover(&world);
                }
                Failure::Damage => {
                    staged.install_at_next_start().unwrap();
                    assert!(matches!(world.phase(), Phase::Staged { .. }));
                    crate::fs::remove_all(&world.layout.staged_tree()).unwrap();
                    let mut session = Session::recover(&world.layout, Duration::from_secs(5), now()).unwrap();
                    session.clear_staged().unwrap();
                }
            }
            let what = format!("{failure:?}, {:?}", world.layout.kind());
            assert_eq!(world.phase(), trial, "{what}");
            assert!(!world.layout.earlier().exists() && !world.layout.staged().exists(), "{what}");
            world.new.assert_installed(&world.layout);
            // Either end of that trial is still open.
            match failure {
                Failure::Error => {
                    recovery::put_back(&world);
                    world.assert_installed(&world.old);
                }
                _ => {
                    assert!(confirm(&world.layout, now()).unwrap(), "{what}");
                    assert_eq!(highest_epoch(&world.layout), 4, "{what}");
                }
            }
        }
    }
}

#[test]
fn a_release_whose_trial_was_cut_short_keeps_its_counter_when_it_is_put_back() {
    for world in World::each() {
        swap(&world, 4);
        let mut session = Session::open(&world.layout, now()).unwrap();
        let tree = stage(&mut session, &world.next("1.2.0")).unwrap();
        session.without_probe(tree, &plan(5)).unwrap().install().unwrap();
        assert!(matches!(world.phase(), Phase::Trial { to, .. } if to.version == version("1.2.0")));
        assert!(!world.layout.earlier().exists());
        recovery::put_back(&world);
        world.new.assert_installed(&world.layout);
        assert_eq!((world.phase(), highest_epoch(&world.layout)), (Phase::Idle, 4));
    }
}
