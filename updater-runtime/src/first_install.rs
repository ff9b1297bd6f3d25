//! A first install from a repository, by a program that installs another one: nothing is there yet, so trust, version and
//! files all come from the verified metadata, by the same check as an update.

use crate::apply::{self, Target, Watch};
use crate::cancel::CancelToken;
use crate::check::{self, Candidate, Decision, Installed, Offer, Rollout, Withheld};
use crate::clock::{Clock as _, SystemClock};
use crate::config::Config;
use crate::download::download;
use crate::error::Error;
use crate::event::{Phase, Progress};
use crate::install::{FirstSession, InstallError, InstallKind};
use crate::install_id::install_id;
use crate::libc_version::libc_version;
use crate::refresh::Refresh;
use crate::transport::{Document, DocumentRequest, FetchError, Fetcher, Mirror};
use crate::trust_store::TrustStore;
use crate::updater::read_channels;
use std::path::{Path, PathBuf};
use updater_format::bundle::BundleExpectation;
use updater_format::length::MAX_ROOT;
use updater_format::role::ChannelRules;
use updater_format::signed::Untrusted;
use updater_format::trust::{Rules, TrustedChannel, TrustedSet};
use updater_format::{AppId, Channel, ReleaseVersion, Sha256, SignaturePolicy, UtcTime};

/// Finds and installs the first version of an app, in the layout with a folder for each version behind a link `current`.
///
/// The version in the [`Config`] is not used. Metadata is kept only when the config has a state folder.
///
/// ```no_run
/// use std::path::Path;
/// use updater_runtime::{Config, FirstInstall};
///
/// # fn install(root: Vec<u8>) -> Result<(), Box<dyn std::error::Error>> {
/// let config = Config::new(
///     "hello".parse()?,
///     "0.0.0".parse()?,
///     "x86_64-unknown-linux-gnu".parse()?,
///     root,
///     "https://example.com/hello",
/// )?;
/// let release = FirstInstall::new(config).find()?;
/// println!("hello {}, {} bytes", release.version(), release.bytes());
/// let folder = Path::new("/opt/hello");
/// release.install(folder, |_progress| {})?; // /opt/hello/current leads to it
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct FirstInstall {
    config: Config,
    cancel: CancelToken,
}

/// The newest version that an install here may have.
#[derive(Debug)]
pub struct FirstRelease {
    config: Config,
    fetcher: Fetcher,
    mirrors: Vec<Mirror>,
    candidate: Candidate,
    now: UtcTime,
}

/// A release that a channel offers, whether or not it suits this computer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OfferedRelease {
    /// Its version.
    pub version: ReleaseVersion,
    /// The channel that lists it.
    pub channel: Channel,
    /// Its target triple.
    pub platform: updater_format::Platform,
    /// Bytes of its bundle.
    pub bytes: u64,
}

/// A first install that did not come about.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FirstInstallError {
    /// The repository could not be read, or its files could not be installed.
    #[error(transparent)]
    Update(#[from] Error),
    /// The channels have no release at all.
    #[error("the channel {channel} has no release yet")]
    Empty {
        /// The channel.
        channel: Channel,
    },
    /// There are releases, but none for this computer.
    #[error("{0}")]
    Withheld(Withheld),
    /// Whoever installs does not take the release.
    #[error("version {version} is not taken: {problem}")]
    Refused {
        /// The version.
        version: ReleaseVersion,
        /// Why not.
        problem: String,
    },
    /// The trusted root cannot be read.
    #[error("the root cannot be used: {problem}")]
    Root {
        /// What is wrong with it.
        problem: String,
    },
    /// No root of the repository has the pinned digest.
    #[error("no root at {url} has sha256 {pin} (of {found})")]
    Pin {
        /// The repository's metadata.
        url: String,
        /// The digest that was pinned.
        pin: Sha256,
        /// How many there are.
        found: u64,
    },
}

impl FirstInstallError {
    /// Returns a name of the error for programs, which never changes.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Update(error) => error.code(),
            Self::Empty { .. } => "first-install-empty",
            Self::Withheld(_) => "first-install-withheld",
            Self::Refused { .. } => "first-install-refused",
            Self::Root { .. } => "first-install-root",
            Self::Pin { .. } => "first-install-pin",
        }
    }

    /// Returns what to do next.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::Update(error) => error.hint().to_owned(),
            Self::Empty { .. } => "name another channel, or ask the publisher when there will be one".to_owned(),
            Self::Withheld(_) => "name another channel, or ask the publisher for a release that suits this computer".to_owned(),
            Self::Refused { .. } => "ask the publisher for a release that can be run".to_owned(),
            Self::Root { .. } => "take root.json from the publisher once more".to_owned(),
            Self::Pin { .. } => {
                "compare the digest with the publisher's, by another way than this repository; do not go on until they agree"
                    .to_owned()
            }
        }
    }
}

impl FirstInstall {
    /// Makes a first install from these settings.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self { config, cancel: CancelToken::new() }
    }

    /// Returns the token that ends a request or a download from another thread.
    #[must_use]
    pub fn cancel_token(&self) -> &CancelToken {
        &self.cancel
    }

    /// Asks the repository for the newest version that an install here may have. Nothing is installed.
    /// # Errors
    /// [`FirstInstallError::Empty`] and [`FirstInstallError::Withheld`] when there is none; [`FirstInstallError::Update`]
    /// when the metadata cannot be had, is stale or does not hold.
    pub fn find(&self) -> Result<FirstRelease, FirstInstallError> {
        let now = self.now();
        let fetcher = self.fetcher()?;
        let refresh = self.refresh(&fetcher);
        let refreshed = refresh.run(self.rules(now), &self.config.root).map_err(Error::from)?;
        let channels = read_channels(&self.config, &refreshed).map_err(Error::from)?;
        // A stepping stone is for those who come from before it.
        let rules: Vec<ChannelRules> = channels
            .iter()
            .map(|(_, trusted)| {
                let rules = trusted.role().rules().cloned().unwrap_or_default();
                ChannelRules { required: Default::default(), ..rules }
            })
            .collect();
        let timestamp = refreshed.set().current_timestamp();
        let offers: Vec<_> = channels
            .iter()
            .zip(&rules)
            .map(|((channel, trusted), rules)| Offer {
                channel,
                contents: trusted.contents(),
                rules,
                steering: timestamp.steering(channel),
            })
            .collect();
        if offers.iter().all(|offer| offer.contents.bundles.is_empty()) {
            return Err(FirstInstallError::Empty { channel: self.config.channel.clone() });
        }
        let nothing = ReleaseVersion::lowest();
        let libc = libc_version();
        let installed = Installed {
            app: &self.config.app,
            version: &nothing,
            platform: &self.config.platform,
            kind: InstallKind::Directory,
            libc: libc.as_deref(),
            bad: &[],
            epoch: 0,
            rollout: self.rollout(check::needs_install_id(&nothing, &offers)),
            now,
            component: None,
        };
        match check::choose(&installed, &offers) {
            Decision::Current => Err(FirstInstallError::Empty { channel: self.config.channel.clone() }),
            Decision::Withheld(why) => Err(FirstInstallError::Withheld(why)),
            Decision::Available(candidate) => Ok(FirstRelease {
                config: self.config.clone(),
                fetcher,
                mirrors: refreshed.mirrors().to_vec(),
                candidate: *candidate,
                now,
            }),
        }
    }

    /// Lists every release of the channels, newest first.
    /// # Errors
    /// [`FirstInstallError::Update`] as [`FirstInstall::find`].
    pub fn offered(&self) -> Result<Vec<OfferedRelease>, FirstInstallError> {
        let fetcher = self.fetcher()?;
        let refresh = self.refresh(&fetcher);
        let refreshed = refresh.run(self.rules(self.now()), &self.config.root).map_err(Error::from)?;
        let channels = read_channels(&self.config, &refreshed).map_err(Error::from)?;
        let listed = |(channel, trusted): &(Channel, TrustedChannel)| {
            let release = |bundle: &updater_format::release::BundleEntry| OfferedRelease {
                version: bundle.version.clone(),
                channel: channel.clone(),
                platform: bundle.platform.clone(),
                bytes: bundle.artifact.length,
            };
            trusted.contents().bundles.iter().map(release).collect::<Vec<_>>()
        };
        let mut releases: Vec<_> = channels.iter().flat_map(listed).collect();
        releases.sort_by(|a, b| b.version.cmp(&a.version));
        Ok(releases)
    }

    fn refresh(&self, fetcher: &Fetcher) -> Refresh {
        let folder = self.config.state_dir.as_ref().map(|folder| folder.join("metadata"));
        let store = folder.map_or_else(TrustStore::nowhere, TrustStore::new);
        Refresh::new(fetcher.clone(), self.config.mirrors.clone(), store)
    }

    fn rules(&self, now: UtcTime) -> Rules {
        Rules { now, policy: SignaturePolicy::default(), app: Some(self.config.app.clone()) }
    }

    fn fetcher(&self) -> Result<Fetcher, Error> {
        Ok(self.config.make_fetcher(&self.cancel)?)
    }

    fn rollout(&self, needs_id: bool) -> Rollout {
        match (self.config.rollout, &self.config.state_dir) {
            (Some(rollout), _) => rollout,
            (None, Some(folder)) if needs_id => install_id(folder).map_or(Rollout::Last, Rollout::Id),
            (None, _) => Rollout::Last,
        }
    }

    fn now(&self) -> UtcTime {
        match &self.config.clock {
            Some(clock) => clock.now().max(self.config.build_time),
            None => SystemClock::new(self.config.build_time).now(),
        }
    }
}

impl FirstRelease {
    /// Returns the version.
    #[must_use]
    pub fn version(&self) -> &ReleaseVersion {
        &self.candidate.bundle.version
    }

    /// Returns the channel that offers it.
    #[must_use]
    pub fn channel(&self) -> &Channel {
        &self.candidate.channel
    }

    /// Returns the bytes to download.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.candidate.bundle.artifact.length
    }

    /// Downloads the bundle, checks every file of it, and installs it: `versions/APP-VERSION/` and the link `current` in
    /// `folder`, which must exist. Returns the version's folder. An interrupted download goes on where it stopped.
    /// # Errors
    /// [`FirstInstallError::Update`]; `current` does not exist then.
    pub fn install(self, folder: &Path, on_progress: impl FnMut(Progress)) -> Result<PathBuf, FirstInstallError> {
        self.install_if(folder, |_| Ok(()), on_progress)
    }

    /// As [`FirstRelease::install`], if `accept` takes the verified files, which lie in the folder that it is given and are
    /// not in place yet. What it refuses is not kept.
    /// # Errors
    /// [`FirstInstallError::Refused`] with the words of `accept`; [`FirstInstallError::Update`].
    pub fn install_if(
        self,
        folder: &Path,
        accept: impl FnOnce(&Path) -> Result<(), String>,
        mut on_progress: impl FnMut(Progress),
    ) -> Result<PathBuf, FirstInstallError> {
        let bundle = &self.candidate.bundle;
        let mut first = FirstSession::open(folder, &self.config.app, self.now).map_err(Error::from)?;
        let downloads = first.session().downloads().map_err(Error::from)?;
        let url = |mirror: &Mirror| mirror.target_url(&bundle.artifact.name, &bundle.artifact.sha256, &bundle.version);
        let urls: Vec<_> = self.mirrors.iter().map(url).collect();
        let mut file = download(&self.fetcher, &downloads, &bundle.artifact, &urls, &mut |progress| {
            on_progress(Progress::new(Phase::Download, progress.bytes, progress.total));
        })
        .map_err(Error::from)?;
        let target = Target {
            app: self.config.app.clone(),
            component: None,
            version: bundle.version.clone(),
            platform: bundle.platform.clone(),
            bundle: BundleExpectation { manifest: bundle.manifest, unpacked: bundle.unpacked, entries: bundle.files },
        };
        let mut progress = |bytes, total| on_progress(Progress::new(Phase::Apply, bytes, total));
        let mut watch = Watch { progress: &mut progress, cancel: self.fetcher.cancel_token() };
        let reader = file.reader().map_err(Error::from)?;
        let tree = apply::stage_bundle(first.session(), reader, &target, &mut watch).map_err(Error::from)?;
        let accepted = accept(&first.session().layout().staged_tree());
        if let Err(problem) = accepted {
            first.session().clear_staged().map_err(|error| Error::from(InstallError::from(error)))?;
            file.discard();
            return Err(FirstInstallError::Refused { version: bundle.version.clone(), problem });
        }
        // Placing removes what was downloaded, which must not be open then on Windows.
        drop(file);
        Ok(first.place(&tree, self.candidate.bundle.epoch).map_err(Error::from)?)
    }
}

/// Returns the app that a root is for. That it is signed by its own keys is checked; who trusts it says so by handing it
/// over.
/// # Errors
/// [`FirstInstallError::Root`] when it is no root, or one that names no app.
pub fn app_of_root(root: &[u8]) -> Result<AppId, FirstInstallError> {
    let problem = |problem: String| FirstInstallError::Root { problem };
    let rules = Rules { now: UtcTime::from_unix(0), policy: SignaturePolicy::default(), app: None };
    let set = TrustedSet::new(rules, &Untrusted::new(root)).map_err(|error| problem(error.to_string()))?;
    let extension = set.current_root().extension.as_ref();
    extension.map(|extension| extension.app.clone()).ok_or_else(|| problem("it names no app".to_owned()))
}

/// Fetches the root of a repository whose digest is `pin`: any of its chain. What has another digest is not looked at.
/// # Errors
/// [`FirstInstallError::Pin`] when none has it; [`FirstInstallError::Update`] when the repository cannot be read.
pub fn fetch_pinned_root(config: &Config, pin: Sha256) -> Result<Vec<u8>, FirstInstallError> {
    let fetcher = config.make_fetcher(&CancelToken::new()).map_err(Error::from)?;
    let request = DocumentRequest { max_bytes: MAX_ROOT, ..DocumentRequest::default() };
    let mut last = None;
    for mirror in &config.mirrors {
        for version in 1..=MAX_PINNED {
            match fetcher.document(&mirror.metadata_url(&format!("{version}.root.json")), &request) {
                Ok(Document::Bytes { bytes, .. }) if Sha256::of(&bytes) == pin => return Ok(bytes),
                Ok(_) => last = Some(Ok(version)),
                Err(FetchError::NotFound { .. }) => break,
                Err(error) => {
                    last = Some(Err(error));
                    break;
                }
            }
        }
    }
    let url = config.mirrors.first().map(|mirror| mirror.metadata_url("").to_string()).unwrap_or_default();
    match last {
        Some(Err(error)) => Err(Error::from(error).into()),
        Some(Ok(found)) => Err(FirstInstallError::Pin { url, pin, found }),
        None => Err(FirstInstallError::Pin { url, pin, found: 0 }),
    }
}

/// How many roots are looked through for the pinned one: 256. One key ceremony a year fills that in as many years.
const MAX_PINNED: u64 = 256;
