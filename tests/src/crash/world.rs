//! One install among a user's files, and what must hold of it whatever happened.

use super::disk::Item;
use super::release::{Content, Release};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use updater_format::{EntryContent, FilePath, InstallKind, MANIFEST_PATH, Manifest, NEW_SUFFIX, Sha256};

/// The ways in which an app is installed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// One program.
    Executable,
    /// A folder, which is exchanged as a whole.
    Directory,
    /// A folder for each version, and a link `current` to one of them.
    Versions,
    /// The folder of a component, which an app beside it updates without being restarted.
    Component,
    /// An app bundle of macOS, exchanged as a whole and without anything of a user in it. Here it is updated by Linux.
    AppBundle,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Executable, Self::Directory, Self::Versions, Self::Component, Self::AppBundle];

    /// Those of an app itself.
    pub const APPS: [Self; 4] = [Self::Executable, Self::Directory, Self::Versions, Self::AppBundle];

    /// Returns its name on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Executable => "executable",
            Self::Directory => "directory",
            Self::Versions => "versions",
            Self::Component => "component",
            Self::AppBundle => "app-bundle",
        }
    }

    /// Returns what its releases are published as.
    #[must_use]
    pub fn install(self) -> InstallKind {
        match self {
            Self::Executable => InstallKind::Executable,
            Self::Directory | Self::Versions => InstallKind::Directory,
            Self::Component => InstallKind::Component,
            Self::AppBundle => InstallKind::AppBundle,
        }
    }
}

/// The folder that an install, its neighbours and the user's state folder lie in. It is always at the same path, because
/// an install is known by its path; states are copied into it and out of it.
#[derive(Debug, Clone)]
pub struct World {
    /// That folder.
    pub slot: PathBuf,
    /// How the app is installed in it.
    pub kind: Kind,
}

impl World {
    /// Returns the program file, the folder of the app, or the link to the folder of its current version.
    #[must_use]
    pub fn root(&self) -> PathBuf {
        self.slot.join(match self.kind {
            Kind::Executable => "place/hello",
            Kind::Directory => "place/my app",
            Kind::Versions => "place/my app/current",
            Kind::Component => super::app::COMPONENT_AT,
            // Called by its user as the Finder calls a second copy.
            Kind::AppBundle => "place/Hello 2.app",
        })
    }

    /// Returns the program.
    #[must_use]
    pub fn program(&self) -> PathBuf {
        match self.kind {
            Kind::Component => self.slot.join("place/app"),
            Kind::AppBundle => self.at(super::app::APP_BUNDLE_ENTRY),
            _ => self.at(super::app::ENTRY),
        }
    }

    /// Returns where a file of a release lies that is installed.
    fn at(&self, path: &str) -> PathBuf {
        if self.kind == Kind::Executable { self.root() } else { self.root().join(path) }
    }

    /// Returns the folder that holds a release when it is installed.
    fn tree(&self, release: &Release) -> PathBuf {
        match self.kind {
            Kind::Versions => self.versions().join(folder_name(&release.version)),
            _ => self.root(),
        }
    }

    fn versions(&self) -> PathBuf {
        self.root().with_file_name(VERSIONS)
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
        if self.kind == Kind::Versions {
            std::fs::create_dir_all(self.tree(release))?;
            symlink(Path::new(VERSIONS).join(folder_name(&release.version)), self.root())?;
        }
        for (path, content) in &release.files {
            let content = match content {
                Content::File(bytes, mode) => Found::File(bytes.clone(), mode.bits()),
                Content::Link(target) => Found::Link(target.clone()),
            };
            content.write(&self.at(path))?;
        }
        if self.kind.install().holds_manifest() {
            std::fs::write(self.at(MANIFEST_PATH), release.manifest.encode())?;
        }
        if self.kind == Kind::Component {
            Found::File(release.app.clone(), 0o755).write(&self.program())?;
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

    /// Tells states apart that could go on differently: everything that lies here, byte for byte, but for the numbers of
    /// processes.
    /// # Errors
    /// When something cannot be read.
    pub fn fingerprint(&self) -> io::Result<Sha256> {
        let hidden = self.hidden();
        let lock = hidden.join("lock");
        let mut text = String::new();
        for (path, item) in super::disk::read(&self.slot)? {
            let path = self.slot.join(path);
            let mut name = path.to_string_lossy().into_owned();
            // Temporary files and attempts are called after their process.
            if path.parent().is_some_and(|folder| folder == hidden || folder == hidden.join("attempts")) {
                name.retain(|c| !c.is_ascii_digit());
            }
            let item = match item {
                Item::File(_, mode) if path == lock => format!("lock {mode:o}"),
                Item::File(bytes, mode) => {
                    let names = std::fs::symlink_metadata(&path)?.nlink();
                    format!("file {mode:o} {names} {}", Sha256::of(&bytes))
                }
                Item::Folder(mode) => format!("folder {mode:o}"),
                Item::Link(target) => format!("link {target:?}"),
            };
            text.push_str(&format!("{name:?} {item}\n"));
        }
        Ok(Sha256::of(text.as_bytes()))
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
        let (root, tree) = (self.root(), self.tree(release));
        let mut expected = BTreeSet::from([root.clone()]);
        if self.kind == Kind::Component {
            if Found::read(&self.program()) != Some(Found::File(release.app.clone(), 0o755)) {
                return Err("the app itself has changed".to_owned());
            }
            expected.insert(self.program());
        }
        for (path, content) in self.users_files() {
            let at = self.slot.join(&path);
            if Found::read(&at).as_ref() != Some(&content) {
                return Err(format!("the user's {path} is not what it was"));
            }
            expected.insert(at.strip_prefix(&root).map_or(at.clone(), |below| tree.join(below)));
        }
        if self.kind != Kind::Executable {
            expected.extend(release.files.keys().map(|path| tree.join(path)));
        }
        // To an app bundle nothing is added, whatever it is for.
        if self.kind.install().holds_manifest() {
            expected.insert(tree.join(MANIFEST_PATH));
            expected.insert(tree.join(format!("{KEPT_LOCAL}{NEW_SUFFIX}")));
        }
        for other in self.other_versions(release)? {
            check_kept(&other)?;
            expected.insert(other);
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
        if self.kind == Kind::Versions {
            let kept = std::fs::read_dir(self.versions()).map_err(|error| error.to_string())?.count();
            if kept > KEPT_VERSIONS {
                return Err(format!("{kept} versions are kept"));
            }
        }
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
            let same = match (Found::read(&self.at(path)), content) {
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
        let manifest = Some(Found::File(release.manifest.encode(), 0o644));
        if self.kind.install().holds_manifest() && Found::read(&self.at(MANIFEST_PATH)) != manifest {
            return Some("the manifest differs".to_owned());
        }
        let target = std::fs::read_link(self.root()).ok();
        let expected = (self.kind == Kind::Versions).then(|| Path::new(VERSIONS).join(folder_name(&release.version)));
        (target != expected).then(|| format!("the link leads to {target:?}"))
    }

    /// Returns the folders of the versions that are not installed.
    fn other_versions(&self, installed: &Release) -> Result<Vec<PathBuf>, String> {
        if self.kind != Kind::Versions {
            return Ok(Vec::new());
        }
        let entries = std::fs::read_dir(self.versions()).map_err(|error| error.to_string())?;
        let own = self.tree(installed);
        Ok(entries.flatten().map(|entry| entry.path()).filter(|path| *path != own).collect())
    }

    /// What belongs to the user, by path below the slot. The settings file came with the app and was edited.
    fn users_files(&self) -> BTreeMap<String, Found> {
        let text = |text: &str, mode| Found::File(text.as_bytes().to_vec(), mode);
        let mut files = BTreeMap::from([
            ("place/neighbour".to_owned(), text("another program", 0o700)),
            ("elsewhere/precious".to_owned(), text("outside", 0o600)),
        ]);
        if self.kind.install().holds_manifest() {
            let mut add = |path: &str, content| {
                let at = self.at(path);
                let below = at.strip_prefix(&self.slot).unwrap_or(&at).to_string_lossy().into_owned();
                files.insert(below, content);
            };
            // Nothing in a component is for its user to edit.
            if self.kind != Kind::Component {
                add(KEPT_LOCAL, text("# edited by its user\n", 0o600));
            }
            add("notes.txt", text("notes", 0o644));
            add("bin/mine.sh", text("#!/bin/sh\n", 0o750));
            add("share/data/mine.txt", text("among the files of the app", 0o640));
            add("own/folder/deep.bin", text("\0\u{1}\u{2}", 0o644));
            add("own/link", Found::Link("../../../elsewhere".to_owned()));
        }
        files
    }
}

/// Checks that a version that is kept beside the installed one is whole, and that nothing of a user is left in it.
fn check_kept(tree: &Path) -> Result<(), String> {
    let shown = tree.display();
    let manifest = std::fs::read(tree.join(MANIFEST_PATH)).ok().and_then(|bytes| Manifest::parse(&bytes).ok());
    let manifest = manifest.ok_or_else(|| format!("{shown} is left over"))?;
    if tree.file_name() != Some(folder_name(&manifest.version().to_string()).as_ref()) {
        return Err(format!("{shown} holds {}", manifest.version()));
    }
    let mut missing: BTreeSet<PathBuf> =
        manifest.entries().iter().map(|entry| tree.join(entry.path.as_str())).collect();
    // Settings go along with the user.
    missing.retain(|path| *path != tree.join(KEPT_LOCAL));
    missing.insert(tree.join(MANIFEST_PATH));
    let mut pending = vec![tree.to_owned()];
    while let Some(folder) = pending.pop() {
        let entries = std::fs::read_dir(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        for path in entries.flatten().map(|entry| entry.path()) {
            if path.is_dir() && !path.is_symlink() {
                pending.push(path);
            } else if !missing.remove(&path) && !path.starts_with(tree.join("etc")) {
                return Err(format!("{} was left behind", path.display()));
            }
        }
    }
    for entry in manifest.entries() {
        let Ok(sha256) = std::fs::read(tree.join(entry.path.as_str())).map(|bytes| Sha256::of(&bytes)) else {
            continue;
        };
        if matches!(&entry.content, EntryContent::File { sha256: expected, .. } if *expected != sha256) {
            return Err(format!("{} in {shown} is damaged", entry.path));
        }
    }
    missing.first().map_or(Ok(()), |path| Err(format!("{} is missing", path.display())))
}

/// Returns what the folder of a version is called.
fn folder_name(version: &str) -> String {
    format!("hello-{version}")
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

/// The folder of those of the versions.
const VERSIONS: &str = "versions";
/// The installed version and the one before it.
const KEPT_VERSIONS: usize = 2;
/// The file of the app that its user may edit.
const KEPT_LOCAL: &str = "etc/app.conf";
