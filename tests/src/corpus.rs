//! Pairs of consecutive releases of real programs that nobody here wrote, fetched by `pip` and `npm` by package name.
//!
//! Kept in `target/corpus/NAME/{old,new}`; what is there already is not fetched again.

use crate::require;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Two releases of one program.
#[derive(Debug, Clone, Copy)]
pub struct Pair {
    /// The name of the pair, and of its folder.
    pub name: &'static str,
    /// The package on its registry.
    pub package: &'static str,
    /// The older version.
    pub old: &'static str,
    /// The newer version.
    pub new: &'static str,
    /// Where it comes from.
    pub source: Source,
    /// What the file is.
    pub format: &'static str,
}

/// Which client fetches a pair.
#[derive(Debug, Clone, Copy)]
pub enum Source {
    /// A wheel for this platform tag.
    Pip {
        /// For example `manylinux_2_17_x86_64`.
        platform: &'static str,
        /// The end of the path of the program inside the wheel.
        member: &'static str,
    },
    /// A package of prebuilt programs; the largest file is the program.
    Npm,
}

const fn pip(
    name: &'static str,
    package: &'static str,
    versions: [&'static str; 2],
    platform: &'static str,
    member: &'static str,
    format: &'static str,
) -> Pair {
    Pair { name, package, old: versions[0], new: versions[1], source: Source::Pip { platform, member }, format }
}

/// All pairs: four formats, programs from 4 to 44 MB.
pub const PAIRS: [Pair; 9] = [
    pip("just-x64", "rust-just", ["1.40.0", "1.41.0"], "manylinux_2_17_x86_64", "scripts/just", "ELF x86-64"),
    pip(
        "rustworkx-x64",
        "rustworkx",
        ["0.15.0", "0.15.1"],
        "manylinux_2_17_x86_64",
        "rustworkx/rustworkx.abi3.so",
        "ELF x86-64 shared object",
    ),
    pip("taplo-x64", "taplo", ["0.9.0", "0.9.3"], "manylinux_2_17_x86_64", "scripts/taplo", "ELF x86-64"),
    pip(
        "maturin-x64",
        "maturin",
        ["1.8.6", "1.8.7"],
        "manylinux_2_12_x86_64",
        "scripts/maturin",
        "ELF x86-64 static-pie (musl)",
    ),
    pip("ruff-x64", "ruff", ["0.11.0", "0.11.1"], "manylinux_2_17_x86_64", "scripts/ruff", "ELF x86-64"),
    pip("ruff-aarch64", "ruff", ["0.11.0", "0.11.1"], "manylinux_2_17_aarch64", "scripts/ruff", "ELF aarch64"),
    pip("ruff-mac-arm64", "ruff", ["0.11.0", "0.11.1"], "macosx_11_0_arm64", "scripts/ruff", "Mach-O arm64"),
    Pair {
        name: "turbo-win",
        package: "turbo-windows-64",
        old: "2.5.2",
        new: "2.5.3",
        source: Source::Npm,
        format: "PE x86-64",
    },
    pip("astgrep-win", "ast-grep-cli", ["0.38.0", "0.38.1"], "win_amd64", "scripts/ast-grep.exe", "PE x86-64"),
];

/// The files of a pair on this machine.
#[derive(Debug, Clone)]
pub struct Files {
    /// What the pair is.
    pub pair: Pair,
    /// The older program.
    pub old: PathBuf,
    /// The newer program.
    pub new: PathBuf,
}

/// Fetches a pair, or returns it from the cache. `None`, after a `skipped:` line, when it cannot be had here.
///
/// # Panics
/// When there is no pair of this name, or under `UPDATER_REQUIRE=all` when it cannot be had.
#[must_use]
pub fn fetch(name: &str) -> Option<Files> {
    let pair = *PAIRS.iter().find(|pair| pair.name == name).unwrap_or_else(|| panic!("no pair is called {name}"));
    let folder = crate::workspace().join("target/corpus").join(name);
    let files = Files { pair, old: folder.join("old"), new: folder.join("new") };
    for (version, path) in [(pair.old, &files.old), (pair.new, &files.new)] {
        if !path.exists()
            && let Err(why) = fetch_one(&pair, version, path)
        {
            let what = format!("{} {version}: {why}", pair.package);
            let _ = require::absent(&what, "network access for pip and npm");
            return None;
        }
    }
    Some(files)
}

fn fetch_one(pair: &Pair, version: &str, path: &Path) -> Result<(), String> {
    let folder = path.parent().ok_or("no folder")?;
    std::fs::create_dir_all(folder).map_err(|e| e.to_string())?;
    let scratch = tempfile::tempdir_in(folder).map_err(|e| e.to_string())?;
    let packed = scratch.path().join("packed");
    let unpacked = scratch.path().join("unpacked");
    for dir in [&packed, &unpacked] {
        std::fs::create_dir(dir).map_err(|e| e.to_string())?;
    }
    let wanted = format!("{}{}{version}", pair.package, if matches!(pair.source, Source::Npm) { "@" } else { "==" });
    let mut command;
    match pair.source {
        Source::Pip { platform, .. } => {
            command = Command::new("python3");
            command.args(["-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]);
            command.args(["--python-version", "3.11", "--platform", platform, "--dest"]).arg(&packed).arg(wanted);
        }
        Source::Npm => {
            command = Command::new("npm");
            command.args(["pack", "--silent", "--pack-destination"]).arg(&packed).arg(wanted);
        }
    }
    run(&mut command)?;
    let archive = walk(&packed).pop().ok_or("the registry's client left no file")?;
    let mut command = match pair.source {
        Source::Pip { .. } => Command::new("python3"),
        Source::Npm => Command::new("tar"),
    };
    match pair.source {
        Source::Pip { .. } => command.args(["-m", "zipfile", "-e"]).arg(&archive).arg(&unpacked),
        Source::Npm => command.arg("-xzf").arg(&archive).arg("-C").arg(&unpacked),
    };
    run(&mut command)?;
    let mut candidates = walk(&unpacked);
    if let Source::Pip { member, .. } = pair.source {
        candidates.retain(|path| path.ends_with(member));
    }
    let length = |path: &PathBuf| std::fs::metadata(path).map_or(0, |m| m.len());
    let program = candidates.into_iter().max_by_key(length).ok_or("the program is not in the archive")?;
    std::fs::rename(program, path).map_err(|e| e.to_string())
}

fn run(command: &mut Command) -> Result<(), String> {
    let output = command.output().map_err(|e| format!("{}: {e}", command.get_program().display()))?;
    if output.status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&output.stderr);
    Err(text.trim().lines().last().unwrap_or("failed without a word").to_owned())
}

/// Returns every regular file below a folder.
fn walk(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => folders.push(entry.path()),
                Ok(kind) if kind.is_file() => files.push(entry.path()),
                _ => {}
            }
        }
    }
    files
}
