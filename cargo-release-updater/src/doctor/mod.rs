//! Looks whether everything that must agree does: settings, root, keys, what is published, the addresses at which
//! clients read, the scheduled job, a built program, an installed copy.
//!
//! One check per file. A check reads and never changes; what can be put right safely is a [`Repair`] that the finding
//! carries. Adding a check is adding a file, a line in a list below, and a row in `docs/doctor.md` for each code.

mod address;
mod ceremony;
mod finding;
mod git;
mod headers;
mod history;
mod keys;
mod package;
mod program;
mod project;
mod published;
mod repair;
mod schedule;
mod secrets;

pub(crate) use headers::http_date;

pub use ceremony::under_way;
pub use finding::{Finding, Severity, exit_code};
pub use program::{Embedded, examine_program};
pub use repair::{Repair, RepairError};

use crate::config::Project;
use crate::context::Context;
use crate::keys::KeyFolder;
use crate::repository::{RepositoryError, RepositoryState};
use crate::storage::Storage;
use updater_build::table::Table;
use updater_format::AppId;
use updater_format::role::Root;
use updater_format::signed::{Signed, Untrusted};
use updater_runtime::transport::Url;

/// What the checks of a project look at. Nothing in it changes.
#[derive(Debug)]
pub struct Patient<'a> {
    /// Where the command runs, and what time it is.
    pub context: &'a Context,
    /// The package.
    pub project: &'a Project,
    /// Its settings.
    pub table: &'a Table,
    /// The bytes of its trusted root; `None` when the file cannot be read.
    pub root: Option<Vec<u8>>,
    /// The folder of its keys.
    pub keys: KeyFolder,
    /// Where it publishes, or why that cannot be opened.
    pub storage: Result<Storage, String>,
    /// What is published there; `None` when nothing is, or the storage cannot be opened.
    pub state: Option<Result<RepositoryState, RepositoryError>>,
}

impl Patient<'_> {
    /// Returns the project's root. Nobody has checked its signatures.
    #[must_use]
    pub fn parsed_root(&self) -> Option<Root> {
        parse_root(self.root.as_deref()?)
    }

    /// Returns what is published, when it verifies.
    #[must_use]
    pub fn published(&self) -> Option<&RepositoryState> {
        self.state.as_ref()?.as_ref().ok()
    }
}

/// Runs every check of a project.
#[must_use]
pub fn examine(patient: &Patient<'_>) -> Vec<Finding> {
    CHECKS.iter().flat_map(|check| check(patient)).collect()
}

/// Runs the checks that read a few files of the package and, when the storage was looked into, what is published there.
#[must_use]
pub fn glance(patient: &Patient<'_>, looked: bool) -> Vec<Finding> {
    let mut findings = project::examine(patient);
    if looked {
        findings.extend(published::examine(patient));
    }
    findings
}

/// Looks at an address as the clients of a root see it.
#[must_use]
pub fn examine_address(context: &Context, url: &Url, root: &[u8], app: &AppId, missing_status: &[u16]) -> Vec<Finding> {
    address::examine(context, url, root, app, missing_status, None)
}

fn parse_root(bytes: &[u8]) -> Option<Root> {
    Signed::<Root>::parse(&Untrusted::new(bytes)).ok().map(|signed| signed.unverified().clone())
}

/// Every check of a project, in the order in which their findings are told.
const CHECKS: &[fn(&Patient<'_>) -> Vec<Finding>] = &[
    project::examine,
    keys::examine,
    package::examine,
    history::examine,
    ceremony::examine,
    published::examine,
    schedule::examine,
    address::of_project,
];
