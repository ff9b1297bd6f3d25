//! Versions of the program, their bundles and patches, and the repository that offers them.

use super::app::{APP_BUNDLE_ENTRY, COMPONENT, ENTRY, Label};
use super::world::Kind;
use crate::simulator::RepositorySimulator;
use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};
use updater_delta::DiffOptions;
use updater_format::bundle::{BundleExpectation, BundleOptions, BundleWriter};
use updater_format::json::Map;
use updater_format::patch::{Operation, PatchHeader, PatchParts, PatchSource, pack_added, write_patch};
use updater_format::release::{Artifact, BundleEntry, Entry, PatchEntry};
use updater_format::{
    EntryContent, FileMode, FilePath, InstallKind, Manifest, ManifestEntry, ManifestParts, PathPattern, Platform,
    Sha256, UtcTime,
};

/// One version with its content.
#[derive(Debug, Clone)]
pub struct Release {
    /// The version.
    pub version: String,
    /// What is signed of it.
    pub manifest: Manifest,
    /// The files by path.
    pub files: BTreeMap<String, Content>,
    /// Its security counter.
    pub epoch: u64,
    /// The app that updates a component; the same for all of its versions.
    pub app: Vec<u8>,
}

/// What lies at a path of a release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// A file and whether it is a program.
    File(Vec<u8>, FileMode),
    /// A link.
    Link(String),
}

/// Returns the triple of this computer.
#[must_use]
pub fn host_triple() -> String {
    format!("{}-unknown-linux-gnu", std::env::consts::ARCH)
}

/// Returns the bytes of a program without its symbols, where the tool is at hand: it is copied a lot.
#[must_use]
pub fn small_program(program: &Path, folder: &Path) -> Vec<u8> {
    let stripped = folder.join("stripped");
    let strip = Command::new("strip").arg("-o").arg(&stripped).arg(program).status();
    let small = strip.is_ok_and(|status| status.success());
    std::fs::read(if small { &stripped } else { program }).unwrap()
}

impl Release {
    /// Makes a version out of the bytes of this binary.
    ///
    /// A folder has 27 files and links; of two versions some files are the same, some differ, some come, go or move.
    #[must_use]
    pub fn new(program: &[u8], kind: InstallKind, version: &str, healthy: bool) -> Self {
        let is_component = kind == InstallKind::Component;
        let own = if is_component { APP_VERSION } else { version };
        let label = Label { version: own.to_owned(), kind, healthy };
        let labelled = [program, &label.trailer()].concat();
        let mut files = BTreeMap::new();
        let mut app = Vec::new();
        match kind {
            InstallKind::Executable => {
                files.insert("hello".to_owned(), Content::File(labelled, FileMode::Program));
            }
            InstallKind::Component => {
                app = labelled;
                files.insert(WEIGHTS.to_owned(), Content::File(weights(version), FileMode::Data));
                fill(&mut files, version);
            }
            InstallKind::AppBundle => {
                files.insert(APP_BUNDLE_ENTRY.to_owned(), Content::File(labelled, FileMode::Program));
                fill_app_bundle(&mut files, version);
            }
            _ => {
                files.insert(ENTRY.to_owned(), Content::File(labelled, FileMode::Program));
                fill(&mut files, version);
            }
        }
        let manifest = manifest(kind, version, &files);
        Self { version: version.to_owned(), manifest, files, epoch: 0, app }
    }

    fn stem(&self) -> String {
        self.manifest.component().map_or_else(|| "hello".to_owned(), |component| format!("hello-{component}"))
    }

    fn bundle(&self) -> Vec<u8> {
        let options = BundleOptions { level: 0, ..BundleOptions::default() };
        let writer = BundleWriter::new(Vec::new(), &self.manifest, &options).unwrap();
        writer.write_all(|path| Ok(self.bytes(path.as_str()))).unwrap()
    }

    fn bytes(&self, path: &str) -> &[u8] {
        match &self.files[path] {
            Content::File(bytes, _) => bytes,
            Content::Link(_) => b"",
        }
    }

    /// Publishes the bundle.
    pub fn publish(&self, repository: &RepositorySimulator) {
        let (entry, bytes) = self.offered();
        repository.repo().add("stable", &Entry::Bundle(entry), &bytes);
    }

    /// Makes the bundle and what is signed about it.
    #[must_use]
    pub fn offered(&self) -> (BundleEntry, Vec<u8>) {
        let bytes = self.bundle();
        let expected = BundleExpectation::of(&self.manifest);
        let entry = BundleEntry {
            artifact: artifact(&format!("{}-{}-{}.tar.xz", self.stem(), self.version, host_triple()), &bytes),
            version: self.manifest.version().clone(),
            platform: self.manifest.platform().clone(),
            install: self.manifest.install(),
            unpacked: expected.unpacked,
            files: expected.entries,
            manifest: expected.manifest,
            codecs: vec![codec().to_owned()],
            epoch: self.epoch,
            libc: None,
            notes: None,
            released: None,
            metadata: Map::new(),
            component: self.manifest.component().cloned(),
            minimum_app: None,
        };
        (entry, bytes)
    }

    /// Publishes a patch from an older version.
    pub fn publish_patch(&self, from: &Self, repository: &RepositorySimulator) {
        let (entry, bytes) = self.offered_patch(from);
        repository.repo().add("stable", &Entry::Patch(entry), &bytes);
    }

    /// Makes a patch and what is signed about it.
    #[must_use]
    pub fn offered_patch(&self, from: &Self) -> (PatchEntry, Vec<u8>) {
        let bytes = patch(from, self);
        let entry = PatchEntry {
            artifact: artifact(
                &format!("{}-{}-to-{}-{}.patch", self.stem(), from.version, self.version, host_triple()),
                &bytes,
            ),
            platform: self.manifest.platform().clone(),
            from: from.manifest.version().clone(),
            version: self.manifest.version().clone(),
            manifest: Sha256::of(&self.manifest.encode()),
            codecs: vec![codec().to_owned()],
            component: self.manifest.component().cloned(),
        };
        (entry, bytes)
    }

    /// Makes the same release, as one of another app or of another component.
    #[must_use]
    pub fn renamed(&self, app: &str, component: &str) -> Self {
        let parts = ManifestParts {
            app: app.parse().unwrap(),
            component: Some(component.parse().unwrap()),
            ..self.manifest.clone().into_parts()
        };
        Self { manifest: Manifest::new(parts).unwrap(), ..self.clone() }
    }
}

/// The versions that a harness installs one after another.
#[derive(Debug, Clone)]
pub struct Versions {
    /// 1.0.0, which is installed first.
    pub old: Release,
    /// 1.1.0, which it is updated to.
    pub new: Release,
    /// 1.2.0, which shows that updates go on.
    pub next: Release,
    /// 1.1.0 as well, which does not survive its own start.
    pub broken: Release,
}

impl Versions {
    /// Makes them out of the bytes of this binary. The same bytes give the same versions.
    #[must_use]
    pub fn new(program: &[u8], kind: Kind) -> Self {
        let release = |version, healthy| Release::new(program, kind.install(), version, healthy);
        let (old, new, next) = (release("1.0.0", true), release("1.1.0", true), release("1.2.0", true));
        Self { old, new, next, broken: release("1.1.0", false) }
    }

    /// Makes them and the repositories that offer them, in a folder: `broken`, `by-bundle`, `by-patch`, `next`, and the
    /// trusted `root.json`.
    /// # Errors
    /// When the disk refuses.
    pub fn publish(program: &[u8], kind: Kind, folder: &Path) -> std::io::Result<Self> {
        let this = Self::new(program, kind);
        let Self { old, new, next, broken } = &this;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let repository = RepositorySimulator::starting_at(UtcTime::from_unix(i64::try_from(now).unwrap_or(0)));
        let write = |repository: &RepositorySimulator, name: &str| write_repository(repository, &folder.join(name));
        let other = repository.copy();
        broken.publish(&other);
        write(&other, "broken")?;
        new.publish(&repository);
        write(&repository, "by-bundle")?;
        new.publish_patch(old, &repository);
        write(&repository, "by-patch")?;
        next.publish(&repository);
        next.publish_patch(new, &repository);
        write(&repository, "next")?;
        let root = repository.repo().root_bytes();
        std::fs::write(folder.join("root.json"), root)?;
        Ok(this)
    }
}

/// Writes what a repository serves into a folder.
/// # Errors
/// When the disk refuses.
pub fn write_repository(repository: &RepositorySimulator, folder: &Path) -> std::io::Result<()> {
    for file in repository.files() {
        let path = folder.join(&file);
        path.parent().map_or(Ok(()), std::fs::create_dir_all)?;
        std::fs::write(path, repository.file(&file))?;
    }
    Ok(())
}

/// The file of a component that changes in places, as the program of an app does.
fn weights(version: &str) -> Vec<u8> {
    let mut state = 0x9e37_79b9_u32;
    let mut bytes: Vec<u8> = (0..40_000)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            state.to_le_bytes()[0]
        })
        .collect();
    for at in [100, 20_000, 39_000] {
        bytes[at..at + version.len()].copy_from_slice(version.as_bytes());
    }
    bytes
}

fn fill(files: &mut BTreeMap<String, Content>, version: &str) {
    let mut data = |path: &str, text: String| {
        files.insert(path.to_owned(), Content::File(text.into_bytes(), FileMode::Data));
    };
    for number in 0..16 {
        // A third is the same in all versions.
        let text = if number % 3 == 0 { "constant".to_owned() } else { format!("{number} of {version}\n").repeat(40) };
        data(&format!("share/data/{number:02}.txt"), text);
    }
    data("etc/app.conf", format!("# the settings of {version}\n"));
    data(&format!("share/only-in-{version}"), version.to_owned());
    data(&format!("lib/{version}/moved.dat"), "the same content under another name".repeat(20));
    data("share/empty", String::new());
    files.insert("bin/helper".to_owned(), Content::File(b"#!/bin/sh\n".to_vec(), FileMode::Program));
    for number in 0..4 {
        files.insert(format!("lib/link-{number}"), Content::Link(format!("../share/data/{number:02}.txt")));
    }
    files.insert("lib/current".to_owned(), Content::Link(version.to_owned()));
}

/// Files as a packager and `codesign` leave them: what the system reads, a seal, and a framework with its links.
fn fill_app_bundle(files: &mut BTreeMap<String, Content>, version: &str) {
    let mut data = |path: &str, text: String| {
        files.insert(format!("Contents/{path}"), Content::File(text.into_bytes(), FileMode::Data));
    };
    data(
        "Info.plist",
        format!("<plist><dict><key>CFBundleShortVersionString</key><string>{version}</string></dict></plist>"),
    );
    data("_CodeSignature/CodeResources", format!("the seal of {version}"));
    data("PkgInfo", "APPL????".to_owned());
    data("Resources/icon.icns", "constant".repeat(200));
    data(&format!("Resources/only-in-{version}"), version.to_owned());
    for number in 0..4 {
        data(&format!("Resources/{number}.lproj/hello.strings"), format!("{number} of {version}\n").repeat(40));
    }
    let framework = "Contents/Frameworks/Hello.framework";
    let mut add = |path: &str, content| files.insert(format!("{framework}/{path}"), content);
    add("Versions/A/Hello", Content::File(format!("library of {version}").into_bytes(), FileMode::Program));
    add("Versions/A/Resources/Info.plist", Content::File(b"<plist/>".to_vec(), FileMode::Data));
    add("Versions/Current", Content::Link("A".to_owned()));
    add("Hello", Content::Link("Versions/Current/Hello".to_owned()));
    add("Resources", Content::Link("Versions/Current/Resources".to_owned()));
}

fn manifest(kind: InstallKind, version: &str, files: &BTreeMap<String, Content>) -> Manifest {
    let entry = |(path, content): (&String, &Content)| ManifestEntry {
        path: FilePath::parse(path).unwrap(),
        content: match content {
            Content::Link(target) => EntryContent::Link { target: target.clone() },
            Content::File(bytes, mode) => {
                EntryContent::File { length: bytes.len() as u64, sha256: Sha256::of(bytes), mode: *mode }
            }
        },
    };
    let is_folder = kind == InstallKind::Directory;
    let component = (kind == InstallKind::Component).then(|| COMPONENT.parse().unwrap());
    let entry_path = match kind {
        InstallKind::Component => FilePath::of_manifest(),
        InstallKind::AppBundle => FilePath::parse(APP_BUNDLE_ENTRY).unwrap(),
        _ => FilePath::parse(if is_folder { ENTRY } else { "hello" }).unwrap(),
    };
    let keep_local = if is_folder { vec![PathPattern::parse("etc/*.conf").unwrap()] } else { Vec::new() };
    Manifest::new(ManifestParts {
        app: "hello".parse().unwrap(),
        version: version.parse().unwrap(),
        platform: if component.is_some() { Platform::any() } else { host_triple().parse().unwrap() },
        install: kind,
        entry: entry_path,
        keep_local,
        entries: files.iter().map(entry).collect(),
        component,
    })
    .unwrap()
}

/// Makes a patch: what is there is copied, the program is a delta, the rest is added.
fn patch(old: &Release, new: &Release) -> Vec<u8> {
    let source = |entry: &ManifestEntry| match entry.content {
        // What a user may have edited is no source.
        _ if old.manifest.keeps_local(&entry.path) => None,
        EntryContent::File { length, sha256, .. } => Some(PatchSource { length, path: entry.path.clone(), sha256 }),
        EntryContent::Link { .. } => None,
    };
    let sources: Vec<PatchSource> = old.manifest.entries().iter().filter_map(source).collect();
    let (mut operations, mut payloads) = (Vec::new(), Vec::new());
    for ManifestEntry { path, content } in new.manifest.entries() {
        let EntryContent::File { sha256, .. } = content else { continue };
        let bytes = new.bytes(path.as_str());
        let same = sources.iter().position(|source| source.sha256 == *sha256);
        let by_delta = *path == *old.manifest.entry() || path.as_str() == WEIGHTS;
        let old_program = sources.iter().position(|source| source.path == *path && by_delta);
        let (operation, payload) = match (same, old_program) {
            (Some(source), _) => (Operation::Copy { source }, Vec::new()),
            (None, Some(source)) => {
                let options = DiffOptions { codecs: &updater_delta::Codec::SUPPORTED[..1], ..DiffOptions::default() };
                let delta = updater_delta::diff(old.bytes(path.as_str()), bytes, &options).unwrap();
                let packed = delta.into_bytes();
                (Operation::Delta { codec: codec().to_owned(), packed: packed.len() as u64, source }, packed)
            }
            (None, None) => {
                let packed = pack_added(bytes, Vec::new(), 1).unwrap();
                (Operation::Add { packed: packed.len() as u64 }, packed)
            }
        };
        operations.push(operation);
        payloads.push(payload);
    }
    let (from, manifest) = (old.manifest.version().clone(), new.manifest.encode());
    let header = PatchHeader::new(PatchParts { from, manifest, sources, operations }).unwrap();
    write_patch(Vec::new(), &header, |at| Ok(payloads[at].as_slice())).unwrap()
}

fn artifact(name: &str, bytes: &[u8]) -> Artifact {
    Artifact { name: name.parse().unwrap(), length: bytes.len() as u64, sha256: Sha256::of(bytes) }
}

fn codec() -> &'static str {
    updater_delta::Codec::SUPPORTED[0].id()
}

/// The file of a component for which patches have a delta.
const WEIGHTS: &str = "share/weights.bin";
/// The version of the app that updates a component.
const APP_VERSION: &str = "0.9.0";
