//! To whom the files of an install belong: what others can change must not run as the administrator.

use crate::error::{Error, Result};
use crate::places::Places;
#[cfg(windows)]
use by_lists::{changeable, is_administrator};
#[cfg(unix)]
use by_modes::{changeable, is_administrator};
use std::path::Path;

/// Makes sure, for the administrator, that nobody else can change what the launcher reads, runs or writes in this folder.
/// Other users may have their installs as they like: they only ever run as themselves.
/// # Errors
/// [`Error::NotTrusted`] with the first file or folder that somebody else can change.
pub(crate) fn check(places: &Places) -> Result<()> {
    if !is_administrator() {
        return Ok(());
    }
    let root = places.root();
    let var = root.join("var");
    let inside = [
        places.overrides(),
        root.join("versions"),
        root.join(".current.updater"),
        places.current(),
        var,
        places.logs(),
        places.run(),
        places.state(),
        places.record(),
        places.trusted_root(),
    ];
    let all = root.ancestors().map(Path::to_owned).chain(inside);
    match all.filter_map(|path| changeable(&path, root)).next() {
        Some(path) => Err(Error::NotTrusted { path }),
        None => Ok(()),
    }
}

#[cfg(unix)]
mod by_modes {
    use std::os::unix::fs::MetadataExt as _;
    use std::path::{Path, PathBuf};

    pub(super) fn is_administrator() -> bool {
        rustix::process::geteuid().is_root()
    }

    /// Returns the file, or the part of the way that its link leads to, that somebody else can change.
    pub(super) fn changeable(path: &Path, root: &Path) -> Option<PathBuf> {
        if is_changeable(path, root) {
            return Some(path.to_owned());
        }
        let target = path.is_symlink().then(|| path.canonicalize().ok()).flatten()?;
        target.ancestors().find(|path| is_changeable(path, root)).map(Path::to_owned)
    }

    fn is_changeable(path: &Path, root: &Path) -> bool {
        let metadata = match path.symlink_metadata() {
            Ok(metadata) => metadata,
            Err(error) => return error.kind() != std::io::ErrorKind::NotFound,
        };
        let mode = metadata.mode();
        // In a sticky folder such as /tmp nobody can rename what belongs to the administrator.
        let is_sticky = metadata.is_dir() && !path.starts_with(root) && mode & 0o1000 != 0;
        // The bits of a link mean nothing.
        let is_shared = !metadata.is_symlink() && mode & 0o022 != 0 && !is_sticky;
        metadata.uid() != 0 || is_shared
    }
}

#[cfg(windows)]
mod by_lists {
    use std::path::{Path, PathBuf};

    pub(super) fn is_administrator() -> bool {
        updater_runtime::windows::runs_as_administrator()
    }

    /// Returns the file if somebody else can change it. Links are not followed: what they lead to is not run through them.
    pub(super) fn changeable(path: &Path, root: &Path) -> Option<PathBuf> {
        let is_there = path.symlink_metadata().is_ok();
        let is_changeable = is_there && updater_runtime::windows::is_open_to_others(path, path.starts_with(root));
        is_changeable.then(|| path.to_owned())
    }
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use super::*;
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, symlink};

    #[test]
    fn what_others_can_change_is_named() {
        if !updater_tests::require::root("files of other users") {
            return;
        }
        let mode = |path: &Path, mode| {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
        };
        let folder = tempfile::tempdir().unwrap();
        let places = Places::at(folder.path()).unwrap();
        places.make().unwrap();
        std::fs::write(places.overrides(), "").unwrap();
        std::fs::create_dir(places.root().join("versions")).unwrap();
        for path in [places.overrides(), places.root().join("versions")] {
            mode(&path, 0o644);
        }
        check(&places).unwrap();
        let named = |path: &Path| match check(&places) {
            Err(Error::NotTrusted { path: found }) => assert_eq!(found, path),
            other => panic!("{}: {other:?}", path.display()),
        };
        for path in [places.root().to_owned(), places.overrides(), places.root().join("versions"), places.run()] {
            chown(&path, Some(NOBODY), None).unwrap();
            named(&path);
            chown(&path, Some(0), None).unwrap();
            let before = path.metadata().unwrap().mode() & 0o7777;
            for shared in [0o1777, 0o770] {
                mode(&path, shared);
                named(&path);
            }
            mode(&path, before);
            check(&places).unwrap();
        }
        // A link counts as what it leads to.
        let elsewhere = tempfile::tempdir().unwrap();
        let target = elsewhere.path().canonicalize().unwrap().join("theirs");
        std::fs::write(&target, "").unwrap();
        mode(&target, 0o644);
        std::fs::remove_file(places.overrides()).unwrap();
        symlink(&target, places.overrides()).unwrap();
        check(&places).unwrap();
        chown(&target, Some(NOBODY), None).unwrap();
        named(&target);
    }

    const NOBODY: u32 = 65534;
}
