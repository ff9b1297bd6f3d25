//! For tools that look at an app from outside, as `cargo updater doctor` does. Nothing here changes anything.

use crate::install::{InstallError, InstallKind, Layout, Obstacle, ProbeError, Subject, ask};
use std::path::Path;
use std::time::Duration;
use updater_format::{AppId, FilePath, MANIFEST_PATH, Platform, ReleaseVersion};

/// Who a program says it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probed {
    /// The app.
    pub app: AppId,
    /// Its version.
    pub version: ReleaseVersion,
    /// The triple it was built for.
    pub platform: Platform,
}

/// Starts a program as a client does before it takes an update, and returns who it says it is. It is killed when it does
/// not answer within `limit`.
///
/// ```no_run
/// use std::time::Duration;
/// use updater_runtime::inspect::probe;
///
/// let found = probe("/opt/hello/hello".as_ref(), Duration::from_secs(10))?;
/// println!("{} {} for {}", found.app, found.version, found.platform);
/// # Ok::<(), updater_runtime::ProbeError>(())
/// ```
/// # Errors
/// [`ProbeError`] when it does not start, does not end in time, or gives another answer.
pub fn probe(program: &Path, limit: Duration) -> Result<Probed, ProbeError> {
    let (nonce, text) = ask(program, limit)?;
    let start = format!("updater-probe 1 {nonce} ");
    let parse = |line: &str| {
        let [app, version, platform] = line.strip_prefix(&start)?.split(' ').collect::<Vec<_>>()[..] else {
            return None;
        };
        Some(Probed {
            app: AppId::parse(app).ok()?,
            version: ReleaseVersion::parse(version).ok()?,
            platform: Platform::parse(platform).ok()?,
        })
    };
    text.lines().find_map(parse).ok_or_else(|| ProbeError::Answer {
        expected: format!("{start}APP VERSION TRIPLE"),
        got: crate::terminal_safe(text.trim(), MAX_SHOWN),
    })
}

/// Returns what would keep this user from updating the install of a program; `None` when nothing would. A program below
/// a folder with a manifest is that folder's, one of a `.app` folder is that app bundle's, any other is an install by itself.
/// # Errors
/// [`InstallError`] when there is no such file.
pub fn obstacle(program: &Path) -> Result<Option<Obstacle>, InstallError> {
    let program = crate::fs::canonical(program)?;
    let holds_manifest = |folder: &&Path| folder.join(MANIFEST_PATH).is_file();
    let folder = program.ancestors().skip(1).find(holds_manifest).map(|folder| (InstallKind::Directory, folder));
    let folder = folder.or_else(|| Some((InstallKind::AppBundle, app_bundle_of(&program)?)));
    let entry = |path: &Path| crate::fs::slashed(path).and_then(|path| FilePath::parse(&path).ok());
    let inside = folder.and_then(|(kind, folder)| Some((kind, folder, entry(program.strip_prefix(folder).ok()?)?)));
    let layout = match inside {
        Some((kind, folder, entry)) => Layout::at(kind, folder, &entry)?,
        None => {
            let name = program.file_name().map(Path::new).and_then(entry);
            let Some(name) = name else {
                return Err(InstallError::NotAnInstall { path: program.clone(), entry: String::new() });
            };
            Layout::of_program(&program, InstallKind::Executable, &name, Subject::Other)?
        }
    };
    layout.obstacle()
}

/// Returns the `.app` folder whose program this is.
fn app_bundle_of(program: &Path) -> Option<&Path> {
    let folder = program.parent().filter(|folder| folder.ends_with("Contents/MacOS"))?.parent()?.parent()?;
    folder.extension().is_some_and(|extension| extension == "app").then_some(folder)
}

/// How much of a wrong answer is shown, in characters.
const MAX_SHOWN: usize = 200;

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    fn program(folder: &Path, text: &str) -> std::path::PathBuf {
        let path = folder.join("app");
        std::fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    #[test]
    fn a_program_is_asked_who_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let limit = Duration::from_secs(10);
        let path = program(folder.path(), "echo updater-probe 1 $UPDATER_PROBE hello 1.2.3 x86_64-unknown-linux-gnu");
        let probed = probe(&path, limit).unwrap();
        assert_eq!((probed.app.as_str(), probed.version.to_string().as_str()), ("hello", "1.2.3"));
        for answer in ["echo updater-probe 1 0 hello 1.2.3 x", "echo updater-probe 1 $UPDATER_PROBE hello", "true"] {
            let path = program(folder.path(), answer);
            assert!(matches!(probe(&path, limit), Err(ProbeError::Answer { .. })), "{answer}");
        }
        assert!(matches!(probe(&program(folder.path(), "exit 3"), limit), Err(ProbeError::Ended { .. })));
    }

    #[test]
    fn an_install_that_cannot_change_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let (install, bin) = (folder.path().join("app"), folder.path().join("app/bin"));
        std::fs::create_dir_all(&bin).unwrap();
        let path = program(&bin, "true");
        assert_eq!(obstacle(&path).unwrap(), None);
        std::fs::write(install.join(MANIFEST_PATH), "{}").unwrap();
        assert_eq!(obstacle(&path).unwrap(), None);
        assert!(matches!(obstacle(&bin.join("none")), Err(InstallError::File(_))));
        // Whoever runs the tests as the administrator is kept from what others can change instead.
        let closed = if rustix::process::geteuid().is_root() { 0o777 } else { 0o555 };
        std::fs::set_permissions(&bin, std::fs::Permissions::from_mode(closed)).unwrap();
        std::fs::remove_file(install.join(MANIFEST_PATH)).unwrap();
        let found = obstacle(&path).unwrap();
        std::fs::set_permissions(&bin, std::fs::Permissions::from_mode(0o755)).unwrap();
        assert!(matches!(found, Some(Obstacle::NotWritable { .. } | Obstacle::NotTrusted { .. })), "{found:?}");
    }
}
