use super::{
    Dir, atomic_write, canonical, check_writable, digest, is_another_users, is_in_use, is_running_program,
    is_same_file, names, open_own, open_regular, private_dir, read_bounded, remove_all, rename, replace_program,
    running_digest, runs_as_administrator, space, take_access_of,
};
use crate::win32;
use std::fs::{File, OpenOptions};
use std::io::ErrorKind;
use std::os::windows::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use updater_format::{FilePath, Sha256};

fn path(text: &str) -> FilePath {
    FilePath::parse(text).unwrap()
}

fn is_wine() -> bool {
    Path::new(r"C:\windows\system32\winecfg.exe").exists()
}

/// Opens a file as a virus scanner does: nobody else may write, rename or remove it meanwhile.
fn scanner(path: &Path) -> File {
    OpenOptions::new().read(true).share_mode(1).open(path).unwrap()
}

/// Starts a copy of this program that only waits.
fn running_copy(at: &Path) -> Child {
    std::fs::copy(std::env::current_exe().unwrap(), at).unwrap();
    let mut command = Command::new(at);
    command.args(["--exact", "fs::tests::waits_for_its_end", "--ignored"]).stdin(Stdio::piped());
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

#[test]
#[ignore = "the program of other tests"]
fn waits_for_its_end() {
    let _ = std::io::stdin().read_line(&mut String::new());
}

#[test]
fn an_atomic_write_replaces_the_whole_file_and_leaves_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("state.json");
    atomic_write(&file, b"a long first content").unwrap();
    atomic_write(&file, b"second").unwrap();
    assert_eq!(std::fs::read(&file).unwrap(), b"second");
    assert_eq!(names(folder.path()).unwrap(), ["state.json"]);
    let error = atomic_write(folder.path().join("missing/file").as_path(), b"x").unwrap_err();
    assert_eq!((error.operation, error.source.kind()), ("create", ErrorKind::NotFound));
    std::fs::create_dir(folder.path().join("taken")).unwrap();
    let begin = Instant::now();
    assert_eq!(atomic_write(&folder.path().join("taken"), b"x").unwrap_err().operation, "rename");
    assert!(begin.elapsed() < Duration::from_secs(1), "what can never work is not waited for");
}

#[test]
fn a_scanner_is_waited_for_and_then_named() {
    let folder = tempfile::tempdir().unwrap();
    let (one, two) = (folder.path().join("one"), folder.path().join("two"));
    std::fs::write(&one, "1").unwrap();
    let held = scanner(&one);
    let holder = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(400));
        drop(held);
    });
    let begin = Instant::now();
    rename(&one, &two).unwrap();
    assert!(begin.elapsed() >= Duration::from_millis(300), "{:?}", begin.elapsed());
    holder.join().unwrap();
    let _held = scanner(&two);
    let begin = Instant::now();
    let error = rename(&two, &one).unwrap_err();
    assert!(is_in_use(&error.source), "{error:?}");
    assert!(error.hint().starts_with("close other programs"), "{}", error.hint());
    let waited = begin.elapsed();
    assert!(waited >= super::system::PATIENCE && waited < super::system::PATIENCE * 2, "{waited:?}");
    assert_eq!(std::fs::read(&two).unwrap(), b"1");
}

#[test]
fn a_running_program_is_replaced_and_put_aside() {
    let folder = tempfile::tempdir().unwrap();
    let (program, new) = (folder.path().join("app.exe"), folder.path().join("new.exe"));
    let mut child = running_copy(&program);
    std::fs::write(&new, "new").unwrap();
    assert!(std::fs::remove_file(&program).is_err(), "a program that runs cannot be removed");
    let previous = folder.path().join("previous");
    private_dir(&previous).unwrap();
    let aside = previous.join("app.exe");
    replace_program(&new, &program, &aside).unwrap();
    assert_eq!(std::fs::read(&program).unwrap(), b"new");
    assert!(aside.is_file() && !new.exists());
    // Its folder is wanted for something else.
    remove_all(&previous).unwrap();
    assert!(!previous.exists());
    let left: Vec<_> = names(folder.path()).unwrap().into_iter().filter(|name| name != "app.exe").collect();
    assert!(left.len() == 1 && left[0].to_string_lossy().starts_with(super::SPENT), "{left:?}");
    remove_all(&folder.path().join(&left[0])).unwrap();
    assert!(folder.path().join(&left[0]).exists(), "it runs still");
    drop(child.stdin.take());
    child.wait().unwrap();
    remove_all(&folder.path().join(&left[0])).unwrap();
    assert_eq!(names(folder.path()).unwrap(), ["app.exe"]);
}

#[test]
fn a_replacement_that_fails_leaves_the_old_program() {
    let folder = tempfile::tempdir().unwrap();
    let (program, new) = (folder.path().join("app.exe"), folder.path().join("new.exe"));
    std::fs::write(&program, "old").unwrap();
    std::fs::write(&new, "new").unwrap();
    let _held = scanner(&new);
    let error = replace_program(&new, &program, &folder.path().join("aside.exe")).unwrap_err();
    assert!(is_in_use(&error.source), "{error:?}");
    assert_eq!(std::fs::read(&program).unwrap(), b"old");
    assert_eq!(names(folder.path()).unwrap(), ["app.exe", "new.exe"]);
}

#[test]
fn private_folders_belong_to_this_user() {
    let folder = tempfile::tempdir().unwrap();
    let own = folder.path().join(".own");
    private_dir(&own).unwrap();
    private_dir(&own).unwrap();
    assert!(!is_another_users(&own).unwrap());
    assert!(!is_another_users(&folder.path().join("none")).unwrap());
    let user = win32::user().unwrap();
    assert!(user.starts_with("S-1-5-"), "{user}");
    let grants = win32::grants(&own).unwrap().unwrap();
    let trusted = [user.as_str(), "S-1-5-18", "S-1-5-32-544"];
    // Wine keeps lists as permission bits, and shows entries without rights.
    let others: Vec<_> = grants.iter().filter(|g| g.mask != 0 && !trusted.contains(&g.sid.as_str())).collect();
    assert!(others.iter().all(|grant| grant.mask & 0x1F_01FF & !0x12_0088 == 0), "{others:?}");
    std::fs::write(folder.path().join("file"), "").unwrap();
    assert_eq!(private_dir(&folder.path().join("file")).unwrap_err().operation, "use as a folder");
    check_writable(&own).unwrap();
    assert!(check_writable(&folder.path().join("none")).is_err());
    take_access_of(&own, folder.path()).unwrap();
    let _ = runs_as_administrator();
}

#[test]
fn a_folder_that_is_held_stays_where_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let held = folder.path().join("held");
    std::fs::create_dir(&held).unwrap();
    let dir = Dir::open(&held).unwrap();
    assert!(std::fs::rename(&held, folder.path().join("moved")).is_err());
    assert!(std::fs::remove_dir(&held).is_err());
    dir.create_file(&path("a/b/program.exe"), 0o755).unwrap();
    assert!(dir.create_file(&path("a/b/program.exe"), 0o755).is_err(), "nothing is overwritten");
    assert!(dir.create_file(&path("A/B/Program.EXE"), 0o755).is_err(), "nor under the same name in capitals");
    assert!(dir.open_file(&path("a/none")).unwrap().is_none());
    assert!(dir.open_file(&path("none/none")).unwrap().is_none());
    assert!(dir.folder_at("a/b").unwrap().is_some() && dir.folder_at("a/c").unwrap().is_none());
    let error = dir.create_link(&path("link"), "a").unwrap_err();
    assert_eq!(error.source.kind(), ErrorKind::Unsupported);
    drop(dir);
    remove_all(&held).unwrap();
    assert!(names(folder.path()).unwrap().is_empty());
}

#[test]
fn long_and_foreign_names_work() {
    let folder = tempfile::tempdir().unwrap();
    let deep = (0..6).fold(folder.path().to_owned(), |at, _| at.join("Größe-日本-".to_owned() + &"x".repeat(50)));
    assert!(deep.as_os_str().len() > 300);
    let mut at = folder.path().to_owned();
    for part in deep.strip_prefix(folder.path()).unwrap() {
        at.push(part);
        private_dir(&at).unwrap();
    }
    let (one, two) = (deep.join("eins.exe"), deep.join("zwei.exe"));
    atomic_write(&one, b"1").unwrap();
    rename(&one, &two).unwrap();
    assert_eq!(digest(&two).unwrap(), Some((1, Sha256::of(b"1"))));
    assert_eq!(read_bounded(&two, 9).unwrap().as_deref(), Some(&b"1"[..]));
    // Wine 8 resolves no path of more than 260 characters.
    if !is_wine() {
        assert!(canonical(&two).unwrap().to_str().unwrap().starts_with(r"\\?\"), "a long path keeps its prefix");
    }
    assert!(!is_another_users(&two).unwrap());
    assert!(space(&deep).unwrap().bytes > 0);
    remove_all(&folder.path().join("none")).unwrap();
    remove_all(&at.ancestors().nth(5).map(PathBuf::from).unwrap()).unwrap();
    assert!(names(folder.path()).unwrap().is_empty());
}

#[test]
fn a_path_is_found_as_it_is_written() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("Hello.exe"), "").unwrap();
    let found = canonical(&folder.path().join("HELLO.EXE")).unwrap();
    assert_eq!(found.file_name().unwrap(), "Hello.exe");
    assert!(!found.to_str().unwrap().starts_with(r"\\?\"), "{}", found.display());
}

#[test]
fn this_program_is_the_running_one() {
    let own = std::env::current_exe().unwrap();
    assert!(is_running_program(&own).unwrap());
    assert_eq!(digest(&own).unwrap().unwrap().1, running_digest().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("copy.exe");
    std::fs::copy(&own, &copy).unwrap();
    assert!(!is_running_program(&copy).unwrap());
    assert!(!is_running_program(&folder.path().join("none")).unwrap());
    assert!(is_same_file(&File::open(&copy).unwrap(), &copy).unwrap());
}

#[test]
fn what_has_another_name_is_not_ours() {
    let folder = tempfile::tempdir().unwrap();
    let (one, two) = (folder.path().join("one"), folder.path().join("two"));
    drop(open_own(&one, true).unwrap());
    drop(open_own(&one, false).unwrap());
    assert_eq!(open_own(&one, true).unwrap_err().kind(), ErrorKind::AlreadyExists);
    std::fs::hard_link(&one, &two).unwrap();
    assert!(open_own(&one, false).unwrap_err().to_string().contains("other names"));
    assert!(open_own(folder.path(), false).is_err());
    assert!(open_regular(folder.path()).is_err(), "a folder is no file");
    assert!(open_regular(&folder.path().join("none")).unwrap().is_none());
}
