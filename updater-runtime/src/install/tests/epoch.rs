//! The security counter: recorded when a trial completes, not before, and no obstacle to the return of a failed one.

use super::recovery::put_back;
use super::*;
use crate::install::highest_epoch;

fn swap(world: &World, epoch: u64) {
    let mut session = Session::open(&world.layout, now()).unwrap();
    let tree = stage(&mut session, &world.new).unwrap();
    let plan = Plan { installed: world.old.version().clone(), trial: Trial::Confirm, epoch };
    session.without_probe(tree, &plan).unwrap().install().unwrap();
}

#[test]
fn a_completed_trial_records_it_for_good() {
    for mut world in World::each() {
        swap(&world, 3);
        assert_eq!(highest_epoch(&world.layout), 0, "the trial may still fail");
        assert!(confirm(&world.layout, now()).unwrap());
        assert_eq!(highest_epoch(&world.layout), 3);
        // Whatever is installed later does not lower it, and it outlives every session.
        Session::open(&world.layout, now()).unwrap().close();
        world.old = world.new.clone();
        world.new = world.next("1.2.0");
        swap(&world, 1);
        assert!(confirm(&world.layout, now()).unwrap());
        assert_eq!(highest_epoch(&world.layout), 3);
    }
}

#[test]
fn a_failed_trial_returns_whatever_the_counters_and_records_nothing() {
    for world in World::each() {
        swap(&world, 7);
        put_back(&world);
        world.assert_installed(&world.old);
        assert_eq!(highest_epoch(&world.layout), 0);
    }
}
