//! Whether a package manager owns this copy, told by where it lies and by the manager's own records.
//!
//! The records of Windows's own installer (MSI) are keyed by product and are not asked; what it installs lies in
//! `Program Files`, where no user may write.

use super::error::Obstacle;
use crate::fs;
use std::path::{Component, Path, PathBuf};
use updater_format::terminal_safe;

/// Finds the package manager that owns a program. `_system` is the root of the system elsewhere; here all is told by the
/// program's own path.
pub(super) fn of(program: &Path, _system: &Path) -> Option<Obstacle> {
    let names: Vec<String> = program.components().filter_map(normal).collect();
    let owned = [store, scoop, chocolatey, winget].iter().find_map(|ask| ask(program, &names));
    let (manager, command) = owned.or_else(|| cargo(program))?;
    Some(Obstacle::PackageManager { manager, command: terminal_safe(&command, MAX_COMMAND) })
}

/// Returns nothing in particular.
pub(super) fn system() -> PathBuf {
    PathBuf::new()
}

type Owned = (&'static str, String);

/// Packages of the Store lie in `WindowsApps\NAME_VERSION_...`.
fn store(_: &Path, names: &[String]) -> Option<Owned> {
    let (_, [package, ..]) = below(names, &["windowsapps"])? else { return None };
    package.contains('_').then(|| ("the Microsoft Store", "winget upgrade --source msstore".to_owned()))
}

/// Scoop has each version in `scoop\apps\NAME\VERSION`, with its `manifest.json`.
fn scoop(program: &Path, names: &[String]) -> Option<Owned> {
    let (depth, [name, _version, ..]) = below(names, &["apps"])? else { return None };
    // One for the name, one for the version.
    let folder = program.ancestors().nth(names.len().checked_sub(depth + 2)?)?;
    is_file(&folder.join("manifest.json")).then(|| ("scoop", format!("scoop update {name}")))
}

/// Chocolatey has each package in `chocolatey\lib\NAME`, with `NAME.nuspec`.
fn chocolatey(program: &Path, names: &[String]) -> Option<Owned> {
    let (depth, [name, ..]) = below(names, &["chocolatey", "lib"])? else { return None };
    let folder = program.ancestors().nth(names.len().checked_sub(depth + 1)?)?;
    is_file(&folder.join(format!("{name}.nuspec"))).then(|| ("chocolatey", format!("choco upgrade {name}")))
}

/// winget has portable programs in `WinGet\Packages\ID_SOURCE`.
fn winget(_: &Path, names: &[String]) -> Option<Owned> {
    let (_, [package, ..]) = below(names, &["winget", "packages"])? else { return None };
    let id = package.split_once('_').map_or(package.as_str(), |(id, _)| id);
    Some(("winget", format!("winget upgrade {id}")))
}

/// `cargo install` keeps its record beside the folder `bin` that it installs into.
fn cargo(program: &Path) -> Option<Owned> {
    let (bin, name) = (program.parent()?, program.file_name()?.to_str()?);
    let root = bin.parent().filter(|_| bin.file_name().is_some_and(|name| name.eq_ignore_ascii_case("bin")))?;
    let bytes = fs::read_bounded(&root.join(".crates2.json"), MAX_RECORD).ok()??;
    let record: serde_json::Value = serde_json::from_slice(&bytes).ok()?;
    let has_bin = |install: &serde_json::Value| {
        let bins = install.get("bins").and_then(serde_json::Value::as_array);
        bins.is_some_and(|bins| bins.iter().filter_map(|bin| bin.as_str()).any(|bin| bin.eq_ignore_ascii_case(name)))
    };
    let (key, _) = record.get("installs")?.as_object()?.iter().find(|(_, install)| has_bin(install))?;
    let (package, _) = key.split_once(' ')?;
    Some(("cargo", format!("cargo install {package}")))
}

/// Returns what lies below a row of folders of these names, whatever their case, and how deep that begins.
fn below<'a>(names: &'a [String], folders: &[&str]) -> Option<(usize, &'a [String])> {
    let is_row = |row: &[String]| row.iter().zip(folders).all(|(name, folder)| name.eq_ignore_ascii_case(folder));
    let at = names.windows(folders.len()).position(is_row)? + folders.len();
    // The program itself is not a folder.
    Some((at, names.get(at..names.len().saturating_sub(1))?))
}

fn normal(part: Component<'_>) -> Option<String> {
    match part {
        Component::Normal(name) => Some(name.to_string_lossy().into_owned()),
        _ => None,
    }
}

fn is_file(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|found| found.is_some_and(|found| found.is_file()))
}

/// The most bytes of a record that are read: 4 MiB. `.crates2.json` has about 300 for each program.
const MAX_RECORD: u64 = 4 * 1024 * 1024;
/// The longest command that is shown, in characters.
const MAX_COMMAND: usize = 500;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn managers_are_known_by_their_records() {
        let folder = tempfile::tempdir().unwrap();
        let ask = |program: &str| {
            let program = program.split('/').fold(folder.path().to_owned(), |at, part| at.join(part));
            of(&program, Path::new(""))
        };
        let put = |path: &str, text: &str| {
            let path = folder.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        let owned = |program: &str| match ask(program) {
            Some(Obstacle::PackageManager { manager, command }) => Some((manager, command)),
            _ => None,
        };
        assert_eq!(owned("scoop/apps/hello/1.0.0/hello.exe"), None, "no record");
        put("scoop/apps/hello/1.0.0/manifest.json", "{}");
        assert_eq!(owned("scoop/Apps/hello/1.0.0/bin/hello.exe"), Some(("scoop", "scoop update hello".into())));
        put("ProgramData/chocolatey/lib/hello/hello.nuspec", "");
        let command = Some(("chocolatey", "choco upgrade hello".into()));
        assert_eq!(owned("ProgramData/Chocolatey/lib/hello/tools/hello.exe"), command);
        let command = Some(("winget", "winget upgrade Me.Hello".into()));
        assert_eq!(owned("Local/Microsoft/WinGet/Packages/Me.Hello_Microsoft.Winget.Source_8wek/hello.exe"), command);
        put(".cargo/.crates2.json", r#"{"installs":{"hello-app 1.0.0 (registry+x)":{"bins":["hello.exe"]}}}"#);
        assert_eq!(owned(".cargo/bin/Hello.exe"), Some(("cargo", "cargo install hello-app".into())));
        for free in ["Programs/hello/hello.exe", "apps/hello.exe", "x/winget/packages/hello.exe", ".cargo/bin/no.exe"] {
            assert_eq!(ask(free), None, "{free}");
        }
    }
}
