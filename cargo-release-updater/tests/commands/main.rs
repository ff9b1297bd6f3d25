//! The commands as people and scripts run them: the real program on a throw-away package, one file per command.
//! One test program for all of them, because linking takes longer than running.
#![expect(clippy::unwrap_used, reason = "helpers of tests outside a test function; what is skipped is told")]

mod app_bundle;
mod browser;
mod carried;
mod ceremony;
mod cli;
mod client;
mod components;
mod cosign;
mod doctor;
mod github;
mod guides;
mod hooks;
mod init;
mod install;
mod interrupted;
mod keys;
mod old_clients;
mod overview;
mod package;
mod person;
mod private;
mod prune;
mod publish;
mod recovery;
mod refresh;
mod release;
mod runbook;
mod secrets;
mod serve;
mod shells;
mod status;
mod storages;
mod terminal;
mod workspace;
