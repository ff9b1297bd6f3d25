//! One look at what is published: believed, read, and held against what is installed.

use super::{State, Updater, state_folder, user_opted_out};
use crate::check::{self, ComponentOf, Decision, Installed, Offer, Rollout, Standing};
use crate::config::Config;
use crate::error::Error;
use crate::install::{self, Basis, InstallError, Layout, Subject};
use crate::install_id::install_id;
use crate::libc_version::libc_version;
use crate::refresh::{Refresh, RefreshError, Refreshed};
use crate::status::{NoUpdate, Status};
use crate::transport::FetchError;
use crate::trust_store::TrustStore;
use crate::update::Update;
use std::sync::Arc;
use updater_format::release::ChannelContents;
use updater_format::role::ChannelRules;
use updater_format::trust::{Rules, TrustedChannel};
use updater_format::{Channel, ComponentName, ReleaseVersion, SignaturePolicy, UtcTime};

/// What a check is about: the app, or one of its components.
pub(crate) struct Looked<'a> {
    /// The component; `None` for the app itself.
    pub(crate) component: Option<&'a ComponentName>,
    /// The installed version; the lowest one when nothing is installed.
    pub(crate) version: &'a ReleaseVersion,
    /// Where it is installed.
    pub(crate) layout: &'a Layout,
    /// What is installed, if that was found out before.
    pub(crate) basis: Option<&'a Basis>,
}

impl Updater {
    /// Looks for a release for the app or for one of its components.
    pub(crate) fn look(&self, subject: &Looked<'_>) -> Result<Status, Error> {
        let (config, app_layout) = match &self.state {
            State::Ready { config, layout, .. } if !user_opted_out() => (config, layout),
            _ => return Ok(self.off()),
        };
        let layout = subject.layout;
        let now = self.now();
        let fetcher = config.make_fetcher(&self.cancel)?;
        let store = TrustStore::new(state_folder(config, app_layout).join("metadata"));
        let refresh = Refresh::new(fetcher.clone(), config.mirrors.clone(), store);
        let rules = Rules { now, policy: SignaturePolicy::default(), app: Some(config.app.clone()) };
        let refreshed = match refresh.run(rules, &config.root) {
            Ok(refreshed) => refreshed,
            Err(error) => return no_answer(error),
        };
        let channels = match read_channels(config, &refreshed) {
            Ok(channels) => channels,
            Err(error) => return no_answer(error),
        };
        let (decision, standing) = decide(config, app_layout, subject, &refreshed, &channels, now);
        let version = || subject.version.clone();
        Ok(match decision {
            Decision::Current if standing.is_good() => Status::NoUpdate(NoUpdate::Current { version: version() }),
            Decision::Withheld(why) if standing.is_good() => Status::NoUpdate(NoUpdate::Withheld(why)),
            Decision::Current => {
                Status::NoUpdate(NoUpdate::Unsupported { version: version(), standing, withheld: None })
            }
            Decision::Withheld(why) => {
                Status::NoUpdate(NoUpdate::Unsupported { version: version(), standing, withheld: Some(why) })
            }
            Decision::Available(_) if layout.subject() == Subject::Own && is_looping(config) => {
                return Err(InstallError::RestartLoop { version: config.version.clone() }.into());
            }
            Decision::Available(candidate) => match layout.obstacle()? {
                Some(obstacle) => {
                    Status::NoUpdate(NoUpdate::Blocked { version: candidate.bundle.version.clone(), obstacle })
                }
                None => Status::Available(Box::new(Update {
                    config: Arc::clone(config),
                    layout: layout.clone(),
                    component: subject.component.cloned(),
                    from: subject.version.clone(),
                    basis: subject.basis.cloned().map_or_else(|| Basis::of(layout), Ok)?,
                    fetcher,
                    mirrors: refreshed.mirrors().to_vec(),
                    routes: Update::routes_to(&candidate),
                    candidate: *candidate,
                    standing,
                    now,
                })),
            },
        })
    }
}

/// Reads the app's channel and those it may fall back to, in this order. A fall-back channel that is gone, stale or
/// broken is passed over: it must not keep the app from the releases of its own channel.
pub(crate) fn read_channels(
    config: &Config,
    refreshed: &Refreshed<'_>,
) -> Result<Vec<(Channel, TrustedChannel)>, RefreshError> {
    let mut channels = vec![(config.channel.clone(), refreshed.channel(&config.channel)?)];
    for channel in &config.fallback {
        match refreshed.channel(channel) {
            Ok(trusted) => channels.push((channel.clone(), trusted)),
            Err(RefreshError::Fetch(error @ FetchError::Cancelled)) => return Err(error.into()),
            Err(error) => log::warn!("the fall-back channel {channel} is passed over: {error}"),
        }
    }
    Ok(channels)
}

fn decide(
    config: &Config,
    app_layout: &Layout,
    subject: &Looked<'_>,
    refreshed: &Refreshed<'_>,
    channels: &[(Channel, TrustedChannel)],
    now: UtcTime,
) -> (Decision, Standing) {
    let (libc, layout, component) = (libc_version(), subject.layout, subject.component);
    let is_first = *subject.version == ReleaseVersion::lowest();
    let no_contents = ChannelContents::default();
    let rules: Vec<ChannelRules> = channels
        .iter()
        .map(|(_, trusted)| {
            let rules = trusted.role().rules_of(component).cloned().unwrap_or_default();
            // A stepping stone is for those who come from before it.
            if is_first { ChannelRules { required: Default::default(), ..rules } } else { rules }
        })
        .collect();
    let offers: Vec<_> = channels
        .iter()
        .zip(&rules)
        .map(|((channel, trusted), rules)| Offer {
            channel,
            contents: trusted.contents().of(component).unwrap_or(&no_contents),
            rules,
            steering: refreshed.set().current_timestamp().steering_of(channel, component),
        })
        .collect();
    let rollout = match config.rollout {
        None if check::needs_install_id(subject.version, &offers) => {
            install_id(&state_folder(config, app_layout)).map_or(Rollout::Last, Rollout::Id)
        }
        None => Rollout::Last,
        Some(rollout) => rollout,
    };
    let installed = Installed {
        app: &config.app,
        version: subject.version,
        platform: &config.platform,
        kind: layout.kind(),
        libc: libc.as_deref(),
        bad: &install::bad_releases(layout, now),
        epoch: install::highest_epoch(layout),
        rollout,
        now,
        component: component.map(|name| ComponentOf { name, app_version: &config.version }),
    };
    // Nothing can be held against what is not there.
    let standing = if is_first { Standing::default() } else { check::standing(&installed, &offers) };
    (check::choose(&installed, &offers), standing)
}

/// Tells the failures that are answers from those that are errors.
fn no_answer(error: RefreshError) -> Result<Status, Error> {
    match error {
        RefreshError::Stale { role, since } => Ok(Status::NoUpdate(NoUpdate::Stale { role, since })),
        RefreshError::Fetch(error) if error.is_offline() => Ok(Status::NoUpdate(NoUpdate::Offline(error))),
        error => Err(error.into()),
    }
}

/// Tells whether this process was restarted from the version that it is: what was published as newer is not.
fn is_looping(config: &Config) -> bool {
    crate::restart::check_loop(&config.version).is_err()
}
