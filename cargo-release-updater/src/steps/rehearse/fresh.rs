//! A fresh install as a person would have one: unpacked from the published bundle, with nothing beside it.

use super::RehearseError;
use crate::steps::diff::OldBundle;
use std::fs::File;
use std::io::{BufReader, BufWriter, Write as _};
use std::path::Path;
use updater_format::bundle::{BundleExpectation, BundleReader, Member};
use updater_format::digest::HashingReader;
use updater_format::{EntryContent, FileMode, FilePath, InstallKind, MANIFEST_PATH, Manifest, NEW_SUFFIX, Sha256};

/// Installs a release at a path, a file or a folder according to its kind, and returns the path of its program inside.
/// # Errors
/// [`RehearseError::Bundle`] when the bundle is not what was signed; [`RehearseError::Io`].
pub fn install_fresh(old: &OldBundle, install: &Path) -> Result<FilePath, RehearseError> {
    let refuse = |source| RehearseError::Bundle { path: old.path.clone(), source };
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| RehearseError::Io { path, source }
    };
    let entry = &old.entry;
    let expected = BundleExpectation { manifest: entry.manifest, unpacked: entry.unpacked, entries: entry.files };
    let file = File::open(&old.path).map_err(failed(&old.path))?;
    let mut reader = BundleReader::open(BufReader::new(file), &expected).map_err(refuse)?;
    let manifest = reader.manifest().clone();
    while let Some(member) = reader.next_member().map_err(refuse)? {
        let path = match &member {
            Member::File(file) => place(&manifest, install, &file.entry().path),
            Member::Link { path, .. } => place(&manifest, install, path),
        };
        std::fs::create_dir_all(path.parent().unwrap_or(install)).map_err(failed(&path))?;
        match member {
            Member::Link { target, .. } => std::os::unix::fs::symlink(target, &path).map_err(failed(&path))?,
            Member::File(file) => {
                let mode = mode_of(&file.entry().content);
                let mut output = BufWriter::new(File::create_new(&path).map_err(failed(&path))?);
                file.copy_to(&mut output).map_err(refuse)?;
                output.flush().map_err(failed(&path))?;
                set_mode(&path, mode).map_err(failed(&path))?;
            }
        }
    }
    if manifest.install().holds_manifest() {
        let path = install.join(MANIFEST_PATH);
        std::fs::write(&path, reader.manifest_bytes()).map_err(failed(&path))?;
    }
    Ok(manifest.entry().clone())
}

/// Holds every installed file against a manifest. A file that users may edit, by this release or the one before it, may be
/// the old one with the new one beside it as `.new`. In an app bundle nothing else may lie: its signature would not hold.
pub(super) fn check_installed(
    manifest: &Manifest,
    before: Option<&Manifest>,
    kind: InstallKind,
    install: &Path,
) -> Result<(), RehearseError> {
    let is_shared = |path: &FilePath| [Some(manifest), before].into_iter().flatten().any(|of| of.keeps_local(path));
    for entry in manifest.entries() {
        let path = match kind {
            InstallKind::Executable => install.to_owned(),
            _ => install.join(entry.path.as_str()),
        };
        let failed = |source| RehearseError::Io { path: path.clone(), source };
        let same = match &entry.content {
            EntryContent::Link { target } => {
                std::fs::read_link(&path).map_err(failed)?.to_str() == Some(target.as_str())
            }
            EntryContent::File { length, sha256, .. } => {
                let is_new = |file: &Path| Ok::<_, std::io::Error>(digest_of(file)? == (*length, *sha256));
                let aside = install.join(format!("{}{NEW_SUFFIX}", entry.path));
                is_new(&path).map_err(failed)?
                    || (is_shared(&entry.path) && aside.is_file() && is_new(&aside).map_err(failed)?)
            }
        };
        if !same {
            return Err(RehearseError::Differs { path: entry.path.clone() });
        }
    }
    if kind == InstallKind::AppBundle {
        for there in walkdir::WalkDir::new(install) {
            let there = there.map_err(|error| RehearseError::Io { path: install.to_owned(), source: error.into() })?;
            let below = there.path().strip_prefix(install).ok().and_then(|path| path.to_str()).unwrap_or_default();
            if let Some(path) = FilePath::parse(below).ok().filter(|path| manifest.find(path).is_none())
                && !there.file_type().is_dir()
            {
                return Err(RehearseError::Differs { path });
            }
        }
    }
    Ok(())
}

fn digest_of(path: &Path) -> std::io::Result<(u64, Sha256)> {
    let mut reader = HashingReader::new(File::open(path)?);
    std::io::copy(&mut reader, &mut std::io::sink())?;
    Ok(reader.finish())
}

fn place(manifest: &Manifest, install: &Path, path: &FilePath) -> std::path::PathBuf {
    match manifest.install() {
        InstallKind::Executable => install.to_owned(),
        _ => install.join(path.as_str()),
    }
}

fn mode_of(content: &EntryContent) -> FileMode {
    match content {
        EntryContent::File { mode, .. } => *mode,
        EntryContent::Link { .. } => FileMode::Data,
    }
}

fn set_mode(path: &Path, mode: FileMode) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode.bits()))
}
