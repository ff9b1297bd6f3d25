//! From a request to drafts: the new key where one is made here, then the documents.

use super::draft::Draft;
use super::{CeremonyError, Folder, KeyChange, ROOT, Request, Rotation, TARGETS, Task, change};
use crate::error::CommandResult;
use crate::keys::{KeyFolder, KeyRole, Passwords, public_line};
use crate::shell::Shell;
use updater_format::role::{RoleName, Root, Targets};
use updater_format::{AppId, Keyring, MinisignKey, UtcTime};

/// With what a new key is made.
#[derive(Debug)]
pub struct Maker<'a> {
    /// The app.
    pub app: &'a AppId,
    /// Where the key is put.
    pub keys: &'a KeyFolder,
    /// Where its password comes from.
    pub passwords: Passwords,
    /// Where it is told.
    pub shell: &'a Shell,
}

/// Makes what a request needs: the key, the drafts. May be done again until the request says that it is drafted.
/// # Errors
/// [`CeremonyError::NoSuchKey`], [`CeremonyError::Keyring`]; what making a key returns.
pub fn begin(
    folder: &Folder,
    request: &mut Request,
    now_in_force: (&Root, &Targets),
    maker: &mut Maker<'_>,
    now: UtcTime,
) -> CommandResult {
    let (root, targets) = now_in_force;
    if let Task::Rotate(rotation) = &mut request.task
        && let Some(name) = &rotation.key
    {
        let role = KeyRole::parse(&rotation.role)?;
        let key = maker.keys.create_or_finish(name, maker.app, &role, rotation.plain, &mut maker.passwords)?;
        maker.shell.status("Created", format_args!("the key {} for {}", key.id_text(), role.as_str()));
        rotation.made = Some(public_line(&key));
        // Written down at once: whoever gives the ceremony up finds by it which key was made for it.
        folder.set_request(request)?;
    }
    if let Some(root) = request.task.next_root(root, targets, now)? {
        Draft::new(root).save(folder, ROOT)?;
    }
    if let Some(targets) = request.task.next_targets(root, targets, now)? {
        Draft::new(targets).save(folder, TARGETS)?;
    }
    request.drafted = true;
    Ok(folder.set_request(request)?)
}

impl Task {
    /// Returns the keys of a root that have to sign this change, with their role.
    #[must_use]
    pub fn signed_by<'a>(&self, root: &'a Root) -> Vec<(RoleName, &'a Keyring)> {
        let roles: &[RoleName] = match self {
            Self::Renew { roles } if !has(roles, "targets") => &[RoleName::Root],
            Self::Renew { roles } if !has(roles, "root") => &[RoleName::Targets],
            Self::Renew { .. } => &[RoleName::Root, RoleName::Targets],
            // The next targets role is signed by the new keys.
            Self::Rotate(rotation) if ["root", "targets", "online"].contains(&rotation.role.as_str()) => {
                &[RoleName::Root]
            }
            Self::Rotate(_) => &[RoleName::Targets],
        };
        roles.iter().map(|role| (*role, root.keyring(*role))).collect()
    }

    /// Makes the root that is asked for; `None` when it stays.
    pub(super) fn next_root(
        &self,
        root: &Root,
        targets: &Targets,
        now: UtcTime,
    ) -> Result<Option<Root>, CeremonyError> {
        match self {
            Self::Renew { roles } => Ok(has(roles, "root").then(|| change::renewed_root(root, now))),
            Self::Rotate(rotation) => change_of(rotation)?.next_root(&role_of(rotation)?, root, targets, now),
        }
    }

    /// Makes the targets role that is asked for; `None` when it stays.
    pub(super) fn next_targets(
        &self,
        root: &Root,
        targets: &Targets,
        now: UtcTime,
    ) -> Result<Option<Targets>, CeremonyError> {
        match self {
            Self::Renew { roles } => Ok(has(roles, "targets").then(|| change::renewed_targets(targets, now))),
            Self::Rotate(rotation) => change_of(rotation)?.next_targets(&role_of(rotation)?, root, targets, now),
        }
    }
}

fn has(roles: &[String], role: &str) -> bool {
    roles.iter().any(|name| name == role)
}

fn role_of(rotation: &Rotation) -> Result<KeyRole, CeremonyError> {
    KeyRole::parse(&rotation.role).map_err(|error| CeremonyError::Role { source: error })
}

/// Reads back what was written down of a rotation.
pub(super) fn change_of(rotation: &Rotation) -> Result<KeyChange, CeremonyError> {
    let parse = |line: &String| {
        MinisignKey::parse(line).map_err(|source| CeremonyError::Keyring { role: rotation.role.clone(), source })
    };
    Ok(KeyChange {
        add: rotation.with.iter().chain(&rotation.made).map(parse).collect::<Result<_, _>>()?,
        remove: rotation.remove.clone(),
        threshold: rotation.threshold,
        owner: rotation.owner.clone(),
    })
}

impl KeyChange {
    /// Looks whether a rotation can be done, before any key is made for it. `keyring` is that of the role, `None` for a channel that
    /// is to come; `ids` are minisign's ids of its keys.
    /// # Errors
    /// [`CeremonyError::NoSuchKey`], [`CeremonyError::Threshold`]; [`CeremonyError::Keyring`] for a key that is none.
    pub fn check(rotation: &Rotation, keyring: Option<&Keyring>, ids: &[String]) -> Result<(), CeremonyError> {
        let change = change_of(rotation)?;
        let role = || rotation.role.clone();
        if let Some(id) = change.remove.iter().find(|id| !ids.iter().any(|known| known.eq_ignore_ascii_case(id))) {
            return Err(CeremonyError::NoSuchKey { role: role(), id: id.clone(), keys: ids.join(", ") });
        }
        let known = keyring.map_or(&[][..], Keyring::keys);
        let is_new = |key: &&MinisignKey| !known.iter().any(|(_, known)| *known == key.key);
        let to_be_made = usize::from(rotation.key.is_some() && rotation.made.is_none());
        let new = change.add.iter().filter(is_new).count() + to_be_made;
        let keys =
            ids.iter().filter(|id| !change.remove.iter().any(|gone| gone.eq_ignore_ascii_case(id))).count() + new;
        let threshold = rotation.threshold.or(keyring.map(Keyring::threshold)).unwrap_or(1);
        match threshold >= 1 && threshold as usize <= keys {
            true => Ok(()),
            false => Err(CeremonyError::Threshold { role: role(), threshold, keys }),
        }
    }
}
