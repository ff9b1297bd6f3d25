//! Crash points: a real update is stopped at each of its file-system calls, and what is left must start.
//!
//! ```text
//! release.rs   versions of a small program that has the runtime, and the repository that offers them
//! app.rs       what that program does
//! world.rs     one install with a user's files; what must hold of it whatever happened
//! judge.rs     the app started again afterwards: whether it says what is installed, and whether the next update succeeds
//! trace.rs     strace: which calls a run makes, and how to stop or fail one of them
//! record.rs    the calls of a run with their bytes
//! disk.rs      a model of a disk: what a power cut may leave of them
//! power.rs     the moments at which the power is cut
//! short.rs     writes that write less than they were asked to
//! scenario.rs  update by patch and by bundle, also in another thread; return, trial, repair
//! campaign.rs  which calls are tried, and what came of them
//! ```
//!
//! Kills and errors happen to the real program. A power cut cannot be seen from inside a running kernel: there the calls of
//! an undisturbed run are applied to a model, and what it says is left is written down and must start.

pub mod app;
pub mod campaign;
pub mod disk;
pub mod judge;
pub mod power;
pub mod record;
pub mod release;
pub mod scenario;
pub mod short;
pub mod trace;
pub mod world;
