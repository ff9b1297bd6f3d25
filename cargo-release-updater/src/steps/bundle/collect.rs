//! Chooses what goes into a bundle: a folder as it is, or built programs and the files that `include` names.

use super::{Built, BundleStepError};
use std::path::{Path, PathBuf};
use updater_format::{FileMode, FilePath, PathPattern, Platform, is_exe};
use walkdir::{DirEntry, WalkDir};

/// One file or link that goes into a bundle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chosen {
    /// Where it will lie in the install.
    pub path: FilePath,
    /// What it is.
    pub content: ChosenContent,
}

impl Chosen {
    /// Takes every `.exe` for a program, if this is for Windows: what comes from there has no permission bits.
    #[must_use]
    pub fn for_platform(mut self, platform: &Platform) -> Self {
        if let ChosenContent::File { mode, .. } = &mut self.content
            && platform.is_windows()
            && is_exe(self.path.as_str())
        {
            *mode = FileMode::Program;
        }
        self
    }
}

/// What lies at a chosen path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChosenContent {
    /// A regular file.
    File {
        /// Where its content is read from.
        source: PathBuf,
        /// Whether it is a program: somebody may execute it on this disk.
        mode: FileMode,
    },
    /// A relative link.
    Link {
        /// Where it leads.
        target: String,
    },
}

/// Chooses everything in a folder. Links are kept as links; empty folders are not carried.
/// # Errors
/// [`BundleStepError`] when the folder is none or empty, or holds a name, a link or a kind of file that no bundle carries.
pub fn from_folder(folder: &Path) -> Result<Vec<Chosen>, BundleStepError> {
    let no_folder = |source| BundleStepError::NoFolder { path: folder.to_owned(), source };
    if !folder.metadata().map_err(no_folder)?.is_dir() {
        return Err(no_folder(std::io::ErrorKind::NotADirectory.into()));
    }
    let mut chosen = Vec::new();
    for entry in walk(folder) {
        let entry = entry.map_err(|error| unreadable(folder, error))?;
        if !entry.file_type().is_dir() {
            chosen.push(choose(folder, &entry)?);
        }
    }
    match chosen.is_empty() {
        true => Err(BundleStepError::Empty { path: folder.to_owned() }),
        false => Ok(chosen),
    }
}

/// Chooses built programs, which lie beside the entry, and the files of a package that `include` names, which lie where
/// they lie in the package.
/// # Errors
/// [`BundleStepError`] when a pattern matches nothing, and as [`from_folder`].
pub fn from_build(
    programs: &[Built],
    entry: &FilePath,
    package: &Path,
    target_dir: &Path,
    include: &[PathPattern],
) -> Result<Vec<Chosen>, BundleStepError> {
    let beside = entry.as_str().rsplit_once('/').map_or(String::new(), |(folder, _)| format!("{folder}/"));
    let mut chosen = Vec::new();
    for program in programs {
        let name = program.path.file_name().and_then(|name| name.to_str());
        let name = name.ok_or_else(|| BundleStepError::NotUtf8 { path: program.path.clone() })?;
        let path = file_path(&program.path, &format!("{beside}{name}"))?;
        let content = ChosenContent::File { source: program.path.clone(), mode: FileMode::Program };
        chosen.push(Chosen { path, content });
    }
    if include.is_empty() {
        return Ok(chosen);
    }
    let mut used = vec![false; include.len()];
    // Cargo's own folder and version control are no part of a package, whatever `**` matches.
    let inside = |entry: &DirEntry| entry.path() != target_dir && entry.file_name() != ".git";
    for entry in walk(package).filter_entry(inside) {
        let entry = entry.map_err(|error| unreadable(package, error))?;
        let relative = entry.path().strip_prefix(package).unwrap_or(entry.path());
        if entry.file_type().is_dir() {
            continue;
        }
        let Some(path) = stand_in(&relative.to_string_lossy()) else { continue };
        let mut matches = false;
        for (used, _) in used.iter_mut().zip(include).filter(|(_, pattern)| pattern.matches(&path)) {
            (*used, matches) = (true, true);
        }
        if matches {
            chosen.push(choose(package, &entry)?);
        }
    }
    match used.iter().position(|used| !used) {
        Some(index) => {
            Err(BundleStepError::GlobEmpty { glob: include[index].as_str().to_owned(), folder: package.to_owned() })
        }
        None => Ok(chosen),
    }
}

fn walk(folder: &Path) -> walkdir::IntoIter {
    WalkDir::new(folder).min_depth(1).follow_links(false).sort_by_file_name().into_iter()
}

fn choose(folder: &Path, entry: &DirEntry) -> Result<Chosen, BundleStepError> {
    let source = entry.path();
    let not_utf8 = || BundleStepError::NotUtf8 { path: source.to_owned() };
    let relative = source.strip_prefix(folder).unwrap_or(source).to_str().ok_or_else(not_utf8)?;
    let path = file_path(source, relative)?;
    let kind = entry.file_type();
    if kind.is_symlink() {
        let target = std::fs::read_link(source)
            .map_err(|error| BundleStepError::Read { path: source.to_owned(), source: error })?;
        let target = target.to_str().ok_or_else(not_utf8)?.to_owned();
        if leaves(relative, &target) {
            return Err(BundleStepError::LinkOutside { path: source.to_owned(), target });
        }
        return Ok(Chosen { path, content: ChosenContent::Link { target } });
    }
    if !kind.is_file() {
        return Err(BundleStepError::Special { path: source.to_owned(), kind: special(kind) });
    }
    let metadata = entry.metadata().map_err(|error| unreadable(folder, error))?;
    Ok(Chosen { path, content: ChosenContent::File { source: source.to_owned(), mode: mode(&metadata) } })
}

/// Tells whether a link is absolute or climbs out of the folder. Every other rule is the manifest's.
fn leaves(link: &str, target: &str) -> bool {
    let mut depth = link.split('/').count() - 1;
    if target.starts_with('/') {
        return true;
    }
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." if depth == 0 => return true,
            ".." => depth -= 1,
            _ => depth += 1,
        }
    }
    false
}

fn file_path(source: &Path, text: &str) -> Result<FilePath, BundleStepError> {
    FilePath::parse(text).map_err(|error| BundleStepError::Name { path: source.to_owned(), source: error })
}

#[cfg(unix)]
fn mode(metadata: &std::fs::Metadata) -> FileMode {
    use std::os::unix::fs::PermissionsExt as _;
    match metadata.permissions().mode() & 0o111 {
        0 => FileMode::Data,
        _ => FileMode::Program,
    }
}

#[cfg(unix)]
fn special(kind: std::fs::FileType) -> &'static str {
    use std::os::unix::fs::FileTypeExt as _;
    match () {
        () if kind.is_fifo() => "a named pipe",
        () if kind.is_socket() => "a socket",
        () => "a device",
    }
}

fn unreadable(folder: &Path, error: walkdir::Error) -> BundleStepError {
    let path = error.path().unwrap_or(folder).to_owned();
    let source = error.into_io_error().unwrap_or_else(|| std::io::Error::other("links form a loop"));
    BundleStepError::Read { path, source }
}

/// Returns a path to hold against patterns: the file's own, or one in which what no bundle carries is replaced, so that
/// an odd name that a pattern means is refused and not passed over.
fn stand_in(text: &str) -> Option<FilePath> {
    if let Ok(path) = FilePath::parse(text) {
        return Some(path);
    }
    let plain = |c: char| if c.is_control() || "\\:*?\"<>|".contains(c) { '_' } else { c };
    let part = |part: &str| {
        let mut part: String = part.chars().map(plain).collect();
        if part.ends_with(['.', ' ']) {
            part.pop();
            part.push('_');
        }
        match FilePath::parse(&part) {
            Ok(_) => part,
            // A device name of Windows is one by what stands before its first dot.
            Err(_) => part.find('.').map_or(format!("{part}_"), |dot| format!("{}_{}", &part[..dot], &part[dot..])),
        }
    };
    FilePath::parse(&text.split('/').map(part).collect::<Vec<_>>().join("/")).ok()
}
