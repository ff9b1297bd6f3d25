//! The settings of an updater: what was compiled in, or what the app says itself.

use crate::cancel::CancelToken;
use crate::check::Rollout;
use crate::clock::Clock;
use crate::embedded::{Embedded, SCHEMA};
use crate::install::{InstallKind, Trial};
use crate::transport::{FetchError, Fetcher, Mirror, RateLimit, Retry, Timeouts, Transport};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use updater_format::{AppId, Channel, FilePath, FormatError, Platform, ReleaseVersion, UtcTime};

/// The settings of an [`Updater`](crate::Updater).
///
/// An app that uses [`updater!`](crate::updater) gets them from `updater-build` and changes what it likes with
/// [`Updater::configure`](crate::Updater::configure). A program that updates something other than itself builds them
/// with [`Config::new`], [`Config::with_executable`], [`Config::with_directory`] and [`Config::with_app_bundle`].
///
/// ```
/// use updater_runtime::{Config, Updater};
///
/// // A program that keeps another one up to date. The root comes by a way that is trusted already.
/// # let root = Vec::new();
/// let config = Config::new(
///     "hello".parse()?,
///     "1.0.0".parse()?,
///     "x86_64-unknown-linux-gnu".parse()?,
///     root,
///     "https://example.com/hello",
/// )?
/// .with_executable("/opt/hello/hello")
/// .with_state_dir("/var/lib/hello-updates")
/// .with_interval(std::time::Duration::from_secs(6 * 60 * 60));
/// // Fails when there is nothing at that path.
/// assert!(Updater::new(config).is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Config {
    pub(crate) app: AppId,
    pub(crate) version: ReleaseVersion,
    pub(crate) platform: Platform,
    pub(crate) channel: Channel,
    pub(crate) fallback: Vec<Channel>,
    pub(crate) mirrors: Vec<Mirror>,
    pub(crate) root: Vec<u8>,
    pub(crate) install: Install,
    pub(crate) trial: Trial,
    pub(crate) probe: Option<Duration>,
    pub(crate) kept_versions: usize,
    pub(crate) rollout: Option<Rollout>,
    pub(crate) build_time: UtcTime,
    pub(crate) clock: Option<Arc<dyn Clock>>,
    pub(crate) state_dir: Option<PathBuf>,
    pub(crate) interval: Duration,
    pub(crate) timeouts: Timeouts,
    pub(crate) retry: Retry,
    pub(crate) rate_limit: Option<RateLimit>,
    pub(crate) transport: Option<Arc<dyn Transport>>,
    #[cfg_attr(not(feature = "http"), expect(dead_code, reason = "read by HTTP alone; features add and never change"))]
    pub(crate) missing_status: Vec<u16>,
    #[cfg(feature = "http")]
    pub(crate) http: HttpSettings,
}

/// HTTP options that are bound to the origins of the mirrors when the transport is made.
#[cfg(feature = "http")]
#[derive(Clone, Default)]
pub(crate) struct HttpSettings {
    pub(crate) proxy: crate::transport::ProxyChoice,
    pub(crate) roots: crate::transport::Roots,
    pub(crate) connect_timeout: Option<Duration>,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) basic_auth: Option<(String, String)>,
}

/// Which files are updated; without a path those of the running program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Install {
    /// One program file.
    Executable {
        /// The file.
        path: Option<PathBuf>,
    },
    /// A whole folder.
    Folder {
        /// Whether it is one of ours or an app bundle.
        kind: InstallKind,
        /// The folder.
        path: Option<PathBuf>,
        /// The program inside.
        entry: FilePath,
    },
}

/// Settings that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A compiled-in value does not parse.
    #[error("the embedded {field} cannot be used")]
    Embedded {
        /// Which field.
        field: &'static str,
        /// What is wrong with it.
        #[source]
        source: FormatError,
    },
    /// The app was built with another version of `updater-build` than of `updater-runtime`.
    #[error("the embedded settings have version {found}, this program reads {SCHEMA}")]
    Schema {
        /// The version found.
        found: u32,
    },
    /// A mirror's URL cannot be used.
    #[error("the repository's URL cannot be used")]
    Url {
        /// What is wrong with it.
        #[source]
        source: FetchError,
    },
    /// No component can be called so.
    #[error("there is no such component")]
    Component {
        /// Which rule the name breaks.
        #[source]
        source: FormatError,
    },
    /// A compiled-in word is not known here.
    #[error("the embedded {field} {found:?} is not known")]
    Unknown {
        /// Which field.
        field: &'static str,
        /// The value found.
        found: &'static str,
    },
}

impl ConfigError {
    /// Returns the next step.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Schema { .. } | Self::Unknown { .. } => {
                "use the same version of updater-build and updater-runtime, then build again"
            }
            Self::Component { .. } => "name it as `components` in [package.metadata.updater] does",
            Self::Embedded { .. } | Self::Url { .. } => {
                "mend the value in [package.metadata.updater], then build again"
            }
        }
    }
}

impl Config {
    /// Reads what `updater-build` compiled in.
    /// # Errors
    /// [`ConfigError`] naming the value that cannot be used.
    pub fn from_embedded(embedded: &Embedded) -> Result<Self, ConfigError> {
        if embedded.schema != SCHEMA {
            return Err(ConfigError::Schema { found: embedded.schema });
        }
        let field = |field| move |source| ConfigError::Embedded { field, source };
        let install = match embedded.install {
            "executable" => Install::Executable { path: None },
            found => {
                let folders = [InstallKind::Directory, InstallKind::AppBundle];
                let kind = folders.into_iter().find(|kind| kind.to_string() == found);
                let kind = kind.ok_or(ConfigError::Unknown { field: "install kind", found })?;
                Install::Folder { kind, path: None, entry: FilePath::parse(embedded.entry).map_err(field("entry"))? }
            }
        };
        let trial = match embedded.trial {
            "start" => Trial::Start,
            "confirm" => Trial::Confirm,
            found => {
                return Err(ConfigError::Unknown { field: "trial mode", found });
            }
        };
        let mirrors: Result<Vec<_>, _> = embedded.urls.iter().map(|url| Mirror::parse(url)).collect();
        let fallback: Result<Vec<_>, _> = embedded.fallback.iter().map(|name| Channel::parse(name)).collect();
        Ok(Self {
            channel: Channel::parse(embedded.channel).map_err(field("channel"))?,
            fallback: fallback.map_err(field("fall-back channel"))?,
            mirrors: mirrors.map_err(|source| ConfigError::Url { source })?,
            install,
            trial,
            build_time: UtcTime::from_unix(embedded.build_time),
            missing_status: embedded.missing_status.to_vec(),
            ..Self::bare(
                AppId::parse(embedded.app).map_err(field("app"))?,
                ReleaseVersion::parse(embedded.version).map_err(field("version"))?,
                Platform::parse(embedded.triple).map_err(field("triple"))?,
                embedded.root.to_vec(),
            )
        })
    }

    /// Makes settings without anything compiled in: for a program that updates another one, and for tests.
    ///
    /// `version` is what is installed now. The trusted root must reach this program by a way that is trusted already.
    /// # Errors
    /// [`ConfigError::Url`] when the URL is not one that this updater talks to.
    pub fn new(
        app: AppId,
        version: ReleaseVersion,
        platform: Platform,
        root: Vec<u8>,
        url: &str,
    ) -> Result<Self, ConfigError> {
        let mirror = Mirror::parse(url).map_err(|source| ConfigError::Url { source })?;
        Ok(Self { mirrors: vec![mirror], ..Self::bare(app, version, platform, root) })
    }

    fn bare(app: AppId, version: ReleaseVersion, platform: Platform, root: Vec<u8>) -> Self {
        Self {
            install: Install::Executable { path: None },
            app,
            version,
            platform,
            channel: Channel::stable(),
            fallback: Vec::new(),
            mirrors: Vec::new(),
            root,
            trial: Trial::Start,
            probe: Some(crate::install::DEFAULT_PROBE_TIME),
            kept_versions: 2,
            rollout: None,
            build_time: UtcTime::from_unix(0),
            clock: None,
            state_dir: None,
            interval: DEFAULT_INTERVAL,
            timeouts: Timeouts::default(),
            retry: Retry::default(),
            rate_limit: None,
            transport: None,
            missing_status: vec![404],
            #[cfg(feature = "http")]
            http: HttpSettings::default(),
        }
    }

    /// Updates the program file at `path` instead of the running one.
    #[must_use]
    pub fn with_executable(self, path: impl Into<PathBuf>) -> Self {
        Self { install: Install::Executable { path: Some(path.into()) }, ..self }
    }

    /// Updates the folder at `path`, whose program is `entry`, instead of the running program.
    #[must_use]
    pub fn with_directory(self, path: impl Into<PathBuf>, entry: FilePath) -> Self {
        Self { install: Install::Folder { kind: InstallKind::Directory, path: Some(path.into()), entry }, ..self }
    }

    /// Updates the app bundle at `path`, a `.app` folder of macOS whose program is `entry` (`Contents/MacOS/NAME`), instead of
    /// the running program.
    #[must_use]
    pub fn with_app_bundle(self, path: impl Into<PathBuf>, entry: FilePath) -> Self {
        Self { install: Install::Folder { kind: InstallKind::AppBundle, path: Some(path.into()), entry }, ..self }
    }

    /// Reads another channel, and in order of preference those it may fall back to. A release of a fall-back channel is
    /// taken when it is newer.
    #[must_use]
    pub fn with_channel(self, channel: Channel, fallback: Vec<Channel>) -> Self {
        Self { channel, fallback, ..self }
    }

    /// Reads from these places, in order; the next one is tried on any failure, failed verification included.
    #[must_use]
    pub fn with_mirrors(self, mirrors: Vec<Mirror>) -> Self {
        Self { mirrors, ..self }
    }

    /// Sets what completes a trial.
    #[must_use]
    pub fn with_trial(self, trial: Trial) -> Self {
        Self { trial, ..self }
    }

    /// Sets which part this copy takes in rollouts, instead of that of the id in its state folder. A publisher who
    /// rehearses takes part in every one.
    #[must_use]
    pub fn with_rollout(self, rollout: Rollout) -> Self {
        Self { rollout: Some(rollout), ..self }
    }

    /// Sets how long a new version may take to answer the probe; `None` installs without one, for programs that do not
    /// contain this library.
    #[must_use]
    pub fn with_probe(self, limit: Option<Duration>) -> Self {
        Self { probe: limit, ..self }
    }

    /// Sets how many versions stay on disk where each has a folder of its own; two at least, which is the default.
    #[must_use]
    pub fn with_kept_versions(self, versions: usize) -> Self {
        Self { kept_versions: versions, ..self }
    }

    /// Keeps trusted metadata and the install id here instead of in the user's state folder.
    #[must_use]
    pub fn with_state_dir(self, dir: impl Into<PathBuf>) -> Self {
        Self { state_dir: Some(dir.into()), ..self }
    }

    /// Sets how often [`Updater::check_if_due`](crate::Updater::check_if_due) asks: default 24 hours, never more often
    /// than hourly. A random tenth is added so that clients spread out.
    #[must_use]
    pub fn with_interval(self, interval: Duration) -> Self {
        Self { interval, ..self }
    }

    /// Sets the time limits of requests.
    ///
    /// ```no_run
    /// # fn with(updater: updater_runtime::Updater) {
    /// use std::time::Duration;
    /// use updater_runtime::transport::Timeouts;
    ///
    /// // A check at the start of a program that must not be held up.
    /// let timeouts = Timeouts { document: Duration::from_secs(3), ..Timeouts::default() };
    /// let updater = updater.configure(|config| config.with_timeouts(timeouts));
    /// # }
    /// ```
    #[must_use]
    pub fn with_timeouts(self, timeouts: Timeouts) -> Self {
        Self { timeouts, ..self }
    }

    /// Sets how often failures that may pass are tried again.
    #[must_use]
    pub fn with_retry(self, retry: Retry) -> Self {
        Self { retry, ..self }
    }

    /// Limits the speed of downloads.
    ///
    /// ```no_run
    /// # fn with(updater: updater_runtime::Updater) {
    /// use updater_runtime::transport::RateLimit;
    ///
    /// let bytes_a_second = 500_000.try_into().expect("not zero");
    /// let updater = updater.configure(|config| config.with_rate_limit(RateLimit::new(bytes_a_second)));
    /// # }
    /// ```
    #[must_use]
    pub fn with_rate_limit(self, rate: RateLimit) -> Self {
        Self { rate_limit: Some(rate), ..self }
    }

    /// Fetches by a network stack of the app's own. The HTTP options do not apply to it.
    #[must_use]
    pub fn with_transport(self, transport: Arc<dyn Transport>) -> Self {
        Self { transport: Some(transport), ..self }
    }

    /// Takes the time from another clock than the system's, for tests and simulations.
    ///
    /// ```no_run
    /// # fn with(updater: updater_runtime::Updater) -> Result<(), Box<dyn std::error::Error>> {
    /// use std::sync::Arc;
    /// use updater_runtime::FixedClock;
    ///
    /// // What will this copy say in a year?
    /// let later = FixedClock("2027-11-20T08:30:00Z".parse()?);
    /// let updater = updater.configure(|config| config.with_clock(Arc::new(later)));
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn with_clock(self, clock: Arc<dyn Clock>) -> Self {
        Self { clock: Some(clock), ..self }
    }

    /// Sets the HTTP statuses by which the storage says that a file does not exist: 404 unless set. 403 belongs here for
    /// a bucket that is known to answer so.
    #[must_use]
    pub fn with_missing_status(self, statuses: Vec<u16>) -> Self {
        Self { missing_status: statuses, ..self }
    }
}

#[cfg(feature = "http")]
impl Config {
    /// Sets the proxy.
    #[must_use]
    pub fn with_proxy(mut self, proxy: crate::transport::ProxyChoice) -> Self {
        self.http.proxy = proxy;
        self
    }

    /// Sets the trusted certificate authorities.
    ///
    /// ```no_run
    /// # fn with(updater: updater_runtime::Updater) -> std::io::Result<()> {
    /// use updater_runtime::transport::{ProxyChoice, Roots};
    ///
    /// // A server of the company's own, never through the proxy of the environment.
    /// let authority = Roots::Only(std::fs::read("company-ca.pem")?);
    /// let updater = updater.configure(|config| config.with_roots(authority).with_proxy(ProxyChoice::Direct));
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn with_roots(mut self, roots: crate::transport::Roots) -> Self {
        self.http.roots = roots;
        self
    }

    /// Sets how long a connection may take to open; 10 seconds unless set.
    #[must_use]
    pub fn with_connect_timeout(mut self, limit: Duration) -> Self {
        self.http.connect_timeout = Some(limit);
        self
    }

    /// Adds a header to every request to a mirror's own host. It is not sent elsewhere, not even after a redirect.
    ///
    /// ```no_run
    /// # fn with(updater: updater_runtime::Updater, token: &str) {
    /// let updater = updater.configure(|config| config.with_header("Authorization", format!("Bearer {token}")));
    /// # }
    /// ```
    #[must_use]
    pub fn with_header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.http.headers.push((name.into(), value.into()));
        self
    }

    /// Sends a user name and password (HTTP basic authentication) to the mirrors' own hosts.
    #[must_use]
    pub fn with_basic_auth(mut self, user: impl Into<String>, password: impl Into<String>) -> Self {
        self.http.basic_auth = Some((user.into(), password.into()));
        self
    }

    /// Makes the transport that these options describe.
    pub(crate) fn make_transport(&self) -> Result<Arc<dyn Transport>, FetchError> {
        use crate::transport::{HttpOptions, HttpTransport, SchemeTransport};
        if let Some(transport) = &self.transport {
            return Ok(Arc::clone(transport));
        }
        if self.mirrors.iter().all(Mirror::is_file) {
            return Ok(Arc::new(SchemeTransport::new(None)));
        }
        let mut options = HttpOptions::default()
            .with_proxy(self.http.proxy.clone())
            .with_roots(self.http.roots.clone())
            .with_missing_status(self.missing_status.clone());
        if let Some(limit) = self.http.connect_timeout {
            options = options.with_connect_timeout(limit);
        }
        for origin in Mirror::origins(&self.mirrors) {
            for (name, value) in &self.http.headers {
                options = options.with_header(origin.clone(), name, value)?;
            }
            if let Some((user, password)) = &self.http.basic_auth {
                options = options.with_basic_auth(origin, user, password)?;
            }
        }
        Ok(Arc::new(SchemeTransport::new(Some(Box::new(HttpTransport::new(options)?)))))
    }
}

#[cfg(not(feature = "http"))]
impl Config {
    /// Returns the app's own transport, else one for `file:` repositories.
    pub(crate) fn make_transport(&self) -> Result<Arc<dyn Transport>, FetchError> {
        Ok(match &self.transport {
            Some(transport) => Arc::clone(transport),
            None => Arc::new(crate::transport::SchemeTransport::new(None)),
        })
    }
}

impl Config {
    /// Makes what fetches by these options, until `cancel` says otherwise.
    pub(crate) fn make_fetcher(&self, cancel: &CancelToken) -> Result<Fetcher, FetchError> {
        Ok(Fetcher::new(self.make_transport()?)
            .with_timeouts(self.timeouts)
            .with_retry(self.retry)
            .with_rate_limit(self.rate_limit.clone())
            .with_cancel(cancel.clone()))
    }
}

impl std::fmt::Debug for Config {
    /// Shows no header, password or proxy: they may be secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Config")
            .field("app", &self.app)
            .field("version", &self.version)
            .field("platform", &self.platform)
            .field("channel", &self.channel)
            .field("fallback", &self.fallback)
            .field("mirrors", &self.mirrors)
            .field("install", &self.install)
            .field("trial", &self.trial)
            .finish_non_exhaustive()
    }
}

/// How often an app that asks at each start really asks.
const DEFAULT_INTERVAL: Duration = Duration::from_secs(24 * 60 * 60);
