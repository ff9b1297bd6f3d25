//! The scheduled job that signs the timestamp anew, as far as the files of the repository tell.

use super::git::Repository;
use super::{Finding, Patient, Severity};
use crate::error::ExitCode;
use crate::roles::timestamp_days;
use std::path::{Path, PathBuf};

/// Looks for the job where the timestamp is meant to have one.
pub(super) fn examine(patient: &Patient<'_>) -> Vec<Finding> {
    let Some(targets) = super::keys::targets_in_force(patient) else { return Vec::new() };
    let days = timestamp_days(&targets);
    if days > MAX_ATTENDED || patient.parsed_root().is_some_and(|root| root.is_development()) {
        return Vec::new();
    }
    let folder = patient.project.folder();
    let top = Repository::around(folder).map_or_else(|| folder.to_owned(), |repository| repository.top);
    let jobs: Vec<(PathBuf, String)> = ci_files(&top)
        .into_iter()
        .filter_map(|path| Some((path.clone(), std::fs::read_to_string(path).ok()?)))
        .collect();
    let Some((path, text)) = jobs.iter().find(|(_, text)| text.contains(COMMAND)) else {
        return vec![
            Finding::new(
                "no-scheduled-refresh",
                Severity::Warning,
                ExitCode::Config,
                format!("the timestamp lives {days} days and no CI file runs `cargo updater refresh`"),
            )
            .because("when it ends, clients install nothing until somebody signs it anew")
            .cured_by(
                "`cargo updater init --github` writes the job; elsewhere schedule the command of docs/refresh.md",
            ),
        ];
    };
    let mut findings = Vec::new();
    let github = path.starts_with(top.join(".github"));
    if github && !text.contains("schedule:") {
        findings.push(
            Finding::new(
                "refresh-unscheduled",
                Severity::Warning,
                ExitCode::Config,
                format!("{} runs `cargo updater refresh` on no schedule", path.display()),
            )
            .because(format!("the timestamp lives {days} days; nothing signs it anew between pushes"))
            .cured_by("add `on: { schedule: [{ cron: \"17 5 * * *\" }] }` to it"),
        );
    }
    if github && !text.contains("actions/cache") && !text.contains("UPDATER_RECORD") && !text.contains("--record") {
        findings.push(
            Finding::new(
                "refresh-forgets",
                Severity::Warning,
                ExitCode::Config,
                format!("{} keeps no record of what it saw published", path.display()),
            )
            .because("the job would sign old files that somebody put back")
            .cured_by("keep the folder of `--key-dir` from run to run, as in docs/refresh.md"),
        );
    }
    findings
}

/// Returns the files in which common CI services look for jobs.
fn ci_files(top: &Path) -> Vec<PathBuf> {
    let mut files = vec![top.join(".gitlab-ci.yml"), top.join(".circleci/config.yml"), top.join(".woodpecker.yml")];
    for folder in [".github/workflows", ".forgejo/workflows", ".gitea/workflows", ".woodpecker"] {
        let entries = std::fs::read_dir(top.join(folder)).into_iter().flatten().filter_map(Result::ok);
        let yaml = |path: &PathBuf| path.extension().is_some_and(|ending| ending == "yml" || ending == "yaml");
        files.extend(entries.map(|entry| entry.path()).filter(yaml));
    }
    files.retain(|file| file.is_file());
    files.sort();
    files
}

/// What a job that refreshes runs; with `cargo-updater refresh`, too.
const COMMAND: &str = "updater refresh";
/// Up to this life in days a timestamp is meant to be renewed by a job.
const MAX_ATTENDED: i64 = 30;
