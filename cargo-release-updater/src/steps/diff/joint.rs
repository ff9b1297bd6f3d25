//! One delta for several small files, where that is smaller than one for each.
//!
//! A delta names both files by their digests and learns what it models anew: 130 bytes and more for a file in which one number changed. Behind
//! each other such files share both, and what one of them says in another's words costs nothing.

use super::make::{LEAST_MEMORY, Made, store};
use super::pairs::{Origin, files};
use super::{DiffLimits, DiffStepError, Tree};
use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::path::Path;
use updater_delta::{Codec, DiffOptions, Reading};
use updater_format::FilePath;
use updater_format::length::MAX_JOINT;

/// Returns the same with a joint delta in place of the payloads of small files; `None` if there are not two of them, or if it would be
/// larger than their payloads.
/// # Errors
/// [`DiffStepError`] when a file cannot be read or the delta cannot be made.
pub(super) fn join(
    (old, new): (&Tree, &Tree),
    origins: &[Option<Origin>],
    made: &[Made],
    limits: DiffLimits,
    folder: &Path,
) -> Result<Option<Vec<Made>>, DiffStepError> {
    let length_of = |path: &FilePath| {
        files(old.manifest()).find(|(entry, ..)| entry.path == *path).map_or(0, |(_, length, _)| length)
    };
    let mut candidates: Vec<(u64, usize)> = files(new.manifest())
        .zip(made)
        .enumerate()
        .filter(|(_, (_, made))| is_data(made))
        .map(|(index, ((_, length, _), _))| (length, index))
        .collect();
    // The smallest have most to share.
    candidates.sort_unstable();
    let (mut chosen, mut from, mut read, mut written) = (Vec::new(), BTreeSet::new(), 0u64, 0u64);
    for (length, index) in candidates {
        let source = origins[index].as_ref().map(Origin::path).filter(|path| !from.contains(*path));
        let more = source.map_or(0, length_of);
        if written + length > MAX_JOINT || read + more > MAX_JOINT {
            continue;
        }
        (read, written) = (read + more, written + length);
        from.extend(source.cloned());
        chosen.push(index);
    }
    chosen.sort_unstable();
    let Some(memory) = limits.memory.checked_sub(read + written).filter(|left| *left >= LEAST_MEMORY) else {
        return Ok(None);
    };
    let [first, rest @ ..] = &chosen[..] else { return Ok(None) };
    if rest.is_empty() {
        return Ok(None);
    }
    let paths: Vec<&FilePath> = files(new.manifest()).map(|(entry, ..)| &entry.path).collect();
    let together = concat(new, chosen.iter().map(|&index| paths[index]))?;
    let earlier = concat(old, from.iter())?;
    let threads = NonZeroUsize::new(limits.threads).unwrap_or(NonZeroUsize::MIN);
    let options = DiffOptions { codecs: &[CODEC], threads, memory, ..DiffOptions::default() };
    let delta = updater_delta::diff(&earlier, &together, &options)
        .map_err(|source| DiffStepError::Diff { path: new.path(paths[*first]), source })?;
    let apart: u64 = chosen.iter().map(|&index| made[index].length()).sum();
    if delta.bytes().len() as u64 >= apart {
        return Ok(None);
    }
    let mut made = made.to_vec();
    made[*first] = Made::Joint { payload: store(delta.bytes(), folder)?, from: from.into_iter().collect() };
    for &index in rest {
        made[index] = Made::Part;
    }
    Ok(Some(made))
}

/// Reads files, one behind the other.
fn concat<'p>(tree: &Tree, paths: impl Iterator<Item = &'p FilePath>) -> Result<Vec<u8>, DiffStepError> {
    let mut all = Vec::new();
    for path in paths {
        all.extend(tree.read(path)?);
    }
    Ok(all)
}

/// Programs are better understood by themselves, and so is what is compressed inside.
fn is_data(made: &Made) -> bool {
    match made {
        Made::Add { .. } => true,
        Made::Delta { codec, reading, .. } => *codec == CODEC && *reading != Reading::Programs,
        Made::Copy | Made::Joint { .. } | Made::Part => false,
    }
}

/// What joint deltas are made by.
pub(super) const CODEC: Codec = Codec::Refs1;
