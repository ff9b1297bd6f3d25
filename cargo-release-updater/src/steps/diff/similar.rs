//! Finds the earlier version of a file that was renamed and changed at once.
//!
//! Only files that are new by path, content and name are looked at, and only those that are gone without a successor are offered. Of each a
//! *sketch* is taken: the smallest hashes of its 16-byte windows, which two files share about as far as they share contents. The time is bounded by
//! the bytes that are read, [`MOST_READ`] of each file; what is compared is found through an index, not pair by pair.

use super::pairs::{Origin, files};
use super::{DiffStepError, Tree};
use std::collections::{BTreeSet, HashMap, HashSet};
use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use updater_format::FilePath;

/// Fills in origins of new files: the installed file with the most similar content, else the one with the same name but for its numbers.
/// # Errors
/// [`DiffStepError::Read`].
pub(super) fn fill(origins: &mut [Option<Origin>], old: &Tree, new: &Tree) -> Result<(), DiffStepError> {
    let kept: HashSet<&FilePath> = files(new.manifest()).map(|(entry, ..)| &entry.path).collect();
    let used: HashSet<FilePath> = origins.iter().flatten().map(|origin| origin.path().clone()).collect();
    let gone: Vec<(&FilePath, u64)> = files(old.manifest())
        .map(|(entry, length, _)| (&entry.path, length))
        .filter(|(path, length)| *length >= LEAST && !kept.contains(path) && !used.contains(*path))
        .take(MOST_FILES)
        .collect();
    let wanted: Vec<usize> = (0..origins.len()).filter(|&at| origins[at].is_none()).take(MOST_FILES).collect();
    if gone.is_empty() || wanted.is_empty() {
        return Ok(());
    }
    let mut index: HashMap<u64, Vec<usize>> = HashMap::new();
    for (at, (path, _)) in gone.iter().enumerate() {
        for hash in sketch(&old.path(path))? {
            index.entry(hash).or_default().push(at);
        }
    }
    let targets: Vec<_> = files(new.manifest()).map(|(entry, length, _)| (&entry.path, length)).collect();
    for at in wanted {
        let (path, length) = targets[at];
        if length < LEAST {
            continue;
        }
        let mut shared = vec![0_usize; gone.len()];
        // What many files have in common says nothing, and would cost time.
        for of in
            sketch(&new.path(path))?.iter().filter_map(|hash| index.get(hash)).filter(|of| of.len() <= MOST_SHARED)
        {
            of.iter().for_each(|&of| shared[of] += 1);
        }
        let like = (0..gone.len()).filter(|&of| shared[of] >= LEAST_SHARED);
        let by_content =
            like.max_by_key(|&of| (shared[of], std::cmp::Reverse(gone[of].1.abs_diff(length)), gone[of].0));
        let named = (0..gone.len()).filter(|&of| stem(gone[of].0) == stem(path));
        let found = by_content.or_else(|| named.min_by_key(|&of| (gone[of].1.abs_diff(length), gone[of].0)));
        origins[at] = found.map(|of| Origin::Similar(gone[of].0.clone()));
    }
    Ok(())
}

/// Returns the name without its digits: `libx.so.1.2` and `libx.so.1.3` have the same.
fn stem(path: &FilePath) -> String {
    path.file_name().chars().filter(|c| !c.is_ascii_digit()).collect()
}

/// Returns the smallest hashes of a file's windows.
fn sketch(path: &Path) -> Result<BTreeSet<u64>, DiffStepError> {
    let failed = |source| DiffStepError::Read { path: path.to_owned(), source };
    let mut bytes = Vec::new();
    File::open(path).map_err(failed)?.take(MOST_READ).read_to_end(&mut bytes).map_err(failed)?;
    let mut smallest = BTreeSet::new();
    let mut most = u64::MAX;
    for window in bytes.windows(WINDOW) {
        let Some((low, high)) = window.first_chunk().zip(window.last_chunk()) else { break };
        let (low, high) = (u64::from_le_bytes(*low), u64::from_le_bytes(*high));
        // Fills of one byte stand in every program.
        if low == high {
            continue;
        }
        let mixed = (low ^ high.rotate_left(29)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let hash = (mixed ^ mixed >> 32).wrapping_mul(0xd6e8_feb8_6659_fd93);
        if hash < most && smallest.insert(hash) && smallest.len() > SKETCH {
            smallest.pop_last();
            most = smallest.last().copied().unwrap_or(u64::MAX);
        }
    }
    Ok(smallest)
}

/// Bytes of a window: short enough to lie between two changed addresses, long enough to mean something.
const WINDOW: usize = 16;
/// Hashes in a sketch.
const SKETCH: usize = 256;
/// Hashes that two files must share: one in 32. A delta that does not pay is replaced by the packed file anyway.
const LEAST_SHARED: usize = 8;
/// Files that may share a hash before it counts as common to all.
const MOST_SHARED: usize = 64;
/// Bytes below which a file travels whole: a delta has a header, too.
const LEAST: u64 = 256;
/// Bytes of a file that are looked at: 64 MiB.
const MOST_READ: u64 = 64 << 20;
/// Files on each side that are looked at.
const MOST_FILES: usize = 4096;
