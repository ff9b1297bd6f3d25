//! What is published against what the project has: does it verify, does it end before long, does the project embed the
//! newest root, does something wait.

use super::{Finding, Patient, Repair, Severity};
use crate::error::{ExitCode, in_one_line};
use crate::expiry;
use crate::repository::{METADATA, RepositoryError, RepositoryState, Submission, refuse_other_root};
use crate::roles::timestamp_days;
use updater_build::check::check_root;
use updater_format::length::MAX_ROOT;
use updater_format::role::Root;

/// Looks at the storage.
pub(super) fn examine(patient: &Patient<'_>) -> Vec<Finding> {
    let storage = match &patient.storage {
        Ok(storage) => storage,
        Err(error) => {
            return vec![
                Finding::new("storage-unusable", Severity::Error, ExitCode::Storage, error.clone())
                    .because("nothing can be published, and nothing published can be looked at")
                    .cured_by("correct `storage` in Cargo.toml, or name it with `--storage URI`"),
            ];
        }
    };
    let mut findings = Vec::new();
    match &patient.state {
        None if patient.root.is_some() => findings.push(
            Finding::new(
                "nothing-published",
                Severity::Note,
                ExitCode::Success,
                format!("nothing is published in {}", storage.name()),
            )
            .because("clients that read there find no release")
            .cured_by("cargo updater publish"),
        ),
        None => {}
        // Told as what it is, by the check of ceremonies.
        Some(Err(RepositoryError::Rotating { .. })) => {}
        // Nobody has looked at it, so that nothing is said of it.
        Some(Err(RepositoryError::Storage(error))) => findings.push(
            Finding::new("storage-unusable", Severity::Error, ExitCode::Storage, in_one_line(error))
                .because("nothing can be published from here, and what is published cannot be looked at")
                .cured_by(crate::error::Explain::hints(error).join("; ")),
        ),
        Some(Err(_)) if differs(patient).is_some() => findings.extend(differs(patient)),
        Some(Err(error)) => {
            let exit = crate::error::Explain::code(error);
            let hints = crate::error::Explain::hints(error).join("; ");
            findings.push(
                Finding::new("published-refused", Severity::Error, exit, in_one_line(error))
                    .because("clients refuse what is published, too, and get nothing new")
                    .cured_by(hints),
            );
        }
        Some(Ok(state)) => {
            findings.extend(ending(patient, state));
            findings.extend(refresh_overdue(patient, state));
            findings.extend(other_root(patient, state));
            let roles = state.targets().delegations.iter().flat_map(|all| &all.roles).map(|role| role.name.clone());
            findings
                .extend(std::iter::once("targets".to_owned()).chain(roles).filter_map(|role| waiting(storage, &role)));
        }
    }
    findings
}

/// Tells which roles end before long: one answer for every command.
fn ending(patient: &Patient<'_>, state: &RepositoryState) -> Vec<Finding> {
    let near = expiry::near(&state.expiries(), patient.context.clock.now());
    let finding = |role: expiry::RoleExpiry| {
        let over = role.days_left < 0;
        let (code, severity, exit, verb) = match over {
            true => ("expired", Severity::Error, ExitCode::Verification, "expired"),
            false => ("expires-soon", Severity::Warning, ExitCode::Due, "expires"),
        };
        let what = format!("the role {} {verb} on {}", role.role, role.expires);
        Finding::new(code, severity, exit, what)
            .because("from then on clients install nothing; the apps go on running")
            .cured_by(role.cure())
    };
    near.into_iter().map(finding).collect()
}

/// Tells when the scheduled job has not run although its time has come.
fn refresh_overdue(patient: &Patient<'_>, state: &RepositoryState) -> Option<Finding> {
    let days = timestamp_days(state.targets());
    let left = state.timestamp().expires.unix() - patient.context.clock.now().unix();
    let attended = days < UNATTENDED;
    (attended && left > 0 && left < days * DAY / 2).then(|| {
        Finding::new(
            "refresh-overdue",
            Severity::Warning,
            ExitCode::Storage,
            format!("the timestamp lives {days} days and was not signed anew for more than half of them"),
        )
        .because("the scheduled job does not run or fails; when the timestamp ends, clients install nothing")
        .cured_by("look at the last runs of the job, then `cargo updater refresh`")
    })
}

/// Compares the project's root with the newest one that is published.
fn other_root(patient: &Patient<'_>, state: &RepositoryState) -> Option<Finding> {
    let own = patient.parsed_root()?;
    let published = state.root();
    if let Some(differs) = differs(patient) {
        return Some(differs);
    }
    if own.version >= published.version {
        return unpublished_root(patient, &own, published.version);
    }
    let path = patient.project.folder().join(&patient.table.root);
    let what = format!(
        "{} is version {} of the root, version {} is published",
        path.display(),
        own.version,
        published.version
    );
    let finding = Finding::new("root-behind", Severity::Warning, ExitCode::Config, what)
        .because("new builds fetch the roots between at their first check, and break if those ever get lost");
    let bytes = published.bytes().to_vec();
    Some(match check_root(&bytes, patient.table, patient.context.clock.now()) {
        Ok(_) => finding
            .cured_by(format!(
                "copy metadata/{}.root.json of the repository to {}, and commit it",
                published.version,
                path.display()
            ))
            .repaired_by(Repair::Write { path, bytes }),
        // Other keys than the table names: that is for people to look at.
        Err(error) => finding.cured_by(format!(
            "copy metadata/{}.root.json of the repository to {}; {}",
            published.version,
            path.display(),
            error.hint()
        )),
    })
}

/// Tells when another root is published under the number of the project's own.
fn differs(patient: &Patient<'_>) -> Option<Finding> {
    let (storage, root) = (patient.storage.as_ref().ok()?, patient.root.as_ref()?);
    let error = refuse_other_root(storage, root).err()?;
    matches!(error, RepositoryError::OtherRoot { .. }).then(|| {
        Finding::new("root-differs", Severity::Error, ExitCode::Verification, error.to_string())
            .because("apps built from this project do not trust what is published, or the storage was changed")
            .cured_by(format!(
                "compare both; restore {} from version control or the storage from a copy; if you began anew on purpose, name another \
                 `storage` in the table",
                patient.table.root.display()
            ))
    })
}

/// Tells when the project has a root that is not published.
fn unpublished_root(patient: &Patient<'_>, own: &Root, published: u64) -> Option<Finding> {
    let storage = patient.storage.as_ref().ok()?;
    let file = format!("{METADATA}/{}.root.json", own.version);
    let is_there = storage.read(&file, MAX_ROOT).ok().flatten().is_some();
    (!is_there).then(|| {
        Finding::new(
            "root-unpublished",
            Severity::Warning,
            ExitCode::Storage,
            format!("the project has version {} of the root, version {published} is published", own.version),
        )
        .because("installed copies do not know its keys yet")
        .cured_by("cargo updater refresh")
    })
}

/// Tells of a role that its own keys have signed and that nobody has folded in.
fn waiting(storage: &crate::storage::Storage, role: &str) -> Option<Finding> {
    let submission = match Submission::read(storage, role) {
        Ok(submission) => submission?,
        Err(error) => {
            return Some(
                Finding::new("submission-unreadable", Severity::Warning, ExitCode::Storage, error.to_string())
                    .because("the scheduled job stops at it")
                    .cured_by(format!("cargo updater refresh --discard {role}")),
            );
        }
    };
    let version = submission.parse(storage, role).ok()?.unverified().version;
    let gone = storage.length(&format!("{METADATA}/{version}.{role}.json")).ok()?.is_some();
    (!gone).then(|| {
        Finding::new(
            "submission-waiting",
            Severity::Warning,
            ExitCode::Storage,
            format!("version {version} of the role {role} waits for the online key"),
        )
        .because("clients do not see it yet")
        .cured_by("cargo updater refresh")
    })
}

/// From this life in days on nobody promised a scheduled job.
const UNATTENDED: i64 = 90;
/// Seconds of a day.
const DAY: i64 = 86_400;
