//! The only code that changes an installed app: swap, trial, return, and the repair of whatever was interrupted.
//!
//! ```text
//! Session ──stage──▶ Tree ──probe──▶ Staged ──install──▶ Swapping ▶ Exchanged ▶ Carried ──▶ Installed
//!                                       │                                                      │ trial
//!                                       └─ at the next start, or on exit                       ├──▶ Idle (completed)
//!                                                                                              └──▶ Returning ▶ PutBack ▶ Idle
//! ```
//!
//! Each arrow is one function that consumes the state before it; the journal has the same names. What the next start
//! does from each is in [`settle`](settle()) and in `docs/format/state.md`.

mod basis;
mod carry;
mod component;
mod error;
mod exit;
mod first;
mod journal;
mod layout;
mod lock;
mod machine;
mod manifests;
mod open;
#[cfg_attr(windows, path = "owner/windows.rs")]
mod owner;
#[cfg(any(target_os = "macos", test))]
mod place;
mod probe;
mod return_to;
mod rollback;
mod session;
mod settle;
mod staged;
mod swap;
mod trial;
mod versions;

pub(crate) use basis::Basis;
pub(crate) use component::{begin_component, installed_component, manifest_of, settle_component};
pub use error::{InstallError, Obstacle};
pub(crate) use exit::end_attempt;
pub(crate) use first::FirstSession;
pub(crate) use journal::{bad_releases, highest_epoch};
pub(crate) use layout::{Layout, Subject};
pub(crate) use manifests::remember;
pub use probe::{DEFAULT_PROBE_TIME, PROBE_VARIABLE, ProbeError};
pub(crate) use probe::{Identity, answer as answer_probe, ask, refuse as refuse_probe};
pub(crate) use return_to::{Reason, kept_versions, put_back_now, return_to, trial_of};
pub(crate) use session::Session;
pub(crate) use settle::{Settled, settle};
pub(crate) use staged::Plan;
pub use staged::{Installed, Scheduled, Staged};
pub(crate) use trial::{confirm, failed};
pub use updater_format::InstallKind;
pub use updater_format::state::Trial;

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
#[cfg(unix)]
mod tests;
#[cfg(test)]
#[cfg(windows)]
#[path = "tests/windows.rs"]
mod tests;
