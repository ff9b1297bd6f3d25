//! Where trusted metadata and the time of the last check are kept for a user.

#[cfg(unix)]
use crate::fs;
use crate::install::Layout;
#[cfg(unix)]
use std::os::unix::fs::MetadataExt as _;
#[cfg(unix)]
use std::path::Path;
use std::path::PathBuf;
use updater_format::AppId;

/// Returns the folder for this app's state: `%LOCALAPPDATA%\cargo-updater\APP`, else a folder in the hidden folder beside the
/// install, for services that have no profile. What lies in the profile can be changed by its user and the administrators
/// only; that is what new folders there inherit. Not `%LOCALAPPDATA%\APP`: that is the app's own.
#[cfg(windows)]
pub(crate) fn state_dir(app: &AppId, layout: &Layout) -> PathBuf {
    choose(std::env::var_os("LOCALAPPDATA").map(PathBuf::from), app, layout)
}

#[cfg(windows)]
fn choose(local: Option<PathBuf>, app: &AppId, layout: &Layout) -> PathBuf {
    let local = local.filter(|path| path.is_absolute());
    let base = local.map(|local| local.join("cargo-updater").join(app.as_str()));
    base.unwrap_or_else(|| layout.hidden().join("state"))
}

/// Returns the folder for this app's state: `$XDG_STATE_HOME/APP`, else `$HOME/.local/state/APP` (macOS:
/// `$HOME/Library/Application Support/cargo-updater/APP`), else a folder in the hidden folder beside the install, for
/// services that have no home.
///
/// An administrator whose variables lead to where another user may write, as `sudo` leaves them, gets
/// `/var/lib/cargo-updater/APP` (macOS: `/Library/Application Support/cargo-updater/APP`): files of theirs in that user's home would lock the user out, and a link there would lead
/// the administrator anywhere.
#[cfg(unix)]
pub(crate) fn state_dir(app: &AppId, layout: &Layout) -> PathBuf {
    let chosen = choose(|name| std::env::var_os(name).map(PathBuf::from), app, layout);
    if fs::runs_as_administrator() && !is_administrators(&chosen) {
        return Path::new(ADMINISTRATORS).join(app.as_str());
    }
    chosen
}

#[cfg(unix)]
fn choose(variable: impl Fn(&str) -> Option<PathBuf>, app: &AppId, layout: &Layout) -> PathBuf {
    // The XDG base directory specification: a relative path there is invalid and must be ignored.
    let absolute = |path: PathBuf| path.is_absolute().then_some(path);
    let base = variable("XDG_STATE_HOME").and_then(absolute);
    let base = base.or_else(|| variable("HOME").and_then(absolute).map(|home| home.join(BELOW_HOME)));
    base.map_or_else(|| layout.hidden().join("state"), |base| base.join(app.as_str()))
}

/// Tells whether only the administrator can change what lies at a path, or make it: then no link on the way is anybody
/// else's either.
#[cfg(unix)]
fn is_administrators(path: &Path) -> bool {
    let Some(there) = path.ancestors().find(|path| fs::metadata(path).is_ok_and(|found| found.is_some())) else {
        return false;
    };
    // Links are checked where they lie and where they lead.
    let Ok(resolved) = fs::canonical(there) else { return false };
    let is_theirs = |path: &Path| {
        let Ok(Some(metadata)) = fs::metadata(path) else { return false };
        let is_shared = metadata.is_dir() && metadata.mode() & 0o022 != 0 && metadata.mode() & 0o1000 == 0;
        metadata.uid() == 0 && !is_shared
    };
    // In a sticky folder such as /tmp others cannot rename what is there, but they can make what is not.
    let is_closed = fs::metadata(&resolved).is_ok_and(|found| found.is_some_and(|found| found.mode() & 0o022 == 0));
    is_closed && there.ancestors().chain(resolved.ancestors()).all(is_theirs)
}

/// Where an administrator's state lies when it cannot lie at home. Not `/var/lib/APP`: that may be another program's.
#[cfg(all(unix, not(target_os = "macos")))]
const ADMINISTRATORS: &str = "/var/lib/cargo-updater";
#[cfg(target_os = "macos")]
const ADMINISTRATORS: &str = "/Library/Application Support/cargo-updater";
/// Where states lie in a user's home. On macOS not `Application Support/APP`: that is the app's own.
#[cfg(all(unix, not(target_os = "macos")))]
const BELOW_HOME: &str = ".local/state";
#[cfg(target_os = "macos")]
const BELOW_HOME: &str = "Library/Application Support/cargo-updater";

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use super::*;
    use crate::install::InstallKind;
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::Path;
    use updater_format::FilePath;

    #[test]
    fn xdg_then_home_then_beside_the_install() {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("hello");
        std::fs::write(&program, "").unwrap();
        let entry = FilePath::parse("hello").unwrap();
        let layout = Layout::at(InstallKind::Executable, &program, &entry).unwrap();
        let app = AppId::parse("hello").unwrap();
        let at = |xdg: Option<&str>, home: Option<&str>| {
            choose(|name| if name == "HOME" { home } else { xdg }.map(PathBuf::from), &app, &layout)
        };
        assert_eq!(at(Some("/x"), Some("/home/me")), Path::new("/x/hello"));
        assert_eq!(at(Some("relative"), Some("/home/me")), Path::new("/home/me").join(BELOW_HOME).join("hello"));
        assert_eq!(at(None, None), layout.hidden().join("state"));
        assert_eq!(at(None, Some("")), layout.hidden().join("state"));
    }

    #[test]
    fn an_administrator_keeps_nothing_where_another_user_may_write() {
        if !rustix::process::geteuid().is_root() {
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().join("home");
        std::fs::create_dir_all(home.join(".local/state")).unwrap();
        let state = home.join(".local/state/hello");
        assert!(is_administrators(&state));
        let sticky = folder.path().join("sticky");
        std::fs::create_dir(&sticky).unwrap();
        std::fs::set_permissions(&sticky, std::fs::Permissions::from_mode(0o1777)).unwrap();
        assert!(!is_administrators(&sticky.join("home/.local/state/hello")), "anybody can make that home");
        std::fs::create_dir(sticky.join("home")).unwrap();
        assert!(is_administrators(&sticky.join("home/.local/state/hello")), "nobody can rename this one");
        // A link of the administrator's own is followed, one of another user is not.
        std::os::unix::fs::symlink(&home, folder.path().join("link")).unwrap();
        assert!(is_administrators(&folder.path().join("link/.local/state/hello")));
        std::os::unix::fs::lchown(folder.path().join("link"), Some(12345), None).unwrap();
        assert!(!is_administrators(&folder.path().join("link/.local/state/hello")));
        std::os::unix::fs::chown(&home, Some(12345), None).unwrap();
        assert!(!is_administrators(&state), "the home of somebody else, as under sudo");
        std::os::unix::fs::chown(&home, Some(0), None).unwrap();
        std::os::unix::fs::chown(home.join(".local"), Some(12345), None).unwrap();
        assert!(!is_administrators(&state), "nor a part of it");
        assert!(!is_administrators(&home.join(".local/not/there/yet")));
    }
}
