//! The manifest of a release that lies on disk: inside its folder or, for an app bundle of macOS, beside it.
//!
//! Nothing can be added to an app bundle: whatever lies in it and is not sealed breaks its code signature. So while an update
//! is under way the hidden folder has `manifests/DIGEST.json` for each release that takes part, and which of them a tree is, is
//! told by three files of it: `Info.plist`, the seal of all resources, and the main program, which is signed over both. The
//! installed app is described by looking at it, before it is replaced: its user may have dragged it out of a disk image, or put
//! another version in its place.

use super::{InstallError, Layout};
use crate::fs::{self, Dir, PathResult};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use updater_format::length::MAX_MANIFEST;
use updater_format::manifest::{INFO_OF_APP_BUNDLE, SEAL_OF_APP_BUNDLE};
use updater_format::state::JournaledRelease;
use updater_format::{
    EntryContent, FileMode, FilePath, InstallKind, MANIFEST_PATH, Manifest, ManifestEntry, ManifestParts,
    ReleaseVersion, Sha256,
};

/// Reads the manifest of whatever release a tree is, and its digest; `None` when there is none that can be read.
pub(super) fn manifest_in(layout: &Layout, tree: &Path) -> PathResult<Option<(Manifest, Sha256)>> {
    if layout.kind() != InstallKind::AppBundle {
        return inside(tree);
    }
    for digest in known(layout)? {
        if let Some(manifest) = beside(layout, tree, digest)? {
            return Ok(Some((manifest, digest)));
        }
    }
    Ok(None)
}

/// Tells whether a tree is a release.
pub(super) fn holds(layout: &Layout, tree: &Path, release: &JournaledRelease) -> PathResult<bool> {
    Ok(manifest_of(layout, tree, release)?.is_some())
}

/// Reads the manifest of a release if a tree is that release.
pub(super) fn manifest_of(layout: &Layout, tree: &Path, release: &JournaledRelease) -> PathResult<Option<Manifest>> {
    let Some(digest) = release.manifest else { return Ok(None) };
    match layout.kind() {
        InstallKind::AppBundle => beside(layout, tree, digest),
        _ => Ok(inside(tree)?.filter(|(_, found)| *found == digest).map(|(manifest, _)| manifest)),
    }
}

/// Reads the manifest of a tree that must be exactly this release.
pub(super) fn require_manifest(
    layout: &Layout,
    tree: &Path,
    release: &JournaledRelease,
) -> Result<Manifest, InstallError> {
    if let Some(manifest) = manifest_of(layout, tree, release)? {
        return Ok(manifest);
    }
    if layout.kind() == InstallKind::AppBundle {
        return Err(InstallError::Damaged { path: tree.to_owned(), problem: "it is another app, or was changed" });
    }
    let path = tree.join(MANIFEST_PATH);
    match inside(tree)? {
        Some(_) => Err(InstallError::Damaged { path, problem: "it is that of another release" }),
        None => Err(InstallError::OwnManifest { path, source: None }),
    }
}

/// Reads the manifest inside a folder; `None` when there is none that can be read.
pub(super) fn inside(tree: &Path) -> PathResult<Option<(Manifest, Sha256)>> {
    read(&tree.join(MANIFEST_PATH))
}

/// Keeps the manifest of an app bundle that takes part in an update, until nothing is pending.
pub(crate) fn remember(layout: &Layout, bytes: &[u8]) -> PathResult<()> {
    fs::own_dir(&layout.manifests())?;
    let path = path_of(layout, Sha256::of(bytes));
    fs::remove_all(&path)?;
    fs::atomic_write(&path, bytes)
}

/// Describes the installed app bundle, unless it is described already. `new` is of the release that is to replace it.
/// # Errors
/// [`InstallError::SameBundle`] when the two could not be told apart; [`InstallError::OwnManifest`] when no release has what
/// lies there; [`InstallError::File`].
pub(super) fn describe_installed(
    layout: &Layout,
    version: &ReleaseVersion,
    new: &Manifest,
) -> Result<(), InstallError> {
    if is_held(layout.root(), new)? {
        return Err(InstallError::SameBundle { version: new.version().clone() });
    }
    if manifest_in(layout, layout.root())?.is_some() {
        return Ok(());
    }
    let mut entries = Vec::new();
    let root = Dir::open(layout.root())?;
    look(&root, &root, "", layout.entry(), &mut entries)?;
    let describe = |entries| {
        Manifest::new(ManifestParts {
            app: new.app().clone(),
            version: version.clone(),
            platform: new.platform().clone(),
            install: InstallKind::AppBundle,
            component: None,
            entry: layout.entry().clone(),
            keep_local: Vec::new(),
            entries,
        })
    };
    let files = |entry: &ManifestEntry| matches!(entry.content, EntryContent::File { .. });
    // Links that no release could have are left out, with all others: they say nothing about which app it is.
    let manifest = describe(entries.clone())
        .or_else(|_| describe(entries.into_iter().filter(files).collect()))
        .map_err(|source| InstallError::OwnManifest { path: layout.root().to_owned(), source: Some(source) })?;
    Ok(remember(layout, &manifest.encode())?)
}

/// Lists what lies in a folder of an app bundle. Names that no release can have are passed over.
fn look(root: &Dir, folder: &Dir, below: &str, program: &FilePath, entries: &mut Vec<ManifestEntry>) -> PathResult<()> {
    for name in folder.names()? {
        let Some(text) = name.to_str().filter(|name| *name != FINDERS) else { continue };
        let Ok(path) = FilePath::parse(&format!("{below}{text}")) else { continue };
        let Some(there) = folder.entry(&name)? else { continue };
        if there.is_dir {
            look(root, &folder.folder(&name)?, &format!("{path}/"), program, entries)?;
        } else if let Some((length, sha256)) = folder.digest(&name)? {
            // Permission bits are the user's to change, and are not compared.
            let mode = if path == *program { FileMode::Program } else { FileMode::Data };
            entries.push(ManifestEntry { path, content: EntryContent::File { length, sha256, mode } });
        } else if let Some(target) = root.read_link(&path)? {
            entries.push(ManifestEntry { path, content: EntryContent::Link { target } });
        }
    }
    Ok(())
}

/// Reads a manifest that is kept beside, if a tree is that release.
fn beside(layout: &Layout, tree: &Path, digest: Sha256) -> PathResult<Option<Manifest>> {
    let Some((manifest, found)) = read(&path_of(layout, digest))? else { return Ok(None) };
    Ok(if found == digest && is_held(tree, &manifest)? { Some(manifest) } else { None })
}

/// Tells whether an app bundle is a release, by the files that any two differ in. The program, the largest, comes last.
fn is_held(tree: &Path, manifest: &Manifest) -> PathResult<bool> {
    if !fs::metadata(tree)?.is_some_and(|there| there.is_dir()) {
        return Ok(false);
    }
    let folder = Dir::open(tree)?;
    for path in [INFO_OF_APP_BUNDLE, SEAL_OF_APP_BUNDLE, manifest.entry().as_str()] {
        let listed = FilePath::parse(path).ok().and_then(|path| manifest.find(&path));
        let expected = match listed.map(|entry| &entry.content) {
            Some(EntryContent::File { length, sha256, .. }) => Some((*length, *sha256)),
            _ => None,
        };
        let (above, name) = path.rsplit_once('/').unwrap_or(("", path));
        let found = folder.folder_at(above)?.map(|above| above.digest(OsStr::new(name))).transpose()?.flatten();
        if found != expected {
            return Ok(false);
        }
    }
    Ok(true)
}

fn known(layout: &Layout) -> PathResult<Vec<Sha256>> {
    let folder = layout.manifests();
    if !fs::metadata(&folder)?.is_some_and(|there| there.is_dir()) {
        return Ok(Vec::new());
    }
    let digest = |name: &OsStr| name.to_str()?.strip_suffix(SUFFIX)?.parse().ok();
    Ok(fs::names(&folder)?.iter().filter_map(|name| digest(name)).collect())
}

fn read(path: &Path) -> PathResult<Option<(Manifest, Sha256)>> {
    if fs::metadata(path)?.is_some_and(|there| !there.is_file()) {
        return Ok(None);
    }
    let bytes = fs::read_bounded(path, MAX_MANIFEST + 1)?;
    Ok(bytes.and_then(|bytes| Some((Manifest::parse(&bytes).ok()?, Sha256::of(&bytes)))))
}

fn path_of(layout: &Layout, digest: Sha256) -> PathBuf {
    layout.manifests().join(format!("{digest}{SUFFIX}"))
}

/// Behind the digest in the name of a manifest that is kept beside.
const SUFFIX: &str = ".json";
/// What the Finder writes into folders that somebody looks at; it changes by itself.
const FINDERS: &str = ".DS_Store";
