//! The permissions and owners of folders that both releases have: they are the user's to decide.

use super::*;
use std::os::unix::fs::chown;

const FOLDERS: [(&str, u32); 3] = [("share", 0o700), ("etc", 0o2750), ("bin", 0o755)];

fn set(world: &World, name: &str, mode: u32) {
    std::fs::set_permissions(world.layout.root().join(name), std::fs::Permissions::from_mode(mode)).unwrap();
}

fn mode(world: &World, name: &str) -> u32 {
    std::fs::metadata(world.layout.root().join(name)).unwrap().mode() & 0o7777
}

#[test]
fn an_update_and_a_return_keep_the_permissions_of_folders() {
    let world = World::directory();
    FOLDERS.iter().for_each(|(name, bits)| set(&world, name, *bits));
    world.swap(Trial::Confirm);
    world.assert_installed(&world.new);
    for (name, bits) in FOLDERS {
        assert_eq!(mode(&world, name), bits, "{name} after the update");
    }
    assert_eq!(mode(&world, "lib"), 0o755, "a folder that only the new release has is as it was packed");
    // What the user changes during the trial stays changed.
    set(&world, "share", 0o711);
    recovery::put_back(&world);
    world.assert_installed(&world.old);
    for (name, bits) in [("share", 0o711), ("etc", 0o2750), ("bin", 0o755)] {
        assert_eq!(mode(&world, name), bits, "{name} after the return");
    }
}

#[test]
fn a_repaired_update_keeps_the_permissions_of_folders() {
    let world = World::directory();
    FOLDERS.iter().for_each(|(name, bits)| set(&world, name, *bits));
    let exchanged = recovery::exchanged(&world);
    let manifest = world.layout.staged_tree().join(MANIFEST_PATH);
    let (bytes, aside) = (std::fs::read(&manifest).unwrap(), manifest.with_extension("aside"));
    std::fs::rename(&manifest, &aside).unwrap();
    exchanged.carry_over().unwrap_err();
    std::fs::remove_file(&aside).unwrap();
    std::fs::write(&manifest, bytes).unwrap();
    recovery::recover(&world);
    for (name, bits) in FOLDERS {
        assert_eq!(mode(&world, name), bits, "{name}");
    }
}

#[test]
fn a_folder_that_its_user_closed_to_writing_is_replaced_and_removed() {
    let world = World::directory();
    set(&world, "share", 0o500);
    std::fs::remove_file(world.layout.root().join("share/out")).unwrap();
    world.swap(Trial::Confirm);
    world.new.assert_installed(&world.layout);
    assert_eq!(mode(&world, "share"), 0o500);
    assert!(confirm(&world.layout, now()).unwrap());
    world.assert_tidy();
}

#[test]
fn an_administrators_update_keeps_the_owners_of_folders() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let world = World::directory();
    let owner = |name: &str| {
        let metadata = std::fs::metadata(world.layout.root().join(name)).unwrap();
        (metadata.uid(), metadata.gid())
    };
    chown(world.layout.root().join("share"), Some(12345), Some(23456)).unwrap();
    chown(world.layout.root().join("gone"), Some(12345), None).unwrap();
    chown(world.layout.root().join("etc"), None, Some(23456)).unwrap();
    world.swap(Trial::Confirm);
    assert_eq!((owner("share"), owner("etc").1), ((12345, 23456), 23456));
    assert_eq!(owner("gone").0, 12345, "a folder that only the user needs now");
    assert_eq!(owner("lib").0, 0);
    recovery::put_back(&world);
    assert_eq!((owner("share"), owner("etc").1, owner("gone").0), ((12345, 23456), 23456, 12345));
    world.assert_installed(&world.old);
}

#[test]
fn the_program_keeps_its_group() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let world = World::executable();
    chown(world.layout.root(), None, Some(23456)).unwrap();
    std::fs::set_permissions(world.layout.root(), std::fs::Permissions::from_mode(0o750)).unwrap();
    world.swap(Trial::Start);
    let metadata = std::fs::metadata(world.layout.root()).unwrap();
    assert_eq!((metadata.uid(), metadata.gid(), metadata.mode() & 0o7777), (0, 23456, 0o750));
}

#[test]
fn an_administrator_does_not_run_a_program_in_a_folder_of_another_user() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let world = World::directory();
    chown(world.layout.root().join("share"), Some(12345), None).unwrap();
    assert_eq!(world.layout.obstacle().unwrap(), None, "a folder that leads to no program");
    let bin = world.layout.root().join("bin");
    chown(&bin, Some(12345), None).unwrap();
    assert_eq!(world.layout.obstacle().unwrap(), Some(Obstacle::NotTrusted { path: bin.clone() }));
    chown(&bin, Some(0), None).unwrap();
    set(&world, "bin", 0o777);
    assert_eq!(world.layout.obstacle().unwrap(), Some(Obstacle::NotTrusted { path: bin }));
}
