//! The whole loop, shown on real things: the real command, real builds, real servers, programs that nobody here wrote.
//! One test program for all of them, because linking takes longer than running.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "helpers of tests outside a test function; figures are told"
)]

mod app;
mod bad_input;
mod components;
mod examples;
mod fleet;
mod launcher;
mod page;
mod real_programs;
mod requests;
mod self_update;
mod steering;
mod trial_app;
mod tutorial;

#[path = "../commands/terminal.rs"]
mod terminal;

#[path = "../commands/package.rs"]
#[expect(dead_code, reason = "the tests of the single commands use more of it")]
mod package;
