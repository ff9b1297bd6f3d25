//! `cargo updater keys list`: which keys are here, what each may sign, and what can be signed here.

use super::{AppArgs, protection};
use crate::ceremony::Documents;
use crate::cli::KeyFolderArgs;
use crate::context::Context;
use crate::error::CommandResult;
use crate::keys::KeyFile;
use crate::shell::Message;
use crate::steps::sign::Trust;
use updater_format::role::{RoleName, Root, Targets};
use updater_format::signed::{Signed, Untrusted};
use updater_format::{Keyring, PublicKey, UtcTime};

/// List the roles with their keys: who holds them, which are here, and what can be signed here.
///
/// Looks at the project's own root.json and targets.json and at no network.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  cargo updater keys list\n  cargo updater keys list --app hello --key-dir /media/keys\n  \
                        cargo updater keys list --message-format json"
)]
pub(super) struct List {
    #[command(flatten)]
    keys: KeyFolderArgs,
    #[command(flatten)]
    which: AppArgs,
}

impl List {
    pub(super) fn run(&self, context: &Context) -> CommandResult {
        let app = self.which.app(context)?;
        let folder = self.keys.folder(context, &app)?;
        let files = folder.list()?;
        let documents = match self.which.names_another() {
            true => None,
            false => documents(context, &self.which)?,
        };
        let roles = documents.as_ref().map(|(root, targets)| roles(root, targets)).unwrap_or_default();
        for role in &roles {
            role.tell(context, &files);
        }
        let listed = |file: &KeyFile| roles.iter().any(|role| role.has(&file.public.key));
        let others: Vec<_> = files.iter().filter(|file| !listed(file)).collect();
        if !roles.is_empty() && !others.is_empty() {
            context.shell.result("\nin no role");
        }
        for file in others {
            context.shell.result(format_args!("{:10} {}  {}", file.name, file.public.id_text(), protection(file)));
        }
        for file in &files {
            context.shell.message(&Key::of(file, &roles));
        }
        if files.is_empty() {
            let others = folder.others();
            let near = crate::suggest::nearest(app.as_str(), others.iter().map(String::as_str));
            let near = near.map(|near| format!("; did you mean `--app {near}`?")).unwrap_or_default();
            context.shell.note(format_args!("no keys in {}{near}", folder.path().display()));
        }
        Ok(())
    }
}

/// Reads the project's own documents; `None` before `init`. They are shown, and nothing is decided by them.
fn documents(context: &Context, which: &AppArgs) -> CommandResult<Option<(Root, Targets)>> {
    let Some(project) = which.project(context) else { return Ok(None) };
    if project.table.is_none() || !project.root_file()?.is_file() {
        return Ok(None);
    }
    let trust = Trust::of(&project)?;
    let root = Signed::<Root>::parse(&Untrusted::new(trust.root));
    let targets = Signed::<Targets>::parse(&Untrusted::new(trust.targets));
    Ok(root.ok().zip(targets.ok()).map(|(root, targets)| (root.unverified().clone(), targets.unverified().clone())))
}

fn roles<'a>(root: &'a Root, targets: &'a Targets) -> Vec<Role<'a>> {
    let documents = Documents::of(root, targets);
    let of_root = |name: &str, role: RoleName, expires| Role {
        name: name.to_owned(),
        keyring: root.keyring(role),
        documents,
        expires,
    };
    let mut roles = vec![
        of_root("root", RoleName::Root, Some(root.expires)),
        of_root("targets", RoleName::Targets, Some(targets.expires)),
    ];
    // One key signs both, as `init` has it; another tool may have parted them.
    match root.keyring(RoleName::Snapshot) == root.keyring(RoleName::Timestamp) {
        true => roles.push(of_root("online", RoleName::Timestamp, None)),
        false => {
            roles.push(of_root("snapshot", RoleName::Snapshot, None));
            roles.push(of_root("timestamp", RoleName::Timestamp, None));
        }
    }
    let delegations = targets.delegations.iter().flat_map(|delegations| &delegations.roles);
    let of_channel = |role: &'a updater_format::role::DelegatedRole| Role {
        name: role.name.clone(),
        keyring: &role.keyring,
        documents,
        expires: None,
    };
    roles.extend(delegations.map(of_channel));
    roles
}

/// A role with the keys that may sign it.
struct Role<'a> {
    name: String,
    keyring: &'a Keyring,
    documents: Documents<'a>,
    /// When its document ends; `None` for those that only a repository has (`cargo updater status` tells).
    expires: Option<UtcTime>,
}

impl Role<'_> {
    fn has(&self, key: &PublicKey) -> bool {
        self.keyring.keys().iter().any(|(_, listed)| listed == key)
    }

    fn holders(&self, files: &[KeyFile]) -> Vec<Holder> {
        let holder = |(id, key): &(updater_format::KeyId, PublicKey)| {
            let file = files.iter().find(|file| file.public.key == *key);
            let owner = self.documents.owner_of(key);
            let minisign = owner.map(|owner| owner.minisign.clone());
            Holder {
                id: minisign.or_else(|| Some(file?.public.id_text())),
                key_id: id.as_str().to_owned(),
                owner: owner.map(|owner| owner.owner.clone()).unwrap_or_default(),
                file: file.map(|file| file.name.clone()),
                protection: file.map_or("elsewhere", protection),
                can_sign: file.is_some_and(|file| file.secret.is_some()),
            }
        };
        self.keyring.keys().iter().map(holder).collect()
    }

    fn tell(&self, context: &Context, files: &[KeyFile]) {
        let holders = self.holders(files);
        let threshold = self.keyring.threshold();
        let here = holders.iter().filter(|holder| holder.can_sign).count();
        let can_sign = here >= threshold as usize;
        let until = self.expires.map_or_else(String::new, |expires| format!(", until {expires}"));
        let can = if can_sign { "can" } else { "cannot" };
        let (name, all) = (self.name.escape_debug(), holders.len());
        context.shell.result(format_args!("{name}: {threshold} of {all} must sign, {can} be signed here{until}"));
        for holder in &holders {
            context.shell.result(format_args!("  {holder}"));
            context.shell.result(format_args!("    key id {}", holder.key_id.escape_debug()));
        }
        let (role, expires) = (self.name.as_str(), self.expires);
        context.shell.message(&RoleMessage { role, threshold, expires, can_sign, keys: holders });
    }
}

/// A role and who signs it.
#[derive(serde::Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(in crate::cli) struct RoleMessage<'a> {
    role: &'a str,
    threshold: u32,
    #[cfg_attr(test, schemars(with = "Option<String>"))]
    expires: Option<UtcTime>,
    can_sign: bool,
    keys: Vec<Holder>,
}

/// A key of a role.
#[derive(serde::Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct Holder {
    /// minisign's id, where the documents or a file here tell it.
    id: Option<String>,
    /// Its id in the metadata.
    key_id: String,
    owner: String,
    file: Option<String>,
    protection: &'static str,
    can_sign: bool,
}

impl std::fmt::Display for Holder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}  ", self.id.as_deref().unwrap_or("unknown to minisign").escape_debug())?;
        if !self.owner.is_empty() {
            write!(f, "{}, ", self.owner.escape_debug())?;
        }
        if let Some(file) = &self.file {
            write!(f, "{file}, ")?;
        }
        f.write_str(self.protection)
    }
}

impl Message for RoleMessage<'_> {
    const REASON: &'static str = "role";
}

/// A key on this machine.
#[derive(serde::Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(in crate::cli) struct Key {
    /// The name of its file, which `keys new` makes the role's.
    role: String,
    /// minisign's id.
    id: String,
    /// Its id in the metadata.
    key_id: String,
    public_key: String,
    /// The roles that it may sign.
    signs: Vec<String>,
    secret: Option<String>,
    encrypted: Option<bool>,
}

impl Key {
    fn of(file: &KeyFile, roles: &[Role<'_>]) -> Self {
        let signs = roles.iter().filter(|role| role.has(&file.public.key)).map(|role| role.name.clone()).collect();
        Self { signs, ..Self::alone(file) }
    }

    /// A key of which nothing else is known.
    pub(super) fn alone(file: &KeyFile) -> Self {
        Self {
            role: file.name.clone(),
            id: file.public.id_text(),
            key_id: file.public.key.id().as_str().to_owned(),
            public_key: file.public_line(),
            signs: Vec::new(),
            secret: file.secret.as_ref().map(|path| path.display().to_string()),
            encrypted: file.is_encrypted(),
        }
    }
}

impl Message for Key {
    const REASON: &'static str = "key";
}
