//! Sets a package up: keys, the signed root and targets role, the table, the build script, the dependencies.
//!
//! Every part looks at what is there and does only what is missing, so that a second run changes nothing and an
//! interrupted one is continued.

mod build_script;
mod error;
mod github;
mod gitignore;
mod manifest;
mod trust;

pub use error::InitError;
pub use github::{GitHubSetup, origin};
pub use gitignore::cover_keys;
pub use manifest::{Dependencies, own_checkout, write_public_keys};
pub use trust::Trust;

use crate::config::Project;
use crate::context::{Context, Execute};
use crate::error::CommandResult;
use crate::keys::{KeyFolder, Passwords};
use crate::roles::{Purpose, Refresh};
use crate::shell::Shell;
use std::path::{Path, PathBuf};
use updater_build::url::RepositoryUrl;
use updater_format::{AppId, Channel};

/// Everything that must be known before a package is set up.
#[derive(Debug, Clone)]
pub struct Answers {
    /// The app id.
    pub app: AppId,
    /// Where clients read.
    pub urls: Vec<RepositoryUrl>,
    /// Where `publish` writes, as it goes into the table; `None` keeps the default.
    pub storage: Option<String>,
    /// The channels, the embedded one first.
    pub channels: Vec<Channel>,
    /// Real releases or trying out.
    pub purpose: Purpose,
    /// How often the timestamp is re-signed.
    pub refresh: Refresh,
    /// Where the two crates of an app come from.
    pub dependencies: Dependencies,
    /// Whether new keys get a password.
    pub passwords: NewKeys,
    /// The repository on GitHub that a workflow is written for.
    pub github: Option<GitHubSetup>,
}

/// How new keys are protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NewKeys {
    /// With a password.
    Encrypted,
    /// With file permissions alone.
    Plain,
}

/// What was changed, or in a dry run would be.
#[derive(Debug, Default, serde::Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Changes {
    /// Files that did not exist.
    pub created: Vec<String>,
    /// Files that were edited.
    pub edited: Vec<String>,
    /// What is left to a person.
    pub todo: Vec<String>,
}

impl crate::shell::Message for Changes {
    const REASON: &'static str = "init";
}

/// Sets a package up as the answers say.
/// # Errors
/// A [`CommandError`](crate::error::CommandError) from the part that failed; the parts before it are done, and running
/// it again continues.
pub fn run(
    context: &Context,
    project: &Project,
    answers: &Answers,
    keys: &KeyFolder,
    passwords: Passwords,
    execute: Execute,
) -> CommandResult<Changes> {
    trust::refuse_lost_files(project)?;
    manifest::refuse_other_settings(project, answers)?;
    let mut work = Work { shell: &context.shell, base: &context.working_dir, execute, changes: Changes::default() };
    if keys.path().exists() || !trust::is_complete(project) {
        // Before any key is made.
        gitignore::cover(&mut work, Some(project), keys)?;
    }
    let trust = trust::prepare(&mut work, project, answers, keys, passwords, context.clock.now())?;
    manifest::edit(&mut work, project, answers, trust.as_ref())?;
    build_script::edit(&mut work, project)?;
    if let Some(setup) = &answers.github {
        github::write(&mut work, project, setup)?;
    }
    main_lines(&mut work, project);
    Ok(work.changes)
}

/// Tells which lines `main` needs, unless it has them. Code is left to its author.
fn main_lines(work: &mut Work<'_>, project: &Project) {
    let main = project.folder().join("src/main.rs");
    if std::fs::read_to_string(&main).is_ok_and(|text| text.contains("updater!()")) {
        return;
    }
    work.todo(
        "add to the beginning of `main`:\n\n    let updater = updater_runtime::updater!();\n    \
         if let Err(error) = update(&updater) {\n        eprintln!(\"no update: {}\", error.full_message());\n    }\n\n\
         and below it:\n\n    fn update(updater: &updater_runtime::Updater) -> Result<(), updater_runtime::Error> {\n        \
         match updater.check()? {\n            \
         updater_runtime::Status::NoUpdate(why) => eprintln!(\"{why}\"),\n            \
         updater_runtime::Status::Available(update) => {\n                \
         update.download(|_progress| {})?.install()?.restart()?.hand_over();\n            \
         }\n        }\n        Ok(())\n    }\n",
    );
}

/// What the parts share: whether to act, and the list of what was done.
struct Work<'a> {
    shell: &'a Shell,
    base: &'a Path,
    execute: Execute,
    changes: Changes,
}

impl Work<'_> {
    /// Writes a file, or tells that it would, unless it has this content already.
    fn write(&mut self, path: &Path, text: &[u8]) -> Result<(), InitError> {
        let before = read_optional(path)?;
        if before.as_deref() == Some(text) {
            return Ok(());
        }
        self.note(path, before.is_some());
        match self.execute {
            Execute::DryRun => Ok(()),
            // Through a link, so that the link stays one.
            Execute::ForReal => crate::files::write_durably(&path.canonicalize().unwrap_or(path.to_owned()), text)
                .map_err(|source| InitError::Io { action: "write", path: path.to_owned(), source }),
        }
    }

    /// Tells that a file is made or edited.
    fn note(&mut self, path: &Path, existed: bool) {
        let shown = path.strip_prefix(self.base).unwrap_or(path).display().to_string();
        let verb = match (existed, self.execute) {
            (false, Execute::ForReal) => "Created",
            (false, Execute::DryRun) => "Would create",
            (true, Execute::ForReal) => "Edited",
            (true, Execute::DryRun) => "Would edit",
        };
        self.shell.status(verb, &shown);
        match existed {
            true => self.changes.edited.push(shown),
            false => self.changes.created.push(shown),
        }
    }

    fn todo(&mut self, what: impl Into<String>) {
        let what = what.into();
        self.shell.note(&what);
        self.changes.todo.push(what);
    }
}

/// Reads a file; `None` when there is none.
fn read_optional(path: &Path) -> Result<Option<Vec<u8>>, InitError> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(InitError::Io { action: "read", path: path.to_owned(), source }),
    }
}

/// Returns the project's signed targets role, which lies beside its root.
#[must_use]
pub fn targets_file(root: &Path) -> PathBuf {
    root.with_file_name("targets.json")
}

/// Returns where an earlier root is kept beside the project's root until the first publication.
#[must_use]
pub fn earlier_root_file(root: &Path, version: u64) -> PathBuf {
    root.with_file_name(format!("{version}.root.json"))
}

/// Makes a path absolute, without links where it exists.
#[must_use]
pub fn absolute(base: &Path, path: &Path) -> PathBuf {
    let joined = base.join(path);
    joined.canonicalize().unwrap_or(joined)
}
