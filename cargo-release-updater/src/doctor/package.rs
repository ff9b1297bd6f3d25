//! Secret keys among the files that `cargo package` would upload.

use super::history::judge;
use super::secrets::find;
use super::{Finding, Patient, Severity};
use crate::error::ExitCode;
use crate::keys::SECRET_VARIABLES;
use std::io::Read as _;
use std::path::Path;
use std::process::Command;

/// Looks through the files of the package.
pub(super) fn examine(patient: &Patient<'_>) -> Vec<Finding> {
    let folder = patient.project.folder();
    let mut command = Command::new(crate::toolchain::cargo());
    crate::toolchain::without_empty_variables(&mut command);
    command.args(["package", "--list", "--allow-dirty", "--offline", "--quiet", "--manifest-path"]);
    command.arg(&patient.project.manifest).current_dir(folder);
    // Cargo makes its target folder even for a list, and nothing of the package is to be changed.
    let scratch = match tempfile::tempdir() {
        Ok(scratch) => scratch,
        Err(error) => return vec![unread(&error.to_string())],
    };
    command.arg("--target-dir").arg(scratch.path());
    for name in SECRET_VARIABLES {
        command.env_remove(name);
    }
    let output = match command.output() {
        Ok(output) if output.status.success() => output,
        Ok(output) => {
            return vec![unread(String::from_utf8_lossy(&output.stderr).lines().next().unwrap_or("no reason"))];
        }
        Err(error) => return vec![unread(&error.to_string())],
    };
    let mut findings = Vec::new();
    for name in String::from_utf8_lossy(&output.stdout).lines() {
        for secret in find(&beginning(&folder.join(name))) {
            let finding = judge(patient, secret, &format!("the package ({name})"), "key-in-package");
            let cure = format!("move {name} out of the package; {}", finding.cure);
            findings.push(finding.cured_by(cure));
        }
    }
    findings
}

fn unread(why: &str) -> Finding {
    Finding::new(
        "package-unread",
        Severity::Note,
        ExitCode::Success,
        format!("cargo does not list the files of the package: {why}"),
    )
    .because("a secret key among them would not be found")
    .cured_by("`cargo package --list` says more")
}

/// Reads as much of a file as a key would be in; nothing of one that cannot be read.
fn beginning(path: &Path) -> Vec<u8> {
    let mut bytes = Vec::new();
    let read = std::fs::File::open(path).and_then(|file| file.take(MAX_FILE).read_to_end(&mut bytes));
    drop(read);
    bytes
}

/// How much of each file is looked through, in bytes: 64 KiB.
const MAX_FILE: u64 = 64 * 1024;
