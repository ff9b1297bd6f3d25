//! `install`: from a URL and a pinned root to `current`.

use crate::error::{Error, Result};
use crate::places::Places;
use crate::record::{Record, read_bounded};
use crate::release::{bare_config, host_platform};
use crate::settings::Merged;
use crate::shell;
use clap::Args;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use updater_format::{AppId, Channel, Platform, Sha256};
use updater_runtime::{
    Error as UpdateError, FirstInstall, FirstInstallError, InstallError, app_of_root, fetch_pinned_root,
};

/// Install an app from a repository into an empty folder.
///
/// Trust is pinned before anything is fetched: by the publisher's root.json, or by its SHA-256. An interrupted install
/// goes on when the same command is given again.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  updater-launcher install https://updates.example.com/hello /opt/hello --root root.json
  updater-launcher install https://updates.example.com/hello /opt/hello --pin 7d865e959b2466918c9863afca942d0fb89d7c9ac0c99bafc3749504ded97730
  updater-launcher install file:///media/usb/hello /opt/hello --root /media/usb/root.json")]
pub(super) struct Install {
    /// The repository: https://, file:///, or http:// on this computer.
    url: String,
    /// An empty folder, or one that is made.
    #[arg(default_value = ".")]
    dir: PathBuf,
    #[command(flatten)]
    trust: Trust,
    #[command(flatten)]
    what: What,
}

/// Which root is trusted.
#[derive(Debug, Clone, Args)]
#[group(required = true, multiple = false)]
pub(super) struct Trust {
    /// The publisher's root.json, got by a way that you trust.
    #[arg(long, value_name = "FILE")]
    root: Option<PathBuf>,
    /// The SHA-256 of the publisher's root.json; the file itself is fetched and must have it.
    #[arg(long, value_name = "SHA256")]
    pin: Option<Sha256>,
}

/// Which releases are meant.
#[derive(Debug, Clone, Args)]
pub(super) struct What {
    /// The channel to follow.
    #[arg(long, default_value = "stable")]
    pub(super) channel: Channel,
    /// The target triple; this computer's when not given.
    #[arg(long, value_name = "TRIPLE")]
    pub(super) target: Option<Platform>,
}

impl What {
    pub(super) fn platform(&self) -> Result<Platform> {
        self.target.clone().map_or_else(host_platform, Ok)
    }
}

impl Trust {
    /// Returns the bytes of the trusted root.
    pub(super) fn obtain(&self, url: &str, what: &What) -> Result<Vec<u8>> {
        match (&self.root, self.pin) {
            (Some(path), _) => read_bounded(path)?
                .ok_or_else(|| Error::file("read", path, std::io::Error::from(std::io::ErrorKind::NotFound))),
            (None, Some(pin)) => {
                // The app is named by the root, which is not there yet; this request does not need it.
                let config =
                    bare_config(url, AppId::parse("unknown")?, what.platform()?, what.channel.clone(), Vec::new())?;
                Ok(fetch_pinned_root(&config, pin)?)
            }
            (None, None) => Err(Error::Usage { problem: "no root is pinned".to_owned(), hint: "add --root or --pin" }),
        }
    }
}

impl Install {
    pub(super) fn run(self) -> Result<ExitCode> {
        let unfinished = unfinished(&self.dir)?;
        let root = self.trust.obtain(&self.url, &self.what)?;
        let app = app_of_root(&root)?;
        let record =
            Record::new(app.clone(), self.url.clone(), self.what.channel.clone(), self.what.platform()?, &root);
        if let Some(found) = unfinished.filter(|found| *found != record) {
            let found = format!("{} from {}", found.app, found.url);
            return Err(Error::OtherInstall { path: self.dir, found });
        }
        shell::step("Trusting", format!("the root of {app}, sha256 {}", record.root));
        let config =
            bare_config(&self.url, app.clone(), record.platform.clone(), record.channel.clone(), root.clone())?;
        // Nothing is made before the repository has something verified to put there.
        let release = FirstInstall::new(config.clone()).find()?;
        shell::step("Installing", format!("{app} {} ({} bytes) from {}", release.version(), release.bytes(), self.url));
        let is_new = !self.dir.exists();
        std::fs::create_dir_all(&self.dir).map_err(|source| Error::file("create the folder", &self.dir, source))?;
        let places = Places::at(&self.dir)?;
        crate::owners::check(&places)?;
        places.make()?;
        record.write(&places, &root)?;
        // Once more with a memory: what this install has seen is the least that it believes from now on.
        let release = FirstInstall::new(config.with_state_dir(places.state())).find()?;
        let mut problem = None;
        let accept = |tree: &Path| runnable(&places, tree).map_err(|error| problem.insert(error).full_message());
        let placed = match release.install_if(places.root(), accept, |_| {}) {
            Ok(placed) => placed,
            Err(error) => {
                let is_final = matches!(
                    error,
                    FirstInstallError::Refused { .. }
                        | FirstInstallError::Update(
                            UpdateError::Apply(_) | UpdateError::Install(InstallError::OtherMachine { .. })
                        )
                );
                if is_final {
                    places.remove(is_new)?;
                }
                return Err(problem.unwrap_or_else(|| error.into()));
            }
        };
        shell::step("Installed", placed.display().to_string());
        shell::step("Next", format!("updater-launcher start -C {}", places.root().display()));
        Ok(ExitCode::SUCCESS)
    }
}

/// Makes sure that a launcher can run what is about to be installed.
fn runnable(places: &Places, tree: &Path) -> Result<()> {
    let settings = Merged::read(places, tree)?.settings;
    match settings.exec {
        Some(exec) if !tree.join(exec.as_str()).is_file() => {
            Err(Error::Start { program: exec.to_string(), problem: "the release has no such file".to_owned() })
        }
        _ => Ok(()),
    }
}

/// Returns the record of an interrupted install in this folder; refuses every other folder that is not empty.
fn unfinished(dir: &Path) -> Result<Option<Record>> {
    if !dir.exists() {
        return Ok(None);
    }
    let places = Places::at(dir)?;
    let occupied = |found: String| Error::Occupied { path: places.root().to_owned(), found };
    if let Some(found) = places.foreign()? {
        return Err(occupied(found));
    }
    if places.current().symlink_metadata().is_ok() {
        return Err(occupied("an installed version".to_owned()));
    }
    if places.record().is_file() {
        return Ok(Some(Record::read(&places)?.0));
    }
    match places.root().join("versions").exists() {
        true => Err(occupied("versions of something else".to_owned())),
        false => Ok(None),
    }
}
