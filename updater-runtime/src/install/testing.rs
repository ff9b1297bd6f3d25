//! Releases in memory and installs in temporary folders, for the tests of staging and installing.

use super::{InstallError, InstallKind, Layout, Plan, Session, Staged, Trial};
use crate::apply::{ApplyError, Target, Tree, Watch, stage_bundle};
use crate::cancel::CancelToken;
use std::collections::BTreeMap;
#[cfg(unix)]
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
#[cfg(unix)]
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use updater_format::bundle::{BundleExpectation, BundleOptions, BundleWriter};
use updater_format::{
    AppId, EntryContent, FileMode, FilePath, MANIFEST_PATH, Manifest, ManifestEntry, ManifestParts, PathPattern,
    Platform, ReleaseVersion, Sha256, UtcTime,
};

pub(crate) fn now() -> UtcTime {
    UtcTime::parse("2026-11-20T08:30:00Z").unwrap()
}

pub(crate) fn version(text: &str) -> ReleaseVersion {
    ReleaseVersion::parse(text).unwrap()
}

/// The target triple for which the tests are built, up to the name of the libc: some of them install themselves.
pub(crate) const PLATFORM: &str = match (cfg!(windows), cfg!(target_os = "macos"), cfg!(target_arch = "aarch64")) {
    (true, ..) => "x86_64-pc-windows-gnu",
    (_, true, true) => "aarch64-apple-darwin",
    (_, true, false) => "x86_64-apple-darwin",
    (_, _, true) => "aarch64-unknown-linux-gnu",
    _ => "x86_64-unknown-linux-gnu",
};

/// One file of a release; a link when it begins with `->`.
type Files = BTreeMap<String, Vec<u8>>;

/// A release with its content.
#[derive(Debug, Clone)]
pub(crate) struct Release {
    pub(crate) manifest: Manifest,
    pub(crate) files: Files,
    /// Packed once: some of these programs are large.
    bundle: Arc<OnceLock<Vec<u8>>>,
}

impl Release {
    /// A release of one program.
    pub(crate) fn executable(version: &str, program: &[u8]) -> Self {
        Self::new(version, InstallKind::Executable, &[("hello", program)], &[])
    }

    /// A release of a folder with the program `bin/hello` and these files; `-> target` makes a link.
    pub(crate) fn directory(version: &str, files: &[(&str, &str)], keep_local: &[&str]) -> Self {
        let program = format!("#!/bin/sh\necho {version}\n");
        let files = files.iter().map(|(path, content)| (*path, content.as_bytes()));
        let files: Vec<_> = files.chain([("bin/hello", program.as_bytes())]).collect();
        Self::new(version, InstallKind::Directory, &files, keep_local)
    }

    /// A release of an app bundle with this program, sealed as a signature would.
    #[cfg(unix)]
    pub(crate) fn app_bundle(version: &str, program: &str, files: &[(&str, &str)]) -> Self {
        let info = format!("<plist>{version}</plist>");
        let seal = Sha256::of(format!("{files:?}").as_bytes()).to_string();
        let own =
            [(APP_PROGRAM, program), ("Contents/Info.plist", &info), ("Contents/_CodeSignature/CodeResources", &seal)];
        let files: Vec<_> = own.iter().chain(files).map(|(path, content)| (*path, content.as_bytes())).collect();
        Self::new(version, InstallKind::AppBundle, &files, &[])
    }

    fn new(release: &str, install: InstallKind, files: &[(&str, &[u8])], keep_local: &[&str]) -> Self {
        let files: Files = files.iter().map(|(path, content)| ((*path).to_owned(), content.to_vec())).collect();
        let entry = match install {
            InstallKind::Executable => "hello",
            InstallKind::AppBundle => APP_PROGRAM,
            _ => "bin/hello",
        };
        Self::of(release, install, files, keep_local, entry)
    }

    /// Makes another release of the same kind.
    #[cfg(unix)]
    pub(crate) fn with(&self, files: Files, program: &str, version: &str) -> Self {
        Self::of(version, self.manifest.install(), files, &[], program)
    }

    fn of(release: &str, install: InstallKind, files: Files, keep_local: &[&str], program: &str) -> Self {
        let is_program =
            |path: &str| path == "hello" || ["bin/", "Contents/MacOS/"].iter().any(|f| path.starts_with(f));
        let entry = |(path, content): (&String, &Vec<u8>)| ManifestEntry {
            path: FilePath::parse(path).unwrap(),
            content: match content.strip_prefix(b"-> ") {
                Some(target) => EntryContent::Link { target: String::from_utf8(target.to_vec()).unwrap() },
                None => EntryContent::File {
                    length: content.len() as u64,
                    sha256: Sha256::of(content),
                    mode: if is_program(path) { FileMode::Program } else { FileMode::Data },
                },
            },
        };
        let manifest = Manifest::new(ManifestParts {
            app: AppId::parse("hello").unwrap(),
            version: version(release),
            platform: Platform::parse(PLATFORM).unwrap(),
            install,
            entry: FilePath::parse(program).unwrap(),
            keep_local: keep_local.iter().map(|pattern| PathPattern::parse(pattern).unwrap()).collect(),
            entries: files.iter().map(entry).collect(),
            component: None,
        })
        .unwrap();
        Self { manifest, files, bundle: Arc::default() }
    }

    pub(crate) fn version(&self) -> &ReleaseVersion {
        self.manifest.version()
    }

    #[cfg(unix)]
    pub(crate) fn digest(&self) -> Sha256 {
        Sha256::of(&self.manifest.encode())
    }

    pub(crate) fn bundle(&self) -> &[u8] {
        self.bundle.get_or_init(|| {
            let options = BundleOptions { level: 0, ..BundleOptions::default() };
            let writer = BundleWriter::new(Vec::new(), &self.manifest, &options).unwrap();
            writer.write_all(|path| Ok(self.files[path.as_str()].as_slice())).unwrap()
        })
    }

    pub(crate) fn target(&self) -> Target {
        Target {
            app: self.manifest.app().clone(),
            component: self.manifest.component().cloned(),
            version: self.version().clone(),
            platform: self.manifest.platform().clone(),
            bundle: BundleExpectation::of(&self.manifest),
        }
    }

    /// Unpacks the release as a person would, and returns where it lies.
    pub(crate) fn install_at(&self, root: &Path) -> Layout {
        let folder = self.manifest.install() != InstallKind::Executable;
        for (path, content) in &self.files {
            let at = if folder { root.join(path) } else { root.to_owned() };
            std::fs::create_dir_all(at.parent().unwrap()).unwrap();
            #[cfg(unix)]
            if let Some(target) = content.strip_prefix(b"-> ") {
                symlink(std::str::from_utf8(target).unwrap(), &at).unwrap();
                continue;
            }
            std::fs::write(&at, content).unwrap();
            #[cfg(unix)]
            let mode = match self.manifest.find(&FilePath::parse(path).unwrap()).unwrap().content {
                EntryContent::File { mode, .. } => mode.bits(),
                EntryContent::Link { .. } => continue,
            };
            #[cfg(unix)]
            std::fs::set_permissions(&at, std::fs::Permissions::from_mode(mode)).unwrap();
        }
        if self.manifest.install().holds_manifest() {
            std::fs::write(root.join(MANIFEST_PATH), self.manifest.encode()).unwrap();
        }
        Layout::at(self.manifest.install(), root, self.manifest.entry()).unwrap()
    }

    /// Asserts that exactly this release is installed, beside files of the user.
    #[track_caller]
    pub(crate) fn assert_installed(&self, layout: &Layout) {
        for (path, content) in &self.files {
            let at = match self.manifest.install() {
                InstallKind::Executable => layout.root().to_owned(),
                _ => layout.files().join(path),
            };
            let path = FilePath::parse(path).unwrap();
            if self.manifest.keeps_local(&path) {
                continue;
            }
            match content.strip_prefix(b"-> ") {
                Some(target) => assert_eq!(std::fs::read_link(&at).unwrap().as_os_str().as_encoded_bytes(), target),
                None => {
                    assert!(std::fs::read(&at).unwrap() == *content, "{} of {}", at.display(), self.version());
                    #[cfg(unix)]
                    {
                        let mode = std::fs::metadata(&at).unwrap().permissions().mode() & 0o7777;
                        let EntryContent::File { mode: expected, .. } = self.manifest.find(&path).unwrap().content
                        else {
                            panic!("a link is listed for {path}");
                        };
                        assert_eq!(mode, expected.bits(), "{}", at.display());
                    }
                }
            }
        }
        if self.manifest.install().holds_manifest() {
            assert_eq!(std::fs::read(layout.manifest()).unwrap(), self.manifest.encode());
        }
    }
}

/// The program of an app bundle.
pub(crate) const APP_PROGRAM: &str = "Contents/MacOS/hello";

/// Watches nothing and never cancels.
pub(crate) fn stage(session: &mut Session, release: &Release) -> Result<Tree, ApplyError> {
    let cancel = CancelToken::new();
    let mut watch = Watch { progress: &mut |_, _| {}, cancel: &cancel };
    stage_bundle(session, release.bundle(), &release.target(), &mut watch)
}

/// Stages a release over an installed one without a probe.
pub(crate) fn staged(layout: &Layout, from: &Release, to: &Release, trial: Trial) -> Result<Staged, InstallError> {
    let mut session = Session::open(layout, now())?;
    let tree = stage(&mut session, to).unwrap();
    session.without_probe(tree, &Plan { installed: from.version().clone(), trial, epoch: 0 })
}

/// Returns every path below a folder with its content, links as `-> target`, folders as `/`.
#[cfg(unix)]
pub(crate) fn tree_of(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut tree = BTreeMap::new();
    let mut pending = vec![folder.to_owned()];
    while let Some(at) = pending.pop() {
        for entry in std::fs::read_dir(&at).unwrap() {
            let path = entry.unwrap().path();
            let metadata = std::fs::symlink_metadata(&path).unwrap();
            let content = if metadata.is_dir() {
                pending.push(path.clone());
                b"/".to_vec()
            } else if metadata.is_symlink() {
                format!("-> {}", std::fs::read_link(&path).unwrap().display()).into_bytes()
            } else {
                std::fs::read(&path).unwrap()
            };
            tree.insert(path.strip_prefix(folder).unwrap().to_owned(), content);
        }
    }
    tree
}
