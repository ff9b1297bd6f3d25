//! Which installed file each new file is made from. Pure: two manifests in, one choice per file out.

use std::collections::HashMap;
use updater_format::{EntryContent, FilePath, Manifest, ManifestEntry, Sha256};

/// The installed file that a new one is made from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// It has the same content: kept or renamed.
    Same(FilePath),
    /// It probably is the earlier version: a delta is tried.
    Similar(FilePath),
}

impl Origin {
    /// Returns the path of the installed file.
    #[must_use]
    pub fn path(&self) -> &FilePath {
        match self {
            Self::Same(path) | Self::Similar(path) => path,
        }
    }
}

/// Chooses for each regular file of the new manifest, in its order, the installed file to make it from; `None` for one
/// that is new.
///
/// The same content comes first, at the same path if it is there too. Else the file at the same path; else, for a file
/// that was moved or renamed with its folder, the one whose path ends in the most equal parts, its name at least, and
/// among those the one closest in length.
#[must_use]
pub fn pairs(old: &Manifest, new: &Manifest) -> Vec<Option<Origin>> {
    let mut by_content: HashMap<(u64, Sha256), &FilePath> = HashMap::new();
    let mut by_name: HashMap<&str, Vec<(&FilePath, u64)>> = HashMap::new();
    for (entry, length, sha256) in files(old) {
        by_content.entry((length, sha256)).or_insert(&entry.path);
        by_name.entry(entry.path.file_name()).or_default().push((&entry.path, length));
    }
    files(new)
        .map(|(entry, length, sha256)| {
            let at_same_path = old.find(&entry.path).and_then(content);
            if at_same_path == Some((length, sha256)) {
                return Some(Origin::Same(entry.path.clone()));
            }
            if let Some(path) = by_content.get(&(length, sha256)) {
                return Some(Origin::Same((*path).clone()));
            }
            if at_same_path.is_some_and(|(length, _)| length > 0) {
                return Some(Origin::Similar(entry.path.clone()));
            }
            let candidates = by_name.get(entry.path.file_name())?;
            let best = candidates
                .iter()
                .filter(|(_, length)| *length > 0)
                .min_by_key(|(path, other)| (usize::MAX - equal_end(path, &entry.path), other.abs_diff(length), *path));
            best.map(|(path, _)| Origin::Similar((*path).clone()))
        })
        .collect()
}

/// Iterates over the regular files of a manifest, in its order.
pub(super) fn files(manifest: &Manifest) -> impl Iterator<Item = (&ManifestEntry, u64, Sha256)> {
    manifest.entries().iter().filter_map(|entry| content(entry).map(|(length, sha256)| (entry, length, sha256)))
}

fn content(entry: &ManifestEntry) -> Option<(u64, Sha256)> {
    match entry.content {
        EntryContent::File { length, sha256, .. } => Some((length, sha256)),
        EntryContent::Link { .. } => None,
    }
}

/// Counts the parts in which two paths end alike.
fn equal_end(a: &FilePath, b: &FilePath) -> usize {
    a.as_str().rsplit('/').zip(b.as_str().rsplit('/')).take_while(|(a, b)| a == b).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use updater_format::{FileMode, InstallKind, ManifestParts};

    fn manifest(files: &[(&str, &str)]) -> Manifest {
        let entry = |(path, text): &(&str, &str)| ManifestEntry {
            path: path.parse().unwrap(),
            content: EntryContent::File {
                length: text.len() as u64,
                sha256: Sha256::of(text.as_bytes()),
                mode: FileMode::Program,
            },
        };
        Manifest::new(ManifestParts {
            app: "hello".parse().unwrap(),
            version: "1.0.0".parse().unwrap(),
            platform: "x86_64-unknown-linux-gnu".parse().unwrap(),
            install: InstallKind::Directory,
            entry: files[0].0.parse().unwrap(),
            keep_local: Vec::new(),
            entries: files.iter().map(entry).collect(),
            component: None,
        })
        .unwrap()
    }

    fn chosen(old: &[(&str, &str)], new: &[(&str, &str)]) -> Vec<String> {
        let pairs = pairs(&manifest(old), &manifest(new));
        let tell = |origin: Option<Origin>| match origin {
            Some(Origin::Same(path)) => format!("same {path}"),
            Some(Origin::Similar(path)) => format!("like {path}"),
            None => "new".to_owned(),
        };
        pairs.into_iter().map(tell).collect()
    }

    #[test]
    fn equal_content_comes_first_and_at_its_own_path() {
        let old = [("a", "one"), ("b", "one"), ("c", "two")];
        assert_eq!(chosen(&old, &[("b", "one"), ("c", "two!"), ("d", "two")]), ["same b", "like c", "same c"]);
    }

    #[test]
    fn a_moved_file_is_found_by_its_name() {
        let old = [("lib/v1/core/x.so", "core"), ("lib/v1/extra/x.so", "extra"), ("main", "m")];
        let new = [("lib/v2/core/x.so", "core 2"), ("lib/v2/other/x.so", "extra 2"), ("lib/y.so", "y"), ("main", "m")];
        assert_eq!(chosen(&old, &new), ["like lib/v1/core/x.so", "like lib/v1/extra/x.so", "new", "same main"]);
    }

    #[test]
    fn nothing_is_made_from_an_empty_file() {
        assert_eq!(
            chosen(&[("a", "x"), ("b", "")], &[("a", "x"), ("b", "now full"), ("c/b", "z")]),
            ["same a", "new", "new"]
        );
    }
}
