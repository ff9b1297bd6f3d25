use super::{
    Dir, atomic_write, digest, exchange, names, open_regular, private_dir, read_bounded, remove_all, space,
    system::copy,
};
use std::io::{ErrorKind, Read as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use updater_format::{FilePath, Sha256};

fn path(text: &str) -> FilePath {
    FilePath::parse(text).unwrap()
}

#[test]
fn an_atomic_write_replaces_the_whole_file_and_leaves_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("state.json");
    atomic_write(&file, b"a long first content").unwrap();
    atomic_write(&file, b"second").unwrap();
    assert_eq!(std::fs::read(&file).unwrap(), b"second");
    assert_eq!(names(folder.path()).unwrap(), ["state.json"]);
    assert_eq!(std::fs::metadata(&file).unwrap().mode() & 0o7777, 0o600);
}

#[test]
fn a_failed_write_keeps_the_old_file_and_names_the_path() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("taken");
    std::fs::create_dir(&file).unwrap();
    let error = atomic_write(&file, b"x").unwrap_err();
    assert_eq!(error.operation, "rename");
    assert!(error.path.starts_with(folder.path()));
    assert_eq!(names(folder.path()).unwrap(), ["taken"]);
    let error = atomic_write(&folder.path().join("missing/file"), b"x").unwrap_err();
    assert_eq!((error.operation, error.source.kind()), ("create", ErrorKind::NotFound));
}

#[test]
fn a_planted_temporary_file_is_not_written_through() {
    let folder = tempfile::tempdir().unwrap();
    let victim = folder.path().join("victim");
    std::fs::write(&victim, "precious").unwrap();
    for n in 0..50 {
        symlink(&victim, folder.path().join(format!(".f.{}-{n}.tmp", std::process::id()))).unwrap();
    }
    atomic_write(&folder.path().join("f"), b"new").unwrap();
    assert_eq!(std::fs::read(&victim).unwrap(), b"precious");
    assert_eq!(std::fs::read(folder.path().join("f")).unwrap(), b"new");
}

#[test]
fn private_folders_are_private() {
    let folder = tempfile::tempdir().unwrap();
    let own = folder.path().join("own");
    private_dir(&own).unwrap();
    assert_eq!(std::fs::metadata(&own).unwrap().mode() & 0o7777, 0o700);
    std::fs::set_permissions(&own, std::fs::Permissions::from_mode(0o777)).unwrap();
    private_dir(&own).unwrap();
    assert_eq!(std::fs::metadata(&own).unwrap().mode() & 0o7777, 0o700);
    let link = folder.path().join("link");
    symlink(&own, &link).unwrap();
    assert_eq!(private_dir(&link).unwrap_err().operation, "use as a folder");
    if rustix::process::geteuid().is_root() {
        std::os::unix::fs::chown(&own, Some(12345), None).unwrap();
        assert_eq!(private_dir(&own).unwrap_err().operation, "use the folder of another user");
    }
}

#[test]
fn no_link_is_followed_on_the_way() {
    let folder = tempfile::tempdir().unwrap();
    let (inside, outside) = (folder.path().join("inside"), folder.path().join("outside"));
    std::fs::create_dir_all(inside.join("real")).unwrap();
    std::fs::create_dir(&outside).unwrap();
    std::fs::write(outside.join("secret"), "s").unwrap();
    symlink(&outside, inside.join("link")).unwrap();
    symlink(outside.join("secret"), inside.join("real/secret")).unwrap();
    let dir = Dir::open(&inside).unwrap();
    assert!(dir.create_file(&path("link/new"), 0o644).is_err());
    assert!(dir.create_link(&path("link/new"), "x").is_err());
    assert!(dir.open_file(&path("link/secret")).is_err());
    assert!(dir.open_file(&path("real/secret")).is_err());
    assert!(dir.create_file(&path("real/secret"), 0o644).is_err());
    assert_eq!(names(&outside).unwrap(), ["secret"]);
    assert!(Dir::open(&inside.join("link")).is_err());
    assert!(open_regular(&inside.join("real/secret")).is_err());
}

#[test]
fn files_and_folders_get_exactly_their_modes() {
    let folder = tempfile::tempdir().unwrap();
    let dir = Dir::open(folder.path()).unwrap();
    dir.create_file(&path("a/b/program"), 0o755).unwrap();
    dir.create_link(&path("a/link"), "b/program").unwrap();
    let mode = |name: &str| std::fs::metadata(folder.path().join(name)).unwrap().mode() & 0o7777;
    assert_eq!((mode("a"), mode("a/b"), mode("a/b/program")), (0o755, 0o755, 0o755));
    assert_eq!(dir.read_link(&path("a/link")).unwrap().as_deref(), Some("b/program"));
    assert_eq!(dir.read_link(&path("a/b/program")).unwrap(), None);
    assert!(dir.open_file(&path("a/none")).unwrap().is_none());
    assert!(dir.open_file(&path("none/none")).unwrap().is_none());
    assert!(dir.create_file(&path("a/b/program"), 0o755).is_err(), "nothing is overwritten");
    dir.sync(["a", "a/b"]).unwrap();
}

#[test]
fn pipes_do_not_hold_a_reader() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status();
    if !made.is_ok_and(|status| status.success()) {
        return;
    }
    assert!(open_regular(&pipe).is_err());
    assert!(Dir::open(folder.path()).unwrap().open_file(&path("pipe")).is_err());
}

#[test]
fn a_folder_that_took_the_place_of_the_one_just_made_is_not_used() {
    let folder = tempfile::tempdir().unwrap();
    let (dir, like) = (Dir::open(folder.path()).unwrap(), tempfile::tempdir().unwrap());
    let (like, name) = (Dir::open(like.path()).unwrap(), std::ffi::OsStr::new("made"));
    let at = folder.path().join(name);
    let put = |mode| {
        std::fs::create_dir(&at).unwrap();
        std::fs::set_permissions(&at, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    dir.make_folder(name, &like).unwrap();
    remove_all(&at).unwrap();
    put(0o700);
    assert!(dir.just_made(name).is_ok());
    std::fs::write(at.join("theirs"), "").unwrap();
    assert!(dir.just_made(name).is_err(), "one in which something lies");
    remove_all(&at).unwrap();
    put(0o755);
    assert!(dir.just_made(name).is_err(), "one with other permissions");
    remove_all(&at).unwrap();
    std::os::unix::fs::symlink(like.path(), &at).unwrap();
    assert!(dir.just_made(name).is_err(), "a link");
    remove_all(&at).unwrap();
    put(0o700);
    if rustix::process::geteuid().is_root() {
        std::os::unix::fs::chown(&at, Some(12345), None).unwrap();
        assert!(dir.just_made(name).is_err(), "one of another user");
    }
}

#[test]
fn small_things() {
    let folder = tempfile::tempdir().unwrap();
    let (one, two) = (folder.path().join("one"), folder.path().join("two"));
    std::fs::write(&one, "1").unwrap();
    std::fs::set_permissions(&one, std::fs::Permissions::from_mode(0o750)).unwrap();
    copy(&one, &two).unwrap();
    assert_eq!(std::fs::metadata(&two).unwrap().mode() & 0o7777, 0o750);
    assert!(copy(&one, &two).is_err(), "nothing is overwritten");
    assert_eq!(digest(&two).unwrap(), Some((1, Sha256::of(b"1"))));
    assert_eq!(digest(&folder.path().join("none")).unwrap(), None);
    std::fs::write(&two, "2").unwrap();
    exchange(&one, &two).unwrap();
    let mut content = String::new();
    open_regular(&one).unwrap().unwrap().read_to_string(&mut content).unwrap();
    assert_eq!(content, "2");
    assert_eq!(read_bounded(&one, 0).unwrap().unwrap(), b"");
    remove_all(&one).unwrap();
    remove_all(&one).unwrap();
    assert!(space(folder.path()).unwrap().bytes > 0);
}
