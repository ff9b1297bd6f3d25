//! A user's files move along: after folders were exchanged, what the old release does not own is renamed into the new one.
//!
//! Each step is one rename within a file system, so that every file is in the old folder or in the new one, and a run that
//! was interrupted is finished by running it again.

use super::InstallError;
use super::error::Obstacle;
use super::layout::Layout;
use super::manifests::inside;
use crate::fs::{self, Dir, Entry, PathResult};
use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::path::Path;
use updater_format::{EntryContent, FilePath, MANIFEST_PATH, Manifest, NEW_SUFFIX, Sha256};

/// Moves what the release in `from` does not own into `to`.
///
/// A file that a user may edit (`keep_local`) stays the user's: the new one is put beside it as `.new`, unless the release
/// before brought the same. Where a user's file has the name of a new one, it is kept as `.saved`, and gets its name back when the name is free again.
pub(super) fn carry_over(from: &Path, old: &Manifest, to: &Path, new: &Manifest) -> PathResult<()> {
    Carrier::new(from, old, to, new, Direction::Forward)?.run()
}

/// Moves back what [`carry_over`] has moved, or a part of it, and what the user has made since: from the release in
/// `from`, which failed or was never completed, to the one before it. A file that a user may edit and that never left
/// `to` is the user's copy; what lies in `from` then is only what came with the release.
pub(super) fn carry_back(from: &Path, failed: &Manifest, to: &Path, old: &Manifest) -> PathResult<()> {
    Carrier::new(from, failed, to, old, Direction::Back)?.run()
}

/// Brings back from a tree that is about to be dropped what nobody has moved yet. Which of the two releases users worked
/// with is not known any more: a file that they may edit counts as theirs if it is not as it was shipped. What is installed
/// and was edited stays, and the other copy lies beside it as `.saved`.
pub(super) fn rescue(from: &Path, dropped: &Manifest, to: &Path, installed: &Manifest) -> PathResult<()> {
    Carrier::new(from, dropped, to, installed, Direction::Rescue)?.run()
}

/// Gives the folders of a release that waits to be installed the permissions and owners that folders of the same names
/// have in the installed one. Done before the visible change, so that at no moment a folder is open to more people than
/// its user wanted.
pub(super) fn adopt_folders(installed: &Path, waiting: &Path, manifest: &Manifest) -> PathResult<()> {
    let (installed, waiting) = (Dir::open(installed)?, Dir::open(waiting)?);
    let folders: BTreeSet<&str> = manifest.entries().iter().flat_map(|entry| entry.path.parents()).collect();
    for folder in folders {
        if let (Some(like), Some(folder)) = (installed.folder_at(folder)?, waiting.folder_at(folder)?)
            && folder.adopt(&like)?
        {
            folder.sync_entries()?;
        }
    }
    waiting.adopt(&installed)?;
    waiting.sync_entries()
}

/// Refuses before the exchange what could not be moved after it: another file system mounted inside the folder.
pub(super) fn check_movable(from: &Path, old: &Manifest) -> Result<(), InstallError> {
    let device = fs::device(from)?;
    check_folder(Path::new(""), &Dir::open(from)?, old, device)
}

/// Brings back user files when the journal is lost: whatever in the hidden folder no release owns goes to the install.
pub(super) fn salvage(layout: &Layout) -> Result<(), InstallError> {
    if let Some(versions) = layout.versions() {
        versions.salvage_all(layout)?;
    }
    salvage_from(layout, &layout.staged_tree())?;
    salvage_previous(layout)
}

/// Brings back what a process of the old release has written into the old folder after that was exchanged: its working
/// directory and open folders moved away with it. To be called before the old folder is dropped.
pub(super) fn salvage_previous(layout: &Layout) -> Result<(), InstallError> {
    salvage_from(layout, &layout.previous_tree())
}

fn salvage_from(layout: &Layout, tree: &Path) -> Result<(), InstallError> {
    if !layout.has_users_files() {
        return Ok(());
    }
    // Garbage in the place of the folder, a link above all, is not a tree that we have put there.
    let is_folder = |path: &Path| matches!(fs::metadata(path), Ok(Some(metadata)) if metadata.is_dir());
    if !tree.parent().is_some_and(is_folder) || !is_folder(tree) {
        return Ok(());
    }
    let Some((installed, _)) = inside(&layout.files())? else { return Ok(()) };
    if let Some((manifest, _)) = inside(tree)? {
        rescue(tree, &manifest, &layout.tree()?, &installed)?;
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

/// Whether an update goes on, is taken back, or was lost sight of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Direction {
    Forward,
    Back,
    Rescue,
}

/// Walks two trees in step. Every folder is held open: another user who may change a folder inside cannot make a rename
/// happen outside by putting a link in its place.
struct Carrier<'a> {
    /// Of the release that files are moved away from.
    old: &'a Manifest,
    /// Of the release that files are moved to.
    new: &'a Manifest,
    direction: Direction,
    /// The folders from the root to the one at hand; never empty.
    levels: Vec<Level>,
}

/// A folder and its counterpart.
struct Level {
    from: Dir,
    /// Made when something comes into it.
    to: Option<Dir>,
    /// What the counterpart is called in the one above.
    name: OsString,
    from_changed: bool,
    to_changed: bool,
}

impl<'a> Carrier<'a> {
    fn new(from: &Path, old: &'a Manifest, to: &Path, new: &'a Manifest, direction: Direction) -> PathResult<Self> {
        let (from, to) = (Dir::open(from)?, Some(Dir::open(to)?));
        let root = Level { from, to, name: OsString::new(), from_changed: false, to_changed: false };
        Ok(Self { old, new, direction, levels: vec![root] })
    }

    fn run(mut self) -> PathResult<()> {
        self.entries(Path::new(""))?;
        self.leave()
    }

    /// Moves the entries of the folder at hand.
    fn entries(&mut self, below: &Path) -> PathResult<()> {
        for name in self.level().from.names()? {
            let path = below.join(&name);
            // Gone since it was listed: others may be at work in a user's folder.
            let Some(source) = self.level().from.entry(&name)? else { continue };
            match self.owner(&path, source.is_dir) {
                Owner::Release => {}
                Owner::Folder => {
                    let mut target = name.clone();
                    if self.there(&name)?.is_some_and(|there| !there.is_dir) {
                        // The new release has a file where the old one had a folder.
                        target = with_suffix(&name, SAVED_SUFFIX);
                    }
                    self.folder(&path, &name, target)?;
                }
                Owner::Shared => self.shared(&path, &name)?,
                Owner::User => self.user(&path, &name, source.is_dir)?,
            }
        }
        Ok(())
    }

    /// Moves what is in a folder into a folder of the counterpart.
    fn folder(&mut self, path: &Path, name: &OsStr, target: OsString) -> PathResult<()> {
        let from = self.level().from.folder(name)?;
        let to = match (self.there(&target)?, &self.level().to) {
            (Some(_), Some(to)) => Some(to.folder(&target)?),
            _ => None,
        };
        self.levels.push(Level { from, to, name: target, from_changed: false, to_changed: false });
        self.entries(path)?;
        self.leave()
    }

    fn user(&mut self, path: &Path, name: &OsStr, is_dir: bool) -> PathResult<()> {
        if let Some(former) = self.former_name(path) {
            match self.there(&former)? {
                None => return self.rename(name, &former),
                Some(there) if is_dir && there.is_dir => return self.folder(path, name, former),
                Some(_) => {}
            }
        }
        match self.there(name)? {
            None => self.rename(name, name),
            Some(there) if is_dir && there.is_dir => self.folder(path, name, name.to_owned()),
            Some(_) => {
                let saved = self.free_name(&with_suffix(name, SAVED_SUFFIX))?;
                self.rename(name, &saved)
            }
        }
    }

    /// Returns what a `.saved` file or folder was called before a release took its name, if the release behind is one
    /// that did.
    fn former_name(&self, path: &Path) -> Option<OsString> {
        let base = FilePath::parse(fs::slashed(path)?.strip_suffix(SAVED_SUFFIX)?).ok()?;
        let was_taken = self.old.find(&base).is_some() || self.old.has_folder(&base);
        was_taken.then(|| OsString::from(base.file_name()))
    }

    /// Keeps the user's copy of a file that both may write.
    fn shared(&mut self, path: &Path, name: &OsStr) -> PathResult<()> {
        let is_new = parse(path).is_some_and(|path| self.new.find(&path).is_some());
        let is_there = self.there(name)?.is_some();
        let (old, new) = (self.old, self.new);
        if self.direction == Direction::Back
            && (is_there || (!is_new && is_as_shipped(&self.level().from, old, path, name)?))
        {
            return Ok(());
        }
        if self.direction == Direction::Rescue {
            if is_as_shipped(&self.level().from, old, path, name)? {
                return Ok(());
            }
            if is_there && !is_as_shipped(self.target()?, new, path, name)? {
                // Both were edited: the one that the app reads now is not taken from it.
                let same = self.level().from.digest(name)? == self.target()?.digest(name)?;
                let saved = self.free_name(&with_suffix(name, SAVED_SUFFIX))?;
                return if same { Ok(()) } else { self.rename(name, &saved) };
            }
        }
        if is_new && is_there {
            let target = self.target()?.digest(name)?;
            if target != self.level().from.digest(name)? && !self.is_known(path, name, target)? {
                // From here to the next rename only the old folder has this file; a run after a crash finds it there.
                let aside = with_suffix(name, NEW_SUFFIX);
                let target = self.target()?;
                target.rename(name, target, &aside)?;
            }
        }
        self.rename(name, name)
    }

    /// Tells whether the user has seen what a release brings for a file of theirs: the release before brought the same, and nothing
    /// from an earlier one waits beside it.
    fn is_known(&self, path: &Path, name: &OsStr, new: Option<(u64, Sha256)>) -> PathResult<bool> {
        let before = parse(path).and_then(|path| self.old.find(&path)).map(|entry| &entry.content);
        let Some(EntryContent::File { length, sha256, .. }) = before else { return Ok(false) };
        Ok(new == Some((*length, *sha256)) && self.level().from.entry(&with_suffix(name, NEW_SUFFIX))?.is_none())
    }

    fn rename(&mut self, name: &OsStr, new_name: &OsStr) -> PathResult<()> {
        self.target()?;
        let level = self.level_mut();
        (level.from_changed, level.to_changed) = (true, true);
        level.to.as_ref().map_or(Ok(()), |to| level.from.rename(name, to, new_name))
    }

    /// Returns the counterpart of the folder at hand. It is made if needed, and those above it, each with the permissions
    /// and the owner of the folder that it stands for.
    fn target(&mut self) -> PathResult<&Dir> {
        for depth in 1..self.levels.len() {
            let (above, below) = self.levels.split_at_mut(depth);
            let (above, level) = (&mut above[depth - 1], &mut below[0]);
            if let (Some(to), None) = (&above.to, &level.to) {
                level.to = Some(to.make_folder(&level.name, &level.from)?);
                (above.to_changed, level.to_changed) = (true, true);
            }
        }
        let level = self.level();
        // The root is open from the start, so that every level below it is by now.
        level.to.as_ref().ok_or_else(|| fs::missing("find", level.from.path()))
    }

    /// Returns what the counterpart has under a name.
    fn there(&self, name: &OsStr) -> PathResult<Option<Entry>> {
        self.level().to.as_ref().map_or(Ok(None), |to| to.entry(name))
    }

    /// Returns the name, or the first one with a number behind it under which nothing lies.
    fn free_name(&self, name: &OsStr) -> PathResult<OsString> {
        let mut free = name.to_owned();
        let mut number = 2u32;
        while self.there(&free)?.is_some() {
            free = with_suffix(name, &format!(".{number}"));
            number += 1;
        }
        Ok(free)
    }

    /// Makes what was done in the folder at hand durable, and goes back to the one above.
    fn leave(&mut self) -> PathResult<()> {
        let level = self.level();
        if level.from_changed {
            level.from.sync_entries()?;
        }
        if let (true, Some(to)) = (level.to_changed, &level.to) {
            to.sync_entries()?;
        }
        self.levels.truncate(self.levels.len().saturating_sub(1).max(1));
        Ok(())
    }

    fn level(&self) -> &Level {
        &self.levels[self.levels.len() - 1]
    }

    fn level_mut(&mut self) -> &mut Level {
        let last = self.levels.len() - 1;
        &mut self.levels[last]
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

/// Tells whether a file in a folder is what the release that owns it brought.
fn is_as_shipped(folder: &Dir, release: &Manifest, path: &Path, name: &OsStr) -> PathResult<bool> {
    let entry = parse(path).and_then(|path| release.find(&path));
    let Some(EntryContent::File { sha256, .. }) = entry.map(|entry| &entry.content) else { return Ok(false) };
    Ok(folder.digest(name)?.is_some_and(|(_, digest)| digest == *sha256))
}

fn check_folder(below: &Path, from: &Dir, old: &Manifest, device: u64) -> Result<(), InstallError> {
    for name in from.names()? {
        let path = below.join(&name);
        let Some(entry) = from.entry(&name)? else { continue };
        if entry.device != device {
            return Err(Obstacle::MountInside { path: from.path().join(name) }.into());
        }
        if let Owner::Folder = owner(old, &path, entry.is_dir, |_| false) {
            check_folder(&path, &from.folder(&name)?, old, device)?;
        }
    }
    Ok(())
}

fn parse(path: &Path) -> Option<FilePath> {
    FilePath::parse(&fs::slashed(path)?).ok()
}

fn with_suffix(name: &OsStr, suffix: &str) -> OsString {
    let mut text = name.to_owned();
    text.push(suffix);
    text
}

/// Appended to a user's file whose name a new release has taken.
const SAVED_SUFFIX: &str = ".saved";

#[cfg(test)]
#[cfg(unix)]
mod tests;
