//! `cargo updater keys rotate`, `renew` and `resume`: ceremonies that may be stopped anywhere and gone on with.

use crate::ceremony::{Ceremony, CeremonyError, Finished, KeyChange, Missing, change};
use crate::cli::desk::{ChannelArgs, Desk};
use crate::cli::refresh::wait_out_caches;
use crate::cli::{ExecuteArgs, KeyArgs, PackageArgs, StorageArgs};
use crate::context::{Context, Execute};
use crate::error::{CommandError, CommandResult, ExitCode};
use crate::keys::{KeyFile, KeyRole, Protection};
use crate::repository::{Commit, Lease, Renew, RepositoryError};
use crate::shell::Message;
use crate::steps::sign::{Trust, roles_in_force};
use std::path::PathBuf;
use updater_format::role::{RoleName, Root, Targets};
use updater_format::{Channel, Keyring};

/// What every step of a ceremony takes.
#[derive(Debug, Clone, Default, clap::Args)]
pub(super) struct CeremonyArgs {
    #[command(flatten)]
    package: PackageArgs,
    #[command(flatten)]
    storage: StorageArgs,
    #[command(flatten)]
    keys: KeyArgs,
    #[command(flatten)]
    execute: ExecuteArgs,
    /// How many seconds caches may go on saying that there is no newer root, before a new online key is used. 0 for a
    /// stolen key.
    #[arg(long, value_name = "SECONDS", default_value_t = 300, value_parser = clap::value_parser!(u64).range(0..=86_400), help_heading = "Signing")]
    wait: u64,
}

/// Give a role a new key: makes it, drafts what has to be signed, and goes as far as the keys that are here allow.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  cargo updater keys rotate online\n  cargo updater keys rotate online --wait 0\n  \
                        cargo updater keys rotate root --add --with anna.pub --with bert.pub --threshold 2\n\n\
                        Stopped, or short of signatures, it goes on with `cargo updater keys resume`."
)]
pub(super) struct RotateArgs {
    /// `root`, `targets`, `online`, or a channel.
    #[arg(value_name = "ROLE")]
    role: KeyRole,
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
    /// Drop the drafts and their signatures. What is published stays published.
    #[arg(long, help_heading = "Selection")]
    abort: bool,
    #[command(flatten)]
    ceremony: CeremonyArgs,
}

impl CeremonyArgs {
    fn desk<'a>(&self, context: &'a Context) -> CommandResult<Desk<'a>> {
        Ok(Desk::open_behind(context, &self.package, &self.storage, &ChannelArgs::default())?.0)
    }

    /// Opens the project and the ceremony that is under way.
    pub(super) fn under_way<'a>(&self, context: &'a Context) -> CommandResult<(Desk<'a>, Ceremony)> {
        let desk = self.desk(context)?;
        let ceremony = Ceremony::load(&desk.project.root_file()?, in_force(&desk)?)?.ok_or(CeremonyError::None)?;
        Ok((desk, ceremony))
    }
}

impl RotateArgs {
    pub(super) fn run(&self, context: &Context) -> CommandResult {
        let desk = self.ceremony.desk(context)?;
        let root_file = desk.project.root_file()?;
        let (root, targets) = in_force(&desk)?;
        if let Some(ceremony) = Ceremony::load(&root_file, (root.clone(), targets.clone()))? {
            return Err(CeremonyError::UnderWay { folder: ceremony.folder().to_owned() }.into());
        }
        let keyring = keyring_of(&self.role, &root, &targets)?;
        let mut change = KeyChange { threshold: self.threshold, owner: self.owner.clone(), ..KeyChange::default() };
        change.remove = match (self.add, self.replace.as_slice(), change::ids(&root, &keyring).as_slice()) {
            (true, ..) => Vec::new(),
            (false, [], [only]) => vec![only.clone()],
            (false, [], keys) => {
                let role = self.role.as_str().to_owned();
                return Err(CeremonyError::Which { role, keys: keys.join(", ") }.into());
            }
            (false, named, _) => named.to_vec(),
        };
        for path in &self.with {
            change.add.push(KeyFile::read(&context.path(path))?.public);
        }
        let app = &desk.trust.app;
        let folder = self.ceremony.keys.folder(context, app)?;
        let folder = if is_development(&root) { folder.development() } else { folder };
        if self.ceremony.execute.execute() == Execute::DryRun {
            let made = if self.with.is_empty() { "a new key" } else { "the keys given" };
            context.shell.status("Would draft", format_args!("{made} for {} of {app}", self.role.as_str()));
            context.shell.note("dry run: no key is made, nothing is signed");
            return Ok(());
        }
        if self.with.is_empty() {
            // Drafted before anything else can fail, so that a run that is stopped leaves at most a key nobody uses.
            let protection = match self.no_password || is_development(&root) {
                true => Protection::Plain,
                false => Protection::Password(self.ceremony.keys.passwords(context)?.for_new_key()?),
            };
            let signer = folder.create_next(app, &self.role, &protection)?;
            context
                .shell
                .status("Created", format_args!("the key {} for {}", signer.public().id_text(), self.role.as_str()));
            change.add.push(signer.public().clone());
        }
        let (next_root, next_targets) = change.apply(&self.role, &root, &targets, context.clock.now())?;
        let ceremony = Ceremony::begin(&root_file, (root, targets), next_root, next_targets)?;
        advance(context, &desk, ceremony, &self.ceremony)
    }
}

impl RenewArgs {
    pub(super) fn run(&self, context: &Context) -> CommandResult {
        let desk = self.ceremony.desk(context)?;
        if let [KeyRole::Channel(channel)] = self.roles.as_slice() {
            return self.renew_channel(context, &desk, channel);
        }
        let has = |role: &KeyRole| self.roles.contains(role);
        if self.roles.iter().any(|role| !matches!(role, KeyRole::Root | KeyRole::Targets)) {
            return Err(CommandError::new(ExitCode::Usage, "root and targets are renewed together, a channel alone")
                .hint("`cargo updater refresh` renews what the online key signs"));
        }
        if self.ceremony.execute.execute() == Execute::DryRun {
            let roles: Vec<_> = self.roles.iter().map(KeyRole::as_str).collect();
            context.shell.status("Would draft", format_args!("a new term of {}", roles.join(" and ")));
            return Ok(());
        }
        let (root, targets) = in_force(&desk)?;
        let now = context.clock.now();
        let next_root = has(&KeyRole::Root).then(|| change::renewed_root(&root, now));
        let next_targets = has(&KeyRole::Targets).then(|| change::renewed_targets(&targets, now));
        let ceremony = Ceremony::begin(&desk.project.root_file()?, (root, targets), next_root, next_targets)?;
        advance(context, &desk, ceremony, &self.ceremony)
    }

    /// A channel's own keys do it alone, as a release would.
    fn renew_channel(&self, context: &Context, desk: &Desk<'_>, channel: &Channel) -> CommandResult {
        if self.ceremony.execute.execute() == Execute::DryRun {
            context.shell.status("Would renew", format_args!("the role {channel} of {}", desk.trust.app));
            return Ok(());
        }
        let mut keychain = desk.keychain(&self.ceremony.keys)?;
        let committed = commit(context, desk, &mut keychain).publish(channel, |_, _| Ok(()))?;
        let verb = if committed.is_waiting() { "Submitted" } else { "Renewed" };
        context.shell.status(verb, format_args!("version {} of the role {channel}", committed.role));
        Ok(())
    }
}

impl ResumeArgs {
    pub(super) fn run(&self, context: &Context) -> CommandResult {
        let (desk, ceremony) = self.ceremony.under_way(context)?;
        if self.abort {
            if self.ceremony.execute.execute() == Execute::ForReal {
                ceremony.drop_drafts()?;
            }
            context.shell.status("Dropped", format_args!("the drafts in {}", ceremony.folder().display()));
            return Ok(());
        }
        advance(context, &desk, ceremony, &self.ceremony)
    }
}

/// Signs with what is here, and publishes once everybody has signed.
pub(super) fn advance(
    context: &Context,
    desk: &Desk<'_>,
    mut ceremony: Ceremony,
    args: &CeremonyArgs,
) -> CommandResult {
    let shell = &context.shell;
    if args.execute.execute() == Execute::DryRun {
        tell_missing(context, &ceremony.missing());
        shell.note("dry run: nothing was signed or published");
        return Ok(());
    }
    let mut keychain = desk.keychain(&args.keys)?;
    let made = ceremony.sign(&mut keychain)?;
    if made > 0 {
        shell.status(
            "Signed",
            format_args!("the drafts in {} with the keys that are here", ceremony.folder().display()),
        );
    }
    let missing = ceremony.missing();
    if !missing.is_empty() {
        tell_missing(context, &missing);
        shell.note(
            "keys elsewhere sign with `keys root export`, `minisign -Sl` and `keys root import`, or with `keys resume` there",
        );
        return Ok(());
    }
    args.execute.confirm(context, &format!("Publish the new keys of {}?", desk.trust.app))?;
    let (app, now) = (&desk.trust.app, context.clock.now());
    ceremony.publish(app, &desk.storage, desk.state.as_ref(), &mut keychain, now)?;
    let root_file = desk.project.root_file()?;
    let table = || match &ceremony.root {
        Some(_) => crate::init::write_public_keys(&desk.project, ceremony.next_root()).map_err(CommandError::from),
        None => Ok(()),
    };
    let settle = || ceremony.settle(app, &desk.storage, &root_file, &desk.trust.root, &table);
    let mut finished = settle()?;
    let has_online_key = [RoleName::Snapshot, RoleName::Timestamp]
        .iter()
        .all(|role| keychain.can_sign(ceremony.next_root().keyring(*role)));
    if finished == Finished::WaitsForOnlineKey && has_online_key {
        let mut commit = commit(context, desk, &mut keychain);
        wait_out_caches(context, &commit, args.wait)?;
        commit.refresh(Renew::Always)?;
        finished = settle()?;
    }
    match finished {
        Finished::WaitsForOnlineKey => {
            shell.status("Submitted", "the new documents");
            shell.note("`cargo updater refresh` with the online key publishes them; then `cargo updater keys resume` ends this");
        }
        Finished::Done => {
            shell.status("Published", format_args!("the new documents of {app}, and {}", root_file.display()));
            shell.note("commit the changed files: the next build embeds the new root");
        }
    }
    shell.message(&Advanced { finished: finished == Finished::Done, missing: Vec::new() });
    Ok(())
}

fn commit<'a>(context: &'a Context, desk: &'a Desk<'_>, keychain: &'a mut crate::keys::Keychain) -> Commit<'a> {
    Commit {
        storage: &desk.storage,
        app: &desk.trust.app,
        root: &desk.trust.root,
        targets: &desk.trust.targets,
        keychain,
        now: context.clock.now(),
        lease: Lease::default(),
        shell: &context.shell,
    }
}

fn tell_missing(context: &Context, missing: &[Missing]) {
    for one in missing {
        let Missing { document, keys_of, have, threshold, wanted } = one;
        context.shell.status(
            "Waiting",
            format_args!(
                "for {keys_of}: {have} of {threshold} signatures of {document} are here, wanted: {}",
                wanted.join(", ")
            ),
        );
    }
    context.shell.message(&Advanced { finished: false, missing: missing.to_vec() });
}

/// Returns the root and the targets role that the next ones follow.
fn in_force(desk: &Desk<'_>) -> CommandResult<(Root, Targets)> {
    let trust: &Trust = &desk.trust;
    Ok(roles_in_force(trust, desk.state.as_ref())?)
}

fn is_development(root: &Root) -> bool {
    root.extension.as_ref().is_some_and(|extension| extension.development)
}

fn keyring_of(role: &KeyRole, root: &Root, targets: &Targets) -> CommandResult<Keyring> {
    Ok(match role {
        KeyRole::Root => root.keyring(RoleName::Root).clone(),
        KeyRole::Targets => root.keyring(RoleName::Targets).clone(),
        KeyRole::Online => root.keyring(RoleName::Timestamp).clone(),
        KeyRole::Channel(channel) => match targets.delegation(channel.as_str()) {
            Some(delegation) => delegation.keyring.clone(),
            None => {
                let delegations = targets.delegations.iter().flat_map(|delegations| &delegations.roles);
                let known = delegations.map(|role| role.name.clone()).collect::<Vec<_>>().join(", ");
                return Err(RepositoryError::NoChannel { channel: channel.clone(), known }.into());
            }
        },
    })
}

/// How far a ceremony has come.
#[derive(serde::Serialize)]
struct Advanced {
    finished: bool,
    missing: Vec<Missing>,
}

impl Message for Advanced {
    const REASON: &'static str = "ceremony";
}
