//! Releases of an app that knows nothing of updates: a folder of files that a test names.

use crate::crash::release::{Content, Release, host_triple, write_repository};
use crate::simulator::RepositorySimulator;
use std::path::{Path, PathBuf};
use updater_format::{EntryContent, FileMode, InstallKind, Manifest, ManifestEntry, ManifestParts, Sha256, UtcTime};

/// A repository in a folder, as a web server would have it.
#[derive(Debug)]
pub struct Published {
    /// The roles and keys behind it.
    pub simulator: RepositorySimulator,
    /// The folder.
    pub folder: PathBuf,
}

impl Published {
    /// Makes an empty repository of the app `hello` as of now.
    #[must_use]
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        let this = Self { simulator: RepositorySimulator::starting_at(now()), folder: folder.into() };
        this.write();
        this
    }

    /// Publishes a release of these files: path, content; what is named `bin/...` is a program. `entry` is started.
    pub fn release(&self, version: &str, entry: &str, files: &[(&str, &[u8])]) -> Release {
        self.release_of(release(version, entry, files))
    }

    /// Publishes a release.
    pub fn release_of(&self, release: Release) -> Release {
        release.publish(&self.simulator);
        self.write();
        release
    }

    /// Writes all files anew.
    pub fn write(&self) {
        write_repository(&self.simulator, &self.folder).expect("the folder can be written");
    }

    /// Returns the repository's URL for clients that read the folder itself.
    #[must_use]
    pub fn url(&self) -> String {
        format!("file://{}", self.folder.display())
    }

    /// Returns the newest root.
    #[must_use]
    pub fn root(&self) -> Vec<u8> {
        self.simulator.repo().root_bytes()
    }

    /// Writes the newest root into a file beside the repository and returns its path.
    #[must_use]
    pub fn root_file(&self) -> PathBuf {
        let path = self.folder.with_extension("root.json");
        std::fs::write(&path, self.root()).expect("the file can be written");
        path
    }
}

/// Makes a release without publishing it.
#[must_use]
pub fn release(version: &str, entry: &str, files: &[(&str, &[u8])]) -> Release {
    let files: std::collections::BTreeMap<String, Content> = files
        .iter()
        .map(|(path, bytes)| {
            let mode = if path.starts_with("bin/") { FileMode::Program } else { FileMode::Data };
            ((*path).to_owned(), Content::File(bytes.to_vec(), mode))
        })
        .collect();
    let entries = files.iter().map(|(path, content)| {
        let content = match content {
            Content::File(bytes, mode) => {
                EntryContent::File { length: bytes.len() as u64, sha256: Sha256::of(bytes), mode: *mode }
            }
            Content::Link(target) => EntryContent::Link { target: target.clone() },
        };
        ManifestEntry { path: path.parse().expect("a valid path"), content }
    });
    let parts = ManifestParts {
        app: "hello".parse().expect("a valid name"),
        version: version.parse().expect("a valid version"),
        platform: host_triple().parse().expect("a valid triple"),
        install: InstallKind::Directory,
        entry: entry.parse().expect("a valid path"),
        keep_local: Vec::new(),
        entries: entries.collect(),
        component: None,
    };
    let manifest = Manifest::new(parts).expect("a valid release");
    Release { version: version.to_owned(), manifest, files, epoch: 0, app: Vec::new() }
}

/// Returns the time of the system's clock.
#[must_use]
pub fn now() -> UtcTime {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    UtcTime::from_unix(i64::try_from(since.as_secs()).unwrap_or_default())
}

/// Returns the names in a folder, sorted; none when it is not there.
#[must_use]
pub fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .into_iter()
        .flatten()
        .map(|entry| entry.expect("the folder can be read").file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}
