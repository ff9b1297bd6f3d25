//! An update that was found: what it is, and the download by the cheapest way that works.

use crate::apply::{self, Target, Watch};
use crate::check::{Candidate, Standing};
use crate::config::Config;
use crate::download::{DownloadError, VerifiedFile, download};
use crate::error::Error;
use crate::event::{Event, Phase, Progress};
use crate::install::{Basis, Layout, Plan, Session, Staged};
use crate::route::{Means, Route, RouteKind, routes};
use crate::transport::{Attempt, Document, DocumentRequest, Fetcher, Mirror, Url};
use std::sync::Arc;
use updater_format::bundle::BundleExpectation;
use updater_format::json::{Map, Value};
use updater_format::length::MAX_NOTES;
use updater_format::release::Artifact;
use updater_format::terminal_safe;
use updater_format::{Channel, ComponentName, ReleaseOf, ReleaseVersion, Sha256, UtcTime};

/// A release for this install: a newer one, or an older one to which the publisher takes installs back. Nothing has been downloaded or changed yet.
///
/// ```no_run
/// # fn ask(_: &str) -> bool { true }
/// # fn offer(update: updater_runtime::Update) -> Result<(), updater_runtime::Error> {
/// let bytes = update.route().bytes(); // of the patch, or of the bundle where no patch leads from here
/// println!("{} -> {}, {bytes} bytes", update.from(), update.version());
/// // Fetched now, verified like the release, and harmless on a terminal.
/// if let Some(notes) = update.notes()? {
///     println!("{notes}");
/// }
/// // Its publisher wants nobody to stay with the installed version: not a question, then.
/// if update.is_urgent() || ask("install it?") {
///     update.download(|_progress| {})?.install()?.restart()?.hand_over();
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[must_use = "an update does nothing until it is downloaded and installed"]
pub struct Update {
    pub(crate) config: Arc<Config>,
    pub(crate) layout: Layout,
    /// The component that is updated; `None` for the app itself.
    pub(crate) component: Option<ComponentName>,
    /// The installed version.
    pub(crate) from: ReleaseVersion,
    pub(crate) fetcher: Fetcher,
    pub(crate) mirrors: Vec<Mirror>,
    /// What was installed when this update was chosen.
    pub(crate) basis: Basis,
    pub(crate) candidate: Candidate,
    pub(crate) routes: Vec<Route>,
    pub(crate) standing: Standing,
    pub(crate) now: UtcTime,
}

impl Update {
    /// Lists the ways to a candidate; `None` when it has none, which a signed role cannot cause.
    pub(crate) fn routes_to(candidate: &Candidate) -> Vec<Route> {
        let codecs: Vec<&str> = updater_delta::Codec::announced().collect();
        routes(candidate, &Means { codecs: &codecs, failed: &[] })
    }

    /// Returns the installed version.
    #[must_use]
    pub fn from(&self) -> &ReleaseVersion {
        &self.from
    }

    /// Returns the version that would be installed.
    #[must_use]
    pub fn version(&self) -> &ReleaseVersion {
        &self.candidate.bundle.version
    }

    /// Tells whether the publisher wants nobody to stay with the installed version: it was withdrawn, or is below the floor.
    #[must_use]
    pub fn is_urgent(&self) -> bool {
        !self.standing.is_good()
    }

    /// Returns what is held against the installed version.
    #[must_use]
    pub fn standing(&self) -> &Standing {
        &self.standing
    }

    /// Returns the channel that offers it.
    #[must_use]
    pub fn channel(&self) -> &Channel {
        &self.candidate.channel
    }

    /// Returns the way that is tried first.
    #[must_use]
    pub fn route(&self) -> &Route {
        &self.routes[0]
    }

    /// Returns every way, in the order in which they are tried.
    #[must_use]
    pub fn routes(&self) -> &[Route] {
        &self.routes
    }

    /// Returns what the publisher wants to tell the app: signed, and free in form.
    #[must_use]
    pub fn metadata(&self) -> &Map<String, Value> {
        &self.candidate.bundle.metadata
    }

    /// Fetches the release notes, Markdown; `None` when there are none. Control characters are escaped, so the text may
    /// be printed on a terminal.
    /// # Errors
    /// [`Error::Download`] when no mirror has them as they were signed.
    pub fn notes(&self) -> Result<Option<String>, Error> {
        let Some(notes) = self.candidate.notes.as_ref().filter(|notes| notes.artifact.length <= MAX_NOTES) else {
            return Ok(None);
        };
        let artifact = &notes.artifact;
        let urls = self.urls(artifact);
        let request = DocumentRequest { max_bytes: artifact.length, ..DocumentRequest::default() };
        let bytes = self.fetcher.over_mirrors::<_, DownloadError>(urls.len(), |mirror| {
            let url = &urls[mirror];
            let bytes = match self.fetcher.document(url, &request)? {
                Document::Bytes { bytes, .. } => bytes,
                Document::NotModified => Vec::new(),
            };
            let found = Sha256::of(&bytes);
            if found == artifact.sha256 {
                return Ok(bytes);
            }
            let (url, expected) = (url.clone(), artifact.sha256);
            Err(Attempt::NextMirror(DownloadError::WrongDigest { url, expected, found }))
        })?;
        let text = String::from_utf8_lossy(&bytes);
        Ok(Some(text.lines().map(|line| terminal_safe(line, MAX_NOTES as usize)).collect::<Vec<_>>().join("\n")))
    }

    /// Downloads the new version by the cheapest way that works, puts it together beside the install, checks every file
    /// of it and starts it once to see that it can start. The installed version is not touched.
    ///
    /// A download that was broken off goes on where it stopped. When one way fails, the next one is tried; which one is
    /// taken and why others failed is told to `on_event` of [`Update::download_with_events`] and logged.
    /// # Errors
    /// [`Error::NoRoute`] when all ways failed; [`Error::Install`] when the new version does not start here or another
    /// process is updating; any other error when the disk, the install or the app itself ended it.
    pub fn download(self, on_progress: impl FnMut(Progress)) -> Result<Staged, Error> {
        self.download_with_events(on_progress, |_| {})
    }

    /// As [`Update::download`], and tells which way was chosen, which failed, and why.
    ///
    /// ```no_run
    /// # fn run(update: updater_runtime::Update) -> Result<(), updater_runtime::Error> {
    /// use updater_runtime::Phase;
    ///
    /// let staged = update.download_with_events(
    ///     |progress| {
    ///         if progress.phase == Phase::Download {
    ///             eprint!("\r{} of {} bytes", progress.bytes, progress.total);
    ///         }
    ///     },
    ///     // Also why another way is tried: a patch that does not fit an edited file, for example.
    ///     |event| eprintln!("{event}"),
    /// )?;
    /// staged.install_on_exit()?;
    /// # Ok(())
    /// # }
    /// ```
    /// # Errors
    /// As [`Update::download`].
    pub fn download_with_events(
        self,
        mut on_progress: impl FnMut(Progress),
        mut on_event: impl FnMut(&Event),
    ) -> Result<Staged, Error> {
        let mut tell = |event: Event| {
            log::info!("{event}");
            on_event(&event);
        };
        let version = self.version().clone();
        let mut session = Session::open_for(&self.layout, &self.basis, self.candidate.bundle.epoch, self.now)?;
        let mut last = None;
        for route in &self.routes {
            tell(Event::RouteChosen {
                version: version.clone(),
                name: route.artifact().name.clone(),
                bytes: route.bytes(),
                why: route.why().to_owned(),
            });
            match self.stage(&mut session, route, &mut on_progress) {
                Ok(tree) => {
                    on_progress(Progress::new(Phase::Probe, 0, 1));
                    let staged = self.probe(session, tree)?;
                    on_progress(Progress::new(Phase::Probe, 1, 1));
                    tell(Event::Staged { version });
                    return Ok(staged);
                }
                Err(error) if error.ends_the_update() => return Err(error),
                Err(error) => {
                    tell(Event::RouteFailed { name: route.artifact().name.clone(), why: error.full_message() });
                    last = Some(Box::new(error));
                }
            }
        }
        Err(Error::NoRoute { version, tried: self.routes.len(), source: last })
    }

    fn stage(
        &self,
        session: &mut Session,
        route: &Route,
        on_progress: &mut dyn FnMut(Progress),
    ) -> Result<apply::Tree, Error> {
        let mut file = self.fetch(session, route.artifact(), on_progress)?;
        let bundle = &self.candidate.bundle;
        let target = Target {
            app: self.config.app.clone(),
            component: self.component.clone(),
            version: bundle.version.clone(),
            platform: bundle.platform.clone(),
            bundle: BundleExpectation { manifest: bundle.manifest, unpacked: bundle.unpacked, entries: bundle.files },
        };
        let mut progress = |bytes, total| on_progress(Progress::new(Phase::Apply, bytes, total));
        let mut watch = Watch { progress: &mut progress, cancel: self.fetcher.cancel_token() };
        let tree = match route.kind() {
            RouteKind::Bundle => apply::stage_bundle(session, file.reader()?, &target, &mut watch),
            RouteKind::Patch => apply::stage_patch(session, file.reader()?, self.from(), &target, &mut watch),
        };
        // What was put together is checked; what did not work is of no use either.
        file.discard();
        Ok(tree?)
    }

    fn fetch(
        &self,
        session: &Session,
        artifact: &Artifact,
        on_progress: &mut dyn FnMut(Progress),
    ) -> Result<VerifiedFile, Error> {
        let folder = session.downloads()?;
        Ok(download(&self.fetcher, &folder, artifact, &self.urls(artifact), &mut |progress| {
            on_progress(Progress::new(Phase::Download, progress.bytes, progress.total));
        })?)
    }

    fn urls(&self, artifact: &Artifact) -> Vec<Url> {
        let release = ReleaseOf { component: self.component.as_ref(), version: self.version() };
        let url = |mirror: &Mirror| mirror.target_url(&artifact.name, &artifact.sha256, release);
        self.mirrors.iter().map(url).collect()
    }

    fn probe(&self, session: Session, tree: apply::Tree) -> Result<Staged, Error> {
        let plan =
            Plan { installed: self.from().clone(), trial: self.config.trial, epoch: self.candidate.bundle.epoch };
        Ok(match self.config.probe {
            // The files of a component are not started.
            _ if self.component.is_some() => session.without_probe(tree, &plan)?,
            Some(limit) => session.probe(tree, &plan, limit)?,
            None => session.without_probe(tree, &plan)?,
        })
    }
}
