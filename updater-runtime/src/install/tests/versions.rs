//! What is special about a folder for each version.

use super::*;
use crate::install::rollback::{Kept, PutBack};
use crate::install::versions::Versions;

/// The names in `versions/`.
fn names(world: &World) -> Vec<String> {
    let folder = world.layout.versions().unwrap().folder().to_owned();
    crate::fs::names(&folder).unwrap().into_iter().map(|name| name.into_string().unwrap()).collect()
}

#[test]
fn the_link_leads_to_the_new_version_and_the_last_one_is_kept() {
    let mut world = World::versions();
    let folder = world.layout.versions().unwrap().folder().to_owned();
    std::fs::create_dir(folder.join("hello-0.0.1")).unwrap();
    std::fs::create_dir(folder.join("other-1.0.0")).unwrap();
    for (number, kept) in [(1, ["hello-1.0.0", "hello-1.1.0"]), (2, ["hello-1.1.0", "hello-1.2.0"])] {
        world.swap(Trial::Confirm);
        let target = std::fs::read_link(world.layout.root()).unwrap();
        assert_eq!(target, Path::new("versions").join(format!("hello-1.{number}.0")));
        assert!(confirm(&world.layout, now()).unwrap());
        // What is only named like a version is somebody's.
        let expected: Vec<_> = ["hello-0.0.1"].iter().chain(&kept).chain(&["other-1.0.0"]).copied().collect();
        assert_eq!(names(&world), expected);
        world.old =
            std::mem::replace(&mut world.new, Release::directory("1.2.0", &[("share/a", "2")], &["etc/*.conf"]));
        assert_eq!(std::fs::read(world.layout.root().join("notes.txt")).unwrap(), b"the user's");
    }
    world.assert_tidy();
}

#[test]
fn a_version_that_was_kept_can_be_installed_again() {
    let mut world = World::versions();
    world.swap(Trial::Confirm);
    assert!(confirm(&world.layout, now()).unwrap());
    std::fs::write(world.kept("late.log"), "written by a process of the old version").unwrap();
    std::mem::swap(&mut world.old, &mut world.new);
    world.swap(Trial::Confirm);
    assert!(confirm(&world.layout, now()).unwrap());
    world.new.assert_installed(&world.layout);
    assert!(world.layout.root().join("late.log").exists());
    assert_eq!(names(&world), ["hello-1.0.0", "hello-1.1.0"]);
}

#[test]
fn a_crash_between_the_folder_and_the_link_leaves_the_old_version() {
    let world = World::versions();
    drop(recovery::begin(&world));
    let versions: &Versions = world.layout.versions().unwrap();
    std::fs::rename(world.layout.staged_tree(), versions.tree(world.new.version())).unwrap();
    recovery::recover(&world);
    world.assert_installed(&world.old);
    assert_eq!((world.phase(), names(&world)), (Phase::Idle, vec!["hello-1.0.0".to_owned()]));
    world.assert_tidy();
}

#[test]
fn a_return_leads_back_and_drops_the_version_that_failed() {
    let world = World::versions();
    world.swap(Trial::Confirm);
    recovery::put_back(&world);
    world.assert_installed(&world.old);
    assert_eq!(std::fs::read_link(world.layout.root()).unwrap(), Path::new("versions/hello-1.0.0"));
    assert_eq!(names(&world), ["hello-1.0.0"]);
}

#[test]
fn a_folder_that_is_not_called_after_its_version_is_refused() {
    let world = World::versions();
    let versions = world.layout.versions().unwrap();
    let odd = versions.folder().join("hello-0.9.0");
    std::fs::rename(versions.tree(world.old.version()), &odd).unwrap();
    std::fs::remove_file(world.layout.root()).unwrap();
    std::os::unix::fs::symlink("versions/hello-0.9.0", world.layout.root()).unwrap();
    let error = staged(&world.layout, &world.old, &world.new, Trial::Start).unwrap().install().unwrap_err();
    assert!(matches!(&error, InstallError::Misnamed { path, expected } if *path == odd && expected == "hello-1.0.0"));
    world.assert_installed(&world.old);
    world.assert_tidy();
}

#[test]
fn a_process_of_any_version_finds_the_one_install() {
    let world = World::versions();
    world.swap(Trial::Confirm);
    let entry = world.old.manifest.entry();
    let of = |tree: &Path| Layout::at(InstallKind::Directory, tree, entry).unwrap();
    for version in [&world.old, &world.new] {
        let layout = of(&world.layout.versions().unwrap().tree(version.version()));
        assert_eq!((layout.root(), layout.identity()), (world.layout.root(), world.layout.identity()));
    }
    let below = world.layout.versions().unwrap().tree(world.old.version()).join("share");
    assert_eq!(world.layout.after_swap(&below), Some(world.layout.root().join("share")));
}

#[test]
fn versions_on_another_file_system_are_refused_before_anything_is_staged() {
    let world = World::versions();
    let folder = world.layout.versions().unwrap().folder().to_owned();
    let tree = tree_of(&folder);
    let aside = folder.with_file_name("aside");
    std::fs::rename(&folder, &aside).unwrap();
    std::fs::create_dir(&folder).unwrap();
    let mount = |arguments: &[&str]| {
        std::process::Command::new(arguments[0]).args(&arguments[1..]).arg(&folder).status().is_ok_and(|s| s.success())
    };
    if !mount(&["mount", "-t", "tmpfs", "-o", "size=1m,mode=0755", "tmpfs"]) {
        return;
    }
    let copied = std::process::Command::new("cp").arg("-a").arg(aside.join("hello-1.0.0")).arg(&folder).status();
    let result = Session::open(&world.layout, now());
    let after = tree_of(&folder);
    assert!(mount(&["umount"]) && copied.unwrap().success());
    let error = result.unwrap_err();
    assert!(matches!(&error, InstallError::Obstacle(Obstacle::MountInside { path }) if *path == folder), "{error:?}");
    assert_eq!(after, tree);
}

/// Does something in a thread that permission bits bind, whoever runs the tests.
fn without_privilege<T: Send>(action: impl FnOnce() -> T + Send) -> T {
    use rustix::thread::{CapabilitySet, capabilities, set_capabilities};
    let lowered = || {
        let mut sets = capabilities(None).unwrap();
        sets.effective.remove(CapabilitySet::DAC_OVERRIDE | CapabilitySet::DAC_READ_SEARCH);
        set_capabilities(None, sets).unwrap();
        action()
    };
    std::thread::scope(|scope| scope.spawn(lowered).join().unwrap())
}

#[test]
fn a_link_that_cannot_be_made_durable_leads_back() {
    let world = World::versions();
    let swapping = recovery::begin(&world);
    let base = world.layout.parent();
    let set = |mode| std::fs::set_permissions(base, std::fs::Permissions::from_mode(mode)).unwrap();
    // What lies in it can be renamed, but it cannot be opened, and so not be made durable.
    set(0o300);
    let result = without_privilege(|| swapping.exchange().map(drop));
    set(0o700);
    let error = result.unwrap_err();
    assert!(matches!(&error, InstallError::File(error) if error.operation == "make durable"), "{error:?}");
    world.assert_installed(&world.old);
    assert!(matches!(world.phase(), Phase::Swapping { .. }), "the way back is not durable either");
    recovery::recover(&world);
    world.assert_installed(&world.old);
    assert_eq!((world.phase(), names(&world)), (Phase::Idle, vec!["hello-1.0.0".to_owned()]));
    world.assert_tidy();
}

/// Puts the old release back, and stops before the end.
fn returning(world: &World) -> PutBack {
    world.swap(Trial::Confirm);
    let session = Session::recover(&world.layout, Duration::from_secs(5), now()).unwrap();
    Kept::verify(session).unwrap().unwrap().begin().unwrap().put_back().unwrap()
}

#[test]
fn a_return_is_finished_when_the_failed_version_is_half_gone() {
    let world = World::versions();
    drop(returning(&world));
    let failed = world.layout.versions().unwrap().tree(world.new.version());
    std::fs::remove_file(failed.join(MANIFEST_PATH)).unwrap();
    std::fs::write(failed.join("theirs"), "of nobody knows whom").unwrap();
    assert!(matches!(settle(&world.layout, now()), Ok(Settled::Nothing)));
    world.old.assert_installed(&world.layout);
    assert_eq!(world.phase(), Phase::Idle);
    assert_eq!(crate::install::bad_releases(&world.layout, now()), [world.new.digest()]);
    assert_eq!(std::fs::read(failed.join("theirs")).unwrap(), b"of nobody knows whom");
}

#[test]
fn a_failed_version_that_cannot_be_removed_does_not_hold_up_the_return() {
    let world = World::versions();
    let put_back = returning(&world);
    let folder = world.layout.versions().unwrap().folder().to_owned();
    let set = |mode| std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(mode)).unwrap();
    set(0o500);
    let result = without_privilege(|| put_back.finish(now()).map(drop));
    set(0o700);
    result.unwrap();
    world.assert_installed(&world.old);
    assert_eq!((world.phase(), names(&world)), (Phase::Idle, vec!["hello-1.0.0".to_owned(), "hello-1.1.0".to_owned()]));
    // It can be installed again all the same.
    world.swap(Trial::Confirm);
    assert!(confirm(&world.layout, now()).unwrap());
    world.assert_installed(&world.new);
}

#[test]
fn an_old_version_that_cannot_be_removed_does_not_hold_up_a_confirmation() {
    let mut world = World::versions();
    let folder = world.layout.versions().unwrap().folder().to_owned();
    world.swap(Trial::Confirm);
    assert!(confirm(&world.layout, now()).unwrap());
    world.old = std::mem::replace(&mut world.new, Release::directory("1.2.0", &[("share/a", "2")], &["etc/*.conf"]));
    world.swap(Trial::Confirm);
    let set = |mode| std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(mode)).unwrap();
    set(0o500);
    let confirmed = without_privilege(|| confirm(&world.layout, now()));
    set(0o700);
    assert!(confirmed.unwrap());
    assert_eq!(world.phase(), Phase::Idle);
    assert_eq!(names(&world), ["hello-1.0.0", "hello-1.1.0", "hello-1.2.0"]);
    // The next one has the old one removed.
    world.old = std::mem::replace(&mut world.new, Release::directory("1.3.0", &[("share/a", "3")], &["etc/*.conf"]));
    world.swap(Trial::Confirm);
    assert!(confirm(&world.layout, now()).unwrap());
    assert_eq!(names(&world), ["hello-1.2.0", "hello-1.3.0"]);
}

#[test]
fn a_folder_that_only_has_the_name_of_a_version_is_never_removed() {
    let world = World::versions();
    let theirs = world.layout.versions().unwrap().tree(world.new.version());
    let put: [fn(&Path); 4] = [
        |path| std::fs::create_dir(path).unwrap(),
        |path| std::fs::write(path, "a file").unwrap(),
        |path| std::os::unix::fs::symlink("/nowhere", path).unwrap(),
        // A copy that the user made of another version: its manifest is not of the version that it is called.
        |path| {
            std::fs::create_dir(path).unwrap();
            let manifest = path.with_file_name("hello-1.0.0").join(MANIFEST_PATH);
            std::fs::copy(manifest, path.join(MANIFEST_PATH)).unwrap();
            std::fs::write(path.join("thesis"), "three years of work").unwrap();
        },
    ];
    for put in put {
        put(&theirs);
        let before = tree_of(theirs.parent().unwrap());
        let error = staged(&world.layout, &world.old, &world.new, Trial::Start).unwrap().install().unwrap_err();
        assert!(matches!(&error, InstallError::NameTaken { path, .. } if *path == theirs), "{error:?}");
        assert_eq!(tree_of(theirs.parent().unwrap()), before);
        world.assert_installed(&world.old);
        world.assert_tidy();
        crate::fs::remove_all(&theirs).unwrap();
    }
    world.swap(Trial::Start);
    world.assert_installed(&world.new);
}

#[test]
fn a_link_that_leads_elsewhere_is_no_install_to_change() {
    let world = World::versions();
    let link = world.layout.root().to_owned();
    for target in ["/nowhere", "/", "versions"] {
        std::fs::remove_file(&link).unwrap();
        std::os::unix::fs::symlink(target, &link).unwrap();
        let lost = |error: &InstallError| matches!(error, InstallError::LostLink { path } if *path == link);
        assert!(lost(&world.layout.tree().unwrap_err()), "{target}");
        assert!(lost(&Session::open(&world.layout, now()).unwrap_err()), "{target}");
    }
    std::fs::remove_file(&link).unwrap();
    std::os::unix::fs::symlink("versions/hello-1.0.0", &link).unwrap();
    world.swap(Trial::Start);
    world.assert_installed(&world.new);
}
