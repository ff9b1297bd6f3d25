//! `cargo updater release`: what becomes of releases after they were published. One file per group of subcommands.

pub(super) mod list;
mod promote;
mod required;
mod rollout;
pub(super) mod sign;
mod yank;

use super::desk::{AFTER_REFRESH, ChannelArgs, Desk};
use super::subject::ComponentArgs;
use super::{ExecuteArgs, KeyArgs, PackageArgs, StorageArgs};
use crate::context::{Context, Execute};
use crate::error::CommandResult;
use crate::repository::{Committed, RepositoryError, RepositoryState};
use crate::shell::Message;
use crate::steps::steer::{RuleChange, SteeringChange};
use updater_format::release::ChannelContents;

/// List, sign, promote, roll out, hold, yank and take back releases.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  cargo updater release list\n  cargo updater release rollout 2.4.1 25\n  \
                        cargo updater release promote 2.4.1 --from beta --channel stable\n  \
                        cargo updater release retreat 2.4.1 2.4.0")]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    List(list::Args),
    Promote(promote::Args),
    Sign(sign::Args),
    Rollout(rollout::RolloutArgs),
    Hold(rollout::HoldArgs),
    Yank(yank::YankArgs),
    Retreat(yank::RetreatArgs),
    Require(required::RequireArgs),
    Floor(required::FloorArgs),
}

impl Args {
    pub(super) fn run(&self, context: &Context) -> CommandResult {
        match &self.command {
            Command::List(args) => args.run(context),
            Command::Promote(args) => args.run(context),
            Command::Sign(args) => args.run(context),
            Command::Rollout(args) => args.run(context),
            Command::Hold(args) => args.run(context),
            Command::Yank(args) => args.run(context),
            Command::Retreat(args) => args.run(context),
            Command::Require(args) => args.run(context),
            Command::Floor(args) => args.run(context),
        }
    }
}

/// What every subcommand that changes something takes.
#[derive(Debug, Clone, Default, clap::Args)]
struct SteerArgs {
    #[command(flatten)]
    package: PackageArgs,
    #[command(flatten)]
    subject: ComponentArgs,
    #[command(flatten)]
    channel: ChannelArgs,
    #[command(flatten)]
    storage: StorageArgs,
    #[command(flatten)]
    keys: KeyArgs,
    #[command(flatten)]
    execute: ExecuteArgs,
}

impl SteerArgs {
    fn open<'a>(&self, context: &'a Context) -> CommandResult<Desk<'a>> {
        Desk::open_for(context, &self.package, &self.storage, &self.channel, &self.subject)
    }

    /// Changes the rules of the channel's role.
    fn change_rules(&self, context: &Context, change: &RuleChange, ask: Ask) -> CommandResult {
        let desk = self.open(context)?;
        published(&desk)?;
        // Tried on what is published now, so that a plan is only shown of what would work.
        let mut rules = desk.rules().cloned().unwrap_or_default();
        change.apply(&mut rules, desk.published().unwrap_or(&ChannelContents::default()))?;
        if !self.go_on(context, &desk, &change.describe(), ask)? {
            return Ok(());
        }
        let mut keychain = desk.keychain(&self.keys)?;
        let committed = desk.commit(&mut keychain).publish(&desk.channel, |role, before| {
            let (nothing, component) = (ChannelContents::default(), desk.component.as_ref());
            if let Some(extension) = &mut role.extension {
                let contents = before.and_then(|contents| contents.of(component));
                change.apply(extension.rules_mut(component), contents.unwrap_or(&nothing))?;
            }
            Ok(())
        })?;
        tell(context, &desk, &change.describe(), committed)
    }

    /// Changes what the online key withholds of the channel.
    fn change_steering(&self, context: &Context, change: &SteeringChange) -> CommandResult {
        let desk = self.open(context)?;
        let apply = |state: &RepositoryState, extension: &mut updater_format::role::TimestampExtension| {
            let nothing = ChannelContents::default();
            let component = desk.component.as_ref();
            let contents = state.channels().get(&desk.channel).and_then(|channel| channel.contents().of(component));
            change.apply(extension.steering_mut(&desk.channel, component), contents.unwrap_or(&nothing))?;
            extension.tidy();
            Ok(())
        };
        let state = published(&desk)?;
        apply(state, &mut state.timestamp().extension.clone().unwrap_or_default())?;
        if !self.go_on(context, &desk, &change.describe(), Ask::Never)? {
            return Ok(());
        }
        let mut keychain = desk.keychain(&self.keys)?;
        let committed = desk.commit(&mut keychain).withhold(|extension, state| apply(state, extension))?;
        tell(context, &desk, &change.describe(), committed)
    }

    /// Prints the plan, and asks if that is wanted. Returns whether to act.
    fn go_on(&self, context: &Context, desk: &Desk<'_>, what: &str, ask: Ask) -> CommandResult<bool> {
        if self.execute.execute() == Execute::DryRun {
            context.shell.status("Would", format_args!("{what}, in {} of {}", desk.channel, desk.subject()));
            context.shell.message(&Steered::of(desk, what, None));
            context.shell.note(format_args!("dry run: nothing was changed in {}", desk.storage.name()));
            return Ok(false);
        }
        if ask == Ask::Once {
            let question = format!("In {} of {} at {}: {what}?", desk.channel, desk.subject(), desk.storage.name());
            self.execute.confirm(context, &question)?;
        }
        Ok(true)
    }
}

/// Whether a person is asked before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ask {
    /// It can be taken back, or only withholds.
    Never,
    /// Clients act on it at once.
    Once,
}

fn published<'a>(desk: &'a Desk<'_>) -> Result<&'a RepositoryState, RepositoryError> {
    let missing = || RepositoryError::NothingPublished { storage: desk.storage.name().to_owned() };
    desk.state.as_ref().ok_or_else(missing)
}

fn tell(context: &Context, desk: &Desk<'_>, what: &str, committed: Committed) -> CommandResult {
    let verb = if committed.is_waiting() { "Submitted" } else { "Published" };
    context.shell.status(verb, format_args!("{} {}: {what}", desk.subject(), desk.channel));
    super::page::keep_up(context, desk);
    if committed.is_waiting() {
        desk.tell_waiting(&desk.channel)?;
    }
    let Committed { timestamp, snapshot, role } = committed;
    context.shell.detail(format_args!("timestamp {timestamp}, snapshot {snapshot}, role {role}"));
    context.shell.message(&Steered::of(desk, what, Some(committed)));
    Ok(())
}

/// The rules of a channel were changed, or would be.
#[derive(serde::Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct Steered {
    app: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    component: Option<String>,
    channel: String,
    change: String,
    /// Versions of the new documents; none in a dry run.
    timestamp: Option<u64>,
    snapshot: Option<u64>,
    /// None, too, when the channel's role was not signed.
    role: Option<u64>,
}

impl Message for Steered {
    const REASON: &'static str = "steered";
}

impl Steered {
    fn of(desk: &Desk<'_>, what: &str, committed: Option<Committed>) -> Self {
        Self {
            app: desk.trust.app.to_string(),
            component: desk.component.as_ref().map(ToString::to_string),
            channel: desk.channel.to_string(),
            change: what.to_owned(),
            timestamp: committed.map(|committed| committed.timestamp).filter(|version| *version > 0),
            snapshot: committed.map(|committed| committed.snapshot).filter(|version| *version > 0),
            role: committed.map(|committed| committed.role).filter(|role| *role > 0),
        }
    }
}
