//! A change of keys that was begun and not ended: how far it is, and what clients see meanwhile.

use super::{Finding, Patient, Severity};
use crate::ceremony::Folder;
use crate::error::{ExitCode, Explain as _, in_one_line};
use crate::repository::{METADATA, RepositoryError};
use std::time::{Duration, SystemTime};

/// Looks for a ceremony beside the project's root, and for a published root whose keys have not signed the rest.
pub(super) fn examine(patient: &Patient<'_>) -> Vec<Finding> {
    under_way(patient).into_iter().collect()
}

/// Tells what is under way; `None` when nothing is.
#[must_use]
pub fn under_way(patient: &Patient<'_>) -> Option<Finding> {
    let folder = Folder::beside(&patient.project.root_file().ok()?);
    let request = match folder.request() {
        Ok(request) => request,
        Err(error) => {
            let what = in_one_line(&error);
            return Some(note(what).because("nobody can go on with it").cured_by(error.hints().join("; ")));
        }
    };
    let task = request.as_ref().map(|request| request.task.to_string());
    if let Some(Err(RepositoryError::Rotating { root, .. })) = &patient.state {
        return Some(rotating(patient, *root, task));
    }
    let (request, task) = (request?, task?);
    let folder = folder.path().display();
    Some(match request.settling {
        true => note(format!("{task} is published, and the project's own files are not all replaced by it yet"))
            .because("until then they may not fit each other")
            .cured_by("cargo updater keys resume"),
        false => note(format!("{task} was begun in {folder} and is not published"))
            .because("until it is the keys before stay in force")
            .cured_by("cargo updater keys resume, or `cargo updater keys resume --abort`"),
    })
}

fn note(what: String) -> Finding {
    Finding::new("ceremony-open", Severity::Note, ExitCode::Waiting, what)
}

/// Between a new root and what its keys sign lies a wait, so that no cache hides the root from clients that see the rest.
fn rotating(patient: &Patient<'_>, root: u64, task: Option<String>) -> Finding {
    let since = patient.storage.as_ref().ok().and_then(|storage| {
        let since = storage.modified(&format!("{METADATA}/{root}.root.json")).ok()??;
        SystemTime::now().duration_since(since).ok()
    });
    let left = since.map_or(Duration::ZERO, |since| CACHES.saturating_sub(since)).as_secs();
    let task = task.unwrap_or_else(|| "a rotation".to_owned());
    let (severity, waits) = match left {
        0 => (Severity::Error, "its new keys sign the timestamp next".to_owned()),
        left => {
            (Severity::Warning, format!("for about {left} s it waits for caches, then its new keys sign the timestamp"))
        }
    };
    let what = format!("{task} is under way: root {root} is published; {waits}");
    Finding::new("rotation-open", severity, ExitCode::Verification, what)
        .because("until then clients and tools refuse what is published; installed apps keep what they have")
        .cured_by(
            "let the command that waits end; if it was stopped, `cargo updater keys resume`, or `cargo updater refresh` with the \
             new online key",
        )
}

/// How long caches may say that there is no newer root, when `--wait` does not say otherwise.
const CACHES: Duration = Duration::from_secs(300);
