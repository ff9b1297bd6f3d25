//! How far a ceremony goes with the keys that are here, and what it waits for.

use super::ceremony::CeremonyArgs;
use crate::ceremony::{Ceremony, Folder, Missing, Progress, Review, settle};
use crate::cli::desk::Desk;
use crate::cli::refresh::{left_of_caches, wait_out_caches};
use crate::context::{Context, Execute};
use crate::error::{CommandError, CommandResult, ExitCode};
use crate::keys::{KeyError, Keychain};
use crate::progress::counted;
use crate::repository::{Renew, RepositoryError};
use crate::shell::{Message, Shell};
use updater_format::role::{RoleName, Root};

/// Signs with what is here, publishes once everybody has signed, and ends with exit code 11 when something has to be
/// waited for.
pub(super) fn advance(
    context: &Context,
    desk: &Desk<'_>,
    keychain: Keychain,
    ceremony: Ceremony,
    args: &CeremonyArgs,
) -> CommandResult {
    let folders = [keychain.folder().clone(), keychain.folder().development()];
    let own = ceremony.made_key().map(|name| folders.map(|folder| folder.path().join(format!("{name}.key"))));
    go(context, desk, keychain, ceremony, args).map_err(|error| {
        let locked = locked_key(&error);
        match locked.is_some_and(|locked| own.iter().flatten().any(|own| own.display().to_string() == locked)) {
            true => error.hint(
                "the ceremony made this key; when nobody knows its password, `cargo updater keys resume --abort` drops both, and \
                 the rotation is begun again",
            ),
            false => error,
        }
    })
}

/// Returns the key that a password did not open.
fn locked_key(error: &CommandError) -> Option<&str> {
    let key = error.source.downcast_ref::<KeyError>();
    let key = key.or_else(|| match error.source.downcast_ref::<RepositoryError>() {
        Some(RepositoryError::Key(key)) => Some(key),
        _ => None,
    });
    match key {
        Some(KeyError::WrongPassword { origin } | KeyError::NoPassword { origin }) => Some(origin),
        _ => None,
    }
}

fn go(
    context: &Context,
    desk: &Desk<'_>,
    mut keychain: Keychain,
    mut ceremony: Ceremony,
    args: &CeremonyArgs,
) -> CommandResult {
    let shell = &context.shell;
    let app = &desk.trust.app;
    if ceremony.can_sign_more(&keychain) {
        for review in ceremony.reviews() {
            tell_review(shell, &review);
        }
        if args.execute.execute() == Execute::DryRun {
            shell.status("Would sign", format_args!("the drafts in {}", ceremony.folder().display()));
        } else {
            args.execute.confirm(context, "Sign this with the keys that are here?")?;
            let made = ceremony.sign(&mut keychain)?;
            shell.status("Signed", format_args!("{}, with the keys that are here", counted(made as usize, "time")));
        }
    }
    if args.execute.execute() == Execute::DryRun {
        ceremony.missing_besides(&keychain).iter().for_each(|missing| shell.status("Would need", missing.wish()));
        shell.note("dry run: nothing was signed or published");
        return Ok(());
    }
    let missing = ceremony.missing();
    if !missing.is_empty() {
        return Err(wait_for_signatures(shell, &ceremony, missing));
    }
    args.execute.confirm(context, &format!("Publish what is signed of {app}?"))?;
    ceremony.prove_online_key(&mut keychain)?;
    let missing = ceremony.publish(app, &desk.storage, desk.state.as_ref(), &mut keychain, context.clock.now())?;
    if !missing.is_empty() {
        return Err(wait_for_signatures(shell, &ceremony, missing));
    }
    let root_file = desk.project.root_file()?;
    let table = table(desk);
    // The scripts on it carry the keys of the channels.
    let page = || crate::cli::page::keep_up(context, desk);
    let mut progress = ceremony.settle(app, &desk.storage, &root_file, &desk.trust.root, &table, &page)?;
    if progress == Progress::WaitsForOnlineKey && has_online_key(&ceremony, &keychain) {
        let mut commit = desk.commit(&mut keychain);
        if args.later
            && let Some(left) = left_of_caches(&commit, args.wait)?
        {
            let seconds = left.as_secs() + 1;
            shell.message(&Told { seconds: Some(seconds), ..Told::waiting(&ceremony, "caches") });
            let what = format!("for {seconds} s caches may say that there is no newer root");
            return Err(CommandError::new(ExitCode::Waiting, what)
                .hint("go on then with `cargo updater keys resume`; `--wait 0` is for a stolen key"));
        }
        wait_out_caches(context, &commit, args.wait)?;
        commit.refresh(Renew::Always)?;
        progress = ceremony.settle(app, &desk.storage, &root_file, &desk.trust.root, &table, &page)?;
    }
    match progress {
        Progress::WaitsForOnlineKey => {
            shell.message(&Told::waiting(&ceremony, "online-key"));
            Err(CommandError::new(ExitCode::Waiting, "what was signed waits for the online key")
                .hint("`cargo updater refresh` where that key is publishes it")
                .hint("then `cargo updater keys resume` here ends the ceremony"))
        }
        Progress::Done => {
            let documents: Vec<_> = ceremony.messages().iter().map(|(name, _)| *name).collect();
            done(context, desk, &documents, ceremony.folder().display().to_string());
            Ok(())
        }
    }
}

/// Ends a ceremony that was stopped while the project's files were being replaced.
pub(super) fn settle_only(context: &Context, desk: &Desk<'_>, folder: &Folder) -> CommandResult {
    let replaced = settle(folder, &desk.storage, &desk.project.root_file()?, &table(desk))?;
    let path = folder.path().display().to_string();
    done(context, desk, &replaced, path);
    Ok(())
}

fn table<'a>(desk: &'a Desk<'_>) -> impl Fn(&Root) -> CommandResult + 'a {
    |root| Ok(crate::init::write_public_keys(&desk.project, root)?)
}

fn has_online_key(ceremony: &Ceremony, keychain: &Keychain) -> bool {
    let roles = [RoleName::Snapshot, RoleName::Timestamp];
    roles.iter().all(|role| keychain.can_sign(ceremony.next_root().keyring(*role)))
}

fn done(context: &Context, desk: &Desk<'_>, documents: &[&'static str], folder: String) {
    let shell = &context.shell;
    shell.status("Published", format_args!("the new documents of {}: {}", desk.trust.app, documents.join(" and ")));
    shell.note("commit the changed files: the next build embeds them");
    let (documents, missing) = (documents.to_vec(), Vec::new());
    shell.message(&Told { folder, documents, finished: true, waits_for: None, seconds: None, missing });
}

fn wait_for_signatures(shell: &Shell, ceremony: &Ceremony, missing: Vec<Missing>) -> CommandError {
    let what = missing.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
    shell.message(&Told { missing, ..Told::waiting(ceremony, "signatures") });
    CommandError::new(ExitCode::Waiting, what)
        .hint("holders elsewhere sign what `cargo updater keys root export` writes; `keys root import` takes it back")
        .hint("or commit the drafts, and they run `cargo updater keys resume` where their keys are")
}

/// Shows what a document says and changes.
pub(in crate::cli) fn tell_review(shell: &Shell, review: &Review) {
    shell.result(format_args!("{} version {}, until {}", review.role, review.version, review.expires));
    for line in &review.lines {
        shell.result(format_args!("  {line}"));
    }
    for change in review.changes.iter().flatten() {
        shell.result(format_args!("  change: {change}"));
    }
    shell.result(format_args!("  sha256 of what is signed: {}", review.sha256));
    shell.message(review);
}

/// How far a ceremony has come.
#[derive(serde::Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(in crate::cli) struct Told<'a> {
    folder: String,
    documents: Vec<&'a str>,
    finished: bool,
    /// `signatures`, `caches` or `online-key`.
    waits_for: Option<&'a str>,
    seconds: Option<u64>,
    missing: Vec<Missing>,
}

impl<'a> Told<'a> {
    fn waiting(ceremony: &Ceremony, waits_for: &'a str) -> Self {
        Self {
            folder: ceremony.folder().display().to_string(),
            documents: ceremony.messages().iter().map(|(name, _)| *name).collect(),
            finished: false,
            waits_for: Some(waits_for),
            seconds: None,
            missing: Vec::new(),
        }
    }
}

impl Message for Told<'_> {
    const REASON: &'static str = "ceremony";
}

impl Message for Review {
    const REASON: &'static str = "review";
}
