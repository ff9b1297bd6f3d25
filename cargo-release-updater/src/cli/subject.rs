//! What a command works on: the app, its components, or some of these.

use super::desk::unknown_component;
use crate::error::CommandResult;
use updater_format::ComponentName;

/// Which of an app and its components.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Selection")]
pub(super) struct SubjectArgs {
    /// Only this component; may be given several times. The app and all of its components when not given.
    #[arg(long, value_name = "NAME")]
    pub(super) component: Vec<ComponentName>,
    /// Leave the components out.
    #[arg(long, conflicts_with = "component")]
    no_components: bool,
}

impl SubjectArgs {
    /// Returns what is worked on, the components first: a new app may need a new component, and an app that is too old for
    /// one does not take it. `None` is the app itself.
    pub(super) fn subjects(&self, components: &[ComponentName]) -> CommandResult<Vec<Option<ComponentName>>> {
        if let Some(unknown) = self.component.iter().find(|name| !components.contains(name)) {
            return Err(unknown_component(unknown, components));
        }
        if !self.component.is_empty() {
            return Ok(self.component.iter().cloned().map(Some).collect());
        }
        let components = if self.no_components { &[] } else { components };
        Ok(components.iter().cloned().map(Some).chain([None]).collect())
    }
}

/// One component instead of the app.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Selection")]
pub(super) struct ComponentArgs {
    /// This component instead of the app itself.
    #[arg(long, value_name = "NAME")]
    pub(super) component: Option<ComponentName>,
}
