//! A first install from a repository, and what a program that watches another one does with its versions.
#![expect(clippy::unwrap_used, reason = "helpers of tests outside a test function")]

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use updater_format::{FilePath, Sha256};
use updater_runtime::{
    Config, Error, FirstInstall, FirstInstallError, InstallError, NoUpdate, Status, Trial, Updater, app_of_root,
    fetch_pinned_root,
};
use updater_tests::app::{Published, names};
use updater_tests::crash::release::host_triple;

const ENTRY: &str = "bin/hello";

struct Scene {
    folder: tempfile::TempDir,
    published: Published,
}

impl Scene {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let published = Published::new(folder.path().join("repository"));
        std::fs::create_dir(folder.path().join("app")).unwrap();
        Self { folder, published }
    }

    fn app(&self) -> std::path::PathBuf {
        self.folder.path().join("app")
    }

    fn release(&self, version: &str) {
        let program = format!("#!/bin/sh\necho {version}\n");
        self.published.release(version, ENTRY, &[(ENTRY, program.as_bytes()), ("share/data", b"constant")]);
    }

    fn config(&self, version: &str) -> Config {
        let root = self.published.root();
        let app = app_of_root(&root).unwrap();
        let config =
            Config::new(app, version.parse().unwrap(), host_triple().parse().unwrap(), root, &self.published.url());
        config.unwrap().with_state_dir(self.folder.path().join("state"))
    }

    fn install(&self) -> Result<std::path::PathBuf, FirstInstallError> {
        FirstInstall::new(self.config("0.0.0")).find()?.install(&self.app(), |_| {})
    }

    fn updater(&self, version: &str) -> Updater {
        let config = self.config(version).with_directory(self.app().join("current"), FilePath::parse(ENTRY).unwrap());
        Updater::new(config.with_probe(None).with_trial(Trial::Confirm).with_kept_versions(3)).unwrap()
    }

    fn update(&self, from: &str) {
        let Status::Available(update) = self.updater(from).check().unwrap() else { panic!("no update from {from}") };
        update.download(|_| {}).unwrap().install().unwrap();
    }

    fn current(&self) -> String {
        let link = std::fs::read_link(self.app().join("current")).unwrap();
        link.file_name().unwrap().to_str().unwrap().to_owned()
    }
}

#[test]
fn the_newest_version_is_installed_and_nothing_is_left_over() {
    let scene = Scene::new();
    scene.release("1.0.0");
    scene.release("1.1.0");
    let placed = scene.install().unwrap();
    assert_eq!(placed, scene.app().canonicalize().unwrap().join("versions/hello-1.1.0"));
    assert_eq!(std::fs::read_link(scene.app().join("current")).unwrap(), Path::new("versions/hello-1.1.0"));
    assert_eq!(names(&scene.app()), ["current", "versions"]);
    assert_eq!(names(&placed), [".updater-manifest.json", "bin", "share"]);
    assert!(matches!(scene.updater("1.1.0").check().unwrap(), Status::NoUpdate(NoUpdate::Current { .. })));
    assert!(matches!(scene.install(), Err(FirstInstallError::Update(Error::Install(InstallError::Occupied { .. })))));
}

#[test]
fn stepping_stones_are_not_for_a_first_install() {
    let scene = Scene::new();
    scene.release("1.0.0");
    scene.release("2.0.0");
    scene
        .published
        .simulator
        .repo()
        .stable()
        .extension
        .as_mut()
        .unwrap()
        .rules
        .required
        .insert("1.0.0".parse().unwrap());
    scene.published.write();
    assert!(scene.install().unwrap().ends_with("hello-2.0.0"));
}

#[test]
fn a_release_that_does_not_suit_is_named_with_its_reason() {
    let scene = Scene::new();
    assert!(matches!(scene.install(), Err(FirstInstallError::Empty { .. })));
    scene.published.simulator.repo().release("stable", "1.0.0", b"for another platform");
    scene.published.write();
    let error = scene.install().unwrap_err();
    assert!(matches!(error, FirstInstallError::Withheld(_)), "{error:?}");
    assert!(names(&scene.app()).is_empty());
}

#[test]
fn a_pin_decides_which_root_is_taken() {
    let scene = Scene::new();
    scene.release("1.0.0");
    let config = scene.config("0.0.0");
    let root = scene.published.root();
    assert_eq!(fetch_pinned_root(&config, Sha256::of(&root)).unwrap(), root);
    match fetch_pinned_root(&config, Sha256::of(b"another")) {
        Err(FirstInstallError::Pin { found, .. }) => assert_eq!(found, 1),
        other => panic!("{other:?}"),
    }
    assert!(matches!(app_of_root(b"{}"), Err(FirstInstallError::Root { .. })));
}

#[test]
fn a_version_that_fails_goes_back_and_is_not_offered_again() {
    let scene = Scene::new();
    scene.release("1.0.0");
    scene.install().unwrap();
    scene.release("1.1.0");
    assert_eq!(scene.updater("1.0.0").put_back().unwrap(), None, "no trial");
    scene.update("1.0.0");
    let updater = scene.updater("1.1.0");
    let trial = updater.pending_trial().unwrap().unwrap();
    assert_eq!((trial.from.to_string(), trial.to.to_string()), ("1.0.0".to_owned(), "1.1.0".to_owned()));
    assert_eq!(scene.current(), "hello-1.1.0");
    let back = updater.put_back().unwrap().unwrap();
    assert_eq!((back.installed.to_string(), back.left.to_string()), ("1.0.0".to_owned(), "1.1.0".to_owned()));
    assert_eq!(scene.current(), "hello-1.0.0");
    assert_eq!(scene.updater("1.0.0").pending_trial().unwrap(), None);
    assert!(matches!(scene.updater("1.0.0").check().unwrap(), Status::NoUpdate(NoUpdate::Withheld(_))));
    scene.release("1.2.0");
    scene.update("1.0.0");
    assert!(scene.updater("1.2.0").confirm().unwrap());
}

#[test]
fn as_many_versions_stay_as_are_wanted_and_each_can_be_returned_to() {
    let scene = Scene::new();
    scene.release("1.0.0");
    scene.install().unwrap();
    for (from, to) in [("1.0.0", "1.1.0"), ("1.1.0", "1.2.0"), ("1.2.0", "1.3.0")] {
        scene.release(to);
        scene.update(from);
        assert!(scene.updater(to).confirm().unwrap());
    }
    let kept =
        |version| scene.updater(version).kept_versions().unwrap().iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(kept("1.3.0"), ["1.3.0", "1.2.0", "1.1.0"]);
    let updater = scene.updater("1.3.0");
    for version in ["1.3.0", "1.0.0", "9.9.9"] {
        let error = updater.return_to(&version.parse().unwrap()).unwrap_err();
        assert!(matches!(error, Error::Install(InstallError::NotKept { .. })), "{version}: {error:?}");
    }
    let back = updater.return_to(&"1.1.0".parse().unwrap()).unwrap().unwrap();
    assert_eq!((back.installed.to_string(), back.left.to_string()), ("1.1.0".to_owned(), "1.3.0".to_owned()));
    assert_eq!(
        (scene.current().as_str(), kept("1.1.0")),
        ("hello-1.1.0", vec!["1.2.0".to_owned(), "1.1.0".to_owned()])
    );
    // What was left is not taken again; the one between is an ordinary update.
    let Status::Available(update) = scene.updater("1.1.0").check().unwrap() else { panic!("1.2.0 is newer") };
    assert_eq!(update.version().to_string(), "1.2.0");
    drop(update);
    // A kept version that is not whole is not returned to.
    std::fs::write(scene.app().join("versions/hello-1.2.0/share/data"), "changed").unwrap();
    let journal = || {
        let metadata = std::fs::metadata(scene.app().join(".current.updater/state.json")).unwrap();
        (metadata.ino(), metadata.modified().unwrap())
    };
    let before = journal();
    let error = scene.updater("1.1.0").return_to(&"1.2.0".parse().unwrap()).unwrap_err();
    assert!(matches!(error, Error::Install(InstallError::Damaged { .. })), "{error:?}");
    assert_eq!(journal(), before, "it was not written, not even for a moment");
    assert_eq!(scene.current(), "hello-1.1.0");
}
