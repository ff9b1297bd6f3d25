//! Where the steps leave what they make: one folder below Cargo's target folder, safe to delete at any time.

use crate::config::Project;
use std::path::{Path, PathBuf};
use updater_format::{AppId, Platform};

/// The working folder of the steps, `target/updater` as a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Folders {
    root: PathBuf,
}

impl Folders {
    /// Returns the working folder of a project.
    #[must_use]
    pub fn of(project: &Project) -> Self {
        Self::at(project.target_dir.join("updater"))
    }

    /// Uses another folder. Nothing is created before something is written.
    #[must_use]
    pub fn at(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// Returns the folder itself.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Returns where bundles and their unsigned parts lie.
    #[must_use]
    pub fn bundles(&self) -> PathBuf {
        self.root.join("bundles")
    }

    /// Returns where patches lie.
    #[must_use]
    pub fn patches(&self) -> PathBuf {
        self.root.join("patches")
    }

    /// Returns where the hook `after-build` works on copies of an app's programs.
    #[must_use]
    pub fn signed_programs(&self, app: &AppId, platform: &Platform) -> PathBuf {
        self.root.join("after-build").join(app.as_str()).join(platform.as_str())
    }

    /// Returns where files wait for the hook `upload`.
    #[must_use]
    pub fn staged(&self) -> PathBuf {
        self.root.join("staged")
    }

    /// Returns where release notes out of a change log lie.
    #[must_use]
    pub fn notes(&self) -> PathBuf {
        self.root.join("notes")
    }

    /// Returns where published bundles are kept, by digest, so that each is fetched once.
    #[must_use]
    pub fn cache(&self) -> PathBuf {
        self.root.join("cache")
    }

    /// Returns where the signed release of an app lies: a repository of its own.
    #[must_use]
    pub fn release(&self, app: &AppId) -> PathBuf {
        self.root.join("release").join(app.as_str())
    }
}
