//! The launcher as people use it: the program, real repositories, real processes.
#![expect(clippy::unwrap_used, reason = "helpers of tests outside a test function")]

mod completions;
mod downtime;
mod guide;
mod install;
mod kills;
mod mended;
mod processes;
mod running;
mod scene;
mod supervise;
mod talk;
mod told;
mod updates;
