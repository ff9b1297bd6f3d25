//! A user's files move along: after folders were exchanged, what the old release does not own is renamed into the new one.
//!
//! Each step is one rename within a file system, so that every file is in the old folder or in the new one, and a run that
//! was interrupted is finished by running it again.

use super::InstallError;
use super::error::Obstacle;
use super::layout::Layout;
use crate::fs::{self, PathResult};
use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use updater_format::length::MAX_MANIFEST;
use updater_format::{EntryContent, FilePath, InstallKind, MANIFEST_PATH, Manifest, NEW_SUFFIX, Sha256};

/// Moves what the release in `from` does not own into `to`.
///
/// A file that a user may edit (`keep_local`) stays the user's: the new one is put beside it as `.new`. Where a user's
/// file has the name of a new one, it is kept as `.saved`, and gets its name back when the name is free again.
pub(super) fn carry_over(from: &Path, old: &Manifest, to: &Path, new: &Manifest) -> PathResult<()> {
    carry(from, to, Carrier { old, new, direction: Direction::Forward, touched: BTreeSet::new() })
}

/// Moves back what [`carry_over`] has moved, or a part of it, and what the user has made since: from the release in
/// `from`, which failed or was never completed, to the one before it. A file that a user may edit and that never left
/// `to` is the user's copy; what lies in `from` then is only what came with the release.
pub(super) fn carry_back(from: &Path, failed: &Manifest, to: &Path, old: &Manifest) -> PathResult<()> {
    carry(from, to, Carrier { old: failed, new: old, direction: Direction::Back, touched: BTreeSet::new() })
}

fn carry(from: &Path, to: &Path, mut carrier: Carrier<'_>) -> PathResult<()> {
    carrier.folder(Path::new(""), from, to)?;
    for folder in &carrier.touched {
        // A folder may have moved on as part of a larger one.
        if fs::metadata(folder)?.is_some() {
            fs::sync_dir(folder)?;
        }
    }
    Ok(())
}

/// Refuses before the exchange what could not be moved after it: another file system mounted inside the folder.
pub(super) fn check_movable(from: &Path, old: &Manifest) -> Result<(), InstallError> {
    let device = fs::require(from)?.dev();
    check_folder(Path::new(""), from, old, device)
}

/// Reads the manifest of a folder and its digest; `None` when there is none that can be read.
pub(super) fn manifest_in(tree: &Path) -> PathResult<Option<(Manifest, Sha256)>> {
    let bytes = fs::read_bounded(&tree.join(MANIFEST_PATH), MAX_MANIFEST + 1)?;
    Ok(bytes.and_then(|bytes| Some((Manifest::parse(&bytes).ok()?, Sha256::of(&bytes)))))
}

/// Brings back user files when the journal is lost: whatever in the hidden folder no release owns goes to the install.
pub(super) fn salvage(layout: &Layout) -> Result<(), InstallError> {
    salvage_from(layout, &layout.staged_tree())?;
    salvage_previous(layout)
}

/// Brings back what a process of the old release has written into the old folder after that was exchanged: its working
/// directory and open folders moved away with it. To be called before the old folder is dropped.
pub(super) fn salvage_previous(layout: &Layout) -> Result<(), InstallError> {
    salvage_from(layout, &layout.previous_tree())
}

fn salvage_from(layout: &Layout, tree: &Path) -> Result<(), InstallError> {
    if layout.kind() == InstallKind::Executable {
        return Ok(());
    }
    // Garbage in the place of the folder, a link above all, is not a tree that we have put there.
    let is_folder = |path: &Path| matches!(fs::metadata(path), Ok(Some(metadata)) if metadata.is_dir());
    if !tree.parent().is_some_and(is_folder) || !is_folder(tree) {
        return Ok(());
    }
    let Some((installed, _)) = manifest_in(layout.root())? else { return Ok(()) };
    if let Some((manifest, _)) = manifest_in(tree)? {
        carry_over(tree, &manifest, layout.root(), &installed)?;
    }
    Ok(())
}

/// What something in a folder is to the release that owns the folder.
enum Owner {
    /// A folder of the release; users may have files in it.
    Folder,
    /// Of the release.
    Release,
    /// Of the release, but the user may have edited it.
    Shared,
    /// The user's.
    User,
}

/// Whether an update goes on or is taken back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Direction {
    Forward,
    Back,
}

struct Carrier<'a> {
    /// Of the release that files are moved away from.
    old: &'a Manifest,
    /// Of the release that files are moved to.
    new: &'a Manifest,
    direction: Direction,
    /// Folders whose entries changed.
    touched: BTreeSet<PathBuf>,
}

impl Carrier<'_> {
    /// Moves from one folder into its counterpart, which is made when something comes into it.
    fn folder(&mut self, below: &Path, from: &Path, to: &Path) -> PathResult<()> {
        for name in fs::names(from)? {
            let (path, source) = (below.join(&name), from.join(&name));
            let is_dir = fs::require(&source)?.is_dir();
            match self.owner(&path, is_dir) {
                Owner::Release => {}
                Owner::Folder => {
                    let mut target = to.join(&name);
                    if fs::metadata(&target)?.is_some_and(|there| !there.is_dir()) {
                        // The new release has a file where the old one had a folder.
                        target = with_suffix(&target, SAVED_SUFFIX);
                    }
                    self.folder(&path, &source, &target)?;
                }
                Owner::Shared => self.shared(&path, &source, to, &name)?,
                Owner::User => self.user(&path, &source, is_dir, to, &name)?,
            }
        }
        Ok(())
    }

    fn user(&mut self, path: &Path, source: &Path, is_dir: bool, to: &Path, name: &OsStr) -> PathResult<()> {
        if let Some(former) = self.former_name(path, to) {
            match fs::metadata(&former)? {
                None => return self.rename(source, &former),
                Some(there) if is_dir && there.is_dir() => return self.folder(path, source, &former),
                Some(_) => {}
            }
        }
        let target = to.join(name);
        match fs::metadata(&target)? {
            None => self.rename(source, &target),
            Some(there) if is_dir && there.is_dir() => self.folder(path, source, &target),
            Some(_) => {
                let saved = free_name(&with_suffix(&target, SAVED_SUFFIX))?;
                self.rename(source, &saved)
            }
        }
    }

    /// Returns where a `.saved` file or folder was before a release took its name, if the release behind is one that did.
    fn former_name(&self, path: &Path, to: &Path) -> Option<PathBuf> {
        let base = FilePath::parse(path.to_str()?.strip_suffix(SAVED_SUFFIX)?).ok()?;
        let was_taken = self.old.find(&base).is_some() || self.old.has_folder(&base);
        was_taken.then(|| to.join(base.file_name()))
    }

    /// Keeps the user's copy of a file that both may write.
    fn shared(&mut self, path: &Path, source: &Path, to: &Path, name: &OsStr) -> PathResult<()> {
        let target = to.join(name);
        let is_new = parse(path).is_some_and(|path| self.new.find(&path).is_some());
        if self.direction == Direction::Back {
            let never_left = fs::metadata(&target)?.is_some();
            if never_left || (!is_new && self.is_as_shipped(path, source)?) {
                return Ok(());
            }
        }
        if is_new && fs::metadata(&target)?.is_some() && content(&target)? != content(source)? {
            // From here to the next rename only the old folder has this file; a run after a crash finds it there.
            self.rename(&target, &with_suffix(&target, NEW_SUFFIX))?;
        }
        self.rename(source, &target)
    }

    /// Tells whether a file is what the release that owns it brought.
    fn is_as_shipped(&self, path: &Path, source: &Path) -> PathResult<bool> {
        let entry = parse(path).and_then(|path| self.old.find(&path));
        let Some(EntryContent::File { sha256, .. }) = entry.map(|entry| &entry.content) else { return Ok(false) };
        Ok(content(source)?.is_some_and(|(_, digest)| digest == *sha256))
    }

    fn rename(&mut self, source: &Path, target: &Path) -> PathResult<()> {
        if let (Some(from), Some(to)) = (source.parent(), target.parent()) {
            self.make_folder(from, to)?;
            self.touched.extend([from.to_owned(), to.to_owned()]);
        }
        fs::rename(source, target)
    }

    /// Makes a folder and those above it, with the permissions of the folder that they stand for.
    fn make_folder(&mut self, like: &Path, folder: &Path) -> PathResult<()> {
        if fs::metadata(folder)?.is_some() {
            return Ok(());
        }
        if let (Some(like), Some(parent)) = (like.parent(), folder.parent()) {
            self.make_folder(like, parent)?;
            self.touched.insert(parent.to_owned());
        }
        fs::create_dir(folder)?;
        fs::set_mode(folder, fs::require(like)?.mode() & 0o777)
    }

    fn owner(&self, path: &Path, is_dir: bool) -> Owner {
        owner(self.old, path, is_dir, |path| self.old.keeps_local(path) || self.new.keeps_local(path))
    }
}

fn owner(old: &Manifest, path: &Path, is_dir: bool, keeps_local: impl Fn(&FilePath) -> bool) -> Owner {
    // A name that no release can have is a user's.
    let Some(path) = parse(path) else { return Owner::User };
    if is_dir {
        return if old.has_folder(&path) { Owner::Folder } else { Owner::User };
    }
    if path.as_str() == MANIFEST_PATH {
        return Owner::Release;
    }
    if old.find(&path).is_some() {
        return if keeps_local(&path) { Owner::Shared } else { Owner::Release };
    }
    let base = path.as_str().strip_suffix(NEW_SUFFIX).and_then(|base| FilePath::parse(base).ok());
    // A `.new` that an earlier update has put there; the next one may bring another.
    if base.is_some_and(|base| old.find(&base).is_some() && old.keeps_local(&base)) {
        return Owner::Release;
    }
    Owner::User
}

fn check_folder(below: &Path, from: &Path, old: &Manifest, device: u64) -> Result<(), InstallError> {
    for name in fs::names(from)? {
        let (path, source) = (below.join(&name), from.join(&name));
        let metadata = fs::require(&source)?;
        if metadata.dev() != device {
            return Err(Obstacle::MountInside { path: source }.into());
        }
        if let Owner::Folder = owner(old, &path, metadata.is_dir(), |_| false) {
            check_folder(&path, &source, old, device)?;
        }
    }
    Ok(())
}

fn parse(path: &Path) -> Option<FilePath> {
    FilePath::parse(path.to_str()?).ok()
}

/// Returns the digest of a file or the target of a link, to tell whether two are alike.
fn content(path: &Path) -> PathResult<Option<(u64, Sha256)>> {
    if fs::require(path)?.is_file() { fs::digest(path) } else { Ok(None) }
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut text = OsString::from(path);
    text.push(suffix);
    PathBuf::from(text)
}

/// Returns the path, or the first one with a number behind it at which nothing lies.
fn free_name(path: &Path) -> PathResult<PathBuf> {
    let mut free = path.to_owned();
    let mut number = 2u32;
    while fs::metadata(&free)?.is_some() {
        free = with_suffix(path, &format!(".{number}"));
        number += 1;
    }
    Ok(free)
}

/// Appended to a user's file whose name a new release has taken.
const SAVED_SUFFIX: &str = ".saved";

#[cfg(test)]
mod tests;
