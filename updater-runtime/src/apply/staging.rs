//! The staging folder while a release is put together in it.

use super::{ApplyError, Tree, Watch};
use crate::fs::{self, Dir};
use crate::install::{self, Layout, Session};
use std::collections::BTreeSet;
use std::fs::File;
use std::io::Write;
use updater_format::{EntryContent, FilePath, InstallKind, MANIFEST_PATH, Manifest, ManifestEntry, Sha256};

/// A staging folder that is being filled. Every file is made exactly once and is durable when it is finished.
pub(super) struct Staging {
    tree: Dir,
    manifest: Manifest,
    digest: Sha256,
    done: u64,
}

impl Staging {
    /// Empties the staging folder, checks that there is room, and writes the manifest.
    pub(super) fn begin(session: &mut Session, manifest: Manifest, bytes: &[u8]) -> Result<Self, ApplyError> {
        session.clear_staged()?;
        let layout = session.layout();
        check_space(layout, &manifest)?;
        fs::private_dir(&layout.staged())?;
        fs::create_dir(&layout.staged_tree())?;
        fs::atomic_write(&layout.staged_manifest(), bytes)?;
        let tree = Dir::open(&layout.staged_tree())?;
        if layout.kind().holds_manifest() {
            // A folder keeps its manifest: it says which files the app owns.
            fs::write_new(&layout.staged_tree().join(MANIFEST_PATH), bytes, 0o644)?;
        }
        if layout.kind() == InstallKind::AppBundle {
            install::remember(layout, bytes)?;
        }
        Ok(Self { tree, manifest, digest: Sha256::of(bytes), done: 0 })
    }

    /// Returns every link of the release.
    pub(super) fn links(&self) -> Vec<(FilePath, String)> {
        let link = |entry: &ManifestEntry| match &entry.content {
            EntryContent::Link { target } => Some((entry.path.clone(), target.clone())),
            EntryContent::File { .. } => None,
        };
        self.manifest.entries().iter().filter_map(link).collect()
    }

    /// Makes a link.
    pub(super) fn link(&mut self, path: &FilePath, target: &str) -> Result<(), ApplyError> {
        Ok(self.tree.create_link(path, target)?)
    }

    /// Makes a file, with its folders and its mode.
    pub(super) fn create(&mut self, entry: &ManifestEntry) -> Result<Output<'_>, ApplyError> {
        let EntryContent::File { mode, .. } = entry.content else {
            return Err(ApplyError::Damaged { path: entry.path.to_string(), problem: "it is a link" });
        };
        let file = self.tree.create_file(&entry.path, mode.bits())?;
        Ok(Output { file, path: entry.path.clone(), done: &mut self.done, total: self.manifest.unpacked() })
    }

    /// Makes all folders durable. Every file of the manifest was made, because every route makes each once, in order.
    pub(super) fn finish(self) -> Result<Tree, ApplyError> {
        let folders: BTreeSet<&str> = self.manifest.entries().iter().flat_map(|entry| entry.path.parents()).collect();
        self.tree.sync(folders.into_iter().rev())?;
        Ok(Tree { manifest: self.manifest, digest: self.digest })
    }
}

/// A file that is being made.
pub(super) struct Output<'a> {
    file: File,
    path: FilePath,
    done: &'a mut u64,
    total: u64,
}

impl Output<'_> {
    /// Returns a writer that tells how far the release is, and fails once the app asked to stop.
    pub(super) fn watched<'a>(&'a mut self, watch: &'a mut Watch<'_>) -> impl Write + use<'a> {
        Watched {
            file: &mut self.file,
            done: self.done,
            total: self.total,
            cancel: watch.cancel,
            progress: watch.progress,
        }
    }

    /// Makes the file durable.
    pub(super) fn finish(self) -> Result<(), ApplyError> {
        let path = self.path.to_string();
        self.file.sync_all().map_err(|source| ApplyError::Output { path, source })
    }
}

struct Watched<'a> {
    file: &'a mut File,
    done: &'a mut u64,
    total: u64,
    cancel: &'a crate::cancel::CancelToken,
    progress: &'a mut dyn FnMut(u64, u64),
}

impl Write for Watched<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if self.cancel.is_cancelled() {
            return Err(std::io::Error::other("cancelled"));
        }
        let n = self.file.write(bytes)?;
        *self.done += n as u64;
        (self.progress)(*self.done, self.total);
        Ok(n)
    }
    fn flush(&mut self) -> std::io::Result<()> {
        self.file.flush()
    }
}

/// Refuses before the first byte when the release would not fit.
fn check_space(layout: &Layout, manifest: &Manifest) -> Result<(), ApplyError> {
    let space = fs::space(layout.hidden())?;
    let path = || layout.hidden().to_owned();
    let entries = manifest.entries().len() as u64;
    let needed = manifest.unpacked().saturating_add(entries.saturating_mul(SLACK)).saturating_add(RESERVE);
    if space.bytes < needed {
        return Err(ApplyError::Space { path: path(), unit: "bytes", needed, available: space.bytes });
    }
    let folders: BTreeSet<&str> = manifest.entries().iter().flat_map(|entry| entry.path.parents()).collect();
    let needed = entries + folders.len() as u64 + RESERVED_FILES;
    match space.files {
        Some(available) if available < needed => {
            Err(ApplyError::Space { path: path(), unit: "files", needed, available })
        }
        _ => Ok(()),
    }
}

/// What a file takes beyond its length, in bytes: half a block on average.
const SLACK: u64 = 2048;
/// Room for the journal, the manifest and the folders themselves, in bytes: 256 KiB.
const RESERVE: u64 = 256 * 1024;
/// Files of our own: journal, lock, manifests, folders, an attempt or two.
const RESERVED_FILES: u64 = 16;
