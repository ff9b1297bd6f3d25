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
    /// Moves what has come to the end of `input`. Returns whether more can come: not after the end of what the client sends,
    /// who may still wait for an answer.
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
    /// Whether nothing more comes from it.
    is_over: bool,
    /// Requests that have no answer yet.
    waiting: usize,
    wants_events: bool,
}

impl<L> Client<L> {
    /// Tells whether it neither waits for anything nor is told anything.
    fn is_silent(&self) -> bool {
        self.waiting == 0 && !self.wants_events
    }
}

impl<L: Link> Clients<L> {
    pub(super) fn new() -> Self {
        Self { all: BTreeMap::new(), next: 1 }
    }

    /// Lets one more in. Where too many are there the oldest that wants nothing has to go, or else the new one.
    pub(super) fn add(&mut self, link: L, process: Pid) {
        let mut client = Client { link, process, input: Vec::new(), is_over: false, waiting: 0, wants_events: false };
        if self.all.len() >= MAX_CLIENTS {
            let silent = self.all.iter().find(|(_, client)| client.is_silent()).map(|(number, _)| *number);
            let Some(silent) = silent else {
                let message = format!("{MAX_CLIENTS} clients wait for answers or events already");
                client.send(&Reply::refused("too-many-clients", &message, "end one of them, then ask again"));
                return;
            };
            self.all.remove(&silent);
        }
        self.all.insert(self.next, client);
        self.next += 1;
    }

    /// Returns the links from which something can come.
    #[cfg(unix)]
    pub(super) fn links(&self) -> impl Iterator<Item = &L> {
        self.all.values().filter(|client| !client.is_over).map(|client| &client.link)
    }

    /// Takes the requests that have come, and lets go who sends without end, or has nothing more to say and waits for nothing.
    pub(super) fn receive(&mut self) -> Vec<(ClientId, Request)> {
        let mut requests = Vec::new();
        self.all.retain(|number, client| {
            client.is_over = client.is_over || !client.link.receive(&mut client.input);
            let is_bounded = client.input.len() <= MAX_INPUT;
            for line in take_lines(&mut client.input) {
                match Request::parse(&line) {
                    Ok(request) => {
                        client.waiting += 1;
                        requests.push((ClientId { number: *number, process: client.process }, request));
                    }
                    Err(problem) => {
                        client.send(&Reply::refused("request", &problem, "docs/format/control.md"));
                    }
                }
            }
            is_bounded && !(client.is_over && client.waiting == 0)
        });
        requests
    }

    /// Answers a client, if it is still there.
    pub(super) fn reply(&mut self, id: ClientId, reply: &Reply) {
        let Some(client) = self.all.get_mut(&id.number) else { return };
        client.waiting = client.waiting.saturating_sub(1);
        let is_sent = client.send(reply);
        if !is_sent || client.is_over && client.waiting == 0 {
            self.all.remove(&id.number);
        }
    }

    /// Sends a client every event from now on.
    pub(super) fn subscribe(&mut self, id: ClientId) {
        if let Some(client) = self.all.get_mut(&id.number) {
            client.waiting = client.waiting.saturating_sub(1);
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
