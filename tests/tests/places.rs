//! Updates in places where updates go wrong: odd paths, links, a narrow umask, file systems that are full or read-only.
#![expect(clippy::unwrap_used, reason = "helpers of tests outside a test function")]

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use updater_format::{InstallKind, UtcTime};
use updater_runtime::transport::Url;
use updater_tests::crash::app::{REPOSITORY, ROOT};
use updater_tests::crash::release::{Release, write_repository};
use updater_tests::crash::trace;
use updater_tests::crash::world::World;
use updater_tests::require;
use updater_tests::simulator::RepositorySimulator;

/// Two versions of the program and a repository that offers the second.
struct Releases {
    folder: tempfile::TempDir,
    old: Release,
    new: Release,
}

impl Releases {
    fn new(kind: InstallKind) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let stripped = folder.path().join("stripped");
        let program = env!("CARGO_BIN_EXE_crash-points");
        let strip = Command::new("strip").arg("-o").arg(&stripped).arg(program).status();
        let program = if strip.is_ok_and(|status| status.success()) { stripped } else { PathBuf::from(program) };
        let program = std::fs::read(program).unwrap();
        let release = |version| Release::new(&program, kind, version, true);
        let (old, new) = (release("1.0.0"), release("1.1.0"));
        let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
        let repository = RepositorySimulator::starting_at(UtcTime::from_unix(i64::try_from(now).unwrap()));
        new.publish(&repository);
        write_repository(&repository, &folder.path().join("repository")).unwrap();
        std::fs::write(folder.path().join("root.json"), repository.repo().root_bytes()).unwrap();
        Self { folder, old, new }
    }

    /// Runs the update by the program at this path, under this umask, and returns what it said.
    fn update(&self, program: &Path, umask: &str) -> String {
        let url = Url::from_path(&self.folder.path().join("repository")).unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", r#"umask "$0"; exec "$@""#, umask]).arg(program).arg("update");
        command.env(REPOSITORY, url.expose()).env(ROOT, self.folder.path().join("root.json"));
        command.env("XDG_STATE_HOME", self.folder.path().join("state")).env_remove("UPDATER_DISABLE");
        let outcome = trace::run(&mut command).unwrap();
        assert_eq!(outcome.code, Some(0), "{outcome:?}");
        outcome.output
    }
}

#[track_caller]
fn assert_updated(output: &str, world: &World, releases: &Releases) {
    assert!(output.ends_with("version 1.1.0\n"), "{output}");
    world.check(&releases.new).unwrap();
    world.check_tidy(false).unwrap();
}

#[test]
fn an_update_works_at_odd_paths_under_a_narrow_umask() {
    let releases = Releases::new(InstallKind::Directory);
    let outer = tempfile::tempdir().unwrap();
    let long = "long ".repeat(40);
    for name in ["with space", "ünïcödé 更新", "quote\"'$(x)", long.trim()] {
        let world = World { slot: outer.path().join(name), kind: InstallKind::Directory };
        world.install(&releases.old).unwrap();
        let output = releases.update(&world.program(), "077");
        assert_updated(&output, &world, &releases);
    }
}

#[test]
fn an_update_through_a_link_changes_what_the_link_leads_to() {
    let releases = Releases::new(InstallKind::Executable);
    let outer = tempfile::tempdir().unwrap();
    let world = World { slot: outer.path().join("real"), kind: InstallKind::Executable };
    world.install(&releases.old).unwrap();
    let link = outer.path().join("link");
    symlink(world.program(), &link).unwrap();
    let output = releases.update(&link, "022");
    assert_updated(&output, &world, &releases);
    assert_eq!(std::fs::read_link(&link).unwrap(), world.program());
}

#[test]
fn a_full_or_read_only_file_system_keeps_the_old_version() {
    if !require::root("mounting a small file system") {
        return;
    }
    for kind in [InstallKind::Executable, InstallKind::Directory] {
        let releases = Releases::new(kind);
        let outer = tempfile::tempdir().unwrap();
        let mount = Mount::tmpfs(outer.path());
        let world = World { slot: outer.path().join("slot"), kind };
        world.install(&releases.old).unwrap();
        // Room for the download and not for the release beside it.
        mount.remount(&format!("size={}", used(&world.slot) + 4 * 1024 * 1024));
        let output = releases.update(&world.program(), "022");
        assert!(output.contains("failed ") && output.contains("space"), "{output}");
        assert!(output.ends_with("version 1.0.0\n"), "{output}");
        world.check(&releases.old).unwrap();
        mount.remount("ro,size=256m");
        let output = releases.update(&world.program(), "022");
        assert!(output.contains("is on a read-only file system"), "{output}");
        mount.remount("rw,size=256m");
        let output = releases.update(&world.program(), "022");
        assert_updated(&output, &world, &releases);
    }
}

/// A mounted file system; unmounted when it is dropped.
struct Mount(PathBuf);

impl Mount {
    fn tmpfs(at: &Path) -> Self {
        let status = Command::new("mount").args(["-t", "tmpfs", "-o", "size=256m,mode=0755", "tmpfs"]).arg(at).status();
        assert!(status.unwrap().success());
        Self(at.to_owned())
    }

    fn remount(&self, options: &str) {
        let status = Command::new("mount").arg("-o").arg(format!("remount,{options}")).arg(&self.0).status();
        assert!(status.unwrap().success(), "{options}");
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

/// Returns the bytes of all files in a folder.
fn used(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    let size = |path: PathBuf| match path.symlink_metadata().unwrap() {
        metadata if metadata.is_dir() => used(&path),
        metadata => metadata.len(),
    };
    entries.map(|entry| size(entry.path())).sum()
}
