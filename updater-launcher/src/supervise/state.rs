//! What `status` tells: one object, the same keys always.

use super::{Mode, Supervisor};
use serde_json::{Value, json};
use std::time::Instant;

/// How far a change of versions is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// None goes on.
    Idle,
    /// One version makes room for another.
    Swapping,
    /// A version that is new here is watched.
    Trial,
}

/// What has failed last.
#[derive(Debug, Clone, serde::Serialize)]
pub(super) struct LastError {
    event: String,
    message: String,
    time: String,
}

impl Supervisor {
    /// Remembers what has failed, for whoever asks later.
    pub(super) fn note_failure(&mut self, event: &str, message: &str, time: String) {
        self.last_error = Some(LastError { event: event.to_owned(), message: message.to_owned(), time });
    }

    /// Tells whether this is a moment to relaunch by itself: the app runs and is ready, and nothing is going on.
    pub(super) fn is_idle(&self) -> bool {
        let is_ready = self.app.as_ref().is_some_and(|app| app.is_ready && self.children.ending(app.pid).is_none());
        self.mode == Mode::Supervise && is_ready && !self.stopping && self.job.is_none() && self.requests.is_empty()
    }

    pub(super) fn status(&self) -> Value {
        let record = &self.install.record;
        let now = Instant::now();
        // One that was asked to end lives until it has.
        let app = self.app.as_ref().or(self.going.first());
        let seconds = |at: Instant| at.saturating_duration_since(now).as_secs();
        json!({
            "app": record.app,
            "channel": record.channel,
            "failures": self.failures.count(),
            "folder": self.install.places.root(),
            "last-error": self.last_error,
            "launcher": std::process::id(),
            "launcher-program": self.program,
            "launcher-replaced": self.is_replaced(),
            "next-check": self.next_check.map(seconds),
            "next-start": self.next_start.map(seconds),
            "not-offered": self.install.not_offered(),
            "pid": app.map(|app| app.pid.as_raw_nonzero().get()),
            "ready": self.app.as_ref().is_some_and(|app| app.is_ready),
            "root": record.root,
            "running": app.is_some(),
            "state": self.state(),
            "updating": self.job.is_some() || self.phase != Phase::Idle,
            "uptime": app.map(|app| app.started.elapsed().as_secs()),
            "url": record.url,
            "version": self.version.version,
        })
    }

    /// Returns the word for what goes on.
    fn state(&self) -> &'static str {
        let has_ended = |app: &super::app::App| self.children.ending(app.pid).is_some();
        match (&self.app, self.phase) {
            _ if self.stopping => "stopping",
            (_, Phase::Trial) => "trial",
            (_, Phase::Swapping) => "updating",
            _ if !self.going.is_empty() => "stopping",
            (Some(app), _) if has_ended(app) => "stopping",
            (Some(app), _) if app.is_ready => "running",
            (Some(_), _) => "starting",
            (None, _) if self.next_start.is_some() => "waiting",
            (None, _) if self.end.is_some() => "updating",
            (None, _) => "starting",
        }
    }
}
