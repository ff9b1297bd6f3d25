//! Applies a patch to an unpacked release and holds every file against the manifest: the proof before a patch is kept.

use super::{DiffStepError, Tree};
use std::fs::File;
use std::io::{BufReader, Read, Write};
use std::path::PathBuf;
use updater_delta::{ApplyLimits, Codec};
use updater_format::digest::HashingWriter;
use updater_format::patch::{Operation, PatchExpectation, PatchReader};
use updater_format::{EntryContent, FilePath, Manifest, Sha256};

/// Makes every file of `to` out of a patch and the files of `old`. Each is written to what `output` opens for it and
/// checked; nothing is of use unless this returns `Ok`.
/// # Errors
/// [`DiffStepError::Patch`] and [`DiffStepError::Delta`] when the patch is refused, [`DiffStepError::WrongFile`] when it
/// makes another file than the manifest lists.
pub fn apply<W: Write>(
    patch: impl Read,
    old: &Tree,
    to: &Manifest,
    mut output: impl FnMut(&FilePath) -> std::io::Result<W>,
) -> Result<(), DiffStepError> {
    let expected = PatchExpectation {
        app: to.app().clone(),
        platform: to.platform().clone(),
        from: old.manifest().version().clone(),
        to: to.version().clone(),
        manifest: Sha256::of(&to.encode()),
    };
    let label = PathBuf::from(format!("{} -> {}", expected.from, expected.to));
    let refuse = |source| DiffStepError::Patch { path: label.clone(), source };
    let mut reader = PatchReader::open(patch, &expected).map_err(refuse)?;
    let sources = reader.header().sources().to_vec();
    let joint_length = reader.header().joint_length();
    let mut joint = std::io::Cursor::new(Vec::new());
    let limits = ApplyLimits::exactly;
    while let Some(step) = reader.next_step().map_err(refuse)? {
        let entry = step.entry.clone();
        let EntryContent::File { length, sha256, .. } = entry.content else { continue };
        let failed = |source| DiffStepError::Write { path: PathBuf::from(entry.path.as_str()), source };
        let mut made = HashingWriter::new(output(&entry.path).map_err(failed)?);
        let operation = step.operation.clone();
        let refused = |source| DiffStepError::Delta { path: entry.path.clone(), source };
        // The header was checked: every source is listed.
        match operation {
            Operation::Add { .. } => step.unpack_to(&mut made).map_err(refuse)?,
            Operation::Copy { source } => {
                let mut file = open(old, &sources[source].path)?;
                std::io::copy(&mut file, &mut made).map_err(failed)?;
            }
            Operation::Delta { codec, source, .. } => {
                let mut file = open(old, &sources[source].path)?;
                updater_delta::apply(known(codec)?, &mut file, step.payload, &mut made, &limits(length))
                    .map_err(refused)?;
            }
            Operation::Joint { codec, sources: used, .. } => {
                let mut read = Vec::new();
                for at in used {
                    read.extend(old.read(&sources[at].path)?);
                }
                let (mut read, codec) = (std::io::Cursor::new(read), known(codec)?);
                updater_delta::apply(codec, &mut read, step.payload, joint.get_mut(), &limits(joint_length))
                    .map_err(refused)?;
                std::io::copy(&mut (&mut joint).take(length), &mut made).map_err(failed)?;
            }
            Operation::Part => {
                std::io::copy(&mut (&mut joint).take(length), &mut made).map_err(failed)?;
            }
        }
        let (_, got_length, got) = made.finish();
        if (got_length, got) != (length, sha256) {
            return Err(DiffStepError::WrongFile { path: entry.path, expected: sha256, got });
        }
    }
    Ok(())
}

fn known(codec: String) -> Result<Codec, DiffStepError> {
    Codec::parse(&codec).ok_or(DiffStepError::UnknownCodec { codec })
}

fn open(tree: &Tree, path: &FilePath) -> Result<BufReader<File>, DiffStepError> {
    let path = tree.path(path);
    File::open(&path).map(BufReader::new).map_err(|source| DiffStepError::Read { path, source })
}
