//! What clients of the control socket ask for.

use super::Supervisor;
use super::processes::Pid;
use super::swap::Outcome;
use crate::control::{ClientId, Command, Reply, Request};
use crate::error::Result;
use serde_json::json;

impl Supervisor {
    /// Answers what can be answered at any time, and keeps the rest for the loop.
    pub(super) fn take_requests(&mut self, requests: Vec<(ClientId, Request)>) {
        for (client, request) in requests {
            match request.command {
                Command::Status => {
                    let status = self.status();
                    self.reply(client, &Reply::done(status));
                }
                Command::Events => {
                    if let Some(server) = &mut self.server {
                        server.subscribe(client);
                    }
                }
                Command::Confirm => {
                    let reply = self.confirm(client);
                    self.reply(client, &reply);
                }
                Command::Stop => {
                    self.stopping = true;
                    self.leaving.push(client);
                }
                Command::Check | Command::Update | Command::Rollback | Command::Restart | Command::Relaunch => {
                    self.requests.push_back((client, request));
                }
            }
        }
    }

    /// Takes a confirmation, from the app that runs or from what it has started: nobody else knows how it is, and an older
    /// version that still runs beside it least of all.
    fn confirm(&mut self, client: ClientId) -> Reply {
        let app = self.app.as_ref().map(|app| app.pid);
        if app.is_some_and(|app| self.children.holds(app, client.process)) {
            self.confirmed = true;
            return Reply::done(json!({}));
        }
        let number = |pid: Pid| pid.as_raw_nonzero().to_string();
        let app = app.map_or("does not run".to_owned(), |app| format!("is process {}", number(app)));
        let message = format!("process {} cannot confirm the app, which {app}", number(client.process));
        self.say("refused", &message);
        Reply::refused("not-the-app", &message, "the app says it itself, or a process that it has started")
    }

    /// Tells whether a request waits whose time has come. What changes versions waits for the job before it.
    pub(super) fn can_handle_requests(&self) -> bool {
        let is_free =
            |request: &Request| self.job.is_none() || matches!(request.command, Command::Rollback | Command::Restart);
        self.requests.front().is_some_and(|(_, request)| is_free(request))
    }

    /// Does what was asked for, in order.
    pub(super) fn handle_requests(&mut self) {
        while self.can_handle_requests() && !self.stopping {
            let Some((client, request)) = self.requests.pop_front() else { return };
            match request.command {
                Command::Check | Command::Update => {
                    self.waiting.push(client);
                    self.begin_job(if request.command == Command::Check { "check" } else { "update" });
                }
                Command::Rollback => {
                    let done = self.roll_back(request.version.as_ref());
                    self.answer(client, done.map(|version| json!({"version": version})));
                }
                Command::Relaunch => {
                    // Who asked sees the connection end when it comes about.
                    let error = self.relaunch();
                    self.answer(client, Err(error));
                }
                _ => {
                    let done = self.restart_app();
                    self.answer(client, done.map(|()| json!({"version": self.version.version})));
                }
            }
        }
    }

    /// Tells those who asked for it how a check or an update has ended.
    pub(super) fn answer_waiting(&mut self, outcome: &Result<Outcome>) {
        let reply = match outcome {
            Ok(Outcome::Current) => Reply::done(json!({"update": null, "version": self.version.version})),
            Ok(Outcome::Available(version)) => Reply::done(json!({"update": version, "version": self.version.version})),
            Ok(Outcome::Updated(version)) => Reply::done(json!({"update": null, "updated": true, "version": version})),
            Err(error) => Reply::failed(error),
        };
        for client in std::mem::take(&mut self.waiting) {
            self.reply(client, &reply);
        }
    }

    fn restart_app(&mut self) -> Result<()> {
        // Settings of this computer may have changed; that is often why. While they cannot be read the app runs on.
        let merged = self.install.settings(&self.version.dir)?;
        // Nor is it stopped for settings with which it cannot start.
        self.install.check_start(&self.version, &merged)?;
        if let Some(app) = self.app.take() {
            self.stop_app(&app);
        }
        let is_other = merged.settings.interval != self.merged.settings.interval;
        self.merged = merged;
        if is_other {
            self.next_check = self.after_interval();
        }
        self.end = None;
        self.next_start = None;
        self.begin_anew();
        // Whoever asked learns of it, and the next start is awaited all the same.
        self.start_app(None).inspect_err(|_| self.count_failure_or_end())
    }

    fn answer(&mut self, client: ClientId, done: Result<serde_json::Value>) {
        match done {
            Ok(data) => self.reply(client, &Reply::done(data)),
            Err(error) => {
                self.say("failed", &error.full_message());
                self.reply(client, &Reply::failed(&error));
            }
        }
    }

    fn reply(&mut self, client: ClientId, reply: &Reply) {
        if let Some(server) = &mut self.server {
            server.reply(client, reply);
        }
    }
}
