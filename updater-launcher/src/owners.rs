//! To whom the files of an install belong: what others can change must not run as the administrator.

use crate::error::{Error, Result};
use crate::places::Places;
use std::path::{Path, PathBuf};
use updater_runtime::owners::{is_open_to_others, runs_as_administrator};

/// Makes sure, for the administrator, that nobody else can change what the launcher reads, runs or writes in this folder.
/// Other users may have their installs as they like: they only ever run as themselves.
/// # Errors
/// [`Error::NotTrusted`] with the first file or folder that somebody else can change.
pub(crate) fn check(places: &Places) -> Result<()> {
    if !runs_as_administrator() {
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

/// Returns the file, or the part of the way that its link leads to, that somebody else can change.
fn changeable(path: &Path, root: &Path) -> Option<PathBuf> {
    if is_changeable(path, root) {
        return Some(path.to_owned());
    }
    // On Windows links are not followed: what they lead to is not run through them.
    let target = (cfg!(unix) && path.is_symlink()).then(|| path.canonicalize().ok()).flatten()?;
    target.ancestors().find(|path| is_changeable(path, root)).map(Path::to_owned)
}

fn is_changeable(path: &Path, root: &Path) -> bool {
    let is_absent = path.symlink_metadata().is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound);
    !is_absent && is_open_to_others(path, path.starts_with(root))
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
