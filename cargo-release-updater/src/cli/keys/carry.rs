//! `cargo updater keys export` and `keys import`: keys from one machine to another, and keys of other tools.

use super::AppArgs;
use super::private::PrivatePack;
use crate::cli::{DryRunArgs, PasswordArgs};
use crate::context::{Context, Execute};
use crate::error::{CommandError, CommandResult, ExitCode};
use crate::keys::{Foreign, KeyError, KeyFile, KeyPack, KeyRole, Secrets};
use std::path::PathBuf;
use updater_format::Channel;
use zeroize::Zeroizing;

/// Write the public keys of this machine into a pack, each with the proof that its secret half is here.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  cargo updater keys export /media/stick/anna.json --app hello root targets\n  \
                        cargo updater keys export backup.json --with-secrets\n  \
                        cargo updater keys export private:anna.json")]
pub(super) struct Export {
    /// The file to write; it must not exist. `private:NAME` is a pack in the private storage of the project.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The keys, by the names of their files; all when none is named.
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// Put the secret keys in, too, as their files have them: whoever reads the pack has the keys, up to their passwords.
    #[arg(long, help_heading = "Signing")]
    with_secrets: bool,
    #[command(flatten)]
    keys: PasswordArgs,
    #[command(flatten)]
    which: AppArgs,
    #[command(flatten)]
    dry_run: DryRunArgs,
}

/// Take the keys of a pack, or an existing minisign or Tauri key for a channel.
///
/// The folder gets them; `keys rotate ROLE --with FILE.pub` gives them a say.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  cargo updater keys import /media/stick/anna.json\n  \
                        cargo updater keys import ~/.tauri/hello.key --channel stable\n  \
                        cargo updater keys import minisign.pub --channel stable")]
pub(super) struct Import {
    /// The pack, or the key file. `private:NAME` is a pack in the private storage of the project.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The channel that a key of another tool is for. It may have signed anything, so that it can have no other role.
    #[arg(long, value_name = "NAME", help_heading = "Selection")]
    channel: Option<Channel>,
    #[command(flatten)]
    keys: PasswordArgs,
    #[command(flatten)]
    which: AppArgs,
    #[command(flatten)]
    dry_run: DryRunArgs,
}

impl Export {
    pub(super) fn run(&self, context: &Context) -> CommandResult {
        let app = self.which.app(context)?;
        let folder = self.keys.folder(context, &app)?;
        let mut files: Vec<KeyFile> = folder.list()?.into_iter().filter(|file| !file.name.contains('/')).collect();
        if self.names.is_empty() {
            files.retain(|file| file.secret.is_some());
        } else {
            if let Some(name) = self.names.iter().find(|name| !files.iter().any(|file| file.name == **name)) {
                return Err(KeyError::NoSecret { name: name.clone() }.into());
            }
            files.retain(|file| self.names.contains(&file.name));
        }
        let private = PrivatePack::of(&self.file, self.which.project(context))?;
        let path = if private.is_some() { self.file.clone() } else { context.path(&self.file) };
        let secrets = if self.with_secrets { Secrets::Included } else { Secrets::LeftOut };
        if self.dry_run.execute() == Execute::DryRun {
            for file in &files {
                context.shell.status("Would export", format_args!("{} ({})", file.name, file.public.id_text()));
            }
            return Ok(());
        }
        if private.is_some() && secrets == Secrets::Included {
            refuse_open(&files)?;
        }
        let pack = KeyPack::of(&app, &files, &mut self.keys.passwords(context)?, secrets)?;
        match &private {
            Some(private) => private.write(&pack.to_text()?)?,
            None => crate::keys::write_private(&path, pack.to_text()?.as_bytes())?,
        }
        for file in &files {
            context.shell.status("Exported", format_args!("{} ({})", file.name, file.public.id_text()));
            context.shell.message(&super::list::Key::alone(file));
        }
        if secrets == Secrets::Included {
            context.shell.warn(format_args!("{} holds secret keys: keep it as you keep them", path.display()));
        }
        Ok(())
    }
}

impl Import {
    pub(super) fn run(&self, context: &Context) -> CommandResult {
        let app = self.which.app(context)?;
        let folder = self.keys.folder(context, &app)?;
        let private = PrivatePack::of(&self.file, self.which.project(context))?;
        let path = if private.is_some() { self.file.clone() } else { context.path(&self.file) };
        let io = |source| KeyError::Io { action: "read", path: path.clone(), source };
        let text = match &private {
            Some(private) => private.read()?,
            None => Zeroizing::new(std::fs::read_to_string(&path).map_err(io)?),
        };
        let mut found = Vec::new();
        match (text.trim_start().starts_with('{'), &self.channel) {
            (true, None) => found.extend(KeyPack::read(&path, &text, &app)?),
            (false, Some(channel)) => {
                let foreign = Foreign::read(&path, &text, &mut self.keys.passwords(context)?)?;
                let name = folder.next_name(&KeyRole::Channel(channel.clone()));
                found.push((name, foreign.public, foreign.secret));
            }
            (true, Some(_)) => {
                let what = "a pack says itself what its keys are for";
                return Err(CommandError::new(ExitCode::Usage, what).hint("leave `--channel` out"));
            }
            (false, None) => {
                let what = "a key of another tool can only be the key of a channel";
                return Err(CommandError::new(ExitCode::Usage, what).hint("name the channel with `--channel NAME`"));
            }
        }
        for (name, public, secret) in found {
            let what =
                format!("{name} ({}){}", public.id_text(), if secret.is_some() { "" } else { ", public half only" });
            if self.dry_run.execute() == Execute::DryRun {
                context.shell.status("Would import", what);
                continue;
            }
            if secret.is_some() {
                crate::init::cover_keys(context, self.which.project(context).as_ref(), &folder)?;
            }
            let file = folder.put(&name, &public, secret.as_ref())?;
            context.shell.status("Imported", what);
            context.shell.message(&super::list::Key::alone(&file));
            if file.is_encrypted() == Some(false) {
                context.shell.warn(format_args!("{name} has no password: whoever reads its file can sign"));
            }
        }
        context.shell.note("`cargo updater keys rotate ROLE --with FILE.pub` gives a key its say");
        Ok(())
    }
}

/// Refuses to send secret keys anywhere without a password: whoever may read the storage would have them.
fn refuse_open(files: &[KeyFile]) -> CommandResult {
    match files.iter().find(|file| file.is_encrypted() == Some(false)) {
        None => Ok(()),
        Some(file) => Err(CommandError::new(ExitCode::Key, format!("the secret key {} has no password", file.name))
            .hint("carry it in a file, or make one with a password: `cargo updater keys new`, then `keys rotate`")),
    }
}
