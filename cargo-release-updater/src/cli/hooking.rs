//! The hooks around an upload, as `publish` runs them.

use super::desk::Desk;
use crate::error::{CommandError, CommandResult};
use crate::hooks::{Hook, HookError};
use crate::plan::Plan;
use crate::steps::rehearse::Rehearsed;
use std::path::PathBuf;

/// Why `after-publish` may run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AfterPublish {
    /// The release was published just now.
    Now,
    /// It was published by an earlier run, which may have ended before the hook did.
    IfLeftOut,
}

impl Desk<'_> {
    /// Runs the hook before anything is uploaded, and holds the files against what was signed.
    pub(super) fn before_upload(&self, plan: &Plan, rehearsed: &Rehearsed) -> Result<(), HookError> {
        if self.hooks.programs(Hook::BeforeUpload).is_empty() {
            return Ok(());
        }
        self.tell_running(Hook::BeforeUpload, plan);
        let folder = rehearsed.signed().folder().display().to_string();
        let values = [
            ("app", plan.app.as_str()),
            ("component", self.component.as_ref().map_or("", |name| name.as_str())),
            ("version", &plan.version.to_string()),
            ("channel", plan.channel.as_str()),
            ("folder", folder.as_str()),
        ];
        self.hooks.run(Hook::BeforeUpload, &values, "")?;
        rehearsed.must_be_as_signed()
    }

    /// Notes that the hook after a release has to run: whoever publishes it again runs it when this run does not.
    pub(super) fn owe_after_publish(&self, plan: &Plan) -> Result<(), HookError> {
        if self.hooks.programs(Hook::AfterPublish).is_empty() {
            return Ok(());
        }
        let owed = self.owed(plan);
        crate::files::write_durably(&owed, b"").map_err(|source| HookError::Start {
            hook: Hook::AfterPublish.name(),
            program: owed.display().to_string(),
            source,
        })
    }

    /// Runs the hook when clients can see a release. That it fails takes nothing back.
    pub(super) fn after_publish(&self, plan: &Plan, when: AfterPublish) -> CommandResult {
        let owed = self.owed(plan);
        if self.hooks.programs(Hook::AfterPublish).is_empty() || (when == AfterPublish::IfLeftOut && !owed.exists()) {
            return Ok(());
        }
        self.tell_running(Hook::AfterPublish, plan);
        let values = [
            ("app", plan.app.as_str()),
            ("component", self.component.as_ref().map_or("", |name| name.as_str())),
            ("version", &plan.version.to_string()),
            ("channel", plan.channel.as_str()),
            ("url", self.url()),
            ("storage", self.storage.name()),
        ];
        self.hooks.run(Hook::AfterPublish, &values, "").map_err(|error| {
            CommandError::from(error)
                .hint("the release is published; running the same command again runs the hook again")
        })?;
        // What cannot be removed makes the hook run once more.
        drop(std::fs::remove_file(owed));
        Ok(())
    }

    fn owed(&self, plan: &Plan) -> PathBuf {
        let component = self.component.as_ref().map(|name| format!("{name}-")).unwrap_or_default();
        let name = format!("{}-{component}{}-{}", plan.app, plan.channel, plan.version);
        self.folders.root().join(Hook::AfterPublish.name()).join(name)
    }

    fn tell_running(&self, hook: Hook, plan: &Plan) {
        self.context.shell.status("Running", format_args!("{} for {} {}", hook.name(), plan.subject(), plan.version));
    }
}
