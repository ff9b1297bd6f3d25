//! Whole installs in temporary folders: every transition, and the next start from every state between two of them.

mod app_bundles;
mod children;
mod concurrent;
mod epoch;
mod folders;
mod garbage;
mod recovery;
mod versions;

use super::staged::verify_again;
use super::swap::Swapping;
use super::testing::{Release, now, stage, staged, tree_of, version};
use super::{InstallError, InstallKind, Layout, Obstacle, Plan, Session, Trial, confirm, journal, settle};
use crate::install::Settled;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::time::Duration;
use updater_format::state::Phase;
use updater_format::{MANIFEST_PATH, Sha256};

/// An installed release and its successor.
pub(super) struct World {
    pub(super) folder: tempfile::TempDir,
    pub(super) layout: Layout,
    pub(super) old: Release,
    pub(super) new: Release,
}

impl World {
    pub(super) fn executable() -> Self {
        let old = Release::executable("1.0.0", b"#!/bin/sh\necho 1.0.0\n");
        Self::of(old, Release::executable("1.1.0", b"#!/bin/sh\necho 1.1.0\n"), "hello")
    }

    /// With files that are kept, dropped, added and linked, a file users edit, and users who did.
    pub(super) fn directory() -> Self {
        let old =
            [("share/a", "old a"), ("share/same", "same"), ("gone/b", "b"), ("etc/app.conf", "1"), ("l", "-> share/a")];
        let new =
            [("share/a", "new a"), ("share/same", "same"), ("lib/c", "c"), ("etc/app.conf", "2"), ("m", "-> lib/c")];
        let keep = ["etc/*.conf"];
        let world =
            Self::of(Release::directory("1.0.0", &old, &keep), Release::directory("1.1.0", &new, &keep), "my app");
        let root = world.layout.root();
        std::fs::write(root.join("notes.txt"), "the user's").unwrap();
        std::fs::write(root.join("gone/mine"), "the user's too").unwrap();
        std::fs::write(root.join("etc/app.conf"), "edited").unwrap();
        std::os::unix::fs::symlink("/nowhere/outside", root.join("share/out")).unwrap();
        std::fs::set_permissions(root, std::fs::Permissions::from_mode(0o750)).unwrap();
        world
    }

    fn of(old: Release, new: Release, name: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let layout = old.install_at(&folder.path().join(name));
        Self { folder, layout, old, new }
    }

    /// As [`World::directory`], in a folder for each version behind the link `current`.
    pub(super) fn versions() -> Self {
        let world = Self::directory();
        let base = world.folder.path().join("versioned");
        let tree = base.join("versions/hello-1.0.0");
        std::fs::create_dir_all(tree.parent().unwrap()).unwrap();
        std::fs::rename(world.layout.root(), &tree).unwrap();
        std::os::unix::fs::symlink("versions/hello-1.0.0", base.join("current")).unwrap();
        let layout = Layout::at(InstallKind::Directory, &base.join("current"), world.old.manifest.entry()).unwrap();
        assert_eq!(layout.root(), base.canonicalize().unwrap().join("current"));
        Self { layout, ..world }
    }

    /// An app bundle with a framework, as a user has it who dragged it out of a disk image.
    pub(super) fn app_bundle() -> Self {
        let framework = |version: &'static str| {
            [
                ("Contents/Frameworks/X.framework/Versions/A/X", version),
                ("Contents/Frameworks/X.framework/Versions/Current", "-> A"),
                ("Contents/Frameworks/X.framework/X", "-> Versions/Current/X"),
                ("Contents/Resources/same", "same"),
            ]
        };
        let release = |version, framework: &[(&'static str, &'static str)]| {
            Release::app_bundle(version, &format!("#!/bin/sh\necho {version}\n"), framework)
        };
        Self::of(release("1.0.0", &framework("one")), release("1.1.0", &framework("two")), "Hello 2.app")
    }

    pub(super) fn each() -> [Self; 4] {
        [Self::executable(), Self::directory(), Self::versions(), Self::app_bundle()]
    }

    /// Makes a later release.
    pub(super) fn next(&self, version: &str) -> Release {
        let script = format!("#!/bin/sh\necho {version}\n");
        match self.layout.kind() {
            InstallKind::Executable => Release::executable(version, script.as_bytes()),
            InstallKind::AppBundle => Release::app_bundle(version, &script, &[]),
            _ => Release::directory(version, &[("share/a", version)], &["etc/*.conf"]),
        }
    }

    /// Returns a file of the old release where it is kept during the trial.
    pub(super) fn kept(&self, path: &str) -> std::path::PathBuf {
        match (self.layout.kind(), self.layout.versions()) {
            (InstallKind::Executable, _) => self.layout.previous_program(),
            (_, Some(versions)) => versions.tree(self.old.version()).join(path),
            _ => self.layout.previous_tree().join(path),
        }
    }

    pub(super) fn swap(&self, trial: Trial) {
        staged(&self.layout, &self.old, &self.new, trial).unwrap().install().unwrap();
    }

    pub(super) fn phase(&self) -> Phase {
        match journal::read(&self.layout).unwrap() {
            journal::Found::State(state) => state.phase,
            journal::Found::Nothing => Phase::Idle,
            other => panic!("{other:?}"),
        }
    }

    /// Asserts that a release is whole, the user's files too, and that no file of the other release is left.
    #[track_caller]
    pub(super) fn assert_installed(&self, release: &Release) {
        release.assert_installed(&self.layout);
        if self.layout.kind() == InstallKind::Executable {
            return;
        }
        let tree = tree_of(self.layout.root());
        if self.layout.kind() == InstallKind::AppBundle {
            let files = tree.iter().filter(|(_, content)| *content != b"/");
            let files: Vec<_> = files.map(|(path, _)| path.to_str().unwrap()).collect();
            assert_eq!(files, release.files.keys().collect::<Vec<_>>(), "nothing is added or lost");
            return;
        }
        let user = [("notes.txt", "the user's"), ("gone/mine", "the user's too"), ("etc/app.conf", "edited")];
        for (path, content) in user {
            assert_eq!(tree.get(Path::new(path)).map(Vec::as_slice), Some(content.as_bytes()), "{path}");
        }
        assert_eq!(tree[Path::new("share/out")], b"-> /nowhere/outside");
        let is_new = release.version() == self.new.version();
        assert_eq!(tree.contains_key(Path::new("etc/app.conf.new")), is_new);
        for path in tree.keys().filter(|path| tree[*path] != b"/") {
            let name = path.to_str().unwrap();
            let users = user.iter().any(|(user, _)| *user == name) || ["share/out", "etc/app.conf.new"].contains(&name);
            assert!(users || name == MANIFEST_PATH || release.files.contains_key(name), "{name} is left over");
        }
        assert_eq!(std::fs::metadata(self.layout.root()).unwrap().mode() & 0o777, 0o750);
    }

    #[track_caller]
    pub(super) fn assert_tidy(&self) {
        let names: Vec<_> = tree_of(self.folder.path()).into_keys().filter(|path| is_hidden(path)).collect();
        assert!(names.is_empty(), "left over: {names:?}");
    }
}

fn is_hidden(path: &Path) -> bool {
    path.to_str().is_some_and(|path| path.contains(".updater/") || path.ends_with(".updater"))
}

#[test]
fn an_update_is_installed_tried_and_completed() {
    for world in World::each() {
        world.swap(Trial::Confirm);
        world.assert_installed(&world.new);
        assert!(matches!(world.phase(), Phase::Trial { trial: Trial::Confirm, .. }));
        assert!(world.kept(world.old.manifest.entry().as_str()).exists(), "the old release is kept during the trial");
        assert!(confirm(&world.layout, now()).unwrap());
        assert!(!confirm(&world.layout, now()).unwrap(), "a second time there is nothing to confirm");
        world.assert_installed(&world.new);
        world.assert_tidy();
    }
}

#[test]
fn updates_follow_each_other_and_leave_nothing() {
    let mut world = World::directory();
    for n in 2..6 {
        world.swap(Trial::Start);
        world.assert_installed(&world.new);
        // Without a confirmation in between: a version that can update itself has ended its trial.
        world.old = world.new.clone();
        let content = format!("a {n}");
        let config = format!("{n}");
        let files = [("share/a", content.as_str()), ("etc/app.conf", config.as_str())];
        world.new = Release::directory(&format!("1.{n}.0"), &files, &["etc/*.conf"]);
    }
    assert!(confirm(&world.layout, now()).unwrap());
    world.assert_tidy();
}

#[test]
fn a_new_default_lies_beside_an_edited_file_until_its_user_takes_it_away() {
    let mut world = World::directory();
    let path = |world: &World, name: &str| world.layout.root().join(name);
    let beside = |world: &World| std::fs::read_to_string(path(world, "etc/app.conf.new")).ok();
    for (n, default, taken, expected) in [
        (2, "2", false, Some("2")),
        // The same again, and nobody has looked at it yet.
        (3, "2", true, Some("2")),
        // The same again, which its user knows.
        (4, "2", false, None),
        (5, "3", false, Some("3")),
    ] {
        world.new = Release::directory(
            &format!("1.{n}.0"),
            &[("share/a", default), ("etc/app.conf", default)],
            &["etc/*.conf"],
        );
        world.swap(Trial::Start);
        assert_eq!(beside(&world).as_deref(), expected, "1.{n}.0");
        assert_eq!(std::fs::read_to_string(path(&world, "etc/app.conf")).unwrap(), "edited");
        if taken {
            std::fs::remove_file(path(&world, "etc/app.conf.new")).unwrap();
        }
        world.old = world.new.clone();
    }
}

#[test]
fn the_program_keeps_the_permissions_that_it_was_given() {
    let world = World::executable();
    std::fs::set_permissions(world.layout.root(), std::fs::Permissions::from_mode(0o710)).unwrap();
    world.swap(Trial::Start);
    assert_eq!(std::fs::metadata(world.layout.root()).unwrap().mode() & 0o7777, 0o710);
}

#[test]
fn nothing_changes_before_install_is_called() {
    for world in World::each() {
        let before = tree_of(world.layout.root().parent().unwrap());
        let staged = staged(&world.layout, &world.old, &world.new, Trial::Start).unwrap();
        assert_eq!((staged.from(), staged.version()), (world.old.version(), world.new.version()));
        let busy = Session::open(&world.layout, now());
        assert!(matches!(busy, Err(InstallError::Busy { owner: Some(pid), .. }) if pid == std::process::id()));
        drop(staged);
        let mut after = tree_of(world.layout.root().parent().unwrap());
        after.retain(|path, _| !is_hidden(path));
        assert_eq!(after, before);
        // What nobody installs is swept by the next session, and the folder with it.
        Session::open(&world.layout, now()).unwrap().close();
        world.assert_tidy();
    }
}

#[test]
fn what_was_tampered_with_is_not_installed() {
    for world in World::each() {
        let staged = staged(&world.layout, &world.old, &world.new, Trial::Start).unwrap();
        let program = staged.path().join(world.new.manifest.entry().as_str());
        std::fs::write(&program, "#!/bin/sh\nevil\n").unwrap();
        let error = staged.install().unwrap_err();
        assert!(matches!(&error, InstallError::Damaged { path, .. } if *path == program), "{error:?}");
        world.assert_installed(&world.old);
        assert_eq!(world.phase(), Phase::Idle);
    }
}

#[test]
fn an_installed_program_that_changed_meanwhile_is_not_replaced() {
    let world = World::executable();
    let staged = staged(&world.layout, &world.old, &world.new, Trial::Start).unwrap();
    std::fs::write(world.layout.root(), "somebody else's").unwrap();
    assert!(matches!(staged.install(), Err(InstallError::Changed { .. })));
    assert_eq!(std::fs::read(world.layout.root()).unwrap(), b"somebody else's");
    Session::open(&world.layout, now()).unwrap().close();
    world.assert_tidy();
}

#[test]
fn a_probe_that_fails_stages_nothing() {
    for world in World::each() {
        let mut session = Session::open(&world.layout, now()).unwrap();
        let tree = stage(&mut session, &world.new).unwrap();
        let plan = Plan { installed: version("1.0.0"), trial: Trial::Start, epoch: 0 };
        let error = session.probe(tree, &plan, Duration::from_secs(20)).unwrap_err();
        assert!(matches!(&error, InstallError::Probe { version, .. } if *version == *world.new.version()), "{error:?}");
        assert!(!world.layout.staged().exists());
        world.assert_installed(&world.old);
    }
}

#[test]
fn a_probe_that_passes_leads_to_an_install() {
    let script = format!("#!/bin/sh\necho updater-probe 1 $UPDATER_PROBE hello 1.1.0 {}\n", super::testing::PLATFORM);
    let mut world = World::executable();
    world.new = Release::executable("1.1.0", script.as_bytes());
    let mut session = Session::open(&world.layout, now()).unwrap();
    let tree = stage(&mut session, &world.new).unwrap();
    let plan = Plan { installed: version("1.0.0"), trial: Trial::Start, epoch: 0 };
    session.probe(tree, &plan, Duration::from_secs(20)).unwrap().install().unwrap();
    world.assert_installed(&world.new);
}

#[test]
fn a_folder_without_its_manifest_is_not_touched() {
    let world = World::directory();
    std::fs::remove_file(world.layout.manifest()).unwrap();
    let before = tree_of(world.layout.root());
    let result = staged(&world.layout, &world.old, &world.new, Trial::Start);
    assert!(matches!(result, Err(InstallError::OwnManifest { .. })), "{result:?}");
    assert_eq!(tree_of(world.layout.root()), before);
}

#[test]
fn a_scheduled_release_is_installed_by_the_next_start() {
    for world in World::each() {
        let staged = staged(&world.layout, &world.old, &world.new, Trial::Confirm).unwrap();
        let scheduled = staged.install_at_next_start().unwrap();
        assert_eq!(scheduled.version(), world.new.version());
        world.assert_installed(&world.old);
        match settle(&world.layout, now()).unwrap() {
            Settled::Updated(installed) => assert_eq!(installed.version(), world.new.version()),
            other => panic!("{other:?}"),
        }
        world.assert_installed(&world.new);
        assert!(matches!(world.phase(), Phase::Trial { trial: Trial::Confirm, .. }));
    }
}

#[test]
fn a_scheduled_release_is_verified_again() {
    for world in World::each() {
        staged(&world.layout, &world.old, &world.new, Trial::Start).unwrap().install_at_next_start().unwrap();
        let program = world.layout.staged_tree().join(world.new.manifest.entry().as_str());
        std::fs::write(program, "evil").unwrap();
        assert!(matches!(settle(&world.layout, now()), Err(InstallError::Damaged { .. })));
        world.assert_installed(&world.old);
        assert!(matches!(settle(&world.layout, now()), Ok(Settled::Nothing)));
        world.assert_tidy();
    }
}

#[test]
fn a_scheduled_release_for_another_installed_one_is_dropped() {
    let world = World::executable();
    staged(&world.layout, &world.old, &world.new, Trial::Start).unwrap().install_at_next_start().unwrap();
    std::fs::write(world.layout.root(), "installed by hand").unwrap();
    assert!(matches!(settle(&world.layout, now()), Ok(Settled::Nothing)));
    assert_eq!(std::fs::read(world.layout.root()).unwrap(), b"installed by hand");
    world.assert_tidy();
}

#[test]
fn a_new_download_replaces_a_scheduled_release() {
    let world = World::directory();
    staged(&world.layout, &world.old, &world.new, Trial::Start).unwrap().install_at_next_start().unwrap();
    let mut session = Session::open(&world.layout, now()).unwrap();
    assert!(matches!(session.phase(), Phase::Staged { .. }));
    let newer = Release::directory("1.2.0", &[], &[]);
    let tree = stage(&mut session, &newer).unwrap();
    assert_eq!(world.phase(), Phase::Idle);
    drop(session);
    assert_eq!(tree.digest(), newer.digest());
}

#[test]
fn a_folder_that_this_user_may_not_change_is_an_obstacle() {
    if rustix::process::geteuid().is_root() {
        // The administrator may write everywhere; another user owning the folder is what stops them.
        let world = World::executable();
        std::os::unix::fs::chown(world.folder.path(), Some(12345), None).unwrap();
        let error = Session::open(&world.layout, now()).unwrap_err();
        assert!(matches!(error, InstallError::Obstacle(Obstacle::NotTrusted { .. })), "{error:?}");
        assert_eq!(error.code(), "install-not-trusted");
        return;
    }
    let world = World::executable();
    std::fs::set_permissions(world.folder.path(), std::fs::Permissions::from_mode(0o555)).unwrap();
    let error = Session::open(&world.layout, now()).unwrap_err();
    std::fs::set_permissions(world.folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    assert!(matches!(error, InstallError::Obstacle(Obstacle::NotWritable { .. })), "{error:?}");
}

#[test]
fn settling_nothing_touches_nothing_and_is_quick() {
    let world = World::executable();
    let begin = std::time::Instant::now();
    for _ in 0..1000 {
        assert!(matches!(settle(&world.layout, now()), Ok(Settled::Nothing)));
    }
    // 1 ms each would be the promise; a loaded machine gets a hundredfold of what it takes.
    assert!(begin.elapsed() < Duration::from_secs(1), "{:?}", begin.elapsed());
    world.assert_tidy();
}

#[test]
fn a_release_that_failed_is_known_for_30_days() {
    let world = World::executable();
    world.swap(Trial::Confirm);
    recovery::put_back(&world);
    assert_eq!(super::bad_releases(&world.layout, now()), [world.new.digest()]);
    assert!(super::bad_releases(&world.layout, now().plus_days(31)).is_empty());
    assert_ne!(world.new.digest(), Sha256::of(b""));
}
