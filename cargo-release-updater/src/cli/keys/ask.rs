//! What a ceremony asks a person; without a terminal the answer has to be on the command line.

use super::ceremony::in_force;
use crate::ceremony::CeremonyError;
use crate::cli::desk::Desk;
use crate::context::{Context, Prompts};
use crate::error::{CommandError, CommandResult, ExitCode};
use crate::keys::KeyRole;

/// Asks which role gets other keys.
pub(super) fn role(context: &Context, desk: &Desk<'_>) -> CommandResult<KeyRole> {
    let (_, targets) = in_force(desk)?;
    let channels = targets.delegations.iter().flat_map(|delegations| &delegations.roles).map(|role| role.name.clone());
    let roles: Vec<String> = ["root", "targets", "online"].map(str::to_owned).into_iter().chain(channels).collect();
    let missing =
        || CommandError::new(ExitCode::Usage, "no role is named").hint(format!("name one of: {}", roles.join(", ")));
    if context.prompts == Prompts::Never {
        return Err(missing());
    }
    let chosen =
        dialoguer::Select::new().with_prompt("Which role gets another key").items(&roles).default(0).interact();
    let chosen = chosen.map_err(|source| CommandError::new(ExitCode::Usage, source).hint("name the role"))?;
    Ok(KeyRole::parse(roles.get(chosen).ok_or_else(missing)?)?)
}

/// Asks which of several keys goes.
pub(super) fn which(context: &Context, role: &KeyRole, ids: &[String]) -> CommandResult<String> {
    let missing = || CeremonyError::Which { role: role.as_str().to_owned(), keys: ids.join(", ") };
    if context.prompts == Prompts::Never {
        return Err(missing().into());
    }
    let prompt = format!("Which key of {} goes", role.as_str());
    let chosen = dialoguer::Select::new().with_prompt(prompt).items(ids).default(0).interact();
    let chosen =
        chosen.map_err(|source| CommandError::new(ExitCode::Usage, source).hint("name it with `--replace`"))?;
    Ok(ids.get(chosen).ok_or_else(missing)?.clone())
}
