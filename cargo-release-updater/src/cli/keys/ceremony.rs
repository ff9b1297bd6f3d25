//! `cargo updater keys rotate`, `renew` and `resume`: ceremonies that may be stopped anywhere and gone on with.

use super::abort::abort;
use super::advance::advance;
use super::ask;
use crate::ceremony::{Ceremony, CeremonyError, Documents, Folder, KeyChange, Maker, Request, Rotation, Task, begin};
use crate::cli::desk::{Desk, Trusted};
use crate::cli::{ExecuteArgs, KeyArgs, PackageArgs, StorageArgs};
use crate::context::{Context, Execute};
use crate::error::{CommandError, CommandResult, ExitCode};
use crate::keys::{KeyFile, KeyFolder, KeyRole, Keychain, lost, public_line};
use crate::repository::{RepositoryError, refuse_older, refuse_other_root};
use crate::steps::sign::newest_roles;
use std::path::PathBuf;
use updater_format::role::{RoleName, Root, Targets};
use updater_format::signed::{Signed, Untrusted};
use updater_format::{Channel, Keyring, PublicKey};

/// What every step of a ceremony takes.
#[derive(Debug, Clone, Default, clap::Args)]
pub(super) struct CeremonyArgs {
    #[command(flatten)]
    package: PackageArgs,
    #[command(flatten)]
    storage: StorageArgs,
    #[command(flatten)]
    pub(super) keys: KeyArgs,
    #[command(flatten)]
    pub(super) execute: ExecuteArgs,
    /// How many seconds caches may go on saying that there is no newer root, before new keys are used. 0 for a stolen
    /// key.
    #[arg(long, value_name = "SECONDS", default_value_t = 300, value_parser = clap::value_parser!(u64).range(0..=86_400), help_heading = "Signing")]
    pub(super) wait: u64,
    /// Do not sit that time out: end with exit code 11, and go on when called again.
    #[arg(long, help_heading = "Signing")]
    pub(super) later: bool,
    /// The storage was put back from an old copy on purpose: what it lacks of the project's own root and targets role is no
    /// reason to stop. With FILE the root of that time, where the project does not keep it.
    #[arg(long, value_name = "FILE", num_args = 0..=1, require_equals = true, help_heading = "Storage")]
    restored: Option<Option<PathBuf>>,
}

/// Give a role other keys: makes or takes them, drafts what has to be signed, and goes as far as the keys that are here
/// allow.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  cargo updater keys rotate online\n  cargo updater keys rotate online --wait 0\n  \
                        cargo updater keys rotate root --add --with anna.pub --with bert.pub --threshold 2\n\n\
                        The same command, or `cargo updater keys resume`, goes on where it was stopped or had to wait \
                        (exit code 11)."
)]
pub(super) struct RotateArgs {
    /// `root`, `targets`, `online`, or a channel; asked for on a terminal.
    #[arg(value_name = "ROLE")]
    role: Option<KeyRole>,
    /// The key that goes, by minisign's id; the only one of the role when not given.
    #[arg(long, value_name = "ID", help_heading = "Selection", conflicts_with = "add")]
    replace: Vec<String>,
    /// Keep the keys that the role has.
    #[arg(long, help_heading = "Selection")]
    add: bool,
    /// A public key that somebody else made; a new key is made here when none is given.
    #[arg(long, value_name = "PUB", help_heading = "Signing")]
    with: Vec<PathBuf>,
    /// How many must sign from now on.
    #[arg(long, value_name = "N", help_heading = "Signing")]
    threshold: Option<u32>,
    /// Who holds the new keys: ASCII, published.
    #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true, help_heading = "Signing")]
    owner: String,
    /// Do not protect the new key with a password: whoever reads the file can sign.
    #[arg(long, help_heading = "Signing", conflicts_with = "password_stdin")]
    no_password: bool,
    #[command(flatten)]
    ceremony: CeremonyArgs,
}

/// Give roles a new term with the same keys.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  cargo updater keys renew root\n  cargo updater keys renew root targets\n  cargo updater keys renew stable"
)]
pub(super) struct RenewArgs {
    /// `root`, `targets`, or one channel.
    #[arg(required = true, value_name = "ROLE")]
    roles: Vec<KeyRole>,
    #[command(flatten)]
    ceremony: CeremonyArgs,
}

/// Go on with a ceremony, as far as the keys that are here allow.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  cargo updater keys resume\n  cargo updater keys resume --abort")]
pub(super) struct ResumeArgs {
    /// Drop the drafts, their signatures, and the key that was made for them. What is published stays published.
    #[arg(long, help_heading = "Selection")]
    abort: bool,
    #[command(flatten)]
    ceremony: CeremonyArgs,
}

impl CeremonyArgs {
    fn desk<'a>(&self, context: &'a Context) -> CommandResult<Desk<'a>> {
        let trusted = match &self.restored {
            None => Trusted::Project,
            Some(None) => Trusted::Earliest,
            Some(Some(path)) => Trusted::Named(context.path(path)),
        };
        Desk::open_behind(context, &self.package, &self.storage, &trusted)
    }

    /// Opens the project and the drafts of the ceremony that is under way.
    pub(super) fn under_way<'a>(&self, context: &'a Context) -> CommandResult<(Desk<'a>, Ceremony)> {
        let desk = self.desk(context)?;
        let folder = Folder::beside(&desk.project.root_file()?);
        let request = folder.request()?.filter(|request| request.drafted).ok_or(CeremonyError::None)?;
        let ceremony = Ceremony::load(folder, request, in_force(&desk)?, context.clock.now())?;
        Ok((desk, ceremony))
    }

    /// Goes on with a request from where it stands. `keychain` is opened when it is needed, unless it is already.
    fn go_on(
        &self,
        context: &Context,
        desk: &Desk<'_>,
        keychain: Option<Keychain>,
        folder: Folder,
        mut request: Request,
    ) -> CommandResult {
        if request.settling {
            if self.execute.execute() == Execute::DryRun {
                context.shell.status("Would settle", format_args!("what is published of {}", desk.trust.app));
                context.shell.note("dry run: the project's files and the drafts stay as they are");
                return Ok(());
            }
            // The project's files do not fit each other now, so that nothing can be verified by them.
            return super::advance::settle_only(context, desk, &folder);
        }
        let (root, targets) = in_force(desk)?;
        let mut keychain = keychain.map_or_else(|| desk.keychain(&self.keys), Ok)?;
        if !request.drafted {
            self.refuse_older(context, desk, &root)?;
            prove_password(&mut keychain, &request.task, &root, &targets)?;
            let passwords = self.keys.passwords(context)?;
            let keys = self.folder(context, desk, &root)?;
            if matches!(&request.task, Task::Rotate(Rotation { key: Some(_), .. })) {
                crate::init::cover_keys(context, Some(&desk.project), &keys)?;
            }
            let mut maker = Maker { app: &desk.trust.app, keys: &keys, passwords, shell: &context.shell };
            begin(&folder, &mut request, (&root, &targets), &mut maker, context.clock.now())?;
            keychain.look_again()?;
        }
        let ceremony = Ceremony::load(folder, request, (root, targets), context.clock.now())?;
        advance(context, desk, keychain, ceremony, self)
    }

    /// Begins what is asked for, or goes on with it. `check` looks whether it can be done at all.
    fn ask_for(
        &self,
        context: &Context,
        desk: &Desk<'_>,
        task: Task,
        check: impl FnOnce(&Root, &Targets) -> CommandResult<Task>,
    ) -> CommandResult {
        let folder = Folder::beside(&desk.project.root_file()?);
        let mut keychain = None;
        let request = match folder.request()? {
            Some(request) if request.asks_the_same(&task) => {
                context.shell.status("Continuing", format_args!("the ceremony in {}", folder.path().display()));
                request
            }
            Some(_) => return Err(CeremonyError::UnderWay { folder: folder.path().to_owned() }.into()),
            None => {
                let (root, targets) = in_force(desk)?;
                self.refuse_older(context, desk, &root)?;
                let request = Request::new(check(&root, &targets)?);
                if self.execute.execute() == Execute::ForReal {
                    // Before a key is made with a password that was mistyped.
                    let mut opened = desk.keychain(&self.keys)?;
                    prove_password(&mut opened, &request.task, &root, &targets)?;
                    self.tell_absent(context, &opened, &request.task, &root)?;
                    folder.set_request(&request)?;
                    keychain = Some(opened);
                }
                request
            }
        };
        if self.execute.execute() == Execute::DryRun && !request.drafted {
            context.shell.status("Would draft", format_args!("{} of {}", request.task, desk.trust.app));
            context.shell.note("dry run: no key is made, nothing is signed");
            return Ok(());
        }
        self.go_on(context, desk, keychain, folder, request)
    }

    /// Tells which keys that have to sign are not here, before anything is made: drafts without them are of use only when others
    /// hold them.
    fn tell_absent(&self, context: &Context, keychain: &Keychain, task: &Task, root: &Root) -> CommandResult {
        for (role, keyring) in task.signed_by(root) {
            if keychain.count(keyring) == 0 {
                context.shell.note(format_args!(
                    "no key of the role {role} is on this machine, and it has to sign this: right when others hold it, for whom the \
                     drafts then wait; if it is lost: {}",
                    lost(role.as_str())
                ));
                self.execute.confirm(context, "Draft it, for others to sign?")?;
            }
        }
        Ok(())
    }

    /// Refuses to draft on top of a storage that was put back: this machine's record and the project's own targets role tell.
    fn refuse_older(&self, context: &Context, desk: &Desk<'_>, root: &Root) -> CommandResult {
        if self.restored.is_none() {
            refuse_other_root(&desk.storage, &desk.trust.root)?;
        }
        // Trying out on one machine means emptying folders.
        if !root.is_development() {
            refuse_older(&desk.storage, &self.keys.folder(context, &desk.trust.app)?, desk.state.as_ref())?;
        }
        let Some(state) = desk.state.as_ref().filter(|_| self.restored.is_none()) else { return Ok(()) };
        let project = Signed::<Targets>::parse(&Untrusted::new(&*desk.trust.targets));
        let (project, published) = (project.map_or(0, |targets| targets.unverified().version), state.targets().version);
        match project > published {
            true => {
                let storage = desk.storage.name().to_owned();
                Err(CeremonyError::StorageOlder { project, published, storage }.into())
            }
            false => Ok(()),
        }
    }

    pub(super) fn folder(&self, context: &Context, desk: &Desk<'_>, root: &Root) -> CommandResult<KeyFolder> {
        let folder = self.keys.folder(context, &desk.trust.app)?;
        Ok(if root.is_development() { folder.development() } else { folder })
    }
}

impl RotateArgs {
    pub(super) fn run(&self, context: &Context) -> CommandResult {
        let desk = self.ceremony.desk(context)?;
        let role = match &self.role {
            Some(role) => role.clone(),
            None => ask::role(context, &desk)?,
        };
        let mut with = Vec::new();
        for path in &self.with {
            with.push(public_line(&KeyFile::read(&context.path(path))?.public));
        }
        let rotation = Rotation {
            role: role.as_str().to_owned(),
            replace: self.replace.clone(),
            add: self.add,
            with,
            threshold: self.threshold,
            owner: self.owner.clone(),
            remove: Vec::new(),
            key: None,
            plain: false,
            made: None,
        };
        let check = |root: &Root, targets: &Targets| {
            let keyring = keyring_of(&desk, &role, root, targets)?;
            let ids = keyring.as_ref().map(|keyring| Documents::of(root, targets).ids(keyring)).unwrap_or_default();
            let remove = match (self.add, self.replace.as_slice(), ids.as_slice()) {
                (true, ..) => Vec::new(),
                // A channel that is to come.
                (false, [], []) => Vec::new(),
                (false, [], [only]) => vec![only.clone()],
                (false, [], _) => vec![ask::which(context, &role, &ids)?],
                (false, named, _) => named.to_vec(),
            };
            let key = match self.with.is_empty() {
                true => Some(self.ceremony.folder(context, &desk, root)?.next_name(&role)),
                false => None,
            };
            let plain = self.no_password || root.is_development();
            let rotation = Rotation { remove, key, plain, ..rotation.clone() };
            KeyChange::check(&rotation, keyring.as_ref(), &ids)?;
            Ok(Task::Rotate(rotation))
        };
        self.ceremony.ask_for(context, &desk, Task::Rotate(rotation.clone()), check)
    }
}

impl RenewArgs {
    pub(super) fn run(&self, context: &Context) -> CommandResult {
        let desk = self.ceremony.desk(context)?;
        if let [KeyRole::Channel(channel)] = self.roles.as_slice() {
            return self.renew_channel(context, &desk, channel);
        }
        if self.roles.iter().any(|role| !matches!(role, KeyRole::Root | KeyRole::Targets)) {
            let what = "root and targets are renewed together, a channel alone";
            return Err(CommandError::new(ExitCode::Usage, what)
                .hint("`cargo updater refresh` renews what the online key signs"));
        }
        let mut roles: Vec<_> = self.roles.iter().map(|role| role.as_str().to_owned()).collect();
        roles.sort();
        roles.dedup();
        let task = Task::Renew { roles };
        self.ceremony.ask_for(context, &desk, task.clone(), |_, _| Ok(task))
    }

    /// A channel's own keys do it alone, as a release would.
    fn renew_channel(&self, context: &Context, desk: &Desk<'_>, channel: &Channel) -> CommandResult {
        if self.ceremony.execute.execute() == Execute::DryRun {
            context.shell.status("Would renew", format_args!("the role {channel} of {}", desk.trust.app));
            return Ok(());
        }
        let mut keychain = desk.keychain(&self.ceremony.keys)?;
        let committed = desk.commit(&mut keychain).publish(channel, |_, _| Ok(()))?;
        let verb = if committed.is_waiting() { "Submitted" } else { "Renewed" };
        context.shell.status(verb, format_args!("version {} of the role {channel}", committed.role));
        crate::cli::page::keep_up(context, desk);
        if committed.is_waiting() {
            desk.tell_waiting(channel)?;
        }
        Ok(())
    }
}

impl ResumeArgs {
    pub(super) fn run(&self, context: &Context) -> CommandResult {
        let desk = self.ceremony.desk(context)?;
        let folder = Folder::beside(&desk.project.root_file()?);
        if self.abort {
            return abort(context, &desk, &folder, &self.ceremony);
        }
        let request = folder.request()?.ok_or(CeremonyError::None)?;
        if self.ceremony.execute.execute() == Execute::DryRun && !request.drafted {
            context.shell.status("Would draft", format_args!("{} of {}", request.task, desk.trust.app));
            return Ok(());
        }
        self.ceremony.go_on(context, &desk, None, folder, request)
    }
}

/// Unlocks keys that have to sign a change, before anything is made for it: as few as show that the password is right.
fn prove_password(keychain: &mut Keychain, task: &Task, root: &Root, targets: &Targets) -> CommandResult {
    let documents = Documents::of(root, targets);
    let goes = |key: &PublicKey| match task {
        Task::Rotate(rotation) => rotation.remove.iter().any(|id| documents.id_of(key).eq_ignore_ascii_case(id)),
        Task::Renew { .. } => false,
    };
    for (_, keyring) in task.signed_by(root) {
        let mut keys: Vec<&PublicKey> = keyring.keys().iter().map(|(_, key)| key).collect();
        // Perhaps its password is why it goes.
        keys.sort_by_key(|key| goes(key));
        if keychain.prove_password(keys, keyring.threshold())? {
            break;
        }
    }
    Ok(())
}

/// Returns the root and the targets role that the next ones follow.
pub(super) fn in_force(desk: &Desk<'_>) -> CommandResult<(Root, Targets)> {
    Ok(newest_roles(&desk.trust, desk.state.as_ref(), desk.newest_root.as_ref())?)
}

/// Returns the keys of a role; `None` for a channel that the table names and that is to come.
fn keyring_of(desk: &Desk<'_>, role: &KeyRole, root: &Root, targets: &Targets) -> CommandResult<Option<Keyring>> {
    let channel = match role {
        KeyRole::Root => return Ok(Some(root.keyring(RoleName::Root).clone())),
        KeyRole::Targets => return Ok(Some(root.keyring(RoleName::Targets).clone())),
        KeyRole::Online => return Ok(Some(root.keyring(RoleName::Timestamp).clone())),
        KeyRole::Channel(channel) => channel,
    };
    let is_named = || Ok::<_, CommandError>(desk.project.table()?.channels.iter().any(|entry| entry.name == *channel));
    match targets.delegation(channel.as_str()) {
        Some(delegation) => Ok(Some(delegation.keyring.clone())),
        None if is_named()? => Ok(None),
        None => Err(RepositoryError::no_channel(channel, targets).into()),
    }
}
