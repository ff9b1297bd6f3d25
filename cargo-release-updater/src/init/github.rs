//! `init --github`: where a repository on GitHub publishes, and the workflow that does it.

use super::{InitError, Work};
use crate::config::Project;
use crate::storage::GitHubAddress;
use std::path::{Path, PathBuf};
use std::process::Command;
use updater_format::Platform;

/// A repository on GitHub that a project is set up for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GitHubSetup {
    /// The repository.
    pub address: GitHubAddress,
    /// The triples that are built.
    pub targets: Vec<Platform>,
}

impl GitHubSetup {
    /// Returns the address at which clients read, with where the files are.
    #[must_use]
    pub fn url(&self) -> String {
        format!("{}#targets={}", self.address.pages_url(), self.address.targets_template())
    }

    /// Returns the workflow.
    #[must_use]
    pub fn workflow(&self, project: &Project) -> String {
        let matrix: Vec<String> = self
            .targets
            .iter()
            .map(|target| format!("          - {{ target: {target}, os: {} }}", runner_of(target.as_str())))
            .collect();
        // A workspace has to be told which of its packages is meant.
        let is_member = project.folder() != project.workspace_root;
        let package = if is_member { format!(" -p {}", project.name) } else { String::new() };
        TEMPLATE
            .replace("@TAG@", &self.address.tag)
            .replace("@VERSION@", env!("CARGO_PKG_VERSION"))
            .replace("@PACKAGE@", &package)
            .replace("@MATRIX@", &matrix.join("\n"))
    }
}

/// Returns `OWNER/REPO` of the remote `origin` of a checkout, when it lies on GitHub.
#[must_use]
pub fn origin(folder: &Path) -> Option<String> {
    let output = Command::new("git").args(["remote", "get-url", "origin"]).current_dir(folder).output().ok()?;
    slug_of(String::from_utf8(output.stdout).ok()?.trim()).map(str::to_owned)
}

/// Writes the workflow, unless there is one of its name: that belongs to the project.
pub(super) fn write(work: &mut Work<'_>, project: &Project, setup: &GitHubSetup) -> Result<(), InitError> {
    let path = top(project).join(WORKFLOW);
    if path.exists() {
        return Ok(());
    }
    if let (crate::context::Execute::ForReal, Some(folder)) = (work.execute, path.parent()) {
        let failed = |source| InitError::Io { action: "make", path: folder.to_owned(), source };
        std::fs::create_dir_all(folder).map_err(failed)?;
    }
    work.write(&path, setup.workflow(project).as_bytes())?;
    if let Some(path) = path_outside(project) {
        work.todo(format!(
            "{} takes updater-runtime from {path}, which no runner has: write its version, or `git` and `rev`, before you commit",
            project.manifest.display()
        ));
    }
    let (slug, tag, version) = (setup.address.slug(), &setup.address.tag, &project.version);
    work.todo(format!(
        "on GitHub, once (docs/github.md):\n\n    \
         gh api -X PUT repos/{slug}/environments/release   # then let it require reviewers, in the settings\n    \
         gh api -X PUT repos/{slug}/environments/refresh\n    \
         gh secret set UPDATER_KEY --env release < KEY-OF-THE-CHANNEL      # and UPDATER_KEY_PASSWORD\n    \
         gh secret set UPDATER_ONLINE_KEY --env refresh < ONLINE-KEY       # and UPDATER_ONLINE_PASSWORD\n\n\
         then commit everything, and release with `git tag {tag}{version} && git push origin HEAD {tag}{version}`;\n\
         after the first release let Pages serve the branch {}: Settings, Pages, Deploy from a branch.\n",
        setup.address.branch
    ));
    Ok(())
}

/// Returns the path from which the manifest takes the runtime, when that is not part of the checkout.
fn path_outside(project: &Project) -> Option<String> {
    let text = std::fs::read_to_string(&project.manifest).ok()?;
    let document: toml_edit::DocumentMut = text.parse().ok()?;
    let path = document.get("dependencies")?.get("updater-runtime")?.get("path")?.as_str()?;
    let there = project.folder().join(path).canonicalize().ok()?;
    (!there.starts_with(top(project).canonicalize().ok()?)).then(|| path.to_owned())
}

/// Returns the folder of the checkout: workflows lie at its top.
fn top(project: &Project) -> PathBuf {
    let folder = project.folder();
    folder.ancestors().find(|path| path.join(".git").exists()).unwrap_or(&project.workspace_root).to_owned()
}

/// Returns the runner that builds for a triple without an emulator, where GitHub has one.
fn runner_of(triple: &str) -> &'static str {
    match triple {
        _ if triple.starts_with("aarch64-") && triple.contains("-linux-") => "ubuntu-24.04-arm",
        _ if triple.starts_with("x86_64-apple-") => "macos-15-intel",
        _ if triple.contains("-apple-") => "macos-15",
        _ if triple.starts_with("aarch64-") && triple.contains("-windows-") => "windows-11-arm",
        _ if triple.contains("-windows-msvc") => "windows-2025",
        _ => "ubuntu-24.04",
    }
}

/// Returns `OWNER/REPO` of the address of a remote on GitHub.
fn slug_of(remote: &str) -> Option<&str> {
    let rest = ["https://github.com/", "ssh://git@github.com/", "git@github.com:"]
        .iter()
        .find_map(|prefix| remote.strip_prefix(prefix))?;
    let slug = rest.trim_end_matches('/');
    let slug = slug.strip_suffix(".git").unwrap_or(slug);
    (slug.split('/').filter(|part| !part.is_empty()).count() == 2).then_some(slug)
}

const TEMPLATE: &str = include_str!("../../template/release.yml");
/// A name of its own: many projects have a `release.yml` already.
const WORKFLOW: &str = ".github/workflows/cargo-updater.yml";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remotes_on_github_are_recognised() {
        for remote in [
            "https://github.com/owner/app.git",
            "https://github.com/owner/app/",
            "git@github.com:owner/app.git",
            "ssh://git@github.com/owner/app",
        ] {
            assert_eq!(slug_of(remote), Some("owner/app"), "{remote}");
        }
        for remote in ["https://gitlab.com/owner/app", "https://github.com/owner", "/srv/git/app", ""] {
            assert_eq!(slug_of(remote), None, "{remote}");
        }
    }

    #[test]
    fn each_triple_has_its_runner() {
        for (triple, runner) in [
            ("x86_64-unknown-linux-gnu", "ubuntu-24.04"),
            ("aarch64-unknown-linux-musl", "ubuntu-24.04-arm"),
            ("aarch64-apple-darwin", "macos-15"),
            ("x86_64-apple-darwin", "macos-15-intel"),
            ("x86_64-pc-windows-msvc", "windows-2025"),
            ("x86_64-pc-windows-gnu", "ubuntu-24.04"),
        ] {
            assert_eq!(runner_of(triple), runner, "{triple}");
        }
    }
}
