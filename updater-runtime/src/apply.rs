//! From a verified file to a staged tree in the hidden folder, checked file by file, whatever the route.
//!
//! Nothing outside the hidden folder changes here. Deltas read the installed files, whose digests are checked first; any
//! difference is an error that says that another route may work.

mod error;
mod staging;
mod verify;

pub use error::ApplyError;
pub(crate) use verify::{Missing, Modes, check_tree, verify_staged};

use crate::cancel::CancelToken;
use crate::fs::{self, Dir};
use crate::install::{Layout, Session};
use staging::Staging;
use std::fs::File;
use std::io::{Cursor, Read, Seek, Write};
use updater_delta::{ApplyLimits, Codec};
use updater_format::bundle::{BundleExpectation, BundleReader, Member};
use updater_format::digest::HashingWriter;
use updater_format::length::MAX_JOINT;
use updater_format::patch::{Operation, PatchError, PatchExpectation, PatchReader, PatchSource, Payload, Step};
use updater_format::{
    AppId, ComponentName, EntryContent, FilePath, InstallKind, Manifest, ManifestEntry, Platform, ReleaseVersion,
    Sha256,
};

/// The release that is to be staged, as the signed metadata describes it.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) app: AppId,
    /// The component that it is a release of; `None` for the app itself.
    pub(crate) component: Option<ComponentName>,
    pub(crate) version: ReleaseVersion,
    pub(crate) platform: Platform,
    pub(crate) bundle: BundleExpectation,
}

/// A tree in the staging folder in which every file was held against the manifest. Only this module makes one.
#[derive(Debug)]
pub(crate) struct Tree {
    manifest: Manifest,
    digest: Sha256,
}

impl Tree {
    /// Returns the manifest.
    pub(crate) fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Returns the digest of the manifest's exact bytes.
    pub(crate) fn digest(&self) -> Sha256 {
        self.digest
    }
}

/// What a long step tells and asks while it runs.
pub(crate) struct Watch<'a> {
    /// Called with the bytes done and the bytes to do.
    pub(crate) progress: &'a mut dyn FnMut(u64, u64),
    /// Asked between two pieces of work.
    pub(crate) cancel: &'a CancelToken,
}

/// Unpacks a bundle whose digest was checked, from its open handle.
/// # Errors
/// [`ApplyError::Bundle`] when its content is not what was signed; [`ApplyError::Space`], [`ApplyError::File`] when the
/// disk refuses; [`ApplyError::OtherKind`] or [`ApplyError::OtherRelease`] when it is not for this install.
pub(crate) fn stage_bundle(
    session: &mut Session,
    bundle: impl Read,
    target: &Target,
    watch: &mut Watch<'_>,
) -> Result<Tree, ApplyError> {
    unpack(session, bundle, target, watch).map_err(|error| cancelled_or(error, watch))
}

fn unpack(
    session: &mut Session,
    bundle: impl Read,
    target: &Target,
    watch: &mut Watch<'_>,
) -> Result<Tree, ApplyError> {
    let mut reader = BundleReader::open(bundle, &target.bundle)?;
    let (manifest, bytes) = (reader.manifest().clone(), reader.manifest_bytes().to_vec());
    check_release(session.layout(), &manifest, target)?;
    let mut staging = Staging::begin(session, manifest, &bytes)?;
    while let Some(member) = reader.next_member()? {
        match member {
            Member::Link { path, target } => staging.link(path, target)?,
            Member::File(file) => {
                let mut output = staging.create(file.entry())?;
                file.copy_to(&mut output.watched(watch))?;
                output.finish()?;
            }
        }
    }
    staging.finish()
}

/// Makes the release from the installed files by a patch whose digest was checked, from its open handle.
/// # Errors
/// [`ApplyError::Source`] when an installed file is not the one that the patch was made from, [`ApplyError::Codec`] when
/// the patch needs a delta codec that this program does not have, [`ApplyError::Patch`] or [`ApplyError::Delta`] when the
/// patch is damaged; all of [`stage_bundle`].
pub(crate) fn stage_patch(
    session: &mut Session,
    patch: impl Read,
    from: &ReleaseVersion,
    target: &Target,
    watch: &mut Watch<'_>,
) -> Result<Tree, ApplyError> {
    make(session, patch, from, target, watch).map_err(|error| cancelled_or(error, watch))
}

fn make(
    session: &mut Session,
    patch: impl Read,
    from: &ReleaseVersion,
    target: &Target,
    watch: &mut Watch<'_>,
) -> Result<Tree, ApplyError> {
    let expected = PatchExpectation {
        app: target.app.clone(),
        platform: target.platform.clone(),
        from: from.clone(),
        to: target.version.clone(),
        manifest: target.bundle.manifest,
    };
    let mut reader = PatchReader::open(patch, &expected)?;
    let header = reader.header();
    let (manifest, bytes) = (header.manifest().clone(), header.manifest_bytes().to_vec());
    check_release(session.layout(), &manifest, target)?;
    let joint_length = header.joint_length();
    let sources = Sources::check(session.layout(), header.sources(), watch.cancel)?;
    let mut staging = Staging::begin(session, manifest, &bytes)?;
    for (path, target) in staging.links() {
        staging.link(&path, &target)?;
    }
    let mut joint = Joint { length: joint_length, bytes: Cursor::default() };
    while let Some(step) = reader.next_step()? {
        make_file(&mut staging, &sources, &mut joint, step, watch)?;
    }
    staging.finish()
}

/// Several files that one delta makes: few enough bytes to be held until each gets its own.
struct Joint {
    /// Bytes of all of them.
    length: u64,
    bytes: Cursor<Vec<u8>>,
}

/// A cancelled step ends by a failed write; what was asked for says more than that.
fn cancelled_or(error: ApplyError, watch: &Watch<'_>) -> ApplyError {
    if watch.cancel.is_cancelled() { ApplyError::Cancelled } else { error }
}

/// Makes one file of the new release and checks its digest.
fn make_file<R: Read>(
    staging: &mut Staging,
    sources: &Sources,
    joint: &mut Joint,
    step: Step<'_, R>,
    watch: &mut Watch<'_>,
) -> Result<(), ApplyError> {
    let EntryContent::File { length, sha256, .. } = step.entry.content else { return Ok(()) };
    let entry = step.entry;
    let mut output = staging.create(entry)?;
    let made = match step.operation.clone() {
        Operation::Add { .. } => {
            step.unpack_to(output.watched(watch))?;
            None
        }
        Operation::Copy { source } => {
            let mut hashed = HashingWriter::new(output.watched(watch));
            let (mut file, path) = sources.open(source)?;
            std::io::copy(&mut (&mut file).take(length.saturating_add(1)), &mut hashed)
                .map_err(|source| ApplyError::Output { path: path.clone(), source })?;
            Some(hashed.finish().2)
        }
        Operation::Delta { source, codec, .. } => {
            let mut hashed = HashingWriter::new(output.watched(watch));
            let (mut file, _) = sources.open(source)?;
            apply_delta(&codec, &mut file, step.payload, &mut hashed, entry, length)?;
            Some(hashed.finish().2)
        }
        operation @ (Operation::Joint { .. } | Operation::Part) => {
            if let Operation::Joint { codec, sources: used, .. } = &operation {
                let mut old = Cursor::new(sources.joined(used)?);
                apply_delta(codec, &mut old, step.payload, joint.bytes.get_mut(), entry, joint.length)?;
            }
            let path = || entry.path.to_string();
            let mut hashed = HashingWriter::new(output.watched(watch));
            std::io::copy(&mut (&mut joint.bytes).take(length), &mut hashed)
                .map_err(|source| ApplyError::Output { path: path(), source })?;
            Some(hashed.finish().2)
        }
    };
    if let Some(got) = made
        && got != sha256
    {
        let path = entry.path.to_string();
        return Err(PatchError::Digest { path, expected: sha256, got }.into());
    }
    output.finish()
}

fn apply_delta<R: Read>(
    codec: &str,
    old: &mut (impl Read + Seek),
    payload: Payload<'_, R>,
    new: &mut impl Write,
    entry: &ManifestEntry,
    length: u64,
) -> Result<(), ApplyError> {
    let codec = Codec::parse(codec).ok_or_else(|| ApplyError::Codec { codec: codec.to_owned() })?;
    updater_delta::apply(codec, old, payload, new, &ApplyLimits::exactly(length))
        .map(|_| ())
        .map_err(|source| ApplyError::Delta { path: entry.path.to_string(), source: Box::new(source) })
}

/// Refuses a release that is for another app or is installed in another way.
fn check_release(layout: &Layout, manifest: &Manifest, target: &Target) -> Result<(), ApplyError> {
    let named = |component: Option<&ComponentName>| component.map_or("none", ComponentName::as_str).to_owned();
    let component = (named(target.component.as_ref()), named(manifest.component()));
    for (field, expected, got) in [
        ("app", target.app.as_str(), manifest.app().as_str()),
        ("component", &component.0, &component.1),
        ("version", &target.version.to_string(), &manifest.version().to_string()),
        ("triple", target.platform.as_str(), manifest.platform().as_str()),
    ] {
        if expected != got {
            return Err(ApplyError::OtherRelease { field, expected: expected.to_owned(), got: got.to_owned() });
        }
    }
    let (expected, got) = (layout.kind(), manifest.install());
    if expected != got {
        return Err(ApplyError::OtherKind { version: manifest.version().clone(), expected, got });
    }
    Ok(())
}

/// The installed files that a patch reads, each with the digest that it must have.
struct Sources {
    place: Place,
    paths: Vec<FilePath>,
}

/// Where installed files are read from.
enum Place {
    /// The one program.
    Program(std::path::PathBuf),
    /// A folder, in which no link is followed.
    Folder(Dir),
}

impl Sources {
    /// Checks all of them before anything is made from one.
    fn check(layout: &Layout, sources: &[PatchSource], cancel: &CancelToken) -> Result<Self, ApplyError> {
        let place = match layout.kind() {
            InstallKind::Executable => Place::Program(layout.root().to_owned()),
            _ => {
                let lost = |_| ApplyError::Source { path: layout.entry().to_string(), problem: "no link leads to it" };
                Place::Folder(Dir::open(&layout.tree().map_err(lost)?)?)
            }
        };
        let this = Self { place, paths: sources.iter().map(|source| source.path.clone()).collect() };
        for (at, source) in sources.iter().enumerate() {
            if cancel.is_cancelled() {
                return Err(ApplyError::Cancelled);
            }
            let (file, path) = this.open(at)?;
            let (length, got) = fs::digest_of(file, path.as_ref())?;
            if (length, got) != (source.length, source.sha256) {
                return Err(ApplyError::Source { path, problem: "it was changed since it was installed" });
            }
        }
        Ok(this)
    }

    /// Reads some of them, one behind the other. The patch's header was checked: they are not many bytes.
    fn joined(&self, used: &[usize]) -> Result<Vec<u8>, ApplyError> {
        let mut joined = Vec::new();
        for &at in used {
            let (mut file, path) = self.open(at)?;
            let left = MAX_JOINT.saturating_sub(joined.len() as u64);
            (&mut file).take(left).read_to_end(&mut joined).map_err(|error| {
                log::debug!("{path}: {error}");
                ApplyError::Source { path, problem: "it cannot be read" }
            })?;
        }
        Ok(joined)
    }

    fn open(&self, at: usize) -> Result<(File, String), ApplyError> {
        let path = self.paths.get(at).map(ToString::to_string).unwrap_or_default();
        let opened = match (&self.place, self.paths.get(at)) {
            (Place::Program(program), Some(_)) => fs::open_regular(program),
            (Place::Folder(folder), Some(path)) => folder.open_file(path),
            (_, None) => Ok(None),
        };
        match opened {
            Ok(Some(file)) => Ok((file, path)),
            Ok(None) => Err(ApplyError::Source { path, problem: "it is missing" }),
            Err(error) => {
                log::debug!("{error}: {}", error.source);
                Err(ApplyError::Source { path, problem: "it cannot be opened as the file that was installed" })
            }
        }
    }
}

#[cfg(test)]
#[cfg(unix)]
mod tests;
