//! One publisher: a process that bundles a release, waits for the word, and publishes it with the real commit protocol.

use super::{App, Failure, now};
use cargo_release_updater::context::Prompts;
use cargo_release_updater::error::CommandError;
use cargo_release_updater::keys::{KeyFolder, Keychain, Passwords};
use cargo_release_updater::plan::Request;
use cargo_release_updater::repository::{Commit, Lease, Upload};
use cargo_release_updater::shell::{MessageFormat, Shell};
use cargo_release_updater::steps::bundle::{Bundled, Contents, Packing, bundle, from_folder};
use cargo_release_updater::steps::release::Release;
use cargo_release_updater::storage::{Storage, StorageUri};
use std::io::{BufRead as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;
use updater_format::{Channel, Platform, ReleaseVersion};

/// A publisher with its storage open.
pub struct Publisher {
    app: App,
    storage: Storage,
    keychain: Keychain,
    shell: Shell,
    folder: tempfile::TempDir,
}

/// A release that is ready to be published.
pub struct Ready {
    release: Release,
    uploads: Vec<Upload>,
}

impl Publisher {
    /// Opens the storage with the keys of the app.
    /// # Errors
    /// When the address is refused or a key cannot be read.
    pub fn open(app: App, storage: &str) -> Result<Self, Failure> {
        let storage = Storage::open(&StorageUri::parse(storage)?, Path::new("."))?;
        let folder = tempfile::tempdir()?;
        // A folder of its own, so that each remembers what it has seen, as two machines do.
        let mut keychain = Keychain::open(KeyFolder::at(folder.path().to_owned()), Passwords::none(Prompts::Never))?;
        for key in ["online", "channels"] {
            keychain.add(app.signer(key)?);
        }
        Ok(Self { app, storage, keychain, shell: Shell::captured(MessageFormat::Human), folder })
    }

    /// Bundles a release of one small program and signs its files.
    /// # Errors
    /// When it cannot be bundled.
    pub fn prepare(&self, channel: Channel, version: &str, platform: &str) -> Result<Ready, Failure> {
        let (version, platform): (ReleaseVersion, Platform) = (version.parse()?, platform.parse()?);
        let files = self.folder.path().join("files");
        std::fs::create_dir_all(&files)?;
        std::fs::write(files.join("racer"), format!("#!/bin/sh\necho {version} {platform}\n"))?;
        std::fs::set_permissions(files.join("racer"), std::fs::Permissions::from_mode(0o755))?;
        let contents = Contents {
            app: App::id()?,
            component: None,
            version: version.clone(),
            platform: platform.clone(),
            install: None,
            entry: None,
            keep_local: Vec::new(),
            codecs: Vec::new(),
            files: from_folder(&files)?,
        };
        let packing = Packing { level: 0, mtime: 0 };
        let bundled: Bundled = bundle(&contents, packing, &self.folder.path().join("bundles"), &self.shell)?;
        let request = Request {
            app: App::id()?,
            component: None,
            channel,
            version,
            platforms: vec![platform],
            patches_from: 0,
            keep: 3,
            epoch: Default::default(),
        };
        let release = Release {
            request,
            bundles: vec![bundled],
            patches: Vec::new(),
            notes: None,
            released: now(),
            metadata: Default::default(),
        };
        let uploads = release.uploads(&self.app.signer("channels")?).map_err(told)?;
        Ok(Ready { release, uploads })
    }

    /// Publishes it; with a number, stops before that operation of the storage as if the process had died.
    /// # Errors
    /// What the storage or the commit protocol refuses.
    pub fn publish(&mut self, ready: &Ready, stop: Option<u64>) -> Result<(), Failure> {
        let storage = match stop {
            Some(operations) => &self.storage.stopping_after(operations),
            None => &self.storage,
        };
        let (id, root, targets) = (App::id()?, self.app.role("root")?, self.app.role("targets")?);
        let mut commit = Commit {
            storage,
            app: &id,
            root: &root,
            targets: &targets,
            earlier: &[],
            keychain: &mut self.keychain,
            now: now(),
            lease: Lease { poll: Duration::from_millis(20), ..Lease::default() },
            shell: &self.shell,
        };
        commit.upload(&ready.uploads, |_, _| {}).map_err(|error| told(error.into()))?;
        let published = commit.publish(ready.release.channel(), |role, before| {
            ready.release.edit(role, before).map_err(CommandError::from)?;
            Ok(())
        });
        published.map(drop).map_err(told)
    }
}

fn told(error: CommandError) -> Failure {
    error.to_string().into()
}

/// Runs a publisher that is told what to do on stdin: `prepare CHANNEL VERSION TRIPLE`, answered by `ready`, and `go` or
/// `stop OPERATIONS`, answered by `done`, `stopped` or `failed REASON`. Ends with its input.
/// # Errors
/// When it cannot be set up or told.
pub fn main(app: &Path, storage: &str) -> Result<(), Failure> {
    let mut publisher = Publisher::open(App::at(app), storage)?;
    let mut out = std::io::stdout();
    let mut ready = None;
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let words: Vec<&str> = line.split(' ').collect();
        let answer = match (words.as_slice(), &ready) {
            (["prepare", channel, version, platform], _) => {
                ready = Some(publisher.prepare(Channel::parse(channel)?, version, platform)?);
                "ready".to_owned()
            }
            (["go"], Some(release)) => outcome(publisher.publish(release, None)),
            (["stop", operations], Some(release)) => outcome(publisher.publish(release, Some(operations.parse()?))),
            _ => return Err(format!("{line:?} is not understood").into()),
        };
        writeln!(out, "{answer}")?;
        out.flush()?;
    }
    Ok(())
}

fn outcome(published: Result<(), Failure>) -> String {
    match published.map_err(|error| error.to_string().replace('\n', " ")) {
        Ok(()) => "done".to_owned(),
        Err(error) if error.contains("stopped before operation") => "stopped".to_owned(),
        Err(error) => format!("failed {error}"),
    }
}
