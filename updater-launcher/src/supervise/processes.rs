//! Processes by their numbers, so that none is ever taken for another one.
//!
//! The kernel gives a number away again as soon as a process is gone and its parent has taken its end, and that of a process
//! group when its last member has gone. So the end of a child is only looked at first: its number, and that of the group
//! that it leads, stay its own until [`Children::let_go`], and no signal before that can reach a stranger. What is no child
//! of ours (the app of a launcher that was killed) is held by a descriptor instead, which never means another process.

use super::ending::Ending;
use crate::exec::{NOT_EXECUTED, NOT_EXECUTED_NAME};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
pub(crate) use rustix::process::Pid;
pub(super) use rustix::process::Signal;
use rustix::process::{
    PidfdFlags, WaitId, WaitIdOptions, WaitOptions, kill_process, kill_process_group, pidfd_open, pidfd_send_signal,
    waitid, waitpid,
};
use std::collections::HashMap;
use std::os::fd::{AsFd as _, OwnedFd};

/// The children whose end somebody waits for. Each leads a process group.
#[derive(Debug, Default)]
pub(super) struct Children {
    known: HashMap<i32, Option<Ending>>,
}

impl Children {
    /// Knows a child that was just started.
    pub(super) fn add(&mut self, pid: Pid) {
        self.known.insert(number(pid), None);
    }

    /// Looks which children have ended, and takes the end of all others: as process 1 these are all orphans.
    pub(super) fn look(&mut self) {
        for (number, ending) in &mut self.known {
            if ending.is_none()
                && let Some(pid) = Pid::from_raw(*number)
            {
                let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
                *ending = match waitid(WaitId::Pid(pid), options) {
                    Ok(Some(status)) => match (status.exit_status(), status.terminating_signal()) {
                        (Some(code), _) => Some(Ending::Code(code)),
                        (None, signal) => Some(Ending::Signal(signal.unwrap_or_default())),
                    },
                    Ok(None) => None,
                    // Whoever has taken its end did not tell us how it was.
                    Err(_) => Some(Ending::Code(1)),
                };
            }
        }
        for child in children() {
            if !self.known.contains_key(&number(child)) && waitpid(Some(child), WaitOptions::NOHANG).is_ok() {
                log::debug!("an orphan: {}", number(child));
            }
        }
    }

    /// Tells whether the end of a child was not taken yet.
    pub(super) fn knows(&self, pid: Pid) -> bool {
        self.known.contains_key(&number(pid))
    }

    /// Returns why a child never became the program that it was to be, if that is why it has ended. Until it is let go it
    /// still has the name that `__exec` leaves then.
    pub(super) fn not_executed(&self, pid: Pid) -> Option<String> {
        if self.ending(pid)? != Ending::Code(NOT_EXECUTED) {
            return None;
        }
        let name = std::fs::read_to_string(format!("/proc/{}/comm", number(pid))).ok()?;
        Some(exec_problem(name.trim_end().strip_prefix(NOT_EXECUTED_NAME)?.parse().ok()?))
    }

    /// Returns how a child has ended, as far as was looked.
    pub(super) fn ending(&self, pid: Pid) -> Option<Ending> {
        self.known.get(&number(pid)).copied().flatten()
    }

    /// Takes the end of a child: its number may be another's from here on. One that has not ended is nobody's from now on,
    /// and is taken when it does.
    pub(super) fn let_go(&mut self, pid: Pid) -> Option<Ending> {
        let ending = self.known.remove(&number(pid))?;
        if ending.is_some() {
            // It has ended, so this does not wait.
            let _ = waitpid(Some(pid), WaitOptions::NOHANG);
        }
        ending
    }

    /// Sends a signal to a child that was not let go; one that has ended is no error.
    pub(super) fn signal(&self, pid: Pid, signal: Signal) {
        self.send(pid, signal, kill_process);
    }

    /// Sends a signal to the process group of a child that was not let go.
    pub(super) fn signal_group(&self, leader: Pid, signal: Signal) {
        self.send(leader, signal, kill_process_group);
    }

    /// Tells whether a process other than the leader lives in the group of a child.
    pub(super) fn has_members(&self, leader: Pid) -> bool {
        has_members(leader)
    }

    /// Tells whether a process is this child, in its group, or started by it however indirectly.
    pub(super) fn holds(&self, leader: Pid, pid: Pid) -> bool {
        belongs_to(pid, leader)
    }

    fn send(&self, pid: Pid, signal: Signal, by: impl Fn(Pid, Signal) -> rustix::io::Result<()>) {
        if self.known.contains_key(&number(pid))
            && let Err(error) = by(pid, signal)
            && error != rustix::io::Errno::SRCH
        {
            log::debug!("signal {} to {}: {error}", signal.as_raw(), number(pid));
        }
    }
}

/// Tells whether a process other than the leader lives in a group.
fn has_members(leader: Pid) -> bool {
    processes().any(|process| process.group == number(leader) && process.pid != leader && process.lives)
}

/// Tells whether a process is this one, in its group, or started by it however indirectly.
fn belongs_to(pid: Pid, leader: Pid) -> bool {
    let mut at = Some(pid);
    for _ in 0..MAX_ANCESTORS {
        let Some(process) = at.and_then(Process::of) else { return false };
        if process.pid == leader || process.group == number(leader) {
            return true;
        }
        at = Pid::from_raw(process.parent);
    }
    false
}

/// A process that is no child of ours, by a descriptor.
#[derive(Debug)]
pub(super) struct Stranger(OwnedFd);

impl Stranger {
    /// Holds a process if it is the one that is meant.
    pub(super) fn hold(pid: Pid, is_meant: impl Fn(&Process) -> bool) -> Option<Self> {
        let held = pidfd_open(pid, PidfdFlags::empty()).ok()?;
        // Asked with the descriptor in hand: what answers now cannot be another one later.
        Process::of(pid).filter(|process| process.lives && is_meant(process)).map(|_| Self(held))
    }

    /// Holds what lives in a process group, as far as it is meant.
    pub(super) fn hold_group(leader: Pid, is_meant: impl Fn(&Process) -> bool) -> Vec<Self> {
        let members = processes().filter(|process| process.group == number(leader) && process.pid != leader);
        let is_member = |process: &Process| process.group == number(leader) && is_meant(process);
        members.filter_map(|process| Self::hold(process.pid, is_member)).collect()
    }

    /// Sends it a signal.
    pub(super) fn signal(&self, signal: Signal) {
        if let Err(error) = pidfd_send_signal(&self.0, signal) {
            log::debug!("signal {} to an earlier process: {error}", signal.as_raw());
        }
    }

    /// Tells whether it has not ended.
    pub(super) fn lives(&self) -> bool {
        let mut fds = [PollFd::from_borrowed_fd(self.0.as_fd(), PollFlags::IN)];
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        !poll(&mut fds, Some(&now)).is_ok_and(|ready| ready > 0)
    }
}

/// What `/proc/PID/stat` says of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Process {
    /// Its number.
    pub(super) pid: Pid,
    /// Its parent.
    pub(super) parent: i32,
    /// Its process group.
    pub(super) group: i32,
    /// When it started, in the kernel's ticks since boot.
    pub(super) ticks: u64,
    /// Whether it has not ended; one whose end nobody has taken yet has.
    pub(super) lives: bool,
}

impl Process {
    /// Reads it; `None` when there is none of this number.
    pub(super) fn of(pid: Pid) -> Option<Self> {
        let stat = std::fs::read(format!("/proc/{}/stat", number(pid))).ok()?;
        Self::parse(pid, &String::from_utf8_lossy(&stat))
    }

    fn parse(pid: Pid, stat: &str) -> Option<Self> {
        // The name before it is in parentheses and may hold anything.
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        let lives = !matches!(*fields.first()?, "Z" | "X");
        let (parent, group) = (fields.get(1)?.parse().ok()?, fields.get(2)?.parse().ok()?);
        Some(Self { pid, parent, group, ticks: fields.get(19)?.parse().ok()?, lives })
    }

    /// Tells whether a variable of its environment, as it was when it started, has this value.
    pub(super) fn was_started_with(&self, name: &str, value: &std::path::Path) -> bool {
        let wanted = [name.as_bytes(), b"=", value.as_os_str().as_encoded_bytes()].concat();
        let environment = std::fs::read(format!("/proc/{}/environ", number(self.pid))).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|variable| variable == wanted)
    }
}

/// Names this boot of the computer: numbers and ticks begin anew with each.
pub(super) fn boot() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned()
}

fn processes() -> impl Iterator<Item = Process> {
    let names = std::fs::read_dir("/proc").into_iter().flatten().flatten().map(|entry| entry.file_name());
    names.filter_map(|name| Process::of(Pid::from_raw(name.to_str()?.parse().ok()?)?))
}

/// Returns the children of this process, ended ones included. Where the kernel does not list them only process 1 looks for
/// them: nobody else gets orphans.
fn children() -> Vec<Pid> {
    match std::fs::read_to_string("/proc/thread-self/children") {
        Ok(list) => list.split_whitespace().filter_map(|pid| Pid::from_raw(pid.parse().ok()?)).collect(),
        Err(_) if std::process::id() == 1 => {
            processes().filter(|process| process.parent == 1).map(|process| process.pid).collect()
        }
        Err(_) => Vec::new(),
    }
}

/// Says in words why the system did not run a file that is there.
fn exec_problem(code: i32) -> String {
    let error = std::io::Error::from_raw_os_error(code);
    match error.kind() {
        std::io::ErrorKind::NotFound => "the interpreter or loader that it names is not there".to_owned(),
        _ => error.to_string(),
    }
}

fn number(pid: Pid) -> i32 {
    pid.as_raw_nonzero().get()
}

/// How far up a family is followed: 64 generations.
const MAX_ANCESTORS: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::CommandExt as _;
    use std::process::{Command, Stdio};
    use std::time::{Duration, Instant};

    fn start(script: &str) -> Pid {
        let mut command = Command::new("sh");
        command.args(["-c", script]).process_group(0).stdin(Stdio::null()).stdout(Stdio::null());
        #[expect(clippy::zombie_processes, reason = "the code under test takes its end")]
        let child = command.spawn().unwrap();
        Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap()
    }

    fn until(what: &str, mut holds: impl FnMut() -> bool) {
        let begin = Instant::now();
        while !holds() {
            assert!(begin.elapsed() < Duration::from_secs(30), "{what}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Waits for one child without taking the end of those of other tests in this process.
    fn end_of(children: &mut Children, pid: Pid) -> Ending {
        let mut ending = None;
        until("it ends", || {
            let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
            if let Ok(Some(status)) = waitid(WaitId::Pid(pid), options) {
                let code = status.exit_status().map(Ending::Code);
                ending = code.or(status.terminating_signal().map(Ending::Signal));
            }
            ending.is_some()
        });
        children.known.insert(number(pid), ending);
        ending.unwrap()
    }

    #[test]
    fn a_number_stays_its_own_until_it_is_let_go() {
        let mut children = Children::default();
        let pid = start("sleep 30 & exit 7");
        children.add(pid);
        assert_eq!(end_of(&mut children, pid), Ending::Code(7));
        // Ended, and yet nobody else can get the number or the group.
        assert!(!Process::of(pid).unwrap().lives && has_members(pid));
        children.signal_group(pid, Signal::KILL);
        until("the group is gone", || !has_members(pid));
        assert_eq!(children.let_go(pid), Some(Ending::Code(7)));
        assert_eq!((Process::of(pid), children.let_go(pid)), (None, None));
        // Whoever has the number now is not reached.
        let other = start("sleep 30");
        children.signal(other, Signal::KILL);
        children.signal_group(other, Signal::KILL);
        assert!(Process::of(other).unwrap().lives);
        children.add(other);
        children.signal(other, Signal::KILL);
        assert_eq!(end_of(&mut children, other), Ending::Signal(9));
        children.let_go(other);
    }

    #[test]
    fn families_are_told_apart() {
        let (one, other) = (start("sleep 30"), start("setsid sleep 31 & sleep 30"));
        let own = Pid::from_raw(i32::try_from(std::process::id()).unwrap()).unwrap();
        assert!(belongs_to(one, one) && !belongs_to(one, other) && !belongs_to(own, one));
        // A child in a session of its own is still one.
        let mut child = None;
        until("it has a child", || {
            child = processes().find(|process| process.parent == number(other) && process.group != number(other));
            child.is_some()
        });
        let child = child.unwrap();
        assert!(belongs_to(child.pid, other) && !belongs_to(child.pid, one));
        let held = Stranger::hold(other, |process| process.ticks > 0).unwrap();
        assert!(Stranger::hold(other, |process| process.ticks == 0).is_none());
        assert!(held.lives());
        for pid in [one, other, child.pid] {
            kill_process(pid, Signal::KILL).unwrap();
        }
        until("it has ended", || !held.lives());
        held.signal(Signal::KILL);
        for pid in [one, other] {
            let _ = waitpid(Some(pid), WaitOptions::empty());
        }
    }

    #[test]
    fn a_name_may_hold_anything() {
        let pid = Pid::from_raw(7).unwrap();
        let rest = "S 3 5 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 99 0";
        let process = Process::parse(pid, &format!("7 (a) Z (b) ) {rest}")).unwrap();
        assert_eq!((process.parent, process.group, process.ticks, process.lives), (3, 5, 99, true));
        assert!(!Process::parse(pid, &format!("7 (x) {}", rest.replacen('S', "Z", 1))).unwrap().lives);
        for garbage in ["", "7 (x)", "7 (x) S", "7 (x) S 1 2"] {
            assert_eq!(Process::parse(pid, garbage), None, "{garbage}");
        }
    }
}
