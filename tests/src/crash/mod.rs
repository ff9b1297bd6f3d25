//! Crash points: a real update is stopped at each of its file-system calls, and what is left must start.
//!
//! ```text
//! release.rs   versions of a small program that has the runtime, and the repository that offers them
//! app.rs       what that program does
//! world.rs     one install with a user's files; what must hold of it whatever happened
//! trace.rs     strace: which calls a run makes, and how to stop or fail one of them
//! scenario.rs  update by patch and by bundle, return, trial, repair
//! durable.rs   what a clean run must have made durable before each step that counts on it
//! campaign.rs  which calls are tried, and what came of them
//! ```
//!
//! What a power cut does to data that was never made durable cannot be seen from inside a running kernel. [`durable`]
//! checks the order of the calls instead: that each file and folder was synced before the step that relies on it.

pub mod app;
pub mod campaign;
pub mod durable;
pub mod release;
pub mod scenario;
pub mod trace;
pub mod world;
