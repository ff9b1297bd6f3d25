//! The package itself: its root, its build script, its `main`.

use super::{Finding, Patient, Repair, Severity};
use crate::error::ExitCode;
use crate::repository::RepositoryState;
use std::path::Path;
use updater_build::check::check_root;
use updater_format::role::RoleName;

/// Looks at the files that `init` makes.
pub(super) fn examine(patient: &Patient<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    findings.extend(root(patient));
    findings.extend(targets(patient));
    findings.extend(single_key(patient));
    findings.extend(source(patient));
    findings
}

fn root(patient: &Patient<'_>) -> Option<Finding> {
    let path = patient.project.folder().join(&patient.table.root);
    let refused = |what: String, cure: String| {
        Finding::new("root-refused", Severity::Error, ExitCode::Config, what)
            .because("the build fails, or the app is built with a disabled updater")
            .cured_by(cure)
    };
    let Some(bytes) = &patient.root else {
        return Some(refused(
            format!("{} cannot be read", path.display()),
            "restore it from version control; a new app gets one from `cargo updater init`".to_owned(),
        ));
    };
    let error = check_root(bytes, patient.table, patient.context.clock.now()).err()?;
    Some(refused(format!("{}: {error}", path.display()), error.hint().to_owned()))
}

/// Tells when the targets role beside the root is gone. What is published of it was verified from the project's own root.
fn targets(patient: &Patient<'_>) -> Option<Finding> {
    let path = crate::init::targets_file(&patient.project.folder().join(&patient.table.root));
    if patient.root.is_none() || path.is_file() {
        return None;
    }
    let finding = Finding::new(
        "targets-missing",
        Severity::Error,
        ExitCode::Config,
        format!("{} is missing; it belongs to the root beside it", path.display()),
    )
    .because("nothing can be signed or published from here");
    let restore = "restore it from version control";
    Some(match patient.published().map(RepositoryState::targets) {
        Some(published) => finding
            .cured_by(format!(
                "{restore}, or copy metadata/{}.targets.json of the repository to it: its signatures hold",
                published.version
            ))
            .repaired_by(Repair::Write { path, bytes: published.bytes().to_vec() }),
        None => finding.cured_by(restore),
    })
}

fn single_key(patient: &Patient<'_>) -> Option<Finding> {
    let root = patient.parsed_root()?;
    let alone = root.keyring(RoleName::Root).threshold() == 1 && !root.is_development();
    alone.then(|| {
        Finding::new("single-root-key", Severity::Note, ExitCode::Config, "one key alone can replace the root")
            .because(
                "whoever steals it owns every installed copy; whoever loses the only one can never rotate a key again",
            )
            .cured_by("keep two copies of root.key and its password apart; SECURITY.md shows a root of several keys")
    })
}

/// Looks for the two calls without which the app never updates itself.
fn source(patient: &Patient<'_>) -> Vec<Finding> {
    let folder = patient.project.folder();
    let mut findings = Vec::new();
    let script = std::fs::read_to_string(folder.join("build.rs")).unwrap_or_default();
    if !script.contains("updater_build") {
        findings.push(
            Finding::new(
                "no-build-script",
                Severity::Error,
                ExitCode::Config,
                "build.rs does not call updater_build::embed()",
            )
            .because("the app is built without its root and address")
            .cured_by("run `cargo updater init` again: it adds what is missing"),
        );
    }
    if !mentions(&folder.join("src"), "updater!()") {
        findings.push(
            Finding::new(
                "no-updater-line",
                Severity::Warning,
                ExitCode::Config,
                "no file below src calls updater_runtime::updater!()",
            )
            .because("no probe is answered, so no client installs this release")
            .cured_by("make it the first line of main; `cargo updater init` prints the lines"),
        );
    }
    findings
}

fn mentions(folder: &Path, text: &str) -> bool {
    let files = walkdir::WalkDir::new(folder).into_iter().filter_map(Result::ok).take(MAX_SOURCES);
    files
        .filter(|entry| entry.path().extension().is_some_and(|ending| ending == "rs"))
        .any(|entry| std::fs::read_to_string(entry.path()).is_ok_and(|source| source.contains(text)))
}

/// How many files below `src` are looked through: packages have hundreds at the most.
const MAX_SOURCES: usize = 10_000;
