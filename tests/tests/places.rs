//! Updates in places where updates go wrong: odd paths, links, a narrow umask, file systems that are full or read-only.
#![expect(clippy::unwrap_used, reason = "helpers of tests outside a test function")]

use std::ffi::OsStr;
use std::os::unix::fs::{PermissionsExt as _, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use updater_format::UtcTime;
use updater_runtime::transport::Url;
use updater_tests::crash::app::{REPOSITORY, ROOT};
use updater_tests::crash::release::{Release, write_repository};
use updater_tests::crash::trace;
use updater_tests::crash::world::{Kind, World};
use updater_tests::require;
use updater_tests::simulator::RepositorySimulator;

/// Two versions of the program and a repository that offers the second.
struct Releases {
    folder: tempfile::TempDir,
    old: Release,
    new: Release,
}

impl Releases {
    fn new(kind: Kind) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let stripped = folder.path().join("stripped");
        let program = env!("CARGO_BIN_EXE_crash-points");
        let strip = Command::new("strip").arg("-o").arg(&stripped).arg(program).status();
        let program = if strip.is_ok_and(|status| status.success()) { stripped } else { PathBuf::from(program) };
        let program = std::fs::read(program).unwrap();
        let release = |version| Release::new(&program, kind.install(), version, true);
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
        let mut command = Command::new("sh");
        command.args(["-c", r#"umask "$0"; exec "$@""#, umask]).arg(program).arg("update");
        self.run(&mut command, "state")
    }

    /// Runs a command that starts the program, with this folder for its state, and returns what it said.
    fn run(&self, command: &mut Command, state: &str) -> String {
        let url = Url::from_path(&self.folder.path().join("repository")).unwrap();
        command.env(REPOSITORY, url.expose()).env(ROOT, self.folder.path().join("root.json"));
        command.env("XDG_STATE_HOME", self.folder.path().join(state)).env_remove("UPDATER_DISABLE");
        // Nothing is ever written there: everything lies beside the install or in the state folder.
        command.env("TMPDIR", "/nonexistent");
        let outcome = trace::run(command).unwrap();
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
    let releases = Releases::new(Kind::Directory);
    let outer = tempfile::tempdir().unwrap();
    let long = "long ".repeat(40);
    for name in ["with space", "ünïcödé 更新", "quote\"'$(x)", long.trim()] {
        let world = World { slot: outer.path().join(name), kind: Kind::Directory };
        world.install(&releases.old).unwrap();
        let output = releases.update(&world.program(), "077");
        assert_updated(&output, &world, &releases);
    }
}

#[test]
fn an_update_through_a_link_changes_what_the_link_leads_to() {
    let releases = Releases::new(Kind::Executable);
    let outer = tempfile::tempdir().unwrap();
    let world = World { slot: outer.path().join("real"), kind: Kind::Executable };
    world.install(&releases.old).unwrap();
    let link = outer.path().join("link");
    symlink(world.program(), &link).unwrap();
    let output = releases.update(&link, "022");
    assert_updated(&output, &world, &releases);
    assert_eq!(std::fs::read_link(&link).unwrap(), world.program());
}

#[test]
fn an_update_below_a_linked_folder_changes_the_real_one() {
    let releases = Releases::new(Kind::Directory);
    let outer = tempfile::tempdir().unwrap();
    let world = World { slot: outer.path().join("real"), kind: Kind::Directory };
    world.install(&releases.old).unwrap();
    symlink("real", outer.path().join("link")).unwrap();
    let output = releases.update(&outer.path().join("link/place/my app/bin/hello"), "022");
    assert_updated(&output, &world, &releases);
}

#[test]
fn an_update_through_path_and_under_another_name_changes_the_program_that_runs() {
    let releases = Releases::new(Kind::Executable);
    let outer = tempfile::tempdir().unwrap();
    let world = World { slot: outer.path().join("slot"), kind: Kind::Executable };
    world.install(&releases.old).unwrap();
    // What the new process is started from is neither looked up again nor taken from the name it was called by.
    let decoy = outer.path().join("decoy");
    std::fs::create_dir(&decoy).unwrap();
    std::fs::write(decoy.join("hello"), "#!/bin/sh\necho decoy\n").unwrap();
    let script = r#"PATH="$0:$PATH"; exec -a /nonexistent/forged hello update"#;
    let mut command = Command::new("bash");
    command.args(["-c", script]).arg(world.root().parent().unwrap()).current_dir(&decoy);
    let output = releases.run(&mut command, "state");
    assert_updated(&output, &world, &releases);
}

#[test]
fn an_update_behind_a_link_to_the_current_version_moves_the_link() {
    let releases = Releases::new(Kind::Directory);
    let outer = tempfile::tempdir().unwrap();
    let world = World { slot: outer.path().join("slot"), kind: Kind::Directory };
    world.install(&releases.old).unwrap();
    let base = outer.path().join("base");
    std::fs::create_dir_all(base.join("versions")).unwrap();
    std::fs::rename(world.root(), base.join("versions/hello-1.0.0")).unwrap();
    symlink("versions/hello-1.0.0", base.join("current")).unwrap();
    let program = base.join("current/bin/hello");
    assert!(releases.update(&program, "022").ends_with("version 1.1.0\n"));
    assert_eq!(std::fs::read_link(base.join("current")).unwrap(), Path::new("versions/hello-1.1.0"));
    assert!(base.join("versions/hello-1.0.0/bin/hello").exists(), "the version before is kept");
    assert!(base.join("current/notes.txt").exists(), "the user's files follow");
    assert!(!base.join(".current.updater").exists());
    let again = releases.update(&program, "022");
    assert!(again.contains("none ") && again.ends_with("version 1.1.0\n"), "{again}");
}

#[test]
fn another_users_folder_is_left_alone_and_ones_own_is_updated() {
    if !require::root("becoming another user") || !require::command("setpriv", "apt install util-linux") {
        return;
    }
    for kind in Kind::APPS {
        let releases = Releases::new(kind);
        let outer = tempfile::tempdir().unwrap();
        for folder in [outer.path(), releases.folder.path()] {
            std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o755)).unwrap();
        }
        let state = releases.folder.path().join("nobody");
        std::fs::create_dir(&state).unwrap();
        chown(&state, Some(NOBODY), Some(NOBODY)).unwrap();
        let world = World { slot: outer.path().join("slot"), kind };
        world.install(&releases.old).unwrap();
        let update = || {
            let user = NOBODY.to_string();
            let mut command = Command::new("setpriv");
            command.args(["--reuid", &user, "--regid", &user, "--clear-groups", "--"]);
            releases.run(command.arg(world.program()).arg("update"), "nobody")
        };
        let output = update();
        assert!(output.contains("is not writable by this user"), "{output}");
        world.check(&releases.old).unwrap();
        world.check_tidy(false).unwrap();
        let given = Command::new("chown").arg("-R").arg(NOBODY.to_string()).arg(&world.slot).status().unwrap();
        assert!(given.success());
        assert_updated(&update(), &world, &releases);
    }
}

#[test]
fn a_file_system_without_free_bytes_or_files_keeps_the_old_version() {
    if !require::mounts("a full ext4") || !require::command("mkfs.ext4", "apt install e2fsprogs") {
        return;
    }
    let releases = Releases::new(Kind::Directory);
    let outer = tempfile::tempdir().unwrap();
    let _mount = Mount::ext4(outer.path(), releases.folder.path());
    let world = World { slot: outer.path().join("slot"), kind: Kind::Directory };
    world.install(&releases.old).unwrap();
    let filler = outer.path().join("filler");
    // Room for the download and not for the release beside it; then room for neither.
    for left in [FREE, 0] {
        fill_bytes(&filler, left);
        let output = releases.update(&world.program(), "022");
        assert!(output.contains("failed ") && output.contains("space"), "{output}");
        assert!(output.ends_with("version 1.0.0\n"), "{output}");
        world.check(&releases.old).unwrap();
        std::fs::remove_file(&filler).unwrap();
    }
    // Bytes enough, but fewer files than the release has.
    let many = outer.path().join("many");
    std::fs::create_dir(&many).unwrap();
    let made = (0..).take_while(|number| std::fs::write(many.join(number.to_string()), "").is_ok()).count();
    (0..made.min(12)).for_each(|number| std::fs::remove_file(many.join(number.to_string())).unwrap());
    let output = releases.update(&world.program(), "022");
    assert!(output.contains(" files free, the release takes "), "{output}");
    world.check(&releases.old).unwrap();
    std::fs::remove_dir_all(&many).unwrap();
    let output = releases.update(&world.program(), "022");
    assert_updated(&output, &world, &releases);
}

#[test]
fn a_mount_inside_or_over_the_install_keeps_the_old_version() {
    if !require::mounts("mounts inside an install") {
        return;
    }
    let releases = Releases::new(Kind::Directory);
    let outer = tempfile::tempdir().unwrap();
    let world = World { slot: outer.path().join("slot"), kind: Kind::Directory };
    world.install(&releases.old).unwrap();
    // Where both releases have files, and the user too. A mount deep in a folder of the user moves along with that folder.
    let inside = world.root().join("share/data");
    let mount = Mount::bind(&inside, &inside);
    let other = Mount::tmpfs(&inside);
    let output = releases.update(&world.program(), "022");
    assert!(output.contains("is a mount point inside the install"), "{output}");
    drop(other);
    // A folder of the same file system mounted there cannot be told by its number; the rename fails, and is undone.
    let output = releases.update(&world.program(), "022");
    assert!(output.contains("failed ") && output.ends_with("version 1.0.0\n"), "{output}");
    drop(mount);
    world.check(&releases.old).unwrap();
    let output = releases.update(&world.program(), "022");
    assert_updated(&output, &world, &releases);

    let releases = Releases::new(Kind::Executable);
    let world = World { slot: outer.path().join("file"), kind: Kind::Executable };
    world.install(&releases.old).unwrap();
    let mount = Mount::bind(&world.root(), &world.root());
    let output = releases.update(&world.program(), "022");
    assert!(output.contains("failed ") && output.ends_with("version 1.0.0\n"), "{output}");
    drop(mount);
    world.check(&releases.old).unwrap();
    world.check_tidy(false).unwrap();
}

#[test]
fn an_overlay_is_updated_or_refused_with_its_reason() {
    if !require::mounts("an overlay") {
        return;
    }
    // What lies in the lower layer can be replaced, but its folders can be renamed only where the mount allows it.
    let exchange = Some("cannot exchange folders in one step");
    let refusals = [None, exchange, Some("Invalid cross-device link"), exchange];
    for (kind, refusal) in Kind::APPS.into_iter().zip(refusals) {
        let releases = Releases::new(kind);
        for (redirect, is_lower) in [("off", true), ("off", false), ("on", true)] {
            let outer = tempfile::tempdir().unwrap();
            let [lower, upper, work, merged] = ["lower", "upper", "work", "merged"].map(|name| outer.path().join(name));
            [&lower, &upper, &work, &merged].iter().for_each(|folder| std::fs::create_dir(folder).unwrap());
            if is_lower {
                World { slot: lower.join("slot"), kind }.install(&releases.old).unwrap();
            }
            let _mount = Mount::overlay(&lower, &upper, &work, &merged, redirect);
            let world = World { slot: merged.join("slot"), kind };
            if !is_lower {
                world.install(&releases.old).unwrap();
            }
            let output = releases.update(&world.program(), "022");
            match refusal.filter(|_| is_lower && redirect == "off") {
                None => assert_updated(&output, &world, &releases),
                Some(refusal) => {
                    assert!(output.contains(refusal) && output.ends_with("version 1.0.0\n"), "{output}");
                    world.check(&releases.old).unwrap();
                }
            }
        }
    }
}

#[test]
fn a_full_or_read_only_file_system_keeps_the_old_version() {
    if !require::mounts("a small file system") {
        return;
    }
    for kind in Kind::APPS {
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
    fn new(at: &Path, arguments: &[&OsStr]) -> Self {
        let status = Command::new("mount").args(arguments).arg(at).status().unwrap();
        assert!(status.success(), "mount {arguments:?} {}", at.display());
        Self(at.to_owned())
    }

    fn tmpfs(at: &Path) -> Self {
        Self::new(at, &["-t", "tmpfs", "-o", "size=256m,mode=0755", "tmpfs"].map(OsStr::new))
    }

    /// A file system of 128 MiB and 256 files, in an image in another folder.
    fn ext4(at: &Path, images: &Path) -> Self {
        let image = images.join("image");
        std::fs::File::create(&image).unwrap().set_len(128 * 1024 * 1024).unwrap();
        let made = Command::new("mkfs.ext4").args(["-q", "-m", "0", "-N", "256"]).arg(&image).status().unwrap();
        assert!(made.success());
        Self::new(at, &[OsStr::new("-o"), OsStr::new("loop"), image.as_os_str()])
    }

    fn bind(what: &Path, at: &Path) -> Self {
        Self::new(at, &[OsStr::new("--bind"), what.as_os_str()])
    }

    fn overlay(lower: &Path, upper: &Path, work: &Path, at: &Path, redirect: &str) -> Self {
        let [lower, upper, work] = [lower, upper, work].map(|folder| folder.display());
        let options = format!("lowerdir={lower},upperdir={upper},workdir={work},redirect_dir={redirect}");
        Self::new(at, &["-t", "overlay", "-o", &options, "overlay"].map(OsStr::new))
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

/// Writes a file that leaves about so many bytes of its file system free.
fn fill_bytes(path: &Path, left: u64) {
    use std::io::Write as _;
    let mut file = std::fs::File::create(path).unwrap();
    while file.write_all(&[0xa5; 64 * 1024]).is_ok() {}
    let length = file.metadata().unwrap().len();
    file.set_len(length.saturating_sub(left)).unwrap();
    file.sync_all().unwrap();
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

/// A user who owns nothing.
const NOBODY: u32 = 65534;
/// More than the download takes, in bytes, and less than the release.
const FREE: u64 = 4 * 1024 * 1024;
