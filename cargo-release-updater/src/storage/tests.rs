//! The few operations on a folder and in memory.

use super::{Created, Precondition, Replaced, Storage, StorageError, StorageUri};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

fn storages() -> (tempfile::TempDir, [Storage; 2]) {
    let temp = tempfile::tempdir().unwrap();
    let folder = Storage::open(&StorageUri::Folder("repository".into()), temp.path()).unwrap();
    let memory = Storage::open(&StorageUri::Memory, temp.path()).unwrap();
    (temp, [folder, memory])
}

#[test]
fn an_object_is_created_once() {
    let (_temp, storages) = storages();
    for storage in storages {
        assert_eq!(storage.read("a/b", 10).unwrap(), None);
        assert_eq!(storage.put_new("a/b", b"one".to_vec()).unwrap(), Created::New);
        assert_eq!(storage.put_new("a/b", b"two".to_vec()).unwrap(), Created::Exists);
        assert_eq!(storage.read("a/b", 10).unwrap().unwrap(), b"one");
        assert!(matches!(storage.read("a/b", 2), Err(StorageError::TooLarge { limit: 2, .. })));
        storage.put_mutable("a/b", b"three".to_vec()).unwrap();
        assert_eq!(storage.length("a/b").unwrap(), Some(5));
        assert_eq!(storage.list("a").unwrap(), ["b"]);
        assert_eq!(storage.list("none").unwrap(), [""; 0]);
    }
}

#[test]
fn a_file_is_uploaded_unless_it_is_there_in_full() {
    let (temp, storages) = storages();
    let file = temp.path().join("file");
    std::fs::write(&file, vec![7; LARGE + 5]).unwrap();
    for storage in storages {
        let total = Arc::new(AtomicI64::new(0));
        let count = total.clone();
        let add = move |bytes| {
            count.fetch_add(bytes, Ordering::Relaxed);
        };
        assert_eq!(storage.put_file("t/x", &file, add).unwrap(), Created::New);
        assert_eq!(total.load(Ordering::Relaxed), LARGE as i64 + 5);
        assert_eq!(storage.put_file("t/x", &file, |_| {}).unwrap(), Created::Exists);
        storage.put_mutable("t/x", b"half".to_vec()).unwrap();
        assert_eq!(storage.put_file("t/x", &file, |_| {}).unwrap(), Created::New);
        assert_eq!(storage.length("t/x").unwrap(), Some(LARGE as u64 + 5));
    }
}

#[test]
fn a_folder_shows_no_partial_object_and_refuses_paths_outside() {
    let (temp, [folder, _]) = storages();
    folder.put_new("a", b"x".to_vec()).unwrap();
    let left = std::fs::read_dir(temp.path().join("repository/.updater-partial")).unwrap().count();
    assert_eq!(left, 0);
    assert!(folder.put_new("../outside", b"x".to_vec()).is_err());
    assert!(!temp.path().join("outside").exists());
}

#[test]
fn a_folder_is_made_when_something_is_written() {
    let temp = tempfile::tempdir().unwrap();
    let storage = Storage::open(&StorageUri::Folder("a/repository".into()), temp.path()).unwrap();
    assert_eq!(storage.read("x", 1).unwrap(), None);
    assert_eq!(storage.length("x").unwrap(), None);
    assert_eq!(storage.list("x").unwrap(), [""; 0]);
    let left = std::fs::read_dir(temp.path()).unwrap().count();
    assert_eq!(left, 0, "whoever only looks leaves nothing behind");
    let file = temp.path().join("file");
    std::fs::write(&file, b"x").unwrap();
    for (path, other) in [("x", false), ("y/z", true)] {
        let again = Storage::open(&StorageUri::Folder(format!("b/{other}").into()), temp.path()).unwrap();
        match other {
            false => assert_eq!(again.put_new(path, b"x".to_vec()).unwrap(), Created::New),
            true => assert_eq!(again.put_file(path, &file, |_| {}).unwrap(), Created::New),
        }
        assert_eq!(again.read(path, 1).unwrap().unwrap(), b"x");
    }
    storage.put_mutable("x", b"x".to_vec()).unwrap();
    assert_eq!(storage.read("x", 1).unwrap().unwrap(), b"x");
}

#[test]
fn the_budget_stops_every_operation_after_it() {
    let (_temp, storages) = storages();
    for storage in storages {
        let stopping = storage.stopping_after(2);
        stopping.put_new("a", b"x".to_vec()).unwrap();
        assert!(matches!(stopping.put_new("b", b"x".to_vec()), Err(StorageError::Stopped { .. })));
        assert!(matches!(stopping.read("a", 1), Err(StorageError::Stopped { .. })));
        assert_eq!(storage.length("b").unwrap(), None);
    }
}

#[test]
fn one_lock_per_folder_released_on_drop() {
    let (_temp, [folder, memory]) = storages();
    assert!(memory.lock(|| {}).unwrap().is_none());
    let held = folder.lock(|| panic!("nobody holds it")).unwrap();
    let (sender, receiver) = std::sync::mpsc::channel();
    let other = folder.clone();
    let waiter = std::thread::spawn(move || {
        let tell = sender.clone();
        let lock = other.lock(move || tell.send("waiting").unwrap()).unwrap();
        sender.send("locked").unwrap();
        drop(lock);
    });
    assert_eq!(receiver.recv().unwrap(), "waiting");
    assert!(receiver.recv_timeout(Duration::from_millis(100)).is_err());
    drop(held);
    assert_eq!(receiver.recv().unwrap(), "locked");
    waiter.join().unwrap();
}

/// More than one piece of an upload.
const LARGE: usize = 9 * 1024 * 1024;

#[test]
fn an_object_of_the_right_length_and_other_bytes_is_written_again() {
    let (temp, storages) = storages();
    let file = temp.path().join("file");
    std::fs::write(&file, b"what was meant").unwrap();
    for storage in storages {
        storage.put_mutable("t/x", b"what was not m".to_vec()).unwrap();
        assert_eq!(storage.put_file("t/x", &file, |_| {}).unwrap(), Created::New);
        assert_eq!(storage.read("t/x", 99).unwrap().unwrap(), b"what was meant");
    }
}

#[test]
fn the_same_bytes_count_as_created() {
    let (_temp, storages) = storages();
    for storage in storages {
        assert_eq!(storage.put_new("a", b"one".to_vec()).unwrap(), Created::New);
        assert_eq!(storage.put_new("a", b"one".to_vec()).unwrap(), Created::New);
        assert_eq!(storage.put_new("a", b"on".to_vec()).unwrap(), Created::Exists);
    }
}

#[test]
fn where_conditions_fail_the_last_one_has_won_whoever_was_told_so() {
    let (_temp, [_, memory]) = storages();
    assert_eq!(memory.try_conditions().unwrap(), None, "nobody doubts it");
    let storage = memory.with_failing_conditions(Duration::from_millis(200));
    assert_eq!((storage.try_conditions().unwrap(), storage.conditions_fail()), (None, true), "it is known");
    let overtaken = |path: &'static str, bytes: &'static [u8]| {
        let storage = storage.clone();
        std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(70));
            storage.put_mutable(path, bytes.to_vec()).unwrap();
        })
    };
    let other = overtaken("claim", b"theirs");
    assert_eq!(storage.put_new("claim", b"ours".to_vec()).unwrap(), Created::Exists);
    other.join().unwrap();
    assert_eq!(storage.put_new("another", b"ours".to_vec()).unwrap(), Created::New);
    let other = overtaken("commit", b"theirs");
    assert_eq!(storage.replace("commit", b"ours".to_vec(), &Precondition::Absent).unwrap(), Replaced::Changed);
    other.join().unwrap();
}

#[test]
fn only_what_was_left_aside_a_day_ago_is_swept() {
    let (temp, [folder, memory]) = storages();
    folder.put_new("a", b"x".to_vec()).unwrap();
    let aside = temp.path().join("repository/.updater-partial");
    let old = std::fs::File::create(aside.join("old")).unwrap();
    old.set_modified(std::time::SystemTime::now() - Duration::from_secs(25 * 60 * 60)).unwrap();
    std::fs::write(aside.join("new"), b"an upload that runs").unwrap();
    assert_eq!((folder.sweep().unwrap(), memory.sweep().unwrap()), (1, 0));
    assert!(aside.join("new").exists() && !aside.join("old").exists());
}

#[test]
fn the_clock_of_a_folder_is_ours() {
    let (_temp, [folder, _]) = storages();
    let there = folder.clock().unwrap().unwrap();
    let apart = there.duration_since(std::time::SystemTime::now()).unwrap_or_else(|error| error.duration());
    assert!(apart < Duration::from_secs(60), "{apart:?}");
    assert_eq!(folder.list(".updater-partial").unwrap(), [""; 0]);
}

#[test]
#[cfg(feature = "http")]
fn a_web_server_is_read_only() {
    let storage = Storage::open(&StorageUri::parse("https://host/p").unwrap(), std::path::Path::new(".")).unwrap();
    assert!(matches!(storage.put_new("a", Vec::new()), Err(StorageError::ReadOnly { .. })));
    assert!(matches!(storage.put_mutable("a", Vec::new()), Err(StorageError::ReadOnly { .. })));
}
