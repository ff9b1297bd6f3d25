//! Where one app stands: its version against what is published, its root and keys, and what was begun and not ended.

use super::{Next, Urgency};
use crate::ceremony::{Cosign, Documents};
use crate::cli::{KeyFolderArgs, StorageArgs, status};
use crate::config::Project;
use crate::context::{Context, Prompts};
use crate::doctor::{Patient, glance, under_way};
use crate::error::CommandResult;
use crate::expiry;
use crate::hooks::Hook;
use crate::keys::{Keychain, Passwords};
use crate::repository::state::Expiry;
use crate::repository::{METADATA, RepositoryError, RepositoryState, Submission};
use crate::shell::Message;
use crate::steps::bundle::Part;
use crate::steps::folders::Folders;
use crate::steps::sign::{Trust, roles_in_force};
use crate::storage::{Service, StorageUri};
use std::collections::BTreeMap;
use std::path::Path;
use updater_build::table::Table;
use updater_format::release::ChannelContents;
use updater_format::role::{Payload as _, RoleName, Root, Targets};
use updater_format::{Channel, Keyring, ReleaseVersion, UtcTime};

/// An app with what is known of it.
pub(super) struct Standing<'a> {
    context: &'a Context,
    project: &'a Project,
    table: &'a Table,
    patient: Patient<'a>,
    /// The address of the storage.
    storage: String,
    /// Whether the storage was looked into.
    looked: bool,
    /// The root and the targets role in force, when they verify.
    roles: Option<(Root, Targets)>,
    keychain: Option<Keychain>,
}

/// Where one app stands.
#[derive(Debug, serde::Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct Overview {
    app: String,
    /// The version in Cargo.toml: the next one to release, or the last one.
    #[cfg_attr(test, schemars(with = "String"))]
    version: ReleaseVersion,
    manifest: String,
    storage: String,
    /// Whether the storage was looked into: a folder always, another one with `--online`.
    looked: bool,
    /// The newest published version of each channel.
    #[cfg_attr(test, schemars(with = "BTreeMap<String, String>"))]
    published: BTreeMap<String, ReleaseVersion>,
    /// Whether the root is for trying out on this machine.
    development: bool,
    /// The version of the root in force; null when it does not verify.
    root: Option<u64>,
    #[cfg_attr(test, schemars(with = "Option<String>"))]
    root_expires: Option<UtcTime>,
    /// The roles that can be signed on this machine.
    can_sign: Vec<String>,
}

impl Message for Overview {
    const REASON: &'static str = "overview";
}

impl<'a> Standing<'a> {
    /// Looks at a project. Nothing of it is sent anywhere unless `online` says so.
    pub(super) fn look(
        context: &'a Context,
        project: &'a Project,
        table: &'a Table,
        online: bool,
        key_dir: Option<&Path>,
    ) -> CommandResult<Self> {
        let keys = KeyFolderArgs { key_dir: key_dir.map(Path::to_owned) }.folder(context, &table.app)?;
        let root = std::fs::read(project.root_file()?).ok();
        let looked = online || is_here(table);
        let storage = match looked {
            true => StorageArgs::default().open(context, project).map_err(|error| error.to_string()),
            false => Err("it was not looked into".to_owned()),
        };
        let name = match &storage {
            Ok(storage) => storage.name().to_owned(),
            Err(_) => table.storage.clone().unwrap_or_default(),
        };
        let state = match (&storage, &root) {
            (Ok(storage), Some(root)) => RepositoryState::read(storage, &table.app, root, Expiry::Ignored).transpose(),
            _ => None,
        };
        let keychain = Keychain::open(keys.clone(), Passwords::none(Prompts::Never)).ok();
        let published = state.as_ref().and_then(|state| state.as_ref().ok());
        let roles = match published {
            Some(state) => Some(((**state.root()).clone(), (**state.targets()).clone())),
            None => Trust::of(project).ok().and_then(|trust| roles_in_force(&trust, None).ok()),
        };
        let patient = Patient { context, project, table, root, keys, storage, state };
        Ok(Self { context, project, table, patient, storage: name, looked, roles, keychain })
    }

    /// Tells the facts.
    pub(super) fn tell(&self) {
        let shell = &self.context.shell;
        let Project { name, version, .. } = self.project;
        let app = &self.table.app;
        let of_app = if app.as_str() == name { String::new() } else { format!(", app {app}") };
        shell.result(format_args!("{name} {version}{of_app}"));
        let published = match (&self.patient.state, self.published().is_empty()) {
            _ if !self.looked => format!("not looked at: {} is on a network", self.storage),
            _ if self.patient.storage.is_err() => "not known: the storage cannot be opened".to_owned(),
            _ if self.patient.root.is_none() => "not known: it is verified by the root, which is missing".to_owned(),
            (Some(Err(RepositoryError::Rotating { .. })), _) => {
                format!("not to be read before the rotation is at its end, in {}", self.storage)
            }
            (Some(Err(RepositoryError::Storage(_))), _) => format!("not known: {} cannot be read", self.storage),
            (Some(Err(_)), _) => format!("not known: what is in {} does not verify", self.storage),
            (_, true) => format!("nothing yet in {}", self.storage),
            (_, false) => {
                let all: Vec<_> =
                    self.published().iter().map(|(channel, newest)| format!("{channel} {newest}")).collect();
                format!("{} in {}", all.join(", "), self.storage)
            }
        };
        shell.result(format_args!("  published  {published}"));
        if let Some((root, _)) = &self.roles {
            let days = expiry::RoleExpiry::of("root", root.expires, self.context.clock.now()).days_left;
            let kind = if self.is_development() { ", for trying out on this machine" } else { "" };
            let left = if days < 0 { "expired".to_owned() } else { format!("in {days} days") };
            shell.result(format_args!("  root       version {}, until {} ({left}){kind}", root.version, root.expires));
        }
        let can_sign = self.can_sign();
        let absent = self.absent();
        let keys = match (can_sign.as_slice(), absent.as_slice()) {
            _ if self.roles.is_none() => {
                "not known without root and targets role, which say whose keys count".to_owned()
            }
            ([], _) => "none of this app here".to_owned(),
            (_, []) => can_sign.join(", "),
            _ => format!("{}; no key here of {}", can_sign.join(", "), absent.join(", ")),
        };
        shell.result(format_args!("  can sign   {keys}"));
        shell.message(&self.overview(can_sign));
    }

    fn overview(&self, can_sign: Vec<String>) -> Overview {
        Overview {
            app: self.table.app.to_string(),
            version: self.project.version.clone(),
            manifest: self.project.manifest.display().to_string(),
            storage: self.storage.clone(),
            looked: self.looked,
            published: self.published(),
            development: self.is_development(),
            root: self.roles.as_ref().map(|(root, _)| root.version),
            root_expires: self.roles.as_ref().map(|(root, _)| root.expires),
            can_sign,
        }
    }

    /// Returns what comes next, in the order in which it was found.
    pub(super) fn next(&self) -> Vec<Next> {
        let mut all = Vec::new();
        let signatures = self.signatures();
        for finding in glance(&self.patient, self.looked) {
            // Whoever has to sign first is told below.
            let for_others = |(channel, _): &(Channel, Next)| finding.what.ends_with(&waits(channel));
            if !(finding.code == "submission-waiting" && signatures.iter().any(for_others)) {
                all.extend(Next::of_finding(&finding));
            }
        }
        all.extend(signatures.into_iter().map(|(_, next)| next));
        if self.patient.published().is_none()
            && let Some((root, targets)) = &self.roles
        {
            let ends = [("root".to_owned(), root.expires), ("targets".to_owned(), targets.expires())];
            all.extend(expiry::near(&ends, self.context.clock.now()).iter().map(Next::of_expiry));
        }
        all.extend(self.ceremony());
        all.extend(self.claimed());
        all.extend(self.owed());
        all.extend(self.release());
        all.extend(self.keys());
        all.extend(self.ship());
        all.extend(self.not_looked());
        all
    }

    /// Returns the newest version of the app in each channel.
    fn published(&self) -> BTreeMap<String, ReleaseVersion> {
        let Some(state) = self.patient.published() else { return BTreeMap::new() };
        let newest = |contents: &ChannelContents| contents.bundles.iter().map(|bundle| bundle.version.clone()).max();
        let channels = state.channels().iter();
        channels.filter_map(|(name, role)| Some((name.to_string(), newest(role.contents())?))).collect()
    }

    fn is_development(&self) -> bool {
        self.roles.as_ref().is_some_and(|(root, _)| root.is_development())
    }

    fn keyrings(&self) -> Vec<(String, &Keyring)> {
        let Some((root, targets)) = &self.roles else { return Vec::new() };
        let fixed = [("root", RoleName::Root), ("targets", RoleName::Targets), ("online", RoleName::Timestamp)];
        let fixed = fixed.into_iter().map(|(name, role)| (name.to_owned(), root.keyring(role)));
        let channels = targets.delegations.iter().flat_map(|delegations| &delegations.roles);
        fixed.chain(channels.map(|role| (role.name.clone(), &role.keyring))).collect()
    }

    fn can_sign(&self) -> Vec<String> {
        let Some(keychain) = &self.keychain else { return Vec::new() };
        let can = self.keyrings().into_iter().filter(|(_, keyring)| keychain.can_sign(keyring));
        can.map(|(role, _)| role).collect()
    }

    /// Returns the roles of which no key is here.
    fn absent(&self) -> Vec<String> {
        let Some(keychain) = &self.keychain else { return Vec::new() };
        let absent = self.keyrings().into_iter().filter(|(_, keyring)| keychain.count(keyring) == 0);
        absent.map(|(role, _)| role).collect()
    }

    /// Who else has to sign what waits of a channel.
    fn signatures(&self) -> Vec<(Channel, Next)> {
        let (Ok(storage), Some((root, targets))) = (&self.patient.storage, &self.roles) else { return Vec::new() };
        let documents = Documents::of(root, targets);
        let mut all = Vec::new();
        for role in targets.delegations.iter().flat_map(|delegations| &delegations.roles) {
            let Ok(channel) = Channel::parse(&role.name) else { continue };
            let published = self.patient.published().and_then(|state| state.channels().get(&channel));
            let Ok(Some(waiting)) = Cosign::find(storage, &channel, &role.keyring, published) else { continue };
            let Some(missing) = waiting.missing(&|key| documents.id_of(key)) else { continue };
            let help = format!("cargo updater release sign --channel {channel}");
            all.push((channel, Next::new("signatures-missing", Urgency::Now, missing.to_string(), help)));
        }
        all
    }

    /// A change of keys that was begun and not ended.
    fn ceremony(&self) -> Option<Next> {
        let finding = under_way(&self.patient)?;
        Some(Next::new(finding.code, Urgency::Now, format!("{}; {}", finding.what, finding.why), finding.cure))
    }

    /// A publish that has taken a number and not ended.
    fn claimed(&self) -> Option<Next> {
        let (storage, state) = (self.patient.storage.as_ref().ok()?, self.patient.published()?);
        let number = |name: &String| name.strip_suffix(".snapshot.json")?.parse::<u64>().ok();
        let newest = storage.list(METADATA).ok()?.iter().filter_map(number).max()?;
        (newest > state.snapshot().version).then(|| {
            let what = format!("a publish has begun snapshot {newest} and not ended; clients see nothing of it");
            Next::new("half-done", Urgency::Now, what, "cargo updater publish, which continues it")
        })
    }

    /// A release whose last hook did not run.
    fn owed(&self) -> Option<Next> {
        let hook = Hook::AfterPublish.name();
        let begins = format!("{}-", self.table.app);
        let entries = std::fs::read_dir(Folders::of(self.project).root().join(hook)).ok()?;
        let mut names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let owed = names.find(|name| name.starts_with(&begins))?;
        let what = format!("the hook {hook} of {owed} has not run to its end");
        Some(Next::new("hook-left-out", Urgency::Now, what, "cargo updater publish, which runs it again"))
    }

    /// What becomes of the version in Cargo.toml.
    fn release(&self) -> Option<Next> {
        if !self.looked {
            // Below all that is known without a network.
            return None;
        }
        // What cannot be read is a finding already.
        if matches!(self.patient.state, Some(Err(_))) || self.patient.storage.is_err() || self.roles.is_none() {
            return None;
        }
        let (version, channel) = (&self.project.version, &self.table.channel);
        if self.is_submitted() {
            return None;
        }
        let published = self.published();
        let listed = self.patient.published().and_then(|state| {
            let role = state.channels().get(channel)?;
            let steering = state.timestamp().steering(channel).cloned().unwrap_or_default();
            let rules = role.role().rules().cloned().unwrap_or_default();
            let releases = status::releases(channel, role.contents(), &rules, &steering);
            releases.into_iter().find(|release| release.version == *version)
        });
        if let Some(release) = listed {
            return Some(match (release.yanked, release.percent) {
                (true, _) => Next::new(
                    "yanked",
                    Urgency::Soon,
                    format!("{version} is yanked in {channel}: nobody is offered it"),
                    "raise `version` in Cargo.toml and publish the repaired release: cargo updater publish",
                ),
                (false, 100..) => Next::new(
                    "next-release",
                    Urgency::WhenWanted,
                    format!("{version} is published in {channel}"),
                    "raise `version` in Cargo.toml for the next release, then `cargo updater publish`",
                ),
                (false, percent) => Next::new(
                    "rollout",
                    Urgency::WhenWanted,
                    format!("{version} is offered to {percent}% of the installs in {channel}"),
                    format!("cargo updater release rollout {version} 100, or `release hold` where a hold is set"),
                ),
            });
        }
        if let Some(newest) = published.get(channel.as_str()).filter(|newest| *newest > version) {
            let what = format!("{channel} has {newest} already, and Cargo.toml says {version}");
            return Some(Next::new("version-behind", Urgency::Soon, what, "raise `version` in Cargo.toml"));
        }
        if let Some((other, _)) = published.iter().find(|(_, newest)| *newest == version) {
            // Whoever follows the app's own channel has not asked for pre-releases.
            if version.is_prerelease() {
                let what = format!("{version} is published in {other}; a pre-release stays out of {channel}");
                let help = format!(
                    "raise `version` in Cargo.toml, then `cargo updater publish --channel {other}` for the next pre-release, \
                     or `cargo updater publish` for the release itself"
                );
                return Some(Next::new("next-release", Urgency::WhenWanted, what, help));
            }
            let what = format!("{version} is in {other} and not in {channel}");
            let help = format!("cargo updater release promote {version} --from {other} --channel {channel}");
            return Some(Next::new("promote", Urgency::WhenWanted, what, help));
        }
        let what = match published.get(channel.as_str()) {
            Some(newest) => format!("{version} is not published; {channel} has {newest}"),
            None => format!("{version} would be the first release in {channel}"),
        };
        let mut others = self.table.channels.iter().map(|entry| &entry.name).filter(|other| *other != channel);
        let publish = match others.next() {
            Some(other) if version.is_prerelease() => format!("cargo updater publish --channel {other}"),
            _ => "cargo updater publish".to_owned(),
        };
        Some(match self.is_bundled() {
            true => Next::new(
                "half-done",
                Urgency::Now,
                format!("{what}; it is bundled here, so a publish may have been stopped"),
                format!("{publish}, which continues"),
            ),
            false => Next::new("publish", Urgency::WhenWanted, what, publish),
        })
    }

    /// What only the storage knows, when it is on a network and nobody wanted to look.
    fn not_looked(&self) -> Option<Next> {
        let (version, storage) = (&self.project.version, &self.storage);
        (!self.looked).then(|| {
            let bundled = if self.is_bundled() { "is bundled here; whether it " } else { "" };
            let what = format!("{version} {bundled}is published is known in {storage} alone, which is on a network");
            let what = if bundled.is_empty() { format!("whether {what}") } else { what };
            let help = "cargo updater --online; `cargo updater publish` looks by itself before it does anything";
            Next::new("not-looked", Urgency::WhenWanted, what, help)
        })
    }

    /// Tells whether the version waits for a key already.
    fn is_submitted(&self) -> bool {
        let Ok(storage) = &self.patient.storage else { return false };
        let name = self.table.channel.as_str();
        let Ok(Some(submission)) = Submission::read(storage, name) else { return false };
        let Ok(role) = submission.parse(storage, name) else { return false };
        let known = self.patient.published().and_then(|state| state.channels().get(&self.table.channel));
        // Unverified: it only decides what is said.
        role.unverified().version > known.map_or(0, |role| role.role().version)
            && ChannelContents::read(&self.table.app, role.unverified())
                .is_ok_and(|contents| contents.bundles.iter().any(|bundle| bundle.version == self.project.version))
    }

    /// Tells whether a bundle of the version lies in the target folder.
    fn is_bundled(&self) -> bool {
        let entries = std::fs::read_dir(Folders::of(self.project).bundles()).into_iter().flatten();
        let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
        let mut parts = paths.filter(|path| path.extension().is_some_and(|ending| ending == "json"));
        parts.any(|path| {
            Part::read(&path).is_ok_and(|part| {
                part.app == self.table.app && part.component.is_none() && part.version == self.project.version
            })
        })
    }

    /// Whether a release could be signed here.
    fn keys(&self) -> Option<Next> {
        let channel = self.table.channel.as_str();
        let (_, keyring) = self.keyrings().into_iter().find(|(role, _)| role == channel)?;
        let here = self.keychain.as_ref().map_or(0, |keychain| keychain.count(keyring));
        (here == 0).then(|| {
            Next::new(
                "no-keys",
                Urgency::WhenWanted,
                format!("no key of the channel {channel} is on this machine, so no release can be signed here"),
                format!(
                    "cargo updater keys import FILE, or publish where the keys are; a lost key is replaced with \
                     `cargo updater keys rotate {channel}`"
                ),
            )
        })
    }

    /// A root for trying out is not one for others.
    fn ship(&self) -> Option<Next> {
        self.is_development().then(|| {
            Next::new(
                "development-root",
                Urgency::WhenWanted,
                "the root is for trying out: apps accept it from this machine only. To ship the app it starts over",
                format!(
                    "remove the folder {} and the table [package.metadata.updater], then `cargo updater init --url URL \
                     --storage fs:PATH`: what is published for trying out stays apart",
                    self.table.root.parent().unwrap_or(Path::new("updater")).display()
                ),
            )
        })
    }
}

/// Tells whether the storage is on this machine, and what belongs to it, too.
fn is_here(table: &Table) -> bool {
    let here = |uri: &Option<String>| match uri.as_deref().map(StorageUri::parse) {
        None => true,
        Some(Ok(uri)) => uri.service() == Service::Folder,
        // Why it is refused is told when it is opened.
        Some(Err(_)) => true,
    };
    here(&table.storage) && here(&table.private_storage)
}

/// How an examination ends its sentence about a role that waits.
fn waits(channel: &Channel) -> String {
    format!("of the role {channel} waits for the online key")
}
