//! Who has connected, what they ask and what they are told: the same for a socket and for a pipe.

use super::protocol::{Reply, Request, take_lines};
use crate::supervise::Pid;
use std::collections::BTreeMap;

/// Names a client for as long as the supervisor runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ClientId {
    number: u64,
    /// The process that has connected; also when it has hung up since.
    pub(crate) process: Pid,
}

/// The way to a client. Neither side of it ever blocks the loop.
pub(super) trait Link {
    /// Moves what has come to the end of `input`. Returns whether more can come.
    fn receive(&mut self, input: &mut Vec<u8>) -> bool;

    /// Writes all of these bytes. Returns whether the client has room for them.
    fn send(&mut self, bytes: &[u8]) -> bool;
}

/// The clients that are there.
#[derive(Debug)]
pub(super) struct Clients<L> {
    all: BTreeMap<u64, Client<L>>,
    next: u64,
}

#[derive(Debug)]
struct Client<L> {
    link: L,
    process: Pid,
    /// What it has sent and nobody has taken yet: the beginning of a line.
    input: Vec<u8>,
    wants_events: bool,
}

impl<L: Link> Clients<L> {
    pub(super) fn new() -> Self {
        Self { all: BTreeMap::new(), next: 1 }
    }

    /// Tells whether one more is let in.
    pub(super) fn has_room(&self) -> bool {
        self.all.len() < MAX_CLIENTS
    }

    pub(super) fn add(&mut self, link: L, process: Pid) {
        self.all.insert(self.next, Client { link, process, input: Vec::new(), wants_events: false });
        self.next += 1;
    }

    #[cfg(unix)]
    pub(super) fn links(&self) -> impl Iterator<Item = &L> {
        self.all.values().map(|client| &client.link)
    }

    /// Takes the requests that have come, and lets go who has gone or sends without end. A request may stand before the end;
    /// its answer has nobody to go to.
    pub(super) fn receive(&mut self) -> Vec<(ClientId, Request)> {
        let mut requests = Vec::new();
        self.all.retain(|number, client| {
            let stays = client.link.receive(&mut client.input) && client.input.len() <= MAX_INPUT;
            for line in take_lines(&mut client.input) {
                match Request::parse(&line) {
                    Ok(request) => requests.push((ClientId { number: *number, process: client.process }, request)),
                    Err(problem) => {
                        client.send(&Reply::refused("request", &problem, "docs/format/control.md"));
                    }
                }
            }
            stays
        });
        requests
    }

    /// Answers a client, if it is still there.
    pub(super) fn reply(&mut self, id: ClientId, reply: &Reply) {
        let sent = self.all.get_mut(&id.number).is_none_or(|client| client.send(reply));
        if !sent {
            self.all.remove(&id.number);
        }
    }

    /// Sends a client every event from now on.
    pub(super) fn subscribe(&mut self, id: ClientId) {
        if let Some(client) = self.all.get_mut(&id.number) {
            client.wants_events = true;
        }
    }

    /// Tells an event to those who want it. Who does not read is let go.
    pub(super) fn tell(&mut self, event: &impl serde::Serialize) {
        self.all.retain(|_, client| !client.wants_events || client.send(event));
    }
}

impl<L: Link> Client<L> {
    fn send(&mut self, line: &impl serde::Serialize) -> bool {
        let Ok(mut bytes) = serde_json::to_vec(line) else { return false };
        bytes.push(b'\n');
        self.link.send(&bytes)
    }
}

/// The most clients at a time: 32.
const MAX_CLIENTS: usize = 32;
/// The most bytes of requests that are not taken yet: 64 KiB.
pub(super) const MAX_INPUT: usize = 64 * 1024;
