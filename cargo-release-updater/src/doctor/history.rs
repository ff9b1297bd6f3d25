//! Secret keys in the history of version control: a clone of it is a copy of the key.

use super::git::Repository;
use super::secrets::Secret;
use super::{Finding, Patient, Severity};
use crate::error::ExitCode;
use updater_format::role::RoleName;

/// Searches every object of the git repository around the package.
pub(super) fn examine(patient: &Patient<'_>) -> Vec<Finding> {
    let folder = patient.project.folder();
    let Some(repository) = Repository::around(folder) else {
        return Repository::unread(folder).map(|why| unread(&why)).into_iter().collect();
    };
    let Some(searched) = repository.search() else { return vec![unread("git does not list its objects")] };
    let mut findings: Vec<Finding> = Vec::new();
    if repository.is_shallow() {
        findings.push(
            Finding::new(
                "history-shallow",
                Severity::Note,
                ExitCode::Success,
                "this clone has only the newest part of the git history",
            )
            .because("a secret key in the rest of it would not be found")
            .cured_by("git fetch --unshallow, then run it again"),
        );
    }
    for (object, secret) in searched.found.iter().take(MAX_TOLD) {
        let place = repository.describe(object).unwrap_or_else(|| format!("object {object}, which no branch leads to"));
        findings.push(judge(patient, *secret, &format!("the git history ({place})"), "key-in-history"));
    }
    if searched.found.len() > MAX_TOLD {
        let more = searched.found.len() - MAX_TOLD;
        findings.push(
            Finding::new(
                "key-in-history",
                Severity::Warning,
                ExitCode::Key,
                format!("{more} more objects hold secret keys"),
            )
            .because("a clone of the repository is a copy of them")
            .cured_by("act on those above, then run it again"),
        );
    }
    if searched.cut_short {
        findings.push(
            Finding::new(
                "history-long",
                Severity::Note,
                ExitCode::Success,
                "the git history is larger than what is searched",
            )
            .because("a secret key in the rest of it would not be found")
            .cured_by("search it with a tool made for that, for example gitleaks"),
        );
    }
    findings
}

/// Says that nothing of the repository was looked at.
fn unread(why: &str) -> Finding {
    Finding::new(
        "history-unread",
        Severity::Note,
        ExitCode::Success,
        format!("the git repository around the package was not looked at: {why}"),
    )
    .because("secret keys in its history, or not ignored by it, would not be found")
    .cured_by("install git, or do what it says, and run it again")
}

/// Says how bad a secret key in a place that others can read is.
pub(super) fn judge(patient: &Patient<'_>, secret: Secret, place: &str, code: &'static str) -> Finding {
    let role = match secret {
        Secret::Plain(public) => role_of(patient, &public),
        Secret::Encrypted => None,
    };
    let (severity, what) = match (secret, &role) {
        (Secret::Plain(_), Some(role)) => (Severity::Error, format!("the secret key of the role {role} is in {place}")),
        (Secret::Plain(_), None) => (Severity::Warning, format!("a secret key that no role lists is in {place}")),
        (Secret::Encrypted, _) => (Severity::Error, format!("an encrypted secret key is in {place}")),
    };
    let why = match secret {
        Secret::Plain(_) => "whoever reads it can sign; removing it does not take back the copies",
        Secret::Encrypted => {
            "only its password protects it from everybody who has a copy, for as long as they care to guess"
        }
    };
    let cure = match &role {
        Some(role) => format!("treat it as stolen: replace the key of {role} as SECURITY.md says"),
        None if secret == Secret::Encrypted => "treat it as stolen: replace that key as SECURITY.md says".to_owned(),
        None => "nothing to do if it was never in use; otherwise see SECURITY.md".to_owned(),
    };
    Finding::new(code, severity, ExitCode::Key, what).because(why).cured_by(cure)
}

/// Returns the role that lists a key now.
fn role_of(patient: &Patient<'_>, public: &[u8; 32]) -> Option<String> {
    let root = patient.published().map(|state| (**state.root()).clone()).or_else(|| patient.parsed_root())?;
    let has =
        |keyring: &updater_format::Keyring| keyring.keys().iter().any(|(_, key)| key.ed25519_bytes() == Some(public));
    let fixed = [RoleName::Root, RoleName::Targets, RoleName::Snapshot, RoleName::Timestamp];
    if let Some(role) = fixed.into_iter().find(|role| has(root.keyring(*role))) {
        return Some(if role == RoleName::Snapshot { "online".to_owned() } else { role.to_string() });
    }
    let targets = super::keys::targets_in_force(patient)?;
    let roles = targets.delegations.iter().flat_map(|delegations| &delegations.roles);
    roles.filter(|role| has(&role.keyring)).map(|role| role.name.clone()).next()
}

/// How many objects are described one by one.
const MAX_TOLD: usize = 10;
