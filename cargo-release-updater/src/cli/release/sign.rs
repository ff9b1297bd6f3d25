//! `release sign`: further holders of a channel's keys sign what the first of them has left.

use super::{AFTER_REFRESH, SteerArgs};
use crate::ceremony::{Cosign, Missing, read_signatures, review};
use crate::cli::desk::Desk;
use crate::cli::keys::tell_review;
use crate::context::{Context, Execute};
use crate::error::CommandResult;
use crate::keys::Keychain;
use crate::repository::Renew;
use crate::shell::Message;
use crate::steps::sign::keyrings;
use std::path::{Path, PathBuf};

/// Add signatures to what waits of a channel that several people sign, and publish it when the last one is there.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  cargo updater release sign\n  cargo updater release sign --channel beta --dry-run\n\n\
                        Without this program where the key is:\n  \
                        cargo updater release sign --export /media/stick\n  minisign -Sl -m stable.canonical.json\n  \
                        cargo updater release sign --import stable.canonical.json.minisig"
)]
pub(super) struct Args {
    /// Write the bytes to be signed into this folder, and sign nothing.
    #[arg(long, value_name = "DIR", help_heading = "Signing", conflicts_with = "import")]
    export: Option<PathBuf>,
    /// Take signatures that `minisign -Sl` made of these bytes.
    #[arg(long, value_name = "FILE", help_heading = "Signing")]
    import: Vec<PathBuf>,
    #[command(flatten)]
    common: SteerArgs,
}

impl Args {
    pub(super) fn run(&self, context: &Context) -> CommandResult {
        let (desk, shell) = (self.common.open(context)?, &context.shell);
        let channel = &desk.channel;
        let [(role, keyring), ..] = keyrings(channel, &desk.trust, desk.state.as_ref())?;
        let published = desk.state.as_ref().and_then(|state| state.channels().get(channel));
        let Some(mut waiting) = Cosign::find(&desk.storage, channel, &keyring, published)? else {
            shell.status("Unchanged", format_args!("nothing of {channel} waits for signatures"));
            return Ok(());
        };
        let version = waiting.role().version;
        let before = published.map(|published| &**published.role());
        tell_review(shell, &review::of_channel(channel, waiting.role(), before));
        let missing = desk.missing(channel)?;
        if let Some(folder) = &self.export {
            return self.export(context, folder, &waiting);
        }
        let mut keychain = desk.keychain(&self.common.keys)?;
        let can_sign = self.import.is_empty() && waiting.can_sign_more(&keychain);
        if missing.is_some() && self.import.is_empty() && !can_sign {
            return Err(keychain.missing(&role, &keyring).into());
        }
        if self.common.execute.execute() == Execute::DryRun {
            if can_sign {
                shell.status("Would sign", format_args!("version {version} of the role {channel}"));
            }
            shell.note(format_args!("dry run: nothing was changed in {}", desk.storage.name()));
            shell.message(&Told { channel: channel.as_str(), version, missing, published: false });
            return Ok(());
        }
        for file in &self.import {
            let path = context.path(file);
            waiting.add(&read_signatures(&path)?, &path)?;
        }
        if can_sign {
            self.common.execute.confirm(context, "Sign this with the keys that are here?")?;
            waiting.sign(&mut keychain)?;
        }
        if can_sign || !self.import.is_empty() {
            waiting.leave(&desk.storage)?;
            shell.status("Signed", format_args!("version {version} of the role {channel}"));
        }
        let missing = desk.missing(channel)?;
        let published = missing.is_none() && self.publish(context, &desk, &mut keychain)?;
        match (&missing, published) {
            (Some(missing), _) => shell.note(missing),
            (None, true) => shell.status("Published", format_args!("version {version} of the role {channel}")),
            (None, false) => shell.note(AFTER_REFRESH),
        }
        shell.message(&Told { channel: channel.as_str(), version, missing, published });
        Ok(())
    }

    fn export(&self, context: &Context, folder: &Path, waiting: &Cosign) -> CommandResult {
        let path = context.path(folder).join(format!("{}.canonical.json", waiting.channel()));
        if self.common.execute.execute() == Execute::DryRun {
            context.shell.status("Would write", path.display());
            return Ok(());
        }
        waiting.export(&path)?;
        context.shell.status("Exported", path.display());
        context.shell.note("sign it with `minisign -Sl -m FILE`, and bring back the `.minisig` for `--import`");
        Ok(())
    }

    /// Publishes what is complete, when the online key is here.
    fn publish(&self, context: &Context, desk: &Desk<'_>, keychain: &mut Keychain) -> CommandResult<bool> {
        let [_, online @ ..] = keyrings(&desk.channel, &desk.trust, desk.state.as_ref())?;
        if !online.iter().all(|(_, keyring)| keychain.can_sign(keyring)) {
            return Ok(false);
        }
        self.common.execute.confirm(context, &format!("Publish it in {} of {}?", desk.channel, desk.trust.app))?;
        desk.commit(keychain).refresh(Renew::Always)?;
        crate::cli::page::keep_up(context, desk);
        Ok(true)
    }
}

/// What became of it.
#[derive(serde::Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(in crate::cli) struct Told<'a> {
    channel: &'a str,
    version: u64,
    /// Whose signatures are missing; none when enough are there.
    missing: Option<Missing>,
    published: bool,
}

impl Message for Told<'_> {
    const REASON: &'static str = "cosigned";
}
