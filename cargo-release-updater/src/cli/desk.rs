//! What the commands from `diff` to `publish` have in common: the project with its trust, storage and folders.

pub(super) mod diffed;
mod open;

pub(super) use open::Trusted;

use super::KeyArgs;
use super::subject::ComponentArgs;
use crate::ceremony::{Cosign, Documents, Missing};
use crate::cli::{PackageArgs, StorageArgs};
use crate::config::{Project, ProjectError};
use crate::context::Context;
use crate::error::{CommandError, CommandResult, ExitCode};
use crate::hooks::Hooks;
use crate::keys::Keychain;
use crate::plan::{Epoch, Plan, Request, stem};
use crate::repository::state::Expiry;
use crate::repository::{Base, Commit, Lease, RepositoryError, RepositoryState, Submission};
use crate::steps::bundle::{Bundled, Part, host_triple};
use crate::steps::diff::{self, DiffLimits, OldBundle, Outcome, Patch};
use crate::steps::fetch::fetch_bundle;
use crate::steps::folders::Folders;
use crate::steps::notes::section;
use crate::steps::rehearse::Setup;
use crate::steps::release::{Notes, Release, ReleaseError};
use crate::steps::sign::{Publisher, Trust, roles_in_force};
use crate::storage::Storage;
use diffed::Diffed;
use std::path::{Path, PathBuf};
use updater_build::table::Table;
use updater_format::json::Value;
use updater_format::release::{BundleEntry, ChannelContents};
use updater_format::role::{ChannelRules, Root};
use updater_format::trust::TrustedChannel;
use updater_format::{Channel, ComponentName, Platform, ReleaseVersion};

/// Which channel a release goes to.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Selection")]
pub(super) struct ChannelArgs {
    /// The channel; the table's when not given.
    #[arg(long, value_name = "NAME")]
    channel: Option<Channel>,
}

/// What is said about a release.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Selection")]
pub(super) struct AboutArgs {
    /// Release notes, a Markdown file; the version's section of CHANGELOG.md when not given.
    #[arg(long, value_name = "FILE")]
    notes: Option<PathBuf>,
    /// Something that the app is to know about the release; may be given several times.
    #[arg(long, value_name = "NAME=TEXT", value_parser = parse_metadata)]
    metadata: Vec<(String, String)>,
}

impl AboutArgs {
    /// Tells whether a file with notes is named.
    pub(super) fn names_notes(&self) -> bool {
        self.notes.is_some()
    }
}

/// Metadata is signed as ASCII, because implementations disagree about everything else.
fn parse_metadata(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("it must be NAME=TEXT")?;
    let is_plain = |text: &str| text.bytes().all(|byte| (b' '..=b'~').contains(&byte));
    match !name.is_empty() && is_plain(name) && is_plain(value) && text.len() <= MAX_METADATA {
        true => Ok((name.to_owned(), value.to_owned())),
        false => Err(format!("name and text must be printable ASCII, {MAX_METADATA} characters at most")),
    }
}

/// What is said of a role that only the online key is missing for.
pub(super) const AFTER_REFRESH: &str = "clients see it when `cargo updater refresh` has run with the online key";
/// The change log, in the package's folder or the workspace's.
const CHANGELOG: &str = "CHANGELOG.md";
/// Every client reads it at each check that finds a release, so longer things belong into the notes.
const MAX_METADATA: usize = 1000;

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

    /// Returns what a submission of the channel lists that waits for the online key.
    pub(super) fn waiting(&self) -> CommandResult<Option<ChannelContents>> {
        let published = self.state.as_ref().and_then(|state| state.channels().get(&self.channel));
        let published = published.map(TrustedChannel::role);
        let name = self.channel.as_str();
        let Some(submission) = Submission::read(&self.storage, name)? else { return Ok(None) };
        let role = submission.parse(&self.storage, name)?;
        let version = role.unverified().version;
        if version <= published.map_or(0, |role| role.version) {
            return Ok(None);
        }
        if submission.base != published.map(Base::of) {
            // Nobody will ever publish it.
            return Err(RepositoryError::BaseChanged { channel: self.channel.clone(), version }.into());
        }
        // Unverified: it only decides that nothing is left to do.
        let contents = ChannelContents::read(&self.trust.app, role.unverified()).ok();
        Ok(contents.and_then(|contents| contents.of(self.component.as_ref()).cloned()))
    }

    /// Tells who still has to sign what waits of a channel; `None` when nothing does, or enough have.
    pub(super) fn missing(&self, channel: &Channel) -> CommandResult<Option<Missing>> {
        let (root, targets) = roles_in_force(&self.trust, self.state.as_ref())?;
        let Some(delegation) = targets.delegation(channel.as_str()) else { return Ok(None) };
        let published = self.state.as_ref().and_then(|state| state.channels().get(channel));
        let documents = Documents::of(&root, &targets);
        Ok(match Cosign::find(&self.storage, channel, &delegation.keyring, published) {
            Ok(Some(waiting)) => waiting.missing(&|key| documents.id_of(key)),
            _ => None,
        })
    }

    /// Says when clients see what was just submitted in a channel.
    pub(super) fn tell_waiting(&self, channel: &Channel) -> CommandResult {
        match self.missing(channel)? {
            Some(missing) => self.context.shell.note(format_args!(
                "{missing}; their holders run `cargo updater release sign --channel {channel}` before clients see it"
            )),
            None => self.context.shell.note(AFTER_REFRESH),
        }
        Ok(())
    }

    /// Returns the rules of the channel for what is worked on.
    pub(super) fn rules(&self) -> Option<&ChannelRules> {
        self.state.as_ref()?.channels().get(&self.channel)?.role().rules_of(self.component.as_ref())
    }

    /// Plans a release.
    pub(super) fn plan(&self, version: &ReleaseVersion, platforms: &[Platform]) -> CommandResult<Plan> {
        Ok(Plan::new(&self.request(version, platforms), self.published())?)
    }

    /// Finds the bundles of a version that were made before.
    pub(super) fn bundles(&self, version: &ReleaseVersion) -> CommandResult<Vec<Bundled>> {
        self.bundles_in(&self.folders.bundles(), version)
    }

    /// Finds the bundles of a version in a folder.
    pub(super) fn bundles_in(&self, folder: &Path, version: &ReleaseVersion) -> CommandResult<Vec<Bundled>> {
        let mut bundles = Vec::new();
        for path in files(folder, "json")? {
            let part = Part::read(&path)?;
            let component = part.component.as_ref().map(|of| &of.name);
            if (&part.app, component, &part.version) == (&self.trust.app, self.component.as_ref(), version) {
                bundles.push(Bundled::read(&path)?);
            }
        }
        match bundles.is_empty() {
            false => Ok(bundles),
            true => Err(CommandError::new(
                ExitCode::Bundle,
                format!("there is no bundle of {} {version} in {}", self.subject(), folder.display()),
            )
            .hint("make it with `cargo updater bundle`")),
        }
    }

    /// Finds the patches to these bundles that were made before.
    pub(super) fn patches(&self, bundles: &[Bundled]) -> CommandResult<Vec<Patch>> {
        let mut patches = Vec::new();
        let begins = format!("{}-", stem(&self.trust.app, self.component.as_ref()));
        for path in files(&self.folders.patches(), "patch")? {
            // Others are not read: a long-lived folder has many.
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let to = |bundled: &Bundled| name.contains(&format!("-to-{}-", bundled.part.version));
            if !name.starts_with(&begins) || !bundles.iter().any(to) {
                continue;
            }
            let entry = diff::entry_of(&path)?;
            let ours = |bundled: &Bundled| {
                let part = &bundled.part;
                (&part.platform, &part.version, part.manifest) == (&entry.platform, &entry.version, entry.manifest)
            };
            // One from a release that the channel does not have would serve nobody.
            let from = |bundle: &BundleEntry| (&bundle.platform, &bundle.version) == (&entry.platform, &entry.from);
            let known = self.published().is_some_and(|published| published.bundles.iter().any(from));
            if known && bundles.iter().any(ours) {
                patches.push(Patch { entry, path });
            }
        }
        Ok(patches)
    }

    /// Fetches the bundles of earlier releases of one triple, in the order of the versions.
    pub(super) fn earlier(&self, platform: &Platform, versions: &[ReleaseVersion]) -> CommandResult<Vec<OldBundle>> {
        let published = self.published().map_or(&[][..], |published| &published.bundles);
        let mut earlier = Vec::new();
        for version in versions {
            let listed = published.iter().find(|bundle| (&bundle.platform, &bundle.version) == (platform, version));
            if let Some(entry) = listed {
                earlier.push(fetch_bundle(entry, &self.storage, &self.folders.cache(), &self.context.shell)?);
            }
        }
        Ok(earlier)
    }

    /// Makes the patches to the bundles of a release and tells what became of each.
    pub(super) fn diff(&self, bundles: &[Bundled], plan: &Plan, limits: DiffLimits) -> CommandResult<Vec<Patch>> {
        self.diff_into(&self.folders.patches(), bundles, plan, limits)
    }

    /// Makes the patches to the bundles of a release into a folder: those of all triples side by side.
    pub(super) fn diff_into(
        &self,
        folder: &Path,
        bundles: &[Bundled],
        plan: &Plan,
        limits: DiffLimits,
    ) -> CommandResult<Vec<Patch>> {
        let earlier = bundles.iter().map(|bundled| {
            let platform = &bundled.part.platform;
            let planned = plan.platforms.iter().find(|planned| planned.platform == *platform);
            self.earlier(platform, planned.map_or(&[][..], |planned| &planned.patches_from))
        });
        let earlier = earlier.collect::<CommandResult<Vec<_>>>()?;
        let pairs: Vec<_> = bundles.iter().zip(earlier.iter().map(Vec::as_slice)).collect();
        let shell = &self.context.shell;
        let mut patches = Vec::new();
        for (bundled, outcomes) in bundles.iter().zip(diff::diff_all(&pairs, folder, limits, shell)?) {
            for outcome in outcomes {
                diff::tell(&outcome, bundled, shell);
                shell.message(&Diffed::of(&outcome, bundled));
                if let Outcome::Kept(patch) = outcome {
                    patches.push(*patch);
                }
            }
        }
        Ok(patches)
    }

    /// Takes the patches that other machines have left beside their bundles. Nothing is believed of them: [`Desk::diff`]
    /// keeps one that leads to the very bundle when it is applied, and makes any other anew.
    pub(super) fn take_patches(&self, folders: &[PathBuf], version: &ReleaseVersion) -> CommandResult {
        let (ours, to) = (format!("{}-", self.trust.app), format!("-to-{version}-"));
        for path in folders.iter().map(|folder| files(folder, "patch")).collect::<CommandResult<Vec<_>>>()?.concat() {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if !name.starts_with(&ours) || !name.contains(&to) {
                continue;
            }
            let copy = self.folders.patches().join(name);
            let failed = |source| diff::DiffStepError::Write { path: copy.clone(), source };
            std::fs::create_dir_all(self.folders.patches()).map_err(failed)?;
            std::fs::copy(&path, &copy).map_err(failed)?;
        }
        Ok(())
    }

    /// Puts a release together.
    pub(super) fn release(
        &self,
        version: &ReleaseVersion,
        bundles: Vec<Bundled>,
        patches: Vec<Patch>,
        about: &AboutArgs,
    ) -> CommandResult<Release> {
        let platforms: Vec<_> = bundles.iter().map(|bundled| bundled.part.platform.clone()).collect();
        let notes = self.notes(version, about)?;
        let metadata = about.metadata.iter().map(|(name, value)| (name.clone(), Value::from(value.as_str()))).collect();
        let released = self.context.clock.now();
        Ok(Release { request: self.request(version, &platforms), bundles, patches, notes, released, metadata })
    }

    /// Finds the notes of a release: the file that is named, else its section in the change log of the package or the
    /// workspace.
    pub(super) fn notes(&self, version: &ReleaseVersion, about: &AboutArgs) -> CommandResult<Option<Notes>> {
        let (app, component) = (&self.trust.app, self.component.as_ref());
        if let Some(path) = &about.notes {
            return Ok(Some(Notes::read(&self.context.path(path), app, component, version)?));
        }
        if component.is_some() {
            // The versions in the change log are those of the app.
            return Ok(None);
        }
        for folder in [self.project.folder(), &self.project.workspace_root] {
            let path = folder.join(CHANGELOG);
            let text = match std::fs::read_to_string(&path) {
                Ok(text) => text,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                Err(source) => return Err(ReleaseError::Notes { path, source }.into()),
            };
            let Some(section) = section(&text, version) else {
                self.context.shell.detail(format_args!("{} has no section for {version}", path.display()));
                return Ok(None);
            };
            let path = self.folders.notes().join(format!("{app}-{version}.md"));
            let failed = |source| ReleaseError::Notes { path: path.clone(), source };
            crate::steps::write_file(&path, format!("{section}\n").as_bytes()).map_err(failed)?;
            return Ok(Some(Notes::read(&path, app, None, version)?));
        }
        Ok(None)
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

/// Lists the files of a folder with an extension, sorted; none when there is no folder.
fn files(folder: &Path, extension: &str) -> CommandResult<Vec<PathBuf>> {
    let failed = |source| crate::steps::bundle::BundleStepError::Read { path: folder.to_owned(), source };
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(error).into()),
    };
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry.map_err(failed)?.path();
        if path.extension().is_some_and(|found| found == extension) {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}
