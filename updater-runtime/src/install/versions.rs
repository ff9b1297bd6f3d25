//! The kind of install in which every version has a folder of its own and a link says which one is current; on Windows a file does.
//!
//! ```text
//! /opt/hello/versions/hello-1.0.0/     kept, for whoever wants to go back
//! /opt/hello/versions/hello-1.1.0/
//! /opt/hello/current -> versions/hello-1.1.0
//! /opt/hello/.current.updater/         the hidden folder
//! ```
//!
//! The visible change is one rename of that link, so this kind needs nothing of the file system but links. On Windows, where
//! links need a right of their own and none can be renamed over another, `current` is a file that holds the relative path.

use super::carry;
use super::manifests::inside;
use super::{InstallError, Layout};
use crate::fs;
use std::path::{Path, PathBuf};
use updater_format::state::JournaledRelease;
use updater_format::{AppId, ReleaseVersion};

/// Where the folders of the versions of an app lie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Versions {
    folder: PathBuf,
    app: String,
    /// How many stay, the current one included.
    keep: usize,
}

impl Versions {
    /// Finds the install that a version's folder belongs to; `None` unless a link `current` leads to one of its siblings.
    pub(super) fn around(tree: &Path) -> Option<Self> {
        let folder = tree.parent().filter(|folder| folder.file_name().is_some_and(|name| name == FOLDER))?;
        let (app, _) = parse(tree.file_name()?.to_str()?)?;
        let link = folder.with_file_name(CURRENT);
        let is_link = fs::is_pointer(&fs::metadata(&link).ok()??);
        let leads_to = fs::pointed(&link).ok()?;
        (is_link && leads_to.parent() == Some(folder)).then(|| Self {
            folder: folder.to_owned(),
            app: app.to_owned(),
            keep: KEPT,
        })
    }

    /// Sets how many versions stay; two at least, the current one and the one before it.
    pub(super) fn keep(&mut self, versions: usize) {
        self.keep = versions.max(KEPT);
    }

    /// Returns the link.
    pub(super) fn link(&self) -> PathBuf {
        self.folder.with_file_name(CURRENT)
    }

    /// Returns the folder that holds those of the versions.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Returns the folder of a version.
    pub(super) fn tree(&self, version: &ReleaseVersion) -> PathBuf {
        self.folder.join(self.name(version))
    }

    /// Puts the staged tree among the versions. Nothing visible changes.
    /// # Errors
    /// [`InstallError::Misnamed`] when the folder of the installed version is not called after it: it would not be found
    /// again. [`InstallError::NameTaken`] when something else than this version of the app has its name.
    pub(super) fn place(
        &self,
        layout: &Layout,
        installed: &ReleaseVersion,
        version: &ReleaseVersion,
    ) -> Result<(), InstallError> {
        let (tree, current) = (self.tree(version), layout.tree()?);
        if self.tree(installed) != current || tree == current {
            return Err(InstallError::Misnamed { path: current, expected: self.name(installed) });
        }
        // One that was kept, or that a failed update has left.
        self.remove(layout, version)?;
        if fs::metadata(&tree)?.is_some() {
            return Err(InstallError::NameTaken { path: tree, version: version.clone() });
        }
        fs::rename(&layout.staged_tree(), &tree)?;
        fs::sync_dir(&self.folder)?;
        fs::sync_dir(&layout.staged())?;
        Ok(())
    }

    /// The visible change: the link leads to another version. Its last step is the rename, so that an error always means
    /// that nothing has changed; the caller makes it durable with [`Versions::sync`].
    pub(super) fn switch(&self, layout: &Layout, version: &ReleaseVersion) -> Result<(), InstallError> {
        let next = layout.hidden().join("next");
        fs::remove_all(&next)?;
        fs::point_at(&Path::new(FOLDER).join(self.name(version)), &next)?;
        fs::sync_dir(layout.hidden())?;
        Ok(fs::rename(&next, &self.link())?)
    }

    /// Makes durable where the link leads.
    pub(super) fn sync(&self, layout: &Layout) -> fs::PathResult<()> {
        fs::sync_parent(&self.link())?;
        fs::sync_dir(layout.hidden())
    }

    /// Removes the folder of a version that is not current; what no release owns in it goes to the current one. A folder
    /// that only has the name of a version, and not its manifest, is somebody's and stays.
    pub(super) fn remove(&self, layout: &Layout, version: &ReleaseVersion) -> Result<(), InstallError> {
        let tree = self.tree(version);
        if tree == layout.tree()? || !self.is_ours(&tree, version)? {
            return Ok(());
        }
        self.salvage(layout, version)?;
        self.put_aside(layout, &tree)?;
        Ok(fs::remove_all(&aside(layout))?)
    }

    /// Takes the folder of a version that is not current out of the others, whole, for a sweep to remove: half of one would
    /// not be known for what it is.
    pub(super) fn put_aside(&self, layout: &Layout, tree: &Path) -> Result<(), InstallError> {
        let aside = aside(layout);
        fs::remove_all(&aside)?;
        fs::rename(tree, &aside)?;
        Ok(fs::sync_dir(&self.folder)?)
    }

    /// Tells whether a folder holds a version of this app, by its manifest.
    fn is_ours(&self, tree: &Path, version: &ReleaseVersion) -> Result<bool, InstallError> {
        let is_folder = fs::metadata(tree)?.is_some_and(|there| there.is_dir());
        let manifest = if is_folder { inside(tree)? } else { None };
        Ok(manifest.is_some_and(|(manifest, _)| manifest.app().as_str() == self.app && manifest.version() == version))
    }

    /// Brings what a process of another version has written into its folder to the current one.
    pub(super) fn salvage(&self, layout: &Layout, version: &ReleaseVersion) -> Result<(), InstallError> {
        let (tree, current) = (self.tree(version), layout.tree()?);
        if tree == current || !self.is_ours(&tree, version)? {
            return Ok(());
        }
        if let (Some((old, _)), Some((new, _))) = (inside(&tree)?, inside(&current)?) {
            carry::rescue(&tree, &old, &current, &new)?;
        }
        Ok(())
    }

    /// Does so for every version.
    pub(super) fn salvage_all(&self, layout: &Layout) -> Result<(), InstallError> {
        self.all()?.iter().try_for_each(|version| self.salvage(layout, version))
    }

    /// Removes the folders of all versions but the current one, the one before it, and the highest of the others as far as
    /// they are to stay. Only what is named after a version of this app and holds its manifest is one.
    pub(super) fn keep_only(
        &self,
        layout: &Layout,
        before: &JournaledRelease,
        current: &JournaledRelease,
    ) -> Result<(), InstallError> {
        self.salvage(layout, &before.version)?;
        let is_kept = |version: &ReleaseVersion| *version == before.version || *version == current.version;
        let mut others: Vec<_> = self.all()?.into_iter().filter(|version| !is_kept(version)).collect();
        others.sort_by(|a, b| b.cmp(a));
        others.iter().skip(self.keep.saturating_sub(KEPT)).try_for_each(|version| self.remove(layout, version))
    }

    /// Returns every version that lies here.
    pub(super) fn all(&self) -> Result<Vec<ReleaseVersion>, InstallError> {
        let mut versions = Vec::new();
        for name in fs::names(&self.folder)? {
            let Some((app, version)) = name.to_str().and_then(parse) else { continue };
            if app == self.app && self.is_ours(&self.folder.join(&name), &version)? {
                versions.push(version);
            }
        }
        Ok(versions)
    }

    fn name(&self, version: &ReleaseVersion) -> String {
        format!("{}-{version}", self.app)
    }
}

/// Where the folder of a version lies while it is removed.
fn aside(layout: &Layout) -> PathBuf {
    layout.hidden().join("dropped")
}

/// Takes `APP-VERSION` apart; the version begins behind the first hyphen that leaves one.
fn parse(name: &str) -> Option<(&str, ReleaseVersion)> {
    name.match_indices('-').find_map(|(at, _)| {
        let version = ReleaseVersion::parse(&name[at + 1..]).ok()?;
        AppId::parse(&name[..at]).is_ok().then(|| (&name[..at], version))
    })
}

/// The folder that holds those of the versions.
pub(super) const FOLDER: &str = "versions";
/// The link to the installed one.
pub(super) const CURRENT: &str = "current";
/// How many versions stay at least: the current one, and the one that a failed trial goes back to.
const KEPT: usize = 2;

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn a_name_is_an_app_and_a_version() {
        let shown = |name| parse(name).map(|(app, version)| format!("{app} {version}"));
        assert_eq!(shown("hello-1.0.0").as_deref(), Some("hello 1.0.0"));
        assert_eq!(shown("my-app-1.0.0-beta.1").as_deref(), Some("my-app 1.0.0-beta.1"));
        for name in ["hello", "hello-1.0", "1.0.0", "-1.0.0", "hello-", "Hello-1.0.0"] {
            assert_eq!(shown(name), None, "{name}");
        }
    }

    #[test]
    fn only_a_link_to_a_sibling_makes_an_install() {
        let folder = tempfile::tempdir().unwrap();
        let base = folder.path().canonicalize().unwrap();
        let tree = base.join("versions/hello-1.0.0");
        std::fs::create_dir_all(&tree).unwrap();
        assert_eq!(Versions::around(&tree), None, "no link");
        symlink("elsewhere", base.join("current")).unwrap();
        assert_eq!(Versions::around(&tree), None, "a link that leads nowhere");
        std::fs::remove_file(base.join("current")).unwrap();
        symlink("versions", base.join("current")).unwrap();
        assert_eq!(Versions::around(&tree), None, "a link to something else");
        std::fs::remove_file(base.join("current")).unwrap();
        symlink("versions/hello-1.0.0", base.join("current")).unwrap();
        let versions = Versions::around(&tree).unwrap();
        assert_eq!((versions.link(), versions.app.as_str()), (base.join("current"), "hello"));
        assert_eq!(Versions::around(&base.join("versions/hello")), None, "a folder without a version");
        std::fs::create_dir(base.join("versions/hello-1.1.0")).unwrap();
        assert!(Versions::around(&base.join("versions/hello-1.1.0")).is_some(), "a process of another version");
    }
}
