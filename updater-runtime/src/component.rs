//! Components: files of an app with versions of their own, replaced while the app runs.
//!
//! A component lives in a folder that the app chooses. The folder holds one whole release at every moment: it is exchanged
//! in one step, journaled as the update of an app is, without probe, trial and restart.

use crate::check::Standing;
use crate::config::ConfigError;
use crate::error::Error;
use crate::event::{Event, Progress};
use crate::install::{self, Basis, InstallError, InstallKind, Layout, Staged};
use crate::route::Route;
use crate::status::{NoUpdate, Status};
use crate::update::Update;
use crate::updater::{Looked, Updater};
use std::path::{Path, PathBuf};
use updater_format::json::{Map, Value};
use updater_format::{Channel, ComponentName, FilePath, ReleaseVersion};

/// One component of an app, in its folder.
///
/// ```no_run
/// # fn main() -> Result<(), updater_runtime::Error> {
/// # let updater: updater_runtime::Updater = unimplemented!();
/// use updater_runtime::ComponentStatus;
///
/// let model = updater.component("model", "/var/lib/hello/model")?;
/// if let ComponentStatus::Available(update) = model.check()? {
///     update.download(|_progress| {})?.install()?; // verified file by file, swapped in one step
/// }
/// println!("model {:?} in {}", model.version()?, model.folder().display());
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Component {
    updater: Updater,
    name: ComponentName,
    layout: Layout,
}

/// The answer of a check of a component.
#[derive(Debug)]
#[must_use]
pub enum ComponentStatus {
    /// There is a newer release for this app, or a first one for an empty folder.
    Available(Box<ComponentUpdate>),
    /// There is none, or it cannot be taken here.
    NoUpdate(NoUpdate),
}

impl ComponentStatus {
    /// Returns the update, if there is one.
    #[must_use]
    pub fn update(self) -> Option<ComponentUpdate> {
        match self {
            Self::Available(update) => Some(*update),
            Self::NoUpdate(_) => None,
        }
    }
}

/// A release of a component. Nothing has been downloaded or changed yet.
#[derive(Debug)]
#[must_use = "an update does nothing until it is downloaded and installed"]
pub struct ComponentUpdate(Update);

/// A release of a component that is complete and verified, beside the installed one. Nothing visible has changed yet.
///
/// While it exists no other process can update this folder. Dropping it changes nothing.
#[derive(Debug)]
#[must_use = "nothing is installed until `install` is called"]
pub struct StagedComponent(Staged);

impl Updater {
    /// Opens a component of this app in its folder, and finishes what an earlier process left there: the folder that a
    /// killed update leaves holds the old release or the new one, whole.
    ///
    /// The folder need not exist yet; the folder that it is to lie in must. What users add to it stays. It should not lie
    /// among the files that the app itself brings.
    /// # Errors
    /// [`Error::Config`] for a name that no component has; [`Error::Install`] when the folder holds something else, or what
    /// is pending there cannot be settled now. The app can read the folder all the same.
    pub fn component(&self, name: &str, folder: impl AsRef<Path>) -> Result<Component, Error> {
        let name = ComponentName::parse(name).map_err(|source| ConfigError::Component { source })?;
        let layout = Layout::of_component(folder.as_ref())?;
        let component = Component { updater: self.clone(), name, layout };
        component.refuse_files_of_the_app()?;
        install::settle_component(&component.layout, self.now())?;
        component.version()?;
        Ok(component)
    }
}

impl Component {
    /// Returns the name.
    #[must_use]
    pub fn name(&self) -> &ComponentName {
        &self.name
    }

    /// Returns the folder, links resolved.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.layout.root()
    }

    /// Returns the version that is in the folder now; `None` when none is.
    /// # Errors
    /// [`Error::Install`] when the folder holds something else.
    pub fn version(&self) -> Result<Option<ReleaseVersion>, Error> {
        let app = self.updater.config().map(|config| &config.app);
        let installed = install::installed_component(&self.layout, app, &self.name)?;
        Ok(installed.map(|manifest| manifest.version().clone()))
    }

    /// Asks the repository whether there is a newer release of this component, or a first one. Blocks for the time of two
    /// or more requests; nothing is installed. What the app itself could update to makes no difference.
    /// # Errors
    /// As [`Updater::check`]; [`Error::Install`] when the folder holds something else.
    pub fn check(&self) -> Result<ComponentStatus, Error> {
        // Before the version: what is installed after this look is noticed before anything is changed.
        let basis = Basis::of(&self.layout)?;
        let version = self.version()?.unwrap_or_else(ReleaseVersion::lowest);
        let looked =
            Looked { component: Some(&self.name), version: &version, layout: &self.layout, basis: Some(&basis) };
        Ok(match self.updater.look(&looked)? {
            Status::Available(update) => ComponentStatus::Available(Box::new(ComponentUpdate(*update))),
            Status::NoUpdate(why) => ComponentStatus::NoUpdate(why),
        })
    }

    /// An update of the app would put its own files back in the place of the component's.
    fn refuse_files_of_the_app(&self) -> Result<(), InstallError> {
        let Some(app) = self.updater.layout().filter(|app| app.kind() != InstallKind::Executable) else {
            return Ok(());
        };
        let Ok(below) = self.layout.root().strip_prefix(app.tree()?) else { return Ok(()) };
        let refuse = |problem: &str| {
            Err(InstallError::NotThisComponent {
                path: self.layout.root().to_owned(),
                component: self.name.clone(),
                problem: problem.to_owned(),
            })
        };
        if app.kind() == InstallKind::AppBundle {
            return refuse("it lies in the app bundle, whose signature it would break");
        }
        let below = crate::fs::slashed(below).and_then(|path| FilePath::parse(&path).ok());
        let owned = match (&below, install::manifest_of(app)?) {
            (Some(path), Some(manifest)) => manifest.has_folder(path) || manifest.find(path).is_some(),
            (Some(_), None) => false,
            // The folder of the app itself, or a name that no release has.
            (None, _) => self.layout.root() == app.root(),
        };
        match owned {
            false => Ok(()),
            true => refuse("the app brings files of its own there"),
        }
    }
}

impl ComponentUpdate {
    /// Returns the installed version; `None` when there is none yet.
    #[must_use]
    pub fn from(&self) -> Option<&ReleaseVersion> {
        Some(self.0.from()).filter(|version| **version != ReleaseVersion::lowest())
    }

    /// Returns the version that would be installed.
    #[must_use]
    pub fn version(&self) -> &ReleaseVersion {
        self.0.version()
    }

    /// Tells whether the publisher wants nobody to stay with the installed version: it was withdrawn, or is below the floor.
    #[must_use]
    pub fn is_urgent(&self) -> bool {
        self.0.is_urgent()
    }

    /// Returns what is held against the installed version.
    #[must_use]
    pub fn standing(&self) -> &Standing {
        self.0.standing()
    }

    /// Returns the channel that offers it.
    #[must_use]
    pub fn channel(&self) -> &Channel {
        self.0.channel()
    }

    /// Returns the way that is tried first.
    #[must_use]
    pub fn route(&self) -> &Route {
        self.0.route()
    }

    /// Returns every way, in the order in which they are tried.
    #[must_use]
    pub fn routes(&self) -> &[Route] {
        self.0.routes()
    }

    /// Returns what the publisher wants to tell the app: signed, and free in form.
    #[must_use]
    pub fn metadata(&self) -> &Map<String, Value> {
        self.0.metadata()
    }

    /// Fetches the release notes, Markdown; `None` when there are none.
    /// # Errors
    /// [`Error::Download`] when no mirror has them as they were signed.
    pub fn notes(&self) -> Result<Option<String>, Error> {
        self.0.notes()
    }

    /// Downloads the new release by the cheapest way that works, and puts it together beside the folder, every file held
    /// against the signed manifest. What is installed is not touched; a folder that is not there yet is made, with nothing
    /// but a manifest in it.
    /// # Errors
    /// As [`Update::download`].
    pub fn download(self, on_progress: impl FnMut(Progress)) -> Result<StagedComponent, Error> {
        self.download_with_events(on_progress, |_| {})
    }

    /// As [`ComponentUpdate::download`], and tells which way was chosen, which failed, and why.
    /// # Errors
    /// As [`ComponentUpdate::download`].
    pub fn download_with_events(
        mut self,
        on_progress: impl FnMut(Progress),
        on_event: impl FnMut(&Event),
    ) -> Result<StagedComponent, Error> {
        if self.from().is_none()
            && let Some(name) = &self.0.component
        {
            install::begin_component(&self.0.layout, &self.0.config.app, name, self.0.now)?;
            let found = install::installed_component(&self.0.layout, Some(&self.0.config.app), name)?;
            if found.is_some() {
                // Another process has installed it meanwhile.
                return Err(InstallError::Changed { path: self.0.layout.root().to_owned() }.into());
            }
            self.0.basis = Basis::of(&self.0.layout)?;
        }
        Ok(StagedComponent(self.0.download_with_events(on_progress, on_event)?))
    }
}

impl StagedComponent {
    /// Returns the version that is staged.
    #[must_use]
    pub fn version(&self) -> &ReleaseVersion {
        self.0.version()
    }

    /// Returns where the verified files lie until they are installed.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.0.path()
    }

    /// Puts the new release in place: checks every staged file again, then one exchange of the folder. Files that are open
    /// stay those of the old release; whatever is opened afterwards is the new one's. Returns the version.
    /// # Errors
    /// As [`Staged::install`]. The old release is in place after each of them.
    pub fn install(self) -> Result<ReleaseVersion, Error> {
        Ok(self.0.install_component()?)
    }
}
