//! Patches: from the last releases to a new one, each proven by applying it.
//!
//! Deltas are made between the files as they are installed, never between archives, so that the first update of a fresh
//! install can be a patch. Which file a new one is made from is decided by [`pairs`], and for those that were renamed and
//! changed by their contents; what is made of a pair, a delta or the packed file, by length alone. The same releases give the same bytes.

mod apply;
mod error;
mod joint;
mod make;
mod pairs;
mod similar;
mod tree;

pub use apply::apply;
pub use error::DiffStepError;
pub use pairs::{Origin, pairs};
pub use tree::Tree;

use crate::progress::human_bytes;
use crate::shell::Shell;
use crate::steps::bundle::{Bundled, digest_of};
use make::{Made, Maker, Noted};
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufReader, BufWriter, Seek as _, Write as _};
use std::path::{Path, PathBuf};
use updater_delta::{Codec, JOINT};
use updater_format::patch::{Operation, PatchHeader, PatchParts, PatchReader, PatchSource, write_patch};
use updater_format::release::{Artifact, BundleEntry, PatchEntry};
use updater_format::{EntryContent, FilePath, Manifest, ReleaseVersion, TargetName};

/// A published bundle on this disk, its length and digest checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OldBundle {
    /// What is signed about it.
    pub entry: BundleEntry,
    /// The archive.
    pub path: PathBuf,
}

/// What may be spent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DiffLimits {
    /// How many deltas are made at once.
    pub threads: usize,
    /// The memory of all of them together, in bytes.
    pub memory: u64,
}

impl Default for DiffLimits {
    /// One thread per processor, 4 GiB.
    fn default() -> Self {
        Self { threads: std::thread::available_parallelism().map_or(1, std::num::NonZero::get), memory: MEMORY }
    }
}

/// A patch on disk that was applied and gave the new release, byte for byte.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Patch {
    /// What is to be signed about it.
    pub entry: PatchEntry,
    /// The patch.
    pub path: PathBuf,
}

/// What became of one earlier release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// There is a patch from it.
    Kept(Box<Patch>),
    /// A patch would hardly save anything, so its users take the bundle.
    TooLarge {
        /// The earlier release.
        from: ReleaseVersion,
        /// The length of the patch in bytes.
        length: u64,
    },
    /// Its runtime applies no codec that is still made.
    NoCodec {
        /// The earlier release.
        from: ReleaseVersion,
    },
}

/// Makes a patch from each earlier release, the newest first, into a folder. A patch that is there already and still
/// right is kept.
/// # Errors
/// As [`diff_all`].
pub fn diff(
    new: &Bundled,
    old: &[OldBundle],
    folder: &Path,
    limits: DiffLimits,
    shell: &Shell,
) -> Result<Vec<Outcome>, DiffStepError> {
    Ok(diff_all(&[(new, old)], folder, limits, shell)?.concat())
}

/// Makes the patches to several bundles of one release, each from its own earlier releases: those of all triples side by side.
/// Returns what became of each, in the order in which they were given.
///
/// The files of all releases that take part are unpacked in the folder meanwhile.
/// # Errors
/// [`DiffStepError`] when a bundle cannot be read, a patch cannot be written, or a finished patch does not apply.
pub fn diff_all(
    bundles: &[(&Bundled, &[OldBundle])],
    folder: &Path,
    limits: DiffLimits,
    shell: &Shell,
) -> Result<Vec<Vec<Outcome>>, DiffStepError> {
    let mut maker = Maker::new(limits, folder);
    diff_with(&mut maker, bundles, folder, limits, shell)
}

fn diff_with(
    maker: &mut Maker,
    bundles: &[(&Bundled, &[OldBundle])],
    folder: &Path,
    limits: DiffLimits,
    shell: &Shell,
) -> Result<Vec<Vec<Outcome>>, DiffStepError> {
    std::fs::create_dir_all(folder).map_err(|source| DiffStepError::Write { path: folder.to_owned(), source })?;
    // All of them are looked at first, so that the deltas of several triples and releases are made side by side: most
    // programs are one file, of which each release takes one delta.
    let looked_at = bundles.iter().map(|(new, old)| look_at(maker, new, old, folder));
    let looked_at = looked_at.collect::<Result<Vec<_>, DiffStepError>>()?;
    maker.run(shell)?;
    let mut outcomes = Vec::new();
    for ((new, old), (new_tree, pending)) in bundles.iter().zip(looked_at) {
        let mut of_bundle = Vec::new();
        for (old, pending) in old.iter().zip(pending) {
            of_bundle.push(pending.finish(maker, (new, &new_tree), &old.entry.version, (limits, folder))?);
        }
        outcomes.push(of_bundle);
    }
    Ok(outcomes)
}

/// Looks at one bundle and what came before it, and notes what its patches need.
fn look_at(
    maker: &mut Maker,
    new: &Bundled,
    old: &[OldBundle],
    folder: &Path,
) -> Result<(Tree, Vec<Pending>), DiffStepError> {
    let new_tree = Tree::unpack(&new.path, &new.part.entry(0, None), folder)?;
    let mut pending = Vec::new();
    for old in old {
        let codecs: Vec<Codec> = old.entry.codecs.iter().filter_map(|id| Codec::parse(id)).collect();
        if codecs.is_empty() {
            pending.push(Pending::NoCodec);
            continue;
        }
        let tree = Tree::unpack(&old.path, &old.entry, folder)?;
        let path = folder.join(name(new, &old.entry.version)?.as_str());
        if is_right(&path, &tree, &new_tree) {
            pending.push(Pending::There { path });
            continue;
        }
        let mut origins = pairs(tree.manifest(), new_tree.manifest());
        similar::fill(&mut origins, &tree, &new_tree)?;
        let noted = maker.note(&tree, &new_tree, &origins, &codecs);
        let joins = codecs.contains(&joint::CODEC) && old.entry.codecs.iter().any(|id| id == JOINT);
        pending.push(Pending::Make { path, tree: Box::new(tree), origins, noted, joins });
    }
    Ok((new_tree, pending))
}

/// What is to be done for one earlier release.
enum Pending {
    /// Nothing: its runtime applies no codec.
    NoCodec,
    /// Nothing: an earlier run has made its patch, or another machine.
    There { path: PathBuf },
    /// Its patch is to be written when the payloads are made; one delta may make several files if its runtime knows that.
    Make { path: PathBuf, tree: Box<Tree>, origins: Vec<Option<Origin>>, noted: Noted, joins: bool },
}

impl Pending {
    /// Writes the patch, now that its payloads are made, and looks whether it gives the new release.
    fn finish(
        self,
        maker: &Maker,
        (new, new_tree): (&Bundled, &Tree),
        from: &ReleaseVersion,
        (limits, folder): (DiffLimits, &Path),
    ) -> Result<Outcome, DiffStepError> {
        match self {
            Self::NoCodec => Ok(Outcome::NoCodec { from: from.clone() }),
            Self::There { path } => judge(new, from, path),
            Self::Make { path, tree, origins, noted, joins } => {
                let (trees, made) = ((&*tree, new_tree), maker.made(&noted)?);
                let joint = if joins { joint::join(trees, &origins, &made, limits, folder)? } else { None };
                write(&path, trees, &origins, joint.as_ref().unwrap_or(&made))?;
                // What does not give the new release, byte for byte, never gets a name that `sign` would find.
                check(&path, &tree, new_tree)?;
                judge(new, from, path)
            }
        }
    }
}

/// Tells an outcome to a person.
pub fn tell(outcome: &Outcome, new: &Bundled, shell: &Shell) {
    let (to, bundle) = (&new.part.version, new.part.length);
    match outcome {
        Outcome::Kept(patch) => {
            let length = patch.entry.artifact.length;
            let saved = 100.0 - 100.0 * length as f64 / bundle.max(1) as f64;
            shell.status(
                "Diffed",
                format_args!(
                    "{} -> {to}: {} instead of {} ({saved:.1} % saved)",
                    patch.entry.from,
                    human_bytes(length),
                    human_bytes(bundle)
                ),
            );
        }
        Outcome::TooLarge { from, length } => shell.note(format_args!(
            "no patch {from} -> {to}: it would have {}, more than {MOST_PERCENT} % of the bundle's {}",
            human_bytes(*length),
            human_bytes(bundle)
        )),
        Outcome::NoCodec { from } => {
            shell.note(format_args!("no patch {from} -> {to}: {from} applies no kind of delta that is still made"));
        }
    }
}

/// Reads what is to be signed about a patch out of the patch itself.
/// # Errors
/// [`DiffStepError`] when it cannot be read.
pub fn entry_of(path: &Path) -> Result<PatchEntry, DiffStepError> {
    let failed = |source| DiffStepError::Patch { path: path.to_owned(), source };
    let reader = PatchReader::open_unchecked(open(path)?).map_err(failed)?;
    let header = reader.header();
    let mut codecs: BTreeSet<&str> = header.operations().iter().filter_map(Operation::codec).collect();
    if header.operations().iter().any(|operation| matches!(operation, Operation::Joint { .. })) {
        codecs.insert(JOINT);
    }
    let (length, sha256) = digest_of(path).map_err(|source| DiffStepError::Digest { source })?;
    let file_name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let name = TargetName::parse(file_name).map_err(|source| DiffStepError::Name { source })?;
    Ok(PatchEntry {
        artifact: Artifact { name, length, sha256 },
        platform: header.platform().clone(),
        from: header.from().clone(),
        version: header.to().clone(),
        manifest: updater_format::Sha256::of(header.manifest_bytes()),
        codecs: codecs.into_iter().map(str::to_owned).collect(),
        component: header.manifest().component().cloned(),
    })
}

fn name(new: &Bundled, from: &ReleaseVersion) -> Result<TargetName, DiffStepError> {
    let part = &new.part;
    let stem = crate::plan::stem(&part.app, part.component.as_ref().map(|of| &of.name));
    TargetName::parse(&format!("{stem}-{from}-to-{}-{}.patch", part.version, part.platform))
        .map_err(|source| DiffStepError::Name { source })
}

/// Keeps a patch or throws it away, by its length.
fn judge(new: &Bundled, from: &ReleaseVersion, path: PathBuf) -> Result<Outcome, DiffStepError> {
    let entry = entry_of(&path)?;
    let length = entry.artifact.length;
    if length.saturating_mul(100) > new.part.length.saturating_mul(MOST_PERCENT) {
        std::fs::remove_file(&path).map_err(|source| DiffStepError::Write { path, source })?;
        return Ok(Outcome::TooLarge { from: from.clone(), length });
    }
    Ok(Outcome::Kept(Box::new(Patch { entry, path })))
}

/// Tells whether a patch of an earlier run leads from these files to this manifest, and does.
fn is_right(path: &Path, old: &Tree, new: &Tree) -> bool {
    let Ok(file) = File::open(path) else { return false };
    let Ok(reader) = PatchReader::open_unchecked(BufReader::new(file)) else { return false };
    let header = reader.header();
    let same_sources = header.sources().iter().all(|source| {
        old.manifest().find(&source.path).is_some_and(|entry| {
            matches!(entry.content, EntryContent::File { length, sha256, .. } if (length, sha256) == (source.length, source.sha256))
        })
    });
    let same = header.from() == old.manifest().version() && header.manifest_bytes() == new.manifest().encode();
    same && same_sources && check(path, old, new).is_ok()
}

fn check(path: &Path, old: &Tree, new: &Tree) -> Result<(), DiffStepError> {
    let outcome = apply(open(path)?, old, new.manifest(), |_| Ok(std::io::sink()));
    outcome.inspect_err(|_| drop(std::fs::remove_file(path)))
}

fn open(path: &Path) -> Result<BufReader<File>, DiffStepError> {
    File::open(path).map(BufReader::new).map_err(|source| DiffStepError::Read { path: path.to_owned(), source })
}

/// Writes the patch under its name.
fn write(
    path: &Path,
    (old, new): (&Tree, &Tree),
    origins: &[Option<Origin>],
    made: &[Made],
) -> Result<(), DiffStepError> {
    let sources = sources(old.manifest(), origins, made);
    let place = |path: &FilePath| {
        let found = sources.binary_search_by(|source| source.path.cmp(path));
        found.map_err(|_| DiffStepError::Incomplete { path: new.path(path) })
    };
    let lost = || DiffStepError::Incomplete { path: path.to_owned() };
    let operations = origins.iter().zip(made).map(|(origin, made)| {
        let source = || place(origin.as_ref().map(Origin::path).ok_or_else(lost)?);
        let packed = made.length();
        Ok(match made {
            Made::Copy => Operation::Copy { source: source()? },
            Made::Delta { codec, .. } => Operation::Delta { codec: codec.id().to_owned(), packed, source: source()? },
            Made::Add { .. } => Operation::Add { packed },
            Made::Joint { from, .. } => {
                let sources = from.iter().map(place).collect::<Result<_, _>>()?;
                Operation::Joint { codec: joint::CODEC.id().to_owned(), packed, sources }
            }
            Made::Part => Operation::Part,
        })
    });
    let operations = operations.collect::<Result<Vec<_>, DiffStepError>>()?;
    let (from, manifest) = (old.manifest().version().clone(), new.manifest().encode());
    let header = PatchHeader::new(PatchParts { from, manifest, sources, operations })
        .map_err(|source| DiffStepError::Name { source })?;
    let failed = |source| DiffStepError::Write { path: path.to_owned(), source };
    let folder = path.parent().unwrap_or_else(|| Path::new("."));
    let unfinished = tempfile::NamedTempFile::new_in(folder).map_err(failed)?;
    let output = write_patch(BufWriter::new(unfinished), &header, |index| made[index].open())
        .map_err(|source| DiffStepError::Patch { path: path.to_owned(), source })?;
    let mut unfinished = output.into_inner().map_err(|error| failed(error.into_error()))?;
    unfinished.flush().map_err(failed)?;
    unfinished.rewind().map_err(failed)?;
    crate::files::publish_mode(unfinished.as_file()).map_err(failed)?;
    unfinished.persist(path).map_err(|error| failed(error.error))?;
    Ok(())
}

/// Lists the installed files that the operations read, sorted by path.
fn sources(old: &Manifest, origins: &[Option<Origin>], made: &[Made]) -> Vec<PatchSource> {
    let used: BTreeSet<_> = origins
        .iter()
        .zip(made)
        .flat_map(|(origin, made)| match made {
            Made::Copy | Made::Delta { .. } => origin.as_ref().map(Origin::path).into_iter().collect(),
            Made::Joint { from, .. } => from.iter().collect(),
            Made::Add { .. } | Made::Part => Vec::new(),
        })
        .collect();
    let described = used.into_iter().filter_map(|path| match old.find(path)?.content {
        EntryContent::File { length, sha256, .. } => Some(PatchSource { length, path: path.clone(), sha256 }),
        EntryContent::Link { .. } => None,
    });
    described.collect()
}

/// The largest part of the bundle's length that a patch may have, in percent: above it the patch saves little, and costs
/// the client memory and a possible second download.
pub const MOST_PERCENT: u64 = 70;
/// The memory that making deltas may take: 4 GiB, a small build machine's. One delta of two 100 MiB files takes 3.2 GiB.
const MEMORY: u64 = 4 << 30;

#[cfg(test)]
mod tests;
