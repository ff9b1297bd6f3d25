//! Whole releases through signing, the real client and publishing. The programs are scripts that answer the probe.

use super::*;
use crate::error::CommandError;
use crate::plan::Request;
use crate::repository::RepositoryState;
use crate::repository::state::Expiry;
use crate::shell::MessageFormat;
use crate::steps::bundle::{Bundled, Contents, Packing, bundle, from_folder};
use crate::steps::diff::{DiffLimits, Outcome, diff};
use crate::steps::fetch::fetch_bundle;
use crate::steps::publish::publish;
use crate::steps::release::Release;
use crate::steps::sign::{Publisher, sign};
use crate::steps::testing::App;
use crate::storage::Storage;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use updater_format::UtcTime;

const HERE: &str = "x86_64-unknown-linux-gnu";
const ELSEWHERE: &str = "aarch64-unknown-linux-musl";

/// A project: keys, a storage and the folders of the steps.
struct Project {
    temp: tempfile::TempDir,
    app: App,
    storage: Storage,
    shell: Shell,
}

impl Project {
    fn new() -> Self {
        let temp = tempfile::tempdir().unwrap();
        let storage = Storage::open_folder(&temp.path().join("repository"), "fs:repository").unwrap();
        let shell = Shell::captured(MessageFormat::Human);
        Self { temp, app: App::at(now()), storage, shell }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.temp.path().join(name)
    }

    /// Bundles a program that says its version, beside data that makes the bundle worth a patch.
    fn bundle(&self, version: &str, platform: &str, answer: &str) -> Bundled {
        let folder = self.path(&format!("files-{version}-{platform}"));
        std::fs::create_dir_all(folder.join("share")).unwrap();
        let program =
            format!("#!/bin/sh\nif [ -n \"$UPDATER_PROBE\" ]; then\necho \"{answer}\"\nexit\nfi\necho {version}\n");
        std::fs::write(folder.join("hello"), program).unwrap();
        std::fs::set_permissions(folder.join("hello"), std::fs::Permissions::from_mode(0o755)).unwrap();
        let mut state = 1u64;
        let mut noise = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 33) as u8
        };
        std::fs::write(folder.join("share/data"), (0..20_000).map(|_| noise()).collect::<Vec<u8>>()).unwrap();
        std::os::unix::fs::symlink("share/data", folder.join("data")).unwrap();
        // What users may edit is another file in each release.
        std::fs::write(folder.join("hello.toml"), format!("greeting = \"{version}\"\n")).unwrap();
        let contents = Contents {
            app: self.app.trust.app.clone(),
            component: None,
            version: version.parse().unwrap(),
            platform: platform.parse().unwrap(),
            install: None,
            entry: None,
            keep_local: vec!["*.toml".parse().unwrap()],
            codecs: vec!["refs-1".to_owned()],
            files: from_folder(&folder).unwrap(),
        };
        bundle(&contents, Packing { level: 6, mtime: 0 }, &self.path("bundles"), &self.shell).unwrap()
    }

    fn state(&self) -> Option<RepositoryState> {
        let trust = &self.app.trust;
        RepositoryState::read(&self.storage, &trust.app, &trust.root, Expiry::Ignored).unwrap()
    }

    fn old(&self, state: Option<&RepositoryState>) -> Vec<OldBundle> {
        let channel = state.and_then(|state| state.channels().get(&Channel::stable()));
        let bundles = channel.iter().flat_map(|channel| &channel.contents().bundles);
        bundles.map(|entry| fetch_bundle(entry, &self.storage, &self.path("cache"), &self.shell).unwrap()).collect()
    }

    /// Signs a release and rehearses it; `spoil` may touch the signed repository in between.
    fn rehearse(&self, bundles: Vec<Bundled>, spoil: impl FnOnce(&Path)) -> Result<Rehearsed, CommandError> {
        let state = self.state();
        let old = self.old(state.as_ref());
        let mut patches = Vec::new();
        for bundled in &bundles {
            let old: Vec<_> = old.iter().filter(|old| old.entry.platform == bundled.part.platform).cloned().collect();
            let outcomes = diff(bundled, &old, &self.path("patches"), DiffLimits::default(), &self.shell)?;
            patches.extend(outcomes.into_iter().filter_map(|outcome| match outcome {
                Outcome::Kept(patch) => Some(*patch),
                _ => None,
            }));
        }
        let request = Request {
            app: self.app.trust.app.clone(),
            component: None,
            channel: Channel::stable(),
            version: bundles[0].part.version.clone(),
            platforms: bundles.iter().map(|bundled| bundled.part.platform.clone()).collect(),
            patches_from: 3,
            keep: 3,
            epoch: Default::default(),
        };
        let release = Release {
            request,
            bundles,
            patches,
            notes: None,
            released: UtcTime::from_unix(0),
            metadata: Default::default(),
        };
        let mut keychain = self.app.keychain();
        let mut publisher = self.publisher(&mut keychain, state.as_ref());
        let signed = sign(release, &mut publisher, &self.path("release"))?;
        spoil(signed.folder());
        let host: Platform = HERE.parse().unwrap();
        let setup = Setup {
            app: &self.app.trust.app,
            channel: &Channel::stable(),
            root: &self.app.trust.root,
            host: &host,
            probe: true,
            app_version: None,
            clock: Clock::Fixed(now()),
            folder: self.temp.path(),
            shell: &self.shell,
        };
        Ok(rehearse(signed, &old, &setup)?)
    }

    fn publish(&self, bundles: Vec<Bundled>) -> Vec<Run> {
        let rehearsed = self.rehearse(bundles, |_| {}).unwrap();
        let (mut keychain, state) = (self.app.keychain(), self.state());
        let published = publish(&rehearsed, &mut self.publisher(&mut keychain, state.as_ref())).unwrap();
        assert_eq!(
            published.files,
            rehearsed.signed().release().bundles.len() + rehearsed.signed().release().patches.len()
        );
        rehearsed.runs().to_vec()
    }

    fn publisher<'a>(
        &'a self,
        keychain: &'a mut crate::keys::Keychain,
        state: Option<&'a RepositoryState>,
    ) -> Publisher<'a> {
        Publisher { trust: &self.app.trust, storage: &self.storage, state, keychain, now: now(), shell: &self.shell }
    }

    fn good(&self, version: &str, platform: &str) -> Bundled {
        self.bundle(version, platform, &format!("updater-probe 1 $UPDATER_PROBE hello {version} {platform}"))
    }
}

fn now() -> UtcTime {
    UtcTime::parse("2026-06-01T00:00:00Z").unwrap()
}

fn told(runs: &[Run]) -> Vec<String> {
    runs.iter().map(|run| format!("{} {:?} {:?}", run.from, run.by, run.reached)).collect()
}

#[test]
fn three_releases_each_rehearsed_from_all_before() {
    let project = Project::new();
    assert_eq!(project.publish(vec![project.good("1.0.0", HERE)]), []);
    let runs = project.publish(vec![project.good("1.1.0", HERE)]);
    assert_eq!(told(&runs), ["1.0.0 Some(Patch) Installed", "1.0.0 Some(Bundle) Installed"]);
    let runs = project.publish(vec![project.good("1.2.0", HERE), project.good("1.2.0", ELSEWHERE)]);
    assert_eq!(
        told(&runs),
        ["1.0.0 Some(Patch) Installed", "1.1.0 Some(Patch) Installed", "1.1.0 Some(Bundle) Installed"]
    );
    let runs = project.publish(vec![project.good("1.3.0", HERE), project.good("1.3.0", ELSEWHERE)]);
    assert_eq!(told(&runs)[4..], ["1.2.0 Some(Patch) Staged", "1.2.0 Some(Bundle) Staged"]);
    let state = project.state().unwrap();
    let contents = state.channels()[&Channel::stable()].contents().clone();
    let listed = |platform: &str| {
        let ours = contents.bundles.iter().filter(|bundle| bundle.platform.as_str() == platform);
        ours.map(|bundle| bundle.version.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(listed(HERE), ["1.1.0", "1.2.0", "1.3.0"]);
    assert_eq!(listed(ELSEWHERE), ["1.2.0", "1.3.0"]);
    // Nothing of the installs is left.
    let left: Vec<_> =
        std::fs::read_dir(project.temp.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(left.iter().all(|name| !name.to_string_lossy().starts_with(".tmp")), "{left:?}");
}

#[test]
fn a_program_that_does_not_say_who_it_is_is_not_published() {
    let project = Project::new();
    project.publish(vec![project.good("1.0.0", HERE)]);
    let error =
        project.rehearse(vec![project.bundle("1.1.0", HERE, "updater-probe 1 x hello 1.0.9 y")], |_| {}).unwrap_err();
    assert_eq!(
        (error.code, error.causes()[0].as_str()),
        (crate::error::ExitCode::Bundle, "the update from 1.0.0 to 1.1.0 does not work")
    );
    assert!(error.to_string().contains("it answered"), "{error}");
    assert!(
        error.hints[0].starts_with("nothing was published; `updater!()` must be the first line"),
        "{:?}",
        error.hints
    );
}

#[test]
fn a_patch_that_does_not_work_is_not_hidden_by_the_bundle() {
    let project = Project::new();
    project.publish(vec![project.good("1.0.0", HERE)]);
    let spoil = |ending: &'static str| {
        move |repository: &Path| {
            for entry in std::fs::read_dir(repository.join("targets")).unwrap() {
                let path = entry.unwrap().path();
                if path.to_string_lossy().ends_with(ending) {
                    let mut bytes = std::fs::read(&path).unwrap();
                    *bytes.last_mut().unwrap() ^= 1;
                    std::fs::write(path, bytes).unwrap();
                }
            }
        }
    };
    let next = project.good("1.1.0", HERE);
    let error = project.rehearse(vec![next.clone()], spoil(".patch")).unwrap_err();
    assert!(error.to_string().contains("cannot use hello-1.0.0-to-1.1.0"), "{error}");
    let error = project.rehearse(vec![next.clone()], spoil(".tar.xz")).unwrap_err();
    assert!(error.to_string().contains("the update from 1.0.0 to 1.1.0 does not work"), "{error}");
    project.publish(vec![next]);
}
