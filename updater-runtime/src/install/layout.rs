//! Where an install lies, and the hidden folder beside it.
//!
//! ```text
//! /opt/bin/hello              /opt/hello/            /opt/hello/current            the install
//! /opt/bin/.hello.updater/    /opt/.hello.updater/   /opt/hello/.current.updater/  the hidden folder, mode 0700:
//!     lock            held by the process that changes the install
//!     state.json      the journal; absent when nothing is pending
//!     download/       bytes that are not verified yet
//!     staged/         a release that is verified file by file: manifest.json, tree/
//!     previous/       the release that is kept during a trial: tree/
//!     earlier/        the same, while a newer release takes the place of the one on trial
//!     manifests/      of an app bundle: the manifests of the releases above and of the installed one, which cannot hold theirs
//!     attempts/       one locked file for each process of a version on trial
//! ```

use super::InstallError;
use super::error::Obstacle;
use super::versions::Versions;
use crate::fs;
use std::ffi::{OsStr, OsString};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use updater_format::state::JournaledRelease;
use updater_format::{FilePath, InstallKind, MANIFEST_PATH, Sha256};

/// The places of one install. Resolved once, when the process starts: later the running program may be "(deleted)".
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Layout {
    kind: InstallKind,
    /// The program, the folder, or the link to the folder of the current version. Otherwise canonical.
    root: PathBuf,
    /// Set when every version has a folder of its own.
    versions: Option<Versions>,
    /// The program inside a folder; the path in the bundle otherwise.
    entry: FilePath,
    hidden: PathBuf,
    subject: Subject,
}

/// Whose install it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Subject {
    /// The running program's own.
    Own,
    /// Another program's.
    Other,
}

impl Layout {
    /// Finds the install of the running program. `entry` is where the bundle has the program.
    /// # Errors
    /// [`InstallError::NotAnInstall`] when the program does not lie at `entry` of a folder; [`InstallError::File`].
    pub(crate) fn of_running(kind: InstallKind, entry: &FilePath) -> Result<Self, InstallError> {
        Self::of_program(&fs::running_path()?, kind, entry, Subject::Own)
    }

    /// Finds the install of another program: the file for an executable, the folder otherwise. Links are resolved.
    /// # Errors
    /// [`InstallError::File`] when it is not there.
    pub(crate) fn at(kind: InstallKind, path: &Path, entry: &FilePath) -> Result<Self, InstallError> {
        // Where a version's folder is pointed to by a file, that file stands for the folder.
        let is_file = kind == InstallKind::Directory && fs::metadata(path)?.is_some_and(|there| there.is_file());
        let root = if is_file { fs::pointed(path)? } else { fs::canonical(path)? };
        Self::beside(root, kind, entry, Subject::Other)
    }

    /// Finds the folder of a component, which need not be there yet. Links are resolved.
    /// # Errors
    /// [`InstallError::File`] when the folder that it is to lie in is not there.
    pub(crate) fn of_component(folder: &Path) -> Result<Self, InstallError> {
        let root = match fs::metadata(folder)? {
            Some(_) => fs::canonical(folder)?,
            None => {
                let parent = folder.parent().filter(|parent| !parent.as_os_str().is_empty());
                let name = folder.file_name().unwrap_or_default();
                fs::canonical(parent.unwrap_or(Path::new(".")))?.join(name)
            }
        };
        Self::beside(root, InstallKind::Component, &FilePath::of_manifest(), Subject::Other)
    }

    pub(crate) fn of_program(
        program: &Path,
        kind: InstallKind,
        entry: &FilePath,
        subject: Subject,
    ) -> Result<Self, InstallError> {
        let refuse = || InstallError::NotAnInstall { path: program.to_owned(), entry: entry.to_string() };
        let root = match kind {
            InstallKind::Executable => Some(out_of_kept(program)),
            _ => strip_entry(program, entry).map(|folder| out_of_hidden(&folder)),
        };
        Self::beside(root.ok_or_else(refuse)?, kind, entry, subject)
    }

    /// Describes an install that is not there yet. No link is resolved.
    /// # Errors
    /// [`InstallError::NotAnInstall`] when the path has no name.
    pub(super) fn future(kind: InstallKind, path: PathBuf, entry: &FilePath) -> Result<Self, InstallError> {
        Self::beside(path, kind, entry, Subject::Other)
    }

    fn beside(root: PathBuf, kind: InstallKind, entry: &FilePath, subject: Subject) -> Result<Self, InstallError> {
        let versions = if kind == InstallKind::Directory { Versions::around(&root) } else { None };
        let root = versions.as_ref().map_or(root, Versions::link);
        let refuse = || InstallError::NotAnInstall { path: root.clone(), entry: entry.to_string() };
        let mut name = OsString::from(".");
        name.push(root.file_name().ok_or_else(refuse)?);
        name.push(HIDDEN_SUFFIX);
        let hidden = root.with_file_name(name);
        Ok(Self { kind, root, versions, entry: entry.clone(), hidden, subject })
    }

    /// Sets how many versions stay where each has a folder of its own.
    pub(crate) fn keeping(mut self, versions: usize) -> Self {
        if let Some(folders) = &mut self.versions {
            folders.keep(versions);
        }
        self
    }

    /// Returns where the installed release has its program.
    pub(crate) fn entry(&self) -> &FilePath {
        &self.entry
    }

    /// Returns how the app is installed.
    pub(crate) fn kind(&self) -> InstallKind {
        self.kind
    }

    /// Tells whether files of its user can lie among those of the app; they move along then.
    pub(super) fn has_users_files(&self) -> bool {
        self.kind.holds_manifest()
    }

    /// Returns whose install it is.
    pub(crate) fn subject(&self) -> Subject {
        self.subject
    }

    /// Returns where the versions lie, if each has a folder of its own.
    pub(super) fn versions(&self) -> Option<&Versions> {
        self.versions.as_ref()
    }

    /// Returns the folder that the installed files lie in now, or the program file.
    /// # Errors
    /// [`InstallError::LostLink`] when the link to the current version leads to none.
    pub(crate) fn tree(&self) -> Result<PathBuf, InstallError> {
        let Some(versions) = &self.versions else { return Ok(self.root.clone()) };
        match fs::pointed(&self.root) {
            Ok(tree) if tree.parent() == Some(versions.folder()) => Ok(tree),
            _ => Err(InstallError::LostLink { path: self.root.clone() }),
        }
    }

    /// Returns where the release lies that a swap has replaced, until it is kept or dropped.
    pub(super) fn replaced_tree(&self, release: &JournaledRelease) -> PathBuf {
        self.versions.as_ref().map_or_else(|| self.staged_tree(), |versions| versions.tree(&release.version))
    }

    /// Returns where the other release of a trial or a return lies: the kept one, or the one that failed.
    pub(super) fn other_tree(&self, release: &JournaledRelease) -> PathBuf {
        self.versions.as_ref().map_or_else(|| self.previous_tree(), |versions| versions.tree(&release.version))
    }

    /// Returns where a program goes that is of no use any more but may still run.
    pub(super) fn spent(&self) -> PathBuf {
        fs::spent(&self.hidden)
    }

    /// Returns the installed program file or folder.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Returns the path by which the installed files are reached: through the link to the current version where there is
    /// one that the system follows.
    pub(crate) fn files(&self) -> PathBuf {
        match &self.versions {
            Some(_) if cfg!(windows) => fs::pointed(&self.root).unwrap_or_else(|_| self.root.clone()),
            _ => self.root.clone(),
        }
    }

    /// Returns the path of the installed program.
    pub(crate) fn program(&self) -> PathBuf {
        self.program_at(&self.entry)
    }

    /// Returns the path that the program of a release has when it is installed here.
    pub(crate) fn program_at(&self, entry: &FilePath) -> PathBuf {
        match self.kind {
            InstallKind::Executable => self.root.clone(),
            _ => self.files().join(entry.as_str()),
        }
    }

    fn program_in(&self, tree: &Path) -> PathBuf {
        match self.kind {
            InstallKind::Executable => self.root.clone(),
            _ => tree.join(self.entry.as_str()),
        }
    }

    /// Returns the folder that holds the install and the hidden folder.
    pub(crate) fn parent(&self) -> &Path {
        self.root.parent().unwrap_or(&self.root)
    }

    /// Returns the hidden folder.
    pub(crate) fn hidden(&self) -> &Path {
        &self.hidden
    }

    /// Returns the manifest inside an installed folder.
    pub(crate) fn manifest(&self) -> PathBuf {
        self.files().join(MANIFEST_PATH)
    }

    pub(crate) fn journal(&self) -> PathBuf {
        self.hidden.join("state.json")
    }

    pub(crate) fn lock(&self) -> PathBuf {
        self.hidden.join("lock")
    }

    pub(crate) fn downloads(&self) -> PathBuf {
        self.hidden.join("download")
    }

    pub(crate) fn staged(&self) -> PathBuf {
        self.hidden.join("staged")
    }

    pub(crate) fn staged_tree(&self) -> PathBuf {
        self.staged().join("tree")
    }

    pub(crate) fn staged_manifest(&self) -> PathBuf {
        self.staged().join("manifest.json")
    }

    /// Returns the folder for the manifests of releases that cannot hold their own.
    pub(super) fn manifests(&self) -> PathBuf {
        self.hidden.join("manifests")
    }

    pub(crate) fn previous(&self) -> PathBuf {
        self.hidden.join("previous")
    }

    /// Returns where `previous/` waits while another release takes the place of the one on trial.
    pub(super) fn earlier(&self) -> PathBuf {
        self.hidden.join("earlier")
    }

    pub(crate) fn previous_tree(&self) -> PathBuf {
        self.previous().join("tree")
    }

    /// Returns the kept program of an executable.
    pub(crate) fn previous_program(&self) -> PathBuf {
        self.previous_tree().join(self.root.file_name().unwrap_or(OsStr::new("program")))
    }

    pub(crate) fn attempts(&self) -> PathBuf {
        self.hidden.join("attempts")
    }

    /// Returns the digest of the canonical path, by which a journal knows its install.
    pub(crate) fn identity(&self) -> Sha256 {
        Sha256::of(&fs::text_of(&self.root))
    }

    /// Returns why this copy cannot be updated here; `None` when nothing is in the way. Changes nothing.
    /// # Errors
    /// [`InstallError::LostLink`].
    pub(crate) fn obstacle(&self) -> Result<Option<Obstacle>, InstallError> {
        // First: what a package manager owns is often not writable either, and its command helps more.
        if let Some(owned) = super::owner::of(&self.program(), &super::owner::system()) {
            return Ok(Some(owned));
        }
        #[cfg(target_os = "macos")]
        if let Some(found) = super::place::obstacle(&self.program(), super::place::mount_of(&self.program()).as_ref()) {
            return Ok(Some(found));
        }
        if cfg!(windows) && self.kind != InstallKind::Executable && self.versions.is_none() {
            return Ok(Some(Obstacle::FolderInUse { path: self.root.clone() }));
        }
        let tree = self.tree()?;
        // A folder is moved as a whole, which changes its own `..` too.
        let changed = match self.kind {
            InstallKind::Executable => vec![self.parent()],
            InstallKind::Component if fs::metadata(&self.root)?.is_none() => vec![self.parent()],
            _ => match &self.versions {
                Some(versions) => vec![self.parent(), versions.folder(), tree.as_path()],
                None => vec![self.parent(), self.root.as_path()],
            },
        };
        for folder in changed {
            let path = || folder.to_owned();
            match fs::check_writable(folder) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::ReadOnlyFilesystem => {
                    return Ok(Some(Obstacle::ReadOnly { path: path() }));
                }
                Err(_) => return Ok(Some(Obstacle::NotWritable { path: path() })),
            }
        }
        let not_trusted = fs::runs_as_administrator().then(|| self.not_trusted(&tree)).flatten();
        Ok(not_trusted.map(|path| Obstacle::NotTrusted { path }))
    }

    /// Returns the first file or folder on the way to the program, the program included, that somebody other than the
    /// administrator could change: they would choose what the administrator runs. Other folders of the install may belong
    /// to whom they like; they are only ever walked by descriptors.
    fn not_trusted(&self, tree: &Path) -> Option<PathBuf> {
        let changeable = |path: &&Path| fs::is_open_to_others(path, path.starts_with(self.parent()));
        let (program, link) = (self.program_in(tree), self.program());
        if self.kind == InstallKind::Component {
            // It need not be there yet; whatever is there counts.
            let is_there = |path: &&Path| !matches!(fs::metadata(path), Ok(None));
            return program.ancestors().skip_while(|path| !is_there(path)).find(changeable).map(Path::to_owned);
        }
        program.ancestors().chain(link.ancestors()).find(changeable).map(Path::to_owned)
    }

    /// Returns where a folder below the install is now: what the process has open moves along with the old release.
    pub(crate) fn after_swap(&self, folder: &Path) -> Option<PathBuf> {
        if let Some(versions) = &self.versions {
            // The first part is the folder of a version.
            let below = folder.strip_prefix(versions.folder()).ok()?;
            return Some(self.files().join(below.components().skip(1).collect::<PathBuf>()));
        }
        [self.previous_tree(), self.staged_tree(), self.root.clone()]
            .iter()
            .find_map(|tree| folder.strip_prefix(tree).ok())
            .map(|below| self.root.join(below))
    }
}

fn strip_entry(program: &Path, entry: &FilePath) -> Option<PathBuf> {
    let depth = entry.as_str().split('/').count();
    program.ends_with(entry.as_str()).then(|| program.ancestors().nth(depth).map(Path::to_owned)).flatten()
}

/// A process that was started just before a swap finds itself in the hidden folder, with the old release.
fn out_of_hidden(folder: &Path) -> PathBuf {
    let moved = || {
        let hidden = folder.parent()?.parent()?;
        Some(hidden.with_file_name(fs::stripped(hidden.file_name()?, ".", HIDDEN_SUFFIX)?))
    };
    let is_tree = folder.ends_with("previous/tree") || folder.ends_with("staged/tree");
    is_tree.then(moved).flatten().unwrap_or_else(|| folder.to_owned())
}

/// On Windows the program that was kept is started by hand when a power cut has left no other (`docs/windows.md`): it is
/// the install's, and puts itself back.
fn out_of_kept(program: &Path) -> PathBuf {
    let moved = || {
        let folder = program.parent()?;
        let hidden = folder.parent()?.parent()?;
        let name = fs::stripped(hidden.file_name()?, ".", HIDDEN_SUFFIX)?;
        (folder.ends_with("previous/tree") && program.file_name() == Some(&name)).then(|| hidden.with_file_name(name))
    };
    (cfg!(windows)).then(moved).flatten().unwrap_or_else(|| program.to_owned())
}

/// `.hello` + this: long enough that no other program uses it.
const HIDDEN_SUFFIX: &str = ".updater";

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(unix)]
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    fn entry(text: &str) -> FilePath {
        FilePath::parse(text).unwrap()
    }

    #[cfg(unix)]
    #[test]
    fn the_hidden_folder_lies_beside_the_install() {
        let of = |path: &str, kind, at: &str| Layout::of_program(Path::new(path), kind, &entry(at), Subject::Own);
        let layout = of("/opt/bin/hello", InstallKind::Executable, "anything/hello").unwrap();
        assert_eq!(layout.hidden(), Path::new("/opt/bin/.hello.updater"));
        assert_eq!(layout.program(), Path::new("/opt/bin/hello"));
        let layout = of("/opt/my app/bin/hello", InstallKind::Directory, "bin/hello").unwrap();
        assert_eq!(layout.root(), Path::new("/opt/my app"));
        assert_eq!(layout.hidden(), Path::new("/opt/.my app.updater"));
        assert_eq!(layout.program(), Path::new("/opt/my app/bin/hello"));
        for (path, at) in
            [("/opt/target/debug/hello", "bin/hello"), ("/bin/hello", "bin/hello"), ("/x/ahello", "hello")]
        {
            let result = of(path, InstallKind::Directory, at);
            assert!(matches!(result, Err(InstallError::NotAnInstall { .. })), "{path}: {result:?}");
        }
    }

    #[test]
    fn a_process_of_the_old_release_finds_the_install() {
        for tree in ["previous/tree", "staged/tree"] {
            let program = PathBuf::from(format!("/opt/.hello.updater/{tree}/bin/hello"));
            let layout =
                Layout::of_program(&program, InstallKind::Directory, &entry("bin/hello"), Subject::Own).unwrap();
            assert_eq!(layout.root(), Path::new("/opt/hello"));
        }
    }

    #[cfg(unix)]
    #[test]
    fn links_to_the_install_lead_to_the_same_hidden_folder() {
        let folder = tempfile::tempdir().unwrap();
        let real = folder.path().join("real");
        std::fs::write(&real, "").unwrap();
        symlink(&real, folder.path().join("link")).unwrap();
        let at = |name: &str| Layout::at(InstallKind::Executable, &folder.path().join(name), &entry("real")).unwrap();
        assert_eq!(at("link"), at("real"));
        let missing = Layout::at(InstallKind::Executable, &folder.path().join("none"), &entry("real"));
        assert!(matches!(missing, Err(InstallError::File(_))));
    }

    #[cfg(unix)]
    #[test]
    fn an_administrator_does_not_run_what_others_can_change() {
        if !rustix::process::geteuid().is_root() {
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("bin/hello");
        std::fs::create_dir(folder.path().join("bin")).unwrap();
        std::fs::write(&program, "").unwrap();
        let layout = Layout::at(InstallKind::Executable, &program, &entry("hello")).unwrap();
        assert_eq!(layout.obstacle().unwrap(), None);
        for mode in [0o775, 0o757] {
            std::fs::set_permissions(&program, std::fs::Permissions::from_mode(mode)).unwrap();
            let expected = Some(Obstacle::NotTrusted { path: fs::canonical(&program).unwrap() });
            assert_eq!(layout.obstacle().unwrap(), expected, "a program that others may write, {mode:o}");
        }
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        let bin = program.parent().unwrap();
        let set = |mode| std::fs::set_permissions(bin, std::fs::Permissions::from_mode(mode)).unwrap();
        for mode in [0o777, 0o775, 0o1777] {
            set(mode);
            let expected = Some(Obstacle::NotTrusted { path: fs::canonical(bin).unwrap() });
            assert_eq!(layout.obstacle().unwrap(), expected, "{mode:o}");
        }
        set(0o755);
        std::os::unix::fs::chown(folder.path(), Some(12345), None).unwrap();
        let expected = Some(Obstacle::NotTrusted { path: fs::canonical(folder.path()).unwrap() });
        assert_eq!(layout.obstacle().unwrap(), expected, "the folder above counts too");
    }

    #[test]
    fn the_working_directory_follows_the_swap() {
        let layout = Layout::of_program(
            Path::new("/opt/hello/bin/hello"),
            InstallKind::Directory,
            &entry("bin/hello"),
            Subject::Own,
        )
        .unwrap();
        let moved = |path: &str| layout.after_swap(Path::new(path));
        assert_eq!(moved("/opt/.hello.updater/previous/tree/share"), Some(PathBuf::from("/opt/hello/share")));
        assert_eq!(moved("/opt/hello"), Some(PathBuf::from("/opt/hello/")));
        assert_eq!(moved("/home/me"), None);
    }
}
