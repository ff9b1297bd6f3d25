//! Holds a tree on disk against its manifest.

use super::{ApplyError, Tree};
use crate::fs::{self, Dir};
use crate::install::Layout;
use std::path::Path;
use updater_format::length::MAX_MANIFEST;
use updater_format::{EntryContent, FilePath, MANIFEST_PATH, Manifest, Sha256};

/// Reads and checks the staged release again, right before it is installed: since it was staged, days may have passed.
pub(crate) fn verify_staged(layout: &Layout, expected: Sha256) -> Result<Tree, ApplyError> {
    let damaged = |problem| ApplyError::Damaged { path: "manifest".to_owned(), problem };
    let bytes =
        fs::read_bounded(&layout.staged_manifest(), MAX_MANIFEST + 1)?.ok_or_else(|| damaged("it is missing"))?;
    if Sha256::of(&bytes) != expected {
        return Err(damaged("it has another digest"));
    }
    let manifest = Manifest::parse(&bytes).map_err(|_| damaged("it cannot be read"))?;
    let tree = layout.staged_tree();
    let holds_manifest = layout.kind().holds_manifest();
    if holds_manifest && fs::digest(&tree.join(MANIFEST_PATH))?.map(|(_, d)| d) != Some(expected) {
        return Err(damaged("its copy in the folder has another digest"));
    }
    check_tree(&tree, &manifest, Modes::Exact, |_| Missing::Refuse)?;
    check_nothing_else(&tree, &manifest, holds_manifest, "")?;
    Ok(Tree { manifest, digest: expected })
}

/// What it means that a listed file is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Missing {
    /// The tree is damaged.
    Refuse,
    /// It is a file that the user edits, and was left to them; neither its absence nor its content counts.
    Accept,
}

/// Whether permission bits count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Modes {
    /// They are those of the manifest.
    Exact,
    /// The user may have changed them.
    Any,
}

/// Checks every listed file and link of a tree: kind, length, digest, and permission bits if they count.
/// # Errors
/// [`ApplyError::Damaged`] with the first file that differs; [`ApplyError::File`].
pub(crate) fn check_tree(
    tree: &Path,
    manifest: &Manifest,
    modes: Modes,
    missing: impl Fn(&FilePath) -> Missing,
) -> Result<(), ApplyError> {
    let folder = Dir::open(tree)?;
    for entry in manifest.entries() {
        if missing(&entry.path) == Missing::Accept {
            continue;
        }
        let damaged = |problem| ApplyError::Damaged { path: entry.path.to_string(), problem };
        match &entry.content {
            EntryContent::Link { target } => {
                if folder.read_link(&entry.path)?.as_deref() != Some(target) {
                    return Err(damaged("it is not the listed link"));
                }
            }
            EntryContent::File { length, sha256, mode } => {
                let shown = tree.join(entry.path.as_str());
                let file = folder.open_file(&entry.path)?.ok_or_else(|| damaged("it is missing"))?;
                let metadata = file.metadata().map_err(|source| fs::PathError::new("inspect", &shown, source))?;
                if modes == Modes::Exact && !fs::has_mode(&metadata, mode.bits()) {
                    return Err(damaged("it has other permission bits"));
                }
                if metadata.len() != *length || fs::digest_of(file, &shown)?.1 != *sha256 {
                    return Err(damaged("its content differs"));
                }
            }
        }
    }
    Ok(())
}

/// Refuses a staged tree that holds anything beside the listed files, and its manifest where that lies inside.
fn check_nothing_else(tree: &Path, manifest: &Manifest, holds_manifest: bool, below: &str) -> Result<(), ApplyError> {
    for name in fs::names(&tree.join(below))? {
        // With slashes, as the manifest has them, on Windows too.
        let name = name.to_string_lossy();
        let shown = if below.is_empty() { name.into_owned() } else { format!("{below}/{name}") };
        let foreign = || ApplyError::Damaged { path: shown.clone(), problem: "the manifest does not list it" };
        let path = FilePath::parse(&shown).map_err(|_| foreign())?;
        if fs::require(&tree.join(&shown))?.is_dir() {
            if !manifest.has_folder(&path) {
                return Err(foreign());
            }
            check_nothing_else(tree, manifest, holds_manifest, path.as_str())?;
        } else if manifest.find(&path).is_none() && !(holds_manifest && path.as_str() == MANIFEST_PATH) {
            return Err(foreign());
        }
    }
    Ok(())
}
