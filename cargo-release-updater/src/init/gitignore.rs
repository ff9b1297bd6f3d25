//! Keeps secret keys out of version control.

use super::{Changes, InitError, Work, read_optional};
use crate::config::Project;
use crate::context::{Context, Execute};
use crate::keys::KeyFolder;
use std::path::{Path, PathBuf};

/// Warns when keys lie inside a repository, of the package or any other, and makes git ignore them.
/// # Errors
/// [`InitError::Io`] when `.gitignore` cannot be written: then no key should be made there.
pub fn cover_keys(context: &Context, project: Option<&Project>, keys: &KeyFolder) -> Result<(), InitError> {
    let (shell, base) = (&context.shell, context.working_dir.as_path());
    cover(&mut Work { shell, base, execute: Execute::ForReal, changes: Changes::default() }, project, keys)
}

pub(super) fn cover(work: &mut Work<'_>, project: Option<&Project>, keys: &KeyFolder) -> Result<(), InitError> {
    let folder = real(keys.path());
    let repository = folder.ancestors().find(|path| path.join(".git").exists());
    let workspace = project.map(|project| real(&project.workspace_root)).filter(|root| folder.starts_with(root));
    let root = match (repository, workspace) {
        (Some(root), _) => root.to_owned(),
        (None, Some(root)) => root,
        (None, None) => return Ok(()),
    };
    work.shell.warn(format_args!(
        "the secret keys would lie inside the repository, in {}; a folder outside it is safer (`--key-dir`)",
        folder.display()
    ));
    let Ok(relative) = folder.strip_prefix(&root) else { return Ok(()) };
    let pattern = match relative.to_string_lossy().replace('\\', "/") {
        path if path.is_empty() => "/*.key".to_owned(),
        path => format!("/{path}/**/*.key"),
    };
    let ignore = root.join(".gitignore");
    let mut text = String::from_utf8_lossy(&read_optional(&ignore)?.unwrap_or_default()).into_owned();
    if text.lines().any(|line| line.trim() == pattern) {
        return Ok(());
    }
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    text.push_str(&format!("# Secret keys of cargo updater\n{pattern}\n"));
    work.write(&ignore, text.as_bytes())
}

/// Resolves the part of a path that exists already.
fn real(path: &Path) -> PathBuf {
    let existing = path.ancestors().find(|path| path.exists()).unwrap_or(path);
    let rest = path.strip_prefix(existing).unwrap_or(Path::new(""));
    existing.canonicalize().unwrap_or_else(|_| existing.to_owned()).join(rest)
}
