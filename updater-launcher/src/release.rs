//! The runtime as the launcher uses it: what is installed, and an updater for it whose trust is what `install` pinned.

use crate::error::{Error, Result};
use crate::places::Places;
use crate::record::{Record, read_bounded};
use crate::settings::Merged;
use crate::variables::Variables;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};
use updater_format::state::InstallState;
use updater_format::{AppId, Channel, FilePath, MANIFEST_PATH, Manifest, Platform, ReleaseVersion, UtcTime};
use updater_runtime::{Config, DEFAULT_PROBE_TIME, NoUpdate, Status, Trial, Updater};

/// An install, as far as its disk tells.
#[derive(Debug, Clone)]
pub(crate) struct Install {
    /// Its places.
    pub(crate) places: Places,
    /// What `install` wrote down.
    pub(crate) record: Record,
    root: Vec<u8>,
}

/// One version in its folder.
#[derive(Debug, Clone)]
pub(crate) struct Version {
    /// Its number.
    pub(crate) version: ReleaseVersion,
    /// Its folder.
    pub(crate) dir: PathBuf,
    /// Its program, relative to the folder.
    pub(crate) entry: FilePath,
}

impl Install {
    /// Reads the install in a folder.
    /// # Errors
    /// [`Error::NoInstall`], [`Error::NotTrusted`], [`Error::Format`], [`Error::File`].
    pub(crate) fn open(folder: &Path) -> Result<Self> {
        let places = Places::of_install(folder)?;
        crate::owners::check(&places)?;
        let (record, root) = Record::read(&places)?;
        places.make()?;
        Ok(Self { places, record, root })
    }

    /// Reads which version `current` leads to.
    /// # Errors
    /// [`Error::NoInstall`] when the install was not finished; [`Error::Format`].
    pub(crate) fn current(&self) -> Result<Version> {
        Version::read(&self.places.current_version()?, &self.record.app)
    }

    /// Makes an updater for the current version. What an earlier process left unfinished is settled first.
    /// # Errors
    /// [`Error::Update`], and as [`Install::current`].
    pub(crate) fn updater(&self) -> Result<Updater> {
        // What is pending may change which version is current, and with it the entry.
        let updater = self.updater_for(&self.current()?)?;
        let version = self.current()?;
        if updater.pending_trial()?.is_some_and(|trial| trial.to != version.version) {
            log::debug!("a trial of another version than the current one");
        }
        self.updater_for(&version)
    }

    /// Makes sure that the settings of the current version can be read: without them nobody knows how an update is to be
    /// checked and how many versions stay.
    /// # Errors
    /// [`Error::Settings`], [`Error::Format`], [`Error::File`]; as [`Install::current`].
    pub(crate) fn require_settings(&self) -> Result<()> {
        self.settings(&self.current()?.dir).map(|_| ())
    }

    /// Reads the settings of a version.
    /// # Errors
    /// [`Error::Settings`], [`Error::Format`], [`Error::File`].
    pub(crate) fn settings(&self, version: &Path) -> Result<Merged> {
        Merged::read(&self.places, version)
    }

    /// Makes the variables of a version.
    pub(crate) fn variables(&self, version: &Version, previous: Option<&ReleaseVersion>, merged: &Merged) -> Variables {
        Variables {
            app: self.record.app.to_string(),
            version: version.version.to_string(),
            previous: previous.map(ToString::to_string).unwrap_or_default(),
            dir: version.dir.clone(),
            root: self.places.root().to_owned(),
            values: merged.settings.values.clone(),
        }
    }

    /// Makes the runtime's settings: what is trusted comes from the record alone.
    pub(crate) fn config(&self, version: &ReleaseVersion) -> Result<Config> {
        let record = &self.record;
        let config =
            Config::new(record.app.clone(), version.clone(), record.platform.clone(), self.root.clone(), &record.url)?;
        Ok(config.with_channel(record.channel.clone(), Vec::new()).with_state_dir(self.places.state()))
    }

    /// Lists the versions that are not offered here for a time, by the runtime's journal. Reads one small file.
    pub(crate) fn not_offered(&self) -> Vec<ReleaseVersion> {
        let Ok(Some(bytes)) = read_bounded(&self.places.journal()) else { return Vec::new() };
        let Ok(state) = InstallState::parse(&bytes) else { return Vec::new() };
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let now = UtcTime::from_unix(i64::try_from(now).unwrap_or_default());
        let held = state.bad.iter().filter(|bad| state.is_bad(bad.manifest, now));
        held.map(|bad| bad.version.clone()).collect()
    }

    fn updater_for(&self, version: &Version) -> Result<Updater> {
        // Settings that cannot be read must not keep an install from being repaired. Until they are mended every version
        // stays, and there are no updates (see `require_settings`).
        let settings = self.settings(&version.dir).map(|merged| merged.settings);
        let (probe, keep) = settings.map_or((false, usize::MAX), |settings| (settings.probe, settings.keep as usize));
        let config = self
            .config(&version.version)?
            .with_directory(self.places.current(), version.entry.clone())
            .with_trial(Trial::Confirm)
            .with_probe(probe.then_some(DEFAULT_PROBE_TIME))
            .with_kept_versions(keep);
        Ok(Updater::new(config)?)
    }
}

impl Version {
    /// Reads the manifest of a version's folder.
    /// # Errors
    /// [`Error::Format`] when it is none, or that of another app.
    pub(crate) fn read(dir: &Path, app: &AppId) -> Result<Self> {
        let path = dir.join(MANIFEST_PATH);
        let refuse = |problem: String| Error::Format { path: path.clone(), problem };
        let bytes = std::fs::read(&path).map_err(|source| Error::file("read", &path, source))?;
        let manifest = Manifest::parse(&bytes).map_err(|error| refuse(error.to_string()))?;
        if manifest.app() != app {
            return Err(refuse(format!("it is of {}, not of {app}", manifest.app())));
        }
        Ok(Self { version: manifest.version().clone(), dir: dir.to_owned(), entry: manifest.entry().clone() })
    }
}

/// Says in words why there is no update; `None` when there is simply nothing newer.
pub(crate) fn why_not(status: &Status) -> Option<String> {
    match status {
        Status::Available(_) | Status::NoUpdate(NoUpdate::Current { .. }) => None,
        Status::NoUpdate(reason) => Some(reason.to_string()),
    }
}

/// Returns the triple whose releases run on this computer.
pub(crate) fn host_platform() -> Result<Platform> {
    let (system, abi) = if cfg!(windows) { ("pc-windows", "msvc") } else { ("unknown-linux", "gnu") };
    let abi = match () {
        () if cfg!(target_env = "musl") => "musl",
        () if cfg!(target_env = "gnu") => "gnu",
        () => abi,
    };
    Ok(Platform::parse(&format!("{}-{system}-{abi}", std::env::consts::ARCH))?)
}

/// Makes the settings of a repository whose app is not known yet, for the request of its pinned root.
pub(crate) fn bare_config(
    url: &str,
    app: AppId,
    platform: Platform,
    channel: Channel,
    root: Vec<u8>,
) -> Result<Config> {
    let version = ReleaseVersion::parse("0.0.0")?;
    Ok(Config::new(app, version, platform, root, url)?.with_channel(channel, Vec::new()))
}
