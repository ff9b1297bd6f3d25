//! The facade: from the first line of `main` to the answer of a check, one line per step.

use crate::cancel::CancelToken;
use crate::clock::{Clock as _, SystemClock};
use crate::config::{Config, Install};
use crate::embedded::Embedded;
use crate::error::Error;
use crate::install::{self, Basis, Identity, InstallError, InstallKind, Layout, Settled, Subject};
use crate::interval::Schedule;
use crate::state_dir::state_dir;
use crate::status::{NoUpdate, Status};
use std::path::PathBuf;
use std::sync::Arc;
use updater_format::{ReleaseVersion, UtcTime};

mod look;

pub(crate) use look::{Looked, read_channels};

/// Finds and takes updates of one install. Cheap to clone; clones share the cancel token.
#[derive(Debug, Clone)]
pub struct Updater {
    state: State,
    start: Start,
    cancel: CancelToken,
}

#[derive(Debug, Clone)]
enum State {
    Ready {
        config: Arc<Config>,
        layout: Layout,
        /// What another program's install held when this updater was told its version. An app's own version is that of
        /// the running program, which cannot change.
        basis: Option<Basis>,
    },
    Disabled {
        reason: String,
    },
}

/// What the first line of `main` found.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Start {
    /// An ordinary start.
    Ordinary,
    /// This version was new and has completed its trial by starting.
    Completed(ReleaseVersion),
    /// This version is on trial until [`Updater::confirm`].
    OnTrial(ReleaseVersion),
    /// Something that was pending could not be settled; the app goes on with the version that runs.
    Unsettled {
        /// What went wrong, causes included.
        problem: String,
    },
}

impl Updater {
    /// Makes the updater of the running program. Use it through [`updater!`](crate::updater).
    ///
    /// Answers a probe (and ends the process then), finishes what an earlier process left, restarts into the version that
    /// is installed when that is another one, and counts this start if the version is on trial. It never fails: what
    /// cannot work gives a disabled updater. On Windows, where no program can take the place of another, such a restart
    /// waits for the installed version and ends this process with its exit code.
    #[must_use]
    pub fn start(embedded: &Embedded) -> Self {
        let parsed = match embedded.disabled {
            Some(reason) => Err(reason.to_owned()),
            None => Config::from_embedded(embedded).map_err(|error| {
                let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}"));
                format!("{error}{}", cause.unwrap_or_default())
            }),
        };
        let config = match parsed {
            Ok(config) => config,
            Err(reason) => {
                install::refuse_probe();
                return Self::disabled(reason);
            }
        };
        install::answer_probe(&Identity { app: &config.app, version: &config.version, platform: &config.platform });
        let updater = match layout(&config) {
            Ok(layout) => Self::ready(config, layout),
            Err(error) => return Self::disabled(format!("{error}: {}", error.hint())),
        };
        updater.settle()
    }

    /// Makes the updater of another program, from settings of the caller's own. What is pending for that install is
    /// settled first.
    /// # Errors
    /// [`Error::Install`] when there is no install at the configured path, or what is pending there cannot be settled.
    pub fn new(config: Config) -> Result<Self, Error> {
        let layout = layout(&config)?;
        let mut updater = Self::ready(config, layout);
        let now = updater.now();
        if let State::Ready { layout, basis, .. } = &mut updater.state {
            install::settle(layout, now)?;
            if layout.subject() == Subject::Other {
                *basis = Some(Basis::of(layout)?);
            }
        }
        Ok(updater)
    }

    /// Changes settings. The places of the install stay what they are. A disabled updater stays disabled.
    ///
    /// ```no_run
    /// # fn with(updater: updater_runtime::Updater) -> Result<(), Box<dyn std::error::Error>> {
    /// // Testers read another channel, and take a release of `stable` when it is newer.
    /// let (beta, stable) = ("beta".parse()?, "stable".parse()?);
    /// let updater = updater.configure(|config| config.with_channel(beta, vec![stable]));
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn configure(self, change: impl FnOnce(Config) -> Config) -> Self {
        match self.state {
            State::Ready { config, layout, basis } => {
                let config = change(Arc::unwrap_or_clone(config));
                Self { state: State::Ready { config: Arc::new(config), layout, basis }, ..self }
            }
            State::Disabled { .. } => self,
        }
    }

    /// Returns what the first line of `main` found.
    #[must_use]
    pub fn start_report(&self) -> &Start {
        &self.start
    }

    /// Returns why this copy does not update itself, if it does not.
    #[must_use]
    pub fn disabled_reason(&self) -> Option<&str> {
        match &self.state {
            State::Disabled { reason } => Some(reason),
            State::Ready { .. } => None,
        }
    }

    /// Returns the token that ends a check or download of this updater from another thread. Once cancelled, an updater
    /// stays so.
    #[must_use]
    pub fn cancel_token(&self) -> &CancelToken {
        &self.cancel
    }

    /// Asks the repository whether there is an update. Blocks for the time of two or more requests; nothing is installed.
    ///
    /// A user can opt out with the environment variable `UPDATER_DISABLE=1`.
    ///
    /// ```no_run
    /// use updater_runtime::{NoUpdate, Status, Updater};
    ///
    /// # fn look(updater: &Updater) -> Result<(), updater_runtime::Error> {
    /// match updater.check()? {
    ///     Status::Available(update) => println!("{} is out, {} bytes", update.version(), update.route().bytes()),
    ///     Status::NoUpdate(NoUpdate::Current { version }) => println!("{version} is the newest"),
    ///     Status::NoUpdate(why) => println!("no update: {why}"),
    /// }
    /// # Ok(())
    /// # }
    /// ```
    /// # Errors
    /// [`Error::Refresh`] when the metadata cannot be believed or had; being offline and stale metadata are answers and
    /// not errors.
    pub fn check(&self) -> Result<Status, Error> {
        let State::Ready { config, layout, basis } = &self.state else { return Ok(self.off()) };
        let subject = Looked { component: None, version: &config.version, layout, basis: basis.as_ref() };
        self.look(&subject)
    }

    /// Says why nothing is asked.
    fn off(&self) -> Status {
        let reason = self.disabled_reason().unwrap_or("UPDATER_DISABLE is set");
        Status::NoUpdate(NoUpdate::Disabled { reason: reason.to_owned() })
    }

    /// Says that this version is healthy: its trial is over and the version before it is dropped. Does nothing when the
    /// running program is not the one on trial. Returns whether it was. Only with `trial = "confirm"` in the settings there is
    /// something to confirm; without it a version is healthy when it has come to `updater!()`.
    ///
    /// ```no_run
    /// # fn connect() -> std::io::Result<()> { Ok(()) }
    /// # fn serve(updater: &updater_runtime::Updater) -> Result<(), Box<dyn std::error::Error>> {
    /// connect()?; // an error here ends the process, and the second time the version before comes back
    /// updater.confirm()?;
    /// # Ok(())
    /// # }
    /// ```
    /// # Errors
    /// [`Error::Install`] when the journal cannot be written; the trial goes on then.
    pub fn confirm(&self) -> Result<bool, Error> {
        match &self.state {
            State::Ready { layout, .. } => Ok(install::confirm(layout, self.now())?),
            State::Disabled { .. } => Ok(false),
        }
    }

    /// Says that this version does not work: whatever way this process ends, its attempt counts as failed. After the
    /// second failed attempt the version before it is put back.
    pub fn failed(&self) {
        install::failed();
    }

    /// Returns the settings; `None` for a disabled updater.
    pub(crate) fn config(&self) -> Option<&Config> {
        match &self.state {
            State::Ready { config, .. } => Some(config),
            State::Disabled { .. } => None,
        }
    }

    /// Returns where the install lies; `None` for a disabled updater.
    pub(crate) fn layout(&self) -> Option<&Layout> {
        match &self.state {
            State::Ready { layout, .. } => Some(layout),
            State::Disabled { .. } => None,
        }
    }

    /// Returns when this copy asks by itself; `None` when it never does.
    pub(crate) fn schedule(&self) -> Option<Schedule> {
        match &self.state {
            State::Ready { config, layout, .. } if !user_opted_out() => {
                Some(Schedule::new(&state_folder(config, layout), config.interval))
            }
            _ => None,
        }
    }

    /// Returns the same updater under another cancel token.
    pub(crate) fn with_cancel_token(&self, cancel: CancelToken) -> Self {
        Self { cancel, ..self.clone() }
    }

    fn ready(config: Config, layout: Layout) -> Self {
        let state = State::Ready { config: Arc::new(config), layout, basis: None };
        Self { state, start: Start::Ordinary, cancel: CancelToken::new() }
    }

    pub(crate) fn disabled(reason: String) -> Self {
        log::info!("this program does not update itself: {reason}");
        Self { state: State::Disabled { reason }, start: Start::Ordinary, cancel: CancelToken::new() }
    }

    /// Returns the app; none of a disabled updater.
    #[cfg(feature = "policy")]
    pub(crate) fn app(&self) -> Option<&updater_format::AppId> {
        match &self.state {
            State::Ready { config, .. } => Some(&config.app),
            State::Disabled { .. } => None,
        }
    }

    /// Returns the folder with what is kept of the app beside its install; none of a disabled updater.
    #[cfg(feature = "dialogue")]
    pub(crate) fn state_folder(&self) -> Option<PathBuf> {
        match &self.state {
            State::Ready { config, layout, .. } => Some(state_folder(config, layout)),
            State::Disabled { .. } => None,
        }
    }

    /// Settles what is pending, and runs the installed version if this process is another one.
    fn settle(self) -> Self {
        let State::Ready { layout, .. } = &self.state else { return self };
        let start = match install::settle(layout, self.now()) {
            Ok(Settled::Nothing) => Start::Ordinary,
            Ok(Settled::Completed(version)) => Start::Completed(version),
            Ok(Settled::OnTrial(version)) => Start::OnTrial(version),
            Ok(Settled::Updated(installed) | Settled::Repaired(installed)) => restart(installed),
            Ok(Settled::Returned { installed, bad }) => {
                log::warn!("{bad} failed its trial; {} was put back", installed.version());
                restart(installed)
            }
            Err(error) => unsettled(&error),
        };
        Self { start, ..self }
    }

    pub(crate) fn now(&self) -> UtcTime {
        match &self.state {
            State::Ready { config, .. } => match &config.clock {
                Some(clock) => clock.now().max(config.build_time),
                None => SystemClock::new(config.build_time).now(),
            },
            State::Disabled { .. } => SystemClock::new(UtcTime::from_unix(0)).now(),
        }
    }
}

/// Runs the installed version in place of this one; comes back only when that fails.
fn restart(installed: install::Installed) -> Start {
    match installed.restart() {
        Ok(restarted) => restarted.hand_over(),
        Err(error) => unsettled(&error),
    }
}

fn unsettled(error: &InstallError) -> Start {
    let mut problem = error.to_string();
    if let Some(cause) = std::error::Error::source(error) {
        problem = format!("{problem}: {cause}");
    }
    log::warn!("{problem}");
    Start::Unsettled { problem }
}

fn layout(config: &Config) -> Result<Layout, InstallError> {
    let layout = match &config.install {
        Install::Executable { path } => {
            let entry = config.app.to_file_path();
            match path {
                None => Layout::of_running(InstallKind::Executable, &entry),
                Some(path) => Layout::at(InstallKind::Executable, path, &entry),
            }
        }
        Install::Folder { kind, path: None, entry } => Layout::of_running(*kind, entry),
        Install::Folder { kind, path: Some(path), entry } => Layout::at(*kind, path, entry),
    }?;
    Ok(layout.keeping(config.kept_versions))
}

fn state_folder(config: &Config, layout: &Layout) -> PathBuf {
    config.state_dir.clone().unwrap_or_else(|| state_dir(&config.app, layout))
}

/// Tells whether the user of this computer wants no updates.
fn user_opted_out() -> bool {
    std::env::var_os("UPDATER_DISABLE").is_some_and(|value| !value.is_empty() && value != "0")
}
