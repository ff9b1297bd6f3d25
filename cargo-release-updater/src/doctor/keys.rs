//! The folder of the keys: who can read it, whether git would take it along, what protects the root.

use super::git::Repository;
use super::{Finding, Patient, Repair, Severity};
use crate::context::Prompts;
use crate::error::ExitCode;
use crate::keys::{Keychain, Passwords};
use std::fs::FileType;
use std::path::{Path, PathBuf};
use updater_format::role::{RoleName, Targets};
use updater_format::signed::{Signed, Untrusted};

/// Looks at the keys on this machine.
pub(super) fn examine(patient: &Patient<'_>) -> Vec<Finding> {
    let folders = [patient.keys.clone(), patient.keys.development()];
    let mut findings: Vec<Finding> = folders.iter().flat_map(|folder| permissions(folder.path())).collect();
    match patient.keys.list() {
        Ok(files) => {
            let secrets: Vec<PathBuf> = files.iter().filter_map(|file| file.secret.clone()).collect();
            findings.extend(in_repository(&secrets));
            findings.extend(plain_root(patient, &files));
            findings.extend(absent(patient));
        }
        Err(error) => {
            let cure = crate::error::Explain::hints(&error).join("; ");
            findings.push(
                Finding::new("keys-unreadable", Severity::Error, ExitCode::Key, error.to_string())
                    .because("nothing can be signed on this machine")
                    .cured_by(cure),
            );
        }
    }
    findings
}

/// Returns the top-level targets role: the published one, else the project's.
pub(super) fn targets_in_force(patient: &Patient<'_>) -> Option<Targets> {
    if let Some(state) = patient.published() {
        return Some((**state.targets()).clone());
    }
    let path = crate::init::targets_file(&patient.project.folder().join(&patient.table.root));
    let bytes = std::fs::read(path).ok()?;
    Signed::<Targets>::parse(&Untrusted::new(&*bytes)).ok().map(|signed| signed.unverified().clone())
}

fn permissions(folder: &Path) -> Vec<Finding> {
    let mut findings = Vec::new();
    let entries = std::fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok).map(|entry| entry.path());
    let mut secrets: Vec<PathBuf> =
        entries.filter(|path| path.extension().is_some_and(|ending| ending == "key")).collect();
    secrets.sort();
    // A folder without keys is somebody else's, named by mistake.
    if !secrets.is_empty()
        && let Some(mode) = mode_for_others(folder, FileType::is_dir)
    {
        findings.push(
            Finding::new(
                "key-folder-open",
                Severity::Warning,
                ExitCode::Key,
                format!("{} can be read by others (mode {mode:o})", folder.display()),
            )
            .because("others on this machine see which keys there are, and may put files beside them")
            .cured_by(format!("chmod 700 {}", folder.display()))
            .repaired_by(Repair::Permissions { path: folder.to_owned(), mode: 0o700 }),
        );
    }
    for path in secrets {
        if let Some(mode) = mode_for_others(&path, FileType::is_file) {
            findings.push(
                Finding::new(
                    "key-readable",
                    Severity::Error,
                    ExitCode::Key,
                    format!("{} can be read by others (mode {mode:o})", path.display()),
                )
                .because("it is refused for signing; if somebody did read it, the key is stolen")
                .cured_by(format!("chmod 600 {}", path.display()))
                .repaired_by(Repair::Permissions { path, mode: 0o600 }),
            );
        }
    }
    findings
}

/// Returns the permissions of a file or folder of this user when others have any. What a link leads to may be anything, and
/// is nobody's key here.
fn mode_for_others(path: &Path, kind: impl FnOnce(&FileType) -> bool) -> Option<u32> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt as _;
        let metadata = path.symlink_metadata().ok()?;
        let ours = metadata.uid() == rustix::process::geteuid().as_raw();
        let mode = metadata.mode() & 0o7777;
        (ours && kind(&metadata.file_type()) && mode & 0o077 != 0).then_some(mode)
    }
    #[cfg(not(unix))]
    {
        let _ = (path, kind);
        None
    }
}

/// Finds keys that `git add` would take.
fn in_repository(secrets: &[PathBuf]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for path in secrets {
        let path = path.canonicalize().unwrap_or_else(|_| path.clone());
        let Some(repository) = path.parent().and_then(Repository::around) else { continue };
        let Ok(inside) = path.strip_prefix(repository.top.canonicalize().unwrap_or(repository.top.clone())) else {
            continue;
        };
        if repository.ignores(&path) {
            continue;
        }
        let pattern = format!("/{}", inside.to_string_lossy().replace('\\', "/"));
        findings.push(
            Finding::new(
                "key-not-ignored",
                Severity::Error,
                ExitCode::Key,
                format!("{} lies in a git repository that does not ignore it", path.display()),
            )
            .because("the next `git add` publishes it")
            .cured_by(format!("echo '{pattern}' >> {}", repository.top.join(".gitignore").display()))
            .repaired_by(Repair::Ignore { file: repository.top.join(".gitignore"), pattern }),
        );
    }
    findings
}

/// Finds root keys that nothing but the permissions of their file protects.
fn plain_root(patient: &Patient<'_>, files: &[crate::keys::KeyFile]) -> Vec<Finding> {
    let Some(root) = patient.parsed_root() else { return Vec::new() };
    if root.is_development() {
        return Vec::new();
    }
    let keys = root.keyring(RoleName::Root).keys();
    let listed = |file: &&crate::keys::KeyFile| keys.iter().any(|(_, key)| *key == file.public.key);
    let plain = files.iter().filter(listed).filter(|file| file.is_encrypted() == Some(false));
    plain
        .filter_map(|file| file.secret.as_ref())
        .map(|path| {
            Finding::new(
                "root-key-plain",
                Severity::Warning,
                ExitCode::Key,
                format!("{} has no password", path.display()),
            )
            .because("whoever copies the file can replace the root")
            .cured_by(format!("minisign -C -s {} (sets a password); then keep it off this machine", path.display()))
        })
        .collect()
}

/// Tells which roles cannot be signed here at all. Most machines have a few keys by design, so that nothing has to be done.
fn absent(patient: &Patient<'_>) -> Vec<Finding> {
    let Some(root) = patient.published().map(|state| (**state.root()).clone()).or_else(|| patient.parsed_root()) else {
        return Vec::new();
    };
    let Some(targets) = targets_in_force(patient) else { return Vec::new() };
    let Ok(keychain) = Keychain::open(patient.keys.clone(), Passwords::none(Prompts::Never)) else { return Vec::new() };
    let fixed = [("root", RoleName::Root), ("targets", RoleName::Targets), ("online", RoleName::Timestamp)];
    let fixed = fixed.map(|(name, role)| (name, root.keyring(role)));
    let channels = targets.delegations.iter().flat_map(|delegations| &delegations.roles);
    let all: Vec<_> = fixed.into_iter().chain(channels.map(|role| (role.name.as_str(), &role.keyring))).collect();
    let absent: Vec<&str> =
        all.iter().filter(|(_, keyring)| keychain.count(keyring) == 0).map(|(name, _)| *name).collect();
    let finding = |what: String, cure: String| {
        Finding::new("key-absent", Severity::Note, ExitCode::Key, what)
            .because("right where it is kept elsewhere, and only then")
            .cured_by(cure)
    };
    let folder = patient.keys.path().display();
    if absent.len() == all.len() {
        let what = format!("no key of this app is on this machine (looked in {folder})");
        return vec![finding(what, "cargo updater keys import FILE, or name their folder with `--key-dir`".to_owned())];
    }
    let of = |role: &str| {
        let what = format!("no key of the role {role} is on this machine (looked in {folder})");
        finding(what, format!("if it is lost: {}", crate::keys::lost(role)))
    };
    absent.into_iter().map(of).collect()
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn a_folder_without_keys_and_what_links_lead_to_are_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let [keys, other] = ["keys", "other"].map(|name| folder.path().join(name));
        for path in [&keys, &other] {
            std::fs::create_dir(path).unwrap();
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
        }
        let (key, target) = (keys.join("root.key"), other.join("notes"));
        for path in [&key, &target] {
            std::fs::write(path, "").unwrap();
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o644)).unwrap();
        }
        std::os::unix::fs::symlink(&target, keys.join("linked.key")).unwrap();
        let repairs = |folder: &Path| {
            let repairs = permissions(folder).into_iter().filter_map(|finding| finding.repair);
            repairs.collect::<Vec<_>>()
        };
        assert_eq!(repairs(&other), []);
        let expected = [(keys.clone(), 0o700), (key, 0o600)].map(|(path, mode)| Repair::Permissions { path, mode });
        assert_eq!(repairs(&keys), expected);
    }
}
