//! Children by their numbers. A number stays its own for as long as a handle to the process is open, which is until
//! [`Children::let_go`].

use super::bell;
use super::ending::Ending;
use crate::win32::{self, Job};
use std::collections::HashMap;
use std::num::NonZeroU32;
use std::os::windows::io::AsHandle as _;
use std::process::Child;

/// The number of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Pid(NonZeroU32);

impl Pid {
    pub(crate) fn of(child: &Child) -> Option<Self> {
        Self::from_raw(child.id())
    }

    pub(crate) fn from_raw(number: u32) -> Option<Self> {
        NonZeroU32::new(number).map(Self)
    }

    pub(crate) fn as_raw_nonzero(self) -> NonZeroU32 {
        self.0
    }
}

/// A way to end a process. Windows has two: Ctrl-Break, for all that are asked to, and the end at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Signal(i32);

impl Signal {
    pub(super) const TERM: Self = Self(BREAK);
    pub(super) const INT: Self = Self(BREAK);
    pub(super) const HUP: Self = Self(BREAK);
    pub(super) const QUIT: Self = Self(BREAK);
    pub(super) const USR1: Self = Self(BREAK);
    pub(super) const USR2: Self = Self(BREAK);
    pub(super) const KILL: Self = Self(KILLED);

    pub(super) fn as_raw(self) -> i32 {
        self.0
    }
}

/// A child and the job that holds what it starts.
#[derive(Debug)]
pub(super) struct Running {
    child: Child,
    job: Job,
    ending: Option<Ending>,
}

impl Running {
    pub(super) fn new(child: Child, job: Job) -> Self {
        Self { child, job, ending: None }
    }
}

/// The children whose end somebody waits for.
#[derive(Debug, Default)]
pub(super) struct Children {
    known: HashMap<Pid, Running>,
}

impl Children {
    /// Knows a child that was just started; the loop is woken by its end.
    pub(super) fn add(&mut self, pid: Pid, running: Running) {
        match running.child.as_handle().try_clone_to_owned() {
            Ok(process) => {
                std::thread::spawn(move || {
                    win32::wait_for_end(&process);
                    bell::ring();
                });
            }
            Err(error) => log::warn!("the end of process {} is seen late: {error}", pid.0),
        }
        self.known.insert(pid, running);
    }

    /// Looks which children have ended.
    pub(super) fn look(&mut self) {
        for running in self.known.values_mut().filter(|running| running.ending.is_none()) {
            running.ending = match running.child.try_wait() {
                Ok(Some(status)) => Some(match status.code() {
                    Some(CONTROL_C_EXIT) => Ending::Signal(BREAK),
                    code => Ending::Code(code.unwrap_or(1)),
                }),
                Ok(None) => None,
                Err(_) => Some(Ending::Code(1)),
            };
        }
    }

    /// Tells whether a child was not let go yet.
    pub(super) fn knows(&self, pid: Pid) -> bool {
        self.known.contains_key(&pid)
    }

    /// A program that cannot be run is not even started here.
    #[expect(clippy::unused_self, reason = "on other systems it is seen only afterwards")]
    pub(super) fn not_executed(&self, _pid: Pid) -> Option<String> {
        None
    }

    /// Returns how a child has ended, as far as was looked.
    pub(super) fn ending(&self, pid: Pid) -> Option<Ending> {
        self.known.get(&pid)?.ending
    }

    /// Lets the number of a child go, and ends what is left in its job.
    pub(super) fn let_go(&mut self, pid: Pid) -> Option<Ending> {
        self.known.remove(&pid)?.ending
    }

    /// Asks a child that was not let go to end, or ends it; one that has ended is no error.
    pub(super) fn signal(&self, pid: Pid, signal: Signal) {
        self.signal_group(pid, signal);
    }

    /// As [`Children::signal`], for all that is left in its job. Ctrl-Break reaches a whole process group in any case.
    pub(super) fn signal_group(&self, leader: Pid, signal: Signal) {
        let Some(running) = self.known.get(&leader) else { return };
        let sent = match signal {
            Signal::KILL => running.job.terminate(128 + KILLED.unsigned_abs()),
            _ => win32::interrupt(leader.0.get()),
        };
        if let Err(error) = sent {
            log::debug!("signal {} to {}: {error}", signal.as_raw(), leader.0);
        }
    }

    /// Tells whether a process other than the leader lives in the job of a child that has ended.
    pub(super) fn has_members(&self, leader: Pid) -> bool {
        let Some(running) = self.known.get(&leader) else { return false };
        let own = u32::from(running.ending.is_none());
        running.job.active().is_ok_and(|active| active > own)
    }

    /// Tells whether a process is this child or was started by it however indirectly.
    pub(super) fn holds(&self, leader: Pid, pid: Pid) -> bool {
        self.known.get(&leader).is_some_and(|running| running.job.holds(pid.0.get()).unwrap_or(false))
    }
}

/// SIGBREAK of the C library.
const BREAK: i32 = 21;
/// SIGKILL of other systems, for the exit code of what was ended at once: 137.
const KILLED: i32 = 9;
/// STATUS_CONTROL_C_EXIT: the exit code of a program that Ctrl-Break has ended.
const CONTROL_C_EXIT: i32 = 0xC000_013A_u32.cast_signed();

#[cfg(test)]
mod tests {
    use super::*;
    use crate::supervise::child::Start;
    use std::time::{Duration, Instant};

    fn start(command: &str) -> crate::supervise::child::Child {
        let argv = [r"C:\windows\system32\cmd.exe".to_owned(), "/c".to_owned(), command.to_owned()];
        let dir = std::env::temp_dir();
        Start { argv: &argv, dir: &dir, env: &[], listener: None, talks: false }.spawn().unwrap()
    }

    fn end_of(children: &mut Children, pid: Pid) -> Ending {
        let begin = Instant::now();
        loop {
            children.look();
            if let Some(ending) = children.ending(pid) {
                return ending;
            }
            assert!(begin.elapsed() < Duration::from_secs(30), "it does not end");
            bell::wait(Some(Duration::from_millis(100)));
        }
    }

    /// Where a console was made for the child, what serves that may take a moment longer.
    fn none_left(children: &Children, pid: Pid) {
        let begin = Instant::now();
        while children.has_members(pid) {
            assert!(begin.elapsed() < Duration::from_secs(30), "something is left in the job");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    #[test]
    fn an_end_is_seen_and_what_is_left_in_the_job_is_ended() {
        let mut children = Children::default();
        let child = start("exit 7");
        children.add(child.pid, child.running);
        assert_eq!(end_of(&mut children, child.pid), Ending::Code(7));
        none_left(&children, child.pid);
        assert_eq!(children.let_go(child.pid), Some(Ending::Code(7)));
        assert_eq!(children.let_go(child.pid), None);
        // A child that waits for one of its own.
        let child = start(r"C:\windows\system32\ping.exe -n 600 127.0.0.1");
        children.add(child.pid, child.running);
        assert!(children.holds(child.pid, child.pid));
        assert!(!children.holds(child.pid, Pid::from_raw(std::process::id()).unwrap()));
        children.signal(child.pid, Signal::KILL);
        assert_eq!(end_of(&mut children, child.pid).exit_code(), 137);
        none_left(&children, child.pid);
    }
}
