//! Whether a package manager owns this copy, told by the manager's own records: then the manager updates it, and a copy
//! that changed under it would be damaged in its eyes.
//!
//! Asked only when there is an update. All reads are bounded; records that cannot be read own nothing, but a manager that
//! was asked and did not answer may own everything.

mod rpm;

use super::error::Obstacle;
use crate::fs;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path, PathBuf};
use updater_format::terminal_safe;

/// Finds the package manager that owns a program. `system` is the root folder of the system: `/`, or a test's.
pub(super) fn of(program: &Path, system: &Path) -> Option<Obstacle> {
    let found =
        [nix, snap, flatpak, homebrew, cargo, dpkg, pacman, rpm::rpm].iter().find_map(|ask| ask(program, system));
    found.map(|found| match found {
        // Names in records are text from outside, and this is shown on terminals.
        Found::Owned { manager, command } => {
            Obstacle::PackageManager { manager, command: terminal_safe(&command, MAX_COMMAND) }
        }
        Found::Unknown { manager } => Obstacle::OwnerUnknown { manager },
    })
}

enum Found {
    /// It owns the program.
    Owned { manager: &'static str, command: String },
    /// It did not answer.
    Unknown { manager: &'static str },
}

fn found(manager: &'static str, command: String) -> Option<Found> {
    Some(Found::Owned { manager, command })
}

/// The store belongs to Nix alone; nothing in it is ever changed.
fn nix(program: &Path, system: &Path) -> Option<Found> {
    program.strip_prefix(system.join("nix/store")).ok()?;
    let is_nixos = exists(&system.join("etc/NIXOS"));
    found("nix", if is_nixos { "nixos-rebuild switch --upgrade" } else { "nix-env --upgrade" }.to_owned())
}

/// A revision of a snap is mounted at `/snap/NAME/REVISION` and describes itself in `meta/snap.yaml`.
fn snap(program: &Path, system: &Path) -> Option<Found> {
    ["snap", "var/lib/snapd/snap"].iter().find_map(|mount| {
        let mount = system.join(mount);
        let below = names(program.strip_prefix(&mount).ok()?);
        let [name, revision, ..] = below[..] else { return None };
        exists(&mount.join(name).join(revision).join("meta/snap.yaml"))
            .then(|| Found::Owned { manager: "snap", command: format!("snap refresh {}", shown(name)) })
    })
}

/// Inside a Flatpak sandbox the app lies in `/app`, and `/.flatpak-info` names it.
fn flatpak(program: &Path, system: &Path) -> Option<Found> {
    program.strip_prefix(system.join("app")).ok()?;
    let info = text(&system.join(".flatpak-info"), MAX_RECORD)?;
    let application = info.split_once("[Application]")?.1;
    let name =
        application.lines().skip(1).take_while(|line| !line.starts_with('[')).find_map(|l| l.strip_prefix("name="));
    found("flatpak", format!("flatpak update {}", name?.trim()))
}

/// Homebrew leaves a receipt in `Cellar/NAME/VERSION`, wherever the Cellar is.
fn homebrew(program: &Path, _: &Path) -> Option<Found> {
    program.ancestors().find_map(|keg| {
        let name = keg.parent()?.file_name()?;
        let is_cellar = keg.parent()?.parent()?.file_name()? == "Cellar";
        (is_cellar && exists(&keg.join("INSTALL_RECEIPT.json")))
            .then(|| Found::Owned { manager: "brew", command: format!("brew upgrade {}", shown(name)) })
    })
}

/// `cargo install` keeps its record beside the folder `bin` that it installs into.
fn cargo(program: &Path, _: &Path) -> Option<Found> {
    let (bin, name) = (program.parent()?, program.file_name()?.to_str()?);
    let root = bin.parent().filter(|_| bin.file_name() == Some(OsStr::new("bin")))?;
    let record: serde_json::Value = serde_json::from_str(&text(&root.join(".crates2.json"), MAX_RECORD)?).ok()?;
    let has_bin = |install: &serde_json::Value| {
        install.get("bins").and_then(|bins| bins.as_array()).is_some_and(|bins| bins.iter().any(|bin| bin == name))
    };
    let (key, _) = record.get("installs")?.as_object()?.iter().find(|(_, install)| has_bin(install))?;
    // `NAME VERSION (SOURCE)`
    let (package, rest) = key.split_once(' ')?;
    let source = rest.split_once('(').map_or("", |(_, source)| source.trim_end_matches(')'));
    let mut command = "cargo install".to_owned();
    let is_home = root.file_name() == Some(OsStr::new(".cargo"))
        || std::env::var_os("CARGO_HOME").is_some_and(|home| Path::new(&home) == root);
    if !is_home {
        command = format!("{command} --root {}", quoted(&root.to_string_lossy()));
    }
    let origin = |url: &str| quoted(url.split(['#', '?']).next().unwrap_or(url));
    found(
        "cargo",
        match source.split_once('+') {
            Some(("git", url)) => format!("{command} --git {} {package}", origin(url)),
            Some(("path", url)) => format!("{command} --path {}", origin(url.trim_start_matches("file://"))),
            _ => format!("{command} {package}"),
        },
    )
}

/// Each package of dpkg lists its files, one absolute path on each line.
fn dpkg(program: &Path, system: &Path) -> Option<Found> {
    let wanted = packaged_names(program, system)?;
    let folder = system.join("var/lib/dpkg/info");
    let lists = fs::names(&folder).ok()?.into_iter().filter(|name| name.as_bytes().ends_with(b".list"));
    let owner = lists.take(MAX_PACKAGES).find(|name| lists_one(&folder.join(name), &wanted))?;
    let package = owner.to_str()?.strip_suffix(".list")?;
    found("dpkg", format!("apt install --only-upgrade {}", package.split(':').next()?))
}

/// Each package of pacman lists its files without the leading slash.
fn pacman(program: &Path, system: &Path) -> Option<Found> {
    let wanted: Vec<Vec<u8>> = packaged_names(program, system)?.into_iter().map(|path| path[1..].to_vec()).collect();
    let folder = system.join("var/lib/pacman/local");
    let mut packages = fs::names(&folder).ok()?.into_iter().take(MAX_PACKAGES);
    packages.find(|name| lists_one(&folder.join(name).join("files"), &wanted))?;
    // A part of an Arch system is never upgraded alone.
    found("pacman", "pacman -Syu".to_owned())
}

/// Returns how a package would list a file: its path in the system, and the one it had before `/bin` and `/lib` became
/// links into `/usr`. `None` where the file system hierarchy leaves no room for packages, so that no list is read.
fn packaged_names(program: &Path, system: &Path) -> Option<Vec<Vec<u8>>> {
    let below = program.strip_prefix(system).ok()?;
    if UNPACKAGED.iter().any(|folder| below.starts_with(folder)) {
        return None;
    }
    let name = |path: &Path| [b"/", path.as_os_str().as_bytes()].concat();
    let merged = below.strip_prefix("usr").ok().filter(|rest| MERGED.iter().any(|folder| rest.starts_with(folder)));
    Some(merged.into_iter().chain([below]).map(name).collect())
}

fn lists_one(list: &Path, wanted: &[Vec<u8>]) -> bool {
    let bytes = fs::read_bounded(list, MAX_LIST).ok().flatten().unwrap_or_default();
    bytes.split(|byte| *byte == b'\n').any(|line| wanted.iter().any(|path| path == line))
}

fn exists(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|found| found.is_some())
}

fn text(path: &Path, limit: u64) -> Option<String> {
    String::from_utf8(fs::read_bounded(path, limit).ok()??).ok()
}

fn names(path: &Path) -> Vec<&OsStr> {
    path.components().filter_map(|part| if let Component::Normal(name) = part { Some(name) } else { None }).collect()
}

fn shown(name: &OsStr) -> String {
    quoted(&name.to_string_lossy())
}

/// Quotes for a shell what a shell would take apart.
fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-._/:@+=%".contains(c);
    if text.chars().all(plain) { text.to_owned() } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

/// Returns the root folder of the running system.
pub(super) fn system() -> PathBuf {
    PathBuf::from("/")
}

/// Folders in which no package of a system has files.
const UNPACKAGED: [&str; 6] = ["home", "root", "tmp", "usr/local", "var/tmp", "dev/shm"];
/// Folders that were moved into `/usr`, and are still listed as they were.
const MERGED: [&str; 3] = ["bin", "sbin", "lib"];
/// The most bytes of a single record that are read: 4 MiB. `.crates2.json` has about 300 for each program.
const MAX_RECORD: u64 = 4 * 1024 * 1024;
/// The most bytes of a package's list of files that are read: 16 MiB; the longest of a Debian system has about 2.
const MAX_LIST: u64 = 16 * 1024 * 1024;
/// The most packages that are looked at: 20,000; a large desktop has 5,000.
const MAX_PACKAGES: usize = 20_000;
/// The longest command that is shown, in characters.
const MAX_COMMAND: usize = 500;

#[cfg(test)]
mod tests {
    use super::*;

    /// Asks for a program in a system made of these files.
    fn ask(program: &str, files: &[(&str, &str)]) -> Option<(&'static str, String)> {
        let folder = tempfile::tempdir().unwrap();
        for (path, content) in files {
            let at = folder.path().join(path);
            std::fs::create_dir_all(at.parent().unwrap()).unwrap();
            std::fs::write(at, content).unwrap();
        }
        match of(&folder.path().join(program), folder.path()) {
            Some(Obstacle::PackageManager { manager, command }) => {
                Some((manager, command.replace(folder.path().to_str().unwrap(), "ROOT")))
            }
            None => None,
            other => panic!("{other:?}"),
        }
    }

    #[track_caller]
    fn assert_owned(program: &str, files: &[(&str, &str)], manager: &str, command: &str) {
        let found = ask(program, files);
        assert_eq!(found.as_ref().map(|(manager, command)| (*manager, command.as_str())), Some((manager, command)));
    }

    #[test]
    fn dpkg_owns_what_it_lists() {
        let list = ("var/lib/dpkg/info/hello:amd64.list", "/.\n/usr\n/usr/bin\n/usr/bin/hello\n");
        assert_owned("usr/bin/hello", &[list], "dpkg", "apt install --only-upgrade hello");
        let merged = ("var/lib/dpkg/info/hello.list", "/bin/hello\n");
        assert_owned("usr/bin/hello", &[merged], "dpkg", "apt install --only-upgrade hello");
        for program in ["usr/bin/hell", "usr/bin/hello2", "opt/usr/bin/hello", "usr/local/bin/hello"] {
            assert_eq!(ask(program, &[list]), None, "{program}");
        }
    }

    #[test]
    fn pacman_owns_what_it_lists() {
        let list = ("var/lib/pacman/local/hello-1.0-1/files", "%FILES%\nusr/\nusr/bin/\nusr/bin/hello\n");
        assert_owned("usr/bin/hello", &[list], "pacman", "pacman -Syu");
        assert_eq!(ask("usr/bin/other", &[list]), None);
    }

    #[test]
    fn stores_and_mounts_are_known_by_their_records() {
        assert_owned("nix/store/abc-hello-1.0/bin/hello", &[], "nix", "nix-env --upgrade");
        let nixos = ("etc/NIXOS", "");
        assert_owned("nix/store/abc-hello-1.0/bin/hello", &[nixos], "nix", "nixos-rebuild switch --upgrade");
        let yaml = ("snap/hello/42/meta/snap.yaml", "name: hello\n");
        assert_owned("snap/hello/42/bin/hello", &[yaml], "snap", "snap refresh hello");
        assert_eq!(ask("snap/hello/42/bin/hello", &[]), None, "a folder of that name is no snap");
        let info = (".flatpak-info", "[Application]\nname=org.example.Hello\n[Instance]\nname=no\n");
        assert_owned("app/bin/hello", &[info], "flatpak", "flatpak update org.example.Hello");
        assert_eq!(ask("app/bin/hello", &[]), None, "nor is a folder `app` a Flatpak");
        let receipt = ("home/linuxbrew/Cellar/hello/1.0/INSTALL_RECEIPT.json", "{}");
        assert_owned("home/linuxbrew/Cellar/hello/1.0/bin/hello", &[receipt], "brew", "brew upgrade hello");
        assert_eq!(ask("home/linuxbrew/Cellar/hello/1.0/bin/hello", &[]), None);
    }

    #[test]
    fn cargo_owns_what_it_installed() {
        let record = |source: &str| format!(r#"{{"installs":{{"hello-app 1.0.0 ({source})":{{"bins":["hello"]}}}}}}"#);
        let registry = record("registry+https://github.com/rust-lang/crates.io-index");
        let home = "home/me/.cargo/.crates2.json";
        assert_owned("home/me/.cargo/bin/hello", &[(home, &registry)], "cargo", "cargo install hello-app");
        let elsewhere = ("opt/tools/.crates2.json", registry.as_str());
        assert_owned("opt/tools/bin/hello", &[elsewhere], "cargo", "cargo install --root ROOT/opt/tools hello-app");
        let git = record("git+https://example.org/hello?branch=main#0123");
        let command = "cargo install --git https://example.org/hello hello-app";
        assert_owned("home/me/.cargo/bin/hello", &[(home, &git)], "cargo", command);
        let path = record("path+file:///home/me/my app");
        assert_owned("home/me/.cargo/bin/hello", &[(home, &path)], "cargo", "cargo install --path '/home/me/my app'");
        assert_eq!(ask("home/me/.cargo/bin/other", &[(home, &registry)]), None);
        assert_eq!(ask("home/me/.cargo/bin/hello", &[(home, "{\"installs\":[]}")]), None);
        assert_eq!(ask("home/me/.cargo/bin/hello", &[(home, "not json")]), None);
    }

    #[test]
    fn a_command_obeys_no_record() {
        let info = (".flatpak-info", "[Application]\nname=a\u{1b}[2Jb\n");
        let (_, command) = ask("app/bin/hello", &[info]).unwrap();
        assert_eq!(command, "flatpak update a\\u{1b}[2Jb");
    }
}
