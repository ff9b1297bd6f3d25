//! What must outlive this process, and what another launcher has left: the app of one that was killed, and the socket.

use super::Supervisor;
use super::app::{FOLDER_VARIABLE, STEP};
use super::processes::{Pid, Process, Signal, Stranger, boot};
use super::spawn::Handed;
use super::turn::KILL_TIME;
use crate::error::{Error, Result};
use crate::places::write_atomic;
use crate::record::read_bounded;
use std::net::TcpListener;
use std::time::{Duration, Instant};

/// What is written down of a running app.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
struct Leftover {
    pid: i32,
    /// When it started, in the kernel's ticks since boot: numbers of processes come again.
    ticks: u64,
    /// Which boot that was: both begin anew with each.
    #[serde(default)]
    boot: String,
}

impl Supervisor {
    /// Ends an app that a killed launcher has left running, and what it has started.
    pub(super) fn end_leftover(&mut self) {
        let path = self.install.places.running_app();
        let Ok(Some(bytes)) = read_bounded(&path) else { return };
        let leftover = serde_json::from_slice::<Leftover>(&bytes).ok().filter(|leftover| leftover.boot == boot());
        if let Some(leftover) = leftover
            && let Some(pid) = Pid::from_raw(leftover.pid)
        {
            let root = self.install.places.root().to_owned();
            let leader = Stranger::hold(pid, |process| process.ticks == leftover.ticks);
            // Without its leader a group is known by what it was started with: the number may be another's by now.
            let has_leader = leader.is_some();
            let mut held =
                Stranger::hold_group(pid, |process| has_leader || process.was_started_with(FOLDER_VARIABLE, &root));
            held.extend(leader);
            if !held.is_empty() {
                self.say("leftover", &format!("process {} of an earlier launcher is ended", leftover.pid));
                held.iter().for_each(|process| process.signal(self.stop_signal()));
                self.wait_for_strangers(&held, self.merged.settings.stop.grace.duration());
                held.iter().for_each(|process| process.signal(Signal::KILL));
                self.wait_for_strangers(&held, KILL_TIME);
            }
        }
        let _ = std::fs::remove_file(path);
    }

    fn wait_for_strangers(&mut self, held: &[Stranger], limit: Duration) {
        let deadline = Instant::now() + limit;
        while held.iter().any(Stranger::lives) && Instant::now() < deadline {
            self.turn(Some((Instant::now() + STEP).min(deadline)));
        }
    }

    /// Returns the socket for the app, if it is to have one. It stays open between versions.
    pub(super) fn listener(&mut self) -> Result<Option<Handed>> {
        let Some(address) = self.merged.settings.listen else {
            self.listener = None;
            return Ok(None);
        };
        let failed = |source: std::io::Error| Error::Start {
            program: format!("listening on {address}"),
            problem: source.to_string(),
        };
        if self.listener.as_ref().is_none_or(|(bound, _)| *bound != address) {
            self.listener = Some((address, TcpListener::bind(address).map_err(failed)?));
        }
        match &self.listener {
            Some((_, listener)) => Ok(Some(listener.try_clone().map_err(failed)?.into())),
            None => Ok(None),
        }
    }

    /// Writes a running app down, for the launcher that comes after one that was killed.
    pub(super) fn write_down(&self, pid: Pid) {
        let Some(Process { ticks, .. }) = Process::of(pid) else { return };
        let leftover = Leftover { pid: pid.as_raw_nonzero().get(), ticks, boot: boot() };
        let written =
            serde_json::to_vec(&leftover).map_err(|e| Error::file("write", &self.install.places.running_app(), e));
        // Without it only a launcher after a kill cannot end the app before it starts another.
        if let Err(error) = written.and_then(|bytes| write_atomic(&self.install.places.running_app(), &bytes)) {
            log::debug!("{error}");
        }
    }

    /// Forgets a running app that has ended.
    pub(super) fn forget(&self, pid: Pid) {
        let path = self.install.places.running_app();
        let is_its =
            read_bounded(&path).ok().flatten().and_then(|bytes| serde_json::from_slice::<Leftover>(&bytes).ok());
        if is_its.is_some_and(|leftover| leftover.pid == pid.as_raw_nonzero().get()) {
            let _ = std::fs::remove_file(path);
        }
    }
}
