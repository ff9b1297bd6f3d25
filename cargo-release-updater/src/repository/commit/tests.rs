//! The commit protocol: races, crashes at every operation, abandoned claims.

use super::role::SignedRole;
use super::*;
use crate::context::Prompts;
use crate::keys::{KeyFolder, Passwords, Signer};
use crate::repository::seen::{Entry, Seen};
use crate::repository::{FileProgress, Submission, TARGETS};
use crate::roles::{Custody, Holders, Purpose, Refresh, first_root, first_targets};
use crate::shell::MessageFormat;
use crate::storage::{Created, StorageError, StorageUri};
use std::io::Write as _;
use std::path::Path;
use std::rc::Rc;
use updater_format::Sha256;
use updater_format::role::{Hashes, TargetFile};

mod claims;
mod confirmed;
mod github;
mod submissions;
mod went_back;

/// An app with one key per role, and everything a publisher of it has.
struct App {
    id: AppId,
    texts: Vec<String>,
    root: Vec<u8>,
    targets: Vec<u8>,
    channel: Channel,
    shell: Shell,
}

impl App {
    fn new() -> Self {
        let id = AppId::parse("hello").unwrap();
        let channel = Channel::stable();
        let made: Vec<_> = (0..4).map(|_| Signer::generate("", None).unwrap()).collect();
        let holders = |i: usize| Holders::one(made[i].0.public().clone());
        let custody = Custody {
            root: holders(0),
            targets: holders(1),
            online: holders(2),
            channels: vec![(channel.clone(), holders(3)), (beta(), holders(3))],
        };
        let texts = made.iter().map(|(_, text)| text.to_string()).collect();
        let mut signers = made.into_iter().map(|(signer, _)| Rc::new(signer));
        let root = first_root(&id, &custody, Purpose::Release, now()).unwrap();
        let root = Document::sign("root", &root, &[signers.next().unwrap()]).unwrap().bytes;
        let targets = first_targets(&id, &custody, Refresh::Never, now()).unwrap();
        let targets = Document::sign("targets", &targets, &[signers.next().unwrap()]).unwrap().bytes;
        Self { id, texts, root, targets, channel, shell: Shell::captured(MessageFormat::Human) }
    }

    /// Returns the keys of the channel and of the online roles.
    fn keychain(&self) -> Keychain {
        self.keychain_in("/nonexistent".into())
    }

    /// Returns the same keys with a folder in which something can be remembered.
    fn keychain_in(&self, folder: PathBuf) -> Keychain {
        let mut keychain = Keychain::open(KeyFolder::at(folder), Passwords::none(Prompts::Never)).unwrap();
        for text in &self.texts[2..] {
            keychain.add(Signer::from_text("test", text, || panic!("plain")).unwrap());
        }
        keychain
    }

    /// Uploads a file of this name and publishes it on top of what is there.
    fn publish(&self, storage: &Storage, name: &str, lease: Lease) -> Result<Committed, CommandError> {
        let mut keychain = self.keychain();
        let mut commit = self.commit(storage, &mut keychain, lease);
        let mut content = tempfile::NamedTempFile::new().unwrap();
        content.write_all(name.as_bytes()).unwrap();
        commit.upload(
            &[Upload {
                artifact: artifact(name, name.as_bytes()),
                component: None,
                version: "1.0.0".parse().unwrap(),
                content: content.path().to_owned(),
                minisig: Some("signature".to_owned()),
            }],
            |_, _| {},
        )?;
        commit.publish(&self.channel, |role, _| {
            role.targets.insert(name.to_owned(), target(name));
            Ok(())
        })
    }

    /// Publishes as [`App::publish`] does, on a machine that remembers.
    fn publish_remembering(&self, storage: &Storage, name: &str, folder: &Path) -> Result<Committed, CommandError> {
        let mut keychain = self.keychain_in(folder.to_owned());
        self.commit(storage, &mut keychain, NO_LEASE).publish(&self.channel, |role, _| {
            role.targets.insert(name.to_owned(), target(name));
            Ok(())
        })
    }

    fn commit<'a>(&'a self, storage: &'a Storage, keychain: &'a mut Keychain, lease: Lease) -> Commit<'a> {
        Commit {
            storage,
            app: &self.id,
            root: &self.root,
            targets: &self.targets,
            earlier: &[],
            keychain,
            now: now(),
            lease,
            shell: &self.shell,
        }
    }

    /// Returns what a client sees: the names of the targets; `None` before the first commit.
    fn visible(&self, storage: &Storage) -> Option<Vec<String>> {
        let state = RepositoryState::read(storage, &self.id, &self.root, Expiry::Enforced(now())).unwrap()?;
        let targets = &state.channels()[&self.channel].role().targets;
        Some(targets.keys().cloned().collect())
    }

    /// Asserts that every file that clients are told of is there with the right content.
    fn assert_files(&self, storage: &Storage) {
        for name in self.visible(storage).into_iter().flatten() {
            let path = format!("{TARGETS}/{}.{name}", Sha256::of(name.as_bytes()));
            assert_eq!(storage.read(&path, 99).unwrap().unwrap(), name.as_bytes(), "{path}");
            assert!(storage.length(&format!("{path}.minisig")).unwrap().is_some());
        }
    }
}

fn beta() -> Channel {
    Channel::parse("beta").unwrap()
}

fn now() -> UtcTime {
    UtcTime::parse("2026-11-20T12:00:00Z").unwrap()
}

fn target(name: &str) -> TargetFile {
    let digest = Sha256::of(name.as_bytes());
    TargetFile {
        length: name.len() as u64,
        hashes: Hashes::sha256_only(digest),
        custom: None,
        extra: Default::default(),
    }
}

fn folder() -> (tempfile::TempDir, Storage) {
    let temp = tempfile::tempdir().unwrap();
    let storage = Storage::open(&StorageUri::Folder("repository".into()), temp.path()).unwrap();
    (temp, storage)
}

fn memory() -> Storage {
    Storage::open(&StorageUri::Memory, Path::new(".")).unwrap()
}

/// Copies the documents of a storage into one where a claim is all that keeps publishers apart.
fn copy_of(storage: &Storage) -> Storage {
    let copy = memory();
    for file in storage.list(METADATA).unwrap() {
        copy.put_mutable(&metadata(&file), storage.read(&metadata(&file), 1 << 20).unwrap().unwrap()).unwrap();
    }
    copy
}

const NO_LEASE: Lease = Lease { duration: Duration::from_secs(30), poll: Duration::from_millis(1) };

#[test]
fn releases_add_up_and_versions_grow() {
    let app = App::new();
    let (_temp, storage) = folder();
    assert_eq!(app.visible(&storage), None);
    let first = app.publish(&storage, "a", NO_LEASE).unwrap();
    assert_eq!(first, Committed { timestamp: 1, snapshot: 1, role: 1 });
    let second = app.publish(&storage, "b", NO_LEASE).unwrap();
    assert_eq!(second, Committed { timestamp: 2, snapshot: 2, role: 2 });
    assert_eq!(app.visible(&storage).unwrap(), ["a", "b"]);
}

#[test]
fn a_crash_before_any_operation_leaves_the_old_state_and_a_repeat_gives_the_new_one() {
    let app = App::new();
    let mut crashes = 0;
    for first in [true, false] {
        for operation in 0.. {
            let (_temp, storage) = folder();
            if !first {
                app.publish(&storage, "a", NO_LEASE).unwrap();
            }
            let before = app.visible(&storage);
            let outcome = app.publish(&storage.stopping_after(operation), "b", NO_LEASE);
            let expected = if first { vec!["b"] } else { vec!["a", "b"] };
            match outcome {
                Ok(_) => {
                    assert_eq!(app.visible(&storage).unwrap(), expected);
                    break;
                }
                Err(error) => {
                    assert!(error.to_string().contains("stopped before operation"), "{error}");
                    crashes += 1;
                }
            }
            // Either nothing happened for clients, or everything did: the crash came after the commit.
            let after = app.visible(&storage);
            assert!(
                after == before
                    || after.as_deref() == Some(&expected.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>()[..])
            );
            app.assert_files(&storage);
            app.publish(&storage, "b", NO_LEASE).unwrap();
            app.assert_files(&storage);
            assert_eq!(app.visible(&storage).unwrap(), expected, "after a crash before operation {operation}");
        }
    }
    assert!(crashes > 20, "only {crashes} crash points: the budget does not reach the protocol");
}

#[test]
fn two_publishers_of_one_folder_lose_nothing() {
    let app = App::new();
    let (temp, storage) = folder();
    app.publish(&storage, "first", NO_LEASE).unwrap();
    let start = std::sync::Barrier::new(3);
    std::thread::scope(|scope| {
        for publisher in ["x", "y"] {
            let (app, start) = (&app, &start);
            // Each has a handle of its own, as two processes would.
            let storage = Storage::open(&StorageUri::Folder("repository".into()), temp.path()).unwrap();
            scope.spawn(move || {
                start.wait();
                for round in 0..5 {
                    app.publish(&storage, &format!("{publisher}{round}"), NO_LEASE).unwrap();
                }
            });
        }
        start.wait();
        // A client that polls meanwhile sees a repository that verifies, every time.
        for _ in 0..50 {
            app.visible(&storage).unwrap();
        }
    });
    let names = app.visible(&storage).unwrap();
    assert_eq!(names.len(), 11, "{names:?}");
}

#[test]
fn another_projects_repository_is_refused() {
    let (one, other) = (App::new(), App::new());
    let (_temp, storage) = folder();
    one.publish(&storage, "a", NO_LEASE).unwrap();
    let error = other.publish(&storage, "b", NO_LEASE).unwrap_err();
    assert!(error.to_string().contains("timestamp.json in fs:repository does not verify"), "{error}");
    assert_eq!(one.visible(&storage).unwrap(), ["a"]);

    let (_temp, storage) = folder();
    storage.put_new(&metadata("1.root.json"), one.root.clone()).unwrap();
    let error = other.publish(&storage, "b", NO_LEASE).unwrap_err();
    assert!(error.to_string().contains("exists in fs:repository with other content"), "{error}");
}

#[test]
fn missing_keys_and_expired_roles_are_told_before_anything_is_written() {
    let mut app = App::new();
    let (_temp, storage) = folder();
    let mut keychain = app.keychain();
    let mut late = app.commit(&storage, &mut keychain, NO_LEASE);
    late.now = now().plus_days(366);
    let error = late.publish(&app.channel, |_, _| Ok(())).unwrap_err();
    assert!(error.to_string().contains("the root role expired on 2027-11-20"), "{error}");

    app.texts.remove(3);
    let error = app.publish(&storage, "a", NO_LEASE).unwrap_err();
    assert!(error.to_string().contains("cannot sign the role stable: 0 of the 1 keys"), "{error}");
    assert_eq!(error.code, crate::error::ExitCode::Key);
    assert_eq!(storage.list(METADATA).unwrap(), [""; 0], "files may be there, documents may not");

    let mut keychain = app.keychain();
    let nightly = Channel::parse("nightly").unwrap();
    let error = app.commit(&storage, &mut keychain, NO_LEASE).publish(&nightly, |_, _| Ok(())).unwrap_err();
    assert!(error.to_string().contains("the app has no channel `nightly`"), "{error}");
    let comes = "a channel comes by `channels` in the table, then `cargo updater keys rotate nightly`";
    assert_eq!(error.hints, ["use one of: stable, beta", comes]);
}

#[test]
fn an_expired_channel_does_not_stop_the_others() {
    let app = App::new();
    let (_temp, storage) = folder();
    let mut keychain = app.keychain();
    let mut commit = app.commit(&storage, &mut keychain, NO_LEASE);
    commit.publish(&beta(), |_, _| Ok(())).unwrap();
    commit.now = now().plus_days(100);
    commit.publish(&app.channel, |_, _| Ok(())).unwrap();
    let state = RepositoryState::read(&storage, &app.id, &app.root, Expiry::Ignored).unwrap().unwrap();
    assert_eq!(state.expired(&app.channel, now().plus_days(100)), None);
    assert_eq!(state.expired(&beta(), now().plus_days(100)), Some(("beta".to_owned(), now().plus_days(90))));
}

#[test]
fn a_first_document_that_was_cut_off_is_completed() {
    let app = App::new();
    let (_temp, storage) = folder();
    storage.put_new(&metadata("1.root.json"), app.root[..100].to_vec()).unwrap();
    app.publish(&storage, "a", NO_LEASE).unwrap();
    assert_eq!(app.visible(&storage).unwrap(), ["a"]);
}

#[test]
fn files_are_uploaded_side_by_side_and_the_first_failure_ends_it() {
    let app = App::new();
    let (temp, storage) = folder();
    let mut keychain = app.keychain();
    let commit = app.commit(&storage, &mut keychain, NO_LEASE);
    let mut files: Vec<Upload> = (0..20_u8)
        .map(|number| {
            let content = temp.path().join(number.to_string());
            std::fs::write(&content, vec![number; 1000]).unwrap();
            let (artifact, version) = (artifact("x", &[number; 1000]), "1.0.0".parse().unwrap());
            Upload { artifact, component: None, version, content, minisig: Some("s".to_owned()) }
        })
        .collect();
    let mut sent = 0;
    let mut created = Vec::new();
    let mut count = |_: &str, what: FileProgress| match what {
        FileProgress::Further(bytes) => sent += bytes,
        FileProgress::Done(how) => created.push(how),
        FileProgress::Again => panic!("nothing fails here"),
    };
    commit.upload(&files, &mut count).unwrap();
    assert_eq!((sent, storage.list(TARGETS).unwrap().len()), (20_000, 40));
    assert_eq!(created, [Created::New; 20]);
    // Again: all of it is found by its hash.
    let mut again = Vec::new();
    commit.upload(&files, |_, what| again.extend((what == FileProgress::Done(Created::Exists)).then_some(()))).unwrap();
    assert_eq!(again.len(), 20);
    files[7].content = temp.path().join("none");
    let error = commit.upload(&files, |_, _| {}).unwrap_err();
    assert!(matches!(error, StorageError::Io { action: "read", .. }), "{error}");
}

/// Describes a file of these bytes.
fn artifact(name: &str, bytes: &[u8]) -> updater_format::release::Artifact {
    let name = updater_format::TargetName::parse(name).unwrap();
    updater_format::release::Artifact { name, length: bytes.len() as u64, sha256: Sha256::of(bytes) }
}
