//! Where trusted metadata and the time of the last check are kept for a user.

use crate::install::Layout;
use std::path::PathBuf;
use updater_format::AppId;

/// Returns the folder for this app's state: `$XDG_STATE_HOME/APP`, else `$HOME/.local/state/APP`, else a folder in the
/// hidden folder beside the install, for services that have no home.
pub(crate) fn state_dir(app: &AppId, layout: &Layout) -> PathBuf {
    choose(|name| std::env::var_os(name).map(PathBuf::from), app, layout)
}

fn choose(variable: impl Fn(&str) -> Option<PathBuf>, app: &AppId, layout: &Layout) -> PathBuf {
    // The XDG base directory specification: a relative path there is invalid and must be ignored.
    let absolute = |path: PathBuf| path.is_absolute().then_some(path);
    let base = variable("XDG_STATE_HOME").and_then(absolute);
    let base = base.or_else(|| variable("HOME").and_then(absolute).map(|home| home.join(".local/state")));
    base.map_or_else(|| layout.hidden().join("state"), |base| base.join(app.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::install::InstallKind;
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
        assert_eq!(at(Some("relative"), Some("/home/me")), Path::new("/home/me/.local/state/hello"));
        assert_eq!(at(None, None), layout.hidden().join("state"));
        assert_eq!(at(None, Some("")), layout.hidden().join("state"));
    }
}
