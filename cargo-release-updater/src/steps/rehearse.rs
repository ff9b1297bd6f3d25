//! The rehearsal: the real client goes from each supported older release to the new one, over loopback, before anything
//! is uploaded.
//!
//! For this machine's triple the update is installed, and the new program is started and asked who it is. For others it
//! goes as far as the staged tree, which the client has checked file by file. The bundle is taken once too, because a
//! patch that works would hide one that does not.

mod component;
mod error;
mod fresh;

pub use error::RehearseError;
pub use fresh::install_fresh;

use super::diff::OldBundle;
use super::sign::SignedRelease;
use crate::context::Clock;
use crate::progress::human_bytes;
use crate::serve::Server;
use crate::shell::{Message, Shell};
use std::path::Path;
use std::sync::Arc;
use updater_format::bundle::read_manifest;
use updater_format::release::BundleEntry;
use updater_format::{AppId, Channel, ComponentName, InstallKind, Manifest, Platform, ReleaseVersion, TargetName};
use updater_runtime::check::{Rollout, Withheld};
use updater_runtime::route::{Route, RouteKind};
use updater_runtime::transport::{
    FetchError, FetchRequest, Fetched, HttpOptions, HttpTransport, ProxyChoice, Transport,
};
use updater_runtime::{Config, DEFAULT_PROBE_TIME, Event, FixedClock, NoUpdate, Status, Updater};

/// How the client is set up.
#[derive(Debug, Clone)]
pub struct Setup<'a> {
    /// The app.
    pub app: &'a AppId,
    /// The channel.
    pub channel: &'a Channel,
    /// The root that clients trust.
    pub root: &'a [u8],
    /// The triple whose programs run here.
    pub host: &'a Platform,
    /// Whether a program is asked who it is before it is installed.
    pub probe: bool,
    /// The version of the app for which components are rehearsed; none when there is no component.
    pub app_version: Option<&'a ReleaseVersion>,
    /// Where the client's time comes from.
    pub clock: Clock,
    /// A folder in which installs are made and removed again.
    pub folder: &'a Path,
    /// Where progress is told.
    pub shell: &'a Shell,
}

/// A signed release that the real client has taken. Made by [`rehearse`] alone; publishing wants one.
#[derive(Debug)]
pub struct Rehearsed {
    signed: SignedRelease,
    runs: Vec<Run>,
}

impl Rehearsed {
    /// Returns the release.
    #[must_use]
    pub fn signed(&self) -> &SignedRelease {
        &self.signed
    }

    /// Returns what was tried.
    #[must_use]
    pub fn runs(&self) -> &[Run] {
        &self.runs
    }
}

/// One update by the real client.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Run {
    /// The component; none for the app itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(with = "Option<String>"))]
    pub component: Option<ComponentName>,
    /// The triple.
    #[cfg_attr(test, schemars(with = "String"))]
    pub platform: Platform,
    /// The release that was installed.
    #[cfg_attr(test, schemars(with = "String"))]
    pub from: ReleaseVersion,
    /// The release that was taken.
    #[cfg_attr(test, schemars(with = "String"))]
    pub to: ReleaseVersion,
    /// Whether a patch or the bundle was downloaded; `None` when the update was not tried.
    pub by: Option<By>,
    /// The bytes that were downloaded.
    pub bytes: u64,
    /// How far it went.
    pub reached: Reached,
}

impl Message for Run {
    const REASON: &'static str = "rehearsed";
}

/// What was downloaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum By {
    /// A patch.
    Patch,
    /// The bundle.
    Bundle,
}

/// How far a rehearsed update went.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Reached {
    /// Staged and checked file by file: the triple is not this machine's.
    Staged,
    /// Installed, and every installed file is the new release's.
    Installed,
    /// Not tried: this machine's C library is older than the release needs.
    NotHere,
}

/// Takes a signed release with the real client, from every older release given.
/// # Errors
/// [`RehearseError`]: the release must not be published.
pub fn rehearse(signed: SignedRelease, old: &[OldBundle], setup: &Setup<'_>) -> Result<Rehearsed, RehearseError> {
    let release = signed.release();
    let bundles: Vec<_> = release.bundles.iter().map(|bundled| bundled.part.entry(0, None)).collect();
    let setup = Setup { root: signed.root(), ..setup.clone() };
    let runs = rehearse_repository(signed.folder(), &bundles, old, &setup)?;
    Ok(Rehearsed { signed, runs })
}

/// Does the same over any repository in a folder that lists these bundles as its newest.
/// # Errors
/// [`RehearseError`] for the first update that did not work.
pub fn rehearse_repository(
    repository: &Path,
    bundles: &[BundleEntry],
    old: &[OldBundle],
    setup: &Setup<'_>,
) -> Result<Vec<Run>, RehearseError> {
    let server = Server::start(repository)?;
    let mut runs = Vec::new();
    for bundle in bundles {
        let mut by_patch = None;
        let mut by_bundle = false;
        for old in old.iter().filter(|old| old.entry.platform == bundle.platform) {
            let run = update(repository, &server, old, bundle, Offer::Everything, setup)?;
            match run.by {
                Some(By::Patch) => by_patch = Some(old),
                Some(By::Bundle) => by_bundle = true,
                None => {}
            }
            tell(&run, setup.shell);
            runs.push(run);
        }
        if let Some(old) = by_patch.filter(|_| !by_bundle) {
            let run = update(repository, &server, old, bundle, Offer::NoPatches, setup)?;
            tell(&run, setup.shell);
            runs.push(run);
        }
    }
    Ok(runs)
}

fn tell(run: &Run, shell: &Shell) {
    let by = match run.by {
        Some(By::Patch) => format!("by patch, {}", human_bytes(run.bytes)),
        Some(By::Bundle) => format!("by bundle, {}", human_bytes(run.bytes)),
        None => "not tried".to_owned(),
    };
    let reached = match run.reached {
        Reached::Staged => "staged and checked",
        Reached::Installed => "installed and checked",
        Reached::NotHere => "this machine's C library is too old for it",
    };
    let component = run.component.as_ref().map(|component| format!("{component} ")).unwrap_or_default();
    shell
        .status("Rehearsed", format_args!("{component}{} -> {} ({}): {by}, {reached}", run.from, run.to, run.platform));
    shell.message(run);
}

/// What the server lets the client have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Offer {
    Everything,
    NoPatches,
}

/// Installs the old release afresh and updates it.
fn update(
    repository: &Path,
    server: &Server,
    old: &OldBundle,
    new: &BundleEntry,
    offer: Offer,
    setup: &Setup<'_>,
) -> Result<Run, RehearseError> {
    if new.component.is_some() {
        return component::update(repository, server, old, new, offer, setup);
    }
    let (from, to) = (&old.entry.version, &new.version);
    let failed = |source| RehearseError::Client { from: from.clone(), to: to.clone(), source: Box::new(source) };
    let temp = tempfile::tempdir_in(setup.folder)
        .map_err(|source| RehearseError::Io { path: setup.folder.to_owned(), source })?;
    let install = temp.path().join(setup.app.as_str());
    let entry = install_fresh(old, &install)?;
    let runs_here = new.platform == *setup.host;
    let config = setup.config(from, &new.platform, server, offer, temp.path()).map_err(failed)?;
    let config = match new.install {
        InstallKind::Executable => config.with_executable(&install),
        InstallKind::AppBundle => config.with_app_bundle(&install, entry),
        _ => config.with_directory(&install, entry),
    };
    let config = config.with_probe((runs_here && setup.probe).then_some(DEFAULT_PROBE_TIME));
    let run = |by, bytes, reached| Run {
        component: None,
        platform: new.platform.clone(),
        from: from.clone(),
        to: to.clone(),
        by,
        bytes,
        reached,
    };
    let update = match Updater::new(config).and_then(|updater| updater.check()).map_err(failed)? {
        Status::Available(update) => update,
        Status::NoUpdate(NoUpdate::Withheld(Withheld::LibcTooOld { .. })) => {
            return Ok(run(None, 0, Reached::NotHere));
        }
        Status::NoUpdate(why) => {
            return Err(RehearseError::NoUpdate { from: from.clone(), to: to.clone(), why: why.to_string() });
        }
    };
    if update.version() != to {
        let found = Box::new(update.version().clone());
        return Err(RehearseError::OtherVersion { from: from.clone(), to: to.clone(), found });
    }
    let mut taken = Taken::new(update.routes(), offer);
    let staged = update.download_with_events(|_| {}, |event| taken.note(event));
    taken.check(from, to)?;
    let staged = staged.map_err(failed)?;
    let (by, bytes) = taken.way();
    if !runs_here {
        drop(staged);
        return Ok(run(Some(by), bytes, Reached::Staged));
    }
    staged.install().map_err(|error| failed(error.into()))?;
    let (before, manifest) = (manifest_in(&old.path)?, manifest_of(repository, new)?);
    fresh::check_installed(&manifest, Some(&before), new.install, &install)?;
    Ok(run(Some(by), bytes, Reached::Installed))
}

impl Setup<'_> {
    /// Makes the settings of a client that asks the rehearsed repository.
    fn config(
        &self,
        version: &ReleaseVersion,
        platform: &Platform,
        server: &Server,
        offer: Offer,
        folder: &Path,
    ) -> Result<Config, updater_runtime::Error> {
        let (app, root) = (self.app.clone(), self.root.to_vec());
        let config = Config::new(app, version.clone(), platform.clone(), root, &server.url())?
            .with_channel(self.channel.clone(), Vec::new())
            .with_state_dir(folder.join("state"))
            // What is rehearsed may be for few installs, or for none yet.
            .with_rollout(Rollout::Every)
            .with_transport(Loopback::new(offer)?);
        Ok(match self.clock {
            Clock::Fixed(now) => config.with_clock(Arc::new(FixedClock(now))),
            Clock::System => config,
        })
    }
}

/// By which way the client went.
struct Taken {
    routes: Vec<Route>,
    offer: Offer,
    name: Option<TargetName>,
    trouble: Option<(TargetName, String)>,
}

impl Taken {
    fn new(routes: &[Route], offer: Offer) -> Self {
        Self { routes: routes.to_vec(), offer, name: None, trouble: None }
    }

    fn note(&mut self, event: &Event) {
        match event {
            Event::RouteChosen { name, .. } => self.name = Some(name.clone()),
            Event::RouteFailed { name, why } if self.offer == Offer::Everything => {
                self.trouble = self.trouble.take().or(Some((name.clone(), why.clone())));
            }
            _ => {}
        }
    }

    /// Refuses a fall back to the bundle: it would hide that the patch is of no use to anybody.
    fn check(&mut self, from: &ReleaseVersion, to: &ReleaseVersion) -> Result<(), RehearseError> {
        match self.trouble.take() {
            Some((name, why)) => {
                Err(RehearseError::Route { from: from.clone(), to: to.clone(), name: Box::new(name), why })
            }
            None => Ok(()),
        }
    }

    fn way(&self) -> (By, u64) {
        let route = self.routes.iter().find(|route| self.name.as_ref() == Some(&route.artifact().name));
        route.map_or((By::Bundle, 0), |route| match route.kind() {
            RouteKind::Patch => (By::Patch, route.bytes()),
            _ => (By::Bundle, route.bytes()),
        })
    }
}

fn manifest_of(repository: &Path, bundle: &BundleEntry) -> Result<Manifest, RehearseError> {
    manifest_in(&repository.join(crate::repository::state::artifact_path(&bundle.artifact)))
}

fn manifest_in(bundle: &Path) -> Result<Manifest, RehearseError> {
    let path = || bundle.to_owned();
    let file = std::fs::File::open(bundle).map_err(|source| RehearseError::Io { path: path(), source })?;
    let (manifest, _) = read_manifest(file).map_err(|source| RehearseError::Bundle { path: path(), source })?;
    Ok(manifest)
}

/// The client's own HTTP transport, never through a proxy, with patches hidden when the bundle is to be taken.
struct Loopback {
    inner: HttpTransport,
    offer: Offer,
}

impl Loopback {
    fn new(offer: Offer) -> Result<Arc<Self>, FetchError> {
        let inner = HttpTransport::new(HttpOptions::default().with_proxy(ProxyChoice::Direct))?;
        Ok(Arc::new(Self { inner, offer }))
    }
}

impl Transport for Loopback {
    fn fetch(&self, request: &FetchRequest) -> Result<Fetched, FetchError> {
        if self.offer == Offer::NoPatches && request.url.expose().ends_with(".patch") {
            return Err(FetchError::NotFound { url: request.url.clone() });
        }
        self.inner.fetch(request)
    }
}

#[cfg(test)]
mod tests;
