//! What the commands from `diff` to `publish` have in common: the project with its trust, storage and folders.

mod about;
pub(super) mod diffed;
mod made;
mod open;
mod waiting;

pub(super) use about::AboutArgs;
pub(super) use open::Trusted;
pub(super) use waiting::AFTER_REFRESH;

use super::subject::ComponentArgs;
use super::{KeyArgs, PackageArgs, StorageArgs};
use crate::config::{Project, ProjectError};
use crate::context::Context;
use crate::error::{CommandError, CommandResult, ExitCode};
use crate::hooks::Hooks;
use crate::keys::Keychain;
use crate::plan::{Epoch, Plan, Request};
use crate::repository::state::Expiry;
use crate::repository::{Commit, Lease, RepositoryState};
use crate::steps::bundle::host_triple;
use crate::steps::folders::Folders;
use crate::steps::rehearse::Setup;
use crate::steps::sign::{Publisher, Trust, roles_in_force};
use crate::storage::Storage;
use updater_build::table::Table;
use updater_format::release::ChannelContents;
use updater_format::role::{ChannelRules, Root};
use updater_format::{Channel, ComponentName, Platform, ReleaseVersion};

/// Which channel a release goes to.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Selection")]
pub(super) struct ChannelArgs {
    /// The channel; the table's when not given.
    #[arg(long, value_name = "NAME")]
    channel: Option<Channel>,
}

/// A project at which a release is worked on.
#[derive(Debug)]
pub(super) struct Desk<'a> {
    pub(super) context: &'a Context,
    pub(super) project: Project,
    table: Table,
    pub(super) trust: Trust,
    pub(super) storage: Storage,
    pub(super) state: Option<RepositoryState>,
    /// The newest root that is published, which may be ahead of what its keys have signed; `None` where only what is
    /// complete was read.
    pub(super) newest_root: Option<Root>,
    pub(super) channel: Channel,
    pub(super) folders: Folders,
    /// Programs of the project that run between the steps.
    pub(super) hooks: Hooks,
    /// What the release does to the security counter.
    pub(super) epoch: Epoch,
    /// The component that is worked on; `None` for the app itself.
    pub(super) component: Option<ComponentName>,
}

impl<'a> Desk<'a> {
    /// Opens the same for one component of the app, if one is named.
    pub(super) fn open_for(
        context: &'a Context,
        package: &PackageArgs,
        storage: &StorageArgs,
        channel: &ChannelArgs,
        subject: &ComponentArgs,
    ) -> CommandResult<Self> {
        let mut desk = Self::open(context, package, storage, channel)?;
        if let Some(component) = &subject.component {
            desk.known(component)?;
        }
        desk.component.clone_from(&subject.component);
        Ok(desk)
    }

    /// Returns the version that is worked on: the one that is named, else that of the package or of the component.
    pub(super) fn version_of(&self, named: Option<&ReleaseVersion>) -> CommandResult<ReleaseVersion> {
        let Some(component) = self.component.as_ref().filter(|_| named.is_none()) else {
            return Ok(named.unwrap_or(&self.project.version).clone());
        };
        let mut entries = self.table.components.iter().filter(|entry| entry.name == *component);
        let entry = entries.next().ok_or_else(|| unknown_component(component, &self.components()))?;
        Ok(entry.version(self.project.folder()).map_err(ProjectError::from)?)
    }

    /// Reads again what is published.
    pub(super) fn look_again(&mut self) -> CommandResult {
        self.state = RepositoryState::read(&self.storage, &self.trust.app, &self.trust.root, Expiry::Ignored)?;
        Ok(())
    }

    /// Returns the components of the table, each once.
    pub(super) fn components(&self) -> Vec<ComponentName> {
        let mut names: Vec<_> = self.table.components.iter().map(|component| component.name.clone()).collect();
        names.dedup();
        names
    }

    /// Refuses a component that neither the table has nor the channel lists.
    pub(super) fn known(&self, component: &ComponentName) -> CommandResult {
        let all = self.state.as_ref().and_then(|state| state.channels().get(&self.channel));
        let listed = all.is_some_and(|channel| channel.contents().components.contains_key(component));
        let known = self.components();
        match listed || known.contains(component) {
            true => Ok(()),
            false => Err(unknown_component(component, &known)),
        }
    }

    /// Returns what is worked on, in words: the app, or the app and its component.
    pub(super) fn subject(&self) -> String {
        let app = &self.trust.app;
        self.component.as_ref().map_or_else(|| app.to_string(), |component| format!("{app} {component}"))
    }

    /// Returns what the channel lists now of what is worked on.
    pub(super) fn published(&self) -> Option<&ChannelContents> {
        self.state.as_ref()?.channels().get(&self.channel)?.contents().of(self.component.as_ref())
    }

    /// Returns the rules of the channel for what is worked on.
    pub(super) fn rules(&self) -> Option<&ChannelRules> {
        self.state.as_ref()?.channels().get(&self.channel)?.role().rules_of(self.component.as_ref())
    }

    /// Plans a release.
    pub(super) fn plan(&self, version: &ReleaseVersion, platforms: &[Platform]) -> CommandResult<Plan> {
        let nothing = ChannelRules::default();
        Ok(Plan::new(&self.request(version, platforms), self.published(), self.rules().unwrap_or(&nothing))?)
    }

    /// Returns the triples that the table names.
    pub(super) fn targets(&self) -> &[Platform] {
        &self.table.targets
    }

    /// Returns where clients read; empty when the table does not say.
    pub(super) fn url(&self) -> &str {
        self.table.urls.first().map_or("", |url| url.as_str())
    }

    /// Returns how many releases stay listed.
    pub(super) fn keep(&self) -> u32 {
        self.table.keep
    }

    /// Prepares a change of what is published here.
    pub(super) fn commit<'b>(&'b self, keychain: &'b mut Keychain) -> Commit<'b> {
        Commit {
            storage: &self.storage,
            app: &self.trust.app,
            root: &self.trust.root,
            targets: &self.trust.targets,
            earlier: &self.trust.earlier,
            keychain,
            now: self.context.clock.now(),
            lease: Lease::default(),
            shell: &self.context.shell,
        }
    }

    /// Opens the keys.
    pub(super) fn keychain(&self, keys: &KeyArgs) -> CommandResult<Keychain> {
        let mut keychain = keys.keychain(self.context, &self.trust.app)?;
        let known = roles_in_force(&self.trust, self.state.as_ref());
        if let Ok((root, targets)) = known {
            keychain.learn(root.extension.map(|extension| extension.keys).unwrap_or_default());
            keychain.learn(targets.extension.map(|extension| extension.keys).unwrap_or_default());
        }
        Ok(keychain)
    }

    /// Returns what signing and publishing need.
    pub(super) fn publisher<'b>(&'b self, keychain: &'b mut Keychain) -> Publisher<'b> {
        Publisher {
            trust: &self.trust,
            storage: &self.storage,
            state: self.state.as_ref(),
            keychain,
            now: self.context.clock.now(),
            shell: &self.context.shell,
        }
    }

    /// Runs `with` with a client that is set up for a rehearsal.
    pub(super) fn rehearsing<T>(&self, with: impl FnOnce(&Setup<'_>) -> CommandResult<T>) -> CommandResult<T> {
        let folder = self.folders.root();
        let failed = |source| crate::steps::rehearse::RehearseError::Io { path: folder.to_owned(), source };
        std::fs::create_dir_all(folder).map_err(failed)?;
        let host = host_triple()?;
        with(&Setup {
            app: &self.trust.app,
            channel: &self.channel,
            root: &self.trust.root,
            host: &host,
            probe: self.table.probe,
            app_version: self.component.as_ref().map(|_| &self.project.version),
            clock: self.context.clock,
            folder,
            shell: &self.context.shell,
        })
    }

    fn request(&self, version: &ReleaseVersion, platforms: &[Platform]) -> Request {
        Request {
            app: self.trust.app.clone(),
            component: self.component.clone(),
            channel: self.channel.clone(),
            version: version.clone(),
            platforms: platforms.to_vec(),
            patches_from: self.table.patches_from,
            keep: self.table.keep,
            epoch: self.epoch,
        }
    }
}

/// Refuses a component that there is not.
pub(super) fn unknown_component(component: &ComponentName, known: &[ComponentName]) -> CommandError {
    let names: Vec<&str> = known.iter().map(ComponentName::as_str).collect();
    let hint = match known {
        [] => "describe it as `components` in [package.metadata.updater]; docs/components.md shows how".to_owned(),
        _ => crate::suggest::hint(component.as_str(), &names),
    };
    CommandError::new(ExitCode::Usage, format!("there is no component `{component}`")).hint(hint)
}
