//! The control socket: `var/run/control.sock`, JSON lines, for the user of the launcher and for root alone.

mod client;
mod protocol;
mod server;

pub(crate) use client::{ask, follow};
pub(crate) use protocol::{Command, Reply, Request, VERSION};
pub(crate) use server::{ClientId, Server};
