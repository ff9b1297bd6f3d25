//! Child processes: what is started, and what is there then. How a system starts them is in `spawn`.

use super::processes::Pid;
use super::spawn::{Handed, Output};
use std::path::Path;
use std::process::ChildStdin;

/// What is started, by `spawn`: as the leader of a process group of its own that ends with the launcher.
#[derive(Debug)]
pub(super) struct Start<'a> {
    /// Program and arguments.
    pub(super) argv: &'a [String],
    /// Its working directory.
    pub(super) dir: &'a Path,
    /// Variables added to its environment.
    pub(super) env: &'a [(String, String)],
    /// A listening socket to hand over, where a system can.
    pub(super) listener: Option<Handed>,
    /// Whether it reads from a pipe; else it reads nothing.
    pub(super) talks: bool,
}

/// A child that runs, with the pipes to it.
#[derive(Debug)]
pub(super) struct Child {
    pub(super) pid: Pid,
    #[cfg(windows)]
    pub(super) running: super::processes::Running,
    pub(super) stdin: Option<ChildStdin>,
    pub(super) stdout: Output,
    pub(super) stderr: Output,
}
