//! The end of the launcher by itself, and what may prevent it: an app that fails at its start is what an update mends, so
//! before the launcher gives up, an update that is on its way is finished, or one is looked for.

use super::Supervisor;
use crate::error::Result;
use updater_format::launcher::Interval;

/// What the launcher ends with by itself.
#[derive(Debug)]
pub(super) struct End {
    /// The exit code, or why there never was an app.
    pub(super) result: Result<i32>,
    /// Whether a new version could do better.
    pub(super) may_be_mended: bool,
}

impl Supervisor {
    /// Returns what the launcher ends with, as soon as nothing is left that would mend it.
    pub(super) fn last_word(&mut self) -> Option<Result<i32>> {
        if self.end.as_ref()?.may_be_mended && self.may_be_mended() {
            return None;
        }
        self.drop_job();
        self.end.take().map(|end| end.result)
    }

    /// Tells whether an update is on its way; where none was looked for since the app was last well, one is begun.
    fn may_be_mended(&mut self) -> bool {
        let settings = &self.merged.settings;
        let is_on = settings.update_at_start || matches!(settings.interval, Interval::Every(_));
        match self.job.as_ref().map(|job| job.name) {
            Some("update") => {
                self.has_looked = true;
                true
            }
            Some(_) => is_on && !self.has_looked,
            None if !is_on || self.has_looked => false,
            None => {
                self.has_looked = true;
                self.next_check = self.after_interval();
                self.say("last-look", "before the launcher ends, for an update that mends it");
                self.begin_job("update");
                self.job.is_some()
            }
        }
    }
}
