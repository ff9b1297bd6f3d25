//! `cargo updater keys resume --abort`: the drafts go, and with them the key that was made for them and that nobody saw.

use super::ceremony::{CeremonyArgs, in_force};
use crate::ceremony::{CeremonyError, Folder, Request, Rotation, Task, withdraw};
use crate::cli::desk::Desk;
use crate::context::{Context, Execute};
use crate::error::{CommandError, CommandResult, ExitCode};
use crate::keys::{KeyFolder, KeyRole};
use crate::repository::Submission;
use updater_format::role::{Root, Targets};
use updater_format::{Keyring, MinisignKey, PublicKey};

/// Drops a ceremony of which clients see nothing yet.
pub(super) fn abort(context: &Context, desk: &Desk<'_>, folder: &Folder, args: &CeremonyArgs) -> CommandResult {
    let shell = &context.shell;
    // Also of a request that cannot be read.
    let request = match folder.request() {
        Ok(None) => return Err(CeremonyError::None.into()),
        Ok(Some(request)) if request.settling => {
            let what = "the project's files are being replaced by the new documents";
            return Err(CommandError::new(ExitCode::Usage, what).hint("`cargo updater keys resume` ends it"));
        }
        Ok(request) => request,
        Err(_) => None,
    };
    let (root, targets) = in_force(desk)?;
    let keys = args.folder(context, desk, &root)?;
    let made = request.as_ref().and_then(|request| made(request, &keys));
    if args.execute.execute() == Execute::DryRun {
        shell.status("Would drop", format_args!("the drafts in {}", folder.path().display()));
        if let Some((name, _)) = &made {
            shell.status("Would remove", format_args!("the key {name} in {}", keys.path().display()));
        }
        return Ok(());
    }
    let question = match &made {
        Some((name, _)) => format!("Drop the drafts, their signatures, and the key {name} that was made for them?"),
        None => "Drop the drafts and their signatures?".to_owned(),
    };
    args.execute.confirm(context, &question)?;
    withdraw(folder, &desk.storage, desk.state.as_ref())?;
    if let Some((name, key)) = &made {
        match is_in_use(&key.key, &root, &targets) || waits(desk, &key.key) {
            true => shell.note(format_args!("the key {name} stays: documents that are published or wait name it")),
            false => keys
                .remove_unused(name, key)?
                .iter()
                .for_each(|path| shell.status("Removed", format_args!("{}, which was made for it", path.display()))),
        }
    }
    folder.remove()?;
    shell.status("Dropped", format_args!("the drafts in {}", folder.path().display()));
    Ok(())
}

/// Returns the key that was made for a request and lies in the folder, with the name of its file.
fn made(request: &Request, keys: &KeyFolder) -> Option<(String, MinisignKey)> {
    let Task::Rotate(Rotation { role, key: Some(name), made: Some(made), .. }) = &request.task else { return None };
    // The request comes out of version control, perhaps: only a name that a ceremony gives is looked at.
    let number = name.strip_prefix(role.as_str())?;
    let is_given = number.is_empty() || number.strip_prefix('-').is_some_and(|n| n.parse::<u32>().is_ok());
    let key = MinisignKey::parse(made).ok()?;
    (is_given && KeyRole::parse(role).is_ok() && keys.has(name, &key)).then(|| (name.clone(), key))
}

/// Tells whether a role lists a key.
fn is_in_use(key: &PublicKey, root: &Root, targets: &Targets) -> bool {
    let listed = |keyring: &Keyring| keyring.keys().iter().any(|(_, known)| known == key);
    root.roles.values().any(listed) || delegates_to(targets, key)
}

fn delegates_to(targets: &Targets, key: &PublicKey) -> bool {
    let roles = targets.delegations.iter().flat_map(|delegations| &delegations.roles);
    roles.flat_map(|role| role.keyring.keys()).any(|(_, known)| known == key)
}

/// Tells whether a targets role that waits for the online key lists a key: drafts that were changed since are not taken back.
fn waits(desk: &Desk<'_>, key: &PublicKey) -> bool {
    match Submission::read(&desk.storage, "targets") {
        Ok(None) => false,
        Ok(Some(waiting)) => {
            waiting.parse(&desk.storage, "targets").map_or(true, |waiting| delegates_to(waiting.unverified(), key))
        }
        Err(_) => true,
    }
}
