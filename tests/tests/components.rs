//! Components: offered, patched, swapped while the app runs, and what is refused. Everything is done by the real client over
//! a repository that may lie.

#![expect(clippy::unwrap_used, reason = "helpers of tests may fail like a test")]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use updater_format::release::Entry;
use updater_format::role::{ChannelRules, Percent, Retreat};
use updater_format::{Channel, ComponentName, InstallKind, MANIFEST_PATH, Manifest, ReleaseVersion};
use updater_runtime::check::Withheld;
use updater_runtime::route::RouteKind;
use updater_runtime::transport::Retry;
use updater_runtime::{
    ApplyError, Component, ComponentStatus, ComponentUpdate, Config, Error, Event, NoUpdate, Status, Updater,
};
use updater_tests::crash::app::COMPONENT;
use updater_tests::crash::release::{Content, Release, host_triple};
use updater_tests::simulator::RepositorySimulator;

fn v(text: &str) -> ReleaseVersion {
    text.parse().unwrap()
}

fn model() -> ComponentName {
    COMPONENT.parse().unwrap()
}

fn release(version: &str) -> Release {
    Release::new(b"", InstallKind::Component, version, true)
}

/// A repository, and an app `hello` 1.0.0 with a folder for its component.
struct Scene {
    sim: RepositorySimulator,
    folder: tempfile::TempDir,
}

impl Scene {
    /// Publishes these versions of the component, each with a patch from the one before it.
    fn new(versions: &[&str]) -> Self {
        let scene = Self { sim: RepositorySimulator::new(), folder: tempfile::tempdir().unwrap() };
        std::fs::write(scene.folder.path().join("hello"), "the app").unwrap();
        let releases: Vec<Release> = versions.iter().map(|version| release(version)).collect();
        for release in &releases {
            release.publish(&scene.sim);
        }
        for pair in releases.windows(2) {
            pair[1].publish_patch(&pair[0], &scene.sim);
        }
        scene
    }

    fn at(&self) -> PathBuf {
        self.folder.path().join("model")
    }

    fn updater_of(&self, app_version: &str) -> Updater {
        let root = self.sim.repo().root_bytes();
        let platform = host_triple().parse().unwrap();
        let config = Config::new("hello".parse().unwrap(), v(app_version), platform, root, "https://a.example/");
        let config = config
            .unwrap()
            .with_executable(self.folder.path().join("hello"))
            .with_state_dir(self.folder.path().join("state"))
            .with_clock(Arc::new(self.sim.clock.clone()))
            .with_retry(Retry { rounds: 1, ..Retry::default() })
            .with_transport(self.sim.transport());
        Updater::new(config).unwrap()
    }

    fn component_of(&self, app_version: &str) -> Component {
        self.updater_of(app_version).component(COMPONENT, self.at()).unwrap()
    }

    fn component(&self) -> Component {
        self.component_of("1.0.0")
    }

    /// Takes what is offered, and tells the way and what failed.
    fn update(&self) -> (RouteKind, Vec<String>) {
        let update = self.offered();
        let kind = update.route().kind();
        let mut failed = Vec::new();
        let staged = update.download_with_events(
            |_| {},
            |event| {
                if let Event::RouteFailed { why, .. } = event {
                    failed.push(why.clone());
                }
            },
        );
        staged.unwrap().install().unwrap();
        (kind, failed)
    }

    #[track_caller]
    fn offered(&self) -> ComponentUpdate {
        match self.component().check().unwrap() {
            ComponentStatus::Available(update) => *update,
            ComponentStatus::NoUpdate(why) => panic!("{why}"),
        }
    }

    #[track_caller]
    fn nothing(&self, app_version: &str) -> NoUpdate {
        match self.component_of(app_version).check().unwrap() {
            ComponentStatus::NoUpdate(why) => why,
            ComponentStatus::Available(update) => panic!("{} is offered", update.version()),
        }
    }

    #[track_caller]
    fn holds(&self, release: &Release) {
        for (path, content) in &release.files {
            let at = self.at().join(path);
            match content {
                Content::File(bytes, _) => assert!(std::fs::read(&at).unwrap() == *bytes, "{path} differs"),
                Content::Link(target) => assert_eq!(std::fs::read_link(&at).unwrap(), Path::new(target)),
            }
        }
        let manifest = Manifest::parse(&std::fs::read(self.at().join(MANIFEST_PATH)).unwrap()).unwrap();
        assert_eq!(manifest, release.manifest);
        assert_eq!(self.component().version().unwrap(), Some(v(&release.version)));
    }

    /// Whatever was done, nothing is left beside the folder, and nobody else was touched.
    #[track_caller]
    fn is_tidy(&self) {
        let mut names: Vec<_> =
            std::fs::read_dir(self.folder.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["hello", "model", "state"]);
        assert_eq!(std::fs::read(self.folder.path().join("hello")).unwrap(), b"the app");
    }

    fn rules(&self, change: impl FnOnce(&mut ChannelRules)) {
        let mut repo = self.sim.repo();
        let role = repo.stable();
        role.version += 1;
        change(role.extension.as_mut().unwrap().rules_mut(Some(&model())));
        repo.bump();
    }

    /// Publishes what a thief of the channel's key could: an entry with the content of something else.
    fn add(&self, entry: Entry, bytes: &[u8]) {
        self.sim.repo().add("stable", &entry, bytes);
    }

    /// Tries the offered release, which must fail, and returns why. The folder holds what it did.
    #[track_caller]
    fn refused(&self) -> Error {
        let before = std::fs::read(self.at().join(MANIFEST_PATH)).ok();
        let error = self.offered().download(|_| {}).unwrap_err();
        if before.is_some() {
            assert_eq!(std::fs::read(self.at().join(MANIFEST_PATH)).ok(), before);
        }
        error
    }
}

#[test]
fn a_first_release_is_installed_and_then_patched_while_the_app_runs() {
    let scene = Scene::new(&["1.0.0"]);
    assert_eq!(scene.component().version().unwrap(), None);
    assert!(!scene.at().exists(), "a look changes nothing");
    let update = scene.offered();
    assert_eq!((update.from(), update.version()), (None, &v("1.0.0")));
    assert_eq!(scene.update(), (RouteKind::Bundle, vec![]));
    scene.holds(&release("1.0.0"));
    assert!(matches!(scene.nothing("1.0.0"), NoUpdate::Current { version } if version == v("1.0.0")));
    // What somebody has open stays what it was; what a user adds stays.
    let mut open = std::fs::File::open(scene.at().join("share/weights.bin")).unwrap();
    std::fs::write(scene.at().join("share/mine.txt"), "mine").unwrap();
    release("1.1.0").publish(&scene.sim);
    release("1.1.0").publish_patch(&release("1.0.0"), &scene.sim);
    assert_eq!(scene.update(), (RouteKind::Patch, vec![]));
    scene.holds(&release("1.1.0"));
    let mut bytes = Vec::new();
    std::io::Read::read_to_end(&mut open, &mut bytes).unwrap();
    assert_eq!(Content::File(bytes, updater_format::FileMode::Data), release("1.0.0").files["share/weights.bin"]);
    assert_eq!(std::fs::read_to_string(scene.at().join("share/mine.txt")).unwrap(), "mine");
    scene.is_tidy();
}

#[test]
fn what_a_killed_process_had_no_time_to_remove_goes_at_the_next_look() {
    let scene = Scene::new(&["1.0.0"]);
    scene.update();
    let hidden = scene.folder.path().join(".model.updater");
    for file in ["previous/tree/old", "download/part"] {
        std::fs::create_dir_all(hidden.join(file).parent().unwrap()).unwrap();
        std::fs::write(hidden.join(file), "left").unwrap();
    }
    scene.holds(&release("1.0.0"));
    scene.is_tidy();
}

#[test]
fn an_empty_folder_is_filled_and_a_full_one_is_left_alone() {
    let scene = Scene::new(&["1.0.0"]);
    std::fs::create_dir(scene.at()).unwrap();
    scene.update();
    scene.holds(&release("1.0.0"));
    let refuse = |folder: &Path, name: &str| {
        let error = scene.updater_of("1.0.0").component(name, folder).unwrap_err();
        assert_eq!(error.code(), "install-not-this-component", "{error}");
        error.to_string()
    };
    assert!(refuse(&scene.at(), "voices").contains("it holds the component model"));
    let full = scene.folder.path().join("full");
    std::fs::create_dir(&full).unwrap();
    std::fs::write(full.join("precious"), "").unwrap();
    assert!(refuse(&full, COMPONENT).contains("it holds precious"));
    let app = Release::new(b"", InstallKind::Directory, "1.0.0", true);
    std::fs::write(full.join(MANIFEST_PATH), app.manifest.encode()).unwrap();
    assert!(refuse(&full, COMPONENT).contains("it holds the app hello"));
    std::fs::write(full.join(MANIFEST_PATH), release("1.0.0").renamed("other", COMPONENT).manifest.encode()).unwrap();
    assert!(refuse(&full, COMPONENT).contains("a component of the app other"));
    std::fs::write(full.join(MANIFEST_PATH), "{}").unwrap();
    assert!(refuse(&full, COMPONENT).contains("cannot be read"));
    assert!(refuse(&scene.folder.path().join("hello"), COMPONENT).contains("it is no folder"));
    let error = scene.updater_of("1.0.0").component("Model", scene.at()).unwrap_err();
    assert_eq!((error.code(), error.full_message().contains("lower-case")), ("config", true));
    let error = scene.updater_of("1.0.0").component(COMPONENT, scene.folder.path().join("none/model")).unwrap_err();
    assert_eq!(error.code(), "install-file");
}

#[test]
fn edited_files_lead_to_the_next_way_and_to_a_whole_release() {
    let scene = Scene::new(&["1.0.0"]);
    scene.update();
    std::fs::write(scene.at().join("share/weights.bin"), "edited").unwrap();
    release("1.1.0").publish(&scene.sim);
    release("1.1.0").publish_patch(&release("1.0.0"), &scene.sim);
    let (kind, failed) = scene.update();
    assert_eq!(kind, RouteKind::Patch);
    assert!(failed.len() == 1 && failed[0].contains("it was changed since it was installed"), "{failed:?}");
    scene.holds(&release("1.1.0"));
    scene.is_tidy();
}

#[test]
fn an_app_takes_the_newest_release_that_it_is_new_enough_for() {
    let scene = Scene::new(&["1.0.0"]);
    for (version, minimum) in [("1.1.0", "1.5.0"), ("1.2.0", "2.0.0")] {
        let (entry, bytes) = release(version).offered();
        let entry = updater_format::release::BundleEntry { minimum_app: Some(v(minimum)), ..entry };
        scene.add(Entry::Bundle(entry), &bytes);
    }
    let offered = |app: &str| scene.component_of(app).check().unwrap().update().unwrap().version().to_string();
    assert_eq!(
        (offered("1.0.0"), offered("1.5.0"), offered("2.0.0")),
        ("1.0.0".into(), "1.1.0".into(), "1.2.0".into())
    );
    scene.update();
    scene.holds(&release("1.0.0"));
    let why = scene.nothing("1.0.0");
    assert!(matches!(&why, NoUpdate::Withheld(Withheld::AppTooOld { .. })), "{why}");
    assert_eq!(why.to_string(), "no update for this computer: 1.2.0 needs version 2.0.0 of the app");
    // The app itself is offered none of these.
    let app = scene.updater_of("1.0.0").check().unwrap();
    assert!(matches!(app, Status::NoUpdate(NoUpdate::Withheld(Withheld::NoSuchPlatform { .. }))), "{app:?}");
    let voices = scene.updater_of("1.0.0").component("voices", scene.folder.path().join("voices")).unwrap();
    let ComponentStatus::NoUpdate(why) = voices.check().unwrap() else { panic!("nothing is published") };
    assert_eq!(why.to_string(), "no update for this computer: nothing is published of the component voices");
}

#[test]
fn rules_of_a_component_are_its_own() {
    let scene = Scene::new(&["1.0.0", "1.1.0"]);
    // What the channel says of the app's versions is not about these.
    {
        let mut repo = scene.sim.repo();
        let rules = &mut repo.stable().extension.as_mut().unwrap().rules;
        rules.yank.insert(v("1.1.0"));
        rules.rollout.insert(v("1.1.0"), Percent::NONE);
        rules.floor = Some(v("9.0.0"));
        repo.stable().version += 1;
        repo.bump();
    }
    let offered = || scene.offered().version().to_string();
    assert_eq!(offered(), "1.1.0");
    scene.rules(|rules| {
        rules.rollout.insert(v("1.1.0"), Percent::NONE);
    });
    assert_eq!(offered(), "1.0.0", "held back by its own rollout");
    scene.rules(|rules| rules.rollout.clear());
    {
        let mut repo = scene.sim.repo();
        repo.timestamp.version += 1;
        let extension = repo.timestamp.extension.get_or_insert_default();
        extension.steering_mut(&Channel::stable(), Some(&model())).hold.insert(v("1.1.0"), Percent::NONE);
    }
    assert_eq!(offered(), "1.0.0", "held by the online key");
    scene.sim.repo().timestamp.extension = None;
    scene.sim.repo().timestamp.version += 1;
    scene.update();
    scene.holds(&release("1.1.0"));
    // An older one comes by a retreat of its own channel alone.
    scene.rules(|rules| {
        rules.yank.insert(v("1.1.0"));
    });
    assert!(matches!(scene.nothing("1.0.0"), NoUpdate::Unsupported { .. }));
    let expires = scene.sim.clock.in_days(30);
    scene.rules(|rules| {
        rules.retreat.push(Retreat { from: v("1.1.0"), to: v("1.0.0"), expires, extra: Default::default() });
    });
    assert!(scene.offered().is_urgent());
    scene.update();
    scene.holds(&release("1.0.0"));
}

#[test]
fn an_older_release_is_never_offered_and_an_epoch_never_falls() {
    let scene = Scene::new(&[]);
    let (entry, bytes) = release("2.0.0").offered();
    scene.add(Entry::Bundle(updater_format::release::BundleEntry { epoch: 3, ..entry }), &bytes);
    scene.update();
    scene.holds(&release("2.0.0"));
    // The role lists an older version only, and then a newer one with a lower counter.
    scene.sim.repo().stable().targets.clear();
    release("1.0.0").publish(&scene.sim);
    assert!(matches!(scene.nothing("1.0.0"), NoUpdate::Current { .. }));
    release("2.1.0").publish(&scene.sim);
    let why = scene.nothing("1.0.0");
    assert!(matches!(why, NoUpdate::Withheld(Withheld::LowerEpoch { epoch: 0, completed: 3, .. })), "{why}");
}

#[test]
fn a_release_of_something_else_is_refused_whoever_signed_it() {
    // Another component's files, another app's, and a program under the name of this component.
    let app = Release::new(b"", InstallKind::Directory, "1.1.0", true);
    let others = [
        (release("1.1.0").renamed("hello", "voices"), "component", "voices"),
        (release("1.1.0").renamed("other", COMPONENT), "app", "other"),
        (app, "component", "none"),
    ];
    for (other, field, found) in others {
        let scene = Scene::new(&["1.0.0"]);
        scene.update();
        let (entry, bytes) = other.offered();
        let platform = updater_format::Platform::any();
        let entry = updater_format::release::BundleEntry { component: Some(model()), platform, ..entry };
        scene.add(Entry::Bundle(entry), &bytes);
        let error = scene.refused();
        let expected = matches!(
            &error,
            Error::Apply(ApplyError::OtherRelease { field: f, got, .. }) if (*f, got.as_str()) == (field, found)
        );
        assert!(expected, "{field} {found}: {error:?}");
        scene.holds(&release("1.0.0"));
        scene.is_tidy();
    }
    // The other way round: the files of a component as a release of the app.
    let scene = Scene::new(&[]);
    let (entry, bytes) = release("1.1.0").offered();
    let platform = host_triple().parse().unwrap();
    let install = InstallKind::Executable;
    scene.add(
        Entry::Bundle(updater_format::release::BundleEntry { component: None, platform, install, ..entry }),
        &bytes,
    );
    let update = scene.updater_of("1.0.0").check().unwrap().update().unwrap();
    let error = update.download(|_| {}).unwrap_err();
    let expected = matches!(&error, Error::Apply(ApplyError::OtherRelease { field: "component", .. }));
    assert!(expected, "{error:?}");
    assert_eq!(std::fs::read(scene.folder.path().join("hello")).unwrap(), b"the app");
}

#[test]
fn a_patch_of_something_else_is_passed_over_for_the_bundle() {
    let scene = Scene::new(&["1.0.0"]);
    scene.update();
    release("1.1.0").publish(&scene.sim);
    // The content of a patch of another component, and of one to an older release, under a name that should lead here.
    let voices = |version: &str| release(version).renamed("hello", "voices");
    let (_, of_voices) = voices("1.1.0").offered_patch(&voices("1.0.0"));
    let (_, downgrade) = release("0.9.0").offered_patch(&release("1.0.0"));
    let (honest, _) = release("1.1.0").offered_patch(&release("1.0.0"));
    for (bytes, name) in [(of_voices, "a"), (downgrade, "b")] {
        let artifact = updater_format::release::Artifact {
            name: format!("hello-model-{name}.patch").parse().unwrap(),
            length: bytes.len() as u64,
            sha256: updater_format::Sha256::of(&bytes),
        };
        scene.add(Entry::Patch(updater_format::release::PatchEntry { artifact, ..honest.clone() }), &bytes);
    }
    let (_, failed) = scene.update();
    assert_eq!(failed.len(), 2, "{failed:?}");
    assert!(failed.iter().all(|why| why.contains("patch")), "{failed:?}");
    scene.holds(&release("1.1.0"));
    scene.is_tidy();
    // One whose entry says that it is of another component, or leads to another manifest, is no way at all.
    release("1.2.0").publish(&scene.sim);
    let (patch, bytes) = release("1.2.0").offered_patch(&release("1.1.0"));
    let voices: ComponentName = "voices".parse().unwrap();
    scene.add(Entry::Patch(updater_format::release::PatchEntry { component: Some(voices), ..patch }), &bytes);
    assert_eq!(scene.offered().routes().len(), 1);
}

#[test]
fn an_entry_of_another_app_makes_the_whole_role_unusable() {
    let scene = Scene::new(&["1.0.0"]);
    let (entry, bytes) = release("1.1.0").offered();
    let (name, file) = Entry::Bundle(entry).to_target(&"other".parse().unwrap());
    {
        let mut repo = scene.sim.repo();
        repo.artifacts.insert(format!("{}.{name}", file.hashes.prefix()), bytes);
        repo.stable().targets.insert(name, file);
        repo.stable().version += 1;
        repo.bump();
    }
    let error = scene.component().check().unwrap_err();
    assert!(error.full_message().contains("other"), "{}", error.full_message());
}

#[test]
fn two_apps_cannot_change_one_folder_at_once() {
    let scene = Scene::new(&["1.0.0"]);
    let staged = scene.offered().download(|_| {}).unwrap();
    assert_eq!(staged.version(), &v("1.0.0"));
    let error = scene.offered().download(|_| {}).unwrap_err();
    assert_eq!(error.code(), "install-busy");
    // What was chosen before another process has installed something is no longer right.
    let late = scene.offered();
    staged.install().unwrap();
    assert_eq!(late.download(|_| {}).unwrap_err().code(), "install-changed");
    scene.holds(&release("1.0.0"));
}

#[test]
fn a_disabled_updater_still_says_what_is_there() {
    let scene = Scene::new(&["1.0.0"]);
    scene.update();
    let embedded =
        updater_runtime::Embedded { disabled: Some("built from source"), ..updater_tests::crash::app::blank() };
    let component = Updater::start(&embedded).component(COMPONENT, scene.at()).unwrap();
    assert_eq!(component.version().unwrap(), Some(v("1.0.0")));
    let status = component.check().unwrap();
    assert!(
        matches!(&status, ComponentStatus::NoUpdate(NoUpdate::Disabled { reason }) if reason == "built from source")
    );
}

#[test]
fn a_folder_among_the_files_of_the_app_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let app = Release::new(b"", InstallKind::Directory, "1.0.0", true);
    let root = folder.path().join("app");
    std::fs::create_dir_all(root.join("bin")).unwrap();
    std::fs::create_dir_all(root.join("share/model")).unwrap();
    std::fs::write(root.join("bin/hello"), "").unwrap();
    std::fs::write(root.join(MANIFEST_PATH), app.manifest.encode()).unwrap();
    let sim = RepositorySimulator::new();
    let platform = host_triple().parse().unwrap();
    let root_bytes = sim.repo().root_bytes();
    let config = Config::new("hello".parse().unwrap(), v("1.0.0"), platform, root_bytes, "https://a.example/").unwrap();
    let config = config.with_directory(&root, "bin/hello".parse().unwrap()).with_transport(sim.transport());
    let updater = Updater::new(config).unwrap();
    for inside in ["share", "share/data", "etc/app.conf", ""] {
        let at = root.join(inside);
        if inside == "share/data" {
            std::fs::create_dir_all(&at).unwrap();
        }
        if inside == "etc/app.conf" {
            continue;
        }
        let error = updater.component(COMPONENT, &at).unwrap_err();
        assert_eq!(error.code(), "install-not-this-component", "{inside}");
        assert!(error.to_string().contains("the app brings files of its own there"), "{error}");
    }
    // A folder that the app does not own goes along with it.
    updater.component(COMPONENT, root.join("share/model")).unwrap();
}
