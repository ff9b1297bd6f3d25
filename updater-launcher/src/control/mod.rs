//! The control socket: `var/run/control.sock`, JSON lines, for the user of the launcher and for root alone. On Windows a named
//! pipe, for the user alone.

mod client;
mod clients;
mod protocol;
#[cfg_attr(windows, path = "pipe.rs")]
mod server;

pub(crate) use client::{ask, follow};
pub(crate) use clients::ClientId;
pub(crate) use protocol::{Command, Reply, Request, VERSION};
pub(crate) use server::Server;
#[cfg(windows)]
pub(crate) use server::pipe_of;
