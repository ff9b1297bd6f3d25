//! `cargo updater sign`: the bundles and patches made before become a signed repository in a local folder.

use super::desk::{AboutArgs, ChannelArgs, Desk};
use super::subject::ComponentArgs;
use super::{DryRunArgs, KeyArgs, PackageArgs, StorageArgs};
use crate::context::{Context, Execute};
use crate::error::CommandResult;
use crate::preflight::{self, Facts};
use crate::progress::counted;
use crate::shell::Message;
use crate::steps::sign::{keyrings, sign};
use updater_format::ReleaseVersion;

/// Sign the bundled release into a local repository, to be looked at.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  cargo updater sign\n  cargo updater sign --notes NOTES.md")]
pub(super) struct Args {
    #[command(flatten)]
    package: PackageArgs,
    #[command(flatten)]
    channel: ChannelArgs,
    #[command(flatten)]
    subject: ComponentArgs,
    /// The version whose bundles are there; Cargo.toml's, or that of the component, when not given.
    #[arg(long = "version", id = "release", value_name = "VERSION", help_heading = "Selection")]
    version: Option<ReleaseVersion>,
    #[command(flatten)]
    about: AboutArgs,
    #[command(flatten)]
    storage: StorageArgs,
    #[command(flatten)]
    keys: KeyArgs,
    #[command(flatten)]
    dry_run: DryRunArgs,
}

impl Args {
    pub(super) fn run(&self, context: &Context) -> CommandResult {
        let desk = Desk::open_for(context, &self.package, &self.storage, &self.channel, &self.subject)?;
        let version = desk.version_of(self.version.as_ref())?;
        let bundles = desk.bundles(&version)?;
        let patches = desk.patches(&bundles)?;
        let release = desk.release(&version, bundles, patches, &self.about)?;
        let plan = desk.plan(&version, &release.request.platforms)?;
        let mut keychain = desk.keychain(&self.keys)?;
        let now = context.clock.now();
        let facts = Facts::new(&desk.trust, desk.state.as_ref(), &desk.channel, &keychain, now)?;
        preflight::run(&facts, &context.shell)?;
        release.check_bytes(desk.published())?;
        let folder = desk.folders.release(&desk.trust.app);
        if self.dry_run.execute() == Execute::DryRun {
            let bundles = counted(release.bundles.len(), "bundle");
            let patches = format!("patches from {}", release.patches.len());
            let listed = counted(plan.listed.len(), "release");
            context.shell.status(
                "Would sign",
                format_args!("{} {version}: {bundles}, {patches}, {listed} listed", plan.subject()),
            );
            return Ok(());
        }
        let signed = sign(release, &mut desk.publisher(&mut keychain), &folder)?;
        let committed = signed.committed();
        context.shell.status(
            "Signed",
            format_args!("{} {version}: version {} of the role {}", plan.subject(), committed.role, desk.channel),
        );
        let needed = keyrings(&desk.channel, &desk.trust, desk.state.as_ref())?;
        let short = needed.iter().rev().find(|(_, keyring)| !keychain.can_sign(keyring));
        let waits_for = short.map(|(role, keyring)| {
            let missing = keychain.missing(role, keyring);
            let (what, who) = match *role == desk.channel.as_str() {
                true => ("signatures", "the holders of its other keys"),
                false => ("online-key", "`cargo updater refresh` where the online key is"),
            };
            context.shell.warn(format_args!(
                "this folder is for `cargo updater rehearse` alone: {missing}, so keys made for it stand in and clients \
                 refuse it. `cargo updater publish` leaves the release for {who}"
            ));
            what
        });
        context.shell.detail(format_args!("in {}", folder.display()));
        context.shell.message(&Signed {
            folder: folder.display().to_string(),
            version: version.to_string(),
            channel: desk.channel.to_string(),
            role: committed.role,
            snapshot: committed.snapshot,
            timestamp: committed.timestamp,
            waits_for,
        });
        Ok(())
    }
}

/// A release was signed.
#[derive(serde::Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct Signed {
    folder: String,
    version: String,
    channel: String,
    role: u64,
    snapshot: u64,
    timestamp: u64,
    /// What has to sign before clients take the folder; a stand-in has.
    waits_for: Option<&'static str>,
}

impl Message for Signed {
    const REASON: &'static str = "signed";
}
