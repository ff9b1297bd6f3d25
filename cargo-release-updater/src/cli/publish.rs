//! `cargo updater publish`: bundle, diff, sign, rehearse, upload.

mod left_behind;

use self::left_behind::{pass_over, refuse_left_behind};
use super::desk::{AboutArgs, ChannelArgs, Desk};
use super::hooking::AfterPublish;
use super::packages::{PackagesArgs, one_repository_each};
use super::source::{Source, SourceArgs};
use super::subject::SubjectArgs;
use super::{DiffArgs, ExecuteArgs, KeyArgs, PackageArgs, StorageArgs, bundle, page};
use crate::context::{Context, Execute};
use crate::error::{CommandError, CommandResult, ExitCode};
use crate::hooks::Hook;
use crate::plan::{Epoch, Plan};
use crate::preflight::{self, Facts};
use crate::progress::{counted, human_bytes};
use crate::repository::RepositoryState;
use crate::shell::Message;
use crate::steps::bundle::Bundled;
use crate::steps::merge::{MergeError, merge, version_of};
use crate::steps::publish::{Published, publish};
use crate::steps::rehearse::{Rehearsed, rehearse};
use crate::steps::release::{Release, is_listed};
use crate::steps::sign::{keyrings, sign};
use crate::storage::Service;
use crate::verify::{Depth, Verification};
use std::path::PathBuf;
use updater_format::release::ChannelContents;
use updater_format::trust::TrustedChannel;
use updater_format::{Channel, Platform, ReleaseVersion};
use updater_runtime::transport::{Mirror, Url};

/// Build, bundle, diff, sign, rehearse and upload a release.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  cargo updater publish\n  cargo updater publish --dry-run\n  \
                        cargo updater publish --from-dir dist --version 1.4.0 --channel beta\n  \
                        cargo updater publish --merge linux windows mac\n  cargo updater publish --workspace\n\n\
                        Running it again continues an interrupted publish and changes nothing after a finished one.")]
pub(super) struct Args {
    #[command(flatten)]
    packages: PackagesArgs,
    #[command(flatten)]
    source: SourceArgs,
    #[command(flatten)]
    subject: SubjectArgs,
    #[command(flatten)]
    channel: ChannelArgs,
    /// Publish the bundles in these folders, which `bundle --out` has filled on other machines, instead of making any.
    #[arg(long, value_name = "DIR", num_args = 1.., help_heading = "Selection", conflicts_with_all = ["from_dir", "level"])]
    merge: Vec<PathBuf>,
    #[command(flatten)]
    about: AboutArgs,
    /// Make no patches: every client downloads the bundle.
    #[arg(long, help_heading = "Selection")]
    no_patches: bool,
    #[command(flatten)]
    diff: DiffArgs,
    /// Raise the epoch: whoever has completed this release never goes back to an earlier one, not even by a retreat.
    #[arg(long, help_heading = "Selection")]
    raise_epoch: bool,
    /// Publish a release that earlier copies cannot take, because it is installed in another way, or that would lead them to
    /// an address where nothing is found yet.
    #[arg(long, help_heading = "Selection")]
    leave_behind: bool,
    #[command(flatten)]
    storage: StorageArgs,
    #[command(flatten)]
    keys: KeyArgs,
    #[command(flatten)]
    execute: ExecuteArgs,
}

impl Args {
    pub(super) fn run(&self, context: &Context) -> CommandResult {
        let selected = self.packages.each(context)?;
        if selected.len() > 1 {
            self.refuse_for_several()?;
        }
        // What can be seen from outside is refused for all of them before anything is built.
        let open = |package: &PackageArgs| Desk::open(context, package, &self.storage, &self.channel);
        let desks = selected.iter().map(open).collect::<CommandResult<Vec<_>>>()?;
        one_repository_each(desks.iter().map(|desk| (&desk.trust.app, &desk.storage)))?;
        let names: Vec<String> = desks.iter().map(|desk| desk.trust.app.to_string()).collect();
        for (index, desk) in desks.into_iter().enumerate() {
            if let Err(error) = self.publish_app(context, desk) {
                if names.len() > 1 {
                    context.shell.note(format_args!("done: {}; not: {}", told(&names[..index]), told(&names[index..])));
                }
                return Err(error);
            }
        }
        Ok(())
    }

    /// What is said about one release cannot be said about several.
    fn refuse_for_several(&self) -> CommandResult {
        let single = [
            (self.source.is_folder(), "--from-dir"),
            (self.about.names_notes(), "--notes"),
            (self.keys.key_stdin, "--key-stdin"),
            (self.storage.storage.as_ref().is_some_and(|uri| !uri.contains("{app}")), "--storage without {app}"),
        ];
        match single.iter().find(|(given, _)| *given) {
            None => Ok(()),
            Some((_, option)) => {
                Err(CommandError::new(ExitCode::Usage, format!("{option} is for one app, not for several"))
                    .hint("publish the apps one by one with `-p NAME`"))
            }
        }
    }

    /// Publishes an app and its components.
    fn publish_app(&self, context: &Context, mut desk: Desk<'_>) -> CommandResult {
        // A folder is a release of the app, or of the one component that is named.
        let components = match self.source.is_folder() && self.subject.component.is_empty() {
            true => Vec::new(),
            false => desk.components(),
        };
        let named: Vec<_> = self.subject.component.iter().filter(|_| self.source.is_folder()).cloned().collect();
        if named.len() > 1 {
            let what = "one folder cannot be the release of several components";
            return Err(CommandError::new(ExitCode::Usage, what).hint("publish each with its own `--from-dir`"));
        }
        let components = if named.is_empty() { components } else { named };
        let mut is_news = false;
        for subject in self.subject.subjects(&components)? {
            if is_news {
                desk.look_again()?;
            }
            desk.component = subject;
            is_news |= self.publish(context, &mut desk)?;
        }
        Ok(())
    }

    /// Tells whether what is said on the command line about a release is about this one: that of the app, unless a
    /// component is named.
    fn is_meant(&self, desk: &Desk<'_>) -> bool {
        desk.component.is_none() || !self.subject.component.is_empty()
    }

    fn about(&self, desk: &Desk<'_>) -> AboutArgs {
        if self.is_meant(desk) { self.about.clone() } else { AboutArgs::default() }
    }

    /// Publishes the app or one component of it. Returns whether anything was published.
    fn publish(&self, context: &Context, desk: &mut Desk<'_>) -> CommandResult<bool> {
        desk.epoch = if self.raise_epoch && self.is_meant(desk) { Epoch::Raise } else { Epoch::Keep };
        page::check(desk)?;
        let Some(origin) = self.origin(context, desk)? else { return Ok(false) };
        let mut plan = desk.plan(origin.version(), &origin.platforms())?;
        if self.no_patches {
            plan.platforms.iter_mut().for_each(|planned| planned.patches_from.clear());
        }
        if let Some(rules) = desk.rules() {
            plan.rehearse_by(rules);
        }
        let mut keychain = desk.keychain(&self.keys)?;
        let facts = Facts::new(&desk.trust, desk.state.as_ref(), &desk.channel, &keychain, context.clock.now())?;
        preflight::run(&facts, &context.shell)?;
        desk.commit(&mut keychain).refuse_put_back(desk.state.as_ref())?;
        context.shell.message(&plan);
        if self.execute.execute() == Execute::DryRun {
            if let Origin::Source(source) = &origin {
                source.tell_hooks(context)?;
            }
            tell(&plan, desk, context);
            return Ok(false);
        }

        // A wrong password is told before the build and not after it.
        for (role, keyring) in keyrings(&desk.channel, &desk.trust, desk.state.as_ref())? {
            if keychain.count(&keyring) > 0 {
                keychain.some_signers(&role, &keyring)?;
            }
        }
        let Some(release) = self.unpublished(context, desk, origin)? else {
            if let Some(state) = &desk.state {
                desk.commit(&mut keychain).mend_version_files(state)?;
                page::keep_up(context, desk);
            }
            desk.after_publish(&plan, AfterPublish::IfLeftOut)?;
            return Ok(false);
        };
        if !self.leave_behind {
            refuse_left_behind(desk, &release, &plan, context)?;
        }
        pass_over(desk, &release, &mut plan);
        let patches = desk.diff(&release.bundles, &plan, self.diff.limits())?;
        let release = Release { patches, ..release };
        let signed = sign(release, &mut desk.publisher(&mut keychain), &desk.folders.release(&desk.trust.app))?;
        let mut old = Vec::new();
        for planned in &plan.platforms {
            old.extend(desk.earlier(&planned.platform, &planned.rehearsed_from)?);
        }
        let rehearsed = desk.rehearsing(|setup| Ok(rehearse(signed, &old, setup)?))?;
        let (app, version) = (plan.subject(), plan.version.clone());
        let question = format!("Publish {app} {version} in {} to {}?", desk.channel, desk.storage.name());
        self.execute.confirm(context, &question)?;
        desk.before_upload(&plan, &rehearsed)?;
        desk.owe_after_publish(&plan)?;
        let published = publish(&rehearsed, &mut desk.publisher(&mut keychain))?;
        if published.committed.is_waiting() {
            context
                .shell
                .status("Submitted", format_args!("{app} {version} in {}, to {}", desk.channel, desk.storage.name()));
            desk.tell_waiting(&desk.channel)?;
            context.shell.message(&Submitted(Done::of(&plan, &published)));
            return Ok(true);
        }
        page::keep_up(context, desk);
        read_back(desk, &rehearsed, context)?;
        context.shell.status(
            "Published",
            format_args!(
                "{app} {version} in {}: {}, {}, to {}",
                desk.channel,
                counted(published.files, "file"),
                human_bytes(published.bytes),
                desk.storage.name()
            ),
        );
        context.shell.message(&Done::of(&plan, &published));
        desk.after_publish(&plan, AfterPublish::Now)?;
        Ok(true)
    }

    /// Finds out where the bundles come from; `None` when there is nothing of this component to publish.
    fn origin(&self, context: &Context, desk: &Desk<'_>) -> CommandResult<Option<Origin>> {
        let app = &desk.trust.app;
        if !self.merge.is_empty() {
            let folders: Vec<_> = self.merge.iter().map(|folder| context.path(folder)).collect();
            let wanted = match (&desk.component, self.source.target.as_slice()) {
                // For what a component is made, its own table says.
                (Some(_), _) => &[],
                (None, []) => desk.targets(),
                (None, named) => named,
            };
            let merged = merge(&folders, app, desk.component.as_ref(), wanted)?;
            if merged.is_empty() && desk.component.is_some() {
                context.shell.detail(format_args!("no folder has a bundle of {}", desk.subject()));
                return Ok(None);
            }
            let missing = || MergeError::Nothing { folder: folders[0].clone(), app: app.clone() };
            let version = version_of(&merged).ok_or_else(missing)?.clone();
            if self.execute.execute() == Execute::ForReal {
                desk.take_patches(&folders, &version)?;
            }
            return Ok(Some(Origin::Merged(version, merged)));
        }
        if let Some(component) = &desk.component {
            let source = self.source.resolve_component(context, &desk.project, component)?;
            if source.platforms.is_empty() {
                context.shell.detail(format_args!("{} has nothing for these triples", desk.subject()));
                return Ok(None);
            }
            return Ok(Some(Origin::Source(Box::new(source))));
        }
        let source = self.source.resolve(context, Ok(desk.project.clone()))?;
        if source.app != *app {
            let what = format!("this project publishes {app}, not {}", source.app);
            return Err(CommandError::new(ExitCode::Usage, what).hint("leave `--app` out"));
        }
        Ok(Some(Origin::Source(Box::new(source))))
    }

    /// Makes the bundles, unless the very same release is published or waits already: then says so.
    fn unpublished(&self, context: &Context, desk: &Desk<'_>, origin: Origin) -> CommandResult<Option<Release>> {
        let (app, version, about) = (desk.subject(), origin.version().clone(), self.about(desk));
        let unchanged = |how: &str| {
            context.shell.status("Unchanged", format_args!("{app} {version} {how}"));
            Ok(None)
        };
        let published = format!("is published in {} already", desk.channel);
        let waits = match desk.missing(&desk.channel)? {
            Some(missing) => format!("waits in {}: {missing}", desk.channel),
            None => format!("waits for the online key in {}", desk.channel),
        };
        let still_waits = || {
            let unchanged = unchanged(&waits);
            desk.tell_waiting(&desk.channel)?;
            unchanged
        };
        let waiting = desk.waiting()?;
        let bundles = match origin {
            Origin::Merged(_, merged) => merged,
            Origin::Source(source) => {
                let gathered = source.platforms.iter().map(|platform| source.gather(context, platform));
                let gathered = gathered.collect::<CommandResult<Vec<_>>>()?;
                let notes = desk.notes(&version, &about)?;
                // Packing takes longest, so what can be known is known before.
                let is_same = |listed: &ChannelContents| -> CommandResult<bool> {
                    let mut same = notes.as_ref().is_none_or(|notes| listed.notes.contains(&notes.entry));
                    for contents in &gathered {
                        same &= is_listed(contents, &desk.channel, listed)?;
                    }
                    Ok(same)
                };
                if desk.published().map(is_same).transpose()? == Some(true) {
                    return unchanged(&published);
                }
                if waiting.as_ref().map(is_same).transpose()? == Some(true) {
                    return still_waits();
                }
                let mut bundles = Vec::new();
                for contents in &gathered {
                    let bundled = source.pack(context, contents, &desk.folders.bundles())?;
                    bundle::tell(&bundled, context);
                    bundles.push(bundled);
                }
                bundles
            }
        };
        let release = desk.release(&version, bundles, Vec::new(), &about)?;
        release.check_bytes(desk.published())?;
        if desk.published().is_some_and(|published| release.is_published(published)) {
            return unchanged(&published);
        }
        if waiting.is_some_and(|waiting| release.is_published(&waiting)) {
            return still_waits();
        }
        Ok(Some(release))
    }
}

/// Where the bundles of a release come from.
enum Origin {
    Source(Box<Source>),
    /// Other machines have made them.
    Merged(ReleaseVersion, Vec<Bundled>),
}

impl Origin {
    fn version(&self) -> &ReleaseVersion {
        match self {
            Self::Source(source) => &source.version,
            Self::Merged(version, _) => version,
        }
    }

    fn platforms(&self) -> Vec<Platform> {
        match self {
            Self::Source(source) => source.platforms.clone(),
            Self::Merged(_, merged) => merged.iter().map(|bundled| bundled.part.platform.clone()).collect(),
        }
    }
}

fn told(names: &[String]) -> String {
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

/// Tells what would be done, in the order in which it would be.
fn tell(plan: &Plan, desk: &Desk<'_>, context: &Context) {
    if desk.epoch == Epoch::Raise {
        context
            .shell
            .status("Raise", format_args!("the epoch to {}: nobody goes back from {}", plan.epoch, plan.version));
    }
    for (verb, what) in plan.lines() {
        context.shell.status(verb, what);
    }
    for hook in [Hook::BeforeUpload, Hook::Upload, Hook::AfterPublish] {
        if hook != Hook::Upload || desk.storage.service() == Service::Command {
            desk.hooks.tell(hook, &context.shell);
        }
    }
    context.shell.note(format_args!("dry run: nothing was changed in {}", desk.storage.name()));
}

/// Reads everything that was uploaded as a client does: success is told only of what can be had.
fn read_back(desk: &Desk<'_>, rehearsed: &Rehearsed, context: &Context) -> CommandResult {
    let Some(folder) = desk.storage.folder() else { return Ok(()) };
    // Clients of another channel may be stuck, and this release is out all the same: every document of it was read back
    // by the commit, and every file by its upload.
    let expired = |state: &RepositoryState| {
        let now = context.clock.now();
        let near = |(channel, role): (&Channel, &TrustedChannel)| {
            let since = role.role().expires;
            (*channel != desk.channel && since <= now).then(|| (channel.clone(), since))
        };
        state.channels().iter().find_map(near)
    };
    if let Some((channel, since)) = desk.state.as_ref().and_then(expired) {
        context.shell.warn(format_args!(
            "the channel {channel} expired on {since}; renew it with `cargo updater keys renew {channel}`"
        ));
        return Ok(());
    }
    let folder = crate::init::absolute(&context.working_dir, folder);
    let url = Url::from_path(&folder).map_err(|error| {
        CommandError::new(ExitCode::Storage, error)
            .hint(format!("{} cannot be written as an address; publish into another folder", folder.display()))
    })?;
    let verification = Verification {
        url: &url,
        mirror: &Mirror::new(&url),
        root: &desk.trust.root,
        app: Some(desk.trust.app.clone()),
        now: context.clock.now(),
        missing_status: &[404],
        depth: Depth::Files,
        save: None,
        attestation: None,
        shell: &context.shell,
    };
    let release = rehearsed.signed().release();
    let ours = |name: &str| {
        release.bundles.iter().any(|bundled| bundled.part.file.as_str() == name)
            || release.patches.iter().any(|patch| patch.entry.artifact.name.as_str() == name)
            || release.notes.iter().any(|notes| notes.entry.artifact.name.as_str() == name)
    };
    verification.run(ours, |checked| {
        if let Some(problem) = &checked.problem {
            context.shell.warn(format_args!("{}: {problem}", checked.file));
        }
    })?;
    Ok(())
}

/// A release was published.
#[derive(serde::Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct Done {
    app: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    component: Option<String>,
    version: String,
    channel: String,
    files: usize,
    bytes: u64,
    role: u64,
    snapshot: u64,
    timestamp: u64,
}

impl Message for Done {
    const REASON: &'static str = "published";
}

/// A release was signed and waits for the online key.
#[derive(serde::Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(transparent)]
pub(super) struct Submitted(Done);

impl Message for Submitted {
    const REASON: &'static str = "submitted";
}

impl Done {
    fn of(plan: &Plan, published: &Published) -> Self {
        Self {
            app: plan.app.to_string(),
            component: plan.component.as_ref().map(ToString::to_string),
            version: plan.version.to_string(),
            channel: plan.channel.to_string(),
            files: published.files,
            bytes: published.bytes,
            role: published.committed.role,
            snapshot: published.committed.snapshot,
            timestamp: published.committed.timestamp,
        }
    }
}
