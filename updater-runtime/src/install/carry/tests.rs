use super::{carry_back, carry_over, check_movable, rescue};
use crate::install::testing::{Release, tree_of};
use crate::install::{InstallError, Obstacle};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

/// An old and a new tree, as they lie after the exchange.
struct Trees {
    folder: tempfile::TempDir,
    old: Release,
    new: Release,
}

impl Trees {
    fn new(old: &[(&str, &str)], new: &[(&str, &str)], keep: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (old, new) = (Release::directory("1.0.0", old, keep), Release::directory("1.1.0", new, keep));
        old.install_at(&folder.path().join("old"));
        new.install_at(&folder.path().join("new"));
        Self { folder, old, new }
    }

    fn old(&self, path: &str) -> PathBuf {
        self.folder.path().join("old").join(path)
    }

    fn new_at(&self, path: &str) -> PathBuf {
        self.folder.path().join("new").join(path)
    }

    fn user_file(&self, path: &str, content: &str) {
        std::fs::create_dir_all(self.old(path).parent().unwrap()).unwrap();
        std::fs::write(self.old(path), content).unwrap();
    }

    fn carry(&self) {
        carry_over(&self.old(""), &self.old.manifest, &self.new_at(""), &self.new.manifest).unwrap();
    }

    /// Carries back, as a return does.
    fn carry_back(&self) {
        carry_back(&self.new_at(""), &self.new.manifest, &self.old(""), &self.old.manifest).unwrap();
    }

    #[track_caller]
    fn assert_new(&self, path: &str, content: &str) {
        assert_eq!(std::fs::read_to_string(self.new_at(path)).unwrap(), content, "{path}");
    }
}

#[test]
fn what_the_release_does_not_own_moves_and_nothing_else() {
    let trees =
        Trees::new(&[("share/a", "old a"), ("gone/b", "old b")], &[("share/a", "new a"), ("lib/c", "new c")], &[]);
    trees.user_file("notes.txt", "mine");
    trees.user_file("share/mine", "mine too");
    trees.user_file("gone/mine", "in a folder that the new release has not");
    trees.user_file("own/deep/file", "deep");
    trees.user_file("lib/mine", "in a folder that only the new release has");
    std::fs::create_dir(trees.old("empty")).unwrap();
    symlink("/nowhere/outside", trees.old("share/out")).unwrap();
    std::fs::write(trees.old("").join(std::ffi::OsStr::from_bytes(b"not\xffutf8:*?")), "odd").unwrap();
    std::fs::set_permissions(trees.old("gone"), std::fs::Permissions::from_mode(0o750)).unwrap();
    let inode = std::fs::metadata(trees.old("own/deep/file")).unwrap().ino();
    trees.carry();
    trees.assert_new("notes.txt", "mine");
    trees.assert_new("share/mine", "mine too");
    trees.assert_new("gone/mine", "in a folder that the new release has not");
    trees.assert_new("own/deep/file", "deep");
    trees.assert_new("lib/mine", "in a folder that only the new release has");
    trees.assert_new("lib/c", "new c");
    trees.assert_new("share/a", "new a");
    assert!(trees.new_at("empty").is_dir());
    assert_eq!(std::fs::read_link(trees.new_at("share/out")).unwrap(), Path::new("/nowhere/outside"));
    assert!(trees.new_at("").join(std::ffi::OsStr::from_bytes(b"not\xffutf8:*?")).exists());
    assert!(!trees.new_at("gone/b").exists(), "what the old release owned is gone");
    assert_eq!(std::fs::metadata(trees.new_at("gone")).unwrap().mode() & 0o777, 0o750);
    assert_eq!(std::fs::metadata(trees.new_at("own/deep/file")).unwrap().ino(), inode, "moved, not copied");
}

#[test]
fn a_file_that_users_edit_is_theirs() {
    let keep = ["etc/*.conf"];
    let trees = Trees::new(
        &[("etc/a.conf", "default 1"), ("etc/b.conf", "same"), ("etc/c.conf", "dropped later")],
        &[("etc/a.conf", "default 2"), ("etc/b.conf", "same"), ("etc/d.conf", "first time")],
        &keep,
    );
    trees.user_file("etc/a.conf", "edited");
    trees.user_file("etc/c.conf", "edited too");
    trees.user_file("etc/a.conf.new", "left by an earlier update");
    std::fs::set_permissions(trees.old("etc/a.conf"), std::fs::Permissions::from_mode(0o600)).unwrap();
    trees.carry();
    trees.assert_new("etc/a.conf", "edited");
    trees.assert_new("etc/a.conf.new", "default 2");
    trees.assert_new("etc/b.conf", "same");
    trees.assert_new("etc/c.conf", "edited too");
    trees.assert_new("etc/d.conf", "first time");
    assert!(!trees.new_at("etc/b.conf.new").exists());
    assert_eq!(std::fs::metadata(trees.new_at("etc/a.conf")).unwrap().mode() & 0o777, 0o600);
    trees.carry_back();
    assert_eq!(std::fs::read_to_string(trees.old("etc/a.conf")).unwrap(), "edited");
    assert_eq!(std::fs::read_to_string(trees.old("etc/c.conf")).unwrap(), "edited too");
}

#[test]
fn a_user_file_in_the_way_of_a_new_one_is_saved_and_gets_its_name_back() {
    let trees = Trees::new(
        &[("share/x", "x")],
        &[("tool", "new tool"), ("data/file", "new file"), ("share", "a file now")],
        &[],
    );
    trees.user_file("tool", "my tool");
    trees.user_file("data", "a file where a folder comes");
    trees.user_file("share/mine", "in a folder where a file comes");
    let before = tree_of(&trees.old(""));
    trees.carry();
    trees.assert_new("tool", "new tool");
    trees.assert_new("tool.saved", "my tool");
    trees.assert_new("data/file", "new file");
    trees.assert_new("data.saved", "a file where a folder comes");
    trees.assert_new("share", "a file now");
    trees.assert_new("share.saved/mine", "in a folder where a file comes");
    trees.carry_back();
    let after = tree_of(&trees.old(""));
    for name in ["tool", "data", "share/mine"] {
        assert_eq!(after.get(Path::new(name)), before.get(Path::new(name)), "{name}");
    }
}

#[test]
fn saved_files_do_not_overwrite_each_other() {
    let trees = Trees::new(&[], &[("tool", "new")], &[]);
    trees.user_file("tool", "one");
    trees.user_file("tool.saved", "two");
    trees.user_file("tool.saved.saved", "three");
    trees.carry();
    let mut saved: Vec<Vec<u8>> = tree_of(&trees.new_at(""))
        .into_iter()
        .filter_map(|(path, content)| path.to_str()?.starts_with("tool").then_some(content))
        .collect();
    saved.sort();
    assert_eq!(saved, [&b"new"[..], b"one", b"three", b"two"]);
}

#[test]
fn a_second_run_finishes_what_a_first_has_begun() {
    let content = [("etc/a.conf", "old default"), ("share/x", "x")];
    let keep = ["etc/*"];
    // What a run that was killed between its renames leaves: the new default aside, the edited file not yet there.
    let trees = Trees::new(&content, &[("etc/a.conf", "new default"), ("share/x", "y")], &keep);
    trees.user_file("etc/a.conf", "edited");
    trees.user_file("one", "1");
    trees.user_file("two", "2");
    std::fs::rename(trees.new_at("etc/a.conf"), trees.new_at("etc/a.conf.new")).unwrap();
    std::fs::rename(trees.old("one"), trees.new_at("one")).unwrap();
    trees.carry();
    trees.carry();
    trees.assert_new("etc/a.conf", "edited");
    trees.assert_new("etc/a.conf.new", "new default");
    trees.assert_new("one", "1");
    trees.assert_new("two", "2");
    assert!(!trees.new_at("one.saved").exists());
}

#[test]
fn a_folder_that_the_user_replaced_by_a_link_is_not_walked_into() {
    let trees = Trees::new(&[("share/x", "x")], &[("share/x", "y")], &[]);
    let outside = trees.folder.path().join("outside");
    std::fs::rename(trees.old("share"), &outside).unwrap();
    std::fs::write(outside.join("mine"), "m").unwrap();
    symlink(&outside, trees.old("share")).unwrap();
    trees.carry();
    trees.assert_new("share/x", "y");
    assert_eq!(std::fs::read_link(trees.new_at("share.saved")).unwrap(), outside);
    assert_eq!(tree_of(&outside).len(), 2, "nothing outside was touched");
}

#[test]
fn a_mount_inside_is_found_before_the_exchange() {
    let trees = Trees::new(&[("share/x", "x")], &[], &[]);
    trees.user_file("share/mine/file", "m");
    check_movable(&trees.old(""), &trees.old.manifest).unwrap();
    let point = trees.old("share/mine");
    let mount = |arguments: &[&str]| {
        std::process::Command::new(arguments[0]).args(&arguments[1..]).arg(&point).status().is_ok_and(|s| s.success())
    };
    if !mount(&["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs"]) {
        return;
    }
    let result = check_movable(&trees.old(""), &trees.old.manifest);
    assert!(mount(&["umount"]));
    assert!(matches!(result, Err(InstallError::Obstacle(Obstacle::MountInside { path })) if path == point));
}

#[test]
fn settings_that_only_the_failed_release_had_come_back_if_they_were_edited() {
    let trees = Trees::new(&[], &[("etc/a.conf", "new"), ("etc/b.conf", "new")], &["etc/*.conf"]);
    std::fs::write(trees.new_at("etc/a.conf"), "edited during the trial").unwrap();
    trees.carry_back();
    assert_eq!(std::fs::read_to_string(trees.old("etc/a.conf")).unwrap(), "edited during the trial");
    assert!(!trees.old("etc/b.conf").exists(), "nobody has touched it");
}

#[test]
fn a_folder_that_becomes_a_link_while_it_is_walked_leads_nowhere() {
    use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
    let outside = tempfile::tempdir().unwrap();
    let names: Vec<String> = (0..50).map(|number| format!("data/file-{number}")).collect();
    for name in &names {
        std::fs::write(outside.path().join(name.trim_start_matches("data/")), "precious").unwrap();
    }
    let before = tree_of(outside.path());
    for _ in 0..40 {
        let trees = Trees::new(&[("data/x", "x")], &[("data/x", "y")], &[]);
        names.iter().for_each(|name| trees.user_file(name, "mine"));
        let link = trees.folder.path().join("link");
        symlink(outside.path(), &link).unwrap();
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            // Another user who owns `data` exchanges it for a link and back, as fast as they can.
            scope.spawn(|| {
                while !stop.load(SeqCst) && crate::fs::exchange(&trees.old("data"), &link).is_ok() {
                    std::hint::spin_loop();
                }
            });
            // Where the walk meets the link it ends with an error, or takes the link for a user's and moves it alone.
            let _ = carry_over(&trees.old(""), &trees.old.manifest, &trees.new_at(""), &trees.new.manifest);
            stop.store(true, SeqCst);
        });
        assert_eq!(tree_of(outside.path()), before, "a file outside was moved");
    }
}

#[test]
fn a_rescued_file_never_takes_the_place_of_one_that_was_edited() {
    let content = [("etc/a.conf", "1"), ("etc/b.conf", "1"), ("etc/c.conf", "1"), ("etc/d.conf", "1")];
    let newer = [("etc/a.conf", "2"), ("etc/b.conf", "2"), ("etc/c.conf", "2"), ("etc/d.conf", "2")];
    let trees = Trees::new(&content, &newer, &["etc/*"]);
    // What a process of the old version has written, and what the user has written for the new one since.
    trees.user_file("etc/a.conf", "written late");
    trees.user_file("etc/b.conf", "written late");
    trees.user_file("etc/c.conf", "the same");
    for (path, content) in [("etc/a.conf", "in use"), ("etc/c.conf", "the same"), ("etc/d.conf", "in use")] {
        std::fs::write(trees.new_at(path), content).unwrap();
    }
    for _ in 0..2 {
        rescue(&trees.old(""), &trees.old.manifest, &trees.new_at(""), &trees.new.manifest).unwrap();
    }
    trees.assert_new("etc/a.conf", "in use");
    trees.assert_new("etc/a.conf.saved", "written late");
    trees.assert_new("etc/b.conf", "written late");
    trees.assert_new("etc/b.conf.new", "2");
    trees.assert_new("etc/c.conf", "the same");
    trees.assert_new("etc/d.conf", "in use");
    for path in ["etc/c.conf.saved", "etc/d.conf.saved", "etc/a.conf.new"] {
        assert!(!trees.new_at(path).exists(), "{path}");
    }
}
