//! Bundling: from files on disk to one archive and the unsigned part that says what it is.
//!
//! The same files give the same bytes: members are sorted, times are `SOURCE_DATE_EPOCH` or 0, modes are two. What the
//! archive says about itself is derived from the files, never asked: sizes, digests, the C library that it needs.

mod after_build;
mod app_bundle;
mod build;
mod collect;
pub(super) mod embedded;
mod error;
mod launcher;
mod part;

pub use after_build::after_build;
pub use app_bundle::AppBundle;
pub use build::{Build, Built, host_triple};
pub use collect::{Chosen, ChosenContent, from_build, from_folder};
pub use embedded::{announced_codecs, check_embedded};
pub use error::BundleStepError;
pub use launcher::add_launcher_table;
pub use part::Part;

use crate::elf::{self, GlibcVersion};
use crate::plan::stem;
use crate::progress::{Progress, human_bytes};
use crate::shell::Shell;
use std::collections::HashMap;
use std::fs::File;
use std::io::{BufWriter, Read as _, Write as _};
use std::path::{Path, PathBuf};
use updater_format::bundle::{BundleExpectation, BundleOptions, BundleWriter};
use updater_format::digest::{HashingReader, HashingWriter};
use updater_format::{
    AppId, ComponentName, EntryContent, FileMode, FilePath, InstallKind, Manifest, ManifestEntry, ManifestParts,
    PathPattern, Platform, ReleaseVersion, TargetName, mach_o, pe,
};

/// The component that a bundle is a release of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OfComponent {
    /// Its name.
    pub name: ComponentName,
    /// The lowest version of the app that may take it.
    pub minimum_app: Option<ReleaseVersion>,
}

/// What is to be bundled.
#[derive(Debug, Clone)]
pub struct Contents {
    /// The app.
    pub app: AppId,
    /// The component; `None` for the app itself. A component has no entry, and its kind is its own.
    pub component: Option<OfComponent>,
    /// The release.
    pub version: ReleaseVersion,
    /// The triple that it was built for.
    pub platform: Platform,
    /// How it is installed; `None` means: an executable when there is one file, else a directory.
    pub install: Option<InstallKind>,
    /// The program that is started; `None` means: the only program there is.
    pub entry: Option<FilePath>,
    /// Files that a user may edit.
    pub keep_local: Vec<PathPattern>,
    /// The delta codecs that the runtime in this release applies.
    pub codecs: Vec<String>,
    /// The files and links.
    pub files: Vec<Chosen>,
}

/// How hard and with what date it is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packing {
    /// The xz preset, 0 to 9.
    pub level: u32,
    /// The modification time of every file, in seconds since 1970.
    pub mtime: u64,
}

impl Packing {
    /// Packs at a level, with the date of `SOURCE_DATE_EPOCH` when that is set.
    /// # Errors
    /// [`BundleStepError::SourceDateEpoch`] when the variable is no number of seconds.
    pub fn new(level: u32, source_date_epoch: Option<&str>) -> Result<Self, BundleStepError> {
        let mtime = match source_date_epoch {
            None => 0,
            // Eleven octal digits are what the header of a tar member holds.
            Some(text) => text
                .parse()
                .ok()
                .filter(|seconds| *seconds < 1 << 33)
                .ok_or_else(|| BundleStepError::SourceDateEpoch { value: text.to_owned() })?,
        };
        Ok(Self { level, mtime })
    }
}

/// A bundle on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bundled {
    /// What it is.
    pub part: Part,
    /// The archive.
    pub path: PathBuf,
}

impl Bundled {
    /// Finds a bundle that was made before by its unsigned part, and checks that the archive is still the one described.
    /// # Errors
    /// [`BundleStepError`] when either file cannot be read or the archive has other bytes.
    pub fn read(part: &Path) -> Result<Self, BundleStepError> {
        let part_file = part;
        let part = Part::read(part_file)?;
        let path = part_file.with_file_name(part.file.as_str());
        let (length, sha256) = digest_of(&path)?;
        if (length, sha256) != (part.length, part.sha256) {
            return Err(BundleStepError::Changed { path });
        }
        Ok(Self { part, path })
    }
}

/// Checks what is to be bundled and describes it file by file. Every file is read once.
/// # Errors
/// [`BundleStepError`] when a file cannot be read, the set breaks a rule of the manifest, there is no single program to
/// start, or a program is for another processor than the triple says.
pub fn describe(contents: &Contents) -> Result<(Manifest, Option<GlibcVersion>), BundleStepError> {
    let mut entries = Vec::with_capacity(contents.files.len());
    let mut libc = None;
    for chosen in &contents.files {
        let content = match &chosen.content {
            ChosenContent::Link { target } => EntryContent::Link { target: target.clone() },
            ChosenContent::File { source, mode } => {
                if let Some(elf) = read_elf(source)? {
                    if elf.machine.matches(contents.platform.as_str()) == Some(false) && *mode == FileMode::Program {
                        return Err(BundleStepError::Machine {
                            path: source.clone(),
                            machine: elf.machine.to_string(),
                            platform: contents.platform.clone(),
                        });
                    }
                    libc = libc.max(elf.glibc);
                } else if *mode == FileMode::Program {
                    check_pe(source, &contents.platform)?;
                    check_mach_o(source, &contents.platform)?;
                }
                let (length, sha256) = digest_of(source)?;
                EntryContent::File { length, sha256, mode: *mode }
            }
        };
        entries.push(ManifestEntry { path: chosen.path.clone(), content });
    }
    let component = contents.component.as_ref().map(|of| of.name.clone());
    let install = match (&component, contents.install) {
        (Some(_), _) => InstallKind::Component,
        (None, Some(install)) => install,
        (None, None) if entries.len() == 1 => InstallKind::Executable,
        (None, None) => InstallKind::Directory,
    };
    let entry = match (&component, &contents.entry) {
        (Some(_), _) => FilePath::of_manifest(),
        (None, Some(entry)) => entry.clone(),
        (None, None) => only_program(&entries)?,
    };
    let parts = ManifestParts {
        app: contents.app.clone(),
        version: contents.version.clone(),
        platform: contents.platform.clone(),
        install,
        entry,
        keep_local: contents.keep_local.clone(),
        entries,
        component,
    };
    let manifest = Manifest::new(parts).map_err(|source| BundleStepError::Manifest { source })?;
    Ok((manifest, libc))
}

/// Bundles into a folder: the archive and, last, the part that describes it.
/// # Errors
/// [`BundleStepError`] as [`describe`] returns, and when the folder cannot be written or a file changes meanwhile.
pub fn bundle(contents: &Contents, packing: Packing, folder: &Path, shell: &Shell) -> Result<Bundled, BundleStepError> {
    let (manifest, libc) = describe(contents)?;
    let component = contents.component.as_ref().map(|of| &of.name);
    let stem = format!("{}-{}-{}", stem(&contents.app, component), contents.version, contents.platform);
    let name = |suffix: &str| {
        TargetName::parse(&format!("{stem}{suffix}")).map_err(|source| BundleStepError::Manifest { source })
    };
    let file = name(".tar.xz")?;
    let path = folder.join(file.as_str());
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| BundleStepError::Write { path, source }
    };
    std::fs::create_dir_all(folder).map_err(failed(folder))?;
    // A reader never sees half of a bundle under its name, and a part never describes an archive that is not there.
    let unfinished = tempfile::NamedTempFile::new_in(folder).map_err(failed(folder))?;
    let sources: HashMap<&FilePath, &Path> = contents
        .files
        .iter()
        .filter_map(|chosen| match &chosen.content {
            ChosenContent::File { source, .. } => Some((&chosen.path, source.as_path())),
            ChosenContent::Link { .. } => None,
        })
        .collect();
    // This takes longest of all, and where nobody sees the bar nothing would be told meanwhile.
    if !shell.shows_progress() {
        shell.status("Packing", format_args!("{file}: {}", human_bytes(manifest.unpacked())));
    }
    let progress = Progress::bytes(shell, "Packing", manifest.unpacked());
    let options = BundleOptions { level: packing.level, threads: threads(packing.level), mtime: packing.mtime };
    let pack = |source| BundleStepError::Pack { path: path.clone(), source };
    let output = HashingWriter::new(BufWriter::new(unfinished));
    let writer = BundleWriter::new(output, &manifest, &options).map_err(pack)?;
    let output = writer
        .write_all(|member| {
            progress.name(member.to_string());
            let source = sources.get(member).ok_or(std::io::ErrorKind::NotFound)?;
            Ok(progress.over(File::open(source)?))
        })
        .map_err(pack)?;
    let (mut output, length, sha256) = output.finish();
    output.flush().map_err(failed(&path))?;
    let unfinished = output.into_inner().map_err(|error| failed(&path)(error.into_error()))?;
    crate::files::publish_mode(unfinished.as_file()).map_err(failed(&path))?;
    unfinished.persist(&path).map_err(|error| failed(&path)(error.error))?;
    let expectation = BundleExpectation::of(&manifest);
    let part = Part {
        app: contents.app.clone(),
        component: contents.component.clone(),
        version: contents.version.clone(),
        platform: contents.platform.clone(),
        file,
        length,
        sha256,
        install: manifest.install(),
        unpacked: expectation.unpacked,
        files: expectation.entries,
        manifest: expectation.manifest,
        codecs: contents.codecs.clone(),
        libc: libc.filter(|_| contents.platform.as_str().contains("-gnu")).map(|version| version.to_string()),
    };
    part.write(&folder.join(name(".json")?.as_str()))?;
    Ok(Bundled { part, path })
}

/// Reads length and digest of a file.
pub(crate) fn digest_of(path: &Path) -> Result<(u64, updater_format::Sha256), BundleStepError> {
    let failed = |source| BundleStepError::Read { path: path.to_owned(), source };
    let mut reader = HashingReader::new(File::open(path).map_err(failed)?);
    std::io::copy(&mut reader, &mut std::io::sink()).map_err(failed)?;
    Ok(reader.finish())
}

fn read_elf(path: &Path) -> Result<Option<elf::Elf>, BundleStepError> {
    let file = File::open(path).map_err(|source| BundleStepError::Read { path: path.to_owned(), source })?;
    elf::read(&mut std::io::BufReader::new(file))
        .map_err(|source| BundleStepError::Elf { path: path.to_owned(), source })
}

/// Refuses a program of Windows that is for another processor than the triple.
fn check_pe(path: &Path, platform: &Platform) -> Result<(), BundleStepError> {
    let failed = |source| BundleStepError::Read { path: path.to_owned(), source };
    let found = pe::machine(&mut File::open(path).map_err(failed)?).map_err(failed)?;
    match (found, pe::machine_of(platform)) {
        (Some(found), Some(expected)) if found != expected => Err(BundleStepError::Machine {
            path: path.to_owned(),
            machine: format!("Windows on processor {found:#06x}"),
            platform: platform.clone(),
        }),
        _ => Ok(()),
    }
}

/// Refuses a program of macOS that has no code for the processor of the triple.
fn check_mach_o(path: &Path, platform: &Platform) -> Result<(), BundleStepError> {
    let Some(expected) = mach_o::of(platform) else { return Ok(()) };
    let failed = |source| BundleStepError::Read { path: path.to_owned(), source };
    let mut header = Vec::new();
    File::open(path).map_err(failed)?.take(mach_o::HEADER as u64).read_to_end(&mut header).map_err(failed)?;
    let found = mach_o::processors(&header).unwrap_or_default();
    match found.first() {
        Some(first) if !found.contains(&expected) => Err(BundleStepError::Machine {
            path: path.to_owned(),
            machine: format!("macOS on processor {first:#x}"),
            platform: platform.clone(),
        }),
        _ => Ok(()),
    }
}

/// Finds the only program among the entries.
fn only_program(entries: &[ManifestEntry]) -> Result<FilePath, BundleStepError> {
    let is_program =
        |entry: &&ManifestEntry| matches!(entry.content, EntryContent::File { mode: FileMode::Program, .. });
    let programs: Vec<_> = entries.iter().filter(is_program).map(|entry| entry.path.clone()).collect();
    match <[FilePath; 1]>::try_from(programs) {
        Ok([only]) => Ok(only),
        Err(programs) => Err(BundleStepError::WhichEntry { programs }),
    }
}

/// Returns how many threads compress: one per processor, within a memory budget. The output does not depend on it.
fn threads(level: u32) -> u32 {
    let dictionary = DICTIONARIES[level.min(9) as usize];
    let within_memory = (PACK_MEMORY / (dictionary * MEMORY_PER_DICTIONARY_BYTE)).max(1);
    let processors = std::thread::available_parallelism().map_or(1, |n| n.get() as u64);
    u32::try_from(processors.min(within_memory)).unwrap_or(1)
}

/// The xz preset when none is named: the best ratio; a bundle is packed once and fetched often.
pub const DEFAULT_LEVEL: u32 = 9;
/// Dictionary of each xz preset, in bytes (`xz(1)`).
const DICTIONARIES: [u64; 10] =
    [1 << 18, 1 << 20, 1 << 21, 1 << 22, 1 << 22, 1 << 23, 1 << 23, 1 << 24, 1 << 25, 1 << 26];
/// What one xz thread takes for each byte of its dictionary: 11 for the match finder (`xz(1)`), 6 for its block of input
/// and output.
const MEMORY_PER_DICTIONARY_BYTE: u64 = 17;
/// The memory that packing may take: 4 GiB, three threads at level 9.
const PACK_MEMORY: u64 = 4 << 30;

#[cfg(test)]
mod tests;
