//! Makes the keys and, with them, the first root and the first targets role.

use super::{Answers, InitError, NewKeys, Work, read_optional, targets_file};
use crate::config::Project;
use crate::context::Execute;
use crate::error::CommandResult;
use crate::keys::{KeyFolder, KeyRole, Passwords, Protection, Signer};
use crate::roles::{Custody, Document, Holders, Purpose, first_root, first_targets};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use updater_format::role::{RoleName, Root};
use updater_format::signed::{Signed, Untrusted};
use updater_format::{MinisignKey, UtcTime};

/// What the table says about the root.
#[derive(Debug, Clone)]
pub struct Trust {
    /// The public keys of its holders.
    pub public_keys: Vec<MinisignKey>,
    /// How many of them must sign.
    pub threshold: u32,
}

/// Makes what is missing of keys, root and targets role. `None` in a dry run that would have to make keys first.
pub(super) fn prepare(
    work: &mut Work<'_>,
    project: &Project,
    answers: &Answers,
    keys: &KeyFolder,
    passwords: Passwords,
    now: UtcTime,
) -> CommandResult<Option<Trust>> {
    let path = root_path(project);
    if let Some(bytes) = read_optional(&path)?
        && is_complete(project)
    {
        return Ok(Some(of_existing(&path, &bytes, answers)?));
    }
    let roles = [KeyRole::Root, KeyRole::Targets, KeyRole::Online];
    let roles: Vec<KeyRole> = roles.into_iter().chain(answers.channels.iter().cloned().map(KeyRole::Channel)).collect();
    let mut signers = Signers { answers, keys, passwords, protection: None };
    if work.execute == Execute::DryRun {
        for role in roles.iter().filter(|role| !keys.secret_path(role).exists()) {
            work.note(&keys.secret_path(role), false);
        }
        work.note(&path, path.exists());
        work.note(&targets_file(&path), false);
        return Ok(None);
    }
    let made = roles.iter().map(|role| signers.of(work, role)).collect::<CommandResult<Vec<_>>>()?;
    let holder = |i: usize| Holders::one(made[i].public().clone());
    let custody = Custody {
        root: holder(0),
        targets: holder(1),
        online: holder(2),
        channels: answers.channels.iter().cloned().zip((3..).map(holder)).collect(),
    };
    let refuse = |source| InitError::Metadata { app: answers.app.clone(), source };
    let root = first_root(&answers.app, &custody, answers.purpose, now).map_err(refuse)?;
    let targets = first_targets(&answers.app, &custody, answers.refresh, now).map_err(refuse)?;
    let root = Document::sign("root", &root, &made[..1])?;
    let targets = Document::sign("targets", &targets, &made[1..2])?;
    // The root last: its presence says that this step is done.
    work.write(&targets_file(&path), &targets.bytes)?;
    work.write(&path, &root.bytes)?;
    Ok(Some(Trust { public_keys: custody.root.keys, threshold: custody.root.threshold }))
}

/// Refuses to make a root, or one of its two files, for a project that had both: what is left of an earlier setup, or of
/// one that lost a file. An interrupted run leaves neither a table nor a root without its targets role.
pub(super) fn refuse_lost_files(project: &Project) -> Result<(), InitError> {
    let root = root_path(project);
    let targets = targets_file(&root);
    let is_set_up = project.table.as_ref().is_some_and(|table| !table.public_keys.is_empty());
    match (root.is_file(), targets.is_file()) {
        (true, false) => Err(InitError::TargetsLost { root, targets }),
        (false, _) if is_set_up => Err(InitError::RootLost { manifest: project.manifest.clone(), root }),
        _ => Ok(()),
    }
}

/// Tells whether root and targets role are there, so that no key is needed.
pub(super) fn is_complete(project: &Project) -> bool {
    let root = root_path(project);
    root.is_file() && targets_file(&root).is_file()
}

/// Returns where the root is or will be.
fn root_path(project: &Project) -> PathBuf {
    let relative = project.table.as_ref().map_or(Path::new("updater/root.json"), |table| &table.root);
    project.folder().join(relative)
}

/// Takes the root that the package has, when it is of the app and the kind that was asked for.
fn of_existing(path: &Path, bytes: &[u8], answers: &Answers) -> Result<Trust, InitError> {
    let signed = Signed::<Root>::parse(&Untrusted::new(bytes))
        .map_err(|source| InitError::BadRoot { path: path.to_owned(), source })?;
    let root = signed.unverified();
    let describe = |purpose: Purpose, app: &str| match purpose {
        Purpose::Release => format!("a root of `{app}`"),
        Purpose::Development => format!("a development root of `{app}`"),
    };
    let (purpose, app) = match &root.extension {
        Some(x) if x.development => (Purpose::Development, x.app.as_str()),
        Some(x) => (Purpose::Release, x.app.as_str()),
        None => (Purpose::Release, "another tool"),
    };
    if (purpose, app) != (answers.purpose, answers.app.as_str()) {
        return Err(InitError::OtherRoot {
            path: path.to_owned(),
            found: describe(purpose, app),
            wanted: describe(answers.purpose, answers.app.as_str()),
        });
    }
    let keyring = root.keyring(RoleName::Root);
    let id_of = |id: &updater_format::KeyId| {
        let text = &root.extension.as_ref()?.keys.get(id)?.minisign;
        Some(u64::from_str_radix(text, 16).ok()?.to_le_bytes())
    };
    let public_keys =
        keyring.keys().iter().map(|(id, key)| MinisignKey { key: key.clone(), id: id_of(id).unwrap_or_default() });
    Ok(Trust { public_keys: public_keys.collect(), threshold: keyring.threshold() })
}

/// Finds or makes the key of each role.
struct Signers<'a> {
    answers: &'a Answers,
    keys: &'a KeyFolder,
    passwords: Passwords,
    protection: Option<Protection>,
}

impl Signers<'_> {
    fn of(&mut self, work: &mut Work<'_>, role: &KeyRole) -> CommandResult<Rc<Signer>> {
        if let Some(file) = self.keys.find(role)?
            && let Some(signer) = file.unlock(&mut self.passwords)?
        {
            work.shell.status("Using", format_args!("{}", self.keys.secret_path(role).display()));
            return Ok(Rc::new(signer));
        }
        let protection = match self.protection.take() {
            Some(protection) => protection,
            None => match self.answers.passwords {
                NewKeys::Plain => Protection::Plain,
                NewKeys::Encrypted => Protection::Password(self.passwords.for_new_key()?),
            },
        };
        let signer = self.keys.create(&self.answers.app, role, &protection)?;
        self.protection = Some(protection);
        work.note(&self.keys.secret_path(role), false);
        Ok(Rc::new(signer))
    }
}
