//! Merging: bundles that several machines have made, each with its unsigned part, become one release.

use super::bundle::{BundleStepError, Bundled, Part};
use crate::error::{ExitCode, Explain};
use std::path::{Path, PathBuf};
use updater_format::{AppId, ComponentName, Platform, ReleaseVersion};

/// Takes every bundle of an app, or of one of its components, in these folders. They must be of one version and, when
/// triples are `wanted`, be for all of these and no other. Sorted by triple. A folder need not have anything of a component.
/// # Errors
/// [`MergeError`] with the folder, the part or the triple that does not fit.
pub fn merge(
    folders: &[PathBuf],
    app: &AppId,
    component: Option<&ComponentName>,
    wanted: &[Platform],
) -> Result<Vec<Bundled>, MergeError> {
    let mut merged: Vec<Bundled> = Vec::new();
    for folder in folders {
        let before = merged.len();
        for part in parts(folder)? {
            let bundled = Bundled::read(&part).map_err(|source| MergeError::Part { source: Box::new(source) })?;
            if bundled.part.app == *app && bundled.part.component.as_ref().map(|of| &of.name) == component {
                add(bundled, &mut merged)?;
            }
        }
        // A folder that gives nothing is a download that failed.
        if merged.len() == before && component.is_none() && !folders_share(folder, &merged) {
            return Err(MergeError::Nothing { folder: folder.clone(), app: app.clone() });
        }
    }
    let has = |platform: &Platform| merged.iter().any(|bundled| bundled.part.platform == *platform);
    let missing: Vec<_> = wanted.iter().filter(|platform| !has(platform)).map(ToString::to_string).collect();
    if !missing.is_empty() {
        let found = merged.iter().map(|bundled| bundled.part.platform.to_string()).collect::<Vec<_>>().join(", ");
        return Err(MergeError::Missing { missing: missing.join(", "), found });
    }
    let other = merged.iter().find(|bundled| !wanted.is_empty() && !wanted.contains(&bundled.part.platform));
    if let Some(other) = other {
        return Err(MergeError::Unwanted { platform: other.part.platform.clone(), path: other.path.clone() });
    }
    merged.sort_by(|a, b| a.part.platform.cmp(&b.part.platform));
    Ok(merged)
}

/// Returns the version of bundles that were merged; `None` when there are none.
#[must_use]
pub fn version_of(merged: &[Bundled]) -> Option<&ReleaseVersion> {
    merged.first().map(|bundled| &bundled.part.version)
}

fn add(bundled: Bundled, merged: &mut Vec<Bundled>) -> Result<(), MergeError> {
    let part = &bundled.part;
    if let Some(first) = merged.first().filter(|first| first.part.version != part.version) {
        return Err(MergeError::Versions {
            one: first.part.version.clone(),
            other: part.version.clone(),
            path: bundled.path,
        });
    }
    match merged.iter().find(|known| known.part.platform == part.platform) {
        None => merged.push(bundled),
        Some(known) if known.part == *part => {}
        Some(known) => {
            return Err(MergeError::Twice {
                platform: part.platform.clone(),
                one: known.path.clone(),
                other: bundled.path.clone(),
            });
        }
    }
    Ok(())
}

/// Tells whether the bundles of a folder were found elsewhere, too.
fn folders_share(folder: &Path, merged: &[Bundled]) -> bool {
    merged.iter().any(|bundled| folder.join(bundled.part.file.as_str()).is_file())
}

/// Lists the parts of a folder, sorted.
fn parts(folder: &Path) -> Result<Vec<PathBuf>, MergeError> {
    let failed = |source| MergeError::Folder { folder: folder.to_owned(), source };
    let mut parts = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let has_archive = || Part::read(&path).is_ok_and(|part| path.with_file_name(part.file.as_str()).exists());
        if path.extension().is_some_and(|extension| extension == "json") && has_archive() {
            parts.push(path);
        }
    }
    parts.sort();
    Ok(parts)
}

/// Why bundles of several machines do not make one release.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MergeError {
    /// A folder cannot be read.
    #[error("cannot read {}", folder.display())]
    Folder {
        /// The folder.
        folder: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A folder has no bundle of the app.
    #[error("there is no bundle of {app} in {}", folder.display())]
    Nothing {
        /// The folder.
        folder: PathBuf,
        /// The app.
        app: AppId,
    },
    /// A bundle is not the one that its part describes.
    #[error(transparent)]
    Part {
        /// What is wrong.
        source: Box<BundleStepError>,
    },
    /// A triple that the release is for has no bundle.
    #[error("the merge has no bundle for {missing}")]
    Missing {
        /// The triples.
        missing: String,
        /// Those that are there.
        found: String,
    },
    /// A bundle is for a triple that the release is not for.
    #[error("{} is for {platform}, which is none of the release's triples", path.display())]
    Unwanted {
        /// The triple.
        platform: Platform,
        /// The bundle.
        path: PathBuf,
    },
    /// Bundles of two versions.
    #[error("{} is of version {other}, others are of {one}", path.display())]
    Versions {
        /// The version of the first bundle.
        one: ReleaseVersion,
        /// The other version.
        other: ReleaseVersion,
        /// Its bundle.
        path: PathBuf,
    },
    /// Two different bundles for one triple.
    #[error("{} and {} are both for {platform} and differ", one.display(), other.display())]
    Twice {
        /// The triple.
        platform: Platform,
        /// A bundle.
        one: PathBuf,
        /// The other one.
        other: PathBuf,
    },
}

impl Explain for MergeError {
    fn code(&self) -> ExitCode {
        match self {
            Self::Part { source } => source.code(),
            _ => ExitCode::Bundle,
        }
    }

    fn hints(&self) -> Vec<String> {
        vec![match self {
            Self::Part { source } => return source.hints(),
            Self::Folder { .. } | Self::Nothing { .. } => {
                "name the folders that `cargo updater bundle --out DIR` has filled".to_owned()
            }
            Self::Missing { found, .. } => format!(
                "there are {found}: look at the job that makes the missing one, or name with `--target` what is to be published"
            ),
            Self::Unwanted { .. } => "add it to `targets` in the table, or leave its folder out".to_owned(),
            Self::Versions { .. } => "merge folders of one version; empty `--out` before each release".to_owned(),
            Self::Twice { .. } => "build each triple once".to_owned(),
        }]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shell::{MessageFormat, Shell};
    use crate::steps::bundle::{Contents, Packing, bundle, from_folder};
    use std::os::unix::fs::PermissionsExt as _;

    const LINUX: &str = "x86_64-unknown-linux-gnu";
    const ARM: &str = "aarch64-unknown-linux-gnu";

    /// Bundles a script that says `text` as a runner does.
    fn runner(folder: &Path, version: &str, platform: &str, text: &str) -> PathBuf {
        let (files, out) = (folder.join("files"), folder.join(format!("{platform}-{version}-{text}")));
        std::fs::create_dir_all(&files).unwrap();
        std::fs::write(files.join("hello"), text).unwrap();
        std::fs::set_permissions(files.join("hello"), std::fs::Permissions::from_mode(0o755)).unwrap();
        let contents = Contents {
            app: "hello".parse().unwrap(),
            component: None,
            version: version.parse().unwrap(),
            platform: platform.parse().unwrap(),
            install: None,
            entry: Some("hello".parse().unwrap()),
            keep_local: Vec::new(),
            codecs: Vec::new(),
            files: from_folder(&files).unwrap(),
        };
        let shell = Shell::captured(MessageFormat::Human);
        bundle(&contents, Packing { level: 0, mtime: 0 }, &out, &shell).unwrap();
        out
    }

    #[test]
    fn the_bundles_of_all_runners_become_one_release() {
        let temp = tempfile::tempdir().unwrap();
        let app = "hello".parse().unwrap();
        let wanted = |names: &[&str]| names.iter().map(|name| name.parse().unwrap()).collect::<Vec<Platform>>();
        let linux = runner(temp.path(), "1.0.0", LINUX, "a");
        let arm = runner(temp.path(), "1.0.0", ARM, "a");
        let folders = [linux.clone(), arm.clone()];
        let merged = merge(&folders, &app, None, &wanted(&[LINUX, ARM])).unwrap();
        let triples: Vec<_> = merged.iter().map(|bundled| bundled.part.platform.as_str()).collect();
        assert_eq!(
            (triples.as_slice(), version_of(&merged).unwrap().to_string().as_str()),
            (&[ARM, LINUX][..], "1.0.0")
        );
        // The same one twice is one.
        assert_eq!(merge(&[linux.clone(), linux.clone()], &app, None, &[]).unwrap().len(), 1);

        let error = merge(&folders[..1], &app, None, &wanted(&[LINUX, ARM])).unwrap_err();
        assert!(
            matches!(&error, MergeError::Missing { missing, found } if missing == ARM && found == LINUX),
            "{error}"
        );
        let error = merge(&folders, &app, None, &wanted(&[LINUX])).unwrap_err();
        assert!(matches!(&error, MergeError::Unwanted { platform, .. } if platform.as_str() == ARM), "{error}");
        let later = runner(temp.path(), "1.1.0", ARM, "a");
        let error = merge(&[linux.clone(), later], &app, None, &[]).unwrap_err();
        assert!(matches!(error, MergeError::Versions { .. }), "{error}");
        let other = runner(temp.path(), "1.0.0", LINUX, "b");
        let error = merge(&[linux.clone(), other], &app, None, &[]).unwrap_err();
        assert!(matches!(error, MergeError::Twice { .. }), "{error}");
        let empty = temp.path().join("empty");
        std::fs::create_dir(&empty).unwrap();
        let error = merge(&[linux.clone(), empty], &app, None, &[]).unwrap_err();
        assert!(matches!(error, MergeError::Nothing { .. }), "{error}");
        let error = merge(&[temp.path().join("none")], &app, None, &[]).unwrap_err();
        assert!(matches!(error, MergeError::Folder { .. }), "{error}");
        let archive = linux.join(format!("hello-1.0.0-{LINUX}.tar.xz"));
        std::fs::write(archive, b"cut off").unwrap();
        let error = merge(&[linux], &app, None, &[]).unwrap_err();
        assert!(
            matches!(&error, MergeError::Part { source } if matches!(**source, BundleStepError::Changed { .. })),
            "{error}"
        );
    }
}
