//! The hook `after-build`: programs are copied, the hook signs or changes the copies, and those are bundled and hashed.
//!
//! A signature often holds the time, so that signing twice gives two different files. A program that was signed before is
//! taken from there, as long as the build and the hook are the same: publishing again finds the release unchanged.

use super::{Built, BundleStepError, digest_of};
use crate::error::CommandResult;
use crate::hooks::{Hook, Hooks};
use crate::shell::Shell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use updater_format::{AppId, Platform, ReleaseVersion, Sha256};

/// What was signed in a folder.
#[derive(Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
struct Signed {
    /// The argument lists of the hook.
    hook: Vec<Vec<String>>,
    /// By the name of the program: what was built, and what the hook has made of it.
    programs: BTreeMap<String, (Sha256, Sha256)>,
}

/// Runs the hook on a copy of each program in `folder`; without a hook the programs stay where they are.
/// # Errors
/// [`HookError`](crate::hooks::HookError) when the hook fails; [`BundleStepError`] when a copy cannot be made or read.
pub fn after_build(
    built: Vec<Built>,
    hooks: &Hooks,
    folder: &Path,
    (app, version, platform): (&AppId, &ReleaseVersion, &Platform),
    shell: &Shell,
) -> CommandResult<Vec<Built>> {
    if hooks.programs(Hook::AfterBuild).is_empty() {
        return Ok(built);
    }
    let write = |source| BundleStepError::Write { path: folder.to_owned(), source };
    std::fs::create_dir_all(folder).map_err(write)?;
    let record = folder.join(RECORD);
    let known = std::fs::read(&record).ok().and_then(|bytes| serde_json::from_slice::<Signed>(&bytes).ok());
    let hook = hooks.programs(Hook::AfterBuild).to_vec();
    let known = known.filter(|known| known.hook == hook).unwrap_or_default();
    let mut signed = Signed { hook, programs: BTreeMap::new() };
    let digest = |path: &Path| digest_of(path).map(|(_, sha256)| sha256);
    let mut copies = Vec::new();
    for program in built {
        let copy = folder.join(program.path.file_name().unwrap_or(program.name.as_ref()));
        let before = digest(&program.path)?;
        let same = known.programs.get(&program.name).filter(|(from, _)| *from == before);
        if same.is_none_or(|(_, to)| digest(&copy).ok() != Some(*to)) {
            copy_program(&program.path, &copy).map_err(write)?;
            shell.status("Running", format_args!("{} on {}", Hook::AfterBuild.name(), program.name));
            let values = [
                ("app", app.as_str()),
                ("version", &version.to_string()),
                ("triple", platform.as_str()),
                ("file", &copy.display().to_string()),
            ];
            hooks.run(Hook::AfterBuild, &values, "")?;
        } else {
            shell.detail(format_args!("{} went through {} before", program.name, Hook::AfterBuild.name()));
        }
        signed.programs.insert(program.name.clone(), (before, digest(&copy)?));
        copies.push(Built { name: program.name, path: copy });
    }
    let text = serde_json::to_vec_pretty(&signed).map_err(|error| write(error.into()))?;
    crate::files::write_durably(&record, &text).map_err(write)?;
    Ok(copies)
}

/// Copies a program with its mode, over what an earlier run has left.
fn copy_program(from: &Path, to: &PathBuf) -> std::io::Result<()> {
    match std::fs::remove_file(to) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => std::fs::copy(from, to).map(drop),
    }
}

/// Hidden: no program has such a name.
const RECORD: &str = ".after-build.json";
