//! One install among a user's files, and what must hold of it whatever happened.

use super::release::{Content, Release};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use updater_format::{FilePath, InstallKind, MANIFEST_PATH, NEW_SUFFIX};

/// The folder that an install, its neighbours and the user's state folder lie in. It is always at the same path, because
/// an install is known by its path; states are copied into it and out of it.
#[derive(Debug, Clone)]
pub struct World {
    /// That folder.
    pub slot: PathBuf,
    /// How the app is installed in it.
    pub kind: InstallKind,
}

impl World {
    /// Returns the program file or the folder of the app.
    #[must_use]
    pub fn root(&self) -> PathBuf {
        self.slot.join(if self.kind == InstallKind::Executable { "place/hello" } else { "place/my app" })
    }

    /// Returns the program.
    #[must_use]
    pub fn program(&self) -> PathBuf {
        match self.kind {
            InstallKind::Executable => self.root(),
            _ => self.root().join(super::app::ENTRY),
        }
    }

    /// Returns the hidden folder beside the install.
    #[must_use]
    pub fn hidden(&self) -> PathBuf {
        let root = self.root();
        let name = root.file_name().unwrap_or_default().to_string_lossy();
        root.with_file_name(format!(".{name}.updater"))
    }

    /// Returns the user's state folder.
    #[must_use]
    pub fn state(&self) -> PathBuf {
        self.slot.join("state")
    }

    /// Installs a release as a person would who unpacks it, among files of the user.
    /// # Errors
    /// When the disk refuses.
    pub fn install(&self, release: &Release) -> io::Result<()> {
        self.clear()?;
        std::fs::create_dir_all(self.slot.join("place"))?;
        for (path, content) in &release.files {
            let at = if self.kind == InstallKind::Executable { self.root() } else { self.root().join(path) };
            let content = match content {
                Content::File(bytes, mode) => Found::File(bytes.clone(), mode.bits()),
                Content::Link(target) => Found::Link(target.clone()),
            };
            content.write(&at)?;
        }
        if self.kind == InstallKind::Directory {
            std::fs::write(self.root().join(MANIFEST_PATH), release.manifest.encode())?;
        }
        for (path, content) in self.users_files() {
            content.write(&self.slot.join(path))?;
        }
        Ok(())
    }

    /// Keeps the present state under another path.
    /// # Errors
    /// When it cannot be copied.
    pub fn keep(&self, at: &Path) -> io::Result<()> {
        copy(&self.slot, at)
    }

    /// Brings back a state.
    /// # Errors
    /// When it cannot be copied.
    pub fn load(&self, from: &Path) -> io::Result<()> {
        self.clear()?;
        copy(from, &self.slot)
    }

    /// Removes everything.
    /// # Errors
    /// When the disk refuses.
    pub fn clear(&self) -> io::Result<()> {
        match std::fs::remove_dir_all(&self.slot) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Tells which of the releases is installed: all program files, byte for byte, with their modes. This holds at any
    /// moment, before anything was repaired.
    /// # Errors
    /// The first difference to each of them.
    pub fn installed<'a>(&self, releases: &[&'a Release]) -> Result<&'a Release, String> {
        let mut differences = Vec::new();
        for release in releases {
            match self.difference(release) {
                None => return Ok(release),
                Some(difference) => differences.push(format!("not {}: {difference}", release.version)),
            }
        }
        Err(differences.join("; "))
    }

    /// Checks that exactly this release is installed, that every file of the user is what it was, and that there is
    /// nothing else.
    /// # Errors
    /// The first difference.
    pub fn check(&self, release: &Release) -> Result<(), String> {
        if let Some(difference) = self.difference(release) {
            return Err(format!("{} is not whole: {difference}", release.version));
        }
        let mut expected = BTreeSet::new();
        for (path, content) in self.users_files() {
            if Found::read(&self.slot.join(&path)).as_ref() != Some(&content) {
                return Err(format!("the user's {path} is not what it was"));
            }
            expected.insert(self.slot.join(path));
        }
        match self.kind {
            InstallKind::Executable => drop(expected.insert(self.root())),
            _ => {
                expected.extend(release.files.keys().map(|path| self.root().join(path)));
                expected.insert(self.root().join(MANIFEST_PATH));
                expected.insert(self.root().join(format!("{KEPT_LOCAL}{NEW_SUFFIX}")));
            }
        }
        let mut pending = vec![self.slot.join("place")];
        while let Some(folder) = pending.pop() {
            let entries = std::fs::read_dir(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
            for path in entries.flatten().map(|entry| entry.path()) {
                if path == self.hidden() || expected.contains(&path) {
                    continue;
                }
                if path.is_dir() && !path.is_symlink() && expected.iter().any(|known| known.starts_with(&path)) {
                    pending.push(path);
                } else {
                    return Err(format!("{} is left over", path.display()));
                }
            }
        }
        Ok(())
    }

    /// Checks that nothing is pending and nothing is left in the hidden folder but the memory of a failed release.
    /// # Errors
    /// What is there.
    pub fn check_tidy(&self, remembers: bool) -> Result<(), String> {
        let Ok(entries) = std::fs::read_dir(self.hidden()) else { return Ok(()) };
        let mut names: Vec<String> =
            entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        if remembers {
            names.retain(|name| name != "state.json" && name != "lock");
        }
        if names.is_empty() && remembers { Ok(()) } else { Err(format!("the hidden folder still holds {names:?}")) }
    }

    fn difference(&self, release: &Release) -> Option<String> {
        for (path, content) in &release.files {
            let is_users = FilePath::parse(path).is_ok_and(|path| release.manifest.keeps_local(&path));
            if is_users {
                continue;
            }
            let at = if self.kind == InstallKind::Executable { self.root() } else { self.root().join(path) };
            let same = match (Found::read(&at), content) {
                (Some(Found::File(bytes, mode)), Content::File(expected, expected_mode)) => {
                    bytes == *expected && mode == expected_mode.bits()
                }
                (Some(Found::Link(target)), Content::Link(expected)) => target == *expected,
                _ => false,
            };
            if !same {
                return Some(format!("{path} differs"));
            }
        }
        let manifest = self.root().join(MANIFEST_PATH);
        let wrong = self.kind == InstallKind::Directory
            && Found::read(&manifest) != Some(Found::File(release.manifest.encode(), 0o644));
        wrong.then(|| "the manifest differs".to_owned())
    }

    /// What belongs to the user, by path below the slot. The settings file came with the app and was edited.
    fn users_files(&self) -> BTreeMap<String, Found> {
        let text = |text: &str, mode| Found::File(text.as_bytes().to_vec(), mode);
        let mut files = BTreeMap::from([
            ("place/neighbour".to_owned(), text("another program", 0o700)),
            ("elsewhere/precious".to_owned(), text("outside", 0o600)),
        ]);
        if self.kind == InstallKind::Directory {
            let mut add = |path: &str, content| {
                let at = self.root().join(path);
                let below = at.strip_prefix(&self.slot).unwrap_or(&at).to_string_lossy().into_owned();
                files.insert(below, content);
            };
            add(KEPT_LOCAL, text("# edited by its user\n", 0o600));
            add("notes.txt", text("notes", 0o644));
            add("bin/mine.sh", text("#!/bin/sh\n", 0o750));
            add("share/data/mine.txt", text("among the files of the app", 0o640));
            add("own/folder/deep.bin", text("\0\u{1}\u{2}", 0o644));
            add("own/link", Found::Link("../../../elsewhere".to_owned()));
        }
        files
    }
}

/// What lies at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Found {
    File(Vec<u8>, u32),
    Link(String),
}

impl Found {
    fn read(path: &Path) -> Option<Self> {
        let metadata = std::fs::symlink_metadata(path).ok()?;
        if metadata.is_symlink() {
            return Some(Self::Link(std::fs::read_link(path).ok()?.to_string_lossy().into_owned()));
        }
        Some(Self::File(std::fs::read(path).ok()?, metadata.permissions().mode() & 0o7777))
    }

    fn write(&self, path: &Path) -> io::Result<()> {
        path.parent().map_or(Ok(()), std::fs::create_dir_all)?;
        match self {
            Self::Link(target) => symlink(target, path),
            Self::File(bytes, mode) => {
                std::fs::write(path, bytes)?;
                std::fs::set_permissions(path, std::fs::Permissions::from_mode(*mode))
            }
        }
    }
}

fn copy(from: &Path, to: &Path) -> io::Result<()> {
    let status = Command::new("cp").arg("-a").arg("--").args([from, to]).status()?;
    if status.success() { Ok(()) } else { Err(io::Error::other(format!("cp: {status}"))) }
}

/// The file of the app that its user may edit.
const KEPT_LOCAL: &str = "etc/app.conf";
